"""The folder of a generation: what lies where while it is made, and whose it is."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from facebench import __version__
from facebench.datasets.writing import IMAGES, MANIFEST, PREVIEW
from facebench.errors import DataError, FacebenchError
from facebench.store import write_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from facebench.generation.drawing import Drawing

SCHEMA: Final = 1
VECTORS: Final = "identities.npy"
TABLE: Final = "pictures.csv"
_WORK: Final = ".generation"
# How many differences an error names.
_NAMED: Final = 3


@dataclass(frozen=True, slots=True)
class Generated:
    """A data set of faces that belong to nobody.

    Attributes:
        folder: Where it lies; ``facebench.datasets.open_images`` reads it.
        identities: N.
        faces: How many pictures.
        sampling: What the generator noted when it drew the identities.
        means: Of what it noted of each picture, by name; the mean of ``success`` is the share of pictures that are as
            they should be.
        reused: Whether all of it was there already.
    """

    folder: Path
    identities: int
    faces: int
    sampling: Mapping[str, int | float | str]
    means: Mapping[str, float]
    reused: bool

    @property
    def success(self) -> float | None:
        """Share of pictures that are as they should be; None where the generator does not say."""
        return self.means.get("success")


@dataclass(frozen=True, slots=True)
class Place:
    """Paths of a generation.

    Attributes:
        out: The folder that was asked for.
    """

    out: Path

    @property
    def work(self) -> Path:
        """Holds everything until all is there."""
        return self.out / _WORK

    @property
    def asked(self) -> Path:
        """What is being made."""
        return self.work / "asked.json"

    @property
    def own(self) -> Path:
        """The generator's own folder."""
        return self.work / "generator"

    @property
    def drawn(self) -> Path:
        """The identities as they were drawn first."""
        return self.work / "drawn.npy"

    @property
    def sampling(self) -> Path:
        """What was noted of them; there when ``drawn`` is."""
        return self.work / "drawn.json"

    @property
    def ready(self) -> Path:
        """What will be moved to ``out``; complete once it holds a manifest."""
        return self.work / "ready"

    @property
    def shards(self) -> Path:
        """Tars from which RecordIO is written."""
        return self.work / "shards"

    def note(self, block: int) -> Path:
        """What is known of a block; there when its pictures are."""
        return self.work / "blocks" / f"{block:07d}.npz"


def asked_of(drawing: Drawing, described: Mapping[str, Any]) -> dict[str, Any]:
    """The document that says what is made, as JSON gives it back."""
    found: dict[str, Any] = json.loads(json.dumps({"described": dict(described), "drawing": drawing.document}))
    return {"schema": SCHEMA, "facebench": __version__, **found}


def prepare(place: Place, drawing: Drawing, asked: Mapping[str, Any]) -> bool:
    """Whether the generation is there already; makes the folder ready for it otherwise.

    Raises:
        FacebenchError: When the folder holds something else; nothing is written then.
    """
    try:
        found = {entry.name for entry in place.out.iterdir()}
        own = {*drawing.left, VECTORS, TABLE, PREVIEW}
        if MANIFEST in found:
            _check_same(place.out, _document(place.out / MANIFEST), {**asked, "facebench": None})
            if gone := sorted(own - found):
                raise FacebenchError(
                    f"{place.out}: {MANIFEST} is there, {gone[0]} is not; delete the folder to draw anew"
                )
            shutil.rmtree(place.work, ignore_errors=True)
            return True
        begun = place.asked.is_file()
        others = sorted(name for name in found if not name.startswith(".") and not (begun and name in own))
        # Without the document there can only be what a killed process left while writing it.
        others += [] if begun else [f"{_WORK}/{name}" for name in _seen(place.work)]
        if others:
            raise _foreign(place.out, others)
        if begun:
            _check_same(place.out, _document(place.asked), asked)
        else:
            write_text(place.asked, json.dumps(asked, indent=2, ensure_ascii=False) + "\n")
        for folder in (place.own, place.ready, place.note(0).parent):
            folder.mkdir(exist_ok=True)
        _sweep(place)
    except OSError as error:
        raise FacebenchError(f"{place.out}: cannot use the folder: {error.strerror}") from None
    return False


