"""A user and an item as one sequence of tokens: profile and history first, the item and its features behind.

One vocabulary holds everything: padding (0), the token that the answer is read from (1), the border (2), then users,
items, the values of each category, and tags, one range behind another. A rated item and a user who rated carry the
rating beside their token, as a grade.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from workloads.interactions.prepared import PreparedData
    from workloads.interactions.rows import Rows

__all__ = ["ANSWER", "BORDER", "GRADES", "PADDING", "grades_of", "token_rows", "tokens"]

PADDING, ANSWER, BORDER = 0, 1, 2
GRADES = 12
"""Grade 0 says nothing; 1 to 11 are tenths of the rating scale."""
_MOST_TAGS = 6


def token_rows(data: PreparedData) -> int:
    """Size of the vocabulary."""
    return _starts(data)[-1]


def _starts(data: PreparedData) -> list[int]:
    """First token of users, items, each user category, each item category and tags, and the end."""
    sizes = (data.users, data.items, *data.user_category_rows, *data.item_category_rows, data.item_tags.shape[1])
    return (3 + np.concatenate(([0], np.cumsum(sizes)))).tolist()


def grades_of(targets: np.ndarray, ids: np.ndarray) -> np.ndarray:
    """``grade[row, position]`` (int32) of ratings as shares of their scale; 0 where there is no id."""
    return np.where(ids > 0, 1 + np.rint(targets * (GRADES - 2)).astype(np.int32), np.int32(0))


def tokens(rows: Rows, length: int, user_part: int, audience: int) -> tuple[np.ndarray, np.ndarray]:
    """Tokens and grades of each row.

    Parameters
    ----------
    rows
        Pairs of a user and an item.
    length, user_part
        Positions in all, and those of the user.
    audience
        At most so many of the item's last users stand at the end of its part.

    Returns
    -------
    tuple
        ``token[row, position]`` and ``grade[row, position]``, int32. The user's part: answer, user, categories, then
        the last items, the newest at the end. The item's: border, item, categories, up to six tags, users.
    """
    token = np.zeros((len(rows), length), np.int32)
    grade = np.zeros((len(rows), length), np.int32)
    data = rows.data
    user_first, item_first, *category_firsts, tag_first, _ = _starts(data)
    user_columns = len(data.user_category_rows)

    token[:, 0] = ANSWER
    token[:, 1] = user_first + rows.trained_user()
    token[:, 2 : 2 + user_columns] = rows.user_categories() + np.array(category_firsts[:user_columns], np.int32)
    space = slice(2 + user_columns, user_part)
    history = rows.history(space.stop - space.start)
    token[:, space] = np.where(history > 0, item_first + history, PADDING)
    grade[:, space] = grades_of(rows.history_targets(space.stop - space.start), history)

    token[:, user_part] = BORDER
    token[:, user_part + 1] = item_first + rows.trained_item()
    firsts = np.array(category_firsts[user_columns:], np.int32)
    at = user_part + 2 + len(firsts)
    token[:, user_part + 2 : at] = rows.item_categories() + firsts
    tags = _tag_tokens(rows.item_tags(), tag_first)
    token[:, at : at + tags.shape[1]] = tags
    people = min(audience, length - at - tags.shape[1])
    if people > 0:
        watched = rows.audience(people)
        token[:, -people:] = np.where(watched > 0, user_first + watched, PADDING)
        grade[:, -people:] = grades_of(rows.audience_targets(people), watched)
    return token, grade


def _tag_tokens(item_tags: np.ndarray, tag_first: int) -> np.ndarray:
    """``token[row, place]``: the first tags of each item, padded behind."""
    most = min(_MOST_TAGS, item_tags.shape[1])
    order = np.argsort(~item_tags, axis=1, kind="stable")[:, :most]
    there = np.take_along_axis(item_tags, order, axis=1)
    return np.where(there, tag_first + order, PADDING).astype(np.int32)
