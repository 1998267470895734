from __future__ import annotations

import json
import struct
import tarfile
import zlib
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from facebench.errors import ConfigError, DataError
from facebench.images import (
    MAX_PIXELS,
    TEMPLATE,
    align,
    decode,
    encode_jpeg,
    encode_png,
    fit_to,
    mirror,
    similarity_transform,
    template,
)

GOLDEN = Path(__file__).parents[1] / "golden" / "protocols.json"


def smooth(height: int, width: int) -> np.ndarray:
    """A picture without edges, different in each channel."""
    y, x = np.mgrid[:height, :width]
    channels = [127 + 100 * np.sin(x / 17 + y / (23 + 5 * c) + c) for c in range(3)]
    return np.stack(channels, axis=-1).round().astype(np.uint8)


def saved(image: np.ndarray | Image.Image, form: str, **options: object) -> bytes:
    picture = Image.fromarray(image) if isinstance(image, np.ndarray) else image
    buffer = BytesIO()
    picture.save(buffer, format=form, **options)
    return buffer.getvalue()


def moved(right: float, down: float) -> np.ndarray:
    """The template's points elsewhere."""
    return np.array(TEMPLATE) + np.array([right, down])


JPEG = encode_jpeg(smooth(40, 30))


@pytest.mark.parametrize("form", ["PNG", "PPM", "BMP"])
def test_lossless_formats_return_the_pixels(form: str) -> None:
    image = smooth(20, 31)
    np.testing.assert_array_equal(decode(saved(image, form), name="x"), image)
    np.testing.assert_array_equal(decode(saved(image, "WEBP", lossless=True), name="x"), image)


def test_jpeg_gives_the_pixels_that_pillow_gives() -> None:
    data = saved(smooth(112, 112), "JPEG", quality=90)
    found = decode(data, name="x")
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, np.asarray(Image.open(BytesIO(data))))


def test_encoders_round_trip() -> None:
    image = smooth(16, 24)
    np.testing.assert_array_equal(decode(encode_png(image), name="x"), image)
    assert np.abs(decode(encode_jpeg(image, quality=100), name="x").astype(int) - image).max() <= 3


@pytest.mark.parametrize("form", ["JPEG", "PNG", "PPM", "BMP"])
def test_grey_becomes_three_equal_channels(form: str) -> None:
    grey = smooth(12, 10)[:, :, 0]
    found = decode(saved(grey, form, **({"quality": 100} if form == "JPEG" else {})), name="x")
    assert found.shape == (12, 10, 3)
    assert (found == found[:, :, :1]).all()
    assert np.abs(found[:, :, 0].astype(int) - grey).max() <= (2 if form == "JPEG" else 0)


def test_sixteen_bits_keep_the_upper_eight() -> None:
    deep = np.array([[0x00FF, 0x1234, 0xFFFF]], dtype=np.uint16)
    for data in (saved(deep, "PNG"), b"P5 3 1 65535\n" + deep.byteswap().tobytes()):
        np.testing.assert_array_equal(decode(data, name="x")[0, :, 1], [0x00, 0x12, 0xFF])


def test_alpha_and_palettes_become_plain_colours() -> None:
    rgba = np.dstack([smooth(6, 6), np.full((6, 6), 10, np.uint8)])
    np.testing.assert_array_equal(decode(saved(rgba, "PNG"), name="x"), rgba[:, :, :3])
    palette = Image.new("P", (3, 2))
    palette.putpalette([200, 100, 50] + [0] * 765)
    found = decode(saved(palette, "PNG", transparency=bytes([7, 255])), name="x")
    np.testing.assert_array_equal(found, np.full((2, 3, 3), [200, 100, 50]))


def test_cmyk_jpeg_is_converted() -> None:
    cmyk = Image.new("CMYK", (8, 8), (0, 255, 255, 0))  # full magenta and yellow: red
    red = decode(saved(cmyk, "JPEG", quality=95), name="x")[4, 4]
    assert red[0] > 230
    assert red[1] < 60
    assert red[2] < 60


def test_the_orientation_note_is_ignored() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees
    for form in ("JPEG", "PNG"):
        assert decode(saved(smooth(20, 30), form, exif=exif), name="x").shape == (20, 30, 3)


