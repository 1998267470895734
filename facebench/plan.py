"""From names to offers and checked options: what a run is going to do, before anything is done.

Everything a user can get wrong in names and options is found here, in milliseconds. The resolved plan can be written as
a configuration file that runs the same again, and its fingerprint names the run.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from facebench.config import build_options, merged, plain
from facebench.contracts import fingerprint_of
from facebench.declare import described, undecided
from facebench.errors import ConfigError, DataError, FacebenchError, UnknownName

if TYPE_CHECKING:
    from collections.abc import Mapping

    from facebench.config import Chosen, Settings
    from facebench.host import Catalog, Offer

METHODS = ("trainers", "generators", "embedders")


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
        kind: What ``--plugin`` turned out to be: ``trainers`` or ``embedders``.
        method: The trainer or embedder.
        protocols: What to evaluate.
        backbone: For trainers.
        loss: For trainers without given weights.
        train_data: For trainers without given weights; None when the data is a path.
        validation: What to evaluate while training.
    """

    settings: Settings
    kind: str
    method: Choice
    protocols: tuple[Choice, ...]
    backbone: Choice | None = None
    loss: Choice | None = None
    train_data: Choice | None = None
    validation: tuple[Choice, ...] = ()

    @property
    def trains(self) -> bool:
        """Whether weights have to be made first."""
        return self.kind == "trainers" and self.settings.weights is None

    @property
    def chooses(self) -> bool:
        """Whether the first protocol of the validation decides which network is kept; the others only watch."""
        return self.trains and bool(self.validation) and _keeps_best(self.method.options)

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
        if self.backbone:
            values["backbone"] = self.backbone.resolved
        if self.trains and self.loss:
            values["loss"] = self.loss.resolved
            values["trainer"] = plain(self.method.options)
            path = Path(settings.train_data.name).expanduser().absolute()
            values["train_data"] = self.train_data.resolved if self.train_data else {"name": str(path)}
            values["validation"] = [choice.name for choice in self.validation] or None
            start = settings.finetune
            if start.weights:
                values["finetune"] = {"weights": str(start.weights.absolute()), "classes": start.classes}
        return {key: value for key, value in values.items() if value is not None}

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
        for section in ("trainer", "embedder"):
            if section in values:
                values[section] = self.method.decides
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


def make(settings: Settings, catalog: Catalog, *, evaluates: bool = True) -> Plan:
    """Resolves all names and options.

    Args:
        settings: What to do.
        catalog: What there is.
        evaluates: Whether protocols follow; without them a method must be trained.

    Raises:
        UnknownName: For a name that nothing offers, or an option that does not exist.
        ConfigError: For a missing choice or a wrong value.
        PluginError: For a name whose plugin did not load.
    """
    if not settings.plugin:
        raise ConfigError("no method given; choose one with --plugin NAME ('facebench list' shows what there is)")
    if evaluates and not settings.protocols:
        raise ConfigError("no protocol given; choose one or more with --protocol NAME ('facebench list protocols')")
    if not evaluates:
        _refuse_evaluation(settings)
    unused = sorted(set(settings.protocol) - {*settings.protocols, *settings.validation})
    for name in unused:
        catalog.get("protocols", name)  # a misspelt section is the likelier mistake
    protocols = _protocols(settings, catalog, settings.protocols)
    kind, offer = _method(settings.plugin, catalog)
    if kind == "embedders":
        reason = f"{settings.plugin!r} brings its own trained weights"
        if not evaluates:
            raise UnknownName("trainer", settings.plugin, catalog.names("trainers"), reason)
        _refuse_sections(settings, ("backbone", "loss", "trainer", "train_data", "finetune", "validation"), reason)
        options = build_options(offer.spec.options, _with_device(settings, offer), "embedder")
        return Plan(settings, kind, Choice(offer, options), protocols)
    return _training_plan(settings, catalog, offer, protocols)


def _protocols(settings: Settings, catalog: Catalog, names: tuple[str, ...]) -> tuple[Choice, ...]:
    return tuple(
        _choose(catalog, "protocols", name, settings.protocol.get(name, {}), f"protocol.{name}")
        for name in dict.fromkeys(names)
    )


def _refuse_evaluation(settings: Settings) -> None:
    """What a training alone cannot use."""
    if settings.protocols:
        raise ConfigError(
            f"protocols = {list(settings.protocols)} does not apply: a training evaluates nothing; use 'facebench "
            "run', or --validate NAME to watch it (from a run's file: --set protocols=[])"
        )
    if settings.weights is not None:
        raise ConfigError(f"weights = {settings.weights} does not apply: to train on from them use --finetune PATH")


def _method(name: str, catalog: Catalog) -> tuple[str, Offer]:
    for kind in METHODS:
        offer = catalog.find(kind, name)
        if offer is None:
            continue
        if kind == "generators":
            raise FacebenchError(f"{name!r} is a generator; this version runs trainers and embedders only")
        return kind, offer
    raise catalog.missing("method (trainer, generator or embedder)", METHODS, name)


def _with_device(settings: Settings, offer: Offer) -> dict[str, Any]:
    """The embedder's options; ``--device`` reaches those that know devices and is refused by those that do not."""
    values = dict(settings.embedder)
    if settings.device == "auto":
        return values
    if "device" not in {name for name, *_ in described(offer.spec.options)}:
        raise ConfigError(f"--device {settings.device} does not apply: {settings.plugin!r} chooses its device itself")
    return {"device": settings.device, **values}


