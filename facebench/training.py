"""The stock trainer: one plain loop that most methods need no other than.

Read ``ClassifierTrainer.fit``, then ``_Training.run`` and what it calls, from top to bottom. Every random choice
follows from the job's seed, the epoch and the step, so a training that was killed and continued goes through the same
numbers as one that was not; on a CPU, to the last bit.
"""

from __future__ import annotations

import csv
import dataclasses
import io
import itertools
import logging
import math
import time
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from facebench.checkpoints import DOCUMENT, read_checkpoint, save_checkpoint
from facebench.contracts import Batch
from facebench.errors import ConfigError, DataError, FacebenchError
from facebench.loading import read_ahead
from facebench.pixels import to_input
from facebench.resume import (
    forget_state,
    load_state,
    module_tensors,
    optimizer_tensors,
    random_tensors,
    restore_modules,
    restore_optimizer,
    restore_random,
    save_state,
)
from facebench.schedules import TrainerOptions, rate_at
from facebench.store import locked, write_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    import numpy.typing as npt
    from torch import Tensor

    from facebench.contracts import Checkpoint, Features, LossOutput, ProgressBar, TrainJob

    Perturb = Callable[[Tensor, np.random.Generator], Tensor]

__all__ = ["ClassifierTrainer", "TrainerOptions"]

log = logging.getLogger(__name__)

# Separate streams of random numbers from one seed: the order of the faces, what is done to them, and dropout.
_ORDER, _PIXELS, _TORCH = 1, 2, 3


class ClassifierTrainer:
    """Trains a backbone under a loss that classifies identities.

    Besides the checkpoint it leaves ``metrics.csv`` in the job's folder, one line per epoch.

    Args:
        options: How to train.
        perturb: For methods that disturb the network's input: from float (N, 3, H, W) images and a generator to images
            of the same shape. The loss finds the undisturbed images in ``Batch.source``.
    """

    def __init__(self, options: TrainerOptions, *, perturb: Perturb | None = None) -> None:
        self.options = options
        self.perturb = perturb

    def fit(self, job: TrainJob, /) -> Checkpoint:
        """Trains, continues what a killed call left in ``job.folder``, or returns what is finished there.

        Raises:
            DataError: When labels do not fit the number of classes, a face cannot be read or a saved state is damaged.
            ConfigError: When the folder holds another training.
            FacebenchError: When the loss stops being finite; nothing is saved of that.
        """
        finished = _finished(job)
        if finished is not None:
            return finished
        busy = f"another process is training in {job.folder}; wait for it, or use another cache"
        with locked(job.folder, busy=busy):
            finished = _finished(job)
            if finished is not None:
                return finished
            with _own_randomness(job):
                training = _Training(job, self.options, self.perturb)
                training.resume()
                training.run()
            checkpoint = save_checkpoint(job.folder, job.backbone, recipe=job.recipe, preprocess=job.preprocess)
            forget_state(job.folder)
        return checkpoint


@dataclass(slots=True)
class _Journal:
    """Where a training stands, in plain values.

    Attributes:
        epoch: Complete epochs.
        step: Complete steps of the current epoch.
        faces: Faces seen in them.
        seconds: Time they took.
        sums: Values summed over those faces.
        rows: The values of each complete epoch.
    """

    epoch: int = 0
    step: int = 0
    faces: int = 0
    seconds: float = 0.0
    sums: dict[str, float] = field(default_factory=dict)
    rows: list[dict[str, float]] = field(default_factory=list)

    def add(self, values: Mapping[str, float], faces: int) -> None:
        """Enters one step."""
        self.step += 1
        self.faces += faces
        for name, value in values.items():
            self.sums[name] = self.sums.get(name, 0.0) + value * faces

    def close_epoch(self, rate: float) -> dict[str, float]:
        """Ends the epoch and returns its values."""
        values = {name: total / self.faces for name, total in self.sums.items()}
        values |= {"learning_rate": rate, "images_per_second": self.faces / max(self.seconds, 1e-9)}
        self.epoch, self.step, self.faces, self.seconds, self.sums = self.epoch + 1, 0, 0, 0.0, {}
        self.rows.append({"epoch": self.epoch, **values})
        return values


