"""What a run is going to do, before anything is done: every name an offer, every option checked.

``facebench.planning`` makes a plan out of settings. It can be written as a configuration file that runs the same again,
and its fingerprint names the run.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from facebench.config import plain
from facebench.contracts import fingerprint_of
from facebench.declare import undecided
from facebench.errors import FacebenchError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from facebench.config import Settings
    from facebench.contracts import FaceDataset
    from facebench.host import Offer


@dataclass(frozen=True, slots=True)
class Choice:
    """An offer and the options it will be built with."""

    offer: Offer
    options: Any

    @property
    def name(self) -> str:
        """The offer's name."""
        return str(self.offer.spec.name)

    @property
    def resolved(self) -> dict[str, Any]:
        """Name and options as plain values."""
        return {"name": self.name, **plain(self.options)}

    @property
    def decides(self) -> dict[str, Any]:
        """The same without the options that cannot change a number, for fingerprints."""
        idle = undecided(type(self.options))
        return {name: value for name, value in self.resolved.items() if name not in idle}


@dataclass(frozen=True, slots=True)
class Plan:
    """A run, resolved.

    Attributes:
        settings: As merged from all sources.
        kind: What ``--plugin`` turned out to be: ``trainers``, ``generators`` or ``embedders``.
        method: The trainer, generator or embedder.
        protocols: What to evaluate.
        backbone: For trainers; for generators with given weights, the network that these were trained with.
        loss: For trainers without given weights.
        train_data: For methods without given weights; None when the data is a path.
        validation: What to evaluate while training.
        drawing: For generators: the options of identities and pictures.
        parts: For generators: the plans of the methods around them, by name, as far as the run needs them:
            ``extractor``, ``judge``, ``downstream``.
        given: A training set that is handed over as it is and made from ``train_data``.
    """

    settings: Settings
    kind: str
    method: Choice
    protocols: tuple[Choice, ...]
    backbone: Choice | None = None
    loss: Choice | None = None
    train_data: Choice | None = None
    validation: tuple[Choice, ...] = ()
    drawing: Any = None
    parts: Mapping[str, Plan] = field(default_factory=dict)
    given: FaceDataset | None = None

    @property
    def trains(self) -> bool:
        """Whether weights have to be made first."""
        return self.kind != "embedders" and self.settings.weights is None

    @property
    def chooses(self) -> bool:
        """Whether the first protocol of the validation decides which network is kept; the others only watch."""
        return self.trains and bool(self.validation) and keeps_best(self.method.options)

    def resolved(self) -> dict[str, Any]:
        """The whole plan as a configuration: loading it runs the same again."""
        settings = self.settings
        values: dict[str, Any] = {
            "plugin": self.method.name,
            "protocols": [choice.name for choice in self.protocols] or None,
            "weights": str(settings.weights.absolute()) if settings.weights else None,
            "data_root": str(settings.data_root.absolute()) if settings.data_root else None,
            "seed": settings.seed,
            "device": settings.device,
            "embedding": settings.embedding.model_dump(mode="json"),
            "protocol": {choice.name: plain(choice.options) for choice in (*self.validation, *self.protocols)},
        }
        if self.kind == "embedders":
            values["embedder"] = plain(self.method.options)
        if self.backbone and self.kind == "trainers":
            values["backbone"] = self.backbone.resolved
        if self.trains and self.loss:
            values["loss"] = self.loss.resolved
            values["trainer"] = plain(self.method.options)
            values["train_data"] = self._train_data()
            values["validation"] = [choice.name for choice in self.validation] or None
            start = settings.finetune
            if start.weights:
                values["finetune"] = {"weights": str(start.weights.absolute()), "classes": start.classes}
        if self.kind == "generators":
            values |= self._of_generator()
        return {key: value for key, value in values.items() if value is not None}

    def _train_data(self) -> dict[str, Any]:
        path = Path(self.settings.train_data.name).expanduser().absolute()
        return self.train_data.resolved if self.train_data else {"name": str(path)}

    def _of_generator(self) -> dict[str, Any]:
        """The sections that only generators have."""
        values: dict[str, Any] = {"generation": self.settings.generation.model_dump(mode="json") | plain(self.drawing)}
        values["train_data"] = self._train_data()
        if self.trains:
            values["generator"] = plain(self.method.options)
        for name, part in self.parts.items():
            kept = ("plugin", "weights", "seed", "backbone", "loss", "trainer", "embedder")
            values[name] = {key: value for key, value in part.resolved().items() if key in kept}
        if "downstream" in self.parts:
            values["downstream"]["faces"] = self.settings.downstream.faces
        return values

    def fingerprint(self) -> str:
        """Hash of everything that can change a number: how fast files are read and where results go cannot.

        Weights count by content, so a file that was replaced is another run. The data root counts by its path, so that
        data of two roots never share a folder; moved data costs an evaluation, since embeddings are kept by content.

        Raises:
            FacebenchError: When the weights cannot be read.
        """
        values = self.resolved()
        values["embedding"] = {"mirror": self.settings.embedding.mirror}
        judges = self.validation[:1] if self.chooses else ()
        values["protocol"] = {choice.name: choice.decides for choice in (*judges, *self.protocols)}
        values.pop("validation", None)
        if judges:
            values["validation"] = judges[0].name
        for section in ("trainer", "embedder", "generator"):
            if section in values:
                values[section] = self.method.decides
        for name, part in self.parts.items():
            values[name] = [part.fingerprint(), values[name].get("faces", "")]
        if "generation" in values:
            values["generation"].pop("form")
        if self.settings.weights:
            values["weights"] = _weights_hash(self.settings.weights)
        if "finetune" in values and self.settings.finetune.weights:
            values["finetune"]["weights"] = _weights_hash(self.settings.finetune.weights)
        return fingerprint_of(values)


