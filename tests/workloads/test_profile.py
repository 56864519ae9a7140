"""The profile format: what it accepts, what it refuses and in which words."""

from __future__ import annotations

import copy
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.workloads.profile_documents import full_document, small_document
from workloads.errors import InputError
from workloads.profile import ModelProfile, load_profile, profile_from_document, save_profile, schema_text
from workloads.profile_document import json_schema

PATHS_AND_DAMAGE: list[tuple[str, Any, str]] = [
    ("format", "other", "format"),
    ("format_version", 2, "format_version"),
    ("name", "has a space", "name"),
    ("name", "../escape", "name"),
    ("model.stage", "ranking", "model.stage"),
    ("model.unit", "batches", "model.unit"),
    ("model.parameters", -1, "model.parameters"),
    ("model.embedding_bytes", 10_000, "model.embedding_bytes"),
    ("device.kind", "tpu", "device.kind"),
    ("device.host.cores", 0, "device.host.cores"),
    ("execution.mode", "cuda_graph", "execution.mode"),
    ("execution.precision", "fp16", "execution.precision"),
    ("latency.batch_sizes", [8, 1], "latency.batch_sizes"),
    ("latency.batch_sizes", [1, 1], "latency.batch_sizes"),
    ("latency.batch_sizes", [0, 8], "latency.batch_sizes[0]"),
    ("latency.batch_sizes", [1.5, 8], "latency.batch_sizes[0]"),
    ("latency.batch_sizes", [], "latency.batch_sizes"),
    ("latency.batch_sizes", [1, 8, 16], "latency.runs"),
    ("latency.quantile_levels", [0.0, 0.5, 0.99], "latency.quantile_levels"),
    ("latency.quantile_levels", [0.0, 0.0, 1.0], "latency.quantile_levels"),
    ("latency.quantile_levels", [0.0, 1.0], "latency.quantiles_s[0]"),
    ("latency.quantiles_s", [[0.001, 0.002, 0.0019], [0.003, 0.004, 0.009]], "latency.quantiles_s[0]"),
    ("latency.quantiles_s", [[0.001, 0.002, 0.004], [0.0, 0.004, 0.009]], "latency.quantiles_s[1][0]"),
    ("latency.mean_s", [0.0021, 1.0], "latency.mean_s[1]"),
    ("latency.mean_s", [0.0021], "latency.mean_s"),
    ("latency.mean_s", ["0.0021", 0.004], "latency.mean_s[0]"),
    ("latency.mean_s", [True, 0.004], "latency.mean_s[0]"),
    ("latency.cpu_core_s", [-1e-9, 0.0], "latency.cpu_core_s[0]"),
    ("latency.drift", [float("nan"), 0.0], "latency.drift[0]"),
    ("resources.device_memory_bytes", 1, "resources.device_memory_bytes"),
    ("resources.host_memory_bytes", 2**70, "resources.host_memory_bytes"),
    ("resources.load.total_s", float("inf"), "resources.load.total_s"),
    ("power", {"idle_w": 70.0, "busy_w": [100.0], "source": "counter"}, "power.busy_w"),
    ("power", {"idle_w": -1.0, "busy_w": [100.0, 120.0], "source": "counter"}, "power.idle_w"),
    ("execution.mode", "compiled_graph", "execution.mode"),
    ("resources.load.compile_s", -1.0, "resources.load.compile_s"),
    ("variant.method", "", "variant.method"),
    ("accuracy.metrics", {}, "accuracy.metrics"),
    ("accuracy.metrics", {"auc": float("nan")}, "accuracy.metrics.auc"),
    ("accuracy.intervals", {"auc": [0.7]}, "accuracy.intervals.auc"),
    ("interference.replicas", [1], "interference.replicas[0]"),
    ("interference.replicas", [3, 2], "interference.replicas"),
    ("interference.replicas", [2, 3], "interference.slowdown"),
    ("interference.alone_mean_s", [0.1], "interference.alone_mean_s"),
    ("interference.quantiles_s", [[[0.1, 0.2], [0.1]]], "interference.quantiles_s"),
    ("roofline.ratio", [0.1], "roofline.ratio"),
    ("roofline.limit", ["memory", "network"], "roofline.limit[1]"),
    ("roofline.stream_bytes_per_s", 0.0, "roofline.stream_bytes_per_s"),
    ("provenance.kind", "guessed", "provenance.kind"),
    ("provenance.date", "22.11.2026", "provenance.date"),
    ("provenance.date", "2026-02-30", "provenance.date"),
    ("notes", "one string", "notes"),
]


