"""``recfleet compress``: make a smaller variant of a trained model and measure it, or compare all methods."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from workloads.compression.methods import DESCRIPTIONS
from workloads.compression.options import CompressOptions
from workloads.errors import InputError

if TYPE_CHECKING:
    from workloads.interactions.prepared import PreparedData

__all__ = ["compress"]

_DEFAULT = CompressOptions()


def compress(
    folder: Annotated[
        Path | None,
        typer.Argument(help="Folder of a trained model; with --serving-size a model's name.", show_default=False),
    ] = None,
    method: Annotated[str | None, typer.Option(help="One method, or several as structured+int8-dynamic.")] = None,
    data: Annotated[Path | None, typer.Option(help="Prepared data that the model was trained on.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder to write.")] = None,
    list_methods: Annotated[bool, typer.Option("--list", help="Show the methods and exit.")] = False,
    amount: Annotated[float, typer.Option(help="magnitude: share of weights that become zero.")] = _DEFAULT.amount,
    include_embeddings: Annotated[
        bool, typer.Option("--include-embeddings", help="magnitude: prune id tables too.")
    ] = False,
    ratio: Annotated[
        float, typer.Option(help="structured: share of the prunable parts' parameters to remove.")
    ] = _DEFAULT.ratio,
    importance_batches: Annotated[
        int, typer.Option(help="structured: batches that tell which channels matter; 0 for weight norms.")
    ] = _DEFAULT.importance_batches,
    rank_share: Annotated[
        float, typer.Option(help="low-rank: parameters of a factorised layer over the whole one's.")
    ] = _DEFAULT.rank_share,
    rows_per_vector: Annotated[int, typer.Option(help="hashed: ids that share a row.")] = _DEFAULT.rows_per_vector,
    min_table_rows: Annotated[int, typer.Option(help="hashed: smaller tables stay.")] = _DEFAULT.min_table_rows,
    student: Annotated[str, typer.Option(help="distil: half or quarter of the widths.")] = _DEFAULT.student,
    teacher_weight: Annotated[
        float, typer.Option(help="distil: weight of the teacher against the labels.")
    ] = _DEFAULT.teacher_weight,
    temperature: Annotated[float, typer.Option(help="distil: softens the teacher's scores.")] = _DEFAULT.temperature,
    finetune_epochs: Annotated[
        int | None, typer.Option(help="Most epochs of training after a cut; by default a third of the source's.", min=0)
    ] = None,
    finetune_lr_share: Annotated[
        float, typer.Option(help="Learning rate of that training over the recipe's.")
    ] = _DEFAULT.finetune_lr_share,
    train_epochs: Annotated[
        int, typer.Option(help="hashed, distil: most epochs; 0 for the recipe's own.")
    ] = _DEFAULT.train_epochs,
    ranking_users: Annotated[
        int | None, typer.Option(help="Users for whom items are ranked, 0 for all; by default the recipe's.", min=0)
    ] = None,
    study: Annotated[
        bool, typer.Option("--study", help="Make all variants in --out and compare accuracy, size and latency.")
    ] = False,
    methods: Annotated[
        str | None, typer.Option(help="Study: methods, as bf16,structured+int8-dynamic. By default all and some pairs.")
    ] = None,
    modes: Annotated[
        str | None, typer.Option(help="Study: eager,compiled and on CUDA cuda_graph,compiled_graph.")
    ] = None,
    sizes: Annotated[str, typer.Option(help="Study: batch sizes, rising.")] = "1,8,32",
    timing_s: Annotated[float, typer.Option(help="Study: time for each variant, mode and size, in seconds.")] = 2.0,
    threads: Annotated[int, typer.Option(help="Study: host threads; 0 for every core (one beside CUDA).", min=0)] = 0,
    latency_only: Annotated[
        bool, typer.Option("--latency-only", help="Study: measure variants that are there, make none.")
    ] = False,
    budget_s: Annotated[
        float, typer.Option(help="Study: start no further measurement after so many seconds; 0 for no limit.", min=0)
    ] = 0.0,
    serving_size: Annotated[
        bool, typer.Option("--serving-size", help="Study: latencies of random weights at the model's serving size.")
    ] = False,
    device: Annotated[str, typer.Option(help="cpu or cuda: where training and measuring run.")] = _DEFAULT.device,
    seed: Annotated[int, typer.Option(help="Seed of everything random.", min=0)] = _DEFAULT.seed,
) -> None:
    """Make a smaller variant of a trained model, and measure size, operations and accuracy beside its source's.

    Needs the extra recfleet[torch]. Without --data, methods that need no training are carried out on the weights alone
    and accuracy is not measured.

    Examples: recfleet compress dlrm --method structured+int8-dynamic --data mt --out dlrm-small ; recfleet compress
    dlrm --study --data mt --out dlrm-study ; recfleet compress --list
    """
    given = locals()
    if list_methods:
        _print_methods()
        return
    options = CompressOptions(**{field.name: given[field.name] for field in fields(CompressOptions)})
    if folder is None:
        raise InputError("compress", "no model folder is given", "name one, or use --list")
    if out is None:
        raise InputError("--out", "is not given", "give a folder to write")
    if study:
        wanted = {"device": device, "timing_s": timing_s, "threads": threads, "latency_only": latency_only}
        wanted |= {"budget_s": budget_s, "batch_sizes": _whole_numbers(sizes), "modes": _names(modes)}
        _study(folder, data, out, options, wanted | ({"methods": _names(methods)} if methods else {}), serving_size)
        return
    if method is None:
        raise InputError("--method", "is not given", "give one of recfleet compress --list")
    _compress_one(folder, method, data, out, options)


def _compress_one(folder: Path, method: str, data: Path | None, out: Path, options: CompressOptions) -> None:
    from workloads.compression.methods import steps_of

    steps_of(method)
    with _torch_needed():
        from workloads.compression.pipeline import compress_folder
    prepared = _read_data(data)
    with _display(method) as tell:
        card = compress_folder(folder, method, out, prepared, options, tell)
    _print_card(card)
    typer.echo(f"Written to {out}")


def _study(
    folder: Path, data: Path | None, out: Path, options: CompressOptions, wanted: dict[str, Any], serving_size: bool
) -> None:
    """Compare methods, at the trained size or at the serving size."""
    with _torch_needed():
        from workloads.compression.serving import study_at_serving_size
        from workloads.compression.study import run_study
        from workloads.compression.study_settings import StudySettings
        from workloads.compression.study_tables import study_tables
    settings = StudySettings(**wanted)
    prepared = None if settings.latency_only or serving_size else _read_data(data)
    with _display("study") as tell:
        if serving_size:
            result = study_at_serving_size(str(folder), out, options, settings, tell)
        else:
            result = run_study(folder, out, prepared, options, settings, tell)
    typer.echo(study_tables([result]))
    typer.echo(f"Written to {result.path}")


def _names(text: str | None) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip()) if text else ()


def _whole_numbers(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise InputError("--sizes", f"{text!r} is not a list of whole numbers", "write it as 1,8,32") from None


def _read_data(folder: Path | None) -> PreparedData | None:
    if folder is None:
        return None
    from workloads.interactions.prepared import load_prepared

    return load_prepared(folder)


@contextmanager
def _torch_needed() -> Iterator[None]:
    """A missing library is told as such."""
    from workloads.errors import MissingDependencyError

    try:
        yield
    except ModuleNotFoundError as error:
        if error.name not in ("torch", "safetensors"):
            raise
        raise MissingDependencyError(error.name, "compression", "torch") from None


@contextmanager
def _display(title: str) -> Iterator[Callable[[str, int, int], None]]:
    """A bar on standard error that says what is being done."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}", markup=False), BarColumn(), TimeElapsedColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not sys.stderr.isatty()) as progress:
        task = progress.add_task(title, total=1)

        def tell(phase: str, done: int, total: int) -> None:
            progress.update(task, description=f"{title}: {phase}", completed=done, total=total)

        yield tell


