"""The data of the document's problem, checked once."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from optimizer.document.envelopes import least_allocation, most_allocation
from workloads.errors import InputError

__all__ = ["OBJECTIVES", "ROUNDING", "DocumentProblem", "document_problem"]

OBJECTIVES = ("linear", "quadratic")
ROUNDING = 1e-12
"""Part of the largest number by which sums of ramps may be off, and a constraint still counts as kept."""

Table = float | list[float] | np.ndarray


@dataclass(frozen=True)
class DocumentProblem:
    """One problem of several resources (or of independent items), in the unit of their demand.

    Attributes
    ----------
    demand, capacity, price
        ``[resource, slot]``.
    penalty
        ``[resource, slot]`` for each unit of shortfall, or None where there may be none.
    ramp_down, ramp_up
        ``[resource]``, most that an allocation may fall or rise from slot to slot; may be infinite.
    initial
        ``[resource]``, the allocation before the first slot, or None.
    budget
        ``[slot]``, most that the allocations may cost together, or None.
    objective
        ``linear`` or ``quadratic`` in the waste.
    whole
        Whether allocations are whole numbers.
    """

    demand: np.ndarray
    capacity: np.ndarray
    price: np.ndarray
    penalty: np.ndarray | None
    ramp_down: np.ndarray
    ramp_up: np.ndarray
    initial: np.ndarray | None
    budget: np.ndarray | None
    objective: str
    whole: bool

    @property
    def need(self) -> np.ndarray:
        """``[resource, slot]``, the least allocation that covers the demand."""
        return np.ceil(self.demand) if self.whole else self.demand

    @property
    def most(self) -> np.ndarray:
        """``[resource, slot]``, the most that ramps, capacities and the initial allocation let each slot have."""
        return most_allocation(self.capacity, self.ramp_down, self.initial, self.ramp_up)

    @property
    def least(self) -> np.ndarray:
        """``[resource, slot]``, the least that serves all that can be served: the optimum where no budget binds and a
        shortfall is dearer than any waste."""
        return least_allocation(np.minimum(self.need, self.most), self.ramp_down, self.initial, self.ramp_up)

    @property
    def largest(self) -> np.ndarray:
        """``[resource]``, largest need or initial allocation: no solution worth having exceeds it."""
        top = self.need.max(axis=1)
        return top if self.initial is None else np.maximum(top, self.initial)

    @property
    def uncoverable(self) -> np.ndarray:
        """``[resource, slot]`` demand beyond `most`; 0 where it can be covered."""
        beyond = self.need - self.most > ROUNDING * self.largest[:, None]
        return np.where(beyond, self.demand - self.most, 0.0)

    @property
    def over_budget(self) -> np.ndarray:
        """``[slot]`` money by which the least allocation that covers all exceeds the budget; 0 without one."""
        return self._over_budget(self.need)

    def _over_budget(self, need: np.ndarray) -> np.ndarray:
        if self.budget is None:
            return np.zeros(self.demand.shape[1])
        least = least_allocation(need, self.ramp_down, self.initial, self.ramp_up)
        over = (self.price * least).sum(axis=0) - self.budget
        return np.where(over > 1e-9 * self.budget, over, 0.0)


def document_problem(
    demand: Table,
    capacity: Table,
    *,
    objective: str = "linear",
    ramp_down: Table = 0.0,
    ramp_up: Table = math.inf,
    elastic: bool = False,
    penalty: Table | None = None,
    initial: Table | None = None,
    price: Table = 1.0,
    budget: Table | None = None,
    whole: bool = False,
) -> DocumentProblem:
    """Bring all data to their full shapes; parameters as those of `optimizer.document_lp.document_lp`.

    Raises
    ------
    InputError
        Where a number is missing, negative or not finite, a shape does not fit, or the constraints contradict one
        another whatever the demand.
    """
    given = _numbers("demand", demand)
    rows = np.atleast_2d(given)
    if given.ndim not in (1, 2) or rows.size == 0:
        raise InputError(
            "demand", f"its shape is {given.shape}", "give demand[slot] or demand[resource, slot], not empty"
        )
    _refuse("demand", rows, ~(np.isfinite(rows) & (rows >= 0.0)), "a finite number >= 0")
    if objective not in OBJECTIVES:
        raise InputError("objective", f"{objective!r} is unknown", f"choose one of {', '.join(OBJECTIVES)}")
    if penalty is not None and not elastic:
        raise InputError("penalty", "it prices shortfalls, which only the elastic form allows", "allow shortfalls")
    flat = given.ndim == 1
    problem = DocumentProblem(
        demand=rows,
        capacity=_table("capacity", capacity, rows, flat),
        price=_table("price", price, rows, flat, above=True),
        penalty=None,
        ramp_down=_by_resource("ramp_down", ramp_down, rows, infinite=True),
        ramp_up=_by_resource("ramp_up", ramp_up, rows, infinite=True),
        initial=None if initial is None else _by_resource("initial", initial, rows),
        budget=None if budget is None else _by_slot("budget", budget, rows),
        objective=objective,
        whole=whole,
    )
    if whole:
        problem = _in_whole_numbers(problem)
    _refuse_contradictions(problem)
    if not elastic:
        return problem
    charge = _default_penalty(problem) if penalty is None else _table("penalty", penalty, rows, flat, above=True)
    return replace(problem, penalty=charge)


def _default_penalty(problem: DocumentProblem) -> np.ndarray:
    """``[resource, slot]`` what one more unit can cost in waste at most, so that all is served that can be."""
    worth = problem.price.sum(axis=1)
    if problem.objective == "quadratic":
        worth = 2.0 * worth * np.where(problem.largest > 0.0, problem.largest, 1.0)
    return np.broadcast_to(worth[:, None], problem.demand.shape)


def _in_whole_numbers(problem: DocumentProblem) -> DocumentProblem:
    before = problem.initial
    if before is not None:
        _refuse("initial", before, before != np.floor(before), "a whole number, as whole allocations ask")
    return replace(
        problem,
        capacity=np.floor(problem.capacity),
        ramp_down=np.floor(problem.ramp_down),
        ramp_up=np.floor(problem.ramp_up),
    )


def _refuse_contradictions(problem: DocumentProblem) -> None:
    """Constraints that leave nothing to choose even without demand: an initial allocation that is too high."""
    nothing = np.zeros_like(problem.demand)
    if problem.initial is None:
        return
    least = least_allocation(nothing, problem.ramp_down, problem.initial, problem.ramp_up)
    for over in np.argwhere(least - problem.most > ROUNDING * problem.largest[:, None])[:1]:
        raise InputError(
            "initial",
            f"{problem.initial[over[0]]:g} cannot fall by ramp_down in time for the capacity from slot {over[1]} on",
            "give a lower initial allocation, or a higher ramp_down or capacity",
        )
    for slot in np.flatnonzero(problem._over_budget(nothing))[:1]:
        raise InputError(
            "initial",
            f"what it leaves allocated in slot {slot} costs more than the budget",
            "give a lower initial allocation, or a higher ramp_down or budget",
        )


def _numbers(name: str, value: object) -> np.ndarray:
    try:
        return np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError):
        raise InputError(name, "it does not hold numbers in rows of one length", "give numbers") from None


def _refuse(name: str, values: np.ndarray, bad: np.ndarray, wanted: str) -> None:
    for place in np.argwhere(bad)[:1]:
        at = "".join(f"[{i}]" for i in place)
        raise InputError(f"{name}{at}", f"{float(values[tuple(place)])!r} is not {wanted}", "give one")


def _checked(
    name: str, value: Table, shape: tuple[int, ...], what: str, *, above: bool = False, infinite: bool = False
) -> np.ndarray:
    numbers = _numbers(name, value)
    try:
        full = np.broadcast_to(numbers, shape)
    except ValueError:
        raise InputError(name, f"its shape {numbers.shape} does not fit the demand", f"give {what}") from None
    bad = np.isnan(full) | (full < 0.0) | ((full == 0.0) & above) | (np.isinf(full) & (not infinite))
    _refuse(name, full, bad, ("a number" if infinite else "a finite number") + (" > 0" if above else " >= 0"))
    return full


def _table(name: str, value: Table, rows: np.ndarray, flat: bool, *, above: bool = False) -> np.ndarray:
    """``[resource, slot]`` from one number, one for each resource, or one for each resource and slot."""
    numbers = _numbers(name, value)
    if numbers.ndim == 1 and not flat:
        numbers = numbers[:, None]
    what = "one number or one a slot" if flat else "one number, one a resource, or [resource, slot]"
    return _checked(name, numbers, rows.shape, what, above=above)


def _by_resource(name: str, value: Table, rows: np.ndarray, *, infinite: bool = False) -> np.ndarray:
    return _checked(name, value, rows.shape[:1], "one number or one a resource", infinite=infinite)


def _by_slot(name: str, value: Table, rows: np.ndarray) -> np.ndarray:
    return _checked(name, value, rows.shape[1:], "one number or one a slot")
