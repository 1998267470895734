"""Results made by hand, with numbers of the size that real ones have."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from facebench import Curve, Data, Interval, Metric, Provenance, Result, Series, Subject

if TYPE_CHECKING:
    from collections.abc import Callable

DATA = "3f2a91c07be4d5a6"
OTHER_DATA = "b07c44d1e98a2f30"


def metric(name: str, value: float | None, half: float = 0.002, **changes: Any) -> Metric:
    """A metric with an interval around it."""
    interval = None
    if value is not None and half:
        interval = Interval(
            low=max(0.0, value - half), high=min(1.0, value + half), method="bootstrap over subjects", samples=1000
        )
    return Metric(**{"name": name, "value": value, "interval": interval, "mirror": "sum", **changes})


def roc(quality: float, title: str = "LFW: receiver operating characteristic") -> Curve:
    """A plausible ROC; ``quality`` in (0, 1), higher is better."""
    far = tuple(10 ** (-4 + 4 * k / 40) for k in range(41))
    tar = tuple(1 - (1 - quality) * (1 - k / 40) ** 2 for k in range(41))
    return Curve(
        name="roc",
        title=title,
        kind="step",
        x_label="false accept rate",
        y_label="true accept rate",
        x_scale="log",
        series=(Series(name="roc", x=far, y=tar),),
        marks={"FAR 1e-3": 1e-3, "FAR 1e-2": 1e-2},
    )


def scores(shift: float) -> Curve:
    """Two triangles for genuine and impostor scores."""
    edges = tuple(-0.4 + 0.02 * k for k in range(70))

    def hill(center: float, width: float) -> tuple[float, ...]:
        return tuple(max(0.0, 1 - abs(x + 0.01 - center) / width) / width for x in edges)

    return Curve(
        name="scores",
        title="LFW: cosine of genuine and impostor pairs",
        kind="histogram",
        x_label="cosine",
        y_label="density",
        series=(Series(name="genuine", x=edges, y=hill(shift, 0.3)), Series(name="impostor", x=edges, y=hill(0, 0.2))),
        marks={"threshold": round(shift / 2, 3)},
    )


def verification(accuracy: float) -> tuple[Metric, ...]:
    """What a verification protocol reports: headline first, then other rules and mirrors."""
    return (
        metric("accuracy", accuracy, 0.0025),
        metric("accuracy-std", 0.0021, 0, higher_is_better=False),
        metric("threshold", 0.312, 0, unit="cosine", higher_is_better=None),
        metric("auc", 0.998 + accuracy / 1000, 0.0004),
        metric("eer", (1 - accuracy) * 1.1, 0.001, higher_is_better=False),
        metric("tar@far=1e-3", accuracy - 0.01, 0.008, detail={"far": 0.001, "impostors": 3000}),
        metric("tar@far=1e-3", accuracy - 0.013, 0.008, rule="strict"),
        metric("tar@far=1e-6", None, reason="FAR 1e-6 is below what 3,000 impostors resolve"),
        metric("accuracy", accuracy - 0.001, 0.0025, mirror="none"),
    )


def build(plugin: str = "arcface", accuracy: float = 0.9945, **changes: Any) -> Result:
    """A result; keyword arguments replace parts, and some of them parts of parts."""
    demo = changes.pop("demo", False)
    fingerprint = changes.pop("fingerprint", DATA)
    subject = {
        "plugin": plugin,
        "distribution": "facebench 0.1.0",
        "model": changes.pop("model", f"iresnet50, {plugin}, MS1MV2"),
        "weights": changes.pop("weights", f"{sum(map(ord, plugin)):064x}"),
        "embedding_size": 512,
        "notes": {"preprocess": "RGB, mean 127.5, std 127.5, told by the file"},
    }
    provenance = {
        "facebench": "0.1.0",
        "python": "3.11.9",
        "packages": {"torch": "2.13.0", "numpy": "2.2.1"},
        "platform": "Linux 6.1 x86_64",
        "device": "cpu",
        "threads": 2,
        "seed": 0,
        "config": changes.pop("config", "9a1c22e07d5b4f18"),
        "run": changes.pop("run", f"20250301-101500-{plugin}-9a1c22e0"),
        "time": changes.pop("time", "2025-03-01T10:20:11+00:00"),
    }
    parts: dict[str, Any] = {
        "protocol": "lfw",
        "protocol_distribution": "facebench 0.1.0",
        "subject": Subject(**subject),
        "data": Data(
            name="demo" if demo else "LFW",
            demo=demo,
            version="1" if demo else "",
            fingerprint=fingerprint,
            counts={"pairs": 6000, "folds": 10},
        ),
        "metrics": verification(accuracy),
        "curves": (roc(accuracy - 0.02), scores(0.6 + accuracy / 20)),
        "folds": {"accuracy": tuple(accuracy + 0.001 * (k % 3 - 1) for k in range(10))},
        "rules": {"threshold": "best accuracy on the other nine folds", "folds": "contiguous, in file order"},
        "provenance": Provenance(**provenance),
    }
    return Result(**{**parts, **changes})


@pytest.fixture
def make() -> Callable[..., Result]:
    return build


@pytest.fixture
def make_metric() -> Callable[..., Metric]:
    return metric


@pytest.fixture
def other_data() -> str:
    return OTHER_DATA
