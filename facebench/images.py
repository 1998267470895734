"""Pictures: bytes to pixels, mirrored, brought to a size, and aligned by five points.

Every reader, protocol and embedder decodes and aligns here and nowhere else, because published numbers depend on each
of these steps: changing only the aligner has moved IJB-C results by points. All pictures are uint8 (H, W, 3), RGB.
"""

from __future__ import annotations

from functools import lru_cache
from io import BytesIO
from typing import TYPE_CHECKING, Final

import numpy as np
import simplejpeg
from PIL import Image, UnidentifiedImageError

from facebench.errors import ConfigError, DataError

if TYPE_CHECKING:
    import numpy.typing as npt

# 8192 x 8192: far above any camera picture of a face, far below what a forged header can ask for.
MAX_PIXELS: Final = 1 << 26

# Where ArcFace's crop of 112 x 112 wants left eye, right eye, nose tip, left and right mouth corner (left and right as
# seen in the picture): x, y in pixels.
TEMPLATE: Final[tuple[tuple[float, float], ...]] = (
    (38.2946, 51.6963),
    (73.5318, 51.5014),
    (56.0252, 71.7366),
    (41.5493, 92.3655),
    (70.7299, 92.2041),
)

_JPEG: Final = b"\xff\xd8\xff"
# Only these of Pillow's many parsers ever see a stranger's bytes. JPEG is among them for CMYK, which libjpeg-turbo
# cannot turn into RGB.
_PILLOW_FORMATS: Final = ("PNG", "PPM", "BMP", "WEBP", "JPEG")
# OpenCV's warp rounds positions to 1/32 of a pixel, computing them in units of 1/1024.
_POSITION_BITS: Final = 10
_SUBPIXEL_BITS: Final = 5
_FURTHEST: Final = float(1 << 40)
_CHANNEL_SHIFTS: Final = (0, 20, 40)


def decode(data: bytes, *, name: str) -> npt.NDArray[np.uint8]:
    """Pixels of an encoded picture, uint8 (H, W, 3) RGB.

    Reads JPEG, PNG, PGM/PPM, BMP and WebP. Grey becomes three equal channels, 16 bits keep their upper 8, an alpha
    channel is dropped. The orientation that a camera may have noted (EXIF) is **not** applied: face sets hold crops
    whose notes are left-overs of the original photograph, and the readers behind the published numbers ignore it.

    Args:
        data: The encoded file.
        name: What errors call the picture: its file and key.

    Raises:
        DataError: When the data is empty, truncated, damaged, of another format, or larger than ``MAX_PIXELS``.
    """
    if not data:
        raise DataError(f"{name}: the picture is empty (0 bytes)")
    if not data.startswith(_JPEG):
        return _decode_with_pillow(data, name)
    try:
        height, width, color, _ = simplejpeg.decode_jpeg_header(data)
        _check_pixels(height, width, name)
        if color in ("CMYK", "YCCK"):
            return _decode_with_pillow(data, name)
        pixels: npt.NDArray[np.uint8] = simplejpeg.decode_jpeg(data)
    except ValueError as error:
        raise DataError(f"{name}: the JPEG picture is damaged or cut short ({error})") from None
    return pixels


def _check_pixels(height: int, width: int, name: str) -> None:
    if height * width > MAX_PIXELS:
        raise DataError(f"{name}: the picture claims {width} x {height} pixels; the limit is {MAX_PIXELS:,} pixels")


def _decode_with_pillow(data: bytes, name: str) -> npt.NDArray[np.uint8]:
    try:
        with Image.open(BytesIO(data), formats=_PILLOW_FORMATS) as picture:
            _check_pixels(picture.height, picture.width, name)
            return _as_rgb(picture, name)
    except DataError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise DataError(f"{name}: the picture claims more pixels than the limit of {MAX_PIXELS:,}") from None
    except UnidentifiedImageError:
        raise DataError(f"{name}: not a picture; JPEG, PNG, PGM/PPM, BMP and WebP are read") from None
    except Exception as error:  # Pillow's parsers answer damaged data with whatever they stumble over
        raise DataError(f"{name}: the picture is damaged or cut short ({type(error).__name__}: {error})") from None


def _as_rgb(picture: Image.Image, name: str) -> npt.NDArray[np.uint8]:
    if picture.mode == "F":
        raise DataError(f"{name}: the picture holds floating-point values; save it with 8 bits per channel")
    if picture.mode.startswith("I"):
        # Pillow would clip 16-bit grey at 255 instead of scaling it.
        grey = (np.asarray(picture).astype(np.int64) >> 8).clip(0, 255).astype(np.uint8)
        return np.repeat(grey[:, :, None], 3, axis=2)
    if "transparency" in picture.info:
        picture = picture.convert("RGBA")
    return np.array(picture.convert("RGB"), dtype=np.uint8)


