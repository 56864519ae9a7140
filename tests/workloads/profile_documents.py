"""Small valid profile documents for tests."""

from __future__ import annotations

from typing import Any

__all__ = ["full_document", "small_document"]


def small_document() -> dict[str, Any]:
    """A profile of two sizes and three levels; a fresh copy at each call."""
    return {
        "format": "recfleet-profile",
        "format_version": 1,
        "name": "tiny-cpu2-fp32",
        "model": {
            "name": "tiny",
            "stage": "rank",
            "unit": "items",
            "config": {"dim": 8, "rows": [10, 20], "share": 0.5},
            "parameters": 300,
            "embedding_bytes": 960,
            "weights_bytes": 1200,
            "weights": "random, seed 1",
        },
        "device": {
            "id": "cpu-2core-test",
            "kind": "cpu",
            "name": "Test CPU",
            "memory_bytes": 10**9,
            "driver": None,
            "host": {"cpu": "Test CPU", "cores": 2, "memory_bytes": 10**9},
        },
        "execution": {"precision": "fp32", "mode": "eager", "threads": 2, "inputs": "uniform"},
        "latency": {
            "batch_sizes": [1, 8],
            "runs": [100, 50],
            "runs_set_aside": [0, 2],
            "quantile_levels": [0.0, 0.5, 1.0],
            "quantiles_s": [[0.001, 0.002, 0.004], [0.003, 0.004, 0.009]],
            "mean_s": [0.0021, 0.0043],
            "cpu_core_s": [0.004, 0.008],
            "split": None,
            "drift": [0.01, -0.02],
            "two_modes": [False, False],
        },
        "resources": {
            "device_memory_bytes": 0,
            "host_memory_bytes": 5000,
            "host_cores": 2,
            "load": {
                "weights_s": 0.1,
                "first_inference_s": 0.01,
                "graph_capture_s": 0.0,
                "total_s": 0.11,
                "file_cache": "read from disk",
            },
        },
        "power": None,
        "provenance": {
            "kind": "measured",
            "date": "2026-11-22",
            "versions": {"torch": "2.13.0"},
            "command": "recfleet profile tiny",
            "other_load_cores": 0.0,
        },
        "notes": ["Weights are random; a list [1,   2] in words stays as it is."],
    }


def full_document() -> dict[str, Any]:
    """The same with every optional part; a fresh copy at each call."""
    document = small_document()
    document["resources"]["load"]["compile_s"] = 1.5
    return document | {
        "power": {"idle_w": 70.0, "busy_w": [100.0, 120.0], "source": "counter"},
        "variant": {"method": "structured+int8-weight", "of": "tiny", "options": {"structured.ratio": 0.7}},
        "accuracy": {
            "data": "synthetic",
            "split": "time",
            "part": "test",
            "metrics": {"auc": 0.76, "rmse": 1.64},
            "intervals": {"auc": [0.75, 0.77]},
        },
        "interference": {
            "replicas": [2],
            "batch_sizes": [1, 8],
            "alone_mean_s": [0.002, 0.004],
            "slowdown": [[1.9, 2.0]],
            "throughput_ratio": [[0.52, 0.5]],
            "quantile_levels": [0.5, 0.99],
            "quantiles_s": [[[0.003, 0.005], [0.008, 0.01]]],
            "runs": [[100, 50]],
            "how": "on the same cores",
        },
        "roofline": {
            "matmul_flop_per_s": 1e11,
            "stream_bytes_per_s": 1e10,
            "gather_bytes_per_s": 1e9,
            "row_bytes": 32,
            "flops": [1000, 8000],
            "moved_bytes": [1200, 1500],
            "gathered_bytes": [32, 256],
            "bound_s": [1e-6, 2e-6],
            "limit": ["memory", "compute"],
            "ratio": [0.001, 0.0005],
            "how": "measured",
        },
    }
