from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

import facebench
from facebench.errors import DataError
from facebench.results import SCHEMA_NUMBER, Curve, Data, Interval, Metric, Provenance, Result, Series, Subject

SCHEMA = Path(facebench.__file__).with_name("result.schema.json")


def make(**changed) -> Result:
    """A result with every kind of part in it."""
    values = {
        "protocol": "lfw",
        "protocol_distribution": "facebench 0.1.0",
        "subject": Subject(
            plugin="arcface",
            distribution="facebench 0.1.0",
            model="tinynet + arcface",
            weights="ab" * 32,
            embedding_size=128,
            notes={"preprocessing": "read from the checkpoint"},
        ),
        "data": Data(name="lfw", fingerprint="cd" * 32, counts={"images": 12, "pairs": 6}),
        "metrics": (
            Metric(
                name="accuracy",
                value=0.1 + 0.2,
                interval=Interval(low=0.29, high=0.31, method="fold standard error", samples=10),
                mirror="sum",
                detail={"folds": 10, "threshold": 0.25, "rule": "best of the other folds"},
            ),
            Metric(name="accuracy", value=0.25, mirror="none"),
            Metric(name="tar@far=1e-3", value=0.5, rule="strict"),
            Metric(name="tar@far=1e-6", value=None, reason="1,000 impostors do not resolve it"),
            Metric(name="threshold", value=0.25, unit="cosine", higher_is_better=None),
        ),
        "curves": (
            Curve(
                name="roc",
                title="ROC",
                kind="step",
                x_label="FAR",
                y_label="TAR",
                x_scale="log",
                series=(Series(name="all", x=(0.1, 1), y=(0.5, 1)),),
                marks={"far=1e-1": 0.1},
            ),
        ),
        "folds": {"accuracy": (0.25, 0.35)},
        "rules": {"threshold": "fitted on the other nine folds"},
        "warnings": ("Größe: 5 µm",),
        "provenance": Provenance(
            facebench="0.1.0",
            python="3.11.0",
            packages={"numpy": "2.0"},
            platform="Linux x86_64",
            device="cpu",
            threads=1,
            seed=0,
            config="0123456789abcdef",
            run="20260101-120000-arcface-1f3a",
            time="2026-01-01T12:00:00+00:00",
        ),
    }
    return Result(**values | changed)


@pytest.fixture
def stored(tmp_path):
    """Writes a document, changed by a function, and returns its path."""

    def write(change=lambda document: document) -> Path:
        document = json.loads(make().to_json())
        path = tmp_path / "lfw.json"
        path.write_text(json.dumps(change(document) or document), encoding="utf-8")
        return path

    return write


def test_a_result_survives_its_file(tmp_path):
    path = tmp_path / "r.json"
    path.write_text(make().to_json(), encoding="utf-8")
    assert Result.load(path) == make()
    assert Result.load(path).to_json() == make().to_json()


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_every_bit_of_a_value_survives(value):
    again = Result.model_validate_json(make(metrics=(Metric(name="m", value=value),)).to_json())
    assert again.metrics[0].value.hex() == value.hex()


def test_the_document_ends_with_a_line_end_and_carries_its_number():
    text = make().to_json()
    assert text.endswith("}\n")
    assert json.loads(text)["schema_number"] == SCHEMA_NUMBER == 1


def test_a_demo_says_so_in_its_title():
    assert make().title == "lfw"
    assert make(data=Data(name="demo", demo=True, version="1", fingerprint="f")).title == "lfw (demo)"


# Finding a metric.


def test_the_headline_is_the_first_metric_of_the_name():
    assert make().metric("accuracy").mirror == "sum"


def test_rule_and_mirror_pick_among_metrics_of_one_name():
    assert make().metric("accuracy", mirror="none").value == 0.25
    assert make().metric("tar@far=1e-3", rule="strict").value == 0.5


@pytest.mark.parametrize("asked", [{"name": "acuracy"}, {"name": "accuracy", "mirror": "concat"}])
def test_a_metric_that_is_not_there_is_a_key_error(asked):
    with pytest.raises(KeyError, match=asked["name"]):
        make().metric(**asked)


def test_a_rule_that_was_not_used_is_a_key_error():
    with pytest.raises(KeyError):
        make().metric("tar@far=1e-3", rule="reference")


# What cannot be said.


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize(
    "where",
    [
        lambda value: Metric(name="m", value=value),
        lambda value: Metric(name="m", value=1.0, detail={"rate": value}),
        lambda value: Interval(low=value, high=1.0, method="m", samples=1),
        lambda value: Interval(low=0.0, high=value, method="m", samples=1),
        lambda value: Series(name="s", x=(value,), y=(1.0,)),
        lambda value: Series(name="s", x=(1.0,), y=(value,)),
        lambda value: Curve(name="c", title="", x_label="", y_label="", series=(), marks={"m": value}),
        lambda value: make(folds={"accuracy": (0.5, value)}),
    ],
)
def test_no_number_is_nan_or_infinite(where, value):
    with pytest.raises(ValidationError, match="must be finite"):
        where(value)


