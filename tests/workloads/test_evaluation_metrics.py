"""Each metric against its definition, pair by pair and item by item."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("torch")

from workloads.training.evaluation.bootstrap import interval_of_mean, interval_over_clusters
from workloads.training.evaluation.metrics import (
    RankSums,
    coverage,
    hits_of,
    intra_list_diversity,
    ndcg,
    recall,
    rmse,
)

ROWS = st.lists(
    st.tuples(st.integers(0, 4).map(lambda score: score / 4), st.booleans(), st.integers(0, 3)), min_size=0, max_size=30
)


@given(ROWS)
def test_auc_is_the_share_of_pairs_in_order(rows: list[tuple[float, bool, int]]) -> None:
    score, liked, weight = (np.array([row[place] for row in rows]) for place in range(3))
    won = total = 0.0
    for a, is_liked, wa in rows:
        for b, other_liked, wb in rows:
            if is_liked and not other_liked:
                total += wa * wb
                won += wa * wb * (1.0 if a > b else 0.5 if a == b else 0.0)
    found = RankSums(score, liked.astype(bool)).auc(weight.astype(float))
    assert math.isnan(found) if total == 0 else found == pytest.approx(won / total, abs=1e-12)


def test_auc_by_hand() -> None:
    liked = np.array([True, False, True, False])
    assert RankSums(np.array([4.0, 3.0, 2.0, 1.0]), liked).auc() == 0.75
    assert RankSums(np.zeros(4), liked).auc() == 0.5
    assert math.isnan(RankSums(np.zeros(2), np.array([True, True])).auc())


def test_weights_are_repetitions() -> None:
    score, liked, weight = np.array([1.0, 2.0, 3.0]), np.array([True, False, True]), np.array([2, 3, 1])
    repeated = np.repeat(np.arange(3), weight)
    assert RankSums(score, liked).auc(weight) == RankSums(score[repeated], liked[repeated]).auc()
    squared = np.array([1.0, 4.0, 9.0])
    assert rmse(squared, weight) == pytest.approx(rmse(squared[repeated]))
    assert rmse(squared) == pytest.approx(math.sqrt(14 / 3))


@given(st.data())
def test_lists_against_loops(data: st.DataObject) -> None:
    users, k, items = data.draw(st.integers(1, 4)), data.draw(st.integers(1, 5)), 9
    shown = np.array([data.draw(st.permutations(range(1, items)))[:k] for _ in range(users)])
    cut = [data.draw(st.integers(0, k)) for _ in range(users)]
    for user, kept in enumerate(cut):
        shown[user, kept:] = 0
    relevant = [data.draw(st.sets(st.integers(1, items - 1), min_size=1)) for _ in range(users)]
    pairs = [(user, item) for user, found in enumerate(relevant) for item in found]
    of_user, of_item = np.array([p[0] for p in pairs]), np.array([p[1] for p in pairs])
    hit = hits_of(shown, of_user, of_item)
    many = np.array([len(found) for found in relevant])
    for user in range(users):
        gain = sum(1 / math.log2(rank + 2) for rank, item in enumerate(shown[user]) if item in relevant[user])
        best = sum(1 / math.log2(rank + 2) for rank in range(min(k, many[user])))
        assert ndcg(hit, many)[user] == pytest.approx(gain / best)
        assert recall(hit, many)[user] == pytest.approx(len(set(shown[user]) & relevant[user]) / many[user])
    assert coverage(shown, 20) == len(set(shown.ravel()) - {0}) / 20


def test_ndcg_by_hand() -> None:
    hit = np.array([[False, True, False], [True, True, True]])
    assert ndcg(hit, np.array([1, 7])).tolist() == pytest.approx([1 / math.log2(3), 1.0])
    assert recall(hit, np.array([1, 7])).tolist() == pytest.approx([1.0, 3 / 7])


@given(st.lists(st.lists(st.booleans(), min_size=3, max_size=3), min_size=2, max_size=6), st.data())
def test_diversity_is_one_minus_the_mean_cosine(rows: list[list[bool]], data: st.DataObject) -> None:
    tags = np.array([[True] * 3, *rows])
    length = data.draw(st.integers(1, len(rows)))
    shown = np.array([[*data.draw(st.permutations(range(1, len(rows) + 1)))[:length], 0]])
    listed = [tags[item].astype(float) for item in shown[0] if item and tags[item].any()]
    cosines = [
        float(a @ b / math.sqrt((a @ a) * (b @ b))) for place, a in enumerate(listed) for b in listed[place + 1 :]
    ]
    found = intra_list_diversity(shown, tags)[0]
    assert math.isnan(found) if not cosines else found == pytest.approx(1 - np.mean(cosines), abs=1e-12)


def test_intervals_hold_the_truth_as_often_as_they_say() -> None:
    """Means of 60 users, whose rows are alike: 95 % of intervals over users hold 0, those over rows would not."""
    generator = np.random.default_rng(4)
    held = 0
    for repeat in range(200):
        taste = generator.normal(size=60)
        cluster = np.repeat(np.arange(60), 10)
        values = taste[cluster] + 0.1 * generator.normal(size=600)

        def mean(weight: np.ndarray | None, values: np.ndarray = values) -> float:
            return float(np.average(values, weights=weight))

        found = interval_over_clusters(mean, cluster, seed=repeat, replicates=200)
        assert found.value == pytest.approx(values.mean())
        held += found.low <= 0 <= found.high
    assert 0.88 <= held / 200 <= 0.99


def test_interval_of_a_mean() -> None:
    values = np.random.default_rng(0).normal(3.0, 2.0, size=400)
    found = interval_of_mean(values, seed=1)
    assert found == interval_of_mean(values, seed=1)
    half = 1.96 * values.std() / 20
    assert found.high - found.value == pytest.approx(half, rel=0.15)
    assert found.value - found.low == pytest.approx(half, rel=0.15)