def encode_jpeg(image: npt.NDArray[np.uint8], *, quality: int = 95) -> bytes:
    """A JPEG file of uint8 (H, W, 3) RGB, colour at full resolution (4:4:4)."""
    encoded: bytes = simplejpeg.encode_jpeg(np.ascontiguousarray(image), quality=quality, colorsubsampling="444")
    return encoded


def encode_png(image: npt.NDArray[np.uint8]) -> bytes:
    """A PNG file of uint8 (H, W, 3) RGB or (H, W) grey; lossless."""
    buffer = BytesIO()
    Image.fromarray(image).save(buffer, format="PNG")
    return buffer.getvalue()


def mirror(images: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Left and right exchanged, (..., H, W, 3); a new contiguous array."""
    return np.ascontiguousarray(images[..., ::-1, :])


def fit_to(images: npt.NDArray[np.uint8], size: tuple[int, int]) -> npt.NDArray[np.uint8]:
    """Pictures brought to a size they do not have, by the rule of InsightFace's verification reader.

    The picture is scaled so that it just covers ``size``: for a square the **short** side becomes the wanted length and
    the long side ``size * long // short`` (MXNet's ``resize_short`` with its default, OpenCV's bicubic kernel, a =
    -0.75, four taps in each direction at any scale, so a strong reduction is not low-pass filtered). What the long side
    has too much is cut off equally at both ends (the odd pixel at the far end); the reference itself has no crop and
    breaks there. Callers warn: resizing does not align.

    Args:
        images: uint8 (H, W, 3) or (N, H, W, 3).
        size: (height, width) wanted, pixels.

    Returns:
        uint8 (height, width, 3) or (N, height, width, 3).

    Raises:
        DataError: When a picture is so elongated that covering ``size`` passes ``MAX_PIXELS``.
    """
    height, width = images.shape[-3:-1]
    wanted_height, wanted_width = size
    if (height, width) == size:
        return images
    if height * wanted_width > width * wanted_height:
        new_height, new_width = wanted_width * height // width, wanted_width
    else:
        new_height, new_width = wanted_height, wanted_height * width // height
    _check_pixels(
        new_height, new_width, f"a picture of {width} x {height} resized to cover {wanted_width} x {wanted_height}"
    )
    top, left = (new_height - wanted_height) // 2, (new_width - wanted_width) // 2
    down = _cubic_weights(height, new_height)[top : top + wanted_height]
    across = _cubic_weights(width, new_width)[left : left + wanted_width]
    values = images.astype(np.float32).reshape(*images.shape[:-2], width * 3)
    rows = np.matmul(down, values).reshape(*images.shape[:-3], wanted_height, width, 3)
    fitted: npt.NDArray[np.uint8] = np.rint(np.matmul(across, rows)).clip(0, 255).astype(np.uint8)
    return fitted


@lru_cache(maxsize=64)
def _cubic_weights(length: int, new_length: int) -> npt.NDArray[np.float32]:
    """What each old sample gives to each new one, (new_length, length); samples beyond an edge repeat the edge."""
    a = -0.75
    positions = (np.arange(new_length) + 0.5) * (length / new_length) - 0.5
    first = np.floor(positions).astype(np.int64)
    weights = np.zeros((new_length, length), dtype=np.float32)
    rows = np.arange(new_length)
    for tap in (-1, 0, 1, 2):
        distance = np.abs(positions - (first + tap))
        near = ((a + 2) * distance - (a + 3)) * distance**2 + 1
        far = ((a * distance - 5 * a) * distance + 8 * a) * distance - 4 * a
        np.add.at(weights, (rows, (first + tap).clip(0, length - 1)), np.where(distance <= 1, near, far))
    weights.setflags(write=False)
    return weights


def template(size: int = 112) -> npt.NDArray[np.float64]:
    """Where the five points belong in a crop of size x size, (5, 2) x, y in pixels.

    A multiple of 112 scales ``TEMPLATE``; a multiple of 128 scales it by size / 128 and moves it right by
    8 * size / 128 (the margins of a 128-wide crop). A size that is both follows the first rule, as in the reference.

    Raises:
        ConfigError: For any other size.
    """
    points: npt.NDArray[np.float64] = np.array(TEMPLATE, dtype=np.float64)
    if size > 0 and size % 112 == 0:
        points *= size / 112
        return points
    if size > 0 and size % 128 == 0:
        points *= size / 128
        points[:, 0] += 8.0 * size / 128
        return points
    raise ConfigError(f"cannot align to {size} x {size}: the size must be a multiple of 112 or of 128 pixels")


def similarity_transform(landmarks: npt.ArrayLike, size: int = 112) -> npt.NDArray[np.float64]:
    """The least-squares similarity (rotation, one scale, shift; never a mirror image) from five points to the template.

    In the plane Umeyama's solution (IEEE TPAMI 13(4), 1991, eq. 40-42) is a linear regression of complex numbers: with
    centred source s and target t, the rotation and scale are a = sum(conj(s) t) / sum(|s|^2).

    Args:
        landmarks: (5, 2) x, y in pixels: left eye, right eye, nose tip, left and right mouth corner as seen in the
            picture.
        size: Side of the crop, pixels; see ``template``.

    Returns:
        (2, 3) float64: maps (x, y, 1) of the picture to x, y of the crop.

    Raises:
        DataError: When the landmarks are not five finite points, or all the same point.
        ConfigError: When there is no template of this size.
    """
    points = np.asarray(landmarks, dtype=np.float64)
    if points.shape != (5, 2) or not np.isfinite(points).all():
        raise DataError(f"alignment needs five finite points (x, y), found an array of shape {points.shape}")
    source = points[:, 0] + 1j * points[:, 1]
    wanted = template(size)
    target = wanted[:, 0] + 1j * wanted[:, 1]
    source_mean, target_mean = source.mean(), target.mean()
    centred = source - source_mean
    spread = np.vdot(centred, centred).real
    turn = np.vdot(centred, target - target_mean) / spread if spread > 0 else np.complex128(0)
    if not (np.isfinite(turn) and abs(turn) > 0):
        raise DataError("alignment needs five points that are not all the same place or out of all proportion")
    shift = target_mean - turn * source_mean
    return np.array([[turn.real, -turn.imag, shift.real], [turn.imag, turn.real, shift.imag]])


def align(image: npt.NDArray[np.uint8], landmarks: npt.ArrayLike, size: int = 112) -> npt.NDArray[np.uint8]:
    """The face cut out upright by its five points, uint8 (size, size, 3); outside the picture black.

    Bilinear, in the arithmetic of OpenCV's ``warpAffine`` through 4.10 (which made the published packs): pixel centres
    at whole numbers, positions rounded to 1/32 of a pixel, weights exact, sums rounded half up.

    Args:
        image: uint8 (H, W, 3).
        landmarks: See ``similarity_transform``.
        size: Side of the crop, pixels.

    Raises:
        DataError: When the landmarks cannot be used.
        ConfigError: When there is no template of this size.
    """
    x, y = _source_positions(similarity_transform(landmarks, size), size)
    one = 1 << _SUBPIXEL_BITS
    left, top = x >> _SUBPIXEL_BITS, y >> _SUBPIXEL_BITS
    right_part, lower_part = x & (one - 1), y & (one - 1)
    # Only the part of the picture that the crop touches is packed.
    row_0, row_1 = (int(edge.clip(0, image.shape[0])) for edge in (top.min(), top.max() + 2))
    column_0, column_1 = (int(edge.clip(0, image.shape[1])) for edge in (left.min(), left.max() + 2))
    height, width = row_1 - row_0, column_1 - column_0
    packed = _packed(image[row_0:row_1, column_0:column_1])
    total = np.full((size, size), (one * one // 2) * sum(1 << shift for shift in _CHANNEL_SHIFTS), dtype=np.int64)
    for down, vertical in ((0, one - lower_part), (1, lower_part)):
        row = top + (down - row_0)
        for across, horizontal in ((0, one - right_part), (1, right_part)):
            column = left + (across - column_0)
            inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
            total += packed.take(np.where(inside, row * width + column, -1)) * (vertical * horizontal)
    channels = [(total >> (shift + 2 * _SUBPIXEL_BITS)).astype(np.uint8) for shift in _CHANNEL_SHIFTS]
    return np.stack(channels, axis=-1)


def _packed(image: npt.NDArray[np.uint8]) -> npt.NDArray[np.int64]:
    """All three channels of a pixel in one number, (H * W + 1,), so that one product weighs them together.

    A channel has 20 bits; the four weighted values and the rounding need less than 18. The last number is black.
    """
    packed = np.zeros(image.shape[0] * image.shape[1] + 1, dtype=np.int64)
    for channel, shift in enumerate(_CHANNEL_SHIFTS):
        packed[:-1] |= image[:, :, channel].reshape(-1).astype(np.int64) << shift
    return packed


def _source_positions(matrix: npt.NDArray[np.float64], size: int) -> npt.NDArray[np.int64]:
    """Where each crop pixel comes from: x and y in 1/32 of a pixel, (2, size, size)."""
    inverse = np.linalg.inv(matrix[:, :2])
    offset = -inverse @ matrix[:, 2]
    steps = np.arange(size, dtype=np.float64)
    along = _fixed(inverse[:, :1] * steps)
    down = _fixed(inverse[:, 1:] * steps + offset[:, None])
    half = 1 << (_POSITION_BITS - _SUBPIXEL_BITS - 1)
    positions: npt.NDArray[np.int64] = along[:, None, :] + down[:, :, None] + half
    positions >>= _POSITION_BITS - _SUBPIXEL_BITS
    return positions


def _fixed(pixels: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    """Positions in 1/1024 of a pixel; what is out of all reach stays there instead of wrapping around."""
    fixed: npt.NDArray[np.int64] = np.rint((pixels * (1 << _POSITION_BITS)).clip(-_FURTHEST, _FURTHEST)).astype(
        np.int64
    )
    return fixed
