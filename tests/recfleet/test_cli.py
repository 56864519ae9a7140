"""The command: help, one line and exit code 2 for bad input, and a run end to end with a fake simulator."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import recfleet as rf
from recfleet import cli
from recfleet.jobs import Job
from recfleet.run_record import RunRecord
from tests.recfleet.fakes import FakeScenario, fake_runner, replaced
from tests.recfleet.test_comparing import write_verdict
from workloads.errors import InputError

ROOT = Path(__file__).parents[2]


def fresh(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "recfleet", *arguments],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=os.environ | environment,
        timeout=120,
    )


def one_line(text: str, start: str) -> None:
    assert text.startswith(f"recfleet: {start}"), text
    assert text.count("\n") == 1, text
    assert "Traceback" not in text


def test_help_names_every_part_and_a_first_example() -> None:
    done = fresh("--help")
    assert done.returncode == 0
    for part in (
        "compare",
        "policies",
        "schema",
        "trace",
        "profile",
        "lp",
        "conformance",
        "recfleet compare scenarios/demo.yaml",
    ):
        assert part in done.stdout
    assert fresh().stdout == done.stdout


def test_help_and_import_are_quick_and_load_nothing_heavy() -> None:
    code = (
        "import sys, recfleet; from recfleet.cli import run; run(['--help'])\n"
        "heavy = {'numpy', 'pandas', 'numba', 'matplotlib', 'torch', 'simpy', 'pulp', 'ortools', 'scipy', 'pydantic'}\n"
        "print('HEAVY', sorted(heavy & set(sys.modules)))"
    )
    began = time.process_time()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert "HEAVY []" in done.stdout
    assert time.process_time() - began < 5


def test_version() -> None:
    assert fresh("--version").stdout == f"recfleet {rf.__version__}\n"


@pytest.mark.parametrize(
    "arguments",
    [
        ["compare", "absent.yaml"],
        ["compare"],
        ["compare", "--nonsense"],
        ["compare", "absent.yaml", "--seeds", "0"],
        ["compare", "absent.yaml", "--seeds", "many"],
        ["nonsense"],
        ["schema", "nonsense"],
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(arguments: list[str], tmp_path: Path, capsys: Any) -> None:
    assert cli.run(arguments) == 2
    captured = capsys.readouterr()
    one_line(captured.err, "error: ")
    assert captured.out == ""


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["compare", "a.yaml", "--seeds", "many"], "'--seeds': got 'many': not a whole number; see recfleet compare"),
        (["compare", "a.yaml", "--seeds", "0"], "'--seeds': got '0': below 1; see"),
        (["schema", "nonsense"], "'kind': 'nonsense' is not one of 'scenario', 'profile'; see"),
    ],
)
def test_options_are_refused_in_our_words(arguments: list[str], told: str, capsys: Any) -> None:
    """pydantic, which checks Typer's options, has words of its own."""
    assert cli.run(arguments) == 2
    assert told in capsys.readouterr().err


def test_bad_input_in_a_process_of_its_own() -> None:
    done = fresh("compare", "absent.yaml")
    assert done.returncode == 2
    one_line(done.stderr, "error: absent.yaml")


def test_a_defect_is_one_line_unless_asked(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    def broken() -> None:
        raise ZeroDivisionError("oh\nno")

    monkeypatch.setattr("recfleet.cli_policies.policies", broken)
    assert cli.run(["policies"]) == 1
    one_line(capsys.readouterr().err, "defect: ZeroDivisionError: oh no")
    with pytest.raises(ZeroDivisionError):
        cli.run(["--debug", "policies"])
    monkeypatch.setenv("RECFLEET_DEBUG", "1")
    with pytest.raises(ZeroDivisionError):
        cli.run(["policies"])


def test_policies_and_schemas(capsys: Any) -> None:
    assert cli.run(["policies"]) == 0
    assert "static_peak" in capsys.readouterr().out
    for kind in ("scenario", "profile"):
        assert cli.run(["schema", kind]) == 0
        assert '"$schema"' in capsys.readouterr().out


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., int]:
    """``recfleet compare`` of a scenario that needs no simulator; returns the exit code."""
    scenario: Any = FakeScenario(intervals=24)
    monkeypatch.delenv("COLUMNS", raising=False)
    monkeypatch.setattr("simulator.scenario.load_scenario", lambda path: scenario)
    monkeypatch.setattr("recfleet.report.write_page", write_verdict)
    monkeypatch.setattr("recfleet.comparing.check_objectives", lambda scenario, listener: None)

    def run(*arguments: str, runner: Any = fake_runner) -> int:
        from recfleet import comparing

        real = comparing.compare
        monkeypatch.setattr(comparing, "compare", lambda *a, **k: real(*a, **{**k, "runner": runner}))
        try:
            return cli.run(["compare", "fake.yaml", "--out", str(tmp_path / "out"), "--workers", "1", *arguments])
        finally:
            monkeypatch.setattr(comparing, "compare", real)

    return run