def _print_methods() -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("method", no_wrap=True)
    table.add_column("what it does")
    for name, line in DESCRIPTIONS.items():
        table.add_row(name, line)
    Console().print(table)
    typer.echo("Several may follow one another in this order, as in structured+int8-dynamic.")


_SIZES = (
    ("on disk", "disk_bytes", "bytes"),
    ("in memory", "memory_bytes", "bytes"),
    ("parameters", "parameters", "count"),
    ("not zero", "nonzero_parameters", "count"),
    ("operations a unit", "flops_per_unit", "count"),
    ("without zero weights", "nonzero_flops_per_unit", "count"),
)
_METRICS = ("auc", "rmse", "ndcg10", "recall10", "coverage10", "diversity10")


def _print_card(card: dict[str, Any]) -> None:
    """Variant beside source: sizes, and accuracy on the same test part."""
    from rich.console import Console
    from rich.table import Table

    variant = card["variant"]
    table = Table(box=None, pad_edge=False, header_style="bold", title=f"{card['model']}: {variant['method']}")
    table.add_column("")
    for header in (variant["of"], "variant", "share"):
        table.add_column(header, justify="right")
    for label, name, kind in _SIZES:
        before, after = variant["source_sizes"].get(name), card["sizes"].get(name)
        if after is not None:
            share = f"{after / before:.1%}" if before else ""
            table.add_row(label, _size(before, kind), _size(after, kind), share)
    for name in _METRICS:
        before, after = variant["source_metrics"].get(name), card["metrics"].get(name)
        if after is not None:
            share = f"{after / before:.1%}" if before else ""
            table.add_row(name, f"{before:.4f}" if before is not None else "", f"{after:.4f}", share)
    Console().print(table)
    for record in variant["steps"]:
        for line in _remarks(record):
            typer.echo(f"{record['method']}: {line}")
    if not card["metrics"]:
        typer.echo("Accuracy was not measured: no --data was given.")


def _remarks(record: dict[str, Any]) -> Iterator[str]:
    """What a reader should know of a step."""
    if record["method"] == "magnitude":
        yield f"{record['zero_share']:.1%} of the weights are zero; latency does not fall, products run over the zeros."
    if record["method"] == "structured":
        yield f"{record['removed_share']:.1%} of the prunable parts' parameters were removed: {record['to']}."
    if record["method"].startswith("int8-"):
        skipped = record.get("skipped", {})
        yield f"{len(record['quantised'])} layers quantised" + (f", not {', '.join(skipped)}." if skipped else ".")
    if record.get("fine_tuning"):
        yield f"trained for {record['fine_tuning']['epochs']} more epochs."


def _size(value: float | None, kind: str) -> str:
    if value is None:
        return ""
    if kind == "count":
        return f"{value:,.0f}"
    for unit, scale in (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if value >= scale:
            return f"{value / scale:.2f} {unit}"
    return f"{value:.0f} B"
