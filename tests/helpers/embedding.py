"""A small data set and the call that embeds it."""

from __future__ import annotations

from facebench.embed import embed
from facebench.progress import Bars

SIZE, COUNT, BATCH = 32, 22, 4


def run(embedder, dataset, folder, **changed):
    settings = {"batch_size": BATCH, "workers": 1, "mirror": True, "progress": Bars(quiet=True), **changed}
    return embed(embedder, dataset, folder=folder, **settings)


def every(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}
