"""What this package offers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from facebench import ProtocolSpec, hookimpl
from facebench_separability.options import SeparabilityOptions

if TYPE_CHECKING:
    from collections.abc import Iterable

    from facebench import EvalProtocol


def _separability(options: SeparabilityOptions) -> EvalProtocol:
    from facebench_separability.protocol import Separability

    return Separability(options)


@hookimpl
def facebench_protocols() -> Iterable[ProtocolSpec]:
    """Separability."""
    return [
        ProtocolSpec(
            name="separability",
            summary="separability: whether identities of a set, generated or real, are apart and each holds together",
            cites=(
                "Wu et al., Vec2Face: Scaling Face Dataset Generation with Loosely Constrained Vectors, ICLR 2025",
                "Kim et al., DCFace: Synthetic Face Generation with Dual Condition Diffusion Model, CVPR 2023",
            ),
            options=SeparabilityOptions,
            build=_separability,
            judges_faces=True,
            layout="labelled faces below DATA_ROOT, named with protocol.separability.data: a folder with folders of "
            "people, .tar, .csv list or .rec; without it DATA_ROOT/lfw/lfw_112x112.tar (or the folder); for leakage, "
            "more of them with protocol.separability.reference",
        )
    ]
