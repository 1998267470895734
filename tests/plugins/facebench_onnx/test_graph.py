"""What is read from a file before it is run: hash, references to other files, arithmetic on the pixels."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from facebench import DataError
from facebench_onnx.graph import read

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def external(proto: onnx.ModelProto, place: str) -> onnx.ModelProto:
    """Moves the matrix's values to another file, as the format says: a place, and no bytes inside."""
    (tensor,) = (t for t in proto.graph.initializer if t.name == "matrix")
    refer(tensor, place)
    return proto


def refer(tensor: onnx.TensorProto, place: str) -> bytes:
    data: bytes = tensor.raw_data
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=place)
    return data


def test_the_hash_of_a_complete_file_is_its_sha256(parts: Callable[..., Any], save: Callable[..., Path]) -> None:
    path = save(parts())
    assert read(path).sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


def test_external_weights_count_in_the_hash(parts: Callable[..., Any], tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    onnx.save(external(parts().proto(), "matrix.bin"), path)
    hashes = set()
    for content in (b"one", b"two"):
        (tmp_path / "matrix.bin").write_bytes(content)
        hashes.add(read(path).sha256)
    assert len(hashes) == 2


@pytest.mark.parametrize(
    "place", ["../matrix.bin", "/etc/hostname", "a/../../matrix.bin", "C:\\matrix.bin", "..\\matrix.bin", "C:x", ""]
)
def test_weights_outside_the_folder_are_refused(place: str, parts: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "matrix.bin").write_bytes(b"")
    (tmp_path / "inner").mkdir()
    path = tmp_path / "inner" / "model.onnx"
    onnx.save(external(parts().proto(), place), path)
    with pytest.raises(DataError, match="outside its folder"):
        read(path)


def test_a_link_out_of_the_folder_is_refused(parts: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"")
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / "matrix.bin").symlink_to(tmp_path / "secret")
    path = tmp_path / "inner" / "model.onnx"
    onnx.save(external(parts().proto(), "matrix.bin"), path)
    with pytest.raises(DataError, match="link to"):
        read(path)


def test_a_cache_of_links_into_one_folder_is_fine(parts: Callable[..., Any], tmp_path: Path) -> None:
    blobs, shown = tmp_path / "blobs", tmp_path / "snapshot"
    blobs.mkdir()
    shown.mkdir()
    onnx.save(external(parts().proto(), "matrix.bin"), blobs / "1")
    (blobs / "2").write_bytes(b"")
    (shown / "model.onnx").symlink_to(blobs / "1")
    (shown / "matrix.bin").symlink_to(blobs / "2")
    read(shown / "model.onnx")


def test_missing_weights_are_named(parts: Callable[..., Any], tmp_path: Path) -> None:
    onnx.save(external(parts().proto(), "matrix.bin"), tmp_path / "model.onnx")
    with pytest.raises(DataError, match=r"'matrix.bin' are not beside it"):
        read(tmp_path / "model.onnx")


@pytest.mark.parametrize("where", ["constant", "inner graph", "function", "sparse"])
def test_references_hide_nowhere(where: str, parts: Callable[..., Any], tmp_path: Path) -> None:
    hidden = helper.make_tensor("hidden", TensorProto.FLOAT, [1], np.ones(1, np.float32).tobytes(), raw=True)
    refer(hidden, "../secret")
    constant = helper.make_node("Constant", [], ["hidden"], value=hidden)
    proto = parts().proto()
    if where == "constant":
        proto.graph.node.append(constant)
    elif where == "inner graph":
        branch = helper.make_graph([constant], "branch", [], [])
        proto.graph.node.append(helper.make_node("If", ["c"], ["o"], then_branch=branch, else_branch=branch))
    elif where == "function":
        opset = [helper.make_opsetid("", 17)]
        proto.functions.append(helper.make_function("own", "f", [], ["hidden"], [constant], opset))
    else:
        indices = helper.make_tensor("indices", TensorProto.INT64, [1], [0])
        proto.graph.sparse_initializer.append(helper.make_sparse_tensor(hidden, indices, [4]))
    onnx.save(proto, tmp_path / "model.onnx")
    with pytest.raises(DataError, match="outside its folder"):
        read(tmp_path / "model.onnx")


@pytest.mark.parametrize("content", [b"", b"not a model at all", b"\x08\x07"])
def test_other_files_are_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(content)
    with pytest.raises(DataError, match="not an ONNX model"):
        read(path)


def test_a_cut_off_file_is_refused(parts: Callable[..., Any], save: Callable[..., Path]) -> None:
    path = save(parts())
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(DataError, match="damaged"):
        read(path)


def test_a_wrong_path_is_told(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file"):
        read(tmp_path / "absent.onnx")
    with pytest.raises(DataError, match="a folder"):
        read(tmp_path)


def test_arithmetic_before_the_first_layer_is_found(parts: Callable[..., Any], save: Callable[..., Path]) -> None:
    graph = read(save(parts(before=(("Sub", "_minusscalar0", 127.5), ("Mul", "_mulscalar0", 1 / 128)))))
    assert graph.shifts == ("Sub '_minusscalar0'",)
    assert graph.scales == ("Mul '_mulscalar0'",)
    assert graph.named


def test_it_is_found_by_what_it_does(parts: Callable[..., Any], save: Callable[..., Path]) -> None:
    before = (("Identity", "", None), ("Div", "/pre/Div", 127.5), ("Add", "", -1.0))
    graph = read(save(parts(before=before)))
    assert (graph.shifts, graph.scales, graph.named) == (("Add",), ("Div '/pre/Div'",), False)


def test_arithmetic_after_a_layer_does_not_count(parts: Callable[..., Any], save: Callable[..., Path]) -> None:
    made = parts()
    made.weights["half"] = np.float32(0.5)
    made.nodes[1:1] = [
        helper.make_node("Sub", ["maps", "half"], ["a"], name="Sub_1"),
        helper.make_node("Mul", ["a", "half"], ["b"], name="Mul_2"),
    ]
    made.nodes[3].input[0] = "b"
    graph = read(save(made))
    assert (graph.shifts, graph.scales, graph.named) == ((), (), True)


def test_arithmetic_on_the_shape_does_not_count(parts: Callable[..., Any], save: Callable[..., Path]) -> None:
    made = parts()
    made.weights["two"] = np.array([2], np.int64)
    made.nodes[:0] = [
        helper.make_node("Shape", ["data"], ["shape"]),
        helper.make_node("Mul", ["shape", "two"], ["twice"]),
        helper.make_node("Sub", ["twice", "shape"], ["same"]),
    ]
    graph = read(save(made))
    assert (graph.shifts, graph.scales) == ((), ())
