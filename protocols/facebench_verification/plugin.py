"""What this package offers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from facebench import ProtocolSpec, hookimpl
from facebench_verification.options import PairsOptions, VerificationOptions, VideoOptions

if TYPE_CHECKING:
    from collections.abc import Iterable

    from facebench import EvalProtocol


_FOLD_CODE = "Deng et al., ArcFace, CVPR 2019 (the evaluation code whose rule is `reference`)"
_LFW = "Huang et al., Labeled Faces in the Wild, UMass Amherst 07-49, 2007"
_CFP = "Sengupta et al., Frontal to Profile Face Verification in the Wild, WACV 2016"
_GOLDILOCKS = "Wu et al., What is a Goldilocks Face Verification Test Set?, arXiv 2405.15965"


def _set(name: str, summary: str, layout: str, *cites: str) -> ProtocolSpec:
    """A set of pairs of pictures in ten folds."""

    def build(options: VerificationOptions) -> EvalProtocol:
        from facebench_verification.protocol import Verification
        from facebench_verification.sets import PLACES

        return Verification(PLACES[name], options)

    return ProtocolSpec(
        name=name, summary=summary, cites=(*cites, _FOLD_CODE), options=VerificationOptions, build=build, layout=layout
    )


def _pairs(options: PairsOptions) -> EvalProtocol:
    from facebench_verification.protocol import Verification
    from facebench_verification.sets import PLACES

    return Verification(PLACES["pairs"], options, folds=options.folds)


def _view1(options: VerificationOptions) -> EvalProtocol:
    from facebench_verification.sets import PLACES
    from facebench_verification.view1 import View1

    return View1(PLACES["lfw-view1"], options)


def _rfw(options: VerificationOptions) -> EvalProtocol:
    from facebench_verification.groups import GroupVerification
    from facebench_verification.sets import PLACES

    return GroupVerification(PLACES["rfw"], options)


def _ytf(options: VideoOptions) -> EvalProtocol:
    from facebench_verification.sets import PLACES
    from facebench_verification.ytf import VideoVerification

    return VideoVerification(PLACES["ytf"], options)


# The sets that differ from LFW only in what lies on disk.
_RELATIVES = (
    _set(
        "cfp-ff",
        "CFP frontal-frontal: 7,000 pairs in 10 folds",
        "DATA_ROOT/cfp_ff.bin (or DATA_ROOT/cfp/), or Protocol and Data/Images of the archive below DATA_ROOT/cfp",
        _CFP,
    ),
    _set(
        "cfp-fp",
        "CFP frontal-profile: 7,000 pairs in 10 folds",
        "DATA_ROOT/cfp_fp.bin (or DATA_ROOT/cfp/), or Protocol and Data/Images of the archive below DATA_ROOT/cfp",
        _CFP,
    ),
    _set(
        "agedb-30",
        "AgeDB with an age gap of 30 years: 6,000 pairs in 10 folds",
        "DATA_ROOT/agedb_30.bin, or 04_FINAL_protocol_30_years.mat with 03_Protocol_Images below DATA_ROOT/agedb",
        "Moschoglou et al., AgeDB, CVPR Workshops 2017",
    ),
    _set(
        "calfw",
        "Cross-Age LFW: 6,000 pairs in 10 folds",
        "DATA_ROOT/calfw.bin, or pairs_CALFW.txt with a folder 'aligned images' or 'images' below DATA_ROOT/calfw",
        "Zheng et al., Cross-Age LFW, arXiv 1708.08197",
    ),
    _set(
        "cplfw",
        "Cross-Pose LFW: 6,000 pairs in 10 folds",
        "DATA_ROOT/cplfw.bin, or pairs_CPLFW.txt with a folder 'aligned images' or 'images' below DATA_ROOT/cplfw",
        "Zheng and Deng, Cross-Pose LFW, BUPT 18-01, 2018",
    ),
    _set(
        "sllfw",
        "Similar-Looking LFW: LFW with look-alikes as mismatched pairs, 6,000 pairs in 10 folds",
        "DATA_ROOT/sllfw/pair_SLLFW.txt with LFW's aligned pictures as Name/Name_0001.jpg",
        "Deng et al., Fine-grained face verification: FGLFW database, Pattern Recognition 66, 2017",
    ),
    _set(
        "xqlfw",
        "Cross-Quality LFW: 6,000 pairs in 10 folds; quality scores are kept where they are at hand",
        "DATA_ROOT/xqlfw/xqlfw_pairs.txt (and xqlfw_scores.txt) with the folder xqlfw_aligned_112",
        "Knoche et al., Cross-Quality LFW, FG 2021",
    ),
    _set(
        "vgg2-fp",
        "VGGFace2 frontal-profile, as packed by face.evoLVe",
        "DATA_ROOT/vgg2_fp.bin or DATA_ROOT/vgg2-fp/vgg2_fp.bin",
        "Cao et al., VGGFace2, FG 2018",
    ),
    _set(
        "hadrian",
        "Hadrian: pairs chosen by facial hair, identity-disjoint folds",
        "DATA_ROOT/hadrian.xz, or hadrian/hadrian.npy with hadrian/issame.txt",
        _GOLDILOCKS,
    ),
    _set(
        "eclipse",
        "Eclipse: pairs chosen by brightness of the face, identity-disjoint folds",
        "DATA_ROOT/eclipse.xz, or eclipse/eclipse.npy with eclipse/issame.txt",
        _GOLDILOCKS,
    ),
    _set(
        "doppelver",
        "DoppelVer: mismatched pairs are look-alikes",
        "DATA_ROOT/doppelver.xz or .bin, or doppelver/doppelver.npy with doppelver/issame.txt",
        "Thom et al., Doppelver: A Benchmark for Face Verification, ISVC 2023",
    ),
)


@hookimpl
def facebench_protocols() -> Iterable[ProtocolSpec]:
    """LFW, its relatives, and any list of pairs."""
    return [
        _set(
            "lfw",
            "LFW view 2: 6,000 pairs in 10 folds, unrestricted with labelled outside data",
            "DATA_ROOT/lfw/lfw.bin, or pairs.txt with lfw_112x112/Name/Name_0001.jpg (or .tar), aligned 112x112",
            _LFW,
        ),
        ProtocolSpec(
            name="lfw-view1",
            summary="LFW view 1: threshold chosen on 2,200 pairs (DevTrain), tested on 1,000 (DevTest)",
            cites=(_LFW,),
            options=VerificationOptions,
            build=_view1,
            layout="DATA_ROOT/lfw/pairsDevTest.txt and pairsDevTrain.txt with LFW's pictures as Name/Name_0001.jpg; "
            "set protocol.lfw-view1.landmarks where they are not aligned",
        ),
        *_RELATIVES,
        ProtocolSpec(
            name="rfw",
            summary="Racial Faces in the Wild: 6,000 pairs for each of four groups; mean, spread and each group",
            cites=("Wang et al., Racial Faces in the Wild, ICCV 2019", _FOLD_CODE),
            options=VerificationOptions,
            build=_rfw,
            layout="DATA_ROOT/rfw/{African,Asian,Caucasian,Indian}_test.bin, or test/txts and test/data of the archive",
        ),
        ProtocolSpec(
            name="ytf",
            summary="YouTube Faces: 5,000 pairs of videos in 10 folds; a video's vector is pooled from its frames",
            cites=(
                "Wolf et al., Face Recognition in Unconstrained Videos with Matched Background Similarity, CVPR 2011",
            ),
            options=VideoOptions,
            build=_ytf,
            layout="DATA_ROOT/ytf/splits.txt with the folder aligned_images_DB: Name/0/aligned_detect_0.1.jpg",
        ),
        ProtocolSpec(
            name="pairs",
            summary="any list of pairs: LFW's form, 'path path 0|1', or an InsightFace .bin pack",
            options=PairsOptions,
            build=_pairs,
            layout="protocol.pairs.pairs names the list or pack, protocol.pairs.images the folder or tar of pictures",
        ),
    ]
