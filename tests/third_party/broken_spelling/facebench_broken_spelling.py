"""A plugin with a misspelt hook, which would otherwise be silently ignored."""

from facebench import LossSpec, hookimpl


@hookimpl
def facebench_lossess():
    """Offers nothing: there is no such hook."""
    return [LossSpec(name="misspelt", summary="never offered", build=print)]
