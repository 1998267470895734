"""Evaluates what exists already, embeddings or scores, and keeps it where runs are kept.

``facebench.evaluate`` answers with a result; the rooms here also hold on to the per-comparison scores, without which
two results cannot be compared pair by pair.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import numpy as np

from facebench.config import build_options, to_toml
from facebench.contracts import Evaluation, fingerprint_of
from facebench.embeddings import Embeddings
from facebench.errors import DataError
from facebench.measures import auc_metric, dprime_metric, eer_metric, interval_of, roc_figure, tar_metric
from facebench.metrics import bootstrap_intervals, operating_points, roc_curve
from facebench.plan import Choice
from facebench.provenance import provenance
from facebench.results import Data, Result, Subject
from facebench.store import RunFolder, write_text
from facebench.storing import data_of, make_result, store_result

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    import numpy.typing as npt

    from facebench.host import Host
    from facebench.metrics import Roc
    from facebench.results import Metric
    from facebench.scorefiles import PairScores

_SCORES_RULES = {
    "score": "as given, higher is more alike; accepted at or above the threshold",
    "tar@far": "reference: ROC point of nearest FAR, collinear points dropped (scikit-learn); may overshoot the "
    "target. strict: largest FAR not above the target",
    "eer": "root of 1 - x = TAR(x) on the linearly interpolated ROC",
    "auc": "trapezoid over all ROC points, ties count half",
}


@dataclass(frozen=True, slots=True, eq=False)
class Evaluated:
    """A result with everything that is kept beside it.

    Attributes:
        result: The result.
        scores: Per-comparison arrays of equal length.
        settings: What was asked for, as plain values.
    """

    result: Result
    scores: Mapping[str, npt.NDArray[Any]]
    settings: Mapping[str, Any]


def evaluate_embeddings(
    embeddings: Embeddings | Path,
    protocol: str,
    *,
    host: Host,
    data_root: Path | None = None,
    options: Mapping[str, Any] | None = None,
    seed: int = 0,
    subject: str = "",
) -> Evaluated:
    """Evaluates embeddings; no network, no pictures.

    Args:
        embeddings: The embeddings, or an ``.npz`` file that ``Embeddings.load`` reads. Keys must be the protocol's.
        protocol: The protocol's name.
        host: The plugins.
        data_root: Where the protocol's lists lie; None for its demo layout.
        options: The protocol's options.
        seed: For intervals.
        subject: What to call the method; the file's name by default.

    Raises:
        UnknownName: When there is no such protocol.
        ConfigError: When an option cannot be used.
        DataError: When the lists are missing or name a face that has no embedding.
    """
    offer = host.catalog.get("protocols", protocol)
    choice = Choice(offer, build_options(offer.spec.options, options or {}, f"protocol.{protocol}"))
    given = embeddings if isinstance(embeddings, Embeddings) else Embeddings.load(embeddings)
    name = "embeddings" if isinstance(embeddings, Embeddings) else embeddings.name
    built = offer.spec.build(choice.options)
    faces = built.faces(data_root, images=False)
    try:
        evaluation = built.evaluate(given, faces, seed=seed)
    except DataError as error:
        if data_root is not None:
            raise
        raise DataError(
            f"{error}; without a data root {protocol!r} asks for the demo faces: give --data-root"
        ) from None
    result = make_result(
        evaluation,
        choice,
        _subject(subject or name, given.fingerprint, given.vectors.shape[1]),
        data_of(faces, evaluation, demo=data_root is None),
        device="none",
        threads=1,
        seed=seed,
        config=fingerprint_of([choice.resolved, seed, given.fingerprint]),
    )
    origin = name if isinstance(embeddings, Embeddings) else str(embeddings)
    settings = {"embeddings": origin, "protocol": {protocol: choice.resolved}, "seed": seed}
    return Evaluated(result, evaluation.scores, settings)


def evaluate_scores(
    pairs: PairScores,
    name: str,
    *,
    far: Sequence[float] = (1e-2, 1e-3),
    samples: int = 1000,
    seed: int = 0,
    subject: str = "",
) -> Evaluated:
    """Verification figures of scores that somebody else computed.

    Args:
        pairs: The comparisons.
        name: Of the comparisons, for the result.
        far: False accept rates at which TAR is reported.
        samples: Bootstrap replicates; 0 leaves intervals out.
        seed: For intervals.
        subject: What to call the method; ``name`` by default.

    Raises:
        MetricError: When a class is missing, a rate is none, or labels contradict subjects.
    """
    curve = roc_curve(pairs.genuine, pairs.impostor)
    evaluation = Evaluation(
        metrics=_metrics(pairs, curve, far=far, samples=samples, seed=seed),
        curves=(roc_figure(curve),),
        counts={"pairs": len(pairs), "genuine": len(pairs.genuine), "impostor": len(pairs.impostor)},
        rules=_SCORES_RULES,
        warnings=()
        if pairs.subjects is not None
        else ("the scores do not say who is compared: intervals resample pairs and are likely too narrow",),
    )
    weights = hashlib.sha256(np.ascontiguousarray(pairs.score).tobytes()).hexdigest()
    settings = {"scores": name, "far": list(far), "samples": samples, "seed": seed}
    result = Result(
        protocol="scores",
        protocol_distribution="none",
        subject=_subject(subject or name, weights, 0),
        data=Data(name=name, fingerprint=pairs.fingerprint, counts=dict(evaluation.counts)),
        metrics=evaluation.metrics,
        curves=evaluation.curves,
        rules=dict(evaluation.rules),
        warnings=evaluation.warnings,
        provenance=provenance(device="none", threads=1, seed=seed, config=fingerprint_of([settings, weights])),
    )
    columns: dict[str, npt.NDArray[Any]] = {"score": pairs.score, "same": pairs.same}
    columns |= dict(zip(("first", "second"), pairs.faces or (), strict=False))
    columns |= dict(zip(("first_subject", "second_subject"), pairs.subjects or (), strict=False))
    return Evaluated(result, columns, settings)


def keep(evaluated: Evaluated, out: Path) -> Path:
    """Writes a folder as a run's: configuration, figures, scores, and the result last.

    Args:
        evaluated: What to keep.
        out: The folder of runs.

    Returns:
        The new folder, or that of an earlier evaluation of the same.

    Raises:
        FacebenchError: When it cannot be written.
    """
    result = evaluated.result
    config = result.provenance.config
    plugin = result.subject.plugin
    folder = RunFolder.find(out, plugin, config) or RunFolder.new(out, plugin, config, datetime.now())
    write_text(folder.config, to_toml(dict(evaluated.settings)))
    origin = result.provenance.model_copy(update={"run": folder.path.name})
    store_result(result.model_copy(update={"provenance": origin}), evaluated.scores, folder)
    return folder.path


def _subject(name: str, weights: str, size: int) -> Subject:
    kind = "embeddings" if size else "scores"
    return Subject(plugin=kind, distribution="none", model=name, weights=weights or "unknown", embedding_size=size)


def _metrics(pairs: PairScores, curve: Roc, *, far: Sequence[float], samples: int, seed: int) -> tuple[Metric, ...]:
    genuine, impostor = pairs.genuine, pairs.impostor
    spread = None
    if samples:
        generator = np.random.default_rng(seed)
        spread = bootstrap_intervals(
            pairs.score, pairs.same, subjects=pairs.subjects, generator=generator, targets=far, samples=samples
        )
    given = {"score": "given"}
    metrics = [
        auc_metric(genuine, impostor, interval=interval_of(spread.auc) if spread else None, **given),
        eer_metric(curve, interval=interval_of(spread.eer) if spread else None, unit="score", **given),
        dprime_metric(genuine, impostor, **given),
    ]
    for rule in ("reference", "strict"):
        estimates = None if spread is None else spread.tar_reference if rule == "reference" else spread.tar_strict
        for at, point in enumerate(operating_points(genuine, impostor, targets=far, rule=rule)):
            interval = interval_of(estimates[at]) if estimates else None
            metrics.append(tar_metric(point, interval=interval, unit="score", **given))
    return tuple(metrics)
