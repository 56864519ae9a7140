"""The yardstick: the MIP policy with the true demand in place of a forecast. It cannot be run in practice."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from optimizer.forecasting.demand import DEFAULT
from optimizer.options import check_whole
from optimizer.policies.mip import Mip, MipOptions
from simulator.policy import Observation, PolicyContext
from workloads.errors import InputError

__all__ = ["ClairvoyantMip", "ClairvoyantMipOptions"]


@dataclass(frozen=True)
class ClairvoyantMipOptions(MipOptions):
    """Options of `ClairvoyantMip`: those of the MIP, and how much further it looks.

    Attributes
    ----------
    extra_slots
        Control intervals beyond the start-up time, for weights that load slower when several replicas start
        at once.
    """

    extra_slots: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_whole("extra_slots", self.extra_slots, 0)
        if self.forecast != DEFAULT:
            raise InputError("forecast", "this policy knows the demand", "leave it out, or name the policy mip")


class ClairvoyantMip(Mip):
    """The MIP on ``max future_rps[slot .. slot + L]``, ``L`` the slowest start of the stage's pairs in
    whole intervals.

    What is needed at any time until a replica decided now would be ready is asked for now; what is not
    needed in that time is drained. The optimum is that of each instant, not of the whole day: starts and
    drains are priced by the same churn weight as in `Mip`, so a policy that holds replicas through a dip
    may, rarely, undercut it.
    """

    name: ClassVar[str] = "clairvoyant_mip"
    Options = ClairvoyantMipOptions
    clairvoyant: ClassVar[bool] = True

    def __init__(self, context: PolicyContext, options: ClairvoyantMipOptions) -> None:
        super().__init__(context, options)
        self._future_rps = self.facts.planned_demand(context.future_rps)
        interval = self.facts.control_interval_s
        slowest = [self.preference.ready_after_s(s).max(initial=0.0) for s in range(len(self.facts.stages))]
        self._ahead = [int(np.ceil(delay / interval - 1e-9)) + 1 + options.extra_slots for delay in slowest]

    def expected_rps(self, observation: Observation) -> np.ndarray:
        """``[stage]`` largest true rate until, and just after, a replica decided now is ready."""
        last = self._future_rps.shape[1]
        start = min(observation.slot, last - 1)
        return np.array([row[start : start + ahead].max() for row, ahead in zip(self._future_rps, self._ahead)])
