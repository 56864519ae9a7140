"""Reads the fleet at the end of every control interval: rows of the time series, and the policy's observation."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import numpy as np

from simulator.actuator import Actuator
from simulator.cache_counts import CacheCounts
from simulator.cluster import RESOURCES
from simulator.fleet import Fleet
from simulator.fleet_plan import Numbering
from simulator.histogram import bin_middles
from simulator.kernel.interval_quantiles import interval_quantiles
from simulator.kernel.state import DRAINING, READY, STARTING
from simulator.policy import FleetFacts, Observation
from simulator.result import Intervals

__all__ = ["Readings"]

_COUNTERS = ("arrived", "completed", "rejected", "failed", "slo_met")
_STANDING = ("queue_requests", "ready", "starting", "draining", "open_nodes", "usable_nodes")
_INTEGRALS = ("provisioned", "allocated", "used", "cost_usd", "training_gpu_s", "replicas_lost")

_LEVELS = np.array([0.5, 0.95, 0.99])


class Readings:
    """Differences of the running totals between control instants."""

    def __init__(
        self,
        fleet: Fleet,
        actuator: Actuator,
        numbering: Numbering,
        facts: FleetFacts,
        first_rps: np.ndarray,
        slots: int,
    ) -> None:
        self._fleet = fleet
        self._caches = CacheCounts(fleet)
        self._actuator = actuator
        self._facts = facts
        self._run_variant = np.array([v for v, _ in numbering.runs])
        self._run_node_type = np.array([n for _, n in numbering.runs])
        self._slots, self._taken = slots, 0
        self._columns: dict[str, np.ndarray] = {}
        self._row: dict[str, Any] = {}
        self._rates = np.zeros((len(facts.services), slots))
        self._passed = np.zeros((len(facts.stages), slots))
        self._first_rps = first_rps.reshape(-1, 1)
        self._counted = np.zeros_like(fleet.state.histogram)
        self._middle_s = bin_middles()
        self._before = self._totals()

    def _totals(self) -> dict[str, np.ndarray]:
        """Everything that only grows, as of now."""
        state, ledger = self._fleet.state, self._actuator.ledger
        totals = {name: state.services[name].copy() for name in _COUNTERS}
        totals["passed"] = totals["arrived"] + self._caches.passed()
        totals["busy_s"] = self._by_run(state.tables["busy_s"])
        totals["requests"] = self._by_run(state.tables["requests"])
        totals["loaded_s"] = ledger.loaded_s.copy()
        totals["provisioned"] = ledger.provisioned.copy()
        totals["allocated"] = ledger.allocated.copy()
        totals["training_gpu_s"] = np.array(ledger.training_gpu_s)
        totals["replicas_lost"] = self._actuator.lost.copy()
        totals["cost_usd"] = np.array(ledger.cost_usd)
        used = ledger.resident.copy()
        gpu = self._facts.need[self._run_variant, self._run_node_type, RESOURCES.index("gpu")]
        used[RESOURCES.index("gpu")] = gpu @ state.tables["busy_s"]
        used[RESOURCES.index("cpu")] = state.tables["cpu_core_s"].sum()
        used[RESOURCES.index("storage")] = self._actuator.store.loaded_bytes
        used[RESOURCES.index("network")] = self._fleet.received_bytes()
        totals["used"] = used
        return totals

    def _by_run(self, per_table: np.ndarray) -> np.ndarray:
        values = np.zeros(self._facts.throughput_rps.shape, per_table.dtype)
        values[self._run_variant, self._run_node_type] = per_table
        return values

    def by_run(self, field: str) -> np.ndarray:
        """A counter of the latency tables as ``[variant, node_type]``."""
        return self._by_run(self._fleet.state.tables[field])

    def take(self, start_s: float, end_s: float) -> None:
        """Read the interval that ends now."""
        self._actuator.settle()
        now = self._totals()
        change = {name: now[name] - self._before[name] for name in now}
        self._before = now
        row: dict[str, Any] = {name: change[name] for name in _COUNTERS}
        row |= {name: change[name] for name in _INTEGRALS}
        row |= zip(("p50_s", "p95_s", "p99_s"), self._quantiles())
        row |= {"start_s": start_s, "length_s": end_s - start_s, "in_flight": self._fleet.in_flight()}
        row |= self._standing()
        self._keep(row)
        self._rates[:, self._taken - 1] = change["arrived"] / (end_s - start_s)
        self._passed[:, self._taken - 1] = self._facts.stage_demand(change["passed"] / (end_s - start_s))
        with np.errstate(invalid="ignore", divide="ignore"):
            self._busy_fraction = change["busy_s"] / change["loaded_s"]
            self._utilisation = change["used"] / change["provisioned"]
        self._served = change["requests"]

    def _quantiles(self) -> np.ndarray:
        """``latency_s[level, service]`` of the requests answered since the last call."""
        latency_s = np.empty((len(_LEVELS), len(self._facts.services)))
        interval_quantiles(self._fleet.state.histogram, self._counted, _LEVELS, self._middle_s, latency_s)
        return latency_s

    def _standing(self) -> dict[str, np.ndarray]:
        """What stands in queues and in the cluster as of now."""
        return {
            "queue_requests": self._fleet.state.stages["queue"].copy(),
            "ready": self._actuator.count(READY),
            "starting": self._actuator.count(STARTING),
            "draining": self._actuator.count(DRAINING),
            "open_nodes": self._actuator.placement.open_nodes(),
            "usable_nodes": self._actuator.placement.usable_nodes(),
        }

    def _keep(self, row: dict[str, Any]) -> None:
        """Add a row to the columns, which are made for all intervals at once."""
        if not self._taken:
            values = {name: np.asarray(value) for name, value in row.items()}
            self._columns = {name: np.empty((self._slots, *v.shape), v.dtype) for name, v in values.items()}
        for name, value in row.items():
            self._columns[name][self._taken] = value
        self._taken += 1
        self._row = row

    def observe(self, now_s: float, unplaced: np.ndarray) -> Observation:
        """What the policy sees now; before the first interval, a warm start (see `Observation.now_s`)."""
        slot = self._taken
        facts = self._facts
        services, shape = len(facts.services), facts.throughput_rps.shape
        nothing, unknown = np.zeros(services, np.int64), np.full(services, np.nan)
        row = self._row
        standing = {name: row[name] for name in _STANDING} if slot else self._standing()
        if self._actuator.roster.replacing:
            standing["starting"] = self._actuator.starting()
        history = self._rates[:, :slot] if slot else self._first_rps
        passed = self._passed[:, :slot] if slot else facts.planned_demand(self._first_rps)
        values = {
            "history_rps": history.view(),
            "arrival_rps": history[:, -1].copy(),
            "stage_history_rps": passed.view(),
            "stage_rps": passed[:, -1].copy(),
            "served_requests": self._served if slot else np.zeros(shape, np.int64),
            "busy_fraction": self._busy_fraction if slot else np.full(shape, np.nan),
            "resource_utilisation": self._utilisation if slot else np.full(len(RESOURCES), np.nan),
            "unplaced": unplaced.copy(),
            "replicas_lost": row["replicas_lost"] if slot else np.zeros(shape, np.int64),
        } | standing
        values |= {name: row[name] if slot else nothing for name in ("completed", "rejected", "failed")}
        values |= {name: row[name] if slot else unknown for name in ("p50_s", "p95_s", "p99_s")}
        for array in values.values():
            array.flags.writeable = False
        return Observation(now_s=now_s, slot=slot, facts=facts, **values)

    def intervals(self) -> Intervals:
        """All rows read, as arrays."""
        names = [field.name for field in fields(Intervals)]
        return Intervals(**{name: self._columns[name][: self._taken] for name in names})
