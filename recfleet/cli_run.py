"""``recfleet run``."""

from __future__ import annotations

import math
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from workloads.errors import InputError

if TYPE_CHECKING:
    from rich.console import Console

    from recfleet.run_record import RunRecord
    from simulator.monitoring.alerts import Alert

__all__ = ["run"]

_ALERTS_SHOWN = 12


def run(
    scenario: Annotated[Path, typer.Argument(help="Scenario file (YAML).", metavar="SCENARIO")],
    policy: Annotated[
        str,
        typer.Option(
            help="Policy, by name or path/to/file.py:Class; by default the scenario's first.",
            metavar="NAME",
            show_default=False,
        ),
    ] = "",
    seed: Annotated[
        int | None, typer.Option(min=0, help="By default the scenario's own.", metavar="N", show_default=False)
    ] = None,
    window: Annotated[
        str,
        typer.Option(
            help="Also keep every request that arrives from START to END (seconds) and draw them as trace.json, "
            "for Perfetto or chrome://tracing.",
            metavar="START:END",
            show_default=False,
        ),
    ] = "",
    out: Annotated[
        Path | None,
        typer.Option(
            help="Folder for the files; by default out/ and the scenario file's name and the policy's.",
            metavar="DIR",
            show_default=False,
        ),
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but errors.")] = False,
) -> None:
    """Run one policy on one seed, and keep what monitoring would show.

    DIR holds summary.csv, services.csv, series.parquet (every series by control interval), alerts.csv,
    decisions.parquet, requests.parquet (the scenario's sample, or the window) and trace.json (the window); it
    appears when it is complete.

    Example: recfleet run scenarios/demo.yaml --policy hpa --window 36000:36002 --out out/look
    """
    from rich.console import Console

    from recfleet.cli_progress import RichListener
    from recfleet.comparing import announce_compilation, check_policies
    from recfleet.fitted_table import table_console
    from recfleet.jobs import make_jobs, simulate_job
    from recfleet.output import check_target, open_workspace
    from recfleet.progress import Silent
    from recfleet.run_files import write_run
    from simulator.monitoring.alerts import alerts_of
    from simulator.monitoring.window import window_of
    from simulator.scenario import load_scenario

    window_s = _window(window)
    loaded = load_scenario(scenario)
    spec = policy or loaded.policies[0]
    check_policies(loaded, [spec])
    seed = loaded.seed if seed is None else seed
    job = make_jobs(loaded, [spec], [seed], None if policy else loaded.path.parent)[0]
    out = out or Path("out") / f"{scenario.stem}-{job.label}"
    check_target(out)
    record_of = window_of(loaded.trace_for(seed), *window_s) if window_s else loaded.sample
    listener = Silent() if quiet else RichListener(Console(stderr=True, highlight=False))
    with open_workspace(out) as workspace:
        announce_compilation(loaded, listener)
        with listener:
            listener.begin([job.label])
            record = simulate_job(loaded, job, lambda fraction: listener.advance(0, fraction), record_of)
            listener.finish(0, False)
        alerts = alerts_of(record.result, loaded.alert_rules)
        command = _command(scenario, job.label if policy else "", seed, window, out)
        write_run(record, loaded.alert_rules, workspace.draft, command=command, window_s=window_s)
        workspace.publish()
    if not quiet:
        _tell(table_console(), record, alerts, out)


def _window(text: str) -> tuple[float, float] | None:
    if not text:
        return None
    try:
        start_s, end_s = (float(part) for part in text.split(":"))
    except ValueError:
        start_s = end_s = math.nan
    if not 0 <= start_s < end_s:
        raise InputError("--window", f"{text} is no window", "write start and end in seconds, as 3600:3602")
    return start_s, end_s


def _command(scenario: Path, policy: str, seed: int, window: str, out: Path) -> str:
    parts = ["recfleet", "run", str(scenario), "--seed", str(seed), "--out", str(out)]
    parts += ["--policy", policy] if policy else []
    parts += ["--window", window] if window else []
    return shlex.join(parts)


def _tell(console: Console, record: RunRecord, alerts: Sequence[Alert], out: Path) -> None:
    from rich.markup import escape
    from rich.table import Table

    from recfleet.checks import conservation_line
    from recfleet.tables import number_text, service_rows, summary_rows

    shown = ("service", "requests", "slo_attainment", "p50_ms", "p99_ms", "rejected", "failed")
    table = Table(*shown, box=None, pad_edge=False, header_style="bold")
    for row in service_rows([record]):
        table.add_row(*[escape(f"{v:.5g}" if isinstance(v := row[name], float) else number_text(v)) for name in shown])
    console.print(table)
    console.print(f"cost {summary_rows([record])[0]['cost_usd']:.2f} USD; {conservation_line([record])}", markup=False)
    for alert in alerts[:_ALERTS_SHOWN]:
        until = "the end" if math.isinf(alert.ended_s) else f"{alert.ended_s:g} s"
        console.print(
            f"alert {alert.rule} ({alert.series} of {alert.label}): fired at {alert.fired_s:g} s, until {until}, "
            f"worst {alert.worst:.4g}",
            markup=False,
        )
    if len(alerts) > _ALERTS_SHOWN:
        console.print(f"and {len(alerts) - _ALERTS_SHOWN} more alerts in alerts.csv")
    console.print(f"files: {escape(str(out))}")
