"""All figures of the benchmark as one flat mapping, and how they are shown."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from rich.console import Console
from rich.table import Table

from tests.benchmarks import against_ciw, against_heap, day, machine, request_path, start_up, whole_run
from tests.benchmarks.funnels import CACHED, ONE_STAGE, THREE_STAGES, Funnel
from tests.benchmarks.meanings import MEANINGS
from tests.benchmarks.placement_sizes import measure_short

__all__ = ["FULL", "QUICK", "Figures", "Sizes", "measure", "show"]

Figures: TypeAlias = dict[str, float | int | str]


@dataclass(frozen=True)
class Sizes:
    """How much of everything is run.

    Without ``compiles`` the times of compilation are left out, without a ``scenario`` the whole run, without
    ``day_s`` the days, without ``placement_nodes`` placement; ``long_day`` adds one of ten days.
    """

    requests: int
    oracle_requests: int
    heap_requests: int
    ciw_requests: int
    repeats: int
    slow_repeats: int
    compiles: bool = True
    scenario: Path | None = whole_run.SCENARIO
    day_s: float = day.DAY_S
    long_day: bool = False
    placement_nodes: tuple[int, ...] = (50, 200, 1000)


FULL = Sizes(2_000_000, 20_000, 200_000, 50_000, repeats=7, slow_repeats=3)
QUICK = Sizes(100_000, 2_000, 5_000, 5_000, repeats=3, slow_repeats=1, scenario=None, day_s=0.0, placement_nodes=())


def measure(sizes: Sizes, say: Callable[[str], object]) -> Figures:
    """Measure everything; `say` is told what comes next.

    Rates count seconds of one core (`measuring.Timing.cpu_s`); ``*_wall_rps`` those of the wall's clock.
    """
    figures: Figures = {}
    for name, what, funnel in (
        ("one_stage", "one stage", ONE_STAGE),
        ("three_stage", "three stages", THREE_STAGES),
        ("cache", "one stage behind a cache", CACHED),
    ):
        say(what)
        figures |= _funnel(name, funnel, sizes)
    figures["path_peak_mb"] = round(machine.peak_mb(), 1)
    say("the same fleets in the oracle")
    for name, funnel in (("one_stage", ONE_STAGE), ("three_stage", THREE_STAGES)):
        oracle = request_path.measure_oracle(funnel, sizes.oracle_requests, sizes.slow_repeats)
        figures[f"simpy_oracle_{name}_rps"] = round(oracle.rps)
        figures[f"ratio_simpy_oracle_{name}"] = round(float(figures[f"{name}_rps"]) / oracle.rps, 1)
    figures["ratio_simpy_oracle"] = figures["ratio_simpy_oracle_one_stage"]
    say("one stage in plain Python")
    heap_rps = against_heap.measure(ONE_STAGE, sizes.heap_requests, sizes.slow_repeats).rps
    figures["python_heap_rps"] = round(heap_rps)
    figures["ratio_python_heap"] = round(float(figures["one_stage_rps"]) / heap_rps, 1)
    say("exponential queues beside Ciw")
    figures |= _ciw(sizes)
    say("start-up")
    figures["import_seconds"] = round(start_up.import_s(sizes.repeats), 4)
    if sizes.compiles:
        for name, path in (("compile", "plain"), ("compile_lean", "lean"), ("compile_whole", "whole")):
            first = start_up.first_requests(path, sizes.slow_repeats)
            figures[f"{name}_cold_s"] = round(first.cold_s, 2)
            figures[f"{name}_cached_s"] = round(first.cached_s, 3)
    if sizes.scenario is not None:
        say("a whole run")
        figures |= _whole_run(sizes.scenario)
    if sizes.day_s:
        say("days of traffic")
        figures |= _days(sizes)
    for nodes in sizes.placement_nodes:
        say(f"placement on {nodes} nodes")
        figures |= measure_short(nodes)
    figures["peak_mb"] = round(machine.peak_mb(), 1)
    return figures | machine.describe() | {f"version_{name}": v for name, v in machine.versions().items()}


def _funnel(name: str, funnel: Funnel, sizes: Sizes) -> Figures:
    path = request_path.measure_path(funnel, sizes.requests, sizes.repeats)
    figures: Figures = {
        f"{name}_rps": round(path.rps),
        f"{name}_with_trace_rps": round(path.generated_rps),
        f"{name}_wall_rps": round(path.requests / path.stored.wall_s),
        f"{name}_requests": path.requests,
        f"{name}_repeats": path.stored.repeats,
        f"{name}_batch_tasks": ", ".join(f"{size:.2f}" for size in path.batch_tasks),
        f"{name}_utilisation": ", ".join(f"{share:.2f}" for share in path.utilisation),
    }
    return figures | ({f"{name}_hit_share": round(path.hit_share, 4)} if funnel.cache_entries else {})


def _ciw(sizes: Sizes) -> Figures:
    figures: Figures = {}
    for name, servers, queue_each in (("join32", 32, True), ("mm32", 32, False), ("mm8", 8, False)):
        requests = max(sizes.ciw_requests // 5, 100) if queue_each else sizes.ciw_requests
        both = against_ciw.measure(servers, requests, sizes.slow_repeats, queue_each=queue_each)
        figures |= {
            f"{name}_rps": round(both.ours_rps),
            f"{name}_ciw_rps": round(both.ciw_rps),
            f"ratio_ciw_{name}": round(both.ours_rps / both.ciw_rps, 1),
            f"{name}_requests": both.ours_requests,
            f"{name}_ciw_requests": both.ciw_requests,
            f"{name}_wait": round(both.ours_wait[0], 5),
            f"{name}_wait_half_width": round(both.ours_wait[1], 5),
            f"{name}_wait_ciw": round(both.ciw_wait[0], 5),
            f"{name}_wait_ciw_half_width": round(both.ciw_wait[1], 5),
        }
        if both.erlang_c_wait is not None:
            figures[f"{name}_wait_erlang_c"] = round(both.erlang_c_wait, 5)
    return {"ratio_ciw": figures["ratio_ciw_join32"]} | figures


def _whole_run(scenario: Path) -> Figures:
    whole = whole_run.measure(scenario)
    return {
        "whole_run_scenario": f"{scenario}, {whole_run.POLICY}",
        "whole_run_requests": whole.requests,
        "whole_run_prepare_s": round(whole.prepare.cpu_s, 2),
        "whole_run_s": round(whole.run.cpu_s, 2),
        "whole_run_rps": round(whole.rps),
    }


def _days(sizes: Sizes) -> Figures:
    runs = [("tenth_of_day", "ranking", sizes.day_s / 10), ("day", "ranking", sizes.day_s)]
    runs += [("ten_days", "ranking", sizes.day_s * 10)] if sizes.long_day else []
    runs += [("funnel_day", "funnel-with-cache", sizes.day_s)]
    figures: Figures = {}
    for name, kind, duration_s in runs:
        one = day.measure(kind, duration_s)
        figures |= {
            f"{name}_seconds": round(one.seconds, 2),
            f"{name}_wall_seconds": round(one.wall_s, 2),
            f"{name}_peak_mb": round(one.peak_mb, 1),
            f"{name}_requests": one.requests,
            f"{name}_batch_tasks": one.batch_tasks,
            f"{name}_busy": round(one.busy, 3),
            f"{name}_most_replicas": one.most_replicas,
            f"{name}_slo_met": round(one.slo_met, 5),
        }
    return figures


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
