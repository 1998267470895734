"""What this package offers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from facebench import ProtocolSpec, hookimpl
from facebench_confidence.options import ConfidenceOptions

if TYPE_CHECKING:
    from collections.abc import Iterable

    from facebench import EvalProtocol


def _confidence(options: ConfidenceOptions) -> EvalProtocol:
    from facebench_confidence.protocol import Confidence

    return Confidence(options)


@hookimpl
def facebench_protocols() -> Iterable[ProtocolSpec]:
    """Confidence."""
    return [
        ProtocolSpec(
            name="confidence",
            summary="confidence: whether predicted confidences fall with blur and occlusion, and whether blocks are "
            "independent",
            cites=("Shi et al., Towards Universal Representation Learning for Deep Face Recognition, CVPR 2020",),
            options=ConfidenceOptions,
            build=_confidence,
            layout="any clean faces below DATA_ROOT, named with protocol.confidence.images: a folder, .tar, .csv list, "
            ".bin pack or .rec; without it DATA_ROOT/lfw/lfw_112x112.tar (or the folder, or lfw.bin)",
        )
    ]
