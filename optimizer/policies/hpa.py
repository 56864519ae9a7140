"""The Kubernetes Horizontal Pod Autoscaler (autoscaling/v2) on each stage, as teams run it today."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import ClassVar

import numpy as np

from optimizer.autoscalers.hpa.behaviour import PolicyType, RatePolicy, Rules
from optimizer.autoscalers.hpa.limits import Bounds
from optimizer.autoscalers.hpa.manifest import read_hpa
from optimizer.autoscalers.hpa.metrics import Metric, Source, Target
from optimizer.autoscalers.hpa.spec import DEFAULT_DOWN, SYNC_PERIOD_S, Behaviour, Controller, HpaSpec
from optimizer.autoscalers.hpa.sync import Memory, sync
from optimizer.autoscalers.hpa.whole import MOST_REPLICAS
from optimizer.options import check_number, check_whole, suggestion
from optimizer.policies.base import BuiltinPolicy
from optimizer.policies.hpa_readings import KNOWN, StageView, Viewer, check_metric, reading
from optimizer.preference import spread
from simulator.policy import Allocation, Observation, PolicyContext
from workloads.errors import InputError

__all__ = ["Hpa", "HpaOptions", "StageScaler"]


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
        In one period a stage grows by so many pods or by this factor, whichever is more.
    min_replicas, max_replicas
        Of each stage; no maximum by default (the cluster's room is one).
    manifest
        A HorizontalPodAutoscaler of apiVersion autoscaling/v2 for every stage, or paths by stage. A stage that has
        one goes by it alone; of the options above only ``tolerance``, a flag of the controller, still counts.
    metric_names
        Our name (`hpa_readings.KNOWN`) of metrics that the manifests call otherwise.
    """

    FILES: ClassVar[tuple[str, ...]] = ("manifest",)

    target: float = 0.65
    tolerance: float = 0.1
    stabilisation_s: float = 300.0
    scale_up_pods: int = 4
    scale_up_factor: float = 2.0
    scale_period_s: float = 15.0
    min_replicas: int = 1
    max_replicas: int | None = None
    manifest: str | Mapping[str, str] | None = None
    metric_names: Mapping[str, str] = field(default_factory=dict)

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
        self._check_names()
        self._check_manifests()

    def _check_names(self) -> None:
        if not isinstance(self.metric_names, Mapping):
            raise InputError("metric_names", f"{self.metric_names!r} is not a mapping", "give their_name: our_name")
        for theirs, ours in self.metric_names.items():
            if ours not in KNOWN:
                raise InputError(
                    f"metric_names {theirs}", f"there is no metric {ours!r}", suggestion(str(ours), KNOWN, "metrics")
                )

    def _check_manifests(self) -> None:
        if isinstance(self.manifest, str):
            of_stages = (*(f.name for f in fields(self) if f.name not in _BESIDE_A_MANIFEST),)
            default = HpaOptions(tolerance=self.tolerance, metric_names=self.metric_names)
            for name in of_stages:
                if getattr(self, name) != getattr(default, name):
                    raise InputError(name, "it says what the manifest says", "leave one of the two out")
        paths = self.manifests().values()
        for path in paths:
            for metric in read_hpa(path).metrics:
                try:
                    check_metric(metric, self.metric_names)
                except InputError as error:
                    raise InputError(f"manifest {path} {error.where}", error.problem, error.fix) from None

    def manifests(self) -> dict[str, Path]:
        """Path by stage; the empty name stands for every stage."""
        if self.manifest is None:
            return {}
        given = {"": self.manifest} if isinstance(self.manifest, str) else self.manifest
        if not isinstance(given, Mapping) or not given or not all(isinstance(path, str) for path in given.values()):
            raise InputError("manifest", f"{given!r} is neither a path nor paths by stage", "give stage: path.yaml")
        return {str(stage): Path(path) for stage, path in given.items()}

    def spec(self) -> HpaSpec:
        """What the options say, as a configuration."""
        most = MOST_REPLICAS if self.max_replicas is None else self.max_replicas
        factor = min(self.scale_up_factor, float(MOST_REPLICAS))
        growth = (
            RatePolicy(PolicyType.PODS, self.scale_up_pods, self.scale_period_s),
            RatePolicy(PolicyType.PERCENT, 100.0 * (factor - 1.0), self.scale_period_s),
        )
        return HpaSpec(
            Bounds(self.min_replicas, most),
            (Metric(Source.RESOURCE, "cpu", Target.UTILISATION, 100.0 * self.target),),
            Behaviour(Rules(growth), replace(DEFAULT_DOWN, window_s=self.stabilisation_s)),
        )


_BESIDE_A_MANIFEST = ("tolerance", "manifest", "metric_names")


