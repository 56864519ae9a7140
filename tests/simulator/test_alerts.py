"""Alerts: when a threshold fires and clears, worked by hand."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from simulator.monitoring.alerts import Alert, AlertRule, fired
from simulator.monitoring.series import Series

START_S = np.arange(0.0, 60.0, 10.0)
END_S = START_S + 10.0


def series(*values: float) -> Series:
    return Series("queue_requests", "requests", ("shop/rank",), np.array(values)[:, None])


def alerts(rule: AlertRule, *values: float) -> list[Alert]:
    return list(fired(rule, series(*values), START_S, END_S))


def test_fires_when_the_condition_has_held_long_enough_and_clears_after_the_next_good_interval() -> None:
    rule = AlertRule("long queue", "queue_requests", above=5.0, for_s=20.0)
    [alert] = alerts(rule, 1.0, 9.0, 7.0, 6.0, 2.0, 8.0)
    assert alert == Alert("long queue", "queue_requests", "shop/rank", 10.0, 30.0, 50.0, 9.0)


def test_one_that_still_holds_has_no_end() -> None:
    [alert] = alerts(AlertRule("low", "queue_requests", below=1.0), 3.0, 3.0, 3.0, 3.0, 0.5, 0.25)
    assert (alert.began_s, alert.fired_s, alert.ended_s, alert.worst) == (40.0, 50.0, math.inf, 0.25)


def test_unknown_values_end_a_condition() -> None:
    rule = AlertRule("long queue", "queue_requests", above=5.0, for_s=20.0)
    assert alerts(rule, 9.0, math.nan, 9.0, math.nan, 9.0, math.nan) == []


def test_labels_are_watched_each_on_its_own() -> None:
    two = Series("queue_requests", "requests", ("a", "b"), np.array([[9.0, 1.0], [1.0, 9.0]]))
    rule = AlertRule("long queue", "queue_requests", above=5.0)
    assert [alert.label for alert in fired(rule, two, START_S, END_S)] == ["a", "b"]
    only = AlertRule("long queue", "queue_requests", label="b", above=5.0)
    assert [alert.label for alert in fired(only, two, START_S, END_S)] == ["b"]


@given(st.lists(st.sampled_from([0.0, 1.0]), min_size=1, max_size=40), st.integers(0, 5))
def test_as_a_walk_over_the_intervals_finds_them(values: list[float], intervals: int) -> None:
    """Against a loop that keeps a counter, as a monitoring system does."""
    start_s = 10.0 * np.arange(len(values))
    expected, held = [], 0
    for i, value in enumerate(values):
        held = held + 1 if value > 0.5 else 0
        if held == max(intervals, 1):
            expected.append(start_s[i] + 10.0)
    rule = AlertRule("x", "s", above=0.5, for_s=10.0 * intervals)
    one = Series("s", "", ("l",), np.array(values)[:, None])
    assert [alert.fired_s for alert in fired(rule, one, start_s, start_s + 10.0)] == expected
