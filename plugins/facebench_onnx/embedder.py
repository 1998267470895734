"""Runs an ONNX graph on pictures, in calls of the size that the graph takes.

Only onnxruntime's own operators are available: no library of custom operators is ever loaded for a model.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import onnxruntime

from facebench import ConfigError, DataError, FacebenchError, Features, fingerprint_of
from facebench_onnx.graph import read
from facebench_onnx.preprocessing import decide

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import numpy.typing as npt

    from facebench import Preprocess
    from facebench_onnx.plugin import OnnxOptions

_PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}
_FLOATS: dict[str, npt.DTypeLike] = {"tensor(float)": np.float32, "tensor(float16)": np.float16}
# onnxruntime's levels: warnings (2) are about speed; what matters of errors (3) arrives as an exception as well.
_FATAL = 4


@dataclass(frozen=True, slots=True)
class _Input:
    """The graph's picture.

    Attributes:
        name: As the graph calls it.
        dtype: float32 or float16.
        batch: The only number of pictures that the graph takes, or None.
        size: Height and width.
    """

    name: str
    dtype: npt.DTypeLike
    batch: int | None
    size: tuple[int, int]


@dataclass(frozen=True, slots=True)
class _Trial:
    """What the graph did with black pictures.

    Attributes:
        count: How many it was given.
        shapes: Of each float output, by name.
    """

    count: int
    shapes: Mapping[str, tuple[int, ...]]

    def listed(self) -> str:
        return f"{', '.join(f'{name} {shape}' for name, shape in self.shapes.items())} for {self.count} pictures"


class OnnxEmbedder:
    """An ``Embedder`` over an ONNX file.

    Args:
        path: The file.
        options: What the graph cannot tell, and how to compute.

    Raises:
        DataError: When the file is missing, damaged, unsafe or not a face-recognition network.
        ConfigError: When an option does not fit the graph, or is needed because the graph leaves something open.
    """

    def __init__(self, path: Path, options: OnnxOptions) -> None:
        graph = read(path)
        self._path = path
        self._session = _session(path, options)
        self._input = _input(path, self._session, options)
        pixels = decide(path, graph, options, size=self._input.size)
        self._preprocess = pixels.preprocess
        trial = self._try(self._tries(options.batch_size))
        self._step = self._input.batch or (options.batch_size if trial.count > 1 else 1)
        self._output = _output(path, trial, options.output)
        self._embedding_size = trial.shapes[self._output][1]
        self._fingerprint = fingerprint_of([graph.sha256, self._preprocess.fingerprint, self._output])
        self._notes = dict(pixels.notes)
        self._notes["runtime"] = f"onnxruntime {onnxruntime.__version__}, {self._session.get_providers()[0]}"
        if self._input.batch is None and self._step < options.batch_size:
            self._notes["batch"] = "one picture at a time: the graph claims any number but fails on two"

    @property
    def embedding_size(self) -> int:
        """D."""
        return self._embedding_size

    @property
    def preprocess(self) -> Preprocess:
        """What happens to the pixels outside the graph."""
        return self._preprocess

    @property
    def fingerprint(self) -> str:
        """Hash of the model with its external weights, the preprocessing and the chosen output."""
        return self._fingerprint

    @property
    def notes(self) -> Mapping[str, str]:
        """How the preprocessing is known, and what runs the graph."""
        return self._notes

    def embed(self, images: npt.NDArray[np.uint8], /) -> Features[npt.NDArray[np.float32]]:
        """Features of uint8 (N, H, W, 3) RGB pictures; how many are given at a time does not matter.

        Raises:
            DataError: When the pictures have another shape or type, or the graph fails on them.
        """
        wanted = (*self._preprocess.size, 3)
        if images.ndim != 4 or images.shape[1:] != wanted or images.dtype != np.uint8 or not len(images):
            raise DataError(
                f"the embedder was given {images.dtype} pictures of shape {images.shape}; it takes uint8 (N, "
                f"{', '.join(map(str, wanted))}), N at least 1"
            )
        vectors = np.empty((len(images), self._embedding_size), dtype=np.float32)
        for first in range(0, len(images), self._step):
            chunk = images[first : first + self._step]
            try:
                (rows,) = self._run(self._padded(chunk), [self._output])
            except Exception as error:  # onnxruntime's exceptions have no base of their own
                hint = "; if memory is short, set a smaller embedder.batch_size" if self._input.batch is None else ""
                raise DataError(f"{self._path}: failed on {len(chunk)} pictures: {_line(error)}{hint}") from error
            expected = (self._input.batch or len(chunk), self._embedding_size)
            if rows.shape != expected:
                raise DataError(f"{self._path}: output {self._output!r} has shape {rows.shape}; expected {expected}")
            vectors[first : first + len(chunk)] = rows[: len(chunk)]
        return Features(vectors)

    def _padded(self, chunk: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        """A chunk brought to the graph's fixed batch size, if it has one, by repeating the last picture."""
        if self._input.batch is None or len(chunk) == self._input.batch:
            return chunk
        return np.concatenate([chunk, chunk[-1:].repeat(self._input.batch - len(chunk), axis=0)])

    def _run(self, images: npt.NDArray[np.uint8], outputs: list[str]) -> list[npt.NDArray[Any]]:
        """The graph's outputs for uint8 (N, H, W, 3) RGB."""
        if self._preprocess.color == "bgr":
            images = images[..., ::-1]
        # Bytes are transposed before they become four times as large.
        planes = np.ascontiguousarray(images.transpose(0, 3, 1, 2)).astype(np.float32)
        mean, std = (np.array(v, np.float32)[:, None, None] for v in (self._preprocess.mean, self._preprocess.std))
        if mean.any():
            planes -= mean
        if (std != 1).any():
            planes /= std
        quiet = onnxruntime.RunOptions()
        quiet.log_severity_level = _FATAL
        found: list[npt.NDArray[Any]] = self._session.run(
            outputs, {self._input.name: planes.astype(self._input.dtype, copy=False)}, quiet
        )
        return found

    def _tries(self, batch_size: int) -> list[int]:
        if self._input.batch is not None:
            return [self._input.batch]
        return [2, 1] if batch_size > 1 else [1]

    def _try(self, counts: list[int]) -> _Trial:
        """Runs the graph on black pictures, by the first count that works.

        What a graph declares is not to be relied on: exporters leave the batch open and then fix it inside.
        """
        names = [o.name for o in self._session.get_outputs() if o.type in _FLOATS]
        if not names:
            raise DataError(f"{self._path}: no output of this graph is a float tensor; is it an embedding network?")
        failure = ""
        for count in counts:
            try:
                arrays = self._run(np.zeros((count, *self._preprocess.size, 3), np.uint8), names)
            except Exception as error:  # onnxruntime's exceptions have no base of their own
                failure = _line(error)
                continue
            trial = _Trial(count, {name: array.shape for name, array in zip(names, arrays, strict=True)})
            if any(shape[:1] == (count,) for shape in trial.shapes.values()):
                return trial
            failure = f"its outputs are {trial.listed()}"
        height, width = self._preprocess.size
        raise DataError(f"{self._path}: does not run on pictures of {height} x {width}: {failure}")


