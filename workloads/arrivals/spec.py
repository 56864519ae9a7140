"""How a file writes arrivals and what requests carry: the pydantic side of `workloads.arrivals`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from workloads.arrivals import (
    Bursts,
    Diurnal,
    FlashCrowd,
    RenewalArrivals,
    Shape,
    Steps,
    Weekly,
    shaped_curve,
)
from workloads.popularity import ZipfPopularity
from workloads.trace.generated import IntRange

__all__ = ["ArrivalsSpec", "PopularitySpec", "RangeSpec", "Weekday", "as_range"]

Weekday = Literal["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]
_WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
_NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class RangeSpec(_Strict):
    """A whole number drawn evenly from `min` to `max`, both included."""

    min: Annotated[int, Field(ge=0, lt=2**31)]
    max: Annotated[int, Field(ge=0, lt=2**31)]

    @model_validator(mode="after")
    def _ordered(self) -> RangeSpec:
        if self.min > self.max:
            raise ValueError(f"min is {self.min}, above max, {self.max}")
        return self


def as_range(value: int | RangeSpec) -> IntRange:
    """A fixed number or a range, as a range."""
    return IntRange(value, value) if isinstance(value, int) else IntRange(value.min, value.max)


class PopularitySpec(_Strict):
    """A bounded Zipf law over `count` users or items (docs/trace-format.md)."""

    count: Annotated[int, Field(ge=1, le=2**31)]
    zipf_s: Annotated[float, Field(ge=0, le=20)]
    drift_ranks_per_day: _NotNegative = 0.0

    def build(self) -> ZipfPopularity:
        """The law."""
        return ZipfPopularity(self.count, self.zipf_s, self.drift_ranks_per_day)


class DiurnalSpec(_Strict):
    """A day's shape: a cosine of `amplitude`, or a peak of `peak_to_mean` times the mean."""

    amplitude: Annotated[float, Field(ge=0, le=1)] | None = None
    peak_to_mean: Annotated[float, Field(ge=1, le=24)] | None = None
    peak_hour: Annotated[float, Field(ge=0, le=24)] = 20.0

    @model_validator(mode="after")
    def _one_of_two(self) -> DiurnalSpec:
        if (self.amplitude is None) == (self.peak_to_mean is None):
            raise ValueError("give exactly one of amplitude and peak_to_mean")
        return self


class WeeklySpec(_Strict):
    """A factor for each day of the week, Monday first; their mean is scaled to 1."""

    day_factors: Annotated[tuple[_NotNegative, ...], Field(min_length=7, max_length=7)]

    @model_validator(mode="after")
    def _not_all_zero(self) -> WeeklySpec:
        if not sum(self.day_factors):
            raise ValueError("all day_factors are 0; at least one must be positive")
        return self


class StepsSpec(_Strict):
    """Values in bins of `bin_s`, repeated to the trace's end; their mean is scaled to 1."""

    values: Annotated[tuple[_NotNegative, ...], Field(min_length=1)]
    bin_s: _Positive

    @model_validator(mode="after")
    def _not_all_zero(self) -> StepsSpec:
        if not sum(self.values):
            raise ValueError("all values are 0; at least one must be positive")
        return self


class FlashCrowdSpec(_Strict):
    """The rate climbs to `factor` times itself from `at_s` on, holds and falls back."""

    at_s: _NotNegative
    rise_s: _NotNegative = 60.0
    hold_s: _NotNegative = 600.0
    fall_s: _NotNegative = 300.0
    factor: _NotNegative

    def build(self) -> FlashCrowd:
        """The shape."""
        return FlashCrowd(self.at_s, self.rise_s, self.hold_s, self.fall_s, self.factor)


class BurstsSpec(_Strict):
    """A random environment of two states, quiet and bursts (docs/trace-format.md)."""

    factor: Annotated[float, Field(gt=1)]
    share: Annotated[float, Field(gt=0, lt=1)]
    mean_s: _Positive

    @model_validator(mode="after")
    def _keeps_mean(self) -> BurstsSpec:
        if self.factor * self.share > 1:
            raise ValueError(f"factor {self.factor:g} x share {self.share:g} exceeds 1; lower one of them")
        return self


class ArrivalsSpec(_Strict):
    """A renewal process of base rate `rate_rps`, shaped over time; the shapes multiply.

    ``cv: 1`` is a Poisson process, above 1 gamma gaps in bursts, below 1 more even than Poisson, 0 equal
    gaps.
    """

    rate_rps: _Positive
    cv: Annotated[float, Field(ge=0, le=100)] = 1.0
    diurnal: DiurnalSpec | None = None
    weekly: WeeklySpec | None = None
    steps: StepsSpec | None = None
    flash_crowds: tuple[FlashCrowdSpec, ...] = ()
    bursts: BurstsSpec | None = None

    def build(self, duration_s: float, start_hour: float = 0.0, start_day: Weekday = "monday") -> RenewalArrivals:
        """The process over `duration_s`, where the trace starts at `start_hour` of `start_day`."""
        shapes: list[Shape] = [crowd.build() for crowd in self.flash_crowds]
        if self.diurnal is not None:
            day = self.diurnal
            shapes.append(Diurnal(day.amplitude, day.peak_to_mean, day.peak_hour, start_hour))
        if self.weekly is not None:
            shapes.append(Weekly(self.weekly.day_factors, _WEEKDAYS.index(start_day), start_hour))
        if self.steps is not None:
            shapes.append(Steps(self.steps.values, self.steps.bin_s))
        bursts = None
        if self.bursts is not None:
            bursts = Bursts(self.bursts.factor, self.bursts.share, self.bursts.mean_s)
        return RenewalArrivals(shaped_curve(self.rate_rps, duration_s, shapes), self.cv, bursts)
