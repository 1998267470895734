"""A trained generator at work: vectors in, pictures out, and back again through the extractor."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Final

import numpy as np
import torch
from torch.nn import functional

from facebench_vec2face.attrop import adjust
from facebench_vec2face.drawing import STEERING
from facebench_vec2face.estimators import pose_estimator, quality_estimator
from facebench_vec2face.masking import Masking
from facebench_vec2face.perturbation import picture_seeds
from facebench_vec2face.pictures import resized

if TYPE_CHECKING:
    import numpy.typing as npt
    from torch import Tensor

    from facebench import Preprocess
    from facebench_vec2face.drawing import DrawingOptions
    from facebench_vec2face.estimators import Estimator
    from facebench_vec2face.learner import Learner
    from facebench_vec2face.masking import Mask

    Singles = npt.NDArray[np.float32]
    Seeds = npt.NDArray[np.int64]

BATCH: Final = 64
"""Pictures drawn together: on a processor, more are no faster and fill the memory."""
_WORDS = 2**-53


@dataclass(frozen=True, slots=True, eq=False)
class Steered:
    """Vectors that AttrOP has moved.

    Attributes:
        vectors: float32 (N, D).
        success: bool (N,).
        steps: int64 (N,).
        seeds: int64 (N,), the masks of the pictures that were judged.
    """

    vectors: Singles
    success: npt.NDArray[np.bool_]
    steps: npt.NDArray[np.int64]
    seeds: Seeds


class Painter:
    """Draws with a generator that does not learn any more.

    Args:
        learner: In evaluation mode, on its device.
        preprocess: Of its extractor; pictures are handed over in that size.
        chosen: How to draw.
    """

    def __init__(self, learner: Learner, preprocess: Preprocess, chosen: DrawingOptions) -> None:
        self.learner = learner.requires_grad_(False)
        self._preprocess, self._chosen = preprocess, chosen
        self._device = learner.centre.device
        if chosen.mask_ratio:
            self._masking = Masking(min(chosen.mask_min, chosen.mask_ratio), 1.0, chosen.mask_ratio, chosen.mask_std)
        else:
            self._masking = Masking(chosen.mask_min, chosen.mask_max, chosen.mask_mean, chosen.mask_std)

    @staticmethod
    def seeds(people: int, *, first: int, images: int, seed: int) -> Seeds:
        """A seed for the mask of each picture."""
        return picture_seeds(people, first=first, images=images, seed=seed)

    def paint(self, vectors: Singles, seeds: Seeds, identities: Singles) -> tuple[npt.NDArray[np.uint8], Singles]:
        """Draws a picture of each vector.

        Args:
            vectors: (N, D).
            seeds: (N,), of the masks.
            identities: (N, D), who each picture should show.

        Returns:
            uint8 (N, H, W, 3) RGB in the extractor's size, and the cosine (N,) of each picture, as the extractor sees
            it, with its identity.
        """
        height, width = self._preprocess.size
        pictures = np.empty((len(vectors), height, width, 3), dtype=np.uint8)
        similarity = np.empty(len(vectors), dtype=np.float32)
        with torch.inference_mode():
            for start in range(0, len(vectors), BATCH):
                rows = slice(start, start + BATCH)
                drawn = self._decode(self._tensor(vectors[rows]), seeds[rows]).float().clamp(-1, 1)
                shown = resized(drawn, (height, width)).clamp(-1, 1)
                pixels = ((shown + 1) * 127.5).round().to(torch.uint8)
                pictures[rows] = pixels.permute(0, 2, 3, 1).cpu().numpy()
                found = functional.cosine_similarity(
                    self.learner.read(drawn).float(), self._tensor(identities[rows]), dim=1
                )
                similarity[rows] = found.cpu().numpy()
        return pictures, similarity

    def steer(self, starts: Singles, identities: Singles, *, first: int, images: int, seed: int) -> Steered:
        """Moves vectors by AttrOP, as the options say.

        Args:
            starts: (N, D), of ``images`` pictures of each identity from number ``first`` on.
            identities: (N, D), to which each is held.
            first: Number of the first identity.
            images: Pictures of each.
            seed: Of the drawing.
        """
        chosen = self._chosen
        people = len(starts) // images
        seeds = picture_seeds(people, first=first, images=images, seed=seed, stream=STEERING)
        parts = []
        for start in range(0, len(starts), BATCH):
            rows = slice(start, start + BATCH)
            found = adjust(
                self._tensor(starts[rows]),
                self._tensor(identities[rows]),
                self._decode,
                self.learner.read,
                chosen=chosen,
                seeds=seeds[rows],
                quality=self._quality,
                pose=self._pose,
            )
            parts.append(
                (found.vectors.cpu().numpy(), found.success.cpu().numpy(), found.steps.cpu().numpy(), found.seeds)
            )
        vectors, success, steps, used = (np.concatenate(column) for column in zip(*parts, strict=True))
        return Steered(vectors.astype(np.float32), success, steps, used)

    @cached_property
    def _quality(self) -> Estimator | None:
        """Read once: every block of identities asks for it."""
        return quality_estimator(self._chosen, self.learner.extractor, self._preprocess)

    @cached_property
    def _pose(self) -> Estimator | None:
        return pose_estimator(self._chosen) if self._chosen.attrop == "images" else None

    def _decode(self, vectors: Tensor, seeds: Seeds) -> Tensor:
        """Pictures (N, 3, S, S) of vectors, each under the mask of its seed."""
        images: Tensor = self.learner.network(vectors, self._mask(seeds)).images
        return images

    def _mask(self, seeds: Seeds) -> Mask:
        """A mask for each seed, which decides its share and its rows."""
        rows = self.learner.network.shape.rows
        numbers = np.stack([np.random.Philox(int(seed)).random_raw(rows + 1) for seed in seeds])
        uniform = torch.from_numpy((numbers >> np.uint64(11)).astype(np.float64) * _WORDS)
        ratio = self._chosen.mask_ratio
        shares = torch.full((len(seeds),), ratio, dtype=torch.float64) if ratio else self._masking.shares(uniform[:, 0])
        return self._masking.mask(uniform[:, 1:], shares).to(self._device)

    def _tensor(self, vectors: Singles) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(vectors)).to(self._device)
