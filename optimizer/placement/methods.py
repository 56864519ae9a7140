"""Every method of placement by name."""

from __future__ import annotations

import numpy as np

from optimizer.placement.columns import ColumnLimits, place_columns
from optimizer.placement.greedy import GREEDY, place_greedy
from optimizer.placement.mip import place_mip
from optimizer.placement.plan import PlacementPlan
from optimizer.placement.problem import PlacementProblem

__all__ = ["METHODS", "place"]

METHODS = {
    "first_fit": "the first node with room; instances in the order of arrival, nodes as listed",
    "best_fit": "the open node left with the least free capacity",
    "dot_product": "the open node whose free capacity is best aligned with the need (Tetris)",
    "fgd": "the node whose expected GPU fragmentation grows least (ATC 2023)",
    "fgd_packed": "the same, closed nodes only where no open one has room",
    "first_fit_decreasing": "first fit, largest replicas and best-value nodes first",
    "best_fit_decreasing": "best fit, largest replicas first",
    "dot_product_decreasing": "dot product, largest replicas first",
    "columns": "patterns by column generation, with a proven bound",
    "mip": "one model over all nodes (SCIP); small problems",
    "mip_sat": "the same by CP-SAT",
}
"""Name to one line."""


def place(
    problem: PlacementProblem,
    method: str = "columns",
    *,
    sequence: np.ndarray | None = None,
    node_order: np.ndarray | None = None,
    limits: ColumnLimits | None = None,
    seconds: float = 60.0,
) -> PlacementPlan:
    """Place by a method of `METHODS`.

    Parameters
    ----------
    sequence
        ``[position]`` replicas in the order of arrival, for methods that go by it.
    node_order
        ``[position]`` nodes as they are listed, for the same; by default type by type.
    limits
        Of ``columns``.
    seconds
        Wall-clock limit of ``mip`` and ``mip_sat``.

    Examples
    --------
    >>> import numpy as np
    >>> from optimizer.placement.problem import PlacementProblem
    >>> problem = PlacementProblem(
    ...     ("cpu",), need=np.array([[6.0], [4.0]]), gpus=np.zeros(2), gpu_memory_gib=np.zeros(2),
    ...     count=np.array([3, 3]), capacity=np.array([[10.0]]), node_gpus=np.zeros(1), gpu_capacity_gib=np.zeros(1),
    ...     node_count=np.array([6]), price=np.ones(1), group=np.array([-1, -1]))
    >>> plan = place(problem)
    >>> plan.nodes_used, plan.bound
    (3, 3.0)
    """
    if method in GREEDY:
        return place_greedy(problem, method, sequence, node_order)
    if method == "columns":
        return place_columns(problem, limits)
    if method in ("mip", "mip_sat"):
        return place_mip(problem, solver="SCIP" if method == "mip" else "SAT", seconds=seconds)
    raise ValueError(f"{method!r} is not one of {', '.join(METHODS)}")
