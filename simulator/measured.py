"""A run with the sums that metrics share: resource-hours, pooled latencies, attainment."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from simulator import histogram
from simulator.attainment import violated, worst_window
from simulator.cluster import RESOURCES, resource_index
from simulator.life.fairness import mean_dominant_share
from simulator.result import RunResult

__all__ = ["RESOURCE_HOURS", "Measured", "ResourceUnit", "ratio"]


@dataclass(frozen=True)
class ResourceUnit:
    """How a resource's hours are called and scaled: ``hours = resource-seconds / 3600 / scale``."""

    column: str
    unit: str
    scale: float


RESOURCE_HOURS: dict[str, ResourceUnit] = {
    "gpu": ResourceUnit("gpu_hours", "GPU h", 1.0),
    "gpu_memory": ResourceUnit("gpu_memory_gb_hours", "GB h", 1e9),
    "cpu": ResourceUnit("cpu_core_hours", "core h", 1.0),
    "memory": ResourceUnit("memory_gb_hours", "GB h", 1e9),
    "storage": ResourceUnit("storage_gb_per_s_hours", "(GB/s) h", 1e9),
    "network": ResourceUnit("network_gb_per_s_hours", "(GB/s) h", 1e9),
}


@dataclass(frozen=True)
class Measured:
    """A run with what metrics share: resource-hours, pooled latencies, attainment.

    Attributes
    ----------
    bound_usd
        Fluid lower bound on the cost of serving this run's requests, NaN where it was not computed.
    """

    result: RunResult
    bound_usd: float

    @cached_property
    def hours(self) -> dict[str, np.ndarray]:
        """``provisioned``, ``allocated``, ``used``: hours ``[resource]`` in the units of `RESOURCE_HOURS`."""
        scale = np.array([3600.0 * RESOURCE_HOURS[name].scale for name in RESOURCES])
        intervals = self.result.intervals
        kinds = {
            "provisioned": intervals.provisioned,
            "allocated": intervals.allocated,
            "used": intervals.used,
        }
        return {kind: seconds.sum(axis=0) / scale for kind, seconds in kinds.items()}

    @cached_property
    def pooled(self) -> np.ndarray:
        """``counts[bin]`` of all services."""
        return np.asarray(self.result.histogram.sum(axis=0))

    @cached_property
    def service_attainment(self) -> np.ndarray:
        """``[service]`` completed within the objective / arrived; NaN where none arrived."""
        arrived = self.result.arrived
        return np.where(arrived > 0, self.result.slo_met / np.maximum(arrived, 1), np.nan)

    @cached_property
    def dominant_share(self) -> np.ndarray:
        """``[service]`` mean share of the cluster that it claims, of the resource that it claims most of."""
        return mean_dominant_share(self.result)

    @cached_property
    def stage_accuracy(self) -> np.ndarray:
        """``[stage]`` mean accuracy of the variants that served requests, weighted by requests; NaN where a stage names
        no metric or served none."""
        return self.result.facts.mean_accuracy(self.result.served_requests)

    @cached_property
    def accuracy_margin(self) -> np.ndarray:
        """``[stage]`` mean accuracy over the floor; NaN where there is no floor."""
        floor = self.result.facts.accuracy_floor
        return np.where(np.isfinite(floor), self.stage_accuracy - floor, np.nan)

    @cached_property
    def violations(self) -> np.ndarray:
        """``[interval, service]``."""
        return violated(self.result.intervals, self.result.facts.slo_quantile)

    @cached_property
    def worst(self) -> tuple[float, np.ndarray]:
        """Worst five minutes of the fleet, and by ``[service]``."""
        return worst_window(self.result.intervals)

    @property
    def cost_usd(self) -> float:
        return float(self.result.intervals.cost_usd.sum())

    def latency_ms(self, q: float) -> float:
        return 1e3 * histogram.quantile(self.pooled, q)

    def waste_hours(self, resource: str, of: str = "provisioned") -> float:
        """Hours ``of`` (provisioned or allocated) less hours used, not below zero."""
        r = resource_index(resource)
        return max(0.0, float(self.hours[of][r] - self.hours["used"][r]))

    def share(self, resource: str, part: str = "used", whole: str = "provisioned") -> float:
        r = resource_index(resource)
        return ratio(float(self.hours[part][r]), float(self.hours[whole][r]))

    @property
    def waste_squared(self) -> float:
        """The document's ``sum (C - R)^2``, on shares of the cluster's GPUs and cores."""
        facts, intervals = self.result.facts, self.result.intervals
        total = facts.node_count @ facts.capacity
        squares = np.zeros(len(intervals.start_s))
        for name in ("gpu", "cpu"):
            r = resource_index(name)
            if total[r] > 0:
                idle = (intervals.provisioned[:, r] - intervals.used[:, r]) / intervals.length_s / total[r]
                squares += idle**2
        return float(squares @ intervals.length_s / facts.control_interval_s)


def ratio(part: float, whole: float) -> float:
    """``part / whole``; NaN where there is no whole."""
    return part / whole if whole > 0 else math.nan