def _set(document: dict[str, Any], path: str, value: Any) -> None:
    *parents, last = path.split(".")
    for key in parents:
        document = document[key]
    document[last] = value


@pytest.mark.parametrize(("path", "value", "place"), PATHS_AND_DAMAGE)
def test_damage_is_refused_by_name(path: str, value: Any, place: str) -> None:
    document = full_document()
    _set(document, path, value)
    with pytest.raises(InputError) as caught:
        profile_from_document(document, "file.json")
    assert caught.value.where == f"file.json {place}"
    assert "\n" not in str(caught.value)
    assert caught.value.fix


def _all_keys(node: Any, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    if not isinstance(node, dict):
        return []
    found = []
    for key, value in node.items():
        found.append((*path, key))
        found += _all_keys(value, (*path, key))
    return found


OPTIONAL = {
    ("power",),
    ("variant",),
    ("variant", "options"),
    ("accuracy",),
    ("accuracy", "split"),
    ("accuracy", "part"),
    ("accuracy", "intervals"),
    ("interference",),
    ("roofline",),
    ("resources", "load", "compile_s"),
    ("latency", "split"),
    ("device", "driver"),
    ("provenance", "command"),
    ("provenance", "other_load_cores"),
}
FREE = (
    ("model", "config"),
    ("provenance", "versions"),
    ("variant", "options"),
    ("accuracy", "metrics"),
    ("accuracy", "intervals"),
)
KEYS = [path for path in _all_keys(full_document()) if not any(path[:2] == free and len(path) > 2 for free in FREE)]


@pytest.mark.parametrize("path", KEYS, ids=".".join)
def test_a_missing_field_is_named(path: tuple[str, ...]) -> None:
    document = full_document()
    parent = document
    for key in path[:-1]:
        parent = parent[key]
    del parent[path[-1]]
    if path in OPTIONAL:
        profile_from_document(document)
        return
    with pytest.raises(InputError, match="is missing") as caught:
        profile_from_document(document, "f")
    assert caught.value.where == f"f {'.'.join(path)}"


@pytest.mark.parametrize(
    "path", [(), ("model",), ("device", "host"), ("latency",), ("resources", "load"), ("accuracy",), ("roofline",)]
)
def test_an_unknown_field_is_refused(path: tuple[str, ...]) -> None:
    document = full_document()
    parent = document
    for key in path:
        parent = parent[key]
    parent["surprise"] = 1
    with pytest.raises(InputError, match="is no field of a profile"):
        profile_from_document(document)


def _read_or_refuse(read: Callable[[], ModelProfile], where: str) -> ModelProfile | None:
    """The profile, or None where it was refused in one line that starts with the place."""
    try:
        return read()
    except InputError as caught:
        message = str(caught)
    assert message.startswith(where)
    assert "\n" not in message
    return None


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@given(path=st.sampled_from(KEYS), value=JSON_VALUES)
def test_any_value_anywhere_is_read_or_refused_in_words(path: tuple[str, ...], value: Any) -> None:
    document = full_document()
    parent = document
    for key in path[:-1]:
        parent = parent[key]
    parent[path[-1]] = value
    profile = _read_or_refuse(lambda: profile_from_document(document, "f"), where="f")
    if profile is not None:
        assert np.all(np.diff(profile.batch_sizes) > 0)
        assert np.all(np.diff(profile.latency_s, axis=1) >= 0)
        assert np.all(profile.mean_s > 0)


@given(cut=st.integers(min_value=0, max_value=2000), byte=st.integers(min_value=0, max_value=255))
def test_a_damaged_file_is_read_or_refused_in_words(
    tmp_path_factory: pytest.TempPathFactory, cut: int, byte: int
) -> None:
    path = tmp_path_factory.mktemp("damaged") / "p.json"
    whole = json.dumps(small_document()).encode()
    cut = cut % len(whole)
    for damaged in (whole[:cut], whole[:cut] + bytes([byte]) + whole[cut + 1 :]):
        path.write_bytes(damaged)
        _read_or_refuse(lambda: load_profile(path), where=str(path))


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "is not JSON"),
        ("{", "is not JSON"),
        ("[1]", "no JSON object"),
        ('{"name": 1, "name": 2}', "occurs twice"),
        ('{"name": NaN}', "NaN"),
        ("[" * 100_000, "not"),
    ],
)
def test_broken_json(tmp_path: Path, text: str, problem: str) -> None:
    path = tmp_path / "p.json"
    path.write_text(text)
    with pytest.raises(InputError, match=problem):
        load_profile(path)


