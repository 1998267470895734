"""Offers ``onnx``: any face-recognition network that was saved as an ONNX file."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Literal

from facebench import EmbedderSpec, FacebenchError, MissingExtra, hookimpl, option, options

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from facebench import Embedder


@options
class OnnxOptions:
    """What a graph cannot tell, or tells wrongly; and how to compute."""

    color: Literal["auto", "rgb", "bgr"] = option(
        default="auto", help="channel order the network was trained with; auto takes rgb, since a graph does not tell"
    )
    mean: float | tuple[float, float, float] | None = option(
        default=None, help="subtracted from pixels (0..255), one or three in the network's order; unset: find out"
    )
    std: float | tuple[float, float, float] | None = option(
        default=None, help="pixels are then divided by it; set both mean and std, or neither"
    )
    size: tuple[int, int] | None = option(
        default=None, help="height and width in pixels, for graphs that leave them open"
    )
    output: str = option(default="", help="the graph's output that holds the embedding; unset: the only 2-D one")
    batch_size: int = option(
        default=64,
        help="pictures per call at most; a graph of fixed batch size keeps its own",
        ge=1,
        le=4096,
        decides=False,
    )
    device: Literal["cpu", "cuda"] = option(
        default="cpu", help="where onnxruntime computes; cuda needs the package onnxruntime-gpu", decides=False
    )
    threads: int = option(default=0, help="CPU threads; 0 takes one per core", ge=0, le=1024, decides=False)


def build(path: Path | None, chosen: OnnxOptions) -> Embedder:
    """The model in a file, checked and ready to embed.

    Args:
        path: The ``.onnx`` file.
        chosen: The options.

    Raises:
        FacebenchError: When no file is named.
        MissingExtra: When onnx or onnxruntime is not installed.
        DataError: When the file is missing, damaged, unsafe or not a face-recognition network.
        ConfigError: When an option does not fit the graph, or is needed because the graph leaves something open.
    """
    if path is None:
        raise FacebenchError("--plugin onnx needs --weights FILE; name the .onnx file")
    try:
        for module in ("onnx", "onnxruntime"):
            import_module(module)
    except ImportError as error:
        raise MissingExtra("ONNX models", "onnx") from error
    from facebench_onnx.embedder import OnnxEmbedder

    return OnnxEmbedder(path, chosen)


@hookimpl
def facebench_embedders() -> Iterable[EmbedderSpec]:
    """Offers ``onnx``."""
    return [
        EmbedderSpec(
            name="onnx",
            summary="a network in an ONNX file, run by onnxruntime; its preprocessing is found or told",
            options=OnnxOptions,
            build=build,
        )
    ]
