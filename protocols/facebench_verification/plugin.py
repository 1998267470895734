"""What this package offers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from facebench import ProtocolSpec, hookimpl
from facebench_verification.options import PairsOptions, VerificationOptions

if TYPE_CHECKING:
    from collections.abc import Iterable

    from facebench import EvalProtocol


def _lfw(options: VerificationOptions) -> EvalProtocol:
    from facebench_verification.protocol import Verification
    from facebench_verification.sources import LFW

    return Verification(LFW, options, folds=10)


def _pairs(options: PairsOptions) -> EvalProtocol:
    from facebench_verification.protocol import Verification
    from facebench_verification.sources import OWN

    return Verification(OWN, options, folds=options.folds)


@hookimpl
def facebench_protocols() -> Iterable[ProtocolSpec]:
    """LFW, and any list of pairs."""
    return [
        ProtocolSpec(
            name="lfw",
            summary="LFW view 2: 6,000 pairs in 10 folds, unrestricted with labelled outside data",
            cites=(
                "Huang et al., Labeled Faces in the Wild, UMass Amherst 07-49, 2007",
                "Deng et al., ArcFace, CVPR 2019 (the evaluation code whose rule is `reference`)",
            ),
            options=VerificationOptions,
            build=_lfw,
            layout="DATA_ROOT/lfw/lfw.bin, or pairs.txt with lfw_112x112/Name/Name_0001.jpg (or .tar), aligned 112x112",
        ),
        ProtocolSpec(
            name="pairs",
            summary="any list of pairs: LFW's form, 'path path 0|1', or an InsightFace .bin pack",
            options=PairsOptions,
            build=_pairs,
            layout="protocol.pairs.pairs names the list or pack, protocol.pairs.images the folder or tar of pictures",
        ),
    ]