def test_binary_and_missing_files(tmp_path: Path) -> None:
    path = tmp_path / "p.json"
    with pytest.raises(InputError, match="is no file"):
        load_profile(path)
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="UTF-8"):
        load_profile(str(path))


def test_round_trip(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "p.json"
    save_profile(small_document(), path)
    assert json.loads(path.read_text()) == small_document()
    profile = load_profile(path)
    assert profile.document == small_document()
    assert profile.latency_s.tolist() == small_document()["latency"]["quantiles_s"]
    assert profile.throughput_per_s().tolist() == [1 / 0.0021, 8 / 0.0043]
    assert profile.quantile_s(0.75).tolist() == pytest.approx([0.003, 0.0065])
    assert [entry.name for entry in path.parent.iterdir()] == ["p.json"]


def test_parts_that_few_profiles_have(tmp_path: Path) -> None:
    plain, full = profile_from_document(small_document()), profile_from_document(full_document())
    assert (plain.variant, plain.accuracy, plain.accuracy_data) == ("", {}, "")
    assert np.all(np.isnan(plain.energy_j_per_unit()))
    assert full.variant == "structured+int8-weight"
    assert full.accuracy == {"auc": 0.76, "rmse": 1.64}
    assert full.accuracy_data == "synthetic"
    assert full.energy_j_per_unit().tolist() == pytest.approx([100 * 0.0021, 120 * 0.0043 / 8])
    assert full.document == full_document()
    save_profile(full_document(), tmp_path / "p.json")
    assert load_profile(tmp_path / "p.json").document == full_document()


def test_arrays_are_read_only() -> None:
    profile = profile_from_document(small_document())
    with pytest.raises(ValueError, match="read-only"):
        profile.latency_s[0, 0] = 1.0


def test_an_invalid_document_is_not_written(tmp_path: Path) -> None:
    document = small_document()
    document["latency"]["mean_s"] = [1.0]
    path = tmp_path / "p.json"
    path.write_text("before")
    with pytest.raises(InputError):
        save_profile(document, path)
    assert path.read_text() == "before"
    assert [entry.name for entry in tmp_path.iterdir()] == ["p.json"]


def test_the_shipped_schema_is_that_of_the_models() -> None:
    assert json.loads(schema_text()) == json_schema()
    jsonschema.Draft202012Validator.check_schema(json_schema())


def test_the_schema_agrees_on_single_fields() -> None:
    """Every refusal that concerns one field alone is one of the schema too."""
    validator = jsonschema.Draft202012Validator(json_schema())
    assert validator.is_valid(small_document())
    assert validator.is_valid(full_document())
    for path, value, place in PATHS_AND_DAMAGE:
        document = copy.deepcopy(full_document())
        _set(document, path, value)
        if path in ("format", "format_version", "name", "model.stage", "device.kind", "provenance.kind", "notes"):
            assert not validator.is_valid(document), place


def test_reading_a_profile_needs_no_torch() -> None:
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "from workloads.profile import load_profile\n"
        "from workloads.catalogue import shipped_profiles\n"
        "assert [load_profile(name).name for name in shipped_profiles()] == list(shipped_profiles())\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60, cwd=Path(__file__).parents[2])
