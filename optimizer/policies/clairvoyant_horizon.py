"""The yardstick of the rolling horizon: the same plans with the true demand in place of a forecast."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from optimizer.forecasting.demand import DEFAULT
from optimizer.policies.rolling_horizon import RollingHorizon, RollingHorizonOptions
from simulator.policy import Observation, PolicyContext
from workloads.errors import InputError

__all__ = ["ClairvoyantHorizon", "ClairvoyantHorizonOptions"]


@dataclass(frozen=True)
class ClairvoyantHorizonOptions(RollingHorizonOptions):
    """Options of `ClairvoyantHorizon`: those of `RollingHorizon`, without a forecast to choose.

    Attributes
    ----------
    whole_blocks
        All, unless told otherwise. Where demand is known to change, fractions of large nodes in far blocks look
        cheaper than the nodes that will have to be opened, and a move away from such nodes is put off for ever.
    """

    whole_blocks: int = 1000

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.forecast != DEFAULT:
            raise InputError("forecast", "this policy knows the demand", "leave it out, or name rolling_horizon")


class ClairvoyantHorizon(RollingHorizon):
    """`RollingHorizon` that reads the future of the whole horizon; it cannot be run in practice.

    It says what a perfect forecast would be worth to that policy. It is not a bound: it sees no further than the
    horizon, plans for the objective in every slot, and keeps the same headroom.
    """

    name: ClassVar[str] = "clairvoyant_horizon"
    Options = ClairvoyantHorizonOptions
    clairvoyant: ClassVar[bool] = True

    def __init__(self, context: PolicyContext, options: ClairvoyantHorizonOptions) -> None:
        super().__init__(context, options)
        self._future_rps = self.facts.planned_demand(context.future_rps)

    def expected_rps(self, observation: Observation) -> np.ndarray:
        """``[stage, slot]`` of the truth; beyond its end the last slot goes on."""
        slots = np.minimum(observation.slot + np.arange(self._grid.slots), self._future_rps.shape[1] - 1)
        return np.asarray(self._future_rps[:, slots])
