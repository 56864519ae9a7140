"""Reads the fleet at the end of every control interval: rows of the time series, and the policy's observation."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import numpy as np

from simulator.actuator import Actuator
from simulator.cache_counts import CacheCounts
from simulator.cluster import RESOURCES, resource_index
from simulator.fleet import Fleet
from simulator.fleet_plan import Numbering
from simulator.histogram import bin_middles
from simulator.kernel.interval_quantiles import interval_quantiles
from simulator.kernel.state import DRAINING, READY, STARTING
from simulator.policy import FleetFacts, Observation
from simulator.result import Intervals

__all__ = ["Readings"]

_COUNTERS = ("arrived", "completed", "rejected", "failed", "slo_met")
_QUANTILES = ("p50_s", "p95_s", "p99_s")
_LEVELS = np.array([0.5, 0.95, 0.99])
_OBSERVED = ("completed", "rejected", "failed", "replicas_lost")


class Readings:
    """Running totals at the control instants, their growth in between, and what stands at the instants."""

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
        variant, node_type = np.array(numbering.runs, np.int64).reshape(-1, 2).T
        self._pair_of_run = np.ravel_multi_index((variant, node_type), facts.throughput_rps.shape)
        self._gpus_of_run = facts.need[variant, node_type, resource_index("gpu")]
        self._slots, self._taken = slots, 0
        self._rates = np.zeros((len(facts.services), slots))
        self._passed = np.zeros((len(facts.stages), slots))
        self._first_rps = first_rps.reshape(-1, 1)
        self._counted = np.zeros_like(fleet.state.histogram)
        self._middle_s = bin_middles()
        self._last: dict[str, Any] = {}
        self._columns: dict[str, np.ndarray] = {}
        totals = self._totals()
        self._kept = _columns(totals, slots + 1)
        _write(self._kept, 0, totals)
        self._before = self._further_totals()

    def _totals(self) -> dict[str, Any]:
        """What intervals hold the growth of, as of now; to be copied before anything changes."""
        state, ledger = self._fleet.state, self._actuator.ledger
        return {name: state.services[name] for name in _COUNTERS} | {
            "provisioned": ledger.provisioned,
            "allocated": ledger.allocated,
            "used": self._used(),
            "cost_usd": ledger.cost_usd,
            "training_gpu_s": ledger.training_gpu_s,
            "replicas_lost": self._actuator.lost,
        }

    def _used(self) -> np.ndarray:
        """``[resource]`` resource-seconds used by now."""
        tables = self._fleet.state.tables
        used = self._actuator.ledger.resident.copy()
        used[resource_index("gpu")] = self._gpus_of_run @ tables["busy_s"]
        used[resource_index("cpu")] = tables["cpu_core_s"].sum()
        used[resource_index("storage")] = self._actuator.store.loaded_bytes
        used[resource_index("network")] = self._fleet.received_bytes()
        return used

    def _further_totals(self) -> dict[str, np.ndarray]:
        """Other totals that policies see the growth of."""
        stages = self._fleet.state.stages
        return {
            "passed": self._fleet.state.services["arrived"] + self._caches.passed(),
            "wait_s": stages["wait_s"].copy(),
            "compute_s": stages["compute_s"].copy(),
            "busy_s": self.by_run("busy_s"),
            "requests": self.by_run("requests"),
            "loaded_s": self._actuator.ledger.loaded_s.copy(),
        }

    def by_run(self, field: str) -> np.ndarray:
        """A counter of the latency tables as ``[variant, node_type]``."""
        per_table = self._fleet.state.tables[field]
        shape = self._facts.throughput_rps.shape
        values = np.zeros(shape[0] * shape[1], per_table.dtype)
        values[self._pair_of_run] = per_table
        return values.reshape(shape)

    def take(self, start_s: float, end_s: float) -> None:
        """Read the interval that ends now."""
        self._actuator.settle()
        slot = self._taken
        _write(self._kept, slot + 1, self._totals())
        further = self._further_totals()
        grown = {name: further[name] - self._before[name] for name in further}
        self._before = further
        standing = self._standing() | dict(zip(_QUANTILES, self._quantiles()))
        row = standing | {"start_s": start_s, "length_s": end_s - start_s, "in_flight": self._fleet.in_flight()}
        if not slot:
            self._columns = _columns(row, self._slots)
        _write(self._columns, slot, row)
        self._taken += 1
        self._rates[:, slot] = self._growth("arrived") / (end_s - start_s)
        self._passed[:, slot] = self._facts.stage_demand(grown["passed"] / (end_s - start_s))
        with np.errstate(invalid="ignore", divide="ignore"):
            standing["busy_fraction"] = grown["busy_s"] / grown["loaded_s"]
            standing["resource_utilisation"] = self._growth("used") / self._growth("provisioned")
        standing["served_requests"] = grown["requests"]
        standing["stage_waiting"] = grown["wait_s"] / (end_s - start_s)
        standing["stage_computing"] = grown["compute_s"] / (end_s - start_s)
        self._last = standing | {name: self._growth(name) for name in _OBSERVED}

    def _growth(self, name: str) -> np.ndarray:
        """Of a total, in the last interval."""
        kept = self._kept[name]
        return np.asarray(kept[self._taken] - kept[self._taken - 1])

    def _quantiles(self) -> np.ndarray:
        """``latency_s[level, service]`` of the requests answered since the last call."""
        latency_s = np.empty((len(_LEVELS), len(self._facts.services)))
        interval_quantiles(self._fleet.state.histogram, self._counted, _LEVELS, self._middle_s, latency_s)
        return latency_s

    def _standing(self) -> dict[str, np.ndarray]:
        """What stands in queues and in the cluster as of now."""
        actuator = self._actuator
        replicas = actuator.counts().copy()
        return {
            "queue_requests": self._fleet.state.stages["queue"].copy(),
            "ready": replicas[READY],
            "starting": replicas[STARTING],
            "draining": replicas[DRAINING],
            "open_nodes": actuator.ledger.open_nodes.copy(),
            "usable_nodes": actuator.placement.usable_nodes(),
        }

    def observe(self, now_s: float, unplaced: np.ndarray) -> Observation:
        """What the policy sees now; before the first interval, a warm start (see `Observation.now_s`)."""
        slot = self._taken
        values = self._last | self._rates_so_far() if slot else self._warm_start()
        if self._actuator.roster.replacing:
            values["starting"] = self._actuator.starting()
        values["unplaced"] = unplaced.copy()
        for array in values.values():
            array.flags.writeable = False
        return Observation(now_s=now_s, slot=slot, facts=self._facts, **values)

    def _rates_so_far(self) -> dict[str, np.ndarray]:
        """Rates of all intervals and of the last."""
        slot = self._taken
        return {
            "history_rps": self._rates[:, :slot],
            "arrival_rps": self._rates[:, slot - 1].copy(),
            "stage_history_rps": self._passed[:, :slot],
            "stage_rps": self._passed[:, slot - 1].copy(),
        }

    def _warm_start(self) -> dict[str, np.ndarray]:
        """What is seen before the first interval."""
        services, shape = len(self._facts.services), self._facts.throughput_rps.shape
        passed = self._facts.planned_demand(self._first_rps)
        return {
            "history_rps": self._first_rps.view(),
            "arrival_rps": self._first_rps[:, -1].copy(),
            "stage_history_rps": passed,
            "stage_rps": passed[:, -1].copy(),
            "served_requests": np.zeros(shape, np.int64),
            "busy_fraction": np.full(shape, np.nan),
            "resource_utilisation": np.full(len(RESOURCES), np.nan),
            "replicas_lost": np.zeros(shape, np.int64),
            **{name: np.zeros(services, np.int64) for name in ("completed", "rejected", "failed")},
            **{name: np.full(services, np.nan) for name in _QUANTILES},
            **self._standing(),
        }

    def intervals(self) -> Intervals:
        """All rows read, as arrays."""
        grown = {name: np.diff(kept[: self._taken + 1], axis=0) for name, kept in self._kept.items()}
        columns = grown | {name: column[: self._taken] for name, column in self._columns.items()}
        columns["stage_rps"] = self._passed[:, : self._taken].T.copy()
        return Intervals(**{field.name: columns[field.name] for field in fields(Intervals)})


def _columns(row: dict[str, Any], rows: int) -> dict[str, np.ndarray]:
    """Room for so many rows like this one."""
    values = {name: np.asarray(value) for name, value in row.items()}
    return {name: np.empty((rows, *value.shape), value.dtype) for name, value in values.items()}


def _write(columns: dict[str, np.ndarray], place: int, row: dict[str, Any]) -> None:
    for name, value in row.items():
        columns[name][place] = value
