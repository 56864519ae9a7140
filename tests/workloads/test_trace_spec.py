"""The ``trace:`` section of a scenario: each form builds what it says, each mistake gets one clear line."""

import re
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

from workloads.data_folder import data_folder
from workloads.errors import InputError
from workloads.trace import ArrayTrace, Trace, TraceInfo
from workloads.trace.spec import TraceSpec, parse_trace_spec

STREAM = {"service": "home", "arrivals": {"rate_rps": 5}}
NEEDS_DATA = pytest.mark.skipif(data_folder() is None, reason="no folder of real traces (set RECFLEET_DATA)")


def build(document: dict[str, Any], folder: Path = Path(), seed: int = 1, services: tuple[str, ...] = ()) -> Trace:
    return parse_trace_spec(document, "demo.yaml").build(seed, services, folder)


def counts_file(folder: Path) -> Path:
    """Two days of minutes; day 1 has 1 request a minute, day 2 has 2, and one minute of it is missing."""
    minutes = pd.date_range("2024-05-01", periods=2880, freq="min")
    frame = pd.DataFrame({"minute": minutes, "requests": np.repeat([1, 2], 1440)}).drop(index=2000)
    frame.to_parquet(folder / "counts.parquet")
    return folder / "counts.parquet"


def counts(**more: Any) -> dict[str, Any]:
    return {"counts": {"file": "counts.parquet", "mix": {"home": 1.0}, **more}}


def test_streams_build_in_the_scenario_s_order_of_services() -> None:
    document = {
        "duration_s": 3600,
        "start_hour": 12,
        "start_day": "sunday",
        "streams": [
            {
                "service": "page",
                "arrivals": {
                    "rate_rps": 2,
                    "cv": 2,
                    "diurnal": {"amplitude": 0.5, "peak_hour": 12},
                    "weekly": {"day_factors": [1, 1, 1, 1, 1, 1, 2]},
                    "steps": {"values": [1, 1], "bin_s": 600},
                    "flash_crowds": [{"at_s": 1000, "factor": 3}],
                    "bursts": {"factor": 2, "share": 0.3, "mean_s": 10},
                },
                "users": {"count": 50, "zipf_s": 0.7},
                "catalogue": {"count": 20, "zipf_s": 1.0, "drift_ranks_per_day": 5},
                "items": {"min": 5, "max": 9},
                "bytes_in": 300,
            },
            STREAM,
            STREAM,
        ],
    }
    trace = build(document, services=("home", "idle", "page"))
    assert trace.info.services == ("home", "idle", "page")
    assert trace.info.synthetic
    rows = ArrayTrace.from_trace(trace)
    service = rows.column("service")
    assert set(service.tolist()) == {0, 2}
    assert (service == 0).sum() == pytest.approx(36_000, rel=0.03)
    assert (service == 2).mean() * len(rows) > 3600 * 2 * 1.5 * 1.5
    assert set(rows.column("items")[service == 2].tolist()) == {5, 6, 7, 8, 9}


def test_exact_counts_are_kept_by_minute_and_divided_by_share(tmp_path: Path) -> None:
    counts_file(tmp_path)
    document = counts(mix={"home": 3, "page": 1}, users={"count": 9, "zipf_s": 1}, per_service={"page": {"items": 7}})
    trace = build(document, tmp_path)
    rows = ArrayTrace.from_trace(trace)
    by_minute = np.bincount((rows.column("arrival_s") / 60).astype(int), minlength=2880)
    expected = np.repeat([1, 2], 1440)
    expected[2000] = 0
    np.testing.assert_array_equal(by_minute, expected)
    is_page = rows.column("service") == 1
    assert is_page.mean() == pytest.approx(0.25, abs=0.03)
    assert set(rows.column("items")[is_page].tolist()) == {7}
    assert set(rows.column("user")[is_page].tolist()) == {-1}
    assert rows.column("user")[~is_page].max() == 8
    assert not trace.info.synthetic
    assert any("1 of 2880 bins are absent" in note for note in trace.info.notes)
    assert any("divided at random: home 0.75, page 0.25" in note for note in trace.info.notes)


def test_days_are_joined_in_their_order_and_cropped(tmp_path: Path) -> None:
    counts_file(tmp_path)
    trace = build(counts(days=["2024-05-02", date(2024, 5, 1)]), tmp_path)
    summary = trace.describe()
    assert summary.requests == 2 * 1439 + 1440
    assert trace.info.duration_s == 2 * 86_400
    assert "days 2024-05-02, 2024-05-01 (UTC)" in trace.info.notes
    part = build({**counts(days=["2024-05-02", "2024-05-01"]), "start_s": 86_400, "duration_s": 600}, tmp_path)
    assert part.describe().requests == 10


