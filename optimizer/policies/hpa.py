"""The Kubernetes Horizontal Pod Autoscaler (v2) on each stage, as teams run it today."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass

import numpy as np

from optimizer.options import check_number, check_whole
from optimizer.policies.base import BuiltinPolicy
from optimizer.preference import spread
from simulator.policy import Allocation, Observation, PolicyContext
from workloads.errors import InputError

__all__ = ["Hpa", "HpaOptions", "Metric", "StageScaler", "desired_pods"]


MOST_PODS = 1e9
"""Growth by a factor goes no further in one step; no recommendation does."""


@dataclass(frozen=True)
class HpaOptions:
    """Options of `Hpa`; the defaults are Kubernetes' own but for the target, which has none there.

    Attributes
    ----------
    target
        Busy fraction that a stage's pods should have on average.
    tolerance
        Ratios this close to 1 change nothing.
    stabilisation_s
        A stage shrinks to the largest recommendation of the last so many seconds.
    scale_up_pods, scale_up_factor, scale_period_s
        In one period a stage grows by so many pods or by this factor, whichever is more. A control interval
        of several periods allows as many steps.
    min_replicas, max_replicas
        Of each stage; no maximum by default (the cluster's room is one).
    """

    target: float = 0.65
    tolerance: float = 0.1
    stabilisation_s: float = 300.0
    scale_up_pods: int = 4
    scale_up_factor: float = 2.0
    scale_period_s: float = 15.0
    min_replicas: int = 1
    max_replicas: int | None = None

    def __post_init__(self) -> None:
        check_number("target", self.target, 0.0, 1.0, above=True)
        check_number("tolerance", self.tolerance, 0.0, 1.0)
        check_number("stabilisation_s", self.stabilisation_s, 0.0)
        check_whole("scale_up_pods", self.scale_up_pods, 1)
        check_number("scale_up_factor", self.scale_up_factor, 1.0)
        check_number("scale_period_s", self.scale_period_s, 0.0, above=True)
        check_whole("min_replicas", self.min_replicas, 1)
        if self.max_replicas is not None:
            check_whole("max_replicas", self.max_replicas, 1)
            if self.max_replicas < self.min_replicas:
                raise InputError(
                    "max_replicas",
                    f"{self.max_replicas} is below min_replicas {self.min_replicas}",
                    "raise it",
                )


@dataclass(frozen=True)
class Metric:
    """A stage's pods as the metrics API shows them.

    Attributes
    ----------
    ready
        Pods that report a busy fraction.
    busy
        Mean busy fraction of those.
    unready
        Pods that were asked for and are not ready: starting, or waiting for a node.
    missing
        Ready pods without a value yet.
    """

    ready: int
    busy: float
    unready: int = 0
    missing: int = 0


def desired_pods(current: int, metric: Metric, target: float, tolerance: float) -> int:
    """Recommendation of the replica calculator, ``ceil(ready busy / target)`` with its conservative rules.

    Unready pods count as idle when growing and are left out when shrinking; missing ones count as idle when
    growing and as fully busy when shrinking; if that brings the ratio within the tolerance or turns its
    direction, nothing changes.
    """
    if metric.ready == 0:
        return current
    ratio = metric.busy / target
    grows = ratio > 1.0
    assumed = 0.0
    counted = metric.ready
    if grows:
        counted += metric.unready + metric.missing
    else:
        counted += metric.missing
        assumed = float(metric.missing)
    adjusted = (metric.ready * metric.busy + assumed) / counted / target
    if abs(adjusted - 1.0) <= tolerance + 1e-12 or grows != (adjusted > 1.0):
        return current
    desired = math.ceil(adjusted * counted - 1e-9)
    if (adjusted < 1.0 and desired > current) or (adjusted > 1.0 and desired < current):
        return current
    return desired


class StageScaler:
    """One autoscaler object: recommendations of the past, and pods wanted now."""

    def __init__(self, options: HpaOptions, pods: int) -> None:
        self.options = options
        self.pods = self._bounded(pods)
        self._past: deque[tuple[float, int]] = deque()
        self._last_s: float | None = None

    def sync(self, now_s: float, metric: Metric) -> int:
        """Pods wanted from ``now_s`` on: recommend, stabilise, limit the growth, keep the bounds."""
        recommended = desired_pods(self.pods, metric, self.options.target, self.options.tolerance)
        past = self._past  # falling: what a later recommendation tops never counts again
        while past and past[-1][1] <= recommended:
            past.pop()
        past.append((now_s, recommended))
        while past[0][0] < now_s - self.options.stabilisation_s:
            past.popleft()
        wanted = recommended if recommended >= self.pods else min(self.pods, past[0][1])
        if wanted > self.pods:
            wanted = min(wanted, max(self.pods, self._growth_limit(now_s)))
        self.pods = self._bounded(wanted)
        self._last_s = now_s
        return self.pods

    def _growth_limit(self, now_s: float) -> int:
        elapsed = self.options.scale_period_s if self._last_s is None else now_s - self._last_s
        pods = self.pods
        for _ in range(min(32, max(1, int(elapsed / self.options.scale_period_s + 1e-9)))):
            pods = max(
                pods + self.options.scale_up_pods, math.ceil(min(MOST_PODS, pods * self.options.scale_up_factor))
            )
        return pods

    def _bounded(self, pods: int) -> int:
        most = pods if self.options.max_replicas is None else self.options.max_replicas
        return max(self.options.min_replicas, min(pods, most))


class Hpa(BuiltinPolicy):
    """A Horizontal Pod Autoscaler for each stage, on the busy fraction of its replicas.

    It starts with the replicas that serve the first interval's demand with the scenario's headroom. New
    pods go to the stage's preferred pair, and to its next one where no node has room (node pools with a
    priority expander); pods for which there is no room at all stay wanted and count as unready, as pending
    pods do.
    """

    Options = HpaOptions

    def __init__(self, context: PolicyContext, options: HpaOptions) -> None:
        super().__init__(context, options)
        self._scalers: list[StageScaler] = []
        stages = range(len(self.facts.stages))
        self._members = [np.flatnonzero(self.facts.variant_stage == stage).tolist() for stage in stages]
        self._last: tuple[list[int], np.ndarray, np.ndarray] | None = None

    def decide(self, observation: Observation) -> Allocation:
        """One sync of every autoscaler."""
        if not self._scalers:
            equivalents = self.preference.replica_equivalents(observation.stage_rps)
            first = np.ceil(equivalents * (1.0 + self.facts.headroom) - 1e-9).astype(int)
            self._scalers = [StageScaler(self.options, int(pods)) for pods in first]
            wanted = [scaler.pods for scaler in self._scalers]
            told = [f"begins with {pods}" for pods in wanted]
        else:
            ready, busy = observation.ready.tolist(), observation.busy_fraction.tolist()
            metrics = [
                _metric([(count, share) for v in members for count, share in zip(ready[v], busy[v])], scaler.pods)
                for members, scaler in zip(self._members, self._scalers)
            ]
            wanted = [s.sync(observation.now_s, metric) for s, metric in zip(self._scalers, metrics)]
            told = [f"{100 * m.busy:.0f} % of {m.ready} busy, wants {pods}" for m, pods in zip(metrics, wanted)]
        replicas = self._spread(wanted, observation.ready + observation.starting)
        pending = sum(wanted) - int(replicas.sum())
        note = "; ".join(f"{stage} {text}" for stage, text in zip(self.facts.stages, told))
        return Allocation(replicas, note=f"{note}; {pending} pods find no room" if pending else note)

    def _spread(self, pods: list[int], keep: np.ndarray) -> np.ndarray:
        """Replicas on pairs; those of the last time where neither what is wanted nor what is there has changed."""
        if self._last is None or self._last[0] != pods or (self._last[1] != keep).any():
            wanted = np.array(pods, dtype=np.float64)
            self._last = pods, keep, spread(self.preference, wanted, worth=np.ones(keep.shape), keep=keep)
        return self._last[2].copy()


def _metric(pairs: list[tuple[int, float]], pods: int) -> Metric:
    """Of a stage that asked for so many pods, from each pair's ready replicas and their busy fraction."""
    seen = [(count, share) for count, share in pairs if math.isfinite(share)]
    reporting = sum(count for count, _ in seen)
    mean = sum(count * share for count, share in seen) / reporting if reporting else 0.0
    standing = sum(count for count, _ in pairs)
    return Metric(reporting, mean, unready=max(0, pods - standing), missing=standing - reporting)
