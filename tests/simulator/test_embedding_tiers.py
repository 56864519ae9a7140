"""Placement of embedding rows: against a list of rows, one by one, and by what must hold for any of them."""

from __future__ import annotations

import math
import os
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.embedding_tiers import (
    EmbeddingRows,
    RowRoom,
    lookup_plan,
    of_scenario,
    placed_bytes,
    replaced_bytes,
    tier_shares,
)
from simulator.plan import TierPlan
from simulator.popularity import MeasuredPopularity, ZipfPopularity, load_reuse, zipf_sum
from simulator.scenario_embedding import EmbeddingFile
from workloads.errors import InputError

DATA = Path(os.environ.get("RECFLEET_DATA", Path(__file__).parents[3] / "shared" / "data"))
LAST = (False, False, True)


# --- popularity -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("exponent", [0.0, 0.5, 0.99, 1.0, 1.05, 2.0])
@pytest.mark.parametrize("rows", [1, 7, 1000, 1001, 5000, 300_000])
def test_zipf_sums_are_those_of_their_terms(rows: int, exponent: float) -> None:
    exact = math.fsum((np.arange(1, rows + 1, dtype=float) ** -exponent).tolist())
    assert zipf_sum(rows, exponent) == pytest.approx(exact, rel=1e-13)


def test_the_harmonic_sum_of_a_billion() -> None:
    n, euler = 10**9, 0.5772156649015329
    assert zipf_sum(n, 1.0) == pytest.approx(math.log(n) + euler + 1 / (2 * n), rel=1e-14)


@given(rows=st.integers(1, 10**7), exponent=st.floats(0, 2), part=st.floats(0, 1), more=st.floats(0, 1))
def test_mass_grows_from_0_to_1_and_is_above_the_share_of_rows(
    rows: int, exponent: float, part: float, more: float
) -> None:
    popularity = ZipfPopularity(rows, exponent)
    assert popularity.mass(0) == 0.0
    assert popularity.mass(2 * rows) == popularity.mass(rows) == pytest.approx(1.0)
    low, high = sorted((part, more))
    assert popularity.mass(low * rows) <= popularity.mass(high * rows) + 1e-12
    assert popularity.mass(part * rows) >= part - 1e-9


def test_groups_of_reuse_are_counted_back_from_their_lookups() -> None:
    times = np.array([12, 8, 8, 3, 2, 2, 1, 1, 1, 1])
    gt, le = [0, 1, 2, 4, 8], [1, 2, 4, 8, -1]
    share = [times[(times > a) & (times <= (b if b > 0 else 99))].sum() / times.sum() for a, b in zip(gt, le)]
    found = MeasuredPopularity.from_reuse(gt, le, share, rows=10.0)
    assert found.rows == pytest.approx(10.0)
    assert found.group_share.tolist() == pytest.approx(share[::-1])
    assert found.mass(10.0) == pytest.approx(1.0)
    assert np.all(np.diff(found.group_share / found.group_rows) < 0)  # hottest first
    assert found.group_rows[-1] == pytest.approx(4.0, rel=0.2)


@pytest.mark.data
@pytest.mark.skipif(not DATA.is_dir(), reason="no folder of real traces (RECFLEET_DATA)")
def test_published_reuse_gives_back_the_published_rows() -> None:
    popularity = load_reuse(DATA / "meta_embedding_reuse.csv", 2022, rows=110_259_238)
    shares = (popularity.group_rows / popularity.rows)[::-1]
    published = [0.342, 0.144, 0.149, 0.138, 0.112, 0.068, 0.029, 0.01, 0.004, 0.002, 0.001, 0.001]
    assert shares[:12] == pytest.approx(published, abs=0.005)
    assert 0.6 < popularity.mass(0.05 * popularity.rows) < 0.8
    with pytest.raises(InputError, match="no release 2019"):
        load_reuse(DATA / "meta_embedding_reuse.csv", 2019, rows=1.0)


def test_a_table_of_reuse_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        load_reuse(tmp_path / "none.csv", 2022, rows=1.0)


# --- placement, one row after the other -------------------------------------------------------------------


def one_by_one(weights: np.ndarray, lost: int, on_device: int, held: list[int]) -> list[float]:
    """Place rows in order: what was hottest ``lost`` ranks ago on the device, the rest by today's popularity."""
    where = np.full(len(weights), -1)
    where[lost : lost + on_device] = 0
    tier, left = 1, held[0]
    for rank in range(len(weights)):
        if where[rank] == 0:
            continue
        while left == 0:
            left, tier = held[tier], tier + 1
        where[rank], left = tier, left - 1
    return [float(weights[where == t].sum() / weights.sum()) for t in range(len(held) + 1)]


