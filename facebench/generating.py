"""A run of a generator: what it learns from, its training, the faces it draws, and who looks at them.

Each step is kept in the cache under everything that decides it, so a run that was killed goes on where it stopped, and
another number of faces asks for no other training.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, cast

from facebench import __version__
from facebench.config import GenerationSettings, build_options, plain
from facebench.contracts import DataProtocol, Recipe, fingerprint_of
from facebench.datasets import JoinedFaces, open_images
from facebench.errors import ConfigError, PluginError
from facebench.generation import Drawing, generate
from facebench.generators import GeneratorJob
from facebench.launching import by_first, device_of
from facebench.method import Method, network_embedder, obtain, people_in, subject_of, training_set
from facebench.plan import checkpoint_folder
from facebench.ranks import wait, world

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from torch import nn

    from facebench.contracts import Checkpoint, FaceDataset, Progress
    from facebench.generation import Generated
    from facebench.generation.drawing import Form
    from facebench.generators import Generator
    from facebench.plan import Plan
    from facebench.results import Subject
    from facebench.store import Cache
    from facebench.validating import Opened


@dataclass(frozen=True, slots=True)
class Made:
    """A generator, ready to draw.

    Attributes:
        generator: With its weights.
        method: What a result says of it; its embedder is the network that the generator learned from.
        checkpoint: Its weights on disk.
        real: The faces that it was trained on, opened; None where it was not trained now. All methods of a run share
            them, so that drawn faces are drawn once.
    """

    generator: Generator
    method: Method
    checkpoint: Checkpoint
    real: FaceDataset | None = None


@dataclass(frozen=True, slots=True)
class Shown:
    """What the protocols of a run are to evaluate.

    Attributes:
        asked: The protocols, those that judge faces with the generated ones in the place of their own.
        methods: Who embeds for each protocol, by its name.
        warnings: What a reader must know, by protocol.
        on_demo: Whether the generator learned from drawn faces.
    """

    asked: list[Opened]
    methods: Mapping[str, Method]
    warnings: Mapping[str, tuple[str, ...]]
    on_demo: bool


def make(
    plan: Plan,
    *,
    cache: Cache,
    fresh: bool,
    progress: Progress,
    epoch_ended: Callable[[int, Mapping[str, float]], None],
) -> Made:
    """A generator with its weights, given or trained; all processes call it.

    Args:
        plan: What to do.
        cache: Where trainings are kept and continued.
        fresh: Forget earlier trainings of the same recipes.
        progress: For bars.
        epoch_ended: Told after each epoch of the generator.

    Raises:
        FacebenchError: When weights or training data cannot be used.
    """
    generator: Generator = plan.method.offer.spec.build(plan.method.options, plan.drawing)
    device = device_of(plan.settings.device)
    if plan.settings.weights is not None:
        from facebench.checkpoints import read_checkpoint

        checkpoint = read_checkpoint(checkpoint_folder(plan.settings.weights) or plan.settings.weights)
        assert plan.backbone is not None
        network = plan.backbone.offer.spec.build(plan.backbone.options)
        learned_from, people, real = plan.backbone, frozenset[str](), None
    else:
        real = training_set(plan)
        part = replace(plan.parts["extractor"], given=real)
        extractor = obtain(part, cache=cache, fresh=fresh, progress=progress)
        if extractor.network is None or part.backbone is None:
            raise ConfigError(f"extractor: {part.method.name!r} gave no network that a generator could learn from")
        network, learned_from, people = extractor.network, part.backbone, extractor.people
        job = _job(plan, extractor, real, device=device, cache=cache, progress=progress, epoch_ended=epoch_ended)
        if fresh:
            _forget(cache, job.folder)
        checkpoint = generator.fit(job)
    generator.load(checkpoint.folder, extractor=network, preprocess=checkpoint.preprocess, device=device)
    embedder = network_embedder(learned_from, network, checkpoint.preprocess, checkpoint.sha256, device=device)
    recipe = checkpoint.recipe
    model = f"{recipe.generator} after {recipe.backbone}, trained on {recipe.data}{_said(_of_training(plan, recipe))}"
    subject = subject_of(plan, embedder, model, checkpoint.sha256)
    return Made(generator, Method(embedder, subject, checkpoint, people, network), checkpoint, real)


def draw(plan: Plan, made: Made, out: Path, *, form: Form, progress: Progress) -> Generated:
    """Draws the faces that the plan asks for, or finds them drawn; all processes call it.

    Args:
        plan: How many, and how.
        made: What draws.
        out: The folder that receives them.
        form: ``folder``, ``tar`` or ``recordio``.
        progress: For bars.

    Raises:
        FacebenchError: When the folder holds something else or cannot be written.
    """
    chosen = plan.settings.generation
    drawing = Drawing(
        identities=chosen.identities,
        images_per_id=chosen.images_per_id,
        form=form,
        encoding=chosen.encoding,
        quality=chosen.quality,
        block=chosen.block,
        seed=plan.settings.seed,
    )
    subject = made.method.subject
    described = {
        "generator": subject.plugin,
        "distribution": subject.distribution,
        "model": subject.model,
        "checkpoint": made.checkpoint.sha256,
        "options": plain(plan.drawing),
    }
    return generate(made.generator, drawing, out, described=described, progress=progress)


def show(plan: Plan, made: Made, asked: Sequence[Opened], *, cache: Cache, fresh: bool, progress: Progress) -> Shown:
    """Draws faces into the cache, and makes whoever is to look at them; all processes call it.

    Args:
        plan: What to do.
        made: What draws.
        asked: The protocols, opened.
        cache: Where faces and trainings are kept.
        fresh: Draw and train again, even if the same was done before.
        progress: For bars.

    Raises:
        FacebenchError: When faces cannot be drawn or a network cannot be trained on them.
    """
    chosen = plan.settings.generation
    decides = chosen.model_dump(mode="json", exclude={"form"}) | plain(plan.drawing)
    code = str(plan.method.offer.plugin)
    name = fingerprint_of([__version__, made.checkpoint.sha256, decides, plan.settings.seed, code])
    folder = cache.generated(f"{plan.method.name}-{chosen.identities}x{chosen.images_per_id}-{name}")
    if fresh:
        _forget(cache, folder)
    draw(plan, made, folder, form="tar", progress=progress)
    faces = open_images(folder)
    real = made.real if made.real is not None else training_set(plan)
    known = real.fingerprint == made.checkpoint.recipe.data_fingerprint
    on_demo = known and plan.settings.train_data.name == "demo"
    methods, warnings, found = {}, {}, []
    judge = downstream = None
    for one in asked:
        if one.choice.offer.spec.judges_faces:
            part = replace(plan.parts["judge"], given=real)
            judge = judge or obtain(part, cache=cache, fresh=fresh, progress=progress)
            method = replace(judge, subject=_judged(plan, made, judge), people=frozenset())
            warnings[one.choice.name] = (*_favoured(judge, made), *_unknown(made, real, known=known))
            comparable = plan.settings.data_root is not None or on_demo
            beside = one.faces if comparable else None
            one = replace(one, faces=_faces_to_judge(one, faces, reference=real if known else None, beside=beside))
        else:
            downstream = downstream or _downstream(plan, made, faces, real, cache=cache, fresh=fresh, progress=progress)
            method = downstream
        methods[one.choice.name] = method
        found.append(one)
    return Shown(found, methods, warnings, on_demo)


def _job(
    plan: Plan,
    extractor: Method,
    dataset: FaceDataset,
    *,
    device: str,
    cache: Cache,
    progress: Progress,
    epoch_ended: Callable[[int, Mapping[str, float]], None],
) -> GeneratorJob:
    recipe = by_first(lambda: _recipe(plan, extractor, dataset))
    return GeneratorJob(
        extractor=cast("nn.Module", extractor.network),
        preprocess=extractor.embedder.preprocess,
        dataset=dataset,
        num_classes=int(dataset.labels.max()) + 1,
        options=plan.method.options,
        recipe=recipe,
        device=device,
        seed=plan.settings.seed,
        folder=cache.training(recipe.fingerprint),
        progress=progress,
        epoch_ended=epoch_ended,
    )


def _recipe(plan: Plan, extractor: Method, dataset: FaceDataset) -> Recipe:
    backbone = plan.parts["extractor"].backbone
    assert backbone is not None
    decides = {
        "generator": plan.method.decides,
        "extractor": [backbone.decides, extractor.subject.weights, extractor.embedder.preprocess.fingerprint],
        "data": dataset.fingerprint,
        "seed": plan.settings.seed,
        "code": sorted({str(plan.method.offer.plugin), str(backbone.offer.plugin)}),
    }
    return Recipe(
        backbone=backbone.name,
        backbone_options=plain(backbone.options),
        loss="",
        loss_options={},
        data=dataset.name,
        data_fingerprint=dataset.fingerprint,
        fingerprint=fingerprint_of(decides),
        start=extractor.subject.weights,
        generator=plan.method.name,
        generator_options=plain(plan.method.options),
    )


def _forget(cache: Cache, folder: Path) -> None:
    if world().first:
        cache.forget(folder)
    wait()


def _faces_to_judge(
    one: Opened, faces: FaceDataset, *, reference: FaceDataset | None, beside: FaceDataset | None
) -> FaceDataset:
    """The generated faces as the protocol wants them, with the real ones to compare with.

    Drawn people are no yardstick for faces that were learned from photographs, so without a data root the protocol's
    own faces stand beside generated ones only where these were learned from drawn people, too.
    """
    if not isinstance(one.protocol, DataProtocol):
        raise PluginError(f"protocol {one.choice.name!r} says that it judges faces, but has no 'faces_of'")
    return one.protocol.faces_of(faces, reference=reference, beside=beside)


def _judged(plan: Plan, made: Made, judge: Method) -> Subject:
    """What a result says of faces that a judge has looked at."""
    drawn = made.method.subject
    notes = {"judge": judge.subject.model, "weights of the judge": judge.subject.weights, **judge.subject.notes}
    model = f"{drawn.model}{_said(_of_drawing(plan, made.checkpoint.recipe))}"
    return drawn.model_copy(update={"model": model, "embedding_size": judge.embedder.embedding_size, "notes": notes})


def _unknown(made: Made, real: FaceDataset, *, known: bool) -> tuple[str, ...]:
    """A warning where the training set at hand is not the one that the generator learned from."""
    if known:
        return ()
    learned = made.checkpoint.recipe.data
    return (
        f"the generator learned from {learned!r}, and the training set at hand is another ({real.name!r}): what it "
        "repeats is not measured; name the right one with --train-data",
    )


def _of_training(plan: Plan, recipe: Recipe) -> list[str]:
    """Which options of the generator's training differ from the usual ones."""
    demo = _demo(plan, recipe)
    usual = plain(build_options(type(plan.method.options), demo.get("generator", {}), "generator"))
    return [f"generator.{key}={value}" for key, value in plan.method.decides.items() if value != usual.get(key, value)]


