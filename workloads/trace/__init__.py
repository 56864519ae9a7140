"""Traces of requests: the type, its concrete forms, and how to open a file of them.

This module gathers the public names; each form has a file of its own.
"""

from __future__ import annotations

from workloads.trace.array import ArrayTrace
from workloads.trace.derived import CroppedTrace, RelabelledTrace, ScaledTrace, SpedUpTrace
from workloads.trace.generated import GeneratedTrace, IntRange, Stream
from workloads.trace.parquet import ParquetTrace, open_trace
from workloads.trace.summary import ServiceSummary, TraceSummary
from workloads.trace.types import COLUMN_TYPES, COLUMNS, Trace, TraceBlock, TraceInfo

__all__ = [
    "COLUMNS",
    "COLUMN_TYPES",
    "ArrayTrace",
    "CroppedTrace",
    "GeneratedTrace",
    "IntRange",
    "ParquetTrace",
    "RelabelledTrace",
    "ScaledTrace",
    "ServiceSummary",
    "SpedUpTrace",
    "Stream",
    "Trace",
    "TraceBlock",
    "TraceInfo",
    "TraceSummary",
    "open_trace",
]
