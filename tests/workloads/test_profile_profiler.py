"""The profiler on tiny models, on the CPU; and its statistics against known distributions."""

from __future__ import annotations

import gc
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("safetensors")

from tests.workloads.tiny_models import TINY  # noqa: E402
from workloads.errors import InputError  # noqa: E402
from workloads.models import MODEL_NAMES, model_module  # noqa: E402
from workloads.profile import load_profile, save_profile  # noqa: E402
from workloads.profiler.batch_sizes import default_batch_sizes  # noqa: E402
from workloads.profiler.inputs import InputPool  # noqa: E402
from workloads.profiler.session import profile_model  # noqa: E402
from workloads.profiler.settings import ProfileSettings  # noqa: E402
from workloads.profiler.statistics import drift, has_two_modes  # noqa: E402
from workloads.profiler.weights import load_weights, write_weights  # noqa: E402


@pytest.fixture(autouse=True)
def _threads() -> object:
    before = torch.get_num_threads()
    gc.freeze()  # the profiler collects garbage several times; all that pytest holds need not be looked through
    yield
    gc.unfreeze()
    torch.set_num_threads(before)


@pytest.mark.parametrize(
    ("name", "precision"), [*((name, "bf16") for name in MODEL_NAMES), ("dlrm", "fp32"), ("two_tower", "fp32")]
)
def test_a_tiny_model_gives_a_valid_profile(name: str, precision: str, tmp_path: Path) -> None:
    settings = ProfileSettings(
        name, "cpu", precision, batch_sizes=(1, 3, 8), timing_s=0.06, fewest_runs=20, threads=1, config=TINY[name]
    )
    phases: list[str] = []
    document = profile_model(settings, lambda phase, done, total: phases.append(phase))
    save_profile(document, tmp_path / "p.json")
    profile = load_profile(tmp_path / "p.json")
    assert profile.batch_sizes.tolist() == [1, 3, 8]
    assert np.all(profile.runs >= 20)
    assert profile.provenance == "measured"
    assert profile.precision == precision
    value_bytes = {"fp32": 4, "bf16": 2}[precision]
    assert profile.embedding_bytes == TINY[name].embedding_count() * value_bytes
    index_bytes = profile.weights_bytes - TINY[name].parameter_count() * value_bytes
    assert 0 <= index_bytes < 1000
    assert profile.host_cores == 1
    assert {"loading weights", "warming up", "timing"} <= set(phases)


@pytest.mark.parametrize("name", MODEL_NAMES)
def test_weights_come_back_from_disk_as_they_were(name: str, tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    cpu = torch.device("cpu")
    module = model_module(name)
    write_weights(module, TINY[name], "fp32", cpu, 7, path)
    network, seconds = load_weights(module, TINY[name], "fp32", cpu, path)
    torch.manual_seed(7)
    expected = module.build(TINY[name]).eval()
    inputs = [torch.from_numpy(a) for a in module.example_inputs(TINY[name], 4, np.random.default_rng(0))]
    with torch.inference_mode():
        found, wanted = network(*inputs), expected(*inputs)
    torch.testing.assert_close(found, wanted)
    assert seconds > 0


def test_kept_weights_of_another_seed_are_not_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model_module("dlrm"), "default_config", lambda: TINY["dlrm"])
    for seed in (1, 2, 2):
        settings = ProfileSettings(
            "dlrm", "cpu", batch_sizes=(1,), timing_s=0.05, fewest_runs=2, threads=1, seed=seed, weights_folder=tmp_path
        )
        assert profile_model(settings)["model"]["weights"] == f"random, seed {seed}"
    one, two = (path.read_bytes() for path in sorted(tmp_path.iterdir()))
    assert one != two


def test_each_batch_has_other_inputs_and_the_same_seed_the_same() -> None:
    module, config = model_module("dlrm"), TINY["dlrm"]
    first, second = (InputPool(module, config, 16, np.random.default_rng(5)) for _ in range(2))
    batches = [first.batch(16)[0] for _ in range(5)]
    assert all(not np.array_equal(batches[0], other) for other in batches[1:])
    assert np.array_equal(batches[0], second.batch(16)[0])
    assert all(len(array) == 16 for array in first.batch(16))


