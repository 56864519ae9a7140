"""`python -m tests.benchmarks.fleet_sizes`: solvers of the allocation problem on the seeded instances, size by size.

Each solve runs in a process of its own and is ended `GRACE_S` after its time. Each is one JSON line of `--out`; what is
there already is not run again. All solvers but ours and CP-SAT's whole amounts get the same model (`CountedModel`), one
thread each, and their answers are placed first fit: values are those of placed plans. The gap is ``(value - bound) /
value``, once with the solver's own bound and once with the best that any solver proved. About five minutes on a quiet
machine; ``--quick`` leaves out all but ours and SCIP, and the largest size.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import timedelta
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from tests.benchmarks.fleet_instances import SIZES, fleet_instance
from tests.benchmarks.kept_lines import keep_line, kept_lines
from tests.benchmarks.machine import describe

__all__ = ["RESULTS", "SOLVERS", "fleet_table", "kept_table", "measure_cells"]

RESULTS = Path(__file__).resolve().parents[2] / "docs" / "results" / "fleet" / "sizes.jsonl"

GRACE_S = 10.0
"""Placement and the start of Python are not the solver's time, but must end."""

RUNS = ((0.0, 1.0), (0.0, 10.0), (0.01, 10.0), (0.001, 10.0))
"""Gap asked for and seconds: what is reached in a time, and in what time a gap is."""

SOLVERS = ("cbc", "scip", "cp_sat", "highs", "lp_rounding", "greedy", "columns")


def main(
    out: Annotated[Path, typer.Option(help="One JSON line a solve.")] = Path("build/fleet_sizes.jsonl"),
    quick: Annotated[bool, typer.Option(help="Ours and SCIP, without the largest size.")] = False,
    seed: Annotated[int, typer.Option(help="Of the instances.")] = 0,
    cell: Annotated[str, typer.Option(help="One solve, as it is run in a process of its own.", hidden=True)] = "",
) -> None:
    """Measure what is missing, and print the table."""
    if cell:
        services, types, seed_, solver, gap, seconds = cell.split(",")
        print(json.dumps(_solve(solver, int(services), int(types), int(seed_), float(gap), float(seconds))))
        return
    began = time.perf_counter()
    cells = measure_cells(out, SIZES[:-1] if quick else SIZES, ("scip", "columns") if quick else SOLVERS, seed)
    print(fleet_table(cells))
    versions = {name: version(name) for name in ("ortools", "pulp", "numpy")}
    print(f"\n{describe() | versions}; measured in {time.perf_counter() - began:.0f} s")


def kept_table() -> str:
    """The table of the kept solves."""
    return fleet_table(kept_lines(RESULTS))


def measure_cells(
    out: Path, sizes: tuple[tuple[int, int], ...], solvers: tuple[str, ...], seed: int = 0
) -> list[dict[str, Any]]:
    """All solves, from the file or run now."""
    done = kept_lines(out)
    cells = []
    for services, types in sizes:
        for solver in solvers:
            reached = 0.0
            for gap, seconds in RUNS:
                instance = {"services": services, "types": types, "seed": seed}
                key = instance | {"solver": solver, "gap": gap, "limit_s": seconds}
                found = next((d for d in done if all(d.get(k) == v for k, v in key.items())), None)
                if found is None:
                    hopeless = gap > 0.0 and reached > gap
                    found = key | ({"error": "not reached"} if hopeless else _in_process(key))
                    keep_line(out, found)
                if seconds == RUNS[1][1] and gap == 0.0:
                    reached = found["own_gap"] if found.get("own_gap") is not None else np.inf
                cells.append(found)
    return cells


def _in_process(key: dict[str, Any]) -> dict[str, Any]:
    cell = ",".join(str(key[k]) for k in ("services", "types", "seed", "solver", "gap", "limit_s"))
    print(f"measuring {cell} ...", file=sys.stderr, flush=True)
    command = [sys.executable, "-m", "tests.benchmarks.fleet_sizes", "--cell", cell]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=key["limit_s"] + GRACE_S, check=False)
    except subprocess.TimeoutExpired:
        return {"error": f"not back {GRACE_S:g} s after its time"}
    if done.returncode != 0:
        return {"error": done.stderr.strip().splitlines()[-1][:200] if done.stderr.strip() else "died"}
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


def _solve(solver: str, services: int, types: int, seed: int, gap: float, seconds: float) -> dict[str, Any]:
    """One solve: seconds to build and to solve, placed value, own bound and gap."""
    problem = fleet_instance(services, types, seed)
    plan, build_s, solve_s = _WAYS[solver](problem, gap, seconds, solver)
    bound = plan.bound_usd_per_hour
    return {
        "build_s": build_s,
        "solve_s": solve_s,
        "value": plan.objective_usd_per_hour,
        "bound": bound,
        "own_gap": None if bound is None else plan.gap,
    }


def _by_model(problem: Any, gap: float, seconds: float, solver: str) -> tuple[Any, float, float]:
    """The counted model by a solver of MathOpt, placed."""
    from ortools.math_opt.python import mathopt

    from optimizer.fleet import solvers
    from optimizer.fleet.counted import Asked, CountedModel

    began = time.perf_counter()
    counted = CountedModel(problem, Asked.of(problem), whole=solver == "cp_sat")
    built = time.perf_counter()
    limits = solvers.MipLimits(nodes=2**30, thorough=True, solver=solver, time_limit_s=seconds)
    parameters = limits.parameters(1.0)
    parameters.absolute_gap_tolerance, parameters.relative_gap_tolerance = None, gap
    parameters.time_limit = timedelta(seconds=seconds)
    solved = solvers.from_result(mathopt.solve(counted.model, solvers.SOLVERS[solver][1], params=parameters))
    ended = time.perf_counter()
    if solved.values is None:
        raise RuntimeError(f"no solution ({solved.reason})")
    return _placed(problem, counted.read(solved)[0], solved.bound), built - began, ended - built


