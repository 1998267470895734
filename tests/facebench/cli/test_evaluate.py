from __future__ import annotations

import json

import numpy as np
import pytest

from facebench import evaluate
from facebench.results import Result


@pytest.fixture
def files(tmp_path):
    """Embeddings of 30 people with four pictures each, a list of pairs, and the scores of a method as CSV."""
    random = np.random.default_rng(0)
    root = tmp_path / "lists"
    root.mkdir()
    centres = random.normal(size=(30, 8))
    keys = [f"p{who}/{shot}" for who in range(30) for shot in range(4)]
    vectors = (np.repeat(centres, 4, axis=0) + 0.8 * random.normal(size=(120, 8))).astype(np.float32)
    np.savez(tmp_path / "mine.npz", keys=keys, vectors=vectors, mirrored=vectors + 0.1)
    lines = []
    for who in range(30):
        for shot in range(3):
            lines.append(f"p{who}/{shot} p{who}/{shot + 1} 1")
            lines.append(f"p{who}/{shot} p{(who + shot + 1) % 30}/{shot} 0")
    (root / "pairs.txt").write_text("\n".join(lines))
    scores = random.normal(np.arange(200) % 2, 0.5)
    text = "\n".join(f"{score},{row % 2}" for row, score in enumerate(scores))
    (tmp_path / "mine.csv").write_text(f"score,same\n{text}\n")
    return tmp_path


def result_of(said):
    assert said.code == 0, said.err
    (document,) = json.loads(said.out)
    return Result.model_validate_json(json.dumps(document))


def test_embeddings_as_python_evaluates_them(call, files):
    said = call("evaluate", files / "mine.npz", "--protocol", "pairs", "--data-root", files / "lists", "--json")
    found = result_of(said)
    expected = evaluate(files / "mine.npz", "pairs", data_root=files / "lists")
    assert found.metrics == expected.metrics
    assert (found.subject, found.data, found.provenance.config) == (
        expected.subject,
        expected.data,
        expected.provenance.config,
    )


@pytest.mark.parametrize("change", ["mirror=none", "protocol.pairs.mirror=none"])
def test_options_of_the_protocol(call, files, change):
    asked = ("evaluate", files / "mine.npz", "--protocol", "pairs", "--data-root", files / "lists", "--json")
    assert result_of(call(*asked, "--set", change)).metrics[0].mirror == "none"


def test_the_words_for_people_and_what_is_kept(call, files):
    asked = ("evaluate", files / "mine.npz", "--protocol", "pairs", "--data-root", files / "lists", "--name", "ours")
    said = call(*asked, "--out", "kept")
    assert said.code == 0
    assert said.out.startswith("pairs: embeddings, ours\n")
    folder = said.out.splitlines()[-1].removeprefix("kept in: ")
    again = call("threshold", folder, "--fmr", "0.1")
    assert again.code == 0
    assert "embeddings, ours on pairs" in again.out


def test_scores(call, files):
    found = result_of(call("evaluate", files / "mine.csv", "--far", "0.1", "--samples", "30", "--json"))
    assert found.protocol == "scores"
    assert {metric.name for metric in found.metrics} == {"auc", "eer", "dprime", "tar@far=1e-1"}
    said = call("evaluate", files / "mine.csv", "--far", "1e-4", "--samples", "0")
    assert "FAR 1e-4 is below what 100 impostor pairs resolve" in said.out


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["mine.npz"], "if these are embeddings, name their protocol with --protocol"),
        (["mine.csv", "--set", "mirror=none"], "--set and --data-root are for embeddings"),
        (["mine.npz", "--protocol", "pairs", "--far", "0.1"], "--far and --samples are for scores"),
        (["mine.npz", "--protocol", "lwf"], "unknown protocol 'lwf'; did you mean 'lfw'?"),
        (
            ["mine.npz", "--protocol", "pairs", "--data-root", "lists", "--set", "mirr=none"],
            "did you mean 'mirror'",
        ),
        (["mine.npz", "--protocol", "pairs", "--data-root", "nowhere"], "nowhere"),
        (["mine.csv", "--protocol", "pairs", "--data-root", "lists"], "not an .npz file of embeddings"),
        (["absent.csv"], "absent.csv"),
    ],
)
def test_what_a_user_can_mend(call, files, monkeypatch, arguments, error):
    monkeypatch.chdir(files)
    said = call("evaluate", *arguments)
    assert (said.code, said.out) == (2, "")
    assert error in said.err
    assert said.err.count("\n") == 1
