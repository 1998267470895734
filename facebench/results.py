"""What an evaluation found, as a document that outlives the code that wrote it.

A ``Result`` is one JSON file: metrics with unit, direction, interval and rule; thinned curves; provenance. The schema
has a number from the first day and is published as JSON Schema (``Result.model_json_schema()``). Values are fractions
in the file and percent on screen.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from facebench.errors import DataError

if TYPE_CHECKING:
    from pathlib import Path

SCHEMA_NUMBER = 1


def _finite(value: float) -> float:
    if value != value or value in (float("inf"), float("-inf")):
        raise ValueError("must be finite; leave the value out and give a reason")
    return value


Finite = Annotated[float, AfterValidator(_finite)]


class Record(BaseModel):
    """The base of all parts of a result: immutable, and no unknown field passes."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Interval(Record):
    """Where the true value lies, with how that was found.

    Attributes:
        low: Lower end, in the metric's unit.
        high: Upper end.
        level: Confidence level, in (0, 1).
        method: In words, such as "bootstrap over subjects" or "Wilson".
        samples: Replicates, folds or trials behind it.
    """

    low: Finite
    high: Finite
    level: float = Field(default=0.95, gt=0, lt=1)
    method: str
    samples: int = Field(ge=0)


class Metric(Record):
    """One number.

    Attributes:
        name: The one spelling used everywhere, such as ``tar@far=1e-3``. One that ends in ``-beside`` is the same of
            something that was measured beside, to compare with; a terminal shows the two next to each other.
        value: The value, or None when it could not be computed honestly; then ``reason`` says why.
        unit: ``fraction`` (shown in percent) or a word for anything else.
        higher_is_better: True or False; None when neither, as for a threshold.
        interval: Its uncertainty, if known.
        rule: How it was computed where implementations differ: ``reference`` is the published tables' rule.
        score: The comparison score it is based on.
        mirror: How a face and its mirror image were fused: ``sum``, ``none`` or ``concat``.
        reason: Why the value is absent.
        detail: Further numbers or words behind the value (rates at both ends, counts, definitions).
    """

    name: str
    value: Finite | None
    unit: str = "fraction"
    higher_is_better: bool | None = True
    interval: Interval | None = None
    rule: str = "reference"
    score: str = "cosine"
    mirror: str | None = None
    reason: str | None = None
    detail: dict[str, int | Finite | str] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _value_or_reason(self) -> Metric:
        if (self.value is None) == (self.reason is None):
            raise ValueError(f"metric {self.name!r} needs a value or else a reason for its absence")
        return self


class Series(Record):
    """One line or one histogram of a figure; ``x`` and ``y`` have equal length."""

    name: str
    x: tuple[Finite, ...]
    y: tuple[Finite, ...]

    @model_validator(mode="after")
    def _same_length(self) -> Series:
        if len(self.x) != len(self.y):
            raise ValueError(f"series {self.name!r} has {len(self.x)} x and {len(self.y)} y values")
        return self


class Curve(Record):
    """A figure's data, thinned; the exact operating points stand in the metrics.

    Attributes:
        name: File-name-safe name (``roc``).
        title: For people.
        kind: ``line``, ``step`` (changes at its points), ``histogram`` (x are left bin edges of equal width) or
            ``matrix`` (each series is a row from the top, its x are columns and its y the values in them).
        x_label: Axis name with unit.
        y_label: Axis name with unit.
        x_scale: ``linear`` or ``log``.
        y_scale: ``linear`` or ``log``.
        series: What is drawn.
        marks: Vertical lines: x position by name, such as a threshold.
    """

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]*$")
    title: str
    kind: Literal["line", "step", "histogram", "matrix"] = "line"
    x_label: str
    y_label: str
    x_scale: Literal["linear", "log"] = "linear"
    y_scale: Literal["linear", "log"] = "linear"
    series: tuple[Series, ...]
    marks: dict[str, Finite] = Field(default_factory=dict)


class Subject(Record):
    """What was evaluated.

    Attributes:
        plugin: The name given to ``--plugin``.
        distribution: The installed package that offered it, with version.
        model: In words: backbone, loss and training set, or the file of weights.
        weights: SHA-256 of the weights, or of the array of embeddings.
        embedding_size: Length of one embedding.
        notes: What the embedder says of itself, such as which preprocessing it uses and how it knows.
    """

    plugin: str
    distribution: str
    model: str
    weights: str
    embedding_size: int
    notes: dict[str, str] = Field(default_factory=dict)


class Data(Record):
    """On which data.

    Attributes:
        name: Data set.
        demo: True for the built-in drawn faces; such results never share a table with real ones.
        version: Of the demo data; empty for real data, where the fingerprint tells.
        fingerprint: Hash over the images and the lists.
        counts: Images, pairs, templates and so on.
    """

    name: str
    demo: bool = False
    version: str = ""
    fingerprint: str
    counts: dict[str, int] = Field(default_factory=dict)


class Provenance(Record):
    """How to get the same number again.

    Attributes:
        facebench: Version of this package.
        python: Version of the interpreter.
        packages: Versions of the libraries that touch numbers.
        platform: Operating system and processor.
        device: Where the network ran.
        threads: Threads it ran with.
        seed: The run's seed.
        config: Fingerprint of the resolved configuration.
        run: Name of the run's folder.
        processes: How many processes trained and embedded together.
        time: When the evaluation ended, ISO 8601 with zone.
    """

    facebench: str
    python: str
    packages: dict[str, str]
    platform: str
    device: str
    threads: int
    seed: int
    config: str
    run: str = ""
    processes: int = Field(default=1, ge=1)
    time: str


class Result(Record):
    """One protocol, evaluated once, for one subject."""

    schema_number: Literal[1] = 1
    protocol: str
    protocol_distribution: str
    subject: Subject
    data: Data
    metrics: tuple[Metric, ...]
    curves: tuple[Curve, ...] = ()
    folds: dict[str, tuple[Finite, ...]] = Field(default_factory=dict)
    rules: dict[str, str] = Field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    provenance: Provenance

    @property
    def title(self) -> str:
        """The protocol's name as people see it: demo results say so."""
        return f"{self.protocol} (demo)" if self.data.demo else self.protocol

    def metric(self, name: str, *, rule: str | None = None, mirror: str | None = None) -> Metric:
        """The first metric of that name, which is the headline, or the one of a certain rule or mirror fusion.

        Raises:
            KeyError: When the result holds no such metric.
        """
        for metric in self.metrics:
            if metric.name == name and rule in (None, metric.rule) and mirror in (None, metric.mirror):
                return metric
        raise KeyError(f"no metric {name!r}; there are {', '.join(dict.fromkeys(m.name for m in self.metrics))}")

    def to_json(self) -> str:
        """The document as it is stored."""
        return self.model_dump_json(indent=2) + "\n"

    @classmethod
    def load(cls, path: Path) -> Result:
        """Reads a stored result.

        Raises:
            DataError: When the file is not a result, or was written by a newer schema.
        """
        try:
            text = path.read_text(encoding="utf-8")
            document: Any = json.loads(text)
        except (OSError, ValueError, RecursionError) as error:
            raise DataError(f"{path}: not a readable result: {error}") from None
        number = document.get("schema_number") if isinstance(document, dict) else None
        if isinstance(number, int) and number > SCHEMA_NUMBER:
            raise DataError(
                f"{path}: result schema {number} is newer than this facebench reads ({SCHEMA_NUMBER}); upgrade"
            )
        try:
            return cls.model_validate_json(text)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"]) or "document"
            raise DataError(f"{path}: not a facebench result: {where}: {first['msg']}") from None
