"""Cropped, sped up, scaled and relabelled traces."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workloads.arrivals import RateCurve, RenewalArrivals
from workloads.errors import InputError
from workloads.trace import (
    COLUMNS,
    ArrayTrace,
    GeneratedTrace,
    RelabelledTrace,
    ScaledTrace,
    SpedUpTrace,
    Stream,
    TraceInfo,
)


def base(rate_rps: float = 50.0) -> GeneratedTrace:
    info = TraceInfo("base", ("a", "b"), 1000.0, "test", "none", synthetic=True)
    curve = RateCurve.constant(rate_rps, 1000.0)
    return GeneratedTrace(info, [Stream("a", 0, RenewalArrivals(curve)), Stream("b", 1, RenewalArrivals(curve))], 1)


@settings(deadline=None)
@given(st.floats(0, 99), st.floats(0.1, 120))
def test_crop_keeps_what_lies_inside(start_s: float, length_s: float) -> None:
    info = TraceInfo("t", ("a",), 100.0, "", "", synthetic=True)
    times = np.linspace(0, 100, 401)
    whole = ArrayTrace(info, times, user=np.arange(401))
    end_s = start_s + length_s
    cropped = whole.crop(start_s, end_s)
    inside = np.flatnonzero((times >= start_s) & ((times < end_s) | (end_s > 100)))
    blocks = list(cropped.blocks(columns=COLUMNS))
    users = np.concatenate([block.user for block in blocks if block.user is not None]) if blocks else np.arange(0)
    np.testing.assert_array_equal(users, inside)
    assert cropped.info.duration_s == pytest.approx(min(end_s, 100) - start_s)
    for block in blocks:
        np.testing.assert_allclose(block.arrival_s, times[block.user] - start_s)


@pytest.mark.parametrize(("start_s", "end_s"), [(-1, 5), (5, 5), (1000, 1001), (7, 3)])
def test_impossible_crops(start_s: float, end_s: float) -> None:
    with pytest.raises(InputError, match="cannot be cropped"):
        base().crop(start_s, end_s)


def test_speed_divides_the_times() -> None:
    slow, fast = ArrayTrace.from_trace(base()), ArrayTrace.from_trace(SpedUpTrace(base(), 10))
    np.testing.assert_allclose(fast.column("arrival_s") * 10, slow.column("arrival_s"))
    assert fast.info.duration_s == 100
    with pytest.raises(InputError, match="speed"):
        SpedUpTrace(base(), 0)


@pytest.mark.parametrize("scale", [0.3, 1.0, 2.0, 2.6])
def test_scale_multiplies_the_requests(scale: float) -> None:
    rows = ArrayTrace.from_trace(base())
    scaled = ArrayTrace.from_trace(ScaledTrace(base(), scale, seed=1, spread_s=5.0))
    whole, rest = divmod(scale, 1)
    sigma = np.sqrt(len(rows) * rest * (1 - rest))
    assert len(scaled) == pytest.approx(scale * len(rows), abs=4 * sigma)
    assert scaled.info.scale == scale
    assert (np.diff(scaled.column("arrival_s")) >= 0).all()
    if whole:
        assert np.isin(rows.column("arrival_s"), scaled.column("arrival_s")).all()
    else:
        assert np.isin(scaled.column("arrival_s"), rows.column("arrival_s")).all()
    assert scaled.column("service").mean() == pytest.approx(rows.column("service").mean(), abs=0.01)


def test_scaled_rows_do_not_depend_on_the_block_size() -> None:
    scaled = ScaledTrace(base(), 1.7, seed=1)
    one, two = (np.concatenate([b.arrival_s for b in scaled.blocks(rows=rows)]) for rows in (999, 262_144))
    np.testing.assert_array_equal(one, two)


def test_services_are_renamed_and_divided() -> None:
    targets = {"a": {"home": 1.0}, "b": {"page": 3.0, "home": 1.0}}
    trace = RelabelledTrace(base(), ("page", "home", "idle"), targets, seed=1)
    before, after = ArrayTrace.from_trace(base()), ArrayTrace.from_trace(trace)
    np.testing.assert_array_equal(before.column("arrival_s"), after.column("arrival_s"))
    was_a = before.column("service") == 0
    assert set(after.column("service")[was_a]) == {1}
    share = (after.column("service")[~was_a] == 0).mean()
    assert share == pytest.approx(0.75, abs=4 * np.sqrt(0.75 * 0.25 / (~was_a).sum()))
    assert trace.info.services == ("page", "home", "idle")
    assert "b -> page 0.75, home 0.25" in trace.info.notes[-1]
