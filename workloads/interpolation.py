"""Latency between measured batch sizes: the one rule, and how far it is off.

The rule, which the simulator's compiled kernel follows too: linear between the two measured sizes around; constant
below the smallest; above the largest, the last segment extended, unless it falls: then constant (proportional where one
size only was measured). Extending a segment that falls, as noise in rare quantiles makes it, would end below 0. Work
reaches beyond the largest size only where one request alone is larger, which the simulator counts; a scenario that asks
for larger batches is refused.

The error is measured by leaving one size out: each inner size is predicted from the others, as if it had not been
measured. The gap that it leaves is wider than those that the rule bridges in use, so the error is an upper estimate.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from workloads.errors import InputError

if TYPE_CHECKING:
    from workloads.profile import ModelProfile

__all__ = ["InterpolationError", "interpolate", "latency_at", "leave_one_out_error", "left_out_errors", "most_at_fault"]


@dataclass(frozen=True, eq=False)
class InterpolationError:
    """What leaving one size out says of a profile.

    Attributes
    ----------
    name
        The profile's.
    batch_sizes
        The inner sizes, ``batch_sizes[size]``; none where fewer than three were measured.
    error
        Predicted over measured latency, less 1: ``error[size]``.
    """

    name: str
    batch_sizes: np.ndarray
    error: np.ndarray

    @property
    def median(self) -> float:
        """Median of the errors' sizes; NaN where there are none."""
        return float(np.median(np.abs(self.error))) if len(self.error) else float("nan")

    @property
    def worst(self) -> float:
        """Largest of the errors' sizes; NaN where there are none."""
        return float(np.abs(self.error).max()) if len(self.error) else float("nan")

    @property
    def worst_batch_size(self) -> int:
        """Where the worst error is; 0 where there are none."""
        return int(self.batch_sizes[np.abs(self.error).argmax()]) if len(self.error) else 0


def interpolate(batch_sizes: np.ndarray, values: np.ndarray, units: np.ndarray | float) -> np.ndarray:
    """Apply the rule.

    Parameters
    ----------
    batch_sizes, values
        ``batch_sizes[size]``, rising, and what was measured there, ``values[size]``.
    units
        Where to read; any shape, above 0.

    Returns
    -------
    numpy.ndarray
        Of the shape of ``units``.

    Examples
    --------
    >>> interpolate(np.array([1, 4]), np.array([2.0, 5.0]), np.array([0.5, 2.0, 6.0])).tolist()
    [2.0, 3.0, 7.0]
    """
    sizes = np.asarray(batch_sizes, dtype=np.float64)
    x = np.asarray(units, dtype=np.float64)
    if len(sizes) == 1:
        return np.asarray(values[0] * np.maximum(x / sizes[0], 1.0))
    slope = max(values[-1] - values[-2], 0.0) / (sizes[-1] - sizes[-2])
    inside = np.interp(x, sizes, values)
    return np.asarray(np.where(x > sizes[-1], values[-1] + slope * (x - sizes[-1]), inside))


def latency_at(profile: ModelProfile, units: int, level: float = 0.5) -> float:
    """Latency of a batch at a quantile level, in seconds.

    Raises
    ------
    InputError
        The batch is larger than any measured: nothing supports a number there.
    """
    largest = int(profile.batch_sizes[-1])
    if units > largest:
        problem = f"a batch of {units} {profile.unit} is more than the largest measured, {largest}"
        raise InputError(f"profile {profile.name}", problem, f"ask for at most {largest}, or profile larger batches")
    return float(interpolate(profile.batch_sizes, profile.quantile_s(level), units))


def leave_one_out_error(profile: ModelProfile, level: float = 0.5) -> InterpolationError:
    """Predict each inner size from the others, at one quantile level."""
    error = left_out_errors(profile.batch_sizes, profile.quantile_s(level))
    return InterpolationError(profile.name, profile.batch_sizes[1:-1].copy(), error)


def left_out_errors(batch_sizes: np.ndarray, latency_s: np.ndarray) -> np.ndarray:
    """Latency foretold from the other sizes over that measured, less 1, of each inner size: ``error[size]``."""
    inner = np.arange(1, len(batch_sizes) - 1)
    predicted_s = [interpolate(np.delete(batch_sizes, i), np.delete(latency_s, i), batch_sizes[i]) for i in inner]
    return np.array(predicted_s, dtype=np.float64) / latency_s[inner] - 1.0


def most_at_fault(errors: Sequence[InterpolationError]) -> InterpolationError | None:
    """The profile with the worst error; None where no profile has one."""
    known = [error for error in errors if len(error.error)]
    return max(known, key=lambda error: error.worst, default=None)
