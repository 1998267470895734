"""Checks of generators, and a small one that needs no training worth the name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from facebench.checkpoints import load_weights, read_checkpoint, save_checkpoint
from facebench.contracts import Preprocess, Recipe, fingerprint_of
from facebench.generators import GeneratorJob, Identities, Rendered
from facebench.pixels import to_input
from facebench.progress import Bars
from facebench.testing.broken import require
from facebench.testing.toys import TinyBackbone, toy_faces

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import numpy.typing as npt
    from torch import Tensor

    from facebench.contracts import Checkpoint, FaceDataset, Progress
    from facebench.generators import Generator
    from facebench.specs import GeneratorSpec


class TinyGenerator:
    """Draws coloured clouds from vectors: a ``Generator`` whose pictures a tiny network can tell apart.

    Args:
        size: Height and width of a picture, a multiple of 4.
    """

    def __init__(self, size: int = 16) -> None:
        self._size = size
        self._module: _Remembered | None = None

    def fit(self, job: GeneratorJob, /) -> Checkpoint:
        """Remembers the mean of what the extractor says of the faces."""
        if (job.folder / "checkpoint.json").is_file():
            return read_checkpoint(job.folder)
        module = _Remembered(job.extractor)
        images = np.stack([job.dataset[index].image for index in range(len(job.dataset))])
        with torch.inference_mode():
            vectors = job.extractor.eval()(to_input(torch.from_numpy(images), job.preprocess)).vectors
        module.centre.copy_(vectors.mean(dim=0).clone())
        job.epoch_ended(1, {"loss": 1.0})
        return save_checkpoint(job.folder, module, recipe=job.recipe, preprocess=job.preprocess)

    def load(self, folder: Path, /, *, extractor: nn.Module, preprocess: Preprocess, device: str) -> None:
        """Takes up a checkpoint."""
        module = _Remembered(extractor)
        load_weights(folder, module)
        self._module = module

    def identities(self, count: int, /, *, seed: int, folder: Path, progress: Progress) -> Identities:
        """Normal vectors around the mean, each from a seed of its own."""
        require(self._module is not None, "a generator draws identities before it was loaded")
        assert self._module is not None
        centre = self._module.centre.numpy()
        drawn = [np.random.default_rng((seed, 1, number)).normal(0, 1, len(centre)) for number in range(count)]
        return Identities((centre + np.stack(drawn)).astype(np.float32), {"rejected": 0})

    def render(self, vectors: npt.NDArray[np.float32], /, *, first: int, images: int, seed: int) -> Rendered:
        """Four by four patches of the vector's first members, repeated, under noise."""
        patches = self._size // 4
        colours = 128 + 60 * np.resize(vectors, (len(vectors), 48)).reshape(-1, 1, 4, 4, 3)
        whole = colours.repeat(images, axis=1).repeat(patches, axis=2).repeat(patches, axis=3)
        for number in range(len(vectors)):
            noise = np.random.default_rng((seed, 2, first + number))
            whole[number] += noise.normal(0, 15, whole[number].shape)
        pictures = np.clip(whole, 0, 255).astype(np.uint8).reshape(-1, self._size, self._size, 3)
        return Rendered(pictures, vectors, {"sigma": np.full(len(pictures), 15.0)})


class _Remembered(nn.Module):
    def __init__(self, extractor: nn.Module) -> None:
        super().__init__()
        self.extractor = extractor
        self.embedding_size = int(extractor.embedding_size)  # type: ignore[arg-type]
        self.centre: Tensor
        self.register_buffer("centre", torch.zeros(self.embedding_size))


def toy_generator_job(
    folder: Path,
    *,
    options: Any,
    dataset: FaceDataset | None = None,
    extractor: Callable[[], nn.Module] = TinyBackbone,
    preprocess: Preprocess | None = None,
    generator: str = "tiny",
    seed: int = 0,
) -> GeneratorJob:
    """A small job for a generator on the CPU.

    Args:
        folder: Where the generator writes.
        options: The generator's options.
        dataset: ``toy_faces()`` unless given.
        extractor: Makes the network, which stays untrained.
        preprocess: What that network expects; 112 x 112 pixels unless given.
        generator: Its name, for the recipe.
        seed: Of weights and training.
    """
    faces = dataset or toy_faces()
    torch.manual_seed(seed)
    recipe = Recipe(
        "tiny", {}, "", {}, faces.name, faces.fingerprint, fingerprint_of([generator, seed]), generator=generator
    )
    return GeneratorJob(
        extractor=extractor().eval(),
        preprocess=preprocess or Preprocess(),
        dataset=faces,
        num_classes=int(faces.labels.max()) + 1,
        options=options,
        recipe=recipe,
        device="cpu",
        seed=seed,
        folder=folder,
        progress=Bars(quiet=True),
        epoch_ended=lambda _epoch, _values: None,
    )


