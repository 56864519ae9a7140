"""A scenario of minutes with assumed profiles, small enough to follow by hand, and policies to drive it.

Two services: ``feed`` retrieves and then ranks, ``ads`` ranks on a processor or on an accelerator.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from simulator.policy import Allocation, Observation
from simulator.result import RunResult
from simulator.scenario import Scenario, load_scenario
from workloads.trace import ArrayTrace, TraceInfo

SCENARIO = """\
name: mini
seed: 3
control_interval_s: 20
trace:
  name: five synthetic minutes
  duration_s: 290
  streams:
    - service: feed
      arrivals: {rate_rps: 4.0, flash_crowds: [{at_s: 100, rise_s: 10, hold_s: 40, fall_s: 10, factor: 4.0}]}
      items: {min: 1, max: 60}
      bytes_in: 4000
    - service: ads
      arrivals: {rate_rps: 3.0, cv: 2.0}
      bytes_in: 2000
cluster:
  storage_gbyte_per_s: 1.0
  hop_delay_ms: 0.5
  node_types:
    - name: box
      count: 6
      cpu_cores: 8
      memory_gib: 16
      storage_gbyte_per_s: 0.5
      network_gbit_per_s: 1
      price_usd_per_hour: 0.4
      boot_s: 10
      devices: [{device: mini-cpu}]
    - name: gpu
      count: 4
      gpus: 2
      gpu_memory_gib: 32
      cpu_cores: 8
      memory_gib: 32
      storage_gbyte_per_s: 0.8
      network_gbit_per_s: 1
      price_usd_per_hour: 2.0
      boot_s: 30
      devices: [{device: mini-gpu}, {device: mini-cpu, speed: 1.5, assumption: newer cores}]
services:
  - name: feed
    slo_ms: 600
    stages:
      - name: retrieve
        candidates: 1
        slo_share: 0.4
        variants:
          - {profile: retrieve.json, max_batch: 4, max_wait_ms: 5, container_start_s: 3, warm_up_s: 1}
      - name: rank
        candidates: 40
        item_bytes: 100
        slo_share: 0.6
        router: round_robin
        variants:
          - {profile: rank.json, max_batch: 64, max_wait_ms: 10, queue_limit: 12, container_start_s: 4}
  - name: ads
    slo_ms: 500
    slo_quantile: 0.95
    stages:
      - name: rank
        candidates: 20
        max_outstanding: 6
        variants:
          - {profile: ads-cpu.json, max_batch: 2, container_start_s: 2}
          - {profile: rank.json, name: ads-gpu, max_batch: 64, max_wait_ms: 20, container_start_s: 4}
policies: [static_peak]
planning: {headroom: 0.2}
"""

HAND = """\
name: by-hand
seed: 1
control_interval_s: 20
service_noise: false
trace: {file: t.parquet}
cluster:
  storage_gbyte_per_s: 0.8
  hop_delay_ms: 0
  node_types:
    - name: box
      count: 3
      cpu_cores: 8
      memory_gib: 16
      storage_gbyte_per_s: 0.5
      network_gbit_per_s: 10
      price_usd_per_hour: 3.6
      boot_s: 30
      devices: [{device: mini-cpu}]
services:
  - name: ads
    slo_ms: 1000
    stages:
      - name: rank
        candidates: 1
        variants: [{profile: ads-cpu.json, max_batch: 1, container_start_s: 2, warm_up_s: 1}]
