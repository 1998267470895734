"""The plan of a generator: what it learns from, what it draws, and the methods that a run of it needs around it.

A generator learns from a trained network, its ``extractor``. What it has drawn is looked at by another network, the
``judge``, or serves to train a third one, ``downstream``. Each of the three is a method of its own, with a section of
the settings in which its parts stand as they stand at the top for a trainer: ``judge.backbone.name``,
``downstream.trainer.epochs``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from facebench.config import Chosen, FinetuneSettings, GenerationSettings, TrainData, build_options, merged
from facebench.errors import ConfigError, DataError
from facebench.methodplan import choose, embedder_plan, method_offer, refuse_sections, train_data, training_plan
from facebench.plan import Choice, Plan, checkpoint_folder, keeps_best

if TYPE_CHECKING:
    from collections.abc import Mapping

    from facebench.config import PartSettings, Settings
    from facebench.contracts import Recipe
    from facebench.host import Catalog, Offer


def generator_plan(settings: Settings, catalog: Catalog, offer: Offer, protocols: tuple[Choice, ...]) -> Plan:
    """The plan of a generator.

    Args:
        settings: What to do.
        catalog: What there is.
        offer: The generator.
        protocols: What to evaluate; none to train it alone, or to draw faces.

    Raises:
        FacebenchError: When something cannot be used.
    """
    spec, name = offer.spec, settings.plugin
    sections = ("backbone", "loss", "trainer", "embedder", "finetune", "validation")
    elsewhere = "say extractor.KEY for the network it learns from, downstream.KEY for the one trained on its faces"
    refuse_sections(settings, sections, f"{name!r} is a generator; {elsewhere}")
    demo: Mapping[str, Any] = spec.demo if settings.train_data.name == "demo" else {}
    backbone, learned = None, demo
    if settings.weights is None:
        options = build_options(spec.options, merged(demo.get("generator", {}), settings.generator), "generator")
        if keeps_best(options):
            raise ConfigError("generator.keep = 'best' does not apply: a generator is not validated in its training")
    else:
        refuse_sections(settings, ("generator", "extractor"), "weights are given, so nothing is trained")
        recipe = _stored(settings, offer)
        learned = spec.demo if recipe.data == "demo" else {}
        options = build_options(spec.options, recipe.generator_options, "generator")
        backbone = choose(catalog, "backbones", recipe.backbone, recipe.backbone_options, "backbone")
    told = merged(learned.get("generation", {}), settings.generation.model_dump(exclude_unset=True))
    generation = GenerationSettings(**told)
    drawing = build_options(spec.drawing, generation.options, "generation")
    settings = settings.model_copy(update={"generation": generation})
    chosen_data = train_data(settings, catalog, demo.get("train_data", {}))
    if chosen_data is not None:  # the parts are to train on the same, whatever they would choose themselves
        settings = settings.model_copy(update={"train_data": TrainData(**chosen_data.resolved)})
    return Plan(
        settings,
        "generators",
        Choice(offer, options),
        protocols,
        backbone=backbone,
        train_data=chosen_data,
        drawing=drawing,
        parts=_parts(settings, catalog, spec, protocols, demo),
    )


def _stored(settings: Settings, offer: Offer) -> Recipe:
    """What a checkpoint says of its generator.

    Raises:
        DataError: When it is of something else.
    """
    from facebench.checkpoints import read_checkpoint

    assert settings.weights is not None
    folder = checkpoint_folder(settings.weights)
    if folder is None or not folder.is_dir():
        raise DataError(f"weights {settings.weights}: a generator is loaded from the folder of its checkpoint")
    recipe = read_checkpoint(folder).recipe
    if recipe.generator != offer.spec.name:
        found = f"the generator {recipe.generator!r}" if recipe.generator else f"a network, {recipe.backbone!r}"
        raise DataError(f"weights {settings.weights} hold {found}, not the generator {offer.spec.name!r}")
    return recipe


def _parts(
    settings: Settings, catalog: Catalog, spec: Any, protocols: tuple[Choice, ...], demo: Mapping[str, Any]
) -> dict[str, Plan]:
    """The plans of the methods around the generator that the run needs."""
    judged = [choice.offer.spec.judges_faces for choice in protocols]
    wanted = {"extractor": settings.weights is None, "judge": any(judged), "downstream": not all(judged)}
    usual = {"extractor": spec.extractor, "judge": spec.judge, "downstream": spec.downstream}
    if protocols:
        unused = [name for name, needed in wanted.items() if not needed and name != "extractor"]
        for name in unused:
            refuse_sections(settings, (name,), "no protocol of this run needs it")
    # The judge must know nothing that the extractor knows but the faces.
    seeds = {"judge": settings.seed + 1}
    return {
        name: _part(name, settings, catalog, usual[name], demo.get(name, {}), seeds.get(name, settings.seed))
        for name, needed in wanted.items()
        if needed
    }


def _part(name: str, settings: Settings, catalog: Catalog, usual: str, demo: Mapping[str, Any], seed: int) -> Plan:
    """The plan of one method: its section, over what the generator suggests for the built-in faces."""
    section: PartSettings = getattr(settings, name)
    if name == "downstream" and section.weights is not None:
        raise ConfigError("downstream.weights does not apply: it is trained on the generated faces; see judge.weights")
    plugin = section.plugin or demo.get("plugin", usual)
    suggested = demo if plugin == demo.get("plugin", usual) and section.weights is None else {}
    own = settings.model_copy(
        update={
            "plugin": plugin,
            "weights": section.weights,
            "seed": seed if section.seed is None else section.seed,
            "backbone": _over(suggested.get("backbone", {}), section.backbone),
            "loss": _over(suggested.get("loss", {}), section.loss),
            "trainer": merged(suggested.get("trainer", {}), section.trainer),
            "embedder": dict(section.embedder),
            "protocols": (),
            "protocol": {},
            "validation": (),
            "finetune": FinetuneSettings(),
        }
    )
    kind, offer = method_offer(plugin, catalog)
    try:
        if kind == "trainers":
            if section.weights is not None:
                own = own.model_copy(update={"train_data": TrainData()})
            return training_plan(own, catalog, offer, ())
        if kind == "embedders" and name == "judge":
            own = own.model_copy(update={"train_data": TrainData()})
            return embedder_plan(own, offer, ())
    except ConfigError as error:
        raise ConfigError(f"{name}: {error}") from None
    raise ConfigError(f"{name}.plugin = {plugin!r} is one of the {kind}; the {name} is trained by a trainer")


def _over(suggested: Mapping[str, Any], chosen: Chosen) -> Chosen:
    """What the user chose, over a suggestion; its options are dropped where the user named something else."""
    if chosen.name and chosen.name != suggested.get("name", chosen.name):
        return chosen
    return Chosen(**merged(suggested, chosen.model_dump(exclude_unset=True)))
