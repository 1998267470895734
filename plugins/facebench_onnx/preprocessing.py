"""How pixels become the network's input: told by the user, by a side file or by the graph, and in words for the reader.

Wrong preprocessing costs points silently, so nothing is guessed where the graph contradicts itself, and what was found
is written into every result.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from facebench import ConfigError, DataError, Preprocess

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from facebench_onnx.graph import Graph
    from facebench_onnx.plugin import OnnxOptions

_SIDE_FILE = "pixel_norm.txt"
_CROP_FILE = "crop.txt"
_TELL = "set both embedder.mean and embedder.std (0 and 1 if the graph takes raw pixels)"


@dataclass(frozen=True, slots=True)
class Pixels:
    """A decision and its reasons.

    Attributes:
        preprocess: What happens to the pixels outside the graph.
        notes: How that is known.
    """

    preprocess: Preprocess
    notes: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class _Scaling:
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    why: str


def decide(path: Path, graph: Graph, options: OnnxOptions, *, size: tuple[int, int]) -> Pixels:
    """What happens to the pixels, from the first of: the options, ``pixel_norm.txt`` beside the model, the graph.

    The rule for graphs is that of insightface's loader, which asks whether a subtraction and a multiplication stand
    among the first eight nodes, by name: then the graph normalises its pixels, else mean and std are 127.5. Here the
    nodes are found by what they do, between the picture and the first layer. Where the two disagree, the notes say so.

    Args:
        path: The model file.
        graph: What it says.
        options: What the user says.
        size: Height and width.

    Raises:
        ConfigError: When only one of mean and std is set, or when the graph only shifts or only scales its pixels.
        DataError: When a side file is damaged or asks for what cannot be done here.
    """
    if (path.parent / _CROP_FILE).exists():
        raise DataError(
            f"{path.parent / _CROP_FILE}: this model wants its pictures cropped first, which is not supported; "
            "prepare the pictures so and move the file away"
        )
    scaling = _told(options) or _side_file(path.parent / _SIDE_FILE) or _found(path, graph)
    told = options.color != "auto"
    color = options.color if told else "rgb"
    order = f"{color.upper()} ({'told' if told else 'assumed: a graph does not tell'})"
    preprocess = Preprocess(size=size, color=color, mean=scaling.mean, std=scaling.std)
    return Pixels(preprocess, {"preprocess": scaling.why, "color": order})


def _told(options: OnnxOptions) -> _Scaling | None:
    if options.mean is None and options.std is None:
        return None
    if options.mean is None or options.std is None:
        found = "std alone" if options.mean is None else "mean alone"
        raise ConfigError(f"embedder.mean and embedder.std go together; found {found}; set both or neither")
    mean, std = _three(options.mean), _three(options.std)
    return _Scaling(mean, std, f"mean {_words(mean)}, std {_words(std)} (told)")


def _side_file(path: Path) -> _Scaling | None:
    """Two lines, mean and std, as the helper of insightface's challenges reads them."""
    if not path.is_file():
        return None
    with path.open("rb") as file:
        lines = file.read(1000).split()
    try:
        mean, std = (float(line) for line in lines)
    except ValueError as error:
        raise DataError(f"{path}: expected two lines, mean and std; mend or remove it, or {_TELL}") from error
    if not (math.isfinite(mean) and math.isfinite(std) and std > 0):
        raise DataError(f"{path}: mean {mean} and std {std} cannot be meant; mend or remove it, or {_TELL}")
    return _Scaling(_three(mean), _three(std), f"mean {mean:g}, std {std:g} ({_SIDE_FILE} beside the model)")


def _found(path: Path, graph: Graph) -> _Scaling:
    seen = [*graph.shifts, *graph.scales, *graph.norms]
    if graph.shifts and graph.scales:
        names = ", ".join([*graph.shifts[:2], *graph.scales[:2]])
        why = f"in the graph: {names} before the first layer (found)"
        return _Scaling(_three(0.0), _three(1.0), why + _disagreement(graph, inside=True))
    if seen:
        raise ConfigError(
            f"{path}: {', '.join(seen[:3])} before the first layer leaves open what pixels the network wants; {_TELL}"
        )
    why = "mean 127.5, std 127.5 (assumed: nothing in the graph normalises the pixels)"
    return _Scaling(_three(127.5), _three(127.5), why + _disagreement(graph, inside=False))


def _disagreement(graph: Graph, *, inside: bool) -> str:
    if graph.named == inside:
        return ""
    other = "in the graph" if graph.named else "mean and std 127.5"
    return f"; insightface's loader, which goes by names, would say {other}"


def _three(value: float | tuple[float, float, float]) -> tuple[float, float, float]:
    return value if isinstance(value, tuple) else (value, value, value)


def _words(values: tuple[float, float, float]) -> str:
    return f"{values[0]:g}" if len(set(values)) == 1 else "/".join(f"{value:g}" for value in values)
