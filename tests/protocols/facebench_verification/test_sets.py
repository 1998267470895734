"""Every set in each of its forms on disk, as strangers have it: tiny, but complete."""

from __future__ import annotations

import lzma

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from facebench import ConfigError, DataError, DatasetMissing, Embeddings
from facebench.datasets import write_pack
from facebench.images import encode_png
from facebench.testing import check_dataset
from facebench_verification.lists.rfw import GROUPS
from facebench_verification.plugin import facebench_protocols
from facebench_verification.sets import PLACES

SPECS = {spec.name: spec for spec in facebench_protocols()}
PICTURES = np.random.default_rng(0).integers(0, 256, (80, 112, 112, 3), dtype=np.uint8)


def opened(name, root, *, images=True, **options):
    spec = SPECS[name]
    return spec.build(spec.options(**options)), spec.build(spec.options(**options)).faces(root, images=images)


def evaluated(protocol, faces, *, perfect=False):
    """With vectors that know the identity, or with noise."""
    if perfect:
        vectors = np.eye(int(faces.labels.max()) + 1, dtype=np.float32)[faces.labels]
    else:
        vectors = np.random.default_rng(1).normal(size=(len(faces), 16)).astype(np.float32)
    keys = np.array(faces.keys, dtype=np.str_)
    return protocol.evaluate(Embeddings(keys=keys, vectors=vectors, mirrored=vectors), faces, seed=0)


def saved(root, paths):
    for number, path in enumerate(paths):
        file = root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(encode_png(PICTURES[number % len(PICTURES), :24, :24]))


PACKED = [
    "lfw",
    "cfp-ff",
    "cfp-fp",
    "agedb-30",
    "calfw",
    "cplfw",
    "sllfw",
    "xqlfw",
    "vgg2-fp",
    "hadrian",
    "eclipse",
    "doppelver",
]
SAME = [True, False] * 10


