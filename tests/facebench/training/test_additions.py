"""What methods may add to a training: a rival of the network, marks of what was done to faces, groups of one person."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from toy_training import Interrupted, Stop, fit

from facebench.contracts import LossOutput
from facebench.testing import TinyLoss, toy_faces


class Contested(TinyLoss):
    """The tiny loss, and a rival that guesses labels from detached vectors."""

    def __init__(self, num_classes, embedding_size):
        super().__init__(num_classes, embedding_size)
        self.guess = nn.Linear(embedding_size, num_classes)

    def rival(self):
        return torch.optim.Adam(self.guess.parameters(), lr=0.1)

    def forward(self, batch, features):
        output = super().forward(batch, features)
        guessed = nn.functional.cross_entropy(self.guess(features.vectors.detach()), batch.labels)
        return LossOutput(total=output.total + guessed - guessed.detach(), terms={"guessed": guessed.detach()})


def test_a_rival_learns_by_its_own_optimiser_and_changes_nothing_else(tmp_path):
    plain = fit(tmp_path / "plain", loss=TinyLoss, epochs=6)
    contested = fit(tmp_path / "contested", loss=Contested, epochs=6)
    assert contested[0].sha256 == plain[0].sha256
    values = [values["guessed"] for _, values in contested[2]]
    assert values[-1] < 0.8 * values[0]


@pytest.mark.parametrize("at", [1, 4])
def test_a_rival_is_continued_too(tmp_path, at):
    common = {"loss": Contested, "epochs": 3, "save_seconds": 0.0}
    whole = fit(tmp_path / "whole", **common)
    with pytest.raises(Interrupted):
        fit(tmp_path / "parts", change={"progress": Stop(at)}, **common)
    parts = fit(tmp_path / "parts", **common)
    assert parts[0].sha256 == whole[0].sha256
    for name in ("classes-0.safetensors",):
        assert (tmp_path / "parts" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_marks_and_rows_reach_perturbation_and_loss(tmp_path):
    faces, seen = toy_faces(), []

    def perturb(images, _random, rows):
        return images + 1, torch.from_numpy(rows)[:, None].float()

    class Marked(TinyLoss):
        def forward(self, batch, features):
            seen.extend((float(mark), int(label)) for (mark,), label in zip(batch.marks, batch.labels, strict=True))
            return super().forward(batch, features)

    fit(tmp_path, dataset=faces, loss=Marked, perturb=perturb, epochs=1)
    assert len(seen) == len(faces) and all(faces.labels[int(row)] == label for row, label in seen)


def test_a_batch_holds_groups_of_one_person(tmp_path):
    seen = []

    class Watching(TinyLoss):
        def forward(self, batch, features):
            seen.append(batch.labels.tolist())
            return super().forward(batch, features)

    fit(tmp_path, dataset=toy_faces(num_classes=4, per_class=8), loss=Watching, per_identity=4, epochs=1)
    assert len(seen) == 4
    for labels in seen:
        assert all(len(set(labels[start : start + 4])) == 1 for start in (0, 4))
