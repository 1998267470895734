"""Cosine similarities that depend on the two vectors alone.

A float32 product rounds as it adds up, and in what order it adds depends on the shape of a block, the number of threads
and the device; so of two pairs whose scores are all but equal now the one and now the other comes first, and a pair
at a threshold falls on either side. Counts that must not depend on any of that need a score that does not:

* A *direction* is a vector of unit length whose members are multiples of ``2**-26``, as coarse as float32 itself is
  just above a quarter. A cosine of two of them is some 1e-8 off that of the vectors.
* Products of their members are multiples of ``2**-52``, and sums of these stay below 2: float64 holds every one of them
  exactly, in whatever order they are added. The *score* is that sum, rounded once to float32.

Many scores at once come from :mod:`facebench.metrics.tiles`, at the speed of a float32 product.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from facebench.errors import MetricError, UnknownName
from facebench.metrics.checks import as_matrix
from facebench.metrics.products import placed

if TYPE_CHECKING:
    import numpy.typing as npt
    import torch

    from facebench.metrics.products import Singles

Screen = Literal["auto", "bfloat16", "never"]
"""Which products may go ahead of the float32 ones; no result depends on it. See :func:`screens`."""

_GRID = 2.0**26
_SQUARES = (1e-200, 1e200)  # of lengths, between which no member's square is lost
_ROWS = 1024  # brought to unit length at a time


def directions(vectors: npt.ArrayLike, what: str = "vectors") -> Singles:
    """Returns vectors at unit length with members that are multiples of 2**-26, shape ``(N, D)``, float32, a new array.

    What becomes of a row does not depend on the others. Memory-mapped vectors are read in blocks.

    Args:
        vectors: One vector a row, of any length but 0, shape ``(N, D)``.
        what: The name that an error message gives them.

    Raises:
        MetricError: If vectors are not finite or not two-dimensional, or one has length 0 and therefore no direction.
    """
    checked = as_matrix(vectors, what)
    found = np.empty(checked.shape, dtype=np.float32)
    zeros: list[int] = []
    for start in range(0, len(checked), _ROWS):
        block = checked[start : start + _ROWS].astype(np.float64)
        with np.errstate(over="ignore", under="ignore"):
            squares = np.vecdot(block, block)
        odd = np.flatnonzero(~((squares > _SQUARES[0]) & (squares < _SQUARES[1])))
        if odd.size:
            # Halved or doubled until float64 holds the squares, which leaves all digits as they are.
            reach = np.abs(block[odd]).max(axis=1)
            zeros += (start + odd[reach == 0]).tolist()
            block[odd] = np.ldexp(block[odd], -np.frexp(reach)[1][:, None])
            squares[odd] = np.where(reach == 0, 1, np.vecdot(block[odd], block[odd]))
        block *= (_GRID / np.sqrt(squares))[:, None]
        np.rint(block, out=block)
        np.multiply(block, 1 / _GRID, out=found[start : start + _ROWS], casting="same_kind")
    if zeros:
        raise MetricError(
            f"{what} of length 0 have no direction; found {len(zeros)} of {len(checked)}, the first is row {zeros[0]}; "
            "look for images that the embedder failed on"
        )
    return found


def as_thresholds(values: npt.ArrayLike) -> Singles:
    """Returns thresholds as float32, shape ``(T,)``: scores are float32, and NumPy and torch compare them so.

    Raises:
        MetricError: If they are not one-dimensional or not finite numbers.
    """
    array = np.asarray(values, dtype=np.float64) if np.size(values) else np.empty(0)
    if array.ndim != 1 or not np.isfinite(array).all():
        raise MetricError(f"thresholds must be finite numbers, one beside the other; found {values!r}")
    return array.astype(np.float32)


def screens(screen: str, device: str) -> bool:
    """Whether products are to be screened in bfloat16.

    Args:
        screen: ``"bfloat16"`` for yes, ``"never"`` for no, and ``"auto"`` for yes where the device has units for it,
            without which such products are slower than float32 ones.
        device: Where to multiply, in torch's words.

    Raises:
        UnknownName: If it is none of these.
    """
    if screen not in ("auto", "bfloat16", "never"):
        raise UnknownName("screen", screen, ("auto", "bfloat16", "never"))
    return screen == "bfloat16" or (screen == "auto" and has_bfloat16(device))


def has_bfloat16(device: str) -> bool:
    """Whether a device multiplies bfloat16 matrices in units of its own."""
    import torch

    if device.startswith("cuda"):
        return torch.cuda.is_available() and torch.cuda.is_bf16_supported(including_emulation=False)
    asks = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")  # private, and absent from some versions
    return device == "cpu" and any(bool(getattr(torch.cpu, ask, bool)()) for ask in asks)


@dataclass(frozen=True, slots=True, eq=False)
class Side:
    """Directions where they are multiplied.

    Attributes:
        single: Shape ``(N, D)``, float32.
        half: The same rounded to bfloat16, where products are screened.
        lost: The length, at most, of what that rounding took from one of them.
    """

    single: torch.Tensor
    half: torch.Tensor | None = None
    lost: float = 0.0

    @classmethod
    def of(cls, found: Singles, device: str, *, screened: bool) -> Side:
        """Puts directions on a device.

        Raises:
            MetricError: If the device cannot be used.
        """
        import torch

        single = placed(found, device)
        if not screened:
            return cls(single)
        half, lost = single.bfloat16(), 0.0
        for start in range(0, len(found), _ROWS):
            rows = slice(start, start + _ROWS)
            rest = single[rows].double() - half[rows].double()
            lost = max(lost, float(torch.linalg.vector_norm(rest, dim=1).max()))
        return cls(single, half, lost)
