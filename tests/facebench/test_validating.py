from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pytest
import torch

from facebench import Evaluation, Metric, Preprocess, option, options
from facebench.config import load
from facebench.errors import DataError, DatasetMissing, FacebenchError
from facebench.host import Offer, Plugin
from facebench.plan import Choice
from facebench.specs import ProtocolSpec
from facebench.testing import TinyBackbone, toy_faces
from facebench.validating import Opened, Validator, headline, opened, watched


@options
class Sampling:
    """A protocol with intervals."""

    samples: int = option(default=50, help="replicates", ge=0)


@options
class Insisting:
    """A protocol that cannot do without."""

    samples: int = option(default=50, help="replicates", ge=10)


def metric(value=0.5, name="accuracy", **more):
    return Metric(name=name, value=value, **more)


@dataclass
class Fixed:
    """A protocol that finds what it is told and remembers what it was given."""

    metrics: tuple[Metric, ...]
    seen: list = field(default_factory=list)
    seed: int = 0

    def faces(self, root, /, *, images=True):
        return toy_faces(num_classes=2, per_class=3, seed=self.seed, size=32)

    def evaluate(self, embeddings, faces, /, *, seed):
        self.seen.append((np.array(embeddings.vectors), embeddings.mirrored is not None, seed))
        return Evaluation(metrics=self.metrics)


def choice(name, protocol, options=Sampling, built=None):
    def build(chosen):
        if built is not None:
            built.append(chosen)
        return protocol

    spec = ProtocolSpec(name=name, summary="x", build=build, options=options)
    return Choice(Offer("protocols", spec, Plugin("p", "p", "p", "1")), options())


def validator(folder, **protocols):
    settings = load(flags={"seed": 7, "embedding": {"batch_size": 4}})
    watching = opened([choice(name, protocol) for name, protocol in protocols.items()], None)
    return Validator(tuple(watching), settings, Preprocess(size=(32, 32)), "cpu", folder)


@pytest.fixture
def network():
    torch.manual_seed(0)
    return TinyBackbone(8).eval()


# What comes out.


def test_the_first_protocol_is_the_score_and_all_are_told(tmp_path, network):
    one, two = Fixed((metric(0.75), metric(0.1, "eer"))), Fixed((metric(0.25, "map"),), seed=1)
    found = validator(tmp_path, lfw=one, tinyface=two)(network)
    assert found.score == 0.75
    assert found.values == {"lfw/accuracy": 0.75, "tinyface/map": 0.25}


def test_less_of_an_error_is_more_of_a_score(tmp_path, network):
    found = validator(tmp_path, lfw=Fixed((metric(0.2, "eer", higher_is_better=False),)))(network)
    assert found.score == -0.2
    assert found.values == {"lfw/eer": 0.2}


def test_protocols_are_given_what_the_network_says(tmp_path, network):
    protocol = Fixed((metric(),))
    validator(tmp_path, lfw=protocol)(network)
    ((vectors, mirrored, seed),) = protocol.seen
    images = torch.from_numpy(protocol.faces(None).batch(np.arange(6))).permute(0, 3, 1, 2).float()
    with torch.no_grad():
        wanted = network((images - 127.5) / 127.5).vectors.numpy()
    np.testing.assert_allclose(vectors, wanted, rtol=1e-4, atol=1e-5)
    assert (mirrored, seed) == (True, 7)


def test_every_call_embeds_anew(tmp_path, network):
    protocol = Fixed((metric(),))
    validate = validator(tmp_path, lfw=protocol)
    validate(network)
    with torch.no_grad():
        network.layers[9].bias += 1
    validate(network)
    np.testing.assert_allclose(protocol.seen[1][0], protocol.seen[0][0] + 1, rtol=1e-4, atol=1e-5)


def test_protocols_over_the_same_faces_embed_them_once(tmp_path, network):
    calls = []
    network.register_forward_hook(lambda *told: calls.append(1))
    validator(tmp_path, lfw=Fixed((metric(),)), calfw=Fixed((metric(),)))(network)
    assert len(calls) == 2 * 2  # batches of four and of two, straight and mirrored


# What stays as it was.


def test_the_network_is_left_as_it_is(tmp_path, network):
    before = {name: value.clone() for name, value in network.state_dict().items()}
    layout = network.layers[0].weight.is_contiguous(memory_format=torch.contiguous_format)
    pointer = network.layers[0].weight.data_ptr()
    validator(tmp_path, lfw=Fixed((metric(),)))(network)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert network.layers[0].weight.is_contiguous(memory_format=torch.contiguous_format) == layout
    assert network.layers[0].weight.data_ptr() == pointer
    network.train()
    validator(tmp_path, lfw=Fixed((metric(),)))(network)
    assert network.training


def test_nothing_stays_on_the_disk(tmp_path, network):
    left = tmp_path / "validation" / "of a killed process"
    left.mkdir(parents=True)
    validator(tmp_path, lfw=Fixed((metric(),)))(network)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(DataError):
        validator(tmp_path, lfw=Fixed((metric(None, reason="too few"),)))(network)
    assert list(tmp_path.iterdir()) == []


