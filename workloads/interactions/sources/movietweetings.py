"""MovieTweetings: ratings 0 to 10 of films, gathered from tweets; years and genres of the films."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from workloads.data_folder import ORIGINALS, data_folder, data_path
from workloads.errors import InputError
from workloads.interactions.sources.raw import Entities, RawLog, read_text_table

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["read_movietweetings"]

RATINGS, MOVIES = "ratings_movietweetings.parquet", "movies_movietweetings.parquet"


def read_movietweetings(folder: Path | None = None) -> RawLog:
    """Read the ratings and films, of `folder` or of the data folder (``RECFLEET_DATA``).

    The folder holds the Parquet files of that name, or ``ratings.dat`` and ``movies.dat`` as published.

    Raises
    ------
    InputError
        A file is absent; names the published original.
    """
    import pandas as pd

    if folder is None and data_folder() is None:
        data_path(RATINGS)  # It tells what to do.
    place = folder or data_folder()
    assert place is not None
    if (place / RATINGS).is_file() and (place / MOVIES).is_file():
        ratings, movies = pd.read_parquet(place / RATINGS), pd.read_parquet(place / MOVIES)
    elif (place / "ratings.dat").is_file():
        ratings, movies = _published(place)
    else:
        original = ORIGINALS[RATINGS]
        raise InputError(
            str(place),
            f"holds neither {RATINGS} and {MOVIES} nor ratings.dat and movies.dat",
            f"download {original.title}, {original.url}, and give its folder with --from FOLDER",
        )
    movies = movies.assign(
        year=movies["year"].where(movies["year"] > 1800), first_genre=movies["genres"].str.partition("|")[0]
    )
    movies["decade"] = movies["year"] // 10 * 10
    frame = ratings.rename(columns={"user_id": "user", "movie_id": "item", "unix_s": "time_s"})
    return RawLog(
        name="movietweetings",
        source=f"{ORIGINALS[RATINGS].title}, {ORIGINALS[RATINGS].url}",
        licence=ORIGINALS[RATINGS].licence,
        frame=frame,
        rating_low=0.0,
        rating_high=10.0,
        like_from=8.0,
        items=Entities(movies, "movie_id", ("year",), ("decade", "first_genre"), "genres"),
        test_days=30.0,
        validation_days=15.0,
    )


def _published(folder: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The two ``.dat`` files: fields divided by ``::``, titles as ``Name (1999)``."""
    options = {"sep": "::", "engine": "python", "header": None, "encoding": "utf-8"}
    ratings = read_text_table(folder / "ratings.dat", names=["user_id", "movie_id", "rating", "unix_s"], **options)
    movies = read_text_table(folder / "movies.dat", names=["movie_id", "title", "genres"], **options)
    year = movies["title"].str.extract(r"\((\d{4})\)\s*$")[0]
    return ratings, movies.assign(year=year.astype(float), genres=movies["genres"].fillna(""))
