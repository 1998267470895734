"""The loop. Read ``Loop.run`` and what it calls, from top to bottom.

Every random choice follows from the job's seed, the epoch and the step, so a training that was killed and continued
goes through the same numbers as one that was not; on a CPU, to the last bit.
"""

from __future__ import annotations

import copy
import dataclasses
import logging
import math
import time
from contextlib import closing, nullcontext
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from facebench.augment import Augment
from facebench.checkpoints import save_checkpoint
from facebench.contracts import Batch
from facebench.errors import ConfigError, DataError
from facebench.loading import read_ahead
from facebench.pixels import to_input
from facebench.ranks import united, world
from facebench.resume import load_state, readable, save_state
from facebench.schedules import rate_at
from facebench.sharding import averaged, share_first
from facebench.training.descent import Descent
from facebench.training.journal import Journal, Tables, not_finite
from facebench.training.noise import with_noise
from facebench.training.order import MIRROR, PERTURB, TORCH, Order, Together, randomness

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from contextlib import AbstractContextManager

    import numpy.typing as npt
    from torch import Tensor

    from facebench.contracts import Features, LossOutput, ProgressBar, TrainJob
    from facebench.datasets import Batch as Pictures
    from facebench.schedules import TrainerOptions

    Perturb = Callable[[Tensor, np.random.Generator, npt.NDArray[np.int64]], tuple[Tensor, Tensor | None]]

log = logging.getLogger(__name__)