@settings(max_examples=60, deadline=None)
@given(
    rows=st.integers(4, 60), exponent=st.floats(0, 2), on_device=st.integers(0, 20), dram=st.integers(0, 20),
    ssd=st.integers(0, 20), lost=st.integers(0, 30), shards=st.integers(1, 4), ratio=st.sampled_from([1.0, 0.5]),
)  # fmt: skip
def test_shares_are_those_of_rows_placed_one_by_one(
    rows: int, exponent: float, on_device: int, dram: int, ssd: int, lost: int, shards: int, ratio: float
) -> None:
    table = EmbeddingRows(ZipfPopularity(rows, exponent), 64.0, 3.0, ratio, 1e9, drift_rows_per_s=0.5)
    room = RowRoom(64.0 * on_device, (64.0 * ratio * dram, 64.0 * ratio * ssd, math.inf), LAST, shards)
    shares = tier_shares(table, room, age_s=2.0 * lost)
    weights = np.arange(1.0, rows + 1) ** -exponent
    counts = [shards * n for n in (on_device, dram, ssd)]
    expected = one_by_one(weights, lost, min(counts[0], rows), [counts[1], counts[2], 10**6])
    assert shares == pytest.approx(expected, abs=1e-12)
    assert shares.sum() == pytest.approx(1.0)


@settings(max_examples=60, deadline=None)
@given(
    exponent=st.floats(0, 1.5), device=st.floats(0, 1e9), dram=st.floats(0, 1e10), more=st.floats(1, 3),
    age_s=st.floats(0, 1e6), later=st.floats(0, 1e6),
)  # fmt: skip
def test_more_room_leaves_less_to_the_tiers_behind_and_age_less_to_the_device(
    exponent: float, device: float, dram: float, more: float, age_s: float, later: float
) -> None:
    table = EmbeddingRows(ZipfPopularity(10**8, exponent), 128.0, 10.0, drift_rows_per_s=3.0)
    small, large = (RowRoom(k * device, (dram, math.inf), (False, True)) for k in (1.0, more))
    assert tier_shares(table, large)[0] >= tier_shares(table, small)[0] - 1e-9
    assert tier_shares(table, large)[2] <= tier_shares(table, small)[2] + 1e-9
    wider = RowRoom(device, (more * dram, math.inf), (False, True))
    assert tier_shares(table, wider)[2] <= tier_shares(table, small)[2] + 1e-9
    first, second = sorted((age_s, later))
    assert tier_shares(table, small, second)[0] <= tier_shares(table, small, first)[0] + 1e-9
    assert tier_shares(table, small, second).sum() == pytest.approx(1.0)


@pytest.mark.parametrize("age_s", [0.0, 0.3, 2.0])
def test_rows_that_swap_their_popularity_leave_the_device_as_a_draw_says(age_s: float) -> None:
    rows, on_device, dram = 4000, 400, 800
    table = EmbeddingRows(ZipfPopularity(rows, 0.7), 1.0, 1.0, drift_rows_per_s=100.0, turnover_per_s=0.5)
    room = RowRoom(float(on_device), (float(dram), math.inf), (False, True))
    weights = np.arange(1.0, rows + 1) ** -0.7
    weights /= weights.sum()
    lost, rng, found = int(100 * age_s), np.random.default_rng(5), []
    for _ in range(40):
        on = np.zeros(rows, bool)
        on[lost : lost + on_device] = True
        swaps = np.flatnonzero(rng.random(rows) < -math.expm1(-0.5 * age_s))
        on[swaps] = on[rng.permutation(swaps)]
        outside = np.flatnonzero(~on)
        found.append([weights[on].sum(), weights[outside[:dram]].sum(), weights[outside[dram:]].sum()])
    shares = tier_shares(table, room, age_s)
    assert shares.sum() == pytest.approx(1.0)
    error = np.std(found, axis=0) / math.sqrt(40)
    assert np.all(np.abs(shares - np.mean(found, axis=0)) <= 4 * error + 0.003)  # 0.003: whole rows, and as one draw


def test_in_the_long_run_the_device_holds_rows_by_chance() -> None:
    table = EmbeddingRows(ZipfPopularity(10**6, 1.0), 8.0, 1.0, turnover_per_s=1.0)
    room = RowRoom(8e5, (math.inf,), (False,))
    assert tier_shares(table, room, age_s=1e3)[0] == pytest.approx(0.1)
    assert replaced_bytes(table, room, age_s=1e3) == pytest.approx(0.9 * 8e5)
    half_s = math.log(2.0)
    mass = ZipfPopularity(10**6, 1.0).mass(1e5)
    assert tier_shares(table, room, age_s=half_s)[0] == pytest.approx(0.5 * mass + 0.05)


