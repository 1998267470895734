from __future__ import annotations

import csv
import dataclasses
import logging
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from processes import run_processes
from toy_training import Interrupted, Stop, WithHoles

from facebench import ConfigError, DataError
from facebench.logs import logged_to
from facebench.testing import TinyLoss, ToyFaces, toy_faces, toy_job
from facebench_url.attributeoptions import AttributeTrainerOptions
from facebench_url.plugin import facebench_losses, facebench_trainers
from facebench_url.tables import read_mined

(LOSS,) = (spec for spec in facebench_losses() if spec.name == "url-attributes")
(TRAINER,) = (spec for spec in facebench_trainers() if spec.name == "url-attributes")
QUICK = {"epochs": 1, "batch_size": 8, "learning_rate": 0.01, "workers": 1, "save_seconds": 0.0}
STEPS = len(toy_faces()) // 8


def table_of(folder, keys, marks, names):
    path = folder / "table.csv"
    lines = [",".join([key, *map(str, row)]) for key, row in zip(keys, marks, strict=True)]
    path.write_text("\n".join([",".join(["path", *names]), *lines]) + "\n")
    return str(path)


def plain_table(folder, names=("smiling", "young")):
    keys = toy_faces().keys
    return table_of(folder, keys, [[index % 2] * len(names) for index in range(len(keys))], names)


def fit(folder, *, attributes=2, loss=None, dataset=None, change=None, told=None, chosen=None, **options):
    known = LOSS.options(**{"attributes": attributes} | (chosen or {}))
    picked = TRAINER.options(**QUICK | options)
    heard = (lambda epoch, values: told.append((epoch, values))) if told is not None else (lambda *_: None)
    job = toy_job(
        folder,
        options=picked,
        dataset=dataset or toy_faces(),
        loss=loss or (lambda classes, size: LOSS.build(classes, size, known)),
        epoch_ended=heard,
    )
    job = dataclasses.replace(job, **(change or {}))
    return TRAINER.build(picked).fit(job)


def test_a_checkpoint_and_a_table(tmp_path):
    told = []
    table, folder = plain_table(tmp_path), tmp_path / "job"
    with logged_to(tmp_path / "run.log"):
        checkpoint = fit(folder, table=table, told=told)
    assert str(folder / "attributes.csv") in (tmp_path / "run.log").read_text(), "who looks for the table finds it"
    assert sorted(path.name for path in folder.iterdir()) == [
        "attributes.csv",
        "checkpoint.json",
        "classes-0.safetensors",
        "classes.json",
        "metrics.csv",
        "weights.safetensors",
    ]
    assert {"attributes", "attribute_accuracy", "confusion", "identity_accuracy"} <= set(told[0][1])
    names, labels = read_mined(folder / "attributes.csv", toy_faces().keys)
    assert names == ("smiling", "young") and labels.shape == (len(toy_faces()), 2)
    assert bool(((labels >= 0) & (labels <= 1)).all()) and len(np.unique(labels)) > 2
    with (folder / "attributes.csv").open() as file:
        rows = list(csv.reader(file))
    assert [row[0] for row in rows] == ["path", *toy_faces().keys]
    assert all(len(cell) == 6 for row in rows[1:] for cell in row[1:])
    before = (folder / "attributes.csv").stat().st_mtime_ns
    assert fit(folder, table=table, told=told) == checkpoint and len(told) == 1
    assert (folder / "attributes.csv").stat().st_mtime_ns == before, "what is finished is not made again"


@pytest.mark.parametrize("at", [2, STEPS, STEPS + 2])
def test_either_part_is_continued(tmp_path, at):
    table = plain_table(tmp_path)
    whole = fit(tmp_path / "whole", table=table)
    with pytest.raises(Interrupted):
        fit(tmp_path / "parts", table=table, change={"progress": Stop(at)})
    assert (tmp_path / "parts" / "checkpoint.json").exists() == (at >= STEPS)
    assert not list((tmp_path / "parts").glob("*attributes*")), "no half of a table is left"
    told = []
    assert fit(tmp_path / "parts", table=table, told=told).sha256 == whole.sha256
    assert len(told) == (at < STEPS)
    one, two = ((tmp_path / name / "attributes.csv").read_bytes() for name in ("whole", "parts"))
    assert one == two


def test_the_head_is_kept_whatever_is_asked_for(tmp_path):
    table, folder = plain_table(tmp_path), tmp_path / "job"
    fit(folder, table=table, keep_classes=False)
    first = (folder / "attributes.csv").read_bytes()
    (folder / "attributes.csv").unlink()
    fit(folder, table=table, keep_classes=False)
    assert (folder / "attributes.csv").read_bytes() == first


def test_another_set_is_labelled(tmp_path):
    pictures = tmp_path / "recognition"
    for key, face in zip(("a/1", "a/2", "b/1"), toy_faces(), strict=False):
        (pictures / key).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(face.image).save(pictures / f"{key}.png")
    table = plain_table(tmp_path)
    fit(tmp_path / "own", table=table)
    fit(tmp_path / "other", table=table, label=str(pictures))
    _, labels = read_mined(tmp_path / "other" / "attributes.csv", ["a/1", "a/2", "b/1"])
    _, own = read_mined(tmp_path / "own" / "attributes.csv", toy_faces().keys)
    np.testing.assert_allclose(labels, own[:3], atol=2e-4)
    with pytest.raises(DataError, match="no such file"):
        fit(tmp_path / "missing", table=table, label=str(tmp_path / "nowhere"))
    assert not (tmp_path / "missing" / "checkpoint.json").exists()


