from __future__ import annotations

from itertools import permutations
from typing import TYPE_CHECKING

import pytest

from facebench import FacebenchError, UnknownName
from facebench_leaderboard.table import newest, tables

if TYPE_CHECKING:
    from collections.abc import Callable

    from facebench import Metric, Result

    Make = Callable[..., Result]
    MakeMetric = Callable[..., Metric]


def ranks(table) -> list[tuple[int | None, str]]:
    return [(row.rank, row.method) for row in table.rows]


def headings(table) -> list[str]:
    return [column.heading for column in table.columns]


def cell(table, method: str, name: str):
    index = [column.name for column in table.columns].index(name)
    return next(row for row in table.rows if row.method == method).cells[index]


def test_nothing_to_report_is_an_error() -> None:
    with pytest.raises(FacebenchError, match="no result"):
        tables([])


def test_one_table_for_each_protocol(make: Make) -> None:
    found = tables([make("arcface"), make("arcface", protocol="cfp-fp"), make("sface")])
    assert [(table.heading, len(table.rows)) for table in found] == [("cfp-fp", 1), ("lfw", 2)]


def test_demo_never_meets_real_data(make: Make) -> None:
    # Even when everything else agrees.
    found = tables([make("arcface", demo=True), make("arcface"), make("sface", demo=True)])
    assert [(table.heading, table.demo, len(table.rows)) for table in found] == [
        ("lfw", False, 1),
        ("lfw (demo) · version 1", True, 2),
    ]


def test_demo_versions_do_not_mix(make: Make) -> None:
    first = make("arcface", demo=True)
    second = first.model_copy(update={"data": first.data.model_copy(update={"version": "2"})})
    found = tables([first, second])
    assert len(found) == 2
    assert "version 1" in found[0].heading and "version 2" in found[1].heading


def test_other_data_gets_its_own_table_and_says_so(make: Make, other_data: str) -> None:
    found = tables([make("arcface"), make("sface", fingerprint=other_data)])
    assert [table.heading for table in found] == ["lfw · LFW 3f2a91c0", "lfw · LFW b07c44d1"]
    assert [len(table.rows) for table in found] == [1, 1]
    assert "6,000 pairs" in found[0].data


def test_columns_keep_the_protocols_order_and_leave_out_what_has_no_direction(make: Make) -> None:
    (table,) = tables([make("arcface")])
    assert headings(table) == ["accuracy (%)", "auc (%)", "eer (%)", "tar@far=1e-3 (%)", "tar@far=1e-6 (%)"]


def test_spread_stands_beside_its_metric(make: Make) -> None:
    (table,) = tables([make("arcface", 0.9945)])
    shown = cell(table, "arcface", "accuracy")
    assert (shown.text, shown.spread, shown.interval) == ("99.450", "± 0.210", "[99.20, 99.70]")
    assert "bootstrap over subjects" in shown.hint


def test_a_spread_without_its_metric_gets_a_column(make: Make, make_metric: MakeMetric) -> None:
    (table,) = tables([make(metrics=(make_metric("accuracy-std", 0.002),))])
    assert headings(table) == ["accuracy-std (%)"]


def test_the_table_shows_reference_and_the_headline_mirror(make: Make) -> None:
    (table,) = tables([make("arcface", 0.99)])
    assert cell(table, "arcface", "tar@far=1e-3").text == "98.00"  # strict says 97.70
    assert cell(table, "arcface", "accuracy").text == "99.000"  # without mirror 98.900
    assert (table.rows[0].mirror, table.rows[0].rule) == ("sum", "reference")


def test_rules_never_mix_in_a_column(make: Make, make_metric: MakeMetric) -> None:
    both = make("both", metrics=(make_metric("rank-1", 0.9), make_metric("rank-1", 0.8, rule="strict")))
    strict = make("strict", metrics=(make_metric("rank-1", 0.95, rule="strict"),))
    (table,) = tables([both, strict])
    assert cell(table, "both", "rank-1").text == "90.00"
    assert cell(table, "strict", "rank-1").text == "—"
    (alone,) = tables([strict])
    assert (alone.rows[0].cells[0].text, alone.rows[0].rule) == ("95.00", "strict")


