"""A link of the simulator fitted to measured times of transfers, and what the data plane then makes of sizes."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from simulator.fleet import Fleet
from simulator.latency_tables import LatencyTable
from simulator.plan import BatchRule, FleetPlan, LinkPlan, RecordPlan, ServicePlan, SitePlan, StagePlan
from workloads.trace import TraceBlock

__all__ = ["LinkFit", "carried_s", "fit_link"]

_FEWEST = 8


@dataclass(frozen=True)
class LinkFit:
    """A transfer of ``b`` bytes takes ``latency_s + b / bytes_per_s``.

    Below ``small_bytes`` it takes ``small_latency_s + b / small_bytes_per_s`` (0: there is no such size).
    """

    latency_s: float
    bytes_per_s: float
    small_bytes: float = 0.0
    small_latency_s: float = 0.0
    small_bytes_per_s: float = float("inf")

    def plan(self) -> LinkPlan:
        """The data plane's link: what both latencies share is a delay; what one has more takes the link."""
        if self.small_bytes == 0.0:
            return LinkPlan(1.0 / self.bytes_per_s, delay_s=self.latency_s)
        delay_s = min(self.latency_s, self.small_latency_s)
        return LinkPlan(
            s_per_byte=1.0 / self.bytes_per_s,
            s_per_message=self.latency_s - delay_s,
            delay_s=delay_s,
            small_bytes=self.small_bytes,
            small_s_per_byte=1.0 / self.small_bytes_per_s,
            small_s_per_message=self.small_latency_s - delay_s,
        )

    def section(self) -> dict[str, object]:
        """The same as fields of a scenario's ``cluster.links``."""
        plan = self.plan()
        found: dict[str, object] = {"bandwidth_gbit_per_s": 8e-9 * self.bytes_per_s, "delay_ms": 1e3 * plan.delay_s}
        if self.small_bytes == 0.0:
            return found
        small = {"below_kbyte": self.small_bytes / 1e3, "bandwidth_gbit_per_s": 8e-9 * self.small_bytes_per_s}
        small["us_per_message"] = 1e6 * plan.small_s_per_message
        return found | {"us_per_message": 1e6 * plan.s_per_message, "small": small}


def fit_link(size_bytes: np.ndarray, time_s: np.ndarray, *, two_lines: bool = False) -> LinkFit:
    """Least squares of the relative error, ``sum((predicted / measured - 1) ** 2)``.

    Parameters
    ----------
    size_bytes, time_s
        ``[transfer]`` bytes, and seconds that one transfer took alone.
    two_lines
        Look for the size from which another line holds, too. Networks step there from one protocol to another, so the
        lines need not meet.

    Raises
    ------
    ValueError
        Too few transfers, or times that do not grow with size.

    Examples
    --------
    >>> fit_link(np.array([1e6, 2e6, 3e6]), np.array([3e-3, 5e-3, 7e-3]))
    LinkFit(latency_s=0.001, bytes_per_s=500000000.0, small_bytes=0.0, small_latency_s=0.0, small_bytes_per_s=inf)
    """
    order = np.argsort(size_bytes, kind="stable")
    size, time = np.asarray(size_bytes, np.float64)[order], np.asarray(time_s, np.float64)[order]
    latency_s, bytes_per_s, error = _line(size, time)
    candidates = _broken(size, time) if two_lines else [(error, LinkFit(latency_s, bytes_per_s))]
    best = min(candidates, key=lambda each: each[0], default=(math.inf, None))
    if best[1] is None or not math.isfinite(best[0]):
        what = "two lines, each through" if two_lines else "a line through"
        raise ValueError(f"fit_link: {len(size)} transfers do not make {what} times that grow with size")
    return best[1]


def _broken(size: np.ndarray, time: np.ndarray) -> list[tuple[float, LinkFit]]:
    """Squared errors and fit of two lines, for each size that the second may begin with."""
    found = []
    for first in range(_FEWEST, len(size) - _FEWEST + 1):
        if size[first] > size[first - 1]:
            small, large = _line(size[:first], time[:first]), _line(size[first:], time[first:])
            fit = LinkFit(large[0], large[1], float(size[first]), small[0], small[1])
            found.append((small[2] + large[2], fit))
    return found


def _line(size: np.ndarray, time: np.ndarray) -> tuple[float, float, float]:
    """Latency (not below 0), bytes a second, and the squared relative errors: infinite where times do not grow."""
    if len(size) < 2 or size[0] == size[-1]:
        return 0.0, math.inf, math.inf
    one, by_size = 1.0 / time, size / time
    matrix = np.array([[one @ one, one @ by_size], [one @ by_size, by_size @ by_size]])
    scale = np.sqrt(np.diag(matrix))
    latency_s, s_per_byte = np.linalg.solve(matrix / np.outer(scale, scale), [one.sum(), by_size.sum()] / scale) / scale
    if latency_s < 0.0:
        latency_s, s_per_byte = 0.0, by_size.sum() / (by_size @ by_size)
    if s_per_byte <= 0.0:
        return 0.0, math.inf, math.inf
    error = latency_s * one + s_per_byte * by_size - 1.0
    # Twelve digits: what rounding leaves of an exact line is no news.
    return float(f"{latency_s:.12g}"), float(f"{1.0 / s_per_byte:.12g}"), float(error @ error)


def carried_s(link: LinkPlan, size_bytes: np.ndarray) -> np.ndarray:
    """Seconds that the data plane takes to carry payloads of ``size_bytes[transfer]``, each alone on the link.

    A request each over the access link of a site, long after the one before, to a replica that takes no time to speak
    of: what is left of its latency is the link's.
    """
    sizes = np.asarray(size_bytes, np.int64)
    rows, service_s, apart_s = len(sizes), 2.0**-30, 1.0
    zeros = np.zeros(rows, np.int64)
    plan = FleetPlan(
        stages=(StagePlan(0, 1, 0.0, "least_outstanding"),),
        rules=(BatchRule(0, False, 1, 0.0, 0),),
        tables=(LatencyTable(np.array([1]), np.array([0.5]), np.array([[service_s]]), np.zeros(1)),),
        nic_bytes_per_s=np.array([1e300]),
        hop_delay_s=0.0,
        services=(ServicePlan(1e9),),
        noise_seed=1,
        sites=(SitePlan(access_in=link),),
        node_site=np.zeros(1, np.int64),
    )
    arrival_s = apart_s * np.arange(rows)
    block = TraceBlock(
        0, arrival_s, zeros.astype(np.int16), zeros.astype(np.int32), sizes.astype(np.int32), zeros, zeros
    )
    fleet = Fleet(plan, iter([block]), RecordPlan(rows))
    fleet.activate(fleet.add_replica(0, 0, 0))
    fleet.finish()
    done_s: np.ndarray = fleet.state.record.outcome["done_s"]
    return done_s - arrival_s - service_s
