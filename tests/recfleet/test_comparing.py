"""The comparison from jobs to files: determinism, resuming, and nothing half-written."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from recfleet.comparing import compare
from recfleet.comparison import Comparison
from recfleet.files import write_comparison
from recfleet.jobs import Job, label_of, make_jobs
from recfleet.output import open_workspace
from recfleet.run_record import RunRecord
from tests.recfleet.fakes import FakeScenario, fake_runner
from tests.short_demo import FILES
from workloads.errors import InputError, RecfleetError

pytestmark = pytest.mark.usefixtures("plain_page")

POLICIES = ["static_peak", "hpa", "mip"]
SCENARIO: Any = FakeScenario(intervals=24)


def write_verdict(comparison: Comparison, path: Path) -> Path:
    """Stands in for `recfleet.report.write_page`."""
    path.write_text(comparison.verdict.text)
    return path


@pytest.fixture
def plain_page(monkeypatch: pytest.MonkeyPatch) -> None:
    """The verdict in place of the page, which has tests of its own and takes seconds to draw."""
    monkeypatch.setattr("recfleet.report.write_page", write_verdict)


def run(out: Path | None = None, **options: Any) -> Comparison:
    return compare(SCENARIO, POLICIES, 2, out=out, **({"runner": fake_runner} | options))


def compared_bytes(folder: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in folder.iterdir() if p.name != "manifest.json"}


class Counting:
    """Runs jobs and counts them; stops with an error at one of them."""

    def __init__(self, stop_at: int | None = None, error: Callable[[], BaseException] = KeyboardInterrupt) -> None:
        self.done: list[str] = []
        self._stop_at, self._error = stop_at, error

    def __call__(self, scenario: Any, job: Job, progress: Callable[[float], None]) -> RunRecord:
        if len(self.done) == self._stop_at:
            raise self._error()
        self.done.append(f"{job.label} {job.seed}")
        return fake_runner(scenario, job, progress)


def test_files_and_tables(tmp_path: Path) -> None:
    comparison = run(tmp_path / "out")
    assert {p.name for p in (tmp_path / "out").iterdir()} == FILES
    assert [p.name for p in tmp_path.iterdir()] == ["out"]
    assert list(comparison.summary["policy"]) == POLICIES * 2
    assert list(comparison.summary["seed"]) == [1, 1, 1, 2, 2, 2]
    assert comparison.ok
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert summary["verdict"]["winner"] == comparison.verdict.winner
    assert len(summary["runs"]) == 6
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert manifest["seeds"] == [1, 2]
    assert set(manifest["files"]) == FILES - {"manifest.json"}
    table = pd.read_parquet(tmp_path / "out" / "intervals.parquet")
    assert len(table) == 6 * 24


def test_the_same_bytes_again_and_with_two_processes(tmp_path: Path) -> None:
    run(tmp_path / "a")
    run(tmp_path / "b")
    run(tmp_path / "c", workers=2)
    first = compared_bytes(tmp_path / "a")
    assert first == compared_bytes(tmp_path / "b")
    assert first == compared_bytes(tmp_path / "c")


def test_the_same_bytes_where_text_is_not_utf8_by_default(tmp_path: Path) -> None:
    code = (
        "import sys; from tests.recfleet.test_comparing import *\n"
        "compare(FakeScenario(intervals=24, name='Gr\\xf6\\xdfe'), ['hpa'], 1, out=sys.argv[1], runner=fake_runner)"
    )
    root = Path(__file__).parents[2]
    for locale, utf8 in (("C", "1"), ("C", "0")):
        environment = os.environ | {"LC_ALL": locale, "PYTHONUTF8": utf8, "PYTHONCOERCECLOCALE": "0"}
        command = [sys.executable, "-c", code, str(tmp_path / utf8)]
        subprocess.run(command, env=environment | {"PYTHONPATH": str(root)}, check=True, cwd=root)
    assert compared_bytes(tmp_path / "0") == compared_bytes(tmp_path / "1")


def test_the_same_bytes_under_another_hash_seed_with_the_page(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path\n"
        "from tests.recfleet.test_comparing import SCENARIO, compare, fake_runner\n"
        "compare(SCENARIO, ['hpa', 'mip'], 1, out=Path(sys.argv[1]), runner=fake_runner)"
    )
    root = Path(__file__).parents[2]
    for hash_seed in ("0", "12345"):
        environment = os.environ | {"PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(root)}
        command = [sys.executable, "-c", code, str(tmp_path / hash_seed)]
        subprocess.run(command, env=environment, check=True, cwd=root)
    assert compared_bytes(tmp_path / "0") == compared_bytes(tmp_path / "12345")


def test_an_interrupted_comparison_goes_on(tmp_path: Path) -> None:
    out = tmp_path / "out"
    first = Counting(stop_at=4)
    with pytest.raises(KeyboardInterrupt):
        run(out, runner=first)
    assert not out.exists()
    second = Counting()
    run(out, runner=second)
    assert first.done + second.done == [f"{p} {s}" for s in (1, 2) for p in POLICIES]
    run(tmp_path / "whole")
    assert compared_bytes(out) == compared_bytes(tmp_path / "whole")
    assert not (tmp_path / "out.partial").exists()


def test_kept_runs_of_other_inputs_are_not_used(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "out", runner=Counting(stop_at=4))
    changed: Any = FakeScenario(intervals=24, control_interval_s=31.0)
    runner = Counting()
    compare(changed, POLICIES, 2, out=tmp_path / "out", runner=runner)
    assert len(runner.done) == 6


class Given:
    """A policy given as a class, whose code may change between two comparisons."""

    def decide(self, observation: Any) -> Any:
        """Nothing."""


def test_runs_of_a_class_are_not_kept_for_another_comparison(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        compare(SCENARIO, ["hpa", Given], 2, out=tmp_path / "out", runner=Counting(stop_at=3))
    runner = Counting()
    compare(SCENARIO, ["hpa", Given], 2, out=tmp_path / "out", runner=runner)
    assert runner.done == ["Given 1", "Given 2"]


def test_no_resume_starts_afresh(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "out", runner=Counting(stop_at=4))
    runner = Counting()
    run(tmp_path / "out", runner=runner, resume=False)
    assert len(runner.done) == 6


def test_a_damaged_kept_run_is_run_again(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "out", runner=Counting(stop_at=2))
    victim = sorted((tmp_path / "out.partial" / "runs").iterdir())[0]
    victim.write_bytes(victim.read_bytes()[:100])
    runner = Counting()
    run(tmp_path / "out", runner=runner)
    assert len(runner.done) == 5


def test_a_failure_before_any_run_leaves_nothing(tmp_path: Path) -> None:
    error = InputError("policy hpa", "it is wrong", "mend it")
    with pytest.raises(InputError):
        run(tmp_path / "out", runner=Counting(stop_at=0, error=lambda: error))
    assert list(tmp_path.iterdir()) == []


def test_a_crash_while_writing_leaves_no_output(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def crash(comparison: Comparison, path: Path) -> Path:
        path.write_text("<html>")
        raise OSError("no space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("recfleet.report.write_page", crash)
        with pytest.raises(OSError, match="no space"):
            run(tmp_path / "out")
    assert not (tmp_path / "out").exists()
    runner = Counting()
    run(tmp_path / "out", runner=runner)
    assert runner.done == []
    assert {p.name for p in (tmp_path / "out").iterdir()} == FILES


def test_an_earlier_output_is_replaced_and_kept_on_failure(tmp_path: Path) -> None:
    run(tmp_path / "out")
    before = compared_bytes(tmp_path / "out")
    with pytest.raises(KeyboardInterrupt):
        compare(SCENARIO, ["hpa"], 1, out=tmp_path / "out", runner=Counting(stop_at=0))
    assert compared_bytes(tmp_path / "out") == before
    compare(SCENARIO, ["hpa"], 1, out=tmp_path / "out", runner=fake_runner)
    assert compared_bytes(tmp_path / "out") != before


def test_an_interruption_between_the_two_renames_is_undone(tmp_path: Path) -> None:
    run(tmp_path / "out")
    before = compared_bytes(tmp_path / "out")
    (tmp_path / "out.partial").mkdir()
    (tmp_path / "out").rename(tmp_path / "out.partial" / "previous")
    with open_workspace(tmp_path / "out"):
        assert compared_bytes(tmp_path / "out") == before


@pytest.mark.parametrize("content", ["notes.txt", "manifest.json"])
def test_a_folder_of_somebody_else_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / content).write_text("{}")
    with pytest.raises(InputError, match="did not write"):
        run(tmp_path / "out")
    assert [p.name for p in tmp_path.iterdir()] == ["out"]
    assert (tmp_path / "out" / content).read_text() == "{}"


def test_a_partial_folder_of_somebody_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "out.partial").mkdir()
    (tmp_path / "out.partial" / "thesis.tex").write_text("mine")
    with pytest.raises(InputError, match=r"out\.partial: is a folder that recfleet did not write"):
        run(tmp_path / "out")
    assert [path.name for path in tmp_path.rglob("*")] == ["out.partial", "thesis.tex"]


def test_a_file_is_refused_and_an_empty_folder_is_used(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(InputError, match="not a folder"):
        run(tmp_path / "file")
    (tmp_path / "empty").mkdir()
    run(tmp_path / "empty")
    assert {p.name for p in (tmp_path / "empty").iterdir()} == FILES


def test_two_writers_do_not_meet(tmp_path: Path) -> None:
    with open_workspace(tmp_path / "out"), pytest.raises(InputError, match="another recfleet"):
        run(tmp_path / "out")


def dying_runner(scenario: Any, job: Job, progress: Callable[[float], None]) -> RunRecord:
    """In a worker process: end it as the system does when memory runs out."""
    os._exit(9)


def failing_runner(scenario: Any, job: Job, progress: Callable[[float], None]) -> RunRecord:
    """In a worker process: a policy that cannot be used."""
    raise InputError(f"policy {job.label}", "it is wrong", "mend it")


def test_a_dead_worker_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(RecfleetError, match=r"a worker process ended.*--workers 1"):
        run(tmp_path / "out", runner=dying_runner, workers=2)


def waiting_runner(scenario: Any, job: Job, progress: Callable[[float], None]) -> RunRecord:
    """In a worker process: leave a trace of it, then take a minute."""
    (Path(os.environ["PIDS"]) / str(os.getpid())).touch()
    time.sleep(60)
    return fake_runner(scenario, job, progress)


def is_running(pid: int) -> bool:
    """Whether a process exists and has not ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.skipif(not Path("/proc/self/stat").is_file(), reason="needs /proc")
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_workers_end_with_a_parent_that_is_killed(tmp_path: Path, how: signal.Signals) -> None:
    pids = tmp_path / "pids"
    pids.mkdir()
    code = (
        "import sys\n"
        "from tests.recfleet.test_comparing import SCENARIO, compare, waiting_runner\n"
        "if __name__ == '__main__':\n"
        "    compare(SCENARIO, ['hpa', 'mip'], 1, out=sys.argv[1], workers=2, runner=waiting_runner)"
    )
    root = Path(__file__).parents[2]
    environment = os.environ | {"PIDS": str(pids), "PYTHONPATH": str(root)}
    with subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "out")], env=environment, cwd=root) as parent:
        deadline_s = time.monotonic() + 60
        while len(list(pids.iterdir())) < 2 and time.monotonic() < deadline_s:
            time.sleep(0.1)
        parent.send_signal(how)
        parent.wait(10)
    workers = [int(path.name) for path in pids.iterdir()]
    assert len(workers) == 2
    deadline_s = time.monotonic() + 10
    while any(map(is_running, workers)) and time.monotonic() < deadline_s:
        time.sleep(0.1)
    left = [pid for pid in workers if is_running(pid)]
    for pid in left:
        os.kill(pid, signal.SIGKILL)
    assert left == []


