from __future__ import annotations

import dataclasses
import hashlib
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facebench.contracts import Evaluation, Face, FaceDataset, Features, LossOutput, Preprocess, fingerprint_of
from facebench.errors import ConfigError

plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text("abäß \n"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abc", max_size=3), inner, max_size=4),
    max_leaves=8,
)


@given(st.dictionaries(st.text("abcdef", max_size=3), plain, max_size=6))
def test_the_order_of_keys_does_not_change_a_fingerprint(values):
    assert fingerprint_of(values) == fingerprint_of(dict(reversed(values.items())))


@given(plain, plain)
def test_different_values_have_different_fingerprints(one, other):
    as_written = repr(one) == repr(other)
    if as_written:
        assert fingerprint_of(one) == fingerprint_of(other)
    elif not one == other:
        assert fingerprint_of(one) != fingerprint_of(other)


def test_a_fingerprint_is_sixteen_hexadecimal_digits_and_stays_what_it_was():
    """Stored runs are found again by it: SHA-256 of the compact JSON with sorted keys, first 16 digits."""
    compact = '{"a":"ü","b":[1,2.5]}'
    assert fingerprint_of({"b": [1, 2.5], "a": "ü"}) == hashlib.sha256(compact.encode()).hexdigest()[:16]


@pytest.mark.parametrize(
    ("one", "other"), [(1, "1"), ([], {}), (None, "null"), (True, 1), ([1, 2], [2, 1]), ("", None)]
)
def test_types_and_order_count(one, other):
    assert fingerprint_of(one) != fingerprint_of(other)


@pytest.mark.parametrize("value", [{1, 2}, object(), b"bytes", np.float32(1)])
def test_what_is_not_json_has_no_fingerprint(value):
    with pytest.raises(TypeError):
        fingerprint_of(value)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), [float("-inf")]])
def test_what_equals_nothing_has_no_fingerprint(value):
    with pytest.raises(ValueError, match="JSON"):
        fingerprint_of(value)


def test_preprocess_defaults_to_the_usual_112_rgb():
    usual = Preprocess()
    assert (usual.size, usual.color, usual.mean, usual.std) == ((112, 112), "rgb", (127.5,) * 3, (127.5,) * 3)


@pytest.mark.parametrize(
    "changed",
    [{"size": (112, 96)}, {"size": (96, 112)}, {"color": "bgr"}, {"mean": (0.0, 0.0, 0.0)}, {"std": (128.0,) * 3}],
)
def test_every_part_of_preprocess_changes_its_fingerprint(changed):
    assert Preprocess(**changed).fingerprint != Preprocess().fingerprint


def test_swapped_values_of_preprocess_are_told_apart():
    one = Preprocess(mean=(1.0, 2.0, 3.0), std=(4.0, 5.0, 6.0))
    assert one.fingerprint != Preprocess(mean=(4.0, 5.0, 6.0), std=(1.0, 2.0, 3.0)).fingerprint
    assert Preprocess(size=(112, 96)).fingerprint != Preprocess(size=(96, 112)).fingerprint


@pytest.mark.parametrize("color", ["RGB", "gray", ""])
def test_preprocess_knows_two_orders_of_colours(color):
    with pytest.raises(ConfigError, match=f"preprocess.color is {color!r}; it must be 'rgb' or 'bgr'"):
        Preprocess(color=color)


@pytest.mark.parametrize("values", [{"std": (1.0, 0.0, 1.0)}, {"std": (-1.0, 1.0, 1.0)}, {"size": (0, 112)}])
def test_preprocess_divides_by_no_zero_and_has_an_area(values):
    with pytest.raises(ConfigError, match="needs positive std and size"):
        Preprocess(**values)


@pytest.mark.parametrize(
    ("record", "field"),
    [
        (Face(np.zeros((2, 2, 3), np.uint8), 0, "a"), "label"),
        (Features(np.zeros((1, 2))), "vectors"),
        (Preprocess(), "size"),
        (LossOutput(total=None), "total"),
        (Evaluation(metrics=()), "metrics"),
    ],
)
def test_records_are_frozen(record, field):
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(record, field, None)


def test_mappings_are_not_shared_between_records():
    assert LossOutput(total=None).terms is not LossOutput(total=None).terms
    assert Evaluation(metrics=()).counts is not Evaluation(metrics=()).counts


class Faces:
    """A data set that inherits from nothing."""

    name, fingerprint, keys, labels = "two", "f", ("a", "b"), np.array([0, 1])

    def __len__(self):
        return 2

    def __getitem__(self, index, /):
        return Face(np.zeros((1, 1, 3), np.uint8), index, self.keys[index])


def test_a_data_set_is_known_by_what_it_can_do():
    assert isinstance(Faces(), FaceDataset)
    assert not isinstance([Faces()[0]], FaceDataset)


def test_the_contracts_wait_for_nothing_heavy():
    code = (
        "import sys, facebench.contracts, facebench.specs, facebench.hooks\n"
        "heavy = {'torch', 'numpy', 'scipy', 'pandas', 'matplotlib'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
