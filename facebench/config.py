"""Configuration: one TOML file, the environment and ``--set``, merged into typed settings.

Precedence, highest first: what the call or command line says (flags, then ``--set``), the environment
(``FACEBENCH_SEED=1``, ``FACEBENCH_TRAINER__EPOCHS=4``, ``FACEBENCH_DATA=DIR`` for the data root), the file, defaults.
No code is executed from configuration. An unknown key or a wrong type is an error that says where it stands.
"""

from __future__ import annotations

import os
import tomllib
from dataclasses import asdict
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import tomli_w
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import to_jsonable_python
from pydantic_settings import BaseSettings, EnvSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict
from pydantic_settings.exceptions import SettingsError

from facebench.declare import described
from facebench.errors import ConfigError, UnknownName

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

T = TypeVar("T")
# Variables that are read elsewhere.
_OTHER_VARIABLES = {"DATA", "PLUGINS", "TEST_DATA", "BENCH_SCALE"}


class Chosen(BaseModel):
    """A section that names an offer and holds that offer's options beside the name."""

    model_config = ConfigDict(extra="allow", frozen=True)

    name: str = ""

    @property
    def options(self) -> dict[str, Any]:
        """All keys but the name."""
        return dict(self.model_extra or {})


class TrainData(Chosen):
    """The training set: the built-in faces unless another one is named."""

    name: str = "demo"


class EmbeddingSettings(BaseModel):
    """How faces are embedded; none of it changes a number beyond the last bits, but ``mirror``.

    Attributes:
        batch_size: Faces per forward pass.
        workers: Threads that decode; 0 takes one per core.
        mirror: Whether to embed the mirrored faces as well; most published figures need them.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    batch_size: int = Field(default=64, ge=1, le=65536)
    workers: int = Field(default=0, ge=0, le=256)
    mirror: bool = True


class FinetuneSettings(BaseModel):
    """Where a training starts from, if not from random weights.

    Attributes:
        weights: A checkpoint folder, or a file of weights for the chosen backbone.
        classes: ``new`` starts with fresh class centres; ``kept`` also restores the checkpoint's centres and the state
            of its loss, for training on with the same identities.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    weights: Path | None = None
    classes: Literal["new", "kept"] = "new"


