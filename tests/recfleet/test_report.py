"""The page is well formed, loads nothing, says what failed, and stays small."""

from __future__ import annotations

import dataclasses
import re
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from recfleet.comparing import _facts
from recfleet.comparison import Comparison
from recfleet.report import FIGURES
from recfleet.report.decision_log import SHOWN, decision_excerpts
from recfleet.report.happenings import happenings
from recfleet.report.page import page_html
from recfleet.report.series import MAX_POINTS, Clock, thin
from recfleet.report.style import RESOURCE_TITLES, percent
from simulator.life.events import Event, JobReport
from simulator.monitoring.alerts import AlertRule
from tests.recfleet.fakes import FakeScenario, record, replaced
from workloads.errors import InputError

POLICIES = ("static_peak", "hpa", "document_greedy", "document_lp", "marginal_greedy", "mip", "clairvoyant_mip")
VOID = {"meta", "br", "wbr", "link", "img", "hr", "input"}


def comparison(
    policies: tuple[str, ...] = POLICIES[:3], seeds: int = 2, intervals: int = 60, **facts: Any
) -> Comparison:
    runs = tuple(record(p, s, intervals=intervals) for s in range(1, seeds + 1) for p in policies)
    scenario: Any = FakeScenario(intervals=intervals)
    described = dataclasses.replace(_facts(scenario), **facts)
    return Comparison(described, runs, tuple(range(1, seeds + 1)), "recfleet compare x.yaml", policies)


@pytest.fixture
def words_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """The page with empty figures, for what does not depend on them."""
    empty = SimpleNamespace(title="a figure", caption="a caption", svg="<svg></svg>")
    monkeypatch.setattr("recfleet.report.page.draw", lambda comparison, name: empty)


