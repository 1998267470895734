from __future__ import annotations

import math
import os
from itertools import combinations
from pathlib import Path

import pytest

from facebench.config import Settings, build_options, load, plain
from facebench.declare import option, options
from facebench.errors import ConfigError, UnknownName


@options
class LossOptions:
    """Options as a plugin declares them."""

    margin: float = option(default=0.5, help="an angle", ge=0, le=3)
    marks: tuple[float, ...] = option(default=(0.5, 0.75), help="where")
    label: str | None = None


@pytest.fixture(autouse=True)
def clean(monkeypatch):
    for name in [name for name in os.environ if name.startswith("FACEBENCH_")]:
        monkeypatch.delenv(name)


# Who wins. Each source sets the same key to its own value; the higher one must win over every lower one.

SOURCES = ("flags", "changes", "environment", "short environment", "file")


@pytest.mark.parametrize(("higher", "lower"), [*combinations(SOURCES, 2)])
def test_precedence(monkeypatch, file, higher, lower):
    given = {}
    for source in (higher, lower):
        root = f"/from/{source.replace(' ', '-')}"
        if source == "flags":
            given["flags"] = {"data_root": Path(root)}
        elif source == "changes":
            given["changes"] = [f"data_root={root}"]
        elif source == "file":
            given["file"] = file(f'data_root = "{root}"')
        else:
            monkeypatch.setenv("FACEBENCH_DATA" if source == "short environment" else "FACEBENCH_DATA_ROOT", root)
    assert load(**given).data_root == Path(f"/from/{higher.replace(' ', '-')}")


def test_everything_has_a_default():
    assert load() == Settings()
    assert (load().seed, load().train_data.name, load().out) == (0, "demo", Path("runs"))
    assert load().data_root is None and load().cache is None


@pytest.mark.parametrize("source", SOURCES[:3])
def test_every_source_beats_the_default(monkeypatch, source):
    given = {}
    if source == "flags":
        given["flags"] = {"seed": 7}
    elif source == "changes":
        given["changes"] = ["seed=7"]
    else:
        monkeypatch.setenv("FACEBENCH_SEED", "7")
    assert load(**given).seed == 7


def test_sources_are_merged_key_by_key_and_not_section_by_section(monkeypatch, file):
    monkeypatch.setenv("FACEBENCH_LOSS__SCALE", "32")
    path = file('[loss]\nname = "arcface"\nmargin = 0.1\nscale = 1\n[embedding]\nbatch_size = 8\n')
    settings = load(path, changes=["loss.margin=0.4", "embedding.workers=2"], flags={"loss": {"name": "sface"}})
    assert settings.loss.name == "sface"
    assert settings.loss.options == {"margin": 0.4, "scale": "32"}
    assert (settings.embedding.batch_size, settings.embedding.workers, settings.embedding.mirror) == (8, 2, True)


def test_a_flag_that_was_not_given_says_nothing(file):
    assert load(file("seed = 3"), flags={"seed": None, "loss": None}).seed == 3


def test_of_two_changes_the_later_wins():
    assert load(changes=["seed=1", "seed=2"]).seed == 2


def test_reading_changes_nothing_that_was_given(file):
    changes, flags = ["loss.margin=0.4"], {"loss": {"name": "a"}, "trainer": {"epochs": 1}}
    load(changes=changes, flags=flags)
    load(changes=["loss.name=b", "trainer.epochs=2"], flags=flags)
    assert flags == {"loss": {"name": "a"}, "trainer": {"epochs": 1}}


# The environment.


def test_the_environment_reaches_every_section(monkeypatch):
    for name, value in {
        "FACEBENCH_TRAINER__EPOCHS": "4",
        "FACEBENCH_BACKBONE__NAME": "tinynet",
        "FACEBENCH_EMBEDDING__MIRROR": "false",
        "FACEBENCH_PROTOCOL__LFW__FOLDS": "5",
        "FACEBENCH_PROTOCOLS": '["lfw", "ijbc"]',
        "FACEBENCH_CACHE": "/a/cache",
    }.items():
        monkeypatch.setenv(name, value)
    settings = load()
    assert settings.trainer == {"epochs": "4"}
    assert settings.backbone.name == "tinynet"
    assert settings.embedding.mirror is False
    assert settings.protocol == {"lfw": {"folds": "5"}}
    assert settings.protocols == ("lfw", "ijbc")
    assert settings.cache == Path("/a/cache")


@pytest.mark.parametrize("name", ["FACEBENCH_PROTOCOLS", "FACEBENCH_LOSS"])
def test_an_environment_variable_of_the_wrong_form_says_how(monkeypatch, name):
    monkeypatch.setenv(name, "lfw")
    with pytest.raises(ConfigError, match=name.removeprefix("FACEBENCH_").lower()) as caught:
        load()
    assert "lists are written as JSON, such as FACEBENCH_PROTOCOLS='[\"lfw\"]'" in str(caught.value)


