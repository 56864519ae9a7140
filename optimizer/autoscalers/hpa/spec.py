"""The configuration of one autoscaler: what a user's manifest says, and the flags of the controller."""

from __future__ import annotations

from dataclasses import dataclass

from optimizer.autoscalers.hpa.behaviour import PolicyType, RatePolicy, Rules
from optimizer.autoscalers.hpa.calculator import Tolerance
from optimizer.autoscalers.hpa.limits import Bounds
from optimizer.autoscalers.hpa.metrics import Metric, Source, Target

__all__ = [
    "DEFAULT_CONTROLLER",
    "DEFAULT_DOWN",
    "DEFAULT_METRIC",
    "DEFAULT_UP",
    "SYNC_PERIOD_S",
    "Behaviour",
    "Controller",
    "HpaSpec",
]

SYNC_PERIOD_S = 15.0
"""``--horizontal-pod-autoscaler-sync-period``."""

DEFAULT_TOLERANCE = Tolerance()

DEFAULT_UP = Rules((RatePolicy(PolicyType.PODS, 4, 15.0), RatePolicy(PolicyType.PERCENT, 100, 15.0)))
DEFAULT_DOWN = Rules((RatePolicy(PolicyType.PERCENT, 100, 15.0),), window_s=300.0)
"""What ``spec.behavior`` means where it leaves something out."""

DEFAULT_METRIC = Metric(Source.RESOURCE, "cpu", Target.UTILISATION, 80)
"""Where ``spec.metrics`` is empty."""


@dataclass(frozen=True)
class Behaviour:
    """``spec.behavior``."""

    up: Rules = DEFAULT_UP
    down: Rules = DEFAULT_DOWN


@dataclass(frozen=True)
class Controller:
    """Flags of the controller; the defaults are Kubernetes' own.

    Attributes
    ----------
    down_window_s
        Stabilisation of a workload without behaviours.
    up_factor, up_least
        Growth in one sync of a workload without behaviours.
    scales_to_zero
        The feature gate HPAScaleToZero.
    """

    tolerance: Tolerance = DEFAULT_TOLERANCE
    down_window_s: float = 300.0
    up_factor: float = 2.0
    up_least: float = 4.0
    scales_to_zero: bool = False


DEFAULT_CONTROLLER = Controller()


@dataclass(frozen=True)
class HpaSpec:
    """One HorizontalPodAutoscaler.

    Attributes
    ----------
    behaviour
        None where the manifest has none, which is not the same as one full of defaults: growth is then limited for
        each sync and not by periods.
    """

    bounds: Bounds
    metrics: tuple[Metric, ...] = (DEFAULT_METRIC,)
    behaviour: Behaviour | None = None

    def tolerance(self, controller: Controller) -> Tolerance:
        """The controller's, but for the directions that say their own."""
        if self.behaviour is None:
            return controller.tolerance
        down, up = self.behaviour.down.tolerance, self.behaviour.up.tolerance
        return Tolerance(
            controller.tolerance.down if down is None else down, controller.tolerance.up if up is None else up
        )
