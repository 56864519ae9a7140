"""``recfleet place``: a cluster's instances on its nodes, by several methods, against lower bounds."""

from __future__ import annotations

import csv
import json
import math
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from workloads.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

    from optimizer.placement.cluster_files import ClusterInput
    from optimizer.placement.plan import PlacementPlan

__all__ = ["place"]

_USUAL = "first_fit,best_fit,fgd_packed,first_fit_decreasing,columns"
_TINY = 300
"""Classes of instances times nodes up to which the textbook model takes a second or two at most."""


@dataclass(frozen=True)
class _Answer:
    """A method's placement, the CPU seconds it took, and what the bounds are."""

    plans: dict[str, PlacementPlan]
    cpu_s: dict[str, float]
    fluid: float
    sharpened: float

    @property
    def bound(self) -> float:
        """The best that is proven."""
        return max(self.fluid, self.sharpened, *(plan.bound or 0.0 for plan in self.plans.values()))

    @property
    def best(self) -> str:
        return min(self.plans, key=lambda name: self.plans[name].cost)

    def is_open(self, gap: float) -> bool:
        """Whether a placement may cost less than the best found, by more than a gap that is accepted."""
        return self.bound < self.plans[self.best].cost * (1.0 - max(gap, 1e-9))


def place(
    instances: Annotated[str, typer.Option(help="CSV or Parquet, a row an instance; data:NAME too.")],
    nodes: Annotated[str, typer.Option(help="CSV or Parquet, a row a node; data:NAME too.")],
    policy: Annotated[
        str | None,
        typer.Option(
            help="Methods, by commas; 'all' for all but the textbook model. By default "
            f"{_USUAL.replace(',', ', ')}; mip too where the problem is tiny and these leave its optimum unproven.",
            show_default=False,
        ),
    ] = None,
    at: Annotated[
        float | None, typer.Option(help="Only instances alive at this second (columns creation_s, deletion_s).")
    ] = None,
    seconds: Annotated[float, typer.Option(min=0.1, help="CPU time at most for columns; wall clock for mip.")] = 10.0,
    gap: Annotated[float, typer.Option(min=0.0, max=1.0, help="Proven gap at which columns is content.")] = 0.0,
    out: Annotated[
        Path | None, typer.Option(help="Write the best placement: a row an instance, in the file's order.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")] = False,
) -> None:
    """Place instances on nodes: nodes used by each method, how far above what is proven necessary, what did not fit.

    Columns of the files: docs/placement.md. Methods: first_fit, best_fit, dot_product, fgd, fgd_packed, the three
    decreasing ones, columns (patterns with a proof), mip, mip_sat. An instance without a node counts as ten of the
    dearest nodes. Where a price column gives other prices than 1, the price is minimised, not the number of nodes.

    Example: recfleet place --instances instances.csv --nodes nodes.csv --out build/placement.csv
    """
    from optimizer.placement.cluster_files import cluster_problem, read_instances, read_nodes
    from workloads.data_folder import resolve_path

    for option, value in (("--seconds", seconds), ("--at", at)):
        if value is not None and not math.isfinite(value):
            raise InputError(option, f"{value:g} is not a finite number", "give seconds")
    names = _names(_USUAL if policy is None else policy)
    node_rows = read_nodes(resolve_path(nodes, Path()))
    instance_rows = read_instances(resolve_path(instances, Path()))
    if at is not None:
        instance_rows = _alive(instances, instance_rows, at)
    cluster = cluster_problem(node_rows, instance_rows)
    answer = _solve(cluster, names, seconds, gap)
    if policy is None and answer.is_open(gap) and cluster.problem.classes * len(cluster.node) <= _TINY:
        answer = _solve(cluster, ["mip"], seconds, gap, answer)
    if out is not None:
        _write(out, cluster, answer.plans[answer.best])
    if as_json:
        typer.echo(json.dumps(_document(cluster, answer), indent=2))
    else:
        _print(cluster, answer, _unproven(answer, seconds) if answer.is_open(gap) else "")
        if out is not None:
            typer.echo(f"placement: {out} (by {answer.best}, a row an instance)")


def _names(policy: str) -> list[str]:
    from optimizer.options import suggestion
    from optimizer.placement.methods import METHODS

    if policy == "all":
        return [name for name in METHODS if not name.startswith("mip")]
    names = [name.strip().replace("-", "_") for name in policy.split(",")]
    for name in names:
        if name not in METHODS:
            problem = f"{name!r} is not one of {', '.join(METHODS)}"
            raise InputError("--policy", problem, suggestion(name, METHODS, "methods"))
    return list(dict.fromkeys(names))


def _alive(path: str, rows: pd.DataFrame, at: float) -> pd.DataFrame:
    """Rows that were created before an instant and not deleted until then; an empty cell is before, or after, all."""
    import pandas as pd

    times = []
    for column in ("creation_s", "deletion_s"):
        if column not in rows:
            raise InputError(path, f"it lacks the column {column}, which --at needs", "leave --at out")
        parsed = pd.to_numeric(rows[column], errors="coerce")
        wrong = parsed.isna() & rows[column].notna()
        if wrong.any():
            row = int(wrong.to_numpy().argmax())
            value = rows[column].iloc[row]
            raise InputError(f"{path} row {row + 1} column {column}", f"{value!r} is not a number", "correct the row")
        times.append(parsed)
    alive = (times[0].isna() | (times[0] <= at)) & (times[1].isna() | (times[1] > at))
    if not alive.any():
        raise InputError("--at", f"no instance is alive at {at:g} s", "give another instant")
    return rows[alive].reset_index(drop=True)


