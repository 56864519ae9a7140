"""From a model folder to a variant's and back: what is saved is what was measured, for every method."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("torchao")

from torch import nn  # noqa: E402

from tests.workloads.compression_subjects import SMALLER  # noqa: E402
from workloads.compression import compress  # noqa: E402
from workloads.compression.options import CompressOptions  # noqa: E402
from workloads.compression.pipeline import compress_network  # noqa: E402
from workloads.compression.subject import Subject  # noqa: E402
from workloads.errors import InputError  # noqa: E402
from workloads.interactions.prepared import PreparedData  # noqa: E402
from workloads.interactions.synthetic import synthetic_data  # noqa: E402
from workloads.model_folder import CARD_FILE, SavedModel, load_model, save_model  # noqa: E402
from workloads.models import model_module  # noqa: E402
from workloads.training import TrainSettings, evaluate, fit  # noqa: E402
from workloads.training.batches import Examples  # noqa: E402

DATA = synthetic_data(users=30, items=25, rows=600)
SETTINGS = TrainSettings(lr=5e-3, batch_size=128, epochs=4, patience=0, metric="auc", refit=False, decay="none")
QUICK: dict[str, Any] = {"finetune_epochs": 1, "train_epochs": 2, "min_table_rows": 20, "importance_batches": 1}


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    """Small layers on many threads wait for one another."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Model folders of small trained models."""
    return {
        name: _train(name, tmp_path_factory.mktemp(name) / name) for name in ("dlrm", "lstm_two_tower", "biased_mf")
    }


def _train(name: str, folder: Path, data: PreparedData = DATA) -> Path:
    module = model_module(name)
    config = module.config_for(data, **SMALLER[name])
    result = fit(module, config, data, SETTINGS)
    metrics = evaluate(module, result.config, result.network, result.data, replicates=0)
    card = {
        "data": {"name": data.name, "split": data.split, "digest": data.digest},
        "training": {"settings": SETTINGS.as_dict(), "refit": False},
        "metrics": metrics.as_dict(),
    }
    save_model(folder, model=name, config=result.config, network=result.network, card=card)
    return folder


def answers(saved: SavedModel, network: nn.Module | None = None) -> torch.Tensor:
    inputs = saved.module.example_inputs(saved.config, 16, np.random.default_rng(3))
    with torch.no_grad():
        found = (network or saved.network)(*(torch.from_numpy(np.array(array)) for array in inputs))
    return found[0] if isinstance(found, tuple) else found


ROUND_TRIPS = [
    ("dlrm", "magnitude"),
    ("dlrm", "structured"),
    ("dlrm", "low-rank"),
    ("dlrm", "bf16"),
    ("dlrm", "embedding-int8"),
    ("dlrm", "int8-dynamic"),
    ("dlrm", "int8-weight"),
    ("dlrm", "int8-legacy"),
    ("dlrm", "hashed"),
    ("dlrm", "distil"),
    ("dlrm", "structured+int8-dynamic"),
    ("dlrm", "hashed+structured"),
    ("dlrm", "magnitude+bf16+embedding-int8+int8-weight"),
    ("lstm_two_tower", "structured"),
    ("lstm_two_tower", "magnitude+embedding-int8"),
    ("lstm_two_tower", "int8-legacy"),
    ("lstm_two_tower", "distil"),
    ("biased_mf", "bf16+embedding-int8"),
    ("biased_mf", "hashed"),
]


@pytest.mark.parametrize(("name", "method"), ROUND_TRIPS)
def test_what_is_read_back_computes_the_same_to_the_bit(
    name: str, method: str, trained: dict[str, Path], tmp_path: Path
) -> None:
    """The same steps carried out twice, once in memory and once through the folder."""
    source = load_model(trained[name])
    options = CompressOptions(**QUICK)
    subject = Subject(name, source.module, source.config, source.network, source.card, DATA, options, lambda *_: None)
    in_memory, records, _ = compress_network(subject, tuple(method.split("+")))
    card = compress(trained[name], method, tmp_path / "out", DATA, **QUICK)
    read = load_model(tmp_path / "out")
    assert torch.equal(answers(read), answers(read, in_memory.network))
    assert [step["method"] for step in card["variant"]["steps"]] == method.split("+")
    assert records == [{**step, **_seconds_of(mine)} for step, mine in zip(card["variant"]["steps"], records)]
    assert read.card == json.loads((tmp_path / "out" / "model.json").read_text())
    measured = evaluate(read.module, read.config, read.network, DATA, replicates=0)
    assert card["metrics"]["auc"] == pytest.approx(measured.values()["auc"], abs=1e-9)
    assert not read.network.training


