"""facebench trains, evaluates and compares face-recognition methods.

This page of names is what plugins and scripts import. Everything is loaded on first use, so that ``import facebench``
costs next to nothing and listing plugins never waits for torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from facebench.api import evaluate, run, train
    from facebench.classoptions import ClassOptions
    from facebench.contracts import (
        Batch,
        Checkpoint,
        DataProtocol,
        Embedder,
        EvalProtocol,
        Evaluation,
        Face,
        FaceDataset,
        Features,
        LossOutput,
        Preprocess,
        Progress,
        Recipe,
        Renderer,
        Trainer,
        TrainJob,
        fingerprint_of,
    )
    from facebench.declare import NoOptions, option, options
    from facebench.embeddings import Embeddings
    from facebench.errors import (
        ConfigError,
        DataError,
        DatasetMissing,
        FacebenchError,
        MetricError,
        MissingExtra,
        PluginError,
        UnknownName,
    )
    from facebench.generators import Generator, GeneratorJob, Identities, Rendered
    from facebench.hooks import RunInfo, hookimpl
    from facebench.results import Curve, Data, Interval, Metric, Provenance, Result, Series, Subject
    from facebench.schedules import TrainerOptions
    from facebench.specs import (
        BackboneSpec,
        DatasetSpec,
        EmbedderSpec,
        GeneratorSpec,
        LossSpec,
        ProtocolSpec,
        ReportSpec,
        TrainerSpec,
    )

__version__ = "0.1.0"

_ROOMS = {
    "api": "evaluate run train",
    "classoptions": "ClassOptions",
    "contracts": (
        "Batch Checkpoint DataProtocol Embedder EvalProtocol Evaluation Face FaceDataset Features LossOutput "
        "Preprocess Progress Recipe Renderer Trainer TrainJob fingerprint_of"
    ),
    "embeddings": "Embeddings",
    "errors": ("ConfigError DataError DatasetMissing FacebenchError MetricError MissingExtra PluginError UnknownName"),
    "generators": "Generator GeneratorJob Identities Rendered",
    "hooks": "RunInfo hookimpl",
    "declare": "NoOptions option options",
    "schedules": "TrainerOptions",
    "results": "Curve Data Interval Metric Provenance Result Series Subject",
    "specs": "BackboneSpec DatasetSpec EmbedderSpec GeneratorSpec LossSpec ProtocolSpec ReportSpec TrainerSpec",
}
_HOME = {name: room for room, names in _ROOMS.items() for name in names.split()}

__all__ = [
    "BackboneSpec",
    "Batch",
    "Checkpoint",
    "ClassOptions",
    "ConfigError",
    "Curve",
    "Data",
    "DataError",
    "DataProtocol",
    "DatasetMissing",
    "DatasetSpec",
    "Embedder",
    "EmbedderSpec",
    "Embeddings",
    "EvalProtocol",
    "Evaluation",
    "Face",
    "FaceDataset",
    "FacebenchError",
    "Features",
    "Generator",
    "GeneratorJob",
    "GeneratorSpec",
    "Identities",
    "Interval",
    "LossOutput",
    "LossSpec",
    "Metric",
    "MetricError",
    "MissingExtra",
    "NoOptions",
    "PluginError",
    "Preprocess",
    "Progress",
    "ProtocolSpec",
    "Provenance",
    "Recipe",
    "Rendered",
    "Renderer",
    "ReportSpec",
    "Result",
    "RunInfo",
    "Series",
    "Subject",
    "TrainJob",
    "Trainer",
    "TrainerOptions",
    "TrainerSpec",
    "UnknownName",
    "evaluate",
    "fingerprint_of",
    "hookimpl",
    "option",
    "options",
    "run",
    "train",
]


def __getattr__(name: str) -> Any:
    room = _HOME.get(name)
    if room is None:
        raise AttributeError(f"module 'facebench' has no attribute {name!r}")
    value = getattr(import_module(f"facebench.{room}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME})