def test_a_wrong_value_in_the_environment_is_an_error(monkeypatch):
    monkeypatch.setenv("FACEBENCH_SEED", "many")
    with pytest.raises(ConfigError, match="seed = 'many': input should be a valid integer"):
        load()


def test_switches_of_the_program_are_no_settings(monkeypatch):
    for name in ("FACEBENCH_PLUGINS", "FACEBENCH_TEST_DATA", "FACEBENCH_LOGO"):
        monkeypatch.setenv(name, "off")
    assert load() == Settings()


def test_an_empty_data_root_in_the_environment_is_none(monkeypatch):
    monkeypatch.setenv("FACEBENCH_DATA", "")
    assert load().data_root is None


# --set.


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0.4", 0.4),
        ("4", 4),
        ("true", True),
        ('"4"', "4"),
        ("[0.5, 0.75]", [0.5, 0.75]),
        ("{ a = 1, b = { c = 2 } }", {"a": 1, "b": {"c": 2}}),
        ("hard", "hard"),
        ("  hard  ", "hard"),
        ("", ""),
        ("a=b", "a=b"),
        ("~/faces and more", "~/faces and more"),
        ("C:\\faces", "C:\\faces"),
        ("True", "True"),
        ("1e-3", 1e-3),
        ("0x10", 16),
        ("[1, 2", "[1, 2"),
        ('"open', '"open'),
        ("ü", "ü"),
    ],
)
def test_a_value_is_toml_or_else_a_string(text, value):
    assert load(changes=[f"loss.x={text}"]).loss.options == {"x": value}


def test_a_key_may_be_spelt_as_the_flags_are():
    settings = load(changes=["data-root=/d", "train-data.name=x", "train-data.min-faces=3", " seed = 5"])
    assert (settings.data_root, settings.train_data.name, settings.seed) == (Path("/d"), "x", 5)
    assert settings.train_data.options == {"min-faces": 3}


def test_names_of_protocols_keep_their_dashes():
    assert load(changes=["protocol.cfp-fp.folds=5"]).protocol == {"cfp-fp": {"folds": 5}}


@pytest.mark.parametrize("change", ["seed", "", "=3", "loss.=3", ".margin=3", "loss..margin=3", " = "])
def test_a_change_without_key_or_value_is_an_error(change):
    with pytest.raises(ConfigError, match="expected KEY=VALUE, such as --set loss"):
        load(changes=[change])


@pytest.mark.parametrize("change", ["seed=1\nplugin='x'", "loss.a=1\n[trainer]\nepochs=1"])
def test_a_value_cannot_smuggle_in_other_keys(change):
    settings = load(changes=[change])
    assert settings.plugin == "" and settings.trainer == {}


# Unknown keys and wrong values, at every level.


@pytest.mark.parametrize(
    ("key", "section", "meant"),
    [
        ("sed", "", "seed"),
        ("data_rot", "", "data_root"),
        ("trainers", "", "trainer"),
        ("embedding.batchsize", "embedding", "batch_size"),
        ("embedding.miror", "embedding", "mirror"),
    ],
)
@pytest.mark.parametrize("source", ["file", "changes", "flags"])
def test_an_unknown_key_is_told_with_what_was_meant(file, source, key, section, meant):
    if source == "file":
        given = {"file": file(f"{key} = 1")}
    elif source == "changes":
        given = {"changes": [f"{key}=1"]}
    else:
        first, _, second = key.partition(".")
        given = {"flags": {first: {second: 1} if second else 1}}
    where = f"option in '{section}':" if section else "option"
    with pytest.raises(UnknownName) as caught:
        load(**given)
    assert str(caught.value).startswith(f"unknown {where} {key.split('.')[-1]!r}; did you mean {meant!r}? offered: ")


def test_an_unknown_option_of_an_offer_is_told_with_what_was_meant():
    with pytest.raises(UnknownName, match="unknown option in 'loss': 'margn'; did you mean 'margin'") as caught:
        build_options(LossOptions, {"margn": 0.4}, "loss")
    assert str(caught.value).endswith("offered: label, margin, marks")


@pytest.mark.parametrize("key", ["_env_file", "_cli_parse_args", "__init__", "_"])
def test_no_key_reaches_the_switches_of_the_library_below(key):
    with pytest.raises(UnknownName, match=f"unknown option '{key}'"):
        load(changes=[f"{key}=true"])


