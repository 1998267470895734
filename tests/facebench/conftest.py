"""A small bench of toys: a host whose only plugin trains, embeds and evaluates in fractions of a second."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import partial
from types import ModuleType, SimpleNamespace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pytest

from facebench import (
    BackboneSpec,
    DataError,
    DatasetMissing,
    DatasetSpec,
    EmbedderSpec,
    Evaluation,
    Features,
    GeneratorSpec,
    LossSpec,
    Metric,
    Preprocess,
    ProtocolSpec,
    TrainerOptions,
    TrainerSpec,
    fingerprint_of,
    hookimpl,
    option,
    options,
)
from facebench.config import load
from facebench.host import Host
from facebench.progress import Bars
from facebench.testing import TinyBackbone, TinyGenerator, TinyLoss, toy_faces

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SIZE = 32
SMALL = Preprocess(size=(SIZE, SIZE))


@options
class Width:
    """Options of the toy backbones."""

    width: int = option(default=16, help="length of an embedding", ge=1)
    factor: float = option(default=1.0, help="what embeddings are multiplied by; no weight tells")


@options
class Margin:
    """Options of the toy loss."""

    margin: float = option(default=0.5, help="does nothing")


@options
class Count:
    """Options of the toy training set."""

    identities: int = option(default=4, help="people", ge=2)


@options
class Weighing:
    """Options of the toy protocol."""

    bias: float = option(default=0.0, help="added to the score")


@options
class Making:
    """Options of the toy generator."""

    epochs: int = option(default=3, help="does nothing")


@options
class Sketching:
    """How the toy generator draws."""

    contrast: float = option(default=1.0, help="does nothing", ge=0)


@options
class Placing:
    """Options of the toy embedder that knows devices."""

    device: Literal["cpu", "cuda"] = option(default="cpu", help="where")
    scale: float = option(default=1.0, help="what embeddings are multiplied by")


class Scaled(TinyBackbone):
    """Two of these with the same weights give different embeddings."""

    def __init__(self, chosen: Width) -> None:
        super().__init__(chosen.width)
        self.factor = chosen.factor

    def forward(self, images):
        return Features(super().forward(images).vectors + self.factor)


class Means:
    """Embeds a picture as the mean colours of its quarters."""

    embedding_size = 12
    preprocess = SMALL

    def __init__(self, fingerprint="m" * 64, scale=1.0, notes=None):
        self.fingerprint, self.scale, self.notes = fingerprint, scale, notes or {}
        self.batches: list[int] = []

    def embed(self, images, /):
        self.batches.append(len(images))
        half = SIZE // 2
        quarters = [images[:, y : y + half, x : x + half].mean((1, 2)) for y in (0, half) for x in (0, half)]
        return Features((self.scale * np.concatenate(quarters, axis=1)).astype(np.float32))


class Toy:
    """A protocol over toy faces; below a data root it wants ``toy.txt``, which holds a seed."""

    def __init__(self, name: str, chosen: Weighing) -> None:
        self.name, self.chosen = name, chosen

    def faces(self, root: Path | None, /, *, images: bool = True):
        if root is None:
            return toy_faces(num_classes=3, per_class=4, seed=7, size=SIZE)
        if not (root / "toy.txt").is_file():
            raise DatasetMissing(self.name, [root / "toy.txt"], "write a number into it")
        return toy_faces(num_classes=3, per_class=4, seed=int((root / "toy.txt").read_text()), size=SIZE)

    def evaluate(self, embeddings, faces, /, *, seed: int) -> Evaluation:
        vectors = embeddings.vectors[embeddings.rows(faces.keys)].astype(np.float64)
        value = float(np.abs(vectors).mean()) + self.chosen.bias
        return Evaluation(
            metrics=(Metric(name="accuracy", value=value),), counts={"pairs": 2}, scores={"score": vectors.mean(1)}
        )


class Judge(Toy):
    """Judges a set of faces: counts them, and what there is to compare them with."""

    def faces_of(self, data, /, *, reference=None, beside=None):
        self.counts = {
            "reference": len(reference) if reference is not None else 0,
            "beside": len(beside) if beside is not None else 0,
        }
        return data

    def evaluate(self, embeddings, faces, /, *, seed: int) -> Evaluation:
        found = super().evaluate(embeddings, faces, seed=seed)
        return replace(found, counts=getattr(self, "counts", {}))


@dataclass
class Point:
    """An entry point, as far as the host looks at it."""

    name: str
    module: ModuleType
    version: str = "1.0"
    value: str = "toy_bench"
    dist: Any = field(init=False)

    def __post_init__(self):
        self.dist = SimpleNamespace(name="toy-bench", version=self.version)

    def load(self):
        return self.module


@dataclass
class Bench:
    """The host, what it was told, and a folder."""

    folder: Path
    module: ModuleType
    told: list[tuple[Any, ...]]
    built: list[Any]
    host: Host = field(init=False)

    def __post_init__(self):
        self.upgrade("1.0")

    def upgrade(self, version: str) -> None:
        """Installs another version of the only plugin."""
        self.host = Host([Point("bench", self.module, version)])
        assert self.host.problems == []

    def settings(self, *changes: str, **flags: Any):
        given = {"plugin": "tiny", "protocols": ("toy",), "out": self.folder / "runs", "cache": self.folder / "cache"}
        return load(None, changes=changes, flags={**given, **flags})

    def plan(self, *changes: str, **flags: Any):
        from facebench.planning import make

        return make(self.settings(*changes, **flags), self.host.catalog)

    def run(self, *changes: str, fresh: bool = False, **flags: Any):
        from facebench.runner import run

        return run(self.settings(*changes, **flags), self.host, progress=Bars(quiet=True), fresh=fresh)

    def train(self, *changes: str, fresh: bool = False, **flags: Any):
        from facebench.runner import train

        settings = self.settings(*changes, **{"protocols": None, **flags})
        return train(settings, self.host, progress=Bars(quiet=True), fresh=fresh)

    def generate(self, out: Path, *changes: str, fresh: bool = False, **flags: Any):
        from facebench.runner import generate

        settings = self.settings(*changes, **{"plugin": "maker", **flags})
        return generate(settings, self.host, out, progress=Bars(quiet=True), fresh=fresh)

    @property
    def runs(self) -> list[str]:
        out = self.folder / "runs"
        return sorted(entry.name for entry in out.iterdir()) if out.is_dir() else []


def called(name: str, faces: Any) -> Any:
    """Faces under another name."""
    faces.name = name
    return faces


def _offers(told: list[tuple[Any, ...]], built: list[Any]) -> dict[str, Any]:
    def trainer(chosen):
        from facebench.training import ClassifierTrainer

        built.append(("trainer", chosen))
        return ClassifierTrainer(chosen)

    def embedder(path, chosen):
        if path is not None and path.read_text() == "broken":
            raise DataError(f"{path}: not weights")
        scale = getattr(chosen, "scale", 1.0)
        made = Means(fingerprint_of([path.read_text() if path else "", scale]), scale)
        built.append(made)
        return made

    demo = {
        "backbone": {"name": "tinier", "width": 8},
        "loss": {"margin": 0.3},
        "trainer": {"epochs": 2, "batch_size": 8},
        "train_data": {"identities": 3},
    }
    make_trainer = partial(TrainerSpec, summary="x", build=trainer, options=TrainerOptions, loss="plain")
    backbones = [
        BackboneSpec(name=name, summary="x", build=Scaled, options=Width, preprocess=SMALL)
        for name in ("small", "tinier")
    ]
    data = DatasetSpec(
        name="demo",
        summary="x",
        options=Count,
        build=lambda path, chosen: called("demo", toy_faces(num_classes=chosen.identities, per_class=4, size=SIZE)),
    )
    maker = GeneratorSpec(
        name="maker",
        summary="x",
        build=lambda chosen, drawing: TinyGenerator(SIZE),
        options=Making,
        drawing=Sketching,
        extractor="tiny",
        judge="tiny",
        downstream="tiny",
        demo={
            "generation": {"identities": 3, "images_per_id": 4, "encoding": "png"},
            "generator": {"epochs": 1},
            "judge": {"trainer": {"epochs": 1}},
        },
    )
    return {
        "facebench_backbones": lambda: backbones,
        "facebench_losses": lambda: [
            LossSpec(name=name, summary="x", options=Margin, build=lambda c, d, chosen: TinyLoss(c, d))
            for name in ("plain", "square")
        ],
        "facebench_trainers": lambda: [
            make_trainer(name="tiny", backbone="small", demo=demo),
            make_trainer(name="bare", backbone="small"),
            make_trainer(name="wide", backbone="small", demo=demo, backbone_options={"width": 16}),
        ],
        "facebench_embedders": lambda: [
            EmbedderSpec(name="means", summary="x", build=embedder, options=Placing),
            EmbedderSpec(name="fixed", summary="x", build=embedder),
        ],
        "facebench_generators": lambda: [maker],
        "facebench_datasets": lambda: [data],
        "facebench_protocols": lambda: (
            [
                ProtocolSpec(name=name, summary="x", options=Weighing, build=partial(Toy, name))
                for name in ("toy", "other")
            ]
            + [
                ProtocolSpec(
                    name="judged", summary="x", build=partial(Judge, "judged"), options=Weighing, judges_faces=True
                )
            ]
        ),
    }


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """A host of toys whose tellings are written down."""
    told: list[tuple[Any, ...]] = []
    built: list[Any] = []
    module = ModuleType("toy_bench")
    for name, function in _offers(told, built).items():
        setattr(module, name, hookimpl(function))

    def facebench_run_started(run):
        told.append(("started", run.plugin, run.folder.is_dir(), (run.folder / "config.toml").is_file()))

    def facebench_epoch_ended(run, epoch, values):
        told.append(("epoch", epoch, values["loss"] > 0))

    def facebench_result_ready(run, result):
        told.append(("result", result.protocol, (run.folder / "results" / f"{result.protocol}.json").is_file()))

    def facebench_run_ended(run, results):
        told.append(("ended", [result.protocol for result in results]))

    for function in (facebench_run_started, facebench_epoch_ended, facebench_result_ready, facebench_run_ended):
        setattr(module, function.__name__, hookimpl(function))
    return Bench(tmp_path, module, told, built)


@pytest.fixture
def means() -> type[Means]:
    """The toy embedder."""
    return Means


@pytest.fixture
def file(tmp_path: Path) -> Callable[[str], Path]:
    """Writes a configuration file."""

    def write(text: str) -> Path:
        path = tmp_path / "run me.toml"
        path.write_text(text, encoding="utf-8")
        return path

    return write
