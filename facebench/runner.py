"""The run: resolve names, open data, get weights, embed once per data set, evaluate, store.

Read ``run`` from top to bottom for the whole story; ``train`` is its first half. Data is opened before anything is
trained, so that a missing file is told in the first second and not after the last epoch. Where a launcher started
several processes, all of them train and embed; the first alone owns the run's folder, evaluates and tells the hooks.
"""

from __future__ import annotations

import logging
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from facebench import __version__
from facebench import plan as plans
from facebench.config import to_toml
from facebench.demo import DEMO_VERSION
from facebench.embed import embed, fingerprint
from facebench.errors import FacebenchError
from facebench.hooks import RunInfo
from facebench.keeping import keep_checkpoint, last_epoch, run_folder
from facebench.launching import by_first, device_of
from facebench.method import obtain, people_in, threads
from facebench.provenance import provenance
from facebench.ranks import told, wait, world
from facebench.results import Data, Result, Subject
from facebench.store import Cache, RunFolder, cache_root, find_results, write_atomic, write_text
from facebench.validating import opened, watched

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    import numpy.typing as npt

    from facebench.config import Settings
    from facebench.contracts import Checkpoint, Evaluation, FaceDataset, Progress
    from facebench.embed import Embedded
    from facebench.host import Host
    from facebench.method import Method
    from facebench.plan import Choice, Plan
    from facebench.validating import Opened

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run leaves.

    Attributes:
        folder: Where everything lies.
        results: One per protocol, in the order asked for.
        reused: The protocols whose stored result was still valid and was not computed again.
    """

    folder: Path
    results: tuple[Result, ...]
    reused: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Trained:
    """What a training leaves.

    Attributes:
        folder: Where everything lies.
        checkpoint: The network, in that folder.
        values: Of the last epoch, by name; empty where the trainer kept none.
        reused: Whether there was nothing left to train, since it had been done before.
    """

    folder: Path
    checkpoint: Checkpoint
    values: Mapping[str, float]
    reused: bool


def run(settings: Settings, host: Host, *, progress: Progress, fresh: bool = False) -> Outcome:
    """Runs one method on one or more protocols. All processes call it, and all are given the outcome.

    Args:
        settings: What to do.
        host: The plugins.
        progress: For bars.
        fresh: Do everything again, even what is stored.

    Raises:
        FacebenchError: When names, options, data or weights cannot be used.
    """
    plan = plans.make(settings, host.catalog)
    asked = opened(plan.protocols, settings.data_root)
    with _begun(plan, host, asked, progress=progress, fresh=fresh) as work:
        if fresh:
            work.forget(asked)
        results, reused = [], []
        for one in asked:
            stored = None if fresh else by_first(partial(work.stored, one))
            if stored is not None:
                log.info("%s: the stored result is still valid", one.choice.name)
                reused.append(one.choice.name)
            result = stored or work.evaluate(one)
            work.tell("facebench_result_ready", result=result)
            results.append(result)
        work.tell("facebench_run_ended", results=tuple(results))
    return Outcome(work.folder.path, tuple(results), tuple(reused))


def train(settings: Settings, host: Host, *, progress: Progress, fresh: bool = False) -> Trained:
    """Trains one method and evaluates nothing. All processes call it, and all are given what was trained.

    Args:
        settings: What to do; names no protocols.
        host: The plugins.
        progress: For bars.
        fresh: Train again, even if the same was trained before.

    Raises:
        FacebenchError: When names, options or data cannot be used.
    """
    plan = plans.make(settings, host.catalog, evaluates=False)
    with _begun(plan, host, [], progress=progress, fresh=fresh) as work:
        checkpoint = work.method.checkpoint
        if checkpoint is None:
            raise FacebenchError(f"the trainer {plan.method.name!r} left no checkpoint")
        values = by_first(lambda: work.epochs[-1] if work.epochs else last_epoch(checkpoint.folder / "metrics.csv"))
        work.tell("facebench_run_ended", results=())
    kept = replace(checkpoint, folder=work.folder.checkpoint)
    return Trained(work.folder.path, kept, values, reused=not told(len(work.epochs)))


def report(places: list[Path], host: Host, *, formats: tuple[str, ...], out: Path) -> list[Path]:
    """Writes reports over all results found in files, run folders or folders of runs.

    Raises:
        FacebenchError: When there are no results, or a format is unknown.
    """
    offers = [host.catalog.get("reports", name) for name in formats]
    results = tuple(find_results(places))
    written: list[Path] = []
    for offer in offers:
        renderer = offer.spec.build(offer.spec.options())
        written.extend(renderer.render(results, out))
    host.tell("facebench_report_written", results=results, files=tuple(written))
    return written


def make_result(evaluation: Evaluation, choice: Choice, subject: Subject, data: Data, **origin: object) -> Result:
    """An evaluation with subject and provenance, as it is stored."""
    plugin = choice.offer.plugin
    return Result(
        protocol=choice.name,
        protocol_distribution=f"{plugin.distribution} {plugin.version}",
        subject=subject,
        data=data,
        metrics=evaluation.metrics,
        curves=evaluation.curves,
        folds={name: tuple(values) for name, values in evaluation.folds.items()},
        rules=dict(evaluation.rules),
        warnings=evaluation.warnings,
        provenance=provenance(**origin),  # type: ignore[arg-type]
    )


def data_of(faces: FaceDataset, evaluation: Evaluation, *, demo: bool) -> Data:
    """What a result says of its data."""
    return Data(
        name=faces.name,
        demo=demo,
        version=DEMO_VERSION if demo else "",
        fingerprint=faces.fingerprint,
        counts={"images": len(faces), **evaluation.counts},
    )


@contextmanager
def _begun(plan: Plan, host: Host, asked: list[Opened], *, progress: Progress, fresh: bool) -> Iterator[_Work]:
    """The run's folder, and in it the method: loaded, or trained as the hooks are told."""
    settings = plan.settings
    validation = watched(plan.validation, settings.data_root, beside=asked)
    cache = Cache(settings.cache or cache_root())
    # Given weights are opened before there is a folder, so that a wrong file leaves nothing behind.
    method = None if plan.trains else obtain(plan, cache=cache, fresh=fresh, progress=progress)
    name = by_first(plan.fingerprint)
    with run_folder(settings.out, plan.method.name, name, fresh=fresh) as folder:
        info = RunInfo(
            plugin=plan.method.name,
            protocols=tuple(choice.name for choice in plan.protocols),
            folder=folder.path,
            config=plan.resolved(),
            fingerprint=name,
        )
        if world().first:
            write_text(folder.config, to_toml(plan.resolved()))
            host.tell("facebench_run_started", run=info)
        epochs: list[Mapping[str, float]] = []
        if method is None:
            ended = partial(_epoch_ended, host, info, epochs)
            method = obtain(plan, cache=cache, fresh=fresh, progress=progress, epoch_ended=ended, watched=validation)
            if world().first and method.checkpoint is not None:
                keep_checkpoint(method.checkpoint.folder, folder)
        yield _Work(plan, host, info, method, folder, cache, progress, tuple(validation), epochs)


