"""Vectors that are cut into blocks of unit length, and their products with class centres cut likewise.

A network that is sure of some parts of a vector and not of others (URL) weighs blocks, not vectors: what compares a
face with a class is the sum over blocks of a weight times a cosine. With the weights folded into the face's vector that
is one matrix product, whatever the number of blocks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch.autograd.function import once_differentiable
from torch.nn import functional

from facebench.margins import SHORTEST, exact_dtype

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor

_CACHED, _FETCHED = 1 << 18, 1 << 26  # numbers of a stretch of centres


def unit_blocks(vectors: Tensor, blocks: int) -> Tensor:
    """Vectors whose blocks all have length 1; blocks shorter than 1e-12 nearly stay as they are.

    Args:
        vectors: (N, D), float32 or float64.
        blocks: K, a divisor of D.

    Returns:
        (N, K, D / K).
    """
    return functional.normalize(vectors.reshape(len(vectors), blocks, -1), dim=2, eps=SHORTEST)


def block_products(rows: Tensor, centres: Tensor, blocks: int) -> Tensor:
    """Products of vectors, as they are, with centres of which every block is scaled to length 1.

    Computed in float32 (float64 where both are) even inside autocast. Beyond the result and the gradients it holds
    a stretch of the centres, and never a number for every face, class and block.

    Args:
        rows: (N, D).
        centres: (C, D), raw.
        blocks: K, a divisor of D.

    Returns:
        (N, C), with gradient to both.
    """
    dtype = exact_dtype(rows, centres)
    with torch.autocast(rows.device.type, enabled=False):
        found: Tensor = _BlockProducts.apply(rows.to(dtype), centres.to(dtype), blocks)  # type: ignore[no-untyped-call]
    return found


class _BlockProducts(torch.autograd.Function):
    """A stretch of centres at a time, small enough to stay in a processor's cache while it is scaled and multiplied.

    No scaled copy of the centres is kept; the gradient makes it anew, which is quicker than fetching it from memory.
    Products lie in memory class by class, so that a stretch of them is one piece, as the softmax has it.
    """

    @staticmethod
    def forward(ctx: Any, rows: Tensor, centres: Tensor, blocks: int) -> Tensor:
        parts = centres.view(len(centres), blocks, -1)
        across = centres.new_empty(len(centres), blocks, 1)
        product = rows.new_empty(len(centres), len(rows))
        for some in _stretches(centres):
            torch.linalg.vector_norm(parts[some], dim=2, keepdim=True, out=across[some])
            across[some].clamp_min_(SHORTEST).reciprocal_()
            torch.mm((parts[some] * across[some]).flatten(1), rows.t(), out=product[some])
        ctx.save_for_backward(rows, parts, across)
        return product.t()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, None]:
        rows, parts, across = ctx.saved_tensors
        to_rows, to_centres = torch.zeros_like(rows), torch.empty_like(parts).flatten(1)
        with torch.autocast(gradient.device.type, enabled=False):
            for some in _stretches(to_centres):
                unit, slopes = parts[some] * across[some], gradient[:, some].t()
                to_rows.addmm_(slopes.t(), unit.flatten(1))
                wanted = torch.mm(slopes, rows, out=to_centres[some]).view_as(unit)
                # The part of a block's gradient along the block only makes it longer, which changes nothing.
                along = unit.mul_(wanted).sum(dim=2, keepdim=True).mul_(across[some])
                wanted.addcmul_(parts[some], along, value=-1).mul_(across[some])
        return to_rows, to_centres, None


def _stretches(centres: Tensor) -> Iterator[slice]:
    """Runs of rows: 1 MB of float32 on a processor, where caches are small, and 256 MB on other devices."""
    size = max(1, (_CACHED if centres.device.type == "cpu" else _FETCHED) // centres.shape[1])
    for start in range(0, len(centres), size):
        yield slice(start, min(start + size, len(centres)))
