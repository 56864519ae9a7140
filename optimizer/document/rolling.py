"""The document's problem on a rolling horizon: plan on a forecast, carry out the first slot, look again.

A forecast is any function from what was seen, ``history[resource, slot]`` (oldest first), to the mean expected of the
slots to come, ``mean[resource, step]``; it says itself how far it looks. Plans are elastic, so that a forecast beyond
the capacity is an ordinary plan with shortfalls, and each starts from the allocation that the last one left. The model
is built once: GLOP goes on from its last basis.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from optimizer.document.problem import DocumentProblem, Table, document_problem
from optimizer.document.read_back import without_noise
from optimizer.forecasting.forecast import Forecaster, PointForecaster
from workloads.errors import InputError, RecfleetError

__all__ = ["MeanForecast", "RollingDocumentLp", "RollingResult", "looking_ahead", "roll"]

MeanForecast = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class RollingResult:
    """What was allocated slot by slot, against the demand that came.

    Attributes
    ----------
    demand, allocation, waste, shortfall
        ``[resource, slot]``, of the slots that were planned.
    iterations
        ``[slot]`` of the solver.
    """

    demand: np.ndarray
    allocation: np.ndarray
    waste: np.ndarray
    shortfall: np.ndarray
    iterations: np.ndarray


class RollingDocumentLp:
    """Plans from slot to slot.

    Parameters
    ----------
    forecast
        From ``history[resource, slot]`` to ``mean[resource, step]``, as many steps each time.
    capacity
        One number or one for each resource, > 0.
    objective, ramp_down, ramp_up, penalty
        As those of `optimizer.document_lp.document_lp`. With `ramp_up` a plan rises ahead of a peak it sees coming.
    price
        One number, one for each resource, or a function from the index of a slot to either.
    initial
        Allocation before the first plan, or None.
    warm
        Whether each solve starts from the last; False is for comparison.

    Examples
    --------
    >>> plans = RollingDocumentLp(lambda seen: np.array([[2.0, 4.0, 9.0]]), 10.0, ramp_up=3.0, initial=1.0)
    >>> plans.step(np.array([[1.0]])).round(6).tolist()
    [3.0]
    """

    def __init__(
        self,
        forecast: MeanForecast,
        capacity: Table,
        *,
        objective: str = "linear",
        ramp_down: Table = 0.0,
        ramp_up: Table = math.inf,
        penalty: Table | None = None,
        price: Table | Callable[[int], Table] = 1.0,
        initial: Table | None = None,
        warm: bool = True,
    ) -> None:
        self._forecast, self._capacity, self._price, self._warm = forecast, capacity, price, warm
        self._options = {"objective": objective, "ramp_down": ramp_down, "ramp_up": ramp_up, "penalty": penalty}
        self.level: np.ndarray | None = (
            None if initial is None else np.atleast_1d(np.asarray(initial, dtype=np.float64))
        )
        self.iterations = 0
        self._steps: tuple[int, ...] = ()
        self._model: object = None

    def step(self, history: np.ndarray) -> np.ndarray:
        """Allocation ``[resource]`` of the slot that follows ``history[resource, slot]``.

        Raises
        ------
        InputError
            If the forecast is not ``mean[resource, step]`` of finite numbers, or changes how far it looks.
        """
        plan = self.plan(history)
        self.level = plan[:, 0].copy()
        return self.level

    def plan(self, history: np.ndarray) -> np.ndarray:
        """``allocation[resource, step]`` over the whole horizon; `step` carries out the first."""
        return self.solve(self.problem(history))

    def solve(self, problem: DocumentProblem) -> np.ndarray:
        """The same for a `problem` of this horizon."""
        from optimizer.document.by_mathopt import DocumentModel

        quadratic, unit = problem.objective == "quadratic", problem.capacity.max(axis=1)
        unit = np.where(unit > 0.0, unit, 1.0)
        model = self._model
        if not isinstance(model, DocumentModel) or not self._warm:
            model = self._model = DocumentModel(problem, "pdlp" if quadratic else "glop", unit)
        else:
            model.update(problem)
        solved = model.solve()
        if solved is None:
            raise RecfleetError("the solver finds no solution of an elastic problem, which always has one")
        self.iterations = model.iterations
        return without_noise(problem, solved, unit)

    def problem(self, history: np.ndarray) -> DocumentProblem:
        """The problem of the slots that follow ``history[resource, slot]``, from the allocation reached."""
        mean = np.asarray(self._forecast(history), dtype=np.float64)
        if mean.ndim != 2 or len(mean) != len(history) or mean.shape[1] == 0 or not np.isfinite(mean).all():
            raise InputError(
                "forecast",
                f"it gave shape {mean.shape}"
                + ("" if np.isfinite(mean).all() else " with numbers that are not finite"),
                f"give finite mean[resource, step] for {len(history)} resources and one step or more",
            )
        if self._steps and mean.shape != self._steps:
            raise InputError("forecast", f"it gave {mean.shape}, before {self._steps}", "keep to one number of steps")
        self._steps = mean.shape
        now = history.shape[1]
        price = self._price
        if callable(price):
            by_step = [
                np.broadcast_to(np.asarray(price(now + k), dtype=np.float64), len(mean)) for k in range(mean.shape[1])
            ]
            price = np.stack(by_step, axis=1)
        demand = np.maximum(mean, 0.0)
        return document_problem(
            demand, self._capacity, elastic=True, initial=self.level, price=price, **self._options  # type: ignore[arg-type]
        )  # fmt: skip


def roll(plans: RollingDocumentLp, demand: np.ndarray, start: int = 1) -> RollingResult:
    """Plan every slot from ``start`` on from the slots before it, and judge it by the demand that came.

    Parameters
    ----------
    demand
        ``demand[resource, slot]`` or ``[slot]``.
    start
        Slots that are seen before the first plan, at least 1.
    """
    rows = np.atleast_2d(np.asarray(demand, dtype=np.float64))
    if not 1 <= start < rows.shape[1]:
        raise InputError("start", f"{start} of {rows.shape[1]} slots", "see one slot or more and leave one to plan")
    allocation, iterations = [], []
    for slot in range(start, rows.shape[1]):
        allocation.append(plans.step(rows[:, :slot]))
        iterations.append(plans.iterations)
    given, came = np.stack(allocation, axis=1), rows[:, start:]
    return RollingResult(
        came, given, np.maximum(given - came, 0.0), np.maximum(came - given, 0.0), np.array(iterations)
    )


def looking_ahead(forecaster: PointForecaster | Forecaster, steps: int, level: float | None = None) -> MeanForecast:
    """What a forecaster of `optimizer.forecasting` expects of so many steps, or its quantile at ``level``.

    Examples
    --------
    >>> from optimizer.forecasting.naive import SeasonalNaive
    >>> looking_ahead(SeasonalNaive([3]), 4)(np.array([[9.0, 1.0, 2.0, 3.0]])).tolist()
    [[1.0, 2.0, 3.0, 1.0]]
    """

    def forecast(history: np.ndarray) -> np.ndarray:
        if hasattr(forecaster, "predict"):
            if level is not None:
                raise InputError("level", "a point forecaster knows no quantiles", "leave it out")
            return np.asarray(forecaster.predict(history, steps))
        found = forecaster.forecast(history, steps, () if level is None else (level,))
        return found.mean_rps if level is None else found.quantile_rps[0]

    return forecast
