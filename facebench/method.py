"""From a plan to something that embeds: weights that were given, were trained before, or are trained now."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from facebench.config import build_options, plain
from facebench.contracts import Recipe, TrainJob, fingerprint_of
from facebench.errors import ConfigError, DataError
from facebench.launching import by_first, device_of
from facebench.plan import checkpoint_folder
from facebench.ranks import wait, world
from facebench.results import Subject
from facebench.validating import Validator

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from torch import nn

    from facebench.contracts import Checkpoint, Embedder, FaceDataset, Preprocess, Progress
    from facebench.plan import Choice, Plan
    from facebench.store import Cache
    from facebench.validating import Opened


@dataclass(frozen=True, slots=True)
class Method:
    """What is evaluated.

    Attributes:
        embedder: Turns faces into embeddings.
        subject: What the result says of it.
        checkpoint: Where trained weights lie, if they were trained here.
        people: Whom it was trained on, by the names of their folders; empty where that is not known.
        network: What embeds, where it is a network of a backbone.
    """

    embedder: Embedder
    subject: Subject
    checkpoint: Checkpoint | None = None
    people: frozenset[str] = frozenset()
    network: nn.Module | None = None


def unheard(epoch: int, values: Mapping[str, float]) -> None:
    """For callers who do not listen to epochs."""


def obtain(
    plan: Plan,
    *,
    cache: Cache,
    fresh: bool,
    progress: Progress,
    epoch_ended: Callable[[int, Mapping[str, float]], None] = unheard,
    watched: Sequence[Opened] = (),
) -> Method:
    """Weights, given or trained, wrapped as an embedder; all processes call it.

    Args:
        plan: What to do.
        cache: Where trainings are kept and continued.
        fresh: Forget an earlier training of the same recipe.
        progress: For bars.
        epoch_ended: Told after each epoch.
        watched: The protocols of ``plan.validation``.

    Raises:
        FacebenchError: When weights or training data cannot be used.
    """
    if plan.kind == "embedders":
        return _given(plan)
    if plan.settings.weights is not None:
        return _loaded(plan, plan.settings.weights)
    return _trained(plan, cache=cache, fresh=fresh, progress=progress, epoch_ended=epoch_ended, watched=watched)


def _given(plan: Plan) -> Method:
    weights = plan.settings.weights
    embedder: Embedder = plan.method.offer.spec.build(weights, plan.method.options)
    model = weights.name if weights else plan.method.name
    return Method(embedder, subject_of(plan, embedder, model, embedder.fingerprint))


def subject_of(plan: Plan, embedder: Embedder, model: str, weights: str) -> Subject:
    """What a result says of the plan's method.

    Args:
        plan: What was done.
        embedder: What embeds.
        model: In words.
        weights: SHA-256.
    """
    plugin = plan.method.offer.plugin
    return Subject(
        plugin=plan.method.name,
        distribution=f"{plugin.distribution} {plugin.version}",
        model=model,
        weights=weights,
        embedding_size=embedder.embedding_size,
        notes=dict(embedder.notes),
    )


def _loaded(plan: Plan, weights: Path) -> Method:
    """A trainer's backbone with weights from a checkpoint folder or a file of another code base."""
    from facebench.checkpoints import load_weights, read_checkpoint

    chosen = _needed(plan.backbone)
    backbone = chosen.offer.spec.build(chosen.options)
    folder = checkpoint_folder(weights)
    stored = read_checkpoint(folder) if folder is not None else None
    sha256 = load_weights(folder or weights, backbone)
    preprocess = stored.preprocess if stored else chosen.offer.spec.preprocess
    embedder = network_embedder(chosen, backbone, preprocess, sha256, device=device_of(plan.settings.device))
    model = _in_words(stored.recipe) if stored else f"{chosen.name}, weights {weights.name}"
    return Method(embedder, subject_of(plan, embedder, model, sha256), network=backbone)


