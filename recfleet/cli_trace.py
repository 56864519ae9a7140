"""``recfleet trace``: import, generate and describe traces of requests."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from workloads.errors import InputError

if TYPE_CHECKING:
    from workloads.trace.summary import TraceSummary
    from workloads.trace.types import Trace

__all__ = ["app"]

app = typer.Typer(help="Import, generate and describe traces of requests.", no_args_is_help=True)
import_app = typer.Typer(help="Turn a published log into a trace.", no_args_is_help=True)
app.add_typer(import_app, name="import")

Source = Annotated[Path, typer.Argument(help="File as its publisher gives it (or the same as Parquet).")]
Out = Annotated[Path, typer.Option("--out", help="Parquet file to write.")]
Seed = Annotated[int, typer.Option(min=0, help="Seed of everything random.")]
Sort = Annotated[bool, typer.Option("--sort", help="Sort rows by time; else disorder is an error.")]
Speed = Annotated[float, typer.Option(help="Run the clock this many times faster.")]
OneService = Annotated[str, typer.Option(help="Name of the trace's one service.")]


@import_app.command("counts")
def import_counts(
    source: Source,
    out: Out,
    count_column: Annotated[str, typer.Option(help="Column of requests in the bin.")] = "requests",
    time_column: Annotated[str, typer.Option(help="Column of timestamps (UTC) or bin numbers.")] = "minute",
    bin_s: Annotated[float | None, typer.Option(help="Width of a bin; by default from the timestamps.")] = None,
    day: Annotated[list[str] | None, typer.Option(help="UTC day to keep, as 1998-06-03; repeatable.")] = None,
    where: Annotated[list[str] | None, typer.Option(help="COLUMN=VALUE of rows to keep; repeatable.")] = None,
    scale: Annotated[float, typer.Option(help="Multiply the counts.")] = 1.0,
    mode: Annotated[str, typer.Option(help="exact or poisson.")] = "exact",
    mix: Annotated[list[str] | None, typer.Option(help="SERVICE=SHARE; repeatable.")] = None,
    seed: Seed = 0,
) -> None:
    """Counts of requests per minute (or another bin), replayed: times within a bin are drawn."""
    from workloads.trace.spec import parse_trace_spec

    counts: dict[str, Any] = {
        "file": str(source),
        "count_column": count_column,
        "time_column": time_column,
        "scale": scale,
        "mode": mode,
        "days": day or [],
        "where": dict(_pair(text, "--where") for text in where or []),
        "mix": dict(_pair(text, "--mix") for text in mix or ["requests=1"]),
    }
    if bin_s is not None:
        counts["bin_s"] = bin_s
    _write(parse_trace_spec({"counts": counts}, "options of import counts,").build(seed), out)


@import_app.command("azure-llm")
def import_azure(
    source: Source,
    out: Out,
    service: OneService = "llm",
    tokens_per_item: Annotated[int, typer.Option(min=1, help="Context tokens taken for one item.")] = 128,
    sort: Sort = False,
    speed: Speed = 1.0,
) -> None:
    """Azure LLM inference trace 2023: times as logged; tokens become candidate items and bytes."""
    from workloads.importers.azure_llm import import_azure_llm

    _write(_sped_up(import_azure_llm(_found(source), service, tokens_per_item, sort), speed), out)


@import_app.command("movietweetings")
def import_movies(
    source: Source,
    out: Out,
    service: OneService = "ratings",
    sort: Sort = False,
    jitter_s: Annotated[float, typer.Option(min=0, help="Spread each time over so many seconds.")] = 0.0,
    speed: Speed = 1.0,
    seed: Seed = 0,
) -> None:
    """MovieTweetings ratings: users, films and times to the second."""
    from workloads.importers.movietweetings import import_movietweetings

    _write(_sped_up(import_movietweetings(_found(source), service, sort, jitter_s, seed), speed), out)


@import_app.command("csv")
def import_table(
    source: Source,
    out: Out,
    arrival: Annotated[str, typer.Option(help="Column of times.")] = "arrival_s",
    unit: Annotated[str, typer.Option(help="Unit of numeric times: s, ms, us or ns.")] = "s",
    service_column: Annotated[str | None, typer.Option(help="Column of service names.")] = None,
    user: Annotated[str | None, typer.Option(help="Column of users.")] = None,
    item: Annotated[str | None, typer.Option(help="Column of the item asked about.")] = None,
    items: Annotated[str | None, typer.Option(help="Column of numbers of candidates.")] = None,
    bytes_in: Annotated[str | None, typer.Option(help="Column of request bytes.")] = None,
    service: OneService = "requests",
    name: Annotated[str | None, typer.Option(help="Name of the trace.")] = None,
    licence: Annotated[str | None, typer.Option(help="Terms of the data.")] = None,
    sort: Sort = False,
    jitter_s: Annotated[float, typer.Option(min=0, help="Spread each time over so many seconds.")] = 0.0,
    speed: Speed = 1.0,
    seed: Seed = 0,
) -> None:
    """A table (CSV or Parquet) with one row for each request."""
    from workloads.importers.event_table import EventColumns, import_csv

    columns = EventColumns(arrival, unit, service_column, user, item, items, bytes_in)
    trace = import_csv(
        _found(source), columns, service, name=name, licence=licence, sort=sort, jitter_s=jitter_s, seed=seed
    )
    _write(_sped_up(trace, speed), out)


@app.command()
def generate(
    out: Out,
    spec: Annotated[Path | None, typer.Argument(help="YAML: a trace section, or a scenario that has one.")] = None,
    seed: Seed = 0,
    rate_rps: Annotated[float | None, typer.Option(help="Without SPEC: base rate of each service.")] = None,
    duration_s: Annotated[float | None, typer.Option(help="Without SPEC: length of the trace.")] = None,
    service: Annotated[list[str] | None, typer.Option(help="Without SPEC: service; repeatable.")] = None,
    cv: Annotated[float, typer.Option(help="Without SPEC: 1 is Poisson, above it bursty.")] = 1.0,
    peak_to_mean: Annotated[float | None, typer.Option(help="Without SPEC: of a day's shape.")] = None,
    users: Annotated[int | None, typer.Option(help="Without SPEC: number of users, Zipf 0.7.")] = None,
    catalogue: Annotated[int | None, typer.Option(help="Without SPEC: number of items, Zipf 0.9.")] = None,
) -> None:
    """Draw a trace from models: from a YAML file, or one Poisson or gamma stream a service from options."""
    from workloads.trace.spec import parse_trace_spec

    if spec is not None:
        from recfleet.trace_section import read_trace_section

        given = {
            "--rate-rps": rate_rps is not None,
            "--duration-s": duration_s is not None,
            "--service": bool(service),
            "--cv": cv != 1.0,
            "--peak-to-mean": peak_to_mean is not None,
            "--users": users is not None,
            "--catalogue": catalogue is not None,
        }
        stray = [option for option, is_given in given.items() if is_given]
        if stray:
            raise InputError("options of generate", f"{', '.join(stray)} does not go with SPEC", "write it into SPEC")
        _write(read_trace_section(spec)[0].build(seed, base_dir=spec.parent), out)
        return
    if rate_rps is None or duration_s is None:
        raise InputError("options of generate", "no SPEC.yaml given", "give it, or --rate-rps and --duration-s")
    arrivals: dict[str, Any] = {"rate_rps": rate_rps, "cv": cv}
    if peak_to_mean is not None:
        arrivals["diurnal"] = {"peak_to_mean": peak_to_mean}
    stream: dict[str, Any] = {"arrivals": arrivals}
    if users is not None:
        stream["users"] = {"count": users, "zipf_s": 0.7}
    if catalogue is not None:
        stream["catalogue"] = {"count": catalogue, "zipf_s": 0.9}
    streams = [{"service": each, **stream} for each in service or ["requests"]]
    document = {"duration_s": duration_s, "streams": streams}
    _write(parse_trace_spec(document, "options of generate,").build(seed), out)


@app.command()
def describe(
    file: Annotated[Path, typer.Argument(help="A trace's Parquet file.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")] = False,
) -> None:
    """Rates, burstiness and popularity of a trace."""
    from workloads.trace.parquet import open_trace
    from workloads.trace.summary import summarise

    trace = open_trace(file, check_all=False)
    with _progress("reading", trace) as advance:
        summary = summarise(trace, advance)
    if as_json:
        typer.echo(_as_json(summary))
    else:
        _print_tables(summary)


def _found(source: Path) -> Path:
    """The file itself, or that of the data folder where it is written ``data:NAME``."""
    from workloads.data_folder import resolve_path

    return resolve_path(str(source), Path())


def _pair(text: str, option: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise InputError(f"option {option}", f"{text!r} is not NAME=VALUE", f"write {option} NAME=VALUE")
    return key, value


def _sped_up(trace: Trace, speed: float) -> Trace:
    from workloads.trace.derived import SpedUpTrace

    return trace if speed == 1 else SpedUpTrace(trace, speed)


def _write(trace: Trace, out: Path) -> None:
    with _progress("writing", trace) as advance:
        rows = trace.write_parquet(out, advance)
    info = trace.info
    kind = "synthetic" if info.synthetic else f"from {info.source}, licence: {info.licence}"
    typer.echo(f"{out}: {rows:,} requests over {info.duration_s:,.0f} s for {', '.join(info.services)} ({kind})")
    for note in info.notes:
        typer.echo(f"  {note}")


@contextmanager
def _progress(verb: str, trace: Trace) -> Iterator[Callable[[int], None] | None]:
    """A bar on standard error while it is a terminal; else nothing."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.markup import escape
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(escape(f"{verb} {trace.info.name}"), total=trace.expected_rows)
        yield lambda rows: bar.update(task, advance=rows)


