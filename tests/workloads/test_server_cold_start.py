"""Starts from nothing to ready: what the parts say, and that a plan's models come once."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("safetensors")

from workloads.errors import InputError  # noqa: E402
from workloads.server import cold_start  # noqa: E402
from workloads.server.plan import write_plan  # noqa: E402
from workloads.server.planning import tiny_plan  # noqa: E402


@pytest.fixture(autouse=True)
def _threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def test_parts_of_a_start_and_of_the_profile_that_predicts_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything but the processes themselves, which here are calls."""

    def ask(orders: dict[str, Any]) -> dict[str, Any]:
        printed: list[str] = []
        monkeypatch.setattr("builtins.print", lambda text, flush=False: printed.append(text))
        try:
            assert cold_start._child(json.loads(json.dumps(orders | {"spawned_s": time.monotonic() - 2.0}))) == 0
        finally:
            monkeypatch.undo()
        found: dict[str, Any] = json.loads(printed[-1].removeprefix("RESULT "))
        return found

    write_plan(tiny_plan(), tmp_path / "plan.json")
    _, model, sizes = cold_start.models_of(tmp_path / "plan.json", ["tiny"])[0]
    orders = {"model": model.model_dump(mode="json"), "sizes": sizes, "folder": str(tmp_path)}
    profile = ask(orders | {"timing_s": 0.1})
    assert profile["load"]["build_s"] > 0.0
    assert profile["weights_bytes"] > 0
    start = ask(orders)
    assert set(start) == {*cold_start.PARTS, "file_cache"}
    assert 2.0 <= start["process_s"] < 3.0
    assert min(start["build_s"], start["weights_s"], start["first_inference_s"]) > 0.0
    assert start["compile_s"] == start["graph_capture_s"] == 0.0


def test_models_that_run_alike_come_once(tmp_path: Path) -> None:
    write_plan(tiny_plan(), tmp_path / "plan.json")
    found = cold_start.models_of(tmp_path / "plan.json")
    assert [(name, sizes) for name, _, sizes in found] == [("tiny", (1, 2, 3, 4)), ("tiny-funnel", (1, 2))]
    with pytest.raises(InputError, match="no job 'huge'"):
        cold_start.models_of(tmp_path / "plan.json", ["huge"])


def test_a_process_that_fails_is_told(tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: Any) -> None:
    def fail(orders: dict[str, Any]) -> dict[str, Any]:
        raise RuntimeError("a process ended with code 1: no memory")

    monkeypatch.setattr(cold_start, "_ask", fail)
    write_plan(tiny_plan(), tmp_path / "plan.json")
    assert cold_start.main([str(tmp_path / "plan.json"), "--out", str(tmp_path / "o.json"), "--job", "tiny"]) == 1
    assert "no memory" in capsys.readouterr().out
    assert json.loads((tmp_path / "o.json").read_text())["rows"] == []
    assert cold_start.main([str(tmp_path / "plan.json"), "--out", str(tmp_path / "o.json"), "--job", "no"]) == 2
