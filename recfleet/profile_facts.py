"""One profile as a row: latency and throughput at two batch sizes, memory, accuracy, cost."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from recfleet.price_list import usd_per_hour, usd_per_million
from workloads.interpolation import leave_one_out_error
from workloads.profile import ModelProfile

__all__ = ["ProfileFacts", "cheapest", "facts_of"]


@dataclass(frozen=True)
class ProfileFacts:
    """What a table of profiles shows of one.

    Attributes
    ----------
    name, model, variant, stage, unit, device, precision, mode
        As the profile has them.
    one_p50_ms, one_p99_ms
        Latency of the smallest measured batch.
    best_batch
        The measured batch size with most throughput, among those whose 99th percentile keeps the limit; 0 where none.
    best_p50_ms, best_p99_ms, units_per_s
        Latency and throughput there, batches back to back.
    memory_bytes
        Of one replica, on the device; of the host on a CPU.
    load_s
        From weights on disk to the first answer.
    usd_per_hour, usd_per_million
        Price of what a replica claims; of a million units at that throughput. NaN where the device has no price.
    joules_per_unit
        Of the device there; NaN where not measured.
    interpolation_median, interpolation_worst, interpolation_worst_batch
        Relative error of the median latency at inner sizes when each is left out.
    accuracy, accuracy_data
        Metrics of these weights, and the data; empty where weights are random.
    """

    name: str
    model: str
    variant: str
    stage: str
    unit: str
    device: str
    precision: str
    mode: str
    one_p50_ms: float
    one_p99_ms: float
    best_batch: int
    best_p50_ms: float
    best_p99_ms: float
    units_per_s: float
    memory_bytes: int
    load_s: float
    usd_per_hour: float
    usd_per_million: float
    joules_per_unit: float
    interpolation_median: float
    interpolation_worst: float
    interpolation_worst_batch: int
    accuracy: Mapping[str, float]
    accuracy_data: str

    def as_dict(self) -> dict[str, Any]:
        """For JSON: None in place of NaN."""
        return {k: None if isinstance(v, float) and math.isnan(v) else v for k, v in asdict(self).items()}


def facts_of(profile: ModelProfile, prices: Mapping[str, float], within_ms: float = math.inf) -> ProfileFacts:
    """The row of one profile.

    Parameters
    ----------
    profile
        What was measured.
    prices
        Dollars an hour by device; see `recfleet.price_list`.
    within_ms
        Only batch sizes whose 99th percentile is at most that count as best.
    """
    p50_ms, p99_ms = profile.quantile_s(0.5) * 1e3, profile.quantile_s(0.99) * 1e3
    per_s = np.where(p99_ms <= within_ms, profile.throughput_per_s(), 0.0)
    best = int(per_s.argmax())
    found = bool(per_s[best] > 0)
    error = leave_one_out_error(profile)
    return ProfileFacts(
        name=profile.name,
        model=profile.model,
        variant=profile.variant,
        stage=profile.stage,
        unit=profile.unit,
        device=profile.device,
        precision=profile.precision,
        mode=profile.mode,
        one_p50_ms=float(p50_ms[0]),
        one_p99_ms=float(p99_ms[0]),
        best_batch=int(profile.batch_sizes[best]) if found else 0,
        best_p50_ms=float(p50_ms[best]) if found else math.nan,
        best_p99_ms=float(p99_ms[best]) if found else math.nan,
        units_per_s=float(per_s[best]),
        memory_bytes=profile.device_memory_bytes or profile.host_memory_bytes,
        load_s=profile.load_s,
        usd_per_hour=usd_per_hour(profile, prices),
        usd_per_million=usd_per_million(profile, prices, float(per_s[best])) if found else math.nan,
        joules_per_unit=float(profile.energy_j_per_unit()[best]) if found else math.nan,
        interpolation_median=error.median,
        interpolation_worst=error.worst,
        interpolation_worst_batch=error.worst_batch_size,
        accuracy=dict(profile.accuracy),
        accuracy_data=profile.accuracy_data,
    )


def cheapest(rows: Iterable[ProfileFacts]) -> dict[tuple[str, str, str], dict[str, ProfileFacts]]:
    """By model, variant and data, for each device the row whose million costs least; rows without a price left out."""
    found: dict[tuple[str, str, str], dict[str, ProfileFacts]] = {}
    for row in rows:
        if math.isnan(row.usd_per_million):
            continue
        by_device = found.setdefault((row.model, row.variant, row.accuracy_data), {})
        if row.device not in by_device or row.usd_per_million < by_device[row.device].usd_per_million:
            by_device[row.device] = row
    return found
