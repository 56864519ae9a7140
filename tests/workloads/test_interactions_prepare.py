"""Cleaning, dividing and describing logs: every row is accounted for, and training alone decides what is fitted."""

from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workloads.errors import InputError
from workloads.interactions.clean import CleanSettings, clean, keys_of
from workloads.interactions.features import static_features
from workloads.interactions.prepare import prepare_log, split_settings
from workloads.interactions.sources.raw import Entities, RawLog
from workloads.interactions.split import SplitSettings, part_of_rows

START_S = 1_700_000_000
DAY_S = 86_400

Result = TypeVar("Result")


def unless_refused(call: Callable[[], Result], reason: str) -> Result | None:
    """What `call` returns, or None where it refuses its input for that reason."""
    try:
        return call()
    except InputError as error:
        if reason not in str(error):
            raise
        return None


def raw_log(rows: list[tuple], **changes: object) -> RawLog:
    frame = pd.DataFrame(rows, columns=["user", "item", "rating", "time_s"])
    frame[["rating", "time_s"]] = frame[["rating", "time_s"]].astype(float)
    return replace(RawLog("log", "log.csv", "not stated", frame, 1.0, 5.0, 4.0), **changes)  # type: ignore[arg-type]


def test_each_fault_is_counted_once_under_its_name() -> None:
    nan = float("nan")
    log = clean(
        raw_log(
            [
                ("a", "x", 4, START_S + 9),
                (None, "x", 4, START_S),
                ("", "x", 4, START_S),
                ("a", None, nan, START_S),
                ("a", "y", nan, START_S),
                ("a", "y", 3, nan),
                ("a", "y", 6, START_S),
                ("a", "y", 0.5, START_S),
                ("a", "y", 3, -1),
                ("a", "y", 3, START_S * 1000),
                ("a", "y", 3, 0),
                ("b", "x", 2, START_S + 5),
                ("b", "x", 2, START_S + 5),
                ("b", "x", 5, START_S + 7),
                (" b ", "y", 1, START_S + 6),
            ]
        ),
        CleanSettings(),
    )
    assert log.report["rows_dropped"] == {
        "user missing": 2,
        "item missing": 1,
        "rating missing or no number": 1,
        "time missing or no time": 1,
        "rating outside the scale": 2,
        "time before 1970 or after 2100": 2,
        "time far from all others": 1,
        "exact duplicate of another row": 1,
        "earlier rating of the same pair": 1,
        "user or item with too few interactions": 0,
    }
    assert log.report["rows_read"] == 15
    assert log.report["rows_kept"] == 3
    named = zip(log.user_keys[log.user], log.item_keys[log.item], log.rating, log.time_s - START_S)
    assert [(str(u), str(i), r, t) for u, i, r, t in named] == [("b", "y", 1, 6), ("b", "x", 5, 7), ("a", "x", 4, 9)]


FAULTY = st.tuples(
    st.sampled_from(["a", "b", "c"] * 4 + ["", None]),
    st.sampled_from([1.0, 2.0, 3.0] * 4 + [float("nan")]),
    st.sampled_from([1, 3, 5] * 4 + [7, float("nan")]),
    st.sampled_from([START_S, START_S + 1, START_S + DAY_S] * 4 + [0, -5, 1e15, float("nan")]),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(FAULTY, min_size=1, max_size=40), st.booleans(), st.integers(1, 3), st.integers(1, 3))
def test_every_row_read_is_kept_or_dropped(rows: list[tuple], keep: bool, of_user: int, of_item: int) -> None:
    wanted = CleanSettings(keep, 2, False, of_user, of_item)
    log = unless_refused(lambda: clean(raw_log(rows), wanted), "no row is left")
    if log is None:
        return
    report = log.report
    assert report["rows_kept"] + sum(report["rows_dropped"].values()) == report["rows_read"] == len(rows)
    assert report["rows_kept"] == len(log.user) == len(log.time_s) > 0
    assert (np.diff(log.time_s) >= 0).all()
    assert np.bincount(log.user)[np.unique(log.user)].min() >= of_user
    assert np.bincount(log.item)[np.unique(log.item)].min() >= of_item
    if not keep:
        assert len({(u, i) for u, i in zip(log.user, log.item)}) == len(log.user)


