"""A trace that is drawn as it is read: streams of requests, merged in order of time.

Each column of each stream has a random stream of its own, seeded by the trace's seed and the names, and is
drawn in pieces whose sizes depend on that stream alone. So the rows do not depend on which columns are
asked for, nor on the size of blocks, nor on the other streams; reading twice gives the same rows.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from workloads.arrivals import ArrivalProcess
from workloads.popularity import ZipfPopularity
from workloads.trace.types import COLUMN_TYPES, Rows, Trace, TraceInfo, add_counts, row_count

__all__ = ["GeneratedTrace", "IntRange", "Stream", "named_generator"]


@dataclass(frozen=True)
class IntRange:
    """A whole number drawn evenly from `low` to `high`, both included; a constant where they are equal."""

    low: int
    high: int

    def __post_init__(self) -> None:
        if not 0 <= self.low <= self.high < 2**31:
            raise ValueError(f"range {self.low} to {self.high}, expected 0 <= low <= high < 2**31")

    def sample(self, rng: np.random.Generator, size: int) -> np.ndarray:
        """Draw ``number[row]``, int32."""
        if self.low == self.high:
            return np.full(size, self.low, dtype=np.int32)
        span = self.high - self.low + 1
        # The high half of 32 random bits times the span; a few low halves are refused so that all numbers are equally
        # likely (Lemire 2019, "Fast random integer generation in an interval").
        bits = rng.bit_generator.random_raw(-(-size // 2)).view(np.uint32)[:size]
        product = np.multiply(bits, np.uint64(span), dtype=np.uint64)
        low_half = product.astype(np.uint32)
        product >>= np.uint64(32)
        number = product.astype(np.int32)
        number += np.int32(self.low)
        if size and low_half.min() < (least := 2**32 % span):
            refused = low_half < least
            number[refused] = rng.integers(self.low, self.high, endpoint=True, size=int(refused.sum()))
        return number


@dataclass(frozen=True, eq=False)
class Stream:
    """One stream of requests of a generated trace.

    Attributes
    ----------
    name
        Unique in the trace; seeds the stream.
    service
        Index into the trace's services.
    arrivals
        The times.
    users, catalogue
        Who asks and for which item; None leaves the column at -1, unknown.
    items, bytes_in
        Candidate items (0: the stage's own number applies) and request payload in bytes.
    """

    name: str
    service: int
    arrivals: ArrivalProcess
    users: ZipfPopularity | None = None
    catalogue: ZipfPopularity | None = None
    items: IntRange = field(default=IntRange(0, 0))
    bytes_in: IntRange = field(default=IntRange(0, 0))

    def pieces(self, seed: int, columns: tuple[str, ...]) -> Iterator[Rows]:
        """Draw the stream piece by piece."""
        generators = {column: named_generator(seed, self.name, column) for column in COLUMN_TYPES}
        for arrival_s in self.arrivals.arrivals(generators["arrival_s"]):
            rows = {"arrival_s": arrival_s}
            for column in columns:
                if column != "arrival_s":
                    rows[column] = self._draw(column, arrival_s, generators[column])
            yield rows

    def count_arrivals(self, seed: int, ends_s: np.ndarray) -> np.ndarray:
        """``[interval]`` requests; see `Trace.count_arrivals`. Draws the times only where it must."""
        found = self.arrivals.count_arrivals(named_generator(seed, self.name, "arrival_s"), ends_s)
        if found is not None:
            return found
        counts = np.zeros((1, len(ends_s)), dtype=np.int64)
        for arrival_s in self.arrivals.arrivals(named_generator(seed, self.name, "arrival_s")):
            add_counts(counts, arrival_s, None, ends_s)
        return counts[0]

    def constant(self, column: str) -> int | None:
        """The value of all the stream's rows in `column`, or None where it varies."""
        if column == "service":
            return self.service
        if column in ("items", "bytes_in"):
            numbers = self.items if column == "items" else self.bytes_in
            return numbers.low if numbers.low == numbers.high else None
        popularity = {"user": self.users, "item": self.catalogue}.get(column)
        return -1 if popularity is None and column != "arrival_s" else None

    def _draw(self, column: str, arrival_s: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        if column == "service":
            return np.full(len(arrival_s), self.service, dtype=np.int16)
        if column == "items":
            return self.items.sample(rng, len(arrival_s))
        if column == "bytes_in":
            return self.bytes_in.sample(rng, len(arrival_s))
        popularity = self.users if column == "user" else self.catalogue
        if popularity is None:
            return np.full(len(arrival_s), -1, dtype=np.int64)
        return popularity.sample(rng, arrival_s)


class GeneratedTrace(Trace):
    """A trace drawn from streams; deterministic for a seed.

    Parameters
    ----------
    info
        The trace's description; its duration covers all streams.
    streams
        What to draw; their names are unique.
    seed
        Whole number, not negative.
    """

    def __init__(self, info: TraceInfo, streams: Sequence[Stream], seed: int) -> None:
        names = [stream.name for stream in streams]
        if not streams or len(set(names)) != len(names):
            raise ValueError(f"streams need unique names, got {names}")
        for stream in streams:
            if not 0 <= stream.service < len(info.services):
                raise ValueError(f"stream {stream.name!r} has service {stream.service} of {len(info.services)}")
            if stream.arrivals.duration_s > info.duration_s * (1 + 1e-12):
                raise ValueError(f"stream {stream.name!r} lasts longer than the trace's {info.duration_s} s")
        if seed < 0:
            raise ValueError(f"seed is {seed}, expected 0 or above")
        self.info = info
        self.streams = tuple(streams)
        self.seed = seed

    @property
    def expected_rows(self) -> float:
        """Expected number of rows."""
        return sum(stream.arrivals.mean_rate_rps * stream.arrivals.duration_s for stream in self.streams)

    def rate_rps(self, time_s: np.ndarray) -> np.ndarray:
        """Expected rate ``rate_rps[service, time]`` at ``time_s[time]``."""
        times = np.asarray(time_s, dtype=np.float64)
        rates = np.zeros((len(self.info.services), len(times)))
        for stream in self.streams:
            rates[stream.service] += stream.arrivals.rate_rps(times)
        return rates

    def count_arrivals(self, ends_s: np.ndarray) -> np.ndarray:
        """Requests by service and interval; see `Trace.count_arrivals`."""
        counts = np.zeros((len(self.info.services), len(ends_s)), dtype=np.int64)
        for stream in self.streams:
            counts[stream.service] += stream.count_arrivals(self.seed, ends_s)
        return counts

    def _chunks(self, columns: tuple[str, ...]) -> Iterator[Rows]:
        constant = {name: value for name in columns if (value := self._constant(name)) is not None}
        drawn = tuple(name for name in columns if name not in constant)
        sources = [stream.pieces(self.seed, drawn) for stream in self.streams]
        room = 0
        filled: Rows = {}
        for rows in sources[0] if len(sources) == 1 else _merged(sources):
            size = row_count(rows)
            if size > room:
                room = size + size // 4
                filled = {name: np.full(room, value, COLUMN_TYPES[name]) for name, value in constant.items()}
            yield rows | {name: values[:size] for name, values in filled.items()}

    def _constant(self, column: str) -> int | None:
        """The value that all rows of a column have, if there is one; such a column need not be merged."""
        values = {stream.constant(column) for stream in self.streams}
        return values.pop() if len(values) == 1 else None


def named_generator(seed: int, *names: str) -> np.random.Generator:
    """The random generator that belongs to a seed and a name, whatever else is drawn."""
    digest = hashlib.sha256("\0".join(names).encode()).digest()
    words = np.frombuffer(digest, dtype="<u4").tolist()
    return np.random.default_rng(np.random.SeedSequence([seed, *words]))


def _merged(sources: Sequence[Iterator[Rows]]) -> Iterator[Rows]:
    """Merge streams by time; at equal times the earlier stream goes first.

    Everything up to the earliest of the streams' last known times is complete, so it can be put in order
    and handed on.
    """
    live: list[tuple[Rows, Iterator[Rows]]] = []
    for source in sources:
        piece = next(source, None)
        if piece is not None:
            live.append((piece, source))
    while live:
        horizon_s = min(float(piece["arrival_s"][-1]) for piece, _ in live)
        ready: list[Rows] = []
        after: list[tuple[Rows, Iterator[Rows]]] = []
        for piece, source in live:
            cut = int(np.searchsorted(piece["arrival_s"], horizon_s, side="right"))
            if cut:
                ready.append({column: values[:cut] for column, values in piece.items()})
            rest: Rows | None = {column: values[cut:] for column, values in piece.items()}
            if cut == row_count(piece):
                rest = next(source, None)
            if rest is not None:
                after.append((rest, source))
        yield _in_order(ready)
        live = after


def _in_order(pieces: list[Rows]) -> Rows:
    if len(pieces) == 1:
        return pieces[0]
    joined = {column: np.concatenate([piece[column] for piece in pieces]) for column in pieces[0]}
    # A stable sort of floats is a merge sort that takes the sorted runs as they are.
    order = np.argsort(joined["arrival_s"], kind="stable")
    return {column: values[order] for column, values in joined.items()}
