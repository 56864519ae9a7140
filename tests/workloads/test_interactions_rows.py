"""Rows against a slow reference, and that none sees itself or anything later."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.workloads import slow_rows as slow
from workloads.interactions import Rows, dense_features, dense_names, synthetic_data
from workloads.interactions.types import InteractionTable, PreparedData

USERS, ITEMS = 5, 6
LENGTH = 3

# Few distinct times, so that many rows tie.
ROW = st.tuples(
    st.integers(1, USERS - 1),
    st.integers(1, ITEMS - 1),
    st.integers(1, 5),
    st.integers(0, 12).map(lambda t: t * 40_000),
)
PARTS = st.tuples(
    st.lists(ROW, min_size=1, max_size=18), st.lists(ROW, max_size=8), st.lists(ROW, min_size=1, max_size=5)
)


def check(rows: Rows, data: PreparedData, known: list[list[slow.Event]]) -> None:
    """Everything that `rows` look up, against the reference; ``known[row]``."""
    columns = (rows.history(LENGTH), rows.history_targets(LENGTH), rows.audience(LENGTH), rows.audience_targets(LENGTH))
    found_dense = rows.dense()
    assert found_dense.shape == (len(rows), dense_features(data))
    for row, events in enumerate(known):
        user, item = int(rows.user[row]), int(rows.item[row])
        mine, its = slow.history(data, events, user), slow.audience(data, events, item)
        wanted: tuple[list, ...] = (
            [e.item for e in mine],
            [e.target for e in mine],
            [e.user for e in its],
            [e.target for e in its],
        )
        for column, values in zip(columns, wanted):
            np.testing.assert_allclose(column[row], np.array(slow.padded(values, LENGTH)), atol=1e-6)
        np.testing.assert_allclose(
            found_dense[row], slow.dense(data, events, user, item, int(rows.time_s[row])), atol=2e-5
        )


@settings(max_examples=60, deadline=None)
@given(PARTS, st.integers(0, 3))
def test_rows_of_each_part(parts: tuple[list, list, list], seed: int) -> None:
    data = slow.small_data(parts, USERS, ITEMS, seed)
    for part in ("train", "validation", "test"):
        count = len(data.part(part))
        index = np.random.default_rng(seed).permutation(count)
        rows = Rows.of_interactions(data, part, index)
        check(rows, data, [slow.known_events(data, part, int(place)) for place in index])
        np.testing.assert_array_equal(rows.target, (data.part(part).rating[index] - 1) / 4)
        np.testing.assert_array_equal(rows.liked, data.part(part).rating[index] >= 4)


@settings(max_examples=30, deadline=None)
@given(PARTS, st.integers(0, 3))
def test_other_items_are_seen_from_the_same_moment(parts: tuple[list, list, list], seed: int) -> None:
    data = slow.small_data(parts, USERS, ITEMS, seed)
    draw = np.random.default_rng(seed)
    index = np.arange(len(data.train))
    rows = Rows.of_interactions(data, "train", index).with_items(draw.integers(0, ITEMS, len(index)))
    check(rows, data, [slow.known_events(data, "train", place) for place in index.tolist()])
    assert np.isnan(rows.target).all()
    assert not rows.liked.any()


@settings(max_examples=30, deadline=None)
@given(PARTS, st.sampled_from(["train", "all"]))
def test_users_and_pairs_stand_at_the_end_of_what_is_known(parts: tuple[list, list, list], known: str) -> None:
    data = slow.small_data(parts, USERS, ITEMS)
    events = slow.known_events(data, "validation" if known == "train" else "test", 0)
    users, items = np.repeat(np.arange(USERS), ITEMS), np.tile(np.arange(ITEMS), USERS)
    rows = Rows.of_pairs(data, users, items, known)  # type: ignore[arg-type]
    assert set(rows.time_s) == {events[-1].time_s}
    check(rows, data, [events] * len(rows))
    alone = Rows.of_users(data, np.arange(USERS), known)  # type: ignore[arg-type]
    check(alone, data, [events] * USERS)
    assert not alone.item.any()


@settings(max_examples=60, deadline=None)
@given(PARTS, st.data())
def test_no_row_sees_itself_or_anything_later(parts: tuple[list, list, list], draw: st.DataObject) -> None:
    """Whatever ratings it and all later rows get, and whoever takes what later, its inputs stay the same."""
    data = slow.small_data(parts, USERS, ITEMS)
    place = draw.draw(st.integers(0, len(data.train) - 1))
    noise = np.random.default_rng(draw.draw(st.integers(0, 99)))
    later = np.arange(len(data.train)) > place
    train = data.train
    shuffled = np.flatnonzero(later)
    noise.shuffle(shuffled)
    user, item, rating = train.user.copy(), train.item.copy(), train.rating.copy()
    rating[place:] = noise.integers(1, 6, len(rating) - place)
    user[later], item[later] = train.user[shuffled], train.item[noise.permutation(np.flatnonzero(later))]
    changed = replace(
        data,
        train=InteractionTable(user, item, rating, train.time_s),
        validation=slow.table_of(draw.draw(st.lists(ROW, max_size=3))),
        test=data.train,
    )
    before, after = (Rows.of_interactions(each, "train", np.array([place])) for each in (data, changed))
    for one, other in zip(inputs(before), inputs(after)):
        np.testing.assert_array_equal(one, other)


def test_rows_of_validation_do_not_know_one_another_nor_those_of_test() -> None:
    data = synthetic_data()
    half = data.validation.take(np.arange(len(data.validation) // 2))
    shorter = replace(data, validation=half, test=half)
    index = np.arange(len(half))
    for one, other in zip(*(inputs(Rows.of_interactions(each, "validation", index)) for each in (data, shorter))):
        np.testing.assert_array_equal(one, other)
    harder = replace(data, test=replace(data.test, rating=6 - data.test.rating))
    index = np.arange(len(data.test))
    for one, other in zip(*(inputs(Rows.of_interactions(each, "test", index)) for each in (data, harder))):
        np.testing.assert_array_equal(one, other)


def inputs(rows: Rows) -> list[np.ndarray]:
    return [
        rows.history(4),
        rows.history_targets(4),
        rows.audience(4),
        rows.audience_targets(4),
        rows.dense(),
        rows.user_categories(),
        rows.item_categories(),
        rows.item_tags(),
    ]


def test_validation_in_training_knows_what_test_rows_knew() -> None:
    data = synthetic_data()
    final = data.with_validation_in_training()
    assert len(final.train) == len(data.train) + len(data.validation)
    assert not len(final.validation)
    assert (np.diff(final.train.time_s) >= 0).all()
    index = np.arange(len(data.test))
    ours, theirs = Rows.of_interactions(data, "test", index), Rows.of_interactions(final, "test", index)
    np.testing.assert_array_equal(ours.dense(), theirs.dense())
    # Histories may differ only by items that training alone does not have.
    only_new = set(data.validation.item.tolist()) - set(data.train.item.tolist())
    assert not only_new & set(ours.history(10).ravel().tolist())


def test_untrained_ids_are_zero_for_tables_of_weights_and_absent_from_histories() -> None:
    train = [(1, 1, 5, 0), (2, 2, 3, 10), (1, 2, 4, 20)]
    data = slow.small_data((train, [(1, 3, 4, 30), (3, 1, 2, 31)], [(3, 3, 5, 40), (1, 1, 5, 41)]))
    rows = Rows.of_interactions(data, "test", [0, 1])
    assert rows.trained_user().tolist() == [0, 1]
    assert rows.trained_item().tolist() == [0, 1]
    assert rows.user.tolist() == [3, 1]
    assert rows.history(3).tolist() == [[0, 0, 1], [0, 1, 2]]
    assert rows.audience(2).tolist() == [[0, 1], [0, 1]]
    final = Rows.of_interactions(data.with_validation_in_training(), "test", [0, 1])
    assert final.trained_user().tolist() == [3, 1]
    assert final.history(3).tolist() == [[0, 0, 1], [1, 2, 3]]
    assert final.audience(2).tolist() == [[0, 1], [1, 3]]


def test_a_selection_of_rows_is_what_its_rows_are() -> None:
    data = synthetic_data()
    rows = Rows.of_interactions(data, "train", np.arange(200))
    chosen = np.array([5, 199, 5, 0])
    for one, all_rows in zip(inputs(rows[chosen]), inputs(rows)):
        np.testing.assert_array_equal(one, all_rows[chosen])
    assert len(rows[10:20]) == 10


@pytest.mark.parametrize("count", [0, 1])
def test_few_rows(count: int) -> None:
    data = synthetic_data()
    rows = Rows.of_interactions(data, "train", np.arange(count))
    assert rows.history(4).shape == (count, 4)
    assert rows.dense().shape == (count, dense_features(data))
    assert Rows.of_users(data, np.arange(count), "all").dense().shape == (count, len(dense_names(data)))


def test_types() -> None:
    data = synthetic_data()
    rows = Rows.of_interactions(data, "test", np.arange(5))
    assert rows.user.dtype == rows.item.dtype == rows.history(2).dtype == rows.audience(2).dtype == np.int32
    assert rows.trained_user().dtype == rows.with_items([1, 2, 3, 4, 5]).item.dtype == np.int32
    assert rows.target.dtype == rows.dense().dtype == rows.history_targets(2).dtype == np.float32
    assert rows.item_tags().dtype == bool


def test_data_that_tell_nothing_of_users_and_items() -> None:
    data = synthetic_data()
    nothing = {
        name: getattr(data, name)[:, :0]
        for name in ("user_dense", "item_dense", "user_categories", "item_categories", "item_tags")
    }
    bare = replace(data, **nothing, user_category_rows=(), item_category_rows=(), tag_names=())
    rows, full = (Rows.of_interactions(each, "train", np.arange(300)) for each in (bare, data))
    taste = dense_names(bare).index("user_taste")
    found, wanted = rows.dense(), full.dense()[:, : dense_features(bare)]
    assert not found[:, taste].any()
    np.testing.assert_array_equal(np.delete(found, taste, 1), np.delete(wanted, taste, 1))
    assert rows.item_tags().shape == (300, 0)


def test_an_order_by_time_merges_validation_into_a_split_by_user() -> None:
    """The last of one user may come before the first of another."""
    data = slow.small_data(([(1, 1, 5, 0), (2, 1, 4, 100)], [(1, 2, 3, 10), (2, 2, 2, 110)], [(1, 3, 1, 20)]))
    rows = Rows.of_pairs(data, [1, 2], [2, 2], "all")
    assert rows.audience(3).tolist() == [[0, 1, 2], [0, 1, 2]]
    final = data.with_validation_in_training()
    assert final.train.time_s.tolist() == [0, 10, 100, 110]
    assert Rows.of_pairs(final, [1, 2], [2, 2], "train").audience(3).tolist() == [[0, 1, 2], [0, 1, 2]]
    assert Rows.of_interactions(final, "train", [2]).audience(2).tolist() == [[0, 1]]
