"""Kubernetes' own cases: every row passes, and the check of every kind of row can fail."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from optimizer.conformance.case import PROJECTS
from tests.optimizer.published_cases import cases_of, failures
from workloads.errors import InputError


def test_every_row_passes() -> None:
    assert failures("hpa") == {}


def changed(rows: list[dict[str, str]], path: Path, **changes: str) -> dict[str, str]:
    """Why rows fail when these cells are changed in all of them."""
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows({**row, **changes} for row in rows)
    return {r.case_id: r.reason for r in PROJECTS["hpa"].check(path) if not r.passed}


@pytest.fixture
def rows() -> list[dict[str, str]]:
    with cases_of("hpa").open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_wrong_number_of_replicas_fails(rows: list[dict[str, str]], tmp_path: Path) -> None:
    with_replicas = [row for row in rows if row["expected_replicas"]]
    assert len(with_replicas) > 150
    failed = changed(with_replicas, tmp_path / "hpa_cases.csv", expected_replicas="77")
    assert set(failed) == {row["case_id"] for row in with_replicas}


@pytest.mark.parametrize(
    ("column", "wrong"),
    [
        ("expected_reason", "Wrong"),
        ("expected_utilization", "7777"),
        ("expected_raw", "7777"),
        ("expected_extra", "log_length=77"),
    ],
)
def test_whatever_else_is_expected_is_looked_at(
    rows: list[dict[str, str]], tmp_path: Path, column: str, wrong: str
) -> None:
    kinds = ("stabilize_no_behavior", "stabilize_behavior", "store_events") if column == "expected_extra" else ()
    some = [row for row in rows if row[column] and (not kinds or row["kind"] in kinds)]
    failed = changed(some, tmp_path / "hpa_cases.csv", **{column: wrong})
    assert set(failed) == {row["case_id"] for row in some}


def test_groups_and_errors_are_looked_at(rows: list[dict[str, str]], tmp_path: Path) -> None:
    groups = [row for row in rows if row["kind"] == "group_pods"]
    assert len(changed(groups, tmp_path / "hpa_cases.csv", expected_extra="7|7|7|7")) == len(groups) > 0
    errors = [row for row in rows if row["kind"] == "reconcile" and row["expected_error"]]
    assert len(changed(errors, tmp_path / "hpa_cases.csv", expected_error="Wrong")) == len(errors) > 0
    fine = [row for row in rows if row["kind"] == "calc" and not row["expected_error"]]
    assert len(changed(fine, tmp_path / "hpa_cases.csv", expected_error="some error")) == len(fine)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"kind": "dance"}, "column kind: 'dance' is not known"),
        ({"metric_kind": "mood"}, "column metric_kind: 'mood' is not known"),
        ({"metric_kind": ""}, "column metric_kind: it has 0 metrics, one was expected"),
        ({"pod_phase": "Asleep;Running;Running"}, "column pod_phase: 'Asleep' is not a phase"),
        ({"pod_ready": "1"}, "column pod_ready: it has 1 items, pod_phase 3"),
        ({"target": ""}, "column target"),
        ({"current_replicas": "few"}, "column current_replicas: 'few' is not a whole number"),
        ({"tolerance_up": "nan"}, "column tolerance_up: 'nan' is not a finite number"),
    ],
)
def test_a_malformed_row_is_one_clear_error(
    rows: list[dict[str, str]], tmp_path: Path, changes: dict[str, str], told: str
) -> None:
    with pytest.raises(InputError) as caught:
        changed(rows[:1], tmp_path / "hpa_cases.csv", **changes)
    assert f"hpa_cases.csv row 1 (hpa001) {told}" in str(caught.value)
