"""Plans of single methods: a trainer with its network, loss and data, or an embedder with its weights."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from facebench.config import build_options, merged
from facebench.declare import described
from facebench.errors import ConfigError, DataError
from facebench.plan import Choice, Plan, checkpoint_folder, keeps_best, stored_backbone

if TYPE_CHECKING:
    from collections.abc import Mapping

    from facebench.config import Chosen, Settings
    from facebench.host import Catalog, Offer

METHODS = ("trainers", "generators", "embedders")


def training_plan(settings: Settings, catalog: Catalog, offer: Offer, protocols: tuple[Choice, ...]) -> Plan:
    """The plan of a training, or of the evaluation of what was trained.

    Raises:
        FacebenchError: When something cannot be used.
    """
    spec = offer.spec
    if settings.embedder:
        raise ConfigError(f"section 'embedder' does not apply: {settings.plugin!r} is a trainer; use 'trainer'")
    if settings.weights is not None:
        sections = ("loss", "trainer", "train_data", "finetune", "validation")
        refuse_sections(settings, sections, "weights are given, so nothing is trained")
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
    chosen_data = train_data(settings, catalog, demo.get("train_data", {}))
    validation = chosen_protocols(settings, catalog, settings.validation)
    if settings.weights is None and not validation and keeps_best(trainer):
        raise ConfigError("trainer.keep = 'best' needs something to judge by; name a protocol with --validate NAME")
    return Plan(settings, "trainers", Choice(offer, trainer), protocols, backbone, loss, chosen_data, validation)


def embedder_plan(settings: Settings, offer: Offer, protocols: tuple[Choice, ...]) -> Plan:
    """The plan of the evaluation of something that brings its own weights.

    Raises:
        FacebenchError: When something cannot be used.
    """
    reason = f"{settings.plugin!r} brings its own trained weights"
    refuse_sections(settings, ("backbone", "loss", "trainer", "train_data", "finetune", "validation"), reason)
    options = build_options(offer.spec.options, _with_device(settings, offer), "embedder")
    return Plan(settings, "embedders", Choice(offer, options), protocols)


def train_data(settings: Settings, catalog: Catalog, demo: Mapping[str, Any]) -> Choice | None:
    """The training set, where it is an offer; None for a path.

    Args:
        settings: What to do.
        catalog: What there is.
        demo: What the method suggests for the built-in faces; the user's options win.

    Raises:
        FacebenchError: When there is no such name, or options are wrong.
    """
    data = catalog.find("datasets", settings.train_data.name)
    # A path is told from a name by what it looks like, so that a misspelt name is not taken for a missing file.
    if data is None and not _is_path(settings.train_data.name):
        catalog.get("datasets", settings.train_data.name)
    if data is not None:
        values = merged(demo, settings.train_data.options)
        return Choice(data, build_options(data.spec.options, values, "train_data"))
    if settings.train_data.options:
        extra = ", ".join(settings.train_data.options)
        raise ConfigError(f"train_data is a path and takes no options, found: {extra}")
    return None


def method_offer(name: str, catalog: Catalog) -> tuple[str, Offer]:
    """What ``--plugin`` names, and of which kind it is.

    Raises:
        UnknownName: When nothing is called so.
        PluginError: When its plugin did not load.
    """
    for kind in METHODS:
        offer = catalog.find(kind, name)
        if offer is not None:
            return kind, offer
    raise catalog.missing("method (trainer, generator or embedder)", METHODS, name)


def chosen_protocols(settings: Settings, catalog: Catalog, names: tuple[str, ...]) -> tuple[Choice, ...]:
    """Protocols with their options.

    Raises:
        FacebenchError: When a name or an option is unknown.
    """
    return tuple(
        choose(catalog, "protocols", name, settings.protocol.get(name, {}), f"protocol.{name}")
        for name in dict.fromkeys(names)
    )


def choose(catalog: Catalog, kind: str, name: str, values: Mapping[str, Any], where: str) -> Choice:
    """An offer by name, with options out of plain values."""
    offer = catalog.get(kind, name)
    return Choice(offer, build_options(offer.spec.options, values, where))


def refuse_sections(settings: Settings, sections: tuple[str, ...], reason: str) -> None:
    """An option that would silently do nothing is an error."""
    defaults = type(settings).model_fields
    for section in sections:
        if getattr(settings, section) != defaults[section].get_default(call_default_factory=True):
            raise ConfigError(f"section {section!r} does not apply: {reason}")


def _with_device(settings: Settings, offer: Offer) -> dict[str, Any]:
    """The embedder's options; ``--device`` reaches those that know devices and is refused by those that do not."""
    values = dict(settings.embedder)
    if settings.device == "auto":
        return values
    if "device" not in {name for name, *_ in described(offer.spec.options)}:
        raise ConfigError(f"--device {settings.device} does not apply: {settings.plugin!r} chooses its device itself")
    return {"device": settings.device, **values}


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
    return choose(catalog, kind, name, values, "loss" if kind == "losses" else "backbone")


def _is_path(name: str) -> bool:
    if name and Path(name).exists():
        return True
    return any(mark in name for mark in ("/", "\\", ".")) or name in ("", "~")
