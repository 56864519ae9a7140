"""The Azure LLM inference traces of 2023: times and token counts of a language model's requests."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from workloads.importers.event_table import ordered_times
from workloads.importers.tables import number_column, origin_of, read_table, seconds_column
from workloads.trace.array import ArrayTrace
from workloads.trace.types import TraceInfo

__all__ = ["import_azure_llm"]

_NAMES = {"TIMESTAMP": "arrival", "ContextTokens": "context_tokens", "GeneratedTokens": "generated_tokens"}
_BYTES_PER_TOKEN = 4
_ORIGINAL = "arrivals_azure_llm2023_code.parquet"


def import_azure_llm(path: Path, service: str = "llm", tokens_per_item: int = 128, sort: bool = False) -> ArrayTrace:
    """Import the trace, as published (CSV) or as Parquet with columns arrival and context_tokens.

    A language model's request is not a recommender's. What carries over is when requests come and how
    unequal they are: the context is taken for a list of candidates of `tokens_per_item` tokens each (a
    reranker's text of one candidate), so ``items`` is its quotient rounded up; ``bytes_in`` is 4 bytes a
    token. Both are assumptions and the trace's notes say so. Generated tokens are not used.

    Parameters
    ----------
    path
        The file.
    service
        Name of the trace's one service.
    tokens_per_item
        Context tokens that make one candidate item.
    sort
        Sort the rows by time; without it, a row out of order is an error.
    """
    frame = read_table(path).rename(columns=_NAMES)
    seconds, _ = seconds_column(path, frame, "arrival")
    tokens = number_column(path, frame, "context_tokens", 2**31 // _BYTES_PER_TOKEN - 1)
    arrival_s, order, notes = ordered_times(path, "arrival", seconds, sort, 0.0, 0)
    source, licence = origin_of(path, _ORIGINAL)
    info = TraceInfo(
        name=path.stem,
        services=(service,),
        duration_s=float(np.floor(arrival_s[-1]) + 1),
        source=source,
        licence=licence,
        synthetic=False,
        notes=(
            *notes,
            f"assumed: an item per {tokens_per_item} context tokens, {_BYTES_PER_TOKEN} bytes a token",
            "requests of a language model, not of a recommender",
        ),
    )
    items = -(-tokens[order] // tokens_per_item)
    return ArrayTrace(info, arrival_s, items=np.maximum(items, 1), bytes_in=tokens[order] * _BYTES_PER_TOKEN)
