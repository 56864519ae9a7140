"""A small valid profile document for tests."""

from __future__ import annotations

from typing import Any

__all__ = ["small_document"]


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
