"""One revision under the Knative Pod Autoscaler: its load second by second, and its evaluations tick by tick."""

from __future__ import annotations

import math

from optimizer.autoscalers.kpa import Decision, Load, decide, start_panic
from optimizer.autoscalers.kpa_last_pod import Activity, bounded, last_pod
from optimizer.autoscalers.kpa_settings import KpaSettings
from optimizer.autoscalers.kpa_windows import ExponentialWindow, LinearWindow, MaximumWindow, bucket_count, bucket_of

__all__ = ["Revision"]

BUCKET_S = 1.0
"""Length of the buckets that load is averaged over; pods are asked once a second."""


class Revision:
    """A revision in service.

    Parameters
    ----------
    pods
        Those at ``now_s``.

    Attributes
    ----------
    decision
        The last evaluation; None before the first.
    pods
        Wanted by it, after delay and bounds.
    """

    def __init__(self, settings: KpaSettings, pods: int, now_s: float) -> None:
        self._settings, self._rules, self._bounds = settings, settings.rules(), settings.bounds()
        self._last_pod_rules = settings.last_pod_rules()
        window = LinearWindow if settings.aggregation == "linear" else ExponentialWindow
        self._stable = window(bucket_count(settings.window_s, BUCKET_S))
        self._urgent = window(bucket_count(settings.panic_window_s, BUCKET_S))
        delay_s = settings.scale_down_delay_s
        self._past = MaximumWindow(bucket_count(delay_s, settings.tick_s)) if delay_s > 0 else None
        self.panic = start_panic(pods, now_s)
        self._activity = Activity(True, now_s) if pods > 0 else Activity(False, -math.inf, -math.inf)
        self.decision: Decision | None = None
        self.pods = bounded(pods, self._bounds)

    def record(self, second: int, load: float) -> None:
        """Load of all pods in the second that begins at ``second``: tasks in flight, or tasks/s."""
        self._stable.record(second, load)
        self._urgent.record(second, load)

    def tick(self, now_s: float, ready_pods: int) -> int:
        """Evaluate; the pods wanted from now on.

        The window ends with the last full second.
        """
        second = bucket_of(now_s, BUCKET_S) - 1
        stable, urgent = self._stable.average(second), self._urgent.average(second)
        load = None if stable is None or urgent is None else Load(stable, urgent)
        self.decision, self.panic = decide(self._rules, self.panic, now_s, ready_pods, load)
        if not self.decision.is_valid:
            return self.pods
        pods = self.decision.pods
        if self._past is not None:
            pods = self._past.record(bucket_of(now_s, self._settings.tick_s), pods)
        pods = bounded(pods, self._bounds)
        pods, self._activity = last_pod(self._last_pod_rules, self._activity, now_s, pods, self.decision.spare_burst)
        self.pods = pods
        return pods
