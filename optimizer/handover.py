"""Make before break: what runs stays until what replaces it is ready."""

from __future__ import annotations

import numpy as np

from simulator.policy import FleetFacts

__all__ = ["hold_until_ready"]


def hold_until_ready(facts: FleetFacts, wanted: np.ndarray, required_rps: np.ndarray, ready: np.ndarray) -> np.ndarray:
    """``wanted``, and beside it ready replicas that a stage cannot do without yet.

    A plan may move a stage to another variant or node type. Replicas left out of an allocation drain at once, while
    those that replace them take their start-up time, so the stage would stand with too few, or none. Here replicas
    that are ready and no longer wanted stay, those of most throughput first, until the wanted ones that are ready
    serve what is required. Those below their stage's accuracy floor come last: for so long, demand served goes before
    the floor.

    Parameters
    ----------
    wanted, ready
        ``[variant, node_type]`` replicas of the plan, and replicas ready now.
    required_rps
        ``[stage]`` rate that ready replicas should serve; as much of it as they do now.

    Returns
    -------
    numpy.ndarray
        ``replicas[variant, node_type]``, nowhere less than wanted and nowhere more than the larger of wanted and ready.
    """
    held = np.array(wanted, dtype=np.int64)
    lacking = required_rps - facts.served_rps(np.minimum(wanted, ready))
    spare = [(int(v), int(n)) for v, n in np.argwhere((ready > wanted) & facts.runs_on())]
    below = ~facts.reaches_floor()
    for v, n in sorted(spare, key=lambda pair: (below[pair[0]], -facts.throughput_rps[pair], pair)):
        stage = facts.variant_stage[v]
        if lacking[stage] <= 1e-9:
            continue
        need = int(np.ceil(lacking[stage] / facts.throughput_rps[v, n] - 1e-9))
        extra = min(need, int(ready[v, n] - wanted[v, n]))
        held[v, n] += extra
        lacking[stage] -= extra * facts.throughput_rps[v, n]
    return held
