"""The plugin's tests: facebench's own kit knows what a loss and a trainer must do."""

from __future__ import annotations

from facebench_example import facebench_losses, facebench_trainers

from facebench.testing import check_loss, check_trainer


def test_the_loss_keeps_its_contract():
    for spec in facebench_losses():
        check_loss(spec)


def test_the_trainer_keeps_its_contract(tmp_path):
    for spec in facebench_trainers():
        check_trainer(spec, tmp_path / spec.name)
