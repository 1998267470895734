from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from facebench import DataError, DatasetMissing, Embeddings
from facebench.datasets import write_pack
from facebench.embed import embed
from facebench.progress import Bars
from facebench_verification.options import PairsOptions, VerificationOptions
from facebench_verification.protocol import Verification
from facebench_verification.sources import LFW, OWN, is_pack, look

LIST = "2 1\nAnn 1 2\nAnn 1 Bob 1\nBob 1 2\nBob 2 Ann 2\n"
KEYS = ["Ann/Ann_0001", "Ann/Ann_0002", "Bob/Bob_0001", "Bob/Bob_0002"]


def picture(path, number):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(number).integers(0, 255, (8, 8, 3), dtype=np.uint8)).save(path)
    return path.read_bytes()


def pictures(folder):
    return [picture(folder / f"{key}.png", number) for number, key in enumerate(KEYS)]


def tarred(path):
    import shutil

    pictures(path.with_suffix(""))
    shutil.make_archive(str(path.with_suffix("")), "tar", path.parent, path.stem)
    shutil.rmtree(path.with_suffix(""))


def lfw(root, **chosen):
    return Verification(LFW, VerificationOptions(**chosen), folds=2).faces(root)


# Every place that is looked in.


@pytest.mark.parametrize("folder", LFW.folders)
@pytest.mark.parametrize("name", [name for name in LFW.packs if not name.endswith(".npy")])
def test_packs(tmp_path, folder, name):
    a, b, c, d = pictures(tmp_path / "elsewhere")
    (tmp_path / folder).mkdir(exist_ok=True)
    write_pack(tmp_path / folder / name, [a, b, a, c, c, d, d, b], [True, False, True, False])
    assert look(LFW, tmp_path).pack == tmp_path / folder / name
    assert len(lfw(tmp_path)) == 4


@pytest.mark.parametrize("folder", LFW.folders)
@pytest.mark.parametrize("images", LFW.images)
def test_lists_with_pictures_beside_them(tmp_path, folder, images):
    base = tmp_path / folder
    base.mkdir(exist_ok=True)
    (base / "pairs.txt").write_text(LIST)
    (tarred if images.endswith(".tar") else pictures)(base / images)
    found = look(LFW, tmp_path)
    assert (found.pairs, found.images) == (base / "pairs.txt", base / images)
    faces = lfw(tmp_path)
    assert faces.keys == KEYS
    assert faces.name == "lfw"


def test_pictures_in_the_folder_of_the_list_itself(tmp_path):
    """As LFW unpacks: pairs.txt and one folder for each person, side by side."""
    pictures(tmp_path / "lfw")
    (tmp_path / "lfw" / "pairs.txt").write_text(LIST)
    assert lfw(tmp_path).keys == KEYS


def test_pictures_at_the_root_of_a_list_in_a_folder(tmp_path):
    pictures(tmp_path / "lfw_112x112")
    (tmp_path / "lfw").mkdir()
    (tmp_path / "lfw" / "pairs.txt").write_text(LIST)
    assert look(LFW, tmp_path).images == tmp_path / "lfw_112x112"


def test_a_pack_goes_before_lists_unless_the_user_chooses(tmp_path):
    a, b, c, d = pictures(tmp_path / "lfw" / "lfw_112x112")
    (tmp_path / "lfw" / "pairs.txt").write_text(LIST)
    write_pack(tmp_path / "lfw" / "lfw.bin", [a, b, c, d], [True, False])
    assert look(LFW, tmp_path).pack is not None
    assert look(LFW, tmp_path, images="lfw/lfw_112x112").pack is None
    assert len(lfw(tmp_path, pairs="lfw/pairs.txt").pairs) == 4
    assert len(lfw(tmp_path, pairs="lfw/lfw.bin").pairs) == 2
    assert len(lfw(tmp_path, pairs=str(tmp_path / "lfw" / "lfw.bin")).pairs) == 2


def test_lists_are_enough_when_no_pictures_are_needed(tmp_path):
    (tmp_path / "pairs.txt").write_text(LIST)
    assert look(LFW, tmp_path, need_images=False).images is None
    assert Verification(LFW, VerificationOptions(), folds=2).faces(tmp_path, images=False).keys == KEYS


@pytest.mark.parametrize("name", ["pairs.txt", "pairs_label.txt"])
@pytest.mark.parametrize("folder", OWN.folders)
def test_a_list_of_ones_own(tmp_path, folder, name):
    base = tmp_path / folder
    base.mkdir(exist_ok=True)
    for number, key in enumerate("abcd"):
        picture(base / "images" / f"{key}.png", number)  # flat, without a folder for each person
    (base / name).write_text("a.png b.png 1\nc d 0\n")
    faces = Verification(OWN, PairsOptions(folds=2), folds=2).faces(tmp_path)
    assert faces.keys == list("abcd")


