"""Certificates, ledgers, prices and solves in tables, verdict, checks and page."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from optimizer.certificate.certify import Certificate
from recfleet.certificate_tables import certificate_frame, ledger_frame, price_rows, why_below
from recfleet.checks import check_certificates
from recfleet.comparison import Comparison
from recfleet.report.certificate import chain_rows, ledger_rows, price_sentences, solve_rows
from recfleet.report.page import page_html
from recfleet.run_record import RunRecord, load_record, save_record
from recfleet.tables import decisions_frame
from recfleet.verdict import judge
from tests.recfleet.fakes import replaced
from tests.recfleet.test_report import comparison

POLICIES = ("static_peak", "hpa", "mip")


def planned(run: RunRecord) -> RunRecord:
    """The run as if its policy had solved a problem at each decision, for what had come in the interval before."""
    decisions = []
    for d in run.result.decisions:
        expected = tuple(float(x) for x in run.result.intervals.arrived[max(0, d.slot - 1)] / 30.0)
        status = "fallback" if d.slot == 3 else "optimal"
        note = "greedy, because MIP failed: SolverTroubleError: no solution" if d.slot == 3 else "demand fell"
        bound = None if d.slot == 3 else 99.0
        decisions.append(
            dataclasses.replace(
                d,
                status=status,
                note=note,
                objective_usd_per_hour=100.0,
                bound_usd_per_hour=bound,
                expected_rps=expected,
            )
        )
    return replaced(run, decisions=tuple(decisions))


@pytest.fixture(scope="module")
def given() -> Comparison:
    base = comparison(POLICIES, seeds=2, intervals=40)
    return dataclasses.replace(base, runs=tuple(planned(r) if r.policy == "mip" else r for r in base.runs))


@pytest.fixture
def words_only(monkeypatch: pytest.MonkeyPatch) -> None:
    empty = SimpleNamespace(title="a figure", caption="a caption", svg="<svg></svg>")
    monkeypatch.setattr("recfleet.report.page.draw", lambda comparison, name: empty)


def test_the_chain_holds_and_names_its_condition(given: Comparison) -> None:
    frame = certificate_frame(given.runs, given.certificates)
    assert len(frame) == 6
    assert (frame["fluid_usd"] <= frame["clairvoyant_lower_usd"] * (1 + 1e-9)).all()
    assert (frame["clairvoyant_lower_usd"] <= frame["clairvoyant_upper_usd"] * (1 + 1e-9)).all()
    by_seed = frame.groupby("seed")[["clairvoyant_lower_usd", "clairvoyant_upper_usd"]].nunique()
    assert (by_seed == 1).all(axis=None)
    assert set(frame["slots"]) == {40}
    # The fake HPA's fleet is last interval's demand times 1.9: short where demand nearly doubles, and only there.
    below = frame[frame["cost_usd"] < frame["clairvoyant_lower_usd"]]
    assert (below["why_below"] != "").all()
    assert (frame.drop(below.index)["why_below"] == "").all()


def test_the_lines_of_each_run_sum_to_its_cost_less_its_bound(given: Comparison) -> None:
    sums = ledger_frame(given.runs, given.certificates).groupby(["policy", "seed"])["usd"].sum()
    for run in given.runs:
        cost = float(run.result.intervals.cost_usd.sum())
        assert sums[run.policy, run.seed] == pytest.approx(cost - run.bound_usd, rel=1e-9)


def test_lines_that_do_not_apply_are_zero_and_say_so(given: Comparison) -> None:
    lines = {line.key: line for line in given.certificates_of("hpa")[0].ledger.lines}
    assert lines["reserve"].usd == lines["forecast"].usd == 0.0
    assert "no reserve" in lines["reserve"].note
    assert "expects" in lines["forecast"].note
    planned = {line.key: line for line in given.certificates_of("mip")[0].ledger.lines}
    assert planned["forecast"].note == ""
    assert planned["forecast"].usd != 0.0
    assert sum(lines[key].usd for key in ("whole", "slo", "headroom", "starts")) > 0.0


def cheap(run: RunRecord, share: float) -> RunRecord:
    """The run at a share of what it paid."""
    rows = run.result.intervals
    return replaced(run, intervals=dataclasses.replace(rows, cost_usd=share * rows.cost_usd))


def with_certificate(run: RunRecord, certificate: Certificate, *, short: int) -> Certificate:
    """Another cost and another number of short slots."""
    cost = float(run.result.intervals.cost_usd.sum())
    conditions = dataclasses.replace(
        certificate.conditions, short=short, short_requests=0.25 if short else 0.0, worst_share=0.8 if short else 1.0
    )
    return dataclasses.replace(certificate, cost_usd=cost, conditions=conditions)


def test_paying_less_without_meeting_the_condition_has_a_reason(given: Comparison) -> None:
    run = cheap(given.runs[0], 0.01)
    certificate = with_certificate(run, given.certificates[0], short=7)
    assert "in 7 of 40 slots, with 25 % of the requests" in why_below(run, certificate)
    verdict = judge([dataclasses.replace(run, bound_usd=0.1)], [certificate])
    assert "less, its condition unmet in 7 of 40 slots (see the report)" in str(verdict)
    assert "did not meet that condition: in 7 of 40 slots" in " ".join(verdict.details)


def test_paying_less_than_the_optimum_after_meeting_its_condition_is_a_failure(given: Comparison) -> None:
    run = cheap(given.runs[0], 0.01)
    met = with_certificate(run, given.certificates[0], short=0)
    chain, _ = check_certificates([run], [met])
    assert not chain.ok
    assert "met the condition in every slot and paid" in chain.failures[0]
    chain, _ = check_certificates([run], [with_certificate(run, met, short=1)])
    assert chain.ok


def test_a_bound_above_the_optimum_or_a_ledger_that_does_not_sum_is_a_failure(given: Comparison) -> None:
    run, certificate = given.runs[0], given.certificates[0]
    wrong = dataclasses.replace(certificate, fluid_usd=2 * certificate.optimum.lower_usd)
    assert not check_certificates([run], [wrong])[0].ok
    ledger = dataclasses.replace(certificate.ledger, lines=certificate.ledger.lines[1:-1])
    assert not check_certificates([run], [dataclasses.replace(certificate, ledger=ledger)])[1].ok
    assert all(check.ok for check in check_certificates([run], [certificate]))


def test_verdict_says_where_the_winner_stands(given: Comparison) -> None:
    text = given.verdict.text
    assert "The clairvoyant optimum is the cheapest sequence of whole fleets" in text
    assert f"{given.certificates[0].optimum.lower_usd:,.2f}"[:2] in text


def test_an_open_bracket_is_said_to_depend_on_what_was_compared(given: Comparison) -> None:
    run, certificate = given.runs[0], given.certificates[0]
    lower = certificate.optimum.lower_usd
    opened, closed = (
        dataclasses.replace(certificate, optimum=dataclasses.replace(certificate.optimum, upper_usd=upper))
        for upper in (1.1 * lower, lower)
    )
    span = f"lies between {lower:,.2f} and {1.1 * lower:,.2f} USD (its ends move a little with the set of policies"
    assert span in str(judge([run], [opened]))
    assert f"is {lower:,.2f} USD; " in str(judge([run], [closed]))


def test_verdict_and_table_tell_the_excess_over_the_optimum_by_the_same_base(given: Comparison) -> None:
    """Of the optimum, where the policy paid less than it as where it paid more; not of the cost."""
    run, certificate = given.runs[0], given.certificates[0]
    for ratio, said in ((0.923, "paid 7.7 % less"), (1.25, "25 % above it")):
        lower = certificate.cost_usd / ratio
        optimum = dataclasses.replace(certificate.optimum, lower_usd=lower, upper_usd=lower)
        moved = dataclasses.replace(certificate, optimum=optimum)
        assert said in str(judge([run], [moved]))
        assert 100.0 * moved.excess == pytest.approx(100.0 * (ratio - 1.0))
        one = dataclasses.replace(given, runs=(run,))
        vars(one)["certificates"] = (moved,)
        (row,) = chain_rows(one)
        assert row.cells[-1][0] == f"{100.0 * (ratio - 1.0):.1f}"


@pytest.mark.usefixtures("words_only")
def test_the_page_shows_all_three_and_the_solves(given: Comparison) -> None:
    html = page_html(given)
    assert 'id="certificate"' in html
    assert "Optimum, at least" in html
    for row in chain_rows(given):
        for mean, _ in row.cells:
            assert f"<td>{mean}" in html
    for row in ledger_rows(given, POLICIES):
        assert row.title in html
    assert "Bottleneck prices" in html
    assert "would save" in html
    for sentence in price_sentences(given):
        assert sentence in html
    assert "1: greedy, because MIP failed: SolverTroubleError: no solution" in html


def test_solves_by_status_and_gap(given: Comparison) -> None:
    (row,) = solve_rows(given)
    assert (row.policy, row.decisions, row.solves) == ("mip", 40, 40)
    assert row.statuses == "39 optimal, 1 fallback"
    assert (row.median_gap, row.worst_gap) == ("1 %", "1 %")
    log = decisions_frame(given.runs)
    own = log[(log["policy"] == "mip") & (log["seed"] == 1)]
    assert own["gap"].isna().sum() == 1
    assert own["gap"].iloc[0] == pytest.approx(0.01)
    assert own["expected"].iloc[5].startswith("feed/rank=")
    assert log[log["policy"] == "hpa"]["gap"].isna().all()
    assert set(log[log["policy"] == "hpa"]["expected"]) == {""}


def test_intervals_with_half_widths_over_seeds(given: Comparison) -> None:
    rows = ledger_rows(given, POLICIES)
    assert rows[0].title == "fluid bound"
    assert rows[-1].title == "paid"
    assert all(half.startswith("±") for _, half in rows[-1].cells)


def test_files_hold_the_same_numbers(given: Comparison, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("recfleet.report.write_page", lambda comparison, path: path.write_text("page"))
    from recfleet.files import write_comparison

    write_comparison(given, tmp_path)
    document = json.loads((tmp_path / "summary.json").read_text())
    assert len(document["certificate"]) == 6
    assert document["certificate"][0]["clairvoyant_lower_usd"] == pytest.approx(given.certificates[0].optimum.lower_usd)
    ledger = document["waste_ledger"]["mip"]
    total = sum(line["mean"] for line in ledger["lines"])
    assert total == pytest.approx(ledger["cost_usd"]["mean"] - ledger["bound_usd"]["mean"], rel=1e-9)
    assert document["bottleneck_prices"]["prices"]
    table = pd.read_parquet(tmp_path / "waste_ledger.parquet")
    assert table["usd"].sum() == pytest.approx(sum(c.ledger.total_usd for c in given.certificates))
    assert len(pd.read_csv(tmp_path / "certificate.csv")) == 6


def test_prices_are_listed_by_worth(given: Comparison) -> None:
    rows = price_rows(given.prices, given.runs[0].result.facts)
    worth = [row["usd_per_day"] for row in rows if row["kind"] != "stage"]
    assert worth == sorted(worth, reverse=True)
    assert next(row["what"] for row in rows if row["kind"] == "stage") == "1,000 requests/s at feed/rank"


def test_what_a_policy_expected_survives_the_file(given: Comparison, tmp_path: Path) -> None:
    run = given.runs[2]
    save_record(run, tmp_path / "run.npz")
    back = load_record(tmp_path / "run.npz")
    assert back is not None
    assert [d.expected_rps for d in back.result.decisions] == [d.expected_rps for d in run.result.decisions]


def test_the_figure_draws_a_panel_a_policy(given: Comparison) -> None:
    drawn = given.plot("ledger")
    for policy in POLICIES:
        assert f">{policy}<" in drawn.svg
    assert "fluid bound" in drawn.svg
    assert np.isfinite(drawn.figure.get_size_inches()).all()
