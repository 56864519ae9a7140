"""`python -m tests.benchmarks.mlperf_dlrm`: our DLRM profile on an H200 beside MLPerf's published DLRM results.

MLPerf's model is larger (`MLPERF_MACS`), so rates of answers alone say little: the table shows work a second too.
The published figures are read from ``mlperf_v41_dlrm_v2.csv`` in the folder of real inputs (MLPerf v4.1 Inference,
retrieved from the repository; MLPerf is a trademark of MLCommons).
"""

from __future__ import annotations

import itertools
import sys
from dataclasses import dataclass

import pandas as pd

from workloads.data_folder import data_path
from workloads.errors import RecfleetError
from workloads.models.dlrm import DlrmConfig, default_config
from workloads.profile import ModelProfile, load_profile

__all__ = ["MLPERF_MACS", "PAIRS_A_SAMPLE", "Row", "main", "our_macs", "published_rows", "table"]

PAIRS_A_SAMPLE = 270
"""User-item pairs of one MLPerf sample, on average, by MLPerf's own description (100 to 700); not in its files."""

_VECTOR, _VECTORS, _LOW_RANK, _CROSS_LAYERS = 128, 27, 512, 3
_BOTTOM, _TOP = (13, 512, 256, 128), (_VECTOR * _VECTORS, 1024, 1024, 512, 256, 1)


def _dense(widths: tuple[int, ...]) -> int:
    return sum(wide * high for wide, high in itertools.pairwise(widths))


MLPERF_MACS = _dense(_BOTTOM) + _CROSS_LAYERS * 2 * _VECTOR * _VECTORS * _LOW_RANK + _dense(_TOP)
"""Multiply-adds of MLPerf's DLRM v2 for one pair: the layers' sizes are those of its reference implementation
(mlcommons/training, recommendation_v2/torchrec_dlrm), three low-rank cross layers instead of dot products."""


@dataclass(frozen=True)
class Row:
    """One line of the table; rates are of one accelerator (or of the whole node where there is none)."""

    system: str
    what: str
    pairs_per_s: float
    macs: int
    p99_ms: float

    def tera_operations_per_s(self) -> float:
        """Arithmetic operations a second, a multiply-add counted as two."""
        return 2 * self.macs * self.pairs_per_s / 1e12


def our_macs(config: DlrmConfig) -> int:
    """Multiply-adds of our DLRM for one pair."""
    vectors = config.vectors()
    return _dense(config.bottom_sizes()) + vectors * vectors * config.dim + _dense(config.top_sizes())


def published_rows(results: pd.DataFrame) -> list[Row]:
    """MLPerf's closed dlrm-v2-99 results on H200, GH200 and CPUs, a line each."""
    wanted = results[(results.model == "dlrm-v2-99") & (results.division == "closed")]
    rows = []
    for result in wanted.itertuples():
        devices = max(int(result.accelerators_per_node), 1) * int(result.nodes)
        pairs_per_s = result.samples_per_s / devices * PAIRS_A_SAMPLE
        rows.append(Row(result.system, result.scenario, pairs_per_s, MLPERF_MACS, result.lat_p99_ms))
    return sorted(rows, key=lambda row: -row.pairs_per_s)


def our_rows(profile: ModelProfile) -> list[Row]:
    """Our profile at its best batch, and at the largest batch whose 99th percentile is at most 1 ms."""
    rates, p99_ms = profile.throughput_per_s(), profile.quantile_s(0.99) * 1e3
    macs = our_macs(default_config())
    best = int(rates.argmax())
    chosen = {best: "best batch"} | {int(index): "p99 <= 1 ms" for index in (p99_ms <= 1.0).nonzero()[0][-1:]}
    return [
        Row(profile.name, f"{what}, {profile.batch_sizes[index]}", float(rates[index]), macs, float(p99_ms[index]))
        for index, what in chosen.items()
    ]


def table(rows: list[Row]) -> str:
    """The rows as Markdown."""
    lines = [
        "| system | run | million pairs/s | MFLOP a pair | TFLOP/s (or TOP/s) | p99, ms |",
        "| --- | --- | ---: | ---: | ---: | ---: |",
    ]
    for row in rows:
        p99 = "" if row.p99_ms != row.p99_ms else f"{row.p99_ms:.3g}"
        lines.append(
            f"| {row.system} | {row.what} | {row.pairs_per_s / 1e6:.3g} | {2 * row.macs / 1e6:.3g} "
            f"| {row.tera_operations_per_s():.3g} | {p99} |"
        )
    return "\n".join(lines)


def main() -> int:
    """Print the table."""
    try:
        results = pd.read_csv(data_path("mlperf_v41_dlrm_v2.csv"))
    except RecfleetError as error:
        print(error, file=sys.stderr)
        return 2
    names = ("dlrm-h200-bf16-graph", "dlrm-h200-fp32-graph")
    ours = [row for name in names for row in our_rows(load_profile(name))]
    print(table([*ours, *published_rows(results)]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