def test_one_clock_gone_wrong_does_not_move_the_split() -> None:
    rows = [(f"u{k % 7}", f"i{k}", 3, START_S + k * 3600) for k in range(2000)]
    wrong = [*rows, ("u1", "late", 3, START_S + 50 * 366 * DAY_S), ("u1", "unset", 3, 0)]
    log = clean(raw_log(wrong), CleanSettings())
    assert log.report["rows_dropped"]["time far from all others"] == 2
    assert log.report["rows_kept"] == 2000


def test_suspects_are_named_and_dropped_only_on_demand() -> None:
    rows = [("robot", f"i{k}", 3, START_S + k) for k in range(50)] + [("a", f"i{k}", 3, START_S + k) for k in range(5)]
    log = clean(raw_log(rows), CleanSettings(suspect_per_day=20))
    told = {"more_on_one_day_than": 20, "users": 1, "rows": 50, "dropped": False, "most_active": {"robot": 50}}
    assert log.report["suspects"] == told
    assert log.report["rows_kept"] == 55
    log = clean(raw_log(rows), CleanSettings(suspect_per_day=20, drop_suspects=True))
    assert log.report["rows_dropped"]["suspect user"] == 50
    assert log.report["rows_kept"] == 5


def test_ids_read_the_same_with_and_without_a_gap() -> None:
    whole, gap = pd.Series([7, 12, 7]), pd.Series([7, None, 12, 7])
    assert keys_of(whole)[1].tolist() == keys_of(gap)[1].tolist() == ["7", "12"]
    assert keys_of(gap)[0].tolist() == [0, -1, 1, 0]
    assert keys_of(pd.Series(["x ", "", "x", None, "y"]))[0].tolist() == [0, -1, 0, -1, 1]
    assert keys_of(pd.Series([None, None], dtype=object))[0].tolist() == [-1, -1]


def test_the_scale_is_taken_from_the_ratings_and_said_to_be() -> None:
    rows = [("a", "x", 2, START_S), ("b", "x", 10, START_S)]
    log = clean(raw_log(rows, rating_low=None, rating_high=None, like_from=None), CleanSettings())
    assert (log.rating_low, log.rating_high, log.like_from) == (2, 10, 8)
    assert all(note.startswith("assumed:") for note in log.report["notes"])
    assert len(log.report["notes"]) == 2


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rating_low": 5.0}, "5 to 5 is no range"),
        ({"like_from": 1.0}, "--like-from: 1 is not above 1"),
        ({"like_from": 6.0}, "at most 5"),
    ],
)
def test_scales_that_make_no_sense(changes: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        clean(raw_log([("a", "x", 3, START_S)], **changes), CleanSettings())


def test_times_in_the_wrong_unit_are_told_how_to_be_read() -> None:
    with pytest.raises(InputError, match="1 of 1 have: time before 1970 or after 2100; give --time-unit ms"):
        clean(raw_log([("a", "x", 3, START_S * 1000)]), CleanSettings())


# --- dividing -----------------------------------------------------------------------------------------

LOG = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 60)), min_size=4, max_size=60).map(
    lambda rows: sorted(rows, key=lambda row: row[1])
)