def _weights_hash(weights: Path) -> str:
    """The content of weights; of a checkpoint, what makes it one: class centres beside it may be very large."""
    folder = checkpoint_folder(weights) or weights
    parts = [folder / name for name in ("checkpoint.json", "weights.safetensors")]
    if all(part.is_file() for part in parts):
        return fingerprint_of([content_hash(part) for part in parts])
    return content_hash(folder)


def content_hash(path: Path) -> str:
    """SHA-256 over the content of a file, or over all files of a folder in the order of their names.

    Raises:
        FacebenchError: When there is nothing to read.
    """
    digest = hashlib.sha256()
    try:
        files = sorted(entry for entry in path.rglob("*") if entry.is_file()) if path.is_dir() else [path]
        for file in files:
            digest.update(str(file.relative_to(path)).encode())
            with file.open("rb") as stream:
                while block := stream.read(1 << 20):
                    digest.update(block)
    except OSError as error:
        raise FacebenchError(f"cannot read the weights {path}: {error.strerror}") from None
    return digest.hexdigest()


def checkpoint_folder(weights: Path) -> Path | None:
    """The checkpoint that weights belong to: a folder, or the file in it; None for a file of another code base."""
    if weights.is_dir():
        return weights
    named = weights.name == "weights.safetensors" and (weights.parent / "checkpoint.json").is_file()
    return weights.parent if named else None


def stored_backbone(weights: Path | None) -> dict[str, Any]:
    """The backbone that a checkpoint was trained with, name and options; empty for weights of other origin.

    Raises:
        DataError: When the folder is not a checkpoint or is damaged.
    """
    folder = checkpoint_folder(weights) if weights is not None else None
    if folder is None:
        return {}
    from facebench.checkpoints import read_checkpoint

    recipe = read_checkpoint(folder).recipe
    return {"name": recipe.backbone, **recipe.backbone_options}


def keeps_best(options: Any) -> bool:
    """Whether a trainer keeps the network that did best in validation; trainers of others may not know of it."""
    return bool(getattr(options, "keep", "last") == "best")
