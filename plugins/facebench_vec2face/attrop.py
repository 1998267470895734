"""AttrOP: vectors are moved by gradient descent until their pictures have the wanted quality and pose.

All networks stand still; Adam moves the vectors alone. In the released code a batch ends together, when its means are
within limits, and never where a single vector cannot be satisfied. Here every row ends by itself, after a bounded
number of steps, and is told whether it got there; no row knows of the others.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch.nn import functional

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt
    from torch import Tensor

    from facebench_vec2face.drawing import DrawingOptions
    from facebench_vec2face.estimators import Estimator

    Seeds = npt.NDArray[np.int64]
    Decode = Callable[[Tensor, Seeds], Tensor]
    Extract = Callable[[Tensor], Tensor]

_BETAS, _EPS = (0.9, 0.999), 1e-8


@dataclass(frozen=True, slots=True, eq=False)
class Adjusted:
    """Where the descent of each row ended.

    Attributes:
        vectors: (B, D): where all limits were met; else where the total loss was lowest.
        success: bool (B,): whether all limits were met there.
        steps: int64 (B,): of the descent up to its end.
        identity: (B,): 1 - cosine there.
        quality: (B,): what was missing to the quality; 0 where none is asked for.
        pose: (B,): degrees missing to the pose; 0 where none is asked for.
        seeds: int64 (B,): with these ``decode`` gives the very pictures that were judged.
    """

    vectors: Tensor
    success: Tensor
    steps: Tensor
    identity: Tensor
    quality: Tensor
    pose: Tensor
    seeds: Seeds


def adjust(
    starts: Tensor,
    targets: Tensor,
    decode: Decode,
    extract: Extract,
    *,
    chosen: DrawingOptions,
    seeds: Seeds,
    quality: Estimator | None = None,
    pose: Estimator | None = None,
) -> Adjusted:
    """Moves vectors towards the attributes that ``chosen`` asks for.

    A row's loss is ``100 (1 - cos(F(I), v)) + max(0, Q - quality(I)) + |P - |clip(yaw(I), -90, 90)||`` with ``I = clip
    (G(w), -1, 1)`` drawn through a fresh mask each time; weights, Q, P and the hinge on the first term are options. A
    row ends as soon as none of its three parts is above its limit, before another step is taken; at the latest after
    ``chosen.attrop_steps`` of them, or where its loss or gradient is no number any more.

    Args:
        starts: (B, D), vectors to adjust; left as they are.
        targets: v, (B, D), vectors of the identities, to which ``extract`` is held.
        decode: Draws (B, 3, H, W) for vectors (B, D), nominally in [-1, 1]; row i's mask follows from seed i alone.
        extract: Vectors (B, D) of pictures in [-1, 1], RGB. Like ``decode`` and the estimators it treats each picture
            by itself (evaluation mode) and lets gradients pass.
        chosen: Weights, targets, limits, rate and cap.
        seeds: (B,), decide the masks.
        quality: An estimator of quality, or None where it does not matter.
        pose: An estimator of yaw, degrees, or None.
    """
    judge = _Judge(decode, extract, chosen, quality, pose)
    rows = torch.arange(len(starts), device=starts.device)
    vectors = starts.detach().clone()
    best = _Best.before(vectors)
    first, second = torch.zeros_like(vectors), torch.zeros_like(vectors)
    for step in range(chosen.attrop_steps + 1):
        if not len(rows):
            break
        masks = _masks(seeds[rows.cpu().numpy()], step)
        parts, slopes = judge(vectors, targets[rows], masks)
        met = parts.met(chosen)
        best.keep(rows, vectors, parts, met, step, masks)
        going = ~met & parts.total.isfinite() & slopes.isfinite().all(dim=1)
        rows, vectors, slopes = rows[going], vectors[going], slopes[going]
        first = first[going].lerp(slopes, 1 - _BETAS[0])
        second = second[going].lerp(slopes * slopes, 1 - _BETAS[1])
        mean, spread = first / (1 - _BETAS[0] ** (step + 1)), second / (1 - _BETAS[1] ** (step + 1))
        vectors = vectors - chosen.attrop_rate * mean / (spread.sqrt() + _EPS)
    return best.result()


class _Parts(NamedTuple):
    """The three parts of each row's loss, without weights, and the whole, (n,) each."""

    identity: Tensor
    quality: Tensor
    pose: Tensor
    total: Tensor

    def met(self, chosen: DrawingOptions) -> Tensor:
        """Which rows are within all limits, bool (n,)."""
        return (
            (self.identity <= chosen.identity_limit)
            & (self.quality <= chosen.quality_limit)
            & (self.pose <= chosen.pose_limit)
        )


