from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from facebench.contracts import Evaluation, Features, LossOutput
from facebench.results import Metric
from facebench.schedules import TrainerOptions
from facebench.specs import BackboneSpec, LossSpec, ProtocolSpec, ReportSpec, TrainerSpec
from facebench.testing import (
    ContractBroken,
    TinyBackbone,
    TinyLoss,
    check_backbone,
    check_dataset,
    check_loss,
    check_protocol,
    check_report,
    check_trainer,
    toy_faces,
)
from facebench.training import ClassifierTrainer


def backbone_spec(kind):
    return BackboneSpec(name="made", summary="", build=lambda options: kind())


class WrongSize(TinyBackbone):
    def __init__(self):
        super().__init__(8)
        self.embedding_size = 9


class Bare(TinyBackbone):
    def forward(self, images):
        return super().forward(images).vectors


class Mixing(TinyBackbone):
    def forward(self, images):
        vectors = super().forward(images).vectors
        return Features(vectors - vectors.mean(0))


class Idle(TinyBackbone):
    def __init__(self):
        super().__init__()
        self.unused = nn.Parameter(torch.ones(1))


class Own(TinyBackbone):
    count = 0

    def __init__(self):
        super().__init__()
        Own.count += 1
        nn.init.constant_(self.layers[9].bias, Own.count)


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (WrongSize, "vectors have shape"),
        (Bare, "forward returned Tensor"),
        (Mixing, "depends on the other faces"),
        (Idle, "no gradient reaches unused"),
        (Own, "the same seed gave other weights"),
    ],
)
def test_a_backbone_that_breaks_its_contract_is_told(kind, message):
    with pytest.raises(ContractBroken, match=message):
        check_backbone(backbone_spec(kind))


def test_a_good_backbone_passes_also_without_memory():
    check_backbone(backbone_spec(TinyBackbone))
    check_backbone(backbone_spec(TinyBackbone), meta=True)
    with pytest.raises(ContractBroken, match="vectors have shape"):
        check_backbone(backbone_spec(WrongSize), meta=True)


def loss_spec(kind):
    return LossSpec(name="made", summary="", build=lambda classes, size, options: kind(classes, size))


class PerFace(TinyLoss):
    def forward(self, batch, features):
        return LossOutput(super().forward(batch, features).total.repeat(8))


class Loose(TinyLoss):
    def forward(self, batch, features):
        output = super().forward(batch, features)
        return LossOutput(output.total, {"part": output.total})


class Deaf(TinyLoss):
    def forward(self, batch, features):
        return super().forward(batch, Features(features.vectors.detach()))


class Fixed(TinyLoss):
    def forward(self, batch, features):
        return LossOutput(functional.cross_entropy(features.vectors[:, :5], batch.labels))


class Forgetful(TinyLoss):
    seen = 0

    def forward(self, batch, features):
        self.seen += 1
        return LossOutput(super().forward(batch, features).total * self.seen)


class Restless(TinyLoss):
    drawn = np.random.default_rng(0)

    def forward(self, batch, features):
        return LossOutput(super().forward(batch, features).total * float(self.drawn.random()))


class FloatOnly(TinyLoss):
    def forward(self, batch, features):
        total = super().forward(batch, Features(features.vectors.float())).total
        return LossOutput(total if features.vectors.dtype == torch.float32 else total * float("nan"))


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (PerFace, "must be one number"),
        (Loose, "'part' must be a detached scalar"),
        (Deaf, "no finite gradient reaches the vectors"),
        (Fixed, "no finite gradient reaches centres"),
        (Forgetful, "its state, loaded again"),
        (Restless, "the same seed gave"),
        (FloatOnly, "nan for torch.bfloat16"),
    ],
)
def test_a_loss_that_breaks_its_contract_is_told(kind, message):
    with pytest.raises(ContractBroken, match=message):
        check_loss(loss_spec(kind))


def trainer_spec(kind):
    return TrainerSpec(name="made", summary="", options=TrainerOptions, backbone="tiny", loss="tiny", build=kind)


class Impatient(ClassifierTrainer):
    """Starts an interrupted training anew, from where the weights happen to be."""

    def fit(self, job):
        for path in job.folder.glob("state*"):
            path.unlink()
            torch.nn.init.zeros_(job.loss.centres)
        return super().fit(job)


