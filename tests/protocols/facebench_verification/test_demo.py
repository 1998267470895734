from __future__ import annotations

import numpy as np
import pytest

from facebench.demo.plugin import DemoOptions, build
from facebench_verification.demo import FIRST_IDENTITY, FOLDS, PEOPLE, demo_faces, demo_pairs
from facebench_verification.options import VerificationOptions
from facebench_verification.protocol import Verification
from facebench_verification.sources import LFW


@pytest.fixture(scope="module")
def pairs():
    return demo_pairs(demo_faces())


def who(keys):
    return np.array([int(key.partition("/")[0]) for key in keys])


def test_counts(pairs):
    assert (len(pairs), pairs.folds) == (2000, 10)
    assert pairs.same.reshape(10, 200).sum(axis=1).tolist() == [100] * 10
    assert len(demo_faces()) == 1200


def test_same_means_the_same_person(pairs):
    np.testing.assert_array_equal(who(pairs.first) == who(pairs.second), pairs.same)
    np.testing.assert_array_equal(pairs.subjects[0] == pairs.subjects[1], pairs.same)
    for keys, names in ((pairs.first, pairs.subjects[0]), (pairs.second, pairs.subjects[1])):
        assert len(set(zip(who(keys).tolist(), names.tolist(), strict=True))) == len(set(names.tolist()))


def test_nobody_is_in_two_folds(pairs):
    fold = np.repeat(np.arange(FOLDS), 200)
    for side in (pairs.first, pairs.second):
        np.testing.assert_array_equal((who(side) - FIRST_IDENTITY) // PEOPLE, fold)


def test_no_pair_occurs_twice_and_none_is_of_one_picture(pairs):
    found = {frozenset(pair) for pair in zip(pairs.first.tolist(), pairs.second.tolist(), strict=True)}
    assert len(found) == 2000
    assert all(len(pair) == 2 for pair in found)


def test_they_are_the_same_on_every_machine_and_day(pairs):
    again = demo_pairs(demo_faces())
    assert again.first.tolist() == pairs.first.tolist()
    assert again.second.tolist() == pairs.second.tolist()
    # RandomState(20260101) draws these; a change of the pairs needs a new DEMO_VERSION.
    assert (pairs.first[0], pairs.second[0]) == ("1000023/000", "1000023/001")


def test_nobody_was_trained_on(pairs):
    evaluated = set(who(pairs.first)) | set(who(pairs.second))
    most = DemoOptions(identities=1_000_000, images=1)
    assert min(evaluated) >= most.identities
    assert evaluated.isdisjoint(who(build(None, DemoOptions()).keys))


def test_the_protocol_draws_them_without_a_data_root():
    faces = Verification(LFW, VerificationOptions(), folds=10).faces(None)
    assert faces.name == "demo"
    assert len(faces) == 1184  # sixteen pictures are in no pair
    picture = faces[3]
    np.testing.assert_array_equal(faces.batch(np.array([3]))[0], picture.image)
    drawn = demo_faces()
    np.testing.assert_array_equal(picture.image, drawn[drawn.keys.index(picture.key)].image)
