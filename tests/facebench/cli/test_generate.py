from __future__ import annotations

import json

import pytest

from facebench.datasets import open_images

MAKE = ("generate", "--plugin", "maker")


def test_it_says_what_was_drawn_and_where_it_lies(toys, call, tmp_path):
    said = call(*MAKE, "--identities", 4, "--images-per-id", 5, "--out", "faces")
    assert (said.code, said.err) == (0, "")
    lines = said.out.splitlines()
    assert lines[0].split(maxsplit=1) == ["faces:", "20 of 4 identities"]
    assert {"rejected:", "folder:", "preview:", "checkpoint:"} < {line.split()[0] for line in lines}
    faces = open_images(tmp_path / "work" / "faces")
    assert (len(faces), faces.num_classes) == (20, 4)
    again = call(*MAKE, "--identities", 4, "--images-per-id", 5, "--out", "faces")
    assert again.out.splitlines()[0].endswith("20 of 4 identities (reused)")


@pytest.mark.parametrize(("form", "left"), [("tar", "shard-00000.tar"), ("recordio", "train.rec")])
def test_other_forms(toys, call, tmp_path, form, left):
    assert call(*MAKE, "--form", form, "--out", "faces").code == 0
    assert (tmp_path / "work" / "faces" / left).is_file()
    assert len(open_images(tmp_path / "work" / "faces")) == 12


def test_json_is_one_document(toys, call):
    said = call(*MAKE, "--out", "faces", "--json")
    document = json.loads(said.out)
    assert said.err == ""
    assert (document["faces"], document["identities"], document["reused"]) == (12, 3, False)
    assert document["sampling"] == {"rejected": 0}
    assert document["means"] == {"sigma": 15.0}
    assert json.loads(call(*MAKE, "--out", "faces", "--json").out)["reused"]


def test_quiet_says_nothing(toys, call):
    said = call(*MAKE, "--out", "faces", "--quiet")
    assert (said.code, said.out, said.err) == (0, "", "")


def test_weights_need_no_training_data(toys, call):
    checkpoint = json.loads(call("train", "--plugin", "maker", "--json").out)["checkpoint"]
    trained = len(toys.told)
    said = json.loads(call(*MAKE, "--weights", checkpoint, "--out", "faces", "--json").out)
    assert said["checkpoint"] == checkpoint
    assert len(toys.told) == trained


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--plugin", "tiny"), "unknown generator 'tiny'; offered: maker; it is one of the trainers"),
        (
            ("--plugin", "maker", "--identities", "0"),
            "generation.identities = 0: input should be greater than or equal",
        ),
        (("--plugin", "maker", "--weights", "nowhere"), "weights nowhere: a generator is loaded from the folder"),
        (("--plugin", "maker", "--set", "generation.blok=3"), "unknown option in 'generation': 'blok'"),
    ],
)
def test_what_is_wrong_is_one_line_and_leaves_nothing(toys, call, tmp_path, arguments, said):
    found = call("generate", *arguments, "--out", "faces")
    assert (found.code, found.out) == (2, "")
    assert found.err.startswith(f"facebench: {said}")
    assert found.err.count("\n") == 1
    assert not (tmp_path / "work" / "faces").exists()


def test_a_folder_of_something_else_is_left_alone(toys, call, tmp_path):
    other = tmp_path / "work" / "faces" / "mine.txt"
    other.parent.mkdir()
    other.write_text("mine")
    found = call(*MAKE, "--out", "faces")
    assert (found.code, found.err.count("\n")) == (2, 1)
    assert [path.name for path in other.parent.iterdir()] == ["mine.txt"]


def test_out_must_be_said(toys, call):
    assert call(*MAKE).code == 2
