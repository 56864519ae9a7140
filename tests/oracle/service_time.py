"""The latency of a batch, by the page's sections "Compute" and "The uniform number of a batch"."""

from __future__ import annotations

from .model import OracleVariant

_MASK = (1 << 64) - 1


def mix(x: int) -> int:
    """SplitMix64's output function."""
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & _MASK
    return x ^ (x >> 31)


def uniform(noise_seed: int, request_id: int, stage: int) -> float:
    """The uniform number in [0, 1) of the batch that `request_id` heads at `stage`."""
    stream = mix((noise_seed + 0x9E3779B97F4A7C15 * (request_id + 1)) & _MASK)
    return (mix((stream + 0x9E3779B97F4A7C15 * (stage + 1)) & _MASK) >> 11) / 2**53


def quantile(levels: tuple[float, ...], values: tuple[float, ...], u: float) -> float:
    """The measured quantile at level `u`: linear between levels, the outermost value beyond them."""
    if u <= levels[0]:
        return values[0]
    for i in range(1, len(levels)):
        if u <= levels[i]:
            share = (u - levels[i - 1]) / (levels[i] - levels[i - 1])
            return values[i - 1] + (values[i] - values[i - 1]) * share
    return values[-1]


def batch_latency_s(variant: OracleVariant, units: int, speed: float, u: float | None) -> float:
    """Latency in seconds of a batch of `units`; `u` is its uniform number, or None where noise is off."""

    def at(size_index: int) -> float:
        if u is None:
            return variant.mean_s[size_index]
        return quantile(variant.levels, variant.latency_s[size_index], u)

    sizes = variant.batch_sizes
    if units <= sizes[0]:
        return at(0) / speed
    if len(sizes) == 1:
        return at(0) * units / sizes[0] / speed
    upper = next((i for i, size in enumerate(sizes) if size >= units), len(sizes) - 1)
    lower = upper - 1
    share = (units - sizes[lower]) / (sizes[upper] - sizes[lower])
    return (at(lower) + (at(upper) - at(lower)) * share) / speed
