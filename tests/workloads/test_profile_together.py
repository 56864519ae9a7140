"""What the profiler measures beside latency: compiled code, replicas together, ceilings."""

from __future__ import annotations

import contextlib
import gc
import multiprocessing
import shutil
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("safetensors")

from tests.workloads.tiny_models import TINY  # noqa: E402
from workloads.models.cost import ForwardCost  # noqa: E402
from workloads.models.sasrec import SasRecConfig  # noqa: E402
from workloads.profile import profile_from_document  # noqa: E402
from workloads.profiler import compiling, interference, roofline  # noqa: E402
from workloads.profiler.session import profile_model  # noqa: E402
from workloads.profiler.settings import ProfileSettings  # noqa: E402

NO_COMPILER = not (shutil.which("g++") or shutil.which("clang++"))


@pytest.fixture(autouse=True)
def _threads() -> Any:
    before = torch.get_num_threads()
    gc.freeze()  # the profiler collects garbage several times; all that pytest holds need not be looked through
    yield
    gc.unfreeze()
    torch.set_num_threads(before)


@pytest.mark.skipif(NO_COMPILER, reason="torch.compile needs a C++ compiler, and there is none on the path")
def test_compiled_code_runs_and_its_making_is_part_of_the_load(monkeypatch: pytest.MonkeyPatch) -> None:
    # The caches of earlier runs save most of a minute here; what they hold does not depend on the model alone.
    monkeypatch.setattr(compiling, "fresh_caches", lambda folder: contextlib.nullcontext())
    monkeypatch.setattr(compiling, "_try_compiler", lambda device: None)
    settings = ProfileSettings(
        "biased_mf",
        "cpu",
        mode="compiled",
        batch_sizes=(2, 3, 8),
        timing_s=0.05,
        fewest_runs=4,
        threads=1,
        config=TINY["biased_mf"],
    )
    document = profile_model(settings)
    profile = profile_from_document(document)
    load = document["resources"]["load"]
    assert profile.mode == "compiled"
    assert profile.name == "biased_mf-cpu1-fp32-compiled"
    assert load["compile_s"] > 0
    assert load["total_s"] == pytest.approx(load["weights_s"] + load["compile_s"] + load["first_inference_s"])
    assert any("made 1 graphs" in note for note in profile.notes), "one graph serves all sizes above one"
    assert not any("scores differ" in note for note in profile.notes)


def test_replicas_together_against_alone() -> None:
    settings = ProfileSettings(
        "sasrec",
        "cpu",
        batch_sizes=(1, 16),
        timing_s=0.05,
        fewest_runs=4,
        threads=1,
        replicas=(2,),
        interference_s=1.0,
        config=SasRecConfig(items=2000, width=64, layers=2, heads=2, head_dim=32, feed_forward=128, history_length=50),
    )
    document = profile_model(settings)
    profile_from_document(document)
    part = document["interference"]
    assert part["replicas"] == [2]
    assert part["batch_sizes"] == [1, 16]
    assert "1 thread" in part["how"]
    assert np.shape(part["slowdown"]) == np.shape(part["throughput_ratio"]) == np.shape(part["runs"]) == (1, 2)
    assert np.shape(part["quantiles_s"]) == (1, 2, 3)
    assert np.all(np.diff(part["quantiles_s"], axis=2) >= 0)
    assert np.all(np.array(part["runs"]) >= 2)
    slowdown, throughput = np.array(part["slowdown"]), np.array(part["throughput_ratio"])
    assert np.all(slowdown > 0.5), "company does not make a batch much faster"
    assert np.all((slowdown * throughput > 0.4) & (slowdown * throughput < 2.0)), "one is the other's inverse, nearly"


def test_only_the_common_time_counts() -> None:
    one = interference._Window(np.array([0.0, 1.0, 2.0, 3.0]), np.array([1.0, 2.0, 3.0, 4.0]))
    other = interference._Window(np.array([1.5, 2.5]), np.array([2.5, 3.5]))
    latencies, per_s = interference._together([one, other])
    assert [values.tolist() for values in latencies] == [[1.0], [1.0, 1.0]], (
        "of the first, only 2 to 3 lies in 1.5 to 3.5"
    )
    assert per_s == pytest.approx(1.0)