def _by_cbc(problem: Any, gap: float, seconds: float, solver: str) -> tuple[Any, float, float]:
    """The counted model copied to PuLP, by CBC; PuLP does not hand on CBC's bound, so it is read from its log."""
    import re
    import tempfile

    import pulp

    from optimizer.fleet.counted import Asked, CountedModel

    began = time.perf_counter()
    counted = CountedModel(problem, Asked.of(problem))
    copy, variables = _as_pulp(counted.model)
    built = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "cbc.log"
        copy.solve(pulp.PULP_CBC_CMD(msg=False, threads=1, timeLimit=seconds, gapRel=gap, logPath=str(log)))
        text = log.read_text()
    ended = time.perf_counter()
    if copy.sol_status not in (pulp.LpSolutionOptimal, pulp.LpSolutionIntegerFeasible):
        raise RuntimeError("no solution")
    replicas = np.zeros(problem.throughput_rps.shape)
    for pair, variable in counted.x.items():
        replicas[pair] = variables[variable.id].value() or 0.0
    lower = re.search(r"Lower bound:\s+([-\d.e+]+)", text)
    whole = pulp.value(copy.objective) if "Optimal solution found" in text and gap == 0.0 else None
    bound = float(lower.group(1)) if lower else whole
    return _placed(problem, np.round(replicas), bound), built - began, ended - built


def _as_pulp(model: Any) -> tuple[Any, dict[int, Any]]:
    import pulp

    copy = pulp.LpProblem("fleet", pulp.LpMinimize)
    variables = {
        v.id: pulp.LpVariable(
            f"v{v.id}", v.lower_bound, v.upper_bound if np.isfinite(v.upper_bound) else None,
            "Integer" if v.integer else "Continuous",
        )
        for v in model.variables()
    }  # fmt: skip
    copy += pulp.LpAffineExpression([(variables[t.variable.id], t.coefficient) for t in model.objective.linear_terms()])
    for row in model.linear_constraints():
        terms = pulp.LpAffineExpression([(variables[t.variable.id], t.coefficient) for t in row.terms()])
        if np.isfinite(row.lower_bound):
            copy += terms >= row.lower_bound
        if np.isfinite(row.upper_bound):
            copy += terms <= row.upper_bound
    return copy, variables


def _placed(problem: Any, replicas: np.ndarray, bound: float | None) -> Any:
    from dataclasses import replace

    from optimizer.fleet.rounding import place

    plan, _ = place(problem, replicas.astype(np.int64), problem.node_count)
    return replace(plan, bound_usd_per_hour=bound)


def _by_function(problem: Any, gap: float, seconds: float, solver: str) -> tuple[Any, float, float]:
    """LP rounding, greedy and ours, which build as they solve."""
    from optimizer.fleet.columns import ColumnLimits, solve_fleet_columns
    from optimizer.fleet.fallback import round_fluid
    from optimizer.fleet.greedy import solve_greedy

    calls: dict[str, Callable[[], Any]] = {
        "lp_rounding": lambda: round_fluid(problem),
        "greedy": lambda: solve_greedy(problem),
        "columns": lambda: solve_fleet_columns(problem, ColumnLimits(gap=gap, wall_s=seconds)),
    }
    began = time.perf_counter()
    plan = calls[solver]()
    return plan, 0.0, time.perf_counter() - began


_WAYS: dict[str, Callable[[Any, float, float, str], tuple[Any, float, float]]] = {
    "cbc": _by_cbc, "scip": _by_model, "cp_sat": _by_model, "highs": _by_model,
    "lp_rounding": _by_function, "greedy": _by_function, "columns": _by_function,
}  # fmt: skip


def fleet_table(cells: list[dict[str, Any]]) -> str:
    """Markdown: a row a size and solver."""
    lines = [
        "| services x types | solver | build s | s to 1 % | s to 0.1 % | gap, 1 s | gap, 10 s | 10 s, to best bound |",
        "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for size in dict.fromkeys((c["services"], c["types"]) for c in cells):
        here = [c for c in cells if (c["services"], c["types"]) == size]
        best = max((c["bound"] for c in here if c.get("bound") is not None), default=0.0)
        for solver in dict.fromkeys(c["solver"] for c in here):
            one, ten, percent, tenth = [c for c in here if c["solver"] == solver]
            against = f"{1.0 - best / ten['value']:.2%}" if ten.get("value") else "-"
            lines.append(
                f"| {size[0]} x {size[1]} | {solver} | {_number(ten.get('build_s'))} | {_seconds(percent)} | "
                f"{_seconds(tenth)} | {_gap(one)} | {_gap(ten)} | "
                f"{against} |"
            )
    return "\n".join(lines)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _seconds(cell: dict[str, Any]) -> str:
    """Build and solve, if the gap asked for was proved."""
    reached = cell.get("own_gap") is not None and cell["own_gap"] <= cell["gap"] * (1.0 + 1e-6)
    return _number(cell["build_s"] + cell["solve_s"]) if reached else "-"


def _gap(cell: dict[str, Any]) -> str:
    if cell.get("own_gap") is not None:
        late = cell["build_s"] + cell["solve_s"] > 1.2 * cell["limit_s"]
        return f"{cell['own_gap']:.2%}" + (f" (took {cell['build_s'] + cell['solve_s']:.1f} s)" if late else "")
    return "no bound" if cell.get("value") is not None else "-"


if __name__ == "__main__":
    typer.run(main)
