"""Which preprocessing is decided on, and how the reader learns of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from facebench import ConfigError, DataError
from facebench_onnx.graph import Graph
from facebench_onnx.plugin import OnnxOptions
from facebench_onnx.preprocessing import decide

if TYPE_CHECKING:
    from pathlib import Path

    from facebench_onnx.preprocessing import Pixels


def graph(**parts: Any) -> Graph:
    return Graph(**{"sha256": "0", "shifts": (), "scales": (), "norms": (), "named": False, **parts})


def choose(folder: Path, said: Graph | None = None, **options: Any) -> Pixels:
    return decide(folder / "model.onnx", said or graph(), OnnxOptions(**options), size=(112, 96))


def test_a_plain_graph_gets_the_usual_scaling(tmp_path: Path) -> None:
    pixels = choose(tmp_path)
    assert (pixels.preprocess.mean, pixels.preprocess.std) == ((127.5,) * 3, (127.5,) * 3)
    assert (pixels.preprocess.color, pixels.preprocess.size) == ("rgb", (112, 96))
    assert "assumed" in pixels.notes["preprocess"]
    assert "assumed" in pixels.notes["color"]


def test_a_graph_that_shifts_and_scales_gets_raw_pixels(tmp_path: Path) -> None:
    pixels = choose(tmp_path, graph(shifts=("Sub 's'",), scales=("Mul 'm'",), named=True))
    assert (pixels.preprocess.mean, pixels.preprocess.std) == ((0,) * 3, (1,) * 3)
    assert pixels.notes["preprocess"] == "in the graph: Sub 's', Mul 'm' before the first layer (found)"


@pytest.mark.parametrize("half", [{"shifts": ("Sub",)}, {"scales": ("Div",)}, {"norms": ("BatchNormalization",)}])
def test_half_a_normalisation_must_be_explained(half: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"embedder.mean and embedder.std"):
        choose(tmp_path, graph(**half))
    assert "(told)" in choose(tmp_path, graph(**half), mean=0, std=1).notes["preprocess"]


def test_disagreement_with_the_rule_by_names_is_told(tmp_path: Path) -> None:
    assert "would say in the graph" in choose(tmp_path, graph(named=True)).notes["preprocess"]
    found = choose(tmp_path, graph(shifts=("Add",), scales=("Div",)))
    assert "would say mean and std 127.5" in found.notes["preprocess"]


def test_what_the_user_says_comes_first(tmp_path: Path) -> None:
    (tmp_path / "pixel_norm.txt").write_text("1\n2\n")
    said = graph(shifts=("Sub",), scales=("Mul",), named=True)
    pixels = choose(tmp_path, said, mean=(103.0, 116.0, 123.0), std=58.0, color="bgr")
    assert (pixels.preprocess.mean, pixels.preprocess.std) == ((103, 116, 123), (58,) * 3)
    assert pixels.preprocess.color == "bgr"
    assert pixels.notes == {"preprocess": "mean 103/116/123, std 58 (told)", "color": "BGR (told)"}


def test_a_side_file_comes_before_the_graph(tmp_path: Path) -> None:
    (tmp_path / "pixel_norm.txt").write_text("127.5\n128.0\n")
    pixels = choose(tmp_path, graph(shifts=("Sub",), scales=("Mul",), named=True))
    assert (pixels.preprocess.mean, pixels.preprocess.std) == ((127.5,) * 3, (128,) * 3)
    assert "pixel_norm.txt" in pixels.notes["preprocess"]


@pytest.mark.parametrize("text", ["", "127.5\n", "1\n2\n3\n", "a\nb\n", "0\n0\n", "nan\n1\n", "0\n-1\n"])
def test_a_damaged_side_file_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "pixel_norm.txt").write_text(text)
    with pytest.raises(DataError, match=r"pixel_norm.txt"):
        choose(tmp_path)


def test_a_crop_that_is_asked_for_is_not_ignored(tmp_path: Path) -> None:
    (tmp_path / "crop.txt").write_text("0 0 112 112 112 112")
    with pytest.raises(DataError, match="cropped"):
        choose(tmp_path)


@pytest.mark.parametrize("half", [{"mean": 127.5}, {"std": 127.5}])
def test_mean_and_std_go_together(half: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="set both or neither"):
        choose(tmp_path, **half)


@pytest.mark.parametrize("both", [{"mean": 0, "std": 0}, {"mean": 0, "std": (1, 1, -1)}])
def test_impossible_scalings_are_refused(both: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(ConfigError):
        choose(tmp_path, **both)
