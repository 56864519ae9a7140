"""Tables of test metrics for a terminal: a model beside the baselines, and where a baseline is better."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from workloads.training.evaluation import Metrics

__all__ = ["print_metrics", "verdict_lines"]

_LOWER_IS_BETTER = ("rmse",)
_NO_DIRECTION = ("coverage", "diversity")
_LABELS = {
    "auc": "AUC",
    "rmse": "RMSE",
    "ndcg": "NDCG@",
    "recall": "recall@",
    "coverage": "cov.@",
    "diversity": "div.@",
}


def print_metrics(
    model: str, metrics: Metrics, baselines: Mapping[str, Metrics], rivals: str = "every baseline"
) -> None:
    """Print the table, the intervals, the verdict and what was judged; `rivals` is what the others are called."""
    console = Console()
    every = {model: metrics, **baselines}
    names = list(dict.fromkeys(name for found in every.values() for name in found.values()))
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column(f"on the {metrics.part} part", no_wrap=True)
    for name in names:
        table.add_column(label(name), justify="right", no_wrap=True)
    for row, (who, found) in enumerate(every.items()):
        values = found.values()
        cells = [f"{values[name]:.4f}" if name in values else "-" for name in names]
        table.add_row(Text(who), *cells, style="bold" if row == 0 and baselines else "")
    console.print(table)
    for line in (_intervals(metrics), *verdict_lines(metrics, baselines, rivals), *_counts(metrics)):
        console.print(Text(line))


def label(name: str) -> str:
    """A metric's name as a heading."""
    stem = name.rstrip("0123456789")
    return _LABELS.get(stem, stem) + name[len(stem) :]


def verdict_lines(metrics: Metrics, baselines: Mapping[str, Metrics], rivals: str) -> list[str]:
    """In which metrics the model beats every baseline, and in which it does not.

    Returns
    -------
    list of str
        Up to two sentences; none without baselines.
    """
    better, worse = [], []
    for name, value in metrics.values().items():
        if name.startswith(_NO_DIRECTION):
            continue
        theirs = {who: found.values()[name] for who, found in baselines.items() if name in found.values()}
        if not theirs:
            continue
        pick = min if name in _LOWER_IS_BETTER else max
        who = pick(theirs, key=theirs.__getitem__)
        if value != theirs[who] and pick(value, theirs[who]) == value:
            better.append(label(name))
        else:
            worse.append(f"{label(name)} ({who}: {theirs[who]:.4f} against {value:.4f})")
    lines = [f"better than {rivals}: {', '.join(better)}"] if better else []
    return lines + ([f"not better than {rivals}: {', '.join(worse)}"] if worse else [])


def _intervals(metrics: Metrics) -> str:
    shown = [
        f"{label(name)} {estimate.low:.4f} to {estimate.high:.4f}"
        for name, estimate in metrics.estimates().items()
        if estimate.low == estimate.low
    ]
    return f"95 % intervals over users: {', '.join(shown)}" if shown else "no intervals"


def _counts(metrics: Metrics) -> list[str]:
    counts = metrics.counts
    rows = (
        f"rows {counts['rows']:,}: {counts['rows_of_unknown_users']:,} of users and "
        f"{counts['rows_of_unknown_items']:,} of items that training has not seen"
    )
    if "users_ranked" not in counts:
        return [rows]
    left_out = f"{counts['users_unknown']:,} unknown, {counts['users_without_relevant']:,} with nothing to find"
    ranked = (
        f"ranked {counts['catalogue']:,} items for {counts['users_ranked']:,} of {counts['users_in_part']:,} users "
        f"({left_out}); {counts['likes_outside_catalogue']:,} likes of unknown items left out"
    )
    return [rows, ranked]
