"""Training: order, schedule, early stopping, refit, and that a run taken up again equals one that was never stopped."""

from __future__ import annotations

import math
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from tests.workloads.zoo import SMALL, made_up  # noqa: E402
from workloads.errors import InputError  # noqa: E402
from workloads.interactions import synthetic_data  # noqa: E402
from workloads.model_folder import load_model, read_card, save_model  # noqa: E402
from workloads.models import MODEL_NAMES, model_module  # noqa: E402
from workloads.training import FitResult, TrainSettings, evaluate, fit, recipe_for  # noqa: E402
from workloads.training.batches import BatchPlan, ahead  # noqa: E402
from workloads.training.optimisers import make_optimizer, make_schedule, rate_share  # noqa: E402


@pytest.fixture(autouse=True)
def _one_thread() -> object:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def trained(name: str, settings: TrainSettings, **options: Any) -> FitResult:
    module = model_module(name)
    return fit(module, module.config_for(made_up(), **SMALL[name]), made_up(), settings, **options)


def weights(result: FitResult) -> dict[str, torch.Tensor]:
    return result.network.state_dict()


def assert_equal(first: FitResult, second: FitResult) -> None:
    """Bit for bit, histories too (but for the clock)."""
    mine, theirs = weights(first), weights(second)
    assert mine.keys() == theirs.keys()
    for name, tensor in mine.items():
        assert torch.equal(tensor, theirs[name]), name
    clockless = [[{k: v for k, v in e.items() if k != "seconds"} for e in r.history] for r in (first, second)]
    assert clockless[0] == clockless[1]
    assert (first.epochs, first.best_value, first.refit) == (second.epochs, second.best_value, second.refit)


class InterruptAfter:
    """Sends this process SIGINT, as Ctrl-C does, after a step."""

    def __init__(self, step: int) -> None:
        self.step, self.made = step, 0

    def __call__(self, network: torch.nn.Module) -> None:
        self.made += 1
        if self.made == self.step:
            os.kill(os.getpid(), signal.SIGINT)


class StepCount:
    """Counts steps."""

    made = 0

    def __call__(self, network: torch.nn.Module) -> None:
        self.made += 1


BASE = TrainSettings(batch_size=128, epochs=3, patience=2, metric="rmse", lr=5e-3, warmup_steps=4, clip_norm=1.0)
STEPS = math.ceil(len(made_up().train) / BASE.batch_size)


@pytest.mark.parametrize("optimizer", ["adamw", "adagrad", "adam", "sgd"])
@pytest.mark.parametrize("at", [3, STEPS, 2 * STEPS - 1, 3 * STEPS + 5])
def test_a_resumed_run_equals_an_uninterrupted_one(optimizer: str, at: int, tmp_path: Path) -> None:
    """DLRM with dropout, stopped within an epoch, at its end, and in the refit."""
    settings = BASE.with_(optimizer=optimizer, momentum=0.9, weight_decay=1e-3, embedding_decay=1e-4)
    count = StepCount()
    whole = trained("dlrm", settings, after_step=count)
    assert {e["phase"] for e in whole.history} == {"search", "refit"}
    with pytest.raises(KeyboardInterrupt):
        trained("dlrm", settings, folder=tmp_path, after_step=InterruptAfter(at))
    assert len(list(tmp_path.glob("checkpoint-*"))) == 1
    rest = StepCount()
    assert_equal(whole, trained("dlrm", settings, folder=tmp_path, resume=True, after_step=rest))
    assert rest.made == count.made - at > 0
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["neumf", "autoencoder", "bert4rec", "two_tower"])
def test_negatives_masks_and_noise_are_resumed_too(name: str, tmp_path: Path) -> None:
    settings = TrainSettings(batch_size=32, epochs=2, metric="ndcg10", checkpoint_every=2, refit=False)
    whole = trained(name, settings)
    with pytest.raises(KeyboardInterrupt):
        trained(name, settings, folder=tmp_path, after_step=InterruptAfter(1))
    with pytest.raises(KeyboardInterrupt):
        trained(name, settings, folder=tmp_path, resume=True, after_step=InterruptAfter(2))
    assert_equal(whole, trained(name, settings, folder=tmp_path, resume=True))


