"""Generated traces: the same rows however they are read, and flat memory."""

import hashlib
import os
import subprocess
import sys
import tracemalloc

import numpy as np
import pytest

from workloads.arrivals import CountArrivals, Diurnal, RateCurve, RenewalArrivals, shaped_curve
from workloads.popularity import ZipfPopularity
from workloads.trace import COLUMNS, ArrayTrace, GeneratedTrace, IntRange, Stream, Trace, TraceInfo

DAY_S = 86_400.0


def info(*services: str, duration_s: float = DAY_S) -> TraceInfo:
    return TraceInfo("made", services, duration_s, "test", "none", synthetic=True)


def streams() -> list[Stream]:
    day = shaped_curve(0.5, DAY_S, [Diurnal(peak_to_mean=3.0)])
    users, catalogue = ZipfPopularity(1000, 0.7), ZipfPopularity(300, 0.9, 50)
    return [
        Stream("home", 0, RenewalArrivals(day), users, catalogue, IntRange(10, 500), IntRange(100, 2000)),
        Stream("page", 1, RenewalArrivals(RateCurve.constant(0.3, DAY_S), 2.5), users, None, IntRange(7, 7)),
        Stream("replay", 1, CountArrivals(np.arange(1440) % 40, 60.0), None, catalogue),
    ]


def made(seed: int = 3) -> GeneratedTrace:
    return GeneratedTrace(info("a", "b"), streams(), seed)


def digest(trace: Trace, rows: int = 262_144) -> str:
    blocks = list(trace.blocks(columns=COLUMNS, rows=rows))
    sums = hashlib.sha256()
    for column in COLUMNS:
        sums.update(np.concatenate([getattr(block, column) for block in blocks]).tobytes())
    return sums.hexdigest()


def test_rows_do_not_depend_on_block_size_or_on_being_read_before() -> None:
    trace = made()
    assert len({digest(trace, rows) for rows in (1000, 17_777, 262_144, 262_144)}) == 1
    assert digest(trace) == digest(made())
    assert digest(made(4)) != digest(trace)


def test_rows_do_not_depend_on_the_columns_asked_for() -> None:
    whole = ArrayTrace.from_trace(made())
    for extra in ((), ("user",), ("item",)):
        blocks = list(made().blocks(columns=extra, rows=5000))
        for column in ("arrival_s", "service", "items", "bytes_in", *extra):
            np.testing.assert_array_equal(np.concatenate([getattr(b, column) for b in blocks]), whole.column(column))


def test_rows_are_the_same_in_another_process_with_another_hash_seed() -> None:
    code = "from tests.workloads.test_trace_generated import digest, made; print(digest(made()))"
    outputs = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        for seed in ("1", "77")
    }
    assert outputs == {digest(made())}


def test_another_stream_disturbs_none() -> None:
    both = ArrayTrace.from_trace(made())
    alone = ArrayTrace.from_trace(GeneratedTrace(info("a", "b"), streams()[:1], 3))
    ours = both.column("service") == 0
    for column in COLUMNS:
        np.testing.assert_array_equal(both.column(column)[ours], alone.column(column))


def test_merged_rows_are_in_order_and_all_there() -> None:
    trace = made()
    arrival_s = ArrayTrace.from_trace(trace).column("arrival_s")
    assert (np.diff(arrival_s) >= 0).all()
    parts = [len(ArrayTrace.from_trace(GeneratedTrace(info("a", "b"), [one], 3))) for one in streams()]
    assert len(arrival_s) == sum(parts)
    assert len(arrival_s) == pytest.approx(trace.expected_rows, rel=0.02)


def test_many_slow_and_one_fast_stream() -> None:
    slow = [Stream(f"s{k}", 0, RenewalArrivals(RateCurve.constant(0.001, 1000))) for k in range(40)]
    fast = Stream("fast", 1, RenewalArrivals(RateCurve.constant(100, 1000)))
    trace = ArrayTrace.from_trace(GeneratedTrace(info("a", "b", duration_s=1000), [*slow, fast], 1))
    assert len(trace) == pytest.approx(100_040, rel=0.02)
    assert (trace.column("service") == 0).sum() < 80


def test_columns_are_drawn_as_told() -> None:
    trace = ArrayTrace.from_trace(made())
    home = trace.column("service") == 0
    items, bytes_in, users = (trace.column(name)[home] for name in ("items", "bytes_in", "user"))
    assert (items.min(), items.max()) == (10, 500)
    assert items.mean() == pytest.approx(255, rel=0.02)
    assert bytes_in.mean() == pytest.approx(1050, rel=0.02)
    assert users.min() >= 0
    assert users.max() < 1000
    assert set(trace.column("items")[~home].tolist()) == {0, 7}
    assert (trace.column("user")[~home] == -1).any()


def test_expected_rate_by_service() -> None:
    rates = made().rate_rps(np.array([30.0, 20 * 3600.0]))
    assert rates.shape == (2, 2)
    assert rates[0, 1] == pytest.approx(1.5, rel=1e-3)
    assert rates[1, 0] == pytest.approx(0.3)


def test_memory_does_not_grow_with_the_trace() -> None:
    def peak_bytes(rate_rps: float) -> int:
        day = [Diurnal(peak_to_mean=2.0)]
        parts = [Stream(f"s{k}", k, RenewalArrivals(shaped_curve(rate_rps, DAY_S, day))) for k in range(2)]
        trace = GeneratedTrace(info("a", "b"), parts, 1)
        tracemalloc.start()
        for _ in trace.blocks(rows=50_000):
            pass
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return peak

    short, long = peak_bytes(6.0), peak_bytes(30.0)
    assert long < 1.2 * short
    assert long < 30e6


@pytest.mark.parametrize(
    ("parts", "seed", "message"),
    [
        ([], 1, "unique names"),
        ([streams()[0], streams()[0]], 1, "unique names"),
        ([Stream("x", 5, RenewalArrivals(RateCurve.constant(1, 10)))], 1, "service 5 of 2"),
        ([Stream("x", 0, RenewalArrivals(RateCurve.constant(1, 1e6)))], 1, "longer than the trace"),
        (streams(), -1, "seed is -1"),
    ],
)
def test_impossible_traces_are_refused(parts: list[Stream], seed: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        GeneratedTrace(info("a", "b"), parts, seed)


@pytest.mark.parametrize("interval_s", [10.0, 60.0, 7.3, 86_400.0])
def test_counting_arrivals_is_counting_rows(interval_s: float) -> None:
    trace = made()
    ends_s = np.append(np.arange(interval_s, DAY_S, interval_s), DAY_S)
    np.testing.assert_array_equal(trace.count_arrivals(ends_s), Trace.count_arrivals(trace, ends_s))


def test_whole_numbers_are_evenly_drawn() -> None:
    """Also where a third of all 32-bit numbers must be refused, and over the whole range."""
    rng = np.random.default_rng(5)
    for low, high in ((0, 6), (3, 3 * 2**29 - 1), (0, 2**31 - 1)):
        drawn = IntRange(low, high).sample(rng, 200_001)
        assert drawn.dtype == np.int32
        assert drawn.min() >= low
        assert drawn.max() <= high
        observed = np.histogram(drawn, np.linspace(low, high + 1, 8))[0]
        assert ((observed - 200_001 / 7) ** 2 / (200_001 / 7)).sum() < 24  # chi-squared, 6 degrees: 0.9995
    assert IntRange(2, 4).sample(rng, 0).tolist() == []
