"""What the trainer can be told, one thing after another."""

from __future__ import annotations

import logging

import pytest
import torch
from safetensors.torch import load_file
from torch import nn
from toy_training import Interrupted, Stop, WithHoles, fit, table

from facebench.centres import ClassCentres
from facebench.classoptions import ClassOptions
from facebench.contracts import Features, LossOutput, Validation
from facebench.errors import ConfigError, DataError, FacebenchError
from facebench.resume import restore_classes
from facebench.testing import TinyBackbone, TinyLoss, toy_faces


class CentreLoss(nn.Module):
    """Softmax over cosines with shared class centres."""

    def __init__(self, num_classes, embedding_size, **options):
        super().__init__()
        self.centres = ClassCentres(num_classes, embedding_size, ClassOptions(**options))

    def forward(self, batch, features):
        cosines = self.centres(features.vectors, batch.labels)
        return LossOutput(cosines.cross_entropy(16 * cosines.cosine).mean(), cosines.terms())


class Plain(nn.Module):
    """A network without batch normalisation, whose gradients are sums over faces."""

    embedding_size = 4

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.AvgPool2d(28), nn.Flatten(), nn.Linear(48, 4))

    def forward(self, images):
        return Features(self.layers(images))


def weights(checkpoint):
    return load_file(checkpoint.folder / "weights.safetensors")


@pytest.mark.parametrize("parts", [2, 4])
def test_a_step_in_parts_is_the_same_step(tmp_path, parts):
    common = {"backbone": Plain, "clip_gradient": 0.01, "flip": 0.0}
    whole = weights(fit(tmp_path / "whole", **common)[0])
    cut = weights(fit(tmp_path / "parts", accumulate=parts, **common)[0])
    for name, value in whole.items():
        torch.testing.assert_close(cut[name], value, rtol=1e-5, atol=1e-6)
    rows = [table(tmp_path / name) for name in ("whole", "parts")]
    for one, two in zip(*rows, strict=True):
        for name in ("loss", "gradient_norm"):
            assert float(one[name]) == pytest.approx(float(two[name]), rel=1e-4)


def test_the_running_mean_is_kept_instead_of_the_last_weights(tmp_path):
    last, backbone, _ = fit(tmp_path / "last")
    mean = weights(fit(tmp_path / "mean", ema=0.9)[0])
    seen = []

    class Watching(TinyBackbone):
        def forward(self, images):
            seen.append({name: value.detach().clone() for name, value in self.state_dict().items()})
            return super().forward(images)

    fit(tmp_path / "watched", backbone=Watching)
    steps = [*seen[1:], weights(last)]
    expected = dict(steps[0])
    for later in steps[1:]:
        for name, value in later.items():
            if value.is_floating_point():
                expected[name] = 0.9 * expected[name] + 0.1 * value
    # Statistics of batch normalisation move in the forward pass, so what a step saw is not what it left.
    for name in (name for name, _ in backbone.named_parameters()):
        torch.testing.assert_close(mean[name], expected[name], rtol=1e-5, atol=1e-6)
    assert not torch.equal(mean["layers.0.weight"], weights(last)["layers.0.weight"])


@pytest.mark.parametrize(
    "options",
    [
        {"ema": 0.8},
        {"accumulate": 2},
        {"crop": 0.5, "low_resolution": 0.5, "erasing": 0.5, "photometric": 0.5},
        {"label_noise": 0.3},
        {"schedule": "cosine", "decay_norms": False},
    ],
)
def test_interrupted_with_any_option_it_ends_the_same(tmp_path, options):
    common = {"save_seconds": 0.0, **options}
    whole = fit(tmp_path / "whole", **common)[0]
    for at in (1, 2):
        with pytest.raises(Interrupted):
            fit(tmp_path / "parts", change={"progress": Stop(at)}, **common)
    assert fit(tmp_path / "parts", **common)[0].sha256 == whole.sha256


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_interrupted_with_sampled_classes_it_ends_the_same(tmp_path, optimizer):
    def loss(classes, size):
        return CentreLoss(classes, size, sample_rate=0.5)

    common = {"save_seconds": 0.0, "optimizer": optimizer, "loss": loss, "dataset": toy_faces(num_classes=8)}
    whole = fit(tmp_path / "whole", **common)[0]
    with pytest.raises(Interrupted):
        fit(tmp_path / "parts", change={"progress": Stop(5)}, **common)
    assert fit(tmp_path / "parts", **common)[0].sha256 == whole.sha256
    kept = [load_file(tmp_path / name / "classes-0.safetensors") for name in ("whole", "parts")]
    assert kept[0].keys() == kept[1].keys() and all(torch.equal(kept[0][name], kept[1][name]) for name in kept[0])


