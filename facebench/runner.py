"""The run: resolve names, open data, get weights, embed once per data set, evaluate, store.

Read ``run`` from top to bottom for the whole story. Data is opened before anything is trained, so that a missing file
is told in the first second and not after the last epoch.
"""

from __future__ import annotations

import logging
import shutil
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
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
from facebench.logs import logged_to
from facebench.method import device_of, obtain, people_in, threads
from facebench.provenance import provenance
from facebench.results import Data, Result, Subject
from facebench.store import Cache, RunFolder, cache_root, find_results, write_atomic, write_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    import numpy.typing as npt

    from facebench.config import Settings
    from facebench.contracts import EvalProtocol, Evaluation, FaceDataset, Progress
    from facebench.host import Host
    from facebench.method import Method
    from facebench.plan import Choice, Plan

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
class _Opened:
    """A protocol with its faces."""

    choice: Choice
    protocol: EvalProtocol
    faces: FaceDataset


def run(settings: Settings, host: Host, *, progress: Progress, fresh: bool = False) -> Outcome:
    """Runs one method on one or more protocols.

    Args:
        settings: What to do.
        host: The plugins.
        progress: For bars.
        fresh: Do everything again, even what is stored.

    Raises:
        FacebenchError: When names, options, data or weights cannot be used.
    """
    plan = plans.make(settings, host.catalog)
    opened = [_open(choice, settings.data_root) for choice in plan.protocols]
    cache = Cache(settings.cache or cache_root())
    # Given weights are opened before there is a folder, so that a wrong file leaves nothing behind.
    method = None if plan.trains else obtain(plan, cache=cache, fresh=fresh, progress=progress)
    name = plan.fingerprint()
    with _folder(settings.out, plan, name, fresh=fresh) as folder:
        info = RunInfo(
            plugin=plan.method.name,
            protocols=tuple(choice.name for choice in plan.protocols),
            folder=folder.path,
            config=plan.resolved(),
            fingerprint=name,
        )
        write_text(folder.config, to_toml(plan.resolved()))
        host.tell("facebench_run_started", run=info)
        if method is None:
            ended = partial(_epoch_ended, host, info)
            method = obtain(plan, cache=cache, fresh=fresh, progress=progress, epoch_ended=ended)
            _keep_checkpoint(method, folder)
        work = _Work(plan, name, method, folder, cache, progress)
        if fresh:
            work.forget(opened)
        results, reused = [], []
        for one in opened:
            stored = None if fresh else work.stored(one)
            if stored is not None:
                log.info("%s: the stored result is still valid", one.choice.name)
                reused.append(one.choice.name)
            result = stored or work.evaluate(one)
            host.tell("facebench_result_ready", run=info, result=result)
            results.append(result)
        host.tell("facebench_run_ended", run=info, results=tuple(results))
    return Outcome(folder.path, tuple(results), tuple(reused))


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


def _open(choice: Choice, root: Path | None) -> _Opened:
    protocol = choice.offer.spec.build(choice.options)
    if root is not None and not root.is_dir():
        raise FacebenchError(f"data root {root} is not a folder; give --data-root DIR or leave it out for demo faces")
    return _Opened(choice, protocol, protocol.faces(root))


@contextmanager
def _folder(root: Path, plan: Plan, name: str, *, fresh: bool) -> Iterator[RunFolder]:
    """The run's folder, old or new, with the log going to it; a new one that a user's error leaves empty is removed."""
    found = None if fresh else RunFolder.find(root, plan.method.name, name)
    folder = found or RunFolder.new(root, plan.method.name, name, datetime.now())
    try:
        with logged_to(folder.log):
            yield folder
    except FacebenchError:
        if found is None and not (folder.path / "results").exists() and not folder.checkpoint.exists():
            shutil.rmtree(folder.path, ignore_errors=True)
        raise


def _epoch_ended(host: Host, info: RunInfo, epoch: int, values: Mapping[str, float]) -> None:
    host.tell("facebench_epoch_ended", run=info, epoch=epoch, values=values)


def _keep_checkpoint(method: Method, folder: RunFolder) -> None:
    """The run owns its weights, whatever becomes of the cache."""
    if method.checkpoint is None:
        return
    for file in (method.checkpoint.folder / "weights.safetensors", method.checkpoint.folder / "checkpoint.json"):
        write_atomic(folder.checkpoint / file.name, partial(shutil.copyfile, file))


@dataclass(frozen=True, slots=True)
class _Work:
    """What evaluating one protocol after another needs."""

    plan: Plan
    name: str
    method: Method
    folder: RunFolder
    cache: Cache
    progress: Progress

    def place(self, one: _Opened) -> Path:
        mirror = self.plan.settings.embedding.mirror
        return self.cache.embeddings(fingerprint(self.method.embedder, one.faces, mirror=mirror))

    def forget(self, opened: list[_Opened]) -> None:
        for one in opened:
            self.cache.forget(self.place(one))

    def stored(self, one: _Opened) -> Result | None:
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

    def evaluate(self, one: _Opened) -> Result:
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
        evaluation = one.protocol.evaluate(embedded.embeddings, one.faces, seed=settings.seed)
        if embedded.resized:
            size = "x".join(map(str, self.method.embedder.preprocess.size))
            said = (
                f"{embedded.resized} of {len(one.faces)} pictures were resized to {size}; they were not aligned for it"
            )
            evaluation = replace(evaluation, warnings=(*evaluation.warnings, said))
        evaluation = replace(evaluation, warnings=(*evaluation.warnings, *self._known(one)))
        result = make_result(
            evaluation,
            one.choice,
            self.method.subject,
            data_of(one.faces, evaluation, demo=settings.data_root is None),
            device=_device(self.plan),
            threads=threads(),
            seed=settings.seed,
            config=self.name,
            run=self.folder.path.name,
        )
        store_result(result, evaluation.scores, self.folder)
        return result

    def _known(self, one: _Opened) -> list[str]:
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
