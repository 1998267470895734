"""The sets of the LFW family: what each is called on disk, which of its forms are read, and where to get it.

Packs of one name differ between distributions (two public ``lfw.bin`` give one model 99.867 and 99.833), so a result
carries a hash of what it was computed from.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from facebench_verification.lists.agedb import read_agedb
from facebench_verification.lists.cfp import read_cfp
from facebench_verification.lists.quality import read_xqlfw
from facebench_verification.lists.rfw import GROUPS, read_rfw
from facebench_verification.lists.two_lines import read_two_lines
from facebench_verification.lists.view1 import read_view1
from facebench_verification.lists.ytf import read_ytf
from facebench_verification.sources import LFW, OWN, Place

_PACKS_AT = "InsightFace's data sets bring packs of that name"
_CFP_IMAGES = ("Data/Images_112x112", "Data/Images", "Images_112x112", "Images", "cfp_112x112.tar", "cfp_112x112")
_CFP_LISTS = ("Protocol", "cfp-dataset/Protocol")
_LFW_IMAGES = (
    "lfw-112x112",
    "lfw_align_112",
    "lfw_112x112.tar",
    "lfw_112x112",
    "lfw-deepfunneled",
    "lfw_funneled",
    "lfw",
    "lfw.tar",
    "images",
)
_RELATIVE_IMAGES = (
    "aligned_112x112",
    "images_112x112",
    "aligned images",
    "aligned_images",
    "images&landmarks/images",
    "images&landmarks/images&landmarks/images",
    "images",
    "images.tar",
)
_OWN_IMAGES = ("images", "images.tar")


def _packs(*names: str) -> tuple[str, ...]:
    """Every spelling of a pack: plain, compressed, and unpacked to an array."""
    return tuple(name + form.format(name) for name in names for form in (".bin", ".bin.xz", ".xz", "/{}.npy", ".npy"))


def _pack_set(name: str, pack: str, how_to_get: str, *more_folders: str) -> Place:
    """A set that is known as a pack; a list in any general form does as well."""
    return Place(
        name=name,
        folders=(name, pack, *more_folders, "."),
        packs=_packs(pack),
        pairs=(f"{pack}_pairs.txt", f"{name}_pairs.txt"),
        images=_OWN_IMAGES,
        how_to_get=f"lay out {pack}.bin or {pack}.xz below DATA_ROOT or DATA_ROOT/{name}; {how_to_get}",
    )


_CFP_HOW = (
    f"lay out {{}}.bin, or Data/Images and Protocol of the CFP archive below DATA_ROOT/cfp; {_PACKS_AT}, the archive "
    "is at cfpw.io"
)
_TWO_LINES_HOW = (
    f"lay out {{0}}.bin, or pairs_{{1}}.txt with the pictures in a folder 'images' or 'aligned images' below "
    f"DATA_ROOT/{{0}}; {_PACKS_AT}, the lists are at whdeng.cn"
)

_PLACES = (
    replace(LFW, packs=_packs("lfw")),
    OWN,
    Place(
        name="lfw-view1",
        folders=("lfw", "LFW", "."),
        packs=(),
        pairs=("pairsDevTest.txt",),
        images=_LFW_IMAGES,
        how_to_get="lay out pairsDevTest.txt and pairsDevTrain.txt with LFW's pictures as Name/Name_0001.jpg below "
        "DATA_ROOT/lfw, or name them with protocol.lfw-view1.images; the lists are at vis-www.cs.umass.edu/lfw",
        read=read_view1,
    ),
    Place(
        name="cfp-ff",
        folders=("cfp-ff", "cfp_ff", "cfp", "CFP", "cfp-dataset", "."),
        packs=_packs("cfp_ff"),
        pairs=_CFP_LISTS,
        images=_CFP_IMAGES,
        how_to_get=_CFP_HOW.format("cfp_ff"),
        read=partial(read_cfp, kind="FF"),
    ),
    Place(
        name="cfp-fp",
        folders=("cfp-fp", "cfp_fp", "cfp", "CFP", "cfp-dataset", "."),
        packs=_packs("cfp_fp"),
        pairs=_CFP_LISTS,
        images=_CFP_IMAGES,
        how_to_get=_CFP_HOW.format("cfp_fp"),
        read=partial(read_cfp, kind="FP"),
    ),
    Place(
        name="agedb-30",
        folders=("agedb-30", "agedb_30", "agedb", "AgeDB", "."),
        packs=_packs("agedb_30", "agedb"),
        pairs=("04_FINAL_protocol_30_years.mat", "agedb_30_pairs.txt"),
        images=("03_Protocol_Images_112x112", "03_Protocol_Images", "03_Protocol_Images.tar", *_OWN_IMAGES),
        how_to_get="lay out agedb_30.bin, or 04_FINAL_protocol_30_years.mat with 03_Protocol_Images below "
        f"DATA_ROOT/agedb; {_PACKS_AT}, the archive is given out by its authors",
        read=read_agedb,
    ),
    Place(
        name="calfw",
        folders=("calfw", "CALFW", "."),
        packs=_packs("calfw"),
        pairs=("pairs_CALFW.txt",),
        images=_RELATIVE_IMAGES,
        how_to_get=_TWO_LINES_HOW.format("calfw", "CALFW"),
        read=read_two_lines,
    ),
    Place(
        name="cplfw",
        folders=("cplfw", "CPLFW", "."),
        packs=_packs("cplfw"),
        pairs=("pairs_CPLFW.txt",),
        images=_RELATIVE_IMAGES,
        how_to_get=_TWO_LINES_HOW.format("cplfw", "CPLFW"),
        read=read_two_lines,
    ),
    Place(
        name="sllfw",
        folders=("sllfw", "SLLFW", "lfw", "LFW", "."),
        packs=_packs("sllfw"),
        pairs=("pair_SLLFW.txt", "pairs_SLLFW.txt", "pair_FGLFW.txt"),
        images=_LFW_IMAGES,
        how_to_get="lay out pair_SLLFW.txt with LFW's pictures as Name/Name_0001.jpg below DATA_ROOT/sllfw or "
        "DATA_ROOT/lfw; the list is at whdeng.cn/SLLFW",
        read=read_two_lines,
    ),
    Place(
        name="xqlfw",
        folders=("xqlfw", "XQLFW", "."),
        packs=_packs("xqlfw"),
        pairs=("xqlfw_pairs.txt",),
        images=("xqlfw_aligned_112", "xqlfw_aligned_112.tar", "lfw_original_imgs_min_qual0.85variant11", "xqlfw"),
        how_to_get="lay out xqlfw_pairs.txt with the folder xqlfw_aligned_112 below DATA_ROOT/xqlfw; both are at "
        "martlgap.github.io/xqlfw",
        read=read_xqlfw,
    ),
    Place(
        name="rfw",
        folders=("rfw", "RFW", "."),
        packs=("{group}_test.bin", "{group}_test.xz", "{group}_test.bin.xz", "rfw_{group}.bin", "{group}.bin"),
        pairs=("images/test/txts", "test/txts", "txts"),
        images=("data_112x112", "test_aligned/data", "images/test/data", "test/data", "data"),
        how_to_get="lay out African_test.bin, Asian_test.bin, Caucasian_test.bin and Indian_test.bin, or test/txts and "
        "test/data of the archive, below DATA_ROOT/rfw; it is given out by its authors at whdeng.cn/RFW",
        read=read_rfw,
        groups=GROUPS,
    ),
    Place(
        name="ytf",
        folders=("ytf", "YTF", "YouTubeFaces", "."),
        packs=(),
        pairs=("splits.txt", "splits_corrected.txt"),
        images=("aligned_112x112", "aligned_images_DB", "aligned_images_DB.tar", "frame_images_DB"),
        how_to_get="lay out splits.txt with the folder aligned_images_DB below DATA_ROOT/ytf; both are at "
        "www.cs.tau.ac.il/~wolf/ytfaces",
        read=read_ytf,
    ),
    _pack_set("vgg2-fp", "vgg2_fp", _PACKS_AT),
    _pack_set("hadrian", "hadrian", "it comes with github.com/HaiyuWu/SOTA-Face-Recognition-Train-and-Test"),
    _pack_set("eclipse", "eclipse", "it comes with github.com/HaiyuWu/SOTA-Face-Recognition-Train-and-Test"),
    _pack_set("doppelver", "doppelver", "ask the authors of DoppelVer for it", "DoppelVer"),
)

PLACES = {place.name: place for place in _PLACES}
"""Every set by the name of its protocol."""