def network_embedder(
    chosen: Choice, backbone: nn.Module, preprocess: Preprocess, sha256: str, *, device: str
) -> Embedder:
    """A network as an embedder.

    The fingerprint holds whatever changes the output besides the weights: two networks can share one file of weights,
    as transformers with more or fewer heads do, and torch sums in another order on another device.
    """
    import torch

    from facebench.inference import TorchEmbedder

    kind = device.partition(":")[0]
    decides = [sha256, chosen.resolved, str(chosen.offer.plugin), str(torch.__version__), kind]
    return TorchEmbedder(backbone, preprocess, device=device, fingerprint=fingerprint_of(decides), notes={})


def _in_words(recipe: Recipe) -> str:
    """What was trained on what."""
    how = f"fine-tuned from {recipe.start[:8]} on" if recipe.start else "trained on"
    return f"{recipe.backbone} + {recipe.loss}, {how} {recipe.data}"


def _trained(
    plan: Plan,
    *,
    cache: Cache,
    fresh: bool,
    progress: Progress,
    epoch_ended: Callable[[int, Mapping[str, float]], None],
    watched: Sequence[Opened],
) -> Method:
    from facebench.checkpoints import load_weights

    dataset = training_set(plan)
    classes = int(dataset.labels.max()) + 1
    device = device_of(plan.settings.device)
    begun = _begun(plan, classes)
    recipe = by_first(lambda: _recipe(plan, dataset, begun, watched))
    folder = cache.training(recipe.fingerprint)
    if fresh:
        if world().first:
            cache.forget(folder)
        wait()
    job = TrainJob(
        backbone=begun.backbone,
        loss=begun.loss,
        preprocess=begun.preprocess,
        dataset=dataset,
        num_classes=classes,
        options=plan.method.options,
        recipe=recipe,
        device=device,
        seed=plan.settings.seed,
        folder=folder,
        progress=progress,
        epoch_ended=epoch_ended,
        validate=Validator(tuple(watched), plan.settings, begun.preprocess, device, folder) if watched else None,
    )
    checkpoint: Checkpoint = plan.method.offer.spec.build(plan.method.options).fit(job)
    load_weights(checkpoint.folder, begun.backbone)
    chosen = _needed(plan.backbone)
    embedder = network_embedder(chosen, begun.backbone, checkpoint.preprocess, checkpoint.sha256, device=device)
    model = _in_words(recipe) + _deviations(plan)
    subject = subject_of(plan, embedder, model, checkpoint.sha256)
    # Keys of drawn faces are numbers that every population counts anew; they name nobody.
    people = people_in(dataset.keys) if plan.train_data is None else frozenset[str]()
    return Method(embedder, subject, checkpoint, people, begun.backbone)


@dataclass(frozen=True, slots=True)
class _Begun:
    """What a training starts with.

    Attributes:
        backbone: With random weights, or with those that are fine-tuned.
        loss: With random class centres, or with those that are kept.
        preprocess: What the network expects.
        start: SHA-256 of the weights that are fine-tuned; empty for random ones.
    """

    backbone: nn.Module
    loss: nn.Module
    preprocess: Preprocess
    start: str


def _begun(plan: Plan, classes: int) -> _Begun:
    import torch

    backbone_choice, loss_choice = _needed(plan.backbone), _needed(plan.loss)
    # The weights at the start depend on the seed alone, not on what was built before.
    torch.manual_seed(plan.settings.seed)
    backbone = backbone_choice.offer.spec.build(backbone_choice.options)
    loss = loss_choice.offer.spec.build(classes, backbone.embedding_size, loss_choice.options)
    preprocess: Preprocess = backbone_choice.offer.spec.preprocess
    weights = plan.settings.finetune.weights
    if weights is None:
        return _Begun(backbone, loss, preprocess, "")
    from facebench.checkpoints import load_weights, read_checkpoint

    folder = checkpoint_folder(weights)
    start = load_weights(folder or weights, backbone)
    if folder is not None:
        preprocess = read_checkpoint(folder).preprocess
        if plan.settings.finetune.classes == "kept":
            from facebench.resume import restore_classes

            restore_classes(folder, loss)
    return _Begun(backbone, loss, preprocess, start)


