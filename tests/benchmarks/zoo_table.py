"""`python -m tests.benchmarks.zoo_table`: test-set figures of the zoo beside baselines, as `docs/models.md` shows them.

Reads ``docs/results/training/``: what ``recfleet train MODEL --data D --json FILE`` wrote, a file a model and data set.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from workloads.models import MODEL_NAMES

__all__ = ["FOLDER", "main", "read_results", "zoo_tables"]

FOLDER = Path(__file__).resolve().parents[2] / "docs" / "results" / "training"
_HIGHER_IS_BETTER = {"auc": True, "rmse": False, "ndcg10": True, "recall10": True}
_SHOWN = {"auc": "AUC", "rmse": "RMSE", "ndcg10": "NDCG@10", "recall10": "recall@10", "coverage10": "coverage@10"}
_SHOWN |= {"diversity10": "diversity@10"}


def read_results(folder: Path = FOLDER) -> dict[str, dict[str, dict[str, Any]]]:
    """``results[data set][model]``, each as it was written."""
    results: dict[str, dict[str, dict[str, Any]]] = {}
    for path in sorted(folder.glob("*.json")):
        found = json.loads(path.read_text(encoding="utf-8"))
        card = found["card"]
        results.setdefault(card["data"]["name"], {})[card["model"]] = found
    return results


def zoo_tables(results: dict[str, dict[str, dict[str, Any]]]) -> str:
    """One Markdown table a data set: baselines first, then models; a model's figure in bold beats every baseline."""
    return "\n\n".join(_table(name, by_model) for name, by_model in sorted(results.items()))


def _table(name: str, by_model: dict[str, dict[str, Any]]) -> str:
    widest = max(by_model.values(), key=_ranked_and_date)
    baselines = widest["baselines"]
    lines = [
        f"**{name}**, split by {widest['card']['data']['split']}, {widest['metrics']['counts']['rows']:,} test rows:",
        "",
        "| | " + " | ".join(_SHOWN.values()) + " | users ranked | beats every baseline in |",
        "| --- | " + "---: | " * (len(_SHOWN) + 1) + "--- |",
    ]
    lines += [_row(baseline, found, {}) for baseline, found in baselines.items()]
    best = {metric: _best(baselines, metric) for metric in _HIGHER_IS_BETTER}
    lines += [_row(f"`{model}`", by_model[model]["metrics"], best) for model in MODEL_NAMES if model in by_model]
    return "\n".join(lines)


def _ranked_and_date(found: dict[str, Any]) -> tuple[int, str]:
    """Of the files of a data set, the newest with all users ranked gives the baselines."""
    return found["metrics"]["counts"]["users_ranked"], found["card"]["date"]


def _best(baselines: dict[str, dict[str, Any]], metric: str) -> float:
    values = [found[metric] for found in baselines.values() if found.get(metric) is not None]
    return max(values) if _HIGHER_IS_BETTER[metric] else min(values)


def _row(name: str, metrics: dict[str, Any], best: dict[str, float]) -> str:
    won = [metric for metric, bar in best.items() if metrics.get(metric) is not None and _beats(metrics, metric, bar)]
    cells = []
    for metric in _SHOWN:
        text = "" if metrics.get(metric) is None else f"{metrics[metric]:.4f}"
        cells.append(f"**{text}**" if metric in won else text)
    verdict = ", ".join(_SHOWN[metric] for metric in won) or "nothing" if best else ""
    ranked = metrics["counts"].get("users_ranked", "")
    return f"| {name} | " + " | ".join(cells) + f" | {ranked} | {verdict} |"


def _beats(metrics: dict[str, Any], metric: str, bar: float) -> bool:
    return bool(metrics[metric] > bar if _HIGHER_IS_BETTER[metric] else metrics[metric] < bar)


def main() -> int:
    """Print the tables."""
    print(zoo_tables(read_results()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
