"""Make before break: what runs stays until what replaces it is ready."""

from __future__ import annotations

import math

import numpy as np

from optimizer.fleet.cards import node_shares
from optimizer.fleet.packing import first_fit
from simulator.policy import FleetFacts

__all__ = ["hold_until_ready", "is_affordable"]


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


def is_affordable(facts: FleetFacts, replicas: np.ndarray) -> bool:
    """Whether the nodes of ``replicas[variant, node_type]``, packed, cost no more than the budget; yes without one."""
    if not math.isfinite(facts.budget_usd_per_hour):
        return True
    share = node_shares(facts.need, facts.capacity)
    packed = [first_fit(share[:, n], replicas[:, n], int(c)) for n, c in enumerate(facts.node_count)]
    cost = float(np.dot(facts.price_usd_per_hour, [p.nodes for p in packed]))
    return cost <= facts.budget_usd_per_hour * (1.0 + 1e-9) and sum(p.complete for p in packed) == replicas.sum()
