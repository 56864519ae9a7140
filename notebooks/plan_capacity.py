# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # How many machines for next year?
#
# A capacity plan answers four questions: which machines, run by which policy, at what cost, and how much more load
# before it breaks. This notebook asks them of a **real cluster**: the machine types are those of a published GPU
# cluster (Alibaba's openb node list), and the day that has to be served is the busiest day of one application in
# Alibaba's trace of recommendation models in production (DLRM instances, NSDI 2025). Where those files are absent, a
# made-up day and a made-up list of machines take their place, and the notebook says so.

# %%
from pathlib import Path
from textwrap import fill

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import yaml
from IPython.display import display

import recfleet as rf
from optimizer.placement.bounds import sharpened_bound
from optimizer.placement.cluster_files import cluster_problem
from optimizer.placement.methods import place
from recfleet.plan_files import plan_yaml
from workloads.data_folder import data_folder

plt.rcParams.update({"axes.spines.top": False, "axes.spines.right": False, "axes.grid": True, "grid.alpha": 0.3})
BUILD = Path("../build")
BUILD.mkdir(exist_ok=True)

# %% [markdown]
# ## The cluster and the application
#
# The trace lists instances with the hour in which each began and ended, and what it claims: CPU parts (`CN`, which
# hold embeddings) and GPU parts (`HN`). It has no request rates. How many instances its owner kept alive is the best
# sign of demand that it has, and what is assumed here is that requests follow it in proportion.

# %%
APP, DAY = "app_14", 20
folder = data_folder() or Path("absent")
instances_file, nodes_file = folder / "dlrm_serving_instances.parquet", folder / "cluster_nodes_openb2023.csv"
real = instances_file.exists() and nodes_file.exists()

if real:
    nodes, inventory = pd.read_csv(nodes_file), "data:cluster_nodes_openb2023.csv"
    instances = pd.read_parquet(instances_file).query("app_name == @APP")
    begin, end = instances["creation_s"].fillna(-1.0).to_numpy(), instances["deletion_s"].fillna(np.inf).to_numpy()
    hours = DAY * 24 + np.arange(24)
    alive = np.array([(begin <= 3600 * h) & (end > 3600 * h) for h in hours])
else:
    shapes = [("", 0, 32_000, 262_144)] * 60 + [("T4", 2, 104_000, 524_288)] * 20
    nodes = pd.DataFrame(shapes, columns=["gpu_model", "gpu_count", "cpu_milli", "memory_mib"])
    nodes.insert(0, "node", [f"made-up-{i}" for i in range(len(nodes))])
    inventory = "plan_capacity_nodes.csv"
    nodes.to_csv(BUILD / inventory, index=False)
    instances = pd.DataFrame({"instance_sn": [f"i{i}" for i in range(120)], "app_name": "made up"})
    instances["role"] = np.where(np.arange(120) < 100, "CN", "HN")
    instances["cpu_vcpu"] = np.where(instances["role"] == "CN", 12.0, 8.0)
    instances["memory_gib"] = np.where(instances["role"] == "CN", 60.0, 48.0)
    instances["gpu"] = (instances["role"] == "HN").astype(float)
    need = 70 + 45 * np.cos(2 * np.pi * (np.arange(24) - 20) / 24)
    alive = np.arange(120) < need[:, None]

live = alive.sum(axis=1)
print(fill("real: Alibaba's trace and node list" if real else "made up: the real files are not at hand", 100))
print(f"{len(nodes):,} nodes; {live.min()} to {live.max()} instances alive on the day")

# %%
figure, axes = plt.subplots(figsize=(9, 2.8), layout="constrained")
axes.bar(np.arange(24), live, width=1.0, align="edge", color="#56B4E9", edgecolor="white")
axes.set(xlabel="hour of the day", ylabel="instances alive", xlim=(0, 24), xticks=range(0, 25, 4))
axes.set_title("The shape of the day", loc="left")
plt.show()

# %% [markdown]
# ## What the application really claimed
#
# Before anything is modelled: on how many of these nodes can the instances of the busiest hour be placed at all?
# Placement on named nodes is a problem of its own, with a lower bound that no placement undercuts
# (`optimizer.placement`). Instances that are larger than every node are left out.