def test_default_sizes() -> None:
    assert default_batch_sizes("bert_reranker", "cpu") == (1, 2, 3, 4, 6, 8, 12, 16)
    assert default_batch_sizes("bert_reranker", "cuda")[-6:] == (144, 192, 256, 288, 384, 512)
    for name in MODEL_NAMES:
        for kind in ("cpu", "cuda"):
            sizes = np.array(default_batch_sizes(name, kind))
            assert sizes[0] == 1
            assert np.all(np.diff(sizes) > 0)
            assert np.all(sizes[2:] / sizes[1:-1] <= 1.5)
            assert sizes[-1] & (sizes[-1] - 1) == 0, "the largest is a power of two"


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"device_kind": "tpu"}, "--device"),
        ({"precision": "fp8"}, "--precision"),
        ({"mode": "fast"}, "--mode"),
        ({"mode": "cuda_graph"}, "--device cuda"),
        ({"mode": "compiled_graph"}, "--device cuda"),
        ({"precision": "int8"}, "--precision"),
        ({"model": ""}, "no model is given"),
        ({"threads": 4096}, "more than the"),
        ({"replicas": (1,)}, "--replicas"),
        ({"replicas": (3, 2)}, "rise"),
        ({"interference_s": 0.0}, "--interference-s"),
        ({"batch_sizes": (4, 2)}, "rise"),
        ({"batch_sizes": (0, 2)}, "no batch size"),
        ({"timing_s": 0.0}, "--timing-s"),
        ({"timing_s": float("nan")}, "--timing-s"),
        ({"fewest_runs": 1}, "--fewest-runs"),
        ({"threads": -1}, "--threads"),
    ],
)
def test_settings_that_cannot_be(changes: dict[str, object], word: str) -> None:
    with pytest.raises(InputError, match=word):
        ProfileSettings(**{"model": "dlrm", "device_kind": "cpu", **changes})  # type: ignore[arg-type]


@pytest.mark.skipif(torch.cuda.is_available(), reason="speaks of machines without CUDA")
def test_cuda_without_a_device_is_a_clear_error() -> None:
    with pytest.raises(InputError, match="sees no CUDA device"):
        profile_model(ProfileSettings("dlrm", "cuda", config=TINY["dlrm"]))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
@pytest.mark.parametrize("name", MODEL_NAMES)
@pytest.mark.parametrize("mode", ["eager", "cuda_graph"])
def test_a_tiny_model_on_cuda(name: str, mode: str) -> None:
    """Captured graphs are checked against the operators on every size as part of this."""
    settings = ProfileSettings(
        name, "cuda", "fp32", mode, batch_sizes=(1, 3, 8), timing_s=0.5, fewest_runs=20, config=TINY[name]
    )
    document = profile_model(settings)
    assert len(document["latency"]["split"]["compute_s"]) == 3


def test_two_modes_are_told_from_one() -> None:
    generator = np.random.default_rng(11)
    for _ in range(20):
        one = [
            generator.normal(1.0, 0.05, 500),
            generator.uniform(0.5, 1.5, 500),
            1.0 + generator.exponential(0.1, 500),
            generator.gamma(4.0, 0.25, 500),
        ]
        assert not any(has_two_modes(values) for values in one)
        slow = generator.random(500) < 0.3
        assert has_two_modes(np.where(slow, 1.4, 1.0) + generator.normal(0, 0.03, 500))
    assert not has_two_modes(np.ones(100))
    assert not has_two_modes(np.array([1.0, 2.0]))


def test_drift_is_the_change_of_medians() -> None:
    assert drift(np.linspace(1.0, 2.0, 301)) == pytest.approx((11 / 6) / (7 / 6) - 1, rel=1e-2)
    assert drift(np.ones(30)) == 0.0
    assert drift(np.ones(2)) == 0.0


def test_batches_of_all_sizes_lie_in_one_page_locked_buffer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Smaller batches are its first rows, also when a larger one has made it grow."""
    from workloads.profiler.runners import CudaGraphRunner

    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda tensor: tensor.clone())
    runner = CudaGraphRunner.__new__(CudaGraphRunner)
    runner._pinned, runner._locked = {}, ()
    ids, dense = np.arange(12).reshape(6, 2), np.arange(6, dtype=np.float32)
    for size in (2, 6, 3, 2):
        runner.stage((ids[-size:], dense[-size:]))
        for held, asked in zip(runner._pinned[size], (ids, dense)):
            np.testing.assert_array_equal(held.numpy(), asked[-size:])
    places = [{each[k].data_ptr() for each in runner._pinned.values()} for k in range(2)]
    assert [len(place) for place in places] == [1, 1]
