"""Procedurally drawn faces: the data that facebench trains and evaluates on when no data root is given.

Nobody real is shown, nothing is downloaded, no licence applies, and every picture is the same to the bit on every
machine. A person is a row of numbers (`identity_parameters`); what differs from picture to picture is another
(`nuisance_parameters`), as strong as a `Nuisance` says; `render` draws both, and `DemoFaces` is a data set of them.
"""

from __future__ import annotations

from facebench.demo.drawing import draw
from facebench.demo.faces import DEMO_VERSION, DemoFaces, render
from facebench.demo.nuisance import NUISANCE_PARAMETERS, Nuisance, nuisance_parameters
from facebench.demo.parameters import IDENTITY_PARAMETERS, identity_parameters

__all__ = [
    "DEMO_VERSION",
    "IDENTITY_PARAMETERS",
    "NUISANCE_PARAMETERS",
    "DemoFaces",
    "Nuisance",
    "draw",
    "identity_parameters",
    "nuisance_parameters",
    "render",
]
