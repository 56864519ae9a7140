"""What alerts may name is what runs have."""

from __future__ import annotations

from pathlib import Path

import pytest

from simulator.engine import simulate
from simulator.monitoring.known_series import known_series
from simulator.monitoring.series import all_series
from simulator.scenario import load_scenario
from tests.simulator.mini import SCENARIO, Erratic, load_mini, write_mini
from tests.simulator.rich import RICH
from workloads.errors import InputError


@pytest.mark.parametrize("changes", [{}, RICH], ids=["plain", "rich"])
def test_every_series_of_a_run_is_known_before_it(tmp_path: Path, changes: dict[str, str]) -> None:
    scenario = load_mini(tmp_path, changes)
    result = simulate(scenario, Erratic(1), seed=3)
    found = {series.name: sorted(series.labels) for series in all_series(result)}
    assert found == {name: sorted(labels) for name, labels in known_series(scenario).items()}


BAD = {
    "misspelt series": ("{name: a, series: p99_s, above: 1}", "'p99_s'", "did you mean 'p99_ms'?"),
    "series of no cache": ("{name: a, series: cache_hits_rps, above: 1}", "do not have", ""),
    "unknown label": ("{name: a, series: p99_ms, label: page, above: 1}", "no label 'page'", "feed, ads"),
    "label of another series": ("{name: a, series: p99_ms, label: gpu, above: 1}", "no label 'gpu'", "feed, ads"),
    "two of a name": (
        "{name: a, series: p99_ms, above: 1}, {name: a, series: p50_ms, above: 1}", "'a' is used twice", "rename",
    ),
    "no threshold": ("{name: a, series: p99_ms}", "exactly one of 'above' and 'below'", "add one"),
    "two thresholds": ("{name: a, series: p99_ms, above: 1, below: 0}", "exactly one of 'above' and 'below'", "leave"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD.values(), ids=BAD.keys())
def test_an_alert_on_anything_else_is_an_error_at_its_line(tmp_path: Path, case: tuple[str, str, str]) -> None:
    alerts, problem, fix = case
    last = "planning: {headroom: 0.2}\n"
    with pytest.raises(InputError) as error:
        load_scenario(write_mini(tmp_path, changes={last: f"{last}monitoring: {{alerts: [{alerts}]}}\n"}))
    assert f"mini.yaml:{SCENARIO.count(chr(10)) + 1}" in error.value.where
    assert problem in error.value.problem
    assert fix in error.value.fix
