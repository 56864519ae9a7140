"""`python -m tests.benchmarks.forecast_table`: forecasters on the real traces, for the tables of docs/forecasting.md.

Needs the folder of real inputs (RECFLEET_DATA). Writes ``docs/results/forecasting/backtest.json``; then
`python -m tests.benchmarks.docs_tables` writes the tables. Takes one to three minutes of one core.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from optimizer.forecasting.backtest import BacktestPlan, MethodScore, backtest
from optimizer.forecasting.ensemble import Ensemble
from optimizer.forecasting.forecast import Forecaster, PointForecaster
from optimizer.forecasting.holt_winters import HoltWinters
from optimizer.forecasting.methods import METHODS, Setting
from optimizer.forecasting.naive import LastValue, SeasonalNaive
from optimizer.forecasting.residuals import EmpiricalQuantiles
from recfleet.cli_forecast import as_document
from recfleet.rate_source import RateSeries, SourceColumns, read_rates

__all__ = ["RESULTS", "SOURCES", "forecast_tables", "main", "read_backtests"]

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "docs" / "results" / "forecasting" / "backtest.json"
PLAN = BacktestPlan(horizon=10, origins=100)
LAST_S = 14 * 86_400.0
"""Of longer traces, so much of the end is used, for time."""


@dataclass(frozen=True)
class Source:
    """A trace and the interval that suits its rate: some ten requests in each, where the trace has them."""

    label: str
    file: str
    interval_s: float
    columns: SourceColumns = field(default_factory=SourceColumns)


def _nab(label: str, series: str) -> Source:
    columns = SourceColumns("value", "timestamp", 300.0, {"series": series})
    return Source(label, "data:counts_nab_5min.parquet", 300.0, columns)


SOURCES = (
    Source("World Cup 1998, 60 s", "data:arrivals_worldcup98_1min.parquet", 60.0),
    Source("World Cup 1998, 300 s", "data:arrivals_worldcup98_1min.parquet", 300.0),
    Source("Azure Functions 2019", "data:azure_functions2019_invocations.parquet", 60.0,
           SourceColumns("invocations", "minute_of_day", 60.0)),
    _nab("AWS load balancer", "aws_elb_requests"),
    _nab("tweets on AMZN", "tweets_AMZN"),
    _nab("tweets on AAPL", "tweets_AAPL"),
    Source("ZOZO impressions", "data:obd_impressions.parquet", 300.0, SourceColumns(arrival="timestamp")),
    Source("MovieTweetings", "data:ratings_movietweetings.parquet", 3600.0, SourceColumns(arrival="unix_s")),
    Source("Alibaba GenAI", "data:arrivals_genai_requests.parquet", 900.0, SourceColumns(arrival="arrival")),
    Source("Azure LLM 2023, code", "data:arrivals_azure_llm2023_code.parquet", 10.0, SourceColumns(arrival="arrival")),
    Source("Mooncake conversation", "data:arrivals_mooncake_conversation.parquet", 15.0,
           SourceColumns(arrival="arrival_ms", unit="ms")),
    Source("demo (synthetic)", str(ROOT / "scenarios" / "demo.yaml"), 60.0),
)  # fmt: skip


class Remembered:
    """A point forecaster that answers what it was asked before from memory, so that methods can share it.

    That is fair because answers depend on the history alone; times of the later methods come out too short.
    """

    def __init__(self, point: PointForecaster) -> None:
        self._point = point
        self._known: dict[tuple[int, int], np.ndarray] = {}

    def predict(self, history_rps: np.ndarray, horizon: int) -> np.ndarray:
        """``[service, step]``."""
        key = (history_rps.shape[1], horizon)
        if key not in self._known:
            self._known[key] = self._point.predict(history_rps, horizon)
        return self._known[key]


def _forecasters(setting: Setting) -> dict[str, Forecaster]:
    """Those of `make_forecaster` that smooth exponentially, with one Holt-Winters among them."""
    smooth = Remembered(HoltWinters(setting.interval_s, setting.periods))

    def members() -> list[EmpiricalQuantiles]:
        points: list[PointForecaster] = [LastValue(), SeasonalNaive(setting.periods), smooth]
        return [setting.with_quantiles(point) for point in points]

    return {
        "holt_winters": setting.with_quantiles(smooth),
        "ensemble": Ensemble(members()),
        "ensemble_median": Ensemble(members(), "median"),
    }


def measure(source: Source, methods: Sequence[str] = tuple(METHODS), plan: BacktestPlan = PLAN) -> dict[str, Any]:
    """What `recfleet forecast --json` says of the end of one source, and which methods are as good as the best."""
    whole = read_rates(Path(source.file), source.interval_s, columns=source.columns)
    kept = whole.rate_rps[:, -round(LAST_S / whole.interval_s) :]
    rates = RateSeries(source.label, whole.services, whole.interval_s, kept, whole.synthetic)
    setting = Setting(whole.interval_s)
    shared = _forecasters(setting)
    scores = [backtest(kept, method, setting, plan, forecaster=shared.get(method)) for method in methods]
    document = as_document(rates, plan, scores)
    for method in ("ensemble", "ensemble_median"):
        document["methods"][method]["seconds_per_forecast"] = None
    return document | {"as_good_as_best": _as_good_as_best(scores)}


def _as_good_as_best(scores: Sequence[MethodScore]) -> list[str]:
    """Methods, but the oracle, whose loss is within two standard errors of the best one's, paired by origin."""
    real = [score for score in scores if score.method != "oracle"]
    best = min(real, key=lambda score: score.mean_pinball_rps)
    gaps = [(score.method, score.pinball_by_origin_rps - best.pinball_by_origin_rps) for score in real]
    return [name for name, gap in gaps if gap.mean() <= 2.0 * gap.std(ddof=1) / np.sqrt(len(gap))]


