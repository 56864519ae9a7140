"""What ``recfleet lp`` prints and writes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workloads.errors import InputError

if TYPE_CHECKING:
    from optimizer.document_lp import DocumentLpResult
    from optimizer.worked_case import SimulatedShare

    Chance = tuple[float | None, SimulatedShare]

__all__ = ["Solved", "as_dict", "print_solved", "write_solved"]

Row = tuple[str, int, float, float, float, float]


@dataclass(frozen=True)
class Solved:
    """A solved problem, the names of its resources, where its demand comes from, and its first slot there."""

    result: DocumentLpResult
    names: list[str]
    source: str
    first_slot: int = 0

    @property
    def rows(self) -> list[Row]:
        """Resource, slot, demand, allocation, waste, shortfall."""
        import numpy as np

        result = self.result
        parts = [np.atleast_2d(p) for p in (result.demand, result.allocation, result.waste, result.shortfall)]
        slots = parts[0].shape[1]
        return [
            (name, t + self.first_slot, *(float(p[r, t]) for p in parts))  # type: ignore[misc]
            for r, name in enumerate(self.names)
            for t in range(slots)
        ]

    @property
    def short(self) -> list[Row]:
        """Rows with a shortfall that is more than rounding."""
        noise = 1e-12 * float(self.result.demand.max(initial=0.0))
        return [row for row in self.rows if row[5] > noise]


def as_dict(solved: Solved, chance: Chance | None = None) -> dict[str, Any]:
    """The result as plain values; what an infeasible problem has not is null."""
    import numpy as np

    result, several = solved.result, len(solved.names) > 1
    optimal = result.status == "optimal"
    found: dict[str, Any] = {
        "source": solved.source,
        "status": result.status,
        "solver": result.solver,
        "objective": result.objective,
        "objective_value": result.objective_value if optimal else None,
        "capacity": np.asarray(result.capacity, dtype=float).tolist(),
        "demand": result.demand.tolist(),
        "allocation": result.allocation.tolist() if optimal else None,
        "waste": result.waste.tolist() if optimal else None,
        "waste_linear": result.waste_linear if optimal else None,
        "waste_squared": result.waste_squared if optimal else None,
        "short_slots": [
            {**({"resource": name} if several else {}), "slot": slot, "short_by": by}
            for name, slot, _, _, _, by in solved.short
        ],
        "slots_over_budget": [{"slot": slot, "over_by": by} for slot, by in result.dear_slots],
    }
    if several:
        found["resources"] = solved.names
    if chance is not None:
        exact, drawn = chance
        found["feasibility"] = {
            "closed_form": exact,
            "simulated": drawn.share,
            "low": drawn.low,
            "high": drawn.high,
            "confidence": drawn.level,
            "draws": drawn.draws,
        }
    return found


def write_solved(solved: Solved, out: Path) -> None:
    """One row for each resource and slot; the resource's column is left out where there is one only."""
    import pandas as pd

    from workloads.atomic_files import replace_file

    table = pd.DataFrame(solved.rows, columns=["resource", "slot", "demand", "allocation", "waste", "shortfall"])
    if len(solved.names) == 1:
        table = table.drop(columns="resource")
    if out.is_dir() or not out.absolute().parent.is_dir():
        raise InputError(f"--out {out}", "is no file in a folder that exists", "give one")
    try:
        replace_file(out, lambda temporary: table.to_csv(temporary, index=False))
    except OSError as error:
        raise InputError(f"--out {out}", f"cannot be written ({error.strerror})", "give another file") from None


def print_solved(solved: Solved, chance: Chance | None) -> None:
    """A table, the verdict in one line, and how often the worked case has a solution."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console()
    several, short = len(solved.names) > 1, {row[:2] for row in solved.short}
    table = Table(title=Text(f"Allocation for {solved.source}"))
    for name in (*(["resource"] if several else []), "slot", "demand", "allocation", "waste", "short by"):
        table.add_column(name, justify="left" if name == "resource" else "right")
    for name, slot, need, given, waste, by in solved.rows:
        cells = [f"{v:,.1f}" if math.isfinite(v) else "-" for v in (need, given, waste)]
        first = [Text(name)] if several else []
        table.add_row(*first, str(slot), *cells, f"{by:,.1f}" if (name, slot) in short else "")
    console.print(table)
    console.print(_verdict(solved), highlight=False, markup=False, soft_wrap=True)
    if chance is not None:
        console.print(_said(*chance), highlight=False, soft_wrap=True)


def _said(exact: float | None, drawn: SimulatedShare) -> str:
    simulated = (
        f"simulated {drawn.share:.5f} ({drawn.level:.0%} interval {drawn.low:.5f} to {drawn.high:.5f}, "
        f"{drawn.draws:,} draws)"
    )
    if exact is None:
        return f"Such a draw has a solution with probability: {simulated}; no closed form with --initial."
    return f"Such a draw has a solution with probability {exact:.5f} (closed form); {simulated}."


def _verdict(solved: Solved) -> str:
    result, several = solved.result, len(solved.names) > 1
    if result.status == "optimal":
        short = sum(row[5] for row in solved.short)
        missing = f", {short:,.1f} short in {len(solved.short)} slots" if short else ""
        of_plans = "each plan is optimal; against the demand that came: " if solved.first_slot else "optimal: "
        return f"{of_plans}waste {result.waste_linear:,.1f} in all, {result.waste_squared:,.1f} squared{missing}"
    reasons = []
    if solved.short:
        slots = ", ".join(f"{slot} (by {by:,.1f}{f' of {name}' * several})" for name, slot, _, _, _, by in solved.short)
        import numpy as np

        limits = " and ".join(f"{c:,.1f}" for c in np.unique(np.asarray(result.capacity, dtype=float)))
        reasons.append(f"demand exceeds what the capacity of {limits} and the ramps allow in slots {slots}")
    if result.dear_slots:
        reasons.append("demand costs more than the budget in slots " + ", ".join(
            f"{slot} (by {by:,.1f})" for slot, by in result.dear_slots
        ))  # fmt: skip
    return f"infeasible: {'; '.join(reasons)}; raise what is too low, or allow shortfalls with --elastic"
