"""When requests come: Poisson, gamma bursts, or a real pattern brought to the rate; on a grid of microseconds."""

from __future__ import annotations

from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from workloads.errors import InputError

__all__ = ["BURST_CV", "arrivals"]

BURST_CV = 2.0
"""Coefficient of variation of the gaps between gamma-distributed arrivals."""
_GRID_PER_S = 1e6


def arrivals(kind: str, rate_rps: float, requests: int, seed: int, patterns: Path | None = None) -> np.ndarray:
    """``arrival_s[request]``, whole microseconds, the first a gap after 0.

    Parameters
    ----------
    kind
        ``poisson``, ``gamma`` (coefficient of variation `BURST_CV`), or the name of a pattern.
    rate_rps
        Mean rate; a pattern's stretch is brought to it.
    requests
        How many; at most as many as a pattern has.
    seed
        Of the draws; for a pattern, where its stretch begins.
    patterns
        File of patterns: an npz of ``gap[request]`` by name, each with mean 1.

    Raises
    ------
    InputError
        There is no such pattern.
    """
    generator = np.random.default_rng([seed, 7])
    if kind == "poisson":
        gaps = generator.standard_exponential(requests)
    elif kind == "gamma":
        gaps = generator.standard_gamma(1.0 / BURST_CV**2, requests) * BURST_CV**2
    else:
        gaps = _stretch(kind, requests, generator, patterns)
        gaps = gaps / gaps.mean()
    return np.asarray(np.round(np.cumsum(gaps) / rate_rps * _GRID_PER_S) / _GRID_PER_S)


def _stretch(kind: str, requests: int, generator: np.random.Generator, patterns: Path | None) -> np.ndarray:
    if patterns is None or not patterns.is_file():
        raise InputError("--patterns", f"no file of patterns to take {kind!r} from", "make it: see docs/fidelity.md")
    try:
        with np.load(patterns) as file:
            known = file.files
            gaps = file[kind].astype(np.float64) if kind in known else np.zeros(0)
    except (OSError, ValueError, AttributeError, BadZipFile) as error:
        raise InputError(str(patterns), f"is no file of patterns ({error})", "make it: see docs/fidelity.md") from None
    if kind not in known:
        raise InputError(str(patterns), f"it has no pattern {kind!r}", f"use one of {', '.join(known)}")
    count = min(requests, len(gaps))
    first = int(generator.integers(0, len(gaps) - count + 1))
    return np.asarray(gaps[first : first + count])