class Silent(ClassifierTrainer):
    def fit(self, job):
        from dataclasses import replace

        return super().fit(replace(job, epoch_ended=lambda epoch, values: None))


@pytest.mark.parametrize(("kind", "message"), [(Impatient, "ends with other weights"), (Silent, "was told of epochs")])
def test_a_trainer_that_breaks_its_contract_is_told(tmp_path, kind, message):
    with pytest.raises(ContractBroken, match=message):
        check_trainer(trainer_spec(kind), tmp_path)


def test_the_stock_trainer_passes(tmp_path):
    check_trainer(trainer_spec(ClassifierTrainer), tmp_path)


class Nearest:
    """A protocol: how often the nearest other face is of the same class."""

    def faces(self, root, *, images=True):
        return toy_faces(num_classes=5, per_class=4)

    def evaluate(self, embeddings, faces, *, seed):
        vectors = embeddings.vectors[self.rows(embeddings, faces)]
        vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        similar = vectors @ vectors.T
        np.fill_diagonal(similar, -2)
        return self.found(float(np.mean(faces.labels[similar.argmax(1)] == faces.labels)))

    def rows(self, embeddings, faces):
        return embeddings.rows(faces.keys)

    def found(self, share):
        return Evaluation(metrics=(Metric(name="rank-1", value=share),))


class ByPlace(Nearest):
    def rows(self, embeddings, faces):
        return np.arange(len(faces))


class Generous(Nearest):
    def found(self, share):
        return super().found(1.0)


class Modest(Nearest):
    def found(self, share):
        return super().found(0.9 * share)


class Twice(Nearest):
    def found(self, share):
        return Evaluation(metrics=(Metric(name="rank-1", value=share),) * 2)


class Moody(Nearest):
    count = 0

    def found(self, share):
        self.count += 1
        return super().found(share / self.count)


def protocol_spec(kind):
    return ProtocolSpec(name="made", summary="", build=lambda options: kind())


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (ByPlace, "rows in another order"),
        (Generous, "near the best"),
        (Modest, "perfect embeddings reach"),
        (Twice, "both called"),
        (Moody, "same embeddings and seed"),
    ],
)
def test_a_protocol_that_breaks_its_contract_is_told(kind, message):
    with pytest.raises(ContractBroken, match=message):
        check_protocol(protocol_spec(kind))


def test_a_good_protocol_passes():
    check_protocol(protocol_spec(Nearest))
    check_protocol(protocol_spec(Modest), ranks=False)


def test_data_sets_are_checked():
    faces = toy_faces()
    check_dataset(faces, training=True)
    faces.labels = faces.labels + 1
    check_dataset(faces_with_labels(faces.labels))
    with pytest.raises(ContractBroken, match="0 to C-1"):
        check_dataset(faces_with_labels(faces.labels), training=True)
    twins = toy_faces()
    twins.keys = ["same"] * len(twins)
    with pytest.raises(ContractBroken, match="'same'"):
        check_dataset(twins)


def faces_with_labels(labels):
    faces = toy_faces()
    faces.labels = labels
    return faces


def test_the_same_seed_gives_the_same_toys():
    one, two, other = toy_faces(seed=1), toy_faces(seed=1), toy_faces(seed=2)
    everything = np.arange(len(one))
    assert np.array_equal(one.batch(everything), two.batch(everything)) and one.fingerprint == two.fingerprint
    assert not np.array_equal(one.batch(everything), other.batch(everything)) and one.fingerprint != other.fingerprint


class Paper:
    def __init__(self, name):
        self.name = name

    def render(self, results, out):
        out.mkdir(parents=True)
        (out / "report.txt").write_text("\n".join(result.to_json() for result in results))
        return [out / self.name]


def test_reports_are_checked(tmp_path):
    def spec(name):
        return ReportSpec(name="made", summary="", build=lambda options: Paper(name))

    check_report(spec("report.txt"), tmp_path / "good")
    with pytest.raises(ContractBroken, match="is not a file below"):
        check_report(spec("other.txt"), tmp_path / "bad")
