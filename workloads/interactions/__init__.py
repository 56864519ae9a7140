"""Logs of who rated what and when: read, cleaned, divided in time, and looked up row by row without looking ahead."""

from __future__ import annotations

from workloads.interactions.negatives import sample_negatives
from workloads.interactions.prepared import InteractionTable, PreparedData, load_prepared, prepare, save_prepared
from workloads.interactions.rows import Rows, dense_features, dense_names
from workloads.interactions.synthetic import synthetic_data

__all__ = [
    "InteractionTable",
    "PreparedData",
    "Rows",
    "dense_features",
    "dense_names",
    "load_prepared",
    "prepare",
    "sample_negatives",
    "save_prepared",
    "synthetic_data",
]
