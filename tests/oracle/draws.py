"""The page's section "Draws"."""

from __future__ import annotations

_MASK = (1 << 64) - 1
_GOLDEN = 0x9E3779B97F4A7C15

NOISE, FIRST, SECOND = 0, 1, 2
"""Numbers of a task's draws."""


def mix(x: int) -> int:
    """SplitMix64's output function."""
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & _MASK
    return x ^ (x >> 31)


def share(x: int, salt: int) -> float:
    """The page's h: a number in [0, 1) that belongs to `x` and `salt`."""
    return (mix((x + _GOLDEN * salt) & _MASK) >> 11) / 2**53


def uniform(
    noise_seed: int, request_id: int, stage: int, *, part: int = 0, attempt: int = 0, branch: int = 0, draw: int = NOISE
) -> float:
    """Draw number `draw`, in [0, 1), of a task."""
    stream = mix((noise_seed + _GOLDEN * (request_id + 1)) & _MASK)
    number = (stage + 1) + 2**12 * part + 2**32 * (attempt + 64 * branch) + 2**48 * draw
    return (mix((stream + _GOLDEN * number) & _MASK) >> 11) / 2**53
