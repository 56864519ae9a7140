"""What becomes of a decision of the Knative Pod Autoscaler: bounds, and when the last pod may go.

Rules: Knative documentation, "Configuring scale bounds", "Configuring scale to zero".
"""

from __future__ import annotations

from dataclasses import dataclass, replace

__all__ = ["Activity", "LastPodRules", "Scaling", "bounded", "last_pod"]


@dataclass(frozen=True)
class LastPodRules:
    """When a revision without traffic loses its last pod.

    Attributes
    ----------
    is_allowed
        ``enable-scale-to-zero``.
    stable_window_s
        A revision stays active at least so long.
    grace_s
        ``scale-to-zero-grace-period``: longest wait until requests go to the activator.
    retention_s
        ``scale-to-zero-pod-retention-period``: the last pod stays at least so long after the decision.
    """

    is_allowed: bool = True
    stable_window_s: float = 60.0
    grace_s: float = 30.0
    retention_s: float = 0.0


@dataclass(frozen=True)
class Activity:
    """What the last pod's fate hangs on.

    Attributes
    ----------
    is_active
        Whether the revision counts as active, and ``since_s`` when.
    proxied_s
        Since when the activator has been in the path of its requests; None where it is not.
    """

    is_active: bool
    since_s: float
    proxied_s: float | None = None


@dataclass(frozen=True)
class Scaling:
    """Bounds of a revision's pods; ``most`` is None where there is no upper one."""

    least: int = 0
    most: int | None = None


def bounded(pods: int, bounds: Scaling) -> int:
    """The nearest number within the bounds."""
    pods = max(pods, bounds.least)
    return pods if bounds.most is None else min(pods, bounds.most)


def last_pod(
    rules: LastPodRules, activity: Activity, now_s: float, pods: int, spare_burst: float
) -> tuple[int, Activity]:
    """Pods that run instead of ``pods``: one more than none until the last one may go.

    An active revision of which no pod is wanted stays active for the stable window. Inactive, its last pod goes when
    the pod has been kept for the retention period and the activator has been in the path for the grace period, at the
    latest when the revision has been inactive for the longer of the two.
    """
    activity = _proxied(activity, now_s, in_path=spare_burst < 0 or not activity.is_active)
    if pods > 0:
        woken = Activity(True, now_s, activity.proxied_s)
        return pods, activity if activity.is_active else _proxied(woken, now_s, in_path=spare_burst < 0)
    if not rules.is_allowed:
        return 1, activity
    if activity.is_active:
        is_young = now_s - activity.since_s < rules.stable_window_s
        asleep = Activity(False, now_s, activity.proxied_s)
        return 1, activity if is_young else _proxied(asleep, now_s, in_path=True)
    return (0 if _may_go(rules, activity, now_s) else 1), activity


def _proxied(activity: Activity, now_s: float, *, in_path: bool) -> Activity:
    if in_path == (activity.proxied_s is not None):
        return activity
    return replace(activity, proxied_s=now_s if in_path else None)


def _may_go(rules: LastPodRules, activity: Activity, now_s: float) -> bool:
    inactive_s = now_s - activity.since_s
    proxied_s = 0.0 if activity.proxied_s is None else now_s - activity.proxied_s
    if inactive_s >= max(rules.grace_s, rules.retention_s):
        return True
    return inactive_s >= rules.retention_s and proxied_s >= rules.grace_s
