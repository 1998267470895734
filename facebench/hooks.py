"""The thirteen hooks: everything a package can add to facebench, or be told by it.

A plugin is a module found under the entry-point group ``facebench``. It imports ``hookimpl`` and defines some of the
functions below:

    from facebench import LossSpec, hookimpl

    @hookimpl
    def facebench_losses():
        return [LossSpec(name="adaface", summary="...", options=AdaFaceOptions, build=build)]

**Offers** have plural names and return an iterable of specs. They are called once, when the host starts, so they must
be quick: no torch, no data, no network; the heavy import belongs into the spec's ``build``. What an offer raises is
reported under the plugin's name and costs only that plugin its place.

**Tellings** have names in the past tense and return nothing. They are for loggers and trackers. What a telling raises
is logged as a warning and never stops a run. A plugin may leave out arguments that it does not need.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pluggy

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from facebench.results import Result
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

GROUP = "facebench"
hookspec = pluggy.HookspecMarker(GROUP)
hookimpl = pluggy.HookimplMarker(GROUP)


@dataclass(frozen=True, slots=True)
class RunInfo:
    """What tellings learn of a run.

    Attributes:
        plugin: The method's name.
        protocols: The protocols asked for.
        folder: The run's folder; a tracker may write below it, in a folder of its own.
        config: The resolved configuration as plain values.
        fingerprint: The hash that names the run.
    """

    plugin: str
    protocols: tuple[str, ...]
    folder: Path
    config: Mapping[str, Any]
    fingerprint: str


@hookspec
def facebench_backbones() -> Iterable[BackboneSpec]:  # type: ignore[empty-body]
    """Offers networks, chosen with ``--backbone NAME``.

    ``build(options)`` returns an ``nn.Module`` with ``embedding_size`` whose ``forward(images)`` takes float
    (N, 3, height, width), preprocessed as the spec says, and returns ``Features`` with raw vectors (N, D).
    """


@hookspec
def facebench_losses() -> Iterable[LossSpec]:  # type: ignore[empty-body]
    """Offers losses, chosen with ``--loss NAME``.

    ``build(num_classes, embedding_size, options)`` returns an ``nn.Module`` that owns its class centres; its
    ``forward(batch, features)`` returns ``LossOutput(total, terms)``.
    """


@hookspec
def facebench_trainers() -> Iterable[TrainerSpec]:  # type: ignore[empty-body]
    """Offers ways to train, chosen with ``--plugin NAME``; the spec names a default backbone and loss.

    ``build(options)`` returns a ``Trainer``: ``fit(job)`` trains or continues and returns a ``Checkpoint``. Most
    methods need only ``facebench.training.ClassifierTrainer`` here.
    """


@hookspec
def facebench_embedders() -> Iterable[EmbedderSpec]:  # type: ignore[empty-body]
    """Offers readers of pretrained weights, chosen with ``--plugin NAME --weights FILE``.

    ``build(path, options)`` returns an ``Embedder``: uint8 RGB pictures in, ``Features`` of numpy arrays out.
    """


@hookspec
def facebench_generators() -> Iterable[GeneratorSpec]:  # type: ignore[empty-body]
    """Offers generators of faces, chosen with ``--plugin NAME``.

    ``build(options, drawing)`` returns a ``Generator``: ``fit``, ``load``, ``identities`` and ``render``.
    """


@hookspec
def facebench_datasets() -> Iterable[DatasetSpec]:  # type: ignore[empty-body]
    """Offers training sets, chosen with ``--train-data NAME``; a path there needs no offer.

    ``build(path, options)`` returns a ``FaceDataset`` whose labels run from 0 to C-1.
    """


@hookspec
def facebench_protocols() -> Iterable[ProtocolSpec]:  # type: ignore[empty-body]
    """Offers evaluations, chosen with ``--protocol NAME``.

    ``build(options)`` returns an ``EvalProtocol``: ``faces(root)`` opens what is to be embedded, ``evaluate(embeddings,
    faces, seed=...)`` turns embeddings into an ``Evaluation``. It never sees a network or a device.
    """


@hookspec
def facebench_reports() -> Iterable[ReportSpec]:  # type: ignore[empty-body]
    """Offers report formats, chosen with ``facebench report --format NAME``.

    ``build(options)`` returns a ``Renderer``: ``render(results, out)`` writes below ``out`` and returns the files.
    """


@hookspec
def facebench_run_started(run: RunInfo) -> None:
    """Told when a run has its folder and its resolved configuration, before any work."""


@hookspec
def facebench_epoch_ended(run: RunInfo, epoch: int, values: Mapping[str, float]) -> None:
    """Told after each epoch of a training, counted from 1, with its mean loss, parts, rate and images per second.

    A resumed training tells only the epochs that it runs itself.
    """


@hookspec
def facebench_result_ready(run: RunInfo, result: Result) -> None:
    """Told of each result once it is stored with its figures and scores, or found stored and still valid."""


@hookspec
def facebench_run_ended(run: RunInfo, results: Sequence[Result]) -> None:
    """Told when all protocols of a run have their results. A run that fails or is killed is not told of."""


@hookspec
def facebench_report_written(results: Sequence[Result], files: Sequence[Path]) -> None:
    """Told when a report has been written, with the files in it."""
