"""The attribute model's training, and the soft labels that come of it: the table that ``trainer.mined`` of URL reads.

URL, section 3.4 (Shi et al., CVPR 2020), as recalled and not verified; see ``attributes``.
"""

from __future__ import annotations

import csv
import dataclasses
import logging
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch

from facebench import ConfigError, DataError
from facebench.checkpoints import load_weights
from facebench.datasets import open_images, read_batch
from facebench.inference import TorchEmbedder
from facebench.ranks import told, wait, world
from facebench.resume import restore_classes
from facebench.store import write_atomic
from facebench.training import ClassifierTrainer
from facebench_url.attributes import AttributeLoss
from facebench_url.tables import read_mined

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy.typing as npt
    from torch import Tensor

    from facebench import Checkpoint, FaceDataset, TrainJob
    from facebench_url.attributeoptions import AttributeTrainerOptions

log = logging.getLogger("facebench.url")

TABLE = "attributes.csv"
"""Name of the table in the training's folder."""


class AttributeTrainer:
    """Trains as ``ClassifierTrainer`` does, under ``AttributeLoss`` on a table of attributes; then labels faces.

    Besides the checkpoint it leaves ``attributes.csv`` in the job's folder, with the columns ``path`` (keys of the
    labelled set) and one per attribute, probabilities of four decimals. The table is made of what the checkpoint holds,
    by the first process alone, and comes last: where it is missing beside a finished checkpoint, it alone is made.

    Args:
        options: Of the stock trainer, the table, and what to label. Class centres are always kept: the head of
            attributes is among them.
    """

    def __init__(self, options: AttributeTrainerOptions) -> None:
        self.options = options

    def fit(self, job: TrainJob, /) -> Checkpoint:
        """Trains, or continues; see ``ClassifierTrainer.fit`` for what else is raised.

        Raises:
            DataError: When the table, or the set to label, cannot be read or does not fit.
            ConfigError: When there is no table, or it does not go with the loss.
        """
        options = self.options
        if not options.table:
            raise ConfigError(
                "trainer url-attributes learns from a table of attributes; give trainer.table=FILE, a CSV with the "
                "columns path,NAME,... and values in 0..1, one line per training face"
            )
        kept = dataclasses.replace(options, keep_classes=True)
        done = world().first and all((job.folder / name).is_file() for name in ("checkpoint.json", TABLE))
        if told(done):
            return ClassifierTrainer(kept).fit(job)
        names, marks = read_mined(Path(options.table).expanduser(), job.dataset.keys)
        loss = _fitting(job, names)
        # Opened before the training, so that a mistyped path costs no hours.
        faces = open_images(Path(options.label).expanduser()) if options.label else job.dataset
        checkpoint = ClassifierTrainer(kept, perturb=partial(_unperturbed, marks)).fit(job)
        if world().first:
            load_weights(job.folder, job.backbone)
            restore_classes(job.folder, loss)
            embedder = TorchEmbedder(job.backbone, job.preprocess, device=job.device, fingerprint=checkpoint.sha256)
            labelling = _Labelling(embedder, loss, faces, names, options)
            write_atomic(job.folder / TABLE, partial(labelling.write, job))
            log.info("attributes of the faces of %s: %s", faces.name, job.folder / TABLE)
        wait()
        return checkpoint


class _Labelling(NamedTuple):
    """Soft labels of faces, on their way into a table.

    Attributes:
        embedder: The trained network.
        loss: Has the trained head.
        faces: To be labelled.
        names: Of the attributes.
        options: Size of batches, threads, and what to do about unreadable pictures.
    """

    embedder: TorchEmbedder
    loss: AttributeLoss
    faces: FaceDataset
    names: tuple[str, ...]
    options: AttributeTrainerOptions

    def write(self, job: TrainJob, path: Path) -> None:
        """Writes the table; a picture that cannot be read is left out where ``trainer.corrupt`` is ``skip``."""
        keys = self.faces.keys
        with (
            path.open("w", newline="", encoding="utf-8") as file,
            job.progress.bar(len(keys), "labelling attributes", unit="face") as bar,
        ):
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(["path", *self.names])
            for rows, images in self._read():
                for row, values in zip(rows.tolist(), self._probabilities(images), strict=True):
                    writer.writerow([keys[row], *(f"{value:.4f}" for value in values)])
                bar.advance(len(rows))

    def _probabilities(self, images: npt.NDArray[np.uint8]) -> list[list[float]]:
        """(n, T)."""
        head = self.loss.attributes
        with torch.inference_mode():
            vectors = torch.from_numpy(self.embedder.embed(images).vectors).double()
            logits = vectors @ head.weight.double().cpu().T + head.bias.double().cpu()
            found: list[list[float]] = logits.sigmoid().tolist()
        return found

    def _read(self) -> Iterator[tuple[npt.NDArray[np.int64], npt.NDArray[np.uint8]]]:
        """Rows and pictures of each batch that has any."""
        count, step = len(self.faces), self.options.batch_size
        with ThreadPoolExecutor(self.options.workers or None, thread_name_prefix="decode") as pool:
            read = partial(read_batch, self.faces, size=self.embedder.preprocess.size, pool=pool)
            for start in range(0, count, step):
                rows = np.arange(start, min(start + step, count))
                try:
                    yield rows, read(rows).images
                except (DataError, OSError):
                    if self.options.corrupt == "stop":
                        raise
                    rows = np.array([row for row in rows.tolist() if self._readable(row)], dtype=np.int64)
                    if len(rows):
                        yield rows, read(rows).images

    def _readable(self, row: int) -> bool:
        """Whether a picture can be read; says so of one that cannot."""
        try:
            read_batch(self.faces, [row], size=self.embedder.preprocess.size)
        except (DataError, OSError) as error:
            log.warning("no attributes are told of a face that cannot be read: %s: %s", self.faces.keys[row], error)
            return False
        return True


def _fitting(job: TrainJob, names: tuple[str, ...]) -> AttributeLoss:
    """The job's loss, if it has a head for each attribute of the table.

    Raises:
        ConfigError: When it has not.
    """
    loss = job.loss
    if not isinstance(loss, AttributeLoss):
        raise ConfigError(
            f"trainer url-attributes labels faces by the head of loss url-attributes; {type(loss).__name__} has none"
        )
    if loss.options.attributes != len(names):
        raise ConfigError(
            f"loss.attributes is {loss.options.attributes}; the table of trainer.table has {len(names)} columns of "
            f"attributes ({', '.join(names)[:200]}): set loss.attributes={len(names)}"
        )
    return loss


def _unperturbed(
    marks: npt.NDArray[np.float32], images: Tensor, random: np.random.Generator, indices: npt.NDArray[np.int64]
) -> tuple[Tensor, Tensor]:
    """Images as they are, and what the table says of them."""
    return images, torch.from_numpy(marks[indices]).to(images.device)
