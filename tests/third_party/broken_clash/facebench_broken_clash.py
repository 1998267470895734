"""A plugin that takes the name of a bundled plugin, and so is not even asked for its offers."""

from facebench import LossSpec, hookimpl


@hookimpl
def facebench_losses():
    """Offers a loss that nobody will see."""
    return [LossSpec(name="never-seen", summary="from a plugin that calls itself arcface", build=print)]
