"""Protocols opened before anything is trained, and a network evaluated on them while it is.

Data is opened first of all, so that a missing file is told in the first second and not after the last epoch.
"""

from __future__ import annotations

import secrets
import shutil
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from facebench.config import build_options, plain
from facebench.contracts import Validation
from facebench.embed import embed, fingerprint
from facebench.errors import ConfigError, DataError, FacebenchError
from facebench.launching import by_first
from facebench.progress import Bars
from facebench.ranks import wait, world

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from torch import Tensor, nn

    from facebench.config import Settings
    from facebench.contracts import Embedder, EvalProtocol, Evaluation, FaceDataset, Features, Preprocess
    from facebench.plan import Choice
    from facebench.results import Metric


@dataclass(frozen=True, slots=True)
class Opened:
    """A protocol with its faces."""

    choice: Choice
    protocol: EvalProtocol
    faces: FaceDataset


def opened(choices: Iterable[Choice], root: Path | None) -> list[Opened]:
    """Opens protocols.

    Args:
        choices: Which.
        root: The user's data root; None for demo faces.

    Raises:
        FacebenchError: When the root is no folder, or data is missing below it.
    """
    built = ((choice, choice.offer.spec.build(choice.options)) for choice in choices)
    return [Opened(choice, protocol, _faces(protocol, root)) for choice, protocol in built]


def watched(choices: Iterable[Choice], root: Path | None, *, beside: Iterable[Opened] = ()) -> list[Opened]:
    """Opens protocols for use between epochs, where nobody reads intervals: those that cost time are left out.

    Args:
        choices: Which.
        root: The user's data root; None for demo faces.
        beside: Protocols that are open already; their faces are shared.

    Raises:
        FacebenchError: As ``opened``.
    """
    known = {one.choice.name: one.faces for one in beside}
    quick = ((choice, choice.offer.spec.build(_without_samples(choice))) for choice in choices)
    return [Opened(choice, built, known.get(choice.name) or _faces(built, root)) for choice, built in quick]


def _faces(protocol: EvalProtocol, root: Path | None) -> FaceDataset:
    if root is not None and not root.is_dir():
        raise FacebenchError(f"data root {root} is not a folder; give --data-root DIR or leave it out for demo faces")
    return protocol.faces(root)


def _without_samples(choice: Choice) -> Any:
    """The options with no bootstrap, where the protocol has one and can do without."""
    values = plain(choice.options)
    if "samples" not in values:
        return choice.options
    try:
        return build_options(type(choice.options), {**values, "samples": 0}, choice.name)
    except ConfigError:
        return choice.options


@dataclass(frozen=True, slots=True)
class Validator:
    """Evaluates a network under training; the ``validate`` of a ``TrainJob``.

    Attributes:
        watched: The protocols; the first one's headline is the score.
        settings: How to embed, and the seed.
        preprocess: What the network expects.
        device: Where it is.
        folder: Of the training; embeddings lie below it as long as a call lasts.
    """

    watched: tuple[Opened, ...]
    settings: Settings
    preprocess: Preprocess
    device: str
    folder: Path

    def __call__(self, network: nn.Module) -> Validation:
        """The headline of each protocol under its reference rule; all processes call it and learn the same.

        Args:
            network: In evaluation mode; it is left as it is.

        Raises:
            DataError: When a headline is absent, or neither more nor less of it is better.
        """
        from facebench.inference import TorchEmbedder

        place = self.folder / "validation"
        try:
            name = by_first(partial(_cleared, place))
            still = cast("nn.Module", _Still(network))
            embedder = TorchEmbedder(still, self.preprocess, device=self.device, fingerprint=name)
            found = {one.choice.name: self._headline(one, embedder, place) for one in self.watched}
        finally:
            if world().first:
                shutil.rmtree(place, ignore_errors=True)
        wait()
        first = next(iter(found.values()))
        values = {f"{name}/{metric.name}": _value(metric) for name, metric in found.items()}
        return Validation(values=values, score=_value(first) if first.higher_is_better else -_value(first))

    def _headline(self, one: Opened, embedder: Embedder, place: Path) -> Metric:
        mirror = self.settings.embedding.mirror
        embedded = embed(
            embedder,
            one.faces,
            folder=place / fingerprint(embedder, one.faces, mirror=mirror),
            batch_size=self.settings.embedding.batch_size,
            workers=self.settings.embedding.workers,
            mirror=mirror,
            progress=Bars(quiet=True),
        )

        def evaluated() -> Metric:
            found = one.protocol.evaluate(embedded.embeddings, one.faces, seed=self.settings.seed)
            return headline(one.choice.name, found)

        return by_first(evaluated)


def headline(protocol: str, evaluation: Evaluation) -> Metric:
    """The first metric, under the reference rule where it is there under several.

    Raises:
        DataError: When it has no value or no direction, so that networks cannot be compared by it.
    """
    named = evaluation.metrics[0]
    same = (metric for metric in evaluation.metrics if (metric.name, metric.rule) == (named.name, "reference"))
    metric = next(same, named)
    if metric.value is None:
        raise DataError(f"{protocol!r} cannot validate: {metric.name} is absent: {metric.reason}")
    if metric.higher_is_better is None:
        raise DataError(f"{protocol!r} cannot validate: neither more nor less {metric.name} is better")
    return metric


def _value(metric: Metric) -> float:
    return cast("float", metric.value)


def _cleared(place: Path) -> str:
    """Removes what a killed process left, and returns a name for embeddings that nothing else has."""
    shutil.rmtree(place, ignore_errors=True)
    return secrets.token_hex(32)


class _Still:
    """A network that belongs to the trainer: it can be asked, and neither moved nor put into another mode."""

    def __init__(self, network: nn.Module) -> None:
        self._network = network
        self.embedding_size = int(network.embedding_size)  # type: ignore[arg-type]

    def __call__(self, images: Tensor) -> Features[Tensor]:
        found: Features[Tensor] = self._network(images)
        return found

    def to(self, *_: object, **__: object) -> _Still:
        """Stays where it is."""
        return self

    def eval(self) -> _Still:
        """The trainer has seen to it."""
        return self
