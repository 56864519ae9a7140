"""Models small enough to run in milliseconds; needs torch."""

from __future__ import annotations

from typing import Any

from workloads.models.autoencoder import AutoencoderConfig
from workloads.models.bert4rec import Bert4RecConfig
from workloads.models.bert_reranker import BertRerankerConfig
from workloads.models.biased_mf import BiasedMfConfig
from workloads.models.dlrm import DlrmConfig
from workloads.models.lstm_two_tower import LstmTwoTowerConfig
from workloads.models.neumf import NeuMfConfig
from workloads.models.sasrec import SasRecConfig
from workloads.models.two_tower import TwoTowerConfig

__all__ = ["TINY"]

TINY: dict[str, Any] = {
    "biased_mf": BiasedMfConfig(users=50, items=40, dim=8, top_k=7),
    "two_tower": TwoTowerConfig(
        users=50,
        items=200,
        dim=8,
        history_length=5,
        context_features=3,
        hidden=(16,),
        top_k=7,
        item_features=4,
        item_hidden=(12,),
    ),
    "lstm_two_tower": LstmTwoTowerConfig(
        users=50,
        items=60,
        dim=8,
        hidden=12,
        item_hidden=10,
        history_length=5,
        audience_length=4,
        context_features=3,
        item_features=4,
        top_k=7,
    ),
    "autoencoder": AutoencoderConfig(items=60, hidden=12, latent=6, decoder_hidden=(10,), history_length=5, top_k=7),
    "sasrec": SasRecConfig(
        items=60, width=16, layers=2, heads=2, head_dim=8, feed_forward=32, history_length=6, top_k=7
    ),
    "bert4rec": Bert4RecConfig(items=60, width=16, layers=2, heads=2, head_dim=8, feed_forward=32, length=6, top_k=7),
    "neumf": NeuMfConfig(users=50, items=40, product_dim=4, layer_dim=8, hidden=(16, 8), out=6),
    "dlrm": DlrmConfig(table_rows=(10, 3, 50), dim=8, dense_features=4, bottom=(16,), top=(32, 16)),
    "bert_reranker": BertRerankerConfig(
        vocabulary=100, sequence_length=8, user_tokens=4, width=16, layers=2, heads=2, head_dim=8, feed_forward=32
    ),
}
