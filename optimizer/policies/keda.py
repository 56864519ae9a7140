"""KEDA on each stage: cron schedules and thresholds, through the HPA that KEDA makes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import ClassVar

from optimizer.autoscalers.hpa.spec import SYNC_PERIOD_S
from optimizer.autoscalers.hpa.sync import Memory, sync
from optimizer.autoscalers.keda import Activation, Pods, ScaledObject, Threshold, hpa_of, poll, reading, value_of
from optimizer.autoscalers.keda_manifest import SIGNALS, read_scaled_object
from optimizer.autoscalers.manifests import by_stage, manifest_paths, only_manifest
from optimizer.options import check_number, check_whole, suggestion
from optimizer.policies.deployments import DeploymentPolicy, ticks_between
from optimizer.stage_load import StageLoad
from simulator.policy import PolicyContext
from workloads.errors import InputError

__all__ = ["Keda", "KedaOptions"]

FIRST_YEAR, LAST_YEAR = 1970, 2200


@dataclass(frozen=True)
class KedaOptions:
    """Options of `Keda`: one threshold for every stage, or the manifests that say more.

    Attributes
    ----------
    signal, threshold, activation
        Trigger without a manifest: a number of `SIGNALS`, what a replica should have of it, above what it is active.
    min_replicas, max_replicas, polling_interval_s, cooldown_s
        As in a ScaledObject. ``min_replicas`` is 1, unlike KEDA's 0: requests that come while no replica is ready fail
        in the simulation, and are not held.
    manifest
        A ScaledObject (YAML) for all stages: then only ``measures`` and ``begins`` stand beside it. Or one by stage:
        a stage that is left out goes by the options.
    measures
        What triggers on queries measure, by the trigger's name (or type): one of `SIGNALS`.
    begins
        Date and time at which the trace begins, for cron triggers; in UTC unless it says its offset.
    """

    signal: str = "in_flight"
    threshold: float = 2.0
    activation: float = 0.0
    min_replicas: int = 1
    max_replicas: int = 100
    polling_interval_s: float = 30.0
    cooldown_s: float = 300.0
    manifest: str | Mapping[str, str] | None = None
    measures: Mapping[str, str] | None = field(default=None)
    begins: str = "2024-01-01T00:00:00"

    FILES: ClassVar[tuple[str, ...]] = ("manifest",)

    def __post_init__(self) -> None:
        if self.signal not in SIGNALS:
            raise InputError("signal", f"{self.signal!r} is unknown", suggestion(str(self.signal), SIGNALS, "signals"))
        check_number("threshold", self.threshold, 0.0, above=True)
        check_number("activation", self.activation, 0.0)
        check_whole("min_replicas", self.min_replicas, 0)
        if check_whole("max_replicas", self.max_replicas, 1) < self.min_replicas:
            raise InputError(
                "max_replicas", f"{self.max_replicas} is below min_replicas {self.min_replicas}", "raise it"
            )
        check_number("polling_interval_s", self.polling_interval_s, 1.0)
        check_number("cooldown_s", self.cooldown_s, 0.0)
        if self.measures is not None and not isinstance(self.measures, Mapping):
            raise InputError("measures", f"{self.measures!r} is no mapping", "give trigger: signal")
        self.begins_at()
        only_manifest(self, "manifest", ("measures",), free=("begins",))
        self.by_path()

    def begins_at(self) -> datetime:
        """The moment at which the trace begins."""
        try:
            moment = datetime.fromisoformat(self.begins)
        except (TypeError, ValueError):
            fix = 'give one as in "2024-03-01T00:00:00+01:00"'
            raise InputError("begins", f"{self.begins!r} is no date and time", fix) from None
        if not FIRST_YEAR <= moment.year <= LAST_YEAR:
            raise InputError(
                "begins", f"{moment.year} is too far away", f"give a year from {FIRST_YEAR} to {LAST_YEAR}"
            )
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)

    def by_path(self) -> dict[str, ScaledObject]:
        """ScaledObjects by the path of their manifest; under an empty one that of the options."""
        read = {path: read_scaled_object(path, self.measures) for path in manifest_paths(self.manifest)}
        trigger = Threshold(self.signal, self.threshold, self.activation)
        scaled = ScaledObject(
            triggers=(trigger,),
            least=self.min_replicas,
            most=self.max_replicas,
            polling_interval_s=self.polling_interval_s,
            cooldown_s=self.cooldown_s,
        )
        return {"": scaled} | read


class _Stage:
    """One stage's ScaledObject, and the HPA that belongs to it."""

    def __init__(self, scaled: ScaledObject, replicas: int, begins: datetime) -> None:
        self._scaled, self._hpa, self._begins = scaled, hpa_of(scaled), begins
        self._state = Activation(min(max(replicas, scaled.least), scaled.most))
        self._memory = Memory()
        self._told = ""

    def advance(self, start_s: float, end_s: float, load: StageLoad) -> int:
        polls = [(at_s, True) for at_s in ticks_between(start_s, end_s, self._scaled.polling_interval_s)]
        syncs = [(at_s, False) for at_s in ticks_between(start_s, end_s, SYNC_PERIOD_S)]
        signals = {
            "in_flight": load.in_flight,
            "waiting": load.waiting,
            "tasks_per_s": load.tasks_per_s,
            "busy_percent": 0.0 if load.busy != load.busy else 100.0 * load.busy,
        }
        for at_s, is_poll in sorted(polls + syncs, key=lambda tick: (tick[0], not tick[1])):
            moment = self._begins + timedelta(seconds=at_s)
            found = [value_of(trigger, signals, moment) for trigger in self._scaled.triggers]
            if is_poll:
                is_active = any(active for _, active in found)
                self._state = poll(self._scaled, self._state, at_s, is_active=is_active)
            elif self._state.replicas > 0:
                self._sync(at_s, [value for value, _ in found], load)
        return self._state.replicas

    def _sync(self, at_s: float, values: list[float], load: StageLoad) -> None:
        replicas = self._state.replicas
        pods = Pods(load.ready, load.busy, max(0, replicas - load.ready))
        readings = [reading(trigger, value, pods) for trigger, value in zip(self._scaled.triggers, values)]
        synced = sync(self._hpa, readings, replicas, replicas, self._memory, at_s)
        self._memory = synced.memory
        self._state = Activation(synced.replicas, self._state.active_s)
        self._told = ", ".join(f"{value:.1f}" for value in values)

    def told(self) -> str:
        return f"triggers at {self._told}" if self._told else "begins"


class Keda(DeploymentPolicy):
    """A ScaledObject for each stage; polls and syncs as in `optimizer.policies.deployments`."""

    Options = KedaOptions

    def __init__(self, context: PolicyContext, options: KedaOptions) -> None:
        super().__init__(context, options)
        scaled, self._begins = options.by_path(), options.begins_at()
        self._scaled = [scaled[path] for path in by_stage(options.manifest, self.facts.stages, "manifest")]

    def make(self, stage: int, replicas: int, now_s: float) -> _Stage:
        """The stage's ScaledObject."""
        return _Stage(self._scaled[stage], replicas, self._begins)
