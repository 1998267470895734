"""The agreements between facebench and everything that plugs into it.

Two sorts of things live here. *Records* pass between rooms (``Face``, ``Features``, ``Embeddings``, ``TrainJob``).
*Protocols* say what an object must be able to do; nothing needs to inherit from them. The *specs* that plugins offer
stand in ``facebench.specs``. Numpy at run time, torch only in types, so that a plugin module can import all of this
without waiting for torch.
"""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar, runtime_checkable

from facebench.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

    import numpy as np
    import numpy.typing as npt
    from torch import Tensor, nn

    from facebench.embeddings import Embeddings
    from facebench.results import Curve, Metric, Result

A = TypeVar("A")


@dataclass(frozen=True, slots=True)
class Face:
    """One decoded picture.

    Attributes:
        image: uint8 (H, W, 3), RGB.
        label: Class index in 0..C-1, or -1 when unknown.
        key: Unique name within its data set; pairs and templates refer to it.
    """

    image: npt.NDArray[np.uint8]
    label: int
    key: str


@runtime_checkable
class FaceDataset(Protocol):
    """Faces in a fixed order. Opened, never downloaded.

    A data set may also have ``batch(indices) -> uint8 (N, H, W, 3)`` when it can do better than one face at a time,
    ``pieces(indices)`` when it is made of other sets (see ``facebench.datasets.JoinedFaces``), and ``pictures``, a hash
    of pictures and keys without lists and labels, under which its embeddings are kept.
    """

    @property
    def name(self) -> str:
        """Short name for people."""

    @property
    def fingerprint(self) -> str:
        """Hash of the content: equal fingerprints mean equal pixels in equal order."""

    @property
    def keys(self) -> Sequence[str]:
        """One unique key per face."""

    @property
    def labels(self) -> npt.NDArray[np.int64]:
        """Class of each face, (N,), -1 when unknown."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Face: ...


@dataclass(frozen=True, slots=True)
class Features(Generic[A]):
    """What a network says of N faces: tensors inside torch code, numpy arrays outside.

    Attributes:
        vectors: float (N, D), **not** normalised.
        confidence: float (N, K) for methods that predict it, else None.
    """

    vectors: A
    confidence: A | None = None


@dataclass(frozen=True, slots=True)
class Preprocess:
    """How pixels become network input; it belongs to the weights, never to the protocol.

    Attributes:
        size: (height, width) in pixels.
        color: ``rgb`` or ``bgr``: the channel order the network was trained with.
        mean: Subtracted from each channel (0..255), in the network's channel order.
        std: Then divided by.
    """

    size: tuple[int, int] = (112, 112)
    color: str = "rgb"
    mean: tuple[float, float, float] = (127.5, 127.5, 127.5)
    std: tuple[float, float, float] = (127.5, 127.5, 127.5)

    def __post_init__(self) -> None:
        """Refuses what cannot be meant."""
        if self.color not in ("rgb", "bgr"):
            raise ConfigError(f"preprocess.color is {self.color!r}; it must be 'rgb' or 'bgr'")
        shapes = (len(self.size), len(self.mean), len(self.std))
        if shapes != (2, 3, 3) or not all(map(math.isfinite, (*self.mean, *self.std))):
            raise ConfigError(
                f"preprocess needs (height, width) and three finite values of mean and std, found size {self.size}, "
                f"mean {self.mean}, std {self.std}"
            )
        if min(self.std) <= 0 or min(self.size) <= 0:
            raise ConfigError(f"preprocess needs positive std and size, found std {self.std} and size {self.size}")

    @property
    def fingerprint(self) -> str:
        """Hash of all four values."""
        return fingerprint_of([list(self.size), self.color, list(map(float, self.mean)), list(map(float, self.std))])


def fingerprint_of(value: object) -> str:
    """A 16-digit hash of any JSON value; the order of keys does not matter.

    Raises:
        TypeError: When the value is not JSON.
        ValueError: When it holds NaN or infinity, which JSON cannot say.
    """
    canonical = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class Batch:
    """What a loss sees besides the features.

    Attributes:
        images: float (N, 3, H, W), preprocessed, on the device.
        labels: int64 (N,).
        source: The images before perturbation, for methods that compare with them.
        marks: float (N, M), what a perturbation did to each face or knows of it, for losses that learn from that.
    """

    images: Tensor
    labels: Tensor
    source: Tensor | None = None
    marks: Tensor | None = None


@dataclass(frozen=True, slots=True)
class LossOutput:
    """One scalar to descend, and named parts for the log.

    Attributes:
        total: Scalar tensor with gradient.
        terms: Detached scalars by name.
    """

    total: Tensor
    terms: Mapping[str, Tensor] = field(default_factory=dict)


class Embedder(Protocol):
    """Something that turns pictures into features without being trained here."""

    @property
    def embedding_size(self) -> int:
        """D."""

    @property
    def preprocess(self) -> Preprocess:
        """What happens to the pixels; ``size`` is the size that ``embed`` wants."""

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the weights, joined with whatever else changes the output."""

    @property
    def notes(self) -> Mapping[str, str]:
        """What a reader of the result should know, such as how the preprocessing was found."""

    def embed(self, images: npt.NDArray[np.uint8], /) -> Features[npt.NDArray[np.float32]]:
        """Features of uint8 (N, H, W, 3) RGB pictures of the wanted size; colour order and scaling happen inside."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """What was trained, in words that can build it again.

    Attributes:
        backbone: Name of the backbone.
        backbone_options: Its options as plain values.
        loss: Name of the loss.
        loss_options: Its options as plain values.
        data: Name of the training set.
        data_fingerprint: Its fingerprint.
        fingerprint: Hash of everything that decides the trained weights.
        start: SHA-256 of the weights that the training started from; empty for random ones.
        generator: Name of the generator, where one was trained; ``backbone`` is then the network that it learns from.
        generator_options: Its options as plain values.
    """

    backbone: str
    backbone_options: Mapping[str, Any]
    loss: str
    loss_options: Mapping[str, Any]
    data: str
    data_fingerprint: str
    fingerprint: str
    start: str = ""
    generator: str = ""
    generator_options: Mapping[str, Any] = field(default_factory=dict)


class Progress(Protocol):
    """Shows long work to a person; silent when nobody watches."""

    def bar(self, total: int, what: str, *, unit: str = "it", start: int = 0) -> ProgressBar:
        """Opens a bar."""


class ProgressBar(Protocol):
    """An open bar; a context manager."""

    def __enter__(self) -> ProgressBar: ...

    def __exit__(self, *error: object) -> None: ...

    def advance(self, steps: int = 1, **values: float | str) -> None:
        """Moves the bar and shows values beside it."""


@dataclass(frozen=True, slots=True)
class Validation:
    """How good a network under training is.

    Attributes:
        values: By name, such as ``lfw/accuracy``.
        score: The number by which networks are compared; more is better.
    """

    values: Mapping[str, float]
    score: float


@dataclass(frozen=True, slots=True)
class TrainJob:
    """All a trainer needs.

    When a launcher started several processes, each of them has a job that differs in ``device`` alone, and all call the
    trainer; ``facebench.ranks`` says which one this is.

    Attributes:
        backbone: The network, freshly built from the seed.
        loss: The loss, which owns its class centres; built from the seed.
        preprocess: How pixels become the network's input.
        dataset: Labelled faces.
        num_classes: C; labels lie in 0..C-1.
        options: The trainer's own options.
        recipe: Names and options to store with the checkpoint.
        device: Where to compute, as torch spells it.
        seed: Decides every random choice of the training.
        folder: Where checkpoints are written; what is already there is resumed.
        progress: For bars.
        epoch_ended: Called with (epoch from 1, values by name) when an epoch is complete.
        validate: Evaluates the network, in evaluation mode, on what the user asked for; all processes call it. None
            where nothing was asked for.
    """

    backbone: nn.Module
    loss: nn.Module
    preprocess: Preprocess
    dataset: FaceDataset
    num_classes: int
    options: Any
    recipe: Recipe
    device: str
    seed: int
    folder: Path
    progress: Progress
    epoch_ended: Callable[[int, Mapping[str, float]], None]
    validate: Callable[[nn.Module], Validation] | None = None


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Trained weights on disk: ``weights.safetensors`` and ``checkpoint.json`` in a folder.

    Attributes:
        folder: Where they lie.
        recipe: What was trained.
        preprocess: What the network expects.
        embedding_size: D.
        sha256: Hash of the weights file.
    """

    folder: Path
    recipe: Recipe
    preprocess: Preprocess
    embedding_size: int
    sha256: str