def pack(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    write_pack(path, [encode_png(one[:16, :16]) for one in PICTURES[:40]], SAME)


@pytest.mark.parametrize("name", PACKED)
def test_packs(tmp_path, name):
    """Below the root or in the set's folder, plain, compressed or as an array."""
    for number, file in enumerate(PLACES[name].packs):
        root = tmp_path / str(number)
        path = root / (file if number % 2 else f"{PLACES[name].folders[0]}/{file}")
        if file.endswith(".npy"):
            path.parent.mkdir(parents=True)
            np.save(path, PICTURES[:40, :16, :16].transpose(0, 3, 1, 2))
            (path.parent / "issame.txt").write_text("".join(f"{int(same)}\n" for same in SAME))
        else:
            pack(path)
        protocol, faces = opened(name, root, samples=10)
        check_dataset(faces)
        assert (len(faces), len(faces.pairs), faces.name) == (40, 20, name)
        assert np.array_equal(faces[3].image, PICTURES[3, :16, :16])
        found = evaluated(protocol, faces)
        assert found.counts == {"pairs": 20, "genuine": 10, "impostor": 10}
        assert any("does not say who is shown" in said for said in found.warnings)


def test_a_pack_of_ones_own_choice(tmp_path):
    pack(tmp_path / "elsewhere" / "twins_very_easy.xz")
    assert lzma.open(tmp_path / "elsewhere" / "twins_very_easy.xz").read(1)
    _, faces = opened("hadrian", tmp_path, pairs="elsewhere/twins_very_easy.xz")
    assert len(faces.pairs) == 20


def lfw_list(folds=2, *, count_line=True):
    lines = [f"{folds}\t1"] if count_line else []
    for fold in range(folds):
        lines += [f"P{fold}\t1\t2", f"P{fold}\t1\tQ{fold}\t1"]
    return "\n".join(lines) + "\n"


def lfw_pictures(folds=2):
    return [
        f"{name}/{name}_{n:04d}.png"
        for fold in range(folds)
        for name, n in ((f"P{fold}", 1), (f"P{fold}", 2), (f"Q{fold}", 1))
    ]


def raw_cfp(root):
    people = range(1, 4)
    saved(
        root / "cfp" / "Data" / "Images",
        [
            f"{who:03d}/{kind}/{n:02d}.png"
            for who in people
            for kind, count in (("frontal", 10), ("profile", 4))
            for n in range(1, count + 1)
        ],
    )
    protocol = root / "cfp" / "Protocol"
    protocol.mkdir()
    for name, kind, count in (("F", "frontal", 10), ("P", "profile", 4)):
        rows = [f"{who:03d}/{kind}/{n:02d}.jpg" for who in people for n in range(1, count + 1)]
        (protocol / f"Pair_list_{name}.txt").write_text(
            "".join(f"{n} ../Data/Images/{row}\n" for n, row in enumerate(rows, 1))
        )
    for kind, same, apart in (("FF", "11,12", "10,30"), ("FP", "11,5", "1,12")):
        for fold in range(1, 11):
            place = protocol / "Split" / kind / f"{fold:02d}"
            place.mkdir(parents=True)
            (place / "same.txt").write_text(same)
            (place / "diff.txt").write_text(apart)


def raw_agedb(root):
    base = root / "AgeDB"
    stems = [["1_Ann_20_f", "2_Bob_30_m"], ["3_Ann_50_f", "4_Cy_60_m"]]
    saved(base / "03_Protocol_Images", [f"{stem}.png" for side in stems for stem in side])
    splits = np.empty((10, 1), dtype=object)
    for fold in range(10):
        pictures = np.empty((2, 2), dtype=object)
        for index in np.ndindex(2, 2):
            pictures[index] = {"name": stems[index[0]][index[1]], "age": 20}
        splits[fold, 0] = {"pairs": pictures, "labels": np.array([[1, -1]], dtype=np.int16)}
    savemat(base / "04_FINAL_protocol_30_years.mat", {"splits": splits})


def raw_two_lines(name):
    def make(root):
        people = range(10)
        same = [line for k in people for line in (f"P{k}_0001.png 1", f"P{k}_0002.png 1")]
        apart = [line for k in people for line in (f"P{k}_0001.png 0", f"Q{k}_0001.png 0")]
        base = root / name.lower()
        saved(base / "aligned images", {line.split()[0] for line in (*same, *apart)})
        (base / f"pairs_{name}.txt").write_text("\n".join([*same, *apart]))

    return make


def raw_sllfw(root):
    pairs = [(f"P{k}/P{k}_0001", f"{other}{k}/{other}{k}_0002") for k in range(10) for other in "PQ"]
    saved(root / "lfw" / "lfw", {f"{key}.png" for pair in pairs for key in pair})
    (root / "lfw" / "pair_SLLFW.txt").write_text("".join(f"{one}.jpg\n{two}.jpg\n" for one, two in pairs))


def raw_xqlfw(root):
    base = root / "xqlfw"
    saved(base / "xqlfw_aligned_112", lfw_pictures())
    (base / "xqlfw_pairs.txt").write_text(lfw_list())
    names = [path.split("/")[1][:-4].split("_") for path in lfw_pictures()]
    (base / "xqlfw_scores.txt").write_text("ID Num Score\n" + "".join(f"{who} {int(n)} 0.5\n" for who, n in names))


def raw_pack_list(root):
    saved(root / "vgg2-fp" / "images", ["a/1.png", "a/2.png", "b/1.png"])
    (root / "vgg2-fp" / "vgg2_fp_pairs.txt").write_text("a/1.jpg a/2.jpg 1\na/1.jpg b/1.jpg 0\n" * 10)


RAW = [
    ("cfp-ff", raw_cfp, 20, 10),
    ("cfp-fp", raw_cfp, 20, 10),
    ("agedb-30", raw_agedb, 20, 10),
    ("calfw", raw_two_lines("CALFW"), 20, 10),
    ("cplfw", raw_two_lines("CPLFW"), 20, 10),
    ("sllfw", raw_sllfw, 20, 10),
    ("xqlfw", raw_xqlfw, 4, 2),
    ("vgg2-fp", raw_pack_list, 20, 10),
]


@pytest.mark.parametrize(("name", "make", "pairs", "folds"), RAW, ids=[row[0] for row in RAW])
def test_raw_layouts(tmp_path, name, make, pairs, folds):
    make(tmp_path)
    protocol, faces = opened(name, tmp_path, samples=0)
    check_dataset(faces)
    assert len(faces.pairs) == pairs
    known = faces.pairs.subjects is not None
    found = evaluated(protocol, faces, perfect=known)
    assert len(found.folds["accuracy"]) == folds
    assert (found.metrics[0].name, found.metrics[0].rule) == ("accuracy", "reference")
    if known:
        assert found.metrics[0].value == 1.0
    # Lists alone name the same faces.
    assert opened(name, tmp_path, images=False)[1].keys == faces.keys


def test_quality_is_kept_with_the_scores(tmp_path):
    raw_xqlfw(tmp_path)
    protocol, faces = opened("xqlfw", tmp_path, samples=0)
    assert evaluated(protocol, faces).scores["first_quality"].tolist() == [0.5] * 4


def test_folds_of_the_list_are_used(tmp_path):
    raw_two_lines("CALFW")(tmp_path)
    protocol, faces = opened("calfw", tmp_path, samples=0)
    found = evaluated(protocol, faces)
    assert found.rules["folds"] == "10 folds as the list gives them"
    assert found.scores["same"].tolist() == [True, False] * 10


def test_a_missing_picture_is_told_with_file_and_line(tmp_path):
    raw_cfp(tmp_path)
    (tmp_path / "cfp" / "Data" / "Images" / "002" / "profile" / "01.png").unlink()
    with pytest.raises(DataError, match=r"FP/01/same\.txt, line 1: no picture '002/profile/01' in Images \(1 of 4"):
        opened("cfp-fp", tmp_path)
    opened("cfp-ff", tmp_path)


@pytest.mark.parametrize("name", [name for name in SPECS if name != "pairs"])
def test_nothing_there(tmp_path, name):
    with pytest.raises(DatasetMissing, match="DATA_ROOT") as error:
        opened(name, tmp_path)
    assert "\n" not in str(error.value)


# Photographs with a table of points.


def test_photographs_are_aligned_on_the_fly(tmp_path):
    raw_xqlfw(tmp_path)
    points = "30,40,60,40,45,55,33,70,57,70"
    rows = [f"{path[:-4]}.jpg\t" + points.replace(",", "\t") for path in lfw_pictures()]
    (tmp_path / "points.txt").write_text("\n".join(rows))
    _, plain = opened("xqlfw", tmp_path)
    _, faces = opened("xqlfw", tmp_path, landmarks="points.txt")
    check_dataset(faces)
    assert faces[0].image.shape == (112, 112, 3)
    assert faces.fingerprint != plain.fingerprint
    with pytest.raises(DatasetMissing, match="landmarks"):
        opened("xqlfw", tmp_path, landmarks="nowhere.txt")


def test_packs_are_aligned_already(tmp_path):
    pack(tmp_path / "lfw.bin")
    with pytest.raises(ConfigError, match="holds aligned pictures"):
        opened("lfw", tmp_path, landmarks="points.txt")


# Groups.


def raw_rfw(root):
    for group in GROUPS:
        folder = root / "RFW" / "test"
        saved(folder / "data" / group, lfw_pictures(folds=10))
        lists = folder / "txts" / group
        lists.mkdir(parents=True)
        (lists / f"{group}_pairs.txt").write_text(lfw_list(10, count_line=False))


def test_groups_from_lists(tmp_path):
    raw_rfw(tmp_path)
    protocol, faces = opened("rfw", tmp_path, samples=0)
    check_dataset(faces)
    assert len(faces) == 4 * 30
    found = evaluated(protocol, faces)
    groups = {group: next(one for one in found.metrics if one.name == f"accuracy/{group}").value for group in GROUPS}
    values = np.array(list(groups.values()))
    by_name = {(one.name, one.rule, one.mirror): one for one in found.metrics}
    overall = by_name["accuracy", "reference", "sum"]
    assert found.metrics[0] == overall
    assert overall.value == pytest.approx(values.mean())
    assert overall.detail == groups
    assert by_name["accuracy-group-std", "reference", "sum"].value == pytest.approx(values.std(ddof=1))
    assert by_name["accuracy-group-gap", "reference", "sum"].value == pytest.approx(values.max() - values.min())
    ratio = by_name["error-ratio", "reference", "sum"].value
    assert ratio == pytest.approx((1 - values.min()) / (1 - values.max()))
    assert [line.name for line in found.curves[0].series] == list(GROUPS)
    assert found.scores["group"].tolist() == [group for group in GROUPS for _ in range(20)]
    assert found.scores["fold"].tolist() == np.tile(np.repeat(np.arange(10), 2), 4).tolist()
    assert found.scores["fold"].dtype == np.int64


def test_each_group_has_thresholds_of_its_own(tmp_path):
    """Scores of one group are all above those of the others; one threshold for all would fail."""
    raw_rfw(tmp_path)
    protocol, faces = opened("rfw", tmp_path, samples=0, mirror="none")
    random = np.random.default_rng(0)
    identity = np.eye(int(faces.labels.max()) + 1)[faces.labels]
    shared = np.array([[0.0 if key.startswith("Asian") else 5.0] for key in faces.keys])
    vectors = np.hstack([identity + random.normal(size=identity.shape) * 1e-3, shared]).astype(np.float32)
    found = protocol.evaluate(Embeddings(keys=np.array(faces.keys), vectors=vectors), faces, seed=0)
    assert found.metrics[0].value == 1.0
    assert next(one for one in found.metrics if one.name == "error-ratio").reason is not None


def test_groups_from_packs(tmp_path):
    for group in GROUPS:
        pack(tmp_path / "rfw" / f"{group}_test.bin")
    protocol, faces = opened("rfw", tmp_path, samples=0)
    check_dataset(faces)
    assert len(faces.pairs) == 80
    assert faces.keys[0].startswith("African/")
    assert evaluated(protocol, faces).counts["pairs/Indian"] == 20


def test_a_group_of_one_kind_only(tmp_path):
    raw_rfw(tmp_path)
    (tmp_path / "RFW" / "test" / "txts" / "Asian" / "Asian_pairs.txt").write_text("P0\t1\t2\n" * 12)
    with pytest.raises(DataError, match="all 12 pairs show the same person"):
        opened("rfw", tmp_path)


def test_the_pictures_are_those_that_were_saved(tmp_path):
    raw_rfw(tmp_path)
    _, faces = opened("rfw", tmp_path)
    with Image.open(tmp_path / "RFW" / "test" / "data" / "Indian" / "P3" / "P3_0002.png") as picture:
        assert np.array_equal(faces[faces.keys.index("Indian/P3/P3_0002")].image, np.asarray(picture))
