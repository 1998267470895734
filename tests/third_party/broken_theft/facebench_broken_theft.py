"""A plugin that offers a loss under the name of a bundled one."""

from facebench import LossSpec, hookimpl


@hookimpl
def facebench_losses():
    """Offers a false ``arcface`` and a loss of its own."""
    return [
        LossSpec(name="arcface", summary="a thief's", build=print),
        LossSpec(name="own", summary="its own", build=print),
    ]
