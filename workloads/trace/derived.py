"""Traces made from another trace: a part of it, other services, more or fewer requests, a faster clock."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np

from workloads.errors import InputError
from workloads.trace.generated import named_generator
from workloads.trace.types import Rows, Trace, row_count

__all__ = ["CroppedTrace", "RelabelledTrace", "ScaledTrace", "SpedUpTrace"]


def _picked(rows: Rows, keep: np.ndarray | slice) -> Rows:
    return {column: values[keep] for column, values in rows.items()}


class CroppedTrace(Trace):
    """The requests of `base` that arrive in ``[start_s, end_s)``, with times counted from `start_s`."""

    def __init__(self, base: Trace, start_s: float, end_s: float) -> None:
        last_s = base.info.duration_s
        if not (0 <= start_s < end_s and start_s < last_s):
            raise InputError(
                base.info.name,
                f"cannot be cropped to {start_s:g} s - {end_s:g} s; it lasts {last_s:g} s",
                "choose 0 <= start < end, with the start inside the trace",
            )
        self._base = base
        self._start_s, self._end_s = start_s, end_s
        note = f"cropped to {start_s:g} s - {min(end_s, last_s):g} s"
        self.info = replace(base.info, duration_s=min(end_s, last_s) - start_s, notes=(*base.info.notes, note))

    def _chunks(self, columns: tuple[str, ...]) -> Iterator[Rows]:
        for rows in self._base._chunks(columns):
            low, high = np.searchsorted(rows["arrival_s"], [self._start_s, self._end_s], side="left")
            if self._end_s > self._base.info.duration_s:
                high = row_count(rows)
            if high > low:
                part = _picked(rows, slice(low, high))
                part["arrival_s"] = np.minimum(part["arrival_s"] - self._start_s, self.info.duration_s)
                yield part
            if high < row_count(rows):
                return


class SpedUpTrace(Trace):
    """The same requests on a clock `speed` times as fast: rates times `speed`, duration divided by it."""

    def __init__(self, base: Trace, speed: float) -> None:
        if not (math.isfinite(speed) and speed > 0):
            raise InputError(base.info.name, f"speed is {speed:g}, expected above 0", "give a factor, as in 10")
        self._base, self._speed = base, speed
        note = f"clock sped up {speed:g} times"
        self.info = replace(base.info, duration_s=base.info.duration_s / speed, notes=(*base.info.notes, note))

    @property
    def expected_rows(self) -> float | None:
        """The same as the base's."""
        return self._base.expected_rows

    def _chunks(self, columns: tuple[str, ...]) -> Iterator[Rows]:
        for rows in self._base._chunks(columns):
            yield {**rows, "arrival_s": rows["arrival_s"] / self._speed}


class RelabelledTrace(Trace):
    """The same requests under other services.

    Parameters
    ----------
    base
        The trace.
    services
        Services of the new trace.
    targets
        ``targets[name] = {service: share}``: where the requests of the base's service `name` go. With
        several, each request draws its own, independently.
    seed
        For those draws.
    """

    def __init__(
        self, base: Trace, services: Sequence[str], targets: Mapping[str, Mapping[str, float]], seed: int
    ) -> None:
        self._base, self._seed = base, seed
        rows = [[float(targets[name].get(service, 0.0)) for service in services] for name in base.info.services]
        shares = np.array(rows)
        self._cumulative = np.cumsum(shares, axis=1) / shares.sum(axis=1, keepdims=True)
        self._fixed = np.argmax(shares, axis=1).astype(np.int16)
        self._is_fixed = bool(((shares > 0).sum(axis=1) == 1).all())
        moved = [_arrow(name, targets[name]) for name in base.info.services if dict(targets[name]) != {name: 1.0}]
        notes = (*base.info.notes, *(["services: " + "; ".join(moved)] if moved else []))
        self.info = replace(base.info, services=tuple(services), notes=notes)

    @property
    def expected_rows(self) -> float | None:
        """The same as the base's."""
        return self._base.expected_rows

    def _chunks(self, columns: tuple[str, ...]) -> Iterator[Rows]:
        rng = named_generator(self._seed, "services")
        for rows in self._base._chunks(columns):
            if self._is_fixed:
                service = self._fixed[rows["service"]]
            else:
                draw = rng.random(row_count(rows))
                service = (draw[:, None] >= self._cumulative[rows["service"]]).sum(axis=1).astype(np.int16)
            yield {**rows, "service": service}


def _arrow(name: str, shares: Mapping[str, float]) -> str:
    total = sum(shares.values())
    return f"{name} -> " + ", ".join(f"{service} {share / total:.3g}" for service, share in shares.items())


class ScaledTrace(Trace):
    """More or fewer requests at the same times of day.

    Each request appears ``floor(scale)`` times, and once more with the probability that is left. The first
    appearance keeps its time; each further one comes up to `spread_s` later, evenly drawn, so that copies
    do not arrive at one instant. Copies keep the user and the item, so a scale above 1 flatters caches.
    """

    def __init__(self, base: Trace, scale: float, seed: int, spread_s: float = 60.0) -> None:
        if not (math.isfinite(scale) and scale > 0):
            raise InputError(base.info.name, f"scale is {scale:g}, expected above 0", "give a factor, as in 0.5")
        self._base, self._scale, self._seed, self._spread_s = base, scale, seed, spread_s
        how = f"thinned at random to {scale:g}" if scale < 1 else f"each request {scale:g} times within {spread_s:g} s"
        notes = (*base.info.notes, how) if scale != 1 else base.info.notes
        self.info = replace(base.info, scale=base.info.scale * scale, notes=notes)

    @property
    def expected_rows(self) -> float | None:
        """The base's, times the scale."""
        rows = self._base.expected_rows
        return None if rows is None else rows * self._scale

    def _chunks(self, columns: tuple[str, ...]) -> Iterator[Rows]:
        counter = named_generator(self._seed, "copies")
        shifter = named_generator(self._seed, "shifts")
        held: Rows | None = None
        for rows in self._base._chunks(columns):
            copies = (math.floor(self._scale) + (counter.random(row_count(rows)) < self._scale % 1)).astype(np.int64)
            row = np.repeat(np.arange(len(copies)), copies)
            out = _picked(rows, row)
            is_extra = np.diff(row, prepend=-1) == 0
            out["arrival_s"][is_extra] += shifter.random(int(is_extra.sum())) * self._spread_s
            np.minimum(out["arrival_s"], self.info.duration_s, out=out["arrival_s"])
            ready, held = _release(out, held, float(rows["arrival_s"][-1]))
            if row_count(ready):
                yield ready
        if held is not None and row_count(held):
            yield held


def _release(fresh: Rows, held: Rows | None, safe_s: float) -> tuple[Rows, Rows]:
    """Split all rows at hand, in order of time, into those up to `safe_s` and the rest."""
    if held is not None:
        fresh = {column: np.concatenate([held[column], values]) for column, values in fresh.items()}
    ordered = _picked(fresh, np.argsort(fresh["arrival_s"], kind="stable"))
    cut = int(np.searchsorted(ordered["arrival_s"], safe_s, side="right"))
    return _picked(ordered, slice(0, cut)), _picked(ordered, slice(cut, None))
