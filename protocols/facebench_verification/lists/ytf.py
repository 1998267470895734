"""YouTube Faces: ``splits.txt``, pairs of videos.

A line is ``1, 251, Edgar_Savisaar/1, Ray_Wasden/0, 0``: fold, number within it, two videos, 1 for the same person. Read
from a public copy of the file; the official one may begin with a line of column names and hold further columns. So the
first field is taken for the fold, the two fields with a slash for the videos and the last for the truth, whatever else
stands between. ``splits_corrected.txt`` has the same form.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from facebench import DataError
from facebench_verification.lists.reading import PairList, number_in, read_lines

if TYPE_CHECKING:
    from pathlib import Path

    from facebench_verification.pairs import Pairs


def read_ytf(path: Path) -> Pairs:
    """Reads pairs of videos; a video's key is its folder, ``Ray_Wasden/0``.

    Raises:
        DataError: When a line does not fit.
    """
    lines = read_lines(path)
    if number_in(lines[0][1].split(",")[0].strip()) is None:
        lines = lines[1:]
    listed = PairList(path)
    for line, text in lines:
        fields = [field.strip() for field in text.split(",")]
        videos = [field.strip("/") for field in fields if "/" in field]
        fold = number_in(fields[0])
        if fold is None or len(videos) != 2 or fields[-1] not in ("0", "1"):
            raise DataError(f"{path}, line {line}: expected 'fold, number, name/n, name/n, 0|1', found {text[:80]!r}")
        people = (videos[0].rpartition("/")[0], videos[1].rpartition("/")[0])
        if (people[0] == people[1]) != (fields[-1] == "1"):
            raise DataError(f"{path}, line {line}: {videos[0]} and {videos[1]} contradict the label {fields[-1]}")
        listed.add((videos[0], videos[1]), same=fields[-1] == "1", line=line, people=people, fold=fold)
    return listed.pairs()
