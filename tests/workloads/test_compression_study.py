"""The study: what is measured, what is kept, what is not measured twice; and the command."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("torchao")

from torch import nn  # noqa: E402

from recfleet.cli import run  # noqa: E402
from tests.workloads.compression_subjects import SMALLER  # noqa: E402
from workloads.compression import serving, study, study_latency, study_measuring  # noqa: E402
from workloads.compression.options import CompressOptions  # noqa: E402
from workloads.compression.study_file import StudyFile, read_study  # noqa: E402
from workloads.compression.study_latency import Timings, time_variants  # noqa: E402
from workloads.compression.study_settings import COMBINATIONS, StudySettings  # noqa: E402
from workloads.compression.study_tables import study_tables  # noqa: E402
from workloads.errors import InputError  # noqa: E402
from workloads.interactions.prepared import save_prepared  # noqa: E402
from workloads.interactions.synthetic import synthetic_data  # noqa: E402
from workloads.model_folder import save_model  # noqa: E402
from workloads.models import model_module  # noqa: E402
from workloads.profiler.inputs import InputPool  # noqa: E402

DATA = synthetic_data(users=20, items=15, rows=200)
QUICK = {"finetune_epochs": 0, "importance_batches": 0}


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder; its weights are random."""
    module = model_module("dlrm")
    config = module.config_for(DATA, **SMALLER["dlrm"])
    torch.manual_seed(0)
    place = tmp_path_factory.mktemp("models") / "dlrm"
    card = {"data": {"name": DATA.name, "digest": DATA.digest}, "training": {"refit": False}}
    save_model(place, model="dlrm", config=config, network=module.build(config), card=card)
    return place


def settings_of(**changes: Any) -> StudySettings:
    given = {"methods": ("bf16", "structured", "hashed"), "modes": ("eager",), "batch_sizes": (1, 4)}
    return StudySettings(**{**given, "timing_s": 0.005, "threads": 1, **changes})


def run_study(folder: Path, out: Path, settings: StudySettings, told: list[str] | None = None) -> StudyFile:
    def tell(phase: str, done: int, total: int) -> None:
        assert 0 <= done <= total
        if told is not None:
            told.append(phase)

    return study.run_study(folder, out, DATA, CompressOptions(**QUICK), settings, tell)


def test_a_study_measures_every_variant_and_says_what_does_not_apply(folder: Path, tmp_path: Path) -> None:
    result = run_study(folder, tmp_path, settings_of())
    rows = {row["method"]: row for row in result.variants}
    assert list(rows) == ["none", "bf16", "structured", "hashed"]
    assert "min-table-rows" in rows["hashed"]["not_applicable"]
    for method in ("none", "bf16", "structured"):
        assert 0 <= rows[method]["metrics"]["auc"] <= 1
        assert rows[method]["sizes"]["disk_bytes"] > 0
    assert rows["structured"]["sizes"]["flops_per_unit"] < rows["none"]["sizes"]["flops_per_unit"]
    latencies = {(row["method"], row["batch"]): row for row in result.latencies}
    assert set(latencies) == {(method, batch) for method in ("none", "bf16", "structured") for batch in (1, 4)}
    for row in latencies.values():
        assert 0 < row["p05_s"] <= row["p50_s"] <= row["p90_s"] <= row["p99_s"]
        assert row["runs"] >= 5
        assert row["unchanged_p50_s"] == latencies["none", row["batch"]]["p50_s"]
        assert row["device"].startswith("cpu-1core")
    assert read_study(tmp_path / "study.json") == result