@pytest.mark.parametrize("part", [0.1, 0.5, 0.9, 0.99])
@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "PPM", "BMP"])
def test_truncated_pictures_are_errors_that_name_the_picture(form: str, part: float) -> None:
    data = saved(np.random.default_rng(0).integers(0, 255, (60, 60, 3), dtype=np.uint8), form)
    with pytest.raises(DataError, match=r"set\.tar: Ann/Ann_0001"):
        decode(data[: int(len(data) * part)], name="set.tar: Ann/Ann_0001")


@pytest.mark.parametrize("data", [b"", b"<html>404</html>", b"GIF89a" + bytes(50), b"\xff\xd8\xff", bytes(100)])
def test_what_is_no_picture_is_an_error(data: bytes) -> None:
    with pytest.raises(DataError, match="who"):
        decode(data, name="who")


def bombs() -> dict[str, bytes]:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    data = chunk(b"IDAT", zlib.compress(bytes(1000)))
    frame = JPEG.index(b"\xff\xc0")
    return {
        "png": b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 60000, 60000, 8, 2, 0, 0, 0)) + data,
        "png just above": b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", 8193, 8192, 8, 2, 0, 0, 0))
        + data,
        "jpeg": JPEG[: frame + 5] + struct.pack(">HH", 65000, 65000) + JPEG[frame + 9 :],
        "pgm": b"P5 100000 100000 255\n" + bytes(100),
    }


@pytest.mark.parametrize("kind", list(bombs()))
def test_decompression_bombs_are_refused_by_their_header(kind: str) -> None:
    with pytest.raises(DataError, match=r"claims .*limit"):
        decode(bombs()[kind], name="bomb")


@settings(max_examples=150, deadline=None)
@given(
    form=st.sampled_from(["JPEG", "PNG", "WEBP", "PPM", "BMP"]),
    edits=st.lists(st.tuples(st.integers(0, 2**16), st.integers(0, 255)), max_size=8),
    cut=st.integers(0, 400),
)
def test_damaged_pictures_decode_or_are_data_errors(form: str, edits: list[tuple[int, int]], cut: int) -> None:
    data = bytearray(saved(smooth(16, 16), form))
    for place, value in edits:
        data[place % len(data)] = value
    try:
        found = decode(bytes(data[: len(data) - cut % len(data)]), name="x")
    except DataError:
        return
    assert found.ndim == 3
    assert found.shape[2] == 3
    assert found.shape[0] * found.shape[1] <= MAX_PIXELS


def test_mirror_exchanges_left_and_right() -> None:
    images = np.arange(2 * 3 * 4 * 3, dtype=np.uint8).reshape(2, 3, 4, 3)
    found = mirror(images)
    assert found.flags.c_contiguous
    for x in range(4):
        np.testing.assert_array_equal(found[:, :, x], images[:, :, 3 - x])
    np.testing.assert_array_equal(mirror(images[0]), found[0])


