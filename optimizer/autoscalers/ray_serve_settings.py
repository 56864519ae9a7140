"""Settings of one Ray Serve deployment: its ``autoscaling_config``, with Ray's defaults."""

from __future__ import annotations

from dataclasses import dataclass

from optimizer.autoscalers.ray_serve import ServeRules
from optimizer.autoscalers.ray_serve_metrics import AGGREGATIONS
from optimizer.options import check_number, check_whole
from workloads.errors import InputError

__all__ = ["ServeSettings"]


@dataclass(frozen=True)
class ServeSettings:
    """The names are Ray's; so are the defaults, those of ``num_replicas: auto``.

    Attributes
    ----------
    min_replicas, max_replicas, target_ongoing_requests, upscaling_factor, downscaling_factor, upscale_delay_s,
    downscale_delay_s, downscale_to_zero_delay_s, gang_size
        See `optimizer.autoscalers.ray_serve.ServeRules`.
    initial_replicas
        Replicas at the start of the run; None: those for the first interval's demand, as a deployment in service has.
    metrics_interval_s
        Time between samples of ongoing requests; passes of the control loop here are as far apart.
    look_back_period_s, aggregation_function
        Samples of so long are made one number: ``mean``, ``max`` or ``min``.
    """

    min_replicas: int = 1
    max_replicas: int = 100
    target_ongoing_requests: float = 2.0
    upscaling_factor: float = 1.0
    downscaling_factor: float = 1.0
    upscale_delay_s: float = 30.0
    downscale_delay_s: float = 600.0
    downscale_to_zero_delay_s: float | None = None
    initial_replicas: int | None = None
    metrics_interval_s: float = 10.0
    look_back_period_s: float = 30.0
    aggregation_function: str = "mean"
    gang_size: int = 1

    def __post_init__(self) -> None:
        check_whole("min_replicas", self.min_replicas, 0)
        if check_whole("max_replicas", self.max_replicas, 1) < self.min_replicas:
            raise InputError(
                "max_replicas", f"{self.max_replicas} is below min_replicas {self.min_replicas}", "raise it"
            )
        if self.initial_replicas is not None:
            first = check_whole("initial_replicas", self.initial_replicas, 0)
            if not self.min_replicas <= first <= self.max_replicas:
                raise InputError("initial_replicas", f"{first} is out of bounds", "keep within min and max_replicas")
        for name in ("target_ongoing_requests", "upscaling_factor", "downscaling_factor"):
            check_number(name, getattr(self, name), 0.0, above=True)
        for name in ("metrics_interval_s", "look_back_period_s"):
            check_number(name, getattr(self, name), 0.0, above=True)
        for name in ("upscale_delay_s", "downscale_delay_s"):
            check_number(name, getattr(self, name), 0.0)
        if self.downscale_to_zero_delay_s is not None:
            check_number("downscale_to_zero_delay_s", self.downscale_to_zero_delay_s, 0.0)
        if self.aggregation_function not in AGGREGATIONS:
            raise InputError(
                "aggregation_function", f"{self.aggregation_function!r} is unknown", f"use {', '.join(AGGREGATIONS)}"
            )
        gang = check_whole("gang_size", self.gang_size, 1)
        if self.min_replicas % gang or self.max_replicas % gang:
            raise InputError("gang_size", f"{gang} does not divide min and max_replicas", "give multiples of it")

    def rules(self) -> ServeRules:
        """For `optimizer.autoscalers.ray_serve.decide`."""
        return ServeRules(
            min_replicas=self.min_replicas,
            max_replicas=self.max_replicas,
            target_ongoing_requests=self.target_ongoing_requests,
            upscaling_factor=self.upscaling_factor,
            downscaling_factor=self.downscaling_factor,
            upscale_delay_s=self.upscale_delay_s,
            downscale_delay_s=self.downscale_delay_s,
            downscale_to_zero_delay_s=self.downscale_to_zero_delay_s,
            gang_size=self.gang_size,
        )
