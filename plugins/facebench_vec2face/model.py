"""The generator: a feature vector becomes rows, a masked transformer completes them, convolutions draw the picture.

Wu et al., "Vec2Face: Scaling Face Dataset Generation with Loosely Constrained Vectors" (ICLR 2025), after the released
code. There is no learned mask token: the condition itself stands where rows are masked, before the encoder and, once
encoded, before the decoder.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn import functional

from facebench_vec2face.imagedecoder import ImageDecoder

if TYPE_CHECKING:
    from torch import Tensor

    from facebench_vec2face.masking import Mask
    from facebench_vec2face.options import Shape

_EPS = 1e-6
_SPREAD = 0.02


@dataclass(frozen=True, slots=True, eq=False)
class Drawn:
    """What the network makes of B vectors.

    Attributes:
        images: (B, 3, S, S), RGB, nominally in [-1, 1] and not held to it.
        tokens: (B, n, W): the completed rows.
        aims: (B, n, W): the rows before masking, without gradient; ``tokens`` should come near them.
    """

    images: Tensor
    tokens: Tensor
    aims: Tensor


class Attention(nn.Module):
    """Self-attention; (B, L, width) to the same shape.

    The released code computes it in float32 even where all else is float16. Here autocast decides: bfloat16 has the
    range of float32, and the fused kernels sum in float32.
    """

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, rows: Tensor) -> Tensor:
        """Each row becomes a weighted mean of all rows' values."""
        count, length, width = rows.shape
        mixed: Tensor = self.qkv(rows)
        queries, keys, values = mixed.view(count, length, 3, self.heads, -1).permute(2, 0, 3, 1, 4).unbind()
        dropout = self.dropout if self.training else 0.0
        attended = functional.scaled_dot_product_attention(queries, keys, values, dropout_p=dropout)
        projected: Tensor = self.proj(attended.transpose(1, 2).reshape(count, length, width))
        return functional.dropout(projected, self.dropout, self.training)


class Mlp(nn.Sequential):
    """Two linear layers with GELU between them, four times as wide inside."""

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__(
            nn.Linear(width, 4 * width),
            nn.GELU(),
            nn.Dropout(dropout),
            nn.Linear(4 * width, width),
            nn.Dropout(dropout),
        )


class Block(nn.Module):
    """Attention and MLP, each on normalised rows and added to what came in."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=_EPS)
        self.attention = Attention(width, heads, dropout)
        self.norm2 = nn.LayerNorm(width, eps=_EPS)
        self.mlp = Mlp(width, dropout)

    def forward(self, rows: Tensor) -> Tensor:
        """Transforms (B, L, width) to the same shape."""
        rows = rows + self.attention(self.norm1(rows))
        summed: Tensor = rows + self.mlp(self.norm2(rows))
        return summed


class Transformer(nn.Module):
    """Blocks and a last normalisation; (B, L, width) to the same shape."""

    def __init__(self, width: int, blocks: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.blocks = nn.Sequential(*(Block(width, heads, dropout) for _ in range(blocks)))
        self.norm = nn.LayerNorm(width, eps=_EPS)

    def forward(self, rows: Tensor) -> Tensor:
        """Transforms rows."""
        normed: Tensor = self.norm(self.blocks(rows))
        return normed


class Vec2FaceNetwork(nn.Module):
    """Feature masked autoencoder and image decoder.

    Args:
        shape: See there.
        embedding_size: D, length of the feature vectors.
        dropout: Of rows, attention and transformer layers.

    Attributes:
        project: From a vector to the condition e, the row that is never masked.
        expand: From each number of e to the n rows: M_j = a_j e + c_j.
        seen_places: (n + 1, W), added to the rows before the encoder.
        drawn_places: (n + 1, W), added before the decoder.
        image_decoder: ``image_decoder.last`` is the last layer of all.
    """

    def __init__(self, shape: Shape, embedding_size: int, *, dropout: float = 0.1) -> None:
        super().__init__()
        width = shape.width
        self.shape, self.embedding_size = shape, embedding_size
        self.project = nn.Linear(embedding_size, width)
        self.expand = nn.Linear(1, shape.rows)
        self.seen_places = nn.Parameter(torch.empty(shape.rows + 1, width))
        self.norm = nn.LayerNorm(width, eps=_EPS)
        self.dropout = nn.Dropout(dropout)
        self.encoder = Transformer(width, shape.encoder_blocks, shape.encoder_heads, dropout)
        self.embed = nn.Linear(width, width)
        self.drawn_places = nn.Parameter(torch.empty(shape.rows + 1, width))
        self.decoder = Transformer(width, shape.decoder_blocks, shape.decoder_heads, dropout)
        self.out = nn.Linear(width, shape.channels)
        self.image_decoder = ImageDecoder(shape)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                nn.init.zeros_(module.bias)
        nn.init.normal_(self.seen_places, std=_SPREAD)
        nn.init.normal_(self.drawn_places, std=_SPREAD)

    def forward(self, vectors: Tensor, mask: Mask) -> Drawn:
        """Draws a face for each vector.

        Args:
            vectors: (B, D), raw: each coordinate has a variance of about 1 over faces.
            mask: Of B faces and n rows, on the same device.
        """
        condition: Tensor = self.project(vectors)[:, None]
        maps: Tensor = self.expand(condition.mT).mT
        encoded = self._encode(condition, maps, mask)
        tokens: Tensor = self.decoder(self._restore(encoded, mask) + self.drawn_places)[:, 1:]
        grid = self.shape.grid
        drawn: Tensor = self.out(tokens).unflatten(1, (grid, grid)).permute(0, 3, 1, 2)
        return Drawn(self.image_decoder(drawn), tokens, maps.detach())

    def _encode(self, condition: Tensor, maps: Tensor, mask: Mask) -> Tensor:
        """(B, 1 + kept, W): the condition and the rows that are not dropped, encoded."""
        filled = torch.where(mask.masked[:, :, None], condition, maps)
        rows = torch.cat([condition, filled], dim=1) + self.seen_places
        rows = self.dropout(self.norm(rows))
        kept = rows[:, 1:].gather(1, _everywhere(mask.kept, rows))
        encoded: Tensor = self.embed(self.encoder(torch.cat([rows[:, :1], kept], dim=1)))
        return encoded

    @staticmethod
    def _restore(encoded: Tensor, mask: Mask) -> Tensor:
        """(B, 1 + n, W): all rows again, with the encoded condition wherever one was masked."""
        condition = encoded[:, :1]
        full = condition.expand(-1, mask.masked.shape[1], -1).scatter(
            1, _everywhere(mask.kept, encoded), encoded[:, 1:]
        )
        return torch.cat([condition, torch.where(mask.masked[:, :, None], condition, full)], dim=1)


def _everywhere(places: Tensor, rows: Tensor) -> Tensor:
    """Indices of rows (B, k) as indices of all their numbers (B, k, W)."""
    return places[:, :, None].expand(-1, -1, rows.shape[2])