def cubic_by_hand(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """Bicubic resize written as its definition, one output pixel at a time."""

    def kernel(t: float, a: float = -0.75) -> float:
        t = abs(t)
        if t <= 1:
            return (a + 2) * t**3 - (a + 3) * t**2 + 1
        return a * t**3 - 5 * a * t**2 + 8 * a * t - 4 * a if t < 2 else 0.0

    old_height, old_width = image.shape[:2]
    out = np.zeros((height, width, 3))
    for y in range(height):
        for x in range(width):
            v, u = (y + 0.5) * old_height / height - 0.5, (x + 0.5) * old_width / width - 0.5
            for j in range(int(np.floor(v)) - 1, int(np.floor(v)) + 3):
                for i in range(int(np.floor(u)) - 1, int(np.floor(u)) + 3):
                    sample = image[min(max(j, 0), old_height - 1), min(max(i, 0), old_width - 1)]
                    out[y, x] += kernel(v - j) * kernel(u - i) * sample
    return out.clip(0, 255)


@pytest.mark.parametrize(("shape", "covering"), [((30, 20), (24, 16)), ((9, 12), (16, 21)), ((50, 50), (16, 16))])
def test_fit_to_scales_the_short_side_then_cuts_the_long_side_at_both_ends(
    shape: tuple[int, int], covering: tuple[int, int]
) -> None:
    image = np.random.default_rng(1).integers(0, 256, (*shape, 3), dtype=np.uint8)
    wanted = cubic_by_hand(image, *covering)
    top, left = (covering[0] - 16) // 2, (covering[1] - 16) // 2
    found = fit_to(image, (16, 16))
    assert found.dtype == np.uint8
    assert np.abs(found - wanted[top : top + 16, left : left + 16]).max() <= 0.51


def test_fit_to_only_cuts_when_the_short_side_is_right() -> None:
    image = smooth(120, 112)
    np.testing.assert_array_equal(fit_to(image, (112, 112)), image[4:116])
    np.testing.assert_array_equal(fit_to(image, (120, 112)), image)


def test_fit_to_treats_a_batch_as_its_pictures() -> None:
    images = np.stack([smooth(50, 40), smooth(50, 40)[::-1]])
    found = fit_to(images, (32, 28))
    assert found.shape == (2, 32, 28, 3)
    for one, many in zip(images, found, strict=True):
        np.testing.assert_array_equal(fit_to(one, (32, 28)), many)


def test_fit_to_refuses_needles() -> None:
    with pytest.raises(DataError, match="1 x 100000"):
        fit_to(np.zeros((100_000, 1, 3), np.uint8), (112, 112))


def golden() -> list[dict[str, object]]:
    cases: list[dict[str, object]] = json.loads(GOLDEN.read_text(encoding="utf-8"))["alignment"]["cases"]
    return cases


@pytest.mark.parametrize("number", range(len(golden())))
def test_similarity_equals_the_reference(number: int) -> None:
    case = golden()[number]
    found = similarity_transform(case["landmarks"], int(str(case["image_size"])))
    np.testing.assert_allclose(found, case["matrix"], atol=2e-5)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), flip=st.booleans())
def test_similarity_equals_umeyama_by_singular_values(seed: int, flip: bool) -> None:
    points = np.random.default_rng(seed).normal(size=(5, 2)) * 40 + 100
    if flip:  # a face seen in a mirror: the best similarity must not reflect
        points[:, 0] *= -1
    target = np.array(TEMPLATE)
    source_mean, target_mean = points.mean(0), target.mean(0)
    covariance = (target - target_mean).T @ (points - source_mean) / 5
    u, singular, vt = np.linalg.svd(covariance)
    signs = np.array([1.0, np.sign(np.linalg.det(covariance))])
    rotation = u @ np.diag(signs) @ vt
    scale = (singular * signs).sum() / (points - source_mean).var(0).sum()
    found = similarity_transform(points)
    np.testing.assert_allclose(found[:, :2], scale * rotation, atol=1e-9)
    np.testing.assert_allclose(found[:, 2], target_mean - scale * rotation @ source_mean, atol=1e-7)
    assert np.linalg.det(found[:, :2]) >= 0


def test_template_follows_the_two_size_rules() -> None:
    base = np.array(TEMPLATE)
    np.testing.assert_allclose(template(112), base)
    np.testing.assert_allclose(template(224), base * 2)
    np.testing.assert_allclose(template(128), base + np.array([8, 0]))
    np.testing.assert_allclose(template(256), base * 2 + np.array([16, 0]))
    np.testing.assert_allclose(template(896), base * 8)  # a multiple of both


@pytest.mark.parametrize("size", [0, -112, 100, 160])
def test_other_sizes_are_refused(size: int) -> None:
    with pytest.raises(ConfigError, match="multiple of 112 or of 128"):
        template(size)


@pytest.mark.parametrize(
    "landmarks",
    [np.ones((5, 2)), np.full((5, 2), np.nan), np.ones((4, 2)), np.ones((5, 3)), np.full((5, 2), np.inf)],
)
def test_unusable_landmarks_are_errors(landmarks: np.ndarray) -> None:
    with pytest.raises(DataError, match="alignment needs five"):
        align(smooth(50, 50), landmarks)


def test_align_by_a_whole_shift_cuts_out_the_pixels() -> None:
    image = smooth(200, 180)
    np.testing.assert_array_equal(align(image, moved(10, 20)), image[20:132, 10:122])


def test_align_is_black_outside_the_picture() -> None:
    image = np.full((112, 112, 3), 200, np.uint8)
    found = align(image, moved(100, -110))
    np.testing.assert_array_equal(found[110:, :12], np.full((2, 12, 3), 200))
    assert found[:110].max() == 0
    assert found[:, 12:].max() == 0
    assert align(image, np.array(TEMPLATE) + 5000).max() == 0
    assert align(image, np.array(TEMPLATE) * 1e-7).max() <= 200


