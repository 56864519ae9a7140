"""The Kubernetes Horizontal Pod Autoscaler (autoscaling/v2) on each stage, as teams run it today."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import ClassVar

from optimizer.autoscalers.hpa.behaviour import PolicyType, RatePolicy, Rules
from optimizer.autoscalers.hpa.calculator import Tolerance
from optimizer.autoscalers.hpa.limits import Bounds
from optimizer.autoscalers.hpa.manifest import read_hpa
from optimizer.autoscalers.hpa.metrics import Metric, Source, Target
from optimizer.autoscalers.hpa.spec import (
    DEFAULT_CONTROLLER,
    DEFAULT_DOWN,
    SYNC_PERIOD_S,
    Behaviour,
    Controller,
    HpaSpec,
)
from optimizer.autoscalers.hpa.sync import Memory, sync
from optimizer.autoscalers.hpa.whole import MOST_REPLICAS
from optimizer.autoscalers.manifests import by_stage, manifest_paths, only_manifest
from optimizer.options import check_number, check_whole, suggestion
from optimizer.policies.deployments import DeploymentPolicy, ticks_between
from optimizer.policies.hpa_readings import KNOWN, StageView, Viewer, check_metric, reading
from simulator.policy import PolicyContext
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
        only_manifest(self, "manifest", free=("tolerance", "metric_names"))
        for path in manifest_paths(self.manifest):
            for metric in read_hpa(Path(path)).metrics:
                try:
                    check_metric(metric, self.metric_names)
                except InputError as error:
                    raise InputError(f"manifest {path} {error.where}", error.problem, error.fix) from None

    def _check_names(self) -> None:
        if not isinstance(self.metric_names, Mapping):
            raise InputError("metric_names", f"{self.metric_names!r} is not a mapping", "give their_name: our_name")
        for theirs, ours in self.metric_names.items():
            if not isinstance(ours, str) or ours not in KNOWN:
                raise InputError(
                    f"metric_names {theirs}", f"there is no metric {ours!r}", suggestion(str(ours), KNOWN, "metrics")
                )

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


class StageScaler:
    """One autoscaler: its configuration and memory, and the pods wanted now.

    It synchronises at every multiple of 15 s.
    """

    def __init__(
        self,
        spec: HpaSpec,
        pods: int,
        controller: Controller = DEFAULT_CONTROLLER,
        names: Mapping[str, str] | None = None,
    ) -> None:
        self.spec, self.names = spec, names or {}
        self.pods = max(spec.bounds.least, min(pods, spec.bounds.most))
        self._controller = replace(controller, scales_to_zero=spec.bounds.least == 0)
        self._memory = Memory(is_scaled_to_zero=self.pods == 0)
        self._view = StageView(0, 0, math.nan)
        self._conditions: Mapping[str, str] = {}

    def advance(self, start_s: float, end_s: float, view: StageView) -> int:
        """Pods wanted after the syncs later than ``start_s`` and up to ``end_s``, all with the same view.

        What one sync asks for is unready in the next.
        """
        self._view = view
        for now_s in ticks_between(start_s, end_s, SYNC_PERIOD_S):
            readings = [reading(metric, view, self.names, self.pods) for metric in self.spec.metrics]
            done = sync(self.spec, readings, self.pods, self.pods, self._memory, now_s, self._controller)
            self.pods, self._memory, self._conditions = done.replicas, done.memory, done.conditions
        return self.pods

    def told(self) -> str:
        """What it goes by, and what limits what it wants, for the decision log."""
        view, conditions = self._view, self._conditions
        busy = "nobody reports" if math.isnan(view.busy) else f"{100 * view.busy:.0f} % of {view.reporting} busy"
        why = conditions.get("ScalingLimited") or conditions.get("ScalingActive", "")
        return f"{busy} ({why})" if why not in ("", "DesiredWithinRange") else busy if conditions else "begins"


class Hpa(DeploymentPolicy):
    """A Horizontal Pod Autoscaler for each stage, on the busy fraction of its replicas or by a manifest.

    New pods go to the stage's preferred pair, and to its next one where no node has room (node pools with a
    priority expander); pods for which there is no room at all stay wanted and count as unready, as pending
    pods do.

    It synchronises every 15 s and is asked once a control interval: at each decision the syncs of the interval that
    just ended are carried out with its mean values, and what the last one wants holds until the next decision.
    """

    Options = HpaOptions

    def __init__(self, context: PolicyContext, options: HpaOptions) -> None:
        paths = by_stage(options.manifest, context.facts.stages, "policy hpa manifest")
        read = {path: read_hpa(Path(path)) for path in dict.fromkeys(paths) if path}
        self._specs = [read[path] if path else options.spec() for path in paths]
        tolerance = Tolerance(options.tolerance, options.tolerance)
        self._controller = replace(DEFAULT_CONTROLLER, tolerance=tolerance)
        super().__init__(context, options)

    def reader(self) -> Viewer:
        """Views of the stages, with the metrics that their manifests name."""
        names = self.options.metric_names
        wanted = [{names.get(metric.name, metric.name) for metric in spec.metrics} for spec in self._specs]
        return Viewer(self.facts, [ours & set(KNOWN) for ours in wanted])

    def make(self, stage: int, replicas: int, now_s: float) -> StageScaler:
        """The autoscaler of a stage."""
        return StageScaler(self._specs[stage], replicas, self._controller, self.options.metric_names)
