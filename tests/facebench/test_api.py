from __future__ import annotations

import numpy as np
import pytest

import facebench
from facebench import Embeddings
from facebench.errors import DataError, DatasetMissing, UnknownName
from facebench.testing import toy_faces


def call(bench, plugin="means", protocols="toy", **settings):
    places = {"out": bench.folder / "runs", "cache": bench.folder / "cache"}
    return facebench.run(plugin, protocols, host=bench.host, quiet=True, **{**places, **settings})


@pytest.fixture
def embeddings(means):
    faces = toy_faces(num_classes=3, per_class=4, seed=7, size=32)
    vectors = means().embed(faces.batch(np.arange(len(faces)))).vectors
    return Embeddings(keys=np.array(faces.keys), vectors=vectors, fingerprint="e" * 16)


# Runs.


def test_one_protocol_or_several(bench):
    assert [result.protocol for result in call(bench).results] == ["toy"]
    assert [result.protocol for result in call(bench, protocols=["other", "toy"]).results] == ["other", "toy"]


def test_settings_and_changes_are_laid_over_each_other(bench):
    outcome = call(bench, changes={"embedder": {"scale": 2.0}}, embedding={"batch_size": 5}, seed=4)
    assert outcome.results[0].provenance.seed == 4
    config = (outcome.folder / "config.toml").read_text()
    assert "scale = 2.0" in config
    assert "batch_size = 5" in config
    outcome = call(bench, changes={"embedding": {"batch_size": 5}}, embedding={"mirror": False})
    config = (outcome.folder / "config.toml").read_text()
    assert "batch_size = 5" in config
    assert "mirror = false" in config


def test_a_file_is_where_it_starts(bench, tmp_path):
    (tmp_path / "c.toml").write_text('plugin = "tiny"\nseed = 9\n[protocol.toy]\nbias = 3.0\n')
    first = call(bench, config=str(tmp_path / "c.toml"))
    assert first.results[0].subject.plugin == "means"
    assert first.results[0].provenance.seed == 9
    assert first.results[0].metrics[0].value - call(bench).results[0].metrics[0].value == pytest.approx(3.0)


def test_it_is_the_same_run_as_from_the_command_line(bench):
    assert call(bench).folder == bench.run(plugin="means").folder


def test_fresh(bench):
    call(bench)
    assert call(bench).reused == ("toy",)
    assert call(bench, fresh=True).reused == ()


def test_unknown_settings_are_told(bench):
    with pytest.raises(UnknownName, match="unknown option 'sed'; did you mean 'seed'"):
        call(bench, sed=4)


# Evaluations of embeddings that exist.


def test_embeddings_in_hand_give_the_same_metrics_as_a_run(bench, embeddings):
    (result,) = call(bench).results
    found = facebench.evaluate(embeddings, "toy", host=bench.host)
    assert found.metrics == result.metrics
    assert (found.subject.plugin, found.subject.model, found.subject.weights) == ("embeddings", "embeddings", "e" * 16)
    assert (found.subject.embedding_size, found.provenance.device) == (12, "none")
    assert found.data.demo
    assert len(bench.runs) == 1


def test_embeddings_from_a_file(bench, embeddings, tmp_path):
    embeddings.save(tmp_path / "e.npz")
    for path in (tmp_path / "e.npz", str(tmp_path / "e.npz")):
        found = facebench.evaluate(path, "toy", host=bench.host, options={"bias": 1.0})
        assert found.subject.model == "e.npz"
        plain = facebench.evaluate(embeddings, "toy", host=bench.host)
        assert found.metrics[0].value == plain.metrics[0].value + 1
        assert len(found.subject.weights) == 64
    assert facebench.evaluate(embeddings, "toy", host=bench.host, subject="mine").subject.model == "mine"


def test_options_and_seed_count_in_the_fingerprint(bench, embeddings):
    prints = {
        facebench.evaluate(embeddings, "toy", host=bench.host, **more).provenance.config
        for more in ({}, {"seed": 1}, {"options": {"bias": 1.0}})
    }
    assert len(prints) == 3


def test_what_is_missing_is_told(bench, embeddings, tmp_path):
    with pytest.raises(DatasetMissing, match="data for 'toy' not found"):
        facebench.evaluate(embeddings, "toy", host=bench.host, data_root=tmp_path)
    (tmp_path / "toy.txt").write_text("7")
    assert not facebench.evaluate(embeddings, "toy", host=bench.host, data_root=str(tmp_path)).data.demo
    few = Embeddings(keys=embeddings.keys[:5], vectors=embeddings.vectors[:5])
    with pytest.raises(DataError, match="no embedding for"):
        facebench.evaluate(few, "toy", host=bench.host)
    with pytest.raises(UnknownName, match="unknown protocol 'tyo'"):
        facebench.evaluate(embeddings, "tyo", host=bench.host)
    with pytest.raises(UnknownName, match=r"unknown option in 'protocol.toy': 'bais'; did you mean 'bias'"):
        facebench.evaluate(embeddings, "toy", host=bench.host, options={"bais": 1})
    with pytest.raises(DataError, match=r"not an .npz file"):
        facebench.evaluate(tmp_path / "absent.npz", "toy", host=bench.host)


def test_embeddings_without_a_fingerprint_say_so(bench, embeddings):
    bare = Embeddings(keys=embeddings.keys, vectors=embeddings.vectors)
    assert facebench.evaluate(bare, "toy", host=bench.host).subject.weights == "unknown"