class Checker(HTMLParser):
    """Tags that match, and everything that a page could load."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.loads: list[str] = []
        self.references: list[str] = []
        self.tags: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in VOID:
            self.open.append(tag)
        self._read(tag, attrs)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._read(tag, attrs)

    def _read(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        for name, value in attrs:
            if name == "id":
                self.ids.append(value or "")
            if name in ("src", "href", "srcset", "data", "action") and not (value or "").startswith("#"):
                self.loads.append(f"{tag} {name}={value}")
            if name == "href" and (value or "").startswith("#"):
                self.references.append((value or "")[1:])
            self.references += re.findall(r"url\(#([^)]*)\)", value or "")

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag


def checked(html: str) -> Checker:
    checker = Checker()
    checker.feed(html)
    assert checker.open == []
    return checker


def test_well_formed_and_self_contained() -> None:
    html = page_html(comparison())
    page = checked(html)
    assert page.loads == []
    assert not page.tags & {"script", "link", "iframe", "object", "img"}
    assert "@import" not in html
    assert not re.search(r"url\((?!#)", html)
    assert len(page.ids) == len(set(page.ids))
    assert set(page.references) <= set(page.ids)
    assert html.count("<svg") == len(FIGURES)
    for title, _, _ in RESOURCE_TITLES.values():
        assert html.count(title) >= 2


@pytest.mark.usefixtures("words_only")
def test_says_what_is_needed() -> None:
    given = comparison()
    html = page_html(given)
    for text in (
        given.scenario.name,
        given.conservation,
        "The arrivals are synthetic.",
        "Profiles: none",
        "recfleet compare x.yaml",
        "relative error of 1 %",
    ):
        assert text in html
    for policy in given.policies:
        assert policy in html
    assert "An invariant failed" not in html


@pytest.mark.usefixtures("words_only")
def test_text_of_the_scenario_is_escaped() -> None:
    html = page_html(comparison(name="<script>alert(1)</script>", description='a "b" & <c>', sources=("<i>x</i>",)))
    assert "<script>" not in html
    assert "<i>x</i>" not in html
    checked(html)


def test_a_policy_with_a_strange_name() -> None:
    html = page_html(comparison(policies=("a<b>&\"c'", "$x_1$ y", "s$_$")))
    checked(html)
    assert html.count("$x_1$ y") > 6


@pytest.mark.usefixtures("words_only")
def test_a_failed_invariant_is_loud() -> None:
    given = comparison()
    broken = replaced(given.runs[0], failed=given.runs[0].result.failed + 1)
    html = page_html(dataclasses.replace(given, runs=(broken, *given.runs[1:])))
    assert "An invariant failed: do not use these numbers" in html
    assert "REQUESTS NOT ACCOUNTED FOR" in html
    checked(html)


@pytest.mark.parametrize(
    ("policies", "seeds", "intervals"), [(("hpa",), 1, 1), (("hpa", "mip"), 1, 2), ((*POLICIES, "eighth"), 1, 40)]
)
def test_small_and_large_comparisons(policies: tuple[str, ...], seeds: int, intervals: int) -> None:
    checked(page_html(comparison(policies, seeds, intervals)))


def test_nothing_completed_and_nothing_provisioned() -> None:
    given = comparison(("hpa",), 1, 10)
    run = given.runs[0]
    i = run.result.intervals
    none, zero = np.zeros((10, 3), int), np.zeros(3, int)
    empty = dataclasses.replace(
        i,
        completed=none,
        slo_met=none,
        in_flight=none,
        rejected=i.arrived,
        failed=none,
        **{name: np.full((10, 3), np.nan) for name in ("p50_s", "p95_s", "p99_s")},
        **{name: np.zeros((10, 6)) for name in ("provisioned", "allocated", "used")},
        cost_usd=np.zeros(10),
    )
    run = replaced(
        run,
        intervals=empty,
        completed=zero,
        slo_met=zero,
        failed=zero,
        rejected=run.result.arrived,
        histogram=np.zeros_like(run.result.histogram),
        served_batches=np.zeros((3, 2), int),
    )
    run = dataclasses.replace(run, bound_usd=0.0)
    html = page_html(dataclasses.replace(given, runs=(run,)))
    checked(html)
    assert "nan" not in re.sub(r"<svg.*?</svg>", "", html, flags=re.DOTALL).lower().replace("nano", "")


def test_a_week_of_seven_policies_stays_below_three_megabytes() -> None:
    assert len(page_html(comparison(POLICIES, 3, 2880)).encode()) < 3_000_000


def test_every_figure_by_name(tmp_path: Path) -> None:
    given = comparison()
    for name in FIGURES:
        picture = given.plot(name)
        assert picture.svg.startswith("<svg")
        assert picture.caption
    assert given.plot().save(tmp_path / "cost.png").stat().st_size > 1000
    with pytest.raises(InputError, match="use one of"):
        given.plot("nothing")


def test_drawing_leaves_matplotlib_as_it_was() -> None:
    import matplotlib as mpl

    before = dict(mpl.rcParams)
    comparison().plot("cost")
    assert dict(mpl.rcParams) == before


@pytest.mark.parametrize("n", [1, 2, MAX_POINTS, MAX_POINTS + 1, 2880, 9999])
def test_thinning_keeps_means_and_peaks(n: int) -> None:
    rng = np.random.default_rng(n)
    values = rng.random((n, 2))
    means, peaks = thin(values), thin(values, worst=True)
    assert len(means) <= MAX_POINTS
    assert peaks.max() == values.max()
    time = Clock(np.arange(n) * 30.0, np.full(n, 30.0))
    assert len(time.edges) == len(means) + 1
    weights = np.diff(time.edges)
    assert (means.T @ weights / weights.sum()) == pytest.approx(values.mean(axis=0))


def test_thinning_skips_gaps() -> None:
    assert np.isnan(thin(np.array([np.nan, np.nan]), worst=True)).all()
    peaks = thin(np.array([1.0, 5.0] * 150 + [np.nan]), worst=True)
    assert np.nanmax(peaks) == 5.0
    assert np.isnan(peaks).sum() == 1


@pytest.mark.parametrize(
    ("share", "text"), [(0.5, "50 %"), (0.0123, "1.2 %"), (1e-6, "< 0.01 %"), (0.0, "0 %"), (1.0, "100 %")]
)
def test_percent(share: float, text: str) -> None:
    assert percent(share) == text


def test_numbers_in_figures_are_not_cut() -> None:
    assert "0.0001 %" in comparison().plot("tail").svg


def test_decision_excerpt_shows_what_changed() -> None:
    given = comparison(("hpa",), 1, 120)
    run = given.runs[0]
    (excerpt,) = decision_excerpts(given)
    assert excerpt.counts.startswith("120 decisions (120 rule), ")
    assert len(excerpt.lines) <= SHOWN + 1
    assert excerpt.lines[0].time == "00:00:00"
    first = [int(n) for n in re.findall(r": (\d+)", excerpt.lines[0].change)]
    assert sum(first) == run.result.decisions[0].wanted.sum()
    for line in excerpt.lines[1:]:
        moves = [int(b) - int(a) for a, b in re.findall(r"(\d+) \N{RIGHTWARDS ARROW} (\d+)", line.change)]
        assert sum(moves) == line.started - line.drained
        assert 0 not in moves


@pytest.mark.usefixtures("words_only")
def test_variants_are_named_where_they_compete() -> None:
    given = comparison(("hpa",), 1, 12)
    run = given.runs[0]
    facts = dataclasses.replace(run.result.facts, variant_stage=np.array([0, 0, 2]))
    html = page_html(dataclasses.replace(given, runs=(replaced(run, facts=facts),)))
    assert "feed/rank/dlrm on h200-8: " in html
    assert "search/rerank on h200-8: " in html


def test_what_happened_is_told_where_something_did() -> None:
    quiet = comparison()
    assert happenings(quiet).rows == ()
    watched = comparison(alert_rules=(AlertRule("any traffic", "arrived_rps", above=-1.0),))
    services = len(quiet.runs[0].result.facts.services)
    assert {row.alerts for row in happenings(watched).rows} == {f"{services} any traffic"}
    hit = replaced(
        quiet.runs[0],
        events=(Event(5.0, "node_failed", "gpu/3", "", 2), Event(9.0, "node_repaired", "gpu/3")),
        jobs=(JobReport("retrain", 2, 1, 20.0, 15.0, 1.0, 18.0, 1),),
        replicas_lost=2,
    )
    rows = happenings(dataclasses.replace(quiet, runs=(hit, *quiet.runs[1:]))).rows
    assert [row.policy for row in rows if row.lost == "2"] == [hit.policy]
    assert (rows[0].events, rows[0].jobs) == ("1 node failed, 1 node repaired", "retrain: 15 of 20 GPU s")
