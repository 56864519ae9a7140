"""Every bad scenario gives one line that names the place, the value, what was expected and the fix; exit code 2."""

from __future__ import annotations

import json
import pickle
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from recfleet.cli import run
from simulator.facts import prepare
from simulator.scenario import load_scenario
from tests.simulator.bad_scenarios import BAD, FILE_TRACE, STREAMS, Bad
from tests.simulator.mini import write_mini, write_trace
from workloads.errors import InputError


def write(folder: Path, bad: Bad) -> Path:
    path = write_mini(folder, changes=bad.changes)
    for name, content in bad.files.items():
        (folder / name).write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def refusal(path: Path, late: bool) -> InputError:
    if late:
        scenario = load_scenario(path)
        with pytest.raises(InputError) as error:
            prepare(scenario, scenario.seed)
    else:
        with pytest.raises(InputError) as error:
            load_scenario(path)
    return error.value


def check_message(message: str, path: Path, bad: Bad) -> None:
    assert "\n" not in message
    for words in bad.says:
        assert words in message, message
    if bad.line:
        number = path.read_text().count("\n", 0, path.read_text().index(bad.line)) + 1
        assert message.removeprefix("recfleet: error: ").startswith(f"{path}:{number}"), (message, number)


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD.keys())
def test_message_names_place_value_and_fix(tmp_path: Path, bad: Bad) -> None:
    path = write(tmp_path, bad)
    error = refusal(path, bad.late)
    check_message(str(error), path, bad)
    assert error.where
    assert error.problem
    assert re.match(r"[a-z0-9]", error.fix), error.fix


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD.keys())
def test_command_line_says_it_in_one_line_and_writes_nothing(
    tmp_path: Path, bad: Bad, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path, bad)
    before = sorted(tmp_path.rglob("*"))
    code = run(["compare", str(path), "--workers", "1", "--quiet", "--out", str(tmp_path / "out")])
    told = capsys.readouterr()
    assert code == 2
    assert told.err.count("\n") == 1
    assert told.out == ""
    assert told.err.startswith("recfleet: error: ")
    assert "Traceback" not in told.err
    check_message(told.err.strip(), path, bad)
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("name", ["misspelt key", "hopeless objective"])
def test_as_a_process(tmp_path: Path, name: str) -> None:
    """The installed command, with worker processes, from another folder."""
    path = write(tmp_path, BAD[name])
    before = sorted(tmp_path.rglob("*"))
    command = [str(Path(sys.executable).with_name("recfleet")), "compare", str(path), "--policies", "static_peak,hpa"]
    done = subprocess.run(
        [*command, "--workers", "2", "--out", str(tmp_path / "out"), "--quiet"],
        capture_output=True, text=True, check=False, cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1, done.stderr
    check_message(done.stderr.strip(), path, BAD[name])
    assert sorted(tmp_path.rglob("*")) == before


def test_all_fields_that_are_wrong_are_told_at_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """By line; a misspelt key is not told as missing too, and a field of two kinds is told once."""
    changes = {
        "seed: 3": "seed: soon",
        "{min: 1, max: 60}": "{min: 1, mxa: 60}",
        "bytes_in: 2000": "bytes_in: much",
        "count: 6": "cuont: 6",
        "boot_s: 30": "boot_s: -1",
        "    slo_ms: 600\n": "",
        "router: round_robin": "router: roundrobin",
    }
    path = write_mini(tmp_path, changes=changes)
    assert run(["compare", str(path), "--out", str(tmp_path / "out")]) == 2
    first, *told = capsys.readouterr().err.splitlines()
    assert first == f"recfleet: error: {path} has 7 problems:"
    routers = (
        "least_outstanding', 'round_robin', 'weighted', 'power_of_two', 'consistent_hash', 'locality' or 'function'"
    )
    assert [line.removeprefix(f"  {path}:") for line in told] == [
        "2 seed: got 'soon': not a whole number; give one",
        "10 trace.streams[0].items.mxa: unknown key 'mxa'; did you mean 'max'?",
        "14 trace.streams[1].bytes_in: got 'much': not a whole number; give one",
        "20 cluster.node_types[0].cuont: unknown key 'cuont'; did you mean 'count'?",
        "37 cluster.node_types[1].boot_s: got -1: below 0; give 0 or more",
        "40 services[0]: 'slo_ms' is missing; add slo_ms: to this section, a number above 0",
        f"51 services[0].stages[1].router: got 'roundrobin': not one of '{routers}; did you mean 'round_robin'?",
    ]


def test_of_very_many_wrong_fields_ten_are_told(tmp_path: Path) -> None:
    path = write_mini(tmp_path)
    path.write_text(path.read_text() + "".join(f"key{i}: 1\n" for i in range(13)))
    with pytest.raises(InputError) as error:
        load_scenario(path)
    told = str(error.value).splitlines()
    assert told[0] == f"{path} has 13 problems:"
    assert len(told) == 12
    assert "unknown key 'key9'" in told[10]
    assert told[11] == "  and 3 more"
    assert str(pickle.loads(pickle.dumps(error.value))) == str(error.value)


# --- traces, row by row -------------------------------------------------------------------------------


def spoilt_trace(folder: Path, arrival_s: list[float], services: tuple[str, ...] = ("ads",)) -> Path:
    """The mini scenario over a trace file whose times have been overwritten."""
    path = write_mini(folder, changes={STREAMS: FILE_TRACE})
    trace = write_trace(folder / "t.parquet", [1.0, 2.0, 3.0], 60.0)
    table = pq.read_table(trace)
    metadata = table.schema.metadata
    info = json.loads(metadata[b"recfleet.trace"])
    info["info"]["services"] = services
    rows = table.slice(0, len(arrival_s)).set_column(0, "arrival_s", pa.array(np.array(arrival_s, dtype=float)))
    pq.write_table(rows.replace_schema_metadata({b"recfleet.trace": json.dumps(info)}), trace)
    return path


@pytest.mark.parametrize(
    ("arrival_s", "says"),
    [
        ([1.0, float("nan"), 3.0], ("row 1 arrival_s", "nan is not a time")),
        ([1.0, 2.0, float("inf")], ("row 2 arrival_s", "inf is not a time")),
        ([1.0, 0.5, 3.0], ("row 1 arrival_s", "0.5 comes after 1.0", "sort the rows")),
        ([-1.0, 0.5, 3.0], ("row 0 arrival_s", "-1.0 is negative")),
        ([1.0, 2.0, 61.0], ("row 2 arrival_s", "61.0 is past", "60.0 s")),
        ([], ("holds no request", "at least one row")),
    ],
)
def test_bad_rows_of_a_trace_file(tmp_path: Path, arrival_s: list[float], says: tuple[str, ...]) -> None:
    path = spoilt_trace(tmp_path, arrival_s)
    check_message(str(refusal(path, late=False)), path, Bad({}, "file: t.parquet", ("t.parquet", *says)))


def test_trace_of_a_service_that_the_scenario_has_not(tmp_path: Path) -> None:
    path = spoilt_trace(tmp_path, [1.0, 2.0, 3.0], services=("page",))
    error = refusal(path, late=False)
    check_message(str(error), path, Bad({}, "file: t.parquet", ("'page'", "feed, ads", "service_map")))


@pytest.mark.parametrize("content", ["name: [", "", "seed: 1e3\n"])
def test_absent_folder_and_bad_file_leave_no_folder(
    tmp_path: Path, content: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "s.yaml").write_text(content)
    assert run(["compare", str(tmp_path / "s.yaml"), "--out", str(tmp_path / "a" / "b")]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert not (tmp_path / "a").exists()


def test_no_scenario_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["compare", str(tmp_path / "absent.yaml"), "--out", str(tmp_path / "out")]) == 2
    assert re.fullmatch(r"recfleet: error: .*absent\.yaml: cannot be read .*\n", capsys.readouterr().err)


@pytest.mark.parametrize("policies", ["hpaa", "static_peak,static_peak", "nowhere.py:Mine"])
def test_bad_policies(tmp_path: Path, policies: str, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_mini(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    assert run(["compare", str(path), "--policies", policies, "--quiet", "--out", str(tmp_path / "out")]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert sorted(tmp_path.rglob("*")) == before
