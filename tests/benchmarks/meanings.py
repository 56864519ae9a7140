"""What the figures of the benchmark are, one line each."""

from __future__ import annotations

__all__ = ["MEANINGS"]

MEANINGS = {
    "one_stage_rps": "requests/s: 32 replicas, trace in memory",
    "one_stage_with_trace_rps": "the same, drawing the trace meanwhile",
    "one_stage_wall_rps": "trace in memory, by the wall's clock",
    "one_stage_batch_tasks": "mean tasks in a batch",
    "three_stage_rps": "requests/s: 32 replicas in each of three stages, requests split in the second",
    "three_stage_batch_tasks": "mean tasks in a batch, by stage",
    "cache_rps": "requests/s: one stage behind LRU levels of 10,000 and 100,000 entries",
    "cache_hit_share": "of requests, answered by the cache",
    "path_peak_mb": "resident memory after these, stored traces included",
    "ratio_simpy_oracle": "one stage over the per-request SimPy oracle",
    "python_heap_rps": "requests/s: one stage in a plain Python event loop",
    "ratio_python_heap": "one stage over that",
    "ratio_ciw": "32 exponential replicas, least outstanding, load 0.8, over Ciw; arrivals drawn on both sides",
    "join32_rps": "requests/s: ours",
    "join32_ciw_rps": "the same in Ciw",
    "join32_wait": "mean wait in service times: ours, with its 95 % half width below",
    "join32_wait_ciw": "Ciw's, with its 95 % half width below",
    "ratio_ciw_mm32": "M/M/32, one queue before all, over Ciw",
    "ratio_ciw_mm8": "the same with 8 servers",
    "mm32_rps": "requests/s: M/M/32, ours",
    "mm32_ciw_rps": "the same in Ciw",
    "mm32_wait_erlang_c": "mean wait in service times: theory",
    "mm32_wait": "ours, with its 95 % half width below",
    "mm32_wait_ciw": "Ciw's, with its 95 % half width below",
    "import_seconds": "import recfleet, by the wall's clock",
    "compile_cold_s": "first ten requests on the plain path, nothing cached",
    "compile_cached_s": "the same, machine code on disk",
    "compile_lean_cold_s": "first ten requests on the lean path, nothing cached",
    "compile_lean_cached_s": "the same, machine code on disk",
    "compile_whole_cold_s": "first ten requests on the whole path, nothing cached",
    "compile_whole_cached_s": "the same, machine code on disk",
    "whole_run_prepare_s": "measuring replicas and counting the trace",
    "whole_run_s": "simulate(): control loop, policy, data plane",
    "whole_run_rps": "requests/s of both together",
    "tenth_of_day_seconds": "8.64 million requests",
    "tenth_of_day_peak_mb": "its resident memory",
    "day_seconds": "86.4 million requests: reading the scenario, preparing, and the run",
    "day_wall_seconds": "from the start of the process to its end",
    "day_peak_mb": "its resident memory",
    "ten_days_seconds": "864 million requests",
    "ten_days_peak_mb": "its resident memory",
    "funnel_day_seconds": "the day through a two-level cache and three stages",
    "funnel_day_peak_mb": "its resident memory",
    **{
        f"placement_{nodes}_{name}": text
        for nodes in (50, 200, 1000)
        for name, text in (
            ("replicas", f"placed on {nodes} nodes at hand, synthetic"),
            ("gap_1s", "proven gap of placement by columns after 1 s"),
            ("gap_10s", "the same after 10 s, or sooner where it is closed"),
            ("seconds_to_1pct", "until it was 1 %; -1 where it was not within 10 s"),
            ("best_fit_above", "cost of best fit above the proven bound"),
            ("first_fit_decreasing_above", "that of first fit decreasing"),
        )
    },
}
