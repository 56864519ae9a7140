"""`python -m tests.benchmarks.placement_real`: Alibaba's recommendation services on the nodes of Alibaba's GPU cluster.

The instances alive at the start of `dlrm_serving_instances.parquet` (2025) are placed on
`cluster_nodes_openb2023.csv`: another cluster, of older machines, so that not all fit. Services are admitted whole,
smallest first, while the sharpened linear programme finds room on nine tenths of the nodes of each type; a service
with an instance that fits on no node is left out.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from optimizer.placement.bounds import fluid_bound, sharpened_bound
from optimizer.placement.cluster_files import ClusterInput, cluster_problem, read_instances, read_nodes
from optimizer.placement.columns import ColumnLimits
from optimizer.placement.greedy import GREEDY
from optimizer.placement.methods import place
from workloads.data_folder import data_path

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["RESULTS", "measure", "read_real", "real_tables"]

RESULTS = Path(__file__).resolve().parents[2] / "docs" / "results" / "placement" / "real.json"
SECONDS = 10.0
PARTS_USED = (9, 10)


@dataclass(frozen=True)
class Admission:
    """Services, and those left out by reason."""

    admitted: tuple[str, ...]
    reasons: Mapping[str, int]


def _admit(nodes: pd.DataFrame, live: pd.DataFrame) -> Admission:
    """Services that fit, smallest largest-share first."""
    whole = cluster_problem(nodes, live)
    reasons: Counter[str] = Counter()
    odd: dict[str, str] = {}
    for app, cls in zip(whole.app, whole.problem.replica_class.tolist()):
        reason = whole.problem.misfit(cls)
        if reason:
            odd[app.split()[0]] = reason
    totals = live[["cpu_vcpu", "memory_gib", "gpu"]].sum()
    parts = (live.groupby("app_name")[["cpu_vcpu", "memory_gib", "gpu"]].sum() / totals).max(axis=1)
    admitted: list[str] = []
    for app in sorted(parts.index, key=lambda name: (parts[name], name)):
        if app in odd:
            reasons[odd[app]] += 1
        elif _has_room(cluster_problem(nodes, live[live["app_name"].isin([*admitted, app])])):
            admitted.append(app)
        else:
            reasons["no room beside the smaller services"] += 1
    return Admission(tuple(admitted), dict(reasons))


def _has_room(cluster: ClusterInput) -> bool:
    used, of = PARTS_USED
    fewer = replace(cluster.problem, node_count=cluster.problem.node_count * used // of, unplaced_price=1e6)
    return sharpened_bound(fewer) < 1e5


def _measure_one(cluster: ClusterInput, seconds: float) -> dict[str, Any]:
    """Every method on one set of instances."""
    problem = cluster.problem
    methods = {}
    for name in [*GREEDY, "columns"]:
        began_s = time.process_time()
        limits = ColumnLimits(gap=0.0, cpu_s=seconds)
        plan = place(problem, name, sequence=cluster.arrival, node_order=cluster.listed, limits=limits)
        methods[name] = {
            "nodes": plan.nodes_used,
            "unplaced": len(plan.unplaced),
            "cost": plan.cost,
            "bound": plan.bound,
            "seconds": time.process_time() - began_s,
            "by_type": plan.nodes_by_type.tolist(),
        }
    return {
        "instances": len(cluster.instance),
        "classes": problem.classes,
        "fluid": fluid_bound(problem),
        "sharpened": sharpened_bound(problem),
        "types": list(cluster.type_names),
        "there": problem.node_count.tolist(),
        "unplaced_price": problem.unplaced_price,
        "methods": methods,
    }


def measure(seconds: float = SECONDS) -> dict[str, Any]:
    """The services that fit, and all instances."""
    nodes = read_nodes(data_path("cluster_nodes_openb2023.csv"))
    rows = read_instances(data_path("dlrm_serving_instances.parquet"))
    live = rows[rows["creation_s"].isna()].reset_index(drop=True)
    admission = _admit(nodes, live)
    fitting = live[live["app_name"].isin(admission.admitted)].reset_index(drop=True)
    return {
        "services": int(live["app_name"].nunique()),
        "admitted": len(admission.admitted),
        "left_out": dict(admission.reasons),
        "fitting": _measure_one(cluster_problem(nodes, fitting), seconds),
        "all": _measure_one(cluster_problem(nodes, live), 3.0 * seconds),
    }


def read_real(path: Path = RESULTS) -> dict[str, Any]:
    """What was kept."""
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def real_tables(result: Mapping[str, Any]) -> str:
    """Markdown: nodes by method, by type, and what did not fit."""
    return "\n\n".join([*_fitting(result), *_all(result["all"])])


def _fitting(result: Mapping[str, Any]) -> Iterator[str]:
    fit = result["fitting"]
    bound = fit["methods"]["columns"]["bound"]
    yield (
        f"{result['admitted']} of {result['services']} services fit: {fit['instances']:,} instances of "
        f"{fit['classes']} classes. Nodes needed at least: {fit['fluid']:,.0f} by the LP, {fit['sharpened']:,.0f} with "
        f"cuts, {bound:,.0f} proven by columns."
    )
    lines = ["| method | nodes | instances left out | above the LP | above the proven bound | CPU s |"]
    lines.append("| --- | ---: | ---: | ---: | ---: | ---: |")
    for name, found in fit["methods"].items():
        above = ["-" if found["unplaced"] else f"{found['nodes'] / least - 1:.1%}" for least in (fit["fluid"], bound)]
        cells = f"{found['nodes']:,}", f"{found['unplaced']:,}", *above, f"{found['seconds']:.2f}"
        lines.append(f"| `{name}` | " + " | ".join(cells) + " |")
    yield "\n".join(lines)
    yield "Nodes used by type:"
    chosen = ("columns", "first_fit_decreasing", "best_fit", "first_fit", "fgd_packed")
    lines = ["| node type | there | " + " | ".join(f"`{method}`" for method in chosen) + " |"]
    lines.append("| --- | ---: |" + " ---: |" * len(chosen))
    for node_type, (kind, there) in enumerate(zip(fit["types"], fit["there"])):
        used = [str(fit["methods"][method]["by_type"][node_type]) for method in chosen]
        lines.append(f"| {kind} | {there} | " + " | ".join(used) + " |")
    yield "\n".join(lines)
    yield "Services left out: " + "; ".join(f"{count}, {why}" for why, count in result["left_out"].items()) + "."


def _all(whole: Mapping[str, Any]) -> Iterator[str]:
    bound, there = whole["methods"]["columns"]["bound"], sum(whole["there"])
    least = math.ceil(max(0.0, (bound - there) / whole["unplaced_price"]) - 1e-9)
    yield f"All {whole['instances']:,} instances at once, which cannot fit: any placement leaves out {least:,} or more."
    lines = ["| method | instances left out | nodes | CPU s |", "| --- | ---: | ---: | ---: |"]
    for name, found in whole["methods"].items():
        lines.append(f"| `{name}` | {found['unplaced']:,} | {found['nodes']:,} | {found['seconds']:.2f} |")
    yield "\n".join(lines)


def main() -> int:
    """Measure and keep the figures."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=SECONDS)
    result = measure(parser.parse_args().seconds)
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    RESULTS.write_text(json.dumps(result, default=float) + "\n", encoding="utf-8")
    print(real_tables(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
