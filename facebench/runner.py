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
from typing import TYPE_CHECKING

from facebench import __version__, generating
from facebench.config import to_toml
from facebench.embed import embed, fingerprint
from facebench.errors import FacebenchError
from facebench.generation import refuse_foreign
from facebench.hooks import RunInfo
from facebench.keeping import keep_checkpoint, last_epoch, run_folder
from facebench.launching import by_first, device_of
from facebench.method import obtain, people_in, threads, unheard
from facebench.planning import make
from facebench.ranks import told, wait, world
from facebench.results import Result
from facebench.store import Cache, RunFolder, cache_root, find_results, write_text
from facebench.storing import data_of, make_result, store_result
from facebench.validating import opened, watched

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from facebench.config import Settings
    from facebench.contracts import Checkpoint, Evaluation, Progress
    from facebench.embed import Embedded
    from facebench.generating import Shown
    from facebench.generation import Generated
    from facebench.host import Host
    from facebench.method import Method
    from facebench.plan import Plan
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
    plan = make(settings, host.catalog)
    asked = opened(plan.protocols, settings.data_root)
    with _begun(plan, host, asked, progress=progress, fresh=fresh) as work:
        if fresh:
            work.forget()
        results, reused = [], []
        for one in work.asked:
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
    plan = make(settings, host.catalog, evaluates=False)
    with _begun(plan, host, [], progress=progress, fresh=fresh) as work:
        checkpoint = work.method.checkpoint
        if checkpoint is None:
            raise FacebenchError(f"the trainer {plan.method.name!r} left no checkpoint")
        values = by_first(lambda: work.epochs[-1] if work.epochs else last_epoch(checkpoint.folder / "metrics.csv"))
        work.tell("facebench_run_ended", results=())
    kept = replace(checkpoint, folder=work.folder.checkpoint)
    return Trained(work.folder.path, kept, values, reused=not told(len(work.epochs)))


def generate(
    settings: Settings, host: Host, out: Path, *, progress: Progress, fresh: bool = False
) -> tuple[Generated, Checkpoint]:
    """Draws faces with a generator, trained first where no weights are given. All processes call it.

    Args:
        settings: What to do; ``settings.generation`` says how many.
        host: The plugins.
        out: The folder that receives the faces; what an interrupted call left there is continued.
        progress: For bars.
        fresh: Train again, even if the same was trained before.

    Returns:
        What was drawn, and the generator's checkpoint.

    Raises:
        FacebenchError: When names, options, data or weights cannot be used, or the folder holds something else.
    """
    plan = make(settings, host.catalog, generates=True)
    if world().first:
        refuse_foreign(out)
    cache = Cache(settings.cache or cache_root())
    made = generating.make(plan, cache=cache, fresh=fresh, progress=progress, epoch_ended=unheard)
    form = plan.settings.generation.form
    return generating.draw(plan, made, out, form=form, progress=progress), made.checkpoint


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


