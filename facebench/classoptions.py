"""What every loss with class centres can be told; free of torch, so that a plugin can offer it without waiting."""

from __future__ import annotations

from facebench.declare import option, options


@options
class ClassOptions:
    """Options of ``facebench.centres.ClassCentres``, inherited by the options of a loss."""

    sample_rate: float = option(
        default=1.0,
        help="share of the classes that takes part in a step: those of the batch, and others by chance (Partial FC)",
        gt=0,
        le=1,
    )
    update_unsampled: bool = option(
        default=False,
        help="whether momentum and weight decay move centres that a step did not sample, as arcface_torch's second "
        "Partial FC does; costs a gradient of full size",
    )
