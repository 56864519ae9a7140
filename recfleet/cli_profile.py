"""``recfleet profile``: measure a model on a device, show what is shipped, print the format's schema."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from workloads.errors import InputError, RecfleetError

if TYPE_CHECKING:
    from workloads.profile import ModelProfile
    from workloads.profiler.settings import ProfileSettings

__all__ = ["app", "profile"]


def profile(
    model: Annotated[str | None, typer.Argument(help="two_tower, dlrm or bert_reranker.", show_default=False)] = None,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
    precision: Annotated[str, typer.Option(help="fp32 or bf16.")] = "fp32",
    mode: Annotated[str, typer.Option(help="eager or cuda_graph.")] = "eager",
    sizes: Annotated[str | None, typer.Option(help="Batch sizes, rising: 1,2,4. By default powers of two.")] = None,
    timing_s: Annotated[float, typer.Option(help="Time for timings, in seconds.")] = 60.0,
    fewest_runs: Annotated[int, typer.Option(help="Timings of each size, at least.")] = 30,
    threads: Annotated[int, typer.Option(help="Host threads; 0 for every core (one beside CUDA).")] = 0,
    patience_s: Annotated[
        float, typer.Option(help="On a CPU, wait so long in all for other work on the machine to stop.")
    ] = 0.0,
    seed: Annotated[int, typer.Option(help="Seed of weights, inputs and order.", min=0)] = 20_261,
    out: Annotated[Path | None, typer.Option(help="File to write; by default NAME.json here.")] = None,
    weights_folder: Annotated[Path | None, typer.Option(help="Keep the drawn weights here.")] = None,
    list_shipped: Annotated[bool, typer.Option("--list", help="Show the shipped profiles and exit.")] = False,
    show: Annotated[str | None, typer.Option(help="Show a profile, by name or file, and exit.")] = None,
    schema: Annotated[bool, typer.Option("--schema", help="Print the format's JSON Schema and exit.")] = False,
) -> None:
    """Measure a model's latency by batch size on this machine, and write it as a profile.

    Needs torch (the extra recfleet[torch]); reading profiles does not. Exit code 2: the input cannot be used.

    Examples: recfleet profile dlrm --device cuda --mode cuda_graph ; recfleet profile --list
    """
    try:
        if schema:
            from workloads.profile import schema_text

            typer.echo(schema_text(), nl=False)
        elif list_shipped:
            _print_shipped()
        elif show is not None:
            from workloads.profile import load_profile

            _print_profile(load_profile(show))
        elif model is None:
            raise InputError("profile", "no model is given", "give two_tower, dlrm or bert_reranker, or use --list")
        else:
            from workloads.profiler.settings import ProfileSettings

            settings = ProfileSettings(
                model=model,
                device_kind=device,
                precision=precision,
                mode=mode,
                batch_sizes=_sizes(sizes),
                timing_s=timing_s,
                fewest_runs=fewest_runs,
                threads=threads,
                patience_s=patience_s,
                seed=seed,
                weights_folder=weights_folder,
            )
            _measure(settings, out)
    except RecfleetError as error:
        typer.echo(f"recfleet: error: {error}", err=True)
        raise typer.Exit(2) from None


app = profile
"""What the command line mounts."""


def _sizes(text: str | None) -> tuple[int, ...]:
    if text is None:
        return ()
    try:
        return tuple(int(part) for part in text.replace(",", " ").split())
    except ValueError:
        raise InputError("--sizes", f"{text!r} is not a list of whole numbers", "write it as 1,2,4,8") from None


def _measure(settings: ProfileSettings, out: Path | None) -> None:
    """Measure with a display, write the file, show the result."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    from workloads.models import model_module
    from workloads.profile import profile_from_document, save_profile
    from workloads.profiler import import_profiler

    model_module(settings.model)
    profile_model = import_profiler()
    _refuse_unwritable(out)
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as display:
        task = display.add_task(f"{settings.model}: starting", total=1)

        def tell(phase: str, done: int, total: int) -> None:
            display.update(task, description=f"{settings.model}: {phase}", completed=done, total=total)

        document = profile_model(settings, tell)
    path = out if out is not None else Path(f"{document['name']}.json")
    save_profile(document, path)
    _print_profile(profile_from_document(document))
    typer.echo(f"Written to {path}")


def _refuse_unwritable(out: Path | None) -> None:
    """Find out before the measurement, not after it."""
    folder = (out if out is not None else Path("x")).absolute().parent
    if out is not None and out.is_dir():
        raise InputError(f"--out {out}", "is a folder", "give a file name ending in .json")
    if not folder.is_dir():
        raise InputError(f"--out {out}", f"there is no folder {folder}", "create it or give another path")


def _print_shipped() -> None:
    from rich.console import Console
    from rich.table import Table

    from workloads.catalogue import shipped_profiles
    from workloads.profile import load_profile

    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("name", no_wrap=True)
    for header in ("stage", "unit", "up to", "p50 there, ms", "a second"):
        table.add_column(header, justify="left" if header in ("stage", "unit") else "right")
    for name in shipped_profiles():
        found = load_profile(name)
        table.add_row(
            name,
            found.stage,
            found.unit,
            str(found.batch_sizes[-1]),
            f"{found.quantile_s(0.5)[-1] * 1e3:.2f}",
            f"{found.throughput_per_s().max():,.0f}",
        )
    Console().print(table)


def _print_profile(found: ModelProfile) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    console = Console()
    console.print(
        f"[bold]{found.name}[/bold]  {found.stage}, {found.precision}, {found.mode}, on {escape(found.device_name)}"
    )
    headers = (found.unit, "p50 ms", "p95 ms", "p99 ms", "a second", "CPU core-ms", "timings", "")
    table = Table(box=None, pad_edge=False, header_style="bold")
    for header in headers:
        table.add_column(header, justify="right" if header else "left")
    columns = (found.quantile_s(0.5), found.quantile_s(0.95), found.quantile_s(0.99))
    throughput = found.throughput_per_s()
    for index, size in enumerate(found.batch_sizes):
        table.add_row(
            str(size),
            *(f"{column[index] * 1e3:.3f}" for column in columns),
            f"{throughput[index]:,.0f}",
            f"{found.cpu_core_s[index] * 1e3:.3f}",
            str(found.runs[index]),
            "two groups" if found.two_modes[index] else "",
        )
    console.print(table)
    console.print(
        f"weights {found.weights_bytes / 2**30:.2f} GiB, device memory {found.device_memory_bytes / 2**30:.2f} GiB, "
        f"host memory {found.host_memory_bytes / 2**30:.2f} GiB, load {found.load_s:.2f} s, "
        f"{found.provenance} on {found.date}"
    )
    for note in found.notes:
        console.print(f"note: {note}", markup=False)
