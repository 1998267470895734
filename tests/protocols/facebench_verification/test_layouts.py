from __future__ import annotations

import numpy as np
import pytest

from facebench.demo import identity_parameters
from facebench.testing import check_dataset, check_protocol
from facebench_verification.demo import FIRST_IDENTITY
from facebench_verification.layouts import LAYOUTS, demo_layout
from facebench_verification.plugin import facebench_protocols
from facebench_verification.sets import PLACES

NAMES = [*LAYOUTS, "rfw"]
SPECS = {spec.name: spec for spec in facebench_protocols()}


def keys_of(name):
    """Keys a pair may name: pictures, or folders of frames."""
    faces, pairs = demo_layout(name)
    keys = set(faces.keys)
    return {key.rpartition("/")[0] for key in keys} if name == "ytf" else keys, pairs


@pytest.mark.parametrize("name", NAMES)
def test_folds_share_nobody_and_hold_both_kinds(name):
    keys, pairs = keys_of(name)
    assert set(pairs.keys) <= keys
    assert np.array_equal(pairs.subjects[0] == pairs.subjects[1], pairs.same)
    assert pairs.same.mean() == 0.5
    assert len({tuple(sorted(pair)) for pair in zip(pairs.first, pairs.second, strict=True)}) == len(pairs)
    numbers = pairs.fold if pairs.fold is not None else np.unique(pairs.group, return_inverse=True)[1]
    owner: dict[str, int] = {}
    for people in pairs.subjects:
        for person, number in zip(people.tolist(), numbers.tolist(), strict=True):
            assert owner.setdefault(person, number) == number
    assert min(int(person.split()[-1]) for person in owner) >= FIRST_IDENTITY


@pytest.mark.parametrize("name", NAMES)
def test_they_are_always_the_same(name):
    (faces, one), (again, two) = demo_layout(name), demo_layout(name)
    assert faces.fingerprint == again.fingerprint
    assert one.first.tolist() == two.first.tolist()


@pytest.mark.parametrize("name", ["cfp-fp", "agedb-30", "xqlfw", "hadrian"])
def test_matched_pairs_cross_the_two_kinds(name):
    _, pairs = demo_layout(name)
    same = pairs.same
    assert {key.split("/")[0] for key in pairs.first[same]} == {"left"}
    assert {key.split("/")[0] for key in pairs.second[same]} == {"right"}


@pytest.mark.parametrize("name", ["hadrian", "eclipse"])
def test_mismatched_pairs_are_of_one_kind_where_that_is_the_point(name):
    _, pairs = demo_layout(name)
    sides = [[key.split("/")[0] for key in keys[~pairs.same]] for keys in (pairs.first, pairs.second)]
    assert sides[0] == sides[1]
    assert set(sides[0]) == {"left", "right"}


def distance(name):
    """Mean distance of the parameters of the people in mismatched pairs."""
    _, pairs = demo_layout(name)
    who = [np.array([int(person.split()[-1]) for person in people[~pairs.same]]) for people in pairs.subjects]
    scale = identity_parameters(range(1000)).std(axis=0)
    return np.linalg.norm((identity_parameters(who[0]) - identity_parameters(who[1])) / scale, axis=1).mean()


def test_look_alikes_look_alike():
    assert distance("doppelver") < distance("sllfw") < 0.95 * distance("lfw-view1")


def test_groups_are_named_neutrally():
    _, pairs = demo_layout("rfw")
    assert sorted(set(pairs.group.tolist())) == ["group-1", "group-2", "group-3", "group-4"]


def test_every_offer_has_a_place():
    assert set(SPECS) == set(PLACES)
    assert all(place.name == name and place.how_to_get for name, place in PLACES.items())


@pytest.mark.parametrize("name", [name for name in SPECS if name not in ("lfw", "pairs")])
def test_promises(name):
    check_protocol(SPECS[name])
    faces = SPECS[name].build(SPECS[name].options()).faces(None)
    check_dataset(faces)
    assert len(faces) <= 1200
    assert len(faces.pairs) <= 2000