def test_align_half_way_between_pixels_is_their_mean() -> None:
    image = smooth(150, 150)
    found = align(image, moved(0.5, 0))
    pair = image[:112, :113].astype(int)
    np.testing.assert_array_equal(found, (pair[:, :-1] + pair[:, 1:] + 1) // 2)


@pytest.mark.parametrize("size", [112, 128])
def test_align_samples_where_the_inverse_map_points(size: int) -> None:
    image = smooth(250, 250)
    landmarks = np.array([[95.0, 100.0], [150.0, 92.0], [127.0, 130.0], [106.0, 160.0], [152.0, 153.0]])
    matrix = np.vstack([similarity_transform(landmarks, size), [0, 0, 1]])
    y, x = np.mgrid[:size, :size]
    u, v, _ = np.linalg.inv(matrix) @ np.stack([x.ravel(), y.ravel(), np.ones(size * size)])
    i, j = np.floor(u).astype(int), np.floor(v).astype(int)
    a, b = (u - i)[:, None], (v - j)[:, None]
    wanted = (image[j, i] * (1 - a) + image[j, i + 1] * a) * (1 - b) + (
        image[j + 1, i] * (1 - a) + image[j + 1, i + 1] * a
    ) * b
    assert np.abs(align(image, landmarks, size).reshape(-1, 3) - wanted).max() <= 1


def test_align_does_the_arithmetic_of_opencv() -> None:
    """Edges as hard as can be: a warp without the 1/32 grid would differ by several levels."""
    image = np.random.default_rng(2).integers(0, 256, (160, 160, 3), dtype=np.uint8)
    landmarks = np.array(TEMPLATE) @ np.array([[0.9, 0.3], [-0.3, 0.9]]) + [30.0, -5.0]
    m = similarity_transform(landmarks)
    d = 1 / (m[0, 0] * m[1, 1] - m[0, 1] * m[1, 0])
    a, b, c, e = m[1, 1] * d, -m[0, 1] * d, -m[1, 0] * d, m[0, 0] * d
    s, t = -a * m[0, 2] - b * m[1, 2], -c * m[0, 2] - e * m[1, 2]

    def pixel(row: int, column: int) -> np.ndarray:
        inside = 0 <= row < 160 and 0 <= column < 160
        return image[row, column].astype(int) if inside else np.zeros(3, int)

    found = align(image, landmarks)
    for y in range(0, 112, 3):
        for x in range(0, 112, 3):
            u = (round(a * x * 1024) + round((b * y + s) * 1024) + 16) >> 5
            v = (round(c * x * 1024) + round((e * y + t) * 1024) + 16) >> 5
            i, j, p, q = u >> 5, v >> 5, u & 31, v & 31
            upper = pixel(j, i) * (32 - p) + pixel(j, i + 1) * p
            lower = pixel(j + 1, i) * (32 - p) + pixel(j + 1, i + 1) * p
            np.testing.assert_array_equal(found[y, x], (upper * (32 - q) + lower * q + 512) >> 10)


@pytest.mark.data
def test_align_makes_the_known_crops_from_real_photographs(real_data: Path) -> None:
    lines = (real_data / "lfw" / "lfw_deepfunneled_landmarks5.csv").read_text(encoding="utf-8").splitlines()
    points = {line.split(",")[0]: np.array(line.split(",")[1:], dtype=object) for line in lines[1:]}
    compared = []
    with (
        tarfile.open(real_data / "lfw" / "lfw_devtest_deepfunneled_250x250.tar") as photographs,
        tarfile.open(real_data / "train" / "lfw_train_112x112.tar") as crops,
    ):
        known = {name.split("/")[-1]: name for name in crops.getnames() if name.endswith(".jpg")}
        for member in photographs.getmembers():
            name = member.name.split("/")[-1]
            if name in known and len(compared) < 100:
                row = next(value for key, value in points.items() if key.split("/")[-1] == name)
                image = decode(photographs.extractfile(member).read(), name=name)
                crop = decode(crops.extractfile(known[name]).read(), name=name)
                landmarks = row[1:].astype(float).reshape(5, 2)
                compared.append(np.abs(align(image, landmarks).astype(int) - crop).mean())
    assert len(compared) == 100
    assert max(compared) < 2.5  # what JPEG of quality 95 costs
