"""What an autoscaled plan is held against: the cheapest sequence of whole fleets, and why a plan may lie below it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from recfleet.certificate_tables import why_below

if TYPE_CHECKING:
    from optimizer.certificate.certify import Enclosure
    from recfleet.run_record import RunRecord
    from simulator.policy import FleetFacts

__all__ = ["WholeFleets", "whole_fleets"]

STATUSES = ("proven", "enclosed", "no sequence found", "beyond the cluster")


@dataclass(frozen=True)
class WholeFleets:
    """The clairvoyant optimum of the runs of a plan, mean over seeds; see `recfleet.plan_result.CertificateView`."""

    lower_usd: float
    upper_usd: float
    status: str
    condition_met: bool
    why_below: str


def whole_fleets(facts: FleetFacts, records: Sequence[RunRecord]) -> WholeFleets:
    """The optimum on the cluster of ``facts``, all of it: what is proven holds for fewer nodes, too."""
    from optimizer.certificate.certify import enclose

    results = [replace(record.result, facts=facts) for record in records]
    found = enclose(results, [record.bound_usd for record in records])
    return WholeFleets(
        lower_usd=float(np.mean([e.optimum.lower_usd for e in found])),
        upper_usd=float(np.mean([e.optimum.upper_usd for e in found])),
        status=max((e.optimum.status for e in found), key=STATUSES.index),
        condition_met=all(e.applies for e in found),
        why_below=_why(records, found),
    )


def _why(records: Sequence[RunRecord], found: Sequence[Enclosure]) -> str:
    """Of the seed that lies furthest below, if one does."""
    run, worst = min(zip(records, found, strict=True), key=lambda pair: pair[1].cost_usd - pair[1].optimum.lower_usd)
    text = why_below(run, worst)
    return f"seed {run.seed}: {text}" if text and len(found) > 1 else text
