"""A training as a whole: the folder it owns, what it finds there, what it leaves."""

from __future__ import annotations

import shutil
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, cast

import torch

from facebench.checkpoints import DOCUMENT, load_weights, read_checkpoint, save_checkpoint
from facebench.ranks import told, wait, world
from facebench.resume import forget_state, save_classes
from facebench.store import locked
from facebench.training.loop import Loop, refuse_other
from facebench.training.order import TORCH, randomness

if TYPE_CHECKING:
    from collections.abc import Iterator

    from facebench.contracts import Checkpoint, TrainJob
    from facebench.schedules import TrainerOptions
    from facebench.training.loop import Perturb


class ClassifierTrainer:
    """Trains a backbone under a loss that classifies identities, in one process or, under a launcher, in many.

    Besides the checkpoint it leaves ``metrics.csv`` (a line for each epoch) and ``steps.csv`` in the job's folder, the
    class centres beside the weights.

    Args:
        options: How to train.
        perturb: For methods that disturb the network's input: from float (N, 3, H, W) images, a generator and the
            faces' rows in the training set, int64 (N,), to images of the same shape and ``Batch.marks``, or None. The
            loss finds the undisturbed images in ``Batch.source``.
    """

    def __init__(self, options: TrainerOptions, *, perturb: Perturb | None = None) -> None:
        self.options = options
        self.perturb = perturb

    def fit(self, job: TrainJob, /) -> Checkpoint:
        """Trains, continues what a killed call left in ``job.folder``, or returns what is finished there.

        Raises:
            DataError: When labels do not fit the number of classes, a face cannot be read or a saved state is damaged.
            ConfigError: When the folder holds another training, or options do not go together.
            FacebenchError: When the loss stops being finite; nothing is saved of that.
        """
        finished = told(_finished(job))
        if finished is not None:
            return finished
        busy = f"another process is training in {job.folder}; wait for it, or use another cache"
        with locked(job.folder, busy=busy) if world().first else nullcontext():
            return told(_finished(job)) or self._train(job)

    def _train(self, job: TrainJob) -> Checkpoint:
        with _own_randomness(job):
            loop = Loop(job, self.options, self.perturb)
            loop.resume()
            loop.run()
        kept = loop.network
        if self.options.keep == "best" and job.validate is not None and self.options.epochs:
            load_weights(job.folder / "best", kept)
        if self.options.keep_classes:
            save_classes(job.folder, job.loss)
        wait()
        checkpoint = None
        if world().first:
            checkpoint = save_checkpoint(job.folder, kept.float(), recipe=job.recipe, preprocess=job.preprocess)
            forget_state(job.folder)
            shutil.rmtree(job.folder / "best", ignore_errors=True)
        return cast("Checkpoint", told(checkpoint))


def _finished(job: TrainJob) -> Checkpoint | None:
    """What the folder holds, if it is complete; only the first process looks."""
    if not world().first or not (job.folder / DOCUMENT).is_file():
        return None
    checkpoint = read_checkpoint(job.folder)
    refuse_other(job, checkpoint.recipe.fingerprint)
    return checkpoint


@contextmanager
def _own_randomness(job: TrainJob) -> Iterator[None]:
    """Torch's generators start from the job's seed, and go on outside as if nothing had been drawn."""
    devices = [torch.device(job.device)] if job.device.startswith("cuda") else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(int(randomness(TORCH, job.seed).integers(2**63)))
        yield
