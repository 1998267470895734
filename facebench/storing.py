"""From an evaluation to a stored result: subject and provenance added, figures drawn, everything in its place."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from facebench.demo import DEMO_VERSION
from facebench.provenance import provenance
from facebench.results import Data, Result
from facebench.store import write_atomic, write_text

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy.typing as npt

    from facebench.contracts import Evaluation, FaceDataset
    from facebench.plan import Choice
    from facebench.results import Subject
    from facebench.store import RunFolder


def make_result(evaluation: Evaluation, choice: Choice, subject: Subject, data: Data, **origin: object) -> Result:
    """An evaluation with subject and provenance, as it is stored."""
    plugin = choice.offer.plugin
    return Result(
        protocol=choice.name,
        protocol_distribution=f"{plugin.distribution} {plugin.version}",
        subject=subject,
        data=data,
        metrics=evaluation.metrics,
        curves=evaluation.curves,
        folds={name: tuple(values) for name, values in evaluation.folds.items()},
        rules=dict(evaluation.rules),
        warnings=evaluation.warnings,
        provenance=provenance(**origin),  # type: ignore[arg-type]
    )


def data_of(faces: FaceDataset, evaluation: Evaluation, *, demo: bool) -> Data:
    """What a result says of its data."""
    return Data(
        name=faces.name,
        demo=demo,
        version=DEMO_VERSION if demo else "",
        fingerprint=faces.fingerprint,
        counts={"images": len(faces), **evaluation.counts},
    )


def store_result(result: Result, scores: Mapping[str, npt.NDArray[Any]], folder: RunFolder) -> None:
    """Stores figures and scores first, the result last: what has a result is complete.

    Args:
        result: The result.
        scores: Per-comparison arrays, kept beside it.
        folder: Where.
    """
    from facebench.figures import draw

    for curve in result.curves:
        titled = curve.model_copy(update={"title": f"{result.title}, {result.subject.plugin}: {curve.title}"})
        draw(titled, folder.figures / f"{result.protocol}-{curve.name}")
    if scores:
        arrays: dict[str, Any] = dict(scores)
        write_atomic(folder.scores(result.protocol), partial(np.savez, **arrays))
    write_text(folder.result(result.protocol), result.to_json())
