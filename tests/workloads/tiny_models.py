"""Models small enough to run in milliseconds; needs torch."""

from __future__ import annotations

from typing import Any

from workloads.models.bert_reranker import BertRerankerConfig
from workloads.models.biased_mf import BiasedMfConfig
from workloads.models.dlrm import DlrmConfig
from workloads.models.sasrec import SasRecConfig
from workloads.models.two_tower import TwoTowerConfig

__all__ = ["TINY"]

TINY: dict[str, Any] = {
    "two_tower": TwoTowerConfig(
        users=50, items=200, dim=8, history_length=5, context_features=3, hidden=(16,), top_k=7
    ),
    "biased_mf": BiasedMfConfig(users=50, items=40, dim=8, top_k=7),
    "sasrec": SasRecConfig(
        items=60, width=16, layers=2, heads=2, head_dim=8, feed_forward=32, history_length=6, top_k=7
    ),
    "dlrm": DlrmConfig(table_rows=(10, 3, 50), dim=8, dense_features=4, bottom=(16,), top=(32, 16)),
    "bert_reranker": BertRerankerConfig(
        vocabulary=100, sequence_length=8, user_tokens=4, width=16, layers=2, heads=2, feed_forward=32
    ),
}
