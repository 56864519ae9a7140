"""Every metric, once: its name, symbol, unit, denominator and formula beside the code that computes it.

``docs/metrics.md`` explains them in words; a test keeps the page and this registry in step.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from simulator import histogram
from simulator.cluster import RESOURCES, resource_index
from simulator.life.fairness import share_fairness, slo_fairness
from simulator.measured import RESOURCE_HOURS, Measured, ratio
from simulator.result import RunResult

__all__ = [
    "ACCURACY_METRICS",
    "METRICS",
    "SERVICE_METRICS",
    "Metric",
    "summarise",
    "summarise_accuracy",
    "summarise_services",
]


@dataclass(frozen=True)
class Metric:
    """One column of a table.

    Attributes
    ----------
    value
        Computes it; for a table by service or by stage it is called with the index too.
    """

    name: str
    symbol: str
    unit: str
    denominator: str
    formula: str
    value: Callable[..., Any]


def summarise(result: RunResult, bound_usd: float) -> dict[str, Any]:
    """One row of ``summary.csv``: metric name to value, in column order; NaN where it has no meaning."""
    measured = Measured(result, bound_usd)
    return {metric.name: metric.value(measured) for metric in METRICS}


def summarise_services(result: RunResult) -> list[dict[str, Any]]:
    """Rows of ``services.csv``, one a service."""
    measured = Measured(result, math.nan)
    services = range(len(result.facts.services))
    return [{metric.name: metric.value(measured, s) for metric in SERVICE_METRICS} for s in services]


def summarise_accuracy(result: RunResult) -> list[dict[str, Any]]:
    """Rows of ``accuracy.csv``, one a stage for which the scenario names a metric."""
    measured = Measured(result, math.nan)
    stages = [k for k, metric in enumerate(result.facts.accuracy_metric) if metric]
    return [{metric.name: metric.value(measured, k) for metric in ACCURACY_METRICS} for k in stages]


def _slo_margin(m: Measured) -> float:
    margin = m.service_attainment - m.result.facts.slo_quantile
    return float(np.nanmin(margin)) if np.isfinite(margin).any() else math.nan


def _minutes(violations: np.ndarray, length_s: np.ndarray) -> float:
    return float(violations @ length_s) / 60.0


def _latency(q: float, name: str) -> Metric:
    symbol = f"L_{name[1:-3]}"
    return Metric(
        name,
        symbol,
        "ms",
        "completed requests, all services",
        f"latency that {100 * q:g} % of completed requests do not exceed, within 1 %",
        lambda m: m.latency_ms(q),
    )


def _count(name: str, symbol: str, formula: str) -> Metric:
    return Metric(name, symbol, "requests", "none", formula, lambda m: int(getattr(m.result, _COUNTS[name]).sum()))


_COUNTS = {"requests": "arrived", "completed": "completed", "rejected": "rejected", "failed": "failed"}


def _hours(resource: str) -> Metric:
    r, unit = resource_index(resource), RESOURCE_HOURS[resource]
    formula = "sum over intervals of what the nodes paid for hold"
    return Metric(unit.column, f"P_{resource}", unit.unit, "none", formula, lambda m: float(m.hours["provisioned"][r]))


def _waste(resource: str) -> Metric:
    unit = RESOURCE_HOURS[resource]
    formula = f"P_{resource} - U_{resource}: paid for and not used"
    return Metric(
        f"waste_{unit.column}",
        f"W_{resource}",
        unit.unit,
        "none",
        formula,
        lambda m: m.waste_hours(resource),
    )


def _idle_claimed(resource: str) -> Metric:
    unit = RESOURCE_HOURS[resource]
    formula = f"A_{resource} - U_{resource}: claimed by replicas and not used (the rest of the waste is unclaimed)"
    return Metric(
        f"idle_claimed_{unit.column}",
        f"I_{resource}",
        unit.unit,
        "none",
        formula,
        lambda m: m.waste_hours(resource, of="allocated"),
    )


def _utilisation(resource: str) -> Metric:
    return Metric(
        f"utilisation_{resource}",
        f"u_{resource}",
        "share",
        f"P_{resource}",
        f"U_{resource} / P_{resource}; empty where nothing was provisioned",
        lambda m: m.share(resource),
    )


METRICS: tuple[Metric, ...] = (
    Metric("policy", "-", "name", "none", "label of the policy", lambda m: m.result.policy),
    Metric("seed", "-", "integer", "none", "seed of the trace and of the service noise", lambda m: m.result.seed),
    _count("requests", "N", "requests that arrived"),
    _count("completed", "N_c", "requests answered, also after the end of the horizon"),
    _count("rejected", "N_r", "requests refused because a queue was full"),
    _count("failed", "N_f", "requests that found no ready replica"),
    _latency(0.50, "p50_ms"),
    _latency(0.95, "p95_ms"),
    _latency(0.99, "p99_ms"),
    Metric(
        "slo_attainment",
        "S",
        "share",
        "N (rejected and failed requests count as misses)",
        "requests completed within their service's objective / N",
        lambda m: ratio(int(m.result.slo_met.sum()), int(m.result.arrived.sum())),
    ),
    Metric(
        "cost_usd",
        "C",
        "USD",
        "none",
        "node-hours paid x price, to the end of the horizon",
        lambda m: m.cost_usd,
    ),
    _hours("gpu"),
    _hours("cpu"),
    _waste("gpu"),
    _waste("cpu"),
    Metric(
        "waste_squared",
        "W2",
        "squared cluster shares x intervals",
        "K_r, all GPUs and all cores of the cluster",
        "sum over intervals t and r in {gpu, cpu} of ((P_r,t - U_r,t) / (d_t K_r))^2 x d_t / D",
        lambda m: m.waste_squared,
    ),
    *(_utilisation(name) for name in ("gpu", "cpu", "gpu_memory", "network", "storage")),
    Metric(
        "cold_starts",
        "-",
        "replicas",
        "none",
        "replicas whose start began after time 0",
        lambda m: int(m.result.cold_starts),
    ),
    Metric(
        "bound_cost_usd",
        "B",
        "USD",
        "none",
        "fluid lower bound on the cost of serving what this run served by the end of the horizon",
        lambda m: m.bound_usd,
    ),
    Metric("gap", "g", "share", "C", "(C - B) / C", lambda m: ratio(m.cost_usd - m.bound_usd, m.cost_usd)),
    Metric(
        "mean_ms",
        "L_mean",
        "ms",
        "completed requests, all services",
        "mean latency, from the histogram, within 1 %",
        lambda m: 1e3 * histogram.mean(m.pooled),
    ),
    _latency(0.999, "p999_ms"),
    Metric(
        "slo_margin",
        "M",
        "share",
        "arrived requests of the service",
        "min over services of (attainment - quantile asked for); negative where one misses",
        _slo_margin,
    ),
    Metric(
        "minutes_in_violation",
        "V",
        "min",
        "none",
        "length of the intervals in which at least one service's attainment was below the quantile asked for",
        lambda m: _minutes(m.violations.any(axis=1), m.result.intervals.length_s),
    ),
    Metric(
        "worst_5min_slo",
        "S_5",
        "share",
        "requests that ended in the window, all services",
        "lowest attainment of any five minutes",
        lambda m: m.worst[0],
    ),
    Metric(
        "cost_per_million_usd",
        "C_M",
        "USD per million requests",
        "N_c / 1e6",
        "C / (N_c / 1e6)",
        lambda m: ratio(m.cost_usd, int(m.result.completed.sum()) / 1e6),
    ),
    _utilisation("memory"),
    *(_hours(name) for name in ("gpu_memory", "memory", "storage", "network")),
    *(_waste(name) for name in ("gpu_memory", "memory", "storage", "network")),
    *(_idle_claimed(name) for name in RESOURCES),
    Metric(
        "storage_gb_loaded",
        "-",
        "GB",
        "none",
        "moved over the shared store: weights, images, and what jobs read and write",
        lambda m: float(m.result.storage_bytes_loaded) / 1e9,
    ),
    Metric(
        "extrapolated_batches",
        "x",
        "share",
        "batches that ended by the end of the horizon",
        "batches larger than any that was measured / batches",
        lambda m: ratio(int(m.result.extrapolated_batches.sum()), int(m.result.served_batches.sum())),
    ),
    Metric("replicas_lost", "-", "replicas", "none", "replicas that failed", lambda m: int(m.result.replicas_lost)),
    Metric(
        "training_gpu_hours",
        "T_gpu",
        "GPU h",
        "none",
        "GPUs held by jobs beside serving, to the end of the horizon; no part of U_gpu",
        lambda m: float(m.result.intervals.training_gpu_s.sum()) / 3600.0,
    ),
    Metric(
        "fairness_slo",
        "J_S",
        "share",
        "sum of w_s x sum of w_s S_s^2, over services s with requests",
        "(sum of w_s S_s)^2 / denominator: Jain's index of attainment S_s, services counted by weight w_s",
        lambda m: slo_fairness(m.result),
    ),
    Metric(
        "fairness_share",
        "J_D",
        "share",
        "n x sum of (D_s / w_s)^2, over the n services with requests",
        "(sum of D_s / w_s)^2 / denominator: Jain's index of mean dominant shares D_s over weights w_s",
        lambda m: share_fairness(m.result),
    ),
)


def _service_latency(q: float, name: str) -> Metric:
    return Metric(
        name,
        f"L_{name[1:-3]}",
        "ms",
        "completed requests of the service",
        f"latency that {100 * q:g} % of completed requests do not exceed, within 1 %",
        lambda m, s: 1e3 * histogram.quantile(m.result.histogram[s], q),
    )


def _service_count(name: str) -> Metric:
    formula = f"{name} of this service"
    return Metric(name, "-", "requests", "none", formula, lambda m, s: int(getattr(m.result, _COUNTS[name])[s]))


SERVICE_METRICS: tuple[Metric, ...] = (
    Metric("policy", "-", "name", "none", "label of the policy", lambda m, s: m.result.policy),
    Metric("seed", "-", "integer", "none", "seed of the run", lambda m, s: m.result.seed),
    Metric("service", "-", "name", "none", "name of the service", lambda m, s: m.result.facts.services[s]),
    *(_service_count(name) for name in _COUNTS),
    Metric(
        "mean_ms",
        "L_mean",
        "ms",
        "completed requests of the service",
        "mean latency, from the histogram, within 1 %",
        lambda m, s: 1e3 * histogram.mean(m.result.histogram[s]),
    ),
    *(_service_latency(q, f"p{n}_ms") for q, n in ((0.5, "50"), (0.95, "95"), (0.99, "99"), (0.999, "999"))),
    Metric("slo_ms", "O", "ms", "none", "latency objective", lambda m, s: 1e3 * float(m.result.facts.slo_s[s])),
    Metric(
        "slo_quantile",
        "Q",
        "share",
        "none",
        "share of the requests that should meet it",
        lambda m, s: float(m.result.facts.slo_quantile[s]),
    ),
    Metric(
        "slo_attainment",
        "S",
        "share",
        "arrived requests of the service",
        "requests completed within the objective / arrived",
        lambda m, s: float(m.service_attainment[s]),
    ),
    Metric(
        "minutes_in_violation",
        "V",
        "min",
        "none",
        "length of the intervals in which attainment was below the quantile asked for",
        lambda m, s: _minutes(m.violations[:, s], m.result.intervals.length_s),
    ),
    Metric(
        "worst_5min_slo",
        "S_5",
        "share",
        "requests of the service that ended in the window",
        "lowest attainment of any five minutes",
        lambda m, s: float(m.worst[1][s]),
    ),
    Metric(
        "dominant_share",
        "D_s",
        "share",
        "what all nodes of the cluster hold, by resource",
        "largest, over resources, of mean claims of the service's replicas / denominator",
        lambda m, s: float(m.dominant_share[s]),
    ),
)


def _variants(m: Measured, stage: int) -> np.ndarray:
    return np.asarray(m.result.facts.variant_stage == stage)


def _lost_usd(m: Measured, stage: int) -> float:
    served, mine = m.result.served_requests.sum(axis=1), _variants(m, stage)
    return float(m.result.facts.lost_usd_per_request[mine] @ served[mine])


def _best(m: Measured, stage: int) -> float:
    return float(m.result.facts.accuracy[_variants(m, stage)].max())


ACCURACY_METRICS: tuple[Metric, ...] = (
    Metric("policy", "-", "name", "none", "label of the policy", lambda m, k: m.result.policy),
    Metric("seed", "-", "integer", "none", "seed of the run", lambda m, k: m.result.seed),
    Metric("stage", "-", "name", "none", "service and stage", lambda m, k: m.result.facts.stages[k]),
    Metric("metric", "-", "name", "none", "metric of the profiles", lambda m, k: m.result.facts.accuracy_metric[k]),
    Metric(
        "requests",
        "n_k",
        "requests",
        "none",
        "requests whose batch at the stage ended by the end of the horizon",
        lambda m, k: int(m.result.served_requests[_variants(m, k)].sum()),
    ),
    Metric(
        "accuracy",
        "a_k",
        "unit of the metric",
        "n_k",
        "sum over variants v of n_v x a_v / n_k; empty where nothing was served",
        lambda m, k: float(m.stage_accuracy[k]),
    ),
    Metric("accuracy_best", "a_k*", "unit of the metric", "none", "largest a_v of the stage's variants", _best),
    Metric(
        "accuracy_floor",
        "f_k",
        "unit of the metric",
        "none",
        "least mean asked for; empty where there is no floor",
        lambda m, k: (
            float(m.result.facts.accuracy_floor[k]) if np.isfinite(m.result.facts.accuracy_floor[k]) else math.nan
        ),
    ),
    Metric(
        "accuracy_margin",
        "-",
        "unit of the metric",
        "none",
        "a_k - f_k; negative where the floor is missed, empty where there is none",
        lambda m, k: float(m.accuracy_margin[k]),
    ),
    Metric(
        "lost_points",
        "-",
        "points (0.01)",
        "n_k",
        "100 (a_k* - a_k)",
        lambda m, k: 100.0 * (_best(m, k) - float(m.stage_accuracy[k])),
    ),
    Metric(
        "lost_usd",
        "-",
        "USD",
        "none",
        "sum over v of n_v x 100 (a_k* - a_v) x usd_per_point_per_million / 1e6: a worth, not a bill; not in C",
        _lost_usd,
    ),
)
