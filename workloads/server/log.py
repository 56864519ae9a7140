"""What a run leaves behind: every request's way, packed into few bytes, and what follows from it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from workloads.server.batching import Batches, BatchRule, expected_start_s

__all__ = ["RequestLog", "RunLog", "StageLog"]

_TICKS_PER_S = 1e7


@dataclass(frozen=True)
class RequestLog:
    """``[request]`` in order of arrival: when it came, its batch began, its answer was there; units of the batch."""

    arrival_s: np.ndarray
    start_s: np.ndarray
    done_s: np.ndarray
    batch: np.ndarray


@dataclass(frozen=True)
class StageLog:
    """Batches of a stage's replicas, and ``replica[request]`` that served it."""

    replicas: tuple[Batches, ...]
    replica: np.ndarray

    def by_request(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """``start_s``, ``done_s`` and ``batch`` units, each ``[request]``."""
        start_s, done_s = np.full((2, len(self.replica)), np.nan)
        batch = np.zeros(len(self.replica), np.int64)
        for number, batches in enumerate(self.replicas):
            mine = np.flatnonzero(self.replica == number)
            start_s[mine] = np.repeat(batches.start_s, batches.requests)
            done_s[mine] = np.repeat(batches.done_s, batches.requests)
            batch[mine] = np.repeat(batches.units, batches.requests)
        return start_s, done_s, batch


@dataclass(frozen=True)
class RunLog:
    """A run: ``arrival_s[request]``, units of a request at each stage, and what each stage did."""

    arrival_s: np.ndarray
    request_units: tuple[int, ...]
    stages: tuple[StageLog, ...]

    def requests(self) -> RequestLog:
        """From the start of a request's first batch to the end of its last; ``batch`` is that of the last stage."""
        start_s = self.stages[0].by_request()[0]
        _, done_s, batch = self.stages[-1].by_request()
        return RequestLog(self.arrival_s, start_s, done_s, batch)

    def first(self, count: int) -> RunLog:
        """The first requests alone, of every stage; a batch that held later ones, too, counts without them."""
        stages = []
        for stage in self.stages:
            replica = stage.replica[:count]
            kept = (_first(each, int((replica == number).sum())) for number, each in enumerate(stage.replicas))
            stages.append(StageLog(tuple(kept), replica))
        return RunLog(self.arrival_s[:count], self.request_units, tuple(stages))

    def answered(self) -> RunLog:
        """The run up to the first request that some stage did not answer: what is whole of one that was cut short."""
        count = len(self.arrival_s)
        for stage in self.stages:
            for number, batches in enumerate(stage.replicas):
                unanswered = np.flatnonzero(stage.replica == number)[int(batches.requests.sum()) :]
                count = min([count, *unanswered[:1].tolist()])
        return self.first(count)

    def arrays(self) -> dict[str, np.ndarray]:
        """The run as small integers: ticks of 0.1 us, arrivals in whole microseconds."""
        packed = {"gap_us": _small(np.diff(np.rint(self.arrival_s * 1e6).astype(np.int64), prepend=0))}
        for s, stage in enumerate(self.stages):
            if len(stage.replicas) > 1:
                packed[f"s{s}.replica"] = stage.replica.astype(np.uint8)
            for r, batches in enumerate(stage.replicas):
                start, staged, done = (_ticks(times) for times in (batches.start_s, batches.staged_s, batches.done_s))
                packed |= {
                    f"s{s}.r{r}.requests": _small(batches.requests),
                    f"s{s}.r{r}.idle": _small(np.diff(start, prepend=0) - np.concatenate([[0], (done - start)[:-1]])),
                    f"s{s}.r{r}.staging": _small(staged - start),
                    f"s{s}.r{r}.running": _small(done - staged),
                }
        return packed

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray], request_units: tuple[int, ...]) -> RunLog:
        """A run as `arrays` packed it."""
        arrival_s = np.cumsum(arrays["gap_us"].astype(np.int64)) / 1e6
        stages = []
        for s, units in enumerate(request_units):
            count = sum(name.startswith(f"s{s}.") and name.endswith(".requests") for name in arrays)
            replica = arrays.get(f"s{s}.replica", np.zeros(len(arrival_s), np.uint8))
            stages.append(StageLog(tuple(_unpacked(arrays, f"s{s}.r{r}", units) for r in range(count)), replica))
        return cls(arrival_s, request_units, tuple(stages))

    def lateness_s(self, rules: tuple[BatchRule, ...]) -> np.ndarray:
        """How much later each batch of the first stage began than by the rule: ``[batch]``, all replicas.

        Requests count as ready when they arrived: where a router's process hands them over, its time is in it.
        """
        stage, rule, units = self.stages[0], rules[0], self.request_units[0]
        late = []
        for number, batches in enumerate(stage.replicas):
            ready_s = self.arrival_s[stage.replica == number]
            due_s = expected_start_s(ready_s, np.arange(1, len(ready_s) + 1) * units, batches, rule)
            late.append(batches.start_s - due_s)
        return np.concatenate(late)


def _first(batches: Batches, requests: int) -> Batches:
    """The batches of a replica's first requests."""
    before = np.cumsum(batches.requests) - batches.requests
    count = int(np.searchsorted(before, requests))
    kept = np.minimum(batches.requests, requests - before)[:count]
    units = batches.units[:count] // batches.requests[:count] * kept
    return Batches(kept, units, *(times[:count] for times in (batches.start_s, batches.staged_s, batches.done_s)))


def _ticks(times_s: np.ndarray) -> np.ndarray:
    """Rounded, which keeps the order of times, and of times after whole microseconds."""
    return np.asarray(np.rint(times_s * _TICKS_PER_S), np.int64)


def _small(values: np.ndarray) -> np.ndarray:
    """The smallest unsigned type that holds all values."""
    assert len(values) == 0 or values.min() >= 0, "times of a run go backwards"
    return values.astype(np.min_scalar_type(int(values.max(initial=0))))


def _unpacked(arrays: Mapping[str, np.ndarray], name: str, units: int) -> Batches:
    requests, idle, staging, running = (
        arrays[f"{name}.{part}"].astype(np.int64) for part in ("requests", "idle", "staging", "running")
    )
    done = np.cumsum(idle + staging + running)
    staged = done - running
    start = staged - staging
    return Batches(requests, requests * units, *(ticks / _TICKS_PER_S for ticks in (start, staged, done)))
