"""Full rankings: for each user, all items of the catalogue that the user does not have yet. Nothing is sampled."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from workloads.errors import InputError
from workloads.interactions.types import InteractionTable
from workloads.training.evaluation.scorers import Scorer

if TYPE_CHECKING:
    from workloads.interactions.prepared import PreparedData
    from workloads.interactions.types import Known, Part

__all__ = ["Rankings", "rank_users"]

_USERS_AT_ONCE = 512


@dataclass(frozen=True, eq=False)
class Rankings:
    """Lists for the users of a part.

    Attributes
    ----------
    shown
        ``shown[user, rank]`` ids; 0 where a list is shorter.
    relevant_user, relevant_item
        Pairs to be found, each once: row of `shown`, and id.
    catalogue
        Items that could be shown: those of the training part.
    counts
        ``users_in_part``, ``users_unknown`` (no training interaction, so no list), ``users_without_relevant`` (liked
        nothing new that the catalogue has), ``users_ranked``, ``likes_outside_catalogue``.
    """

    shown: np.ndarray
    relevant_user: np.ndarray
    relevant_item: np.ndarray
    catalogue: int
    counts: dict[str, int]

    def relevant(self) -> np.ndarray:
        """``relevant[user]``: how many there are to be found."""
        return np.bincount(self.relevant_user, minlength=len(self.shown))


def rank_users(
    scorer: Scorer, data: PreparedData, part: Part, length: int, ranking_users: int = 0, seed: int = 0
) -> Rankings:
    """The best `length` items for each user of a part who can be judged.

    Parameters
    ----------
    part
        ``validation`` ranks what is not in the training part, ``test`` what is in neither that nor validation.
    ranking_users
        A seeded sample of so many users; 0 takes all. The items of a list are never sampled.
    """
    known: Known = "all" if part == "test" else "train"
    seen = data.known(known).table
    in_catalogue = np.zeros(data.items, bool)
    in_catalogue[data.train.item] = True
    in_catalogue[0] = False
    users, relevant, counts = _to_judge(data, part, seen, in_catalogue)
    if 0 < ranking_users < len(users):
        users = np.sort(np.random.default_rng(seed).choice(users, ranking_users, replace=False))
        relevant = relevant.take(np.isin(relevant.user, users))
    counts["users_ranked"] = len(users)
    catalogue = int(in_catalogue.sum())
    lists = [
        _best(scorer, users[first : first + _USERS_AT_ONCE], known, seen, in_catalogue, min(length, catalogue))
        for first in range(0, len(users), _USERS_AT_ONCE)
    ]
    shown = np.concatenate(lists) if lists else np.zeros((0, length), np.int64)
    return Rankings(shown, np.searchsorted(users, relevant.user), relevant.item, catalogue, counts)


def _to_judge(
    data: PreparedData, part: Part, seen: InteractionTable, in_catalogue: np.ndarray
) -> tuple[np.ndarray, InteractionTable, dict[str, int]]:
    """Users with something to be found, those pairs, and the counts."""
    table = data.part(part)
    everyone = np.unique(table.user)
    trained = np.zeros(data.users, bool)
    trained[data.train.user] = True
    trained[0] = False
    liked = (table.rating >= data.like_from) & trained[table.user]
    new = ~np.isin(_pair(data, table), _pair(data, seen))
    wanted = np.flatnonzero(liked & new & in_catalogue[table.item])
    relevant = table.take(wanted[np.unique(_pair(data, table)[wanted], return_index=True)[1]])
    users = np.unique(relevant.user)
    unknown = int((~trained[everyone]).sum())
    counts = {
        "users_in_part": len(everyone),
        "users_unknown": unknown,
        "users_without_relevant": len(everyone) - unknown - len(users),
        "likes_outside_catalogue": int((liked & ~in_catalogue[table.item]).sum()),
    }
    return users, relevant, counts


def _best(
    scorer: Scorer, users: np.ndarray, known: Known, seen: InteractionTable, in_catalogue: np.ndarray, length: int
) -> np.ndarray:
    """``item[user, rank]`` of some users, 0 where nothing is left to show."""
    scores = scorer.item_scores(users, known)
    allowed = torch.from_numpy(in_catalogue).to(scores.device)
    if not bool(torch.isfinite(scores[:, allowed]).all()):
        raise InputError("evaluation", "the model gives scores that are not finite", "train it again, at a lower --lr")
    scores = scores.masked_fill(~allowed, -torch.inf)
    has = np.flatnonzero(np.isin(seen.user, users))
    row = torch.from_numpy(np.searchsorted(users, seen.user[has])).to(scores.device)
    scores[row, torch.from_numpy(seen.item[has].astype(np.int64)).to(scores.device)] = -torch.inf
    best, item = torch.topk(scores, length, dim=1)
    return item.masked_fill(best == -torch.inf, 0).cpu().numpy()


def _pair(data: PreparedData, table: InteractionTable) -> np.ndarray:
    return table.user.astype(np.int64) * data.items + table.item
