"""Profiles of saved models: what the card says reaches the profile, for a trained model and its variants."""

from __future__ import annotations

import gc
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("safetensors")

from tests.workloads.tiny_models import TINY  # noqa: E402
from workloads.errors import InputError  # noqa: E402
from workloads.model_folder import save_model  # noqa: E402
from workloads.models import model_module  # noqa: E402
from workloads.models.dlrm import DlrmConfig  # noqa: E402
from workloads.profile import ModelProfile, profile_from_document  # noqa: E402
from workloads.profiler.session import profile_model  # noqa: E402
from workloads.profiler.settings import ProfileSettings  # noqa: E402

METRICS = {"part": "test", "auc": 0.71, "rmse": 1.25, "intervals": {"auc": [0.69, 0.73]}, "counts": {"rows": 10}}
CARD = {
    "data": {"name": "synthetic", "split": "time"},
    "training": {"epochs": 2},
    "metrics": METRICS,
    "sizes": {},
}


@pytest.fixture(autouse=True)
def _threads() -> Any:
    before = torch.get_num_threads()
    gc.freeze()  # the profiler collects garbage several times; all that pytest holds need not be looked through
    yield
    gc.unfreeze()
    torch.set_num_threads(before)


def _saved(folder: Path, config: Any = TINY["dlrm"], card: Any = None) -> Path:
    torch.manual_seed(3)
    network = model_module("dlrm").build(config).eval()
    save_model(folder, model="dlrm", config=config, network=network, card=CARD if card is None else card)
    return folder


def _profile(folder: Path, **changes: Any) -> ModelProfile:
    settings = ProfileSettings(
        "", "cpu", batch_sizes=(1, 4), timing_s=0.05, fewest_runs=4, threads=1, model_folder=folder, **changes
    )
    return profile_from_document(profile_model(settings))


def test_a_trained_model_brings_its_accuracy(tmp_path: Path) -> None:
    profile = _profile(_saved(tmp_path / "mine"))
    assert profile.name == "dlrm-synthetic-cpu1-fp32"
    assert profile.accuracy == {"auc": 0.71, "rmse": 1.25}
    assert profile.accuracy_data == "synthetic"
    assert profile.variant == ""
    assert profile.precision == "fp32"
    assert profile.config["dim"] == TINY["dlrm"].dim
    assert profile.embedding_bytes == 4 * TINY["dlrm"].embedding_count()
    assert not any("random" in note for note in profile.notes)
    document = profile.document
    assert document is not None
    assert document["accuracy"]["intervals"] == {"auc": [0.69, 0.73]}
    assert document["model"]["weights"] == "trained on synthetic (split by time)"
    assert "--model-folder mine" in document["provenance"]["command"]


def test_weights_are_those_of_the_folder(tmp_path: Path) -> None:
    from workloads.profiler.subject import load_subject

    folder = _saved(tmp_path / "mine")
    torch.manual_seed(3)
    wanted = model_module("dlrm").build(TINY["dlrm"]).eval()
    settings = ProfileSettings("", "cpu", model_folder=folder)
    subject = load_subject(settings, torch.device("cpu"), tmp_path, lambda *_: None)
    inputs = [torch.from_numpy(a) for a in subject.module.example_inputs(subject.config, 4, np.random.default_rng(0))]
    torch.testing.assert_close(subject.network(*inputs), wanted(*inputs))
    assert subject.settings.model == "dlrm"
    assert subject.weights_s > 0


def test_cast_to_another_precision_it_has_no_accuracy(tmp_path: Path) -> None:
    profile = _profile(_saved(tmp_path / "mine"), precision="bf16")
    assert profile.precision == "bf16"
    assert profile.accuracy == {}
    assert any("cast" in note for note in profile.notes)