class Loop:
    """All epochs of one training, and all that changes while they run.

    Args:
        job: What to train, on what.
        options: How.
        perturb: Disturbs the network's input, or None.
    """

    def __init__(self, job: TrainJob, options: TrainerOptions, perturb: Perturb | None) -> None:
        self.job, self.options, self.perturb = job, options, perturb
        if options.keep == "best" and job.validate is None:
            raise ConfigError("trainer.keep=best needs something to judge by; name a protocol with --validate")
        labels = _checked_labels(job)
        if options.label_noise:
            labels = with_noise(labels, options.label_noise, classes=job.num_classes, seed=job.seed)
            log.warning("%d of %d labels were made wrong on purpose", (labels != job.dataset.labels).sum(), len(labels))
        self.labels = torch.from_numpy(labels)
        self.device = torch.device(job.device)
        self.order = Order(len(self.labels), options.batch_size, options.accumulate, job.seed, world())
        self.together = Together(labels, options.per_identity) if options.per_identity > 1 else None
        if options.epochs and not self.order.steps:
            raise DataError(
                f"training set {job.dataset.name!r} has {len(self.labels)} faces, too few for {world().size} processes"
            )
        self.dtype = torch.float64 if options.precision == "float64" else torch.float32
        layout = torch.channels_last if options.channels_last else torch.contiguous_format
        self.backbone = job.backbone.to(self.device, self.dtype, memory_format=layout).train()  # type: ignore[call-overload]
        self.loss = job.loss.to(self.device, self.dtype).train()
        self.descent = Descent(self.backbone, self.loss, options, self.device)
        self.parallel = _parallel(self.backbone, options, self.device)
        self.forward = torch.compile(self.parallel) if options.compile else self.parallel
        self.augment = Augment(options)
        self.journal = Journal()
        self.tables = Tables(job.folder, tensorboard=options.tensorboard and world().first)
        self.saved_at = time.monotonic()
        self.told_of_size = False

    @property
    def network(self) -> nn.Module:
        """The network that is kept."""
        return self.descent.network

    def run(self) -> None:
        """All epochs that are left."""
        journal, order = self.journal, self.order
        done = journal.epoch * order.seen + journal.faces
        what = f"training {self.job.recipe.backbone}"
        with self.job.progress.bar(self.options.epochs * order.seen, what, unit="face", start=done) as bar:
            while journal.epoch < self.options.epochs:
                self._finish_steps(bar)
                values = journal.close_epoch(learning_rate=self._rate(order.steps - 1)) | self._validate()
                self._unite()
                journal.rows.append({"epoch": journal.epoch, **values})
                self.save()
                self._tell(values)
        self.tables.close()

    def _finish_steps(self, bar: ProgressBar) -> None:
        """The steps left of the current epoch."""
        job, journal, options = self.job, self.journal, self.options
        faces = self.order.epoch(journal.epoch, self.together)
        parts = self.order.read(faces, journal.step)
        ahead = read_ahead(
            job.dataset, parts, size=job.preprocess.size, workers=options.workers, corrupt=options.corrupt
        )
        mark = time.perf_counter()
        with closing(ahead) as pictures:
            for number in range(journal.step, self.order.steps):
                step = self.order.step(faces, number)
                values, late = self._step(step, pictures)
                now = time.perf_counter()
                journal.add(values, len(step), now - mark)
                mark = now
                self._note(values)
                bar.advance(len(step), epoch=f"{journal.epoch + 1}/{options.epochs}", loss=values["loss"])
                if late:
                    self.save()

    def _step(self, step: npt.NDArray[np.int64], pictures: Iterator[Pictures]) -> tuple[dict[str, float], bool]:
        """One descent on the faces of a step.

        Returns:
            The loss, its terms and the norm of the network's gradient, as means over all processes; and whether it is
            time to save.
        """
        place = (self.journal.epoch, self.journal.step)
        mirrored = randomness(MIRROR, self.job.seed, *place).random(len(step)) < self.options.flip
        torch.manual_seed(int(randomness(TORCH, self.job.seed, *place, world().rank).integers(2**63)))
        parts = self.order.parts(len(step))
        share = len(step) // world().size
        sums: dict[str, Tensor] = {}
        for number, part in enumerate(parts):
            batch = self._batch(next(pictures), mirrored[part], number)
            with self._gradients_kept(last=number == len(parts) - 1):
                output = self._loss_of(batch)
                weight = (part.stop - part.start) / share
                self.descent.backward(output.total * weight)
            for name, value in {"loss": output.total, **output.terms}.items():
                sums[name] = sums.get(name, 0) + value.detach().to(self.dtype) * weight
        lengths = self.descent.step(self._rate(self.journal.step))
        # One transfer per step, when all of the step's work is under way.
        due = lengths[0].new_tensor(time.monotonic() - self.saved_at >= self.options.save_seconds and world().first)
        numbers = torch.stack([tensor.detach().to(self.dtype) for tensor in (*sums.values(), *lengths, due)])
        *means, length, taught, late = averaged(numbers).tolist()
        values = dict(zip(sums, means, strict=True))
        norms = {"gradient_norm": length, "gradient_norm_of_loss": taught}
        self._refuse_infinite(values | norms if self.descent.gives_up(length, taught) else values, step)
        # What the scaler of float16 skips, feeling its way, is no step and has no length.
        return {**values, "gradient_norm": length if math.isfinite(length) else 0.0}, late > 0

    def _batch(self, pictures: Pictures, mirrored: npt.NDArray[np.bool_], part: int) -> Batch:
        """Moves faces to the device as bytes and prepares them there."""
        self._mention(pictures)
        pixels = torch.from_numpy(np.require(pictures.images, requirements=["C", "W"]))
        labels = self.labels[torch.from_numpy(pictures.indices)]
        if self.device.type == "cuda":
            pixels, labels = pixels.pin_memory(), labels.pin_memory()
        pixels, labels = (tensor.to(self.device, non_blocking=True) for tensor in (pixels, labels))
        flips = torch.from_numpy(mirrored).to(self.device)[:, None, None, None]
        pixels = torch.where(flips, pixels.flip(2), pixels)
        if self.augment.active:
            pixels = self.augment(pixels)
        source = to_input(pixels, self.job.preprocess).to(self.dtype)
        if self.perturb is None:
            return Batch(images=source, labels=labels)
        place = (self.journal.epoch, self.journal.step, world().rank, part)
        disturbed, marks = self.perturb(source, randomness(PERTURB, self.job.seed, *place), pictures.indices)
        return Batch(images=disturbed, labels=labels, source=source, marks=marks)

    def _loss_of(self, batch: Batch) -> LossOutput:
        half = self.descent.half
        with torch.autocast(self.device.type, dtype=half or torch.bfloat16, enabled=half is not None):
            features: Features[Tensor] = self.forward(batch.images)
        output: LossOutput = self.loss(batch, _at_least_float32(features))
        if features.confidence is None:
            return output
        # Not every loss asks for confidences; among processes, a gradient that never comes would be waited for.
        return dataclasses.replace(output, total=output.total + 0 * features.confidence.sum())

    def _gradients_kept(self, *, last: bool) -> AbstractContextManager[Any]:
        """While parts of a step follow, processes keep their gradients to themselves."""
        parallel = self.parallel
        if last or not isinstance(parallel, nn.parallel.DistributedDataParallel):
            return nullcontext()
        return parallel.no_sync()

    def _rate(self, step: int) -> float:
        """The learning rate of a step of the current epoch."""
        total = self.options.epochs * self.order.steps
        warmup = min(round(self.options.warmup_epochs * self.order.steps), total - 1)
        place = min(self.journal.epoch * self.order.steps + step, total - 1)
        return rate_at(place, steps=total, warmup=warmup, chosen=self.options)

    def _refuse_infinite(self, values: Mapping[str, float], step: npt.NDArray[np.int64]) -> None:
        if all(map(math.isfinite, values.values())):
            return
        keys = [self.job.dataset.keys[int(index)] for index in step]
        raise not_finite(self.job.folder, values, epoch=self.journal.epoch + 1, step=self.journal.step + 1, keys=keys)

    def _validate(self) -> dict[str, float]:
        """What the network that is kept achieves on what the user asked for, if it is time to ask."""
        job, journal = self.job, self.journal
        if job.validate is None or (
            journal.epoch % self.options.validate_every and journal.epoch < self.options.epochs
        ):
            return {}
        network = self.network
        # Each process has batch statistics of its own faces; the first one's are those that are kept.
        share_first(network.buffers())
        # A copy, since evaluating may move a network or lay its memory out anew.
        found = job.validate(copy.deepcopy(network).float().eval())
        if found.score > journal.best.get("score", -np.inf):
            journal.best = {"epoch": journal.epoch, "score": found.score}
            if world().first and self.options.keep == "best":
                save_checkpoint(job.folder / "best", network, recipe=job.recipe, preprocess=job.preprocess)
        return dict(found.values)

    def _mention(self, pictures: Pictures) -> None:
        """Says once that pictures are resized, and names each that could not be read."""
        if pictures.resized and not self.told_of_size:
            height, width = self.job.preprocess.size
            log.warning("pictures of another size than %dx%d are resized; were the faces aligned?", height, width)
            self.told_of_size = True
        for line in pictures.unreadable:
            if line not in self.journal.unreadable:
                self.journal.unreadable.append(line)
                self._name([line])

    def _unite(self) -> None:
        """The first process learns what others could not read."""
        everyone = united(self.journal.unreadable)
        self._name([line for line in everyone if line not in self.journal.unreadable])
        self.journal.unreadable = everyone

    def _name(self, lines: list[str]) -> None:
        for line in lines if world().first else []:
            log.warning("another face is shown in place of one that cannot be read: %s", line)

    def _note(self, values: Mapping[str, float]) -> None:
        """Enters a step into the finer table when its turn has come."""
        journal = self.journal
        number = journal.epoch * self.order.steps + journal.step
        if number % self.options.log_every == 0:
            speed = journal.faces / max(journal.seconds, 1e-9)
            point = {**values, "learning_rate": self._rate(journal.step - 1), "images_per_second": speed}
            journal.points.append({"step": number, "epoch": journal.epoch + 1, **point})
            self.tables.show(point, step=number, part="step")

    def _tell(self, values: Mapping[str, float]) -> None:
        """Log, tables and hooks learn of a complete epoch."""
        if world().first:
            self.tables.write(self.journal)
        self.tables.show(values, step=self.journal.epoch, part="epoch")
        shown = ", ".join(f"{name} {value:.4g}" for name, value in values.items())
        log.info("epoch %d of %d: %s", self.journal.epoch, self.options.epochs, shown)
        self.job.epoch_ended(self.journal.epoch, values)

    def save(self) -> None:
        """Puts all that ``resume`` needs on the disk."""
        values = {"recipe": self.job.recipe.fingerprint, "journal": dataclasses.asdict(self.journal)}
        number = self.journal.epoch * self.order.steps + self.journal.step
        save_state(self.job.folder, number, self.descent.tensors(), values)
        self.saved_at = time.monotonic()

    def resume(self) -> None:
        """Takes up what earlier processes saved, if they did.

        Raises:
            ConfigError: When the folder holds the state of another training.
            DataError: When the state is damaged.
        """
        saved = load_state(self.job.folder)
        if saved is None:
            return
        refuse_other(self.job, saved.values["recipe"])
        with readable(self.job.folder):
            self.descent.restore(saved)
            self.journal = Journal(**saved.values["journal"])
        # A process may have been killed between saving an epoch and writing it to the tables.
        if world().first:
            self.tables.write(self.journal)
        log.info("continuing in epoch %d at step %d", self.journal.epoch + 1, self.journal.step + 1)


