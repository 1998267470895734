"""Separability the plain way: the whole matrix of similarities, and loops over it."""

from __future__ import annotations

import numpy as np

from facebench.metrics.cosines import directions


def exact(first, second=None):
    """Scores by whole numbers: members in units of 2**-26, their products added up in units of 2**-52."""
    left = (directions(first).astype(np.float64) * 2**26).astype(np.int64)
    right = left if second is None else (directions(second).astype(np.float64) * 2**26).astype(np.int64)
    return ((left @ right.T) / 2**52).astype(np.float32)


def strict(scores, tau):
    """Those that are not too close to any other, by the whole row."""
    return np.array([not (np.delete(row, i) > tau).any() for i, row in enumerate(scores)], dtype=bool)


def first_occurrence(scores, tau):
    """Those that are not too close to an earlier one, as the published code has it."""
    return np.array([not (scores[:j, j] > tau).any() for j in range(len(scores))], dtype=bool)


def greedy(scores, tau):
    """Those that are not too close to one that was accepted earlier."""
    accepted = []
    for j in range(len(scores)):
        if not (scores[accepted, j] > tau).any():
            accepted.append(j)
    return np.isin(np.arange(len(scores)), accepted)


def greedy_of(vectors, tau):
    return greedy(exact(vectors), np.float32(tau))
