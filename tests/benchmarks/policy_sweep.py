"""`python -m tests.benchmarks.policy_sweep`: every policy on the shipped scenarios, over seeds.

Needs the folder of real inputs (RECFLEET_DATA). Each run is a line of ``build/policy-sweep.jsonl`` as soon as it is
done; started again, the sweep goes on where it stopped (``--fresh`` begins anew, as one should after a change of code).
At the end, and with ``--collect`` alone, it writes ``docs/results/policy-sweep.json``; then
`python -m tests.benchmarks.docs_tables` writes the tables. Ten seeds take about an hour of one core.

The policies' settings were chosen on other data than these: other days of the trace (5 and 12 June) and seed 101 of a
demo whose flash crowd comes at another time, with another height.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from recfleet.jobs import build_policy, label_of
from simulator.cluster import resource_index
from simulator.engine import prepare, simulate
from simulator.metrics import summarise
from simulator.result import RunResult
from simulator.scenario import load_scenario
from tests.benchmarks.kept_lines import keep_line, kept_lines
from tests.benchmarks.policy_goals import RESULTS, summary

__all__ = ["POLICIES", "RESULTS", "SCENARIOS", "collect", "main", "sweep"]

ROOT = Path(__file__).resolve().parents[2]
KEPT = ROOT / "build" / "policy-sweep.jsonl"
SCENARIOS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "worldcup": ("scenarios/worldcup.yaml", ("ordinary day", "peak day")),
    "demo": ("scenarios/demo.yaml", ("day with a flash crowd",)),
}
"""Name to file and the days in it."""
HPA_TARGETS = (0.2, 0.25, 0.3, 0.35, 0.4, 0.5, 0.8)
DAY_S = 86_400.0
POLICIES: tuple[Any, ...] = (
    "rolling_horizon",
    "hpa",
    "mip",
    "clairvoyant_mip",
    "clairvoyant_horizon",
    *({"name": "hpa", "target": t, "label": f"hpa, target {t:g}"} for t in HPA_TARGETS),
    {"name": "rolling_horizon", "headroom": 0.0, "label": "rolling_horizon, headroom 0"},
    "static_peak",
    "marginal_greedy",
    "document_greedy",
    "document_lp",
    "kpa",
    "ray_serve",
    "keda",
)
"""In the order of running: what the goals need first."""


@dataclass(frozen=True)
class Run:
    """One run to do."""

    scenario: str
    policy: Any
    seed: int

    @property
    def key(self) -> str:
        """By which its line is known."""
        return json.dumps([self.scenario, self.policy, self.seed], sort_keys=True)


def runs(seeds: int, scenarios: Sequence[str]) -> Iterator[Run]:
    """Seed by seed, so that a sweep cut short has whole seeds."""
    for seed in range(1, seeds + 1):
        for name in scenarios:
            yield from (Run(name, policy, seed) for policy in POLICIES)


def sweep(wanted: Sequence[Run], kept: Path) -> None:
    """Do the runs that ``kept`` has no line of."""
    done = {line["key"] for line in kept_lines(kept)}
    scenarios = {name: load_scenario(ROOT / file) for name, (file, _) in SCENARIOS.items()}
    for run in wanted:
        if run.key in done:
            continue
        context = prepare(scenarios[run.scenario], run.seed)
        began = time.process_time()
        policy = build_policy(run.policy, context)
        label = label_of(run.policy)
        result = simulate(scenarios[run.scenario], policy, seed=run.seed, policy_name=label, context=context)
        spent = time.process_time() - began
        line = {"key": run.key, "scenario": run.scenario, "policy": label, "seed": run.seed, "cpu_s": round(spent, 2)}
        clairvoyant = bool(getattr(policy, "clairvoyant", False))
        keep_line(kept, line | {"clairvoyant": clairvoyant, "days": _days(result)})
        print(f"{run.scenario}, seed {run.seed}, {label}: {spent:.1f} s", flush=True)


def _days(result: RunResult) -> list[dict[str, float]]:
    """Cost, waste and attainment of each day of a run."""
    intervals = result.intervals
    whole = summarise(result, float("nan"))
    found = []
    for day in range(max(1, round(result.duration_s / DAY_S))):
        of_day = (intervals.start_s >= day * DAY_S) & (intervals.start_s < (day + 1) * DAY_S)
        ended = (intervals.completed + intervals.rejected + intervals.failed)[of_day]
        idle = (intervals.provisioned - intervals.used)[of_day].sum(axis=0) / 3600.0
        violated = (intervals.slo_met[of_day] < result.facts.slo_quantile * ended - 1e-9).any(axis=1)
        found.append(
            {
                "cost_usd": float(intervals.cost_usd[of_day].sum()),
                "slo_attainment": float(intervals.slo_met[of_day].sum() / max(1, ended.sum())),
                "minutes_in_violation": float(intervals.length_s[of_day][violated].sum() / 60.0),
                "waste_gpu_hours": float(idle[resource_index("gpu")]),
                "waste_cpu_core_hours": float(idle[resource_index("cpu")]),
                "p99_ms_of_run": float(whole["p99_ms"]),
            }
        )
    return found


def collect(kept: Path) -> dict[str, Any]:
    """Means with 95 % intervals over seeds (Student's t), by scenario, day and policy."""
    return summary(kept_lines(kept), {name: days for name, (_, days) in SCENARIOS.items()})


def main(
    seeds: Annotated[int, typer.Option(help="Seeds 1 to this.", min=1)] = 10,
    scenario: Annotated[list[str] | None, typer.Option(help="Only this one, or these; all by default.")] = None,
    collect_only: Annotated[bool, typer.Option("--collect", help="Only summarise what is kept.")] = False,
    fresh: Annotated[bool, typer.Option("--fresh", help="Forget what is kept.")] = False,
    kept: Annotated[Path, typer.Option(help="A line a run.")] = KEPT,
) -> None:
    """Run, resume or summarise the sweep."""
    if fresh:
        kept.unlink(missing_ok=True)
    if not collect_only:
        sweep(list(runs(seeds, scenario or list(SCENARIOS))), kept)
    RESULTS.write_text(json.dumps(collect(kept), indent=1) + "\n", encoding="utf-8")
    print(f"Written to {RESULTS}; now python -m tests.benchmarks.docs_tables")


if __name__ == "__main__":
    typer.run(main)
