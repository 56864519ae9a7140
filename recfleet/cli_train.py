"""``recfleet train``, ``evaluate`` and ``update``: models, their test metrics beside baselines, online updates."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from workloads.errors import InputError

if TYPE_CHECKING:
    from workloads.interactions.prepared import InteractionTable, PreparedData
    from workloads.training.session import Judged
    from workloads.training.task import Progress

__all__ = ["evaluate", "train", "update"]

_RECIPE = " By default the model's recipe."
_KS = "Lengths of lists, as 10,50."


def train(
    model: Annotated[str, typer.Argument(help="A model of the zoo; recfleet models lists them.")],
    data: Annotated[Path, typer.Option(help="Folder of prepared data.")],
    out: Annotated[Path, typer.Option(help="Model folder to write.")],
    optimizer: Annotated[str | None, typer.Option(help="adamw, adam, adagrad or sgd." + _RECIPE)] = None,
    lr: Annotated[float | None, typer.Option(help="Peak learning rate.")] = None,
    embedding_lr: Annotated[float | None, typer.Option(help="That of embedding tables, where it differs.")] = None,
    momentum: Annotated[float | None, typer.Option(help="For sgd.")] = None,
    weight_decay: Annotated[float | None, typer.Option(help="Of weight matrices.")] = None,
    embedding_decay: Annotated[float | None, typer.Option(help="Of embedding tables.")] = None,
    warmup_steps: Annotated[int | None, typer.Option(help="Steps of linear warm-up.")] = None,
    decay: Annotated[str | None, typer.Option(help="cosine, linear or none.")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Global batch, over processes and micro-batches.")] = None,
    accumulate: Annotated[int | None, typer.Option(help="Micro-batches between synchronisations.")] = None,
    epochs: Annotated[int | None, typer.Option(help="At most.")] = None,
    patience: Annotated[int | None, typer.Option(help="Epochs without improvement; 0 never stops early.")] = None,
    metric: Annotated[str | None, typer.Option(help="To stop by: rmse, auc, ndcg10 or recall10.")] = None,
    ranking_users: Annotated[int | None, typer.Option(help="Rank for a sample of users; 0 for all.")] = None,
    refit: Annotated[
        bool | None, typer.Option("--refit/--no-refit", help="Train again on training and validation part.")
    ] = None,
    clip_norm: Annotated[float | None, typer.Option(help="Largest norm of the gradient; 0 does not clip.")] = None,
    dropout: Annotated[float | None, typer.Option(help="Instead of the model's own.")] = None,
    seed: Annotated[int | None, typer.Option(help="Of weights, order, dropout and negatives.", min=0)] = None,
    device: Annotated[str | None, typer.Option(help="cpu or cuda.")] = None,
    precision: Annotated[str | None, typer.Option(help="fp32, or bf16 for autocast.")] = None,
    processes: Annotated[int | None, typer.Option(help="Data-parallel processes (one a GPU).")] = None,
    checkpoint_every: Annotated[int | None, typer.Option(help="Steps between checkpoints; 0: each epoch.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the checkpoint in --out.")] = False,
    change: Annotated[
        list[str] | None, typer.Option("--set", help="A size of the model, as dim=64; repeatable.")
    ] = None,
    ks: Annotated[str, typer.Option(help=_KS)] = "10",
    with_baselines: Annotated[bool, typer.Option("--baselines/--no-baselines", help="Judge baselines too.")] = True,
    as_json: Annotated[Path | None, typer.Option("--json", help="Write card and baselines here.")] = None,
) -> None:
    """Train a model, judge it on the test part beside baselines, and write its folder.

    Without options a model is trained by its recipe: early stopping on the validation part, then afresh on training and
    validation part together. Ctrl-C leaves a checkpoint for --resume.

    Examples: recfleet train dlrm --data mt --out out/dlrm ; recfleet train sasrec --data mt --out out/sasrec
    --device cuda --precision bf16 --set layers=3
    """
    named = {
        "optimizer": optimizer,
        "lr": lr,
        "embedding_lr": embedding_lr,
        "momentum": momentum,
        "weight_decay": weight_decay,
        "embedding_decay": embedding_decay,
        "warmup_steps": warmup_steps,
        "decay": decay,
        "batch_size": batch_size,
        "accumulate": accumulate,
        "epochs": epochs,
        "patience": patience,
        "metric": metric,
        "ranking_users": ranking_users,
        "refit": refit,
        "clip_norm": clip_norm,
        "dropout": dropout,
        "seed": seed,
        "device": device,
        "precision": precision,
        "processes": processes,
        "checkpoint_every": checkpoint_every,
    }
    from workloads.interactions.prepared import load_prepared
    from workloads.models import model_module
    from workloads.training.recipes import recipe_for

    _check_json(as_json)
    model_module(model)
    lengths = _lengths(ks)
    prepared = load_prepared(data)
    given = {name: value for name, value in named.items() if value is not None}
    recipe = recipe_for(model).changed(given, _fields(change or []))
    from workloads.training.session import train_and_save

    with _display(model) as (progress, tell):
        judged = train_and_save(
            model,
            prepared,
            out,
            recipe,
            resume=resume,
            ks=lengths,
            with_baselines=with_baselines,
            progress=progress,
            tell=tell,
        )
    if judged is None:
        return
    _show(model, judged, as_json)
    training = judged.card["training"]
    typer.echo(f"{training['epochs']} epochs, {training['seconds']:.0f} s on {training['device']}. Written to {out}")


def evaluate(
    folder: Annotated[Path, typer.Argument(help="A model folder, compressed or not.")],
    data: Annotated[Path, typer.Option(help="Folder of the data that it was trained on.")],
    part: Annotated[str, typer.Option(help="test or validation.")] = "test",
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
    precision: Annotated[str, typer.Option(help="fp32 runs the weights as they are; bf16 for autocast.")] = "fp32",
    ranking_users: Annotated[int, typer.Option(help="Rank for a sample of users; 0 for all.", min=0)] = 0,
    ks: Annotated[str, typer.Option(help=_KS)] = "10",
    with_baselines: Annotated[bool, typer.Option("--baselines/--no-baselines", help="Judge baselines too.")] = True,
    as_json: Annotated[Path | None, typer.Option("--json", help="Write card, metrics and baselines here.")] = None,
) -> None:
    """Judge a model folder on a data set's test part, beside baselines.

    Example: recfleet evaluate out/dlrm --data mt
    """
    from workloads.interactions.prepared import load_prepared
    from workloads.model_folder import read_card

    _check_json(as_json)
    if part not in ("test", "validation"):
        raise InputError("--part", f"{part!r} is not known", "use test or validation")
    if precision not in ("fp32", "bf16"):
        raise InputError("--precision", f"{precision!r} is not known", "use fp32 or bf16")
    card, lengths = read_card(folder), _lengths(ks)
    prepared = load_prepared(data)
    from workloads.training.session import judge_folder

    with _display(card["model"]) as (_, tell):
        tell("judging")
        judged = judge_folder(
            folder,
            prepared,
            part=part,  # type: ignore[arg-type]
            device=device,
            precision=precision,
            ks=lengths,
            ranking_users=ranking_users,
            with_baselines=with_baselines,
        )
    variant = card["variant"]
    _show(card["model"] if variant is None else f"{card['model']}, {variant.get('method')}", judged, as_json)


def update(
    folder: Annotated[Path, typer.Argument(help="A model folder, not compressed.")],
    data: Annotated[Path, typer.Option(help="Folder of the data that it was trained on.")],
    out: Annotated[Path, typer.Option(help="Folder of the delta to write.")],
    log: Annotated[
        Path | None,
        typer.Option(help="CSV or Parquet of new interactions: user, item, rating, time_s; ids as in the source."),
    ] = None,
    part: Annotated[
        str, typer.Option(help="Without --log: replay this part of the data, test or validation.")
    ] = "test",
    share: Annotated[float, typer.Option(help="Its first share; the model is judged on what follows.")] = 0.5,
    optimizer: Annotated[str, typer.Option(help="adagrad or sgd.")] = "adagrad",
    lr: Annotated[float, typer.Option(help="Learning rate.")] = 0.01,
    batch_size: Annotated[int, typer.Option(help="Interactions of a step.")] = 256,
    passes: Annotated[int, typer.Option(help="Passes over the new interactions.")] = 1,
    seed: Annotated[int, typer.Option(help="Of negatives and masks.", min=0)] = 20_261,
    previous: Annotated[Path | None, typer.Option(help="The delta before: Adagrad's sums go on from it.")] = None,
    seen: Annotated[Path | None, typer.Option(help="Log of the updates before: known, not learned again.")] = None,
    apply: Annotated[Path | None, typer.Option(help="Write the updated model here.")] = None,
    as_json: Annotated[Path | None, typer.Option("--json", help="Write facts and metrics here.")] = None,
) -> None:
    """Update a model from new interactions: only rows of their users and items move, and are written as a delta.

    Example: recfleet update out/dlrm --data mt --part test --share 0.5 --out out/dlrm-delta
    """
    from workloads.interactions.prepared import load_prepared
    from workloads.model_folder import read_card
    from workloads.training.online import OnlineSettings, apply_delta, update_online
    from workloads.training.session import data_of_card

    _check_json(as_json)
    settings = OnlineSettings(optimizer, lr, batch_size, passes, seed)
    prepared = load_prepared(data)
    if log is None and part == "validation":
        data_of_card(read_card(folder), prepared, str(folder), "validation")
    new, rest = _new_interactions(prepared, log, part, share)
    with _display(folder.name) as (_, tell):
        tell("updating")
        before = None if seen is None else _read_log("--seen", seen, prepared)
        updated = update_online(folder, prepared, new, out, settings, previous, before)
        judged = None
        if rest is not None and len(rest):
            from workloads.training.replay import judge_update

            tell("judging on what follows")
            judged = judge_update(folder, updated, rest)
        if apply is not None:
            tell("applying")
            apply_delta(folder, out, apply)
    _show_update(folder, updated, judged, out, apply, as_json)


def _lengths(text: str) -> tuple[int, ...]:
    try:
        lengths = tuple(int(part) for part in text.replace(",", " ").split())
    except ValueError:
        raise InputError("--ks", f"{text!r} is not a list of whole numbers", "write it as 10,50") from None
    if not lengths or min(lengths) < 1:
        raise InputError("--ks", f"{text!r} has no length or one below 1", "write it as 10,50")
    return lengths


def _fields(changes: list[str]) -> dict[str, Any]:
    """``dim=64`` and ``top=[512,256]`` as fields with values, which are read as JSON where they can be."""
    found: dict[str, Any] = {}
    for change in changes:
        name, sign, text = change.partition("=")
        if not sign or not name:
            raise InputError(f"--set {change}", "is no NAME=VALUE", "write it as --set dim=64")
        try:
            found[name] = json.loads(text)
        except ValueError:
            found[name] = text
    return found


def _new_interactions(
    data: PreparedData, log: Path | None, part: str, share: float
) -> tuple[InteractionTable, InteractionTable | None]:
    """The new interactions, and what follows them in the data."""
    import numpy as np

    if log is not None:
        return _read_log("--log", log, data), None
    if part not in ("test", "validation"):
        raise InputError("--part", f"{part!r} is not known", "use test or validation")
    if not 0 < share <= 1:
        raise InputError("--share", f"{share} is not above 0 and at most 1", "give a share, as in 0.5")
    table = data.part(part)  # type: ignore[arg-type]
    first = round(len(table) * share)
    return table.take(np.arange(first)), table.take(np.arange(first, len(table)))


def _read_log(option: str, path: Path, data: PreparedData) -> InteractionTable:
    """New interactions from a file; users and items that the data do not have become 0."""
    import numpy as np
    import pandas as pd

    from workloads.interactions.prepared import InteractionTable

    columns = ("user", "item", "rating", "time_s")
    try:
        frame = (
            pd.read_parquet(path) if path.suffix == ".parquet" else pd.read_csv(path, dtype={"user": str, "item": str})
        )
    except (OSError, ValueError) as error:
        problem = f"cannot be read ({str(error).splitlines()[0]})"
        raise InputError(f"{option} {path}", problem, "give a CSV or Parquet file") from None
    missing = [name for name in columns if name not in frame.columns]
    if missing:
        raise InputError(f"{option} {path}", f"lacks {', '.join(missing)}", f"give the columns {', '.join(columns)}")
    numbers = frame[["rating", "time_s"]].apply(pd.to_numeric, errors="coerce").to_numpy(np.float64)
    wrong = np.flatnonzero(~np.isfinite(numbers).all(axis=1))
    if len(wrong):
        problem = f"row {wrong[0] + 1} has a rating or time that is no number"
        raise InputError(f"{option} {path}", problem, "leave such rows out")
    rating, time_s = numbers[:, 0].astype(np.float32), numbers[:, 1].astype(np.int64)
    outside = np.flatnonzero((rating < data.rating_low) | (rating > data.rating_high))
    if len(outside):
        problem = f"row {outside[0] + 1} has rating {rating[outside[0]]:g}, the scale is {data.rating_low:g} to"
        raise InputError(f"{option} {path}", f"{problem} {data.rating_high:g}", "leave such rows out")
    user, item = data.user_ids(frame["user"].to_numpy()), data.item_ids(frame["item"].to_numpy())
    return InteractionTable(user, item, rating, time_s).take(np.argsort(time_s, kind="stable"))


@contextmanager
def _display(model: str) -> Iterator[tuple[Any, Any]]:
    """A bar on standard error; where that is no terminal, a line an epoch. Silent behind torchrun's first process."""
    import os

    from rich.console import Console
    from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bars

    console = Console(stderr=True, quiet=os.environ.get("RANK", "0") != "0")
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), TimeElapsedColumn())
    with Bars(*columns, console=console, transient=True, disable=not sys.stderr.isatty()) as bars:
        task = bars.add_task(f"{model}: starting", total=None)

        def progress(event: Progress) -> None:
            over = event.loss == event.loss
            told = f"{model}: {event.phase}, epoch {event.epoch} of {event.epochs}"
            if event.value == event.value:
                told += f", {event.metric} {event.value:.4f}"
            bars.update(task, description=told, completed=event.step, total=event.steps)
            if over and not console.is_terminal:
                console.print(f"{told}, loss {event.loss:.5f}", markup=False, highlight=False, soft_wrap=True)

        def tell(text: str) -> None:
            bars.update(task, description=f"{model}: {text}", completed=0, total=None)

        yield progress, tell


