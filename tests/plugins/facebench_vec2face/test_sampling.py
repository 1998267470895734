"""People who do not exist: their distribution, the filter, and that a killed drawing ends as if nothing had happened."""

from __future__ import annotations

import json
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facebench import DataError, FacebenchError
from facebench_vec2face import sampling
from facebench_vec2face.drawing import DrawingOptions
from facebench_vec2face.sampling import (
    BLOCK,
    NOTES,
    VECTORS,
    Statistics,
    candidates,
    draw_identities,
    fit,
    isotropic,
)

LOOSE = DrawingOptions(threshold=0.12)  # 0.48 for 32 dimensions


class Killed(Exception):
    pass


class Silence:
    """Bars that nobody sees, and that may kill the drawing when one has moved so many times."""

    def __init__(self, moves=None):
        self.moves, self.seen = moves, []

    def bar(self, total, what, *, unit="it", start=0):
        self.seen.append(start)
        return self

    def __enter__(self):
        return self

    def __exit__(self, *error):
        pass

    def advance(self, steps=1, **values):
        self.seen.append(steps)
        if self.moves is not None and len(self.seen) > self.moves:
            raise Killed


def people(count=300, size=32, seed=0):
    random = np.random.default_rng(seed)
    return random.standard_normal((count, size)) * np.linspace(0.5, 1.5, size) + 0.2 * random.standard_normal(size)


def draw(folder, count, *, statistics=None, chosen=LOOSE, seed=0, progress=None):
    statistics = fit(people()) if statistics is None else statistics
    return draw_identities(statistics, count, chosen=chosen, seed=seed, folder=folder, progress=progress or Silence())


def plainly(vectors, threshold):
    """Rows that a greedy walk takes."""
    unit = vectors.astype(float) / np.linalg.norm(vectors.astype(float), axis=1, keepdims=True)
    taken = []
    for row in range(len(unit)):
        if not taken or (unit[taken] @ unit[row]).max() <= threshold:
            taken.append(row)
    return taken


