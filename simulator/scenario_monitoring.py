"""The section ``monitoring`` of a scenario file: alerts, and which requests are kept one by one."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from simulator.monitoring.alerts import AlertRule
from simulator.plan import RecordPlan
from simulator.scenario_fields import Section, ToldError

__all__ = ["AlertFile", "MonitoringFile", "SampleFile"]


class AlertFile(Section):
    """A threshold on a series of the run."""

    name: Annotated[str, Field(min_length=1)]
    series: str = Field(description="as queue_requests, utilisation, p99_ms, slo_attainment, cache_hits_rps")
    label: str = Field("", description="service, stage, resource or what else the series has; empty: each on its own")
    above: Annotated[float, Field(allow_inf_nan=False)] | None = None
    below: Annotated[float, Field(allow_inf_nan=False)] | None = None
    for_s: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0

    @model_validator(mode="after")
    def _one_threshold(self) -> AlertFile:
        if (self.above is None) == (self.below is None):
            given = "has neither" if self.above is None else "has both"
            raise ToldError(f"alert {self.name} needs exactly one of 'above' and 'below', and {given}",
                            "add one of them" if self.above is None else "leave one of them out")  # fmt: skip
        return self

    def rule(self) -> AlertRule:
        """The rule as runs evaluate it."""
        nan = float("nan")
        return AlertRule(
            name=self.name,
            series=self.series,
            label=self.label,
            above=nan if self.above is None else self.above,
            below=nan if self.below is None else self.below,
            for_s=self.for_s,
        )


class SampleFile(Section):
    """Requests that are kept one by one, with their times at every stage."""

    every: Annotated[int, Field(ge=1)] = Field(1000, description="each so many-th request of the trace")
    most: Annotated[int, Field(ge=1, le=10_000_000)] = Field(100_000, description="requests kept at most")

    def record(self) -> RecordPlan:
        """The requests to keep."""
        return RecordPlan(rows=self.most, every=self.every)


class MonitoringFile(Section):
    """What is watched beside the metrics."""

    alerts: list[AlertFile] = Field(default_factory=list)
    sample: SampleFile | None = None
