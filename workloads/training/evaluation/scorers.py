"""What can be judged: anything that scores rows, and all items for a user."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch
from torch import nn

from workloads.interactions.rows import Rows
from workloads.training.batches import ahead, to_tensors

if TYPE_CHECKING:
    from workloads.interactions.prepared import PreparedData
    from workloads.interactions.types import Known
    from workloads.models.base import ModelModule

__all__ = ["NetworkScorer", "Scorer"]

_REQUESTS, _PAIRS = 512, 8192


class Scorer(Protocol):
    """A model or a baseline, seen by the evaluation."""

    @property
    def predicts_rating(self) -> bool:
        """Whether scores are ratings as shares of their scale."""

    @property
    def ranks(self) -> bool:
        """Whether it tells items apart, so that a ranking by it means something."""

    def row_scores(self, rows: Rows) -> np.ndarray:
        """``score[row]`` (float64) of each row's item for its user."""

    def item_scores(self, users: np.ndarray, known: Known) -> torch.Tensor:
        """``score[user, item]`` (float32) for every id of an item; ids outside the catalogue are overwritten."""


class NetworkScorer:
    """A network of the zoo.

    Parameters
    ----------
    module, config, network
        The model; the network is put into evaluation mode on `device`.
    data
        What it was trained on, in `data.train`.
    precision
        ``fp32`` runs the network as it is; ``bf16`` under autocast.
    """

    ranks = True

    def __init__(
        self,
        module: ModelModule,
        config: Any,
        network: nn.Module,
        data: PreparedData,
        device: str | torch.device = "cpu",
        precision: str = "fp32",
    ) -> None:
        self.predicts_rating = bool(network.predicts_rating)
        self._module, self._config, self._data = module, config, data
        self._device = torch.device(device)
        self._network = network.to(self._device).eval()
        self._precision = precision
        self._catalogue = np.unique(data.train.item)

    def row_scores(self, rows: Rows) -> np.ndarray:
        """One score a row.

        A retrieval model whose scores are logits has learned nothing of items outside training but that they were not
        chosen; such an item gets the user's mean score over the others.
        """
        if self._module.UNIT == "items":
            parts = [scores.double().cpu() for scores in self._run(self._pieces(rows, _PAIRS))]
        else:
            parts = [self._of_items(scores, rows[piece]) for piece, scores in self._request_scores(rows)]
        return torch.cat(parts).numpy() if parts else np.empty(0)

    def item_scores(self, users: np.ndarray, known: Known) -> torch.Tensor:
        """All items for each user: in one pass for retrieval, pair by pair otherwise."""
        if self._module.UNIT == "requests":
            rows = Rows.of_users(self._data, users, known)
            return torch.cat([scores for _, scores in self._request_scores(rows)])
        found = torch.full((len(users), self._data.items), -torch.inf, device=self._device)
        catalogue = torch.from_numpy(self._catalogue).long().to(self._device)
        scored = torch.cat([scores.float() for scores in self._run(self._pairs(users, known))])
        found[:, catalogue] = scored.view(len(users), len(catalogue))
        return found

    def _request_scores(self, rows: Rows) -> Iterator[tuple[slice, torch.Tensor]]:
        first = 0
        for scores in self._run(self._pieces(rows, _REQUESTS)):
            yield slice(first, first + len(scores)), scores.float()
            first += len(scores)

    def _of_items(self, scores: torch.Tensor, rows: Rows) -> torch.Tensor:
        """Each row's item out of ``scores[row, item]``."""
        item = torch.from_numpy(rows.item.astype(np.int64)).to(self._device)
        own = scores.gather(1, item[:, None])[:, 0].double()
        if not self.predicts_rating:
            trained = torch.zeros(scores.shape[1], dtype=torch.bool)
            trained[torch.from_numpy(self._catalogue).long()] = True
            trained = trained.to(self._device)
            own = torch.where(trained[item], own, scores[:, trained].double().mean(dim=1))
        return own.cpu()

    def _pieces(self, rows: Rows, size: int) -> Iterator[tuple[np.ndarray, ...]]:
        for first in range(0, len(rows), size):
            yield self._module.inputs(rows[first : first + size], self._config)

    def _pairs(self, users: np.ndarray, known: Known) -> Iterator[tuple[np.ndarray, ...]]:
        pairs = len(users) * len(self._catalogue)
        for first in range(0, pairs, _PAIRS):
            user, item = np.divmod(np.arange(first, min(first + _PAIRS, pairs)), len(self._catalogue))
            rows = Rows.of_pairs(self._data, users[user], self._catalogue[item], known)
            yield self._module.inputs(rows, self._config)

    def _run(self, batches: Iterator[tuple[np.ndarray, ...]]) -> Iterator[torch.Tensor]:
        """Scores of each batch, the next one being prepared while a GPU works."""
        kind = self._device.type
        answer: Any = self._network.score if self._module.UNIT == "items" else self._network.scores
        with torch.no_grad(), torch.autocast(kind, dtype=torch.bfloat16, enabled=self._precision == "bf16"):
            for batch in ahead(batches) if kind == "cuda" else batches:
                yield answer(*to_tensors(batch, self._device))
