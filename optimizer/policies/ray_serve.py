"""Ray Serve's autoscaling on each stage."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from optimizer.autoscalers.manifests import only_manifest
from optimizer.autoscalers.ray_serve import IDLE, Deployment, bounded, decide
from optimizer.autoscalers.ray_serve_manifest import for_stages, read_deployments
from optimizer.autoscalers.ray_serve_metrics import LookBack
from optimizer.autoscalers.ray_serve_settings import ServeSettings
from optimizer.policies.deployments import DeploymentPolicy, ticks_between
from optimizer.stage_load import StageLoad
from simulator.policy import PolicyContext

__all__ = ["RayServe", "RayServeOptions"]


@dataclass(frozen=True)
class RayServeOptions(ServeSettings):
    """Options of `RayServe`: the settings of every deployment, or the config file that has them.

    Attributes
    ----------
    manifest
        A Ray Serve config file (YAML); its deployments are matched to stages by name. Then no other option is given.
    """

    manifest: str | None = None

    FILES: ClassVar[tuple[str, ...]] = ("manifest",)

    def __post_init__(self) -> None:
        super().__post_init__()
        only_manifest(self, "manifest")
        self.by_deployment()

    def by_deployment(self) -> dict[str, ServeSettings]:
        """Settings by deployment name; under an empty one those that the options say."""
        return {"": self} if self.manifest is None else read_deployments(self.manifest)


class _Stage:
    """One stage's deployment."""

    def __init__(self, settings: ServeSettings, replicas: int) -> None:
        self._rules, self._interval_s = settings.rules(), settings.metrics_interval_s
        first = replicas if settings.initial_replicas is None else settings.initial_replicas
        self._target = bounded(self._rules, first)
        self._pending = IDLE
        self._samples = LookBack(settings.look_back_period_s, settings.aggregation_function)
        self._ongoing = 0.0

    def advance(self, start_s: float, end_s: float, load: StageLoad) -> int:
        for now_s in ticks_between(start_s, end_s, self._interval_s):
            self._ongoing = self._samples.record(now_s, load.in_flight)
            found = Deployment(load.ready, self._target, self._ongoing)
            wanted, self._pending = decide(self._rules, self._pending, now_s, found)
            self._target = bounded(self._rules, wanted)
        return self._target

    def told(self) -> str:
        waits = {1: ", more wanted", -1: ", fewer wanted", 0: ""}[self._pending.direction]
        return f"{self._ongoing:.1f} ongoing{waits}"


class RayServe(DeploymentPolicy):
    """A Ray Serve deployment for each stage, on its ongoing requests; ticks as in `optimizer.policies.deployments`."""

    Options = RayServeOptions

    def __init__(self, context: PolicyContext, options: RayServeOptions) -> None:
        super().__init__(context, options)
        self._settings = for_stages(options.by_deployment(), self.facts.stages, options.manifest or "")

    def make(self, stage: int, replicas: int, now_s: float) -> _Stage:
        """The stage's deployment."""
        return _Stage(self._settings[stage], replicas)
