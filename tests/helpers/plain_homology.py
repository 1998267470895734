"""H0 as topology-aligning losses are released: a stable sort of all edges, and a Python loop over all of them."""

from __future__ import annotations

import time

import numpy as np


def union_find(distances):
    """The edges of the tree, from every edge in the order of a stable sort, those past the last merge too."""
    first, second = np.triu_indices(len(distances))
    parent = np.arange(len(distances))

    def root(point):
        if parent[point] != point:
            parent[point] = root(parent[point])
        return parent[point]

    edges = []
    for edge in np.argsort(distances[first, second], kind="stable"):
        left, right = first[edge], second[edge]
        if root(left) != root(right):
            parent[root(left)] = root(right)
            edges.append((int(left), int(right)))
    return edges


def in_turns(works, rounds):
    """Median processor seconds of each, taken in turns, so that what else the machine does strikes them alike."""
    for work in works:
        work()
    taken = []
    for _ in range(rounds):
        row = []
        for work in works:
            start = time.process_time()
            work()
            row.append(time.process_time() - start)
        taken.append(row)
    return np.median(taken, axis=0)