policies: [static_peak]
"""
"""Two replicas a node, 0.1 s a request, 2 GB of weights: 4 s alone; a node costs 0.001 USD a second."""


def profile_document(
    name: str,
    mean_s: dict[int, float],
    *,
    spread: float = 0.3,
    unit: str = "requests",
    kind: str = "cpu",
    weights_bytes: int = 10**9,
    memory_gib: float = 2.0,
    device_memory_gib: float = 0.0,
    cores: int = 2,
    accuracy: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """A profile whose batch of each size takes ``mean_s[size]``, give or take ``spread`` of it, evenly drawn."""
    count = len(mean_s)
    stated = {} if accuracy is None else {"accuracy": accuracy}
    return stated | {
        "format": "recfleet-profile",
        "format_version": 1,
        "name": name,
        "model": {
            "name": name, "stage": "rank", "unit": unit, "config": {}, "parameters": 1,
            "embedding_bytes": 0, "weights_bytes": weights_bytes, "weights": "none: assumed",
        },
        "device": {
            "id": f"mini-{'gpu' if kind == 'cuda' else 'cpu'}", "kind": kind, "name": "assumed",
            "memory_bytes": 10**9, "driver": None, "host": {"cpu": "assumed", "cores": 8, "memory_bytes": 10**9},
        },
        "execution": {"precision": "fp32", "mode": "eager", "threads": 1, "inputs": "none: assumed"},
        "latency": {
            "batch_sizes": list(mean_s),
            "runs": [1] * count,
            "runs_set_aside": [0] * count,
            "quantile_levels": [0.0, 1.0],
            "quantiles_s": [[m * (1 - spread), m * (1 + spread)] for m in mean_s.values()],
            "mean_s": list(mean_s.values()),
            "cpu_core_s": [0.6 * m * cores for m in mean_s.values()],
            "split": None,
            "drift": [0.0] * count,
            "two_modes": [False] * count,
        },
        "resources": {
            "device_memory_bytes": int(device_memory_gib * 2**30),
            "host_memory_bytes": int(memory_gib * 2**30),
            "host_cores": cores,
            "load": {
                "weights_s": 1.0, "first_inference_s": 0.0, "graph_capture_s": 0.0, "total_s": 1.0,
                "file_cache": "assumed",
            },
        },
        "provenance": {
            "kind": "assumed", "date": "2026-01-01", "versions": {}, "command": None, "other_load_cores": None,
        },
        "notes": [],
    }  # fmt: skip


PROFILES = {
    "retrieve.json": profile_document("retrieve", {1: 0.040, 2: 0.050, 4: 0.080}),
    "ads-cpu.json": profile_document("ads-cpu", {1: 0.100, 2: 0.160}, weights_bytes=2 * 10**9, cores=3),
    "rank.json": profile_document(
        "rank", {1: 0.020, 32: 0.050, 64: 0.090}, unit="items", kind="cuda", weights_bytes=4 * 10**9,
        memory_gib=4.0, device_memory_gib=10.0, cores=1,
    ),
}  # fmt: skip


def write_mini(folder: Path, text: str = SCENARIO, changes: dict[str, str] | None = None) -> Path:
    """Write the profiles and the scenario, in which every key of ``changes`` occurs and is replaced once."""
    for name, document in PROFILES.items():
        (folder / name).write_text(json.dumps(document))
    for old, new in (changes or {}).items():
        assert old in text, old
        text = text.replace(old, new, 1)
    path = folder / "mini.yaml"
    path.write_text(text)
    return path


def load_mini(folder: Path, changes: dict[str, str] | None = None) -> Scenario:
    """The scenario, with ``changes``."""
    return load_scenario(write_mini(folder, changes=changes))


def load_hand(
    folder: Path, arrival_s: Sequence[float], duration_s: float, changes: dict[str, str] | None = None
) -> Scenario:
    """The scenario to follow by hand, with requests at these times."""
    write_trace(folder / "t.parquet", arrival_s, duration_s)
    return load_scenario(write_mini(folder, HAND, changes))


def write_trace(path: Path, arrival_s: Sequence[float], duration_s: float, **columns: Any) -> Path:
    """A trace of the service ``ads`` with these times."""
    info = TraceInfo("by hand", ("ads",), duration_s, "typed in", "none", synthetic=True)
    ArrayTrace(info, np.array(arrival_s, dtype=float), **columns).write_parquet(path)
    return path


# --- policies -----------------------------------------------------------------------------------------


class Scripted:
    """Wants what a table says: ``plan[slot][variant, node_type]``, the last row for good. Keeps what it saw."""

    def __init__(self, *plan: Any) -> None:
        self.plan = [np.array(row, dtype=np.int64) for row in plan]
        self.seen: list[Observation] = []

    def decide(self, observation: Observation) -> Allocation:
        self.seen.append(observation)
        return Allocation(self.plan[min(observation.slot, len(self.plan) - 1)])


class Erratic:
    """Wants random numbers of replicas at random times; shakes everything that the control plane does."""

    def __init__(self, seed: int, most: int = 5, change: float = 0.6) -> None:
        self._rng = np.random.default_rng(seed)
        self._most, self._change = most, change
        self._wanted: np.ndarray | None = None
        self.seen: list[Observation] = []

    def decide(self, observation: Observation) -> Allocation:
        self.seen.append(observation)
        facts = observation.facts
        if self._wanted is None or self._rng.random() < self._change:
            runs = facts.best_throughput_rps > 0
            draw = self._rng.integers(0, self._most, runs.shape, endpoint=True)
            self._wanted = np.where(runs & (self._rng.random(runs.shape) < 0.8), draw, 0)
        return Allocation(self._wanted.astype(float if self._rng.random() < 0.2 else np.int64))


@dataclass
class Calling:
    """Does what a function does."""

    function: Callable[[Observation], Any]

    def decide(self, observation: Observation) -> Any:
        return self.function(observation)


# --- results ------------------------------------------------------------------------------------------


def arrays_of(result: RunResult) -> Iterator[tuple[str, np.ndarray]]:
    """Every number that a run leaves behind, by name."""
    for field in fields(result):
        value = getattr(result, field.name)
        if isinstance(value, np.ndarray | int | float):
            yield field.name, np.asarray(value)
    for field in fields(result.intervals):
        yield f"intervals.{field.name}", getattr(result.intervals, field.name)
    yield "wanted", np.array([d.wanted for d in result.decisions])
    yield "applied", np.array([[d.started, d.drained, d.unplaced] for d in result.decisions])
    for field in fields(result.facts):
        value = getattr(result.facts, field.name)
        if isinstance(value, np.ndarray):
            yield f"facts.{field.name}", value
