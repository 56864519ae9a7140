"""Full rankings against a slow, obvious ranking; counts; scorers; baselines."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from tests.workloads.zoo import SMALL, made_up, small  # noqa: E402
from workloads.errors import InputError  # noqa: E402
from workloads.interactions import PreparedData, Rows, synthetic_data  # noqa: E402
from workloads.models import MODEL_NAMES, model_module  # noqa: E402
from workloads.training import baselines, evaluate  # noqa: E402
from workloads.training.baseline_models import BASELINES, fit_biases  # noqa: E402
from workloads.training.evaluation import NetworkScorer, judge  # noqa: E402
from workloads.training.evaluation.ranking import rank_users  # noqa: E402


@dataclass
class Fixed:
    """Scores as given, ``score[user, item]``."""

    score: np.ndarray
    predicts_rating: bool = False
    ranks: bool = True

    def row_scores(self, rows: Rows) -> np.ndarray:
        return self.score[rows.user, rows.item]

    def item_scores(self, users: np.ndarray, known: str) -> torch.Tensor:
        return torch.from_numpy(self.score[users].astype(np.float32))


@pytest.fixture(autouse=True)
def _one_thread() -> object:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def data() -> PreparedData:
    """With users and items that occur in the test part alone."""
    made = synthetic_data(users=30, items=25, rows=400, seed=3)
    known = (made.train.user > 4) & (made.train.item > 3)
    return replace(made, train=made.train.take(known))


@pytest.mark.parametrize("part", ["validation", "test"])
def test_rankings_against_the_obvious_way(data: PreparedData, part: str) -> None:
    score = np.random.default_rng(0).random((data.users, data.items))
    found = rank_users(Fixed(score), data, part, 5)
    catalogue = set(data.train.item.tolist())
    before = [data.train] if part == "validation" else [data.train, data.validation]
    seen = {(u, i) for table in before for u, i in zip(table.user.tolist(), table.item.tolist())}
    table = getattr(data, part)
    likes = [(u, i) for u, i, r in zip(table.user.tolist(), table.item.tolist(), table.rating) if r >= data.like_from]
    trained = set(data.train.user.tolist())
    wanted: dict[int, set[int]] = {}
    for u, i in likes:
        if u in trained and i in catalogue and (u, i) not in seen:
            wanted.setdefault(u, set()).add(i)
    users = sorted(wanted)
    assert found.counts["users_ranked"] == len(users) > 5
    for row, u in enumerate(users):
        allowed = [i for i in catalogue if (u, i) not in seen]
        best = sorted(allowed, key=lambda i: -np.float32(score[u, i]))[:5]
        assert found.shown[row].tolist() == best + [0] * (5 - len(best))
        assert set(found.relevant_item[found.relevant_user == row].tolist()) == wanted[u]
    counts, everyone = found.counts, set(table.user.tolist())
    assert counts["users_unknown"] == len(everyone - trained) > 0
    assert counts["users_in_part"] == sum(
        counts[name] for name in ("users_unknown", "users_without_relevant", "users_ranked")
    )
    outside = [(u, i) for u, i in likes if u in trained and i not in catalogue]
    assert counts["likes_outside_catalogue"] == len(outside) > 0


def test_a_perfect_scorer_is_perfect(data: PreparedData) -> None:
    score = np.zeros((data.users, data.items))
    score[data.test.user, data.test.item] = data.scaled(data.test.rating)
    found = judge(replace_rating(Fixed(score)), data, "test", (3, 10)).values()
    assert found["auc"] == found["ndcg3"] == found["ndcg10"] == 1.0
    assert found["rmse"] == pytest.approx(0.0, abs=1e-6)
    assert found["recall3"] <= found["recall10"] <= 1.0


def replace_rating(scorer: Fixed) -> Fixed:
    return replace(scorer, predicts_rating=True)


def test_a_sample_of_users_is_a_part_of_all(data: PreparedData) -> None:
    scorer = Fixed(np.random.default_rng(0).random((data.users, data.items)))
    sampled = rank_users(scorer, data, "test", 5, ranking_users=4, seed=1)
    every = rank_users(scorer, data, "test", 5)
    assert len(sampled.shown) == sampled.counts["users_ranked"] == 4
    assert {tuple(row) for row in sampled.shown} <= {tuple(row) for row in every.shown}
    assert sampled.catalogue == every.catalogue


def test_an_item_liked_twice_is_to_be_found_once(data: PreparedData) -> None:
    """In logs that keep repeats."""
    scorer = Fixed(np.random.default_rng(0).random((data.users, data.items)))
    twice = replace(data, test=data.test.take(np.repeat(np.arange(len(data.test)), 2)))
    once, found = (judge(scorer, each, "test", (3,), replicates=0).values() for each in (data, twice))
    assert found == pytest.approx(once)
    assert once["recall3"] > 0


def test_baselines_are_ranked_for_the_sample_that_models_are(data: PreparedData) -> None:
    found = baselines(data, ranking_users=4)
    assert {m.counts["users_ranked"] for m in found.values() if m.ranking} == {4}


def test_scores_that_are_no_numbers_are_told(data: PreparedData) -> None:
    with pytest.raises(InputError, match="not finite"):
        judge(Fixed(np.full((data.users, data.items), np.nan)), data)


def test_a_part_without_rows_is_told(data: PreparedData) -> None:
    with pytest.raises(InputError, match="validation part is empty"):
        judge(Fixed(np.zeros((data.users, data.items))), data.with_validation_in_training(), "validation")


@pytest.mark.parametrize("name", MODEL_NAMES)
def test_networks_are_scored_as_they_answer(name: str) -> None:
    """All items at once, pair by pair, and row by row: the same scores where the model has them."""
    module, config, network = small(name)
    made = made_up()
    network.eval()
    scorer = NetworkScorer(module, config, network, made)
    users, items = np.array([3, 9, 4], np.int32), np.unique(made.train.item)
    table = scorer.item_scores(users, "train").numpy()
    assert table.shape == (3, made.items)
    pairs = Rows.of_pairs(made, np.repeat(users, len(items)), np.tile(items, 3), "train")
    assert scorer.row_scores(pairs).reshape(3, -1) == pytest.approx(table[:, items], abs=1e-5)


def test_items_never_trained_get_the_mean_of_a_softmax(data: PreparedData) -> None:
    module = model_module("sasrec")
    config = module.config_for(data, **SMALL["sasrec"])
    scorer = NetworkScorer(module, config, module.build(config), data)
    known = np.unique(data.train.item)
    unknown = np.setdiff1d(np.arange(1, data.items), known)[0]
    rows = Rows.of_pairs(data, np.array([7]), np.array([unknown]), "train")
    every = scorer.item_scores(np.array([7]), "train")[0, known]
    assert scorer.row_scores(rows)[0] == pytest.approx(float(every.double().mean()), abs=1e-6)


def test_evaluation_repeats_itself_and_leaves_weights_alone() -> None:
    module, config, network = small("two_tower")
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    first, second = (evaluate(module, config, network, made_up(), ks=(5,)).as_dict() for _ in range(2))
    assert first == second
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())
    low, high = first["intervals"]["ndcg5"]
    assert low <= first["ndcg5"] <= high


# --- baselines ----------------------------------------------------------------------------------------


def test_biases_solve_the_ridge_regression(data: PreparedData) -> None:
    table, users, items = data.train, data.users, data.items
    found = fit_biases(data, 2.0, 3.0, rounds=400)
    rows = np.arange(len(table))
    design = np.zeros((len(table), users + items))
    design[rows, table.user] = design[rows, users + table.item] = 1.0
    strength = np.diag(np.concatenate((np.full(users, 2.0), np.full(items, 3.0))))
    target = data.scaled(table.rating).astype(float)
    solved = np.linalg.solve(design.T @ design + strength, design.T @ (target - target.mean()))
    assert found.user == pytest.approx(solved[:users], abs=1e-6)
    assert found.item == pytest.approx(solved[users:], abs=1e-6)


def test_baselines_by_their_definitions(data: PreparedData) -> None:
    found = baselines(data)
    assert tuple(found) == BASELINES
    known = data.with_validation_in_training().train
    error = data.test.rating - known.rating.mean()
    assert found["global mean"].values() == {
        "auc": 0.5,
        "rmse": pytest.approx(float(np.sqrt((error.astype(float) ** 2).mean())), rel=1e-5),
    }
    assert "rmse" not in found["popularity"].values()
    count = np.bincount(known.item, minlength=data.items).astype(float)
    assert (
        found["popularity"].values()
        == judge(Fixed(np.tile(count, (data.users, 1))), data.with_validation_in_training()).values()
    )


def test_biases_beat_means_where_there_is_something_to_learn() -> None:
    found = baselines(synthetic_data(users=80, items=50, rows=4000, seed=1))
    rmse = {name: metrics.values().get("rmse") for name, metrics in found.items()}
    assert rmse["user and item bias"] < rmse["item mean"] < rmse["global mean"]
