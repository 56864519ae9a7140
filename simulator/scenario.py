"""A scenario, resolved: profiles loaded, node types filled in, the trace ready to be drawn for a seed."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from simulator.cluster import Cluster
from simulator.life.plan import Life
from simulator.life.resolve import at_spot_prices, resolve_life
from simulator.monitoring.known_series import refuse_unknown_alerts
from simulator.scenario_cluster import resolve_cluster
from simulator.scenario_errors import explain
from simulator.scenario_file import ScenarioFile
from simulator.scenario_provenance import assumptions_of, sources_of
from simulator.scenario_reach import refuse_dead_ends
from simulator.scenario_reading import Place, Reading, placed
from simulator.scenario_services import resolve_services
from simulator.service import Service, Stage, Variant
from simulator.strict_yaml import read_yaml
from simulator.trace_columns import refuse_unknown_users
from workloads.data_folder import resolve_path
from workloads.errors import InputError
from workloads.profile import ModelProfile

if TYPE_CHECKING:
    from simulator.monitoring.alerts import AlertRule
    from simulator.plan import RecordPlan
    from workloads.trace import Trace

__all__ = ["Scenario", "Service", "Stage", "Variant", "load_scenario"]

MAX_INTERVALS = 1_000_000


@dataclass(frozen=True, eq=False)
class Scenario:
    """Everything a run needs but the policy and the seed.

    Attributes
    ----------
    assumptions
        Whatever is assumed rather than measured or logged, one sentence each.
    sources
        What is real, and where it comes from.
    inputs
        SHA-256 of every file read, by path as given.
    headroom_after_loss
        What plans keep above the demand when a node is lost; None where they need not outlive that.
    budget_usd_per_hour
        Most that the nodes planned may cost together; infinite where no budget is named.
    chooses_batch_caps
        Whether batch caps are chosen, up to those that variants state.
    """

    name: str
    description: str
    path: Path
    seed: int
    control_interval_s: float
    service_noise: bool
    cluster: Cluster
    services: tuple[Service, ...]
    policies: tuple[str | dict[str, Any], ...]
    headroom: float
    unserved_usd_per_request: float
    assumptions: tuple[str, ...]
    sources: tuple[str, ...]
    inputs: dict[str, str]
    file: ScenarioFile = field(repr=False)
    life: Life = field(default_factory=Life)
    headroom_after_loss: float | None = None
    budget_usd_per_hour: float = math.inf
    chooses_batch_caps: bool = False

    @property
    def file_sha256(self) -> str:
        """Hash of the scenario file itself."""
        return self.inputs[str(self.path)]

    @property
    def service_names(self) -> tuple[str, ...]:
        """Names of the services, in order."""
        return tuple(service.name for service in self.services)

    @property
    def profiles(self) -> tuple[ModelProfile, ...]:
        """All profiles in use, in order, each once."""
        found = {v.profile.name: v.profile for s in self.services for stage in s.stages for v in stage.variants}
        return tuple(found.values())

    @property
    def alert_rules(self) -> tuple[AlertRule, ...]:
        """Rules that a run's series are watched by."""
        return tuple(alert.rule() for alert in self.file.monitoring.alerts)

    @property
    def sample(self) -> RecordPlan | None:
        """The requests that a single run keeps one by one."""
        sample = self.file.monitoring.sample
        return sample.record() if sample else None

    def trace_for(self, seed: int) -> Trace:
        """The requests of a seed; the same seed gives the same requests to every policy."""
        return self.file.trace.build(seed, self.service_names, self.path.parent)

    @cached_property
    def duration_s(self) -> float:
        """Length of the trace in seconds."""
        return float(self.trace_for(self.seed).info.duration_s)


def load_scenario(path: str | Path) -> Scenario:
    """Read, check and resolve a scenario file.

    Raises
    ------
    InputError
        With file, line, field, value and fix: of all fields that are missing, unknown or wrong by themselves, else of
        the first thing that does not fit together.
    """
    path = Path(path)
    document = read_yaml(path)
    if not isinstance(document.value, dict):
        raise InputError(str(path), "is empty or not a mapping", "start from scenarios/demo.yaml")
    try:
        file = ScenarioFile.model_validate(document.value)
    except ValidationError as error:
        raise explain(document, error) from None
    reading = Reading(document, path.parent)
    reading.note_input(str(path), path)
    cluster = at_spot_prices(resolve_cluster(reading, file.cluster), file.life)
    services = resolve_services(reading, file.services, cluster)
    scenario = Scenario(
        name=file.name,
        description=file.description,
        path=path,
        seed=file.seed,
        control_interval_s=file.control_interval_s,
        service_noise=file.service_noise,
        cluster=cluster,
        services=services,
        policies=tuple(file.policies),
        headroom=file.planning.headroom,
        unserved_usd_per_request=file.planning.unserved_usd_per_million / 1e6,
        assumptions=(),
        sources=(),
        inputs=reading.inputs,
        file=file,
        life=resolve_life(reading, file.life, cluster, services),
        headroom_after_loss=file.planning.headroom_after_loss if file.planning.survive == "node" else None,
        budget_usd_per_hour=file.planning.budget_usd_per_hour or math.inf,
        chooses_batch_caps=file.planning.batch_caps == "chosen",
    )
    refuse_dead_ends(reading, scenario.services, cluster)
    refuse_unknown_alerts(reading, scenario)
    trace = _trace(reading, scenario)
    refuse_unknown_users(scenario, trace, reading.where("trace"))
    _refuse_many_intervals(reading, scenario, trace)
    return replace(scenario, assumptions=assumptions_of(scenario, trace), sources=sources_of(scenario, trace))


def _trace(reading: Reading, scenario: Scenario) -> Trace:
    """The trace of the scenario's own seed; its file is noted among the inputs."""
    spec = scenario.file.trace
    place: Place = ("trace", "counts", "file") if spec.counts else ("trace", "file")
    name = spec.counts.file if spec.counts else spec.file
    try:
        trace = scenario.trace_for(scenario.seed)
        if name is not None:
            reading.note_input(name, resolve_path(name, reading.base))
    except InputError as error:
        raise placed(reading.document, place, error) from None
    return trace


def _refuse_many_intervals(reading: Reading, scenario: Scenario, trace: Trace) -> None:
    shortest_s = trace.info.duration_s / MAX_INTERVALS
    if scenario.control_interval_s < shortest_s:
        raise InputError(reading.where("control_interval_s"),
                         f"{scenario.control_interval_s:g} cuts the trace into more than {MAX_INTERVALS} intervals",
                         f"give at least {shortest_s:g}")  # fmt: skip
