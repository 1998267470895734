"""The offer: light, typed, and clear about what is missing."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import ValidationError

from facebench import EmbedderSpec, FacebenchError, MissingExtra
from facebench_onnx.plugin import OnnxOptions, build, facebench_embedders

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def test_offers_one_embedder() -> None:
    (spec,) = facebench_embedders()
    assert isinstance(spec, EmbedderSpec)
    assert (spec.name, spec.options, spec.build) == ("onnx", OnnxOptions, build)


def test_listing_the_offer_imports_nothing_heavy() -> None:
    code = (
        "import sys, facebench_onnx.plugin as p; list(p.facebench_embedders());"
        "print(sorted({'onnx', 'onnxruntime', 'numpy', 'torch'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_without_a_file_it_says_what_to_add() -> None:
    with pytest.raises(FacebenchError, match="--weights FILE"):
        build(None, OnnxOptions())


@pytest.mark.parametrize("module", ["onnx", "onnxruntime"])
def test_a_missing_package_names_the_extra(module: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingExtra, match=r"facebench\[onnx\]"):
        build(tmp_path / "model.onnx", OnnxOptions())


@pytest.mark.parametrize(
    "wrong",
    [
        {"color": "grey"},
        {"batch_size": 0},
        {"size": (112,)},
        {"mean": (1.0, 2.0)},
        {"mean": "nan"},
        {"device": "tpu"},
        {"x": 1},
    ],
)
def test_options_are_checked(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        OnnxOptions(**wrong)


def test_options_survive_a_configuration_file() -> None:
    chosen: Any = OnnxOptions
    assert chosen(size=[96, 80], mean=[1, 2, 3], std=4).size == (96, 80)


def test_build_gives_a_working_embedder(parts: Callable[..., Any], save: Callable[..., Path], pictures: Any) -> None:
    embedder = build(save(parts()), OnnxOptions())
    assert embedder.embed(pictures).vectors.shape == (len(pictures), embedder.embedding_size)
