"""The verdict over made-up costs and attainments."""

from __future__ import annotations

import dataclasses

import numpy as np

from recfleet.run_record import RunRecord
from recfleet.verdict import judge, standings
from tests.recfleet.fakes import record, replaced


def run(policy: str, cost: float, attainment: float, seed: int = 1, *, sees: bool = False) -> RunRecord:
    """A run with that total cost and that attainment of every service; the services ask for 99, 99 and 95 %."""
    base = record(policy, seed, intervals=10)
    result = base.result
    arrived = np.full(3, 100_000)
    length = len(result.intervals.start_s)
    series = dataclasses.replace(result.intervals, cost_usd=np.full(length, cost / length))
    met = np.round(arrived * attainment).astype(int)
    changed = replaced(base, intervals=series, arrived=arrived, completed=arrived, slo_met=met)
    return dataclasses.replace(changed, bound_usd=10.0, clairvoyant=sees)


def test_the_cheapest_that_holds_wins() -> None:
    verdict = judge([run("static_peak", 100, 0.999), run("hpa", 80, 0.97), run("mip", 50, 0.995)])
    assert verdict.winner == "mip"
    assert "50 % less than static peak (static_peak, 100.00 USD)" in verdict.text
    assert "37.5 % less than the HPA-like autoscaler (hpa, 80.00 USD, which misses feed's objective)" in verdict.text
    assert "5.00 times the lower bound of 10.00 USD" in verdict.text


def test_a_cheap_policy_that_misses_one_service_does_not_win() -> None:
    cheap = run("greedy", 20, 0.999)
    met = cheap.result.slo_met.copy()
    met[2] = 94_000
    verdict = judge([run("static_peak", 100, 0.999), replaced(cheap, slo_met=met)])
    assert verdict.winner == "static_peak"
    assert "No other policy that could be deployed holds every objective." in verdict.text


def test_who_sees_the_future_is_a_yardstick() -> None:
    verdict = judge([run("mip", 50, 0.999), run("oracle", 40, 0.999, sees=True)])
    assert verdict.winner == "mip"
    assert "oracle, a yardstick that sees the future, pays 40.00 USD" in verdict.text
    only = judge([run("oracle", 40, 0.999, sees=True)])
    assert only.winner is None
    assert "none can be recommended" in only.headline


def test_none_holds() -> None:
    verdict = judge([run("static_peak", 100, 0.98), run("mip", 50, 0.985)])
    assert verdict.winner is None
    assert verdict.closest == "mip"
    assert "feed, answers 98.5 % of requests within 50 ms where 99 % is asked for, 0.5 points short" in verdict.headline
    assert "a looser objective" in verdict.text
    helped = judge([run("mip", 50, 0.985), run("oracle", 70, 0.999, sees=True)])
    assert "oracle, which sees the future, holds them for 70.00 USD" in helped.text


def test_a_tie_names_all() -> None:
    verdict = judge([run("a", 50, 0.995), run("b", 50, 0.999), run("c", 50.0000001, 0.992)])
    assert verdict.winner == "b"
    assert "a and c cost the same and hold every objective too." in verdict.text


def test_one_policy_alone() -> None:
    verdict = judge([run("mip", 50, 0.999)])
    assert verdict.winner == "mip"
    assert "With one seed there is no confidence interval" in verdict.text


def test_differences_are_paired_over_seeds() -> None:
    """Costs vary much between seeds and their difference does not: the difference is certain."""
    costs = [40.0, 60.0, 80.0]
    runs = [run("a", cost, 0.999, seed) for seed, cost in enumerate(costs)]
    runs += [run("b", cost + 1, 0.999, seed) for seed, cost in enumerate(costs)]
    text = judge(runs).text
    assert "Next is b, 1.00 ± 0.00 USD dearer on the same seeds." in text
    noisy = [run("a", cost, 0.999, seed) for seed, cost in enumerate(costs)]
    noisy += [run("b", cost, 0.999, seed) for seed, cost in enumerate([60.0, 42.0, 81.0])]
    assert "is within the uncertainty" in judge(noisy).text


def test_an_uncertain_objective_is_said() -> None:
    runs = [run("a", 50, share, seed) for seed, share in enumerate([0.9999, 0.985, 0.9901])]
    verdict = judge(runs)
    assert verdict.winner == "a"
    assert "Whether feed holds its objective is within the uncertainty over seeds" in verdict.text
    assert not standings(runs)[0].certain