def _solve(
    cluster: ClusterInput, names: list[str], seconds: float, gap: float, known: _Answer | None = None
) -> _Answer:
    """Place by the methods named, beside what is known already."""
    from optimizer.placement.bounds import fluid_bound, sharpened_bound
    from optimizer.placement.columns import ColumnLimits
    from optimizer.placement.methods import place as place_by

    plans, cpu_s = (dict(known.plans), dict(known.cpu_s)) if known else ({}, {})
    limits = ColumnLimits(gap=gap, cpu_s=seconds)
    for name in names:
        began_s = time.process_time()
        plans[name] = place_by(
            cluster.problem,
            name,
            sequence=cluster.arrival,
            node_order=cluster.listed,
            limits=limits,
            seconds=seconds,
        )
        cpu_s[name] = time.process_time() - began_s
    bounds = (known.fluid, known.sharpened) if known else (
        fluid_bound(cluster.problem), sharpened_bound(cluster.problem)
    )  # fmt: skip
    return _Answer(plans, cpu_s, *bounds)


def _why(cluster: ClusterInput, plan: PlacementPlan) -> dict[str, int]:
    """Reason to the instances that it left without a node."""
    reasons: Counter[str] = Counter()
    for replica in plan.unplaced:
        reason = cluster.problem.misfit(int(cluster.problem.replica_class[replica]))
        reasons[reason or "no room beside the others"] += 1
    return dict(sorted(reasons.items(), key=lambda item: (-item[1], item[0])))


def _document(cluster: ClusterInput, answer: _Answer) -> dict[str, Any]:
    """The result as plain values."""
    types = cluster.type_names
    return {
        "instances": len(cluster.instance),
        "nodes": len(cluster.node),
        "notes": list(cluster.notes),
        "fluid_bound": answer.fluid,
        "sharpened_bound": answer.sharpened,
        "best_bound": answer.bound,
        "best": answer.best,
        "methods": {
            name: {
                "nodes_used": plan.nodes_used,
                "cost": plan.cost,
                "unplaced": len(plan.unplaced),
                "above_bound": plan.cost / answer.bound - 1.0 if answer.bound > 0.0 else None,
                "cpu_s": round(answer.cpu_s[name], 3),
                "nodes_by_type": {kind: int(n) for kind, n in zip(types, plan.nodes_by_type)},
                "unplaced_because": _why(cluster, plan),
                "note": plan.note,
            }
            for name, plan in answer.plans.items()
        },
    }


def _print(cluster: ClusterInput, answer: _Answer, doubt: str) -> None:
    from rich.table import Column, Table

    from recfleet.fitted_table import table_console

    console = table_console()

    def say(text: str) -> None:
        console.print(text, highlight=False, markup=False, soft_wrap=True)

    say(f"{len(cluster.instance):,} instances, {len(cluster.node):,} nodes of {len(cluster.type_names)} types")
    for note in cluster.notes:
        say(f"note: {note}")
    table = Table(Column("method", no_wrap=True), box=None, pad_edge=False, header_style="bold")
    for heading in ("nodes", "unplaced", "cost", "above bound", "CPU s"):
        table.add_column(heading, justify="right")
    for name, plan in answer.plans.items():
        above = f"{plan.cost / answer.bound - 1.0:.2%}" if answer.bound > 0.0 else "-"
        row = f"{plan.nodes_used:,}", f"{len(plan.unplaced):,}", f"{plan.cost:,.6g}", above, f"{answer.cpu_s[name]:.2f}"
        table.add_row(name, *row)
    console.print(table)
    say(
        f"No placement costs less than {answer.bound:,.6g} (linear programme {answer.fluid:,.6g}, with whole replicas "
        f"{answer.sharpened:,.6g})."
    )
    if doubt:
        say(doubt)
    by_type = Table(Column(f"node type ({answer.best})", no_wrap=True), box=None, pad_edge=False, header_style="bold")
    by_type.add_column("used", justify="right")
    by_type.add_column("there", justify="right")
    best = answer.plans[answer.best]
    for kind, used, there in zip(cluster.type_names, best.nodes_by_type, cluster.problem.node_count):
        by_type.add_row(kind, f"{used:,}", f"{there:,}")
    console.print(by_type)
    for reason, count in _why(cluster, best).items():
        say(f"{count:,} instances not placed: {reason}")


def _unproven(answer: _Answer, seconds: float) -> str:
    """That a cheaper placement may exist, and what would tell."""
    methods = {"columns": "--policy columns", "mip": "--policy mip, for small problems,"}
    untried = next((hint for name, hint in methods.items() if name not in answer.plans), f"--seconds above {seconds:g}")
    return f"Not proven to be the cheapest: {untried} may prove it or find a cheaper one."


def _write(out: Path, cluster: ClusterInput, plan: PlacementPlan) -> None:
    from workloads.atomic_files import replace_file

    def write(temporary: Path) -> None:
        with temporary.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["instance_sn", "app_name", "role", "node", "gpus"])
            for replica in cluster.arrival:
                seat = plan.seats[replica]
                gpus = " ".join(map(str, seat.gpus)) if seat else ""
                node = cluster.node[seat.node] if seat else ""
                app = cluster.app_name[replica], cluster.role[replica]
                writer.writerow([cluster.instance[replica], *app, node, gpus])

    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        replace_file(out, write)
    except OSError as error:
        raise InputError(f"--out {out}", f"cannot be written ({error.strerror})", "give another file") from None
