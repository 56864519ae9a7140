"""What the ``trace:`` section of a scenario may hold, and the trace that it means.

It takes one of three forms: ``file`` (a trace on disk), ``streams`` (drawn from models) or ``counts``
(logged counts, replayed). docs/trace-format.md shows each.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from workloads import field_words
from workloads.arrivals.spec import ArrivalsSpec, PopularitySpec, RangeSpec, Weekday
from workloads.errors import InputError
from workloads.trace.types import Trace

__all__ = ["CountsSpec", "RequestColumns", "StreamSpec", "TraceSpec", "parse_trace_spec"]

_Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
_NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
_Whole = Annotated[int, Field(ge=0, lt=2**31)]

_ALLOWED = {
    "file": {"name", "scale", "spread_s", "speed", "start_s", "duration_s", "service_map", "mix"},
    "streams": {"name", "duration_s", "start_hour", "start_day"},
    "counts": {"name", "start_s", "duration_s"},
}


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class RequestColumns(_Strict):
    """How to draw what a request carries; what is left out stays unknown (-1) or 0."""

    users: PopularitySpec | None = None
    catalogue: PopularitySpec | None = None
    items: _Whole | RangeSpec = 0
    bytes_in: _Whole | RangeSpec = 0


class StreamSpec(RequestColumns):
    """One stream of requests to a service. `name` seeds it; by default the service's name and a number."""

    service: str
    name: str | None = None
    arrivals: ArrivalsSpec


class CountsSpec(RequestColumns):
    """Logged counts per bin of time, replayed (docs/trace-format.md).

    ``mode: exact`` gives each bin its logged number of requests; ``poisson`` takes the counts for rates, so
    that seeds differ in number too. `mix` divides the requests among services, each request independently.
    `per_service` overrides the columns.
    """

    file: str
    count_column: str = "requests"
    time_column: str | None = "minute"
    bin_s: _Positive | None = None
    days: tuple[date, ...] = ()
    where: dict[str, str] = Field(default_factory=dict)
    scale: _Positive = 1.0
    mode: Literal["exact", "poisson"] = "exact"
    cv: Annotated[float, Field(ge=0, le=100)] = 1.0
    mix: dict[str, _Positive]
    per_service: dict[str, RequestColumns] = Field(default_factory=dict)
    source: str | None = None
    licence: str | None = None

    @model_validator(mode="after")
    def _consistent(self) -> CountsSpec:
        if not self.mix:
            raise ValueError("mix is empty; give the share of at least one service")
        if self.mode == "exact" and self.cv != 1:
            raise ValueError("cv applies to mode poisson; leave it out or set mode: poisson")
        stray = [service for service in self.per_service if service not in self.mix]
        if stray:
            raise ValueError(f"per_service names {stray[0]!r}, which mix does not")
        return self


class TraceSpec(_Strict):
    """A trace: exactly one of `file`, `streams` and `counts`, with the settings that go with it.

    With ``file`` (a path from the scenario's folder, or ``data:NAME``): `start_s` and `duration_s` crop,
    `speed` runs the clock faster, `scale` thins or repeats requests, `service_map` renames the trace's
    services, `mix` divides the requests of a trace with one service among several. With ``streams``:
    `duration_s`, and the hour and weekday at which the trace starts. With ``counts``: `start_s` and
    `duration_s` crop.
    """

    file: str | None = None
    streams: tuple[StreamSpec, ...] | None = None
    counts: CountsSpec | None = None
    name: str | None = None
    duration_s: _Positive | None = None
    start_s: _NotNegative | None = None
    scale: _Positive | None = None
    spread_s: _NotNegative | None = None
    speed: _Positive | None = None
    service_map: dict[str, str] | None = None
    mix: dict[str, _Positive] | None = None
    start_hour: Annotated[float, Field(ge=0, lt=24)] | None = None
    start_day: Weekday | None = None

    @model_validator(mode="after")
    def _one_form(self) -> TraceSpec:
        given = [form for form in _ALLOWED if getattr(self, form) is not None]
        if len(given) != 1:
            have = " and ".join(given) if given else "none"
            raise ValueError(f"a trace has exactly one of file, streams and counts; this has {have}")
        form = given[0]
        stray = sorted(self.model_fields_set - _ALLOWED[form] - {form})
        if stray:
            allowed = ", ".join(sorted(_ALLOWED[form]))
            raise ValueError(f"{stray[0]} does not go with {form}, which takes {allowed}")
        if form == "streams" and (not self.streams or self.duration_s is None):
            raise ValueError("streams needs at least one stream, and duration_s")
        if self.service_map and self.mix:
            raise ValueError("give service_map or mix, not both")
        return self

    @property
    def service_names(self) -> tuple[str, ...]:
        """Services that the section names, in order; empty where only the trace's file knows them."""
        if self.streams is not None:
            named = [stream.service for stream in self.streams]
        elif self.counts is not None:
            named = list(self.counts.mix)
        else:
            named = [*(self.mix or {}), *(self.service_map or {}).values()]
        return tuple(dict.fromkeys(named))

    def build(self, seed: int, services: tuple[str, ...] = (), base_dir: Path | None = None) -> Trace:
        """The trace.

        Parameters
        ----------
        seed
            Of everything random in it.
        services
            Services of the scenario, in order; the trace's column ``service`` is an index into it. Empty
            takes those that the section or the file names.
        base_dir
            Folder that paths are relative to; the working directory by default.

        Raises
        ------
        InputError
            A file is absent or bad, or a service is unknown.
        """
        from workloads.trace import build as trace_build

        folder = base_dir if base_dir is not None else Path()
        if self.streams is not None:
            return trace_build.from_streams(self, seed, services)
        if self.counts is not None:
            return trace_build.from_counts(self, seed, services, folder)
        return trace_build.from_file(self, seed, services, folder)


def parse_trace_spec(
    document: Mapping[str, Any], where: str, locate: Callable[[tuple[str | int, ...]], str] | None = None
) -> TraceSpec:
    """Read a ``trace:`` section.

    Parameters
    ----------
    document
        The section.
    where
        The file that messages name.
    locate
        Gives the place in the file, with its line, of a location in the section; by default `where` and the path.

    Raises
    ------
    InputError
        Names the first field that is wrong.
    """
    try:
        return TraceSpec.model_validate(document)
    except ValidationError as error:
        # A misspelt key also makes the right one missing: name the misspelling.
        first = min(error.errors(), key=lambda each: each["type"] != "extra_forbidden")
        place = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in first["loc"])
        problem = field_words.problem(first)
        if first["type"] == "extra_forbidden":
            problem = f"{first['loc'][-1]!r} is not a known field"
        elif first["type"] == "missing":
            problem = f"{first['loc'][-1]!r} is missing"
        fix = "see docs/trace-format.md for the fields and their units"
        spot = f"{where} trace{place}" if locate is None else locate(first["loc"])
        raise InputError(spot, problem, fix) from None