def read_backtests(path: Path = RESULTS) -> list[dict[str, Any]]:
    """A document a trace."""
    found: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))
    return found


def forecast_tables(results: Sequence[Mapping[str, Any]]) -> str:
    """Markdown: losses, coverage, what lies below the highest level, bias."""
    return "\n\n".join(_tables(results))


def _tables(results: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    def loss(result: Mapping[str, Any], method: str) -> str:
        text = f"{result['methods'][method]['relative_pinball']:.2%}"
        return f"**{text}**" if method in result["as_good_as_best"] else text

    def within(result: Mapping[str, Any], method: str) -> str:
        return f"{result['methods'][method]['coverage']:.0%}"

    def below(result: Mapping[str, Any], method: str) -> str:
        return f"{result['methods'][method]['share_below'][-1]:.1%}"

    def bias(result: Mapping[str, Any], method: str) -> str:
        return f"{result['methods'][method]['bias_rps'] / result['mean_rate_rps']:+.1%}"

    first = results[0]
    levels = first["levels"]
    yield "Mean pinball loss over the mean rate (in bold: less than two standard errors behind the best):"
    yield _table(results, loss, ("intervals", "length", "rate /s"), _facts)
    yield f"Rates within the central {first['methods']['last_value']['nominal_coverage']:.0%} interval:"
    yield _table(results, within)
    yield f"Rates at or below the quantile of level {levels[-1]:g}:"
    yield _table(results, below)
    yield "Bias of the point forecast, over the mean rate:"
    yield _table(results, bias)


def _facts(result: Mapping[str, Any]) -> tuple[str, ...]:
    return f"{result['intervals']:,}", f"{result['interval_s']:g} s", f"{result['mean_rate_rps']:.3g}"


def _table(
    results: Sequence[Mapping[str, Any]],
    cell: Callable[[Mapping[str, Any], str], str],
    more: Sequence[str] = (),
    facts: Callable[[Mapping[str, Any]], tuple[str, ...]] = lambda _: (),
) -> str:
    methods = [method for method in results[0]["methods"] if method != "oracle"]
    lines = [
        "| trace | " + " | ".join([*more, *(f"`{method}`" for method in methods)]) + " |",
        "| --- |" + " ---: |" * (len(more) + len(methods)),
    ]
    for result in results:
        lines.append(
            f"| {result['source']} | " + " | ".join([*facts(result), *(cell(result, m) for m in methods)]) + " |"
        )
    return "\n".join(lines)


def _as_text(results: Sequence[Mapping[str, Any]]) -> str:
    """JSON, a line a trace, numbers to six digits."""

    def short(value: Any) -> Any:
        if isinstance(value, Mapping):
            return {key: short(inner) for key, inner in value.items()}
        if isinstance(value, list):
            return [short(inner) for inner in value]
        return float(f"{value:.6g}") if isinstance(value, float) else value

    return "[\n" + ",\n".join(json.dumps(short(result)) for result in results) + "\n]\n"


def main() -> int:
    """Measure every source and keep the figures."""
    results = []
    for source in SOURCES:
        began = time.perf_counter()
        results.append(measure(source))
        print(f"{source.label}: {time.perf_counter() - began:.1f} s", file=sys.stderr, flush=True)
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    RESULTS.write_text(_as_text(results), encoding="utf-8")
    print(forecast_tables(results))
    return 0


if __name__ == "__main__":
    sys.exit(main())
