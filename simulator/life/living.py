"""Everything that happens to the fleet of a run, begun together."""

from __future__ import annotations

import simpy

from simulator.actuator import Actuator
from simulator.fleet import Fleet
from simulator.fleet_plan import Numbering
from simulator.life.events import JobReport
from simulator.life.failures import Failures, Names
from simulator.life.refresh import Refresher
from simulator.life.schedule import outages_of
from simulator.life.training import Training

__all__ = ["FleetLife"]


class FleetLife:
    """Failures, refreshes and jobs of a run, on its clock."""

    def __init__(
        self,
        env: simpy.Environment,
        fleet: Fleet,
        actuator: Actuator,
        numbering: Numbering,
        names: Names,
        seed: int,
        duration_s: float,
    ) -> None:
        life = actuator.life
        Failures(env, fleet, actuator, outages_of(life, seed, duration_s), names)
        for refresh in life.refreshes:
            size_bytes = numbering.variants[refresh.variant][1].load_bytes
            Refresher(env, fleet, actuator, refresh, size_bytes)
        self._training = Training(env, actuator, life.jobs) if life.jobs else None

    def jobs(self) -> tuple[JobReport, ...]:
        """What became of each job so far."""
        return self._training.reports() if self._training is not None else ()