@given(st.integers(2, 60), st.sampled_from([0.0, 1e6]))
def test_statistics(count, offset):
    vectors = np.random.default_rng(count).standard_normal((count, 5)) + offset
    found = fit(vectors)
    np.testing.assert_allclose(found.mean, vectors.mean(axis=0), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(found.covariance, np.cov(vectors.T), rtol=1e-7, atol=1e-8)
    assert found.people == count


@pytest.mark.parametrize(
    ("vectors", "said"),
    [
        (np.ones((0, 3)), "at least two"),
        (np.ones((1, 3)), "at least two"),
        (np.ones((4, 3)), "all the same"),
        (np.concatenate([np.ones((2, 3)), np.full((2, 3), np.nan)]), "NaN"),
    ],
)
def test_no_distribution(vectors, said):
    with pytest.raises(DataError, match=said):
        fit(vectors)


def test_what_is_drawn_has_mean_and_covariance():
    statistics = fit(people(2000, 8))
    root = statistics.root()
    drawn = np.concatenate([candidates(statistics, root, block=block, seed=4) for block in range(60)]).astype(float)
    np.testing.assert_allclose(root @ root, statistics.covariance, atol=1e-12)
    np.testing.assert_allclose(drawn.mean(axis=0), statistics.mean, atol=0.02)
    np.testing.assert_allclose(np.cov(drawn.T), statistics.covariance, atol=0.04)


def test_fewer_identities_than_dimensions_span_what_they_span():
    vectors = people(6, 32)
    statistics = fit(vectors)
    drawn = candidates(statistics, statistics.root(), block=0, seed=0).astype(float)
    spanned = np.linalg.svd(vectors - vectors.mean(axis=0))[2][:5]
    aside = drawn - statistics.mean
    np.testing.assert_allclose(aside @ spanned.T @ spanned, aside, atol=1e-5)
    assert np.isfinite(drawn).all() and np.linalg.matrix_rank(aside, tol=1e-3) == 5


def test_shrinkage_keeps_the_trace_and_opens_the_rest():
    statistics = fit(people(6, 32))
    root = statistics.root(0.25)
    assert np.trace(root @ root) == pytest.approx(np.trace(statistics.covariance))
    assert np.linalg.matrix_rank(root) == 32
    np.testing.assert_allclose(
        statistics.root(1.0), np.eye(32) * root.shape[0] ** -0.5 * np.sqrt(np.trace(root @ root))
    )


def test_directions():
    assert isotropic(64).directions == pytest.approx(64)
    assert isotropic(512).root() == pytest.approx(np.eye(512), abs=1e-12)
    statistics = fit(people())
    drawn = candidates(statistics, statistics.root(), block=0, seed=0).astype(float)
    unit = drawn / np.linalg.norm(drawn, axis=1, keepdims=True)
    cosines = (unit @ unit.T)[np.triu_indices(BLOCK, 1)]
    assert statistics.directions == pytest.approx(1 / np.mean(cosines**2), rel=0.1)


def test_isotropic_identities(tmp_path):
    chosen = DrawingOptions(sampling="isotropic", threshold=0.15)
    found = draw(tmp_path, 1500, chosen=chosen).vectors
    assert found.dtype == np.float32 and found.shape == (1500, 32)
    assert abs(found.mean()) < 0.02 and found.std() == pytest.approx(1, abs=0.02)


def test_greedy_is_the_plain_walk(tmp_path):
    statistics = fit(people())
    found = draw(tmp_path, 300, statistics=statistics)
    root = statistics.root()
    blocks = found.notes["candidates"] // BLOCK
    drawn = np.concatenate([candidates(statistics, root, block=block, seed=0) for block in range(blocks)])
    taken = plainly(drawn, LOOSE.threshold_for(32))
    np.testing.assert_array_equal(found.vectors, drawn[taken[:300]])
    assert found.notes["rejected"] == len(drawn) - len(taken)
    assert found.notes["rejected share"] == pytest.approx(1 - len(taken) / len(drawn))
    assert found.notes["threshold"] == pytest.approx(0.48) and found.notes["directions"] == statistics.directions
    assert json.dumps(dict(found.notes))


def test_without_filter_everybody_is_taken(tmp_path):
    statistics = fit(people())
    found = draw(tmp_path, 1200, statistics=statistics, chosen=DrawingOptions(filter=False))
    root = statistics.root()
    drawn = np.concatenate([candidates(statistics, root, block=block, seed=0) for block in range(2)])
    np.testing.assert_array_equal(found.vectors, drawn[:1200])
    assert found.notes["rejected"] == 0 and found.notes["threshold"] == "off" and found.notes["candidates"] == 2 * BLOCK


def test_the_first_of_more_are_those_of_fewer(tmp_path):
    # 265 find room in the first block, and fewer in each that follows.
    many = draw(tmp_path / "many", 420)
    for count in (0, 1, 150, 300, 420):
        fewer = draw(tmp_path / str(count), count)
        np.testing.assert_array_equal(fewer.vectors, many.vectors[:count])
        again = draw(tmp_path / "many", count)
        np.testing.assert_array_equal(again.vectors, many.vectors[:count])
        assert again.notes == fewer.notes
    more = draw(tmp_path / "150", 420)
    np.testing.assert_array_equal(more.vectors, many.vectors)
    assert more.notes == many.notes
    assert (tmp_path / "150" / VECTORS).read_bytes() == (tmp_path / "many" / VECTORS).read_bytes()


def test_another_seed_draws_others(tmp_path):
    one, two = (draw(tmp_path / str(seed), 50, seed=seed).vectors for seed in (0, 1))
    assert not np.isclose(one, two).all(axis=1).any()


@pytest.mark.parametrize("moves", [1, 2])
def test_a_killed_drawing_continues(tmp_path, moves):
    whole = draw(tmp_path / "whole", 420)
    with pytest.raises(Killed):
        draw(tmp_path / "part", 420, progress=Silence(moves))
    kept = json.loads((tmp_path / "part" / NOTES).read_text())["taken"]
    assert len(kept) == moves
    heard = Silence()
    found = draw(tmp_path / "part", 420, progress=heard)
    assert heard.seen[0] == sum(kept) and sum(heard.seen) == 420
    np.testing.assert_array_equal(found.vectors, whole.vectors)
    assert found.notes == whole.notes
    for name in (VECTORS, NOTES):
        assert (tmp_path / "part" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_killed_between_vectors_and_notes(tmp_path, monkeypatch):
    whole = draw(tmp_path / "whole", 420)
    calls, write = [], sampling.write_text

    def fails_at_the_second(path, text):
        calls.append(path)
        if len(calls) == 2:
            raise Killed
        write(path, text)

    monkeypatch.setattr(sampling, "write_text", fails_at_the_second)
    with pytest.raises(Killed):
        draw(tmp_path / "part", 420)
    np.testing.assert_array_equal(draw(tmp_path / "part", 420).vectors, whole.vectors)
    assert (tmp_path / "part" / VECTORS).read_bytes() == (tmp_path / "whole" / VECTORS).read_bytes()


def test_identities_of_something_else_are_not_taken_up(tmp_path):
    draw(tmp_path, 20)
    for change in ({"seed": 1}, {"chosen": DrawingOptions(threshold=0.13)}, {"statistics": fit(people(seed=1))}):
        with pytest.raises(DataError, match="another generator, seed or other options"):
            draw(tmp_path, 20, **change)
    steered = DrawingOptions(threshold=0.12, sigmas=(0.5,), shares=(1.0,), attrop="images")
    assert len(draw(tmp_path, 20, chosen=steered).vectors) == 20


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"schema_number": 9}', '{"schema_number": 1, "key": "", "taken": 3}']
)
def test_damaged_notes(tmp_path, text):
    draw(tmp_path, 20)
    (tmp_path / NOTES).write_text(text)
    with pytest.raises(DataError, match="cannot be read"):
        draw(tmp_path, 20)


