from __future__ import annotations

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from facebench import config
from facebench.config import Settings, load, merged, to_toml
from facebench.declare import option, options
from facebench.errors import UnknownName


@options
class LossOptions:
    """Options as a plugin declares them."""

    margin: float = option(default=0.5, help="an angle", ge=0, le=3)
    marks: tuple[float, ...] = option(default=(0.5, 0.75), help="where")
    label: str | None = None


# TOML out, TOML in.

keys = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=6)
values = st.recursive(
    st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False)
    | st.text(st.characters(codec="utf-8")),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3),
    max_leaves=6,
)


@given(st.dictionaries(keys, values, max_size=4))
def test_toml_round_trip(tree):
    assert tomllib.loads(to_toml(tree)) == tree


def test_none_is_left_out_at_every_level():
    assert tomllib.loads(to_toml({"a": None, "b": {"c": None, "d": {"e": None, "f": 1}}})) == {"b": {"d": {"f": 1}}}


def test_settings_survive_their_own_file(file):
    changes = ["seed=3", "loss.name=arcface", "loss.margin=0.4", 'protocols=["lfw"]', "protocol.lfw.folds=5", "out=ö p"]
    settings = load(changes=changes)
    assert load(file(to_toml(settings.model_dump(mode="json")))) == settings


# Merging.


def test_later_layers_win_and_nothing_given_is_touched():
    low, high = {"a": {"b": 1, "c": 2}, "d": 3}, {"a": {"b": 9}, "d": {"e": 4}}
    assert merged(low, high) == {"a": {"b": 9, "c": 2}, "d": {"e": 4}}
    assert merged(high, low) == {"a": {"b": 1, "c": 2}, "d": 3}
    merged(low, high)["a"]["b"] = "changed"
    assert low == {"a": {"b": 1, "c": 2}, "d": 3} and high == {"a": {"b": 9}, "d": {"e": 4}}


trees = st.recursive(st.integers(), lambda inner: st.dictionaries(st.sampled_from("abc"), inner), max_leaves=8)
layers = st.dictionaries(st.sampled_from("abc"), trees)


@given(layers)
def test_merging_with_nothing_changes_nothing(layer):
    assert merged(layer, {}) == merged({}, layer) == merged(layer, layer) == layer


@given(layers, layers, layers)
def test_merging_does_not_depend_on_the_grouping(one, two, three):
    if not _clashing(one, two, three):
        assert merged(merged(one, two), three) == merged(one, merged(two, three))


def _clashing(*trees):
    """Whether one key is a section here and a value there: then a value between two sections cuts off the first."""
    for key in set().union(*trees):
        found = [tree[key] for tree in trees if key in tree]
        sections = [value for value in found if isinstance(value, dict)]
        if sections and (len(sections) < len(found) or _clashing(*sections)):
            return True
    return False


def test_nothing_is_executed_from_configuration(file, tmp_path):
    trace = tmp_path / "trace"
    text = f"__import__('pathlib').Path({str(trace)!r}).touch()"
    load(changes=[f"loss.margin={text}"])
    load(file(f'plugin = "{text}"'))
    assert not trace.exists()


def test_every_setting_is_explained():
    text = config.Settings.__doc__
    assert all(f"\n        {name}: " in text for name in Settings.model_fields)


def test_a_misspelt_variable_is_an_error_and_a_plugins_own_is_not(monkeypatch):
    monkeypatch.setenv("FACEBENCH_SEDE", "3")
    with pytest.raises(UnknownName, match="did you mean 'FACEBENCH_SEED'"):
        load()
    monkeypatch.delenv("FACEBENCH_SEDE")
    monkeypatch.setenv("FACEBENCH_WANDB_PROJECT", "mine")
    assert load().seed == 0
