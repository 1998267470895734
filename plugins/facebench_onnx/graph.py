"""What an ONNX file says before anything of it is run: its content hash, its files, its arithmetic on the pixels.

Models come from strangers. The file is parsed here without following its references to other files; those must lie
beside it, so that a graph cannot make the runtime read from elsewhere.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import PurePosixPath, PureWindowsPath
from typing import TYPE_CHECKING

import onnx

from facebench import DataError, fingerprint_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

# Where the pixels stop being pixels: the first layer with weights.
_LAYERS = frozenset(
    ("Conv", "ConvInteger", "ConvTranspose", "FusedConv", "Gemm", "MatMul", "MatMulInteger", "QLinearConv")
)
# What these return is about the tensor, not made of its values.
_MEASURES = frozenset(("Shape", "Size"))
_SHIFTS = frozenset(("Sub", "Add"))
_SCALES = frozenset(("Mul", "Div"))
_NORMS = frozenset(("BatchNormalization", "InstanceNormalization", "LayerNormalization"))


@dataclass(frozen=True, slots=True)
class Graph:
    """A parsed file.

    Attributes:
        sha256: Of the file, joined with the files it refers to.
        shifts: Nodes that add to or subtract from the pixels before the first layer, such as ``Sub '_minusscalar0'``.
        scales: Nodes that multiply or divide them there.
        norms: Nodes that normalise them there by statistics.
        named: Whether insightface's loader would say that the graph normalises its pixels: among the first eight nodes
            one is called ``Sub...`` or ``_minus...`` and one ``Mul...`` or ``_mul...``.
    """

    sha256: str
    shifts: tuple[str, ...]
    scales: tuple[str, ...]
    norms: tuple[str, ...]
    named: bool


def read(path: Path) -> Graph:
    """Parses a file and checks that it is whole and refers to nothing outside its folder.

    Raises:
        DataError: When the file is missing or damaged, or refers to a file that is missing or lies elsewhere.
    """
    if not path.is_file():
        found = "that is a folder" if path.is_dir() else "there is no such file"
        raise DataError(f"{path}: {found}; name an .onnx file")
    try:
        model = onnx.load(path, format="protobuf", load_external_data=False)
    except Exception as error:  # protobuf's errors have no base that is both public and typed
        raise DataError(f"{path}: not an ONNX model, or a damaged one ({error}); is the download complete?") from error
    if not model.graph.node:
        raise DataError(f"{path}: not an ONNX model, or an empty one: its graph has no nodes")
    external = sorted({(place, _beside(path, place)) for place in _external(model)})
    arithmetic = _arithmetic(model.graph)
    return Graph(
        sha256=_sha256(path, external),
        shifts=tuple(_called(node) for node in arithmetic if node.op_type in _SHIFTS),
        scales=tuple(_called(node) for node in arithmetic if node.op_type in _SCALES),
        norms=tuple(_called(node) for node in arithmetic if node.op_type in _NORMS),
        named=_named(model.graph),
    )


def _called(node: onnx.NodeProto) -> str:
    return f"{node.op_type} {node.name!r}" if node.name else str(node.op_type)


def _arithmetic(graph: onnx.GraphProto) -> list[onnx.NodeProto]:
    """The nodes between the picture and the first layer; ONNX lists nodes in the order of computation."""
    weights = {tensor.name for tensor in graph.initializer}
    pixels = {value.name for value in graph.input if value.name not in weights}
    found = []
    for node in graph.node:
        if pixels.isdisjoint(node.input) or node.op_type in _LAYERS or node.op_type in _MEASURES:
            continue
        pixels.update(node.output)
        found.append(node)
    return found


def _named(graph: onnx.GraphProto) -> bool:
    names = [node.name for node in graph.node[:8]]
    return all(any(name.startswith(stems) for name in names) for stems in (("Sub", "_minus"), ("Mul", "_mul")))


def _tensors(graph: onnx.GraphProto) -> Iterator[onnx.TensorProto]:
    """Every stored tensor, those of inner graphs included."""
    yield from graph.initializer
    for sparse in graph.sparse_initializer:
        yield from (sparse.values, sparse.indices)
    for node in graph.node:
        yield from _held(node.attribute)


def _held(attributes: Iterable[onnx.AttributeProto]) -> Iterator[onnx.TensorProto]:
    for attribute in attributes:
        yield from (attribute.t, *attribute.tensors)
        for sparse in (attribute.sparse_tensor, *attribute.sparse_tensors):
            yield from (sparse.values, sparse.indices)
        for inner in (attribute.g, *attribute.graphs):
            yield from _tensors(inner)


def _external(model: onnx.ModelProto) -> Iterator[str]:
    """The places of external data, as the file spells them."""
    tensors = [*_tensors(model.graph)]
    for function in model.functions:
        tensors.extend(_held(function.attribute_proto))
        for node in function.node:
            tensors.extend(_held(node.attribute))
    for tensor in tensors:
        if tensor.data_location == onnx.TensorProto.EXTERNAL or tensor.external_data:
            yield from {entry.value for entry in tensor.external_data if entry.key == "location"} or {""}


def _beside(path: Path, place: str) -> Path:
    """The external file, if it is one beside the model or below its folder.

    Hugging Face's cache keeps a model and its data as links into one folder; so the real places are compared as well.
    """
    # Both ways to read a path are tried on every system: a file is as safe here as it is elsewhere.
    for spelled in (PurePosixPath(place), PureWindowsPath(place)):
        if not place or spelled.is_absolute() or spelled.drive or spelled.root or ".." in spelled.parts:
            raise DataError(f"{path}: refers to weights at {place!r}, outside its folder; refused as unsafe")
    found = path.parent / place
    real = found.resolve()
    if not any(real.is_relative_to(folder) for folder in (path.parent.resolve(), path.resolve().parent)):
        raise DataError(f"{path}: its weights {place!r} are a link to {real}, outside its folder; refused as unsafe")
    if not found.is_file():
        raise DataError(f"{path}: its weights {place!r} are not beside it; copy that file into {path.parent}")
    return found


def _sha256(path: Path, external: list[tuple[str, Path]]) -> str:
    """The file's own SHA-256 if it is complete in itself, else a hash of all."""
    own = _digest(path)
    if not external:
        return own
    return fingerprint_of([own, [[place, _digest(file)] for place, file in external]])


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
