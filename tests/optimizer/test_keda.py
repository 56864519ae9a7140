"""KEDA's rules: cron windows against a slow oracle, activation, and the triggers that its HPA reads."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime, timedelta
from itertools import product
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optimizer.autoscalers.hpa.metrics import Source, Target, Total
from optimizer.autoscalers.hpa.usage import PodUsage
from optimizer.autoscalers.keda import (
    Activation,
    Pods,
    ScaledObject,
    Threshold,
    Utilisation,
    hpa_of,
    poll,
    reading,
    value_of,
)
from optimizer.autoscalers.keda_cron import CronWindow, Schedule, next_after, parse_schedule

BERLIN = ZoneInfo("Europe/Berlin")
NOON = datetime(2026, 7, 15, 12, 0, tzinfo=UTC)  # a Wednesday


def slow_next(schedule: Schedule, zone: ZoneInfo, moment: datetime) -> datetime:
    """Minute by minute in UTC."""
    time = moment.replace(second=0, microsecond=0) + timedelta(minutes=1)
    while True:
        local = time.astimezone(zone)
        if schedule.matches(local.date()) and local.hour in schedule.hours and local.minute in schedule.minutes:
            return time
        time += timedelta(minutes=1)


@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from(
        ["0 6 * * *", "*/20 8-9 * * 1-5", "30 2 * * *", "15 1,3 * * sun", "5 */7 1-31/9 * *", "0 0 13 * 5"]
    ),
    st.sampled_from(["UTC", "Europe/Berlin", "Asia/Kolkata", "America/New_York"]),
    st.datetimes(datetime(2026, 3, 25), datetime(2026, 4, 2))
    | st.datetimes(datetime(2026, 10, 22), datetime(2026, 11, 2)),
)
def test_next_time_is_that_of_going_through_every_minute(text: str, zone: str, moment: datetime) -> None:
    schedule, where, moment = parse_schedule(text), ZoneInfo(zone), moment.replace(tzinfo=UTC)
    assert next_after(schedule, where, moment) == slow_next(schedule, where, moment)


def test_days_are_either_where_both_are_restricted() -> None:
    either, both, stepped = (parse_schedule(f"0 0 {days}") for days in ("13 * 5", "13 * *", "13 * */2"))
    days = [datetime(2026, 2, day).date() for day in range(1, 29)]
    assert [day.day for day in days if either.matches(day)] == [6, 13, 20, 27]
    assert [day.day for day in days if both.matches(day)] == [13]
    assert [day.day for day in days if stepped.matches(day)] == [
        day.day for day in days if day.isoweekday() % 7 % 2 == 0 or day.day == 13
    ]


def test_a_schedule_that_never_comes() -> None:
    assert next_after(parse_schedule("0 0 30 2 *"), BERLIN, NOON) is None


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("0 6 * *", "has 4 fields"),
        ("60 6 * * *", "'60' is no minute from 0 to 59"),
        ("0 6 * * 7", "'7' is no day of week from 0 to 6"),
        ("0 6 * foo *", "'foo' is no month"),
        ("0 9-8 * * *", "runs backwards"),
        ("*/0 * * * *", "'0' is no step of minute"),
        ("@daily", "has 1 fields"),
        ("0 ² * * *", "is no hour"),
    ],
)
def test_bad_schedules(text: str, told: str) -> None:
    with pytest.raises(ValueError, match=re.escape(told)):
        parse_schedule(text)


def window(start: str, end: str, zone: ZoneInfo = BERLIN, replicas: int = 10) -> CronWindow:
    return CronWindow(parse_schedule(start), parse_schedule(end), zone, replicas)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 23), st.integers(0, 23), st.lists(st.integers(0, 5000), min_size=1, max_size=10))
def test_a_daily_window_is_its_hours(first: int, last: int, minutes: list[int]) -> None:
    trigger = window(f"0 {first} * * *", f"0 {last} * * *")
    for minute in sorted(minutes):
        moment = NOON + timedelta(minutes=minute)
        hour = moment.astimezone(BERLIN).hour
        inside = first <= hour < last if first < last else not last <= hour < first
        assert trigger.is_active(moment) == (inside or first == last)
    if first == last:
        return
    assert trigger.is_active(NOON) == window(f"0 {first} * * *", f"0 {last} * * *").is_active(NOON)  # backwards in time


def test_cron_asks_for_its_replicas_inside_and_for_one_outside() -> None:
    trigger = window("0 6 * * *", "0 20 * * *")
    assert value_of(trigger, {}, NOON) == (10.0, True)
    assert value_of(trigger, {}, NOON + timedelta(hours=10)) == (1.0, False)


def test_a_threshold_is_active_above_its_activation() -> None:
    trigger = Threshold("waiting", 5.0, activation=2.0)
    assert value_of(trigger, {"waiting": 2.0}, NOON) == (2.0, False)
    assert value_of(trigger, {"waiting": 2.1}, NOON) == (2.1, True)
    assert value_of(Utilisation(60.0), {}, NOON) == (0.0, False)


def scaled(**changes: float | int | None) -> ScaledObject:
    return ScaledObject(triggers=(Threshold("waiting", 5.0),), **changes)  # type: ignore[arg-type]


def test_activation_brings_the_least_number_at_once() -> None:
    assert poll(scaled(), Activation(0), 30.0, is_active=True) == Activation(1, 30.0)
    assert poll(scaled(least=4, idle=0), Activation(0), 30.0, is_active=True) == Activation(4, 30.0)
    assert poll(scaled(), Activation(7), 30.0, is_active=True) == Activation(7, 30.0)


def test_the_last_replicas_go_after_the_cool_down() -> None:
    active = Activation(3, 100.0)
    assert poll(scaled(), active, 400.0, is_active=False) == active  # just 300 s ago: not yet
    assert poll(scaled(), active, 400.1, is_active=False) == Activation(0, 100.0)
    assert poll(scaled(least=2), active, 900.0, is_active=False) == active  # the HPA's business
    assert poll(scaled(least=2, idle=0), active, 900.0, is_active=False) == Activation(0, 100.0)


def test_what_was_never_active_goes_after_the_first_cool_down() -> None:
    assert poll(scaled(), Activation(3), 30.0, is_active=False) == Activation(0)
    late = scaled(initial_cooldown_s=120.0)
    assert [poll(late, Activation(3), t, is_active=False).replicas for t in (30.0, 120.0, 121.0)] == [3, 3, 0]


@given(st.integers(0, 9), st.none() | st.just(0), st.lists(st.booleans(), max_size=60))
def test_polls_alone_keep_to_rest_and_least(least: int, idle: int | None, active: list[bool]) -> None:
    if idle is not None and least == 0:
        idle = None
    what, state = scaled(least=least, idle=idle, cooldown_s=90.0), Activation(least)
    for i, is_active in enumerate(active, 1):
        state = poll(what, state, 30.0 * i, is_active=is_active)
        assert state.replicas in (max(1, least), least if idle is None else idle)
        if is_active:
            assert state.replicas == max(1, least)
        if not any(active[max(0, i - 4) : i]):
            assert state.replicas == (least if idle is None else idle)


def test_the_hpa_that_keda_makes() -> None:
    triggers = (window("0 6 * * *", "0 20 * * *"), Threshold("waiting", 2.5, is_average=False), Utilisation(60.0))
    spec = hpa_of(ScaledObject(triggers=triggers, most=9))
    assert (spec.bounds.least, spec.bounds.most) == (1, 9)
    assert [(metric.source, metric.target, metric.amount) for metric in spec.metrics] == [
        (Source.EXTERNAL, Target.AVERAGE_VALUE, 1000),
        (Source.EXTERNAL, Target.VALUE, 2500),
        (Source.RESOURCE, Target.UTILISATION, 60.0),
    ]


def test_readings() -> None:
    pods = Pods(ready=3, busy=0.5, unready=2)
    assert reading(Threshold("waiting", 5.0), 7.25, pods) == Total(7250, 3)
    assert reading(Utilisation(60.0), 0.0, pods) == PodUsage(3, 1500, 3000, 2, 2000)
    unknown = reading(Utilisation(60.0), 0.0, Pods(ready=3, busy=math.nan, unready=0))
    assert unknown == PodUsage(0, 0, 0, missing_request_milli=(1000,) * 3)


def test_every_minute_of_a_day_is_in_one_of_two_complementary_windows() -> None:
    day, night = window("30 7 * * *", "0 19 * * *"), window("0 19 * * *", "30 7 * * *")
    for hour, minute in product(range(24), (0, 29, 30, 59)):
        moment = NOON.replace(hour=hour, minute=minute)
        assert day.is_active(moment) != night.is_active(moment)
