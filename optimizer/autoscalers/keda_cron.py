"""KEDA's cron trigger: windows of time from a start to an end, each a cron schedule in a time zone.

Rules: KEDA documentation, "Cron" scaler; five fields (minute, hour, day of month, month, day of week) as its parser
takes them: lists, ranges, steps and English names, Sunday is 0. Where both day fields are restricted, either may match.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cached_property
from zoneinfo import ZoneInfo

__all__ = ["CronWindow", "Schedule", "next_after", "parse_schedule"]

YEARS_AHEAD = 5
"""A schedule without a match in so many years never matches."""

_MONTH_NAMES = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_MONTHS = {name: number for number, name in enumerate(_MONTH_NAMES, 1)}
_WEEKDAYS = {"sun": 0, "mon": 1, "tue": 2, "wed": 3, "thu": 4, "fri": 5, "sat": 6}
_FIELDS: tuple[tuple[str, int, int, dict[str, int]], ...] = (
    ("minute", 0, 59, {}),
    ("hour", 0, 23, {}),
    ("day of month", 1, 31, {}),
    ("month", 1, 12, _MONTHS),
    ("day of week", 0, 6, _WEEKDAYS),
)


@dataclass(frozen=True)
class Schedule:
    """Sets of allowed values; ``any_day`` and ``any_weekday`` where the field is not restricted."""

    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    any_day: bool
    any_weekday: bool

    def matches(self, day: date) -> bool:
        """Whether the schedule has times on a day."""
        on_day, on_weekday = day.day in self.days, day.isoweekday() % 7 in self.weekdays
        unrestricted = self.any_day or self.any_weekday
        return day.month in self.months and ((on_day and on_weekday) if unrestricted else (on_day or on_weekday))


def parse_schedule(text: str) -> Schedule:
    """A schedule from its five fields.

    Raises
    ------
    ValueError
        That says which field is wrong.
    """
    parts = text.split()
    if len(parts) != len(_FIELDS):
        raise ValueError(f"{text!r} has {len(parts)} fields, not 5 (minute hour day month weekday)")
    minutes, hours, days, months, weekdays = (_values(part, *field) for part, field in zip(parts, _FIELDS))
    return Schedule(
        tuple(sorted(minutes)), tuple(sorted(hours)), days, months, weekdays, _is_any(parts[2]), _is_any(parts[4])
    )


def _is_any(part: str) -> bool:
    return part.partition("/")[0] in ("*", "?") and part.partition("/")[2] in ("", "1")


def _values(part: str, name: str, low: int, high: int, names: dict[str, int]) -> frozenset[int]:
    found: set[int] = set()
    for piece in part.split(","):
        span, _, step = piece.partition("/")
        first, dash, last = span.partition("-")
        if span in ("*", "?"):
            begin, end = low, high
        else:
            begin = _value(first, name, low, high, names)
            end = _value(last, name, low, high, names) if dash else high if step else begin
        if begin > end:
            raise ValueError(f"{piece!r} ({name}) runs backwards")
        found.update(range(begin, end + 1, _value(step, f"step of {name}", 1, high, {}) if step else 1))
    return frozenset(found)


def _value(text: str, name: str, low: int, high: int, names: dict[str, int]) -> int:
    number = names.get(text.lower(), int(text) if text.isascii() and text.isdigit() else None)
    if number is None or not low <= number <= high:
        raise ValueError(f"{text!r} is no {name} from {low} to {high}")
    return number


def next_after(schedule: Schedule, zone: ZoneInfo, moment: datetime) -> datetime | None:
    """The first time of the schedule after ``moment``, in UTC; None if there is none in `YEARS_AHEAD` years.

    Times that a change of the clock skips do not occur, those that it repeats occur twice.
    """
    local = moment.astimezone(zone)
    for ahead in range(YEARS_AHEAD * 366):
        day = local.date() + timedelta(days=ahead)
        if schedule.matches(day):
            later = (time for time in _times(schedule, zone, day) if time > moment)
            if found := next(later, None):
                return found
    return None


def _times(schedule: Schedule, zone: ZoneInfo, day: date) -> Iterator[datetime]:
    """A day's times in UTC, in order but within a repeated hour."""
    for hour in schedule.hours:
        times = set()
        for minute in schedule.minutes:
            for fold in (0, 1):
                time = datetime(day.year, day.month, day.day, hour, minute, tzinfo=zone, fold=fold).astimezone(UTC)
                back = time.astimezone(zone)
                if (back.hour, back.minute) == (hour, minute):
                    times.add(time)
        yield from sorted(times)


@dataclass(frozen=True)
class CronWindow:
    """A trigger that asks for ``replicas`` from each start to the next end."""

    start: Schedule
    end: Schedule
    zone: ZoneInfo
    replicas: int

    @cached_property
    def _ahead(self) -> dict[str, datetime | None]:
        """The next start and end found last; they hold until one of them is past."""
        return {}

    def is_active(self, moment: datetime) -> bool:
        """Whether the next end comes before the next start; with the same schedule for both, always."""
        start, end = self._next("start", self.start, moment), self._next("end", self.end, moment)
        if start is None or end is None:
            return end is not None
        return end <= start

    def _next(self, name: str, schedule: Schedule, moment: datetime) -> datetime | None:
        known = self._ahead.get(f"{name} known from")
        ahead = self._ahead.get(name)
        if known is None or moment < known or (ahead is not None and moment >= ahead):
            ahead = next_after(schedule, self.zone, moment)
            self._ahead.update({name: ahead, f"{name} known from": moment})
        return ahead