def _as_json(summary: TraceSummary) -> str:
    import json
    import math
    from dataclasses import asdict

    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: plain(inner) for key, inner in value.items()}
        if isinstance(value, list | tuple):
            return [plain(inner) for inner in value]
        return None if isinstance(value, float) and not math.isfinite(value) else value

    return json.dumps(plain(asdict(summary)), indent=2)


def _print_tables(summary: TraceSummary) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console()
    facts = Table(title=Text(summary.name), show_header=False)
    kind = "synthetic" if summary.synthetic else "logged"
    for label, value in (
        ("source", f"{summary.source} ({kind}; licence: {summary.licence})"),
        ("scale", f"{summary.scale:g}"),
        ("requests", f"{summary.requests:,}"),
        ("duration", f"{summary.duration_s:,.0f} s"),
        ("mean rate", f"{summary.mean_rate_rps:.4g} requests/s"),
        (
            "busiest minute",
            f"{summary.peak_minute_rate_rps:.4g} requests/s, {summary.peak_to_mean:.3g} x the mean",
        ),
        ("CV of times between requests", f"{summary.cv_interarrival:.3g} (Poisson: 1)"),
        ("dispersion of minutes", f"{summary.dispersion_minute:.4g} (Poisson: 1)"),
        ("users", _popularity(summary.users, summary.user_zipf_s)),
        ("items asked about", _popularity(summary.items, summary.item_zipf_s)),
        *(("note", note) for note in summary.notes),
    ):
        facts.add_row(label, Text(value))
    console.print(facts)
    table = Table(title="by service")
    for heading in ("service", "requests", "share", "mean /s", "peak /s", "CV", "items", "bytes in"):
        table.add_column(heading, justify="left" if heading == "service" else "right")
    for row in summary.services:
        table.add_row(
            Text(row.service),
            f"{row.requests:,}",
            f"{row.share:.1%}",
            f"{row.mean_rate_rps:.4g}",
            f"{row.peak_minute_rate_rps:.4g}",
            f"{row.cv_interarrival:.3g}",
            f"{row.mean_items:.4g}",
            f"{row.mean_bytes_in:.4g}",
        )
    console.print(table)


def _popularity(distinct: int, zipf_s: float) -> str:
    return f"{distinct:,}, Zipf exponent {zipf_s:.2f}" if distinct else "unknown"
