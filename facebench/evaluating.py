"""Evaluates what exists already, embeddings or scores, and keeps it where runs are kept.

``facebench.evaluate`` answers with a result; the rooms here also hold on to the per-comparison scores, without which
two results cannot be compared pair by pair.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from facebench.config import build_options, to_toml
from facebench.contracts import Evaluation, fingerprint_of
from facebench.embeddings import Embeddings
from facebench.errors import MetricError
from facebench.metrics import auc, bootstrap_intervals, dprime, equal_error_rate, operating_points, roc_curve
from facebench.plan import Choice
from facebench.provenance import provenance
from facebench.results import Curve, Data, Interval, Metric, Result, Series, Subject
from facebench.runner import data_of, make_result
from facebench.store import RunFolder, write_atomic, write_text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    import numpy.typing as npt

    from facebench.host import Host
    from facebench.metrics import IntervalEstimate, OperatingPoint
    from facebench.scorefiles import PairScores

_CURVE_POINTS = 400
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
    path: Path,
    protocol: str,
    *,
    host: Host,
    data_root: Path | None = None,
    options: Mapping[str, Any] | None = None,
    seed: int = 0,
    subject: str = "",
) -> Evaluated:
    """Evaluates a file of embeddings; no network, no pictures.

    Args:
        path: An ``.npz`` file that ``Embeddings.load`` reads. Keys must be the protocol's.
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
    given = Embeddings.load(path)
    built = offer.spec.build(choice.options)
    faces = built.faces(data_root, images=False)
    evaluation = built.evaluate(given, faces, seed=seed)
    result = make_result(
        evaluation,
        choice,
        _subject(subject or path.name, given.fingerprint, given.vectors.shape[1]),
        data_of(faces, evaluation, demo=data_root is None),
        device="none",
        threads=1,
        seed=seed,
        config=fingerprint_of([choice.resolved, seed, given.fingerprint]),
    )
    settings = {"embeddings": str(path), "protocol": {protocol: choice.resolved}, "seed": seed}
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
    evaluation = Evaluation(
        metrics=_metrics(pairs, far=far, samples=samples, seed=seed),
        curves=(_roc(pairs),),
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
    from facebench.figures import draw

    result = evaluated.result
    config = result.provenance.config
    plugin = result.subject.plugin
    folder = RunFolder.find(out, plugin, config) or RunFolder.new(out, plugin, config, datetime.now())
    write_text(folder.config, to_toml(dict(evaluated.settings)))
    for curve in result.curves:
        titled = curve.model_copy(update={"title": f"{result.title}, {result.subject.model}: {curve.title}"})
        draw(titled, folder.figures / f"{result.protocol}-{curve.name}")
    if evaluated.scores:
        arrays: dict[str, Any] = dict(evaluated.scores)
        write_atomic(folder.scores(result.protocol), partial(np.savez, allow_pickle=False, **arrays))
    origin = result.provenance.model_copy(update={"run": folder.path.name})
    write_text(folder.result(result.protocol), result.model_copy(update={"provenance": origin}).to_json())
    return folder.path


def _subject(name: str, weights: str, size: int) -> Subject:
    kind = "embeddings" if size else "scores"
    return Subject(plugin=kind, distribution="none", model=name, weights=weights or "unknown", embedding_size=size)


def _metrics(pairs: PairScores, *, far: Sequence[float], samples: int, seed: int) -> tuple[Metric, ...]:
    genuine, impostor = pairs.genuine, pairs.impostor
    points = {rule: operating_points(genuine, impostor, targets=far, rule=rule) for rule in ("reference", "strict")}
    spread = None
    if samples:
        generator = np.random.default_rng(seed)
        spread = bootstrap_intervals(
            pairs.score, pairs.same, subjects=pairs.subjects, generator=generator, targets=far, samples=samples
        )
    equal = equal_error_rate(genuine, impostor, rule="interpolation")
    ends: dict[str, int | float | str] = {"far": equal.far, "frr": equal.frr, "threshold": equal.threshold}
    metrics = [
        Metric(
            name="auc", value=auc(genuine, impostor), interval=_interval(spread.auc if spread else None), score="given"
        ),
        Metric(
            name="eer",
            value=equal.value,
            rule=equal.rule,
            higher_is_better=False,
            interval=_interval(spread.eer if spread else None),
            score="given",
            detail=ends,
        ),
        _dprime(genuine, impostor),
    ]
    for rule, found in points.items():
        estimates = None if spread is None else spread.tar_reference if rule == "reference" else spread.tar_strict
        for at, point in enumerate(found):
            metrics.append(_tar(point, _interval(estimates[at] if estimates else None)))
    return tuple(metrics)


def _dprime(genuine: npt.NDArray[np.float64], impostor: npt.NDArray[np.float64]) -> Metric:
    try:
        return Metric(name="dprime", value=dprime(genuine, impostor), unit="sd", score="given")
    except MetricError as error:
        return Metric(name="dprime", value=None, unit="sd", score="given", reason=str(error))


def _interval(estimate: IntervalEstimate | None) -> Interval | None:
    if estimate is None:
        return None
    return Interval(
        low=estimate.low, high=estimate.high, level=estimate.level, method=estimate.method, samples=estimate.samples
    )


def _tar(point: OperatingPoint, interval: Interval | None) -> Metric:
    mantissa, exponent = f"{point.target:e}".split("e")
    name = f"tar@far={mantissa.rstrip('0').rstrip('.')}e{int(exponent)}"
    if not point.resolved:
        reason = f"FAR {point.target:g} is below what {point.impostors:,} impostor pairs resolve"
        return Metric(name=name, value=None, rule=point.rule, reason=reason, score="given")
    detail: dict[str, int | float | str] = {
        "far": point.far,
        "threshold": point.threshold,
        "accepted impostors": point.accepted_impostors,
        "impostors": point.impostors,
    }
    return Metric(name=name, value=point.tar, rule=point.rule, interval=interval, score="given", detail=detail)


def _roc(pairs: PairScores) -> Curve:
    """TAR against FAR on a logarithmic axis, from half an impostor on, thinned."""
    found = roc_curve(pairs.genuine, pairs.impostor, drop_collinear=True)
    shown = found.far > 0
    x = np.concatenate([[0.5 / len(pairs.impostor)], found.far[shown]])
    y = np.concatenate([[float(found.tar[~shown].max(initial=0.0))], found.tar[shown]])
    if len(x) > _CURVE_POINTS:
        places = np.searchsorted(x, np.geomspace(x[0], x[-1], _CURVE_POINTS))
        keep_ = np.unique([0, *np.minimum(places, len(x) - 1), len(x) - 1])
        x, y = x[keep_], y[keep_]
    return Curve(
        name="roc",
        title="ROC",
        kind="step",
        x_label="false accept rate",
        y_label="true accept rate",
        x_scale="log",
        series=(Series(name="ROC", x=tuple(x.tolist()), y=tuple(y.tolist())),),
    )