# %%
busiest = instances[alive[live.argmax()]]
fits = np.zeros(len(busiest), dtype=bool)
for _, kind in nodes[["cpu_milli", "memory_mib", "gpu_count"]].drop_duplicates().iterrows():
    fits |= (
        (busiest["cpu_vcpu"] <= kind["cpu_milli"] / 1000)
        & (busiest["memory_gib"] <= kind["memory_mib"] / 1024)
        & (busiest["gpu"] <= kind["gpu_count"])
    ).to_numpy()
columns = ["instance_sn", "app_name", "role", "cpu_vcpu", "gpu", "memory_gib"]
placing = cluster_problem(nodes, busiest.loc[fits, columns].reset_index(drop=True))
rows = {}
for method in ("first_fit", "best_fit", "best_fit_decreasing"):
    placed = place(placing.problem, method, sequence=placing.arrival)
    rows[method] = {"nodes": placed.nodes_used, "unplaced": len(placed.unplaced)}
rows["no placement uses fewer"] = {"nodes": int(np.ceil(sharpened_bound(placing.problem) - 1e-6)), "unplaced": 0}
print(f"{fits.sum()} of {len(busiest)} instances fit some node")
pd.DataFrame(rows).transpose()

# %% [markdown]
# ## The same day, as a scenario
#
# A plan needs requests, objectives and measured models. The day keeps its shape, at a hundred requests a second in the
# mean, and is played twelve times as fast, an hour in five minutes, so that the notebook stays short (start-ups then
# weigh twelve times as much). Each request retrieves with a two-tower model and ranks twenty thousand candidates with a
# DLRM: many, so that few requests are work for several machines. There are two kinds on the real list: CPU nodes with
# 32 cores, and nodes with two T4 cards, whose speed is taken from data sheets as a fraction of the H200 that was
# measured. Prices are assumed.

# %%
scenario_file = BUILD / "dlrm_day.yaml"
document = {
    "name": "dlrm-day",
    "seed": 1,
    "control_interval_s": 60,
    "trace": {
        "name": "a day in the shape of a production recommender" if real else "a made-up day",
        "duration_s": 7200,
        "streams": [
            {
                "service": "recommend",
                "arrivals": {"rate_rps": 100, "steps": {"values": live.tolist(), "bin_s": 300}},
                "bytes_in": 4000,
            }
        ],
    },
    "cluster": {
        "storage_gbyte_per_s": 10,
        "hop_delay_ms": 0.2,
        "source": "openb GPU cluster of 2023 (ATC'23)" if real else "made up",
        "node_types": [
            {
                "name": "t4x2",
                "inventory": {"file": inventory, "gpu_model": "T4", "cpu_cores": 104},
                "gpu_memory_gib": 30,
                "storage_gbyte_per_s": 2,
                "network_gbit_per_s": 25,
                "price_usd_per_hour": 4.6,
                "boot_s": 120,
                "devices": [
                    {"device": "nvidia-h200", "speed": 0.066, "assumption": "the ratio of the data sheets"},
                    {"device": "cpu-2core-amd-epyc"},
                ],
                "source": "price and bandwidths assumed",
            },
            {
                "name": "cpu32",
                "inventory": {"file": inventory, "cpu_cores": 32, "memory_gib": 256},
                "storage_gbyte_per_s": 1,
                "network_gbit_per_s": 10,
                "price_usd_per_hour": 1.6,
                "boot_s": 60,
                "devices": [{"device": "cpu-2core-amd-epyc"}],
                "source": "price and bandwidths assumed",
            },
        ],
    },
    "services": [
        {
            "name": "recommend",
            "slo_ms": 600,
            "stages": [
                {
                    "name": "retrieve",
                    "candidates": 1,
                    "slo_share": 0.3,
                    "variants": [
                        {
                            "profile": "two_tower-h200-bf16-graph",
                            "max_batch": 64,
                            "max_wait_ms": 1,
                            "container_start_s": 20,
                        },
                        {"profile": "two_tower-cpu2-fp32", "max_batch": 4, "container_start_s": 20},
                    ],
                },
                {
                    "name": "rank",
                    "candidates": 20_000,
                    "item_bytes": 60,
                    "slo_share": 0.7,
                    "variants": [
                        {
                            "profile": "dlrm-h200-bf16-graph",
                            "max_batch": 8192,
                            "max_wait_ms": 1,
                            "container_start_s": 20,
                        },
                        {"profile": "dlrm-cpu2-fp32", "max_batch": 2048, "container_start_s": 20},
                    ],
                },
            ],
        }
    ],
    "planning": {"headroom": 0.15},
    "policies": ["hpa", "mip"],
    "assumptions": ["Requests follow the number of live instances in proportion."],
}
scenario_file.write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")
scenario = rf.load_scenario(scenario_file)
pd.DataFrame(
    {"nodes": [k.count for k in scenario.cluster.node_types], "USD/h": scenario.cluster.price_usd_per_hour},
    index=[k.name for k in scenario.cluster.node_types],
)

