"""The allocation problem over a horizon: the demand of blocks of slots, and how long a start takes.

Choose ``x[v, n, b]`` (replicas that run or start in block ``b``), ``g[v, n, b]`` (those of them that are ready) and
``y[n, b]`` (nodes) that minimise, in USD,

    sum_b hours[b] (sum price y + 3600 penalty sum unserved + absent (stages with demand and no replica) + sum lost x)
    + sum_b sum start |x[b] - x[b-1]|+        (x[-1] is what runs now)

subject, in every block, to ``sum mu g + unserved >= required``, ``sum share x <= y``, ``y <= count``, the accuracy
floors, and

    g[b] <= x[c]    for every block c from the last one in which a start is ready by b, up to b itself
    g[b] <= ready   where even what is started now comes too late for b

A replica that serves in ``b`` has run since it was started, so this says exactly what delays allow where replicas of a
pair are alike: those drained last are those started last.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from optimizer.fleet.problem import FleetProblem
from optimizer.horizon.grid import HorizonGrid

__all__ = ["HorizonProblem", "delay_slots"]


def delay_slots(start_s: np.ndarray, interval_s: float) -> np.ndarray:
    """Whole slots until a replica serves that is asked for now, at least one."""
    finite = np.where(np.isfinite(start_s), start_s, 0.0)
    return np.maximum(1, np.ceil(finite / interval_s - 1e-9)).astype(np.int64)


@dataclass(frozen=True, eq=False)
class HorizonProblem:
    """Data of the problem.

    Attributes
    ----------
    now
        The problem of one instant whose demand is the most that today's decision must cover. Its rates, needs, prices,
        floors and counts hold in every block; ``replicas_now`` are those that run or start.
    grid
        The blocks.
    required_rps
        ``required_rps[stage, block]`` with headroom.
    throughput_rps
        ``throughput_rps[variant, node_type, block]`` of one replica, where it depends on how many the demand needs.
    delay
        ``delay[variant, node_type]`` slots from decision to ready.
    ready
        ``ready[variant, node_type]`` replicas that serve now; what starts is taken to be ready one slot before a
        replica that is asked for now.
    start_usd
        ``start_usd[variant, node_type]`` cost of each start.
    slot_hours
        Length of a slot.
    """

    now: FleetProblem
    grid: HorizonGrid
    required_rps: np.ndarray
    throughput_rps: np.ndarray
    delay: np.ndarray
    ready: np.ndarray
    start_usd: np.ndarray
    slot_hours: float

    @property
    def hours(self) -> np.ndarray:
        """``[block]``."""
        return self.grid.lengths * self.slot_hours

    def at_hand(self, pair: tuple[int, int], block: int) -> int:
        """Replicas that could serve in a block if nothing more were started."""
        late = int(self.grid.starts[block]) < int(self.delay[pair]) - 1
        return int(self.ready[pair] if late else self.now.replicas_now[pair])
