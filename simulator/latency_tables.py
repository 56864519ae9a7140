"""From profiles to the flat latency tables of the kernel: one table per variant and node type."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from simulator.kernel.interference import INTERFERENCE, Interferences
from simulator.kernel.latency import LEVEL_CELLS, SIZE_CELLS
from simulator.kernel.state import TABLE, Latencies
from workloads.interpolation import interpolate
from workloads.profile import ModelProfile

__all__ = [
    "Interference", "LatencyTable", "best_throughput", "flatten", "flatten_interference", "mean_over_quantiles",
]  # fmt: skip


@dataclass(frozen=True)
class Interference:
    """How much longer a batch takes while other replicas of the same device run.

    Attributes
    ----------
    replicas
        Counts of replicas that ran at once, ascending from 2 or more.
    batch_sizes
        ``float64[size]``, ascending, in the profile's unit.
    slowdown
        ``float64[count, size]`` mean latency together over alone.
    takes_turns
        Whether batches of the device run one after another, as on a GPU that gives its processes slices of time
        (``docs/request-path.md``, step 8), instead of all at once.
    turn_s, turn_waiting_s
        Where they do, what a batch takes longer after one of another replica that had ended, and that it waited for:
        the device changes from one process to the other.
    """

    replicas: tuple[int, ...]
    batch_sizes: np.ndarray
    slowdown: np.ndarray
    takes_turns: bool = False
    turn_s: float = 0.0
    turn_waiting_s: float = 0.0

    @classmethod
    def measured(cls, profile: ModelProfile) -> Interference | None:
        """What a profile measured; None where it did not."""
        part = (profile.document or {}).get("interference")
        if part is None:
            return None
        return cls(
            tuple(part["replicas"]),
            np.array(part["batch_sizes"], np.float64),
            np.array(part["slowdown"], np.float64),
            part.get("takes_turns", False),
            part.get("turn_s", 0.0),
            part.get("turn_waiting_s", 0.0),
        )

    @classmethod
    def time_slices(cls) -> Interference:
        """An assumption where nothing was measured: ``m`` replicas take turns, each batch ``m`` times as long."""
        return cls((2,), np.ones(1), np.full((1, 1), 2.0))


@dataclass(frozen=True)
class LatencyTable:
    """Latency of one variant on one node type.

    Attributes
    ----------
    batch_sizes
        ``int64[size]``, ascending, in the profile's unit.
    levels
        ``float64[level]`` quantile levels from 0 to 1; a single level means no noise.
    latency_s
        ``float64[size, level]``.
    cores_busy
        ``float64[size]`` host CPU cores at work while a batch runs.
    weight
        Throughput of the best batch, in whatever unit all tables of a stage share (`best_throughput`).
    interference
        Of replicas on one device; None where they do not slow one another down.
    cold_s, cold_after_s
        A batch that begins ``idle_s`` after the one before it takes ``cold_s * (1 - exp(-idle_s / cold_after_s))``
        longer: caches have gone cold. 0: none does.
    """

    batch_sizes: np.ndarray
    levels: np.ndarray
    latency_s: np.ndarray
    cores_busy: np.ndarray
    weight: float = 1.0
    interference: Interference | None = None
    cold_s: float = 0.0
    cold_after_s: float = 1e-3

    def scaled(self, speed: float) -> LatencyTable:
        """The same on a device ``speed`` times as fast; the host works as long as the batch takes."""
        return replace(self, latency_s=self.latency_s / speed, weight=self.weight * speed, cold_s=self.cold_s / speed)

    def mean_s(self, units: np.ndarray) -> np.ndarray:
        """Mean latency of batches of these units, of a warm machine that the batch has for itself."""
        return interpolate(self.batch_sizes, mean_over_quantiles(self), units)

    def without_noise(self, mean_s: np.ndarray) -> LatencyTable:
        """Every batch takes its measured mean ``mean_s[size]``."""
        return replace(self, levels=np.zeros(1), latency_s=mean_s.reshape(-1, 1))


def mean_over_quantiles(table: LatencyTable) -> np.ndarray:
    """Mean latency ``[size]`` of what the kernel draws: the integral of the piecewise linear quantile function."""
    if len(table.levels) == 1:
        return table.latency_s[:, 0].copy()
    return np.trapezoid(table.latency_s, table.levels, axis=1)


def best_throughput(batch_sizes: np.ndarray, mean_s: np.ndarray, max_batch: int) -> float:
    """Units a second of the best batch up to the cap, of ``batch_sizes[size]`` that take ``mean_s[size]``.

    The mean is linear between measured sizes, so that the best batch is a measured one or the cap itself (of which the
    smallest size's latency is the least).

    Examples
    --------
    >>> best_throughput(np.array([1, 8]), np.array([1.0, 2.0]), 4)
    2.8
    """
    if max_batch <= batch_sizes[0]:
        return float(max_batch / mean_s[0])
    inside = batch_sizes <= max_batch
    at_cap = np.interp(min(max_batch, batch_sizes[-1]), batch_sizes, mean_s)
    return float(max((batch_sizes[inside] / mean_s[inside]).max(), min(max_batch, batch_sizes[-1]) / at_cap))


def flatten_interference(tables: Sequence[LatencyTable]) -> Interferences:
    """Lay the tables' measured slowdowns end to end for the kernel."""
    known = [t.interference for t in tables]
    parts = [part for part in known if part is not None]
    structs = np.zeros(len(tables), INTERFERENCE)
    structs["counts"] = [0 if part is None else len(part.replicas) for part in known]
    structs["sizes"] = [0 if part is None else len(part.batch_sizes) for part in known]
    structs["takes_turns"] = [part is not None and part.takes_turns for part in known]
    structs["turn_s"] = [0.0 if part is None else part.turn_s for part in known]
    structs["turn_waiting_s"] = [0.0 if part is None else part.turn_waiting_s for part in known]
    structs["count_offset"] = _offsets(structs["counts"])
    structs["size_offset"] = _offsets(structs["sizes"])
    structs["slowdown_offset"] = _offsets(structs["counts"] * structs["sizes"])
    return Interferences(
        table=structs,
        replicas=np.array([m for part in parts for m in part.replicas], np.int64),
        batch_size=np.concatenate([np.zeros(0), *(part.batch_sizes for part in parts)]),
        slowdown=np.concatenate([np.zeros(0), *(part.slowdown.ravel() for part in parts)]),
    )


def _offsets(lengths: np.ndarray) -> np.ndarray:
    return np.cumsum(lengths) - lengths


def _cells(values: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """Index of the largest value up to each cell's start, but for the last value; 0 where there is none."""
    below = np.searchsorted(values, starts, side="right") - 1
    return np.clip(below, 0, max(len(values) - 2, 0)).astype(np.int32)


def flatten(tables: Sequence[LatencyTable]) -> tuple[np.ndarray, Latencies]:
    """Lay the tables end to end for the kernel: the structs that point into them, and the numbers."""
    structs = np.zeros(len(tables), TABLE)
    structs["sizes"] = [len(t.batch_sizes) for t in tables]
    structs["levels"] = [len(t.levels) for t in tables]
    structs["size_offset"] = _offsets(structs["sizes"])
    structs["level_offset"] = _offsets(structs["levels"])
    structs["latency_offset"] = _offsets(structs["sizes"] * structs["levels"])
    structs["row"] = np.arange(len(tables))
    structs["cold_s"] = [t.cold_s for t in tables]
    structs["cold_after_s"] = [t.cold_after_s for t in tables]
    level_starts = np.arange(LEVEL_CELLS + 1) / LEVEL_CELLS
    eighths = np.arange(SIZE_CELLS + 1)
    size_starts = 2.0 ** (eighths // 8) * (1 + eighths % 8 / 8)
    return structs, Latencies(
        batch_size=np.concatenate([t.batch_sizes for t in tables]).astype(np.int64),
        cores_busy=np.concatenate([t.cores_busy for t in tables]).astype(np.float64),
        level=np.concatenate([t.levels for t in tables]).astype(np.float64),
        latency_s=np.concatenate([t.latency_s.ravel() for t in tables]).astype(np.float64),
        level_cell=np.array([_cells(t.levels, level_starts) for t in tables]),
        size_cell=np.array([_cells(t.batch_sizes, size_starts) for t in tables]),
    )
