from __future__ import annotations

import numpy as np
import pytest

from facebench.config import build_options
from facebench.demo import DemoFaces, Nuisance
from facebench.demo.plugin import DemoOptions, build, facebench_datasets
from facebench.errors import ConfigError, UnknownName
from facebench.testing import check_dataset


def test_it_offers_the_demo_faces_as_a_training_set():
    (spec,) = facebench_datasets()
    assert spec.name == "demo"
    assert spec.licence
    faces = spec.build(None, DemoOptions(identities=3, images=2))
    check_dataset(faces, training=True)
    assert (len(faces), faces.num_classes, faces.name) == (6, 3, "demo")


def test_options_say_how_many_and_which():
    faces = build(None, DemoOptions(identities=3, images=2, seed=5))
    plain = DemoFaces(range(3), 2, seed=5)
    assert faces.keys == plain.keys
    assert faces.fingerprint == plain.fingerprint
    np.testing.assert_array_equal(faces.batch([4]), plain.batch([4]))
    assert faces.fingerprint != build(None, DemoOptions(identities=3, images=2)).fingerprint


def test_options_say_how_clear_the_pictures_are():
    chosen = {"occlusion": 1.0, "blur": 3.0, "noise": 0.0, "low_resolution": 0.5}
    faces = build(None, DemoOptions(identities=3, images=2, **chosen))
    plain = DemoFaces(range(3), 2, nuisance=Nuisance(**chosen))
    assert faces.fingerprint == plain.fingerprint != DemoFaces(range(3), 2).fingerprint
    np.testing.assert_array_equal(faces.batch([1]), plain.batch([1]))
    assert build(None, DemoOptions()).nuisance == Nuisance()


def test_a_path_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="demo faces are drawn, not read; found the path"):
        build(tmp_path, DemoOptions())


@pytest.mark.parametrize(
    "values", [{"identities": 1}, {"images": 0}, {"seed": -1}, {"blur": 4}, {"occlusion": 1.1}, {"identities": 2.5}]
)
def test_senseless_numbers_are_refused(values):
    with pytest.raises(ConfigError, match=r"train_data\."):
        build_options(DemoOptions, values, "train_data")


def test_unknown_options_are_refused():
    with pytest.raises(UnknownName, match="did you mean 'identities'"):
        build_options(DemoOptions, {"identites": 3}, "train_data")
