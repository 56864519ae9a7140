"""``recfleet lp --horizon``: each slot planned from the slots before it, and judged by the demand that came."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from recfleet.lp_output import Solved
from workloads.errors import InputError

__all__ = ["RollingPlan", "check_rolling", "roll_over", "rolled"]

ALONE = ("budget", "whole", "solver")
"""Options of the problem whose every slot is known that the rolling horizon has not."""


@dataclass(frozen=True)
class RollingPlan:
    """How far each plan looks, and by what forecast.

    Attributes
    ----------
    horizon
        Slots.
    forecast
        A method of `optimizer.forecasting.methods`, or ``oracle`` for the truth.
    level
        Quantile that is planned for; None for the mean.
    period
        Season in slots; None for none.
    """

    horizon: int
    forecast: str
    level: float | None
    period: int | None


def check_rolling(plan: RollingPlan, options: dict[str, Any]) -> None:
    """Refuse what does not go together, in the words of the command line."""
    for name in ALONE:
        if options[name] is not None and options[name] is not False:
            raise InputError(f"lp --{name}", "plans over a horizon do not know it", "leave it or --horizon out")
    if plan.level is not None and not 0.0 < plan.level < 1.0:
        raise InputError("lp --level", f"{plan.level} is no quantile", "give a number between 0 and 1, as in 0.9")


def roll_over(demand: Any, capacity: Any, plan: RollingPlan, options: dict[str, Any]) -> tuple[Any, int]:
    """A `DocumentLpResult` of all slots but the first, which is seen before the first plan; and the first one's index.

    Plans are elastic: what a forecast missed is a shortfall. The objective is that of the allocation against the demand
    that came.
    """
    import numpy as np

    from optimizer.document.problem import document_problem
    from optimizer.document.rolling import RollingDocumentLp, looking_ahead, roll
    from optimizer.document_lp import DocumentLpResult, judged
    from optimizer.forecasting.methods import Setting, make_forecaster

    rows = np.atleast_2d(np.asarray(demand, dtype=np.float64))
    if rows.shape[1] < 2:
        raise InputError("lp --horizon", "one slot alone leaves nothing to plan", "give two slots or more")
    setting = Setting(1.0, None if plan.period is None else float(plan.period))
    forecaster = make_forecaster(plan.forecast, setting, rows if plan.forecast == "oracle" else None)
    known = {name: options[name] for name in ("objective", "ramp_down", "ramp_up", "initial", "penalty")}
    price = options.get("price", 1.0)
    by_slot = np.broadcast_to(np.atleast_2d(price), rows.shape)
    last = rows.shape[1] - 1
    plans = RollingDocumentLp(
        looking_ahead(forecaster, plan.horizon, plan.level),
        capacity,
        price=lambda slot: by_slot[:, min(slot, last)],
        **known,
    )
    done = roll(plans, rows)
    judge = document_problem(
        done.demand,
        capacity,
        objective=known["objective"],
        elastic=True,
        penalty=known["penalty"],
        price=by_slot[:, 1:],
    )
    waste, shortfall, value = judged(judge, done.allocation)
    shape = done.demand.shape if np.ndim(demand) > 1 else (done.demand.shape[1],)
    came, given, waste, shortfall = (p.reshape(shape) for p in (done.demand, done.allocation, waste, shortfall))
    solver = "pdlp" if known["objective"] == "quadratic" else "glop"
    nothing = np.zeros(shape[-1])
    result = DocumentLpResult(
        "optimal", came, given, waste, shortfall, capacity, str(known["objective"]), value, solver, nothing
    )
    return result, 1


def rolled(
    demand: Any, capacity: Any, names: list[str], source: str, plan: RollingPlan, options: dict[str, Any]
) -> Solved:
    """The same, named for printing."""
    result, first = roll_over(demand, capacity, plan, options)
    about = f"{source}, plans of {plan.horizon} slots on {plan.forecast}"
    return Solved(result, names, about if plan.level is None else f"{about} at level {plan.level:g}", first)
