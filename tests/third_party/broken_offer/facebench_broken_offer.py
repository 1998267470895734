"""A plugin with malformed offers beside a good one."""

from facebench import LossSpec, hookimpl


@hookimpl
def facebench_losses():
    """Offers a string, a loss with a bad name, and a good loss."""
    return [
        "arcface",
        LossSpec(name="Bad Name!", summary="its name cannot be typed", build=print),
        LossSpec(name="survivor", summary="the good one", build=print),
    ]


@hookimpl
def facebench_protocols():
    """Offers a loss where protocols are expected."""
    return [LossSpec(name="misplaced", summary="a loss is no protocol", build=print)]
