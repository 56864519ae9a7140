"""Negatives are what the user does not have, drawn as often as they should be; synthetic data can be learned."""

import numpy as np
import pytest
from scipy import stats

from tests.workloads.slow_rows import small_data
from workloads.errors import InputError
from workloads.interactions import Rows, dense_names, sample_negatives, synthetic_data


@pytest.mark.parametrize("power", [0.0, 0.75])
def test_never_an_item_that_the_user_has(power: float) -> None:
    data = synthetic_data()
    drawn = sample_negatives(data.train.user, data, np.random.default_rng(1), power)
    taken = set(zip(data.train.user.tolist(), data.train.item.tolist()))
    assert not taken & set(zip(data.train.user.tolist(), drawn.tolist()))
    assert drawn.dtype == np.int32
    assert set(drawn.tolist()) <= set(data.train.item.tolist())


@pytest.mark.parametrize("power", [0.0, 1.0])
def test_frequencies(power: float) -> None:
    """User 4 has item 5 alone; the others have 1, 2, 3, 4 interactions."""
    train = [(user, item, 3, 0) for item in (1, 2, 3, 4) for user in range(1, 4) for _ in range(item)]
    data = small_data(([*train, (4, 5, 3, 0)], [], []))
    drawn = sample_negatives(np.full(20_000, 4), data, np.random.default_rng(0), power)
    weight = np.array([1, 2, 3, 4]) ** power
    counts = np.bincount(drawn, minlength=6)
    assert counts[5] == counts[0] == 0
    assert stats.chisquare(counts[1:5], 20_000 * weight / weight.sum()).pvalue > 1e-3


def test_users_who_have_nearly_and_quite_everything() -> None:
    """The one item left is one in a thousand, so that redrawing alone would not find it."""
    items = 1000
    everything = [(1, item, 3, 0) for item in range(1, items)]
    data = small_data(([*everything[:-1], (2, items - 1, 3, 0)], [], []), items=items)
    assert set(sample_negatives(np.full(50, 1), data, np.random.default_rng(0))) == {items - 1}
    data = small_data((everything, [], []), items=items)
    with pytest.raises(InputError, match="user 1: has every item"):
        sample_negatives(np.array([1]), data, np.random.default_rng(0))


def test_the_same_generator_draws_the_same() -> None:
    data = synthetic_data()
    one, two = (sample_negatives(data.train.user, data, np.random.default_rng(5)) for _ in range(2))
    np.testing.assert_array_equal(one, two)


def test_the_running_bias_predicts_ratings_of_synthetic_data() -> None:
    """Users and items have biases, so what was known before a row says something about it."""
    data = synthetic_data(200, 150, 10_000)
    rows = Rows.of_interactions(data, "test", np.arange(len(data.test)))
    expected = rows.dense()[:, dense_names(data).index("expected")] / 5 + 0.5
    error = np.sqrt(np.mean((expected - rows.target) ** 2))
    assert error < 0.95 * rows.target.std()
    assert np.corrcoef(expected, rows.target)[0, 1] > 0.3
