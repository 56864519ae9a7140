"""Our DLRM beside MLPerf's: the published file is read right, and work is counted as the network does it."""

from __future__ import annotations

import pandas as pd
import pytest

from tests.benchmarks.mlperf_dlrm import MLPERF_MACS, PAIRS_A_SAMPLE, our_macs, our_rows, published_rows
from workloads.data_folder import data_folder, data_path
from workloads.models.cost import flops
from workloads.models.dlrm import DlrmConfig, build, example_inputs
from workloads.profile import load_profile


def test_multiply_adds_are_those_that_torch_counts() -> None:
    import numpy as np
    import torch

    config = DlrmConfig(table_rows=(50, 20, 30), dim=8, dense_features=5, bottom=(16, 12), top=(24, 10))
    arrays = example_inputs(config, 3, np.random.default_rng(0))
    counted = flops(build(config), tuple(torch.from_numpy(array) for array in arrays))
    assert counted == 3 * 2 * our_macs(config)


def test_the_published_model_is_larger() -> None:
    # bottom 170,496 + three cross layers of 2 x 3456 x 512 + top 5,243,136
    assert MLPERF_MACS == 170_496 + 10_616_832 + 5_243_136


@pytest.mark.data
@pytest.mark.skipif(data_folder() is None, reason="no folder of real inputs (RECFLEET_DATA)")
def test_published_rates_are_of_one_accelerator() -> None:
    rows = published_rows(pd.read_csv(data_path("mlperf_v41_dlrm_v2.csv")))
    h200 = next(row for row in rows if row.system == "H200-SXM-141GBx8_TRT" and row.what == "Offline")
    assert h200.pairs_per_s == pytest.approx(637_342 / 8 * PAIRS_A_SAMPLE)


def test_our_rows_keep_their_latency_bound() -> None:
    rows = our_rows(load_profile("dlrm-h200-bf16-graph"))
    assert rows[0].pairs_per_s == max(row.pairs_per_s for row in rows)
    assert all(row.p99_ms <= 1.0 for row in rows if row.what.startswith("p99"))
