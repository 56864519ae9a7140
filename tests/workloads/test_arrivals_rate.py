"""The rate curve: its integral against quadrature, its inverse against its integral."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workloads.arrivals import Diurnal, FlashCrowd, RateCurve, Steps, Weekly, shaped_curve

RATES = st.one_of(st.just(0.0), st.floats(0.01, 1e3))


@st.composite
def curves(draw: st.DrawFn) -> RateCurve:
    size = draw(st.integers(1, 12))
    widths_s = np.array(draw(st.lists(st.floats(0.01, 1e3), min_size=size, max_size=size)))
    left = np.array(draw(st.lists(RATES, min_size=size, max_size=size)))
    right = np.array(draw(st.lists(RATES, min_size=size, max_size=size)))
    if not (left + right).any():
        left[0] = 1.0
    return RateCurve(np.concatenate([[0.0], np.cumsum(widths_s)]), left, right)


@settings(deadline=None)
@given(curves(), st.lists(st.floats(1e-9, 1), min_size=1, max_size=40))
def test_inverse_undoes_the_integral(curve: RateCurve, shares: list[float]) -> None:
    values = np.sort(np.array(shares)) * curve.total
    times_s = curve.invert(values)
    assert np.isfinite(times_s).all()
    assert (times_s >= 0).all()
    assert (times_s <= curve.duration_s).all()
    np.testing.assert_allclose(curve.integral(times_s), values, rtol=1e-9, atol=1e-9 * curve.total)


@settings(deadline=None)
@given(curves())
def test_integral_is_the_area_under_the_rate(curve: RateCurve) -> None:
    for first, last, left in zip(curve.edges_s[:-1], curve.edges_s[1:], curve.left_rps, strict=True):
        inside = first + (last - first) * (np.arange(200) + 0.5) / 200
        area = curve.rate_rps(inside).mean() * (last - first)
        np.testing.assert_allclose(
            curve.integral(last) - curve.integral(first), area, rtol=1e-6, atol=1e-9 * curve.total + 1e-12
        )
        assert curve.rate_rps(first) == pytest.approx(left)


@settings(deadline=None)
@given(curves(), st.lists(st.floats(0, 5), min_size=4, max_size=4))
def test_product_with_a_stepped_factor(curve: RateCurve, factors: list[float]) -> None:
    factor = RateCurve.steps(factors, curve.duration_s / 3.5)
    product = curve.times(factor)
    middle_s = (product.edges_s[:-1] + product.edges_s[1:]) / 2
    np.testing.assert_allclose(
        product.rate_rps(middle_s), curve.rate_rps(middle_s) * factor.rate_rps(middle_s), rtol=1e-6, atol=1e-6
    )


def test_outside_the_curve_the_rate_is_zero() -> None:
    curve = RateCurve.constant(5.0, 10.0)
    assert curve.rate_rps(np.array([-1.0, 0.0, 10.0, 10.1])).tolist() == [0, 5, 5, 0]
    assert curve.integral(99.0) == 50


@pytest.mark.parametrize("peak_to_mean", [1.0, 1.5, 2.0, 4.0, 12.0])
def test_day_has_its_mean_and_its_peak(peak_to_mean: float) -> None:
    curve = shaped_curve(10, 86_400, [Diurnal(peak_to_mean=peak_to_mean, peak_hour=20)])
    assert curve.total / 86_400 == pytest.approx(10, rel=1e-9)
    assert curve.left_rps.max() == pytest.approx(10 * peak_to_mean, rel=1e-6)
    if peak_to_mean > 1:
        assert curve.edges_s[np.argmax(curve.left_rps)] / 3600 == pytest.approx(20)


def test_cosine_day_and_its_start() -> None:
    curve = shaped_curve(10, 86_400, [Diurnal(amplitude=0.6, peak_hour=20, start_hour=18)])
    assert curve.total / 86_400 == pytest.approx(10, rel=1e-9)
    assert curve.rate_rps(2 * 3600.0) == pytest.approx(16, rel=1e-6)
    assert curve.rate_rps(14 * 3600.0) == pytest.approx(4, rel=1e-6)
    exact = 10 * (1 + 0.6 * np.cos((18 + 1.2345 - 20) * np.pi / 12))
    assert curve.rate_rps(1.2345 * 3600) == pytest.approx(exact, rel=3e-6)


def test_week_starts_on_its_day_and_keeps_its_mean() -> None:
    week = Weekly((1, 1, 1, 1, 1, 2, 3), start_day=5, start_hour=12)
    curve = shaped_curve(10, 7 * 86_400, [week])
    assert curve.total / (7 * 86_400) == pytest.approx(10)
    assert curve.rate_rps(0.0) == pytest.approx(14)
    assert curve.rate_rps(12 * 3600.0 + 1) == pytest.approx(21)
    assert curve.rate_rps(36 * 3600.0 + 1) == pytest.approx(7)


def test_steps_repeat_and_have_mean_one() -> None:
    curve = shaped_curve(10, 40, [Steps((1, 3), 10)])
    assert curve.rate_rps(np.array([5.0, 15.0, 25.0, 35.0])).tolist() == [5, 15, 5, 15]


@pytest.mark.parametrize("rise_s", [0.0, 30.0])
def test_flash_crowd_adds_its_trapezoid(rise_s: float) -> None:
    curve = shaped_curve(10, 1000, [FlashCrowd(at_s=100, rise_s=rise_s, hold_s=200, fall_s=60, factor=4)])
    extra = 10 * 3 * (rise_s / 2 + 200 + 30)
    assert curve.total == pytest.approx(10_000 + extra)
    assert curve.rate_rps(100 + rise_s + 100.0) == pytest.approx(40)
    assert curve.rate_rps(99.0) == pytest.approx(10)
    assert curve.rate_rps(100 + rise_s + 200 + 30.0) == pytest.approx(25)


def test_shapes_multiply() -> None:
    crowd = FlashCrowd(at_s=100, rise_s=10, hold_s=200, fall_s=10, factor=4)
    both = shaped_curve(10, 1000, [crowd, Steps((1, 3), 500)])
    assert both.rate_rps(200.0) == pytest.approx(20)
    assert both.rate_rps(700.0) == pytest.approx(15)


@pytest.mark.parametrize(
    ("edges_s", "rate"), [([0.0, 0.0], [1.0]), ([1.0, 2.0], [1.0]), ([0.0, 1.0], [-1.0]), ([0.0, 1.0], [np.nan])]
)
def test_impossible_curves_are_refused(edges_s: list[float], rate: list[float]) -> None:
    with pytest.raises(ValueError, match="must"):
        RateCurve(np.array(edges_s), np.array(rate), np.array(rate))
