"""People who do not exist: vectors drawn from the distribution of the training identities, none too alike.

A normal distribution is fitted to the means of the identities' raw vectors, pictures not normalised first. (The paper
speaks of PCA; keeping all components, as it does, this is the same.) Candidates come in blocks, each with random
numbers of its own; a greedy filter takes those that are far enough from all taken before. What is taken goes to the
disk at once, so that a killed drawing continues, and the first n of more identities are those of n.
"""

from __future__ import annotations

import hashlib
import json
import os
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from facebench import DataError, FacebenchError, Identities, fingerprint_of
from facebench.metrics import moments
from facebench.store import write_text
from facebench_vec2face.drawing import CANDIDATES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    import numpy.typing as npt

    from facebench import Progress
    from facebench_vec2face.drawing import DrawingOptions

    Singles = npt.NDArray[np.float32]
    Doubles = npt.NDArray[np.float64]

BLOCK: Final = 1024
"""Candidates that are drawn together; another number would give other people."""
PATIENCE, LEAST = 20, 0.01
"""A drawing is given up when of the candidates of so many blocks in a row a smaller share than this was taken."""

VECTORS, NOTES = "identities.f32", "identities.json"
_SCHEMA = 1


@dataclass(frozen=True, slots=True, eq=False)
class Statistics:
    """A normal distribution of identity vectors.

    Attributes:
        mean: float64 (D,).
        covariance: float64 (D, D), symmetric; singular where identities were fewer than dimensions.
        people: Identities it was fitted to.
    """

    mean: Doubles
    covariance: Doubles
    people: int

    @property
    def directions(self) -> float:
        """How many independent directions unit vectors of this distribution have: 1 / E(cosine^2), about.

        It is ``(tr S)^2 / tr(S^2)`` with S the second moments, and decides how often two of many are alike.
        """
        moments = self.covariance + np.outer(self.mean, self.mean)
        return float(np.trace(moments) ** 2 / max(float((moments * moments).sum()), np.finfo(np.float64).tiny))

    def root(self, shrinkage: float = 0.0) -> Doubles:
        """The symmetric root R of the covariance, (D, D): ``mean + R z`` has this distribution for z ~ N(0, I).

        Any factor would do; this one is unique, whatever signs and turns a machine gives the eigenvectors.

        Args:
            shrinkage: Share of the covariance that gives way to ``I tr(covariance) / D``.
        """
        size = len(self.mean)
        mixed = (1 - shrinkage) * self.covariance
        mixed[np.diag_indices(size)] += shrinkage * np.trace(self.covariance) / size
        values, vectors = np.linalg.eigh(mixed)
        values[values < size * np.finfo(np.float64).eps * values[-1]] = 0
        root: Doubles = (vectors * np.sqrt(values)) @ vectors.T
        return (root + root.T) / 2


def isotropic(size: int) -> Statistics:
    """N(0, 1) in each of ``size`` coordinates."""
    return Statistics(np.zeros(size), np.eye(size), 0)


def fit(vectors: npt.NDArray[np.floating]) -> Statistics:
    """The normal distribution of some vectors (N, D), such as the means of identities, with divisor N - 1.

    Raises:
        DataError: When there are fewer than two vectors, all are the same, or one is not finite.
    """
    if len(vectors) < 2:
        raise DataError(f"a distribution of identities needs at least two of them, found {len(vectors)}")
    if not np.isfinite(vectors).all():
        raise DataError("the vectors of the training identities hold NaN or infinity; the extractor cannot be used")
    found = moments(vectors)
    if not found.covariance.any():
        raise DataError("the vectors of the training identities are all the same; the extractor cannot be used")
    return Statistics(found.mean, found.covariance, found.count)


def candidates(statistics: Statistics, root: Doubles, *, block: int, seed: int) -> Singles:
    """A block of candidates, float32 (1024, D): what it holds follows from seed and number."""
    random = np.random.default_rng((seed, CANDIDATES, block))
    drawn: Doubles = random.standard_normal((BLOCK, len(root))) @ root + statistics.mean
    return drawn.astype(np.float32)


