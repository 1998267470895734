from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facebench.errors import MetricError, UnknownName
from facebench.metrics import operating_points, pool, score_pairs, split, templates


def pooled_by_loop(features, template_ids, media_ids, weights=None, norm="keep", media="mean"):
    """Section by section as the published scripts do it, in float64."""
    images = features.astype(np.float64)
    if norm == "unit":
        images = images / np.linalg.norm(images, axis=1, keepdims=True)
    if weights is not None:
        images = images * np.asarray(weights, dtype=np.float64)[:, None]
    vectors = []
    for template in np.unique(template_ids):
        mine = template_ids == template
        means = [images[mine & (media_ids == one)].mean(axis=0) for one in np.unique(media_ids[mine])]
        if media == "unit":
            means = [mean / np.linalg.norm(mean) for mean in means]
        total = np.sum(means, axis=0)
        vectors.append(total / np.linalg.norm(total))
    return np.array(vectors)


@st.composite
def galleries(draw):
    count, dim = draw(st.integers(1, 40)), draw(st.integers(1, 5))
    random = np.random.default_rng(draw(st.integers(0, 10**6)))
    features = random.standard_normal((count, dim)).astype(draw(st.sampled_from([np.float32, np.float64])))
    ids = random.integers(-3, draw(st.integers(-2, 12)), count)
    weights = draw(st.sampled_from([None, random.uniform(0.1, 1, count)]))
    return features + 3, ids, random.integers(0, 4, count), weights


@settings(max_examples=80, deadline=None)
@given(galleries(), st.sampled_from(["keep", "unit"]), st.sampled_from(["mean", "unit"]))
def test_pool_is_the_loop(case, norm, media):
    features, ids, medias, weights = case
    found = pool(features, ids, medias, weights=weights, norm=norm, media=media)
    assert found.vectors.dtype == np.float32
    expected = pooled_by_loop(features, ids, medias, weights, norm, media)
    np.testing.assert_allclose(found.vectors, expected, atol=2e-6)
    names, counts = np.unique(ids, return_counts=True)
    np.testing.assert_array_equal(found.ids, names)
    np.testing.assert_array_equal(found.images, counts)
    np.testing.assert_array_equal(found.medias, [np.unique(medias[ids == name]).size for name in names])


@pytest.mark.parametrize("media", ["mean", "unit"])
def test_blocks_do_not_matter(monkeypatch, media):
    random = np.random.default_rng(0)
    features = random.standard_normal((500, 8)).astype(np.float32)
    ids, medias = random.integers(0, 60, 500), random.integers(0, 5, 500)
    whole = pool(features, ids, medias, media=media)
    monkeypatch.setattr(templates, "_BLOCK_BYTES", 1)
    np.testing.assert_array_equal(pool(features, ids, medias, media=media).vectors, whole.vectors)


def test_order_of_images_does_not_matter():
    random = np.random.default_rng(1)
    features, ids, medias = random.standard_normal((300, 6)), random.integers(0, 30, 300), random.integers(0, 3, 300)
    order = random.permutation(300)
    np.testing.assert_allclose(
        pool(features, ids, medias).vectors, pool(features[order], ids[order], medias[order]).vectors, atol=1e-6
    )


def scored(case, pairs, **flags):
    pooled = pool(case.fused(flags.pop("flip")), case.templates, case.medias, **flags)
    first, second = (np.searchsorted(pooled.ids, side) for side in pairs)
    return pooled, score_pairs(pooled.vectors, first, second)


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("faceness", [False, True])
@pytest.mark.parametrize("unit_length", [False, True])
def test_golden_modes(ijb_case, unit_length, faceness, flip):
    case, (first, second, labels) = ijb_case
    expected = case.expected["modes"][f"{unit_length=},{faceness=},{flip=}"]
    weights = case.faceness if faceness else None
    norm = "unit" if unit_length else "keep"
    pooled, scores = scored(case, (first, second), weights=weights, norm=norm, flip=flip)
    points = operating_points(*split(scores, labels), targets=case.expected["far_targets"])
    assert [point.tar for point in points] == pytest.approx(expected["tar"], abs=1e-12)
    assert [point.far for point in points] == pytest.approx(expected["far"], abs=1e-12)
    assert scores[:5] == pytest.approx(expected["score_head"], abs=1e-6)
    assert scores.sum(dtype=np.float64) == pytest.approx(expected["score_sum"], abs=1e-3)
    assert pooled.vectors[0, :4] == pytest.approx(expected["first_template_head"], abs=1e-6)
    assert pooled.vectors[-1, :4] == pytest.approx(expected["last_template_head"], abs=1e-6)


@pytest.mark.parametrize(("media", "key"), [("unit", "magface_qlt=0"), ("mean", "magface_qlt=1")])
def test_golden_magface(ijb_case, media, key):
    case, (first, second, labels) = ijb_case
    _, scores = scored(case, (first, second), media=media, flip=False)
    points = operating_points(*split(scores, labels), targets=case.expected["far_targets"])
    expected = case.expected["magface"][key]
    assert [point.tar for point in points] == pytest.approx(expected["tar"], abs=1e-12)
    assert 1 - np.arccos(scores[:5]) / np.pi == pytest.approx(expected["score_head"], abs=1e-6)


FEATURES = np.eye(4)
IDS, MEDIAS = np.array([5, 5, 9, 9]), np.array([1, 1, 1, 2])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"features": np.zeros((4, 4))}, "template 5 pools to length 0"),
        ({"features": np.diag([1, 1, 1, np.nan])}, "row 3"),
        ({"features": np.diag([1, 1, 1, 0]), "norm": "unit"}, "row 3"),
        ({"features": np.diag([1, 1, 1, 0]), "media": "unit"}, "a media of template 9"),
        ({"weights": [1, 1, 0, 0]}, "template 9 pools to length 0"),
        ({"weights": [1, 1, np.nan, 1]}, "index 2"),
        ({"weights": [1, -1, 1, 1]}, "index 1"),
        ({"weights": [1, 1]}, "found 2 for 4 images"),
        ({"templates": IDS[:3]}, "templates must be one integer"),
        ({"medias": MEDIAS.astype(float)}, "medias must be one integer"),
        ({"features": np.empty((0, 4))}, "features must have the shape"),
    ],
)
def test_refuses(change, message):
    arguments = {"features": FEATURES, "templates": IDS, "medias": MEDIAS} | change
    with pytest.raises(MetricError, match=message):
        pool(**arguments)


def test_opposite_features_cancel():
    with pytest.raises(MetricError, match="template 1 pools to length 0"):
        pool(np.array([[1.0, 0], [-1.0, 0]]), [1, 1], [1, 2])


@pytest.mark.parametrize("change", [{"norm": "N1"}, {"media": "sum"}])
def test_unknown_names(change):
    with pytest.raises(UnknownName):
        pool(FEATURES, IDS, MEDIAS, **change)