def test_sizes_for_interference_are_few_and_span_the_profile() -> None:
    assert interference.chosen_sizes((1, 2, 3)) == (1, 2, 3)
    chosen = interference.chosen_sizes(tuple(range(1, 40)))
    assert len(chosen) == 5
    assert (chosen[0], chosen[-1]) == (1, 39)


class _Process:
    exitcode = 7

    def join(self, timeout: float | None = None) -> None:
        pass


def _replicas(count: int) -> tuple[interference._Replicas, list[Any]]:
    """Without processes; and the ends of the pipes that they would hold."""
    mine, theirs = zip(*(multiprocessing.Pipe() for _ in range(count)))
    replicas = object.__new__(interference._Replicas)
    replicas._pipes, replicas._processes = list(mine), [_Process() for _ in mine]  # type: ignore[misc]
    return replicas, list(theirs)


def test_a_failing_replica_is_told() -> None:
    replicas, (end,) = _replicas(1)
    end.close()
    with pytest.raises(interference.InterferenceError, match="replica 1 ended with exit code 7"):
        replicas.wait_until_ready()


def test_a_failure_is_told_while_another_replica_still_waits_for_the_failed_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(interference, "_START_LIMIT_S", 5.0)
    replicas, ends = _replicas(3)
    ends[0].send(True)
    ends[2].send("OutOfMemoryError: no room")
    with pytest.raises(interference.InterferenceError, match="replica 3: OutOfMemoryError"):
        replicas.wait_until_ready()


def test_replicas_that_say_nothing_are_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interference, "_START_LIMIT_S", 0.3)
    replicas, ends = _replicas(2)
    ends[0].send(True)
    with pytest.raises(interference.InterferenceError, match="replica 2 did not answer in time"):
        replicas.wait_until_ready()


def test_a_roofline_by_hand() -> None:
    ceilings = roofline.Ceilings(1e12, 1e11, 1e10, row_bytes=64)
    of_memory = ForwardCost(flops=10**6, weight_bytes=10**6, gathered_bytes=10**5, input_bytes=0, output_bytes=0)
    assert roofline.bound_s(of_memory, ceilings) == (pytest.approx(1e-5 + 1e-5), "memory")
    of_compute = ForwardCost(flops=10**9, weight_bytes=10**6, gathered_bytes=0, input_bytes=0, output_bytes=0)
    assert roofline.bound_s(of_compute, ceilings) == (pytest.approx(1e-3), "compute")


def test_measured_work_stays_below_the_roof(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(roofline._STREAM_BYTES, "cpu", 64 * 2**20)
    monkeypatch.setitem(roofline._MATRIX_WIDTHS, "cpu", (256, 512))
    monkeypatch.setattr(roofline, "_TRY_S", 0.05)
    settings = ProfileSettings(
        "bert_reranker", "cpu", batch_sizes=(1, 2, 8), timing_s=0.1, fewest_runs=5, threads=1, roofline=True,
        config=TINY["bert_reranker"],
    )  # fmt: skip
    document = profile_model(settings)
    profile_from_document(document)
    part = document["roofline"]
    assert np.all((np.array(part["ratio"]) > 0) & (np.array(part["ratio"]) <= 1.5))
    assert np.all(np.diff(part["flops"]) > 0)
    assert part["flops"][2] == 8 * part["flops"][0]
    assert part["row_bytes"] == 4 * TINY["bert_reranker"].width
    assert 1e9 < part["matmul_flop_per_s"] < 1e14
    assert 1e8 < part["stream_bytes_per_s"] < 1e13
    roofline._matmul_flop_per_s.cache_clear()
    roofline._stream_bytes_per_s.cache_clear()
    roofline._gather_bytes_per_s.cache_clear()
