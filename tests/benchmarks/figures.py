"""All figures of the benchmark as one flat mapping, and how they are shown."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from rich.console import Console
from rich.table import Table

from tests.benchmarks import against_ciw, machine, request_path, start_up, whole_run
from tests.benchmarks.funnels import ONE_STAGE, THREE_STAGES, Funnel

__all__ = ["FULL", "QUICK", "Figures", "Sizes", "measure", "show"]

Figures: TypeAlias = dict[str, float | int | str]


MEANINGS = {
    "one_stage_rps": "requests/s: 32 replicas, trace in memory",
    "one_stage_with_trace_rps": "the same, drawing the trace meanwhile",
    "one_stage_wall_rps": "trace in memory, by the wall's clock",
    "one_stage_batch_requests": "mean requests in a batch",
    "three_stage_rps": "requests/s: 32 replicas in each of three stages",
    "three_stage_batch_requests": "mean requests in a batch, by stage",
    "path_peak_mb": "resident memory after both, stored traces included",
    "ratio_simpy_oracle": "one stage over the per-request SimPy oracle",
    "mm8_rps": "requests/s: M/M/8 at load 0.8, arrivals drawn",
    "mm8_ciw_rps": "the same in Ciw",
    "ratio_ciw": "ours over Ciw",
    "mm8_wait_erlang_c": "mean wait in service times: theory",
    "mm8_wait": "ours, with its 95 % half width below",
    "mm8_wait_ciw": "Ciw's, with its 95 % half width below",
    "import_seconds": "import recfleet, by the wall's clock",
    "compile_cold_s": "first ten requests, nothing cached",
    "compile_cached_s": "first ten requests, machine code on disk",
    "whole_run_prepare_s": "measuring replicas and reading the trace once",
    "whole_run_s": "simulate(): control loop, policy, data plane",
    "whole_run_rps": "requests/s of both together",
}


@dataclass(frozen=True)
class Sizes:
    """How much of everything is run.

    Without ``compiles`` the times of compilation are left out, without a ``scenario`` the whole run.
    """

    requests: int
    oracle_requests: int
    ciw_requests: int
    repeats: int
    slow_repeats: int
    compiles: bool = True
    scenario: Path | None = whole_run.SCENARIO


FULL = Sizes(2_000_000, 20_000, 50_000, repeats=7, slow_repeats=3)
QUICK = Sizes(100_000, 2_000, 5_000, repeats=3, slow_repeats=1, scenario=None)


def measure(sizes: Sizes, say: Callable[[str], object]) -> Figures:
    """Measure everything; `say` is told what comes next.

    Rates count seconds of one core (`measuring.Timing.cpu_s`); ``*_wall_rps`` those of the wall's clock.
    """
    figures: Figures = {}
    say("one stage")
    figures |= _funnel("one_stage", ONE_STAGE, sizes)
    say("three stages")
    figures |= _funnel("three_stage", THREE_STAGES, sizes)
    figures["path_peak_mb"] = round(machine.peak_mb(), 1)
    say("the same fleets in the oracle")
    for name, funnel in (("one_stage", ONE_STAGE), ("three_stage", THREE_STAGES)):
        oracle = request_path.measure_oracle(funnel, sizes.oracle_requests, sizes.slow_repeats)
        figures[f"simpy_oracle_{name}_rps"] = round(oracle.rps)
        figures[f"ratio_simpy_oracle_{name}"] = round(float(figures[f"{name}_rps"]) / oracle.rps, 1)
    figures["ratio_simpy_oracle"] = figures["ratio_simpy_oracle_one_stage"]
    say("M/M/8 beside Ciw")
    figures |= _ciw(sizes)
    say("start-up")
    figures["import_seconds"] = round(start_up.import_s(sizes.repeats), 4)
    if sizes.compiles:
        first = start_up.first_requests(sizes.slow_repeats)
        figures["compile_cold_s"] = round(first.cold_s, 2)
        figures["compile_cached_s"] = round(first.cached_s, 3)
    if sizes.scenario is not None:
        say("a whole run")
        figures |= _whole_run(sizes.scenario)
    figures["peak_mb"] = round(machine.peak_mb(), 1)
    return figures | machine.describe() | {f"version_{name}": v for name, v in machine.versions().items()}


def _funnel(name: str, funnel: Funnel, sizes: Sizes) -> Figures:
    path = request_path.measure_path(funnel, sizes.requests, sizes.repeats)
    return {
        f"{name}_rps": round(path.rps),
        f"{name}_with_trace_rps": round(path.generated_rps),
        f"{name}_wall_rps": round(path.requests / path.stored.wall_s),
        f"{name}_requests": path.requests,
        f"{name}_repeats": path.stored.repeats,
        f"{name}_batch_requests": ", ".join(f"{size:.2f}" for size in path.batch_requests),
        f"{name}_utilisation": ", ".join(f"{share:.2f}" for share in path.utilisation),
    }


def _ciw(sizes: Sizes) -> Figures:
    both = against_ciw.measure(sizes.ciw_requests, sizes.slow_repeats)
    return {
        "mm8_rps": round(both.ours_rps),
        "mm8_ciw_rps": round(both.ciw_rps),
        "ratio_ciw": round(both.ours_rps / both.ciw_rps, 1),
        "mm8_requests": both.requests,
        "mm8_wait_erlang_c": round(both.erlang_c_wait, 5),
        "mm8_wait": round(both.ours_wait[0], 5),
        "mm8_wait_half_width": round(both.ours_wait[1], 5),
        "mm8_wait_ciw": round(both.ciw_wait[0], 5),
        "mm8_wait_ciw_half_width": round(both.ciw_wait[1], 5),
    }


def _whole_run(scenario: Path) -> Figures:
    whole = whole_run.measure(scenario)
    return {
        "whole_run_scenario": f"{scenario}, {whole_run.POLICY}",
        "whole_run_requests": whole.requests,
        "whole_run_prepare_s": round(whole.prepare.cpu_s, 2),
        "whole_run_s": round(whole.run.cpu_s, 2),
        "whole_run_rps": round(whole.rps),
    }


def show(figures: Figures, console: Console) -> None:
    """Print the figures with what they mean."""
    table = Table(title="Benchmark: medians, seconds of one core unless said otherwise", title_justify="left")
    table.add_column("figure", no_wrap=True)
    table.add_column("value", justify="right", overflow="fold")
    table.add_column("what it is")
    for name, value in figures.items():
        table.add_row(name, f"{value:,}" if isinstance(value, int) else str(value), MEANINGS.get(name, ""))
    console.print(table)
    console.print("On a machine with other work the ratios are what counts: both sides were measured in this run.")
