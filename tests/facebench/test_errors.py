from __future__ import annotations

from pathlib import Path

import pytest

from facebench import errors
from facebench.errors import DatasetMissing, FacebenchError, MissingExtra, UnknownName

OFFERED = ["sface", "arcface", "adaface"]


def test_an_unknown_name_says_what_is_close_and_what_exists():
    said = str(UnknownName("loss", "arcfase", OFFERED))
    assert said == "unknown loss 'arcfase'; did you mean 'arcface'? offered: adaface, arcface, sface"


def test_an_unknown_name_that_is_close_to_nothing_is_not_guessed():
    assert str(UnknownName("loss", "triplet", OFFERED)) == "unknown loss 'triplet'; offered: adaface, arcface, sface"


def test_an_unknown_name_where_nothing_is_offered():
    assert str(UnknownName("loss", "arcface", [])) == "unknown loss 'arcface'; offered: nothing"


def test_a_hint_comes_last():
    assert str(UnknownName("loss", "x", ["y"], "see there")) == "unknown loss 'x'; offered: y; see there"


def test_missing_data_lists_every_place_and_the_way_to_it():
    error = DatasetMissing("lfw", [Path("a") / "lfw", "b/lfw.bin"], "get it from its makers")
    places = f"{Path('a') / 'lfw'}, b/lfw.bin"
    assert str(error) == f"data for 'lfw' not found; looked for {places}; get it from its makers"
    assert error.name == "lfw"
    assert "looked for nowhere" in str(DatasetMissing("lfw", [], "give a data root"))


def test_a_missing_extra_says_how_to_install_it():
    assert "pip install 'facebench[onnx]'" in str(MissingExtra("ONNX models", "onnx"))


def test_every_error_is_one_that_the_command_line_shows_as_a_line():
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, Exception)]
    assert len(kinds) >= 8
    assert all(issubclass(kind, FacebenchError) for kind in kinds)


def test_bugs_are_not_among_them():
    with pytest.raises(TypeError):
        DatasetMissing("lfw")
    assert not issubclass(FacebenchError, (ValueError, OSError, KeyError))
