"""A summary of a trace: rates, burstiness, popularity, by service.

One pass; memory grows with the number of distinct users and items only.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from workloads.popularity import zipf_exponent
from workloads.trace.types import COLUMNS, Trace, TraceBlock

__all__ = ["ServiceSummary", "TraceSummary", "summarise"]

_MINUTE_S = 60.0


@dataclass(frozen=True)
class ServiceSummary:
    """One service of a trace; the figures are those of `TraceSummary`, over this service's requests."""

    service: str
    requests: int
    share: float
    mean_rate_rps: float
    peak_minute_rate_rps: float
    cv_interarrival: float
    dispersion_minute: float
    mean_items: float
    mean_bytes_in: float


@dataclass(frozen=True)
class TraceSummary:
    """What a trace looks like. NaN stands for "not defined on so few requests".

    Attributes
    ----------
    requests, duration_s, mean_rate_rps
        Rows; seconds; rows per second.
    peak_minute_rate_rps, peak_to_mean
        Rate of the busiest whole minute (of the busiest started one, over 60 s, in a shorter trace), and
        its ratio to the mean rate.
    cv_interarrival
        Standard deviation over mean of the times between requests; 1 for a Poisson stream of constant rate.
    dispersion_minute
        Variance over mean of the counts of whole minutes; 1 for a Poisson stream of constant rate.
    users, user_zipf_s, items, item_zipf_s
        Distinct users and items, and the exponent of a bounded Zipf law fitted to their counts; NaN where
        unknown.
    mean_items, mean_bytes_in
        Mean candidate items and request payload, over rows.
    services
        One entry for each service.
    """

    name: str
    source: str
    licence: str
    synthetic: bool
    scale: float
    notes: tuple[str, ...]
    requests: int
    duration_s: float
    mean_rate_rps: float
    peak_minute_rate_rps: float
    peak_to_mean: float
    cv_interarrival: float
    dispersion_minute: float
    users: int
    user_zipf_s: float
    items: int
    item_zipf_s: float
    mean_items: float
    mean_bytes_in: float
    services: tuple[ServiceSummary, ...]


def summarise(trace: Trace, progress: Callable[[int], None] | None = None) -> TraceSummary:
    """Read `trace` once and summarise it.

    Parameters
    ----------
    trace
        The trace.
    progress
        Called with the number of rows of each block read.
    """
    info = trace.info
    whole = _Times(info.duration_s)
    by_service = [_Times(info.duration_s) for _ in info.services]
    users, items = _KeyCounts(), _KeyCounts()
    for block in trace.blocks(columns=COLUMNS):
        whole.add(block, slice(None))
        for index, times in enumerate(by_service):
            times.add(block, block.service == index if len(by_service) > 1 else slice(None))
        assert block.user is not None
        assert block.item is not None
        users.add(block.user)
        items.add(block.item)
        if progress is not None:
            progress(len(block))
    mean_rate_rps = whole.requests / info.duration_s
    return TraceSummary(
        name=info.name,
        source=info.source,
        licence=info.licence,
        synthetic=info.synthetic,
        scale=info.scale,
        notes=info.notes,
        requests=whole.requests,
        duration_s=info.duration_s,
        mean_rate_rps=mean_rate_rps,
        peak_minute_rate_rps=whole.peak_rate_rps(),
        peak_to_mean=_ratio(whole.peak_rate_rps(), mean_rate_rps),
        cv_interarrival=whole.cv(),
        dispersion_minute=whole.dispersion(),
        users=len(users.counts()),
        user_zipf_s=zipf_exponent(users.counts()),
        items=len(items.counts()),
        item_zipf_s=zipf_exponent(items.counts()),
        mean_items=_ratio(whole.items, whole.requests),
        mean_bytes_in=_ratio(whole.bytes_in, whole.requests),
        services=tuple(
            ServiceSummary(
                service=service,
                requests=times.requests,
                share=_ratio(times.requests, whole.requests),
                mean_rate_rps=times.requests / info.duration_s,
                peak_minute_rate_rps=times.peak_rate_rps(),
                cv_interarrival=times.cv(),
                dispersion_minute=times.dispersion(),
                mean_items=_ratio(times.items, times.requests),
                mean_bytes_in=_ratio(times.bytes_in, times.requests),
            )
            for service, times in zip(info.services, by_service, strict=True)
        ),
    )


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else float("nan")