def test_what_cannot_be_read_is_left_out_or_stops(tmp_path, caplog):
    table, holes = plain_table(tmp_path), {1, 9, 10}
    with caplog.at_level(logging.WARNING, logger="facebench"):
        fit(tmp_path / "skip", table=table, dataset=WithHoles(holes), corrupt="skip")
    _, labels = read_mined(tmp_path / "skip" / "attributes.csv", toy_faces().keys)
    assert set(np.flatnonzero(np.isnan(labels[:, 0])).tolist()) == holes
    assert all(any(toy_faces().keys[row] in line for line in caplog.messages) for row in holes)
    with pytest.raises(DataError, match="truncated"):
        fit(tmp_path / "stop", table=table, dataset=WithHoles(holes))


@pytest.mark.parametrize(("has", "names"), [(3, ("smiling", "young")), (2, ("a", "b", "c"))])
def test_another_number_of_attributes_is_refused(tmp_path, has, names):
    match = (
        rf"loss\.attributes is {has}; .* has {len(names)} columns .*{', '.join(names)}.*loss\.attributes={len(names)}"
    )
    with pytest.raises(ConfigError, match=match):
        fit(tmp_path / "job", attributes=has, table=plain_table(tmp_path, names))
    assert not (tmp_path / "job").exists()


def test_without_a_table_or_its_loss_nothing_begins(tmp_path):
    with pytest.raises(ConfigError, match=r"give trainer\.table=FILE"):
        fit(tmp_path / "job")
    with pytest.raises(DataError, match="cannot read the table"):
        fit(tmp_path / "job", table=str(tmp_path / "nowhere.csv"))
    with pytest.raises(ConfigError, match="TinyLoss has none"):
        fit(tmp_path / "job", table=plain_table(tmp_path), loss=TinyLoss)
    assert not (tmp_path / "job").exists()


@pytest.mark.parametrize("values", [{"keep": "best"}, {"ema": 0.9}])
def test_a_network_apart_from_its_head_is_refused(values):
    with pytest.raises(ConfigError, match="keep=last and ema=0"):
        AttributeTrainerOptions(**values)


SHARED = """
import sys
from pathlib import Path
from facebench.ranks import joined
sys.path.insert(0, sys.argv[1])
from test_attributetrainer import fit
folder, table = Path(sys.argv[2]), sys.argv[3]
with joined("cpu"):
    first = fit(folder, table=table)
    assert first == fit(folder, table=table)
    print(first.sha256)
"""


def test_two_processes_leave_one_table(tmp_path):
    table, folder = plain_table(tmp_path), tmp_path / "job"
    one, two = run_processes(SHARED, 2, Path(__file__).parent, folder, table)
    assert one == two and one.strip()
    names, labels = read_mined(folder / "attributes.csv", toy_faces().keys)
    assert names == ("smiling", "young") and bool(np.isfinite(labels).all())
    again = (folder / "attributes.csv").read_bytes()
    (folder / "attributes.csv").unlink()
    fit(folder, table=table)
    assert (folder / "attributes.csv").read_bytes() == again, "one process makes of the checkpoint what two made"


def lit():
    """Faces of four people, whom their colour tells, half of them in brighter light, whoever they are."""
    random = np.random.default_rng(5)
    labels = random.permutation(np.repeat(np.arange(4), 24))
    bright = random.integers(2, size=len(labels))
    tints = 60 * np.array([[1, -1, 0], [-1, 1, 0], [0, 1, -1], [0, -1, 1]])
    means = 128 + tints[labels] + np.where(bright, 30, -30)[:, None]
    pixels = random.normal(means[:, None, None], 30, (len(labels), 112, 112, 3))
    return ToyFaces(np.clip(pixels, 0, 255).astype(np.uint8), labels, 7), bright


def test_it_learns_what_pictures_show_and_forgets_whom(tmp_path):
    faces, bright = lit()
    table = table_of(tmp_path, faces.keys, bright[:, None], ("bright",))
    rival, right = {}, {}
    for weight in (0.0, 1.0):
        told, folder = [], tmp_path / f"{weight:g}"
        chosen = {"adversarial": weight, "rival_rate": 0.05}
        options = {"epochs": 8, "batch_size": 16, "learning_rate": 0.02}
        fit(folder, attributes=1, dataset=faces, table=table, told=told, chosen=chosen, **options)
        _, labels = read_mined(folder / "attributes.csv", faces.keys)
        right[weight] = ((labels[:, 0] > 0.5) == bright).mean()
        rival[weight] = np.mean([values["identity_accuracy"] for _, values in told[-4:]])
    assert min(right.values()) > 0.8
    assert rival[1.0] < rival[0.0] - 0.15