@pytest.mark.parametrize("values", [{"value": None}, {"value": 0.5, "reason": "none needed"}])
def test_a_metric_has_a_value_or_a_reason(values):
    with pytest.raises(ValidationError, match="metric 'm' needs a value or else a reason"):
        Metric(name="m", **values)


def test_a_series_has_a_y_for_every_x():
    with pytest.raises(ValidationError, match="series 's' has 2 x and 1 y values"):
        Series(name="s", x=(0, 1), y=(0,))


@pytest.mark.parametrize("name", ["", "ROC", "../roc", "roc.html", "-roc", "a/b", "roc\n"])
def test_a_curve_has_a_name_that_is_safe_as_a_file(name):
    with pytest.raises(ValidationError):
        Curve(name=name, title="", x_label="", y_label="", series=())


@pytest.mark.parametrize("level", [0, 1, 95])
def test_a_level_of_confidence_is_a_fraction(level):
    with pytest.raises(ValidationError):
        Interval(low=0, high=1, level=level, method="m", samples=1)


def test_results_are_frozen():
    with pytest.raises(ValidationError):
        make().protocol = "ijbc"
    with pytest.raises(ValidationError):
        make().metrics[0].value = 1.0


# Files of other ages and other makers.


def test_a_newer_schema_is_refused_by_its_number(stored):
    def newer(document):
        return {"schema_number": SCHEMA_NUMBER + 1, "wholly": "different"}

    with pytest.raises(DataError, match=r"result schema 2 is newer than this facebench reads \(1\); upgrade"):
        Result.load(stored(newer))


@pytest.mark.parametrize("number", [0, -1, "1", 1.5, None, [1]])
def test_a_number_that_never_was_is_refused(stored, number):
    with pytest.raises(DataError, match="not a facebench result: schema_number"):
        Result.load(stored(lambda document: {**document, "schema_number": number}))


CHANGES = {
    "data.name": lambda document: document["data"].pop("name"),
    "surprise": lambda document: document.update(surprise=1),
    "metrics.0.surprise": lambda document: document["metrics"][0].update(surprise=1),
    "metrics.1.value": lambda document: document["metrics"][1].update(value="half"),
    "metrics.2": lambda document: document["metrics"][2].update(value=None),
    "subject": lambda document: document.update(subject=None),
    "provenance.threads": lambda document: document["provenance"].update(threads="many"),
}


@pytest.mark.parametrize("where", CHANGES)
def test_a_malformed_file_is_refused_with_the_place(stored, where):
    path = stored(lambda document: CHANGES[where](document) and None)
    with pytest.raises(DataError) as caught:
        Result.load(path)
    assert str(caught.value).startswith(f"{path}: not a facebench result: {where}: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "content",
    [b"", b"[", b"{" * 9, b"[" * 100_000, b"\xff\xfe", b"not json", b"[]", b"3", b"null", b'"text"', b"{}", b"NaN"],
    ids=lambda content: content[:9].decode("latin1"),
)
def test_what_is_no_result_is_refused_by_name(tmp_path, content):
    path = tmp_path / "x.json"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"x\.json: not a"):
        Result.load(path)


def test_nan_in_a_file_is_refused(stored):
    path = stored()
    path.write_text(path.read_text().replace("0.35", "NaN"))
    with pytest.raises(DataError, match=r"folds\.accuracy\.1"):
        Result.load(path)


def test_a_file_that_is_not_there_is_a_data_error(tmp_path):
    with pytest.raises(DataError, match="not a readable result"):
        Result.load(tmp_path / "none.json")


def test_a_result_that_does_not_count_processes_comes_from_one(tmp_path):
    document = json.loads(make().to_json())
    del document["provenance"]["processes"]
    (tmp_path / "old.json").write_text(json.dumps(document))
    assert Result.load(tmp_path / "old.json").provenance.processes == 1


# The published schema.


def test_the_published_schema_is_up_to_date():
    """Write it anew with ``Path("facebench/result.schema.json").write_text(...)`` of the expression below."""
    assert SCHEMA.read_text(encoding="utf-8") == json.dumps(Result.model_json_schema(), indent=2) + "\n"


@pytest.fixture(scope="module")
def validator():
    schema = json.loads(SCHEMA.read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


def test_a_result_passes_the_published_schema(validator):
    validator.validate(json.loads(make().to_json()))


@pytest.mark.parametrize("where", [where for where in CHANGES if where != "metrics.2"])
def test_what_the_reader_refuses_the_published_schema_refuses(validator, where):
    document = json.loads(make().to_json())
    CHANGES[where](document)
    assert not validator.is_valid(document)


def test_the_published_schema_knows_its_number(validator):
    document = json.loads(make().to_json()) | {"schema_number": SCHEMA_NUMBER + 1}
    assert not validator.is_valid(document)
