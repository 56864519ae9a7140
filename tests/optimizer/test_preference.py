"""Which pair a stage prefers, and how replicas spread over pairs."""

from __future__ import annotations

import numpy as np

from optimizer.fleet.packing import first_fit
from optimizer.preference import Preference, spread
from tests.optimizer.factory import facts


def test_large_stages_prefer_the_cheapest_request() -> None:
    """Retrieve: a GPU replica is 1/8 of 10 USD for 400 requests/s, a CPU replica 1/8 of 1.50 USD for 50."""
    preference = Preference(facts())
    assert preference.usd_per_request[0].tolist() == [1.25 / (3600 * 400), 0.1875 / (3600 * 50)]
    assert preference.pairs[0] == ((0, 0), (0, 1))
    assert preference.pairs[1] == ((1, 0),)


def test_small_stages_prefer_the_cheapest_replica() -> None:
    """At a peak of 40 requests/s one replica of either will do, and the CPU replica costs less."""
    assert Preference(facts(), np.array([40.0, 0.0, 0.0])).pairs[0] == ((0, 1), (0, 0))


def test_without_peak_or_with_a_huge_one_the_order_is_the_same() -> None:
    fleet = facts()
    assert Preference(fleet).pairs == Preference(fleet, np.full(3, 1e7)).pairs == Preference(fleet, np.zeros(3)).pairs


def test_spread_fills_the_preferred_pair_then_the_next() -> None:
    fleet = facts(node_count=np.array([1, 20]))
    replicas = spread(Preference(fleet), np.array([3700.0, 0.0, 0.0]), worth=fleet.throughput_rps)
    assert replicas[0].tolist() == [8, 10]  # eight halves of a GPU serve 3200 requests/s, ten CPU replicas the rest
    assert first_fit(Preference(fleet).share[:, 0], replicas[:, 0], 1).complete == 8


def test_spread_keeps_what_exists() -> None:
    fleet = facts()
    keep = np.zeros((4, 2), dtype=np.int64)
    keep[0, 1] = 2
    replicas = spread(Preference(fleet), np.array([500.0, 0.0, 0.0]), worth=fleet.throughput_rps, keep=keep)
    assert replicas[0].tolist() == [1, 2]


def test_every_stage_gets_a_first_replica_before_any_gets_its_rest() -> None:
    fleet = facts(node_count=np.array([1, 0]))
    wanted = np.array([1e6, 100.0, 100.0])
    fair = spread(Preference(fleet), wanted, worth=fleet.throughput_rps)
    assert (np.bincount(fleet.variant_stage, fair.sum(axis=1), 3) >= 1).all()
    in_order = spread(Preference(fleet), wanted, worth=fleet.throughput_rps, one_each=False)
    assert in_order.sum(axis=1).tolist() == [8, 0, 0, 0]