def test_a_list_and_pictures_named_by_options(tmp_path):
    pictures(tmp_path / "some" / "where")
    (tmp_path / "mine.lst").write_text(LIST)
    chosen = PairsOptions(pairs="mine.lst", images="some/where", folds=2)
    assert Verification(OWN, chosen, folds=2).faces(tmp_path).keys == KEYS


@pytest.mark.parametrize(("name", "pack"), [("a.bin", True), ("a.bin.xz", True), ("a.txt", False), ("bin", False)])
def test_what_is_a_pack(name, pack):
    assert is_pack(name) is pack


# What is missing.


def test_nothing_there_lists_every_place_and_how_to_get_it(tmp_path):
    with pytest.raises(DatasetMissing) as error:
        look(LFW, tmp_path)
    said = str(error.value)
    for place in ("lfw/lfw.bin", "lfw/pairs.txt", "LFW/lfw.bin.xz", "lfw.bin", "pairs.txt"):
        assert str(tmp_path / place) in said
    assert said.startswith("data for 'lfw' not found; looked for ")
    assert said.endswith(LFW.how_to_get)
    assert "\n" not in said


@pytest.mark.parametrize("beside", ["people.txt", "README"])
def test_a_list_without_pictures_says_where_they_may_lie(tmp_path, beside):
    (tmp_path / "lfw").mkdir()
    (tmp_path / "lfw" / "pairs.txt").write_text(LIST)
    (tmp_path / "lfw" / beside).write_text("")
    with pytest.raises(DatasetMissing, match=r"lfw_112x112.tar.*below DATA_ROOT/lfw") as error:
        look(LFW, tmp_path)
    assert str(tmp_path / "lfw" / "lfw_112x112") in str(error.value)


@pytest.mark.parametrize("chosen", [{"pairs": "absent.txt"}, {"pairs": "absent.bin"}, {"images": "absent"}])
def test_what_the_user_names_must_be_there(tmp_path, chosen):
    (tmp_path / "pairs.txt").write_text(LIST)
    name = next(iter(chosen.values()))
    with pytest.raises(DatasetMissing, match=f"looked for {tmp_path / name}; correct the option that names it"):
        look(LFW, tmp_path, **chosen)


def test_an_absent_picture_is_told_with_file_and_line(tmp_path):
    pictures(tmp_path / "lfw" / "lfw_112x112")
    (tmp_path / "lfw" / "lfw_112x112" / "Bob" / "Bob_0001.png").unlink()
    path = tmp_path / "lfw" / "pairs.txt"
    path.write_text(LIST)
    with pytest.raises(DataError) as error:
        lfw(tmp_path)
    assert str(error.value).startswith(f"{path}, line 3: no picture 'Bob/Bob_0001' in lfw_112x112 (1 of 4")


# A pack and the list it was made from.


def test_a_pack_of_repeated_pictures_gives_the_numbers_of_the_list(tmp_path, monkeypatch):
    class Corners:
        """Embeds pictures as their corner pixels, and counts them."""

        embedding_size, fingerprint, notes, seen = 12, "c" * 64, {}, 0

        def __init__(self):
            from facebench import Preprocess

            self.preprocess = Preprocess(size=(8, 8))

        def embed(self, images, /):
            from facebench import Features

            self.seen += len(images)
            return Features(images[:, ::7, ::7].reshape(len(images), -1).astype(np.float32) - 127)

    random = np.random.default_rng(1)
    people, shots = 6, 3
    keys = [f"P{who}/P{who}_{shot:04d}" for who in range(people) for shot in range(1, shots + 1)]
    files = dict(zip(keys, (picture(tmp_path / "images" / f"{key}.png", n) for n, key in enumerate(keys)), strict=True))
    lines, unrolled, same = [], [], []
    for _ in range(60):
        a, b = random.choice(len(keys), 2, replace=False)
        lines.append(f"{keys[a]} {keys[b]} {int(a // shots == b // shots)}")
        unrolled += [files[keys[a]], files[keys[b]]]
        same.append(bool(a // shots == b // shots))
    (tmp_path / "pairs.txt").write_text("\n".join(lines))
    write_pack(tmp_path / "pairs.bin.xz", unrolled, same)
    found = []
    for name in ("pairs.txt", "pairs.bin.xz"):
        embedder = Corners()
        protocol = Verification(OWN, PairsOptions(pairs=name, samples=20, far=(0.1,)), folds=5)
        faces = protocol.faces(tmp_path)
        made = embed(
            embedder,
            faces,
            folder=tmp_path / "cache" / name,
            batch_size=4,
            workers=1,
            mirror=True,
            progress=Bars(quiet=True),
        )
        assert embedder.seen == 2 * len(faces) <= 2 * len(keys) < len(unrolled)
        found.append(protocol.evaluate(made.embeddings, faces, seed=0))
    listed, packed = found
    assert [m.value for m in listed.metrics] == [m.value for m in packed.metrics]
    np.testing.assert_array_equal(listed.scores["score"], packed.scores["score"])
    assert isinstance(made.embeddings, Embeddings)
