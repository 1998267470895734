"""What the plugin offers, and that offering costs nothing."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from pydantic import ValidationError

from facebench import BackboneSpec, Preprocess
from facebench_backbones import plugin

SPECS = {spec.name: spec for spec in plugin.facebench_backbones()}


def test_the_names() -> None:
    assert list(SPECS) == [
        "iresnet18",
        "iresnet34",
        "iresnet50",
        "iresnet100",
        "iresnet200",
        "mobilefacenet",
        "mobilefacenet_large",
        "vit_t",
        "vit_s",
        "vit_b",
        "vit_l",
        "tinynet",
        "tinynet32",
    ]


@pytest.mark.parametrize("name", SPECS)
def test_each_offer_is_complete_and_builds_what_it_says(name: str) -> None:
    spec = SPECS[name]
    assert isinstance(spec, BackboneSpec)
    assert spec.preprocess == Preprocess(size=(32, 32) if name == "tinynet32" else (112, 112))
    assert spec.cites or name.startswith("tinynet")
    with torch.device("meta"):
        network = spec.build(spec.options(embedding_size=24)).eval()
        vectors = network(torch.empty(1, 3, *spec.preprocess.size)).vectors
    assert network.embedding_size == 24
    assert vectors.shape == (1, 24)


@pytest.mark.parametrize("name", SPECS)
def test_the_summary_tells_the_true_size(name: str) -> None:
    spec = SPECS[name]
    with torch.device("meta"):
        network = spec.build(spec.options())
    millions = sum(p.numel() for p in network.parameters()) / 1e6
    assert f"{millions:.1f} M parameters" in spec.summary


def test_options_reach_the_network() -> None:
    with torch.device("meta"):
        dropped = SPECS["iresnet18"].build(plugin.IResNetOptions(dropout=0.4))
        masked = SPECS["vit_t"].build(plugin.VitOptions(token_masking=0.5, drop_path=0.2, recompute=True))
    assert dropped.dropout.p == 0.4
    assert masked.kept_tokens == 72
    assert masked.blocks[-1].drop_path == pytest.approx(0.2)
    assert masked.recompute


@pytest.mark.parametrize(
    ("options", "values"),
    [
        (plugin.IResNetOptions, {"dropout": 1.0}),
        (plugin.IResNetOptions, {"embedding_size": 4}),
        (plugin.VitOptions, {"token_masking": 0.95}),
        (plugin.VitOptions, {"drop_path": -0.1}),
        (plugin.MobileFaceNetOptions, {"dropout": 0.1}),
        (plugin.TinyNetOptions, {"embedding_size": 9000}),
    ],
)
def test_senseless_options_are_refused(options: type, values: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        options(**values)


def test_offering_does_not_import_torch() -> None:
    code = (
        "import sys; from facebench_backbones.plugin import facebench_backbones; "
        "list(facebench_backbones()); sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
