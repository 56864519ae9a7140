"""Settings of one Knative revision: what its annotations and the cluster's ``config-autoscaler`` say together."""

from __future__ import annotations

import math
from dataclasses import dataclass

from optimizer.autoscalers.kpa import KpaRules
from optimizer.autoscalers.kpa_last_pod import LastPodRules, Scaling
from optimizer.autoscalers.kpa_target import LEAST_TARGET, TargetDefaults, resolve_target
from optimizer.options import check_flag, check_number, check_whole
from workloads.errors import InputError

__all__ = ["AGGREGATIONS", "METRICS", "KpaSettings"]

METRICS = ("concurrency", "rps")
AGGREGATIONS = ("linear", "weighted-exponential")
KNATIVE_TARGETS = TargetDefaults()
LONGEST_S = 3600.0
"""Longest window and delay that Knative takes."""


@dataclass(frozen=True)
class KpaSettings:
    """Defaults are Knative's; ranges too.

    Attributes
    ----------
    metric
        ``concurrency`` (tasks in flight) or ``rps`` (tasks/s).
    target
        Annotated target of a pod; None: the cluster's default (100 in flight, 200/s).
    target_utilisation
        Part of the target that is aimed at; None: the cluster's default (0.7).
    container_concurrency
        Hard limit of a pod, which bounds the target; 0: none. It does not bound the simulated batches.
    window_s, panic_window_percent
        Stable window, and the panic window as a part of it, rounded to whole seconds.
    panic_threshold_percent
        Panic begins where the panic window wants so much of the ready pods.
    burst_capacity
        See `optimizer.autoscalers.kpa.KpaRules`.
    up_rate, down_rate, activation_scale
        As there.
    scale_down_delay_s
        Pods fall only to the most that was wanted in so many seconds.
    min_scale, max_scale
        Bounds; 0 at the top is none.
    initial_scale
        Pods at the start of the run; None: those for the first interval's demand, as a revision in service has.
    scale_to_zero, grace_s, retention_s
        See `optimizer.autoscalers.kpa_last_pod`.
    aggregation
        How windows average: ``linear`` or ``weighted-exponential``.
    tick_s
        Time between evaluations.
    defaults
        The cluster's targets for revisions that say none.
    """

    metric: str = "concurrency"
    target: float | None = None
    target_utilisation: float | None = None
    container_concurrency: int = 0
    window_s: float = 60.0
    panic_window_percent: float = 10.0
    panic_threshold_percent: float = 200.0
    burst_capacity: float = 200.0
    up_rate: float = 1000.0
    down_rate: float = 2.0
    activation_scale: int = 1
    scale_down_delay_s: float = 0.0
    min_scale: int = 0
    max_scale: int = 0
    initial_scale: int | None = None
    scale_to_zero: bool = True
    grace_s: float = 30.0
    retention_s: float = 0.0
    aggregation: str = "linear"
    tick_s: float = 2.0
    defaults: TargetDefaults = KNATIVE_TARGETS

    def __post_init__(self) -> None:
        _check_word("metric", self.metric, METRICS)
        _check_word("aggregation", self.aggregation, AGGREGATIONS)
        if self.target is not None:
            check_number("target", self.target, LEAST_TARGET)
        if self.target_utilisation is not None:
            check_number("target_utilisation", self.target_utilisation, 0.0, 1.0, above=True)
        check_whole("container_concurrency", self.container_concurrency, 0)
        _check_seconds("window_s", self.window_s, 6.0)
        check_number("panic_window_percent", self.panic_window_percent, 1.0, 100.0)
        check_number("panic_threshold_percent", self.panic_threshold_percent, 110.0, 1000.0)
        if self.burst_capacity != -1:
            check_number("burst_capacity", self.burst_capacity, 0.0)
        check_number("up_rate", self.up_rate, 1.0, above=True)
        check_number("down_rate", self.down_rate, 1.0, above=True)
        check_whole("activation_scale", self.activation_scale, 1)
        _check_seconds("scale_down_delay_s", self.scale_down_delay_s, 0.0)
        check_whole("min_scale", self.min_scale, 0)
        if check_whole("max_scale", self.max_scale, 0) and self.max_scale < self.min_scale:
            raise InputError("max_scale", f"{self.max_scale} is below min_scale {self.min_scale}", "raise it")
        if self.initial_scale is not None:
            check_whole("initial_scale", self.initial_scale, 0)
        check_flag("scale_to_zero", self.scale_to_zero)
        check_number("grace_s", self.grace_s, 0.0)
        check_number("retention_s", self.retention_s, 0.0, LONGEST_S)
        check_number("tick_s", self.tick_s, 1.0)
        if not isinstance(self.defaults, TargetDefaults):
            raise InputError("defaults", f"{self.defaults!r} are no targets", "give a cluster_config with a manifest")

    @property
    def panic_window_s(self) -> float:
        """Rounded to the nearest whole second, at least one."""
        return max(1.0, math.floor(self.window_s * self.panic_window_percent / 100.0 + 0.5))

    def rules(self) -> KpaRules:
        """For `optimizer.autoscalers.kpa.decide`."""
        target, total = resolve_target(
            self.metric,
            container_concurrency=self.container_concurrency,
            annotated_target=self.target,
            annotated_utilisation=self.target_utilisation,
            defaults=self.defaults,
        )
        return KpaRules(
            target=target,
            total=total,
            burst_capacity=self.burst_capacity,
            panic_threshold=self.panic_threshold_percent / 100.0,
            up_rate=self.up_rate,
            down_rate=self.down_rate,
            stable_window_s=self.window_s,
            activation_scale=self.activation_scale,
        )

    def last_pod_rules(self) -> LastPodRules:
        """For `optimizer.autoscalers.kpa_last_pod.last_pod`."""
        return LastPodRules(self.scale_to_zero, self.window_s, self.grace_s, self.retention_s)

    def bounds(self) -> Scaling:
        """Least and most pods."""
        return Scaling(self.min_scale, self.max_scale or None)


def _check_word(where: str, value: object, known: tuple[str, ...]) -> None:
    if value not in known:
        raise InputError(where, f"{value!r} is unknown", f"use {' or '.join(known)}")


def _check_seconds(where: str, value: float, low: float) -> None:
    if check_number(where, value, low, LONGEST_S) != round(value):
        raise InputError(where, f"{value!r} is not in whole seconds", "round it, as Knative asks")
