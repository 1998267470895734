"""Spearman's correlation between the levels of a ladder and confidences, for many sets of weights at once.

A bootstrap over people needs the correlation of the same numbers under a thousand weights. They are sorted once; ranks
are then running sums of weights. Whole weights give exactly the correlation of the faces repeated as often.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.stats import rankdata

if TYPE_CHECKING:
    import numpy.typing as npt

    Doubles = npt.NDArray[np.float64]


def pooled_spearman(values: Doubles, weights: Doubles) -> Doubles:
    """Over all faces at all levels together, ties at their middle rank.

    Args:
        values: Of each face at each of the rising levels, (F, L).
        weights: How often each face counts, (R, F).

    Returns:
        (R,), NaN where all values are equal.
    """
    levels = values.shape[1]
    order = np.argsort(values, axis=None, kind="stable")
    ordered = values.ravel()[order]
    first = np.append(True, ordered[1:] != ordered[:-1])
    starts = np.flatnonzero(first)
    ends = np.append(starts[1:], ordered.size)
    group = np.cumsum(first) - 1
    face, level = np.divmod(order, levels)
    drawn = weights[:, face]
    below = np.concatenate([np.zeros((len(weights), 1)), np.cumsum(drawn, axis=1)], axis=1)
    middle = (below[:, starts] + below[:, ends] - below[:, -1:]) / 2  # ranks around their mean, one for each value
    ranks = middle[:, group]
    # A face is drawn with all its levels, so that the levels' own ranks are evenly spaced whatever the weights.
    steps = level - (levels - 1) / 2
    with np.errstate(invalid="ignore", divide="ignore"):
        weighted = drawn * ranks
        found: Doubles = weighted @ steps / np.sqrt(np.einsum("rn,rn->r", weighted, ranks) * (drawn @ steps**2))
    return np.where(len(starts) > 1, found, np.nan)


def row_spearman(values: Doubles) -> Doubles:
    """Of each row with the order of its columns, ties at their middle rank.

    Args:
        values: (M, L), columns by rising level.

    Returns:
        (M,), NaN where all values of a row are equal.
    """
    levels = values.shape[1]
    ranks = rankdata(values, axis=1) - (levels + 1) / 2
    steps = np.arange(levels) - (levels - 1) / 2
    with np.errstate(invalid="ignore", divide="ignore"):
        found: Doubles = ranks @ steps / np.sqrt((ranks**2).sum(axis=1) * (steps**2).sum())
    return found
