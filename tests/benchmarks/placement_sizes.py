"""`python -m tests.benchmarks.placement_sizes`: how near to the least cost each method comes, and how soon.

Seconds are CPU seconds of one core for ours and the heuristics; the MIP solvers' limits are of the wall's clock, one
thread, the building of the model not counted. `--quick` leaves out the solvers, and columns alone, and runs one seed.
Each instance is one JSON line of `--kept`; what is there already is not run again. About six minutes on a quiet
machine.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from optimizer.placement.bounds import fluid_bound, sharpened_bound
from optimizer.placement.columns import ColumnLimits, place_columns
from optimizer.placement.contents import contents_of, seats_of
from optimizer.placement.generation import Generator
from optimizer.placement.greedy import place_greedy
from optimizer.placement.mip import place_mip
from optimizer.placement.plan import check_placement, round_up_to_prices
from optimizer.placement.problem import PlacementProblem
from optimizer.placement.rounding import solve_known
from tests.benchmarks.kept_lines import keep_line, kept_lines
from tests.benchmarks.placement_instances import synthetic

__all__ = ["RESULTS", "measure_ours", "measure_short", "measure_size", "read_sizes", "size_tables"]

RESULTS = Path(__file__).resolve().parents[2] / "docs" / "results" / "placement" / "sizes.json"
SIZES = (50, 200, 1000)
SEEDS = (0, 1)
HEURISTICS = ("first_fit", "best_fit", "dot_product", "fgd_packed", "first_fit_decreasing", "best_fit_decreasing")
LIMITS_S = (1.0, 10.0)
GOAL = 0.01


def measure_ours(problem: PlacementProblem, seconds: float = LIMITS_S[-1]) -> dict[str, Any]:
    """Cost and bound of ours after 1 s and at the end, and the seconds until the gap was 1 %."""
    began_s = time.process_time()
    log: list[tuple[float, float, float]] = []
    limits = ColumnLimits(gap=0.0, cpu_s=seconds)
    plan = place_columns(problem, limits, lambda cost, bound: log.append((time.process_time() - began_s, cost, bound)))
    assert plan.bound is not None
    log.append((time.process_time() - began_s, plan.cost, plan.bound))
    early = [entry for entry in log if entry[0] <= LIMITS_S[0]] or log[:1]
    soon = [at for at, cost, bound in log if cost - bound <= GOAL * cost]
    return {
        "cost_1_s": early[-1][1],
        "bound_1_s": early[-1][2],
        "cost_10_s": plan.cost,
        "bound_10_s": plan.bound,
        "seconds_to_goal": soon[0] if soon else None,
        "seconds": log[-1][0],
        "nodes": plan.nodes_used,
        "unplaced": len(plan.unplaced),
    }


def measure_short(nodes: int, seed: int = 0) -> dict[str, float | int | str]:
    """Figures of one instance for `make bench`; replicas that a heuristic leaves out count by their price."""
    problem = synthetic(nodes, seed)
    ours = measure_ours(problem)
    soon = ours["seconds_to_goal"]
    figures: dict[str, float | int | str] = {
        f"placement_{nodes}_replicas": int(problem.count.sum()),
        f"placement_{nodes}_gap_1s": round(1.0 - ours["bound_1_s"] / ours["cost_1_s"], 4),
        f"placement_{nodes}_gap_10s": round(1.0 - ours["bound_10_s"] / ours["cost_10_s"], 4),
        f"placement_{nodes}_seconds_to_1pct": -1 if soon is None else round(soon, 2),
    }
    for policy in ("best_fit", "first_fit_decreasing"):
        above = place_greedy(problem, policy).cost / ours["bound_10_s"] - 1.0
        figures[f"placement_{nodes}_{policy}_above"] = round(above, 4)
    return figures


def _columns_alone(problem: PlacementProblem, seconds: float) -> tuple[float, float]:
    """Cost and bound of column generation and SCIP over what it found, half of the time each: no diving, no search."""
    began_s = time.process_time()
    start = place_greedy(problem, "best_fit")
    generator = Generator(problem)
    for node_type, copies in contents_of(problem, start.seats):
        generator.master.add(node_type, copies)
    generator.run(10_000, 1e-4, lambda: time.process_time() - began_s > seconds / 2)
    left_s = max(0.1, seconds - (time.process_time() - began_s))
    found = solve_known(
        generator, problem.count, problem.node_count, gap=0.0, search_nodes=10**6, seconds=left_s
    )  # fmt: skip
    cost = check_placement(problem, seats_of(problem, found)).cost if found else start.cost
    return min(cost, start.cost), round_up_to_prices(problem, generator.bound)


def measure_size(nodes: int, seed: int, *, solvers: bool = True) -> dict[str, Any]:
    """Everything on one instance; gaps are against the best bound that any method proved."""
    problem = synthetic(nodes, seed)
    ours = measure_ours(problem)
    costs: dict[str, dict[str, Any]] = {}
    for policy in HEURISTICS:
        began_s = time.process_time()
        plan = place_greedy(problem, policy)
        seconds = time.process_time() - began_s
        costs[policy] = {"cost_1_s": plan.cost, "cost_10_s": plan.cost, "seconds": seconds, "nodes": plan.nodes_used}
        costs[policy]["unplaced"] = len(plan.unplaced)
    if solvers:
        found = [_columns_alone(problem, seconds) for seconds in LIMITS_S]
        costs["columns_alone"] = {"cost_1_s": found[0][0], "cost_10_s": found[1][0], "bound_10_s": found[1][1]}
        for solver in ("SCIP", "SAT"):
            plans = [place_mip(problem, solver=solver, seconds=seconds) for seconds in LIMITS_S]
            costs[f"mip_{solver.lower()}"] = {
                "cost_1_s": plans[0].cost, "cost_10_s": plans[1].cost, "bound_10_s": plans[1].bound,
                "note": plans[1].note,
            }  # fmt: skip
    costs["ours"] = ours
    bounds = [entry.get("bound_10_s") or 0.0 for entry in costs.values()]
    return {
        "nodes": nodes,
        "seed": seed,
        "replicas": int(problem.count.sum()),
        "classes": int((problem.count > 0).sum()),
        "fluid": fluid_bound(problem),
        "sharpened": sharpened_bound(problem),
        "bound": max(*bounds, sharpened_bound(problem)),
        "methods": costs,
    }


def read_sizes(path: Path = RESULTS) -> list[dict[str, Any]]:
    """A document an instance."""
    found: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))
    return found


def size_tables(results: Sequence[dict[str, Any]]) -> str:
    """Markdown: a table of gaps, and one of what ours proves."""
    return "\n\n".join(_tables(results))


def _tables(results: Sequence[dict[str, Any]]) -> Iterator[str]:
    sizes = sorted({result["nodes"] for result in results})
    of = {size: [result for result in results if result["nodes"] == size] for size in sizes}
    yield "Cost above the best proven bound, mean over seeds (with replicas left out: their number):"
    lines = ["| method | " + " | ".join(f"{n:,} nodes, 1 s | 10 s" for n in sizes) + " |"]
    lines.append("| --- |" + " ---: | ---: |" * len(sizes))
    for method in results[0]["methods"]:
        cells = [_above(of[size], method, key) for size in sizes for key in ("cost_1_s", "cost_10_s")]
        lines.append(f"| `{method}` | " + " | ".join(cells) + " |")
    yield "\n".join(lines)
    yield "What ours proves by itself:"
    lines = ["| nodes | seed | replicas | gap, 1 s | 10 s | seconds to 1 % | LP bound | with cuts | proven | cost |"]
    lines.append("| ---: |" + " ---: |" * 9)
    for result in results:
        ours = result["methods"]["ours"]
        reached = "not reached" if ours["seconds_to_goal"] is None else f"{ours['seconds_to_goal']:.1f}"
        cells = [
            f"{result['nodes']:,}", str(result["seed"]), f"{result['replicas']:,}",
            f"{1 - ours['bound_1_s'] / ours['cost_1_s']:.2%}", f"{1 - ours['bound_10_s'] / ours['cost_10_s']:.2%}",
            reached, f"{result['fluid']:,.1f}", f"{result['sharpened']:,.1f}", f"{ours['bound_10_s']:,.1f}",
            f"{ours['cost_10_s']:,.1f}",
        ]  # fmt: skip
        lines.append("| " + " | ".join(cells) + " |")
    yield "\n".join(lines)


def _above(results: Sequence[dict[str, Any]], method: str, key: str) -> str:
    entries = [result["methods"][method] for result in results]
    left_out = sum(entry.get("unplaced", 0) for entry in entries)
    if left_out:
        return f"{left_out} left out"
    above = float(np.mean([entry[key] / result["bound"] - 1.0 for entry, result in zip(entries, results)]))
    return f"{above:.2%}" if above < 10.0 else "nothing found"


def _kept_or_measured(kept: Path, nodes: int, seed: int, *, solvers: bool) -> dict[str, Any]:
    """The line of an instance, measured now where there is none."""
    for found in kept_lines(kept):
        if (found["nodes"], found["seed"], "columns_alone" in found["methods"]) == (nodes, seed, solvers):
            return found
    keep_line(kept, measure_size(nodes, seed, solvers=solvers))
    print(f"{nodes} nodes, seed {seed}: done", file=sys.stderr, flush=True)
    return kept_lines(kept)[-1]


def main() -> int:
    """Measure and keep the figures."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--kept", type=Path, default=Path("build/placement_sizes.jsonl"))
    parser.add_argument("--results", type=Path, default=RESULTS)
    given = parser.parse_args()
    instances = [(nodes, seed) for nodes in SIZES for seed in (SEEDS[:1] if given.quick else SEEDS)]
    results = [_kept_or_measured(given.kept, nodes, seed, solvers=not given.quick) for nodes, seed in instances]
    given.results.parent.mkdir(parents=True, exist_ok=True)
    text = ",\n".join(json.dumps(result, default=float) for result in results)
    given.results.write_text(f"[\n{text}\n]\n", encoding="utf-8")
    print(size_tables(results))
    return 0


if __name__ == "__main__":
    sys.exit(main())
