"""``recfleet compare``."""

from __future__ import annotations

import shlex
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from recfleet.comparison import Comparison
    from simulator.scenario import Scenario

__all__ = ["compare"]


def compare(
    scenario: Annotated[Path, typer.Argument(help="Scenario file (YAML).", metavar="SCENARIO")],
    policies: Annotated[
        list[str] | None,
        typer.Option(
            help="Policies to compare, by name or path/to/file.py:Class, separated by commas; may be repeated. "
            "By default those of the scenario.",
            metavar="NAMES",
            show_default=False,
        ),
    ] = None,
    seeds: Annotated[int, typer.Option(help="How many seeds, from the scenario's own on.", min=1, metavar="N")] = 1,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Folder for report, tables and manifest; by default out/ and the scenario file's name.",
            metavar="DIR",
            show_default=False,
        ),
    ] = None,
    workers: Annotated[
        int | None, typer.Option(help="Processes; by default one a core.", min=1, metavar="N", show_default=False)
    ] = None,
    resume: Annotated[
        bool, typer.Option(help="Go on from what an interrupted comparison of the same inputs left.")
    ] = True,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print the verdict only.")] = False,
) -> None:
    """Run policies against one another on the same requests and write a report.

    Every policy meets the same arrivals and the same service noise on each seed. DIR holds report.html,
    summary.csv, services.csv, summary.json, Parquet tables and manifest.json; it appears when it is complete.

    Example: recfleet compare scenarios/demo.yaml --policies static_peak,hpa,mip --seeds 3 --out out/demo
    """
    from rich.console import Console

    from recfleet.cli_progress import RichListener
    from recfleet.cli_runs import policy_names, telling_what_is_kept
    from recfleet.comparing import check_objectives, check_policies
    from recfleet.comparing import compare as run
    from recfleet.fitted_table import terminal_width
    from recfleet.output import check_target
    from recfleet.progress import Silent
    from simulator.scenario import load_scenario

    console = Console(highlight=False, width=terminal_width() or _PIPE_WIDTH)
    specs = policy_names(policies)
    out = out or Path("out") / scenario.stem
    check_target(out)
    loaded = load_scenario(scenario)
    check_policies(loaded, specs)
    listener = Silent() if quiet else RichListener(Console(stderr=True, highlight=False))
    check_objectives(loaded, listener)
    if not quiet:
        _introduce(console, loaded)
    command = _command(scenario, specs, seeds, out)
    with telling_what_is_kept(out), listener:
        comparison = run(
            loaded,
            specs,
            seeds,
            out=out,
            workers=workers,
            resume=resume,
            listener=listener,
            command=command,
        )
    _conclude(console, comparison, out, quiet)
    if not comparison.ok:
        raise typer.Exit(1)


def _command(scenario: Path, specs: list[str] | None, seeds: int, out: Path) -> str:
    parts = ["recfleet", "compare", str(scenario)]
    if specs is not None:
        parts += ["--policies", ",".join(specs)]
    return shlex.join([*parts, "--seeds", str(seeds), "--out", str(out)])


def _introduce(console: Console, scenario: Scenario) -> None:
    from rich.markup import escape
    from rich.table import Table

    console.print(f"[bold]{escape(scenario.name)}[/bold]  {escape(scenario.description)}".rstrip())
    table = Table.grid(padding=(0, 2, 0, 0))
    for kind, lines in (("real", scenario.sources), ("assumed", scenario.assumptions)):
        for line in lines:
            table.add_row(f"  {kind}", escape(line))
    console.print(table)


def _conclude(console: Console, comparison: Comparison, out: Path, quiet: bool) -> None:
    from rich.markup import escape

    from recfleet.fitted_table import print_line

    if not quiet:
        console.print()
        _ranking(comparison)
        _accounts(comparison)
    for check in comparison.checks:
        for failure in check.failures:
            console.print(f"[bold red]INVARIANT FAILED[/bold red] {escape(check.name)}: {escape(failure)}")
    if not quiet:
        console.print(f"report: {escape(str(out / 'report.html'))}\n", soft_wrap=True)
    headline, *others = comparison.verdict.lines
    print_line(headline, lead="Verdict: ")
    for line in others:
        print_line(line, indent="  ")


def _ranking(comparison: Comparison) -> None:
    from recfleet.fitted_table import Column, print_fitted, print_line
    from recfleet.report.ranking import COLUMNS, ranked_rows

    rows = ranked_rows(comparison)
    columns = [
        Column("policy", [f"{row.policy} *" if row.clairvoyant else row.policy for row in rows], right=False),
        Column("objectives", ["held" if row.holds else "missed" for row in rows], right=False),
        *(
            Column(
                _heading(c.heading, c.unit),
                [row.cells[i].mean for row in rows],
                rank=1 + _RANKS.index(c.metric),
                name=f"{c.heading} ({c.unit})",
            )
            for i, c in enumerate(COLUMNS)
            if c.metric in _RANKS
        ),
    ]
    styles = ["bold green" if row.winner else "dim" if row.clairvoyant else "" for row in rows]
    print_fitted(columns, hint="they are in the report", styles=styles)
    if any(row.clairvoyant for row in rows):
        print_line("* sees the future: a yardstick")
    for row in rows:
        if not row.holds:
            print_line(f"{row.policy} misses: {row.misses}")
    print_line("")


def _heading(heading: str, unit: str) -> str:
    """Two lines of words, the first empty if one suffices, and the unit."""
    words = ["", *textwrap.wrap(heading, 12)][-2:]
    return "\n".join([*words, unit])


_RANKS = (
    "cost_usd",
    "slo_attainment",
    "gap",
    "p99_ms",
    "utilisation_gpu",
    "waste_gpu_hours",
    "utilisation_cpu",
)
"""Columns of the ranking in a terminal; in a narrow one as many of the first as find room."""
_PIPE_WIDTH = 120
"""Of the scenario's description where output goes to a file or a pipe."""


def _accounts(comparison: Comparison) -> None:
    """Conservation of every run, then of all."""
    from recfleet.checks import conservation_line
    from recfleet.fitted_table import print_line

    width = max(len(policy) for policy in comparison.policies)
    for run in comparison.runs:
        print_line(f"{run.policy:<{width}} seed {run.seed}  {conservation_line([run])}", indent="  ")
    print_line(comparison.conservation)
    passed = sum(check.ok for check in comparison.checks)
    print_line(f"{passed} of {len(comparison.checks)} invariants hold in every run")