@pytest.mark.parametrize("key", ["self", "cls", "values"])
def test_no_key_is_taken_for_an_argument(key):
    with pytest.raises(UnknownName, match=f"'{key}'"):
        load(changes=[f"{key}=true"])
    with pytest.raises(UnknownName, match=f"'{key}'"):
        build_options(LossOptions, {key: 1}, "loss")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("seed=-1", "seed = -1: input should be greater than or equal to 0"),
        ("seed=1.5", "seed = 1.5: input should be a valid integer"),
        ("seed=many", "seed = 'many': input should be a valid integer"),
        ("seed=9223372036854775808", "seed = 9223372036854775808: input should be less than 9223372036854775808"),
        ("device=gpu", "device = 'gpu': string should match"),
        ("device=cuda:x", "device = 'cuda:x': string should match"),
        ("plugin=3", "plugin = 3: input should be a valid string"),
        ("protocols=lfw", "protocols = 'lfw': input should be a valid tuple"),
        ("protocols=[1]", "protocols.0 = 1: input should be a valid string"),
        ("loss.name=3", "loss.name = 3: input should be a valid string"),
        ("loss=arcface", "loss = 'arcface': expected a section with keys of its own, such as loss.KEY"),
        ("embedding=3", "embedding = 3: expected a section with keys of its own, such as embedding.KEY"),
        ("trainer=4", "trainer = 4: expected a section with keys of its own, such as trainer.KEY"),
        ("protocol.lfw=3", "protocol.lfw = 3: expected a section with keys of its own, such as protocol.lfw.KEY"),
        ("embedding.batch_size=0", "embedding.batch_size = 0: input should be greater than or equal to 1"),
        ("embedding.mirror=perhaps", "embedding.mirror = 'perhaps': input should be a valid boolean"),
    ],
)
def test_a_wrong_value_says_where_it_stands(change, said):
    with pytest.raises(ConfigError) as caught:
        load(changes=[change])
    assert str(caught.value).startswith(said)
    assert "\n" not in str(caught.value) and "pydantic" not in str(caught.value)


@pytest.mark.parametrize("name", ["auto", "cpu", "cuda", "cuda:0", "cuda:12", "mps"])
def test_devices_as_torch_spells_them(name):
    assert load(changes=[f"device={name}"]).device == name


# Options of offers.


def test_options_are_built_from_plain_values():
    built = build_options(LossOptions, {"margin": "0.25", "marks": [1, 2]}, "loss")
    assert built == LossOptions(margin=0.25, marks=(1.0, 2.0))


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"margin": 4}, "loss.margin = 4: input should be less than or equal to 3"),
        ({"margin": "wide"}, "loss.margin = 'wide': input should be a valid number"),
        ({"margin": math.nan}, "loss.margin = nan: "),
        ({"marks": [0.5, "x"]}, "loss.marks.1 = 'x': input should be a valid number"),
        ({"label": 3}, "loss.label = 3: input should be a valid string"),
    ],
)
def test_a_wrong_option_says_its_full_name(values, said):
    with pytest.raises(ConfigError) as caught:
        build_options(LossOptions, values, "loss")
    assert str(caught.value).startswith(said)


def test_an_option_that_must_be_set_is_asked_for_by_name():
    @options
    class Demanding:
        must: int

    with pytest.raises(ConfigError, match=r"^embedder\.must is not set and has no default$"):
        build_options(Demanding, {}, "embedder")


def test_plain_values_build_the_same_options_again():
    chosen = LossOptions(margin=0.25, marks=(0.1,), label="x")
    assert plain(chosen) == {"margin": 0.25, "marks": [0.1], "label": "x"}
    assert build_options(LossOptions, plain(chosen), "loss") == chosen


# Files.


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(ConfigError, match=r"configuration file .*none\.toml does not exist"):
        load(tmp_path / "none.toml")


def test_a_folder_is_no_file(tmp_path):
    with pytest.raises(ConfigError, match="cannot be read"):
        load(tmp_path)


def test_a_file_that_is_not_toml_says_where(file):
    with pytest.raises(ConfigError, match=r"run me\.toml: not TOML: .*line 2"):
        load(file("seed = 1\nplugin = arcface\n"))


def test_a_file_that_is_not_text(tmp_path):
    path = tmp_path / "x.toml"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="cannot be read"):
        load(path)


# What a training starts from and is watched on.


def test_fine_tuning_and_validation_are_settings(file, monkeypatch):
    assert (load().finetune.weights, load().finetune.classes, load().validation) == (None, "new", ())
    monkeypatch.setenv("FACEBENCH_FINETUNE__CLASSES", "kept")
    settings = load(file('validation = ["lfw", "cfp-fp"]\n[finetune]\nweights = "a/checkpoint"\n'))
    assert (settings.finetune.weights, settings.finetune.classes) == (Path("a/checkpoint"), "kept")
    assert settings.validation == ("lfw", "cfp-fp")
    assert load(changes=["finetune.weights=b.pth"]).finetune.weights == Path("b.pth")


def test_a_lone_name_is_no_list_of_protocols():
    with pytest.raises(ConfigError, match="validation = 'lfw': input should be a valid tuple"):
        load(changes=["validation=lfw"])
