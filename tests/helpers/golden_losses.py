"""Golden values of losses, and how a loss is put to them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch

from facebench.contracts import Batch, Features

_CASES = json.loads((Path(__file__).parents[1] / "golden" / "losses.json").read_text())["cases"]


def golden_cases(*methods):
    """The cases of some methods."""
    return [case for case in _CASES if case["method"] in methods]


def golden_case(name):
    """One case by its name."""
    (case,) = (case for case in _CASES if case["id"] == name)
    return case


def batch_of(labels):
    """A batch that has labels only, which is what losses with class centres read."""
    return Batch(images=torch.empty(0), labels=torch.as_tensor(labels))


def run(loss, vectors, centres, labels):
    """Loss, its terms and gradients in float64, with given class centres; dW is None where ``weight`` has none.

    Args:
        loss: A module that owns ``centres``.
        vectors: (N, D).
        centres: (K * C, D), those of a class one below the other.
        labels: (N,).
    """
    loss = loss.double()
    centres = torch.as_tensor(centres, dtype=torch.float64)
    with torch.no_grad():
        loss.centres.weight.copy_(centres.reshape(loss.centres.weight.shape))
    leaf = torch.tensor(vectors, dtype=torch.float64, requires_grad=True)
    output = loss(batch_of(labels), Features(leaf))
    output.total.backward()
    slope = loss.centres.weight.grad
    return {
        "loss": output.total.detach(),
        "dX": leaf.grad,
        "dW": None if slope is None else slope.reshape(centres.shape),
        "terms": output.terms,
    }


def run_case(loss, case):
    """``run`` on the inputs of a case."""
    inputs = case["inputs"]
    return run(loss, inputs["X"], inputs["W"], inputs["y"])


def assert_golden(found, expected, ending=""):
    """Loss and gradients are the expected ones."""
    for name in ("loss", "dX" + ending, "dW" + ending):
        value = found[name.removesuffix(ending)].numpy()
        np.testing.assert_allclose(value, expected[name], rtol=1e-10, atol=1e-12, err_msg=name)