def _session(path: Path, options: OnnxOptions) -> onnxruntime.InferenceSession:
    provider = _PROVIDERS[options.device]
    offered = onnxruntime.get_available_providers()
    if provider not in offered:
        have = ", ".join(sorted(name for name, long in _PROVIDERS.items() if long in offered))
        raise ConfigError(f"embedder.device {options.device!r}: this onnxruntime computes on {have} only; choose there")
    settings = onnxruntime.SessionOptions()
    settings.log_severity_level = _FATAL
    settings.intra_op_num_threads = options.threads
    settings.use_deterministic_compute = True
    # TF32 would keep 10 bits of the mantissa; scores of different machines could then not be compared.
    chosen: list[Any] = [(provider, {"use_tf32": "0"}) if options.device == "cuda" else provider]
    if options.device != "cpu":
        chosen.append(_PROVIDERS["cpu"])
    try:
        session = onnxruntime.InferenceSession(str(path), settings, providers=chosen)
    except Exception as error:  # onnxruntime's exceptions have no base of their own
        raise DataError(f"{path}: onnxruntime cannot load this model: {_line(error)}") from error
    if session.get_providers()[0] != provider:
        raise FacebenchError(f"onnxruntime could not start {provider}; are its drivers installed? or set device to cpu")
    return session


