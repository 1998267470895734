"""What has to be known to get a number again."""

from __future__ import annotations

import platform
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version

from facebench import __version__
from facebench.ranks import world
from facebench.results import Provenance

# The packages whose version can change a number.
_PACKAGES = ("torch", "numpy", "scipy", "onnxruntime", "simplejpeg", "pillow")


def provenance(*, device: str, threads: int, seed: int, config: str, run: str = "") -> Provenance:
    """The provenance of an evaluation that ends now.

    Args:
        device: Where the network ran, or ``none``.
        threads: Threads it ran with.
        seed: The run's seed.
        config: Fingerprint of the resolved configuration.
        run: Name of the run's folder.
    """
    packages = {}
    for name in _PACKAGES:
        try:
            packages[name] = version(name)
        except PackageNotFoundError:
            continue
    return Provenance(
        facebench=__version__,
        python=platform.python_version(),
        packages=packages,
        platform=f"{platform.system()} {platform.machine()}",
        device=device,
        threads=threads,
        seed=seed,
        config=config,
        run=run,
        processes=world().size,
        time=datetime.now(UTC).isoformat(timespec="seconds"),
    )
