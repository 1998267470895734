"""What a reader must know before trusting the numbers, how many there were of everything, and what is kept of each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from facebench_separability import rules, thresholds
from facebench_separability.parts import BESIDE, DATA, REFERENCE, JudgedFaces

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import numpy.typing as npt

    from facebench import FaceDataset
    from facebench_separability.options import SeparabilityOptions
    from facebench_separability.sides import Shown, Side
    from facebench_separability.thresholds import Threshold

WORDS = {DATA: "judged", BESIDE: "beside"}


def warnings_of(
    faces: FaceDataset, shown: Mapping[str, Shown], sides: Mapping[str, Side], levels: Sequence[Threshold]
) -> Iterator[str]:
    """What to be careful about.

    Args:
        faces: All of them.
        shown: Whom each part shows.
        sides: What was measured.
        levels: The thresholds.
    """
    if isinstance(faces, JudgedFaces) and faces.unlabelled:
        yield f"{faces.unlabelled:,} faces without a label were left out"
    beside = sides.get(BESIDE)
    yield thresholds.warning(levels, "real people (beside)" if beside else "the set itself")
    if beside is None and any(not one.fixed and one.value is not None for one in levels):
        name = next(one.name for one in levels if not one.fixed)
        yield (
            f"the threshold at {name} is from impostor pairs of the judged set itself: where its identities are too "
            "alike, that raises the threshold and hides it"
        )
    for part, side in sides.items():
        counts = side.within.counts
        single, name = int(np.count_nonzero(counts == 1)), WORDS[part]
        if single:
            yield (
                f"{single:,} of {len(counts):,} {name} identities have a single face: they are their own mean, have no "
                "genuine pair, and count as consistent"
            )
    if beside and beside.count < sides[DATA].count:
        yield (
            f"there are only {beside.count:,} people beside {sides[DATA].count:,} judged identities: compare counts at "
            "equal size, as the detail of the metrics that end in -beside has them"
        )
    dimensions = sides[DATA].centres.shape[1]
    for part, one in shown.items():
        if len(shown) > 1 and len(one.groups.rows) <= dimensions:
            yield (
                f"the Frechet distance rests on {len(one.groups.rows):,} faces ({part}) in {dimensions} dimensions: "
                "too few to know how they are spread"
            )


def counts_of(shown: Mapping[str, Shown], sides: Mapping[str, Side]) -> dict[str, int]:
    """Identities, faces and pairs of each part; of the judged one alone, its faces are those that any result counts."""
    found = {}
    for part, one in shown.items():
        end = "" if part == DATA else f" ({part})"
        found[f"identities{end}"] = len(one.people.names)
        if len(shown) > 1:
            found[f"faces{end}"] = len(one.groups.rows)
    for part, side in sides.items():
        end = "" if part == DATA else f" ({part})"
        for kind, pairs in (("genuine", side.scores.genuine_pairs), ("impostor", side.scores.impostor_pairs)):
            found[f"{kind} pairs{end}"] = len(pairs.first)
    return found


def rules_of(shown: Mapping[str, Shown], options: SeparabilityOptions) -> dict[str, str]:
    """How the numbers of this evaluation are made."""
    found = {**rules.RULES, "identity": rules.MEANS[options.means]}
    if BESIDE in shown:
        found["-beside"] = rules.BESIDE
    others = [part for part in (BESIDE, REFERENCE) if part in shown]
    if others:
        found["frechet-distance"] = rules.FRECHET
    if REFERENCE in shown:
        most = options.reference_images
        images = f"At most {most} faces make the mean of a reference identity." if most else ""
        found["leakage, nearest-reference"] = rules.LEAKAGE.format(images=images)
    return found


def scores_of(side: Side) -> dict[str, npt.NDArray[Any]]:
    """One row an identity, so that two evaluations can be compared identity by identity."""
    return {
        "identity": side.shown.people.names,
        "faces": side.within.counts,
        "previous": side.near.previous,
        "nearest": side.near.nearest,
        "pairwise": side.within.pairwise,
        "to_centre": side.within.to_centre,
        "left_out": side.within.left_out,
    }
