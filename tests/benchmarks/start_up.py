"""What one waits before the first request: importing the package, compiling the kernels, loading them from disk."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from statistics import median

from simulator.journey_arrays import Path

__all__ = ["FirstRequests", "first_requests", "import_s"]

_IMPORT = "import time; t = time.perf_counter(); import recfleet; print(time.perf_counter() - t)"

_FIRST_REQUEST = """
import time

from tests.benchmarks.funnels import ONE_STAGE
from tests.benchmarks.request_path import serve
imported = time.process_time()
serve(ONE_STAGE, ONE_STAGE.trace(10).blocks(), 1.0, path="PATH")
print(time.process_time() - imported)
"""


@dataclass(frozen=True)
class FirstRequests:
    """Seconds of the processor from the first use of the data plane to ten requests served.

    ``cold_s`` with an empty cache of machine code, ``cached_s`` with a filled one; each in a process of its own.
    """

    cold_s: float
    cached_s: float


def import_s(repeats: int) -> float:
    """Median seconds, by the wall's clock, that ``import recfleet`` takes in a new process."""
    return median(float(_run(_IMPORT)) for _ in range(repeats))


def first_requests(path: Path, repeats: int) -> FirstRequests:
    """Time one cold start of a path of the data plane, and the median of cached ones."""
    with tempfile.TemporaryDirectory() as folder:
        cold_s = _first_request_s(path, folder)
        return FirstRequests(cold_s, median(_first_request_s(path, folder) for _ in range(repeats)))


def _first_request_s(path: Path, cache_folder: str) -> float:
    return float(_run(_FIRST_REQUEST.replace("PATH", path), NUMBA_CACHE_DIR=cache_folder))


def _run(code: str, **environment: str) -> str:
    """Run code in a new process; what it prints."""
    done = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | environment, capture_output=True, text=True, check=True
    )
    return done.stdout
