"""Blocks that do not all say the same: each half of them is asked for one kind of variation, and only for that one.

URL, section 3.3 (Shi et al., CVPR 2020, equations 11 to 14). Every variation t has a fixed mask V_t that keeps half of
the blocks. A linear discriminator reads all variations from every masked vector, and learns to (L_C). The network helps
it where variation and mask belong together (L_cls) and hinders it everywhere else (L_adv).
"""

from __future__ import annotations

import math
from itertools import combinations
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import nn
from torch.nn import functional

from facebench import ConfigError

if TYPE_CHECKING:
    from torch import Tensor


class Parts(NamedTuple):
    """The three losses, scalars: sums over variations, means over faces.

    Attributes:
        discriminator: L_C; its gradient reaches the discriminator alone.
        classifying: L_cls; its gradient, and the next one's, reach the blocks alone.
        adversarial: L_adv.
    """

    discriminator: Tensor
    classifying: Tensor
    adversarial: Tensor


class Decorrelation(nn.Module):
    """Masks and discriminator.

    Where a face's variation is unknown (NaN) it has no part in L_C and L_cls; L_adv asks for no labels.

    Args:
        variations: M + T, how many there are.
        blocks: K.
        size: D.

    Attributes:
        masks: Bool (M + T, K), no two alike, each with K / 2 blocks (rounded down); drawn once and kept with the state.

    Raises:
        ConfigError: When there are not enough masks for all variations.
    """

    masks: Tensor

    def __init__(self, variations: int, blocks: int, size: int) -> None:
        super().__init__()
        self.register_buffer("masks", draw_masks(variations, blocks))
        self.discriminator = nn.Linear(size, variations)

    def forward(self, blocks: Tensor, marks: Tensor) -> Parts:
        """The losses of a batch.

        Args:
            blocks: (n, K, d), of unit length.
            marks: (n, M + T), in [0, 1] or NaN.
        """
        masked = blocks[:, None] * self.masks[:, :, None].to(blocks.dtype)
        masked = masked.flatten(2)
        weight, bias = self.discriminator.weight, self.discriminator.bias
        known = ~marks.isnan()
        wanted = torch.where(known, marks, 0.0).to(blocks.dtype)
        # The discriminator learns from vectors as they are; the network, from the discriminator as it is.
        read = functional.linear(masked.detach(), weight, bias)
        goal = wanted[:, None].expand_as(read)
        learning = _bce(read, goal, known[:, None].expand_as(read))
        seen = functional.linear(masked, weight.detach(), bias.detach())
        own = torch.eye(len(self.masks), dtype=torch.bool, device=blocks.device).expand_as(seen)
        classifying = _bce(seen, goal, own & known[:, None])
        # Half for "absent" and half for "present" is a target of one half.
        adversarial = _bce(seen, torch.full_like(seen, 0.5), ~own)
        return Parts(learning, classifying, adversarial)


def _bce(logits: Tensor, wanted: Tensor, counted: Tensor) -> Tensor:
    """Binary cross-entropy, summed where it counts, over the number of faces."""
    losses = functional.binary_cross_entropy_with_logits(logits, wanted, reduction="none")
    return torch.where(counted, losses, 0.0).sum() / len(logits)


def draw_masks(variations: int, blocks: int) -> Tensor:
    """Bool (variations, blocks): different halves of the blocks, drawn from torch's generator.

    Raises:
        ConfigError: When there are fewer halves than variations.
    """
    half = blocks // 2
    if math.comb(blocks, half) < variations or not half:
        raise ConfigError(
            f"decorrelation needs another half of the blocks for each of {variations} variations; {blocks} blocks have "
            f"{math.comb(blocks, half) if half else 0}; take more (backbone.confidence, loss.blocks) or none "
            "(loss.decorrelate=false)"
        )
    if math.comb(blocks, half) <= 4096:
        every = list(combinations(range(blocks), half))
        chosen = [every[index] for index in torch.randperm(len(every))[:variations].tolist()]
    else:
        found: dict[tuple[int, ...], None] = {}
        while len(found) < variations:
            found.setdefault(tuple(sorted(torch.randperm(blocks)[:half].tolist())))
        chosen = list(found)
    masks = torch.zeros(variations, blocks, dtype=torch.bool)
    for row, kept in zip(masks, chosen, strict=True):
        row[list(kept)] = True
    return masks
