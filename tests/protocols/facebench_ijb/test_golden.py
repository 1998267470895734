"""Every number of the reference implementations, end to end from files in the release's layout."""

from __future__ import annotations

import numpy as np
import pytest

from facebench_ijb.options import TemplateOptions
from facebench_ijb.pooling import template_vectors
from facebench_ijb.protocol import Janus
from facebench_ijb.sources import IJBB, IJBC

MODES = [(unit, faceness, flip) for unit in (False, True) for faceness in (False, True) for flip in (False, True)]


def metric(evaluation, name, rule="reference"):
    return next(one for one in evaluation.metrics if (one.name, one.rule) == (name, rule))


def options(unit, faceness, flip, **more):
    return TemplateOptions(
        norm="unit" if unit else "keep", faceness="on" if faceness else "off", mirror="sum" if flip else "none", **more
    )


@pytest.fixture(scope="module")
def verified(verification_case, write_release, tmp_path_factory):
    made, pairs, case = verification_case
    root = tmp_path_factory.mktemp("ijb")
    write_release(root, made, pairs=pairs, folder="IJB_release/IJBC")
    protocol = Janus(IJBC, TemplateOptions())
    return protocol.faces(root, images=False), made.embeddings(), case


@pytest.mark.parametrize("mode", MODES, ids=lambda mode: "".join(map(str, map(int, mode))))
def test_verification_equals_the_reference_for_all_flags(verified, mode):
    faces, embeddings, case = verified
    wanted = case["modes"]["unit_length={},faceness={},flip={}".format(*mode)]
    found = Janus(IJBC, options(*mode, samples=0)).evaluate(embeddings, faces, seed=0)
    for far, tar, reached in zip(case["far_targets"], wanted["tar"], wanted["far"], strict=True):
        one = metric(found, f"tar@far=1e-{round(-np.log10(far))}")
        if far * case["impostor_pairs"] < 1:
            assert one.value is None
            assert "17,847 impostor pairs" in one.reason
        else:
            assert one.value == pytest.approx(tar, abs=1e-9)
            assert one.detail["far"] == pytest.approx(reached, abs=1e-9)
            assert metric(found, one.name, "strict").detail["far"] <= far
    assert metric(found, "auc").value == pytest.approx(wanted["roc_auc"], abs=1e-6)
    assert found.scores["score"][:5] == pytest.approx(wanted["score_head"][:5], abs=1e-5)
    assert found.scores["score"].sum(dtype=np.float64) == pytest.approx(wanted["score_sum"], abs=1e-2)
    assert found.counts["genuine"] == case["genuine_pairs"]
    vectors = template_vectors(embeddings, faces.lists.rows, options(*mode), name="ijbc")
    assert vectors[0, :4] == pytest.approx(wanted["first_template_head"], abs=1e-5)
    assert vectors[-1, :4] == pytest.approx(wanted["last_template_head"], abs=1e-5)


def test_the_headline_comes_first_and_the_defaults_are_the_reference(verified):
    faces, embeddings, case = verified
    found = Janus(IJBC, TemplateOptions(samples=0)).evaluate(embeddings, faces, seed=0)
    wanted = case["modes"]["unit_length=False,faceness=True,flip=True"]
    assert found.metrics[0].name == "tar@far=1e-4"
    assert found.metrics[0].value == pytest.approx(wanted["tar"][2], abs=1e-9)
    assert [one.name for one in found.metrics[2:7]] == [f"tar@far=1e-{power}" for power in (6, 5, 3, 2, 1)]


@pytest.fixture(scope="module")
def identified(search_case, write_release, tmp_path_factory):
    made, sides, case = search_case
    root = tmp_path_factory.mktemp("ijb")
    write_release(root, made, sides=sides)
    protocol = Janus(IJBC, TemplateOptions(fpir=tuple(case["far_targets"])))
    return protocol.evaluate(made.embeddings(), protocol.faces(root, images=False), seed=0), case


def test_identification_equals_ijb_evals(identified):
    found, case = identified
    wanted = case["ijb_evals"]
    for k in (1, 5, 10):
        one = metric(found, f"rank-{k}")
        assert one.value == pytest.approx(wanted["both"][f"rank_{k}"], abs=1e-9)
        assert one.detail["G1"] == pytest.approx(wanted["g1"][f"rank_{k}"], abs=1e-9)
        assert one.detail["G2"] == pytest.approx(wanted["g2"][f"rank_{k}"], abs=1e-9)
        assert one.interval.low < one.value < one.interval.high
        assert "people" in one.interval.method
    for place, name in enumerate(("1e-3", "1e-2", "5e-2", "1e-1", "1e0")):
        one = metric(found, f"tpir@fpir={name}")
        if name == "1e-3":
            assert one.value is None
            assert "270 non-mated" in one.reason
            continue
        assert one.value == pytest.approx(wanted["both"]["tpir_mean"][place], abs=1e-9)
        for gallery, key in (("G1", "g1"), ("G2", "g2")):
            assert one.detail[gallery] == pytest.approx(wanted[key]["tpir"][place], abs=1e-9)
            assert one.detail[f"{gallery} threshold (cosine)"] == pytest.approx(
                wanted[key]["threshold"][place], abs=1e-5
            )
            assert metric(found, one.name, "strict").detail[f"{gallery} fpir"] <= case["far_targets"][place]


def test_the_joined_galleries_equal_ijb_1n(identified):
    found, case = identified
    wanted = case["ijb_1n_pooled"]
    for k in (1, 5, 10):
        assert metric(found, f"rank-{k}", "joined galleries").value == pytest.approx(wanted["ranks"][str(k)], abs=1e-9)
    for name, key in (("1e-2", "0.01"), ("1e-1", "0.1")):
        one = metric(found, f"pooled-pair-tar@pairs-per-probe={name}", "ijb_1n")
        assert one.value == pytest.approx(wanted["far"][key]["recall"], abs=1e-9)
        assert one.detail["threshold (cosine)"] == pytest.approx(wanted["far"][key]["threshold"], abs=1e-5)


def test_no_identification_rate_could_be_taken_for_the_pooled_one(identified):
    found, _ = identified
    assert {one.rule for one in found.metrics if one.name.startswith("tpir@")} == {"reference", "strict"}
    assert "not TPIR" in found.rules["pooled-pair-tar"]


def test_ijbb_reads_its_own_names(verification_case, search_case, write_release, tmp_path):
    made, sides, _ = search_case
    own = {title.replace("G", "S"): side for title, side in sides.items()}
    write_release(tmp_path, made, sides=own, folder="ijbb", name="ijbb")
    protocol = Janus(IJBB, TemplateOptions())
    found = protocol.evaluate(made.embeddings(), protocol.faces(tmp_path, images=False), seed=0)
    assert {"gallery S1", "gallery S2"} <= set(found.counts)
    assert metric(found, "rank-1").value == pytest.approx(0.6228571428571429, abs=1e-9)