def refuse_other(job: TrainJob, fingerprint: str) -> None:
    """Guards a folder against a training that is not its own.

    Raises:
        ConfigError: When the folder holds another one.
    """
    if fingerprint != job.recipe.fingerprint:
        raise ConfigError(
            f"{job.folder} holds another training ({fingerprint}, not {job.recipe.fingerprint}); choose another folder"
        )


def _parallel(backbone: nn.Module, options: TrainerOptions, device: torch.device) -> nn.Module:
    """The network as it runs: among several processes, one that averages its gradients over them.

    Raises:
        ConfigError: When batch normalisation should look across processes that have no GPUs.
    """
    if options.sync_norms and device.type != "cuda":
        raise ConfigError("trainer.sync_norms needs GPUs; torch synchronises batch normalisation on no other device")
    if world().size == 1:
        return backbone
    if options.sync_norms:
        backbone = nn.SyncBatchNorm.convert_sync_batchnorm(backbone)  # type: ignore[no-untyped-call]
    return nn.parallel.DistributedDataParallel(backbone, device_ids=[device] if device.type == "cuda" else None)


def _at_least_float32(features: Features[Tensor]) -> Features[Tensor]:
    """Losses compute in float32 or better, whatever the network does."""

    def widened(tensor: Tensor) -> Tensor:
        return tensor if tensor.dtype == torch.float64 else tensor.float()

    confidence = None if features.confidence is None else widened(features.confidence)
    return dataclasses.replace(features, vectors=widened(features.vectors), confidence=confidence)


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