def _show(model: str, judged: Judged, as_json: Path | None) -> None:
    from recfleet.metric_tables import print_metrics

    print_metrics(model, judged.metrics, judged.baselines)
    _write_json(
        {
            "card": dict(judged.card),
            "metrics": judged.metrics.as_dict(),
            "baselines": {name: found.as_dict() for name, found in judged.baselines.items()},
        },
        as_json,
    )


def _show_update(folder: Path, updated: Any, judged: Any, out: Path, apply: Path | None, as_json: Path | None) -> None:
    from workloads.model_folder import read_card

    facts, rows = updated.delta.facts, updated.delta.changed_rows()
    whole = read_card(folder)["sizes"]["disk_bytes"]
    typer.echo(
        f"{facts['interactions']:,} interactions in {facts['steps']} steps; {facts['left_out']:,} left out "
        f"(users or items without a row)"
    )
    typer.echo("changed rows: " + ", ".join(f"{name} {count:,}" for name, count in rows.items()))
    typer.echo(
        f"delta {facts['disk_bytes']:,} bytes with optimiser state, {facts['changed_bytes']:,} without; "
        f"the model has {whole:,} ({facts['changed_bytes'] / whole:.1%})"
    )
    document = {"facts": dict(facts), "changed_rows": rows, "model_disk_bytes": whole}
    if judged is not None:
        from recfleet.metric_tables import print_metrics

        print_metrics("updated", judged.after, {"not updated": judged.before}, rivals="the model as it was")
        document["after"], document["before"] = judged.after.as_dict(), judged.before.as_dict()
    typer.echo(f"Written to {out}" + ("" if apply is None else f", updated model to {apply}"))
    _write_json(document, as_json)


def _check_json(path: Path | None) -> None:
    """Refuse a file that cannot be written before any work is done for it."""
    if path is not None and not path.absolute().parent.is_dir():
        raise InputError(f"--json {path}", f"there is no folder {path.absolute().parent}", "create it first")


def _write_json(document: dict[str, Any], path: Path | None) -> None:
    if path is None:
        return
    from workloads.atomic_files import write_json_file

    write_json_file(document, path, "--json")