def _seconds_of(record: dict[str, Any]) -> dict[str, Any]:
    """Parts of a record that hold wall-clock times."""
    return {name: record[name] for name in ("fine_tuning", "training") if name in record}


@pytest.mark.parametrize(
    ("method", "disk", "memory"),
    [
        ("magnitude", 0.45, 1.01),
        ("structured", 0.5, 0.5),
        ("bf16", 0.6, 0.52),
        ("int8-dynamic", 0.5, 0.5),
        ("int8-weight", 0.5, 0.5),
        ("int8-legacy", 0.5, 0.5),
        ("magnitude+int8-weight", 0.3, 0.5),
    ],
)
def test_variants_are_smaller_where_they_say_so(method: str, disk: float, memory: float, tmp_path: Path) -> None:
    module = model_module("dlrm")
    config = module.config_for(DATA, bottom=(128, 64), top=(256, 256, 128))
    torch.manual_seed(0)
    save_model(tmp_path / "whole", model="dlrm", config=config, network=module.build(config), card={})
    card = compress(tmp_path / "whole", method, tmp_path / "out")
    before = card["variant"]["source_sizes"]
    assert card["sizes"]["disk_bytes"] == (tmp_path / "out" / "model.safetensors").stat().st_size
    assert card["sizes"]["disk_bytes"] < disk * before["disk_bytes"]
    assert card["sizes"]["memory_bytes"] < memory * before["memory_bytes"]
    assert card["metrics"] == {}
    if method == "magnitude":
        assert card["sizes"]["flops_per_unit"] == before["flops_per_unit"]
        assert card["sizes"]["nonzero_flops_per_unit"] < 0.35 * before["flops_per_unit"]
    if method == "structured":
        assert card["sizes"]["flops_per_unit"] < 0.35 * before["flops_per_unit"]
        assert card["sizes"]["parameters"] < 0.4 * before["parameters"]


@pytest.mark.parametrize("method", ["bf16", "embedding-int8", "int8-dynamic", "int8-weight", "int8-legacy"])
def test_rounded_variants_answer_nearly_as_their_source(method: str, trained: dict[str, Path], tmp_path: Path) -> None:
    compress(trained["dlrm"], method, tmp_path / "out")
    source, read = load_model(trained["dlrm"]), load_model(tmp_path / "out")
    difference = (answers(read).float() - answers(source)).abs()
    assert 0 < float(difference.max()) < 0.03


def test_pruned_weights_stay_zero_through_fine_tuning(trained: dict[str, Path], tmp_path: Path) -> None:
    card = compress(trained["dlrm"], "magnitude", tmp_path / "out", DATA, **QUICK, amount=0.8)
    step = card["variant"]["steps"][0]
    weights = [load_model(tmp_path / "out").network.get_parameter(name) for name in step["weights"]]
    zeros, total = sum(int((w == 0).sum()) for w in weights), sum(w.numel() for w in weights)
    assert zeros == round(0.8 * total)
    assert step["zero_share"] == zeros / total
    assert step["fine_tuning"]["epochs"] == 1
    unlike = load_model(trained["dlrm"]).network.get_parameter(step["weights"][1])
    assert not torch.equal(weights[1][weights[1] != 0], unlike[weights[1] != 0])


