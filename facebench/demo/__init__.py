"""Procedurally drawn faces: the data that facebench trains and evaluates on when no data root is given.

Nobody real is shown, nothing is downloaded, no licence applies, and every picture is the same to the bit on every
machine. A person is a row of numbers (`identity_parameters`); what differs from picture to picture is another
(`nuisance_parameters`), as strong as a `Nuisance` says; `render` draws both, and `DemoFaces` is a data set of them.

The names are loaded on first use: the plugin beside them is read whenever offers are listed, which must not wait for
numpy.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
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

_HOME = {
    "DEMO_VERSION": "faces",
    "DemoFaces": "faces",
    "IDENTITY_PARAMETERS": "parameters",
    "NUISANCE_PARAMETERS": "nuisance",
    "Nuisance": "nuisance",
    "draw": "drawing",
    "identity_parameters": "parameters",
    "nuisance_parameters": "nuisance",
    "render": "faces",
}


def __getattr__(name: str) -> Any:
    room = _HOME.get(name)
    if room is None:
        raise AttributeError(f"module 'facebench.demo' has no attribute {name!r}")
    value = getattr(import_module(f"facebench.demo.{room}"), name)
    globals()[name] = value
    return value