def _epoch_ended(
    host: Host, info: RunInfo, epochs: list[Mapping[str, float]], epoch: int, values: Mapping[str, float]
) -> None:
    epochs.append(dict(values))
    if world().first:
        host.tell("facebench_epoch_ended", run=info, epoch=epoch, values=values)


@dataclass(frozen=True, slots=True)
class _Work:
    """What follows a training needs.

    Attributes:
        plan: What to do.
        host: The plugins.
        info: What they learn of the run.
        method: What is evaluated.
        folder: The run's.
        cache: For embeddings.
        progress: For bars.
        validation: What the training was evaluated on.
        epochs: The values of each epoch that was trained now.
    """

    plan: Plan
    host: Host
    info: RunInfo
    method: Method
    folder: RunFolder
    cache: Cache
    progress: Progress
    validation: tuple[Opened, ...]
    epochs: list[Mapping[str, float]]

    def tell(self, telling: str, **facts: object) -> None:
        if world().first:
            self.host.tell(telling, run=self.info, **facts)

    def place(self, one: Opened) -> Path:
        mirror = self.plan.settings.embedding.mirror
        return self.cache.embeddings(fingerprint(self.method.embedder, one.faces, mirror=mirror))

    def forget(self, asked: list[Opened]) -> None:
        if world().first:
            for one in asked:
                self.cache.forget(self.place(one))
        wait()

    def stored(self, one: Opened) -> Result | None:
        """The result of an earlier run of this configuration, unless weights, data or code changed since."""
        path = self.folder.result(one.choice.name)
        if not path.is_file():
            return None
        try:
            result = Result.load(path)
        except FacebenchError as error:
            log.warning("computed again: %s", error)
            return None
        plugin = one.choice.offer.plugin
        same = (
            result.subject == self.method.subject
            and result.data.fingerprint == one.faces.fingerprint
            and result.provenance.facebench == __version__
            and result.protocol_distribution == f"{plugin.distribution} {plugin.version}"
        )
        return result if same else None

    def evaluate(self, one: Opened) -> Result:
        """Embeds in all processes and evaluates in the first."""
        settings = self.plan.settings
        embedded = embed(
            self.method.embedder,
            one.faces,
            folder=self.place(one),
            batch_size=settings.embedding.batch_size,
            workers=settings.embedding.workers,
            mirror=settings.embedding.mirror,
            progress=self.progress,
        )
        source = "from the cache" if embedded.reused else "embedded"
        log.info("%s: %d faces %s", one.choice.name, len(one.faces), source)
        return by_first(partial(self._evaluated, one, embedded))

    def _evaluated(self, one: Opened, embedded: Embedded) -> Result:
        settings = self.plan.settings
        evaluation = one.protocol.evaluate(embedded.embeddings, one.faces, seed=settings.seed)
        warnings = (*evaluation.warnings, *self._resized(one, embedded), *self._known(one), *self._chosen(one))
        evaluation = replace(evaluation, warnings=warnings)
        result = make_result(
            evaluation,
            one.choice,
            self.method.subject,
            data_of(one.faces, evaluation, demo=settings.data_root is None),
            device=_device(self.plan),
            threads=threads(),
            seed=settings.seed,
            config=self.info.fingerprint,
            run=self.folder.path.name,
        )
        store_result(result, evaluation.scores, self.folder)
        return result

    def _resized(self, one: Opened, embedded: Embedded) -> list[str]:
        if not embedded.resized:
            return []
        size = "x".join(map(str, self.method.embedder.preprocess.size))
        return [f"{embedded.resized} of {len(one.faces)} pictures were resized to {size}; they were not aligned for it"]

    def _chosen(self, one: Opened) -> list[str]:
        """A warning when the network was chosen by its value here: the best of many is better than it will be again."""
        if not self.plan.chooses:
            return []
        judge = self.validation[0]
        if judge.choice.name != one.choice.name and judge.faces.fingerprint != one.faces.fingerprint:
            return []
        return [
            f"the network was chosen as the best of its epochs on {judge.choice.name} itself (trainer.keep = best): "
            "its values here are optimistic; judge it on data that chose nothing"
        ]

    def _known(self, one: Opened) -> list[str]:
        """A warning when people of the protocol were trained on: any accuracy then answers another question."""
        here = people_in(one.faces.keys) if self.method.people else frozenset[str]()
        known = sorted(here & self.method.people)
        if not known:
            return []
        return [
            f"{len(known)} of {len(here)} people of {one.choice.name} bear names of the training set (such as "
            f"{known[0]!r}): accuracy on people who were trained on says little about others"
        ]


def _device(plan: Plan) -> str:
    """Where the network ran; an embedder knows it from its options, or decides for itself."""
    if plan.kind == "trainers":
        return device_of(plan.settings.device)
    return str(getattr(plan.method.options, "device", "unknown"))


def store_result(result: Result, scores: Mapping[str, npt.NDArray[Any]], folder: RunFolder) -> None:
    """Stores figures and scores first, the result last: what has a result is complete.

    Args:
        result: The result.
        scores: Per-comparison arrays, kept beside it.
        folder: Where.
    """
    from facebench.figures import draw

    for curve in result.curves:
        titled = curve.model_copy(update={"title": f"{result.title}, {result.subject.plugin}: {curve.title}"})
        draw(titled, folder.figures / f"{result.protocol}-{curve.name}")
    if scores:
        arrays: dict[str, Any] = dict(scores)
        write_atomic(folder.scores(result.protocol), partial(np.savez, **arrays))
    write_text(folder.result(result.protocol), result.to_json())
