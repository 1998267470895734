"""How a check says no."""

from __future__ import annotations

from facebench.errors import FacebenchError


class ContractBroken(FacebenchError):
    """An offer does not do what its contract says."""


def require(kept: bool, broken: str) -> None:
    """Raises ``ContractBroken`` with that line unless the promise was kept."""
    if not kept:
        raise ContractBroken(broken)