def test_scaled_counts_and_poisson_mode(tmp_path: Path) -> None:
    counts_file(tmp_path)
    exact = build(counts(scale=2.5), tmp_path)
    assert exact.describe().requests == round(2.5 * (1440 + 2 * 1439))
    assert exact.info.scale == 2.5
    numbers = [build(counts(scale=2.5, mode="poisson"), tmp_path, seed=seed).describe().requests for seed in range(4)]
    assert len(set(numbers)) > 1
    assert np.mean(numbers) == pytest.approx(10_795, abs=4 * np.sqrt(10_795 / 4))


def trace_file(folder: Path, services: tuple[str, ...] = ("a", "b")) -> Path:
    info = TraceInfo("stored", services, 1000.0, "typed in", "none", synthetic=False)
    times = np.arange(1000.0)
    ArrayTrace(info, times, service=np.arange(1000) % len(services), items=3).write_parquet(folder / "t.parquet")
    return folder / "t.parquet"


def test_file_is_read_from_the_scenario_s_folder_and_its_services_matched(tmp_path: Path) -> None:
    trace_file(tmp_path)
    same = build({"file": "t.parquet"}, tmp_path)
    assert same.info.services == ("a", "b")
    swapped = ArrayTrace.from_trace(build({"file": "t.parquet"}, tmp_path, services=("b", "x", "a")))
    assert swapped.column("service")[:2].tolist() == [2, 0]
    renamed = build({"file": "t.parquet", "service_map": {"a": "home", "b": "home"}}, tmp_path, services=("home",))
    assert set(ArrayTrace.from_trace(renamed).column("service")) == {0}


def test_file_is_cropped_sped_up_scaled_and_divided(tmp_path: Path) -> None:
    trace_file(tmp_path, services=("only",))
    document = {
        "file": "t.parquet",
        "start_s": 100,
        "duration_s": 500,
        "speed": 5,
        "scale": 3,
        "spread_s": 1,
        "mix": {"home": 1, "page": 1},
        "name": "mine",
    }
    trace = build(document, tmp_path, services=("page", "home"))
    rows = ArrayTrace.from_trace(trace)
    assert len(rows) == 1500
    assert trace.info.duration_s == 100
    assert trace.info.name == "mine"
    assert trace.info.scale == 3
    assert rows.column("service").mean() == pytest.approx(0.5, abs=0.06)


