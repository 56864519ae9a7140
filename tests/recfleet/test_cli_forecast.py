"""The command ``forecast``: what it reads, what it prints, and one clear line for every unusable input."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from recfleet.cli import run
from recfleet.rate_source import SourceColumns, read_rates
from recfleet.trace_section import read_trace_section

FEW = "--methods last_value,oracle --origins 5 --horizon 3"
SECTION = """trace:
  duration_s: 3600
  streams:
    - service: home
      arrivals: {rate_rps: 5}
    - service: page
      arrivals: {rate_rps: 2}
"""


@pytest.fixture
def counts(tmp_path: Path) -> Path:
    """An hour of Poisson counts by minute, of two series."""
    rng = np.random.default_rng(np.random.SeedSequence(0))
    rows = [f"1998-05-01T00:{minute:02d}:00,{rng.poisson(600)},{name}" for name in ("a", "b") for minute in range(60)]
    path = tmp_path / "counts.csv"
    path.write_text("\n".join(["minute,requests,series", *rows]))
    return path


@pytest.fixture
def section(tmp_path: Path) -> Path:
    path = tmp_path / "scenario.yaml"
    path.write_text("control_interval_s: 30\n" + SECTION)
    return path


def asked(capsys: pytest.CaptureFixture[str], path: Path, options: str) -> dict[str, Any]:
    assert run(["forecast", str(path), *shlex.split(options), "--json"]) == 0
    out, err = capsys.readouterr()
    assert "done: last_value" in err
    document: dict[str, Any] = json.loads(out)
    return document


def test_json_of_counts(counts: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = asked(capsys, counts, f"{FEW} --where series=a --levels 0.1,0.5,0.9")
    assert (found["intervals"], found["interval_s"], found["origins"]) == (60, 60.0, 5)
    assert found["mean_rate_rps"] == pytest.approx(10.0, rel=0.1)
    last, oracle = found["methods"]["last_value"], found["methods"]["oracle"]
    assert len(last["pinball_rps"]) == 3
    assert last["mean_pinball_rps"] == pytest.approx(np.mean(last["pinball_rps"]))
    assert last["relative_pinball"] == pytest.approx(last["mean_pinball_rps"] / found["mean_rate_rps"])
    assert last["nominal_coverage"] == 0.8
    assert oracle["mean_pinball_rps"] == 0.0


def test_figures_are_the_same_twice(section: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """All but the time that it took."""
    one, two = (asked(capsys, section, FEW) for _ in range(2))
    for document in (one, two):
        for method in document["methods"].values():
            assert method.pop("seconds_per_forecast") >= 0.0
    assert one == two


def test_tables(section: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["forecast", str(section), *shlex.split(FEW)]) == 0
    out = capsys.readouterr().out
    assert "synthetic; home, page): 120 intervals of 30 s" in out
    assert "within 90%" in out
    assert "last_value" in out
    assert "0.99" in out


def test_sources_agree(section: Path, tmp_path: Path) -> None:
    """A section, its trace on disk, and its requests as a table have the same rates; what is not whole is left out."""
    of_section = read_rates(section, 50.0)
    assert of_section.rate_rps.shape == (2, 72)
    assert of_section.rate_rps.mean(axis=1) == pytest.approx([5.0, 2.0], rel=0.1)
    trace = read_trace_section(section)[0].build(0)
    trace.write_parquet(tmp_path / "trace.parquet")
    assert (read_rates(tmp_path / "trace.parquet", 50.0).rate_rps == of_section.rate_rps).all()
    assert read_rates(tmp_path / "trace.parquet", 70.0).rate_rps.shape == (2, 51)
    times = np.concatenate([block.arrival_s for block in trace.blocks()])
    (tmp_path / "table.csv").write_text("\n".join(["at", "0", *(repr(float(time)) for time in times)]))
    table = read_rates(tmp_path / "table.csv", 50.0, columns=SourceColumns(arrival="at")).rate_rps
    added = np.zeros_like(table)
    added[0, 0] = 1 / 50.0
    assert table - added == pytest.approx(of_section.rate_rps.sum(axis=0, keepdims=True))


def test_counts_are_added_up_to_the_interval(counts: Path) -> None:
    minute = read_rates(counts, None, columns=SourceColumns(where={"series": "a"}))
    longer = read_rates(counts, 420.0, columns=SourceColumns(where={"series": "a"}))
    assert longer.rate_rps.shape == (1, 8)
    assert longer.rate_rps[0] == pytest.approx(minute.rate_rps[0, :56].reshape(8, 7).mean(axis=1))


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ("--methods last_valu", "did you mean 'last_value'?"),
        ("--levels 0.5,x", "are not numbers"),
        ("--levels 0.5,0.5", "do not rise"),
        ("--levels 0,0.5", "do not rise"),
        ("--levels nan", "do not rise"),
        ("--horizon 0", "--horizon: 0 is not"),
        ("--origins 0", "--origins: 0 is not"),
        ("--warm-up 1", "--warm-up: 1.0 is not"),
        ("--interval nan", "--interval: nan is not"),
        ("--bin-s 0", "bin_s: 0 is no width"),
        ("--bin-s nan", "bin_s: nan is no width"),
        ("--bin-s 1e-300", "is no width"),
        ("--interval 90", "is no multiple of the file's bins of 60 s"),
        ("--interval 36000", "is shorter than one interval"),
        ("--period -1", "--period: -1.0 is not"),
        ("--horizon 50", "are too few for a warm-up of 20 and a horizon of 50"),
        ("--count-column hits", "has no column 'hits'"),
        ("--where series", "'series' is not COLUMN=VALUE"),
        ("--where series=c", "no row has 'c'"),
        ("--horizon x", "Invalid value for '--horizon'"),
    ],
)
def test_unusable_input(counts: Path, capsys: pytest.CaptureFixture[str], options: str, told: str) -> None:
    where = [] if "where" in options else ["--where", "series=a"]
    assert run(["forecast", str(counts), *where, *shlex.split(options)]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert told in " ".join(err.split())
    assert len(err.strip().splitlines()) == 1


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("none.csv", None, "is no file"),
        ("empty.csv", "", "cannot be read as a table"),
        ("bad.parquet", "no parquet", "cannot be read as a table"),
        ("bad.yaml", "trace: [", "bad.yaml"),
        ("list.yaml", "- 1", "holds no trace section"),
        ("typo.yaml", "trace: {stream: []}", "stream"),
        (
            "negative.csv",
            "minute,requests\n1998-05-01T00:00:00,-1\n1998-05-01T00:01:00,2\n",
            "-1 is not a whole number",
        ),
    ],
)
def test_unusable_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, text: str | None, told: str
) -> None:
    if text is not None:
        (tmp_path / name).write_text(text)
    assert run(["forecast", str(tmp_path / name)]) == 2
    err = capsys.readouterr().err
    assert told in err
    assert len(err.strip().splitlines()) == 1