@settings(max_examples=100, deadline=None)
@given(LOG, st.sampled_from([0.0, 3.0, 10.0]), st.sampled_from([0.0, 5.0]))
def test_split_by_time(rows: list[tuple[int, int]], test_days: float, validation_days: float) -> None:
    user, day = (np.array(column) for column in zip(*rows))
    time_s = START_S + day * 40_000
    wanted = SplitSettings("time", test_days, validation_days)
    found = unless_refused(lambda: part_of_rows(user, time_s, wanted), "part has no row")
    if found is None:
        return
    part, _ = found
    moments = [time_s[part == number] for number in range(3)]
    assert moments[0].max() < moments[1].min() <= moments[1].max() < moments[2].min()
    if test_days:
        end = (time_s.max() // DAY_S + 1) * DAY_S
        assert (part == 2).tolist() == (time_s >= end - test_days * DAY_S).tolist()


@settings(max_examples=100, deadline=None)
@given(LOG, st.sampled_from([0.1, 0.2, 0.5]), st.sampled_from([0.1, 0.3]))
def test_split_by_user(rows: list[tuple[int, int]], test_share: float, validation_share: float) -> None:
    user, day = (np.array(column) for column in zip(*rows))
    wanted = SplitSettings("user", test_share=test_share, validation_share=validation_share)
    found = unless_refused(lambda: part_of_rows(user, START_S + day, wanted), "part has no row")
    if found is None:
        return
    part, told = found
    for each in np.unique(user):
        mine = part[user == each]
        assert (np.diff(mine) >= 0).all()
        sizes = np.bincount(mine, minlength=3)
        assert sizes[0] >= 1
        if len(mine) >= 2:
            assert 1 <= sizes[2] <= max(1, round(len(mine) * test_share))
        if len(mine) >= 3 and test_share < 0.5:
            assert sizes[1] >= 1
    assert told["users_in_training_alone"] == (np.bincount(user)[np.unique(user)] == 1).sum()


def test_days_of_the_source_are_the_default_and_shares_replace_them() -> None:
    raw = raw_log([("a", "x", 3, START_S)], test_days=30.0, validation_days=15.0)
    assert split_settings(raw, "time") == SplitSettings("time", 30.0, 15.0)
    assert split_settings(raw, "time", test_days=7.0, test_share=None) == SplitSettings("time", 7.0, 15.0)
    assert split_settings(raw, "time", test_share=0.3).test_days == 0
    assert split_settings(raw, "user") == SplitSettings("user", test_share=0.2)
    for options in ({"by": "user", "test_days": 3.0}, {"by": "time", "test_days": 3.0, "test_share": 0.1}):
        with pytest.raises(InputError, match="test_days"):
            split_settings(raw, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"by": "item"}, "use time or user"),
        ({"test_days": -1}, "-1 is below 0"),
        ({"test_share": 1.5}, "between 0 and 1"),
        ({"test_share": 0.6, "validation_share": 0.5}, "nothing for training"),
    ],
)
def test_splits_that_make_no_sense(options: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        SplitSettings(**options)


# --- features -----------------------------------------------------------------------------------------

ITEMS = pd.DataFrame(
    {
        "id": ["x", "y", "z", "far", "not in the log"],
        "year": [1990, 2000, None, 9000, 5],
        "kind": ["b", "a", None, "only in test", "c"],
        "genres": ["Drama|War", "War", None, "Rare|War", "Absent"],
    }
)
TOLD = Entities(ITEMS, "id", ("year",), ("kind",), "genres")
KEYS = np.array(["z", "y", "x", "far", "nobody"])
IN_TRAINING = np.array([False, True, True, True, False, False])


def test_features_of_items() -> None:
    found = static_features(TOLD, KEYS, IN_TRAINING)
    assert found.dense_names == ("year", "year_missing")
    np.testing.assert_allclose(found.dense[:, 0], [0, 0, 1, -1, 5, 0])
    np.testing.assert_allclose(found.dense[:, 1], [0, 1, 0, 0, 0, 1])
    assert found.categories[:, 0].tolist() == [0, 0, 1, 2, 0, 0]
    assert found.category_rows == (3,)
    assert found.tag_names == ("Drama", "War")
    assert found.tags[:, 1].tolist() == [False, False, True, True, True, False]
    assert found.report["not_described"] == 1
    assert found.report["values_not_in_training"] == 1
    assert found.report["tags_not_in_training"] == 1
    assert found.report["quantities_moved_to_5_deviations"] == 1
    assert found.report["missing"] == {"year": 2, "kind": 2, "genres": 2}


def test_features_are_fitted_on_training_alone() -> None:
    far = pd.DataFrame({"id": ["far"], "year": [1800], "kind": ["a"], "genres": ["Drama"]})
    other = pd.concat([ITEMS[:3], far, ITEMS[4:]], ignore_index=True)
    one, two = (static_features(replace(TOLD, frame=frame), KEYS, IN_TRAINING) for frame in (ITEMS, other))
    assert one.tag_names == two.tag_names
    assert one.category_rows == two.category_rows
    same = np.arange(6) != 4
    np.testing.assert_array_equal(one.dense[same], two.dense[same])
    np.testing.assert_array_equal(one.categories[same], two.categories[same])


def test_an_item_described_twice_is_counted_and_the_last_holds() -> None:
    twice = pd.concat([ITEMS, ITEMS[:1].assign(kind="a")], ignore_index=True)
    found = static_features(replace(TOLD, frame=twice), KEYS, IN_TRAINING)
    assert found.report["described_twice"] == 1
    assert found.categories[3, 0] == 1


def test_nothing_told() -> None:
    found = static_features(Entities(), KEYS, IN_TRAINING)
    assert found.dense.shape == found.categories.shape == found.tags.shape == (6, 0)


def test_ids_are_in_order_of_appearance_and_keys_lead_back() -> None:
    rows = [(f"u{k % 9}", f"i{(k * 7) % 11}", 1 + k % 5, START_S + k * 3600) for k in range(90)]
    data = prepare_log(raw_log(rows), SplitSettings(), CleanSettings())
    assert data.user_keys.tolist() == [f"u{k}" for k in range(9)]
    assert data.user_ids(["u3", "nobody", "u0"]).tolist() == [4, 0, 1]
    table = data.train
    told = {(row[0], row[1]): row for row in rows}
    for user, item, rating, time_s in zip(table.user, table.item, table.rating, table.time_s):
        row = told[str(data.user_keys[user - 1]), str(data.item_keys[item - 1])]
        assert (row[2], row[3]) == (rating, time_s)
    parts = data.report["split"]["parts"]
    assert sum(part["rows"] for part in parts.values()) == data.report["rows_kept"]


def test_shares_of_new_users_and_items() -> None:
    """80 rows of one user; then 10 of which every other is a new user's; then 10 of whose items two are new."""
    rows = [("a", f"i{k}", 3, START_S + k * 3600) for k in range(80)]
    rows += [("b" if k % 2 else "c", f"i{k}", 3, START_S + (80 + k) * 3600) for k in range(10)]
    rows[-2:] = [("a", "j0", 3, START_S + 88 * 3600), ("a", "j1", 3, START_S + 89 * 3600)]
    rows += [("b", f"i{k + 50}" if k < 8 else f"k{k}", 3, START_S + (90 + k) * 3600) for k in range(10)]
    data = prepare_log(raw_log(rows), SplitSettings(), CleanSettings())
    validation, test = (data.report["split"]["parts"][part] for part in ("validation", "test"))
    assert (validation["rows"], test["rows"]) == (10, 10)
    assert (validation["rows_of_new_users_share"], validation["new_users"]) == (0.8, 2)
    assert (validation["rows_of_new_items_share"], validation["new_items"]) == (0.2, 2)
    assert (validation["rows_of_either_share"]) == 1.0
    assert (test["rows_of_new_users_share"], test["new_users"]) == (0, 0)
    assert (test["rows_of_new_items_share"], test["new_items"]) == (0.2, 2)
