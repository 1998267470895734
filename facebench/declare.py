"""Typed options: what a plugin lets its user set.

One class serves the configuration file, ``--set``, the help texts and the checks. An author writes

    @options
    class ArcFaceOptions:
        margin: float = option(default=0.5, help="additive angular margin m2, radians", ge=0, le=3.1416)

and receives a frozen instance whose values were checked.
"""

from __future__ import annotations

from dataclasses import MISSING, fields, is_dataclass
from typing import TYPE_CHECKING, Any, TypeVar, dataclass_transform, get_args

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass as pydantic_dataclass
from pydantic.dataclasses import is_pydantic_dataclass
from pydantic.fields import FieldInfo

if TYPE_CHECKING:
    from collections.abc import Iterator

T = TypeVar("T")


def option(*, default: T, help: str, decides: bool = True, **limits: float) -> T:
    """Declares one option.

    Args:
        default: The value used when the user sets none.
        help: One line for people: meaning, unit, range.
        decides: Whether it can change a number. One that cannot, such as a count of threads, is no part of the
            fingerprints under which weights and results are kept.
        **limits: ``ge``, ``gt``, ``le`` or ``lt`` for numbers, ``min_length`` and ``max_length`` for sequences.
    """
    marks: Any = {} if decides else {"json_schema_extra": {"decides": False}}
    declared: Any = Field(default=default, description=help, **marks, **limits)  # type: ignore[call-overload]
    return declared  # type: ignore[no-any-return]


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(option,))
def options(cls: type[T]) -> type[T]:
    """Turns a class of annotated ``option`` fields into a frozen, checked record that refuses unknown keys."""
    # Neither infinity nor NaN: options are stored as TOML and hashed as JSON, and no option means either.
    config = ConfigDict(extra="forbid", validate_default=True, allow_inf_nan=False)
    return pydantic_dataclass(frozen=True, kw_only=True, config=config)(cls)  # type: ignore[return-value]


@options
class NoOptions:
    """The options of an offer that has none."""


def unusable(cls: object) -> str:
    """Why something cannot serve as a class of options, or an empty string."""
    if not isinstance(cls, type) or not is_pydantic_dataclass(cls) or cls.__pydantic_config__.get("extra") != "forbid":
        return "are not a class made by facebench.options"
    for field in fields(cls):
        if field.default is MISSING and field.default_factory is MISSING:
            return f"give {field.name!r} no default"
    return ""


def described(cls: type[Any]) -> Iterator[tuple[str, str, Any, str]]:
    """Yields (name, type in words, default, help) of each option in a class, in order."""
    if not is_dataclass(cls):
        return
    for field in fields(cls):
        info = field.default
        if isinstance(info, FieldInfo):
            default, text = info.default, info.description or ""
        else:
            default, text = field.default_factory() if field.default_factory is not MISSING else info, ""
        yield field.name, _in_words(field.type), default, text


def undecided(cls: type[Any]) -> set[str]:
    """The names of the options that cannot change a number."""
    marks = {field.name: getattr(field.default, "json_schema_extra", None) for field in fields(cls)}
    return {name for name, mark in marks.items() if isinstance(mark, dict) and mark.get("decides") is False}


def _in_words(kind: Any) -> str:
    """A type as its author wrote it, whether or not annotations are kept as strings there."""
    if isinstance(kind, str):
        return kind
    plain = isinstance(kind, type) and not get_args(kind)
    return kind.__name__ if plain else str(kind).replace("typing.", "")
