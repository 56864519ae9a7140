"""The commands train, evaluate and update, on made-up data."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

torch = pytest.importorskip("torch")

from recfleet.cli import run  # noqa: E402
from recfleet.metric_tables import verdict_lines  # noqa: E402
from tests.workloads.zoo import made_up  # noqa: E402
from workloads.interactions import save_prepared, synthetic_data  # noqa: E402
from workloads.model_folder import load_model, read_card  # noqa: E402
from workloads.training.evaluation import Estimate, Metrics  # noqa: E402

QUICK = ["--epochs", "2", "--batch-size", "256", "--set", "dim=4"]


@pytest.fixture(autouse=True)
def _one_thread() -> object:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with prepared data and a trained model."""
    folder = tmp_path_factory.mktemp("training")
    save_prepared(made_up(), folder / "data")
    command = ["train", "biased_mf", "--data", str(folder / "data"), "--out", str(folder / "bmf"), *QUICK]
    assert run([*command, "--json", str(folder / "bmf.json")]) == 0
    return folder


def test_training_tells_and_writes_what_it_found(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    document = json.loads((place / "bmf.json").read_text())
    card = read_card(place / "bmf")
    assert document["card"] == card
    assert card["config"]["dim"] == 4
    assert card["data"] == {"name": "synthetic", "split": "time", "digest": made_up().digest}
    training = card["training"]
    assert (training["settings"]["batch_size"], training["refit"]) == (256, True)
    assert [e["phase"] for e in training["history"]].count("search") == 2
    assert card["metrics"] == document["metrics"]
    assert set(document["baselines"]) >= {"global mean", "popularity", "user and item bias"}
    assert card["sizes"]["memory_bytes"] == 4 * card["sizes"]["parameters"]
    out = place / "again"
    assert run(["train", "biased_mf", "--data", str(place / "data"), "--out", str(out), *QUICK]) == 0
    printed = capsys.readouterr()
    assert "user and item bias" in printed.out
    assert "every baseline:" in printed.out
    assert "95 % intervals over users" in printed.out
    assert f"Written to {out}" in printed.out.replace("\n", "")
    assert read_card(out)["weights_sha256"] == card["weights_sha256"]


def test_evaluating_a_folder_gives_its_cards_metrics(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = place / "evaluated.json"
    assert run(["evaluate", str(place / "bmf"), "--data", str(place / "data"), "--json", str(out)]) == 0
    assert json.loads(out.read_text())["metrics"] == read_card(place / "bmf")["metrics"]
    assert "biased_mf" in capsys.readouterr().out


def test_an_interrupted_command_is_resumed(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import workloads.training.running as running

    command = ["train", "biased_mf", "--data", str(place / "data"), "--out", str(place / "stopped"), *QUICK]
    step, count = running.Learner.step, [0]

    def interrupted(self: Any, batches: Any) -> Any:
        count[0] += 1
        if count[0] == 6:
            os.kill(os.getpid(), signal.SIGINT)
        return step(self, batches)

    with monkeypatch.context() as patch:
        patch.setattr(running.Learner, "step", interrupted)
        assert run(command) == 130
    assert run(command) == 2
    assert run([*command, "--resume"]) == 0
    assert read_card(place / "stopped")["weights_sha256"] == read_card(place / "bmf")["weights_sha256"]
    assert sorted(path.name for path in (place / "stopped").iterdir()) == ["model.json", "model.safetensors"]


def test_update_replays_a_part_and_applies(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    delta, new = place / "delta", place / "updated"
    command = ["update", str(place / "bmf"), "--data", str(place / "data"), "--out", str(delta), "--apply", str(new)]
    assert run([*command, "--json", str(place / "update.json")]) == 0
    document = json.loads((place / "update.json").read_text())
    assert document["facts"]["interactions"] == round(len(made_up().test) / 2)
    assert document["before"]["counts"]["rows"] == len(made_up().test) - document["facts"]["interactions"]
    assert document["before"]["rmse"] != document["after"]["rmse"]
    assert "the model as it was" in capsys.readouterr().out
    assert len(load_model(new).card["training"]["updates"]) == 1
    assert run(["evaluate", str(new), "--data", str(place / "data")]) == 2
    assert "no part of the data is new to it" in capsys.readouterr().err


def test_update_reads_a_log_with_the_sources_ids(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = synthetic_data(users=20, items=20, rows=300, seed=1).train
    frame = pd.DataFrame({"user": source.user, "item": source.item, "rating": source.rating, "time": source.time_s})
    frame["user"] = "u" + frame["user"].astype(str)
    frame["item"] += 1000
    frame.to_csv(tmp_path / "log.csv", index=False)
    options = ["--test-share", "0.2", "--validation-share", "0.1", "--scale", "1:5", "--like-from", "4"]
    assert run(["data", "prepare", str(tmp_path / "log.csv"), "--out", str(tmp_path / "data"), *options]) == 0
    data = ["--data", str(tmp_path / "data")]
    assert run(["train", "biased_mf", *data, "--out", str(tmp_path / "model"), *QUICK]) == 0
    new = pd.DataFrame({"user": ["u3", "nobody"], "item": [1004, 1004], "rating": [5, 4], "time_s": [2e9, 2e9]})
    new.to_csv(tmp_path / "new.csv", index=False)
    capsys.readouterr()
    command = ["update", str(tmp_path / "model"), *data, "--out", str(tmp_path / "delta")]
    assert run([*command, "--log", str(tmp_path / "new.csv")]) == 0
    assert "1 interactions in 1 steps; 1 left out" in capsys.readouterr().out
    new.assign(rating=11).to_csv(tmp_path / "new.csv", index=False)
    assert run([*command, "--log", str(tmp_path / "new.csv")]) == 2
    assert "row 1 has rating 11, the scale is 1 to 5" in capsys.readouterr().err
    new.drop(columns="item").to_csv(tmp_path / "new.csv", index=False)
    assert run([*command, "--log", str(tmp_path / "new.csv")]) == 2
    assert "lacks item" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("command", "told"),
    [
        ("train biased_fm --data DATA --out OUT", "did you mean biased_mf"),
        ("train biased_mf --data NOWHERE --out OUT", "holds no prepared data"),
        ("train biased_mf --data DATA --out OUT --optimizer lion", "'lion' is not known"),
        ("train biased_mf --data DATA --out OUT --set wide=3", "is not a field of BiasedMfConfig"),
        ("train biased_mf --data DATA --out OUT --set wide", "is no NAME=VALUE"),
        ("train biased_mf --data DATA --out OUT --set dim=wide", "'wide' is of another kind than 32"),
        ("train biased_mf --data DATA --out OUT --set dim=-1", "-1 is below 0"),
        ("train biased_mf --data DATA --out OUT --set objective=stars", "'stars' is not known"),
        ("train biased_mf --data DATA --out OUT --json NOWHERE/found.json", "there is no folder"),
        ("train biased_mf --data DATA --out OUT --device tpu", "'tpu' is not known"),
        ("train biased_mf --data DATA --out OUT --device cuda:one", "'cuda:one' is not known"),
        ("train sasrec --data DATA --out OUT --metric rmse", "scores are no ratings"),
        ("train biased_mf --data DATA --out OUT --ks ten", "is not a list of whole numbers"),
        ("train biased_mf --data DATA --out DATA", "holds files but no model"),
        ("train biased_mf --data DATA --out OUT --lr 1e30 --optimizer sgd", "the loss became"),
        ("evaluate NOWHERE --data DATA", "is no model folder"),
        ("evaluate MODEL --data DATA --part train", "'train' is not known"),
        ("evaluate MODEL --data DATA --part validation", "was trained on the validation part too"),
        ("evaluate MODEL --data DATA --device tpu", "'tpu' is not known"),
        ("evaluate MODEL --data OTHER", "was trained on synthetic"),
        ("update MODEL --data DATA --out OUT --part validation", "was trained on the validation part too"),
        ("update MODEL --data DATA --out OUT --share 2", "is not above 0 and at most 1"),
        ("update MODEL --data DATA --out OUT --lr 0", "is no learning rate"),
        ("update MODEL --data DATA --out OUT --log NOWHERE", "cannot be read"),
    ],
)
def test_what_cannot_be_done_is_told_in_one_line(
    command: str, told: str, place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if "OTHER" in command:
        save_prepared(synthetic_data(users=20, items=20, rows=200, seed=8), tmp_path / "other")
    names = {"DATA": place / "data", "MODEL": place / "bmf", "OUT": tmp_path / "out", "NOWHERE": tmp_path / "nowhere"}
    names["OTHER"] = tmp_path / "other"
    capsys.readouterr()
    assert run([str(names.get(word, word)) for word in command.split()]) == 2
    said = capsys.readouterr().err.strip().splitlines()[-1]
    assert said.startswith("recfleet: error: ")
    assert told in said


def test_verdict_says_where_a_baseline_is_better() -> None:
    def found(auc: float, rmse: float) -> Metrics:
        return Metrics("test", Estimate(auc), Estimate(rmse), {}, {})

    rivals = {"popularity": found(0.6, 1.5), "biases": found(0.7, 1.2)}
    assert verdict_lines(found(0.8, 1.3), rivals, "every baseline") == [
        "better than every baseline: AUC",
        "not better than every baseline: RMSE (biases: 1.2000 against 1.3000)",
    ]
    assert verdict_lines(found(0.7, 1.1), rivals, "every baseline") == [
        "better than every baseline: RMSE",
        "not better than every baseline: AUC (biases: 0.7000 against 0.7000)",
    ]
    assert verdict_lines(found(0.7, 1.1), {}, "every baseline") == []