def test_an_error_in_a_worker_arrives_whole(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"policy static_peak: it is wrong; mend it|policy hpa: it is wrong"):
        run(tmp_path / "out", runner=failing_runner, workers=2)
    assert list(tmp_path.iterdir()) == []


def test_jobs_differ_in_their_keys_and_follow_their_inputs(tmp_path: Path) -> None:
    policy = tmp_path / "mine.py"
    policy.write_text("class Mine: pass\n")
    specs = ["hpa", {"name": "hpa", "target": 0.5, "label": "low"}, f"{policy}:Mine"]
    keys = [job.key for job in make_jobs(SCENARIO, specs, [1, 2])]
    assert len(set(keys)) == 6
    assert keys == [job.key for job in make_jobs(SCENARIO, specs, [1, 2])]
    policy.write_text("class Mine: answer = 42\n")
    changed = [job.key for job in make_jobs(SCENARIO, specs, [1, 2])]
    assert [a == b for a, b in zip(keys, changed)] == [True, True, False] * 2


def test_jobs_follow_the_manifests_that_options_name(tmp_path: Path) -> None:
    spec = {"name": "hpa", "manifest": {"feed/rank": "hpa.yaml"}}
    keys = []
    for text in (None, "one", "two", "two"):
        if text:
            (tmp_path / "hpa.yaml").write_text(text)
        keys.append(make_jobs(SCENARIO, [spec], [1], base=tmp_path)[0].key)
    assert len(set(keys)) == 3
    assert keys[2] == keys[3]


@pytest.mark.parametrize(
    ("policies", "seeds", "text"),
    [([], 1, "none is given"), (["hpa", "hpa"], 1, "two are called hpa"), (["hpa"], [1, 1], "names one twice")],
)
def test_nothing_to_compare(policies: list[str], seeds: Any, text: str) -> None:
    with pytest.raises(InputError, match=text):
        compare(SCENARIO, policies, seeds, runner=fake_runner)


def test_labels() -> None:
    class Mine:
        pass

    assert label_of(Mine) == "Mine"
    assert label_of("static-peak") == "static_peak"
    assert label_of({"name": "hpa", "label": "low"}) == "low"


def test_write_gives_the_same_files(tmp_path: Path) -> None:
    comparison = run(tmp_path / "a")
    comparison.write(tmp_path / "b")
    assert compared_bytes(tmp_path / "a") == compared_bytes(tmp_path / "b")
    (tmp_path / "c").mkdir()
    write_comparison(comparison, tmp_path / "c")
    assert compared_bytes(tmp_path / "a") == compared_bytes(tmp_path / "c")


def test_notebook_view() -> None:
    html = run()._repr_html_()
    assert html.count("<tr>") == 4
    assert "static_peak" in html