class _Judge(NamedTuple):
    """What tells of vectors how far their pictures are from what is wanted, and which way is down."""

    decode: Decode
    extract: Extract
    chosen: DrawingOptions
    quality: Estimator | None
    pose: Estimator | None

    def __call__(self, vectors: Tensor, targets: Tensor, seeds: Seeds) -> tuple[_Parts, Tensor]:
        """The parts, and the gradient of each row's total in its own vector, (n, D)."""
        with torch.enable_grad():
            moving = vectors.detach().requires_grad_()
            parts = self._parts(self.decode(moving, seeds).clamp(-1, 1), targets)
            # The sum gives each row its own gradient; asked for in this way, no network's parameters receive any.
            (slopes,) = torch.autograd.grad(parts.total.sum(), moving)
        return _Parts(*(part.detach() for part in parts)), slopes

    def _parts(self, images: Tensor, targets: Tensor) -> _Parts:
        chosen = self.chosen
        identity = 1 - functional.cosine_similarity(self.extract(images).float(), targets.float(), dim=1)
        missing = off = torch.zeros_like(identity)
        if self.quality is not None:
            missing = (chosen.quality - self.quality(images)).relu()
        if self.pose is not None:
            off = (chosen.pose - self.pose(images).clamp(-90, 90).abs()).abs()
        counted = torch.where(identity > chosen.hinge, identity, torch.zeros_like(identity))
        total = chosen.identity_weight * counted + chosen.quality_weight * missing + chosen.pose_weight * off
        return _Parts(identity, missing, off, total)


class _Best:
    """The best of each row so far."""

    def __init__(self, vectors: Tensor, lowest: Tensor) -> None:
        self._vectors, self._lowest = vectors, lowest
        self._parts = torch.full((3, len(vectors)), torch.nan, device=vectors.device)
        self._success = torch.zeros(len(vectors), dtype=torch.bool, device=vectors.device)
        self._steps = torch.zeros(len(vectors), dtype=torch.int64, device=vectors.device)
        self._seeds = np.zeros(len(vectors), dtype=np.int64)

    @classmethod
    def before(cls, starts: Tensor) -> _Best:
        """Before anything was judged."""
        return cls(starts.clone(), torch.full((len(starts),), torch.inf, device=starts.device))

    def keep(self, rows: Tensor, vectors: Tensor, parts: _Parts, met: Tensor, step: int, seeds: Seeds) -> None:
        """Takes over rows that are within their limits, or have the lowest loss so far."""
        self._steps[rows] = step
        self._success[rows] = met
        better = met | (parts.total < self._lowest[rows])
        chosen = rows[better]
        self._vectors[chosen] = vectors[better]
        self._lowest[chosen] = parts.total[better].to(self._lowest.dtype)
        self._parts[:, chosen] = torch.stack(parts[:3])[:, better].to(self._parts.dtype)
        self._seeds[chosen.cpu().numpy()] = seeds[better.cpu().numpy()]

    def result(self) -> Adjusted:
        """What is returned."""
        identity, quality, pose = self._parts
        return Adjusted(self._vectors, self._success, self._steps, identity, quality, pose, self._seeds)


def _masks(seeds: Seeds, step: int) -> Seeds:
    """The seeds of the masks of a step, (n,): each row's follow from its own seed."""
    each = (np.random.SeedSequence((int(seed), step)).generate_state(1, np.uint64)[0] >> 1 for seed in seeds)
    return np.fromiter(each, dtype=np.int64, count=len(seeds))