def _of_drawing(plan: Plan, recipe: Recipe) -> list[str]:
    """Which options of drawing differ from the usual ones, and the seed."""
    chosen, usual = plan.settings.generation, GenerationSettings(**_demo(plan, recipe).get("generation", {}))
    default = usual.model_dump(mode="json") | plain(build_options(type(plan.drawing), usual.options, "generation"))
    found = chosen.model_dump(mode="json") | plain(plan.drawing)
    said = [f"generation.{key}={value}" for key, value in found.items() if key != "form" and value != default[key]]
    return said + ([f"seed={plan.settings.seed}"] if plan.settings.seed else [])


def _demo(plan: Plan, recipe: Recipe) -> Mapping[str, Mapping[str, Any]]:
    """What the generator suggests for the built-in faces, where it learned from these."""
    return plan.method.offer.spec.demo if recipe.data == "demo" else {}


def _said(deviations: list[str]) -> str:
    return f" ({', '.join(deviations)})" if deviations else ""


def _favoured(judge: Method, made: Made) -> tuple[str, ...]:
    """A warning where the judge is the network that the generator was trained to please."""
    if judge.subject.weights not in (made.checkpoint.recipe.start, made.checkpoint.sha256):
        return ()
    return ("the judge is the network that the generator learned from, which favours it; name another with judge.seed",)


def _downstream(
    plan: Plan,
    made: Made,
    faces: FaceDataset,
    real: FaceDataset,
    *,
    cache: Cache,
    fresh: bool,
    progress: Progress,
) -> Method:
    """A network that is trained on what was drawn."""
    part = plan.parts["downstream"]
    mixed = plan.settings.downstream.faces == "mixed"
    if mixed:
        faces = JoinedFaces({"real": real, "generated": faces})
    method = obtain(replace(part, given=faces), cache=cache, fresh=fresh, progress=progress)
    drawn, own = made.method.subject, method.subject
    what = own.model
    if mixed:
        what = f"{what} ({real.name} and generated faces)"
    recipe = made.checkpoint.recipe
    what += _said([*_of_training(plan, recipe), *_of_drawing(plan, recipe)])
    subject = own.model_copy(update={"plugin": drawn.plugin, "distribution": drawn.distribution, "model": what})
    # Folders of generated people are numbers, which name nobody.
    people = people_in(real.keys) if mixed and plan.train_data is None else frozenset[str]()
    return replace(method, subject=subject, people=people)
