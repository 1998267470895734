from __future__ import annotations

import struct
import zlib

import numpy as np
import pytest
from scipy import io

from facebench import DataError
from facebench_tinyface.lists import read_lists

NAMES = {"probe": "probe_img_ID_pairs.mat", "gallery": "gallery_match_img_ID_pairs.mat"}


def lists_of(bare, **entries):
    bare.lists(**entries)
    folder = bare.base / "Testing_Set"
    return folder / NAMES["probe"], folder / NAMES["gallery"]


def cells(values):
    array = np.empty((len(values), 1), dtype=object)
    array[:, 0] = values
    return array


def test_keys_hold_the_folder_and_ids_are_the_lists(bare):
    probes, gallery = read_lists(*lists_of(bare))
    assert probes.keys.tolist() == ["Probe/1_1", "Probe/5_1", "Probe/5_2", "Probe/7_3"]
    assert gallery.keys.tolist() == ["Gallery_Match/1_4", "Gallery_Match/5_1", "Gallery_Match/5_9", "Gallery_Match/7_1"]
    assert probes.ids.tolist() == [1, 2, 2, 3]
    assert gallery.ids.dtype == np.int64


@pytest.mark.data
def test_the_real_lists(real_data):
    folder = real_data / "protocols"
    probes, gallery = read_lists(folder / f"tinyface_{NAMES['probe']}", folder / f"tinyface_{NAMES['gallery']}")
    assert (len(probes), len(np.unique(probes.ids))) == (3728, 2563)
    assert (len(gallery), len(np.unique(gallery.ids))) == (4443, 2569)
    assert probes.keys[10] == "Probe/5_11"
    assert probes.ids[10] == 3
    assert np.isin(probes.ids, gallery.ids).all()


def test_one_number_of_the_lists_with_two_of_the_names(bare):
    probe, gallery = lists_of(bare, probes=[("1_1.jpg", 1), ("5_1.jpg", 2), ("7_2.jpg", 2)])
    with pytest.raises(
        DataError, match=r"row 3: identity 2 is 'Gallery_Match/5_1' elsewhere and 'Probe/7_2' here"
    ) as error:
        read_lists(probe, gallery)
    assert str(probe) in str(error.value)


def test_one_number_of_the_names_with_two_of_the_lists(bare):
    probe, gallery = lists_of(bare, gallery=[("1_4.jpg", 1), ("5_1.jpg", 2), ("5_9.jpg", 4)])
    with pytest.raises(
        DataError, match=r"row 3: 'Gallery_Match/5_9' has identity 4, but 'Gallery_Match/5_1' has 2"
    ) as error:
        read_lists(probe, gallery)
    assert str(gallery) in str(error.value)


def test_a_probe_without_a_mate(bare):
    with pytest.raises(DataError, match=r"row 4: nobody in .* has identity 3 of 'Probe/7_3' \(1 of 4 probes"):
        read_lists(*lists_of(bare, gallery=[("1_4.jpg", 1), ("5_1.jpg", 2)]))


def test_a_picture_listed_twice(bare):
    with pytest.raises(DataError, match="lists 'Probe/1_1' more than once"):
        read_lists(*lists_of(bare, probes=[("1_1.jpg", 1), ("1_1.png", 1)]))


@pytest.mark.parametrize("name", ["../1_1.jpg", "1_a/b.jpg", "1_1.txt", "one_1.jpg", "1.jpg", "", "1_\\x.jpg"])
def test_names_that_are_no_pictures(bare, name):
    with pytest.raises(DataError, match=r"row 2: probe_set must hold names like"):
        read_lists(*lists_of(bare, probes=[("1_1.jpg", 1), (name, 1)]))


@pytest.mark.parametrize("who", [-1, 1.5, float("nan"), float("inf"), 2.0**60])
def test_identities_that_are_no_numbers_of_people(bare, who):
    with pytest.raises(DataError, match=r"row 2: probe_ids must hold whole numbers"):
        read_lists(*lists_of(bare, probes=[("1_1.jpg", 1), ("1_2.jpg", who)]))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"probe_ids": np.ones((1, 1))}, "no variable 'probe_set'; found probe_ids"),
        ({"probe_set": cells(["1_1.jpg"])}, "no variable 'probe_ids'; found probe_set"),
        (
            {"probe_set": np.ones((1, 1)), "probe_ids": np.ones((1, 1))},
            "must be a cell and numbers; found double and double",
        ),
        ({"probe_set": cells(["1_1.jpg"]), "probe_ids": cells([1])}, "must be a cell and numbers; found cell and cell"),
        (
            {"probe_set": cells(["1_1.jpg"]), "probe_ids": np.ones((2, 1))},
            r"must be \(N, 1\) both; found \(1, 1\) and \(2, 1\)",
        ),
        ({"probe_set": cells(["1_1.jpg"] * 4).reshape(2, 2), "probe_ids": np.ones((2, 2))}, r"must be \(N, 1\) both"),
        (
            {"probe_set": cells([3.0]), "probe_ids": np.ones((1, 1))},
            "row 1: probe_set must hold names .* no text but ndarray",
        ),
        ({"probe_set": cells([{"a": 1}]), "probe_ids": np.ones((1, 1))}, "row 1: probe_set must hold names"),
        ({"probe_set": cells(["1_1.jpg"]), "probe_ids": np.ones((1, 1)) * 1j}, "probe_ids must hold whole numbers"),
    ],
)
def test_other_variables_than_expected(bare, content, said):
    probe, gallery = lists_of(bare)
    io.savemat(probe, content)
    with pytest.raises(DataError, match=said) as error:
        read_lists(probe, gallery)
    assert str(probe) in str(error.value)
    assert "\n" not in str(error.value)


def damaged(content: bytes):
    yield b""
    yield b"not a MATLAB file, but more than 128 bytes of something else, " * 4
    yield content[:200]
    yield content[:-7]
    yield content[:140] + bytes(64) + content[204:]
    yield content[:124] + b"\x00\x02IM" + content[128:]  # version 2: HDF5
    bomb = zlib.compress(bytes(1 << 20))
    yield content[:128] + struct.pack("<II", 15, len(bomb)) + bomb


@pytest.mark.parametrize("case", range(7))
def test_damaged_files(bare, case):
    probe, gallery = lists_of(bare)
    probe.write_bytes(list(damaged(probe.read_bytes()))[case])
    with pytest.raises(DataError) as error:
        read_lists(probe, gallery)
    assert str(probe) in str(error.value)
    assert "\n" not in str(error.value)


def test_flipped_bytes_never_raise_anything_else(bare):
    probe, gallery = lists_of(bare)
    content = probe.read_bytes()
    refused = 0
    for place in range(0, len(content), 7):
        probe.write_bytes(content[:place] + bytes([content[place] ^ 0x55]) + content[place + 1 :])
        try:
            read_lists(probe, gallery)
        except DataError:
            refused += 1
    assert refused > 10


def test_a_file_too_large_to_be_a_list(bare):
    probe, gallery = lists_of(bare)
    with probe.open("ab") as file:
        file.truncate(2 << 20)
    with pytest.raises(DataError, match="2,097,152 bytes, but TinyFace's lists have some 20,000"):
        read_lists(probe, gallery)


def test_other_variables_are_not_read(bare):
    probe, gallery = lists_of(bare)
    found = {key: value for key, value in io.loadmat(probe).items() if not key.startswith("__")}
    io.savemat(probe, {**found, "notes": {"deep": np.ones(3)}})
    assert len(read_lists(probe, gallery)[0]) == 4
