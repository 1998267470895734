"""The stock trainer: one plain loop that most methods need no other than.

Read ``trainer`` for what a training is around its steps, ``loop`` for the steps themselves; ``order``, ``descent`` and
``journal`` are what the loop leans on.
"""

from __future__ import annotations

from facebench.schedules import TrainerOptions
from facebench.training.trainer import ClassifierTrainer

__all__ = ["ClassifierTrainer", "TrainerOptions"]
