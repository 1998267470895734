"""A plugin whose offer raises, midway."""

from facebench import LossSpec, hookimpl


@hookimpl
def facebench_losses():
    """Offers one loss and then thinks better of it."""
    yield LossSpec(name="early", summary="offered before the failure", build=print)
    raise RuntimeError("the licence server\ndoes not answer")