def test_a_second_score_is_a_second_column(make: Make, make_metric: MakeMetric) -> None:
    url = make("url", metrics=(make_metric("rank-1", 0.9), make_metric("rank-1", 0.92, score="pa")))
    (table,) = tables([url])
    assert headings(table) == ["rank-1 by cosine (%)", "rank-1 by pa (%)"]


def test_scores_by_different_rules_name_them(make: Make, make_metric: MakeMetric) -> None:
    cosine = (make_metric("accuracy", 0.9), make_metric("accuracy", 0.89, rule="strict"))
    url = make("url", metrics=(*cosine, make_metric("accuracy", 0.92, rule="strict", score="pa")))
    (table,) = tables([url, make("arcface", metrics=cosine)])
    assert headings(table) == ["accuracy by cosine, reference (%)", "accuracy by pa, strict (%)"]
    shown = {row.method: [one.text for one in row.cells] for row in table.rows}
    assert shown == {"url": ["90.000", "92.000"], "arcface": ["90.000", "—"]}


def test_rank_follows_the_headline(make: Make) -> None:
    (table,) = tables([make("low", 0.98), make("high", 0.999), make("middle", 0.99)])
    assert ranks(table) == [(1, "high"), (2, "middle"), (3, "low")]


def test_lower_can_be_better(make: Make, make_metric: MakeMetric) -> None:
    (table,) = tables(
        [
            make(name, metrics=(make_metric("eer", value, higher_is_better=False),))
            for name, value in (("a", 0.03), ("b", 0.01), ("c", 0.02))
        ]
    )
    assert ranks(table) == [(1, "b"), (2, "c"), (3, "a")]
    assert [row.cells[0].best for row in table.rows] == [True, False, False]


def test_values_equal_as_shown_share_a_rank(make: Make) -> None:
    (table,) = tables([make("d", 0.98), make("c", 0.9945), make("a", 0.99), make("b", 0.9945000001)])
    assert ranks(table) == [(1, "b"), (1, "c"), (3, "a"), (4, "d")]
    assert [row.cells[0].best for row in table.rows] == [True, True, False, False]


def test_no_headline_value_no_rank(make: Make, make_metric: MakeMetric) -> None:
    missing = make("missing", metrics=(make_metric("accuracy", None, reason="too few pairs"),))
    (table,) = tables([missing, make("arcface")])
    assert ranks(table) == [(1, "arcface"), (None, "missing")]


def test_no_direction_no_rank_and_no_best(make: Make, make_metric: MakeMetric) -> None:
    (table,) = tables(
        [make(name, metrics=(make_metric("xnorm", 20.5, 0, unit="", higher_is_better=None),)) for name in "ab"],
        ["xnorm"],
    )
    assert ranks(table) == [(None, "a"), (None, "b")]
    assert not any(row.cells[0].best for row in table.rows)


def test_a_single_value_is_not_the_best_of_anything(make: Make) -> None:
    (table,) = tables([make("arcface")])
    assert not any(cell.best for cell in table.rows[0].cells)


def test_missing_values_have_a_numbered_reason(make: Make, make_metric: MakeMetric) -> None:
    (table,) = tables([make("arcface"), make("sface"), make("odd", metrics=(make_metric("accuracy", 0.9),))])
    assert table.notes == ("FAR 1e-6 is below what 3,000 impostors resolve", "this result does not have the metric")
    missing = cell(table, "arcface", "tar@far=1e-6")
    assert (missing.text, missing.note, missing.hint) == ("—", 1, table.notes[0])
    assert cell(table, "sface", "tar@far=1e-6").note == 1
    assert cell(table, "odd", "eer").note == 2


