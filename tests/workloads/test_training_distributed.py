"""Several processes do what one does, and end together."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import tempfile
import threading
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from tests.workloads.zoo import SMALL, made_up  # noqa: E402
from workloads.errors import InputError  # noqa: E402
from workloads.models import model_module  # noqa: E402
from workloads.training import FitResult, TrainSettings, fit  # noqa: E402

BASE = TrainSettings(batch_size=150, epochs=2, metric="rmse", lr=5e-3, clip_norm=1.0, optimizer="sgd")


def nothing_drawn(name: str) -> dict[str, float]:
    """Sizes of a model whose training draws nothing but the order: what is drawn belongs to a micro-batch."""
    known = {field.name for field in fields(model_module(name).config_for(made_up()))}
    return {field: 0.0 for field in ("dropout", "id_dropout", "stale_days") if field in known}


@pytest.fixture(autouse=True)
def _one_thread() -> object:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(autouse=True)
def _temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """torch leaves the files in which processes tell their errors."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


def trained(name: str, settings: TrainSettings, config: dict[str, Any] | None = None, **options: Any) -> FitResult:
    module = model_module(name)
    return fit(module, module.config_for(made_up(), **(SMALL[name] | (config or {}))), made_up(), settings, **options)


def assert_close(first: FitResult, second: FitResult, tolerance: float = 1e-6) -> None:
    mine, theirs = first.network.state_dict(), second.network.state_dict()
    for name, tensor in mine.items():
        assert torch.allclose(tensor, theirs[name], rtol=0.0, atol=tolerance), name
    assert [e["phase"] for e in first.history] == [e["phase"] for e in second.history]
    assert first.best_value == pytest.approx(second.best_value, abs=1e-5)


@pytest.mark.parametrize("name", ["dlrm", "biased_mf"])
def test_accumulating_four_micro_batches_equals_one_batch(name: str) -> None:
    whole = trained(name, BASE, nothing_drawn(name))
    assert_close(whole, trained(name, BASE.with_(accumulate=4), nothing_drawn(name)))
    untrained = trained(name, BASE.with_(lr=1e-12), nothing_drawn(name))
    with pytest.raises(AssertionError):
        assert_close(whole, untrained)


def test_two_processes_equal_one_with_the_same_global_batch() -> None:
    alone = trained("dlrm", BASE, nothing_drawn("dlrm"))
    assert_close(alone, trained("dlrm", BASE.with_(processes=2), nothing_drawn("dlrm")))
    assert not multiprocessing.active_children()


@pytest.mark.slow
def test_processes_and_accumulation_are_the_same_thing() -> None:
    """With negatives and dropout: what is drawn belongs to the micro-batch, whoever takes it."""
    settings = TrainSettings(batch_size=100, epochs=2, metric="auc", optimizer="adagrad", dropout=0.2)
    told: list[Any] = []
    alone = trained("neumf", settings.with_(accumulate=4))
    together = trained("neumf", settings.with_(processes=2, accumulate=2), progress=told.append)
    assert_close(alone, together, tolerance=1e-5)
    assert {event.phase for event in told} == {"search", "refit"}


@pytest.mark.slow
def test_an_error_in_a_process_is_told_once() -> None:
    with pytest.raises(InputError, match="the loss became"):
        trained("biased_mf", BASE.with_(processes=2, lr=1e30))
    assert not multiprocessing.active_children()


def test_more_processes_than_gpus_are_refused() -> None:
    settings = BASE.with_(processes=64, device="cuda")
    with pytest.raises(InputError, match="--processes: is 64, but torch sees"):
        trained("biased_mf", settings)


@pytest.mark.slow
def test_interrupted_processes_leave_a_checkpoint_and_go_on(tmp_path: Path) -> None:
    settings = BASE.with_(processes=2, epochs=400, patience=0, refit=False)
    seen = threading.Event()

    def interrupt(event: Any) -> None:
        if event.epoch >= 2 and not seen.is_set():
            seen.set()
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        trained("biased_mf", settings, folder=tmp_path, progress=interrupt)
    assert not multiprocessing.active_children()
    (left,) = tmp_path.glob("checkpoint-search-*")
    made = int(left.name.rpartition("-")[2])
    assert 0 < made < 400 * 8
    said: list[int] = []

    def stop_soon(event: Any) -> None:
        said.append(event.epoch)
        if event.epoch >= made // 8 + 3:
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        trained("biased_mf", settings, folder=tmp_path, resume=True, progress=stop_soon)
    (later,) = tmp_path.glob("checkpoint-search-*")
    assert said[0] >= made // 8
    assert int(later.name.rpartition("-")[2]) > made


@pytest.mark.slow
def test_torchrun_starts_the_command(tmp_path: Path) -> None:
    from workloads.interactions import save_prepared

    save_prepared(made_up(), tmp_path / "data")
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command = ["-m", "recfleet", "train", "biased_mf", "--data", "data", "--out", "out", "--processes", "2"]
    done = subprocess.run(
        [*launch, *command, "--epochs", "2", "--batch-size", "200"],
        cwd=tmp_path,
        env=os.environ
        | {"PYTHONPATH": str(Path(__file__).parents[2]), "OMP_NUM_THREADS": "1", "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("Written to out") == 1
    assert (tmp_path / "out" / "model.json").is_file()
