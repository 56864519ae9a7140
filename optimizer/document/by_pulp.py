"""The linear objective through PuLP and CBC."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np

from optimizer.document.problem import DocumentProblem
from optimizer.document.scaling import Scaled, scaled
from workloads.errors import RecfleetError

__all__ = ["solve_by_pulp"]


def solve_by_pulp(problem: DocumentProblem) -> np.ndarray | None:
    """``allocation[resource, slot]`` to the solver's tolerance, or None if there is none.

    Raises
    ------
    RecfleetError
        If CBC ends without an optimum and without proof that there is none.
    """
    import pulp

    data = scaled(problem)
    model = pulp.LpProblem("document", pulp.LpMinimize)
    allocation, cost = _variables(model, data, problem.whole)
    _ramps(model, data, allocation)
    if data.budget is not None:
        for t, limit in enumerate(data.budget.tolist()):
            model += pulp.lpSum(float(p) * c[t] for p, c in zip(data.spend[:, t], allocation)) <= limit
    model += pulp.lpSum(cost)
    model.solve(_cbc())
    if model.status == pulp.LpStatusInfeasible:
        return None
    if model.status != pulp.LpStatusOptimal:
        raise RecfleetError(f"CBC: {pulp.LpStatus[model.status]}; choose another solver")
    return np.array([[float(v.value()) for v in c] for c in allocation]) * data.unit[:, None]


def _variables(model: Any, data: Scaled, whole: bool) -> tuple[list[list[Any]], list[Any]]:
    """Allocations that, with shortfalls where allowed, cover the demand; and what all that costs."""
    kind = "Integer" if whole else "Continuous"
    allocation: list[list[Any]] = []
    cost = []
    for r, row in enumerate(data.demand.tolist()):
        low, high = data.low[r].tolist(), data.high[r].tolist()
        c = [model.add_variable(f"C_{r}_{t}", low[t], high[t], kind) for t in range(len(row))]
        for t, need in enumerate(row):
            price, served = float(data.waste[r, t]), c[t]
            if data.short is not None:
                short = model.add_variable(f"S_{r}_{t}", lowBound=0.0)
                served = c[t] + short
                cost.append((price + float(data.short[r, t])) * short)
            model += served >= need
            cost.append(price * c[t])
        allocation.append(c)
    return allocation, cost


def _ramps(model: Any, data: Scaled, allocation: list[list[Any]]) -> None:
    for c, down, up in zip(allocation, data.down.tolist(), data.up.tolist()):
        for earlier, later in pairwise(c):
            model += later >= earlier - down
            if np.isfinite(up):
                model += later <= earlier + up


def _cbc() -> Any:
    """CBC: the binary that PuLP 3 brings, else the one on the path (``pip install pulp[cbc]``)."""
    import pulp
    from pulp.apis import coin_api

    return pulp.COIN_CMD(path=getattr(coin_api, "pulp_cbc_path", None), msg=False, threads=1)
