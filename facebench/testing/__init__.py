"""A conformance kit: whether an offer keeps its side of the contracts, for anybody who writes a plugin.

Each ``check_...`` raises ``ContractBroken`` with one line that says what was promised and what was found. They need no
accelerator, no data and a few seconds; a plugin's whole test can be one call.
"""

from __future__ import annotations

from facebench.testing.broken import ContractBroken
from facebench.testing.evaluation import check_dataset, check_embedder, check_protocol, check_report
from facebench.testing.generation import TinyGenerator, check_generator, toy_generator_job
from facebench.testing.toys import (
    TinyBackbone,
    TinyLoss,
    ToyFaces,
    toy_evaluation,
    toy_faces,
    toy_job,
    toy_result,
)
from facebench.testing.training import check_backbone, check_loss, check_trainer

__all__ = [
    "ContractBroken",
    "TinyBackbone",
    "TinyGenerator",
    "TinyLoss",
    "ToyFaces",
    "check_backbone",
    "check_dataset",
    "check_embedder",
    "check_generator",
    "check_loss",
    "check_protocol",
    "check_report",
    "check_trainer",
    "toy_evaluation",
    "toy_faces",
    "toy_generator_job",
    "toy_job",
    "toy_result",
]