def test_a_killed_run_goes_on_from_its_last_checkpoint(tmp_path: Path) -> None:
    """An exception at any place leaves the last whole checkpoint."""
    settings = BASE.with_(checkpoint_every=4)

    def fail(network: torch.nn.Module) -> None:
        fail.made = getattr(fail, "made", 0) + 1  # type: ignore[attr-defined]
        if fail.made == STEPS + 3:  # type: ignore[attr-defined]
            raise OSError("power cut")

    with pytest.raises(OSError, match="power cut"):
        trained("biased_mf", settings, folder=tmp_path, after_step=fail)
    assert_equal(trained("biased_mf", settings), trained("biased_mf", settings, folder=tmp_path, resume=True))


def test_a_checkpoint_of_another_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        trained("biased_mf", BASE, folder=tmp_path, after_step=InterruptAfter(2))
    with pytest.raises(InputError, match=r"another settings: lr 0\.005 there, 0\.5 here"):
        trained("biased_mf", BASE.with_(lr=0.5), folder=tmp_path, resume=True)
    with pytest.raises(InputError, match="another model"):
        trained("neumf", BASE.with_(metric="auc"), folder=tmp_path, resume=True)


def test_the_callers_random_state_is_left_alone() -> None:
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    first = trained("dlrm", BASE.with_(epochs=1))
    assert torch.equal(before, torch.random.get_rng_state())
    torch.manual_seed(99)
    assert_equal(first, trained("dlrm", BASE.with_(epochs=1)))


# --- what an epoch consists of ------------------------------------------------------------------------


def test_every_example_comes_once_an_epoch() -> None:
    plan = BatchPlan(examples=103, batch_size=20, shards=4, seed=1)
    assert plan.steps == 5
    assert BatchPlan(examples=104, batch_size=20, shards=4, seed=1).steps == 6
    first, second = plan.order(0), plan.order(1)
    assert sorted(first) == sorted(second) == list(range(103))
    assert not np.array_equal(first, second)
    assert np.array_equal(first, plan.order(0))


def test_micro_batches_cut_a_batch_and_do_not_depend_on_who_takes_them() -> None:
    class Echo:
        def arrays(self, index: np.ndarray, generator: np.random.Generator) -> tuple[np.ndarray, ...]:
            return index, generator.random(len(index))

    plan = BatchPlan(examples=50, batch_size=22, shards=4, seed=1)
    order: Any = plan.order(2)
    examples: Any = Echo()
    whole = plan.micro_batches(examples, order, 2, 1, range(4))
    assert np.concatenate([m.arrays[0] for m in whole]).tolist() == order[22:44].tolist()
    assert sum(m.weight for m in whole) == pytest.approx(1.0)
    assert [m.weight * 22 for m in whole] == pytest.approx([6, 6, 5, 5])
    later = plan.micro_batches(examples, order, 2, 1, range(2, 4))
    assert np.array_equal(later[0].arrays[1], whole[2].arrays[1])
    assert later[1].torch_seed == whole[3].torch_seed
    assert len({m.torch_seed for m in whole}) == 4


def test_ahead_changes_nothing() -> None:
    assert list(ahead(iter(range(7)))) == list(range(7))

    def broken() -> Any:
        yield 1
        raise ValueError("no more")

    with pytest.raises(ValueError, match="no more"):
        list(ahead(broken()))


# --- optimiser and schedule ---------------------------------------------------------------------------


@pytest.mark.parametrize(("decay", "half"), [("cosine", 0.5), ("linear", 0.5), ("none", 1.0)])
def test_warm_up_and_decay(decay: str, half: float) -> None:
    share = rate_share(TrainSettings(warmup_steps=10, decay=decay), steps=110)
    assert [share(step) for step in (0, 4, 9)] == pytest.approx([1 / 11, 5 / 11, 10 / 11])
    assert share(10) == 1.0
    assert share(60) == pytest.approx(half)
    assert share(110) == share(500) == pytest.approx(0.0 if decay != "none" else 1.0)
    shares = [share(step) for step in range(10, 110)]
    assert shares == sorted(shares, reverse=True)


def test_only_matrices_decay_unless_asked() -> None:
    module = model_module("sasrec")
    network = module.build(module.config_for(made_up(), **SMALL["sasrec"]))
    optimizer = make_optimizer(network, TrainSettings(weight_decay=0.1, embedding_lr=0.5, lr=0.1))
    name_of = {id(weight): name for name, weight in network.named_parameters()}
    decay = {name_of[id(w)]: g["weight_decay"] for g in optimizer.param_groups for w in g["params"]}
    rate = {name_of[id(w)]: g["lr"] for g in optimizer.param_groups for w in g["params"]}
    assert decay.keys() == dict(network.named_parameters()).keys()
    for name, value in decay.items():
        is_table = name in ("item_table.weight", "positions.weight")
        is_matrix = network.get_parameter(name).ndim == 2 and not is_table
        assert value == (0.1 if is_matrix else 0.0), name
        assert rate[name] == (0.5 if is_table else 0.1), name


