"""Changes that give the mini scenario sites, links, tiers, caches, splits, retries and priorities."""

from __future__ import annotations

NETWORK = """\
hop_delay_ms: 0.5
  sites:
    - {name: edge, access: {bandwidth_gbit_per_s: 8, delay_ms: 3}}
    - name: centre
      access: {bandwidth_gbit_per_s: 1}
      access_out: {bandwidth_gbit_per_s: 2, delay_ms: 1}
  links:
    - between: [edge, centre]
      bandwidth_gbit_per_s: 4
      delay_ms: 12
      compression: {ratio: 0.5, compress_gbyte_per_s: 2, decompress_gbyte_per_s: 5}
      encryption: {gbyte_per_s: 4, us_per_message: 7}
  tiers:
    dram: {gbyte_per_s: 40, delay_us: 1}
    remote: {gbyte_per_s: 5, delay_us: 300}
"""
CACHE = """\
slo_ms: 600
    deadline_ms: 900
    bytes_out: 1024
    homes: {edge: 0.7, centre: 0.3}
    priorities: {paying: 0.2, free: 0.8}
    weight: 3
    cache:
      key: user
      levels:
        - {name: memory, entries: 50, hit_ms: 0.2, ttl_s: 60, refresh_after_s: 30}
        - {capacity_gib: 0.001, hit_ms: 2, shared: true}
      prefetch: 1
      preload: {hottest: 20, seen_s: 100}
      planned_hit_share: 0.25
"""
RANK = """\
candidates: 40
        split_items: 16
        deadline_share: 0.5
        retries: 2
        retry_delay_ms: 4
        hedge_after_ms: 150
"""
RICH = {
    "hop_delay_ms: 0.5\n": NETWORK,
    "- name: box\n": "- name: box\n      sites: [edge, centre]\n",
    "- name: gpu\n": "- name: gpu\n      sites: [centre]\n",
    "slo_ms: 600\n": CACHE,
    "slo_ms: 500\n": "slo_ms: 500\n    homes: {centre: 1.0}\n",
    "candidates: 40\n": RANK,
    "router: round_robin\n": "router: locality\n        spill_outstanding: 3\n",
    "items: {min: 1, max: 60}\n": "items: {min: 1, max: 60}\n      users: {count: 500, zipf_s: 1.0}\n",
    "warm_up_s: 1}": "warm_up_s: 1, min_replicas: {box-edge: 2}}",
}
"""For `tests.simulator.mini.load_mini`."""

INTERFERENCE = {
    "replicas": [2, 4],
    "batch_sizes": [1, 64],
    "alone_mean_s": [0.02, 0.09],
    "slowdown": [[1.5, 1.8], [2.5, 3.0]],
    "throughput_ratio": [[0.7, 0.6], [0.4, 0.35]],
    "quantile_levels": [0.5],
    "quantiles_s": [[[0.03], [0.16]], [[0.05], [0.27]]],
    "runs": [[10, 10], [10, 10]],
    "how": "assumed",
}
"""Of the profile `rank`, as a profile document has it."""
