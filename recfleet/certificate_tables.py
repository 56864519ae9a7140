"""Certificates, ledgers and bottleneck prices as rows and documents; ``docs/certificate.md`` explains the columns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from recfleet.estimates import estimate
from recfleet.run_record import RunRecord
from simulator.cluster import RESOURCES
from simulator.measured import RESOURCE_HOURS

if TYPE_CHECKING:
    import pandas as pd

    from optimizer.certificate.certify import Certificate, Enclosure
    from optimizer.certificate.prices import BottleneckPrices
    from simulator.policy import FleetFacts

__all__ = [
    "PRICE_UNITS",
    "certificate_document",
    "certificate_frame",
    "ledger_frame",
    "mean_of",
    "price_rows",
    "why_below",
]

PRICE_UNITS = {
    "gpu": "GPU",
    "gpu_memory": "GB of GPU memory",
    "cpu": "CPU core",
    "memory": "GB of memory",
    "storage": "GB/s of storage reads",
    "network": "GB/s of network",
}
"""What one unit of a resource is called in prices."""


def certificate_frame(runs: Sequence[RunRecord], certificates: Sequence[Certificate]) -> pd.DataFrame:
    """A row a run: the chain, its gap, and in which slots the run met the condition."""
    import pandas as pd

    return pd.DataFrame([_certificate_row(run, c) for run, c in zip(runs, certificates, strict=True)])


def _certificate_row(run: RunRecord, certificate: Certificate) -> dict[str, Any]:
    optimum, conditions = certificate.optimum, certificate.conditions
    return {
        "policy": run.policy,
        "seed": run.seed,
        "fluid_usd": certificate.fluid_usd,
        "clairvoyant_lower_usd": optimum.lower_usd,
        "clairvoyant_upper_usd": optimum.upper_usd,
        "clairvoyant_status": optimum.status,
        "cost_usd": certificate.cost_usd,
        "served_bound_usd": certificate.served_bound_usd,
        "gap_to_clairvoyant": certificate.gap,
        "condition_met": certificate.applies,
        "slots": conditions.slots,
        "slots_short": conditions.short,
        "requests_in_short_slots": conditions.short_requests,
        "least_throughput_over_demand": conditions.worst_share,
        "slots_below_floor": conditions.below_floor,
        "slots_beyond_cluster": optimum.slots_beyond,
        "why_below": why_below(run, certificate),
    }


def why_below(run: RunRecord, certificate: Enclosure) -> str:
    """Why a run paid less than the clairvoyant optimum; empty where it did not."""
    if certificate.cost_usd >= certificate.optimum.lower_usd:
        return ""
    conditions, reasons = certificate.conditions, []
    if conditions.short:
        reasons.append(
            f"in {conditions.short:,} of {conditions.slots:,} slots, with {100 * conditions.short_requests:.3g} % of "
            "the requests, the fleet ready throughout had less SLO-feasible throughput than the demand (at worst "
            f"{100 * conditions.worst_share:.3g} % of it): requests queued over slots, or replicas ran hotter than one "
            "alone may"
        )
    if conditions.below_floor:
        reasons.append(f"in {conditions.below_floor:,} slots the fleet's accuracy lay below a floor")
    if certificate.optimum.slots_beyond:
        reasons.append(f"in {certificate.optimum.slots_beyond:,} slots no fleet of this cluster serves the demand")
    result = run.result
    lost = int(result.rejected.sum() + result.failed.sum())
    if lost:
        reasons.append(f"{lost:,} requests were rejected or failed")
    with np.errstate(invalid="ignore", divide="ignore"):
        missed = result.slo_met / result.arrived < result.facts.slo_quantile
    names = [service for service, is_missed in zip(result.facts.services, missed) if is_missed]
    if names:
        reasons.append(f"{', '.join(names)} missed {'its objective' if len(names) == 1 else 'their objectives'}")
    return "; ".join(reasons) or "no reason was found: a defect of recfleet"


def ledger_frame(runs: Sequence[RunRecord], certificates: Sequence[Certificate]) -> pd.DataFrame:
    """A row a run and line of its ledger, in order; the lines of a run sum to ``cost_usd - bound_cost_usd``."""
    import pandas as pd

    return pd.DataFrame(
        [
            {
                "policy": run.policy,
                "seed": run.seed,
                "line": line.key,
                "usd": line.usd,
                "known_within_usd": line.known_within_usd,
                "rung_usd": rung.usd,
                "rung_lower_usd": rung.lower_usd,
                "note": line.note,
            }
            for run, c in zip(runs, certificates, strict=True)
            for line, rung in zip(c.ledger.lines, c.ledger.rungs[1:])
        ]
    )


def price_rows(prices: BottleneckPrices, facts: FleetFacts) -> list[dict[str, Any]]:
    """A row a price above 0, with ``kind`` (resource, node, stage), ``what`` and ``usd_per_day``, dearest first."""
    rows = []
    for n, node_type in enumerate(facts.node_types):
        for r, resource in enumerate(RESOURCES):
            usd = float(prices.resource_usd_per_day[n, r]) * RESOURCE_HOURS[resource].scale
            if usd > 0.0:
                what = f"{PRICE_UNITS[resource]} on {node_type}"
                rows.append({"kind": "resource", "what": what, "usd_per_day": usd})
        if prices.node_usd_per_day[n] > 0.0:
            rows.append({"kind": "node", "what": f"{node_type} node", "usd_per_day": float(prices.node_usd_per_day[n])})
    rows.sort(key=lambda row: -float(str(row["usd_per_day"])))
    stages = [
        {"kind": "stage", "what": f"1,000 requests/s at {name}", "usd_per_day": float(usd)}
        for name, usd in zip(facts.stages, prices.stage_usd_per_day)
    ]
    return [*rows, *stages]


def certificate_document(
    runs: Sequence[RunRecord], certificates: Sequence[Certificate], prices: BottleneckPrices
) -> dict[str, Any]:
    """Parts of ``summary.json``: ``certificate``, ``waste_ledger`` and ``bottleneck_prices``."""
    frame = certificate_frame(runs, certificates)
    rows = frame.to_dict("records")
    ledgers = {}
    for policy in dict.fromkeys(run.policy for run in runs):
        own = [c for run, c in zip(runs, certificates, strict=True) if run.policy == policy]
        ledgers[policy] = {
            "bound_usd": mean_of([c.ledger.bound_usd for c in own]),
            "lines": [
                {"line": line.key, "title": line.title, "note": line.note}
                | mean_of([c.ledger.lines[i].usd for c in own])
                | {"known_within_usd": max(c.ledger.lines[i].known_within_usd for c in own)}
                for i, line in enumerate(own[0].ledger.lines)
            ],
            "cost_usd": mean_of([c.cost_usd for c in own]),
        }
    return {
        "certificate": rows,
        "waste_ledger": ledgers,
        "bottleneck_prices": {
            "fluid_usd_per_day": prices.usd_per_day,
            "slots_left_out": prices.slots_left_out,
            "slots_per_part": prices.slots_per_part,
            "prices": price_rows(prices, runs[0].result.facts),
        },
    }


def mean_of(values: Sequence[float]) -> dict[str, float]:
    """Mean and half of the 95 % interval over seeds."""
    found = estimate(values)
    return {"mean": found.mean, "ci95_half_width": found.half_width}
