"""The Knative Pod Autoscaler on each stage, as Knative and KServe (serverless mode) run it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from optimizer.autoscalers.kpa_manifest import read_cluster_config, read_revision
from optimizer.autoscalers.kpa_revision import BUCKET_S, Revision
from optimizer.autoscalers.kpa_settings import KpaSettings
from optimizer.autoscalers.kpa_windows import bucket_of
from optimizer.autoscalers.manifests import by_stage, manifest_paths, only_manifest
from optimizer.policies.deployments import DeploymentPolicy, ticks_between
from optimizer.stage_load import StageLoad
from simulator.policy import PolicyContext

__all__ = ["Kpa", "KpaOptions"]


@dataclass(frozen=True)
class KpaOptions(KpaSettings):
    """Options of `Kpa`: the settings of every revision, or the manifests that have them.

    Attributes
    ----------
    min_scale
        1, unlike Knative's 0: requests that come while no replica is ready fail in the simulation, and are not held.
    manifest
        A Knative Service or KServe InferenceService (YAML) for all stages: then no other option but ``cluster_config``
        is given. Or one by stage: a stage that is left out goes by the options.
    cluster_config
        The cluster's ConfigMap ``config-autoscaler`` (YAML), whose defaults the manifests override.
    """

    min_scale: int = 1
    manifest: str | Mapping[str, str] | None = None
    cluster_config: str | None = None

    FILES: ClassVar[tuple[str, ...]] = ("manifest", "cluster_config")

    def __post_init__(self) -> None:
        super().__post_init__()
        only_manifest(self, "manifest", ("cluster_config",))
        self.by_path()

    def by_path(self) -> dict[str, KpaSettings]:
        """Settings of each manifest, by its path; under an empty one those that the options say."""
        cluster = read_cluster_config(self.cluster_config)
        return {"": self} | {path: read_revision(path, cluster) for path in manifest_paths(self.manifest)}


class _Stage:
    """One stage's revision."""

    def __init__(self, settings: KpaSettings, replicas: int, now_s: float) -> None:
        self._settings = settings
        first = replicas if settings.initial_scale is None else max(settings.initial_scale, settings.min_scale)
        self._revision = Revision(settings, first, now_s)
        self._load = 0.0

    def advance(self, start_s: float, end_s: float, load: StageLoad) -> int:
        self._load = load.in_flight if self._settings.metric == "concurrency" else load.tasks_per_s
        second = bucket_of(start_s, BUCKET_S)
        for tick_s in ticks_between(start_s, end_s, self._settings.tick_s):
            second = self._record(second, tick_s)
            self._revision.tick(tick_s, load.ready)
        self._record(second, end_s)
        return self._revision.pods

    def _record(self, second: int, until_s: float) -> int:
        until = bucket_of(until_s, BUCKET_S)
        for k in range(second, until):
            self._revision.record(k, self._load)
        return max(second, until)

    def told(self) -> str:
        unit = "in flight" if self._settings.metric == "concurrency" else "tasks/s"
        mode = "" if self._revision.panic.since_s is None else ", in panic"
        return f"{self._load:.1f} {unit}{mode}"


class Kpa(DeploymentPolicy):
    """A Knative revision for each stage, on its tasks in flight or per second.

    Ticks as in `optimizer.policies.deployments`.
    """

    Options = KpaOptions

    def __init__(self, context: PolicyContext, options: KpaOptions) -> None:
        super().__init__(context, options)
        settings = options.by_path()
        paths = by_stage(options.manifest, self.facts.stages, "manifest")
        self._settings = [settings[path] for path in paths]

    def make(self, stage: int, replicas: int, now_s: float) -> _Stage:
        """The stage's revision."""
        return _Stage(self._settings[stage], replicas, now_s)
