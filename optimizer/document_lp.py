"""The document's allocation problem: never shrink, never fall short, waste as little as possible.

For slots ``t`` with demand ``R_t`` choose allocations ``C_t``:

    minimise sum (C_t - R_t)^2   subject to   C_t >= R_t,   C_t >= C_{t-1} - ramp_down,   C_t <= capacity

with ``ramp_down = 0`` in the document (an allocation never falls). ``C_t >= R_t`` is its ``R_t / C_t <= 1``.

**The linear objective has the same optimum.** Let ``M_1 = max(R_1, C_0 - ramp_down)`` and ``M_t = max(R_t,
M_{t-1} - ramp_down)``. By induction every feasible ``C`` has ``C_t >= M_t``: it is at least ``R_t``, and at
least ``C_{t-1} - ramp_down >= M_{t-1} - ramp_down``. ``M`` itself satisfies both, so it is feasible as soon
as anything is, that is if and only if ``max M_t <= capacity``. Both ``sum (C_t - R_t)`` and ``sum (C_t -
R_t)^2`` grow with every component of ``C >= R``, so ``M``, least in every component, is the one optimum of
both. With ``ramp_down = 0`` and no earlier allocation, ``M`` is the running maximum of ``R``. So the linear
programme is what PuLP solves, and the squared waste is that of the same allocation.

**Elastic form.** ``C_t + S_t >= R_t`` with shortfalls ``S_t >= 0`` at ``penalty`` each: minimise ``sum (C_t
+ S_t - R_t) + penalty sum S_t``. One more unit in slot ``t`` leaves the waste of ``t`` as it is and raises
that of the later slots by at most one each, so a penalty of the number of slots (the default) never trades
demand for waste. Here the squared objective may choose otherwise; its value is reported for the solution of
the linear one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = ["DocumentLpResult", "document_lp", "least_allocation"]


@dataclass(frozen=True)
class DocumentLpResult:
    """Solution of the document's problem, in the unit of the demand.

    Attributes
    ----------
    status
        ``optimal``, or ``infeasible``: then ``allocation`` is NaN and ``shortfall`` says where capacity is
        missing.
    demand, allocation
        ``[slot]``, or ``[item, slot]`` as given.
    waste
        ``allocation - (demand - shortfall)``, same shape.
    shortfall
        Demand beyond what was (elastic) or could be (infeasible) allocated, same shape; 0 elsewhere.
    capacity
        As given.
    """

    status: str
    demand: np.ndarray
    allocation: np.ndarray
    waste: np.ndarray
    shortfall: np.ndarray
    capacity: float | np.ndarray

    @property
    def waste_linear(self) -> float:
        """``sum (C_t - R_t)``; in elastic solutions ``sum (C_t + S_t - R_t)``."""
        return float(self.waste.sum())

    @property
    def waste_squared(self) -> float:
        """``sum (C_t - R_t)^2``, the document's objective, at this allocation."""
        return float((self.waste**2).sum())

    @property
    def short_slots(self) -> list[tuple[int, float]]:
        """Slots (of any item) whose demand exceeds what capacity allows, and by how much."""
        short = self.shortfall if self.shortfall.ndim == 1 else self.shortfall.sum(axis=0)
        return [(int(t), float(short[t])) for t in np.flatnonzero(short > 1e-9 * self.demand.max(initial=0.0))]


def least_allocation(
    demand: np.ndarray, ramp_down: float = 0.0, initial: float | np.ndarray | None = None
) -> np.ndarray:
    """The closed form ``M`` of the module's proof, along the last axis; ``initial`` is the allocation
    before it.

    Examples
    --------
    >>> least_allocation(np.array([3.0, 5.0, 1.0, 4.0])).tolist()
    [3.0, 5.0, 5.0, 5.0]
    >>> least_allocation(np.array([3.0, 5.0, 1.0, 4.0]), ramp_down=2.0).tolist()
    [3.0, 5.0, 3.0, 4.0]
    """
    drift = ramp_down * np.arange(demand.shape[-1])
    lifted = demand + drift
    if initial is not None:
        first = np.maximum(lifted[..., :1], np.asarray(initial)[..., None] - ramp_down)
        lifted = np.concatenate([first, lifted[..., 1:]], axis=-1)
    return np.maximum.accumulate(lifted, axis=-1) - drift


