"""Made-up interactions with a known law, for tests and trials: nothing here was logged by anybody."""

from __future__ import annotations

import numpy as np

from workloads.errors import InputError
from workloads.interactions.types import InteractionTable, PreparedData

__all__ = ["synthetic_data"]

_RANK = 4
_DAYS = 60
_START_S = 1_600_000_000
_MOST_PAIRS = 50_000_000


def synthetic_data(users: int = 60, items: int = 40, rows: int = 2000, seed: int = 0) -> PreparedData:
    """Ratings 1 to 5 of low rank with user and item biases, tastes that turn with time, and noise.

    Who meets what is skewed by activity and popularity and leans to taste. Pairs are distinct. The first 70 % of
    the time is training, the next 15 % validation, the rest test. Item tags, categories and dense features say
    something true about the hidden factors, so that models which read them can gain from it.

    Parameters
    ----------
    users, items
        People and things; the id tables have one row more.
    rows
        Interactions, at most users times items.
    seed
        Of everything drawn.
    """
    if not 0 < rows <= users * items <= _MOST_PAIRS:
        limit = min(users * items, _MOST_PAIRS)
        raise InputError("synthetic_data rows", f"{rows} is not from 1 to {limit}", "ask for fewer interactions")
    who, what, when, hidden = (np.random.default_rng(s) for s in np.random.SeedSequence(seed).spawn(4))
    early, late = hidden.normal(size=(2, users, _RANK)) * 0.8
    factor = hidden.normal(size=(items, _RANK)) * 0.7
    user_bias, item_bias = hidden.normal(size=users) * 0.4, hidden.normal(size=items) * 0.5

    activity, popularity = who.gumbel(size=users) * 0.5, -0.7 * np.log(what.permutation(items) + 1.0)
    liking = 0.6 * np.clip((early + late) / 2 @ factor.T, -2, 2)
    keys = activity[:, None] + popularity + liking + what.gumbel(size=(users, items))
    chosen = np.sort(np.argpartition(-keys.ravel(), rows - 1)[:rows])
    user, item = np.divmod(chosen, items)

    share = when.random(rows)
    angle = (np.pi / 2 * share)[:, None]
    taste = np.cos(angle) * early[user] + np.sin(angle) * late[user]
    score = 3.2 + user_bias[user] + item_bias[item] + (taste * factor[item]).sum(1) + hidden.normal(size=rows) * 0.5
    table = InteractionTable(
        (user + 1).astype(np.int32),
        (item + 1).astype(np.int32),
        np.clip(np.rint(score), 1, 5).astype(np.float32),
        (_START_S + share * _DAYS * 86_400).astype(np.int64),
    )
    table = table.take(np.argsort(table.time_s, kind="stable"))
    train, validation = int(rows * 0.7), int(rows * 0.85)

    cluster = 1 + 2 * (early[:, 0] > 0) + (early[:, 1] > 0)
    kind = 1 + np.argmax(np.abs(factor), axis=1)
    tags = np.hstack([factor > 0.3, factor < -0.3])
    return PreparedData(
        name="synthetic",
        split="time",
        users=users + 1,
        items=items + 1,
        rating_low=1.0,
        rating_high=5.0,
        like_from=4.0,
        user_dense=_padded((early[:, :1] + hidden.normal(size=(users, 1)) * 0.3).astype(np.float32)),
        item_dense=_padded((factor[:, :2] + hidden.normal(size=(items, 2)) * 0.3).astype(np.float32)),
        user_categories=_padded(cluster[:, None].astype(np.int32)),
        item_categories=_padded(np.stack([kind, 1 + (item_bias > 0)], axis=1).astype(np.int32)),
        user_category_rows=(5,),
        item_category_rows=(_RANK + 1, 3),
        item_tags=_padded(tags),
        tag_names=tuple(f"{sign}{k}" for sign in "+-" for k in range(_RANK)),
        train=table.take(np.arange(train)),
        validation=table.take(np.arange(train, validation)),
        test=table.take(np.arange(validation, rows)),
        report={"synthetic": True, "note": "made up: low rank, biases, drifting tastes and noise", "seed": seed},
    )


def _padded(array: np.ndarray) -> np.ndarray:
    """With a row 0 of zeros before."""
    return np.concatenate([np.zeros((1, *array.shape[1:]), array.dtype), array])
