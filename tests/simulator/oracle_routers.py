"""The router functions of the oracle's worlds, registered as users register theirs."""

from __future__ import annotations

from simulator.routers import register
from tests.oracle.routers_of_users import FUNCTIONS


def name_of(function: str) -> str:
    """The name under which the kernel knows a function of the oracle's."""
    return f"oracle:{function}"


for name, function in FUNCTIONS.items():
    register(name_of(name))(function)
