"""Accuracy in plans: what a replica adds to its stage's mean over the floor, and the price of what it loses."""

from __future__ import annotations

import numpy as np

from simulator.policy import FleetFacts

__all__ = ["FLOOR_TOLERANCE", "credit_scale", "floor_credit", "keeps_floor", "lost_usd_per_hour", "stage_credit"]

FLOOR_TOLERANCE = 1e-6
"""By how much of the largest contribution of one replica a mean may lie below its floor: solvers work to such a
tolerance."""


def floor_credit(facts: FleetFacts, rate: np.ndarray, floor: np.ndarray) -> np.ndarray | None:
    """``[variant, node_type]`` ``rate (accuracy - floor)``: its sum over replicas of a stage is >= 0 exactly where the
    mean accuracy of the stage, weighted by ``rate``, is at least the floor.

    Parameters
    ----------
    rate
        ``[variant, node_type]`` what one replica serves, in any unit.
    floor
        ``floor[stage]``; ``-inf`` or NaN where there is none.

    Returns
    -------
    numpy.ndarray or None
        None where no variant lies below its stage's floor, so that any plan keeps it.
    """
    above = facts.accuracy - floor[facts.variant_stage]
    if not (above < 0.0).any():
        return None
    return np.asarray(rate * np.where(np.isfinite(above), above, 0.0)[:, None])


def stage_credit(credit: np.ndarray, variant_stage: np.ndarray, stages: int, replicas: np.ndarray) -> np.ndarray:
    """``[stage]`` sum of ``credit[variant, node_type]``, as of `floor_credit`, over the replicas."""
    return np.bincount(variant_stage, weights=(credit * replicas).sum(axis=1), minlength=stages)


def credit_scale(credit: np.ndarray, variant_stage: np.ndarray, stages: int) -> np.ndarray:
    """``[stage]`` largest contribution of one replica to the mean over the floor, above or below it."""
    scale = np.zeros(stages)
    np.maximum.at(scale, variant_stage, np.abs(credit).max(axis=1, initial=0.0))
    return scale


def keeps_floor(credit: np.ndarray, scale: np.ndarray) -> bool:
    """Whether ``credit[stage]`` is that of a mean at its floor or above, in all stages; ``scale`` by `credit_scale`."""
    return bool((credit >= -FLOOR_TOLERANCE * scale).all())


def lost_usd_per_hour(facts: FleetFacts, expected_rps: np.ndarray, required_rps: np.ndarray) -> np.ndarray | None:
    """``[variant, node_type]`` price, USD per hour, of the accuracy lost by what one replica serves; None without one.

    The pair is taken to serve the stage alone: ``k = ceil(required / throughput)`` replicas share the expected
    requests, so that each is charged with ``expected / k`` of them. Exact where one pair serves a stage, an
    approximation for a mix, and linear in the replicas.

    Parameters
    ----------
    expected_rps, required_rps
        ``[stage]`` requests/s without and with headroom.
    """
    if not facts.lost_usd_per_request.any():
        return None
    runs = facts.runs_on()
    rate = np.where(runs, facts.throughput_rps, 1.0)
    alone = np.maximum(np.ceil(required_rps[facts.variant_stage][:, None] / rate - 1e-9), 1.0)
    requests_rps = expected_rps[facts.variant_stage][:, None] / alone
    return np.where(runs, 3600.0 * facts.lost_usd_per_request[:, None] * requests_rps, 0.0)
