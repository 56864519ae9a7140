"""Queues that a plan must drain, as a rate on top of the demand."""

from __future__ import annotations

import numpy as np

from simulator.policy import Observation

__all__ = ["backlog_rps"]


def backlog_rps(observation: Observation, drain_s: float) -> np.ndarray:
    """``[stage]`` rate at which what waits too long must be served to be gone in ``drain_s``.

    A queue of what a service's objective brings at its present rate is ordinary: each of these may still be in time.

    Parameters
    ----------
    drain_s
        Time to drain the rest in, above 0.
    """
    facts = observation.facts
    ordinary = observation.stage_rps * facts.slo_s[facts.stage_service]
    waiting = observation.queue_requests / np.maximum(facts.tasks_per_request, 1.0)
    return np.asarray(np.maximum(waiting - np.maximum(ordinary, 1.0), 0.0) / drain_s)