class _Training:
    """The loop and all that changes while it runs."""

    def __init__(self, job: TrainJob, options: TrainerOptions, perturb: Perturb | None) -> None:
        self.job, self.options, self.perturb = job, options, perturb
        self.labels = torch.from_numpy(_checked_labels(job))
        self.device = torch.device(job.device)
        self.half = _half(options.precision, self.device)
        layout = torch.channels_last if options.channels_last else torch.contiguous_format
        self.backbone = job.backbone.to(self.device, memory_format=layout).train()  # type: ignore[call-overload]
        self.loss = job.loss.to(self.device).train()
        self.optimizer = _optimizer(options, [*self.backbone.parameters(), *self.loss.parameters()])
        # Batch normalisation cannot train on one face, so a remainder of one is left out of its epoch.
        whole, rest = divmod(len(self.labels), options.batch_size)
        self.steps = whole + (rest >= 2)
        self.faces = len(self.labels) - (rest == 1)
        self.journal = _Journal()
        self.saved_at = time.monotonic()
        self.told_of_size = False

    def run(self) -> None:
        """All epochs that are left."""
        total, journal = self.options.epochs * self.faces, self.journal
        done = journal.epoch * self.faces + journal.faces
        with self.job.progress.bar(total, f"training {self.job.recipe.backbone}", unit="face", start=done) as bar:
            while journal.epoch < self.options.epochs:
                self._finish_steps(bar)
                values = journal.close_epoch(self._rate(self.steps - 1))
                self.save()
                self._tell(values)

    def _finish_steps(self, bar: ProgressBar) -> None:
        """The steps left of the current epoch."""
        job, journal, size = self.job, self.journal, self.options.batch_size
        order = _random(job, _ORDER, journal.epoch).permutation(len(self.labels))
        parts = [order[start : start + size] for start in range(0, self.steps * size, size)][journal.step :]
        ahead = read_ahead(job.dataset, parts, size=job.preprocess.size, workers=self.options.workers)
        mark = time.perf_counter()
        with closing(ahead) as batches:
            for part, batch in zip(parts, batches, strict=True):
                self._mention_size(batch.resized)
                values = self._step(batch.images, part)
                journal.add(values, len(part))
                now = time.perf_counter()
                journal.seconds += now - mark
                mark = now
                bar.advance(len(part), epoch=f"{journal.epoch + 1}/{self.options.epochs}", loss=values["loss"])
                if time.monotonic() - self.saved_at >= self.options.save_seconds:
                    self.save()

    def _step(self, images: npt.NDArray[np.uint8], part: npt.NDArray[np.int64]) -> dict[str, float]:
        """One descent, on the faces ``part``; returns the loss, its terms and the norm of the network's gradient."""
        for group in self.optimizer.param_groups:
            group["lr"] = self._rate(self.journal.step)
        batch = self._batch(images, part)
        with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.half):
            features: Features[Tensor] = self.backbone(batch.images)
        output: LossOutput = self.loss(batch, _in_float32(features))
        self.optimizer.zero_grad()
        output.total.backward()  # type: ignore[no-untyped-call]
        limit = self.options.clip_gradient or math.inf
        norm = torch.nn.utils.clip_grad_norm_(self.backbone.parameters(), limit)
        self.optimizer.step()
        values = {"loss": output.total, **output.terms, "gradient_norm": norm}
        # One transfer per step, when all of the step's work is under way.
        numbers = torch.stack([value.detach().float() for value in values.values()]).tolist()
        found = dict(zip(values, numbers, strict=True))
        self._refuse_infinite(found, part)
        return found

    def _batch(self, images: npt.NDArray[np.uint8], part: npt.NDArray[np.int64]) -> Batch:
        """Moves faces to the device as bytes and prepares them there."""
        draws = _random(self.job, _PIXELS, self.journal.epoch, self.journal.step)
        pixels = torch.from_numpy(np.require(images, requirements=["C", "W"]))
        mirrored = torch.from_numpy(draws.random(len(part)) < self.options.flip)
        labels = self.labels[torch.from_numpy(part)]
        if self.device.type == "cuda":
            pixels = pixels.pin_memory()
        pixels = pixels.to(self.device, non_blocking=True)
        mirrored, labels = mirrored.to(self.device), labels.to(self.device)
        pixels = torch.where(mirrored[:, None, None, None], pixels.flip(2), pixels)
        source = to_input(pixels, self.job.preprocess)
        if self.perturb is None:
            return Batch(images=source, labels=labels)
        return Batch(images=self.perturb(source, draws), labels=labels, source=source)

    def _rate(self, step: int) -> float:
        """The learning rate of a step of the current epoch."""
        total = self.options.epochs * self.steps
        warmup = min(round(self.options.warmup_epochs * self.steps), total - 1)
        place = self.journal.epoch * self.steps + step
        return rate_at(place, steps=total, warmup=warmup, chosen=self.options)

    def _refuse_infinite(self, values: Mapping[str, float], part: npt.NDArray[np.int64]) -> None:
        for name, value in values.items():
            if not math.isfinite(value):
                keys = ", ".join(self.job.dataset.keys[int(index)] for index in part[:4])
                more = f" and {len(part) - 4} more" if len(part) > 4 else ""
                raise FacebenchError(
                    f"training stopped: {name} is {value} in epoch {self.journal.epoch + 1}, step "
                    f"{self.journal.step + 1} (faces {keys}{more}); try a lower learning rate, a warm-up or float32"
                )

    def _mention_size(self, resized: int) -> None:
        if resized and not self.told_of_size:
            height, width = self.job.preprocess.size
            log.warning("pictures of another size than %dx%d are resized; were the faces aligned?", height, width)
            self.told_of_size = True

    def _tell(self, values: Mapping[str, float]) -> None:
        """Log, table and hooks learn of a complete epoch."""
        _write_table(self.job, self.journal.rows)
        shown = ", ".join(f"{name} {value:.4g}" for name, value in values.items())
        log.info("epoch %d of %d: %s", self.journal.epoch, self.options.epochs, shown)
        self.job.epoch_ended(self.journal.epoch, values)

    def save(self) -> None:
        """Puts all that ``resume`` needs on the disk."""
        tensors = module_tensors({"backbone": self.backbone, "loss": self.loss})
        tensors |= optimizer_tensors(self.optimizer) | random_tensors()
        values = {"recipe": self.job.recipe.fingerprint, "journal": dataclasses.asdict(self.journal)}
        save_state(self.job.folder, self.journal.epoch * self.steps + self.journal.step, tensors, values)
        self.saved_at = time.monotonic()

    def resume(self) -> None:
        """Takes up what an earlier process saved, if it did."""
        saved = load_state(self.job.folder)
        if saved is None:
            return
        tensors, values = saved
        _refuse_other(self.job, values["recipe"])
        restore_modules({"backbone": self.backbone, "loss": self.loss}, tensors)
        restore_optimizer(self.optimizer, tensors)
        restore_random(tensors)
        self.journal = _Journal(**values["journal"])
        # The process may have been killed between saving an epoch and writing it to the table.
        _write_table(self.job, self.journal.rows)
        log.info("continuing in epoch %d at step %d", self.journal.epoch + 1, self.journal.step + 1)