def test_fine_tuning_recovers_what_pruning_lost(trained: dict[str, Path], tmp_path: Path) -> None:
    options = QUICK | {"ratio": 0.9, "finetune_lr_share": 1.0}
    losses = {}
    for epochs in (0, 20):
        card = compress(
            trained["dlrm"], "structured", tmp_path / "out", DATA, **(options | {"finetune_epochs": epochs})
        )
        read = load_model(tmp_path / "out")
        arrays = Examples(read.module, read.config, DATA).arrays(np.arange(len(DATA.train)), np.random.default_rng(0))
        with torch.no_grad():
            loss = read.network.loss(*(torch.from_numpy(np.array(array)) for array in arrays))  # type: ignore[operator]
        losses[epochs] = float(loss)
        assert (card["variant"]["steps"][0]["fine_tuning"] is None) == (epochs == 0)
    assert losses[20] < 0.9 * losses[0]


def test_a_student_beats_an_untrained_model(trained: dict[str, Path], tmp_path: Path) -> None:
    card = compress(trained["dlrm"], "distil", tmp_path / "out", DATA, **(QUICK | {"train_epochs": 6}))
    read = load_model(tmp_path / "out")
    torch.manual_seed(1)
    untrained = read.module.build(read.config).eval()
    untrained_auc = evaluate(read.module, read.config, untrained, DATA, replicates=0).values()["auc"]
    assert card["sizes"]["parameters"] < 0.6 * card["variant"]["source_sizes"]["parameters"]
    assert card["metrics"]["auc"] > untrained_auc + 0.05


@pytest.mark.parametrize(
    ("name", "method", "words"),
    [
        ("biased_mf", "structured", "no hidden layer"),
        ("biased_mf", "magnitude", "include-embeddings"),
        ("biased_mf", "int8-dynamic", "no linear layer"),
        ("biased_mf", "int8-legacy", "no linear or LSTM layer"),
        ("biased_mf", "low-rank", "no layer of biased_mf gets smaller"),
        ("dlrm", "hashed", "min-table-rows"),
    ],
)
def test_methods_that_do_not_apply_say_why(
    name: str, method: str, words: str, trained: dict[str, Path], tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=words):
        compress(trained[name], method, tmp_path / "out", DATA, min_table_rows=10_000)
    assert not (tmp_path / "out").exists()


def test_wrong_uses_are_refused(trained: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(InputError, match="needs the data"):
        compress(trained["dlrm"], "distil", tmp_path / "out")
    with pytest.raises(InputError, match="own folder"):
        compress(trained["dlrm"], "bf16", trained["dlrm"])
    compress(trained["dlrm"], "bf16", tmp_path / "out")
    with pytest.raises(InputError, match=r"bf16\+int8-dynamic"):
        compress(tmp_path / "out", "int8-dynamic", tmp_path / "more")
    with pytest.raises(InputError, match="give the folder of data"):
        compress(trained["dlrm"], "bf16", tmp_path / "other", synthetic_data(users=30, items=25, rows=600, seed=5))
    updated = tmp_path / "updated"
    shutil.copytree(trained["dlrm"], updated)
    card = json.loads((updated / CARD_FILE).read_text())
    card["training"]["updates"] = [{"interactions": 3}]
    (updated / CARD_FILE).write_text(json.dumps(card))
    with pytest.raises(InputError, match="was updated with interactions"):
        compress(updated, "bf16", tmp_path / "judged", synthetic_data(users=30, items=25, rows=600, seed=5))
    assert compress(updated, "bf16", tmp_path / "unjudged")["metrics"] == {}
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.tex").write_text("x")
    with pytest.raises(InputError, match="holds something else"):
        compress(trained["dlrm"], "bf16", tmp_path / "full")


def test_a_card_that_describes_no_variant_is_an_input_error(trained: dict[str, Path], tmp_path: Path) -> None:
    compress(trained["dlrm"], "low-rank", tmp_path / "out")
    path = tmp_path / "out" / "model.json"
    card = json.loads(path.read_text())
    for change in ({"steps": [{"method": "magic"}]}, {"steps": [{"method": "low-rank"}]}, {"coding": None}):
        path.write_text(json.dumps({**card, "variant": card["variant"] | change}))
        with pytest.raises(InputError):
            load_model(tmp_path / "out")
