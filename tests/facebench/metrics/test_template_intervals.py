from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facebench.errors import MetricError
from facebench.metrics import bootstrap_intervals, linked_subjects, tar_at_far, template_bootstrap, template_intervals

TARGETS = (0.0, 0.01, 0.1, 0.3)


def listed(seed, people=30, each=4, pairs=3000, decimals=2):
    """Pairs of templates with scores that depend on the people; the first templates are one a person."""
    draw = np.random.default_rng(seed)
    subjects = np.arange(people * each) % people
    second = draw.integers(0, people * each, pairs)
    first = draw.integers(0, people, pairs)
    half = slice(0, pairs // 4)
    first[half] = subjects[second[half]]
    keep = first != second
    first, second = first[keep], second[keep]
    same = subjects[first] == subjects[second]
    ease = draw.normal(0, 1, people)
    scores = 2.0 * same + 0.5 * ease[subjects[first]] + 0.5 * ease[subjects[second]] + draw.normal(0, 0.5, same.size)
    return scores.round(decimals), same, first, second, subjects


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.integers(3, 30), st.sampled_from([0, 1, 6]), st.sampled_from([0.01, 1.25]))
def test_equals_the_plain_bootstrap_of_subjects(seed, people, decimals, spare):
    """Draw for draw, also where the top that is kept is too short at first."""
    scores, same, first, second, subjects = listed(seed, people=people, pairs=400, decimals=decimals)
    arguments = {"targets": TARGETS, "samples": 70}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(template_intervals, "_SPARE", spare)
        patch.setattr(template_intervals, "_MARGIN", 1)
        patch.setattr(template_intervals, "_CHUNK", 37)
        found = template_bootstrap(
            scores, same, first, second, subjects=subjects, generator=np.random.default_rng(seed), **arguments
        )
    sides = subjects[first], subjects[second]
    plain = bootstrap_intervals(scores, same, subjects=sides, generator=np.random.default_rng(seed), **arguments)
    assert found.targets == plain.targets
    for one, other in (
        *zip(found.tar_strict, plain.tar_strict, strict=True),
        *zip(found.tar_reference, plain.tar_reference, strict=True),
    ):
        assert (one.low, one.high) == pytest.approx((other.low, other.high), abs=1e-12)
        assert (one.samples, one.method) == (other.samples, other.method)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6))
def test_one_replicate_of_templates_is_the_pairs_repeated(seed):
    scores, same, first, second, _ = listed(seed, people=10, pairs=300, decimals=1)
    templates = np.unique(np.concatenate([first, second]))
    draw = np.random.default_rng(seed)
    times = np.bincount(draw.integers(0, templates.size, templates.size), minlength=templates.size)
    weights = times[np.searchsorted(templates, first)] * times[np.searchsorted(templates, second)]
    repeated = np.repeat(scores, weights), np.repeat(same, weights)
    genuine, impostor = (repeated[0][repeated[1] == truth] for truth in (True, False))
    found = template_bootstrap(
        scores, same, first, second, subjects=None, generator=np.random.default_rng(seed), targets=TARGETS, samples=1
    )
    assert "template" in found.tar_strict[0].method
    for target, strict, nearest in zip(TARGETS, found.tar_strict, found.tar_reference, strict=True):
        assert strict.low == pytest.approx(tar_at_far(genuine, impostor, target=target, rule="strict").tar, abs=1e-12)
        expected = tar_at_far(genuine, impostor, target=target, rule="nearest-all-points").tar
        assert nearest.low == pytest.approx(expected, abs=1e-12)


def test_linked_subjects_finds_the_people():
    _, same, first, second, subjects = listed(0, pairs=5000)
    found = linked_subjects(first, second, same, templates=subjects.size)
    linked = np.unique(np.concatenate([first[same], second[same]]))
    assert len(set(zip(found[linked], subjects[linked], strict=True))) == np.unique(subjects[linked]).size
    assert linked_subjects([0, 1, 3], [1, 2, 4], [1, 1, 0], templates=6).tolist() == [0, 0, 0, 1, 2, 3]


def test_same_seed_same_intervals():
    scores, same, first, second, subjects = listed(3)
    runs = [
        template_bootstrap(
            scores,
            same,
            first,
            second,
            subjects=subjects,
            generator=np.random.default_rng(5),
            targets=[0.1],
            samples=80,
        )
        for _ in range(2)
    ]
    assert runs[0] == runs[1]
    assert runs[0].tar_strict[0].low < runs[0].tar_strict[0].high


GOOD = {
    "scores": [0.9, 0.1, 0.2, 0.8],
    "same": [1, 0, 0, 1],
    "first": [0, 0, 1, 1],
    "second": [2, 3, 2, 3],
    "subjects": [7, 8, 7, 8],
    "targets": [0.1],
}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"targets": []}, "at least one target"),
        ({"targets": [3]}, "between 0 and 1"),
        ({"first": [0, 0, 1]}, "found 3 for 4 pairs"),
        ({"first": [0, 0, 1, -1]}, "integers from 0"),
        ({"subjects": [7, 8, 7]}, "one subject, an integer or a string"),
        ({"subjects": [7, 8, 7, 7]}, "contradict each other in 2 pairs"),
        ({"subjects": None, "second": [2, 0, 2, 3]}, "templates contradict"),
        ({"same": [1, 1, 1, 1]}, "both genuine and impostor"),
        ({"scores": [0.9, np.nan, 0.2, 0.8]}, "finite"),
        ({"samples": 0}, "at least one replicate"),
    ],
)
def test_refuses(change, message):
    with pytest.raises(MetricError, match=message):
        template_bootstrap(generator=np.random.default_rng(0), **GOOD | change)


def test_too_few_people():
    """Of four people only two have an impostor pair: most draws miss one of them."""
    first, second = [0, 0, 3, 5], [1, 2, 4, 6]
    with pytest.raises(MetricError, match="too few people"):
        template_bootstrap(
            [0.9, 0.1, 0.8, 0.7],
            [1, 0, 1, 1],
            first,
            second,
            subjects=["a", "a", "b", "c", "c", "d", "d"],
            targets=[0.1],
            generator=np.random.default_rng(0),
        )


def test_linked_subjects_refuses():
    with pytest.raises(MetricError, match="two of the 2 templates"):
        linked_subjects([0, 1], [1, 2], [1, 0], templates=2)
    with pytest.raises(MetricError, match="same flags must match"):
        linked_subjects([0, 1], [1, 2], [1], templates=3)