def test_compare_ends_in_a_verdict(fake: Callable[..., int], tmp_path: Path, capsys: Any) -> None:
    assert fake("--seeds", "2", "--policies", "static_peak,hpa", "--policies", "mip") == 0
    out = capsys.readouterr().out
    verdict = out[out.index("Verdict: ") :].splitlines()
    assert "is the cheapest policy that holds" in verdict[0]
    assert 2 <= len(verdict) <= 7
    assert all(line.startswith("  ") for line in verdict[1:])
    assert out.count("every request accounted for") == 7
    assert "10 of 10 invariants hold" in out
    assert "assumed  The arrivals are synthetic." in out
    assert (tmp_path / "out" / "report.html").is_file()


def test_a_narrow_terminal_cuts_no_line_and_no_word(
    fake: Callable[..., int], capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert fake("--policies", "static_peak,hpa,mip") == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if len(line) > 80 and not line.startswith("report: ")] == []
    assert any(line.startswith("no room for: ") and "(they are in the report)" in line for line in lines)
    told = " ".join(" ".join(lines).split())
    assert "is the cheapest policy that holds every service's objective" in told
    assert not any("…" in line for line in lines)


def test_quiet_prints_the_verdict_only(fake: Callable[..., int], capsys: Any) -> None:
    assert fake("--quiet") == 0
    captured = capsys.readouterr()
    assert captured.out.startswith("Verdict: ")
    assert all(line.startswith("  ") for line in captured.out.splitlines()[1:])
    assert captured.err == ""


def test_a_name_may_look_like_markup(fake: Callable[..., int], tmp_path: Path, capsys: Any) -> None:
    (tmp_path / "mine[b].py").write_text("class Mine:\n    def decide(self, observation): ...\n")
    assert fake("--policies", f"{tmp_path}/mine[b].py") == 0
    assert "\nmine[b] " in capsys.readouterr().out
    (tmp_path / "a[b].csv").write_text("demand\n1\n2\n")
    assert cli.run(["lp", "--demand", str(tmp_path / "a[b].csv"), "--capacity", "5"]) == 0
    assert "a[b].csv" in capsys.readouterr().out.replace("\n", "").replace(" ", "")
    (tmp_path / "t.csv").write_text("arrival_s\n1\n2\n")
    out = str(tmp_path / "t.parquet")
    assert cli.run(["trace", "import", "csv", str(tmp_path / "t.csv"), "--name", "n[/x]", "--out", out]) == 0
    assert cli.run(["trace", "describe", out]) == 0
    assert "n[/x]" in capsys.readouterr().out


def lossy_runner(scenario: Any, job: Job, progress: Callable[[float], None]) -> RunRecord:
    record = fake_runner(scenario, job, progress)
    return replaced(record, failed=record.result.failed + 1)


def test_a_failed_invariant_is_exit_code_1(fake: Callable[..., int], capsys: Any) -> None:
    assert fake("--quiet", runner=lossy_runner) == 1
    assert "INVARIANT FAILED conservation" in capsys.readouterr().out


def test_an_interrupt_says_how_to_go_on(fake: Callable[..., int], tmp_path: Path, capsys: Any) -> None:
    def interrupted(scenario: Any, job: Job, progress: Callable[[float], None]) -> RunRecord:
        if job.index == 1:
            raise KeyboardInterrupt
        return fake_runner(scenario, job, progress)

    assert fake("--quiet", runner=interrupted) == 130
    err = capsys.readouterr().err
    one_line(err, "interrupted; finished runs are kept in ")
    assert fake("--quiet") == 0
    assert not (tmp_path / "out.partial").exists()


def test_an_interrupt_before_any_run_promises_nothing(fake: Callable[..., int], tmp_path: Path, capsys: Any) -> None:
    def interrupted(scenario: Any, job: Job, progress: Callable[[float], None]) -> RunRecord:
        raise KeyboardInterrupt

    assert fake("--quiet", runner=interrupted) == 130
    assert capsys.readouterr().err == "recfleet: interrupted; no run was finished\n"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("names", ["hpa,,mip", "", "hpa,hpa", "hpa,nonsense", "absent.py:Mine"])
def test_bad_policy_lists_are_all_that_is_told(fake: Callable[..., int], names: str, capsys: Any) -> None:
    assert fake("--policies", names) == 2
    captured = capsys.readouterr()
    one_line(captured.err, "error: ")
    assert captured.out == ""


def test_a_wrong_option_in_the_scenario_is_all_that_is_told(
    fake: Callable[..., int], monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    wrong: Any = FakeScenario(policies=("mip", {"name": "hpa", "target": 7}))
    monkeypatch.setattr("simulator.scenario.load_scenario", lambda path: wrong)
    assert fake() == 2
    captured = capsys.readouterr()
    one_line(captured.err, "error: policy hpa option target")
    assert captured.out == ""


def test_output_folder_of_somebody_else(fake: Callable[..., int], tmp_path: Path, capsys: Any) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.tex").write_text("mine")
    assert fake() == 2
    captured = capsys.readouterr()
    one_line(captured.err, "error: --out ")
    assert captured.out == ""
    assert (tmp_path / "out" / "thesis.tex").read_text() == "mine"


def test_the_friendly_names_all_lead_somewhere() -> None:
    for name in rf.__all__:
        assert getattr(rf, name) is not None
    assert rf.InputError is InputError
    assert callable(rf.compare)
    assert set(rf.__all__) <= set(dir(rf))
    with pytest.raises(AttributeError, match="it offers"):
        _ = rf.nothing