def _training_plan(settings: Settings, catalog: Catalog, offer: Offer, protocols: tuple[Choice, ...]) -> Plan:
    spec = offer.spec
    if settings.embedder:
        raise ConfigError(f"section 'embedder' does not apply: {settings.plugin!r} is a trainer; use 'trainer'")
    if settings.weights is not None:
        sections = ("loss", "trainer", "train_data", "finetune", "validation")
        _refuse_sections(settings, sections, "weights are given, so nothing is trained")
    data = catalog.find("datasets", settings.train_data.name)
    # A path is told from a name by what it looks like, so that a misspelt name is not taken for a missing file.
    if data is None and not _is_path(settings.train_data.name):
        catalog.get("datasets", settings.train_data.name)
    on_demo = settings.train_data.name == "demo" and settings.weights is None
    demo: Mapping[str, Mapping[str, Any]] = spec.demo if on_demo else {}
    start = settings.weights or _start(settings)
    stored = stored_backbone(start)
    _refuse_other("backbone", settings.backbone.name, stored, start)
    suggested = stored or demo.get("backbone", {})
    wanted = {} if stored else spec.backbone_options
    backbone = _component(catalog, "backbones", settings.backbone, suggested, spec.backbone, wanted)
    kept = _kept_loss(settings)
    _refuse_other("loss", settings.loss.name, kept, start)
    loss = _component(catalog, "losses", settings.loss, kept or demo.get("loss", {}), spec.loss)
    trainer = build_options(spec.options, merged(demo.get("trainer", {}), settings.trainer), "trainer")
    chosen_data = None
    if data is not None:
        values = merged(demo.get("train_data", {}), settings.train_data.options)
        chosen_data = Choice(data, build_options(data.spec.options, values, "train_data"))
    elif settings.train_data.options:
        extra = ", ".join(settings.train_data.options)
        raise ConfigError(f"train_data is a path and takes no options, found: {extra}")
    validation = _protocols(settings, catalog, settings.validation)
    if settings.weights is None and not validation and _keeps_best(trainer):
        raise ConfigError("trainer.keep = 'best' needs something to judge by; name a protocol with --validate NAME")
    return Plan(settings, "trainers", Choice(offer, trainer), protocols, backbone, loss, chosen_data, validation)


def _keeps_best(options: Any) -> bool:
    """Whether a trainer keeps the network that did best in validation; trainers of others may not know of it."""
    return bool(getattr(options, "keep", "last") == "best")


def _start(settings: Settings) -> Path | None:
    """The weights that a training starts from.

    Raises:
        ConfigError: When class centres should be kept and there are no weights they could come with.
        DataError: When the weights are not there.
    """
    weights, classes = settings.finetune.weights, settings.finetune.classes
    if weights is None:
        if classes == "kept":
            raise ConfigError("finetune.classes = 'kept' does not apply without weights; say --finetune CHECKPOINT")
        return None
    if not weights.exists():
        raise DataError(f"weights {weights} not found; give a checkpoint folder, a .safetensors or a .pth file")
    if classes == "kept" and checkpoint_folder(weights) is None:
        raise ConfigError(
            f"finetune.classes = 'kept' needs a checkpoint folder, which holds class centres; {weights} is a file"
        )
    return weights


def _kept_loss(settings: Settings) -> dict[str, Any]:
    """The loss whose class centres are kept, name and options; empty where centres are new."""
    weights = settings.finetune.weights
    folder = checkpoint_folder(weights) if weights is not None and settings.finetune.classes == "kept" else None
    if folder is None:
        return {}
    from facebench.checkpoints import read_checkpoint

    recipe = read_checkpoint(folder).recipe
    return {"name": recipe.loss, **recipe.loss_options}


def _refuse_other(kind: str, chosen: str, stored: Mapping[str, Any], weights: Path | None) -> None:
    """A network, or class centres, can only be put back into what they were taken out of."""
    if chosen and stored and chosen != stored["name"]:
        raise ConfigError(f"{kind} {chosen!r} does not fit {weights}, which holds {stored['name']!r}; leave it out")


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


def checkpoint_folder(weights: Path) -> Path | None:
    """The checkpoint that weights belong to: a folder, or the file in it; None for a file of another code base."""
    if weights.is_dir():
        return weights
    named = weights.name == "weights.safetensors" and (weights.parent / "checkpoint.json").is_file()
    return weights.parent if named else None


def _component(
    catalog: Catalog,
    kind: str,
    chosen: Chosen,
    demo: Mapping[str, Any],
    default: str,
    wanted: Mapping[str, Any] | None = None,
) -> Choice:
    """The backbone or loss: the user's, else the demo's, else the trainer's default, with the options it wants."""
    suggested = dict(demo)
    suggestion = suggested.pop("name", default)
    name = chosen.name or suggestion
    values = merged(wanted or {}, merged(suggested if name == suggestion else {}, chosen.options))
    return _choose(catalog, kind, name, values, "loss" if kind == "losses" else "backbone")


def _choose(catalog: Catalog, kind: str, name: str, values: Mapping[str, Any], where: str) -> Choice:
    offer = catalog.get(kind, name)
    return Choice(offer, build_options(offer.spec.options, values, where))


def _refuse_sections(settings: Settings, sections: tuple[str, ...], reason: str) -> None:
    """An option that would silently do nothing is an error."""
    defaults = type(settings).model_fields
    for section in sections:
        if getattr(settings, section) != defaults[section].get_default(call_default_factory=True):
            raise ConfigError(f"section {section!r} does not apply: {reason}")


def _is_path(name: str) -> bool:
    if name and Path(name).exists():
        return True
    return any(mark in name for mark in ("/", "\\", ".")) or name in ("", "~")