# %% [markdown]
# ## The plan
#
# One call. Static fleets come from the integer programme, for every mix of machine types; autoscalers run on the whole
# cluster; simulation decides what holds, on every seed; and the cheapest is loaded until it breaks. Each row is a
# candidate, the chosen one first. `margin` is the worst service's share of requests in time, less the share asked for.

# %%
plan = rf.plan(scenario, seeds=2)
candidates = pd.DataFrame([vars(row) for row in plan.candidates])
candidates["nodes"] = [", ".join(f"{n} {name}" for name, n in row.nodes.items()) for row in plan.candidates]
candidates["policy"] = np.where(candidates["kind"] == "static", "static", candidates["label"])
candidates[["policy", "nodes", "cost_usd", "margin", "holds", "seeds"]].round({"cost_usd": 2, "margin": 4})

# %% [markdown]
# How cheap is cheap? Beside the plan stand bounds that hold whatever anybody does: no policy that serves as many
# requests pays less than the first, and no fleet that stays the same all day holds the objective for less than the
# next two. Of a plan that scales, the cheapest sequence of whole fleets that covers every interval is known, too; one
# that trusts in pooled replicas may pay less. [docs/capacity-plan.md](../docs/capacity-plan.md) states the conditions.

# %%
proof = plan.certificate
pd.Series(
    {
        "fluid bound, any policy": proof.fluid_usd,
        "static fleets, divisible": proof.static_fluid_usd,
        "static fleets, whole nodes": proof.static_integer_usd,
        "cheapest static fleet that held": proof.static_found_usd,
        "whole fleets that scale, at least": proof.optimum_lower_usd,
        "the plan": proof.plan_usd,
    },
    name="USD",
    dtype=float,
).round(2).to_frame()

# %% [markdown]
# ## Next year, and a bad day
#
# The same question with half as much demand again, and with the condition that any one machine may be lost at its
# worst moment and not come back. Whole machines make the price a staircase.

# %%
rows = {"today": plan}
rows["half as much again"] = rf.plan(scenario, growth=1.5, seeds=1, tolerance=0.3, policies=["mip"])
rows["today, one node lost"] = rf.plan(scenario, survive="node", seeds=1, tolerance=0.3, policies=["mip"])
pd.DataFrame(
    {
        name: {
            "plan": one.chosen.kind if one.found else "none",
            "nodes": ", ".join(f"{n} {kind}" for kind, n in one.chosen.nodes.items()) if one.found else "",
            "USD": round(one.chosen.cost_usd, 2) if one.found else np.nan,
        }
        for name, one in rows.items()
    }
).transpose()

# %% [markdown]
# ## What to deploy
#
# `recfleet plan SCENARIO --out DIR` writes this as `plan.yaml`: what to have, what stands on it, and the policy as a
# scenario takes it.

# %%
print(plan_yaml(plan))

# %% [markdown]
# ## When it breaks
#
# Above, what the plan costs at rising load beside what nothing can undercut; below, how much of its error budget it
# spends. The band is where it breaks.

# %%
figure = plan.plot().figure
figure.set_facecolor("white")
display(figure)

# %%
print(fill(str(plan), 100))
