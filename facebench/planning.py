"""From settings to a plan: which sort of method it is, and what cannot go together."""

from __future__ import annotations

from typing import TYPE_CHECKING

from facebench.errors import ConfigError, UnknownName
from facebench.generatorplan import generator_plan
from facebench.methodplan import chosen_protocols, embedder_plan, method_offer, refuse_sections, training_plan

if TYPE_CHECKING:
    from facebench.config import Settings
    from facebench.host import Catalog
    from facebench.plan import Plan


def make(settings: Settings, catalog: Catalog, *, evaluates: bool = True, generates: bool = False) -> Plan:
    """Resolves all names and options.

    Args:
        settings: What to do.
        catalog: What there is.
        evaluates: Whether protocols follow; without them a method must be trained.
        generates: Whether faces are to be drawn, and nothing is to be evaluated.

    Raises:
        UnknownName: For a name that nothing offers, or an option that does not exist.
        ConfigError: For a missing choice or a wrong value.
        PluginError: For a name whose plugin did not load.
    """
    if not settings.plugin:
        raise ConfigError("no method given; choose one with --plugin NAME ('facebench list' shows what there is)")
    if generates:
        settings, evaluates = settings.model_copy(update={"protocols": ()}), False
    if evaluates and not settings.protocols:
        raise ConfigError("no protocol given; choose one or more with --protocol NAME ('facebench list protocols')")
    if not evaluates and not generates:
        _refuse_evaluation(settings)
    unused = sorted(set(settings.protocol) - {*settings.protocols, *settings.validation})
    for name in unused:
        catalog.get("protocols", name)  # a misspelt section is the likelier mistake
    protocols = chosen_protocols(settings, catalog, settings.protocols)
    kind, offer = method_offer(settings.plugin, catalog)
    if kind != "generators":
        unfit = "generator", "generation", "extractor", "judge", "downstream"
        refuse_sections(settings, unfit, f"{settings.plugin!r} is no generator")
    if generates and kind != "generators":
        raise UnknownName("generator", settings.plugin, catalog.names("generators"), f"it is one of the {kind}")
    if kind == "embedders" and not evaluates:
        reason = f"{settings.plugin!r} brings its own trained weights"
        raise UnknownName("trainer", settings.plugin, catalog.names("trainers"), reason)
    if kind == "embedders":
        return embedder_plan(settings, offer, protocols)
    if kind == "generators":
        return generator_plan(settings, catalog, offer, protocols)
    return training_plan(settings, catalog, offer, protocols)


def _refuse_evaluation(settings: Settings) -> None:
    """What a training alone cannot use."""
    if settings.protocols:
        raise ConfigError(
            f"protocols = {list(settings.protocols)} does not apply: a training evaluates nothing; use 'facebench "
            "run', or --validate NAME to watch it (from a run's file: --set protocols=[])"
        )
    if settings.weights is not None:
        raise ConfigError(f"weights = {settings.weights} does not apply: to train on from them use --finetune PATH")