def draw_identities(
    statistics: Statistics,
    count: int,
    *,
    chosen: DrawingOptions,
    seed: int,
    folder: Path,
    progress: Progress,
    device: str = "cpu",
) -> Identities:
    """Draws identities, or continues what an interrupted call left; the result is the same to the bit.

    The order decides what a greedy filter takes: a candidate falls to an earlier one that was taken, to no other. What
    is found stays in ``folder``, for more identities later; the caller keeps other processes away from it. Beside what
    was taken, memory holds a few blocks.

    Args:
        statistics: Of the training identities; for isotropic sampling only its size counts.
        count: N.
        chosen: Sampling, filter and threshold.
        seed: Decides which.
        folder: For ``identities.f32`` (float32, little-endian, one vector after another) and notes.
        progress: For a bar.
        device: Where the filter multiplies, as torch spells it.

    Returns:
        The vectors, as a read-only map of the file, and notes. These count whole blocks of candidates.

    Raises:
        DataError: When hardly a candidate is left that is not too alike, when the files are damaged, or when the folder
            holds identities of other statistics, options or another seed.
        FacebenchError: When the folder cannot be written.
    """
    source = isotropic(len(statistics.mean)) if chosen.sampling == "isotropic" else statistics
    size = len(source.mean)
    threshold = chosen.threshold_for(size)
    found = _Found(folder, size, _key(source, chosen, seed))
    with progress.bar(count, "drawing identities", unit="identity", start=min(found.total, count)) as bar:
        if found.total < count:
            root = source.root(chosen.shrinkage)
            admit = _filter(chosen.filter, threshold, size, device, found.vectors(found.total))
            while found.total < count:
                found.check(count, threshold, source.directions)
                drawn = candidates(source, root, block=len(found.counts), seed=seed)
                before = found.total
                found.append(drawn[admit(drawn)])
                bar.advance(min(found.total, count) - min(before, count))
    seen = found.candidates(count)
    taken = sum(found.counts[: seen // BLOCK])
    notes = {
        "candidates": seen,
        "rejected": seen - taken,
        "rejected share": (seen - taken) / seen if seen else 0.0,
        "threshold": threshold if chosen.filter else "off",
        "directions": source.directions,
    }
    return Identities(found.vectors(count), notes)


def _key(source: Statistics, chosen: DrawingOptions, seed: int) -> str:
    """A hash of all that decides the vectors but their number."""
    digest = hashlib.sha256(source.mean.tobytes() + source.covariance.tobytes()).hexdigest()
    threshold = chosen.threshold_for(len(source.mean)) if chosen.filter else 1.0
    return fingerprint_of([digest, chosen.shrinkage, chosen.filter, threshold, seed, BLOCK])


def _filter(
    wanted: bool, threshold: float, size: int, device: str, accepted: Singles
) -> Callable[[Singles], npt.NDArray[np.bool_]]:
    """What tells of each candidate of a block whether it is taken."""
    if not wanted:
        return lambda drawn: np.ones(len(drawn), dtype=np.bool_)
    from facebench.metrics.packing import GreedyFilter

    return GreedyFilter(threshold, size=size, device=device, accepted=accepted).admit


class _Found:
    """Vectors taken so far, on the disk, and how many each block gave.

    The notes are replaced after the vectors of their last block are on the disk, and rule: what a killed process left
    behind them is cut off.
    """

    def __init__(self, folder: Path, size: int, key: str) -> None:
        self._vectors, self._notes = folder / VECTORS, folder / NOTES
        self._size, self._key = size, key
        self.counts: list[int] = self._read() if self._notes.is_file() else []
        self.total = sum(self.counts)
        with self._writing():
            if not self.counts:
                folder.mkdir(parents=True, exist_ok=True)
                self._vectors.touch()
            if self._vectors.stat().st_size != self.total * size * 4:
                os.truncate(self._vectors, self.total * size * 4)

    def _read(self) -> list[int]:
        try:
            notes: dict[str, Any] = json.loads(self._notes.read_text(encoding="utf-8"))
            if notes["schema_number"] != _SCHEMA:
                raise ValueError(f"schema {notes['schema_number']} instead of {_SCHEMA}")
            key, counts = str(notes["key"]), [int(taken) for taken in notes["taken"]]
            if min(counts, default=0) < 0 or self._vectors.stat().st_size < sum(counts) * self._size * 4:
                raise ValueError(f"{VECTORS} is shorter than the notes say")
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DataError(
                f"{self._notes}: the identities drawn so far cannot be read: {error}; delete both to draw them again"
            ) from None
        if key != self._key:
            raise DataError(
                f"{self._vectors.parent} holds identities of another generator, seed or other options; use another "
                f"folder, or delete {VECTORS} and {NOTES}"
            )
        return counts

    def append(self, rows: Singles) -> None:
        """Keeps what a block gave."""
        with self._writing(), self._vectors.open("ab") as file:
            file.write(np.ascontiguousarray(rows, dtype="<f4").data)
            file.flush()
            os.fsync(file.fileno())
        self.counts.append(len(rows))
        self.total += len(rows)
        write_text(self._notes, json.dumps({"schema_number": _SCHEMA, "key": self._key, "taken": self.counts}))

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """Says in one line what the system refuses."""
        try:
            yield
        except OSError as error:
            raise FacebenchError(f"cannot write {self._vectors}: {error.strerror or error}") from error

    def vectors(self, count: int) -> Singles:
        """The first ones, (count, D), as a read-only map."""
        if not count:
            return np.empty((0, self._size), dtype=np.float32)
        return np.memmap(self._vectors, dtype="<f4", mode="r", shape=(count, self._size))

    def candidates(self, count: int) -> int:
        """How many candidates the first ``count`` were found among, in whole blocks."""
        reached = np.cumsum([0, *self.counts])
        return int(np.searchsorted(reached, count)) * BLOCK

    def check(self, count: int, threshold: float, directions: float) -> None:
        """Gives up where there is hardly room left.

        Raises:
            DataError: Then.
        """
        taken = sum(self.counts[-PATIENCE:])
        if len(self.counts) >= PATIENCE and taken < LEAST * PATIENCE * BLOCK:
            raise DataError(
                f"only {self.total:,} of {count:,} identities were found: of the last {PATIENCE * BLOCK:,} candidates "
                f"{taken} had a cosine of at most {threshold:.3g} to all identities before, and the vectors spread in "
                f"about {directions:.0f} directions; raise generation.threshold, ask for fewer, train on more "
                "identities, or set generation.filter=false"
            )