def refuse_foreign(out: Path) -> None:
    """Refuses a folder that holds something else than generated faces, before anything is done for it.

    Raises:
        FacebenchError: Then; or when it cannot be read.
    """
    place = Place(out)
    try:
        found = sorted(entry.name for entry in out.iterdir() if entry.name[0] != ".") if out.exists() else []
    except OSError as error:
        raise FacebenchError(f"{out}: cannot use the folder: {error.strerror}") from None
    if found and _document(out / MANIFEST) is None and not place.asked.is_file():
        raise _foreign(out, found)


def finished(out: Path, *, reused: bool) -> Generated:
    """What lies in a folder.

    Raises:
        DataError: When there is no manifest that can be understood.
    """
    told = _document(out / MANIFEST)
    if told is None:
        raise DataError(f"{out}: no {MANIFEST} of generated faces there; do all processes share that file system?")
    counts = told["drawing"]["identities"], told["faces"]
    return Generated(out, *counts, sampling=told["sampling"], means=told["means"], reused=reused)


def settle(place: Place) -> None:
    """Moves everything to its place, the manifest last, and forgets the way here.

    Raises:
        FacebenchError: When the system refuses.
    """
    try:
        for entry in sorted(place.ready.iterdir(), key=lambda entry: (entry.name == MANIFEST, entry.name)):
            if not entry.name.startswith("."):
                entry.replace(place.out / entry.name)
    except OSError as error:
        raise FacebenchError(f"{place.out}: cannot move the faces there: {error.strerror}") from None
    shutil.rmtree(place.work, ignore_errors=True)


def _foreign(out: Path, others: list[str]) -> FacebenchError:
    return FacebenchError(f"{out}: holds other files ({_some(others)}); choose an empty folder")


def _document(path: Path) -> dict[str, Any] | None:
    """What a file says of a generation; None when it says nothing of one."""
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return told if isinstance(told, dict) and {"schema", "described", "drawing"} <= set(told) else None


def _check_same(out: Path, told: Mapping[str, Any] | None, asked: Mapping[str, Any]) -> None:
    """Refuses a folder of another generation.

    Args:
        out: The folder.
        told: What it says of itself.
        asked: What it should say; None for what does not matter.
    """
    if told is None:
        raise FacebenchError(f"{out}: holds a {MANIFEST} of something else; choose an empty folder")
    there, here = dict(_flat(told)), dict(_flat({key: value for key, value in asked.items() if value is not None}))
    for key in set(there) - set(here):
        if key.split(".")[0] in ("described", "drawing"):
            here[key] = None
    other = [key for key in here if there.get(key) != here[key]]
    if other:
        told_apart = [f"{key.partition('.')[2] or key} is {there.get(key)} there, {here[key]} here" for key in other]
        raise FacebenchError(
            f"{out}: holds other generated faces ({_some(told_apart)}); choose another folder, or delete that one"
        )


def _flat(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """All plain values of a document with the way to each."""
    if isinstance(value, dict) and value:
        for key in value:
            yield from _flat(value[key], f"{name}.{key}" if name else str(key))
    else:
        yield name, value


def _some(words: list[str]) -> str:
    return ", ".join(words[:_NAMED]) + (", ..." if len(words) > _NAMED else "")


def _seen(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir() if entry.name[0] != ".") if folder.is_dir() else []


def _sweep(place: Place) -> None:
    """Removes what a killed process left of a block or a file that it was writing."""
    for folder in (place.work, place.note(0).parent, place.ready, place.ready / IMAGES, place.shards):
        for entry in folder.glob(".*"):
            if entry.is_dir():
                shutil.rmtree(entry, ignore_errors=True)
            else:
                entry.unlink(missing_ok=True)
