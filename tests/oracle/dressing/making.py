"""A world on its way to being dressed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from ..controls import AnyControl
from ..model import OracleArrival, OracleService, OracleStage, OracleVariant, OracleWorld
from ..worlds import Draw, moment_s


@dataclass
class Making:
    """A world on its way, with the scale of its times."""

    draw: Draw
    world: OracleWorld
    arrivals: list[OracleArrival]
    controls: list[AnyControl]
    scale_s: float
    horizon_s: float

    def each_stage(self, change: Callable[[OracleStage], OracleStage]) -> None:
        self.world = replace(self.world, stages=tuple(map(change, self.world.stages)))

    def each_service(self, change: Callable[[OracleService], OracleService]) -> None:
        plans = self.world.service_plans or (OracleService(),) * self.world.services
        self.world = replace(self.world, service_plans=tuple(map(change, plans)))

    def each_variant(self, change: Callable[[OracleVariant], OracleVariant]) -> None:
        self.world = replace(self.world, variants=tuple(map(change, self.world.variants)))

    def moment_s(self, low_s: float = 0.0) -> float:
        return moment_s(self.draw, low_s, max(low_s, self.horizon_s))
