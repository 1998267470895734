"""What this package offers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from facebench import ProtocolSpec, hookimpl
from facebench_tinyface.options import TinyFaceOptions

if TYPE_CHECKING:
    from collections.abc import Iterable

    from facebench import EvalProtocol


def _tinyface(options: TinyFaceOptions) -> EvalProtocol:
    from facebench_tinyface.protocol import TinyFace

    return TinyFace(options)


@hookimpl
def facebench_protocols() -> Iterable[ProtocolSpec]:
    """TinyFace."""
    return [
        ProtocolSpec(
            name="tinyface",
            summary="TinyFace: 3,728 low-resolution probes in a gallery of 4,443 mates and 153,428 distractors",
            cites=("Cheng, Zhu and Gong, Low-Resolution Face Recognition, ACCV 2018",),
            options=TinyFaceOptions,
            build=_tinyface,
            layout="DATA_ROOT/tinyface/aligned_pad_0.1_pad_high/{Probe,Gallery_Match,Gallery_Distractor}/*.jpg (or "
            "Testing_Set/, unaligned), and probe_img_ID_pairs.mat and gallery_match_img_ID_pairs.mat in Testing_Set/ "
            "or Face_Identification_Evaluation/",
        )
    ]