@pytest.mark.parametrize(
    ("document", "place", "problem"),
    [
        ({}, "trace", "exactly one of file, streams and counts; this has none"),
        ({"file": "x", "streams": [STREAM]}, "trace", "this has file and streams"),
        ({"streams": [STREAM]}, "trace", "duration_s"),
        ({"streams": [], "duration_s": 5}, "trace", "at least one stream"),
        ({"streams": [STREAM], "duration_s": 5, "scale": 2}, "trace", "scale does not go with streams"),
        ({"streams": [STREAM], "duration_s": -5}, "trace.duration_s", "-5"),
        ({"streams": [STREAM], "duration_s": float("nan")}, "trace.duration_s", "nan"),
        ({"streams": [{"service": "home"}], "duration_s": 5}, "trace.streams[0].arrivals", "'arrivals' is missing"),
        ({"streams": [{**STREAM, "rate": 5}], "duration_s": 5}, "trace.streams[0].rate", "is not a known field"),
        (
            {"streams": [{**STREAM, "arrivals": {"rate_rps": 0}}], "duration_s": 5},
            "trace.streams[0].arrivals.rate_rps",
            "0: ",
        ),
        (
            {"streams": [{**STREAM, "arrivals": {"rate_rps": 1, "diurnal": {}}}], "duration_s": 5},
            "trace.streams[0].arrivals.diurnal",
            "exactly one of amplitude and peak_to_mean",
        ),
        (
            {
                "streams": [
                    {**STREAM, "arrivals": {"rate_rps": 1, "bursts": {"factor": 9, "share": 0.5, "mean_s": 1}}}
                ],
                "duration_s": 5,
            },
            "trace.streams[0].arrivals.bursts",
            "exceeds 1",
        ),
        ({"file": "x", "mix": {"a": 1}, "service_map": {"b": "a"}}, "trace", "not both"),
        (counts(mix={}), "trace.counts", "mix is empty"),
        (counts(mode="exact", cv=2), "trace.counts", "cv applies to mode poisson"),
        (counts(per_service={"nobody": {}}), "trace.counts", "'nobody'"),
    ],
)
def test_mistakes_in_the_section(document: dict[str, Any], place: str, problem: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_trace_spec(document, "demo.yaml")
    assert caught.value.where == f"demo.yaml {place}"
    assert problem in caught.value.problem


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({"file": "absent.parquet"}, "absent.parquet: is no file"),
        ({"file": "t.parquet"}, "service 'a' is not one of: home"),
        ({"file": "t.parquet", "mix": {"home": 1}}, "use service_map"),
        ({"file": "t.parquet", "service_map": {"c": "home"}}, "'c' is not one of: a, b"),
        ({"file": "t.parquet", "start_s": 900, "duration_s": 200}, "ends at 1100 s, stored at 1000 s"),
        ({"streams": [{**STREAM, "service": "nope"}], "duration_s": 5}, "'nope' is not one of: home"),
        ({"streams": [{**STREAM, "name": "x"}] * 2, "duration_s": 5}, "'x' is taken"),
        (counts(days=["2023-01-01"]), "day 2023-01-01: is not in the file; choose days from 2024-05-01"),
        (counts(count_column="hits"), "has no column 'hits'; name one of its columns: minute, requests"),
        (counts(scale=1e-9), "holds no request at scale 1e-09"),
        (counts(time_column=None), "give bin_s"),
        ({"file": "data:../secret"}, "without folders"),
    ],
)
def test_mistakes_that_show_when_building(tmp_path: Path, document: dict[str, Any], message: str) -> None:
    trace_file(tmp_path)
    counts_file(tmp_path)
    with pytest.raises(InputError) as caught:
        build(document, tmp_path, services=("home",))
    assert message in str(caught.value)


def test_a_section_survives_json_and_has_a_schema() -> None:
    spec = parse_trace_spec({"duration_s": 60, "streams": [STREAM]}, "demo.yaml")
    assert TraceSpec.model_validate_json(spec.model_dump_json(exclude_unset=True)) == spec
    assert "streams" in TraceSpec.model_json_schema()["properties"]


def test_absent_data_names_the_original_and_the_command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("RECFLEET_DATA", str(tmp_path))
    with pytest.raises(InputError) as caught:
        build({"counts": {"file": "data:arrivals_worldcup98_1min.parquet", "mix": {"home": 1}}})
    message = str(caught.value)
    assert "1998 World Cup" in message
    assert "https://github.com/nimamahmoudi/worldcup98-dataset" in message
    assert "recfleet trace import counts" in message
    assert "RECFLEET_DATA" in message


@pytest.mark.data
@NEEDS_DATA
def test_world_cup_days_replay_exactly_and_in_expectation() -> None:
    from workloads.data_folder import data_path

    frame = pd.read_parquet(data_path("arrivals_worldcup98_1min.parquet"))
    day = frame[frame["minute"].dt.date == date(1998, 6, 3)]["requests"].to_numpy()
    section = {
        "file": "data:arrivals_worldcup98_1min.parquet",
        "days": ["1998-06-03"],
        "mix": {"home": 0.6, "page": 0.3, "mail": 0.1},
    }
    trace = build({"counts": section})
    minutes = np.zeros(1440, dtype=int)
    for block in trace.blocks():
        minutes += np.bincount((block.arrival_s / 60).astype(int), minlength=1440)
    np.testing.assert_array_equal(minutes, day)
    assert "Arlitt" in trace.info.source
    tenth = build({"counts": {**section, "scale": 0.1, "mode": "poisson"}})
    assert tenth.expected_rows == pytest.approx(day.sum() * 0.1)
    assert tenth.describe().requests == pytest.approx(day.sum() * 0.1, abs=4 * np.sqrt(day.sum() * 0.1))


def test_the_examples_in_the_documentation_are_valid() -> None:
    page = (Path(__file__).parents[2] / "docs" / "trace-format.md").read_text(encoding="utf-8")
    examples = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    forms = [parse_trace_spec(yaml.safe_load(example)["trace"], "page") for example in examples]
    assert [bool(f.file) for f in forms] == [True, False, False]
    trace = forms[1].build(1)
    assert trace.expected_rows is not None
    assert trace.expected_rows > 9e6
