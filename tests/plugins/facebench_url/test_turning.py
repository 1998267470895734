from __future__ import annotations

import pytest
import torch

from facebench.demo import Nuisance, render
from facebench_url.turning import LANDMARKS, turned


def faces(count=12, height=28, width=21, seed=0, dtype=torch.float64):
    draw = torch.Generator().manual_seed(seed)
    return torch.rand(count, 3, height, width, generator=draw, dtype=dtype) * 2 - 1


def demo(count=4):
    pixels = render(range(count), [0] * count, nuisance=Nuisance())
    return torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 127.5 - 1


def test_no_turn_changes_nothing():
    for shape in ((112, 112), (112, 96), (96, 112), (160, 160)):
        images = faces(3, *shape)
        torch.testing.assert_close(turned(images, torch.zeros(3).double()), images, rtol=0, atol=1e-6)


def test_turns_to_either_side_are_mirror_images():
    images, yaw = demo().double(), torch.tensor([40.0, 45.0, 55.0, 60.0], dtype=torch.float64).deg2rad()
    torch.testing.assert_close(turned(images.flip(3), -yaw), turned(images, yaw).flip(3), rtol=0, atol=1e-9)


@pytest.mark.parametrize("degrees", [40.0, 50.0, 60.0, 89.0])
def test_turned_faces_are_finite_and_within_the_range_of_the_face(degrees):
    images = demo()
    found = turned(images, torch.full((4,), degrees).deg2rad())
    assert found.isfinite().all()
    assert found.min() >= images.min() - 1e-5 and found.max() <= images.max() + 1e-5


def spots(places, size=112):
    """A face that is bright at some places, (x, y) from its middle, one channel each."""
    steps = torch.arange(size).double() - (size - 1) / 2
    bells = [torch.exp(-0.125 * ((steps - x) ** 2 + (steps[:, None] - y) ** 2)) for x, y in places]
    return torch.stack(bells)[None]


def centres(found):
    """Column and row of each channel's spot, from the middle."""
    size = found.shape[-1]
    steps = torch.arange(size).double() - (size - 1) / 2
    weight = found[0] * (found[0] > 0.1)
    mass = weight.sum((1, 2))
    return ((weight.sum(1) @ steps) / mass).tolist(), ((weight.sum(2) @ steps) / mass).tolist()


def test_the_nose_moves_to_where_the_face_looks_and_the_near_side_widens():
    left, right, nose = LANDMARKS[:3]
    before, _ = centres(spots([left, nose, right]))
    yaw = torch.tensor([0.7], dtype=torch.float64)
    columns, rows = centres(turned(spots([left, nose, right]), yaw))
    assert columns[1] > before[1] + 5
    # From the nose, the near eye is further off than the far one; their rows hardly move.
    assert columns[1] - columns[0] > 1.5 * abs(columns[2] - columns[1])
    assert abs(rows[0] - left[1]) < 4 and abs(rows[1] - nose[1]) < 4
    columns, _ = centres(turned(spots([left, nose, right]), -yaw))
    assert columns[1] < before[1] - 5
    # Of equally wide stripes the near one is the widest afterwards, and the far one is hidden.
    stripes = torch.zeros(1, 3, 112, 112, dtype=torch.float64)
    for channel, start in enumerate((24, 50, 80)):
        stripes[:, channel, :, start : start + 8] = 1
    near, middle, far = turned(stripes, torch.tensor([0.9], dtype=torch.float64))[0, :, 60].sum(1).tolist()
    assert near > 8 > middle > far and far < 1
