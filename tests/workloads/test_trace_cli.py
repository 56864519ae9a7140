"""``recfleet trace`` from the command line."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from recfleet.cli_trace import app
from workloads.errors import InputError
from workloads.trace import open_trace

SPEC = """\
trace:
  duration_s: 600
  streams:
    - service: home
      arrivals: {rate_rps: 5, diurnal: {peak_to_mean: 1.5}}
      users: {count: 100, zipf_s: 0.8}
other: 1
"""


def run(*words: object) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words])


def test_generate_from_a_file_and_describe(tmp_path: Path) -> None:
    (tmp_path / "demo.yaml").write_text(SPEC)
    done = run("generate", tmp_path / "demo.yaml", "--out", tmp_path / "t.parquet", "--seed", 3)
    assert done.exit_code == 0, done.output
    assert "requests over 600 s for home (synthetic)" in done.output
    told = json.loads(run("describe", tmp_path / "t.parquet", "--json").output)
    assert told["requests"] == len(open_trace(tmp_path / "t.parquet"))
    assert told["item_zipf_s"] is None
    assert told["services"][0]["service"] == "home"
    table = run("describe", tmp_path / "t.parquet").output
    assert "Zipf exponent" in table
    assert "synthetic" in table


def test_seed_decides_the_bytes(tmp_path: Path) -> None:
    names = {"a": 1, "b": 1, "c": 2}
    for name, seed in names.items():
        options = ["--rate-rps", 5, "--duration-s", 300, "--service", "x", "--service", "y", "--users", 50]
        assert run("generate", *options, "--out", tmp_path / name, "--seed", seed).exit_code == 0
    a, b, c = ((tmp_path / name).read_bytes() for name in names)
    assert a == b
    assert a != c
    assert open_trace(tmp_path / "a").info.services == ("x", "y")


def test_import_each_kind(tmp_path: Path) -> None:
    (tmp_path / "c.csv").write_text("period,count\n2024-01-01 00:00,5\n2024-01-01 00:01,7\n")
    (tmp_path / "a.csv").write_text("TIMESTAMP,ContextTokens,GeneratedTokens\n2024-01-01 00:00,500,7\n")
    (tmp_path / "r.dat").write_text("1::2::3::100\n1::2::3::90\n")
    (tmp_path / "t.csv").write_text("arrival_s\n1\n2\n")
    out = tmp_path / "out.parquet"
    names = ["--time-column", "period", "--count-column", "count"]
    assert run("import", "counts", tmp_path / "c.csv", "--out", out, *names, "--mix", "x=2", "--mix", "y=1").output
    assert (len(open_trace(out)), open_trace(out).info.services) == (12, ("x", "y"))
    assert run("import", "azure-llm", tmp_path / "a.csv", "--out", out).exit_code == 0
    assert len(open_trace(out)) == 1
    assert run("import", "movietweetings", tmp_path / "r.dat", "--out", out, "--sort").exit_code == 0
    assert len(open_trace(out)) == 2
    assert run("import", "csv", tmp_path / "t.csv", "--out", out, "--speed", 2).exit_code == 0
    assert open_trace(out).info.duration_s == 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["generate"], "no SPEC.yaml given"),
        (["generate", "absent.yaml"], "cannot be read"),
        (["generate", "--rate-rps", "-1", "--duration-s", "5"], "-1.0"),
        (["generate", "typo.yaml", "--users", "4", "--cv", "2"], "--cv, --users does not go with SPEC"),
        (["generate", "bad.yaml"], "bad.yaml:1: not valid YAML"),
        (["generate", "typo.yaml"], "typo.yaml:4 trace.streams[0].rate: 'rate' is not a known field"),
        (["generate", "list.yaml"], "holds no trace section"),
        (["import", "csv", "absent.csv"], "is no file"),
        (["import", "csv", "data:nothing"], "not in the data folder"),
        (["import", "counts", "list.yaml", "--mix", "x"], "'x' is not NAME=VALUE"),
    ],
)
def test_a_mistake_is_one_error_and_writes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("bad.yaml").write_text("trace: [")
    Path("list.yaml").write_text("- 1\n")
    Path("typo.yaml").write_text("trace:\n  duration_s: 5\n  streams:\n    - {service: a, rate: 5}\n")
    done = run(*words, "--out", "out.parquet")
    assert isinstance(done.exception, InputError)
    assert message in str(done.exception)
    assert "\n" not in str(done.exception)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bad.yaml", "list.yaml", "typo.yaml"]