def test_the_best_network_is_kept_when_asked_for(tmp_path):
    scores = iter([0.1, 0.9, 0.5, 0.4])
    networks = []

    def validate(network):
        assert not network.training
        networks.append({name: value.clone() for name, value in network.state_dict().items()})
        score = next(scores)
        return Validation(values={"toy/accuracy": score}, score=score)

    checkpoint, _, told = fit(tmp_path, epochs=4, keep="best", change={"validate": validate})
    assert [values["toy/accuracy"] for _, values in told] == [0.1, 0.9, 0.5, 0.4]
    assert [row["toy/accuracy"] for row in table(tmp_path)] == ["0.1", "0.9", "0.5", "0.4"]
    kept = weights(checkpoint)
    assert all(torch.equal(kept[name], value) for name, value in networks[1].items())
    assert not (tmp_path / "best").exists()


def test_validation_does_not_touch_the_training_and_comes_as_often_as_told(tmp_path):
    def validate(network):
        torch.rand(5)
        with torch.no_grad():
            for value in network.parameters():
                value.zero_()
        asked.append(1)
        return Validation(values={"toy/eer": 0.5}, score=-0.5)

    asked: list[int] = []
    change = {"validate": validate}
    watched = fit(tmp_path / "watched", epochs=5, validate_every=2, change=change)[0]
    assert len(asked) == 3  # after epochs 2 and 4, and at the end
    assert watched.sha256 == fit(tmp_path / "alone", epochs=5)[0].sha256


def test_interrupted_after_its_best_it_still_keeps_that(tmp_path):
    def validation(scores):
        rest = iter(scores)
        return lambda network: Validation(values={"a": 0.0}, score=next(rest))

    common = {"epochs": 4, "keep": "best"}
    whole = fit(tmp_path / "whole", **common, change={"validate": validation([0.2, 0.9, 0.1, 0.3])})[0]
    parts = {"validate": validation([0.2, 0.9]), "progress": Stop(9)}
    with pytest.raises(Interrupted):
        fit(tmp_path / "parts", **common, change=parts)
    found = fit(tmp_path / "parts", **common, change={"validate": validation([0.1, 0.3])})[0]
    assert found.sha256 == whole.sha256


def test_an_unreadable_picture_stops_or_is_skipped_and_is_always_named(tmp_path, caplog):
    faces = WithHoles({3, 11})
    with pytest.raises(DataError, match=rf"({faces.keys[3]}|{faces.keys[11]}): truncated"):
        fit(tmp_path / "stop", dataset=faces)
    with caplog.at_level(logging.WARNING):
        fit(tmp_path / "skip", dataset=faces, corrupt="skip")
    for key in (faces.keys[3], faces.keys[11]):
        assert sum(key in message for message in caplog.messages) == 1


def test_single_steps_are_tabled_too(tmp_path):
    fit(tmp_path, log_every=3)
    rows = table(tmp_path, "steps.csv")
    assert [row["step"] for row in rows] == ["3", "6"] and [row["epoch"] for row in rows] == ["1", "2"]
    assert {"loss", "learning_rate", "gradient_norm", "images_per_second"} < set(rows[0])


