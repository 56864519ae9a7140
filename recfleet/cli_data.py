"""``recfleet data``: prepare a log of interactions for training, and show what was prepared."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from workloads.errors import InputError

if TYPE_CHECKING:
    from workloads.interactions.sources.table import EntityColumns, TableColumns

__all__ = ["app"]

app = typer.Typer(help="Prepare logs of interactions for training, and show what was prepared.", no_args_is_help=True)

_OWN = "For a table of your own: "


@app.command()
def prepare(
    source: Annotated[
        str, typer.Argument(help="movietweetings, movielens-100k, synthetic, or a CSV or Parquet table of your own.")
    ],
    out: Annotated[Path, typer.Option("--out", help="Folder to write.")],
    folder: Annotated[Path | None, typer.Option("--from", help="Where a published data set lies.")] = None,
    split: Annotated[str, typer.Option(help="time: one moment divides all; user: the last of each user.")] = "time",
    test_days: Annotated[float | None, typer.Option(help="Last days for test.")] = None,
    validation_days: Annotated[float | None, typer.Option(help="Days before those for validation.")] = None,
    test_share: Annotated[float | None, typer.Option(help="Share of rows for test, in place of days.")] = None,
    validation_share: Annotated[float | None, typer.Option(help="Share of rows for validation.")] = None,
    like_from: Annotated[float | None, typer.Option(help="From this rating on, a rating is a like.")] = None,
    scale: Annotated[str | None, typer.Option(help="Lowest and highest rating, as 1:5.")] = None,
    keep_repeats: Annotated[
        bool, typer.Option("--keep-repeats", help="Keep every rating of the same pair, not the last alone.")
    ] = False,
    min_user: Annotated[int, typer.Option(min=1, help="Drop users with fewer interactions (and repeat).")] = 1,
    min_item: Annotated[int, typer.Option(min=1, help="Drop items with fewer interactions (and repeat).")] = 1,
    suspect_per_day: Annotated[int, typer.Option(min=1, help="More on one day than this is suspect.")] = 300,
    drop_suspects: Annotated[bool, typer.Option("--drop-suspects", help="Drop suspect users.")] = False,
    user: Annotated[str | None, typer.Option(help=_OWN + "column of users. [user]")] = None,
    item: Annotated[str | None, typer.Option(help=_OWN + "column of items. [item]")] = None,
    rating: Annotated[str | None, typer.Option(help=_OWN + "column of ratings. [rating]")] = None,
    no_rating: Annotated[bool, typer.Option("--no-rating", help=_OWN + "every row is a like.")] = False,
    time: Annotated[str | None, typer.Option(help=_OWN + "column of times. [time]")] = None,
    time_unit: Annotated[str | None, typer.Option(help=_OWN + "unit of times: s, ms, us or ns. [s]")] = None,
    name: Annotated[str | None, typer.Option(help=_OWN + "name of the data. [the file's]")] = None,
    users_table: Annotated[Path | None, typer.Option(help=_OWN + "table of users.")] = None,
    user_numbers: Annotated[str, typer.Option(help="Its columns of quantities, as age,income.")] = "",
    user_categories: Annotated[str, typer.Option(help="Its columns of names or codes.")] = "",
    items_table: Annotated[Path | None, typer.Option(help=_OWN + "table of items.")] = None,
    item_numbers: Annotated[str, typer.Option(help="Its columns of quantities.")] = "",
    item_categories: Annotated[str, typer.Option(help="Its columns of names or codes.")] = "",
    item_tags: Annotated[str, typer.Option(help="Its column of several names each, divided by |.")] = "",
    seed: Annotated[int, typer.Option(min=0, help="For synthetic: seed of everything drawn.")] = 0,
) -> None:
    """Clean a log, divide it in time, number its users and items, and describe them.

    Examples: recfleet data prepare movietweetings --out mt ; recfleet data prepare my.csv --user member --item sku
    --rating stars --time when --like-from 4 --out my
    """
    from workloads.interactions.clean import CleanSettings
    from workloads.interactions.prepare import SOURCES, prepare
    from workloads.interactions.prepared import check_target, save_prepared
    from workloads.interactions.synthetic import synthetic_data

    check_target(out)
    of_log = {"user": user, "item": item, "rating": rating, "time": time, "time_unit": time_unit, "name": name}
    of_users = _entities("user", users_table, user_numbers, user_categories)
    of_items = _entities("item", items_table, item_numbers, item_categories, item_tags)
    columns = _columns(of_log, no_rating, of_users, of_items)
    if source in (*SOURCES, "synthetic") and columns is not None:
        raise InputError(source, "has columns of its own", "name columns for a table of your own only")
    shares = {"test_share": test_share, "validation_share": validation_share}
    days = {"test_days": test_days, "validation_days": validation_days}
    with _working(f"preparing {source}"):
        if source == "synthetic":
            _refuse_for_synthetic(
                {name: value is not None for name, value in (shares | days).items()}
                | {"from": folder is not None, "scale": scale is not None, "like_from": like_from is not None}
                | {"split": split != "time", "keep_repeats": keep_repeats, "min_user": min_user > 1}
                | {"min_item": min_item > 1, "suspect_per_day": suspect_per_day != 300, "drop_suspects": drop_suspects}
            )
            data = synthetic_data(1_000, 800, 50_000, seed)
        else:
            data = prepare(
                source,
                split=split,
                folder=folder,
                columns=columns,
                scale=_scale(scale),
                like_from=like_from,
                cleaning=CleanSettings(keep_repeats, suspect_per_day, drop_suspects, min_user, min_item),
                **shares,
                **days,
            )
        save_prepared(data, out)
    show(out)
    typer.echo(f"Written to {out}")


@app.command()
def show(
    folder: Annotated[Path, typer.Argument(help="A folder of prepared data.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """What was found and done, the parts, and the features of prepared data."""
    from recfleet.data_tables import print_prepared
    from workloads.interactions.prepared import load_prepared

    data = load_prepared(folder)
    if as_json:
        import json

        typer.echo(json.dumps(dict(data.report) | {"digest": data.digest}, indent=2, ensure_ascii=False))
    else:
        print_prepared(data)


def _refuse_for_synthetic(is_given: dict[str, bool]) -> None:
    given = [name.replace("_", "-") for name, said in is_given.items() if said]
    if given:
        raise InputError("synthetic", f"--{given[0]} does not go with it", "give --seed alone")


def _columns(
    of_log: dict[str, str | None], no_rating: bool, of_users: EntityColumns, of_items: EntityColumns
) -> TableColumns | None:
    """What the options say of a table's columns; None where none is given."""
    from workloads.interactions.sources.table import TableColumns

    given: dict[str, Any] = {option: value for option, value in of_log.items() if value is not None}
    if no_rating:
        if "rating" in given:
            raise InputError("--no-rating", "is given together with --rating", "give one of the two")
        given["rating"] = None
    if not given and of_users.path is None and of_items.path is None:
        return None
    return TableColumns(**given, users=of_users, items=of_items)


def _entities(kind: str, path: Path | None, numbers: str, categories: str, tags: str = "") -> EntityColumns:
    from workloads.interactions.sources.table import EntityColumns

    if path is None and (numbers or categories or tags):
        fix = f"give --{kind}s-table FILE too"
        raise InputError(f"--{kind}-...", f"columns are named, but no table of {kind}s is given", fix)
    return EntityColumns(path, _names(numbers), _names(categories), tags)


def _names(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _scale(text: str | None) -> tuple[float, float] | None:
    if text is None:
        return None
    try:
        low, high = (float(part) for part in text.split(":"))
    except ValueError:
        raise InputError("--scale", f"{text!r} is not LOW:HIGH", "write it as 1:5") from None
    return low, high


@contextmanager
def _working(text: str) -> Iterator[None]:
    """A sign of life on standard error while it is a terminal; else nothing."""
    if not sys.stderr.isatty():
        yield
        return
    from rich.console import Console

    with Console(stderr=True).status(text):
        yield
