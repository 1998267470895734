"""URL's training: the stock trainer on varied faces, then the confidences alone."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, cast

from facebench import ConfigError
from facebench.checkpoints import load_weights, save_checkpoint
from facebench.ranks import told, world
from facebench.training import ClassifierTrainer
from facebench_url.aggregation import ConfidenceAlone, PairLikelihood
from facebench_url.loss import UrlLoss
from facebench_url.tables import read_mined, read_profiles
from facebench_url.variation import Variation

if TYPE_CHECKING:
    from facebench import Checkpoint, TrainJob
    from facebench_url.options import UrlTrainerOptions

# Both parts of a training lie in folders of their own until the second is done.
_FIRST, _SECOND = "representation", "confidence"


class UrlTrainer:
    """Trains as ``ClassifierTrainer`` does, under any loss, on faces that ``Variation`` has changed.

    With ``aggregate_epochs`` a second training follows, of the network's head of confidences alone; the vectors stay as
    they are. Either part is continued where it was interrupted.

    Args:
        options: Of the stock trainer, and what URL adds.
    """

    def __init__(self, options: UrlTrainerOptions) -> None:
        self.options = options

    def fit(self, job: TrainJob, /) -> Checkpoint:
        """Trains, or continues; see ``ClassifierTrainer.fit`` for what is left and what is raised.

        Raises:
            DataError: When a table cannot be read or does not fit the training set.
            ConfigError: When tables and options do not go together, or the network has no head of confidences.
        """
        options = self.options
        vary = self._variation(job)
        finished = told((job.folder / "checkpoint.json").is_file() if world().first else False)
        if finished or not options.aggregate_epochs or not options.epochs:
            return ClassifierTrainer(options, perturb=vary).fit(job)
        first = dataclasses.replace(job, folder=job.folder / _FIRST)
        load_weights(ClassifierTrainer(options, perturb=vary).fit(first).folder, job.backbone)
        network = ConfidenceAlone(job.backbone)
        again = dataclasses.replace(
            options,
            epochs=options.aggregate_epochs,
            learning_rate=options.aggregate_rate,
            per_identity=options.aggregate_group,
            warmup_epochs=0.0,
            ema=0.0,
            keep="last",
            keep_classes=False,
        )
        second = dataclasses.replace(
            job,
            backbone=network,
            loss=PairLikelihood(),
            folder=job.folder / _SECOND,
            epoch_ended=lambda epoch, values: job.epoch_ended(options.epochs + epoch, values),
            validate=None,
        )
        load_weights(ClassifierTrainer(again, perturb=vary).fit(second).folder, network)
        return _together(job)

    def _variation(self, job: TrainJob) -> Variation | None:
        options, keys = self.options, job.dataset.keys
        mined = profiles = None
        if options.mined:
            names, mined = read_mined(Path(options.mined).expanduser(), keys)
            _require_count(job, len(names))
        else:
            _require_count(job, 0)
        if options.profiles:
            profiles = read_profiles(Path(options.profiles).expanduser(), keys)
        if not options.variation and mined is None:
            return None
        return Variation(options, job.preprocess, profiles=profiles, mined=mined)


def _require_count(job: TrainJob, found: int) -> None:
    """Refuses a loss that waits for other mined variations than the table has."""
    if isinstance(job.loss, UrlLoss) and job.loss.decorrelation is not None and job.loss.options.mined != found:
        raise ConfigError(
            f"loss.mined is {job.loss.options.mined}; the table of trainer.mined has {found} columns of soft labels"
        )


def _together(job: TrainJob) -> Checkpoint:
    """Leaves one checkpoint of both parts: the tables and class centres of the first, the weights after the second."""
    checkpoint = None
    if world().first:
        for path in (job.folder / _FIRST).iterdir():
            if path.name not in ("weights.safetensors", "checkpoint.json") and not path.name.startswith("."):
                path.replace(job.folder / path.name)
        table = job.folder / _SECOND / "metrics.csv"
        if table.is_file():  # else a call that was killed right here has moved it
            table.replace(job.folder / "metrics-confidence.csv")
        checkpoint = save_checkpoint(job.folder, job.backbone.float(), recipe=job.recipe, preprocess=job.preprocess)
        for part in (_FIRST, _SECOND):
            shutil.rmtree(job.folder / part, ignore_errors=True)
    return cast("Checkpoint", told(checkpoint))
