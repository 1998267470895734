"""A generator of coloured squares, which says what it was asked for and can be stopped."""

from __future__ import annotations

import numpy as np

from facebench.generation import Drawing, generate
from facebench.generators import Identities, Rendered
from facebench.progress import Bars

SIZE, WIDTH = 16, 5


class ColourfulSquares:
    """Identities are colours; every picture adds noise of its own.

    Args:
        left: After how many blocks it is interrupted.
    """

    def __init__(self, left=1000):
        self.left, self.asked, self.drawn = left, [], 0

    def identities(self, count, /, *, seed, folder, progress):
        assert folder.is_dir()
        self.drawn += 1
        vectors = [np.random.default_rng((seed, who)).normal(size=WIDTH) for who in range(count)]
        return Identities(np.array(vectors, dtype=np.float32), {"rejected": np.int64(3), "rule": "none"})

    def render(self, vectors, /, *, first, images, seed):
        if not self.left:
            raise KeyboardInterrupt
        self.left -= 1
        self.asked.append(range(first, first + len(vectors)))
        noise = np.array(
            [
                np.random.default_rng((seed, who, place)).normal(0, 20, (SIZE, SIZE, 3))
                for who in self.asked[-1]
                for place in range(images)
            ]
        )
        # The block itself leaves a trace, as it does in the last bits of a network.
        base = 120 + 30 * vectors[:, :3].repeat(images, axis=0)[:, None, None] + len(vectors)
        columns = self.columns(noise)
        vectors += 1  # the generator may do with them as it likes
        return Rendered(np.clip(base + noise, 0, 255).astype(np.uint8), vectors, columns)

    def columns(self, noise):
        means = noise.mean((1, 2, 3)).astype(np.float32)
        return {
            "sigma": means,
            "similarity": means.astype(np.float64) / 3,
            "success": means > 0,
            "step": np.arange(len(means)),
        }


def draw(out, generator=None, *, described=None, progress=None, **changed):
    """Draws 7 identities x 3 pictures in blocks of 2."""
    chosen = {"identities": 7, "images_per_id": 3, "encoding": "png", "block": 2, "seed": 4, **changed}
    described = {"generator": "squares", "options": {"a": 1, "b": [2.5]}} if described is None else described
    generator = ColourfulSquares() if generator is None else generator
    return generate(generator, Drawing(**chosen), out, described=described, progress=progress or Bars(quiet=True))


def every(folder):
    """All files below a folder by their path."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}
