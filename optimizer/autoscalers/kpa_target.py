"""Load that the Knative Pod Autoscaler aims at for a pod, from the revision's annotations and the cluster's defaults.

Rules: Knative documentation, "Configuring concurrency", "Configuring the requests per second target".
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["LEAST_TARGET", "TargetDefaults", "resolve_target"]

LEAST_TARGET = 0.01
"""Least target that the KPA aims at."""


@dataclass(frozen=True)
class TargetDefaults:
    """Of the cluster (``config-autoscaler``).

    Attributes
    ----------
    concurrency
        ``container-concurrency-target-default``, tasks in flight of a pod without a limit.
    concurrency_utilisation
        ``container-concurrency-target-percentage`` as a fraction.
    rps
        ``requests-per-second-target-default``.
    rps_utilisation
        Fraction of the target in requests/s; 0.7, which no setting of the cluster changes.
    """

    concurrency: float = 100.0
    concurrency_utilisation: float = 0.7
    rps: float = 200.0
    rps_utilisation: float = 0.7


def resolve_target(
    metric: str,
    *,
    container_concurrency: float = 0.0,
    annotated_target: float | None = None,
    annotated_utilisation: float | None = None,
    defaults: TargetDefaults | None = None,
) -> tuple[float, float]:
    """``(target, total)``: load that a pod should have, and load that it can take.

    Parameters
    ----------
    metric
        ``concurrency`` or ``rps``.
    container_concurrency
        Hard limit of tasks in flight of a pod; 0 is none.
    annotated_target
        ``autoscaling.knative.dev/target``, a soft limit. The smaller of it and the hard one counts.
    annotated_utilisation
        ``autoscaling.knative.dev/target-utilization-percentage`` as a fraction.
    """
    defaults = defaults or TargetDefaults()
    if metric == "rps":
        total, utilisation = defaults.rps, defaults.rps_utilisation
    else:
        total, utilisation = container_concurrency or defaults.concurrency, defaults.concurrency_utilisation
    if annotated_target is not None:
        limited = metric != "rps" and container_concurrency > 0
        total = min(annotated_target, container_concurrency) if limited else annotated_target
    if annotated_utilisation is not None:
        utilisation = annotated_utilisation
    return max(LEAST_TARGET, total * utilisation), total
