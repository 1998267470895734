"""Every offer that is installed, under the check that fits it: an offer is tested by being registered."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch

from facebench.host import Host
from facebench.testing import (
    check_backbone,
    check_dataset,
    check_generator,
    check_loss,
    check_protocol,
    check_report,
    check_trainer,
    toy_faces,
)

if TYPE_CHECKING:
    from pathlib import Path

# Networks beyond this are checked without memory or arithmetic.
LARGE = 20_000_000
# Protocols that measure something else than recognising a person again.
UNRANKED = {"separability", "topology", "confidence"}
# Protocols of predicted confidences, and how many are given a face.
CONFIDENT = {"confidence": 4}
# What losses need besides vectors.
GIVEN = {
    "url": {"confidence": 16, "marks": 3},
    "url-attributes": {"marks": 3},
    "url-ci": {"confidence": 1},
    "url-me": {"confidence": 16},
}

# Generators of a size that trains in seconds.
QUICK = {"vec2face": {"size": "tiny32", "epochs": 1, "batch_size": 8, "warmup_epochs": 0.0}}

HOST = Host.start()
CATALOG = HOST.catalog


def attributes_of_toys(path: Path) -> Path:
    """A table that knows three attributes of each toy face."""
    lines = [f"{key},{index % 2},{index % 3 / 2},0.25" for index, key in enumerate(toy_faces().keys)]
    path.write_text("\n".join(["path,smiling,young,male", *lines]) + "\n", encoding="utf-8")
    return path


def offers(kind: str) -> list[object]:
    found = [pytest.param(offer.spec, id=offer.spec.name) for offer in CATALOG if offer.kind == kind]
    return found or [pytest.param(None, marks=pytest.mark.skip(reason=f"nothing offers {kind}"))]


def test_every_plugin_loads() -> None:
    assert [str(problem) for problem in HOST.problems] == []


@pytest.mark.parametrize("spec", offers("backbones"))
def test_backbones(spec) -> None:
    with torch.device("meta"):
        size = sum(value.numel() for value in spec.build(spec.options()).parameters())
    check_backbone(spec, meta=size > LARGE)


@pytest.mark.parametrize("spec", offers("losses"))
def test_losses(spec) -> None:
    check_loss(spec, **GIVEN.get(spec.name, {}))


@pytest.mark.parametrize("spec", offers("trainers"))
def test_trainers(spec, tmp_path: Path) -> None:
    made = CATALOG.get("losses", spec.loss).spec
    CATALOG.get("backbones", spec.backbone)
    more = {}
    if spec.backbone_options:  # the toy network would not have them
        network = CATALOG.get("backbones", "tinynet").spec
        more["backbone"] = lambda: network.build(network.options(**spec.backbone_options))
    if spec.name == "url-attributes":
        more["table"] = str(attributes_of_toys(tmp_path / "table.csv"))
    check_trainer(spec, tmp_path, loss=lambda classes, size: made.build(classes, size, made.options()), **more)


@pytest.mark.parametrize("spec", offers("generators"))
def test_generators(spec, tmp_path: Path) -> None:
    for trainer in (spec.extractor, spec.judge, spec.downstream):
        assert CATALOG.find("trainers", trainer) or CATALOG.find("embedders", trainer)
    network = CATALOG.get("backbones", "tinynet").spec
    check_generator(
        spec,
        tmp_path,
        options=spec.options(**QUICK.get(spec.name, {})),
        extractor=lambda: network.build(network.options(embedding_size=32)),
    )


@pytest.mark.parametrize("spec", offers("protocols"))
def test_protocols(spec) -> None:
    check_protocol(spec, ranks=spec.name not in UNRANKED, confidence=CONFIDENT.get(spec.name, 0))


@pytest.mark.parametrize("spec", offers("datasets"))
def test_datasets(spec) -> None:
    check_dataset(spec.build(None, spec.options()), training=True)


@pytest.mark.parametrize("spec", offers("reports"))
def test_reports(spec, tmp_path: Path) -> None:
    check_report(spec, tmp_path)