class PartSettings(BaseModel):
    """A method within the run of a generator, told in the same words as the method of any run.

    Attributes:
        plugin: The trainer; for the judge also an embedder. The generator's default if unnamed.
        weights: Trained weights; skips training.
        seed: Of its training; the run's, or for the judge one more.
        backbone: The network, with its options.
        loss: The loss, with its options.
        trainer: Options of the trainer.
        embedder: Options of the embedder.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    plugin: str = ""
    weights: Path | None = None
    seed: int | None = Field(default=None, ge=0, lt=2**63)
    backbone: Chosen = Chosen()
    loss: Chosen = Chosen()
    trainer: dict[str, Any] = Field(default_factory=dict)
    embedder: dict[str, Any] = Field(default_factory=dict)


class DownstreamSettings(PartSettings):
    """The method that is trained on generated faces.

    Attributes:
        faces: ``generated`` alone, or ``mixed``: together with the training set of the generator.
    """

    faces: Literal["generated", "mixed"] = "generated"


class GenerationSettings(BaseModel):
    """How many faces are drawn and how they are kept; the generator's own options of drawing stand beside.

    Attributes:
        identities: People.
        images_per_id: Pictures of each.
        form: How ``facebench generate`` leaves them: ``folder``, ``tar`` (shards) or ``recordio``.
        encoding: ``jpeg``, or ``png``, which loses nothing.
        quality: Of JPEG.
        block: Identities drawn at a time; 0 takes as many as make about a thousand pictures. On some machines it
            decides the last bits.
    """

    model_config = ConfigDict(extra="allow", frozen=True)

    identities: int = Field(default=10_000, ge=1, le=100_000_000)
    images_per_id: int = Field(default=50, ge=1, le=100_000)
    form: Literal["folder", "tar", "recordio"] = "folder"
    encoding: Literal["jpeg", "png"] = "jpeg"
    quality: int = Field(default=95, ge=1, le=100)
    block: int = Field(default=0, ge=0, le=1_000_000)

    @property
    def options(self) -> dict[str, Any]:
        """All other keys: those of the generator."""
        return dict(self.model_extra or {})


class Settings(BaseSettings):
    """Everything a run can be told.

    Attributes:
        plugin: The method: a trainer, a generator or an embedder.
        protocols: What to evaluate.
        weights: Trained weights; skips training.
        data_root: Where real protocol data lies; without it protocols use the built-in demo faces.
        out: Where run folders are made.
        cache: Where weights and embeddings are kept for the next run; the system's place if unset.
        seed: Decides every random choice.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:1``, ``mps``.
        train_data: The training set, by name or path, with its options.
        backbone: The network, with its options; the trainer's default if unnamed.
        loss: The loss, with its options; the trainer's default if unnamed.
        trainer: Options of the trainer.
        finetune: Weights that the training starts from.
        validation: Protocols on which the network is evaluated while it is trained.
        embedder: Options of the embedder.
        generator: Options of the generator.
        generation: How many faces a generator draws, and how.
        extractor: The trained network that a generator learns from.
        judge: The network that embeds generated faces for protocols that judge a set of faces.
        downstream: The method that is trained on generated faces for all other protocols.
        embedding: How faces are embedded.
        protocol: Options of each protocol, by its name.
    """

    model_config = SettingsConfigDict(env_prefix="FACEBENCH_", env_nested_delimiter="__", extra="forbid")

    plugin: str = ""
    protocols: tuple[str, ...] = ()
    weights: Path | None = None
    data_root: Path | None = None
    out: Path = Path("runs")
    cache: Path | None = None
    seed: int = Field(default=0, ge=0, lt=2**63)
    device: str = Field(default="auto", pattern=r"^(auto|cpu|mps|cuda(:\d+)?)$")
    train_data: TrainData = TrainData()
    backbone: Chosen = Chosen()
    loss: Chosen = Chosen()
    trainer: dict[str, Any] = Field(default_factory=dict)
    finetune: FinetuneSettings = FinetuneSettings()
    validation: tuple[str, ...] = ()
    embedder: dict[str, Any] = Field(default_factory=dict)
    generator: dict[str, Any] = Field(default_factory=dict)
    generation: GenerationSettings = GenerationSettings()
    extractor: PartSettings = PartSettings()
    judge: PartSettings = PartSettings()
    downstream: DownstreamSettings = DownstreamSettings()
    embedding: EmbeddingSettings = EmbeddingSettings()
    protocol: dict[str, dict[str, Any]] = Field(default_factory=dict)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Only what is passed in: ``load`` does the merging, in sight."""
        return (init_settings,)


def load(file: Path | None = None, *, changes: Iterable[str] = (), flags: Mapping[str, Any] | None = None) -> Settings:
    """Merges the sources.

    Args:
        file: A TOML file, or None.
        changes: ``--set`` arguments: ``key.key=value``, the value as TOML or else a plain string.
        flags: What dedicated options or keyword arguments said; None values are ignored.

    Raises:
        UnknownName: On an unknown key.
        ConfigError: On an unreadable file or a value of the wrong type.
    """
    filed = _read(file) if file else {}
    said: dict[str, Any] = {}
    for change in changes:
        _put(said, change)
    for key, value in (flags or {}).items():
        if value is not None:
            _deep(said, {key: value})
    _refuse_misspelt_variables()
    try:
        environment = EnvSettingsSource(Settings)()
        return Settings(**_public(merged(filed, _data_root(), environment, said)))
    except ValidationError as error:
        raise _explained(error, Settings, "") from None
    except SettingsError as error:
        example = "FACEBENCH_PROTOCOLS='[\"lfw\"]'"
        raise ConfigError(
            f"an environment variable cannot be used: {error}; lists are written as JSON, such as {example}"
        ) from None


def build_options(cls: type[T], values: Mapping[str, Any], where: str) -> T:
    """An options record from plain values.

    Args:
        cls: A class made by ``facebench.options``.
        values: What the user set.
        where: The section, for messages (``loss``).

    Raises:
        UnknownName: On an unknown key.
        ConfigError: On a wrong value, with the key's full name.
    """
    try:
        return cls(**values)
    except ValidationError as error:
        raise _explained(error, cls, where) from None


