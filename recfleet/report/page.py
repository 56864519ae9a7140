"""The report page, from its template."""

from __future__ import annotations

import math
from dataclasses import dataclass
from importlib import resources
from typing import TYPE_CHECKING, Any

from recfleet.estimates import estimate
from recfleet.report import FIGURES, draw
from recfleet.report.certificate import chain_rows, ledger_rows, price_sentences, solve_rows
from recfleet.report.decision_log import decision_excerpts
from recfleet.report.happenings import happenings
from recfleet.report.ranking import COLUMNS, ranked_rows
from recfleet.report.style import percent, policy_colours
from recfleet.tables import accuracy_rows
from recfleet.versions import versions
from simulator.histogram import RELATIVE_ERROR

if TYPE_CHECKING:
    from recfleet.comparison import Comparison

__all__ = ["page_html"]


def page_html(comparison: Comparison) -> str:
    """The whole page; the same bytes for the same comparison."""
    import jinja2
    from markupsafe import Markup

    loader = jinja2.PackageLoader("recfleet.report", ".")
    environment = jinja2.Environment(
        loader=loader, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["breakable"] = _breakable
    ranked = ranked_rows(comparison)
    pictures = {name: draw(comparison, name) for name in FIGURES}
    style = resources.files("recfleet.report").joinpath("page.css").read_text(encoding="utf-8")
    return environment.get_template("page.html").render(
        comparison=comparison,
        scenario=comparison.scenario,
        verdict=comparison.verdict,
        columns=COLUMNS,
        rows=ranked,
        figures={n: _Drawn(p.title, p.caption, Markup(p.svg)) for n, p in pictures.items()},
        services=_service_table(comparison),
        facts=_facts(comparison),
        accuracy=_accuracy_table(comparison),
        decisions=decision_excerpts(comparison),
        chain=chain_rows(comparison),
        ledger_policies=[row.policy for row in ranked],
        ledger=ledger_rows(comparison, [row.policy for row in ranked]),
        prices=price_sentences(comparison),
        solves=solve_rows(comparison),
        happenings=happenings(comparison),
        extrapolated=_extrapolated(comparison),
        relative_error=RELATIVE_ERROR,
        versions=versions(),
        style=Markup(style),
        colours=policy_colours(comparison),
    )


def _breakable(name: str) -> Any:
    """A policy's name in the head of a narrow column: it may break behind underscores."""
    from markupsafe import Markup, escape

    return Markup("_<wbr>").join(escape(part) for part in name.split("_"))


@dataclass(frozen=True)
class _Drawn:
    title: str
    caption: str
    svg: Any


def _facts(comparison: Comparison) -> list[tuple[str, str]]:
    """The line of numbers under the title."""
    requests = [int(run.result.arrived.sum()) for run in comparison.runs if run.policy == comparison.policies[0]]
    seeds, seconds = len(comparison.seeds), comparison.scenario.duration_s
    return [
        ("policies", str(len(comparison.policies))),
        ("seeds", str(seeds)),
        ("requests a run", f"{sum(requests) / seeds:,.0f}"),
        ("hours", f"{seconds / 3600:.4g}") if seconds >= 7200 else ("minutes", f"{seconds / 60:.4g}"),
        ("decisions every", f"{comparison.scenario.control_interval_s:g} s"),
        ("services", str(len(comparison.runs[0].result.facts.services))),
    ]


_SERVICE_COLUMNS = (
    ("slo_attainment", 100.0, 3),
    ("rejected", 1.0, 0),
    ("failed", 1.0, 0),
    ("p50_ms", 1.0, 1),
    ("p95_ms", 1.0, 1),
    ("p99_ms", 1.0, 1),
    ("p999_ms", 1.0, 1),
    ("minutes_in_violation", 1.0, 1),
    ("worst_5min_slo", 100.0, 2),
)


def _service_table(comparison: Comparison) -> list[dict[str, Any]]:
    """A group a service, a row a policy; means over seeds."""
    table, facts = comparison.services, comparison.runs[0].result.facts
    groups = []
    for s, service in enumerate(facts.services):
        rows = []
        for policy in comparison.policies:
            own = table[(table["service"] == service) & (table["policy"] == policy)]
            means = {name: estimate(own[name].tolist()).mean for name, _, _ in _SERVICE_COLUMNS}
            cells = [_number(means[name] * factor, decimals) for name, factor, decimals in _SERVICE_COLUMNS]
            rows.append((policy, cells, means["slo_attainment"] >= float(facts.slo_quantile[s])))
        asked = f"{100 * float(facts.slo_quantile[s]):g} % within {1e3 * float(facts.slo_s[s]):g} ms"
        groups.append({"service": service, "asked": asked, "rows": rows})
    return groups


def _accuracy_table(comparison: Comparison) -> list[dict[str, Any]]:
    """A group a stage that names a metric, a row a policy; means over seeds. Empty where no stage does."""
    rows = accuracy_rows(comparison.runs)
    groups = []
    for stage in dict.fromkeys(row["stage"] for row in rows):
        of_stage = [row for row in rows if row["stage"] == stage]
        first = of_stage[0]
        asked = "" if math.isnan(first["accuracy_floor"]) else f"; at least {first['accuracy_floor']:g}"
        lines = []
        for policy in comparison.policies:
            own = [row for row in of_stage if row["policy"] == policy]
            mean = {name: estimate([row[name] for row in own]).mean for name in _ACCURACY_COLUMNS}
            cells = [_number(mean[name], decimals) for name, decimals in _ACCURACY_COLUMNS.items()]
            lines.append((policy, cells, not mean["accuracy_margin"] < -1e-9))
        best = f"{first['metric']}, best variant {first['accuracy_best']:.5g}{asked}"
        groups.append({"stage": stage, "asked": best, "rows": lines})
    return groups


_ACCURACY_COLUMNS = {"accuracy": 5, "accuracy_margin": 5, "lost_points": 3, "lost_usd": 2}


def _number(value: float, decimals: int) -> str:
    return "-" if value != value else f"{value:,.{decimals}f}"


def _extrapolated(comparison: Comparison) -> str:
    worst = comparison.summary.groupby("policy", sort=False)["extrapolated_batches"].mean().max()
    if not worst > 0:
        return "No batch was larger than those that were measured."
    return (
        f"Up to {percent(float(worst))} of a policy's batches were larger than any that was measured; "
        "their latency extends the last measured segment."
    )
