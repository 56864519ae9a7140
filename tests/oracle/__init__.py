"""The slow and obvious reference for the data plane, written from docs/request-path.md alone.

It shares no code with the package: the compiled kernel is believed because the two agree.
"""

from .model import (
    Control,
    OracleArrival,
    OracleReplica,
    OracleStage,
    OracleVariant,
    OracleWorld,
    Outcome,
    as_arrays,
)
from .simpy_oracle import run
from .worlds import random_world

__all__ = [
    "Control",
    "OracleArrival",
    "OracleReplica",
    "OracleStage",
    "OracleVariant",
    "OracleWorld",
    "Outcome",
    "as_arrays",
    "random_world",
    "run",
]
