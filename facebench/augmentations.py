"""What may be done to faces while a network is trained on them; ``facebench.augment`` does it.

Free of torch, so that a plugin can offer these options without waiting for it.
"""

from __future__ import annotations

from facebench.declare import option, options


@options
class AugmentOptions:
    """How often each augmentation strikes a face, and how hard.

    Each face is drawn for each augmentation on its own. All but mirroring are off by default, as in arcface_torch's
    configurations. AdaFace (Kim, Jain and Liu, CVPR 2022, section 4.1) trains with ``crop``, ``low_resolution`` and
    ``photometric`` of 0.2 each, at the strengths that are the defaults here. arcface_torch's heavy recipe (its
    ``dali_aug``) has ``low_resolution`` and ``grey`` of 0.1 and ``blur`` of 0.2.
    """

    flip: float = option(default=0.5, help="probability of mirroring a face", ge=0, le=1)
    crop: float = option(
        default=0.0, help="probability of blackening all but a random rectangle, which stays in its place", ge=0, le=1
    )
    crop_area: float = option(
        default=0.2, help="of crop: the smallest part of the area that is kept; the largest is 1", gt=0, le=1
    )
    low_resolution: float = option(
        default=0.0, help="probability of shrinking a face and enlarging it again", ge=0, le=1
    )
    low_resolution_side: float = option(
        default=0.2, help="of low_resolution: the smallest part of the side a face is shrunk to", gt=0, le=1
    )
    photometric: float = option(
        default=0.0, help="probability of changing brightness, contrast, saturation and hue", ge=0, le=1
    )
    brightness: float = option(
        default=0.5, help="of photometric: a factor of 1 - b to 1 + b multiplies the pixels", ge=0, le=1
    )
    contrast: float = option(
        default=0.5,
        help="of photometric: a factor of 1 - c to 1 + c multiplies what differs from the mean",
        ge=0,
        le=1,
    )
    saturation: float = option(
        default=0.5, help="of photometric: a factor of 1 - s to 1 + s multiplies what differs from grey", ge=0, le=1
    )
    hue: float = option(
        default=0.0, help="of photometric: hues turn by up to this part of the colour circle; slow", ge=0, le=0.5
    )
    grey: float = option(default=0.0, help="probability of taking the colour away", ge=0, le=1)
    blur: float = option(default=0.0, help="probability of a Gaussian blur", ge=0, le=1)
    blur_sigma: float = option(
        default=2.0, help="of blur: the largest standard deviation, pixels; the smallest is 0.1", gt=0.1, le=10
    )
    erasing: float = option(default=0.0, help="probability of blackening a random rectangle", ge=0, le=1)
    erasing_area: float = option(
        default=0.33,
        help="of erasing: the largest part of the area erased; the smallest is 0.02",
        gt=0.02,
        le=1,
    )