def _input(path: Path, session: onnxruntime.InferenceSession, options: OnnxOptions) -> _Input:
    """The picture among the graph's inputs: float, (N, 3, H, W), and the only one."""
    inputs = session.get_inputs()
    if len(inputs) != 1:
        listed = ", ".join(f"{i.name} {_shape(i.shape)}" for i in inputs) or "none"
        raise DataError(f"{path}: an embedder has one input, a picture; this graph's inputs are: {listed}")
    only = inputs[0]
    shape, told = list(only.shape), f"{path}: input {only.name!r} has shape {_shape(only.shape)}"
    if len(shape) != 4:
        raise DataError(f"{told}; expected (N, 3, height, width)")
    if shape[1] != 3 and shape[3] == 3:
        raise DataError(f"{told}: channels last; only (N, 3, height, width) is supported, export the model so")
    if shape[1] != 3 and isinstance(shape[1], int):
        raise DataError(f"{told}: {shape[1]} channels; expected 3")
    if only.type not in _FLOATS:
        raise DataError(f"{path}: input {only.name!r} is a {only.type}; only float and float16 are supported")
    declared = [length if isinstance(length, int) and length > 0 else None for length in shape]
    return _Input(only.name, _FLOATS[only.type], declared[0], _size(told, declared[2:], options.size))


def _size(told: str, declared: list[int | None], wanted: tuple[int, int] | None) -> tuple[int, int]:
    """Height and width, from the graph where it says them."""
    if wanted is not None:
        if any(have not in (None, want) for have, want in zip(declared, wanted, strict=True)):
            raise ConfigError(f"{told}, which embedder.size {list(wanted)} contradicts; leave embedder.size unset")
        return wanted
    height, width = declared
    if height is None or width is None:
        raise ConfigError(f"{told}, which leaves the size of pictures open; set embedder.size, such as [112, 112]")
    return height, width


def _output(path: Path, trial: _Trial, wanted: str) -> str:
    """The output that holds the embedding: the one told, or the only one of shape (N, D)."""
    if wanted and wanted not in trial.shapes:
        raise ConfigError(f"embedder.output {wanted!r} is no float output of {path}; outputs: {trial.listed()}")
    fitting = [name for name, shape in trial.shapes.items() if len(shape) == 2 and shape[0] == trial.count]
    if wanted:
        if wanted not in fitting:
            raise ConfigError(f"embedder.output {wanted!r} is not of shape (N, D); outputs: {trial.listed()}")
        return wanted
    if len(fitting) > 1:
        raise ConfigError(
            f"{path}: several outputs may be the embedding; set embedder.output to one; outputs: {trial.listed()}"
        )
    if not fitting:
        raise DataError(f"{path}: no output has the shape (N, D) of embeddings; outputs: {trial.listed()}")
    return fitting[0]


def _shape(shape: list[int | str | None]) -> str:
    return "(" + ", ".join("?" if length is None else str(length) for length in shape) + ")"


def _line(error: Exception) -> str:
    """The first line of a message, shortened: onnxruntime's go on for screens."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0] if len(lines[0]) <= 300 else lines[0][:300] + "..."