def test_vectors_cut_short(tmp_path):
    draw(tmp_path, 20)
    (tmp_path / VECTORS).write_bytes(b"1234")
    with pytest.raises(DataError, match="shorter than the notes say"):
        draw(tmp_path, 20)


def test_a_folder_that_cannot_be(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(FacebenchError, match="cannot write"):
        draw(tmp_path / "file", 20)


def test_no_room_for_more_is_said(tmp_path):
    line = Statistics(np.zeros(4), np.diag([1.0, 0.5, 0.01, 0.01]), 10)
    with pytest.raises(DataError, match=r"only \d+ of 1,000 identities .* 0\.95 .* about 2 directions; raise"):
        draw(tmp_path, 1000, statistics=line, chosen=DrawingOptions())
    taken = json.loads((tmp_path / NOTES).read_text())["taken"]
    few = sampling.LEAST * sampling.PATIENCE * BLOCK
    assert sum(taken[-sampling.PATIENCE :]) < few <= sum(taken[-sampling.PATIENCE - 1 : -1])
    # What was found stays, and asking again is refused at once.
    assert len(draw(tmp_path, sum(taken), statistics=line, chosen=DrawingOptions()).vectors) == sum(taken)
    with pytest.raises(DataError, match="only"):
        draw(tmp_path, 1000, statistics=line, chosen=DrawingOptions())


def test_memory_holds_blocks_and_not_everybody(tmp_path):
    statistics = isotropic(256)
    tracemalloc.start()
    draw(tmp_path, 40 * BLOCK, statistics=statistics, chosen=DrawingOptions(filter=False))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 12 * BLOCK * 256 * 4
