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
# # One evening, four ways to run the fleet
#
# A recommender is a chain of models, and every request pays for the slowest link. Somebody has to decide how many
# copies of each model run, on which machines, at every minute of the day. Too many, and most of the bill buys idle
# hardware; too few, and people wait.
#
# This notebook asks one question about one evening: **which allocation policy holds every latency objective for the
# least money?** It takes the demo scenario from 18:30 to 20:00, with the crowd that comes at 19:00, and lets four
# policies serve the very same requests. The traffic and the prices are assumed; the latencies of the models were
# measured.

# %%
from pathlib import Path
from textwrap import fill

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import yaml
from IPython.display import display

import recfleet as rf
from recfleet.report.style import policy_colours

# %% [markdown]
# ## The scenario
#
# A scenario file says everything that a run needs but the policy: who asks for what and when, which machines can be
# rented, which models serve each stage, and how fast an answer must be. It is plain data, so a shorter one is a few
# edits away. Here the day shrinks to an hour and a half; the hour at which the trace begins moves with it, so that
# the evening peak stays where it was.

# %%
START_HOUR, MINUTES = 18.5, 90

document = yaml.safe_load(Path("../scenarios/demo.yaml").read_text(encoding="utf-8"))
document["name"] = "evening"
document["trace"] |= {"start_hour": START_HOUR, "duration_s": 60 * MINUTES}
for stream in document["trace"]["streams"]:
    for crowd in stream["arrivals"].get("flash_crowds", []):
        crowd["at_s"] -= 3600 * START_HOUR

path = Path("../build/evening.yaml")
path.parent.mkdir(exist_ok=True)
path.write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")
scenario = rf.load_scenario(path)

pd.DataFrame(
    [
        {
            "service": service.name,
            "stages": " → ".join(stage.name for stage in service.stages),
            "objective": f"{service.slo_quantile:.0%} within {1e3 * service.slo_s:g} ms",
        }
        for service in scenario.services
    ]
).set_index("service")

# %% [markdown]
# What rests on measurement and what on assumption is part of the scenario, and of every report:

# %%
for line in scenario.sources:
    print(fill("real: " + line, 110, subsequent_indent="      "))
for line in scenario.assumptions:
    print(fill("assumed: " + line, 110, subsequent_indent="         "))

# %% [markdown]
# ## The demand
#
# A trace is a list of requests, each with its time, its service and its size. It is read in blocks, so that it may be
# longer than memory. Counting the requests of each minute shows what the fleet will meet. Only the counts of past
# minutes will be shown to the policies.

# %%
minutes = np.arange(MINUTES + 1)
demand_rps = (
    sum(
        np.histogram2d(block.service, block.arrival_s / 60, [np.arange(len(scenario.services) + 1), minutes])[0]
        for block in scenario.trace_for(scenario.seed).blocks()
    )
    / 60
)
clock = START_HOUR + minutes / 60


def label_clock(axes):
    axes.set_xticks(np.arange(clock[0], clock[-1] + 0.01, 0.25))
    axes.xaxis.set_major_formatter(lambda hour, _: f"{int(hour)}:{round(hour % 1 * 60):02d}")
    axes.set(xlabel="time of day", xlim=(clock[0], clock[-1]))


plt.rcParams.update({"axes.spines.top": False, "axes.spines.right": False, "axes.grid": True, "grid.alpha": 0.3})
figure, axes = plt.subplots(figsize=(9, 3.2), layout="constrained")
axes.stackplot(clock[:-1], demand_rps, labels=scenario.service_names, step="post", alpha=0.85)
axes.set(ylabel="requests per second")
label_clock(axes)
axes.set_title("Demand of one seed, minute by minute", loc="left")
axes.legend(loc="upper left", frameon=False, reverse=True)
plt.show()