def test_the_newest_of_equal_runs_counts(make: Make) -> None:
    # The later time zone's clock shows an earlier hour.
    old = make("arcface", 0.91, time="2025-03-01T12:00:00+02:00")
    new = make("arcface", 0.92, time="2025-03-01T11:00:00+00:00")
    for order in permutations([old, new]):
        (table,) = tables(order)
        assert [row.cells[0].text for row in table.rows] == ["92.000"]
        assert any("1 older result" in remark for remark in table.remarks)


@pytest.mark.parametrize("changes", [{"config": "other"}, {"weights": "other"}])
def test_other_weights_or_configuration_is_another_row(make: Make, changes: dict[str, str]) -> None:
    (table,) = tables([make("arcface"), make("arcface", **changes)])
    assert len(table.rows) == 2
    assert table.remarks == ()


def test_an_unreadable_time_is_the_oldest(make: Make) -> None:
    odd = make("arcface", 0.91, time="yesterday")
    (table,) = tables([make("arcface", 0.92), odd])
    assert [row.cells[0].text for row in table.rows] == ["92.000"]
    assert newest([odd]) < newest([make()])


def test_order_of_input_does_not_matter(make: Make) -> None:
    results = [make("a", 0.99), make("b", 0.99), make("b", 0.99, weights="other"), make("c", 0.98)]
    expected = tables(results)
    assert all(tables(order) == expected for order in permutations(results))


def test_wanted_metrics_are_shown_in_their_order_and_rank(make: Make) -> None:
    one = make("one", 0.99)
    two = make("two", 0.98)
    (table,) = tables([one, two], ["eer", "threshold"])
    assert headings(table) == ["eer (%)", "threshold (cosine)"]
    assert ranks(table) == [(1, "one"), (2, "two")]
    assert cell(table, "one", "threshold").text == "0.312"


def test_an_unknown_metric_is_an_error_with_a_hint(make: Make) -> None:
    with pytest.raises(UnknownName, match="did you mean 'accuracy'"):
        tables([make()], ["acuracy"])


def test_rules_in_words_are_shared_or_the_rows_own(make: Make) -> None:
    one = make("one", rules={"folds": "in file order", "threshold": "grid"})
    two = make("two", rules={"folds": "in file order", "threshold": "exact"})
    (table,) = tables([one, two])
    assert table.rules == (("folds", "in file order"),)
    assert {row.method: row.own_rules for row in table.rows} == {
        "one": (("threshold", "grid"),),
        "two": (("threshold", "exact"),),
    }
    assert any("threshold" in remark for remark in table.remarks)


def test_other_versions_of_the_protocol_are_told(make: Make) -> None:
    (table,) = tables([make("one"), make("two", protocol_distribution="facebench 0.2.0")])
    assert any("facebench 0.1.0, facebench 0.2.0" in remark for remark in table.remarks)


def test_figures_hold_the_best_methods_under_names_of_their_own(make: Make) -> None:
    results = [make(f"m{k}", 0.9 + k / 1000) for k in range(9)]
    results.append(make("m8", 0.95, weights="other"))
    (table,) = tables(results)
    roc, scores = table.overlays
    assert len(roc.curves) == 7 and roc.left_out == 3
    assert len(scores.curves) == 3 and scores.left_out == 7
    names = list(roc.curves)
    assert names[:2] == ["m8 · iresnet50, m8, MS1MV2", "m8 · iresnet50, m8, MS1MV2 (2)"]


def test_figures_never_mix_axes(make: Make) -> None:
    one = make("one")
    other = one.curves[0].model_copy(update={"x_label": "false positives"})
    (table,) = tables([make("one", curves=one.curves[:1]), make("two", curves=(other,))])
    assert [list(overlay.curves) for overlay in table.overlays] == [
        ["one · iresnet50, one, MS1MV2"],
        ["two · iresnet50, two, MS1MV2"],
    ]
