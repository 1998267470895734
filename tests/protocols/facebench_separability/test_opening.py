from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from facebench import ConfigError, DataError, DatasetMissing
from facebench.testing import check_dataset
from facebench_separability.opening import FIRST_IDENTITY, People, demo_faces, labelled
from facebench_separability.options import SeparabilityOptions


@pytest.fixture
def folder(tmp_path):
    """A data root with ``mine/<who>/<picture>.png``, four people, and one picture of nobody."""
    for place in range(13):
        name = f"who{place % 4}/{place:02d}.png" if place < 12 else "nobody.png"
        path = tmp_path / "root" / "mine" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((16, 16, 3), place, np.uint8)).save(path)
    return tmp_path / "root"


def test_people_stand_in_order_of_their_names():
    found = People.of(["b/2", "c/0", "a/1", "b/1", "none"], np.array([0, 1, 2, 0, -1]))
    assert found.names.tolist() == ["a/1", "b/1", "c/0"]
    assert found.order.tolist() == [2, 3, 0, 1]
    assert found.number.tolist() == [0, 1, 1, 2]
    assert found.counts.tolist() == [1, 2, 1]


def test_labels_need_no_folders():
    found = People.of(["p3", "p1", "p2"], np.array([7, 7, 4]))
    assert found.names.tolist() == ["p1", "p2"]
    assert found.number.tolist() == [0, 1, 0]


def test_a_cut_takes_the_first_by_name(kit):
    faces = kit.people(4, 3)
    order = np.random.default_rng(0).permutation(len(faces))
    for source in (faces, faces.moved(order)):
        assert labelled(source, people=2, images=2).keys == ["who0000/0", "who0000/1", "who0001/0", "who0001/1"]
    assert len(labelled(faces)) == 12
    assert labelled(faces, images=1)[3].key == "who0003/0"


@pytest.mark.parametrize(("labels", "least"), [([0, 0, -1], 2), ([-1, -1, -1], 1)])
def test_sets_that_tell_nobody_apart_are_refused(kit, labels, least):
    faces = kit.Toys(["a", "b", "c"], labels)
    with pytest.raises(DataError, match=rf"toys: \d identities among 3 faces.*at least {least}"):
        labelled(faces, least=least)


def test_faces_below_a_root(kit, folder):
    faces = kit.protocol(data="mine").faces(folder)
    check_dataset(faces)
    assert faces.name == "mine"
    assert faces.keys[:4] == ["who0/00", "who0/04", "who0/08", "who1/01"]
    assert (len(faces), faces.unlabelled) == (12, 1)
    assert faces.parts == {"data": range(12)}


def test_a_reference_below_a_root(kit, folder):
    (folder / "mine" / "who3").rename(folder / "learned")
    faces = kit.protocol(data="mine", reference="learned/..", reference_images=1).faces(folder)
    assert list(faces.parts) == ["data", "reference"]
    assert faces.keys[0].startswith("data/who0/")


def test_what_is_missing_is_told_with_its_option(kit, folder):
    with pytest.raises(DatasetMissing, match=r"lfw_112x112\.tar.*protocol\.separability\.data"):
        kit.protocol().faces(folder)
    with pytest.raises(DatasetMissing, match=r"nowhere.*protocol\.separability\.reference"):
        kit.protocol(data="mine", reference="nowhere").faces(folder)
    with pytest.raises(ConfigError, match="reference needs a data root"):
        kit.protocol(reference="mine").faces(None)


def test_drawn_people_are_nobody_that_trainers_see(kit):
    faces = kit.protocol().faces(None)
    assert len(faces) == 2000
    assert len(np.unique(faces.labels)) == 200
    assert faces.keys[0] == f"{FIRST_IDENTITY}/000"
    assert faces.keys == sorted(demo_faces().keys)


@pytest.mark.parametrize("thresholds", [(0.3, 0.3), (1.2,), (-1.5, 0.1)])
def test_thresholds_that_are_none_are_refused(thresholds):
    with pytest.raises(ConfigError, match="thresholds must be different cosines"):
        SeparabilityOptions(thresholds=thresholds)


def test_the_headline_is_a_threshold_in_any_case():
    assert SeparabilityOptions().fixed == (0.4, 0.3)
    assert SeparabilityOptions(thresholds=(0.2,), headline=0.5).fixed == (0.5, 0.2)
