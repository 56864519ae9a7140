"""What an hour of a device costs, where nobody says: a small table of assumptions, and prices given by hand."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from workloads.errors import InputError

if TYPE_CHECKING:
    from workloads.profile import ModelProfile

__all__ = ["ASSUMED_USD_PER_HOUR", "ASSUMPTION", "prices", "usd_per_hour", "usd_per_million"]

ASSUMED_USD_PER_HOUR: Mapping[str, float] = {"nvidia-h200": 3.8, "cpu": 0.0625}
"""Device to dollars an hour: of a node with one such GPU; ``cpu`` of one core, whatever its make."""

ASSUMPTION = (
    "prices assumed, those of scenarios/demo.yaml: a node with one H200 at 3.80, a CPU core at 0.0625 USD an hour"
)


def prices(given: Sequence[str]) -> dict[str, float]:
    """The assumed prices, with those given as ``DEVICE=USD`` in their place.

    Raises
    ------
    InputError
        Not of that form, or no price.

    Examples
    --------
    >>> prices(["nvidia-h200=3.5"])["nvidia-h200"]
    3.5
    """
    found = dict(ASSUMED_USD_PER_HOUR)
    for text in given:
        device, _, amount = text.partition("=")
        try:
            price = float(amount)
        except ValueError:
            price = math.nan
        if not device or not 0 <= price < math.inf:
            raise InputError(f"--price {text}", "is not DEVICE=USD", "write dollars an hour, as in nvidia-h200=3.50")
        found[device] = price
    return found


def usd_per_hour(profile: ModelProfile, table: Mapping[str, float]) -> float:
    """Price of what one replica claims: a whole GPU with its node, or CPU cores; NaN where nobody priced the device."""
    if profile.device in table:
        return table[profile.device]
    if profile.device_kind == "cpu" and "cpu" in table:
        return table["cpu"] * profile.host_cores
    return math.nan


def usd_per_million(profile: ModelProfile, table: Mapping[str, float], units_per_s: float) -> float:
    """Dollars for a million units from a replica that is never idle."""
    return usd_per_hour(profile, table) / 3600.0 / units_per_s * 1e6
