"""``recfleet lp``: the document's allocation problem for a demand series in a file, or its worked case."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from workloads.errors import InputError

if TYPE_CHECKING:
    import numpy as np

    from optimizer.document_lp import DocumentLpResult

__all__ = ["lp", "read_demand"]


def lp(
    demand: Annotated[
        Path | None, typer.Option(help="CSV or Parquet file with one row a slot.", show_default=False)
    ] = None,
    capacity: Annotated[float | None, typer.Option(help="Most that can be allocated in a slot.")] = None,
    column: Annotated[
        str | None,
        typer.Option(help="Column of the demand; by default the only numeric one, or the one called demand."),
    ] = None,
    ramp_down: Annotated[float, typer.Option(help="Most that the allocation may fall from slot to slot.")] = 0.0,
    elastic: Annotated[bool, typer.Option("--elastic", help="Allow shortfalls, at a penalty.")] = False,
    penalty: Annotated[
        float | None, typer.Option(help="Per unit of shortfall; by default the number of slots.")
    ] = None,
    example: Annotated[
        bool, typer.Option("--example", help="The worked case: 24 slots, N(500, 100), capacity 600.")
    ] = False,
    seed: Annotated[int, typer.Option(help="Seed of the worked case; 10 is the first that has a solution.", min=0)] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
    out: Annotated[
        Path | None, typer.Option(help="Write slot, demand, allocation, waste, shortfall to this CSV.")
    ] = None,
) -> None:
    """Allocate for a series of demands: cover each slot, never shrink (or by --ramp-down), waste least.

    This is the problem of "the document", the planning document that the project started from; it and the
    document's greedy rule are kept as named baselines, the policies document_lp and document_greedy.
    Minimises the sum of (allocation - demand)^2 subject to allocation >= demand, allocation >= previous -
    ramp-down and allocation <= capacity. Exit code 0: solved; 1: no solution within the capacity; 2: the
    input cannot be used.

    Examples: recfleet lp --example --seed 10 ; recfleet lp --demand demand.csv --capacity 600 --elastic
    """
    try:
        solved, source = _solve(demand, capacity, column, ramp_down, elastic, penalty, example, seed)
        if out is not None:
            _write(solved, out)
    except InputError as error:
        typer.echo(f"recfleet: error: {error}", err=True)
        raise typer.Exit(2) from None
    if as_json:
        typer.echo(json.dumps(_as_dict(solved, source), indent=2))
    else:
        _print(solved, source, example)
    if solved.status != "optimal":
        raise typer.Exit(1)


def _solve(
    demand: Path | None,
    capacity: float | None,
    column: str | None,
    ramp_down: float,
    elastic: bool,
    penalty: float | None,
    example: bool,
    seed: int,
) -> tuple[DocumentLpResult, str]:
    if example == (demand is not None):
        raise InputError("lp", "it needs a file or the worked case, one of them", "give --demand FILE or --example")
    for name, value in (("--capacity", capacity), ("--ramp-down", ramp_down)):
        if value is not None and not (math.isfinite(value) and value >= 0.0):
            raise InputError(f"lp {name}", f"{value} is not a finite number >= 0", "give one")
    if penalty is not None and not (math.isfinite(penalty) and penalty > 0.0):
        raise InputError("lp --penalty", f"{penalty} is not a finite number > 0", "give one, or leave it out")
    if penalty is not None and not elastic:
        raise InputError("lp --penalty", "it prices shortfalls, which only --elastic allows", "add --elastic")

    import numpy as np

    from optimizer.document_lp import document_lp
    from optimizer.worked_case import CAPACITY, worked_case_demand

    if demand is None:
        series = worked_case_demand(np.random.default_rng(np.random.SeedSequence(seed)))
        limit, source = (CAPACITY if capacity is None else capacity), f"worked case, synthetic, seed {seed}"
    else:
        if capacity is None:
            raise InputError("lp --capacity", "it is missing", "give the most that can be allocated in a slot")
        series, limit, source = read_demand(demand, column), capacity, str(demand)
    return document_lp(series, limit, ramp_down=ramp_down, elastic=elastic, penalty=penalty), source


def read_demand(path: Path, column: str | None = None) -> np.ndarray:
    """``demand[slot]`` of a CSV or Parquet file.

    Parameters
    ----------
    column
        Name of the column; not needed where just one column is numeric, or one of several is called ``demand``.

    Raises
    ------
    InputError
        If the file is missing, unreadable, empty or of another kind, the column is missing or not clear, or
        a value is not a finite number >= 0; rows are numbered from 1, a CSV's header not counted.
    """
    frame = _read_table(path)
    name = _demand_column(frame, path, column)
    import numpy as np
    import pandas as pd

    numbers = pd.to_numeric(frame[name], errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)
    if numbers.size == 0:
        raise InputError(str(path), "it has no rows", "give one row for each slot")
    bad = np.flatnonzero(~np.isfinite(numbers) | (numbers < 0.0))
    if bad.size:
        row = int(bad[0])
        value = frame[name].iloc[row]
        shown = "missing or not a number" if pd.isna(value) else f"{value!s} is not a finite number >= 0"
        raise InputError(f"{path} row {row + 1} column {name}", shown, "correct or remove the row")
    return numbers


def _read_table(path: Path) -> Any:
    import pandas as pd

    if not path.is_file():
        raise InputError(str(path), "there is no such file", "give a CSV or Parquet file with one row a slot")
    try:
        if path.suffix.lower() in (".parquet", ".pq"):
            return pd.read_parquet(path)
        return pd.read_csv(path, encoding="utf-8-sig", skipinitialspace=True)
    except pd.errors.EmptyDataError:
        raise InputError(str(path), "it is empty", "give a header line and one row for each slot") from None
    except Exception as error:
        reason = " ".join(str(error).split())[:160]
        raise InputError(str(path), f"it cannot be read as a table ({reason})", "give a CSV or Parquet file") from None


def _demand_column(frame: Any, path: Path, column: str | None) -> str:
    import pandas as pd

    names = [str(c) for c in frame.columns]
    frame.columns = names
    if column is not None:
        if column not in names:
            raise InputError(f"{path} column {column}", "there is no such column", f"choose one of {', '.join(names)}")
        return column
    numeric = [n for n in names if pd.api.types.is_numeric_dtype(frame[n]) and frame[n].dtype != bool]
    if len(names) == 1:
        if _is_number(names[0]):
            raise InputError(
                f"{path} row 1", f"the header {names[0]!r} is a number", "add a header line, as in: demand"
            )
        return names[0]
    if len(numeric) == 1:
        return numeric[0]
    if "demand" in numeric:
        return "demand"
    found = f"{len(numeric)} columns are numeric ({', '.join(numeric)})" if numeric else "no column is numeric"
    raise InputError(str(path), found, "name the column of the demand with --column")


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _rows(solved: DocumentLpResult) -> list[tuple[int, float, float, float, float]]:
    columns = (solved.demand, solved.allocation, solved.waste, solved.shortfall)
    return [(t, *(float(c[t]) for c in columns)) for t in range(len(solved.demand))]  # type: ignore[misc]


def _as_dict(solved: DocumentLpResult, source: str) -> dict[str, Any]:
    """The result as plain values; what an infeasible problem has not is null."""
    optimal = solved.status == "optimal"
    return {
        "source": source,
        "status": solved.status,
        "capacity": float(solved.capacity),
        "demand": solved.demand.tolist(),
        "allocation": solved.allocation.tolist() if optimal else None,
        "waste": solved.waste.tolist() if optimal else None,
        "waste_linear": solved.waste_linear if optimal else None,
        "waste_squared": solved.waste_squared if optimal else None,
        "short_slots": [{"slot": slot, "short_by": by} for slot, by in solved.short_slots],
    }


def _write(solved: DocumentLpResult, out: Path) -> None:
    import os

    import pandas as pd

    table = pd.DataFrame(_rows(solved), columns=["slot", "demand", "allocation", "waste", "shortfall"])
    partial = out.with_name(out.name + ".partial")
    try:
        table.to_csv(partial, index=False)
        os.replace(partial, out)
    except OSError as error:
        raise InputError(str(out), f"it cannot be written ({error.strerror})", "choose another --out") from None


def _print(solved: DocumentLpResult, source: str, example: bool) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console()
    short = dict(solved.short_slots)
    table = Table(title=Text(f"Allocation for {source}"))
    for name in ("slot", "demand", "allocation", "waste", "short by"):
        table.add_column(name, justify="right")
    for slot, need, given, waste, _ in _rows(solved):
        cells = [f"{v:,.1f}" if math.isfinite(v) else "-" for v in (need, given, waste)]
        table.add_row(str(slot), *cells, f"{short[slot]:,.1f}" if slot in short else "")
    console.print(table)
    console.print(_verdict(solved), highlight=False, markup=False, soft_wrap=True)
    if example:
        from optimizer.worked_case import feasibility_probability

        chance = feasibility_probability(len(solved.demand), capacity=float(solved.capacity))
        console.print(f"Such a draw has a solution with probability {chance:.3g}.", highlight=False)


def _verdict(solved: DocumentLpResult) -> str:
    if solved.status != "optimal":
        slots = ", ".join(f"{slot} (by {by:,.1f})" for slot, by in solved.short_slots)
        return (
            f"infeasible: demand exceeds the capacity of {float(solved.capacity):,.1f} in slots {slots}; "
            "raise --capacity, or allow shortfalls with --elastic"
        )
    short = sum(by for _, by in solved.short_slots)
    missing = f", {short:,.1f} short in {len(solved.short_slots)} slots" if short else ""
    return f"optimal: waste {solved.waste_linear:,.1f} in all, {solved.waste_squared:,.1f} squared{missing}"
