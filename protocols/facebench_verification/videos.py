"""Videos compared with videos: the faces are frames, and a video's vector is pooled from theirs."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Literal

import numpy as np

from facebench import DataError, Face
from facebench.metrics import fuse, xnorm

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    import numpy.typing as npt

    from facebench import Embeddings, FaceDataset
    from facebench_verification.numbers import Mirror
    from facebench_verification.pairs import Pairs

Pooling = Literal["mean", "unit-mean"]
_LAST_NUMBER = re.compile(r"([0-9]+)[^0-9]*$")


class VideoFaces:
    """A ``FaceDataset`` of the frames of all videos that a list of pairs names.

    A video's key is a folder (``Ray_Wasden/0``), its frames are the pictures right below it, in the order of the last
    number in their names. Without pictures the videos themselves stand for the frames, and any embedding whose key is a
    video's, or lies below it, belongs to that video.

    Args:
        name: Of the data set.
        pairs: Comparisons of videos.
        source: Where the frames are; None when only embeddings will be looked up.
        frames: At most so many of each video, evenly spread; 0 takes all.
        listed_in: The list's file, for messages.

    Raises:
        DataError: When a listed video has no frames.
    """

    def __init__(
        self, name: str, pairs: Pairs, source: FaceDataset | None, *, frames: int, listed_in: Path | str
    ) -> None:
        self.name, self.pairs, self._source = name, pairs, source
        self.videos = pairs.keys
        self.first: npt.NDArray[np.int64] = np.searchsorted(self.videos, pairs.first)
        self.second: npt.NDArray[np.int64] = np.searchsorted(self.videos, pairs.second)
        self._rows = np.arange(len(self.videos))
        if source is None:
            self.keys = [str(video) for video in self.videos]
        else:
            members = _members(np.asarray(source.keys, dtype=np.str_), self.videos)
            empty = np.flatnonzero([not len(rows) for rows in members])
            if len(empty):
                video = self.videos[empty[0]]
                pair = int(np.flatnonzero((pairs.first == video) | (pairs.second == video))[0])
                raise DataError(
                    f"{pairs.where(pair, listed_in)}: no frames of {str(video)!r} in {source.name} "
                    f"({len(empty)} of {len(self.videos)} videos have none)"
                )
            self._rows = np.concatenate([_spread(rows, source.keys, frames) for rows in members])
            self.keys = [source.keys[row] for row in self._rows.tolist()]
            if hasattr(source, "batch"):
                self.batch = self._batch

    @cached_property
    def labels(self) -> npt.NDArray[np.int64]:
        """Number of the person in each frame, -1 where the list does not name people."""
        if self.pairs.subjects is None:
            return np.full(len(self.keys), -1, dtype=np.int64)
        _, numbers = np.unique(np.concatenate(self.pairs.subjects), return_inverse=True)
        of_video = np.empty(len(self.videos), dtype=np.int64)
        of_video[np.concatenate([self.first, self.second])] = numbers
        labels = np.full(len(self.keys), -1, dtype=np.int64)
        for video, rows in enumerate(_members(np.asarray(self.keys, dtype=np.str_), self.videos)):
            labels[rows] = of_video[video]
        return labels

    @cached_property
    def fingerprint(self) -> str:
        """Hash of the pictures, of which of them are used, and of the list."""
        digest = hashlib.sha256(self._source.fingerprint.encode() if self._source is not None else b"no pictures")
        for part in (self.keys, self.pairs.first, self.pairs.second, *(self.pairs.subjects or ())):
            digest.update("\0".join([*map(str, part), "\0"]).encode())
        digest.update(np.packbits(self.pairs.same).tobytes())
        if self.pairs.fold is not None:
            digest.update(self.pairs.fold.tobytes())
        return digest.hexdigest()

    def __len__(self) -> int:
        return len(self.keys)

    def __getitem__(self, index: int, /) -> Face:
        """One frame.

        Raises:
            DataError: When it cannot be decoded, or when only lists were opened.
        """
        face = self._opened()[int(self._rows[index])]
        return Face(image=face.image, label=int(self.labels[index]), key=self.keys[index])

    def _batch(self, indices: npt.NDArray[np.int64]) -> npt.NDArray[np.uint8]:
        """Several frames at once, uint8 (N, H, W, 3)."""
        images: npt.NDArray[np.uint8] = self._opened().batch(self._rows[indices])  # type: ignore[attr-defined]
        return images

    def _opened(self) -> FaceDataset:
        if self._source is None:
            raise DataError(f"{self.name}: only the lists were opened, there are no frames to embed")
        return self._source

    def members(self, embeddings: Embeddings) -> list[npt.NDArray[np.int64]]:
        """Rows of the embeddings that make up each video.

        Raises:
            DataError: When a frame, or a whole video, has no embedding.
        """
        if self._source is not None:
            rows = embeddings.rows(self.keys)
            return [rows[part] for part in _members(np.asarray(self.keys, dtype=np.str_), self.videos)]
        found = _members(embeddings.keys, self.videos)
        empty = np.flatnonzero([not len(rows) for rows in found])
        if len(empty):
            raise DataError(
                f"no embedding of video {str(self.videos[empty[0]])!r} or of a frame below it ({len(empty)} of "
                f"{len(found)} videos have none)"
            )
        return found


@dataclass(frozen=True, slots=True)
class Pooled:
    """A vector for each video.

    Attributes:
        plain: float64 (V, D).
        mirrored: float64 (V, D), or None.
        norm: Mean length of the frames' raw embeddings, mirrors included.
    """

    plain: npt.NDArray[np.float64]
    mirrored: npt.NDArray[np.float64] | None
    norm: float


def pool(embeddings: Embeddings, faces: VideoFaces, *, mirror: Mirror, how: Pooling) -> Pooled:
    """Pools the frames of each video, one video in memory at a time.

    ``mean`` averages the raw embeddings of a video's frames, the common practice on YouTube Faces: longer embeddings,
    which sharp frames tend to have, weigh more. ``unit-mean`` scales every frame's fused embedding to unit length
    first. Fusing mirrors is linear, so it may be done after the mean.

    Raises:
        DataError: When a video has no embedding.
        MetricError: When an embedding has no length to be divided by.
    """
    members = faces.members(embeddings)
    size = embeddings.vectors.shape[1]
    plain = np.empty((len(members), size))
    mirrored = None if embeddings.mirrored is None else np.empty((len(members), size))
    lengths, count = 0.0, 0
    for video, rows in enumerate(members):
        straight = embeddings.vectors[rows].astype(np.float64)
        other = None if embeddings.mirrored is None else embeddings.mirrored[rows].astype(np.float64)
        lengths, count = lengths + xnorm(straight, other) * len(rows), count + len(rows)
        weight = np.ones((len(rows), 1))
        if how == "unit-mean":
            fused = np.linalg.norm(fuse(straight, None if mirror == "none" else other, how=mirror), axis=1)
            weight = 1.0 / np.maximum(fused, np.finfo(np.float64).tiny)[:, None]
        plain[video] = (straight * weight).mean(axis=0)
        if mirrored is not None and other is not None:
            mirrored[video] = (other * weight).mean(axis=0)
    return Pooled(plain, mirrored, lengths / count)


def _members(keys: npt.NDArray[np.str_], videos: npt.NDArray[np.str_]) -> list[npt.NDArray[np.int64]]:
    """Rows of the keys that are a video or lie right below it, for each of the sorted videos."""
    parents = [str(key).rpartition("/")[0] for key in keys]
    place: Mapping[str, int] = {str(video): number for number, video in enumerate(videos)}
    rows: list[list[int]] = [[] for _ in videos]
    for row, (key, parent) in enumerate(zip(keys, parents, strict=True)):
        video = place.get(str(key), place.get(parent))
        if video is not None:
            rows[video].append(row)
    return [np.array(found, dtype=np.int64) for found in rows]


def _spread(rows: npt.NDArray[np.int64], keys: Sequence[str], frames: int) -> npt.NDArray[np.int64]:
    """At most so many of a video's rows, in the order of time, evenly spread from the first to the last frame."""
    ordered = np.array(sorted(rows.tolist(), key=lambda row: _time(keys[row])), dtype=np.int64)
    if not frames or len(ordered) <= frames:
        return ordered
    chosen: npt.NDArray[np.int64] = ordered[np.linspace(0, len(ordered) - 1, frames).round().astype(np.int64)]
    return chosen


def _time(key: str) -> tuple[int, str]:
    """A frame's place in its video: ``0.555`` is number 555, not 0.555 of anything."""
    number = _LAST_NUMBER.search(key)
    return (int(number.group(1)[-18:]) if number else -1, key)
