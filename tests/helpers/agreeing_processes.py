"""Run by several processes: prints what each of them saw, as JSON."""

from __future__ import annotations

import hashlib
import json
import logging
import sys
from pathlib import Path

import torch
from toy_training import WithHoles, fit

from facebench.contracts import Features, Validation
from facebench.ranks import joined, world
from facebench.sharding import entropy
from facebench.testing import TinyBackbone, ToyFaces, toy_faces
from facebench_topofr import plugin as topofr


class Confident(TinyBackbone):
    """Predicts confidences, which the loss does not ask for."""

    def __init__(self):
        super().__init__()
        self.head = torch.nn.Linear(16, 1)

    def forward(self, images):
        vectors = super().forward(images).vectors
        return Features(vectors, self.head(vectors))


class Heard(logging.Handler):
    """Keeps what is logged."""

    def __init__(self):
        super().__init__()
        self.lines = []

    def emit(self, record):
        self.lines.append(record.getMessage())


def agree(folder):
    heard = Heard()
    logging.getLogger("facebench").addHandler(heard)
    validated = []

    def validate(network):
        state = b"".join(value.numpy().tobytes() for value in network.state_dict().values())
        validated.append(hashlib.sha256(state).hexdigest())
        return Validation(values={"a": 0.0}, score=0.0)

    fit(folder / "validated", change={"validate": validate}, ema=0.9)
    confident = fit(folder / "confident", backbone=Confident)[0].folder.is_dir()
    holes = WithHoles({1, 4, 9, 16, 25})
    fit(folder / "holes", dataset=holes, corrupt="skip")
    keys = [holes.keys[index] for index in (1, 4, 9, 16, 25)]
    named = [key for key in keys if any(f"{key}:" in line for line in heard.lines)]
    return {"validated": validated, "confident": confident, "holes": keys, "named": named}


def entropies():
    """Two columns, held by the first two of three processes."""
    logits = torch.tensor([[1.0, 3.0], [2.0, 2.0]], dtype=torch.float64)
    here = logits[:, world().rank : world().rank + 1]
    whole = torch.distributions.Categorical(logits=logits).entropy()
    torch.testing.assert_close(entropy(here), whole)


if __name__ == "__main__":
    torch.set_num_threads(1)
    place, what = Path(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else "agree"
    with joined("cpu"):
        if what == "entropy":
            entropies()
        elif what == "classes":
            (spec,) = (one for one in topofr.facebench_losses() if one.name == "topofr")
            two = toy_faces(num_classes=2, per_class=12)
            fit(place, dataset=two, batch_size=12, loss=lambda classes, size: spec.build(classes, size, spec.options()))
        elif what == "few":
            some = toy_faces(num_classes=2, per_class=2)
            faces = ToyFaces(some.batch(torch.arange(3).numpy()), some.labels[:3] * 0 + [0, 1, 0], 0)
            fit(place, dataset=faces, change={"num_classes": 2})
        else:
            print(json.dumps(agree(place)))
