"""What every model promises to training, on made-up data."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from tests.workloads.zoo import SMALL, all_training_rows, arrays_to_tensors, made_up, outputs_of, small, train  # noqa: E402
from workloads.errors import InputError  # noqa: E402
from workloads.interactions.rows import Rows  # noqa: E402
from workloads.models import MODEL_NAMES, model_module  # noqa: E402

POINTWISE = ("biased_mf", "neumf", "dlrm", "bert_reranker")
BOTH = [(name, {}) for name in MODEL_NAMES] + [
    (name, {"objective": other})
    for name in POINTWISE
    for other in ("rating", "click")
    if model_module(name).config_for(made_up()).objective != other
]


@pytest.fixture(autouse=True)
def _one_thread() -> object:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def test_every_model_is_tried() -> None:
    assert set(SMALL) == set(MODEL_NAMES)


@pytest.mark.parametrize(("name", "overrides"), BOTH)
def test_counts_are_those_of_the_network(name: str, overrides: dict[str, str]) -> None:
    for sizes in (SMALL[name], {}):
        config = model_module(name).config_for(made_up(), **sizes, **overrides)
        with torch.device("meta"):
            network = model_module(name).build(config)
        held = [*network.parameters(), *(b for b in network.buffers() if b.is_floating_point())]
        assert sum(tensor.numel() for tensor in held) == config.parameter_count()
        tables = [m for m in network.modules() if isinstance(m, torch.nn.Embedding | torch.nn.EmbeddingBag)]
        assert sum(table.weight.numel() for table in tables) == config.embedding_count()


@pytest.mark.parametrize(("name", "overrides"), BOTH)
def test_gradients_reach_every_parameter(name: str, overrides: dict[str, str]) -> None:
    module, config, network = small(name, **overrides)
    batch = module.training_batch(all_training_rows(module), config, np.random.default_rng(0))
    network.loss(*arrays_to_tensors(batch)).backward()
    for place, parameter in network.named_parameters():
        assert parameter.grad is not None, place
        # A key's bias shifts all scores of a position alike, which a softmax does not see: zero but for rounding.
        if not place.endswith("key.bias"):
            assert parameter.grad.abs().max() > 0, place


@pytest.mark.parametrize(("name", "overrides"), BOTH)
def test_the_loss_falls(name: str, overrides: dict[str, str]) -> None:
    """On one batch that is given again and again; the autoencoder's codes are left free."""
    freed = {"divergence": 0.0} if name == "autoencoder" else {}
    module, config, network = small(name, **overrides, **freed)
    rows = all_training_rows(module)[:16]
    batch = arrays_to_tensors(module.training_batch(rows, config, np.random.default_rng(0)))
    optimiser = torch.optim.AdamW(network.parameters(), lr=1e-2)
    losses = []
    for _ in range(100 if name == "autoencoder" else 40):
        loss = network.loss(*batch)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert np.mean(losses[-5:]) < 0.9 * np.mean(losses[:5])


@pytest.mark.parametrize("name", MODEL_NAMES)
def test_the_same_seeds_give_the_same_weights(name: str) -> None:
    networks = []
    for _ in range(2):
        module, config, network = small(name)
        train(module, config, network, 3)
        networks.append(network)
    for (place, one), two in zip(networks[0].state_dict().items(), networks[1].state_dict().values()):
        assert torch.equal(one, two), place


@pytest.mark.parametrize("name", [name for name in MODEL_NAMES if "two_tower" not in name])
def test_a_loss_is_a_mean_over_rows(name: str) -> None:
    """Of two halves of a batch, as accumulation and data parallelism need; an in-batch softmax cannot have it."""
    module, config, network = small(name, **({"negatives": 0} if name == "neumf" else {}))
    network.eval()
    batch = module.training_batch(all_training_rows(module)[:40], config, np.random.default_rng(0))
    whole = network.loss(*arrays_to_tensors(batch)).item()
    halves = [
        network.loss(*arrays_to_tensors(tuple(array[part] for array in batch))).item()
        for part in (slice(0, 20), slice(20, 40))
    ]
    assert whole == pytest.approx(np.mean(halves), rel=1e-5)


@pytest.mark.parametrize("name", MODEL_NAMES)
def test_padding_rows_stay_zero(name: str) -> None:
    module, config, network = small(name)
    tables = [t for t in network.modules() if getattr(t, "padding_idx", None) == 0]
    train(module, config, network, 5)
    assert all(bool((table.weight[0] == 0).all()) for table in tables)
    assert len(tables) >= (0 if name == "bert_reranker" else 1)


@pytest.mark.parametrize("name", MODEL_NAMES)
def test_unknown_users_and_items_are_answered(name: str) -> None:
    module, config, network = small(name)
    train(module, config, network, 3)
    module.refresh(network, made_up(), config, "train")
    nobody, somebody = np.array([0, 0, 5]), np.array([0, 7, 7])
    rows = Rows.of_pairs(made_up(), nobody, somebody, "all") if module.UNIT == "items" else None
    found = outputs_of(module, config, network, rows or Rows.of_users(made_up(), nobody, "all"))
    assert bool(torch.isfinite(found).all())


