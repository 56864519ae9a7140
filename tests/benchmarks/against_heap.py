"""One stage in the plain Python event loop: requests a second."""

from __future__ import annotations

from tests.benchmarks.funnels import Funnel
from tests.benchmarks.heap_loop import HeapLoop
from tests.benchmarks.measuring import timed
from tests.benchmarks.request_path import OraclePath

__all__ = ["measure"]


def measure(funnel: Funnel, requests: int, repeats: int) -> OraclePath:
    """Time the loop on the first part of the funnel's trace; all requests are at hand before."""
    arrivals = funnel.oracle_arrivals(requests)
    timing = timed(lambda: HeapLoop(funnel).serve(arrivals), repeats)
    return OraclePath(len(arrivals), timing)
