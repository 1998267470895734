"""Vision transformers for faces: the largest networks with published numbers.

Dosovitskiy et al., "An Image is Worth 16x16 Words" (ICLR 2021), in the form that An et al., "Killing Two Birds with One
Stone" (CVPR 2022) trained: 9x9 patches, so 12x12 tokens of a 112x112 face (the last four rows and columns are not
seen), no class token, ReLU6, and a head on all tokens together. Layers and names agree with insightface's
``arcface_torch``, so its published ``backbone.pth`` files load with ``load_state_dict``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from facebench_backbones.network import SIDE, FaceNetwork, full_precision

if TYPE_CHECKING:
    from torch import Tensor

PATCH = 9
TOKENS = (SIDE // PATCH) ** 2
HEADS = 8


@dataclass(frozen=True, slots=True)
class Size:
    """How large a transformer is.

    Attributes:
        width: Length of a token.
        depth: Number of blocks.
    """

    width: int
    depth: int


SIZES = {"t": Size(256, 12), "s": Size(512, 12), "b": Size(512, 24), "l": Size(768, 24)}
"""The published sizes by the last letter of the network's name."""


class PatchEmbedding(nn.Module):
    """Cuts (N, 3, 112, 112) into 144 patches and maps each to a token: (N, 144, width)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(3, width, PATCH, stride=PATCH)

    def forward(self, images: Tensor) -> Tensor:
        """Tokens of images, row by row."""
        maps: Tensor = self.proj(images)
        return maps.flatten(2).transpose(1, 2)


class Attention(nn.Module):
    """Self-attention with eight heads; (N, L, width) to the same shape. The softmax is taken in full precision."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.proj = nn.Linear(width, width)

    def forward(self, tokens: Tensor) -> Tensor:
        """Each token becomes a weighted mean of all tokens' values."""
        count, length, width = tokens.shape
        mixed: Tensor = self.qkv(tokens)
        queries, keys, values = mixed.view(count, length, 3, HEADS, width // HEADS).permute(2, 0, 3, 1, 4).unbind()
        precision = self.proj.weight.dtype
        with full_precision(tokens.device):
            attended = functional.scaled_dot_product_attention(
                queries.to(precision), keys.to(precision), values.to(precision)
            )
        projected: Tensor = self.proj(attended.transpose(1, 2).reshape(count, length, width))
        return projected


class Mlp(nn.Module):
    """Two linear layers with ReLU6 between them, four times as wide inside."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, 4 * width)
        self.fc2 = nn.Linear(4 * width, width)

    def forward(self, tokens: Tensor) -> Tensor:
        """Transforms each token alone; (N, L, width) to the same shape."""
        transformed: Tensor = self.fc2(functional.relu6(self.fc1(tokens)))
        return transformed


class Block(nn.Module):
    """Attention and MLP, each on normalised tokens and added to what came in.

    Args:
        width: Length of a token.
        drop_path: Probability, per sample, of leaving either addition out in training (stochastic depth, Huang et al.,
            ECCV 2016).
    """

    def __init__(self, width: int, *, drop_path: float) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.attn = Attention(width)
        self.norm2 = nn.LayerNorm(width)
        self.mlp = Mlp(width)
        self.drop_path = drop_path

    def forward(self, tokens: Tensor) -> Tensor:
        """Transforms (N, L, width) to the same shape."""
        tokens = tokens + self._sometimes(self.attn(self.norm1(tokens)))
        return tokens + self._sometimes(self.mlp(self.norm2(tokens)))

    def _sometimes(self, update: Tensor) -> Tensor:
        if not self.training or self.drop_path == 0.0:
            return update
        keep = 1.0 - self.drop_path
        # Divided by its probability, the kept update has the same mean as in evaluation.
        return update * update.new_empty(update.shape[0], 1, 1).bernoulli_(keep).div_(keep)


class VisionTransformer(FaceNetwork):
    """Tokens, transformer blocks, and a head on all 144 tokens side by side.

    In training a random share of the tokens is left out of the blocks and replaced by one learned token before the
    head, which makes the network robust to occlusion and training cheaper. The published code masks a tenth whatever
    positive share its configuration names; here the share is what the argument says.

    Args:
        size: Width and depth, as in ``SIZES``.
        embedding_size: D.
        drop_path: Stochastic depth of the last block; it grows linearly from 0 at the first.
        token_masking: Share of the tokens left out in training, in [0, 1).
        recompute: Whether to compute each block again in the backward pass instead of keeping what it computed: about a
            third more time for a fraction of the memory, with equal results.
        confidence: K; see ``FaceNetwork``.
    """

    def __init__(
        self,
        size: Size,
        *,
        embedding_size: int = 512,
        drop_path: float = 0.1,
        token_masking: float = 0.1,
        recompute: bool = False,
        confidence: int = 0,
    ) -> None:
        super().__init__(embedding_size, confidence)
        width, depth = size.width, size.depth
        self.kept_tokens = int(TOKENS * (1.0 - token_masking))
        self.recompute = recompute
        self.patch_embed = PatchEmbedding(width)
        self.pos_embed = nn.Parameter(torch.zeros(1, TOKENS, width))
        self.mask_token = nn.Parameter(torch.zeros(1, 1, width))
        last = max(depth - 1, 1)
        self.blocks = nn.ModuleList(Block(width, drop_path=drop_path * i / last) for i in range(depth))
        self.norm = nn.LayerNorm(width)
        self.feature = nn.Sequential(
            nn.Linear(width * TOKENS, width, bias=False),
            nn.BatchNorm1d(width, eps=2e-5),
            nn.Linear(width, embedding_size, bias=False),
            nn.BatchNorm1d(embedding_size, eps=2e-5),
        )
        # Without masking the token is never used; without a gradient to wait for, distributed training goes on.
        self.mask_token.requires_grad_(self.kept_tokens < TOKENS)
        nn.init.normal_(self.mask_token, std=0.02)
        nn.init.trunc_normal_(self.pos_embed, std=0.02)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        self._predict_confidence(width * TOKENS)

    def _body(self, images: Tensor) -> Tensor:
        tokens = self.patch_embed(images) + self.pos_embed
        if not self.training or self.kept_tokens == TOKENS:
            return self._blocks(tokens)
        order = torch.rand(tokens.shape[:2], device=tokens.device).argsort(dim=1)
        kept = order[:, : self.kept_tokens, None].expand(-1, -1, tokens.shape[2])
        encoded = self._blocks(tokens.gather(1, kept))
        filled = self.mask_token.to(encoded.dtype).expand(tokens.shape).clone()
        return filled.scatter(1, kept, encoded)

    def _blocks(self, tokens: Tensor) -> Tensor:
        for block in self.blocks:
            if self.recompute and self.training:
                tokens = checkpoint(block, tokens, use_reentrant=False)
            else:
                tokens = block(tokens)
        with full_precision(tokens.device):
            normalised: Tensor = self.norm(tokens.to(self.norm.weight.dtype))
        return normalised

    def _head(self, encoded: Tensor) -> Tensor:
        vectors: Tensor = self.feature(encoded.flatten(1))
        return vectors


def vit(
    size: str,
    *,
    embedding_size: int = 512,
    drop_path: float = 0.1,
    token_masking: float = 0.1,
    recompute: bool = False,
    confidence: int = 0,
) -> VisionTransformer:
    """The transformer of a size in ``SIZES``: ``t``, ``s``, ``b`` or ``l``."""
    return VisionTransformer(
        SIZES[size],
        embedding_size=embedding_size,
        drop_path=drop_path,
        token_masking=token_masking,
        recompute=recompute,
        confidence=confidence,
    )
