"""``recfleet lp``: the document's allocation problem for demand series in a file, or its worked case."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from recfleet.lp_columns import read_columns, read_demand
from recfleet.lp_output import Solved, as_dict, print_solved, write_solved
from recfleet.lp_rolling import RollingPlan, check_rolling, rolled
from workloads.errors import InputError, RecfleetError

if TYPE_CHECKING:
    from optimizer.worked_case import SimulatedShare

__all__ = ["lp", "read_demand"]


def lp(
    demand: Annotated[
        Path | None, typer.Option(help="CSV or Parquet file with one row a slot.", show_default=False)
    ] = None,
    capacity: Annotated[
        list[float] | None,
        typer.Option(help="Most that can be allocated in a slot; once, or once for each --column.", show_default=False),
    ] = None,
    column: Annotated[
        list[str] | None,
        typer.Option(
            help="Column of the demand, once for each resource; by default the only numeric one, or the one "
            "called demand.",
            show_default=False,
        ),
    ] = None,
    objective: Annotated[str, typer.Option(help="What the waste costs: linear or quadratic.")] = "linear",
    ramp_down: Annotated[float, typer.Option(help="Most that the allocation may fall from slot to slot.")] = 0.0,
    ramp_up: Annotated[
        float | None, typer.Option(help="Most that it may rise from slot to slot; by default anything.")
    ] = None,
    initial: Annotated[
        float | None, typer.Option(help="Allocation before the first slot, where there was one.")
    ] = None,
    price_column: Annotated[
        list[str] | None,
        typer.Option(help="Column of the price of a unit in each slot; once, or once for each --column."),
    ] = None,
    budget: Annotated[float | None, typer.Option(help="Most that the allocations of a slot may cost together.")] = None,
    whole: Annotated[bool, typer.Option("--whole", help="Allocate whole numbers.")] = False,
    elastic: Annotated[bool, typer.Option("--elastic", help="Allow shortfalls, at a penalty.")] = False,
    penalty: Annotated[
        float | None, typer.Option(help="Per unit of shortfall; by default so high that all is served that can be.")
    ] = None,
    solver: Annotated[
        str | None, typer.Option(help="cbc, glop, scip or pdlp; by default cbc, and pdlp for squares.")
    ] = None,
    horizon: Annotated[
        int | None,
        typer.Option(help="Plan each slot from the slots before it, so many slots ahead.", min=1, show_default=False),
    ] = None,
    forecast: Annotated[
        str | None,
        typer.Option(help="Of --horizon: last_value (default), seasonal_naive, holt_winters, ..., or oracle."),
    ] = None,
    level: Annotated[
        float | None, typer.Option(help="Quantile of the forecast to plan for; by default its mean.")
    ] = None,
    period: Annotated[int | None, typer.Option(help="Season of the forecast in slots.", min=2)] = None,
    example: Annotated[
        bool,
        typer.Option(
            "--example",
            help="The worked case: 24 slots, N(500, 100), capacity 600; most draws have no solution, on purpose.",
        ),
    ] = False,
    seed: Annotated[int, typer.Option(help="Seed of the worked case; 10 is the first with a solution.", min=0)] = 0,
    draws: Annotated[
        int, typer.Option(help="Draws of the worked case, to see how often it has a solution.", min=1, max=10_000_000)
    ] = 100_000,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
    out: Annotated[
        Path | None, typer.Option(help="Write slot, demand, allocation, waste, shortfall to this CSV.")
    ] = None,
) -> None:
    """Allocate for a series of demands: cover each slot, never shrink (or by --ramp-down), waste least.

    This is the problem of "the document", the planning document that the project started from; it and the
    document's greedy rule are kept as named baselines, the policies document_lp and document_greedy.
    Minimises the sum of (allocation - demand)^2 subject to allocation >= demand, allocation >= previous -
    ramp-down and allocation <= capacity; the linear objective has the same optimum unless --elastic. Exit code 0:
    solved; 1: no solution; 2: the input cannot be used.

    Examples: recfleet lp --example --seed 10 ; recfleet lp --demand demand.csv --capacity 600 --elastic
    """
    try:
        _check(demand, example, capacity, ramp_down, ramp_up, initial, budget, penalty, elastic, horizon is not None)
        options = {
            "objective": objective,
            "ramp_down": ramp_down,
            "ramp_up": math.inf if ramp_up is None else ramp_up,
            "initial": initial,
            "budget": budget,
            "whole": whole,
            "elastic": elastic,
            "penalty": penalty,
            "solver": solver,
        }
        rolling = None if horizon is None else RollingPlan(horizon, forecast or "last_value", level, period)
        _check_rolling(rolling, forecast, level, period, options)
        solved = _example(seed, capacity, options, rolling) if demand is None else _file(
            demand, column, capacity, price_column, options, rolling
        )  # fmt: skip
        chance = _chance(solved, seed, draws, options) if example and rolling is None else None
        if out is not None:
            write_solved(solved, out)
    except RecfleetError as error:
        typer.echo(f"recfleet: error: {error}", err=True)
        raise typer.Exit(2) from None
    if as_json:
        typer.echo(json.dumps(as_dict(solved, chance), indent=2))
    else:
        print_solved(solved, chance)
        if chance is not None and solved.result.status != "optimal" and _is_as_written(solved, options):
            typer.echo(_ON_PURPOSE)
    if solved.result.status != "optimal":
        raise typer.Exit(1)


def _check(
    demand: Path | None,
    example: bool,
    capacity: list[float] | None,
    ramp_down: float,
    ramp_up: float | None,
    initial: float | None,
    budget: float | None,
    penalty: float | None,
    elastic: bool,
    rolling: bool,
) -> None:
    """What can be said of the options before a file is read, in the words of the command line."""
    if example == (demand is not None):
        raise InputError("lp", "it needs a file or the worked case, one of them", "give --demand FILE or --example")
    named: list[tuple[str, float | None]] = [("--capacity", c) for c in capacity or []]
    named += [("--ramp-down", ramp_down), ("--ramp-up", ramp_up), ("--initial", initial), ("--budget", budget)]
    for name, value in named:
        if value is not None and not (math.isfinite(value) and value >= 0.0):
            raise InputError(f"lp {name}", f"{value} is not a finite number >= 0", "give one")
    if penalty is not None and not (math.isfinite(penalty) and penalty > 0.0):
        raise InputError("lp --penalty", f"{penalty} is not a finite number > 0", "give one, or leave it out")
    if penalty is not None and not (elastic or rolling):
        raise InputError("lp --penalty", "it prices shortfalls, which only --elastic allows", "add --elastic")
    if demand is not None and not capacity:
        raise InputError("lp --capacity", "it is missing", "give the most that can be allocated in a slot")


def _check_rolling(
    rolling: RollingPlan | None,
    forecast: str | None,
    level: float | None,
    period: int | None,
    options: dict[str, Any],
) -> None:
    if rolling is None:
        if forecast is not None:
            raise InputError("lp --forecast", "it says how --horizon forecasts", "add --horizon")
        if level is not None or period is not None:
            name = "--level" if level is not None else "--period"
            raise InputError(f"lp {name}", "it says how --horizon forecasts", "add --horizon")
    else:
        check_rolling(rolling, options)


def _example(seed: int, capacity: list[float] | None, options: dict[str, Any], rolling: RollingPlan | None) -> Solved:
    import numpy as np

    from optimizer.document_lp import document_lp
    from optimizer.worked_case import CAPACITY, worked_case_demand

    if capacity is not None and len(capacity) > 1:
        raise InputError(
            "lp --capacity", f"{len(capacity)} of them for the one resource of the worked case", "give one"
        )
    series = worked_case_demand(np.random.default_rng(np.random.SeedSequence(seed)))
    limit = capacity[0] if capacity else CAPACITY
    source = f"worked case, synthetic, seed {seed}"
    if rolling is not None:
        return rolled(series, limit, ["demand"], source, rolling, options)
    return Solved(document_lp(series, limit, **options), ["demand"], source)


def _file(
    path: Path,
    column: list[str] | None,
    capacity: list[float] | None,
    price_column: list[str] | None,
    options: dict[str, Any],
    rolling: RollingPlan | None,
) -> Solved:
    from optimizer.document_lp import document_lp

    names, rows = read_columns(path, column)
    limits = capacity or []
    for option, given in (("--capacity", limits), ("--price-column", price_column or [])):
        if len(given) not in (0, 1, len(names)):
            problem = f"{len(given)} of them for {len(names)} resources"
            raise InputError(f"lp {option}", problem, "give one, or one for each --column")
    if price_column:
        prices = read_columns(path, price_column, positive=True)[1]
        options = {**options, "price": prices if len(names) > 1 else prices[0]}
    series = rows if len(names) > 1 else rows[0]
    limit = limits if len(limits) > 1 else limits[0]
    if rolling is not None:
        return rolled(series, limit, names, str(path), rolling, options)
    return Solved(document_lp(series, limit, **options), names, str(path))


def _is_as_written(solved: Solved, options: dict[str, Any]) -> bool:
    """Whether nothing else than the demand decides if the worked case has a solution."""
    import numpy as np

    from optimizer.worked_case import CAPACITY

    limit = float(np.asarray(solved.result.capacity))
    return limit == CAPACITY and options["initial"] is None and options["budget"] is None


_ON_PURPOSE = (
    "The worked case is there to show this: hardly any draw has a solution. The first that has one: recfleet lp "
    "--example --seed 10"
)


def _chance(solved: Solved, seed: int, draws: int, options: dict[str, Any]) -> tuple[float | None, SimulatedShare]:
    """How often the worked case has a solution: closed form (None where there is none), and simulated."""
    import numpy as np

    from optimizer.worked_case import feasibility_probability, simulated_feasibility

    limit = float(np.asarray(solved.result.capacity))
    limit = math.floor(limit) if options["whole"] else limit
    if options["budget"] is not None:
        limit = min(limit, options["budget"])
    bounded = options["initial"] is not None
    exact = None if bounded else feasibility_probability(len(solved.result.demand), capacity=limit)
    rng = np.random.default_rng(np.random.SeedSequence([seed, 1]))
    ramps = {name: options[name] for name in ("ramp_down", "ramp_up", "initial")}
    return exact, simulated_feasibility(rng, draws, len(solved.result.demand), limit, **ramps)
