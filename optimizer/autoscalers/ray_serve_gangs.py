"""Ray Serve's gangs: replicas that start and stop together, so that only multiples of a gang's size can run."""

from __future__ import annotations

__all__ = ["whole_gangs", "within_bounds"]


def whole_gangs(replicas: int, gang_size: int) -> int:
    """The least multiple of ``gang_size`` that is not below ``replicas``.

    Examples
    --------
    >>> [whole_gangs(n, 4) for n in (0, 5, 8)]
    [0, 8, 8]
    """
    return -(-replicas // gang_size) * gang_size


def within_bounds(replicas: int, least: int, most: int, gang_size: int = 1) -> int:
    """``replicas`` in whole gangs, the most of them within ``most``, but no fewer than ``least``."""
    gangs = whole_gangs(replicas, gang_size)
    return max(whole_gangs(least, gang_size), min(gangs, most // gang_size * gang_size))
