"""`python -m tests.benchmarks.docs_tables`: write the tables of the documents anew from the kept results.

A table stands between ``<!-- NAME -->`` and ``<!-- end NAME -->`` in a file of ``docs/``; a test holds that they
are current.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from tests.benchmarks.cache_rates import cache_table, popularity_table, read_caches, reuse_table
from tests.benchmarks.cold_start_table import fresh_table, read_fresh, read_logged, reading_table
from tests.benchmarks.compression_table import claim_table, read_studies, serving_table
from tests.benchmarks.fidelity_docs import (
    CPU,
    FIRST,
    IN_SHORT,
    JUDGED,
    SHIPPED,
    arrivals_table,
    goals_table,
    job_table,
    load_table,
    read_fidelity,
    runs_table,
    shipped_table,
)
from tests.benchmarks.fleet_sizes import kept_table as fleet_sizes_table
from tests.benchmarks.forecast_table import forecast_tables, read_backtests
from tests.benchmarks.link_times import band_table, link_table, read_links
from tests.benchmarks.placement_real import read_real, real_tables
from tests.benchmarks.placement_sizes import read_sizes, size_tables
from tests.benchmarks.policy_goals import comparison_tables, goal_table, read_sweep
from tests.benchmarks.zoo_table import read_results, zoo_tables
from workloads.catalogue import catalogue_table
from workloads.compression.study_tables import study_tables

__all__ = ["DOCS", "TABLES", "main", "with_tables"]

DOCS = Path(__file__).resolve().parents[2] / "docs"
TABLES: Mapping[tuple[str, str], Callable[[], str]] = {
    ("models.md", "accuracy"): lambda: zoo_tables(read_results()),
    ("compression.md", "claim"): lambda: claim_table(read_studies()),
    ("compression.md", "serving"): lambda: serving_table(read_studies()),
    ("compression.md", "studies"): lambda: study_tables(read_studies()),
    ("fidelity.md", "goals"): lambda: goals_table(read_fidelity()),
    ("fidelity.md", "second goals"): lambda: goals_table(read_fidelity(JUDGED), IN_SHORT),
    ("fidelity.md", "first goals"): lambda: goals_table(read_fidelity(FIRST), IN_SHORT),
    ("fidelity.md", "CPU jobs"): lambda: job_table(read_fidelity(CPU)),
    ("fidelity.md", "CPU runs"): lambda: runs_table(read_fidelity(CPU)),
    ("fidelity.md", "loads"): lambda: load_table(read_fidelity()),
    ("fidelity.md", "shipped"): lambda: shipped_table(read_fidelity(SHIPPED)),
    ("fidelity.md", "jobs"): lambda: job_table(read_fidelity()),
    ("fidelity.md", "arrivals"): lambda: arrivals_table(read_fidelity()),
    ("fidelity.md", "runs"): lambda: runs_table(read_fidelity()),
    ("fidelity-data.md", "caches"): lambda: cache_table(read_caches()),
    ("fidelity-data.md", "popularity"): lambda: popularity_table(read_caches()),
    ("fidelity-data.md", "reuse"): lambda: reuse_table(read_caches()),
    ("fidelity-data.md", "links"): lambda: link_table(read_links()),
    ("fidelity-data.md", "link-sizes"): lambda: band_table(read_links()),
    ("fidelity-data.md", "reading"): lambda: reading_table(read_logged()),
    ("fidelity-data.md", "fresh-starts"): lambda: fresh_table(read_fresh()),
    ("forecasting.md", "forecasts"): lambda: forecast_tables(read_backtests()),
    ("policy-comparison.md", "goals"): lambda: goal_table(read_sweep()),
    ("policy-comparison.md", "sweep"): lambda: comparison_tables(read_sweep()),
    ("placement.md", "real"): lambda: real_tables(read_real()),
    ("fleet-solver.md", "sizes"): fleet_sizes_table,
    ("placement.md", "sizes"): lambda: size_tables(read_sizes()),
    ("profile-format.md", "catalogue"): catalogue_table,
}
"""(file, name) to what makes the table; that of MLPerf needs the folder of real inputs and is pasted by hand."""


def with_tables(text: str, tables: Mapping[str, str]) -> str:
    """A document with each table between its marks replaced."""
    for name, table in tables.items():
        pattern = re.compile(rf"(<!-- {name} -->\n).*?(<!-- end {name} -->)", re.DOTALL)
        text, count = pattern.subn(lambda found, table=table: f"{found[1]}\n{table}\n\n{found[2]}", text)
        if count != 1:
            raise ValueError(f"{count} places are marked for the table {name!r}, not one")
    return text


def main() -> int:
    """Write every document anew."""
    for file in sorted({file for file, _ in TABLES}):
        path = DOCS / file
        tables = {name: make() for (where, name), make in TABLES.items() if where == file}
        path.write_text(with_tables(path.read_text(encoding="utf-8"), tables), encoding="utf-8")
        print(f"{path.name}: {', '.join(tables)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
