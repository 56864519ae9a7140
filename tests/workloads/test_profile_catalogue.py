"""The shipped profiles: valid, measured, complete, and physically plausible."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import jsonschema
import numpy as np
import pytest
from pydantic import BaseModel

from workloads.catalogue import catalogue_table, profile_path, shipped_profiles
from workloads.errors import InputError
from workloads.interpolation import leave_one_out_error
from workloads.models import MODEL_NAMES
from workloads.profile import ModelProfile, load_profile, profile_text
from workloads.profile_document import ProfileDocument, json_schema

NAMES = shipped_profiles()
SHARED = ("two_tower", "dlrm", "sasrec", "bert_reranker")
"""Models whose replicas were measured on a shared GPU too."""


@pytest.fixture(params=NAMES)
def shipped(request: pytest.FixtureRequest) -> ModelProfile:
    return load_profile(request.param)


def test_the_catalogue_is_complete() -> None:
    graphs = {f"{model}-h200-{precision}-graph" for model in MODEL_NAMES for precision in ("fp32", "bf16")}
    cpus = {f"{model}-cpu2-fp32" for model in MODEL_NAMES}
    assert graphs | cpus <= set(NAMES)


@pytest.mark.parametrize("model", SHARED)
def test_replicas_that_share_a_gpu_slow_one_another_down(model: str) -> None:
    """Time slices: at the largest batch together they serve about what one alone does, but for gaps that one leaves."""
    document = load_profile(f"{model}-h200-bf16-graph").document
    assert document is not None
    together = document["interference"]
    assert together["replicas"] == [2, 3]
    for replicas, slowdowns in zip(together["replicas"], together["slowdown"]):
        assert min(slowdowns) > 1.2
        assert slowdowns[-1] < 1.3 * replicas


def test_file_name_schema_and_layout(shipped: ModelProfile) -> None:
    text = profile_path(shipped.name).read_text()
    document = json.loads(text)
    jsonschema.Draft202012Validator(json_schema()).validate(document)
    assert text == profile_text(document)
    assert document["name"] == profile_path(shipped.name).stem


def test_provenance(shipped: ModelProfile) -> None:
    assert shipped.provenance == "measured"
    assert {"torch", "numpy", "python"} <= shipped.versions.keys()
    assert shipped.document is not None
    command = shipped.document["provenance"]["command"]
    drawn = shipped.document["model"]["weights"].startswith("random")
    assert command.startswith(f"recfleet profile {shipped.model} " if drawn else "recfleet profile --model-folder ")
    assert any("random" in note for note in shipped.notes) == drawn
    assert not (drawn and shipped.accuracy)
    assert ".." not in command
    assert "/" not in command, "no path of the machine that measured"


def test_what_interpolation_relies_on(shipped: ModelProfile) -> None:
    assert shipped.batch_sizes[0] == 1
    assert np.all(np.diff(shipped.batch_sizes) > 0)
    assert shipped.latency_s.shape == (len(shipped.batch_sizes), len(shipped.quantile_levels))
    assert np.all(np.diff(shipped.latency_s, axis=1) >= 0)
    assert np.all(shipped.runs >= 30)
    assert {0.0, 0.5, 0.95, 0.99, 0.999, 1.0} <= set(shipped.quantile_levels.tolist())


def test_time_and_throughput_grow_with_the_batch(shipped: ModelProfile) -> None:
    """Medians may fall a little from one size to the next (another kernel), the whole may not.

    On CPUs they may fall more: two or three rows are multiplied one by one, four as a matrix.
    """
    median_s = shipped.quantile_s(0.5)
    assert np.all(median_s[1:] > (0.6 if shipped.device_kind == "cuda" else 0.4) * median_s[:-1])
    assert median_s[-1] > median_s[0]
    assert shipped.throughput_per_s().max() > 1.3 * shipped.throughput_per_s()[0]


def test_no_batch_beats_the_hardware(shipped: ModelProfile) -> None:
    """Matrix arithmetic alone, at far more than the device's peak, must take less time than was measured."""
    peak_flop_per_s = {"cuda": 1.2e15, "cpu": 2e12}[shipped.device_kind]
    assert shipped.document is not None
    model = shipped.document["model"]
    value_bytes = {"fp32": 4, "bf16": 2, "int8": 1}[shipped.precision]
    per_unit = 2 * (model["parameters"] - model["embedding_bytes"] // value_bytes)
    if shipped.model == "bert_reranker":
        per_unit *= shipped.config["sequence_length"]
    assert np.all(shipped.latency_s[:, 0] > shipped.batch_sizes * per_unit / peak_flop_per_s)


def test_cores_and_memory(shipped: ModelProfile) -> None:
    per_second = shipped.cpu_core_s / shipped.mean_s
    assert np.all(per_second <= shipped.host_cores * 1.2 + 0.05), "but for the rounding of clocks in batches below 1 ms"
    assert np.all(per_second > 0.3)
    if shipped.device_kind == "cuda":
        assert shipped.weights_bytes < shipped.device_memory_bytes < 141e9
        split_s = shipped.transfer_in_s + shipped.compute_s + shipped.transfer_out_s
        assert np.all(split_s < 1.5 * shipped.quantile_s(0.99))
        assert np.all(split_s > 0.5 * shipped.latency_s[:, 0])
    else:
        assert shipped.host_memory_bytes > shipped.weights_bytes
    assert 0 < shipped.load_s < 120


def test_notes_tell_of_two_modes_and_drift(shipped: ModelProfile) -> None:
    told = " ".join(shipped.notes)
    assert ("two groups" in told) == bool(shipped.two_modes.any())
    assert ("first third" in told) == bool(np.any(np.abs(shipped.drift) > 0.05))


def test_graphs_are_no_slower_than_eager() -> None:
    for precision in ("fp32", "bf16"):
        graph, eager = load_profile(f"dlrm-h200-{precision}-graph"), load_profile(f"dlrm-h200-{precision}-eager")
        common = np.isin(graph.batch_sizes, eager.batch_sizes)
        assert common.sum() >= 10
        assert np.all(graph.quantile_s(0.5)[common] < 1.05 * eager.quantile_s(0.5))


def test_an_unknown_name_lists_near_ones() -> None:
    with pytest.raises(InputError, match="did you mean dlrm-h200-bf16-graph"):
        load_profile("dlrm-h200-bf16-grap")
    with pytest.raises(InputError, match=r"use one of .*two_tower-h200-fp32-graph"):
        load_profile("zzz")


def test_the_documentation_shows_the_catalogue_and_every_field() -> None:
    text = (Path(__file__).parents[2] / "docs" / "profile-format.md").read_text()
    assert catalogue_table() in text
    document = json.loads(profile_path(NAMES[0]).read_text())
    for key, part in document.items():
        assert f"`{key}`" in text or f"`{key}." in text, key
        for field in part if isinstance(part, dict) else ():
            assert f"`{key}.{field}`" in text or f"`{field}`" in text, f"{key}.{field}"


def test_the_documentation_names_every_field_of_the_format() -> None:
    text = (Path(__file__).parents[2] / "docs" / "profile-format.md").read_text()
    for path, fields in _fields(ProfileDocument):
        for field in fields:
            assert f"`{path}{field}`" in text or f"`{field}`" in text or f"`{path.rstrip('.')}`" in text, (
                f"{path}{field}"
            )


def _fields(part: type[BaseModel], path: str = "") -> Iterator[tuple[str, list[str]]]:
    """Each part of the document with the names of its fields."""
    yield path, list(part.model_fields)
    for name, field in part.model_fields.items():
        for kind in (field.annotation, *get_args(field.annotation)):
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                yield from _fields(kind, f"{path}{name}.")


def test_interpolation_keeps_its_bound(shipped: ModelProfile) -> None:
    """Loose for one profile: steps are real, on CPUs above all, where small batches take other matrix kernels."""
    assert leave_one_out_error(shipped).median < (0.10 if shipped.device_kind == "cuda" else 0.20)


def test_interpolation_is_close_where_it_matters_most() -> None:
    """Those on the H200 are what fleets are planned with, and the profiler chose their sizes with that in mind."""
    on_h200 = [name for name in NAMES if "-h200-" in name]
    assert len(on_h200) >= 3 * len(MODEL_NAMES)
    assert all(leave_one_out_error(load_profile(name)).median < 0.03 for name in on_h200)


def test_trained_models_and_their_variants_on_the_h200_carry_accuracy() -> None:
    """What a policy under an accuracy floor may choose among."""
    found = {name: load_profile(name) for name in NAMES if "-movielens-100k-" in name and "-h200-" in name}
    assert {profile.model for profile in found.values()} == set(MODEL_NAMES)
    assert all(profile.accuracy["ndcg10"] > 0 for profile in found.values())
    for model in ("bert_reranker", "dlrm", "sasrec"):
        variants = {profile.variant: profile for profile in found.values() if profile.model == model}
        assert set(variants) == {"", "bf16", "structured", "structured+bf16", "structured+int8-dynamic"}
        pruned, whole = variants["structured+int8-dynamic"], variants[""]
        assert pruned.quantile_s(0.5)[-1] < 0.7 * whole.quantile_s(0.5)[-1], "the largest batch takes less time"
        assert pruned.accuracy["auc"] > 0.9 * whole.accuracy["auc"]


def test_rooflines_and_interference_are_plausible(shipped: ModelProfile) -> None:
    document = shipped.document or {}
    if roofline := document.get("roofline"):
        assert min(roofline["ratio"]) > 0
        assert max(roofline["ratio"]) < 1.5
    if interference := document.get("interference"):
        assert np.min(interference["slowdown"]) > 0.8
        assert np.max(interference["throughput_ratio"]) < 1.25


def test_power(shipped: ModelProfile) -> None:
    if shipped.device_kind == "cuda" and len(shipped.busy_power_w):
        assert 50 < shipped.idle_power_w < 200
        assert np.all(shipped.busy_power_w > 0.9 * shipped.idle_power_w)
        assert np.all(shipped.busy_power_w < 1.1 * 700)