def _finished(job: TrainJob) -> Checkpoint | None:
    if not (job.folder / DOCUMENT).is_file():
        return None
    checkpoint = read_checkpoint(job.folder)
    _refuse_other(job, checkpoint.recipe.fingerprint)
    return checkpoint


def _refuse_other(job: TrainJob, fingerprint: str) -> None:
    if fingerprint != job.recipe.fingerprint:
        raise ConfigError(
            f"{job.folder} holds another training ({fingerprint}, not {job.recipe.fingerprint}); choose another folder"
        )


@contextmanager
def _own_randomness(job: TrainJob) -> Iterator[None]:
    """Torch's generators start from the job's seed, and go on outside as if nothing had been drawn."""
    devices = [torch.device(job.device)] if job.device.startswith("cuda") else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(int(_random(job, _TORCH).integers(2**63)))
        yield


def _random(job: TrainJob, *place: int) -> np.random.Generator:
    return np.random.default_rng((place[0], job.seed, *place[1:]))


def _checked_labels(job: TrainJob) -> npt.NDArray[np.int64]:
    """The labels as an array of our own.

    Raises:
        DataError: When they are not 0..C-1 with at least two classes.
    """
    labels = np.array(job.dataset.labels, dtype=np.int64)
    name, classes = job.dataset.name, job.num_classes
    if classes < 2:
        raise DataError(f"training set {name!r} has {classes} identities; telling them apart takes at least 2")
    if len(labels) != len(job.dataset) or len(labels) < 2:
        raise DataError(f"training set {name!r} has {len(job.dataset)} faces and {len(labels)} labels")
    wrong = np.flatnonzero((labels < 0) | (labels >= classes))
    if len(wrong):
        first = int(wrong[0])
        raise DataError(
            f"training set {name!r}: face {job.dataset.keys[first]!r} has label {labels[first]}, outside "
            f"0..{classes - 1} ({len(wrong)} such faces); number the identities from 0 without gaps"
        )
    return labels


def _half(precision: str, device: torch.device) -> bool:
    """Whether the network computes in bfloat16. CPUs do not unless told: float32 is the same on all of them."""
    if precision == "auto":
        return device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
    return precision == "bfloat16"


def _optimizer(options: TrainerOptions, parameters: list[Tensor]) -> torch.optim.Optimizer:
    trained = [parameter for parameter in parameters if parameter.requires_grad]
    shared: dict[str, Any] = {"lr": options.learning_rate, "weight_decay": options.weight_decay}
    if trained and trained[0].is_cuda:
        shared["fused"] = True
    if options.optimizer == "adamw":
        return torch.optim.AdamW(trained, **shared)
    return torch.optim.SGD(trained, momentum=options.momentum, **shared)


def _in_float32(features: Features[Tensor]) -> Features[Tensor]:
    confidence = None if features.confidence is None else features.confidence.float()
    return dataclasses.replace(features, vectors=features.vectors.float(), confidence=confidence)


def _write_table(job: TrainJob, rows: list[dict[str, float]]) -> None:
    """Writes all epochs anew, so that no resumption can leave one out or enter it twice."""
    if not rows:
        return
    names = list(dict.fromkeys(itertools.chain.from_iterable(rows)))
    text = io.StringIO()
    table = csv.DictWriter(text, names, restval="", lineterminator="\n")
    table.writeheader()
    table.writerows(rows)
    write_text(job.folder / "metrics.csv", text.getvalue())
