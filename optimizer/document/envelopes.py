"""Closed forms: the least allocation that covers a demand, and the most that any slot can be given."""

from __future__ import annotations

import math

import numpy as np

__all__ = ["least_allocation", "most_allocation"]


def least_allocation(
    demand: np.ndarray,
    ramp_down: float | np.ndarray = 0.0,
    initial: float | np.ndarray | None = None,
    ramp_up: float | np.ndarray = math.inf,
) -> np.ndarray:
    """Least allocation ``M >= demand`` that keeps the ramps, along the last axis (slots).

    ``M_t`` is the largest of ``R_s - ramp_down (t - s)`` over ``s <= t`` and ``R_s - ramp_up (s - t)`` over
    ``s >= t``, with ``initial`` as a demand one slot before the first. One pass forwards and one backwards; no sum
    that rounds, so the largest demand stays what it is.

    Parameters
    ----------
    demand
        ``[slot]``, ``[resource, slot]`` or any leading axes.
    ramp_down, ramp_up, initial
        One number, or one for each of the leading axes.

    Examples
    --------
    >>> least_allocation(np.array([3.0, 5.0, 1.0, 4.0])).tolist()
    [3.0, 5.0, 5.0, 5.0]
    >>> least_allocation(np.array([3.0, 5.0, 1.0, 4.0]), ramp_down=2.0).tolist()
    [3.0, 5.0, 3.0, 4.0]
    >>> least_allocation(np.array([1.0, 1.0, 6.0]), ramp_up=2.0).tolist()
    [2.0, 4.0, 6.0]
    """
    least = np.array(demand, dtype=np.float64)
    level = np.asarray(-np.inf if initial is None else initial)
    for t in range(least.shape[-1]):
        level = least[..., t] = np.maximum(least[..., t], level - ramp_down)
    for t in reversed(range(least.shape[-1] - 1)):
        least[..., t] = np.maximum(least[..., t], least[..., t + 1] - ramp_up)
    return least


def most_allocation(
    capacity: np.ndarray,
    ramp_down: float | np.ndarray = 0.0,
    initial: float | np.ndarray | None = None,
    ramp_up: float | np.ndarray = math.inf,
) -> np.ndarray:
    """Most that each slot can be given under ``capacity[..., slot]``: demand is coverable where it is no more.

    The mirror image of `least_allocation`: nothing rises faster than ``ramp_up`` from ``initial``, and what could
    not fall in time for a later, lower capacity is not given.

    Examples
    --------
    >>> most_allocation(np.array([9.0, 9.0, 4.0]), ramp_down=3.0, initial=2.0, ramp_up=3.0).tolist()
    [5.0, 7.0, 4.0]
    """
    most = np.array(capacity, dtype=np.float64)
    level = np.asarray(np.inf if initial is None else initial)
    for t in range(most.shape[-1]):
        level = most[..., t] = np.minimum(most[..., t], level + ramp_up)
    for t in reversed(range(most.shape[-1] - 1)):
        most[..., t] = np.minimum(most[..., t], most[..., t + 1] + ramp_down)
    return most
