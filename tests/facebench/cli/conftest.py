"""The command line, called in this process; and a small set of pairs with a network to embed it."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from facebench.cli import main

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SIDE = 8


@dataclass(frozen=True)
class Said:
    """What a command left."""

    code: int
    out: str
    err: str


@pytest.fixture
def call(monkeypatch, capsys, tmp_path) -> Callable[..., Said]:
    """Calls ``facebench`` in an empty folder, with its own cache."""
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    monkeypatch.setenv("FACEBENCH_CACHE", str(tmp_path / "cache"))

    def run(*arguments: object) -> Said:
        monkeypatch.setattr(sys, "argv", ["facebench", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capsys.readouterr()
        code = ended.value.code
        return Said(code if isinstance(code, int) else 0 if code is None else 1, out, err)

    return run


@pytest.fixture
def toys(bench, monkeypatch):
    """The toy bench in the place of what is installed."""
    from facebench.host import Host

    monkeypatch.setattr(Host, "start", classmethod(lambda cls, **more: bench.host))
    return bench


@pytest.fixture
def model(tmp_path) -> Path:
    """A network of one matrix over pictures of 8 x 8."""
    matrix = np.random.default_rng(0).normal(size=(3 * SIDE * SIDE, 6)).astype(np.float32)
    nodes = [
        helper.make_node("Flatten", ["data"], ["flat"]),
        helper.make_node("MatMul", ["flat", "matrix"], ["embedding"]),
    ]
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("data", TensorProto.FLOAT, ["N", 3, SIDE, SIDE])],
        [helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["N", 6])],
        [numpy_helper.from_array(matrix, "matrix")],
    )
    path = tmp_path / "model.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10), path)
    return path


@pytest.fixture
def data(tmp_path) -> Path:
    """A data root for the protocol ``pairs``: twelve JPEGs of four people and twelve pairs."""
    root, random = tmp_path / "data", np.random.default_rng(1)
    for who in "abcd":
        for shot in range(3):
            path = root / "images" / who / f"{shot}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(random.integers(0, 255, (SIDE, SIDE, 3), dtype=np.uint8)).save(path)
    lines = [f"{who}/0 {who}/{shot} 1" for who in "abcd" for shot in (1, 2)]
    lines[1::2] = [f"a/0 b/{shot} 0" for shot in range(2)] + [f"c/1 d/{shot} 0" for shot in range(2)]
    (root / "pairs.txt").write_text("\n".join(lines) + "\n")
    return root
