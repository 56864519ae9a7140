"""Caches of the simulator on real keys beside plain ones: ``python -m tests.benchmarks.cache_rates``.

Needs the folder of real inputs (RECFLEET_DATA); writes ``docs/results/fidelity/caches.json``, from which
`tests.benchmarks.docs_tables` makes tables of docs/fidelity-data.md. Takes about half a minute.
"""

from __future__ import annotations

import itertools
import json
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from simulator.caches import build_caches
from simulator.kernel.cache import MISS, replay
from simulator.plan import CacheLevelPlan, CachePlan
from simulator.popularity import MeasuredPopularity, ZipfPopularity, load_reuse
from workloads.data_folder import data_folder
from workloads.profile import write_json

__all__ = [
    "CACHES",
    "cache_table",
    "main",
    "plain_lru",
    "popularity_table",
    "read_caches",
    "reuse_table",
    "simulated_lru",
]

CACHES = Path(__file__).resolve().parents[2] / "docs" / "results" / "fidelity" / "caches.json"
ENTRIES = (100, 1_000, 5_000, 10_000, 20_000, 50_000, 100_000, 200_000)
SCARAB, REUSE = "cache_scarab_recs.parquet", "meta_embedding_reuse.csv"
ZIPF = 0.80
"""Exponent of the Scarab keys, by maximum likelihood (README of the data)."""
META_ROWS = 110_259_238
RELEASE = 2022
"""The other release publishes no number of rows."""
HOTTEST = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5)


def plain_lru(keys: np.ndarray, entries: int) -> np.ndarray:
    """``bool[look-up]``: whether a dictionary in order of use held the key; shares no code with the simulator."""
    held: OrderedDict[int, None] = OrderedDict()
    hit = np.zeros(len(keys), np.bool_)
    for row, key in enumerate(keys.tolist()):
        if key in held:
            held.move_to_end(key)
            hit[row] = True
        else:
            if len(held) == entries:
                held.popitem(last=False)
            held[key] = None
    return hit


def simulated_lru(keys: np.ndarray, entries: int) -> np.ndarray:
    """``bool[look-up]``: the same of the data plane's result cache."""
    caches = build_caches([CachePlan("item", (CacheLevelPlan(entries),))], sites=1)
    level, is_due = np.zeros(len(keys), np.int8), np.zeros(len(keys), np.bool_)
    with np.errstate(over="ignore"):
        replay(caches, np.ascontiguousarray(keys, np.int64), np.zeros(len(keys)), level, is_due)
    return np.asarray(level != MISS)


def by_che(counts: np.ndarray, entries: int) -> float:
    """Hit rate of an LRU cache under independent look-ups of these frequencies (Che, Tung and Wang 2002)."""
    from scipy.optimize import brentq

    if entries >= len(counts):
        return 1.0
    share = counts / counts.sum()
    time = brentq(lambda t: float(-np.expm1(-share * t).sum()) - entries, 1.0, 1e12)
    return float(-(share * np.expm1(-share * time)).sum())


def reuse_of(counts: np.ndarray) -> MeasuredPopularity:
    """Popularity as the simulator has it of a histogram of reuse by powers of two, here of these keys."""
    edges = [0, *(2**power for power in range(int(counts.max()).bit_length() + 1))]
    groups = [(low, high, counts[(counts > low) & (counts <= high)].sum()) for low, high in itertools.pairwise(edges)]
    low, high, lookups = zip(*((gt, le, number) for gt, le, number in groups if number > 0))
    return MeasuredPopularity.from_reuse(low, high, np.array(lookups) / counts.sum(), len(counts))


