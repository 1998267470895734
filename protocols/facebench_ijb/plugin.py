"""What this package offers."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from facebench import ProtocolSpec, hookimpl
from facebench_ijb.options import SplitOptions, TemplateOptions

if TYPE_CHECKING:
    from collections.abc import Iterable

    from facebench import EvalProtocol

_RULE = "Deng et al., ArcFace, CVPR 2019 (the evaluation code whose rule is `reference`)"


def _build(name: str, options: TemplateOptions) -> EvalProtocol:
    from facebench_ijb.protocol import Janus
    from facebench_ijb.sources import BENCHMARKS

    return Janus(BENCHMARKS[name], options)


@hookimpl
def facebench_protocols() -> Iterable[ProtocolSpec]:
    """IJB-A, IJB-B and IJB-C."""
    return [
        ProtocolSpec(
            name="ijba",
            summary="IJB-A, one split: templates verified 1:1, and searched 1:N where those lists are there",
            cites=("Klare et al., Pushing the frontiers of unconstrained face detection and recognition, CVPR 2015",),
            options=SplitOptions,
            build=partial(_build, "ijba"),
            layout="DATA_ROOT/IJB-A/IJB-A_11_sets/split1/verify_metadata_1.csv and verify_comparisons_1.csv, with "
            "embeddings or aligned pictures by file name",
        ),
        ProtocolSpec(
            name="ijbb",
            summary="IJB-B: 12,115 templates, 8 million 1:1 pairs, mixed 1:N search in two galleries",
            cites=("Whitelam et al., IARPA Janus Benchmark-B face dataset, CVPR workshops 2017", _RULE),
            options=TemplateOptions,
            build=partial(_build, "ijbb"),
            layout="DATA_ROOT/IJBB/meta/ijbb_*.txt with DATA_ROOT/IJBB/loose_crop/*.jpg (InsightFace's IJB_release), "
            "or NIST's CSV lists below DATA_ROOT/IJB-B/protocols with embeddings or aligned pictures",
        ),
        ProtocolSpec(
            name="ijbc",
            summary="IJB-C: 23,124 templates, 15.7 million 1:1 pairs, mixed 1:N search in two galleries",
            cites=("Maze et al., IARPA Janus Benchmark-C: face dataset and protocol, ICB 2018", _RULE),
            options=TemplateOptions,
            build=partial(_build, "ijbc"),
            layout="DATA_ROOT/IJBC/meta/ijbc_*.txt with DATA_ROOT/IJBC/loose_crop/*.jpg (InsightFace's IJB_release), "
            "or NIST's CSV lists below DATA_ROOT/IJB-C/protocols with embeddings or aligned pictures",
        ),
    ]