def people_in(keys: Iterable[str]) -> frozenset[str]:
    """The people that keys like ``Name/Name_0001`` name: the folders that pictures lie in."""
    return frozenset(key.split("/")[-2] for key in keys if "/" in key)


def _deviations(plan: Plan) -> str:
    """Which options differ from their defaults, so that two rows of a table can be told apart."""
    parts = {"backbone": plan.backbone, "loss": plan.loss, "trainer": plan.method, "train_data": plan.train_data}
    demo = plan.method.offer.spec.demo if plan.settings.train_data.name == "demo" else {}
    said = []
    for section, choice in parts.items():
        if choice is None:
            continue
        usual = dict(demo.get(section, {}))
        if usual.pop("name", choice.name) != choice.name:
            usual = {}
        if section == "backbone":
            usual = {**plan.method.offer.spec.backbone_options, **usual}
        default = plain(build_options(choice.offer.spec.options, usual, section))
        said += [
            f"{section}.{key}={value}"
            for key, value in choice.decides.items()
            if value != default.get(key, choice.name)
        ]
    said += ["finetune.classes=kept"] if plan.settings.finetune.classes == "kept" else []
    said += [f"validation={plan.validation[0].name}"] if plan.chooses else []
    said += [f"seed={plan.settings.seed}"] if plan.settings.seed else []
    return f" ({', '.join(said)})" if said else ""


def training_set(plan: Plan) -> FaceDataset:
    """The faces to train on, opened.

    Raises:
        FacebenchError: When they cannot be read, or hold no two identities.
    """
    chosen = plan.train_data
    if plan.given is not None:
        dataset = plan.given
    elif chosen is not None:
        dataset = chosen.offer.spec.build(None, chosen.options)
    else:
        from facebench.datasets import open_images

        dataset = open_images(Path(plan.settings.train_data.name).expanduser())
    labels = dataset.labels
    if not len(labels) or labels.min() < 0 or int(labels.max()) < 1:
        raise DataError(
            f"training set {dataset.name!r} has {len(labels)} faces and no two labelled identities; "
            "lay the pictures out as IDENTITY/PICTURE or give a CSV list with path and label"
        )
    return dataset


def _recipe(plan: Plan, dataset: FaceDataset, begun: _Begun, watched: Sequence[Opened]) -> Recipe:
    backbone, loss = _needed(plan.backbone), _needed(plan.loss)
    decides: dict[str, object] = {
        "trainer": plan.method.decides,
        "backbone": backbone.decides,
        "loss": loss.decides,
        "data": dataset.fingerprint,
        "seed": plan.settings.seed,
        # Code decides too: another version of any package involved is another training.
        "code": sorted({str(choice.offer.plugin) for choice in (plan.method, backbone, loss)}),
    }
    if begun.start:
        decides["start"] = [begun.start, plan.settings.finetune.classes, begun.preprocess.fingerprint]
    if plan.chooses:
        judge = watched[0]
        plugin, mirror = str(judge.choice.offer.plugin), plan.settings.embedding.mirror
        decides["validation"] = [judge.choice.decides, plugin, judge.faces.fingerprint, mirror]
    return Recipe(
        backbone=backbone.name,
        backbone_options=plain(backbone.options),
        loss=loss.name,
        loss_options=plain(loss.options),
        data=dataset.name,
        data_fingerprint=dataset.fingerprint,
        fingerprint=fingerprint_of(decides),
        start=begun.start,
    )


def _needed(choice: Choice | None) -> Choice:
    if choice is None:
        raise ConfigError("the plan has no backbone or loss; this is a training without its parts")
    return choice


def threads() -> int:
    """Threads that numeric work may use: torch's, when it is loaded."""
    import sys

    torch = sys.modules.get("torch")
    return int(torch.get_num_threads()) if torch is not None else os.cpu_count() or 1
