"""Small ONNX graphs, and what they must return, worked out in numpy."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import numpy.typing as npt

HEIGHT, WIDTH, CHANNELS, D = 6, 5, 4, 7


@dataclass(frozen=True)
class Net:
    """A 1x1 convolution, flattened, and a matrix: enough to notice a wrong pixel, channel, order or row."""

    kernel: npt.NDArray[np.float32]
    matrix: npt.NDArray[np.float32]
    bias: npt.NDArray[np.float32]

    def vectors(self, planes: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
        """What the net returns for (N, 3, H, W), in double precision and without onnx."""
        maps = np.einsum("oi,nihw->nohw", self.kernel[:, :, 0, 0].astype(np.float64), planes.astype(np.float64))
        return maps.reshape(len(planes), -1) @ self.matrix.astype(np.float64) + self.bias


@pytest.fixture(scope="session")
def net() -> Net:
    rng = np.random.default_rng(20)
    return Net(
        kernel=rng.normal(size=(CHANNELS, 3, 1, 1)).astype(np.float32),
        matrix=rng.normal(size=(CHANNELS * HEIGHT * WIDTH, D)).astype(np.float32) / 10,
        bias=rng.normal(size=D).astype(np.float32),
    )


@pytest.fixture(scope="session")
def pictures() -> npt.NDArray[np.uint8]:
    return np.random.default_rng(21).integers(0, 256, (10, HEIGHT, WIDTH, 3), dtype=np.uint8)


@dataclass
class Parts:
    """A graph in the making; tests change what they are about."""

    nodes: list[Any]
    inputs: list[Any]
    outputs: list[Any]
    weights: dict[str, npt.NDArray[Any]] = field(default_factory=dict)

    def proto(self) -> onnx.ModelProto:
        stored = [numpy_helper.from_array(array, name) for name, array in self.weights.items()]
        graph = helper.make_graph(self.nodes, "net", self.inputs, self.outputs, stored)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)


def value(name: str, shape: list[Any] | None, kind: int = TensorProto.FLOAT) -> Any:
    return helper.make_tensor_value_info(name, kind, shape)


@pytest.fixture
def parts(net: Net) -> Callable[..., Parts]:
    """The net as graph parts; ``before`` lists (op, name, constant or None) to put between picture and convolution."""

    def make(batch: int | str = "N", before: tuple[tuple[str, str, Any], ...] = (), dtype: Any = np.float32) -> Parts:
        kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
        weights = {"kernel": net.kernel, "matrix": net.matrix, "bias": net.bias}
        nodes, last = [], "data"
        for number, (op, name, constant) in enumerate(before):
            inputs = [last]
            if constant is not None:
                weights[f"constant{number}"] = np.asarray(constant, np.float32)
                inputs.append(f"constant{number}")
            last = f"step{number}"
            nodes.append(helper.make_node(op, inputs, [last], name=name))
        nodes += [
            helper.make_node("Conv", [last, "kernel"], ["maps"], name="conv"),
            helper.make_node("Flatten", ["maps"], ["flat"], name="flatten"),
            helper.make_node("Gemm", ["flat", "matrix", "bias"], ["embedding"], name="fc"),
        ]
        made = Parts(nodes, [value("data", [batch, 3, HEIGHT, WIDTH], kind)], [value("embedding", [batch, D], kind)])
        made.weights = {name: array.astype(dtype) for name, array in weights.items()}
        return made

    return make


@pytest.fixture
def save(tmp_path: Path) -> Callable[..., Path]:
    """Writes a graph and returns its path."""

    def write(made: Parts, name: str = "model.onnx") -> Path:
        onnx.save(made.proto(), tmp_path / name)
        return tmp_path / name

    return write
