from __future__ import annotations

import numpy as np
import pytest

from facebench_separability import leakage


@pytest.fixture(params=[1 << 20, 200])
def repeated(request, kit, monkeypatch):
    """Twelve people judged, of whom one is a reference person, and one more in a single picture."""
    monkeypatch.setattr(leakage, "_BLOCK_BYTES", request.param)
    faces = kit.protocol().faces_of(
        kit.people(12, 3), beside=kit.people(12, 3, first=50), reference=kit.people(8, 5, first=90, name="learned")
    )
    values = kit.vectors(faces, size=48, noise=0.2)
    reference = faces.parts["reference"]
    values[4 * 3 : 5 * 3] = values[reference.start : reference.start + 3]
    values[7 * 3 + 1] = values[reference.start + 5]
    found = kit.protocol(thresholds=(0.7,), headline=0.7).evaluate(kit.embeddings(faces, values), faces, seed=0)
    return found, faces, values


def test_people_and_single_pictures_of_the_reference_are_found(kit, repeated):
    found, _, _ = repeated
    images = kit.value(found, "leakage@0.7", "image-to-centre")
    centres = kit.value(found, "leakage@0.7", "centre-to-centre")
    assert (images.detail["above"], images.detail["compared"]) == (4, 36)
    assert (centres.detail["above"], centres.detail["compared"]) == (1, 12)
    assert centres.detail["reference identities"] == 8
    assert kit.value(found, "leakage@0.7-beside", "image-to-centre").value == 0
    nearest = kit.value(found, "nearest-reference", "centre-to-centre")
    assert nearest.detail["between"] == "data/who0004/0 and reference/who0090/0"
    assert nearest.detail["largest"] > 0.9
    assert not nearest.higher_is_better


def test_similarities_are_those_of_the_definition(kit, repeated):
    found, faces, values = repeated
    names = [key.rsplit("/", 1)[0] for key in faces.keys]
    learned = list(faces.parts["reference"])
    others = np.stack(list(kit.means(values[learned], [names[row] for row in learned]).values()))
    for part, suffix in (("data", ""), ("beside", "-beside")):
        rows = list(faces.parts[part])
        units = values[rows] / np.linalg.norm(values[rows], axis=1, keepdims=True)
        mean = kit.value(found, f"nearest-reference{suffix}", "image-to-centre").value
        assert mean == pytest.approx((units @ others.T).max(axis=1).mean(), abs=1e-6)
        centres = np.stack(list(kit.means(values[rows], [names[row] for row in rows]).values()))
        mean = kit.value(found, f"nearest-reference{suffix}", "centre-to-centre").value
        assert mean == pytest.approx((centres @ others.T).max(axis=1).mean(), abs=1e-6)


def test_without_a_reference_there_is_none(kit):
    faces = kit.protocol().faces_of(kit.people(5))
    found = kit.protocol().evaluate(kit.embeddings(faces, kit.vectors(faces)), faces, seed=0)
    names = {one.name for one in found.metrics} | {curve.name for curve in found.curves} | set(found.rules)
    assert not any("leakage" in name or "frechet" in name or "beside" in name for name in names)


def test_a_threshold_that_was_not_found_is_absent(kit, two_of_each):
    chosen = kit.protocol(fmr=1e-4)
    found = chosen.evaluate(kit.embeddings(two_of_each.faces, two_of_each.values), two_of_each.faces, seed=0)
    absent = [one for one in found.metrics if one.name.startswith("leakage@fmr=1e-4")]
    assert len(absent) == 4
    assert {one.value for one in absent} == {None}
    assert "below what 594 impostor pairs resolve" in absent[0].reason