# %% [markdown]
# ## Four policies, the same requests
#
# A policy looks at the fleet once a minute and says how many replicas of each model it wants on each kind of machine.
# Then reality takes its time: a machine boots, a container starts, weights load. The four differ in how they decide.
#
# * `static_peak` rents for the busiest minute, known beforehand, and never moves: the simple habit.
# * `hpa` follows utilisation, as the Kubernetes autoscaler does: what many run today.
# * `mip` solves a small integer programme over models and machines for the next minutes' demand.
# * `mip_40` is the same with 40 % of headroom above its forecast in place of the scenario's: what does caution cost?
#
# `compare` runs each on three seeds. A seed is one draw of the evening; on one seed every policy meets the same
# requests and the same luck in service times, so that differences between policies are theirs.

# %%
policies = ["static_peak", "hpa", "mip", {"name": "mip", "label": "mip_40", "headroom": 0.4}]
comparison = rf.compare(scenario, policies, seeds=3)
print(comparison.conservation)

columns = ["cost_usd", "slo_attainment", "slo_margin", "p99_ms", "utilisation_gpu", "utilisation_cpu", "cold_starts"]
digits = {"cost_usd": 2, "p99_ms": 1, "cold_starts": 1}
comparison.summary.groupby("policy", sort=False)[columns].mean().round({name: digits.get(name, 4) for name in columns})

# %% [markdown]
# `slo_margin` is the one to read first: the worst service's share of requests in time, less the share asked for.
# Below zero, a service misses its objective, however good the average is. Every column is defined in
# [docs/metrics.md](../docs/metrics.md).
#
# ## Where the money goes
#
# The choice of machine matters as much as the number of replicas. A GPU serves far more requests than a CPU node, and
# costs more while it waits for them. The table gives, for each way to serve a stage, how many requests per second one
# replica takes while its latency budget holds, and what a million requests cost when the machine is full of such
# replicas, none of them idle.

# %%
facts = comparison.runs[0].result.facts
share = (facts.need / np.where(facts.capacity > 0, facts.capacity, np.inf)).max(axis=2)
rows = []
for v, n in np.argwhere(facts.runs_on()):
    rate_rps = facts.throughput_rps[v, n]
    cost_usd = facts.price_usd_per_hour[n] * share[v, n] / (3600 * rate_rps) * 1e6
    service, stage, variant = facts.variants[v].split("/")
    rows.append([f"{service}/{stage}", variant, facts.node_types[n], rate_rps, cost_usd])
replica = pd.DataFrame(rows, columns=["stage", "profile", "machine", "requests/s", "USD per million"])
replica.round({"requests/s": 1, "USD per million": 2})

# %% [markdown]
# A policy that only counts replicas cannot use that table. And a policy that moves too slowly pays in latency what it
# saves in money. Over the evening, spending shows who follows the demand, and how late.

# %%
first = comparison.intervals[comparison.intervals["seed"] == comparison.seeds[0]]
figure, (top, bottom) = plt.subplots(2, sharex=True, figsize=(9, 5), layout="constrained", height_ratios=[1, 2])
top.fill_between(clock[:-1], demand_rps.sum(axis=0), step="post", color="0.8")
top.set(ylabel="requests/s", ylim=(0, None))
top.set_title("What comes in, and what each policy spends on it", loc="left")
colours = policy_colours(comparison)
for policy, part in first.groupby("policy", sort=False):
    spending = 3600 * part["cost_usd"] / part["length_s"]
    bottom.step(START_HOUR + part["start_s"] / 3600, spending, where="post", label=policy, color=colours[policy])
bottom.set(ylabel="USD per hour", ylim=(0, None))
label_clock(bottom)
bottom.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=4, frameon=False)
plt.show()

# %% [markdown]
# ## The answer
#
# Cost alone would crown a fleet that serves nobody. So the last figure sets cost against the error budget of the
# worst service: with an objective of 99 %, one request in a hundred may be late, and 1x on the axis is exactly that.
# What lies in the shaded area holds; the leftmost point in it wins. No policy that serves as many requests can get
# left of the dashed line.

# %%
figure = comparison.plot("cost").figure
figure.set_facecolor("white")
display(figure)

# %%
print(fill(str(comparison.verdict), 100))