@pytest.mark.parametrize("name", MODEL_NAMES)
def test_serving_inputs_look_like_examples(name: str) -> None:
    """Same arrays, same types, same shapes as `example_inputs`, and ids within their tables."""
    module, config, network = small(name)
    rows = Rows.of_interactions(made_up(), "test", np.arange(30))
    real = module.inputs(rows, config)
    examples = module.example_inputs(config, 30, np.random.default_rng(0))
    assert [(a.dtype, a.shape) for a in real] == [(a.dtype, a.shape) for a in examples]
    for arrays in (real, examples):
        found = network.eval()(*arrays_to_tensors(arrays))
        assert len(found[0] if isinstance(found, tuple) else found) == 30


@pytest.mark.parametrize("name", POINTWISE)
def test_ratings_come_as_shares_and_clicks_as_probabilities(name: str) -> None:
    for objective in ("rating", "click"):
        module, config, network = small(name, objective=objective)
        assert network.predicts_rating == (objective == "rating")
        train(module, config, network, 15)
        rows = Rows.of_interactions(made_up(), "test", np.arange(len(made_up().test)))
        found = outputs_of(module, config, network, rows)
        if module.UNIT == "items":
            assert found.min() >= 0
            assert found.max() <= 1
        elif objective == "rating":
            assert found[:, 1:].min() > -0.3
            assert found[:, 1:].max() < 1.3


@pytest.mark.parametrize("name", [n for n in MODEL_NAMES if n not in POINTWISE])
def test_models_of_the_next_item_predict_no_rating(name: str) -> None:
    assert small(name)[2].predicts_rating is False


@pytest.mark.parametrize("name", POINTWISE)
def test_an_untrained_model_answers_about_the_mean(name: str) -> None:
    """Of the target: the mean rating, or the share of likes among rows and their negatives."""
    for objective in ("rating", "click"):
        module, config, network = small(name, objective=objective)
        table = made_up().train
        expected = made_up().scaled(table.rating).mean() if objective == "rating" else np.mean(table.rating >= 4.0) / 5
        assert config.mean == pytest.approx(expected, abs=1e-6)
        rows = Rows.of_interactions(made_up(), "train", np.arange(200))
        found = outputs_of(module, config, network, rows)
        if module.UNIT == "requests":
            found = found[:, 1:] if objective == "rating" else torch.sigmoid(found[:, 1:])
        assert found.mean().item() == pytest.approx(expected, abs=0.002 if name == "biased_mf" else 0.02)


@pytest.mark.parametrize("name", ["biased_mf", "dlrm"])
def test_ratings_are_learnt(name: str) -> None:
    """Better than a constant on what comes later; the made-up data has something to find."""
    module, config, network = small(name)
    rows = Rows.of_interactions(made_up(), "test", np.arange(len(made_up().test)))
    train(module, config, network, 100, lr=1e-2 if name == "biased_mf" else 3e-3)
    found = outputs_of(module, config, network, rows)
    if module.UNIT == "requests":
        found = found[torch.arange(len(rows)), torch.from_numpy(rows.item).long()]
    error = np.sqrt(np.mean((found.numpy() - rows.target) ** 2))
    constant = np.sqrt(np.mean((made_up().scaled(made_up().train.rating).mean() - rows.target) ** 2))
    assert error < 0.93 * constant


@pytest.mark.parametrize("name", [n for n in MODEL_NAMES if n not in POINTWISE])
def test_what_users_take_ranks_above_chance(name: str) -> None:
    """Mean rank of test items among all items that the user has not had, as a share; one half is chance."""
    module, config, network = small(name)
    train(module, config, network, 250)
    data = made_up()
    module.refresh(network, data, config, "all")
    users = np.unique(data.test.user)
    scores = outputs_of(module, config, network, Rows.of_users(data, users, "all")).numpy()
    shares = []
    for place, user in enumerate(users):
        had = np.concatenate([p.item[p.user == user] for p in (data.train, data.validation)])
        free = np.setdiff1d(np.arange(1, data.items), had)
        for item in data.test.item[data.test.user == user]:
            shares.append(np.mean(scores[place, free] > scores[place, item]))
    assert np.mean(shares) < 0.46


@pytest.mark.parametrize("name", MODEL_NAMES)
def test_fields_are_set_by_name(name: str) -> None:
    module = model_module(name)
    field = next(f.name for f in dataclasses.fields(module.default_config()) if f.name in ("top_k", "dropout"))
    value = 7 if field == "top_k" else 0.25
    assert getattr(module.config_for(made_up(), **{field: value}), field) == value
    with pytest.raises(InputError, match=f"did you mean {field}"):
        module.config_for(made_up(), **{field + "x": 1})
    for wrong in ("many", True, -1, (1,), float("inf")):
        with pytest.raises(InputError, match=r"of another kind than|below 0 or not finite"):
            module.config_for(made_up(), **{field: wrong})
    if name == "dlrm":
        assert module.config_for(made_up(), top=[8, 4]).top == (8, 4)


@pytest.mark.parametrize("name", MODEL_NAMES)
def test_what_can_be_pruned_is_there(name: str) -> None:
    module, config, network = small(name)
    kinds = {"mlp": "Mlp", "encoder": "Encoder", "lstm": "LstmReader"}
    for part in module.PRUNABLE:
        assert type(network.get_submodule(part.path)).__name__ == kinds[part.kind]
        assert all(hasattr(config, field) for field in part.fields)
        if part.kind == "mlp":
            assert network.get_submodule(part.path).widths[1:-1] == getattr(config, part.fields[0])
