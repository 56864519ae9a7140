"""Reads the fleet at the end of every control interval: rows of the time series, and the policy's observation."""

from __future__ import annotations

from dataclasses import fields

import numpy as np

from simulator.actuator import Actuator
from simulator.cluster import RESOURCES
from simulator.fleet import Fleet
from simulator.fleet_plan import Numbering
from simulator.histogram import quantile
from simulator.kernel.state import DRAINING, READY, STARTING
from simulator.policy import FleetFacts, Observation
from simulator.result import Intervals

__all__ = ["Readings"]

_COUNTERS = ("arrived", "completed", "rejected", "failed", "slo_met")

_INTEGRALS = ("provisioned", "allocated", "used", "cost_usd", "training_gpu_s", "replicas_lost")


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
        self._actuator = actuator
        self._facts = facts
        self._run_variant = np.array([v for v, _ in numbering.runs])
        self._run_node_type = np.array([n for _, n in numbering.runs])
        self._rows: list[dict[str, object]] = []
        self._rates = np.zeros((len(facts.services), slots))
        self._first_rps = first_rps.reshape(-1, 1)
        self._before = self._totals()

    def _totals(self) -> dict[str, np.ndarray]:
        """Everything that only grows, as of now."""
        state, ledger = self._fleet.state, self._actuator.ledger
        totals = {name: state.services[name].copy() for name in _COUNTERS}
        totals["histogram"] = state.histogram.copy()
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
        counts = change["histogram"]
        row: dict[str, object] = {name: change[name] for name in _COUNTERS}
        row |= {name: change[name] for name in _INTEGRALS}
        for name, level in (("p50_s", 0.5), ("p95_s", 0.95), ("p99_s", 0.99)):
            row[name] = np.array([quantile(counts[i], level) for i in range(len(counts))])
        row |= {
            "start_s": start_s,
            "length_s": end_s - start_s,
            "in_flight": self._fleet.in_flight(),
            "queue_requests": self._fleet.state.stages["queue"].copy(),
            "ready": self._actuator.count(READY),
            "starting": self._actuator.count(STARTING),
            "draining": self._actuator.count(DRAINING),
            "open_nodes": self._actuator.placement.open_nodes(),
            "usable_nodes": self._actuator.placement.usable_nodes(),
        }
        self._rates[:, len(self._rows)] = change["arrived"] / (end_s - start_s)
        with np.errstate(invalid="ignore", divide="ignore"):
            self._busy_fraction = change["busy_s"] / change["loaded_s"]
            self._utilisation = change["used"] / change["provisioned"]
        self._served = change["requests"]
        self._rows.append(row)

    def observe(self, now_s: float, unplaced: np.ndarray) -> Observation:
        """What the policy sees now; before the first interval, a warm start (see `Observation.now_s`)."""
        slot = len(self._rows)
        facts = self._facts
        services, shape = len(facts.services), facts.throughput_rps.shape
        nothing, unknown = np.zeros(services, np.int64), np.full(services, np.nan)
        row = self._rows[-1] if slot else {}
        history = self._rates[:, :slot] if slot else self._first_rps
        values = {
            "history_rps": history.view(),
            "arrival_rps": history[:, -1].copy(),
            "served_requests": self._served if slot else np.zeros(shape, np.int64),
            "queue_requests": self._fleet.state.stages["queue"].copy(),
            "busy_fraction": self._busy_fraction if slot else np.full(shape, np.nan),
            "resource_utilisation": self._utilisation if slot else np.full(len(RESOURCES), np.nan),
            "ready": self._actuator.count(READY),
            "starting": self._actuator.count(STARTING),
            "draining": self._actuator.count(DRAINING),
            "unplaced": unplaced.copy(),
            "open_nodes": self._actuator.placement.open_nodes(),
            "usable_nodes": self._actuator.placement.usable_nodes(),
            "replicas_lost": np.array(row.get("replicas_lost", np.zeros(shape, np.int64))),
        }
        values |= {name: np.array(row.get(name, nothing)) for name in ("completed", "rejected", "failed")}
        values |= {name: np.array(row.get(name, unknown)) for name in ("p50_s", "p95_s", "p99_s")}
        for array in values.values():
            array.flags.writeable = False
        return Observation(now_s=now_s, slot=slot, facts=facts, **values)

    def intervals(self) -> Intervals:
        """All rows read, as arrays."""
        names = [field.name for field in fields(Intervals)]
        return Intervals(**{name: np.array([row[name] for row in self._rows]) for name in names})
