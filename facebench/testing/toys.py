"""Small stand-ins for everything a training or an evaluation needs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from facebench.contracts import (
    Batch,
    Evaluation,
    Face,
    Features,
    LossOutput,
    Preprocess,
    Recipe,
    TrainJob,
    fingerprint_of,
)
from facebench.progress import Bars
from facebench.results import Data, Metric, Provenance, Result, Subject

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    import numpy.typing as npt
    from torch import Tensor

    from facebench.contracts import FaceDataset, Progress


class TinyBackbone(nn.Module):
    """A network of two convolutions: quick to train on pictures of any size, good for nothing else.

    Args:
        embedding_size: D.
    """

    def __init__(self, embedding_size: int = 16) -> None:
        super().__init__()
        self.embedding_size = embedding_size
        self.layers = nn.Sequential(
            nn.Conv2d(3, 8, 5, stride=4, bias=False),
            nn.BatchNorm2d(8),
            nn.ReLU(),
            nn.Conv2d(8, 16, 3, stride=3, bias=False),
            nn.BatchNorm2d(16),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(2),
            nn.Flatten(),
            nn.Dropout(0.1),
            nn.Linear(64, embedding_size),
        )

    def forward(self, images: Tensor) -> Features[Tensor]:
        """Raw vectors (N, D) of float (N, 3, H, W)."""
        return Features(self.layers(images))


class TinyLoss(nn.Module):
    """Softmax over cosines times 16, for checks that need some loss.

    Args:
        num_classes: C.
        embedding_size: D.
    """

    def __init__(self, num_classes: int, embedding_size: int) -> None:
        super().__init__()
        self.centres = nn.Parameter(torch.randn(num_classes, embedding_size))

    def forward(self, batch: Batch, features: Features[Tensor]) -> LossOutput:
        """The mean cross-entropy."""
        cosine = functional.linear(functional.normalize(features.vectors), functional.normalize(self.centres))
        return LossOutput(functional.cross_entropy(16 * cosine, batch.labels))


class ToyFaces:
    """Coloured clouds, one pattern per class, under noise: a ``FaceDataset`` without any face."""

    def __init__(self, images: npt.NDArray[np.uint8], labels: npt.NDArray[np.int64], seed: int) -> None:
        self._images = images
        self.labels = labels
        self.name = "toy"
        self.keys: Sequence[str] = [f"toy/{label}/{index}" for index, label in enumerate(labels)]
        self.fingerprint = fingerprint_of(["toy", seed, len(images), int(labels.max())])

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, index: int, /) -> Face:
        return Face(self._images[index], int(self.labels[index]), self.keys[index])

    def batch(self, indices: npt.NDArray[np.int64]) -> npt.NDArray[np.uint8]:
        """Several pictures at once."""
        return self._images[indices]


def toy_faces(*, num_classes: int = 4, per_class: int = 8, seed: int = 0, size: int = 112) -> ToyFaces:
    """Pictures that a tiny network learns to tell apart in seconds.

    Args:
        num_classes: C.
        per_class: Pictures of each.
        seed: Other seeds give other patterns.
        size: Height and width, a multiple of 16.
    """
    random = np.random.default_rng((seed, 0))
    labels = np.repeat(np.arange(num_classes, dtype=np.int64), per_class)
    patterns = random.uniform(40, 215, (num_classes, size // 16, size // 16, 3)).repeat(16, axis=1).repeat(16, axis=2)
    noise = random.normal(0, 30, (len(labels), size, size, 3))
    images = np.clip(patterns[labels] + noise, 0, 255).astype(np.uint8)
    order = random.permutation(len(labels))
    return ToyFaces(images[order], labels[order], seed)


def toy_job(
    folder: Path,
    *,
    options: Any,
    dataset: FaceDataset | None = None,
    backbone: Callable[[], nn.Module] = TinyBackbone,
    loss: Callable[[int, int], nn.Module] = TinyLoss,
    progress: Progress | None = None,
    epoch_ended: Callable[[int, Mapping[str, float]], None] = lambda _epoch, _values: None,
    seed: int = 0,
) -> TrainJob:
    """A small training job on the CPU.

    Args:
        folder: Where the trainer writes.
        options: The trainer's options.
        dataset: ``toy_faces()`` unless given.
        backbone: Makes the network.
        loss: Makes the loss from C and D.
        progress: Silent unless given.
        epoch_ended: Told after each epoch.
        seed: Of weights and training.
    """
    faces = dataset or toy_faces()
    torch.manual_seed(seed)
    network = backbone()
    classes = int(faces.labels.max()) + 1
    size = int(network.embedding_size)  # type: ignore[arg-type]
    return TrainJob(
        backbone=network,
        loss=loss(classes, size),
        preprocess=Preprocess(),
        dataset=faces,
        num_classes=classes,
        options=options,
        recipe=Recipe("tiny", {}, "tiny", {}, faces.name, faces.fingerprint, fingerprint_of(["toy", seed])),
        device="cpu",
        seed=seed,
        folder=folder,
        progress=progress or Bars(quiet=True),
        epoch_ended=epoch_ended,
    )


def toy_evaluation() -> Evaluation:
    """An evaluation with one metric."""
    return Evaluation(metrics=(Metric(name="accuracy", value=0.75),), counts={"pairs": 4}, rules={"threshold": "best"})


def toy_result(protocol: str = "toy", evaluation: Evaluation | None = None) -> Result:
    """A complete result around an evaluation, ``toy_evaluation()`` unless given."""
    found = evaluation or toy_evaluation()
    return Result(
        protocol=protocol,
        protocol_distribution="facebench-toy 1",
        subject=Subject(
            plugin="toy", distribution="facebench-toy 1", model="tiny", weights="0" * 64, embedding_size=16
        ),
        data=Data(name="toy", demo=True, version="1", fingerprint="0" * 16, counts=dict(found.counts)),
        metrics=found.metrics,
        curves=found.curves,
        folds={name: tuple(values) for name, values in found.folds.items()},
        rules=dict(found.rules),
        warnings=found.warnings,
        provenance=Provenance(
            facebench="0",
            python="3",
            packages={},
            platform="toy",
            device="cpu",
            threads=1,
            seed=0,
            config="0" * 16,
            time="2026-01-01T00:00:00+00:00",
        ),
    )
