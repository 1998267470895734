"""The demo faces in the layout of each set: what makes the set hard is what its demo pictures differ in.

Pairs compare pictures of a left kind with pictures of a right kind (frontal with turned, young with old), in ten folds
that share no identity. All identities are far above those that trainers see. A demo score says how a method copes with
drawings, in the same spirit as the set and no more.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from facebench.datasets import JoinedFaces
from facebench.demo import Nuisance, identity_parameters
from facebench_verification.altered import AlteredFaces
from facebench_verification.demo import FIRST_IDENTITY, demo_faces, demo_pairs
from facebench_verification.lists.rfw import together
from facebench_verification.lists.view1 import TEST, TRAIN
from facebench_verification.pairs import Pairs

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy.typing as npt

    from facebench import FaceDataset

    Rows = npt.NDArray[np.int64]

FOLDS = 10
_POOL = 2000  # people among whom look-alikes are sought


@dataclass(frozen=True, slots=True)
class Kind:
    """One side of the pairs.

    Attributes:
        nuisance: How strongly its pictures differ.
        changes: Parameters that have one value in all of them.
    """

    nuisance: Nuisance = field(default_factory=Nuisance)
    changes: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Layout:
    """A demo set.

    Attributes:
        left: The first picture of a pair.
        right: The second one.
        people: In each fold.
        images: Of each person and kind.
        matched: Pairs in each fold, and as many mismatched ones.
        alike: Whether mismatched pairs are of people who look alike.
        twins: Whether people are chosen as pairs of look-alikes from many.
        one_kind: Whether both pictures of a mismatched pair are of one kind.
        seed: Another seed is another population.
    """

    left: Kind = field(default_factory=Kind)
    right: Kind = field(default_factory=Kind)
    people: int = 26
    images: int = 2
    matched: int = 100
    alike: bool = False
    twins: bool = False
    one_kind: bool = False
    seed: int = 0


_SHAVEN = {"beard": -1.0, "moustache": -1.0, "sideburns": -4.0}
_BEARDED = {"beard": 0.85, "beard-extent": 0.9, "moustache": 0.85, "sideburns": 10.0}
_CALM = Nuisance(pose=0.4, occlusion=0.0, low_resolution=0.0)

LAYOUTS: dict[str, Layout] = {
    "cfp-ff": Layout(left=Kind(replace(_CALM, pose=0.6)), right=Kind(replace(_CALM, pose=0.6))),
    "cfp-fp": Layout(left=Kind(_CALM), right=Kind(replace(_CALM, turn=40.0))),
    "vgg2-fp": Layout(left=Kind(replace(_CALM, pose=0.8)), right=Kind(Nuisance(turn=30.0, pose=0.8))),
    "agedb-30": Layout(left=Kind(Nuisance(), {"age": 0.0}), right=Kind(Nuisance(), {"age": 1.0})),
    "calfw": Layout(left=Kind(Nuisance(), {"age": 0.1}), right=Kind(Nuisance(), {"age": 0.7})),
    "cplfw": Layout(left=Kind(Nuisance(pose=1.6, turn=10.0)), right=Kind(Nuisance(pose=1.6, turn=10.0))),
    "xqlfw": Layout(
        left=Kind(replace(_CALM, noise=0.3, blur=0.0)),
        right=Kind(Nuisance(low_resolution=1.0, resolution=(12, 24), blur=1.5, noise=2.0)),
    ),
    "sllfw": Layout(alike=True),
    "doppelver": Layout(alike=True, twins=True),
    "hadrian": Layout(left=Kind(changes=_SHAVEN), right=Kind(changes=_BEARDED), one_kind=True),
    "eclipse": Layout(left=Kind(changes={"exposure": -0.6}), right=Kind(changes={"exposure": 0.5}), one_kind=True),
    "lfw-view1": Layout(),
    "ytf": Layout(
        left=Kind(Nuisance(blur=1.5, low_resolution=0.3)),
        right=Kind(Nuisance(blur=1.5, low_resolution=0.3)),
        people=12,
        images=4,
        matched=12,
    ),
}
_GROUPS = 4


def demo_layout(name: str) -> tuple[FaceDataset, Pairs]:
    """Pictures and pairs of the demo set of that name; sets without a layout of their own have LFW's.

    Pairs of ``ytf`` compare folders of frames. Those of ``rfw`` belong to four groups of equal make, so that what lies
    between them is chance.
    """
    if name == "rfw":
        return _groups()
    layout = LAYOUTS.get(name)
    if layout is None:
        drawn = demo_faces()
        return drawn, demo_pairs(drawn)
    faces, pairs = _drawn(layout, videos=name == "ytf")
    if name == "lfw-view1" and pairs.fold is not None:
        pairs = replace(pairs, fold=None, folds=None, group=np.where(pairs.fold < FOLDS * 6 // 10, TRAIN, TEST))
    return faces, pairs


def _groups() -> tuple[FaceDataset, Pairs]:
    """Four groups of one population."""
    names = [f"group-{number + 1}" for number in range(_GROUPS)]
    drawn = {name: _drawn(Layout(people=7, matched=25, seed=number)) for number, name in enumerate(names)}
    listed = {}
    for name, (_, pairs) in drawn.items():
        who, partner = pairs.subjects if pairs.subjects is not None else (pairs.first, pairs.second)
        listed[name] = replace(pairs, subjects=(np.char.add(f"{name} ", who), np.char.add(f"{name} ", partner)))
    faces = JoinedFaces({name: pictures for name, (pictures, _) in drawn.items()}, name="demo")
    return faces, together(listed, dict.fromkeys(names, "demo pairs"))


def _drawn(layout: Layout, *, videos: bool = False) -> tuple[JoinedFaces, Pairs]:
    """Pictures of both kinds, and the pairs of all folds."""
    people = _people(layout)
    sides = {
        side: AlteredFaces(
            people.ravel().tolist(),
            layout.images,
            nuisance=kind.nuisance,
            changes=kind.changes,
            first_image=first,
            seed=layout.seed,
        )
        for side, kind, first in (("left", layout.left, 0), ("right", layout.right, layout.images))
    }
    faces = JoinedFaces(sides, name="demo")
    keys = np.asarray(faces.keys, dtype=np.str_)
    if videos:  # all pictures of one kind of one person
        keys = np.array([str(key).rpartition("/")[0] for key in keys[:: layout.images]], dtype=np.str_)
    return faces, _pairs(layout, people, keys, 1 if videos else layout.images)


def _people(layout: Layout) -> Rows:
    """Who is in each fold, (10, people)."""
    shape = (FOLDS, layout.people)
    if not layout.twins:
        people: Rows = FIRST_IDENTITY + np.arange(FOLDS * layout.people).reshape(shape)
        return people
    pool = FIRST_IDENTITY + np.arange(_POOL)
    duos: list[tuple[int, int]] = []
    taken: set[int] = set()
    for one, other in _nearest(pool, layout.seed):
        if not {one, other} & taken:
            taken |= {one, other}
            duos.append((one, other))
    chosen: Rows = pool[np.array(duos[: FOLDS * layout.people // 2])].reshape(shape)
    return chosen


def _nearest(people: Rows, seed: int) -> list[tuple[int, int]]:
    """Pairs of people, as rows, the most alike first: by distance of their parameters, each on its own scale."""
    values = identity_parameters(people, seed=seed).astype(np.float64)
    values = (values - values.mean(axis=0)) / values.std(axis=0)
    squares = (values**2).sum(axis=1)
    distance = squares[:, None] + squares - 2.0 * values @ values.T
    one, other = np.triu_indices(len(people), k=1)
    # No more than anybody asks for; rounded, since the last bits of a product may differ between machines.
    order = np.argsort(distance[one, other].round(6), kind="stable")[: 20 * len(people)]
    return list(zip(one[order].tolist(), other[order].tolist(), strict=True))


def _pairs(layout: Layout, people: Rows, keys: npt.NDArray[np.str_], each: int) -> Pairs:
    """Ten folds of matched, then mismatched pairs; ``keys`` are those of the left side, then those of the right."""
    # RandomState's stream is frozen by NumPy; a Generator's may change with a version.
    random = np.random.RandomState(20260102 + layout.seed)
    person, side, image = [], [], []
    for fold, members in enumerate(people):
        everybody = np.arange(layout.people)
        matched = _combined(np.stack([everybody, everybody], axis=1), [(0, 1)], each)
        styles = [(0, 0), (1, 1)] if layout.one_kind else [(0, 1), (1, 0)]
        mismatched = _combined(_strangers(layout, members, each), styles, each)
        for who, kind, which in (matched, mismatched):
            chosen = random.permutation(len(who))[: layout.matched]
            person.append(who[chosen] + fold * layout.people)
            side.append(kind[chosen])
            image.append(which[chosen])
    who = np.concatenate(person)
    rows = (np.concatenate(side) * people.size + who) * each + np.concatenate(image)
    names = np.char.add("demo ", people.ravel()[who].astype(np.str_))
    return Pairs(
        first=keys[rows[:, 0]],
        second=keys[rows[:, 1]],
        same=who[:, 0] == who[:, 1],
        subjects=(names[:, 0], names[:, 1]),
        folds=FOLDS,
        lines=np.arange(1, len(rows) + 1),
        fold=np.repeat(np.arange(FOLDS), 2 * layout.matched),
    )


def _strangers(layout: Layout, members: Rows, each: int) -> Rows:
    """Pairs of different people of a fold, (N, 2): all, or as few of the most alike as there must be."""
    if not layout.alike:
        return np.stack(np.triu_indices(len(members), k=1), axis=1)
    needed = -(-layout.matched // (2 * each**2))
    return np.array(_nearest(members, layout.seed)[:needed])


def _combined(duos: Rows, styles: list[tuple[int, int]], each: int) -> tuple[Rows, Rows, Rows]:
    """People, sides and picture numbers of every way to compare the duos, three (N, 2) arrays."""
    duo, style, left, right = (
        grid.ravel()
        for grid in np.meshgrid(np.arange(len(duos)), np.arange(len(styles)), np.arange(each), np.arange(each))
    )
    return duos[duo], np.array(styles)[style], np.stack([left, right], axis=1)
