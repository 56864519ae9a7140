"""``recfleet plan``."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from workloads.errors import InputError

if TYPE_CHECKING:
    from rich.console import Console

    from recfleet.plan_result import CandidateView, CapacityPlan, CertificateView

__all__ = ["plan"]

_MOST_ROWS = 10


def plan(
    scenario: Annotated[Path, typer.Argument(help="Scenario file (YAML).", metavar="SCENARIO")],
    growth: Annotated[float, typer.Option(help="Factor on the scenario's demand.", metavar="F")] = 1.0,
    survive: Annotated[
        str | None,
        typer.Option(
            help="What the plan must survive: node (the loss of any one), or none; by default what the scenario says.",
            metavar="WHAT",
            show_default=False,
        ),
    ] = None,
    seeds: Annotated[int, typer.Option(help="How many seeds, from the scenario's own on.", min=1, metavar="N")] = 3,
    policies: Annotated[
        list[str] | None,
        typer.Option(
            help="What may autoscale, by name or path/to/file.py:Class, separated by commas; static: nothing. By "
            "default rolling_horizon, mip and the scenario's autoscalers.",
            metavar="NAMES",
            show_default=False,
        ),
    ] = None,
    tolerance: Annotated[float, typer.Option(help="Of the breaking load, relative.", metavar="SHARE")] = 0.05,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Folder for the plan, its figure and tables; by default out/, the scenario file's name and -plan.",
            metavar="DIR",
            show_default=False,
        ),
    ] = None,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write plan.json here, too.", metavar="FILE", show_default=False)
    ] = None,
    workers: Annotated[
        int | None, typer.Option(help="Processes; by default one a core.", min=1, metavar="N", show_default=False)
    ] = None,
    resume: Annotated[bool, typer.Option(help="Go on from what an interrupted plan of the same inputs left.")] = True,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print the plan in words only.")] = False,
) -> None:
    """Find the cheapest fleet and policy that meet every objective, and the load at which they break.

    Candidates come from the integer programme (static fleets of every mix of node types) and from autoscaling
    policies; simulation over seeds decides. DIR holds plan.yaml (ready to apply), plan.json, plan.svg, plan.png and
    tables; it appears when it is complete. Exit code 0: a plan was found; 1: there is none; 2: bad input.

    Example: recfleet plan scenarios/demo.yaml --growth 1.5 --survive node --out out/next-year
    """
    from rich.console import Console

    from recfleet.cli_progress import RichListener
    from recfleet.cli_runs import policy_names, telling_what_is_kept
    from recfleet.fitted_table import table_console
    from recfleet.json_text import plain
    from recfleet.output import check_target
    from recfleet.plan_files import plan_document
    from recfleet.planning import plan as run
    from recfleet.progress import Silent
    from simulator.scenario import load_scenario
    from workloads.atomic_files import write_json_file

    console = table_console()
    out = out or Path("out") / f"{scenario.stem}-plan"
    check_target(out)
    if json_file is not None and (json_file.is_dir() or not json_file.absolute().parent.is_dir()):
        raise InputError(f"--json {json_file}", "is no file in a folder that exists", "create it, or give another file")
    names = policy_names(policies)
    if names == ["static"]:
        names = []
    listener = Silent() if quiet else RichListener(Console(stderr=True, highlight=False))
    loaded = load_scenario(scenario)
    with telling_what_is_kept(out), listener:
        found = run(
            loaded,
            growth=growth,
            survive=survive,
            seeds=seeds,
            policies=names,
            tolerance=tolerance,
            out=out,
            workers=workers,
            resume=resume,
            listener=listener,
            command=_command(scenario, growth, survive, seeds, names, tolerance, out),
        )
    if json_file is not None:
        write_json_file(plain(plan_document(found)), json_file, "--json")
    if not quiet:
        show(console, found)
        console.print(f"plan: {out / ('plan.yaml' if found.found else 'plan.json')}\n", markup=False)
    console.print(found.text, markup=False, soft_wrap=True)
    if not found.found:
        raise typer.Exit(1)


def _command(
    scenario: Path, growth: float, survive: str | None, seeds: int, names: list[str] | None, tolerance: float, out: Path
) -> str:
    parts = ["recfleet", "plan", str(scenario), "--growth", repr(growth), "--seeds", str(seeds)]
    parts += [] if survive is None else ["--survive", survive]
    parts += [] if names is None else ["--policies", ",".join(names) or "static"]
    return shlex.join([*parts, "--tolerance", repr(tolerance), "--out", str(out)])


def show(console: Console, plan: CapacityPlan) -> None:
    """The candidates, the fleet, the certificate and what binds, as tables."""
    _candidates(console, plan)
    if plan.chosen is None:
        return
    _fleet(console, plan)
    assert plan.certificate is not None
    _certificate(console, plan.certificate, static=plan.chosen.kind == "static")


def _candidates(console: Console, plan: CapacityPlan) -> None:
    from rich.markup import escape
    from rich.table import Table

    from recfleet.plan_words import nodes_text

    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0), title="Candidates",
                  title_justify="left")  # fmt: skip
    for name, justify in (("policy", "left"), ("nodes", "left"), ("cost\nUSD", "right"), ("margin\npoints", "right"),
                          ("seeds", "right"), ("objectives", "left")):  # fmt: skip
        table.add_column(name, justify=justify)  # type: ignore[arg-type]
    for row in plan.candidates[:_MOST_ROWS]:
        is_chosen = plan.chosen is not None and row.label == plan.chosen.label
        policy = "static" if row.kind == "static" else row.label
        state = "held" if row.holds else f"missed ({row.note or row.worst_service})"
        table.add_row(
            escape(policy), escape(nodes_text(row.nodes)), f"{row.cost_usd:,.2f}", _margin(row),
            str(row.seeds), escape(state), style="bold green" if is_chosen else "" if row.holds else "dim",
        )  # fmt: skip
    console.print(table)
    hidden = len(plan.candidates) - _MOST_ROWS
    console.print(f"and {hidden} more in candidates.csv\n" if hidden > 0 else "")


def _margin(row: CandidateView) -> str:
    return "stopped" if row.stopped_at_s is not None else f"{100 * row.margin:+.2f}"


def _fleet(console: Console, plan: CapacityPlan) -> None:
    from rich.markup import escape
    from rich.table import Table

    assert plan.chosen is not None
    types = list(plan.chosen.nodes)
    title = "Replicas" if plan.chosen.kind == "static" else "Replicas, at most"
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0), title=title,
                  title_justify="left")  # fmt: skip
    table.add_column("variant")
    for name in types:
        table.add_column(escape(name), justify="right")
    table.add_column("batch cap", justify="right")
    for variant, by_node in plan.chosen.replicas.items():
        cap = plan.chosen.batches[variant]["max_batch"]
        table.add_row(escape(variant), *(str(by_node.get(name, "")) for name in types), f"{cap:g}")
    table.add_row("nodes", *(str(plan.chosen.nodes[name]) for name in types), "", style="bold")
    console.print(table)
    console.print()


def _certificate(console: Console, proof: CertificateView, *, static: bool) -> None:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, show_header=False, padding=(0, 2, 0, 0), title="Certificate, USD",
                  title_justify="left")  # fmt: skip
    rows = [
        ("fluid bound, any policy", proof.fluid_usd),
        ("static fleets, divisible", proof.static_fluid_usd),
        ("static fleets, whole nodes: at least", proof.static_integer_usd),
        ("cheapest static fleet that held", proof.static_found_usd),
        *_whole_rows(proof),
        ("the plan" + (" (static)" if static else " (autoscaled)"), proof.plan_usd),
    ]
    for name, value in rows:
        table.add_row(name, "-" if value is None else f"{value:,.2f}")
    console.print(table)
    console.print()


def _whole_rows(proof: CertificateView) -> list[tuple[str, float | None]]:
    """Of an autoscaled plan: the cheapest sequence of whole fleets lies between."""
    if proof.optimum_lower_usd is None:
        return []
    return [
        ("whole fleets that scale: at least", proof.optimum_lower_usd),
        ("whole fleets that scale: found", proof.optimum_upper_usd),
    ]