def document_lp(
    demand: np.ndarray,
    capacity: float | np.ndarray,
    *,
    ramp_down: float = 0.0,
    elastic: bool = False,
    penalty: float | None = None,
    initial: float | np.ndarray | None = None,
) -> DocumentLpResult:
    """Solve the document's problem through PuLP (CBC).

    Parameters
    ----------
    demand
        ``demand[slot]``, or ``demand[item, slot]`` for several independent problems in one call; finite and
        >= 0.
    capacity
        Upper limit of every slot, one number or one for each item, in the unit of demand.
    ramp_down
        Most that an allocation may fall from one slot to the next; 0 is the document's.
    elastic
        Allow shortfalls at ``penalty`` per unit and slot (by default the number of slots: serve whatever
        can be served).
    initial
        Allocation before the first slot, where there was one; one number or one for each item.

    Examples
    --------
    >>> solved = document_lp(np.array([300.0, 500.0, 400.0]), 600.0)
    >>> solved.status, [round(float(c), 3) for c in solved.allocation], round(solved.waste_squared, 3)
    ('optimal', [300.0, 500.0, 500.0], 10000.0)
    >>> document_lp(np.array([300.0, 650.0, 400.0]), 600.0).short_slots
    [(1, 50.0)]
    """
    given = np.asarray(demand, dtype=np.float64)
    rows = np.atleast_2d(given)
    limit = np.broadcast_to(np.asarray(capacity, dtype=np.float64), rows.shape[:1])
    before = None if initial is None else np.broadcast_to(np.asarray(initial, dtype=np.float64), rows.shape[:1])
    _check(rows, limit, ramp_down, penalty, before)
    charge = (float(penalty) if penalty is not None else float(rows.shape[1])) if elastic else None
    solved = _solve(rows, limit, ramp_down, charge, before)
    if solved is None:
        shortfall = np.maximum(rows - limit[:, None], 0.0).reshape(given.shape)
        nan = np.full(given.shape, np.nan)
        return DocumentLpResult("infeasible", given, nan, nan, shortfall, capacity)
    allocation, shortfall = _without_noise(rows, limit, solved, _scale(rows, before), ramp_down, before)
    waste = np.where(shortfall > 0.0, 0.0, np.maximum(allocation - rows, 0.0))
    allocation, waste, shortfall = (part.reshape(given.shape) for part in (allocation, waste, shortfall))
    return DocumentLpResult("optimal", given, allocation, waste, shortfall, capacity)


def _without_noise(
    rows: np.ndarray,
    limit: np.ndarray,
    solved: np.ndarray,
    scale: np.ndarray,
    ramp_down: float,
    before: np.ndarray | None,
) -> tuple[np.ndarray, np.ndarray]:
    """Allocation and shortfall ``[item, slot]`` that keep every constraint exactly.

    The solver keeps them to its tolerance: an allocation that is below the demand by less was meant to cover
    it, and one above what the constraints ask for by less was meant to be that.
    """
    slack = 1e-6 * scale[:, None]
    short = rows - solved > slack
    full = np.maximum(limit[:, None] - solved, 0.0) <= slack
    asked = np.where(short, np.where(full, limit[:, None], solved), rows)
    solved = np.maximum(solved, asked)
    least = _never_falling_faster(asked, ramp_down, before)
    kept = np.where(solved - least <= slack, least, _never_falling_faster(solved, ramp_down, before))
    allocation = np.minimum(_never_falling_faster(kept, ramp_down, before), limit[:, None])
    return allocation, np.where(short, np.maximum(rows - allocation, 0.0), 0.0)