def test_curves_for_tensorboard(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    _, _, told = fit(tmp_path, tensorboard=True, log_every=1)
    events = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert [point.step for point in events.Scalars("epoch/loss")] == [1, 2]
    assert events.Scalars("epoch/loss")[1].value == pytest.approx(told[1][1]["loss"], rel=1e-6)
    assert len(events.Scalars("step/loss")) == 8


def test_wrong_labels_change_what_the_loss_is_told(tmp_path, caplog):
    def seen(folder, **options):
        told = []

        class Watching(TinyLoss):
            def forward(self, batch, features):
                told.extend(batch.labels.tolist())
                return super().forward(batch, features)

        fit(folder, loss=Watching, epochs=1, **options)
        return told

    with caplog.at_level(logging.WARNING):
        right, wrong = seen(tmp_path / "right"), seen(tmp_path / "wrong", label_noise=0.25)
    assert sum(a != b for a, b in zip(right, wrong, strict=True)) == 8
    assert "8 of 32 labels were made wrong on purpose" in caplog.text


def test_class_centres_are_kept_and_put_back(tmp_path):
    fit(tmp_path / "kept", loss=CentreLoss)
    loss = CentreLoss(4, 16)
    restore_classes(tmp_path / "kept", loss)
    stored = load_file(tmp_path / "kept" / "classes-0.safetensors")
    assert torch.equal(loss.centres.weight, stored["loss/centres.weight"])
    with pytest.raises(
        DataError, match=r"do not fit: loss/centres.weight has shape \[4, 16\] in the file and \[5, 16\]"
    ):
        restore_classes(tmp_path / "kept", CentreLoss(5, 16))
    with pytest.raises(DataError, match="do not fit: loss and file differ in centres"):
        restore_classes(tmp_path / "kept", TinyLoss(4, 16))
    fit(tmp_path / "none", loss=CentreLoss, keep_classes=False)
    with pytest.raises(DataError, match="holds no class centres"):
        restore_classes(tmp_path / "none", loss)


@pytest.mark.parametrize("trained", [{"sample_rate": 0.5}, {}])
@pytest.mark.parametrize("wanted", [{"sample_rate": 0.5}, {}])
def test_class_centres_are_put_back_whether_or_not_they_were_sampled(tmp_path, trained, wanted):
    fit(tmp_path, loss=lambda classes, size: CentreLoss(classes, size, **trained))
    stored = load_file(tmp_path / "classes-0.safetensors")
    assert set(stored) == {"loss/centres.weight", "loss/centres.seed", "loss/centres.steps"}
    loss = CentreLoss(4, 16, **wanted)
    restore_classes(tmp_path, loss)
    assert torch.equal(loss.centres.weight, stored["loss/centres.weight"])


class Unsound(TinyLoss):
    """Its loss is finite, but not the gradient of something it learns."""

    def __init__(self, num_classes, embedding_size):
        super().__init__(num_classes, embedding_size)
        self.extra = nn.Parameter(torch.zeros(()))

    def forward(self, batch, features):
        output = super().forward(batch, features)
        return LossOutput(output.total + (self.extra * self.extra).sqrt() * 0)


def test_a_gradient_of_the_loss_that_is_not_finite_stops_the_training(tmp_path):
    with pytest.raises(FacebenchError, match="gradient_norm_of_loss is nan in epoch 1, step 1"):
        fit(tmp_path, loss=Unsound, epochs=1)
    assert [path.name for path in tmp_path.iterdir()] == ["stopped.json"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"keep": "best"}, "name a protocol with --validate"),
        ({"precision": "float16"}, "single process on a GPU; use bfloat16"),
        ({"sync_norms": True}, "needs GPUs"),
        ({"accumulate": 3}, "batch_size 8 cannot be split"),
        ({"accumulate": 2, "loss": lambda c, d: CentreLoss(c, d, sample_rate=0.5)}, "update_unsampled=true"),
    ],
)
def test_what_cannot_go_together_is_refused(tmp_path, options, message):
    with pytest.raises(ConfigError, match=message):
        fit(tmp_path, **options)
    assert list(tmp_path.iterdir()) == []


def test_biases_and_norms_may_be_spared_the_decay(tmp_path):
    def change(**options):
        before = TinyBackbone()
        torch.manual_seed(0)
        before = TinyBackbone().state_dict()
        after = weights(fit(tmp_path / str(options), epochs=1, weight_decay=0.5, **options)[0])
        return {name: (after[name] - before[name]).abs().sum().item() for name in after}

    spared, decayed = change(decay_norms=False), change()
    assert spared["layers.1.weight"] < decayed["layers.1.weight"]


def test_double_precision_is_for_checks_and_stored_as_float32(tmp_path):
    checkpoint, _, _ = fit(tmp_path, precision="float64", loss=CentreLoss)
    assert {value.dtype for value in weights(checkpoint).values()} == {torch.float32, torch.int64}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch's compiler uses what torch deprecates
def test_a_compiled_network_learns_the_same(tmp_path):
    common = {"backbone": Plain, "learning_rate": 0.01}
    compiled = weights(fit(tmp_path / "compiled", compile=True, **common)[0])
    for name, value in weights(fit(tmp_path / "plain", **common)[0]).items():
        torch.testing.assert_close(compiled[name], value, rtol=1e-3, atol=1e-4)
