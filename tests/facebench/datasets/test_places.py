from __future__ import annotations

import pytest

from facebench.datasets import faces_below
from facebench.errors import DatasetMissing


def found(root, chosen=""):
    return faces_below(root, chosen, protocol="shapes", how_to_get="name some faces")


def test_what_the_user_names_wins(tmp_path):
    for name in ("lfw_112x112", "mine"):
        (tmp_path / name).mkdir()
    assert found(tmp_path, "mine") == tmp_path / "mine"
    assert found(tmp_path, str(tmp_path / "mine")) == tmp_path / "mine"
    assert found(tmp_path) == tmp_path / "lfw_112x112"


def test_the_folder_lfw_comes_first(tmp_path):
    (tmp_path / "lfw").mkdir()
    for place in (tmp_path / "lfw.bin", tmp_path / "lfw" / "lfw.tar"):
        place.touch()
    assert found(tmp_path) == tmp_path / "lfw" / "lfw.tar"


@pytest.mark.parametrize(("chosen", "told"), [("", "lfw/lfw_112x112.tar"), ("mine", "mine")])
def test_every_place_that_was_tried_is_told(tmp_path, chosen, told):
    with pytest.raises(DatasetMissing, match=f"(?s)shapes.*{told}.*name some faces"):
        found(tmp_path, chosen)
