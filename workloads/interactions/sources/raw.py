"""A log as its source gives it, before anything was checked."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workloads.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Entities", "RawLog", "read_text_table"]


@dataclass(frozen=True, eq=False)
class Entities:
    """What a source tells of its users or of its items.

    Attributes
    ----------
    frame
        One row each; `key` is the column of ids as the log has them. None where nothing is told.
    key
        Column of ids.
    numbers, categories
        Columns of quantities, and of names or codes.
    tags
        Column of several names each, divided by ``|``; empty where there is none.
    """

    frame: pd.DataFrame | None = None
    key: str = ""
    numbers: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    tags: str = ""


@dataclass(frozen=True, eq=False)
class RawLog:
    """A log of interactions.

    Attributes
    ----------
    name, source, licence
        As reports print them.
    frame
        Columns user, item (any values), rating, time_s (float64; NaN where missing or no number).
    rating_low, rating_high, like_from
        The scale; None to take it from the ratings, and the like from three quarters of the scale.
    users, items
        What is told of them.
    test_days, validation_days
        How the source is usually divided in time; 0 to divide by shares of the rows.
    notes
        What a reader must know.
    """

    name: str
    source: str
    licence: str
    frame: pd.DataFrame
    rating_low: float | None
    rating_high: float | None
    like_from: float | None
    users: Entities = field(default_factory=Entities)
    items: Entities = field(default_factory=Entities)
    test_days: float = 0.0
    validation_days: float = 0.0
    notes: tuple[str, ...] = ()


def read_text_table(path: Path, **options: Any) -> pd.DataFrame:
    """A text table of a published data set.

    Raises
    ------
    InputError
        Absent or of another layout.
    """
    import pandas as pd

    if not path.is_file():
        raise InputError(str(path), "is no file", "give the folder of the data set with --from FOLDER")
    try:
        return pd.read_csv(path, **options)
    except (ValueError, OSError, IndexError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InputError(str(path), f"cannot be read ({reason})", "check that it is the published file") from error
