"""Counter-based random numbers: what is drawn depends on what it is for, never on the order of events.

SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014) as a hash;
`docs/request-path.md`, "Draws".
"""

from __future__ import annotations

import numpy as np

from simulator.kernel.compiled import inlined

__all__ = ["GOLDEN", "draw", "draw_number", "hashed", "hashes", "mix"]

GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)
_S11, _S27, _S30, _S31 = np.uint64(11), np.uint64(27), np.uint64(30), np.uint64(31)
_PART, _ATTEMPT, _DRAW = np.uint64(12), np.uint64(32), np.uint64(48)
_UNIT = 1.0 / 9007199254740992.0


@inlined
def mix(x: np.uint64) -> np.uint64:
    """SplitMix64's output function: every bit of the input decides about half the bits of the output."""
    x = (x ^ (x >> _S30)) * _MIX_1
    x = (x ^ (x >> _S27)) * _MIX_2
    return x ^ (x >> _S31)


@inlined
def hashed(x: int, salt: int) -> float:
    """The page's ``h(x, salt)``, in [0, 1)."""
    return float(mix(np.uint64(x) + GOLDEN * np.uint64(salt)) >> _S11) * _UNIT


@inlined
def draw_number(stage: int, part: int, attempt: int, branch: int) -> np.uint64:
    """The page's ``number`` of a task, but for the draw's."""
    return (
        np.uint64(stage + 1)
        + (np.uint64(part) << _PART)
        + (np.uint64(attempt + 64 * branch) << _ATTEMPT)
    )  # fmt: skip


@inlined
def draw(seed: np.uint64, request_id: int, number: np.uint64, which: int) -> float:
    """Uniform number in [0, 1): draw ``which`` of the task ``number`` (`draw_number`) of a request."""
    stream = mix(seed + GOLDEN * np.uint64(request_id + 1))
    return float(mix(stream + GOLDEN * (number + (np.uint64(which) << _DRAW))) >> _S11) * _UNIT


def hashes(x: np.ndarray, salts: np.ndarray) -> np.ndarray:
    """``h(x, salt)`` for arrays: ``float64[x, salt]``."""
    mixed = x.astype(np.uint64)[:, None] + GOLDEN * salts.astype(np.uint64)[None, :]
    mixed = (mixed ^ (mixed >> _S30)) * _MIX_1
    mixed = (mixed ^ (mixed >> _S27)) * _MIX_2
    return ((mixed ^ (mixed >> _S31)) >> _S11).astype(np.float64) * _UNIT