def test_nobody_sees_a_bar(tmp_path, network, monkeypatch, capsys):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    validator(tmp_path, lfw=Fixed((metric(),)))(network)
    assert capsys.readouterr() == ("", "")


# Which number.


def test_the_headline_is_taken_under_the_reference_rule():
    metrics = (metric(0.9, rule="strict"), metric(0.1, "eer"), metric(0.8, mirror="sum"), metric(0.7, mirror="none"))
    assert headline("lfw", Evaluation(metrics=metrics)).value == 0.8
    assert headline("lfw", Evaluation(metrics=(metric(0.9, rule="own"),))).value == 0.9


def test_a_headline_that_is_absent_is_told():
    with pytest.raises(DataError, match="'ijbc' cannot validate: tar@far=1e-6 is absent: 16 impostors"):
        headline("ijbc", Evaluation(metrics=(metric(None, "tar@far=1e-6", reason="16 impostors"),)))


def test_a_headline_without_direction_is_told():
    with pytest.raises(DataError, match="'own' cannot validate: neither more nor less threshold is better"):
        headline("own", Evaluation(metrics=(metric(1.0, "threshold", higher_is_better=None),)))


# Opening.


def test_intervals_are_left_out_where_the_protocol_can_do_without():
    built = []
    protocol = Fixed((metric(),))
    watched([choice("a", protocol, built=built), choice("b", protocol, Insisting, built=built)], None)
    assert [chosen.samples for chosen in built] == [0, 50]
    opened([choice("a", protocol, built=built)], None)
    assert built[-1].samples == 50


def test_faces_that_are_open_are_shared():
    one, two = choice("a", Fixed((metric(),))), choice("b", Fixed((metric(),)))
    already = opened([one], None)
    found = watched([one, two], None, beside=already)
    assert found[0].faces is already[0].faces
    assert isinstance(found[1], Opened) and found[1].faces is not already[0].faces


def test_missing_data_is_told_before_anything_is_trained(bench, tmp_path):
    (tmp_path / "data").mkdir()
    with pytest.raises(DatasetMissing, match="data for 'other' not found"):
        bench.train(validation=("other",), data_root=tmp_path / "data")
    with pytest.raises(FacebenchError, match="is not a folder"):
        bench.train(validation=("other",), data_root=tmp_path / "absent")
    assert bench.built == []
    assert bench.told == []
    assert bench.runs == []


# In a training.


def values_of(run, name):
    lines = [line for line in (run / "run.log").read_text().splitlines() if "epoch " in line]
    return [line for line in lines if name in line]


def test_validation_is_told_with_the_epochs(bench):
    trained = bench.train(validation=("toy", "other"))
    assert {"toy/accuracy", "other/accuracy", "loss"} <= set(trained.values)
    assert len(values_of(trained.folder, "toy/accuracy")) == 2
    assert not (bench.folder / "cache" / "embeddings").exists()


def test_watching_changes_neither_the_network_nor_its_place(bench):
    plain = bench.train()
    watching = bench.train(validation=("toy",), fresh=True)
    assert watching.checkpoint.sha256 == plain.checkpoint.sha256
    assert watching.checkpoint.recipe == plain.checkpoint.recipe
    assert "validation" in (watching.folder / "config.toml").read_text()


def test_a_network_chosen_on_a_protocol_says_so_there_and_only_there(bench):
    outcome = bench.run("trainer.keep=best", validation=("toy",), protocols=("toy", "other"))
    first, second = outcome.results
    # Both toy protocols have the same faces, and faces are what the network was chosen on.
    for result in (first, second):
        (warning,) = result.warnings
        assert warning.startswith(
            "the network was chosen as the best of its epochs on toy itself (trainer.keep = best)"
        )
    assert first.subject.model.endswith("(trainer.keep=best, validation=toy)")
    assert bench.run("trainer.keep=last", validation=("toy",)).results[0].warnings == ()


def test_choosing_is_another_recipe_and_another_run(bench, tmp_path):
    (tmp_path / "toy.txt").write_text("3")
    last = bench.train(validation=("toy",))
    names = {last.checkpoint.recipe.fingerprint}
    for changes, flags in (
        ((), {"validation": ("toy",)}),
        ((), {"validation": ("other",)}),
        (("protocol.toy.bias=1",), {"validation": ("toy",)}),
        (("embedding.mirror=false",), {"validation": ("toy",)}),
        ((), {"validation": ("toy",), "data_root": tmp_path}),
    ):
        trained = bench.train("trainer.keep=best", *changes, **flags)
        names.add(trained.checkpoint.recipe.fingerprint)
    assert len(names) == 6
    # The others of several only watch.
    both = bench.train("trainer.keep=best", validation=("toy", "other"))
    assert both.checkpoint.recipe.fingerprint in names
