"""Vec2Face as facebench sees it: trained on faces and what an extractor says of them, then asked for people."""

from __future__ import annotations

import dataclasses
import logging
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from facebench import FacebenchError, Rendered, TrainJob, fingerprint_of
from facebench.checkpoints import load_weights
from facebench.embed import embed
from facebench.inference import TorchEmbedder
from facebench.metrics import Groups, identity_means
from facebench.ranks import told, world
from facebench.training import ClassifierTrainer
from facebench_vec2face.extractors import check_extractor
from facebench_vec2face.learner import Learner
from facebench_vec2face.losses import Vec2FaceLoss
from facebench_vec2face.painter import Painter
from facebench_vec2face.perturbation import perturbed
from facebench_vec2face.reading import Reader
from facebench_vec2face.sampling import Statistics, draw_identities, fit

if TYPE_CHECKING:
    from pathlib import Path

    import numpy.typing as npt
    from torch import nn

    from facebench import Checkpoint, GeneratorJob, Identities, Preprocess, Progress
    from facebench_vec2face.drawing import DrawingOptions
    from facebench_vec2face.options import Vec2FaceOptions

log = logging.getLogger(__name__)

_BATCH = 64  # faces that go through the extractor together
_LOOKED_AT = 100_000  # vectors from which deviations are told
_VECTORS = "vectors"


@dataclass(frozen=True, slots=True)
class _Known:
    """What a look at the training set has shown.

    Attributes:
        people: Where the means of its people lie, scaled.
        scale: By what raw vectors are divided.
    """

    people: Statistics
    scale: float

    def tell(self, learner: Learner) -> None:
        """Enters it into what is kept."""
        learner.scale.fill_(self.scale)
        learner.centre.copy_(torch.from_numpy(self.people.mean))
        learner.spread.copy_(torch.from_numpy(self.people.covariance))
        learner.count.fill_(self.people.people)


class Vec2Face:
    """The generator.

    Args:
        options: Of the training.
        drawing: Of identities and pictures.
    """

    def __init__(self, options: Vec2FaceOptions, drawing: DrawingOptions) -> None:
        self.options, self.drawing = options, drawing
        self._painter: Painter | None = None

    def fit(self, job: GeneratorJob, /) -> Checkpoint:
        """Trains, or continues; see ``ClassifierTrainer.fit`` for what is left and what is raised.

        The checkpoint holds the generator, the extractor, and the distribution of the means of its people's vectors.

        Raises:
            DataError: When the extractor's vectors do not differ.
        """
        options = self.options
        finished = told((job.folder / "checkpoint.json").is_file() if world().first else False)
        known = None if finished else self._known(job)
        # The weights at the start depend on the seed alone.
        torch.manual_seed(job.seed)
        learner = Learner(job.extractor, job.preprocess, options)
        if known is not None:
            known.tell(learner)
        loss = Vec2FaceLoss(options)
        loss.plan(-(-len(job.dataset) // options.batch_size) * options.epochs)
        training = TrainJob(
            backbone=learner,
            loss=loss,
            preprocess=job.preprocess,
            dataset=job.dataset,
            num_classes=job.num_classes,
            options=options,
            recipe=job.recipe,
            device=job.device,
            seed=job.seed,
            folder=job.folder,
            progress=job.progress,
            epoch_ended=job.epoch_ended,
        )
        checkpoint = ClassifierTrainer(options).fit(training)
        if world().first:
            shutil.rmtree(job.folder / _VECTORS, ignore_errors=True)
        return checkpoint

    def _known(self, job: GeneratorJob) -> _Known:
        """Looks at the whole training set once: what its vectors are like, and where its people lie."""
        side = self.options.shape.image
        name = fingerprint_of([job.recipe.start, side, job.preprocess.fingerprint])
        found = embed(
            TorchEmbedder(Reader(job.extractor, side), job.preprocess, device=job.device, fingerprint=name),
            job.dataset,
            folder=job.folder / _VECTORS,
            batch_size=_BATCH,
            workers=self.options.workers,
            mirror=False,
            progress=job.progress,
        ).embeddings
        fitness = check_extractor(job.extractor, np.asarray(found.vectors[:: max(1, len(found.vectors) // _LOOKED_AT)]))
        for warning in fitness.warnings if world().first else ():
            log.warning("%s", warning)
        means = identity_means(found.vectors, Groups.of(job.dataset.labels))
        return _Known(fit(means.vectors / fitness.scale), fitness.scale)

    def load(self, folder: Path, /, *, extractor: nn.Module, preprocess: Preprocess, device: str) -> None:
        """Takes up a checkpoint that ``fit`` left.

        Raises:
            DataError: When it is damaged or does not fit.
        """
        still = dataclasses.replace(self.options, perceptual="off", lpips_weights="")
        learner = Learner(extractor, preprocess, still)
        load_weights(folder, learner)
        self._painter = Painter(learner.to(device).eval(), preprocess, self.drawing)

    def identities(self, count: int, /, *, seed: int, folder: Path, progress: Progress) -> Identities:
        """Draws identities from the distribution of the training people's means; see ``draw_identities``."""
        painter = self._ready
        learner = painter.learner
        people = Statistics(
            learner.centre.double().cpu().numpy(), learner.spread.double().cpu().numpy(), int(learner.count)
        )
        device = str(learner.centre.device)
        return draw_identities(
            people, count, chosen=self.drawing, seed=seed, folder=folder, progress=progress, device=device
        )

    def render(self, vectors: npt.NDArray[np.float32], /, *, first: int, images: int, seed: int) -> Rendered:
        """Draws pictures of identities, each from a perturbed vector under a mask of its own.

        Columns: ``sigma``; ``similarity``, the cosine of the identity and the picture as the extractor sees it; with
        AttrOP also ``success`` and ``steps``.
        """
        painter, chosen = self._ready, self.drawing
        people = np.array(vectors, dtype=np.float32)
        columns: dict[str, npt.NDArray[np.generic]] = {}
        if chosen.attrop == "identities":
            steered = painter.steer(people, people, first=first, images=1, seed=seed)
            people = steered.vectors
            columns = {"success": np.repeat(steered.success, images), "steps": np.repeat(steered.steps, images)}
        drawn = perturbed(people, first=first, images=images, sigmas=chosen.sigmas, shares=chosen.shares, seed=seed)
        moved, seeds = drawn.vectors, painter.seeds(len(people), first=first, images=images, seed=seed)
        if chosen.attrop == "images":
            steered = painter.steer(moved, np.repeat(people, images, axis=0), first=first, images=images, seed=seed)
            moved, seeds = steered.vectors, steered.seeds
            columns = {"success": steered.success, "steps": steered.steps}
        pictures, similarity = painter.paint(moved, seeds, np.repeat(people, images, axis=0))
        told_of = {"sigma": drawn.sigmas.astype(np.float32), "similarity": similarity, **columns}
        return Rendered(pictures, people, told_of)

    @property
    def _ready(self) -> Painter:
        if self._painter is None:
            raise FacebenchError("vec2face was asked for faces before it was loaded; call load first")
        return self._painter
