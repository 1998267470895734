from __future__ import annotations

import csv
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from toy_generator import SIZE, WIDTH, ColourfulSquares, draw, every

from facebench import Rendered
from facebench.datasets import ImageFolder, RecordImages, TarShards, open_images
from facebench.errors import ConfigError, DataError, FacebenchError
from facebench.generation import Drawing
from facebench.testing import check_dataset

FORMS = {"folder": ImageFolder, "tar": TarShards, "recordio": RecordImages}
SEEN = {"identities.npy", "pictures.csv", "preview.png", "manifest.json"}
PICTURES = {
    "folder": {"images"},
    "tar": {f"shard-{number:05d}.tar" for number in range(4)},
    "recordio": {"train.rec", "train.idx", "property"},
}


def pixels(generator=None):
    """All pictures that the usual generation should hold, and the vectors."""
    squares = generator or ColourfulSquares()
    vectors = squares.identities(7, seed=4, folder=Path(), progress=None).vectors
    blocks = [squares.render(vectors[row : row + 2].copy(), first=row, images=3, seed=4) for row in range(0, 7, 2)]
    return np.concatenate([block.images for block in blocks]), vectors + 1


# What is to be drawn.


@given(st.integers(1, 3000), st.integers(1, 1200), st.integers(0, 40))
def test_blocks_are_all_identities_in_order(identities, images, block):
    drawing = Drawing(identities, images, block=block)
    stretches = [drawing.stretch(number) for number in range(drawing.blocks)]
    assert [who for stretch in stretches for who in stretch] == list(range(identities))
    assert all(len(stretch) == drawing.people for stretch in stretches[:-1])
    if not block:
        assert drawing.people * images <= 1024 or drawing.people == 1
    names = [drawing.keys(number) for number in {0, drawing.blocks - 1}]
    assert all(found == sorted(found) and len(set(map(len, found))) == 1 for found in names)


def test_names_have_room_for_all():
    assert Drawing(1, 1).files(0) == ["000000/000.jpg"]
    last = Drawing(1_000_001, 1001, block=1_000_000, encoding="png", form="tar")
    assert (last.files(1)[-1], last.shard(1)) == ("1000000/1000.png", "shard-00001.tar")
    assert Drawing(200_000, 1024, form="tar").shard(7) == "shard-000007.tar"


@pytest.mark.parametrize(
    "wrong",
    [
        {"identities": 0},
        {"images_per_id": 0},
        {"block": -1},
        {"seed": -1},
        {"quality": 0},
        {"quality": 101},
        {"form": "zip"},
        {"encoding": "gif"},
    ],
)
def test_what_cannot_be_drawn_is_refused(wrong):
    with pytest.raises(ConfigError):
        Drawing(**{"identities": 2, "images_per_id": 2, **wrong})


# What is left in the folder.


@pytest.mark.parametrize("form", FORMS)
def test_each_form_reads_back_as_it_was_drawn(tmp_path, form):
    done = draw(tmp_path / "set", form=form)
    images, vectors = pixels()
    found = open_images(tmp_path / "set")
    check_dataset(found, training=True)
    assert (type(found), found.name) == (FORMS[form], "set")
    assert found.labels.tolist() == np.repeat(np.arange(7), 3).tolist()
    np.testing.assert_array_equal([face.image for face in found], images)
    np.testing.assert_array_equal(np.load(tmp_path / "set" / "identities.npy"), vectors)
    assert {path.name for path in (tmp_path / "set").iterdir()} == SEEN | PICTURES[form]
    assert (done.faces, done.identities, done.reused, done.folder) == (21, 7, False, tmp_path / "set")
    assert done.sampling == {"rejected": 3, "rule": "none"}
    again = draw(tmp_path / "set", ColourfulSquares(left=0), form=form)
    assert again.reused
    assert (again.means, again.sampling) == (done.means, done.sampling)


