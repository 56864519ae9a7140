"""``recfleet profiles`` and ``recfleet models``: the tables, their numbers, the price list, and refusals."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any

import pytest

from recfleet.cli import run
from recfleet.price_list import ASSUMED_USD_PER_HOUR, prices, usd_per_hour
from recfleet.profile_facts import cheapest, facts_of
from tests.workloads.profile_documents import full_document, small_document
from workloads.catalogue import shipped_profiles
from workloads.errors import InputError
from workloads.models import MODEL_NAMES
from workloads.profile import profile_from_document, save_profile


@pytest.fixture(autouse=True)
def _wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "250")


def _json(capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
    assert run([*arguments, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_all_are_listed_and_filters_leave_some(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["profiles"]) == 0
    text = capsys.readouterr().out
    assert all(name in text for name in shipped_profiles())
    assert "prices assumed" in text
    assert "left out: median error" in text
    found = _json(capsys, "profiles", "--model", "dlrm", "--device", "cuda", "--precision", "bf16")
    assert {row["name"] for row in found} >= {"dlrm-h200-bf16-eager", "dlrm-h200-bf16-graph"}
    assert {(row["model"], row["device"], row["precision"]) for row in found} == {("dlrm", "nvidia-h200", "bf16")}


def test_one_in_full(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert run(["profiles", "dlrm-h200-bf16-graph"]) == 0
    text = capsys.readouterr().out
    assert "32768" in text
    assert "Weights are random" in text
    assert "J a unit" in text
    save_profile(full_document(), tmp_path / "p.json")
    assert run(["profiles", str(tmp_path / "p.json")]) == 0
    text = capsys.readouterr().out
    for word in (
        "0.1% memory",
        "2 replicas: throughput of all",
        "1.90",
        "1.04",
        "structured+int8-weight, of tiny",
        "auc 0.76",
        "ceilings: 0.1 TFLOP/s",
    ):
        assert word in text


def test_a_cost_is_the_price_of_the_time(capsys: pytest.CaptureFixture[str]) -> None:
    row = facts_of(profile_from_document(small_document()), prices(["cpu=3.6"]))
    assert row.usd_per_hour == pytest.approx(7.2), "two cores"
    assert row.best_batch == 8
    assert row.units_per_s == pytest.approx(8 / 0.0043)
    assert row.usd_per_million == pytest.approx(7.2 / 3600 * 1e6 / (8 / 0.0043))
    dear = _json(capsys, "profiles", "--model", "dlrm", "--price", "nvidia-h200=7.6")
    cheap = _json(capsys, "profiles", "--model", "dlrm")
    for one, other in zip(dear, cheap):
        assert one["usd_per_million"] / other["usd_per_million"] == pytest.approx(
            2.0 if "h200" in one["device"] else 1.0
        )


def test_a_limit_on_latency_makes_the_best_batch_smaller() -> None:
    profile = profile_from_document(small_document())
    assert facts_of(profile, ASSUMED_USD_PER_HOUR, within_ms=5.0).best_batch == 1
    none = facts_of(profile, ASSUMED_USD_PER_HOUR, within_ms=1.0)
    assert none.best_batch == 0
    assert math.isnan(none.usd_per_million)
    assert none.as_dict()["usd_per_million"] is None


def test_the_price_list_takes_the_cheapest_by_device(capsys: pytest.CaptureFixture[str]) -> None:
    slow, fast = small_document(), small_document()
    slow["latency"]["mean_s"] = [0.0022, 0.005]
    rows = [facts_of(profile_from_document(d | {"name": n}), prices([])) for n, d in (("slow", slow), ("fast", fast))]
    found = cheapest(rows)
    assert found["tiny", "", ""]["cpu-2core-test"].name == "fast"
    assert run(["profiles", "--costs"]) == 0
    text = capsys.readouterr().out
    assert "nvidia-" in text
    assert re.search(r"dlrm +- +items .*dlrm-h200-bf16-graph +32768\n", text)


@pytest.mark.parametrize("command", [["profiles"], ["profiles", "--costs"], ["models"]])
@pytest.mark.parametrize("columns", [80, 120])
def test_a_narrow_terminal_cuts_nothing(
    command: list[str], columns: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    assert run(command) == 0
    text = capsys.readouterr().out
    assert "…" not in text
    assert max(len(line) for line in text.splitlines()) <= columns
    monkeypatch.setenv("COLUMNS", "400")
    assert run(command) == 0
    whole = capsys.readouterr().out
    shown = text.partition("no room")[0].splitlines()
    assert len(shown) > len(MODEL_NAMES)
    assert all(word in whole for line in shown for word in line.split())


def test_wide_shows_every_column_in_a_narrow_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    assert run(["profiles", "--wide"]) == 0
    text = capsys.readouterr().out
    assert "no room" not in text
    assert all(word in text for word in ("unit", "load s", "J a unit", "its p50"))


def test_a_price_list_of_nothing_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["profiles", "--costs", "--within-ms", "0.000001"]) == 2
    assert "no batch here has a price" in capsys.readouterr().err


def test_a_device_without_a_price_has_no_cost() -> None:
    document = small_document()
    document["device"] |= {"kind": "cuda", "id": "other-gpu"}
    profile = profile_from_document(document)
    assert math.isnan(usd_per_hour(profile, prices([])))
    assert cheapest([facts_of(profile, prices([]))]) == {}
    assert usd_per_hour(profile, prices(["other-gpu=2"])) == 2.0


@pytest.mark.parametrize("text", ["h200", "h200=", "=3", "h200=-1", "h200=nan", "h200=inf"])
def test_what_is_no_price(text: str) -> None:
    with pytest.raises(InputError, match="is not DEVICE=USD"):
        prices([text])


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["dlrm-h200-bf16-grph"], "did you mean"),
        (["--model", "dlmr"], "--model dlmr: no profile here is of it; did you mean 'dlrm'?"),
        (["--device", "h300"], "devices: cpu-2core-amd-epyc, nvidia-h200"),
        (["--model", "dlrm", "--device", "cuda", "--precision", "bf17"], "did you mean 'bf16'?"),
        (["--model", "neumf", "--device", "cpu", "--precision", "bf16"], "none is left"),
        (["--within-ms", "0"], "is no time"),
        (["--price", "x"], "is not DEVICE=USD"),
        (["--folder", "no/such"], "is no folder"),
    ],
)
def test_refusals(arguments: list[str], word: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["profiles", *arguments]) == 2
    told = capsys.readouterr().err.strip()
    assert word in told
    assert len(told.splitlines()) == 1


def test_one_model_of_the_zoo(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["models", "two-tower"]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith(("two_tower: ", "two_tower\n"))
    assert "  two_tower-h200-bf16-graph\n" in shown
    assert run(["models", "dlmr"]) == 2
    assert "model 'dlmr': is not in the zoo; did you mean 'dlrm'?" in capsys.readouterr().err


def test_the_zoo(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("torch")
    found = {row["name"]: row for row in _json(capsys, "models")}
    assert tuple(found) == MODEL_NAMES
    assert found["dlrm"]["unit"] == "items"
    assert found["dlrm"]["profiles"]["nvidia-h200"] >= 4
    for row in found.values():
        assert row["embedding_bytes"] + row["other_bytes"] == 4 * row["parameters"]
        assert row["summary"]
    assert run(["models"]) == 0
    shown = capsys.readouterr().out
    assert all(name in shown for name in MODEL_NAMES)


def test_the_zoo_without_torch(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    from workloads import models
    from workloads.errors import MissingDependencyError

    def no_torch(name: str) -> Any:
        raise MissingDependencyError("torch", f"the model {name}", "torch")

    monkeypatch.setattr(models, "model_module", no_torch)
    found = {row["name"]: row for row in _json(capsys, "models")}
    assert found["dlrm"]["parameters"] > 6e8, "from a shipped profile"
    assert run(["models"]) == 0
    assert "recfleet[torch]" in capsys.readouterr().out or all(row["parameters"] for row in found.values())