def test_rows_need_a_place() -> None:
    table = EmbeddingRows(ZipfPopularity(100, 1.0), 8.0, 1.0)
    with pytest.raises(ValueError, match="100 rows, but room for 50"):
        tier_shares(table, RowRoom(160.0, (240.0,), (False,)))
    assert tier_shares(table, RowRoom(160.0, (640.0,), (False,))).sum() == pytest.approx(1.0)
    assert tier_shares(table, RowRoom(800.0, (), ())).tolist() == [1.0]


# --- what a batch reads -----------------------------------------------------------------------------------


def test_compressed_rows_are_read_small_and_unpacked() -> None:
    table = EmbeddingRows(ZipfPopularity(8, 0.0), 16.0, 4.0, stored_ratio=0.25, decode_bytes_per_s=1024.0)
    plan = lookup_plan(table, RowRoom(32.0, (8.0, math.inf), (False, True)))  # 2, 2 and 4 of the 8 rows
    assert plan.bytes_per_unit == pytest.approx((4.0, 8.0))  # of 64 bytes used, a quarter of 16 and of 32
    assert plan.sharded_bytes_per_unit == 0.0
    assert plan.decode_s_per_unit == pytest.approx(48.0 / 1024.0)


def test_of_sharded_rows_all_but_ones_own_come_over_the_network() -> None:
    table = EmbeddingRows(ZipfPopularity(64, 0.0), 16.0, 4.0, stored_ratio=0.5)
    plan = lookup_plan(table, RowRoom(64.0, (32.0, math.inf), (False, True), shards=4))
    # 16 rows on devices, 16 in memory, 32 remote: a quarter, a quarter and a half of 64 bytes used.
    assert plan.bytes_per_unit == pytest.approx((8.0, 16.0))
    assert plan.sharded_bytes_per_unit == pytest.approx(0.75 * (16.0 + 8.0))


def test_bytes_placed_and_replaced() -> None:
    table = EmbeddingRows(ZipfPopularity(40, 1.0), 16.0, 1.0, stored_ratio=0.5, drift_rows_per_s=0.25)
    room = RowRoom(64.0, (80.0, math.inf), (False, True), shards=2)
    assert placed_bytes(table, room).tolist() == [64.0, 80.0, (40 - 8 - 20) * 8.0]
    assert replaced_bytes(table, room, age_s=8.0) == 2 * 16.0 / 2
    assert replaced_bytes(table, room, age_s=1e9) == 64.0


def test_a_scenarios_section_takes_the_tiers_that_there_are() -> None:
    file = EmbeddingFile.model_validate({
        "rows": 10**9, "row_bytes": 256, "lookups_per_unit": 100, "zipf_s": 1.0, "device_gib": 40, "dram_gib": 100,
        "shards": 2, "compression": {"ratio": 0.5, "decode_gbyte_per_s": 20}, "drift_rows_per_hour": 3600,
    })  # fmt: skip
    tiers = (TierPlan("dram", 1e11, 0.0), TierPlan("remote", 1e9, 1e-3, True))
    rows, room = of_scenario(file, tiers)
    assert (rows.stored_ratio, rows.drift_rows_per_s, room.shards) == (0.5, 1.0, 2)
    assert room.tier_bytes == (100 * 2**30, math.inf)
    shares = tier_shares(rows, room)
    held = 2 * 40 * 2**30 / 256
    assert shares[0] == pytest.approx(zipf_sum(held, 1.0) / zipf_sum(1e9, 1.0))
    assert shares[2] == pytest.approx(0.0)
    assert len(lookup_plan(rows, room, age_s=3600.0).bytes_per_unit) == 2


def test_the_example_of_the_page_says_what_it_gives() -> None:
    page = (Path(__file__).parents[2] / "docs" / "embedding-tiers.md").read_text()
    (code,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    names: dict[str, Any] = {}
    exec(code, names)
    assert tier_shares(names["rows"], names["room"]).round(2).tolist() == [0.84, 0.10, 0.06]
    assert np.round(lookup_plan(names["rows"], names["room"]).bytes_per_unit).tolist() == [2641, 1525]
    assert "0.84, 0.10, 0.06" in code
    assert "2,641 and 1,525" in code
