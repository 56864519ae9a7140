"""MovieLens-100k: ratings 1 to 5 of 1,682 films by 943 people of known age, gender, occupation and region."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from workloads.errors import InputError
from workloads.interactions.sources.raw import Entities, RawLog, read_text_table

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["read_movielens_100k"]

_INSIDE = Path("dataset_example") / "ml-100k"
_INSTALL = "run: pip install --no-deps recbole==1.2.1  (its data alone are read), or give --from FOLDER"
_GENRES = [
    *("unknown", "Action", "Adventure", "Animation", "Children's", "Comedy", "Crime", "Documentary", "Drama"),
    *("Fantasy", "Film-Noir", "Horror", "Musical", "Mystery", "Romance", "Sci-Fi", "Thriller", "War", "Western"),
]


def read_movielens_100k(folder: Path | None = None) -> RawLog:
    """Read the three tables, of `folder` or of the installed distribution recbole, which is not imported.

    The folder holds ``ml-100k.inter``, ``.user`` and ``.item`` (RecBole's atomic files), or ``u.data``, ``u.user``
    and ``u.item`` (GroupLens').

    Raises
    ------
    InputError
        Absent; names the command that installs the files.
    """
    place = folder or _installed()
    if (place / "ml-100k.inter").is_file():
        frame, users, items = _atomic(place)
    elif (place / "u.data").is_file():
        frame, users, items = _grouplens(place)
    else:
        raise InputError(str(place), "holds neither ml-100k.inter nor u.data", _INSTALL)
    items = items.assign(genres=items["genres"].where(items["genres"] != "unknown", ""))
    users = users.assign(age_band=users["age"] // 10 * 10, region=users["zip"].astype(str).str.slice(0, 1).str.upper())
    items = items.assign(
        decade=items["year"] // 10 * 10,
        first_genre=items["genres"].str.partition("|")[0],
    )
    return RawLog(
        name="movielens-100k",
        source="MovieLens 100K (GroupLens, 1998), https://grouplens.org/datasets/movielens/100k/",
        licence="research use with acknowledgement (Harper and Konstan 2015); no redistribution without permission",
        frame=frame,
        rating_low=1.0,
        rating_high=5.0,
        like_from=4.0,
        users=Entities(users, "user", ("age",), ("gender", "occupation", "age_band", "region")),
        items=Entities(items, "item", ("year",), ("decade", "first_genre"), "genres"),
    )


def _installed() -> Path:
    """The folder within the distribution recbole, found by its list of files."""
    from importlib.metadata import PackageNotFoundError, distribution

    try:
        found = Path(str(distribution("recbole").locate_file(Path("recbole") / _INSIDE)))
    except PackageNotFoundError:
        raise InputError("movielens-100k", "is not found on this machine", _INSTALL) from None
    if not found.is_dir():
        raise InputError("movielens-100k", f"is not in the installed recbole ({found})", _INSTALL)
    return found


def _atomic(place: Path) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """RecBole's files: tab-separated, columns named as ``user_id:token``."""
    frame, users, items = (
        read_text_table(place / f"ml-100k.{kind}", sep="\t", dtype=types)
        for kind, types in (("inter", None), ("user", {"zip_code:token": str}), ("item", {"class:token_seq": str}))
    )
    names = {"user_id": "user", "item_id": "item", "timestamp": "time_s", "zip_code": "zip"}
    names |= {"release_year": "year", "class": "genres"}
    tables = []
    for table, wanted in (
        (frame, ("user", "item", "rating", "time_s")),
        (users, ("user", "age", "gender", "occupation", "zip")),
        (items, ("item", "year", "genres")),
    ):
        table = table.rename(columns=lambda column: str(column).partition(":")[0]).rename(columns=names)
        tables.append(_with(place, table, wanted))
    frame, users, items = tables
    genres = items["genres"].fillna("").str.strip().str.replace(r"\s+", "|", regex=True)
    return frame, _numbered(users, "age"), _numbered(items.assign(genres=genres), "year")


def _grouplens(place: Path) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """The published files: ``u.data`` by tabs, the others by bars, in Latin-1."""
    options: dict[str, Any] = {"header": None, "encoding": "latin-1"}
    frame = read_text_table(place / "u.data", sep="\t", names=["user", "item", "rating", "time_s"], **options)
    columns = ["user", "age", "gender", "occupation", "zip"]
    users = read_text_table(place / "u.user", sep="|", names=columns, dtype={"zip": str}, **options)
    columns = ["item", "title", "date", "video_date", "url", *_GENRES]
    items = read_text_table(place / "u.item", sep="|", names=columns, **options)
    flags = items[_GENRES].to_numpy(dtype=bool)
    genres = ["|".join(genre for genre, flag in zip(_GENRES, row) if flag) for row in flags]
    year = items["title"].astype(str).str.extract(r"\((\d{4})\)\s*$")[0]
    items = items.assign(genres=genres, year=year)
    return frame, _numbered(users, "age"), _numbered(items[["item", "year", "genres"]], "year")


def _with(place: Path, table: pd.DataFrame, wanted: tuple[str, ...]) -> pd.DataFrame:
    missing = [column for column in wanted if column not in table.columns]
    if missing:
        raise InputError(str(place), f"has tables without {', '.join(missing)}", "check that the files are ml-100k's")
    return table[list(wanted)]


def _numbered(table: pd.DataFrame, column: str) -> pd.DataFrame:
    import pandas as pd

    return table.assign(**{column: pd.to_numeric(table[column], errors="coerce")})