def test_the_schedule_multiplies_the_rate() -> None:
    layer = torch.nn.Linear(2, 1)
    settings = TrainSettings(optimizer="sgd", lr=0.4, warmup_steps=1, decay="linear")
    optimizer = make_optimizer(layer, settings)
    schedule = make_schedule(optimizer, settings, 5)
    rates = []
    for _ in range(5):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    assert rates == pytest.approx([0.2, 0.4, 0.3, 0.2, 0.1])


# --- when to stop -------------------------------------------------------------------------------------


def test_early_stopping_keeps_the_best() -> None:
    settings = BASE.with_(epochs=40, patience=2, lr=0.05, refit=False, decay="none")
    result = trained("biased_mf", settings)
    values = [entry["value"] for entry in result.history]
    assert len(values) < 40
    assert result.best_value == min(values) == values[result.epochs - 1]
    assert len(values) == result.epochs + 2
    found = evaluate(
        model_module("biased_mf"), result.config, result.network, made_up(), "validation", ks=(), replicates=0
    )
    assert found.values()["rmse"] == result.best_value


def test_refit_is_a_fresh_fit_of_that_many_epochs() -> None:
    settings = BASE.with_(epochs=6, patience=0)
    result = trained("dlrm", settings)
    phases = [entry["phase"] for entry in result.history]
    assert phases == ["search"] * 6 + ["refit"] * result.epochs
    assert len(result.data.validation) == 0
    module, joined = model_module("dlrm"), made_up().with_validation_in_training()
    config = module.config_for(made_up(), **SMALL["dlrm"])
    stopped: list[int] = []

    def stop(event: Any) -> None:
        stopped.append(event.epoch)

    alone = fit(module, config, joined, settings.with_(epochs=6), progress=stop)
    assert len(alone.history) == 6
    assert alone.best_value is None
    wanted = [entry["loss"] for entry in result.history if entry["phase"] == "refit"]
    assert [entry["loss"] for entry in alone.history][: result.epochs] == wanted


def test_training_goes_on_from_a_given_network() -> None:
    first = trained("biased_mf", BASE.with_(refit=False, epochs=2))
    before = {name: tensor.clone() for name, tensor in weights(first).items()}
    second = trained("biased_mf", BASE.with_(refit=False, epochs=1, lr=1e-9), network=first.network)
    assert second.network is first.network
    for name, tensor in weights(second).items():
        assert torch.allclose(tensor, before[name], atol=1e-6)


def test_another_loss_and_a_hook_after_each_step() -> None:
    def teacher(network: Any, *batch: torch.Tensor) -> torch.Tensor:
        return network.loss(*batch) * 0.0 + sum(weight.square().mean() for weight in network.parameters())

    def hold(network: Any) -> None:
        with torch.no_grad():
            network.user_table.weight[3] = 7.0

    settings = BASE.with_(epochs=1, refit=False, optimizer="sgd")
    result = trained("biased_mf", settings, loss=teacher, after_step=hold)
    assert torch.equal(result.network.get_parameter("user_table.weight")[3], torch.full((8,), 7.0))
    plain = trained("biased_mf", settings)
    assert result.history[0]["loss"] != plain.history[0]["loss"]


@pytest.mark.parametrize("name", MODEL_NAMES)
def test_every_recipe_trains_its_model(name: str) -> None:
    recipe = recipe_for(name)
    settings = recipe.settings.with_(epochs=1, batch_size=128)
    told: list[Any] = []
    module = model_module(name)
    config = module.config_for(made_up(), **(dict(recipe.config) | SMALL[name]))
    result = fit(module, config, made_up(), settings, progress=told.append)
    assert result.refit
    assert told[-1].phase == "refit"
    assert math.isfinite(result.best_value or math.nan)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"optimizer": "lion"}, "--optimizer: 'lion' is not known"),
        ({"lr": -1.0}, "--lr: -1.0 is no learning rate"),
        ({"batch_size": 0}, "--batch-size: 0 is below 1"),
        ({"batch_size": 2, "processes": 4}, "2 rows cannot be cut into 4 x 1 micro-batches"),
        ({"dropout": 1.0}, r"--dropout: 1.0 is not in \[0, 1\)"),
        ({"metric": "f1"}, "--metric: 'f1' is not known"),
        ({"epochs": 0}, "--epochs: 0 is below 1"),
    ],
)
def test_wrong_settings_are_told(change: dict[str, Any], told: str) -> None:
    with pytest.raises(InputError, match=told):
        TrainSettings(**change)