def measure(folder: Path) -> dict[str, Any]:
    """All numbers of both tables."""
    import pyarrow.parquet as pq

    keys = pq.read_table(folder / SCARAB)["key"].to_numpy()
    counts = np.bincount(keys)
    mass = np.append(0, np.cumsum(np.sort(counts)[::-1])) / len(keys)
    histogram, zipf = reuse_of(counts), ZipfPopularity(len(counts), ZIPF)
    rows = []
    for entries in ENTRIES:
        plain, simulated = plain_lru(keys, entries), simulated_lru(keys, entries)
        rows.append({
            "entries": entries, "hits": int(plain.sum()), "simulated_hits": int(simulated.sum()),
            "differing": int((plain != simulated).sum()), "che": by_che(counts, entries),
            "hottest": float(mass[entries]), "histogram": histogram.mass(entries), "zipf": zipf.mass(entries),
        })  # fmt: skip
    return {"lookups": len(keys), "keys": len(counts), "scarab": rows, "meta": _published(folder / REUSE)}


def _published(path: Path) -> list[dict[str, float]]:
    """Share of look-ups of the hottest rows: the simulator's, and with the published number of rows of each group."""
    import pandas as pd

    table = pd.read_csv(path)
    table = table[table["release"] == RELEASE].sort_values("reuse_gt", ascending=False)
    rows, share = table["share_of_unique_rows"].to_numpy(), table["share_of_lookups"].to_numpy()
    # The hottest groups have less than half a thousandth of the rows, and are published as none: they come first.
    published = MeasuredPopularity(rows / rows.sum() * META_ROWS, share / share.sum())
    ours = load_reuse(path, RELEASE, META_ROWS)
    return [
        {"hottest": each, "ours": ours.mass(each * META_ROWS), "published": published.mass(each * META_ROWS)}
        for each in HOTTEST
    ]


def read_caches() -> Mapping[str, Any]:
    """The kept results."""
    found: Mapping[str, Any] = json.loads(CACHES.read_text(encoding="utf-8"))
    return found


def cache_table(found: Mapping[str, Any]) -> str:
    """LRU caches on the Scarab keys."""
    lines = _head("entries", "plain LRU, hits", "simulator, hits", "look-ups that differ", "hit rate", "by Che")
    for row in found["scarab"]:
        rate = row["hits"] / found["lookups"]
        lines.append(
            f"| {row['entries']:,} | {row['hits']:,} | {row['simulated_hits']:,} | {row['differing']} | {rate:.4f} "
            f"| {row['che']:.4f} ({row['che'] - rate:+.3f}) |"
        )
    return "\n".join(lines)


def popularity_table(found: Mapping[str, Any]) -> str:
    """Shares of the hottest Scarab keys, exact and approximated."""
    lines = _head(
        "hottest keys", "their look-ups", "by reuse histogram", f"by Zipf, s = {ZIPF:g}", "LRU cache so large"
    )
    for row in found["scarab"]:
        exact = row["hottest"]
        lines.append(
            f"| {row['entries']:,} | {exact:.4f} | {row['histogram']:.4f} ({row['histogram'] - exact:+.3f}) "
            f"| {row['zipf']:.4f} ({row['zipf'] - exact:+.3f}) | {row['hits'] / found['lookups']:.4f} |"
        )
    return "\n".join(lines)


def reuse_table(found: Mapping[str, Any]) -> str:
    """Shares of Meta's hottest rows, with the simulator's assumption of how many rows a group has and without."""
    lines = _head("hottest rows", "by published rows", "simulator")
    for row in found["meta"]:
        off = row["ours"] - row["published"]
        lines.append(f"| {100 * row['hottest']:g} % | {row['published']:.3f} | {row['ours']:.3f} ({off:+.3f}) |")
    return "\n".join(lines)


def _head(*names: str) -> list[str]:
    return ["| " + " | ".join(names) + " |", "| ---: " * len(names) + "|"]


def main() -> int:
    """Measure, write and print."""
    folder = data_folder()
    if folder is None:
        print("no folder of real traces: set RECFLEET_DATA")
        return 2
    found = measure(folder)
    write_json(found, CACHES)
    print(cache_table(found), popularity_table(found), reuse_table(found), sep="\n\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
