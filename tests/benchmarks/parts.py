"""Where the time of one stage goes: ``python -m tests.benchmarks.parts`` changes one thing at a time.

Nanoseconds of one core for a request, with the trace in memory. A part's cost is not quite what its removal saves, as
the processor overlaps work; docs/benchmarks.md says what to make of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Annotated

import typer

from tests.benchmarks import machine
from tests.benchmarks.funnels import ONE_STAGE, Funnel
from tests.benchmarks.request_path import measure_path

_RERANK = ONE_STAGE.stages[0]
_ONE_REPLICA_RPS = ONE_STAGE.rate_rps / ONE_STAGE.replicas


@dataclass(frozen=True)
class Variation:
    """The one-stage funnel with one thing changed."""

    what: str
    funnel: Funnel


def variations() -> Iterator[Variation]:
    """What is timed, the funnel itself first."""
    yield Variation("as it is", ONE_STAGE)
    yield Variation("no noise", replace(ONE_STAGE, noise=False))
    yield Variation("round robin", replace(ONE_STAGE, router="round_robin"))
    for rate_rps in (1_000.0, 20_000.0, 55_000.0):
        yield Variation(f"{rate_rps:,.0f} requests/s", replace(ONE_STAGE, rate_rps=rate_rps))
    for max_batch in (20, 80, 500):
        stage = replace(_RERANK, max_batch=max_batch)
        # A replica that serves requests one by one takes 0.9 ms for each, one with full batches half of that.
        rate_rps = 20_000.0 if max_batch == 20 else ONE_STAGE.rate_rps
        yield Variation(f"batches up to {max_batch // 20}", replace(ONE_STAGE, stages=(stage,), rate_rps=rate_rps))
    for replicas in (1, 8, 128, 512):
        yield Variation(
            f"{replicas} replicas, same load each",
            replace(ONE_STAGE, replicas=replicas, rate_rps=_ONE_REPLICA_RPS * replicas),
        )


def main(
    requests: Annotated[int, typer.Option(help="Requests in a run.", min=1000)] = 500_000,
    repeats: Annotated[int, typer.Option(help="Runs of each, of which the median counts.", min=1)] = 7,
) -> None:
    """Print nanoseconds a request with one thing changed at a time."""
    print("| one stage, 32 replicas | ns a request | drawing the trace, ns | requests a batch | utilisation |")
    print("| --- | ---: | ---: | ---: | ---: |")
    for variation in variations():
        path = measure_path(variation.funnel, requests, repeats)
        drawing_ns = 1e9 / path.generated_rps - 1e9 / path.rps
        print(
            f"| {variation.what} | {1e9 / path.rps:.0f} | {drawing_ns:.0f} | {path.batch_tasks[0]:.1f} "
            f"| {path.utilisation[0]:.2f} |",
            flush=True,
        )
    print(f"\n{machine.describe()['date']}, load average {machine.describe()['load_average_1min']}.")


if __name__ == "__main__":
    typer.run(main)