class Trainer(Protocol):
    """Trains a backbone."""

    def fit(self, job: TrainJob, /) -> Checkpoint:
        """Trains, or continues what an interrupted call left in ``job.folder``; the result must be the same."""


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What a protocol found, before the run adds subject and provenance.

    Attributes:
        metrics: The headline first.
        curves: Thinned, for figures.
        folds: Per-fold values by name.
        counts: Pairs, subjects and so on.
        rules: How the numbers were made, in words.
        warnings: What a reader must know before trusting them.
        scores: Per-comparison arrays of equal length, kept beside the result for paired comparisons.
    """

    metrics: tuple[Metric, ...]
    curves: tuple[Curve, ...] = ()
    folds: Mapping[str, Sequence[float]] = field(default_factory=dict)
    counts: Mapping[str, int] = field(default_factory=dict)
    rules: Mapping[str, str] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    scores: Mapping[str, npt.NDArray[Any]] = field(default_factory=dict)


class EvalProtocol(Protocol):
    """An evaluation: which faces it needs, and what it makes of their embeddings. Pure, CPU, seeded."""

    def faces(self, root: Path | None, /, *, images: bool = True) -> FaceDataset:
        """Opens the faces below ``root``; None asks for the built-in demo faces in this protocol's layout.

        Args:
            root: The user's data root.
            images: False when embeddings are at hand and only keys and lists are needed.

        Raises:
            DatasetMissing: When the data is not there.
        """

    def evaluate(self, embeddings: Embeddings, faces: FaceDataset, /, *, seed: int) -> Evaluation:
        """Metrics from embeddings of (at least) those faces; rows are matched by key, so their order is free."""


@runtime_checkable
class DataProtocol(Protocol):
    """What an ``EvalProtocol`` has besides when it judges a set of faces, and not only the network that embeds them."""

    def faces_of(
        self, data: FaceDataset, /, *, reference: FaceDataset | None = None, beside: FaceDataset | None = None
    ) -> FaceDataset:
        """The faces to embed for judging ``data``; ``evaluate`` is then called with them.

        Args:
            data: Labelled faces, such as generated ones.
            reference: Faces that ``data`` should not repeat, such as those a generator learned from.
            beside: Faces of real people, as ``faces`` opens them, to be measured in the same way.
        """


class Renderer(Protocol):
    """Writes a report."""

    def render(self, results: Sequence[Result], out: Path, /) -> Iterable[Path]:
        """Writes below ``out`` and returns the files written."""