class _Times:
    """Running sums over one service's requests."""

    def __init__(self, duration_s: float) -> None:
        self.requests = 0
        self.items = 0
        self.bytes_in = 0
        self._whole_minutes = int(duration_s // _MINUTE_S)
        self._minutes = np.zeros(self._whole_minutes + 1, dtype=np.int64)
        self._first_s = self._last_s = float("nan")
        self._squares_s2 = 0.0

    def add(self, block: TraceBlock, keep: np.ndarray | slice) -> None:
        arrival_s = block.arrival_s[keep]
        if not len(arrival_s):
            return
        self.requests += len(arrival_s)
        self.items += int(block.items[keep].sum(dtype=np.int64))
        self.bytes_in += int(block.bytes_in[keep].sum(dtype=np.int64))
        minute = np.minimum((arrival_s / _MINUTE_S).astype(np.int64), self._whole_minutes)
        first = int(minute[0])
        counts = np.bincount(minute - first)
        self._minutes[first : first + len(counts)] += counts
        before_s = self._last_s if self.requests > len(arrival_s) else arrival_s[0]
        gaps_s = np.diff(arrival_s, prepend=before_s)
        self._squares_s2 += float(gaps_s @ gaps_s)
        if self.requests == len(arrival_s):
            self._first_s = float(arrival_s[0])
        self._last_s = float(arrival_s[-1])

    def peak_rate_rps(self) -> float:
        minutes = self._minutes[: self._whole_minutes] if self._whole_minutes else self._minutes
        return float(minutes.max()) / _MINUTE_S

    def dispersion(self) -> float:
        minutes = self._minutes[: self._whole_minutes]
        if len(minutes) < 2 or not minutes.any():
            return float("nan")
        return float(minutes.var(ddof=1) / minutes.mean())

    def cv(self) -> float:
        gaps = self.requests - 1
        if gaps < 2 or self._last_s <= self._first_s:
            return float("nan")
        mean_s = (self._last_s - self._first_s) / gaps
        return float(np.sqrt(max(self._squares_s2 / gaps - mean_s**2, 0)) / mean_s)


class _KeyCounts:
    """How often each key was seen; -1 stands for unknown and is left out.

    Keys below a limit are counted in a table, the rest as sorted pairs of key and count.
    """

    _TABLE_KEYS = 2**24

    def __init__(self) -> None:
        self._table = np.zeros(1024, dtype=np.int64)
        self._keys: list[np.ndarray] = []
        self._counts: list[np.ndarray] = []
        self._held, self._compact_at = 0, 4_000_000

    def add(self, keys: np.ndarray) -> None:
        known = keys[keys >= 0]
        if not len(known):
            return
        if known.max() >= self._TABLE_KEYS:
            self._add_pairs(known[known >= self._TABLE_KEYS])
            known = known[known < self._TABLE_KEYS]
            if not len(known):
                return
        top = int(known.max()) + 1
        if top > len(self._table):
            larger = np.zeros(max(top, 2 * len(self._table)), dtype=np.int64)
            larger[: len(self._table)] = self._table
            self._table = larger
        np.add.at(self._table, known, 1)

    def counts(self) -> np.ndarray:
        """``counts[key]`` over the distinct known keys."""
        self._compact()
        return np.concatenate([self._table[self._table > 0], *self._counts])

    def _add_pairs(self, keys: np.ndarray) -> None:
        unique, counts = np.unique(keys, return_counts=True)
        self._keys.append(unique)
        self._counts.append(counts)
        self._held += len(unique)
        if self._held > self._compact_at:
            self._compact()
            self._compact_at = max(self._compact_at, 2 * self._held)

    def _compact(self) -> None:
        if not self._keys:
            return
        unique, place = np.unique(np.concatenate(self._keys), return_inverse=True)
        counts = np.zeros(len(unique), dtype=np.int64)
        np.add.at(counts, place, np.concatenate(self._counts))
        self._keys, self._counts, self._held = [unique], [counts], len(unique)
