"""A day of traffic through the public interface: diurnal, a decision every 10 s, an autoscaler, monitoring.

Each day runs in a process of its own, so that its memory is its own; ``python -m tests.benchmarks.day`` prints one as
JSON, and ``--long`` makes it ten days.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import typer

from tests.benchmarks import machine

__all__ = ["DAY_S", "KINDS", "Day", "measure"]

DAY_S = 86_400.0
POLICY = "hpa"

_TRACE = """\
name: {kind}
seed: 1
control_interval_s: {interval_s}
trace:
  name: {requests_per_s} requests a second on average, by day and night
  duration_s: {duration_s}
  streams:
    - service: feed
      arrivals: {{rate_rps: {requests_per_s}, diurnal: {{peak_to_mean: 1.6, peak_hour: 20}}}}
{columns}cluster:
  storage_gbyte_per_s: 10
  hop_delay_ms: 0.2
{tiers}  node_types:
    - name: h200
      count: 64
      gpus: 1
      gpu_memory_gib: 139
      cpu_cores: 16
      memory_gib: 128
      storage_gbyte_per_s: 2
      network_gbit_per_s: 25
      price_usd_per_hour: 3.8
      boot_s: 60
      devices: [{{device: nvidia-h200}}]
services:
  - name: feed
    slo_ms: 150
{service}policies: [hpa]
"""

_TIERS = """\
  tiers:
    dram: {gbyte_per_s: 20, delay_us: 2}
    ssd: {gbyte_per_s: 3, delay_us: 100}
"""

_RANKING = {
    "columns": """\
      items: {min: 30, max: 90}
      bytes_in: {min: 2000, max: 6000}
""",
    "tiers": _TIERS,
    "service": """\
    stages:
      - name: rank
        candidates: 90
        item_bytes: 300
        variants:
          - profile: bert_reranker-h200-bf16-graph
            max_batch: 512
            max_wait_ms: 20
            container_start_s: 20
            embedding:
              {rows: 200000000, row_bytes: 768, lookups_per_unit: 1, zipf_s: 0.9, device_gib: 40, dram_gib: 48,
               ssd_gib: 200}
""",
}

_FUNNEL = {
    "columns": """\
      users: {count: 1000000, zipf_s: 0.8}
      items: {min: 500, max: 1000}
      bytes_in: {min: 2000, max: 6000}
""",
    "tiers": _TIERS,
    "service": """\
    cache:
      key: user
      levels:
        - {name: memory, entries: 20000, hit_ms: 0.1, ttl_s: 300}
        - {name: redis, entries: 100000, hit_ms: 1, ttl_s: 900}
    stages:
      - name: retrieve
        candidates: 1
        slo_share: 0.2
        variants:
          - {profile: two_tower-h200-bf16-graph, max_batch: 64, max_wait_ms: 2, container_start_s: 20}
      - name: rank
        candidates: 1000
        item_bytes: 60
        split_items: 512
        slo_share: 0.3
        variants:
          - profile: dlrm-h200-bf16-graph
            max_batch: 8192
            max_wait_ms: 2
            container_start_s: 20
            embedding:
              {rows: 1000000000, row_bytes: 128, lookups_per_unit: 26, zipf_s: 1.05, device_gib: 60, dram_gib: 48,
               ssd_gib: 200}
      - name: rerank
        candidates: 100
        item_bytes: 300
        slo_share: 0.5
        variants:
          - {profile: bert_reranker-h200-bf16-graph, max_batch: 512, max_wait_ms: 10, container_start_s: 20}
""",
}

KINDS: Mapping[str, dict[str, str]] = {"ranking": _RANKING, "funnel-with-cache": _FUNNEL}
"""A ranking stage with embedding tiers; the same day through a two-level cache and three stages, one of them split."""


@dataclass(frozen=True)
class Day:
    """One run; ``prepare_s`` and ``run_s`` are seconds of one core, ``wall_s`` from the process's start to its end."""

    kind: str
    requests: int
    simulated_s: float
    decisions: int
    load_s: float
    prepare_s: float
    run_s: float
    wall_s: float
    peak_mb: float
    busy: float
    batch_tasks: str
    most_replicas: int
    slo_met: float

    @property
    def seconds(self) -> float:
        """Everything from the scenario's file on: reading it, preparing, and the run."""
        return self.load_s + self.prepare_s + self.run_s


def measure(kind: str, duration_s: float, interval_s: float = 10.0) -> Day:
    """Run a day, or part of one, in a process of its own."""
    started = time.perf_counter()
    command = [sys.executable, "-m", "tests.benchmarks.day", "--kind", kind, "--duration-s", str(duration_s),
               "--interval-s", str(interval_s)]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    figures = json.loads(done.stdout)
    return Day(**figures | {"wall_s": time.perf_counter() - started})


def scenario_text(kind: str, duration_s: float, interval_s: float, requests_per_s: float) -> str:
    """The scenario's file."""
    numbers = {"duration_s": duration_s, "interval_s": interval_s, "requests_per_s": requests_per_s}
    return _TRACE.format(kind=kind, **numbers, **KINDS[kind])


def run(kind: str, duration_s: float, interval_s: float = 10.0, requests_per_s: float = 1000.0) -> Day:
    """Run here."""
    import recfleet
    from simulator.engine import prepare, simulate

    clock = time.process_time
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "day.yaml"
        path.write_text(scenario_text(kind, duration_s, interval_s, requests_per_s), encoding="utf-8")
        start = clock()
        scenario = recfleet.load_scenario(path)
        loaded = clock()
        context = prepare(scenario, scenario.seed)
        prepared = clock()
        policy = recfleet.make_policy(POLICY, context)
        result = simulate(scenario, policy, seed=scenario.seed, policy_name=POLICY, context=context)
        ended = clock()
    requests = int(result.arrived.sum())
    gpu = result.intervals.used[:, 0].sum() / max(result.intervals.allocated[:, 0].sum(), 1e-9)
    batch = result.served_requests / result.served_batches.clip(1)
    return Day(
        kind=kind,
        requests=requests,
        simulated_s=result.duration_s,
        decisions=len(result.decisions),
        load_s=loaded - start,
        prepare_s=prepared - loaded,
        run_s=ended - prepared,
        wall_s=0.0,
        peak_mb=machine.peak_mb(),
        busy=float(gpu),
        batch_tasks=", ".join(f"{size:.2f}" for size in batch[:, 0]),
        most_replicas=int(result.intervals.ready.sum(axis=(1, 2)).max()),
        slo_met=float(result.slo_met.sum() / requests),
    )


def main(
    kind: Annotated[str, typer.Option(help=f"One of: {', '.join(KINDS)}.")] = "ranking",
    duration_s: Annotated[float, typer.Option(help="Seconds of traffic.", min=60.0)] = DAY_S,
    interval_s: Annotated[float, typer.Option(help="Control interval.", min=0.1)] = 10.0,
    requests_per_s: Annotated[float, typer.Option(help="Mean rate.", min=1.0)] = 1000.0,
    long: Annotated[bool, typer.Option(help="Ten days: 864 million requests.")] = False,
) -> None:
    """Run a day and print what it took, as JSON."""
    print(json.dumps(asdict(run(kind, 10 * DAY_S if long else duration_s, interval_s, requests_per_s))))


if __name__ == "__main__":
    typer.run(main)
