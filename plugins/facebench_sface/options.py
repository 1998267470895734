"""What users can set of the loss; free of torch."""

from __future__ import annotations

from typing import Literal

from facebench import ClassOptions, option, options

# a and b that the authors' code gives for each training set.
PRESETS = {"casia": (0.87, 1.20), "vggface2": (0.88, 1.25), "ms1mv2": (0.90, 1.20)}


@options
class SFaceOptions(ClassOptions):
    """Options of ``sface``."""

    preset: Literal["casia", "vggface2", "ms1mv2"] = option(
        default="casia",
        help="the authors' a and b for a training set: casia 0.87 and 1.20, vggface2 0.88 and 1.25, ms1mv2 0.90 and "
        "1.20; a or b wins where it is set",
    )
    a: float = option(
        default=0.0, help="radians; nearer to its own centre a face is left alone; 0: as preset says", ge=0, le=1.57
    )
    b: float = option(
        default=0.0,
        help="radians; farther from another centre a face is left alone; 0: as preset says",
        ge=0,
        le=3.1416,
    )
    scale: float = option(default=64.0, help="s: the most that a face is pulled or pushed", gt=0, le=1000)
    slope: float = option(default=80.0, help="k: how sharply pull and push are switched at a and b", gt=0, le=1000)
    quality: Literal["off", "norm"] = option(
        default="off",
        help="norm: hard faces are pulled more where an embedding is long, less where it is short; facebench's own, "
        "not in the paper",
    )
    gamma: float = option(default=0.3, help="quality: by what share a hard face's pull changes", ge=0, lt=1)
    delta: float = option(default=0.05, help="quality: by how much a changes, radians", ge=0, le=0.5)
    h: float = option(default=0.333, help="quality: 1 / h standard deviations of the length count in full", gt=0, le=10)
    norm_sign: Literal[1, -1] = option(default=1, help="quality: -1 where longer embeddings mean worse faces")

    def boundaries(self) -> tuple[float, float]:
        """The two angles in force: a, b."""
        a, b = PRESETS[self.preset]
        return self.a or a, self.b or b