@pytest.mark.parametrize(
    ("name", "change", "told"),
    [
        ("sasrec", {"metric": "rmse"}, "scores are no ratings"),
        ("biased_mf", {"dropout": 0.5}, "BiasedMfConfig has none"),
        ("biased_mf", {"optimizer": "sgd", "lr": 1e30}, "the loss became"),
        pytest.param(
            "biased_mf",
            {"device": "cuda"},
            "no CUDA",
            marks=pytest.mark.skipif(torch.cuda.is_available(), reason="GPU"),
        ),
    ],
)
def test_what_cannot_be_trained_is_told(name: str, change: dict[str, Any], told: str) -> None:
    with pytest.raises(InputError, match=told):
        trained(name, BASE.with_(**change))


def test_too_few_examples_are_told() -> None:
    tiny = synthetic_data(users=5, items=4, rows=12, seed=0)
    module = model_module("biased_mf")
    settings = TrainSettings(batch_size=64, accumulate=40)
    with pytest.raises(InputError, match="examples to train on, 40 are needed"):
        fit(module, module.config_for(tiny), tiny, settings)


# --- model folders ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", MODEL_NAMES)
def test_model_folders_come_back_bit_for_bit(name: str, tmp_path: Path) -> None:
    module = model_module(name)
    config = module.config_for(made_up(), **SMALL[name])
    network = module.build(config)
    module.refresh(network, made_up(), config, "train")
    written = save_model(tmp_path, model=name, config=config, network=network, card={"metrics": {"auc": 0.5}})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model.json", "model.safetensors"]
    torch.manual_seed(3)
    state = torch.random.get_rng_state()
    saved = load_model(tmp_path)
    assert torch.equal(state, torch.random.get_rng_state())
    assert saved.config == config
    assert saved.card == written == read_card(tmp_path)
    assert written["sizes"]["parameters"] == config.parameter_count()
    theirs = saved.network.state_dict()
    for place, tensor in network.state_dict().items():
        assert torch.equal(tensor, theirs[place])
    assert not saved.network.training


def _damaged(folder: Path, how: str) -> None:
    card = folder / "model.json"
    damages: dict[str, Callable[[], object]] = {
        "no card": lambda: card.unlink(),
        "no weights": lambda: (folder / "model.safetensors").unlink(),
        "other weights": lambda: (folder / "model.safetensors").write_bytes(b"x"),
        "no json": lambda: card.write_text("{"),
        "more fields": lambda: card.write_text(card.read_text().replace('"date"', '"dated"')),
        "other sizes": lambda: card.write_text(card.read_text().replace('"dim": 8', '"dim": 9')),
        "unknown size": lambda: card.write_text(card.read_text().replace('"dim": 8', '"width": 8')),
        "unknown model": lambda: card.write_text(card.read_text().replace('"biased_mf"', '"biased_fm"')),
    }
    damages[how]()


@pytest.mark.parametrize(
    ("how", "told"),
    [
        ("no card", "is no model folder"),
        ("no weights", "has a card but no model.safetensors"),
        ("other weights", "is not the file that model.json was written for"),
        ("no json", "invalid json"),
        ("more fields", "date: is missing"),
        ("other sizes", "does not hold the weights that model.json describes"),
        ("unknown size", "has fields"),
        ("unknown model", "did you mean biased_mf"),
    ],
)
def test_damaged_folders_are_told(how: str, told: str, tmp_path: Path) -> None:
    module = model_module("biased_mf")
    config = module.config_for(made_up(), dim=8)
    save_model(tmp_path, model="biased_mf", config=config, network=module.build(config), card={})
    _damaged(tmp_path, how)
    with pytest.raises(InputError, match=told):
        load_model(tmp_path)


def test_a_card_takes_no_unknown_parts(tmp_path: Path) -> None:
    module = model_module("biased_mf")
    config = module.config_for(made_up())
    with pytest.raises(InputError, match="unknown parts"):
        save_model(tmp_path, model="biased_mf", config=config, network=module.build(config), card={"metric": {}})
