"""``recfleet forecast``: forecasters scored on a trace's own past, by a rolling-origin backtest."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from workloads.errors import InputError

if TYPE_CHECKING:
    from optimizer.forecasting.backtest import BacktestPlan, MethodScore
    from recfleet.rate_source import RateSeries

__all__ = ["as_document", "forecast"]

_ALL = "all"


def forecast(
    source: Annotated[
        Path, typer.Argument(help="Scenario (YAML), trace (Parquet), or table of counts or requests; data:NAME too.")
    ],
    methods: Annotated[str, typer.Option(help="Methods, by commas; all of them by default.")] = _ALL,
    interval: Annotated[
        float | None, typer.Option(help="Seconds; a scenario's control interval, a log's bin, else 60.")
    ] = None,
    horizon: Annotated[int, typer.Option(help="Intervals ahead.")] = 10,
    levels: Annotated[str, typer.Option(help="Quantile levels, by commas.")] = "0.05,0.25,0.5,0.75,0.95,0.99",
    origins: Annotated[int, typer.Option(help="Instants to forecast from, at most.")] = 100,
    warm_up: Annotated[float, typer.Option(help="Share of the trace that is history only.")] = 1 / 3,
    period: Annotated[float | None, typer.Option(help="Season in seconds; the day and the week by default.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of a scenario's trace.")] = 0,
    count_column: Annotated[str, typer.Option(help="Of a table of counts: requests in the bin.")] = "requests",
    time_column: Annotated[str, typer.Option(help="Of a table of counts: timestamps or bin numbers.")] = "minute",
    bin_s: Annotated[float | None, typer.Option(help="Of a table of counts: width of a bin.")] = None,
    where: Annotated[list[str] | None, typer.Option(help="COLUMN=VALUE of rows to keep; repeatable.")] = None,
    arrival_column: Annotated[str | None, typer.Option(help="Of a table of requests: their times.")] = None,
    unit: Annotated[str, typer.Option(help="Unit of numeric times of requests: s, ms, us or ns.")] = "s",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")] = False,
) -> None:
    """Score forecasters on a trace: each forecasts from many of its instants, with what was known then.

    Prints the pinball loss by quantile level, also over the mean rate; how often the widest central interval held the
    rate; error and bias of the point forecast; seconds of a forecast. Rates of several services are forecast one by
    one and their losses added. Planning policies take a method by name: docs/forecasting.md.

    Example: recfleet forecast scenarios/demo.yaml --methods last_value,holt_winters
    """
    from optimizer.forecasting.backtest import origins_of
    from optimizer.forecasting.methods import METHODS, Setting
    from optimizer.options import suggestion
    from recfleet.rate_source import SourceColumns, read_rates

    plan = _plan(horizon, levels, origins, warm_up)
    chosen = list(METHODS) if methods == _ALL else [name.strip().replace("-", "_") for name in methods.split(",")]
    for name in chosen:
        if name not in METHODS:
            fix = suggestion(name, METHODS, "methods")
            raise InputError(f"--methods {name}", "there is no such method", fix)
    if period is not None and not (math.isfinite(period) and period > 0.0):
        raise InputError("--period", f"{period} is not a finite number above 0", "give seconds, as in 86400")
    kept = dict(_pair(text) for text in where or [])
    columns = SourceColumns(count_column, time_column or None, bin_s, kept, arrival_column, unit)
    rates = read_rates(source, interval, seed, columns)
    count = len(origins_of(rates.rate_rps.shape[1], plan))
    scores = _scores(rates, chosen, Setting(rates.interval_s, period), plan, count)
    if as_json:
        typer.echo(json.dumps(as_document(rates, plan, scores), indent=2))
    else:
        _print(rates, plan, scores)


def _plan(horizon: int, levels: str, origins: int, warm_up: float) -> BacktestPlan:
    from optimizer.forecasting.backtest import BacktestPlan

    for name, number in (("--horizon", horizon), ("--origins", origins)):
        if number < 1:
            raise InputError(name, f"{number} is not a whole number above 0", "give one")
    if not 0.0 <= warm_up < 1.0:
        raise InputError("--warm-up", f"{warm_up} is not a share from 0 to below 1", "give one, as in 0.5")
    try:
        given = tuple(float(text) for text in levels.split(","))
    except ValueError:
        raise InputError(
            "--levels", f"{levels!r} are not numbers", "give them by commas, as in 0.05,0.5,0.95"
        ) from None
    if not all(0.0 < level < 1.0 for level in given) or any(a >= b for a, b in pairwise(given)):
        raise InputError(
            "--levels", f"{levels!r} do not rise from above 0 to below 1", "give 0.05,0.5,0.95 or the like"
        )
    return BacktestPlan(horizon, given, origins, warm_up)


def _pair(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise InputError("--where", f"{text!r} is not COLUMN=VALUE", "write it so")
    return key, value


def _scores(rates: RateSeries, methods: list[str], setting: Any, plan: BacktestPlan, count: int) -> list[MethodScore]:
    from optimizer.forecasting.backtest import backtest

    scores = []
    with _progress(count * len(methods)) as advance:
        for method in methods:
            scores.append(backtest(rates.rate_rps, method, setting, plan, lambda n, method=method: advance(method, n)))  # type: ignore[misc]
            if not sys.stderr.isatty():
                typer.echo(f"done: {method}", err=True)
    return scores


@contextmanager
def _progress(total: int) -> Iterator[Callable[[str, int], None]]:
    """A bar on standard error while it is a terminal; else nothing."""
    if not sys.stderr.isatty():
        yield lambda method, steps: None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("forecasting", total=total)
        yield lambda method, steps: bar.update(task, advance=steps, description=method)


def as_document(rates: RateSeries, plan: BacktestPlan, scores: list[MethodScore]) -> dict[str, Any]:
    """The result as plain values; what is not defined is null."""
    return {
        "source": rates.name,
        "synthetic": rates.synthetic,
        "services": list(rates.services),
        "interval_s": rates.interval_s,
        "intervals": rates.rate_rps.shape[1],
        "horizon": plan.horizon,
        "levels": list(plan.levels),
        "origins": scores[0].origins,
        "mean_rate_rps": scores[0].mean_rate_rps,
        "methods": {score.method: _score_dict(score) for score in scores},
    }


def _score_dict(score: MethodScore) -> dict[str, Any]:
    values = {
        "mean_pinball_rps": score.mean_pinball_rps,
        "relative_pinball": score.relative_pinball,
        "coverage": score.coverage,
        "nominal_coverage": score.nominal,
        "mae_rps": score.mae_rps,
        "bias_rps": score.bias_rps,
        "seconds_per_forecast": score.seconds_per_forecast,
    }
    return {
        **{name: value if math.isfinite(value) else None for name, value in values.items()},
        "pinball_rps": score.pinball_rps.tolist(),
        "share_below": score.below.tolist(),
        "pinball_by_step_rps": score.pinball_by_step_rps.tolist(),
    }


def _print(rates: RateSeries, plan: BacktestPlan, scores: list[MethodScore]) -> None:
    from rich.console import Console
    from rich.table import Column, Table

    console = Console()
    console.print(
        f"{rates.name} ({'synthetic' if rates.synthetic else 'logged'}; {', '.join(rates.services)}): "
        f"{rates.rate_rps.shape[1]:,} intervals of {rates.interval_s:g} s, {scores[0].mean_rate_rps:.4g} requests/s "
        f"where forecast; {scores[0].origins} origins, {plan.horizon} intervals ahead",
        highlight=False, markup=False, soft_wrap=True,
    )  # fmt: skip
    nominal = scores[0].nominal
    told = "within" if math.isnan(nominal) else f"within {nominal:.0%}"
    main = Table(Column("method", no_wrap=True), box=None, pad_edge=False, header_style="bold")
    for heading in ("pinball /s", "of rate", told, "MAE /s", "bias /s", "s each"):
        main.add_column(heading, justify="right")
    by_level = Table(Column("pinball /s at", no_wrap=True), box=None, pad_edge=False, header_style="bold")
    for level in plan.levels:
        by_level.add_column(f"{level:g}", justify="right")
    for score in scores:
        cells = [
            f"{score.mean_pinball_rps:.4g}",
            _percent(score.relative_pinball, 2),
            _percent(score.coverage, 1),
            f"{score.mae_rps:.4g}",
            f"{score.bias_rps:+.3g}",
            f"{score.seconds_per_forecast:.4f}",
        ]
        main.add_row(score.method, *cells)
        by_level.add_row(score.method, *(f"{loss:.4g}" for loss in score.pinball_rps))
    console.print(main)
    console.print()
    console.print(by_level)


def _percent(share: float, digits: int) -> str:
    return "-" if math.isnan(share) else f"{share:.{digits}%}"
