"""The records that plugins offer: light, frozen, with a name, a summary and a way to build the heavy thing.

A spec is read when facebench lists what there is; ``build`` is called only when the thing is used, and imports
whatever is heavy inside.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from facebench.contracts import Preprocess
from facebench.declare import NoOptions

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


@dataclass(frozen=True, slots=True, kw_only=True)
class Spec:
    """What every offer has.

    Attributes:
        name: What users type: lower-case letters, digits, ``-``, ``_`` and ``.``.
        summary: One line for people.
        cites: The papers behind it.
        options: A class made by ``facebench.options``: the configuration keys, defaults and help.
        build: Makes the thing; its arguments are said by each kind of spec.
    """

    name: str
    summary: str
    build: Callable[..., Any]
    options: type[Any] = NoOptions
    cites: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class BackboneSpec(Spec):
    """A network. ``build(options) -> nn.Module`` with ``embedding_size`` and ``forward(images) -> Features``.

    Attributes:
        preprocess: What its ``forward`` expects: (N, 3, height, width).
    """

    preprocess: Preprocess = field(default_factory=Preprocess)


@dataclass(frozen=True, slots=True, kw_only=True)
class LossSpec(Spec):
    """A loss. ``build(num_classes, embedding_size, options) -> nn.Module``.

    Its ``forward(batch, features)`` returns a ``LossOutput``; it owns its class centres and running statistics as
    parameters and buffers.
    """


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainerSpec(Spec):
    """A way to train, which ``--plugin NAME`` picks. ``build(options) -> Trainer``.

    Attributes:
        backbone: The backbone it takes unless told otherwise.
        loss: The loss it takes unless told otherwise.
        backbone_options: Options that it gives whatever backbone is chosen, as ``{"confidence": 16}``; the user's win.
        demo: Settings that replace the defaults when it trains on the built-in demo faces, as a nested mapping of the
            configuration: ``{"backbone": {"name": "tinynet"}, "trainer": {"epochs": 4}}``. What the user sets wins.
    """

    backbone: str
    loss: str
    backbone_options: Mapping[str, Any] = field(default_factory=dict)
    demo: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbedderSpec(Spec):
    """Pretrained weights of any origin. ``build(path, options) -> Embedder``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GeneratorSpec(Spec):
    """A generator of faces. ``build(options, drawing) -> facebench.generators.Generator``.

    Attributes:
        drawing: A class made by ``facebench.options``: what decides identities and pictures once the generator is
            trained. Another value there asks for no other training.
        extractor: The trainer of the network that the generator learns from.
        judge: The trainer of a second network, which the generator never sees, to judge what it drew.
        downstream: The trainer that recognition protocols train on the generated faces.
        demo: Settings that replace the defaults on the built-in demo faces, as a nested mapping of the configuration:
            ``{"generator": {"epochs": 4}, "extractor": {"backbone": {"name": "tinynet"}}}``. What the user sets wins.
    """

    drawing: type[Any] = NoOptions
    extractor: str = "arcface"
    judge: str = "arcface"
    downstream: str = "arcface"
    demo: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetSpec(Spec):
    """A training set. ``build(path, options) -> FaceDataset``; path is None for sets that need no files.

    Attributes:
        source: Where it comes from.
        licence: The terms its makers state.
    """

    source: str = ""
    licence: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProtocolSpec(Spec):
    """An evaluation. ``build(options) -> EvalProtocol``.

    Attributes:
        layout: What the user must have below the data root, in one sentence.
        judges_faces: Whether it judges a set of faces, so that a generator's faces are shown to it themselves; what it
            builds is then also a ``DataProtocol``. All other protocols see a network that was trained on them.
    """

    layout: str = ""
    judges_faces: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportSpec(Spec):
    """A report format, which ``facebench report --format NAME`` picks. ``build(options) -> Renderer``."""