class StageScaler:
    """One autoscaler: its configuration and memory, and the pods wanted now.

    It synchronises at every multiple of 15 s.
    """

    def __init__(
        self, spec: HpaSpec, pods: int, controller: Controller | None = None, names: Mapping[str, str] | None = None
    ) -> None:
        self.spec, self.names = spec, names or {}
        self.pods = max(spec.bounds.least, min(pods, spec.bounds.most))
        opens_gate = replace(controller or Controller(), scales_to_zero=spec.bounds.least == 0)
        self._controller = opens_gate
        self._memory = Memory(is_scaled_to_zero=self.pods == 0)
        self._conditions: Mapping[str, str] = {}

    def advance(self, start_s: float, end_s: float, view: StageView) -> int:
        """Pods wanted after the syncs later than ``start_s`` and up to ``end_s``, all with the same view.

        What one sync asks for is unready in the next.
        """
        first, last = (int(time_s / SYNC_PERIOD_S + 1e-9) for time_s in (start_s, end_s))
        for k in range(first + 1, last + 1):
            readings = [reading(metric, view, self.names, self.pods) for metric in self.spec.metrics]
            done = sync(self.spec, readings, self.pods, self.pods, self._memory, k * SYNC_PERIOD_S, self._controller)
            self.pods, self._memory, self._conditions = done.replicas, done.memory, done.conditions
        return self.pods

    def told(self) -> str:
        """What is wanted, and what limits it, for the decision log."""
        why = self._conditions.get("ScalingLimited") or self._conditions.get("ScalingActive", "")
        limited = f" ({why})" if why not in ("", "DesiredWithinRange") else ""
        return f"wants {self.pods}{limited}" if self._conditions else f"begins with {self.pods}"


class Hpa(BuiltinPolicy):
    """A Horizontal Pod Autoscaler for each stage, on the busy fraction of its replicas or by a manifest.

    It starts with the replicas that serve the first interval's demand with the scenario's headroom. New
    pods go to the stage's preferred pair, and to its next one where no node has room (node pools with a
    priority expander); pods for which there is no room at all stay wanted and count as unready, as pending
    pods do.

    It synchronises every 15 s and is asked once a control interval: at each decision the syncs of the interval that
    just ended are carried out with its mean values, and what the last one wants holds until the next decision.
    """

    Options = HpaOptions

    def __init__(self, context: PolicyContext, options: HpaOptions) -> None:
        super().__init__(context, options)
        self._specs = self._read_specs(options)
        wanted = [{options.metric_names.get(m.name, m.name) for m in spec.metrics} & set(KNOWN) for spec in self._specs]
        self._viewer = Viewer(self.facts, wanted)
        self._scalers: list[StageScaler] = []
        self._before_s = 0.0
        self._last: tuple[list[int], np.ndarray, np.ndarray] | None = None

    def _read_specs(self, options: HpaOptions) -> list[HpaSpec]:
        read = {stage: read_hpa(path) for stage, path in options.manifests().items()}
        for stage in read:
            if stage and stage not in self.facts.stages:
                problem = "the scenario has no such stage"
                raise InputError(
                    f"policy hpa manifest {stage}", problem, suggestion(stage, self.facts.stages, "stages")
                )
        default = read.get("") or options.spec()
        return [read.get(stage, default) for stage in self.facts.stages]

    def decide(self, observation: Observation) -> Allocation:
        """The syncs of the last interval of every autoscaler."""
        views = self._viewer.view(observation)
        if not self._scalers:
            self._scalers = self._begin(observation)
            wanted = [scaler.pods for scaler in self._scalers]
        else:
            wanted = [s.advance(self._before_s, observation.now_s, view) for s, view in zip(self._scalers, views)]
        self._before_s = observation.now_s
        replicas = self._spread(wanted, observation.ready + observation.starting)
        pending = sum(wanted) - int(replicas.sum())
        told = (
            f"{stage} {_busy(view)}{scaler.told()}"
            for stage, view, scaler in zip(self.facts.stages, views, self._scalers)
        )
        note = "; ".join(told)
        return Allocation(replicas, note=f"{note}; {pending} pods find no room" if pending else note)

    def _begin(self, observation: Observation) -> list[StageScaler]:
        equivalents = self.preference.replica_equivalents(observation.stage_rps)
        first = np.ceil(equivalents * (1.0 + self.facts.headroom) - 1e-9).astype(int)
        tolerance = self.options.tolerance
        controller = replace(Controller(), tolerance=replace(Controller().tolerance, down=tolerance, up=tolerance))
        names = self.options.metric_names
        return [StageScaler(spec, int(pods), controller, names) for spec, pods in zip(self._specs, first)]

    def _spread(self, pods: list[int], keep: np.ndarray) -> np.ndarray:
        """Replicas on pairs; those of the last time where neither what is wanted nor what is there has changed."""
        if self._last is None or self._last[0] != pods or (self._last[1] != keep).any():
            wanted = np.array(pods, dtype=np.float64)
            self._last = pods, keep, spread(self.preference, wanted, worth=np.ones(keep.shape), keep=keep)
        return self._last[2].copy()


def _busy(view: StageView) -> str:
    return "" if math.isnan(view.busy) else f"{100 * view.busy:.0f} % of {view.reporting} busy, "