@pytest.mark.parametrize("form", FORMS)
def test_the_table_tells_of_each_picture_under_its_key(tmp_path, form):
    done = draw(tmp_path / "set", form=form)
    found = open_images(tmp_path / "set")
    with (tmp_path / "set" / "pictures.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["key", "label", "sigma", "similarity", "success", "step"]
    assert [row["key"] for row in rows] == list(found.keys)
    assert [int(row["label"]) for row in rows] == found.labels.tolist()
    noise = [np.random.default_rng((4, row // 3, row % 3)).normal(0, 20, (SIZE, SIZE, 3)).mean() for row in range(21)]
    sigma = np.array(noise).astype(np.float32)
    np.testing.assert_array_equal(np.array([row["sigma"] for row in rows]).astype(np.float32), sigma)
    assert [float(row["similarity"]) for row in rows] == (sigma.astype(np.float64) / 3).tolist()
    assert [row["success"] for row in rows] == [str(int(value > 0)) for value in sigma]
    assert done.means["success"] == done.success == np.mean(sigma > 0)
    assert done.means["similarity"] == pytest.approx(sigma.astype(np.float64).mean() / 3)


def test_the_manifest_says_what_was_drawn_and_by_whom(tmp_path):
    draw(tmp_path, described={"generator": "squares", "checkpoint": "ab" * 32, "options": {"sigmas": (0.3, 0.5)}})
    told = json.loads((tmp_path / "manifest.json").read_text())
    assert told["described"] == {"generator": "squares", "checkpoint": "ab" * 32, "options": {"sigmas": [0.3, 0.5]}}
    assert told["drawing"] == {
        "identities": 7,
        "images_per_id": 3,
        "form": "folder",
        "encoding": "png",
        "block": 2,
        "seed": 4,
    }
    assert (told["schema"], told["faces"], told["size"]) == (1, 21, [SIZE, SIZE])


def test_the_preview_shows_the_first_of_the_first(tmp_path):
    draw(tmp_path / "few")
    draw(tmp_path / "many", identities=20, images_per_id=12)
    with Image.open(tmp_path / "few" / "preview.png") as few, Image.open(tmp_path / "many" / "preview.png") as many:
        assert 7 * 112 < few.height < many.height < 8 * 150 + 60
        assert 3 * 112 < few.width < 10 * 112 < many.width < 10 * 120 + 120
        shown = np.asarray(few)
    images, _ = pixels()
    corner = np.argwhere((shown[:, :, None] == images[0, 0, 0]).all(axis=(2, 3)))[0]
    square = shown[corner[0] : corner[0] + 112, corner[1] : corner[1] + 112]
    np.testing.assert_array_equal(square[::7, ::7], images[0])


def test_jpeg_is_smaller_and_near(tmp_path):
    draw(tmp_path / "jpeg", encoding="jpeg", quality=90)
    found = open_images(tmp_path / "jpeg")
    assert found.encoded(0)[:2] == b"\xff\xd8"
    assert np.abs(np.array([face.image for face in found]).astype(int) - pixels()[0]).mean() < 8


def test_one_identity_and_no_columns(tmp_path):
    class Silent(ColourfulSquares):
        def columns(self, noise):
            return {}

    for form in FORMS:
        done = draw(tmp_path / form, Silent(), identities=1, images_per_id=1, form=form)
        assert (done.means, done.success) == ({}, None)
        assert open_images(tmp_path / form).labels.tolist() == [0]


# Interruptions.


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The bytes of generations that nobody interrupted, by form."""
    found = {}
    for form in FORMS:
        folder = tmp_path_factory.mktemp(form)
        draw(folder, form=form)
        found[form] = every(folder)
    return found


@pytest.mark.parametrize("form", FORMS)
def test_a_generation_that_is_interrupted_goes_on(tmp_path, form, whole):
    asked, drawn = [], 0
    for blocks in (0, 1, 0, 2):
        squares = ColourfulSquares(left=blocks)
        with pytest.raises(KeyboardInterrupt):
            draw(tmp_path, squares, form=form)
        with pytest.raises(DataError, match="no pictures found"):
            open_images(tmp_path)
        asked, drawn = asked + squares.asked, drawn + squares.drawn
    last = ColourfulSquares()
    assert not draw(tmp_path, last, form=form).reused
    assert asked + last.asked == [range(0, 2), range(2, 4), range(4, 6), range(6, 7)]
    assert drawn + last.drawn == 1
    assert every(tmp_path) == whole[form]


KILLED = """
import concurrent.futures, os, pathlib, shutil, sys  # before the fork, once for all
from toy_generator import draw, every

form, base, step = sys.argv[1], pathlib.Path(sys.argv[2]), int(sys.argv[3])
os.fsync = lambda handle: None  # no power is cut here
reference, few = base / "whole", {"form": form, "identities": 3, "images_per_id": 1}
draw(reference, **few)
wanted = every(reference)

def child(act, after):
    process = os.fork()
    if process:
        return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    left = after
    def counted(real):
        def call(*args, **options):
            nonlocal left
            left -= 1
            if left == 0:
                os._exit(9)  # before it is done, without any tidying up
            return real(*args, **options)
        return call
    for name in ("fsync", "replace", "rename", "mkdir", "unlink", "rmdir") if after else ():
        setattr(os, name, counted(getattr(os, name)))
    try:
        act()
    except BaseException as error:
        print(repr(error), file=sys.stderr)
        os._exit(1)
    os._exit(0)

moment, code = 1, 9
while code == 9:
    out = base / "set"
    code = child(lambda: draw(out, **few), moment)
    if code == 9 and moment % 3 == 0:
        assert child(lambda: draw(out, **few), moment // 2 + 1) in (0, 9)
    assert child(lambda: draw(out, **few), 0) == 0, moment
    assert every(out) == wanted, (moment, sorted(every(out)))
    shutil.rmtree(out)
    moment += step
print(moment)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs fork")
@pytest.mark.parametrize("step", [23, pytest.param(1, marks=pytest.mark.slow)])
@pytest.mark.parametrize("form", FORMS)
def test_killed_at_any_moment_it_ends_with_the_same_bytes(tmp_path, form, step):
    done = subprocess.run(
        [sys.executable, "-c", KILLED, form, str(tmp_path), str(step)],
        capture_output=True,
        text=True,
        check=False,
        env={"PYTHONPATH": str(Path(__file__).parents[1] / "helpers"), "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 60


# Folders that hold something else.


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"seed": 5}, "seed is 4 there, 5 here"),
        ({"identities": 8}, "identities is 7 there, 8 here"),
        ({"form": "tar"}, "form is folder there, tar here"),
        ({"encoding": "jpeg"}, "encoding is png there, jpeg here"),
        ({"block": 3}, "block is 2 there, 3 here"),
        ({"described": {"generator": "squares", "options": {"a": 1}}}, r"options\.b is \[2.5\] there, None here"),
        ({"described": {"generator": "other"}}, "generator is squares there, other here"),
    ],
)
@pytest.mark.parametrize("left", [2, 1000])
def test_another_generation_is_refused_and_left_alone(tmp_path, changed, words, left):
    try:
        draw(tmp_path, ColourfulSquares(left=left))
    except KeyboardInterrupt:
        assert left == 2
    before = every(tmp_path)
    with pytest.raises(FacebenchError, match=f"holds other generated faces .*{words}.*choose another folder") as caught:
        draw(tmp_path, **changed)
    assert "\n" not in str(caught.value)
    assert every(tmp_path) == before


@pytest.mark.parametrize("name", ["photo.jpg", "images/ann/1.jpg", "train.rec", "manifest.json", ".generation/notes"])
def test_a_folder_of_other_files_is_refused(tmp_path, name):
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / name).write_text("{}")
    with pytest.raises(FacebenchError, match="choose an empty folder"):
        draw(tmp_path)
    assert list(every(tmp_path)) == [name]


def test_other_files_are_noticed_in_the_middle_too(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        draw(tmp_path, ColourfulSquares(left=2))
    (tmp_path / ".DS_Store").write_text("")
    (tmp_path / "mine.txt").write_text("")
    with pytest.raises(FacebenchError, match=r"holds other files \(mine\.txt\)"):
        draw(tmp_path)
    (tmp_path / "mine.txt").unlink()
    assert draw(tmp_path).faces == 21


def test_a_set_that_lost_a_part_is_no_set(tmp_path):
    draw(tmp_path)
    shutil.rmtree(tmp_path / "images")
    with pytest.raises(FacebenchError, match=r"manifest\.json is there, images is not; delete the folder"):
        draw(tmp_path)


def test_another_version_returns_what_is_whole_but_continues_nothing(tmp_path, monkeypatch):
    draw(tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        draw(tmp_path / "part", ColourfulSquares(left=1))
    monkeypatch.setattr("facebench.generation.place.__version__", "99")
    assert draw(tmp_path / "whole").reused
    with pytest.raises(FacebenchError, match=r"facebench is .* there, 99 here"):
        draw(tmp_path / "part")


def test_a_file_in_the_place_of_the_folder_is_an_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(FacebenchError, match="cannot make the folder"):
        draw(tmp_path / "file")


# Generators that do not keep their word.


def broken(**wrong):
    class Broken(ColourfulSquares):
        def render(self, vectors, /, **asked):
            good = super().render(vectors, **asked)
            parts = {"images": good.images, "vectors": good.vectors, "columns": good.columns}
            return Rendered(**parts | {name: change(parts[name]) for name, change in wrong.items()})

    return Broken()


@pytest.mark.parametrize(
    ("generator", "words"),
    [
        (broken(images=lambda images: images[:-1]), r"pictures uint8 \(5, 16, 16, 3\); expected uint8 \(6, H, W, 3\)"),
        (broken(images=lambda images: images / 2), "pictures float64"),
        (broken(vectors=lambda vectors: vectors[:, 1:]), r"expected finite float32 \(2, 5\)"),
        (broken(vectors=lambda vectors: vectors * np.nan), "expected finite float32"),
        (broken(columns=lambda columns: {"label": columns["sigma"]}), "under another name than key and label"),
        (broken(columns=lambda columns: {"sigma": columns["sigma"][1:]}), r"column 'sigma' of float32 \(5,\)"),
        (broken(columns=lambda columns: {"sigma": np.array([None] * 6)}), "column 'sigma' of object"),
        (broken(columns=lambda columns: {"sigma": columns["sigma"]} if len(columns["sigma"]) > 3 else {}), "one kind"),
    ],
)
def test_what_a_generator_returns_is_checked(tmp_path, generator, words):
    with pytest.raises(DataError, match=words):
        draw(tmp_path, generator)


@pytest.mark.parametrize(
    ("wrong", "words"), [("rows", r"float32 \(6, 5\)"), ("nan", "finite"), ("notes", "plain value")]
)
def test_what_it_draws_is_checked(tmp_path, wrong, words):
    class Wrong(ColourfulSquares):
        def identities(self, count, /, **asked):
            found = super().identities(count, **asked)
            if wrong == "notes":
                return type(found)(found.vectors, {"rate": float("nan")})
            vectors = found.vectors[:-1] if wrong == "rows" else np.full((count, WIDTH), np.inf, np.float32)
            return type(found)(vectors)

    with pytest.raises(DataError, match=words):
        draw(tmp_path, Wrong())


def test_columns_may_lack_values_and_hold_text(tmp_path):
    def columns(given):
        sigma = given["sigma"].copy()
        sigma[0] = np.nan
        return {"sigma": sigma, "pose": np.array([f"to the, {place}" for place in range(len(sigma))])}

    done = draw(tmp_path, broken(columns=columns))
    assert list(done.means) == ["sigma"]
    rows = list(csv.DictReader((tmp_path / "pictures.csv").read_text().splitlines()))
    assert (rows[0]["sigma"], rows[1]["pose"]) == ("nan", "to the, 1")


def test_a_damaged_note_is_named(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        draw(tmp_path, ColourfulSquares(left=2))
    note = next((tmp_path / ".generation" / "blocks").iterdir())
    note.write_bytes(note.read_bytes()[:100])
    with pytest.raises(DataError, match=r"\.npz: the note of a block is damaged .*delete it and run again"):
        draw(tmp_path)
    note.unlink()
    assert draw(tmp_path).faces == 21
