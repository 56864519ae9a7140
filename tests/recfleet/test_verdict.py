"""The verdict over made-up costs and attainments."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from recfleet.optimum_words import excess
from recfleet.report.ranking import ranking_misses
from recfleet.run_record import RunRecord
from recfleet.standings import standings
from recfleet.verdict import judge
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
    assert "mip is the cheapest policy that holds every service's objective: 50.00 USD for " in verdict.headline
    assert "; worst service: feed, 99.5 % of requests within 50 ms, 99 % asked." in verdict.headline
    assert "50 % less than static peak (static_peak: 100.00 USD, worst service 99.9 %)" in verdict.lines[1]
    against = (
        "37.5 % less than the Kubernetes HPA (hpa: 80.00 USD, worst service 97 %, misses feed's and shop's objectives)"
    )
    assert against in verdict.lines[1]
    assert "5.00 times the lower bound of 10.00 USD" in verdict.text


def test_what_is_printed_is_a_handful_of_lines_and_the_report_says_more() -> None:
    runs = [run("static_peak", 100, 0.999), run("hpa", 80, 0.97), run("mip", 50, 0.995), run("a", 51, 0.999)]
    runs = [out_for(r, 265 if r.policy == "mip" else 10) for r in runs] + [run("oracle", 40, 0.999, sees=True)]
    verdict = judge(runs)
    assert str(verdict) == "\n".join(verdict.lines)
    assert len(verdict.lines) == 5
    assert max(map(len, verdict.lines)) < 200
    assert verdict.details
    assert not set(verdict.details) & set(verdict.lines)
    assert verdict.text == " ".join([*verdict.lines, *verdict.details])


def test_nearly_all_is_not_all() -> None:
    assert "worst service: feed, 99.998 % of requests" in judge([run("mip", 50, 0.99998)]).headline


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


def out_for(run: RunRecord, minutes: float) -> RunRecord:
    """That run over 100 intervals of five minutes, with so many minutes in which feed misses."""
    slots = 100
    base = record(run.policy, run.seed, intervals=slots)
    length = np.full(slots, 300.0)
    met = np.full((slots, 3), 1000)
    met[: round(minutes / 5), 0] = 0
    series = dataclasses.replace(
        base.result.intervals,
        length_s=length,
        arrived=np.full((slots, 3), 1000),
        completed=np.full((slots, 3), 1000),
        rejected=np.zeros((slots, 3), dtype=int),
        failed=np.zeros((slots, 3), dtype=int),
        in_flight=np.zeros((slots, 3), dtype=int),
        slo_met=met,
        cost_usd=np.full(slots, run.result.intervals.cost_usd.sum() / slots),
    )
    return replaced(run, intervals=series)


def test_a_winner_that_was_long_out_of_objective_is_told() -> None:
    cheap, calm = run("mip", 50, 0.995), run("marginal_greedy", 55.2, 0.999)
    text = judge([out_for(cheap, 265), out_for(calm, 10)]).text
    assert "It was out of objective for 265 min, though; marginal_greedy, 5.20 USD dearer, for 10 min." in text
    same = judge([out_for(cheap, 265), out_for(run("marginal_greedy", 50, 0.994), 10)]).text
    assert "marginal_greedy, at the same cost, for 10 min" in same


@pytest.mark.parametrize(("winner", "other"), [(30, 5), (270, 90), (0, 0)])
def test_short_spells_and_those_that_others_share_are_not_told(winner: float, other: float) -> None:
    text = judge([out_for(run("mip", 50, 0.995), winner), out_for(run("b", 55, 0.999), other)]).text
    assert "out of objective" not in text


def test_only_holders_that_can_be_deployed_are_compared_by_time_out_of_objective() -> None:
    runs = [
        out_for(run("mip", 50, 0.995), 265),
        out_for(run("seer", 55, 0.999, sees=True), 0),
        out_for(run("hpa", 55, 0.9), 0),
    ]
    assert "out of objective" not in judge(runs).text


def test_a_dearer_yardstick_is_explained() -> None:
    text = judge([run("mip", 50, 0.999), run("oracle", 70, 0.999, sees=True)]).text
    assert "oracle, which sees the future, pays 70.00 USD" in text
    assert "a yardstick, not a bound" in text


def test_equal_costs_and_single_seeds_are_worded_so() -> None:
    text = judge([run("mip", 50, 0.999), run("static_peak", 50, 0.995), run("hpa", 60, 0.999)]).text
    assert "That is as much as static peak (static_peak: 50.00 USD, worst service 99.5 %) and 16.7 % less than" in text
    alone = judge([run("mip", 50, 0.999), run("b", 60, 0.999)]).text
    assert "Next is b, 10.00 USD dearer." in alone
    assert "same seeds" not in alone


def test_none_holds() -> None:
    verdict = judge([run("static_peak", 100, 0.98), run("mip", 50, 0.985)])
    assert verdict.winner is None
    assert verdict.closest == "mip"
    assert "feed, 98.5 % of requests within 50 ms, 99 % asked, 0.5 points short" in verdict.headline
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
    assert verdict.lines[-1].startswith("One seed gives no confidence interval")


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


def floored(policy: str, floor: float, **changes: Any) -> RunRecord:
    """A record whose first stage serves an AUC of 0.75 under a floor."""
    original = record(policy, **changes)
    fleet = dataclasses.replace(
        original.result.facts,
        accuracy=np.array([0.75, np.nan, np.nan]),
        accuracy_metric=("auc", "", ""),
        accuracy_floor=np.array([floor, -np.inf, -np.inf]),
    )
    return replaced(original, facts=fleet)


def test_a_policy_that_misses_an_accuracy_floor_does_not_hold() -> None:
    kept, missed = floored("mip", 0.74, generosity=3.0), floored("mip", 0.76, generosity=3.0)
    assert standings([kept])[0].holds
    assert standings([missed])[0].holds is False
    assert judge([kept]).winner == "mip"
    assert "every service's objective and every accuracy floor" in judge([kept]).headline
    verdict = judge([missed])
    assert verdict.winner is None
    assert "it holds every service's objective, but feed/rank serves auc 0.75 of 0.76." in verdict.headline


def test_an_excess_of_hundreds_of_percent_is_no_power_of_ten() -> None:
    assert [excess(share) for share in (0.00019, 0.077, 0.994, 3.02, 21.0)] == [
        "0.019 %", "7.7 %", "99 %", "302 %", "2,100 %",
    ]  # fmt: skip


def test_every_service_that_misses_is_named_the_worst_first() -> None:
    low = run("hpa", 80, 0.97)
    met = low.result.slo_met.copy()
    met[1] = round(0.5 * low.result.arrived[1])
    both = replaced(low, slo_met=met)
    names, asked = low.result.facts.services, 100 * low.result.facts.slo_quantile
    (standing,) = standings([both])
    assert standing.missed[0][0] == names[1]
    shown = ranking_misses(standing)
    assert shown.startswith(f"{names[1]} 50.00 % of {asked[1]:g} %, ")
    assert f"{names[0]} 97.00 % of {asked[0]:g} %" in shown
    assert f"misses {names[1]}'s" in judge([run("static_peak", 100, 0.999), both, run("mip", 50, 0.995)]).lines[1]


def test_a_miss_by_little_is_not_rounded_away() -> None:
    shown = ranking_misses(next(s for s in standings([run("hpa", 80, 0.98998)])))
    assert "98.998 % of 99 %" in shown
