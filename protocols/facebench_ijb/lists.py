"""What the lists of a Janus benchmark say, whatever files they came from: rows, templates, pairs, galleries, probes.

Templates are numbered 0..T-1 in ascending order of their ids, and everything refers to these numbers.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from facebench import DataError
from facebench.metrics import linked_subjects

if TYPE_CHECKING:
    from pathlib import Path

    import numpy.typing as npt

    Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """Which picture belongs to which template and media: one row for each picture in each template.

    Attributes:
        keys: The pictures, each once, str (F,).
        face: Picture of each row, int64 (R,).
        template: Template number of each row, int64 (R,).
        media: Media number of each row, int64 (R,); it counts within its template only.
        faceness: Detector score of each row, float32 (R,), or None when the lists have none.
        ids: Id of each template, ascending, int64 (T,).
    """

    keys: npt.NDArray[np.str_]
    face: Ints
    template: Ints
    media: Ints
    faceness: npt.NDArray[np.float32] | None
    ids: Ints


@dataclass(frozen=True, slots=True, eq=False)
class Pairs:
    """Templates to compare, by number: int32 (P,) each, and whether both are one person."""

    first: npt.NDArray[np.int32]
    second: npt.NDArray[np.int32]
    same: npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Side:
    """Templates of a gallery or of probes.

    Attributes:
        name: Such as ``G1``.
        templates: Template numbers, int64 (N,).
        subjects: Who each is, ids as in the lists, int64 (N,).
    """

    name: str
    templates: Ints
    subjects: Ints


@dataclass(frozen=True, eq=False)
class Lists:
    """A benchmark.

    Attributes:
        name: The data set.
        rows: Pictures, templates and media.
        pairs: The 1:1 protocol, or None when its lists are not there.
        galleries: The 1:N protocol's galleries; empty when its lists are not there.
        probes: The probes of all galleries, or None.
        warnings: What a reader must know, such as which lists are missing.
        owner: Subject id of each template, (T,), where every list names subjects.
    """

    name: str
    rows: Rows
    pairs: Pairs | None = None
    galleries: tuple[Side, ...] = ()
    probes: Side | None = None
    warnings: tuple[str, ...] = ()
    owner: Ints | None = None

    @cached_property
    def subjects(self) -> Ints:
        """Number of the subject of each template, (T,); -1 where the lists do not say.

        The 1:N lists and NIST's name subjects. Without them subjects follow from the genuine pairs, since each joins
        two templates of one person: all that is joined is one subject.
        """
        if self.owner is not None:
            return np.unique(self.owner, return_inverse=True)[1].astype(np.int64)
        count = len(self.rows.ids)
        named = np.full(count, -1, dtype=np.int64)
        for side in (*self.galleries, *((self.probes,) if self.probes is not None else ())):
            named[side.templates] = side.subjects
        if (named < 0).all() and self.pairs is not None:
            return self._linked(self.pairs)
        known = named >= 0
        named[known] = np.unique(named[known], return_inverse=True)[1]
        return named

    @cached_property
    def contradictions(self) -> int:
        """Pairs whose label disagrees with the subjects of their templates."""
        return _contradictions(self.pairs, self.subjects) if self.pairs is not None else 0

    @cached_property
    def people(self) -> Ints | None:
        """Subject of each template, (T,), in agreement with every pair, for resampling; None if there is no such thing.

        Where the lists name no subject for some template, or one that a label contradicts, genuine pairs are followed.
        """
        if self.pairs is None or ((self.subjects >= 0).all() and not self.contradictions):
            return self.subjects
        linked = self._linked(self.pairs)
        return None if _contradictions(self.pairs, linked) else linked

    def _linked(self, pairs: Pairs) -> Ints:
        return linked_subjects(pairs.first, pairs.second, pairs.same, templates=len(self.rows.ids))

    @cached_property
    def digest(self) -> str:
        """Hash of everything the lists say."""
        digest = hashlib.sha256(b"facebench templates 1\0")
        digest.update("\0".join(self.rows.keys.tolist()).encode("utf-8", "surrogateescape"))
        arrays: list[npt.NDArray[np.generic]] = [self.rows.face, self.rows.template, self.rows.media, self.rows.ids]
        if self.rows.faceness is not None:
            arrays.append(self.rows.faceness)
        if self.pairs is not None:
            arrays += [self.pairs.first, self.pairs.second, self.pairs.same]
        for side in (*self.galleries, *((self.probes,) if self.probes is not None else ())):
            arrays += [side.templates, side.subjects]
        for array in arrays:
            digest.update(f"\0{array.dtype.str} {array.shape}".encode())
            digest.update(np.ascontiguousarray(array).data)
        return digest.hexdigest()


def _contradictions(pairs: Pairs, subjects: Ints) -> int:
    first, second = subjects[pairs.first], subjects[pairs.second]
    known = (first >= 0) & (second >= 0)
    return int(np.count_nonzero(((first == second) != pairs.same) & known))


def numbered(ids: Ints, wanted: npt.NDArray[np.integer], path: Path, *, first_line: int, what: str) -> Ints:
    """The number of each template id.

    Args:
        ids: All ids, ascending, (T,).
        wanted: Ids of a list, (N,).
        path: That list, for the message.
        first_line: The line that ``wanted[0]`` stands in.
        what: The list that should have named them, for the message.

    Raises:
        DataError: Naming file and line of the first id that has no pictures.
    """
    found = np.minimum(np.searchsorted(ids, wanted), len(ids) - 1)
    absent = ids[found] != wanted
    if absent.any():
        at = int(np.argmax(absent))
        raise DataError(
            f"{path}, line {at + first_line}: template {int(wanted[at])} has no pictures in {what} "
            f"({len(np.unique(wanted[absent]))} templates have none); are all files of one release and complete?"
        )
    return found


def side(name: str, path: Path, templates: Ints, subjects: Ints, ids: Ints, *, first_line: int, what: str) -> Side:
    """A gallery or the probes from a list with one line for each picture.

    Raises:
        DataError: When a template has two subjects, or no pictures.
    """
    numbers = numbered(ids, templates, path, first_line=first_line, what=what)
    distinct, first, back = np.unique(numbers, return_index=True, return_inverse=True)
    owner = subjects[first]
    wrong = np.flatnonzero(subjects != owner[back])
    if wrong.size:
        at = int(wrong[0])
        raise DataError(
            f"{path}, line {at + first_line}: template {int(templates[at])} is of subject {int(subjects[at])} here and "
            f"of subject {int(owner[back[at]])} before"
        )
    if (owner < 0).any():
        at = int(np.flatnonzero(subjects < 0)[0])
        raise DataError(f"{path}, line {at + first_line}: a subject id is below 0")
    return Side(name, distinct, owner)


def check_gallery(gallery: Side, path: Path, ids: Ints) -> None:
    """A gallery holds one template of each subject; rank and TPIR mean nothing otherwise.

    Raises:
        DataError: Naming two templates of one subject.
    """
    people, counts = np.unique(gallery.subjects, return_counts=True)
    if counts.max() > 1:
        who = int(people[np.argmax(counts)])
        twice = ids[gallery.templates[gallery.subjects == who]][:2]
        raise DataError(f"{path}: subject {who} has several templates in one gallery, {twice[0]} and {twice[1]}")


def labelled_pairs(path: Path, columns: tuple[npt.NDArray[np.int32], ...], ids: Ints, *, what: str) -> Pairs:
    """Pairs from a list of template, template and a label that is 1 for the same person.

    Raises:
        DataError: When a template has no pictures, a label is neither 0 nor 1, or all labels are equal.
    """
    left, right, label = columns
    if int(label.max()) > 1:
        at = int(np.argmax(label > 1))
        raise DataError(f"{path}, line {at + 1}: the label must be 0 or 1, found {int(label[at])}")
    same = label.astype(np.bool_)
    return Pairs(_looked_up(path, left, ids, what), _looked_up(path, right, ids, what), same)


def _looked_up(path: Path, wanted: npt.NDArray[np.int32], ids: Ints, what: str) -> npt.NDArray[np.int32]:
    """Template numbers of millions of ids: by a table where the ids are small, else by search."""
    most = int(ids[-1])
    if int(ids[0]) < 0 or most > max(1 << 22, 64 * len(ids)):
        return numbered(ids, wanted, path, first_line=1, what=what).astype(np.int32)
    table = np.full(most + 2, -1, dtype=np.int32)
    table[ids] = np.arange(len(ids), dtype=np.int32)
    numbers: npt.NDArray[np.int32] = table[np.minimum(wanted, most + 1)]
    if (numbers < 0).any():
        numbered(ids, wanted, path, first_line=1, what=what)
    return numbers