def _never_falling_faster(rows: np.ndarray, ramp_down: float, before: np.ndarray | None) -> np.ndarray:
    """As `least_allocation`, slot by slot: no sum that rounds, so the largest value stays what it is."""
    level = np.full(len(rows), -np.inf) if before is None else before
    raised = np.empty_like(rows)
    for t in range(rows.shape[1]):
        level = np.maximum(rows[:, t], level - ramp_down)
        raised[:, t] = level
    return raised


def _cbc() -> Any:
    """CBC: the binary that PuLP 3 brings, else the one on the path (``pip install pulp[cbc]``)."""
    import pulp
    from pulp.apis import coin_api

    return pulp.COIN_CMD(path=getattr(coin_api, "pulp_cbc_path", None), msg=False, threads=1)


def _check(
    rows: np.ndarray, limit: np.ndarray, ramp_down: float, penalty: float | None, before: np.ndarray | None
) -> None:
    if rows.ndim != 2 or rows.shape[1] == 0:
        raise ValueError(f"demand needs one slot or more, not shape {rows.shape}")
    if not np.isfinite(rows).all() or (rows < 0.0).any():
        raise ValueError("demand must be finite and >= 0")
    if not np.isfinite(limit).all() or (limit < 0.0).any():
        raise ValueError("capacity must be finite and >= 0")
    if not np.isfinite(ramp_down) or ramp_down < 0.0:
        raise ValueError(f"ramp_down must be finite and >= 0, not {ramp_down}")
    if penalty is not None and not (np.isfinite(penalty) and penalty > 0.0):
        raise ValueError(f"penalty must be finite and > 0, not {penalty}")
    if before is not None and not (np.isfinite(before).all() and (before - ramp_down <= limit).all()):
        raise ValueError("the initial allocation, less ramp_down, must not exceed the capacity")


def _scale(rows: np.ndarray, before: np.ndarray | None) -> np.ndarray:
    """``[item]`` largest demand or initial allocation, which the solver's tolerance is relative to; 1 where 0."""
    largest = rows.max(axis=1) if before is None else np.maximum(rows.max(axis=1), before)
    return np.where(largest > 0.0, largest, 1.0)


def _solve(
    rows: np.ndarray, limit: np.ndarray, ramp_down: float, penalty: float | None, before: np.ndarray | None
) -> np.ndarray | None:
    """``allocation[item, slot]``, or None if infeasible; each item scaled to its largest demand."""
    import pulp

    scales = _scale(rows, before)
    problem = pulp.LpProblem("document", pulp.LpMinimize)
    allocation: list[list[pulp.LpVariable]] = []
    objective = []
    for i, (row, scale) in enumerate(zip(rows, scales.tolist())):
        fall = min(ramp_down, scale) / scale
        top = min(float(limit[i]), scale) / scale
        names = [f"C_{i}_{t}" for t in range(len(row))]
        c = [problem.add_variable(name, lowBound=0.0, upBound=top) for name in names]
        for t, need in enumerate(row / scale):
            served = c[t]
            if penalty is not None:
                short = problem.add_variable(f"S_{i}_{t}", lowBound=0.0)
                served = c[t] + short
                objective.append((1.0 + penalty) * short)
            problem += served >= float(need)
            objective.append(1.0 * c[t])
            if t > 0:
                problem += c[t] >= c[t - 1] - fall
            elif before is not None:
                problem += c[t] >= float(before[i]) / scale - fall
        allocation.append(c)
    problem += pulp.lpSum(objective)
    problem.solve(_cbc())
    if problem.status == pulp.LpStatusInfeasible:
        return None
    if problem.status != pulp.LpStatusOptimal:
        raise RuntimeError(f"CBC: {pulp.LpStatus[problem.status]}")
    return np.array([[scale * float(v.value()) for v in c] for scale, c in zip(scales.tolist(), allocation)])