@contextmanager
def _begun(plan: Plan, host: Host, asked: list[Opened], *, progress: Progress, fresh: bool) -> Iterator[_Work]:
    """The run's folder, and in it the method: loaded, or trained as the hooks are told."""
    settings = plan.settings
    validation = watched(plan.validation, settings.data_root, beside=asked)
    cache = Cache(settings.cache or cache_root())
    # Given weights are opened before there is a folder, so that a wrong file leaves nothing behind.
    given = not plan.trains and plan.kind != "generators"
    method = obtain(plan, cache=cache, fresh=fresh, progress=progress) if given else None
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
        ended = partial(_epoch_ended, host, info, epochs)
        shown = None
        if plan.kind == "generators":
            made = generating.make(plan, cache=cache, fresh=fresh, progress=progress, epoch_ended=ended)
            method = made.method
            if asked:
                shown = generating.show(plan, made, asked, cache=cache, fresh=fresh, progress=progress)
        elif method is None:
            method = obtain(plan, cache=cache, fresh=fresh, progress=progress, epoch_ended=ended, watched=validation)
        if plan.trains and world().first and method.checkpoint is not None:
            keep_checkpoint(method.checkpoint.folder, folder)
        yield _Work(plan, host, info, method, asked, shown, folder, cache, progress, tuple(validation), epochs)


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
        method: What was trained or loaded.
        opened: The protocols as they were asked for.
        shown: For generators: the protocols with generated faces, and who embeds for each.
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
    opened: list[Opened]
    shown: Shown | None
    folder: RunFolder
    cache: Cache
    progress: Progress
    validation: tuple[Opened, ...]
    epochs: list[Mapping[str, float]]

    @property
    def asked(self) -> list[Opened]:
        return self.opened if self.shown is None else self.shown.asked

    @property
    def on_demo(self) -> bool:
        """Whether results are of drawn faces: generated faces are, where they were learned from drawn ones."""
        return self.plan.settings.data_root is None and (self.shown is None or self.shown.on_demo)

    def embedding(self, one: Opened) -> Method:
        """The method whose network embeds for a protocol."""
        return self.method if self.shown is None else self.shown.methods[one.choice.name]

    def tell(self, telling: str, **facts: object) -> None:
        if world().first:
            self.host.tell(telling, run=self.info, **facts)

    def place(self, one: Opened) -> Path:
        mirror = self.plan.settings.embedding.mirror
        return self.cache.embeddings(fingerprint(self.embedding(one).embedder, one.faces, mirror=mirror))

    def forget(self) -> None:
        if world().first:
            for one in self.asked:
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
            result.subject == self.embedding(one).subject
            and result.data.fingerprint == one.faces.fingerprint
            and result.provenance.facebench == __version__
            and result.protocol_distribution == f"{plugin.distribution} {plugin.version}"
        )
        return result if same else None

    def evaluate(self, one: Opened) -> Result:
        """Embeds in all processes and evaluates in the first."""
        settings = self.plan.settings
        embedded = embed(
            self.embedding(one).embedder,
            one.faces,
            folder=self.place(one),
            batch_size=settings.embedding.batch_size,
            workers=settings.embedding.workers,
            mirror=settings.embedding.mirror,
            progress=self.progress,
        )
        source = "from the cache" if embedded.reused else "embedded"
        log.info("%s: %d faces %s", one.choice.name, len(one.faces), source)
        evaluated = partial(one.protocol.evaluate, embedded.embeddings, one.faces, seed=settings.seed)
        if getattr(one.protocol, "in_all_processes", False):
            done = evaluated()
            return by_first(partial(self._kept, one, embedded, done))
        return by_first(lambda: self._kept(one, embedded, evaluated()))

    def _kept(self, one: Opened, embedded: Embedded, evaluation: Evaluation) -> Result:
        """An evaluation as a stored result."""
        settings = self.plan.settings
        more = () if self.shown is None else self.shown.warnings.get(one.choice.name, ())
        warnings = (*evaluation.warnings, *self._resized(one, embedded), *self._known(one), *self._chosen(one), *more)
        evaluation = replace(evaluation, warnings=warnings)
        result = make_result(
            evaluation,
            one.choice,
            self.embedding(one).subject,
            data_of(one.faces, evaluation, demo=self.on_demo),
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
        size = "x".join(map(str, self.embedding(one).embedder.preprocess.size))
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
        people = self.embedding(one).people
        measured = getattr(one.faces, "measured", one.faces.keys)  # without faces that are there to be compared with
        here = people_in(measured) if people else frozenset[str]()
        known = sorted(here & people)
        if not known:
            return []
        return [
            f"{len(known)} of {len(here)} people of {one.choice.name} bear names of the training set (such as "
            f"{known[0]!r}): accuracy on people who were trained on says little about others"
        ]


def _device(plan: Plan) -> str:
    """Where the network ran; an embedder knows it from its options, or decides for itself."""
    if plan.kind != "embedders":
        return device_of(plan.settings.device)
    return str(getattr(plan.method.options, "device", "unknown"))