def test_a_model_that_was_not_trained_says_so(tmp_path: Path) -> None:
    profile = _profile(_saved(tmp_path / "mine", card={}))
    assert profile.accuracy == {}
    assert profile.document is not None
    assert profile.document["model"]["weights"] == "as saved, not trained"
    assert profile.name == "dlrm-saved-cpu1-fp32"


@pytest.mark.parametrize(("method", "precision"), [("int8-weight", "int8"), ("bf16", "bf16")])
def test_a_variant_says_what_it_is(tmp_path: Path, method: str, precision: str) -> None:
    if precision == "int8":
        pytest.importorskip("torchao")
    from workloads.compression import compress

    config = DlrmConfig(table_rows=(100, 30), dim=16, dense_features=4, bottom=(32,), top=(64, 32))
    whole = _profile(_saved(tmp_path / "whole", config))
    compress(tmp_path / "whole", method, tmp_path / "small")
    profile = _profile(tmp_path / "small")
    assert profile.variant == method
    assert profile.precision == precision
    assert profile.name == f"dlrm-synthetic-{method}-cpu1-{precision}"
    assert profile.weights_bytes < whole.weights_bytes
    assert profile.accuracy == {}, "without data nothing was measured of these weights"
    assert profile.document is not None
    assert profile.document["variant"]["of"] == "whole"
    with pytest.raises(InputError, match="leave --precision out"):
        _profile(
            tmp_path / ("small" if precision == "int8" else "whole"),
            precision="bf16" if precision == "int8" else "int8",
        )


def test_int8_tables_keep_the_type_they_multiply_out_to(tmp_path: Path) -> None:
    """Their layers' type is fixed when they are made; a cast of the rest would not fit it."""
    from workloads.compression import compress
    from workloads.profiler.subject import load_subject

    config = DlrmConfig(table_rows=(100, 30), dim=16, dense_features=4, bottom=(32,), top=(64, 32))
    save_model(tmp_path / "whole", model="dlrm", config=config, network=model_module("dlrm").build(config), card=CARD)
    compress(tmp_path / "whole", "embedding-int8", tmp_path / "small")
    settings = ProfileSettings("", "cpu", precision="bf16", model_folder=tmp_path / "small")
    with pytest.raises(InputError, match="saved in fp32; leave --precision out"):
        load_subject(settings, torch.device("cpu"), tmp_path, lambda *_: None)


def test_a_variant_for_cpus_is_refused_elsewhere(tmp_path: Path) -> None:
    from workloads.profiler.subject import load_subject

    folder = tmp_path / "mine"
    config = TINY["dlrm"]
    network = model_module("dlrm").build(config)
    variant = {"method": "int8-legacy", "of": "x", "devices": ["cpu"]}
    save_model(folder, model="dlrm", config=config, network=network, card=CARD, variant=variant)
    settings = ProfileSettings("", "cuda", model_folder=folder)
    with pytest.raises(InputError, match="compressed for cpu alone; use --device cpu"):
        load_subject(settings, torch.device("cuda"), tmp_path, lambda *_: None)


def test_random_weights_can_be_compressed_on_the_way() -> None:
    config = DlrmConfig(table_rows=(100, 30), dim=16, dense_features=4, bottom=(32,), top=(64, 32))
    settings = ProfileSettings(
        "dlrm", "cpu", batch_sizes=(1, 4), timing_s=0.05, fewest_runs=4, threads=1, config=config, method="structured"
    )
    profile = profile_from_document(profile_model(settings))
    assert profile.name == "dlrm-structured-cpu1-fp32"
    assert profile.variant == "structured"
    assert profile.weights_bytes < 4 * config.parameter_count()
    assert profile.accuracy == {}
    assert profile.document is not None
    assert profile.document["model"]["weights"] == "random, seed 20261, then structured"
    assert profile.document["provenance"]["command"].startswith("recfleet profile dlrm --method structured --device")
    with pytest.raises(InputError, match="needs the data"):
        profile_model(replace(settings, method="distil"))
