from __future__ import annotations

import numpy as np
from PIL import Image

from facebench.demo import Nuisance, render
from facebench.demo.grid import grid, main


def test_rows_are_people_and_columns_are_pictures():
    sheet = grid([3, 8], 3, nuisance=Nuisance.easy())
    assert sheet.shape == (2 * 116 + 4, 3 * 116 + 4, 3)
    assert np.array_equal(sheet[120:232, 236:348], render([8], [2], nuisance=Nuisance.easy())[0])
    assert np.array_equal(sheet[4:116, 4:116], render([3], [0], nuisance=Nuisance.none())[0])
    assert (sheet[:4] == 255).all()


def test_the_command_writes_a_picture(tmp_path):
    main([str(tmp_path / "faces.png")])
    with Image.open(tmp_path / "faces.png") as picture:
        assert picture.size == (8 * 116 + 4, 6 * 116 + 4)