def test_what_is_there_is_not_measured_again(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = run_study(folder, tmp_path, settings_of(methods=("bf16",)))
    again = run_study(folder, tmp_path, settings_of(methods=("bf16",)))
    assert again == first
    more = run_study(folder, tmp_path, settings_of(methods=("bf16", "structured")))
    assert [row["method"] for row in more.latencies] == ["bf16", "bf16", "none", "none", "structured", "structured"]
    kept = [row for row in more.latencies if row["method"] == "bf16"]
    assert kept == [row for row in first.latencies if row["method"] == "bf16"]
    # Other weights of the same method are another matter.
    document = json.loads((tmp_path / "study.json").read_text())
    for row in document["latencies"]:
        row["weights"] = "0" if row["method"] == "bf16" else row["weights"]
    (tmp_path / "study.json").write_text(json.dumps(document))
    newer = run_study(folder, tmp_path, settings_of(methods=("bf16",)))
    assert len(newer.latencies) == len(more.latencies)
    assert not any(row["weights"] == "0" for row in newer.latencies)


def test_other_options_and_data_given_later_make_variants_anew(folder: Path, tmp_path: Path) -> None:
    def rows_of(data: Any, **options: Any) -> dict[str, dict[str, Any]]:
        asked = CompressOptions(**{**QUICK, **options})
        found = study.run_study(folder, tmp_path, data, asked, settings_of(methods=("structured",)), lambda *_: None)
        return {row["method"]: row for row in found.variants}

    unjudged = rows_of(None)
    assert [row["metrics"] for row in unjudged.values()] == [{}, {}]
    judged = rows_of(DATA)
    assert all("auc" in row["metrics"] for row in judged.values())
    assert rows_of(DATA) == judged
    less = rows_of(DATA, ratio=0.3)
    assert less["none"] == judged["none"]
    assert less["structured"]["steps"][0]["ratio"] == 0.3
    assert less["structured"]["sizes"]["parameters"] > judged["structured"]["sizes"]["parameters"]


def test_a_study_refuses_where_it_cannot_write_or_read(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be a folder"):
        run_study(folder, tmp_path / "file", settings_of())
    with pytest.raises(InputError, match="is no model folder"):
        run_study(tmp_path / "none", tmp_path / "out", settings_of())
    assert not (tmp_path / "out").exists()
    with pytest.raises(InputError, match="more than the"):
        settings_of(threads=10_000)


def test_latency_only_makes_nothing(folder: Path, tmp_path: Path) -> None:
    run_study(folder, tmp_path, settings_of(methods=("bf16",)))
    (tmp_path / "study.json").unlink()
    told: list[str] = []
    result = run_study(folder, tmp_path, settings_of(methods=("bf16", "structured"), latency_only=True), told)
    assert result.variants == []
    assert {row["method"] for row in result.latencies} == {"none", "bf16"}
    assert not (tmp_path / "structured").exists()
    assert all(phase.startswith("eager") for phase in told)


def test_a_budget_stops_between_groups(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(study_measuring, "_TOGETHER", 1)
    result = run_study(folder, tmp_path, settings_of(methods=("bf16",), budget_s=1e-9))
    assert result.latencies == []
    whole = run_study(folder, tmp_path, settings_of(methods=("bf16",)))
    assert {row["method"] for row in whole.latencies} == {"none", "bf16"}


class _Sleeper(nn.Module):
    def __init__(self, seconds: float, fails: bool = False) -> None:
        super().__init__()
        self.seconds, self.fails = seconds, fails

    def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
        if self.fails:
            raise RuntimeError("no such kernel\nand a long story")
        end_s = study_latency.time.perf_counter() + self.seconds
        while study_latency.time.perf_counter() < end_s:
            pass
        return inputs[0]


def _pool() -> InputPool:
    module = model_module("biased_mf")
    return InputPool(module, module.config_for(DATA), 4, np.random.default_rng(0))


def test_timings_tell_fast_from_slow_and_failures_are_rows() -> None:
    networks = {"none": _Sleeper(4e-4), "fast": _Sleeper(1e-4), "broken": _Sleeper(0.0, fails=True)}
    settings = settings_of(timing_s=0.02)
    found = time_variants(networks, _pool(), settings, "eager", np.random.default_rng(0), lambda *_: None)
    rows = {(t.method, t.batch): t.row() for t in found}
    assert len(rows) == 6
    for batch in (1, 4):
        assert rows["broken", batch]["error"] == "RuntimeError: no such kernel"
        assert rows["fast", batch]["p50_s"] < 0.7 * rows["none", batch]["p50_s"]
        assert rows["fast", batch]["p05_s"] >= 1e-4


def test_compiled_networks_are_timed_and_a_compilers_failure_is_a_row(monkeypatch: pytest.MonkeyPatch) -> None:
    def compile_or_fail(network: nn.Module) -> Any:
        if isinstance(network, _Sleeper) and network.fails:
            raise RuntimeError("cannot compile")
        return network

    monkeypatch.setattr(torch, "compile", compile_or_fail)
    networks = {"none": _Sleeper(1e-5), "broken": _Sleeper(0.0, fails=True)}
    found = time_variants(networks, _pool(), settings_of(), "compiled", np.random.default_rng(0), lambda *_: None)
    errors = {t.method: t.error for t in found}
    assert errors == {"none": "", "broken": "RuntimeError: cannot compile"}


def test_disturbed_runs_are_left_out_unless_most_are() -> None:
    quiet = Timings("none", 1, latency_s=[1.0, 1.0, 1.0, 9.0], wait_s=[0.0, 0.0, 0.0, 8.0])
    assert quiet.row()["p99_s"] == 1.0
    assert quiet.row()["runs"] == 3
    assert quiet.row()["disturbed_share"] == 0.25
    busy = Timings("none", 1, latency_s=[1.0, 9.0, 9.0], wait_s=[0.0, 8.0, 8.0])
    assert busy.row()["p50_s"] == 9.0


def test_a_study_at_serving_size_needs_no_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = model_module("sasrec")
    config = type(module.default_config())(items=50, top_k=5, **SMALLER["sasrec"])
    monkeypatch.setattr(module, "default_config", lambda: config)
    settings = settings_of(methods=("structured", "distil", "structured+int8-weight"))
    options = CompressOptions(**QUICK)
    result = serving.study_at_serving_size("sasrec", tmp_path, options, settings, lambda *_: None)
    rows = {row["method"]: row for row in result.variants}
    assert {row["size"] for row in rows.values()} == {"serving"}
    assert "needs the data" in rows["distil"]["not_applicable"]
    assert {row["method"] for row in result.latencies} == {"none", "structured", "structured+int8-weight"}
    again = serving.study_at_serving_size("sasrec", tmp_path, options, settings, lambda *_: None)
    assert again.latencies == result.latencies


def test_tables_show_shares_of_the_unchanged_model(tmp_path: Path) -> None:
    sizes = {
        "disk_bytes": 2**21,
        "memory_bytes": 2**21,
        "nonzero_parameters": 4000,
        "nonzero_flops_per_unit": 2_000_000,
    }
    kind = {"model": "dlrm", "size": "trained"}
    half = {name: value // 2 for name, value in sizes.items()}
    variants = [
        {**kind, "method": "none", "sizes": sizes, "metrics": {"auc": 0.75}, "steps": []},
        {**kind, "method": "structured", "sizes": half, "metrics": {"auc": 0.7}, "steps": [{"removed_share": 0.5}]},
        {**kind, "method": "hashed", "not_applicable": "no large table"},
    ]
    place = {"device_name": "a CPU", "mode": "eager", "batch": 1}
    latencies = [
        {**kind, **place, "method": "none", "error": "", "p50_s": 0.002, "unchanged_p50_s": 0.002},
        {**kind, **place, "method": "structured", "error": "", "p50_s": 0.001, "unchanged_p50_s": 0.002},
        {**kind, **place, "method": "bf16", "error": "RuntimeError: x", "unchanged_p50_s": 0.002},
    ]
    text = study_tables([StudyFile(tmp_path / "x", variants, latencies)])
    assert "| structured | 1 MiB (50%) | 1 MiB (50%) | 2 k (50%) | 1 M (50%) | 0.7000 | 50% of" in text
    assert "| hashed |" in text
    assert "no large table" in text
    assert "| structured | 1 (0.50) |" in text
    assert "| bf16 | fails |" in text


def test_files_that_are_no_study_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "study.json"
    for text in ("{", "[]", '{"format": "x"}', '{"format": "recfleet-compression-study", "format_version": 9}'):
        path.write_text(text)
        with pytest.raises(InputError):
            StudyFile.open(path)
    with pytest.raises(InputError):
        read_study(tmp_path / "none.json")


@pytest.mark.parametrize(
    "wrong",
    [
        {"modes": ("cuda_graph",)},
        {"device": "tpu"},
        {"batch_sizes": (8, 1)},
        {"batch_sizes": ()},
        {"timing_s": 0.0},
        {"methods": ("magic",)},
    ],
)
def test_wrong_settings_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        settings_of(**wrong)
    assert all(method in StudySettings().methods for method in COMBINATIONS)


# --- the command --------------------------------------------------------------------------------------


def test_the_command_writes_a_variant_and_shows_it(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save_prepared(DATA, tmp_path / "data")
    given = [str(folder), "--data", str(tmp_path / "data"), "--out", str(tmp_path / "out"), "--finetune-epochs", "0"]
    assert run(["compress", *given, "--method", "structured+int8-dynamic", "--ratio", "0.5"]) == 0
    shown = capsys.readouterr().out
    for words in ("on disk", "operations a unit", "auc", "layers quantised", "Written to"):
        assert words in shown
    card = json.loads((tmp_path / "out" / "model.json").read_text())
    assert card["variant"]["steps"][0]["ratio"] == 0.5


def test_the_command_lists_methods_and_refuses_in_one_line(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["compress", "--list"]) == 0
    assert "embedding-int8" in capsys.readouterr().out
    for wrong in (
        ["compress"],
        ["compress", str(folder)],
        ["compress", str(folder), "--out", "x"],
        ["compress", str(folder), "--out", "x", "--method", "magic"],
        ["compress", str(folder), "--out", "x", "--study", "--sizes", "one"],
        ["compress", str(folder), "--out", "x", "--study", "--methods", "magic"],
        ["compress", "nowhere", "--out", "x", "--method", "bf16"],
        ["compress", str(folder), "--out", "x", "--method", "bf16", "--device", "tpu"],
    ):
        assert run(wrong) == 2
        told = capsys.readouterr().err.strip()
        assert told.startswith("recfleet: error:")
        assert "\n" not in told


def test_the_command_runs_a_study(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = ["compress", str(folder), "--study", "--out", str(tmp_path), "--methods", "bf16", "--modes", "eager"]
    assert run([*given, "--sizes", "1,2", "--timing-s", "0.005", "--threads", "1"]) == 0
    shown = capsys.readouterr().out
    assert "### dlrm, trained size" in shown
    assert "| method | eager, 1 | eager, 2 |" in shown
