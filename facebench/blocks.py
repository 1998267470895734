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
    from torch import Tensor


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

    Computed in float32 (float64 where both are) even inside autocast. Beyond the result it holds one copy of the
    centres, never one of their blocks for each face.

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
    """The gradient by hand: it passes twice over the centres, where autograd would six times."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, centres: Tensor, blocks: int) -> Tensor:
        parts = centres.view(len(centres), blocks, -1)
        across = torch.linalg.vector_norm(parts, dim=2, keepdim=True).clamp_min_(SHORTEST).reciprocal_()
        unit = parts * across
        ctx.save_for_backward(rows, unit, across)
        product: Tensor = rows @ unit.view_as(centres).t()
        return product

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        rows, unit, across = ctx.saved_tensors
        flat = unit.view(len(unit), -1)
        to_rows = to_centres = None
        with torch.autocast(gradient.device.type, enabled=False):
            if ctx.needs_input_grad[0]:
                to_rows = gradient @ flat
            if ctx.needs_input_grad[1]:
                # The part of a block's gradient along the block only makes it longer, which changes nothing.
                wanted = (gradient.t() @ rows).view_as(unit)
                along = (wanted * unit).sum(dim=2, keepdim=True)
                to_centres = wanted.addcmul_(unit, along, value=-1).mul_(across).view_as(flat)
        return to_rows, to_centres, None
