"""Arrival processes: when requests come, and at what rate on average.

This module gathers the public names; `workloads.arrivals.spec` is how files write them.
"""

from __future__ import annotations

from workloads.arrivals.processes import ArrivalProcess, Bursts, CountArrivals, RenewalArrivals, scaled_counts
from workloads.arrivals.rate import RateCurve
from workloads.arrivals.shapes import Diurnal, FlashCrowd, Shape, Steps, Weekly, shaped_curve

__all__ = [
    "ArrivalProcess",
    "Bursts",
    "CountArrivals",
    "Diurnal",
    "FlashCrowd",
    "RateCurve",
    "RenewalArrivals",
    "Shape",
    "Steps",
    "Weekly",
    "scaled_counts",
    "shaped_curve",
]