def plain(options: Any) -> dict[str, Any]:
    """An options record as JSON values, for storing and hashing."""
    return to_jsonable_python(asdict(options))  # type: ignore[no-any-return]


def to_toml(values: Mapping[str, Any]) -> str:
    """Plain values as TOML; None has no spelling there and is left out."""
    return tomli_w.dumps(_without_none(values))


def merged(*layers: Mapping[str, Any]) -> dict[str, Any]:
    """Nested mappings laid over each other; later ones win."""
    result: dict[str, Any] = {}
    for layer in layers:
        _deep(result, layer)
    return result


def _public(values: dict[str, Any]) -> dict[str, Any]:
    """The values, if none would be taken for a switch of pydantic-settings itself: those begin with ``_``."""
    for key in values:
        if key.startswith("_"):
            raise UnknownName("option", key, _fields(Settings, []))
    return values


def _refuse_misspelt_variables() -> None:
    """A variable that nearly names a setting would set nothing; others may belong to plugins."""
    known = {name.upper() for name in Settings.model_fields} | _OTHER_VARIABLES
    for variable in os.environ:
        name = variable.partition("__")[0].upper().removeprefix("FACEBENCH_")
        ours = variable.upper().startswith("FACEBENCH_")
        if ours and name not in known and get_close_matches(name, known, n=1, cutoff=0.7):
            raise UnknownName("environment variable", variable, {f"FACEBENCH_{one}" for one in known})


def _data_root() -> dict[str, str]:
    """The short spelling that people export once and forget."""
    told = os.environ.get("FACEBENCH_DATA")
    return {"data_root": told} if told else {}


def _without_none(values: Mapping[str, Any]) -> dict[str, Any]:
    return {
        key: _without_none(value) if isinstance(value, dict) else value
        for key, value in values.items()
        if value is not None
    }


def _read(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"configuration file {file} does not exist") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"configuration file {file} cannot be read: {error}") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{file}: not TOML: {error}") from None


def _put(tree: dict[str, Any], change: str) -> None:
    key, equals, text = change.partition("=")
    path = [part.strip().replace("-", "_") if depth == 0 else part.strip() for depth, part in enumerate(key.split("."))]
    if not equals or not all(path):
        raise ConfigError(f"--set {change!r}: expected KEY=VALUE, such as --set loss.margin=0.4")
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text.strip()
    for part in reversed(path):
        value = {part: value}
    _deep(tree, value)


def _deep(base: dict[str, Any], over: Mapping[str, Any]) -> None:
    for key, value in over.items():
        if isinstance(value, dict) and isinstance(base.get(key), dict):
            _deep(base[key], value)
        elif isinstance(value, dict):
            base[key] = {}
            _deep(base[key], value)
        else:
            base[key] = value


def _explained(error: ValidationError, cls: type[Any], where: str) -> ConfigError | UnknownName:
    """The first error as one line: the key in full, what was found, what would do."""
    first = error.errors()[0]
    path = [str(part) for part in first["loc"]]
    key = ".".join([*([where] if where else []), *path])
    if first["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
        known = _fields(cls, path[:-1])
        section = ".".join([*([where] if where else []), *path[:-1]])
        return UnknownName(f"option in {section!r}:" if section else "option", path[-1], known)
    if first["type"] == "missing":
        return ConfigError(f"{key} is not set and has no default")
    if first["type"] in ("model_type", "dict_type", "dataclass_type"):
        return ConfigError(f"{key} = {first['input']!r}: expected a section with keys of its own, such as {key}.KEY")
    message = first["msg"][0].lower() + first["msg"][1:]
    return ConfigError(f"{key} = {first['input']!r}: {message}")


def _fields(cls: type[Any], path: list[str]) -> list[str]:
    """The keys that may stand at a place in the settings or in an options class."""
    if not issubclass(cls, BaseModel):
        return [name for name, *_ in described(cls)]
    for part in path:
        annotation = cls.model_fields[part].annotation
        if not (isinstance(annotation, type) and issubclass(annotation, BaseModel)):
            return []
        cls = annotation
    return list(cls.model_fields)