def check_generator(
    spec: GeneratorSpec,
    folder: Path,
    *,
    options: Any = None,
    drawing: Any = None,
    extractor: Callable[[], nn.Module] = TinyBackbone,
) -> None:
    """A generator trains, is loaded again, and draws the same people and pictures from the same seed.

    Args:
        spec: Of the generator.
        folder: For its checkpoint.
        options: Quick ones; the defaults unless given.
        drawing: How to draw; the defaults unless given.
        extractor: Makes the network that it learns from.
    """
    who = f"generator {spec.name!r}"
    chosen, how = options or spec.options(), drawing or spec.drawing()
    job = toy_generator_job(folder / "training", options=chosen, extractor=extractor, generator=spec.name)
    before = {name: value.clone() for name, value in job.extractor.state_dict().items()}
    with torch.random.fork_rng(devices=[]):
        checkpoint = spec.build(chosen, how).fit(job)
        again = spec.build(chosen, how).fit(job)
    require(read_checkpoint(job.folder) == checkpoint, f"{who}: the checkpoint on disk is not the one returned")
    require(again == checkpoint, f"{who}: a finished training gave another checkpoint when it was asked for again")
    after = job.extractor.state_dict()
    same = all(torch.equal(after[name], value) for name, value in before.items())
    require(same, f"{who}: training changed the extractor")
    first, second = (_loaded(spec, chosen, how, checkpoint, extractor) for _ in range(2))
    people = _people(first, 6, folder / "first", who)
    fewer = _people(second, 3, folder / "second", who)
    require(np.array_equal(people[:3], fewer), f"{who}: the first 3 of 6 identities are not those of 3")
    drawn = first.render(people[2:4], first=2, images=3, seed=5)
    twin = second.render(people[2:4], first=2, images=3, seed=5)
    _check_rendered(drawn, 2, 3, who)
    require(np.array_equal(drawn.images, twin.images), f"{who}: the same seed gave other pictures")
    other = second.render(people[2:4], first=2, images=3, seed=6)
    require(not np.array_equal(drawn.images, other.images), f"{who}: another seed gave the same pictures")


def _loaded(
    spec: GeneratorSpec, chosen: Any, how: Any, checkpoint: Checkpoint, extractor: Callable[[], nn.Module]
) -> Generator:
    generator: Generator = spec.build(chosen, how)
    generator.load(checkpoint.folder, extractor=extractor(), preprocess=checkpoint.preprocess, device="cpu")
    return generator


def _people(generator: Generator, count: int, folder: Path, who: str) -> npt.NDArray[np.float32]:
    folder.mkdir(parents=True, exist_ok=True)
    found = generator.identities(count, seed=5, folder=folder, progress=Bars(quiet=True)).vectors
    fits = found.dtype == np.float32 and found.ndim == 2 and len(found) == count
    require(fits, f"{who}: {count} identities are {found.dtype} {found.shape}, not float32 ({count}, D)")
    require(bool(np.isfinite(found).all()), f"{who}: an identity is not finite")
    return np.array(found)


def _check_rendered(drawn: Rendered, people: int, images: int, who: str) -> None:
    count = people * images
    pictures = drawn.images
    fits = pictures.dtype == np.uint8 and pictures.ndim == 4 and len(pictures) == count and pictures.shape[3] == 3
    require(fits, f"{who}: {people} x {images} pictures are {pictures.dtype} {pictures.shape}, not uint8 (.., H, W, 3)")
    require(len(drawn.vectors) == people, f"{who}: {len(drawn.vectors)} vectors came with {people} identities")
    uneven = [name for name, column in drawn.columns.items() if len(column) != count]
    require(not uneven, f"{who}: columns {', '.join(uneven)} do not have a value for each of {count} pictures")
