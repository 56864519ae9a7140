"""Bad variations of the mini scenario, and what the error must say of each."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace

from tests.simulator.mini import PROFILES, SCENARIO

STREAMS = SCENARIO[SCENARIO.index("trace:") : SCENARIO.index("cluster:")]
FILE_TRACE = "trace:\n  file: t.parquet\n"
ADS = SCENARIO[SCENARIO.index("  - name: ads\n    slo_ms") : SCENARIO.index("policies:")]


@dataclass(frozen=True)
class Bad:
    """A change to the mini scenario and what the error must say: ``line`` (its text), then words of the message."""

    changes: dict[str, str]
    line: str
    says: tuple[str, ...]
    files: dict[str, str | bytes] = field(default_factory=dict)
    late: bool = False
    """True where only the run's facts can tell."""


def change(old: str, new: str, *says: str, line: str | None = None, late: bool = False) -> Bad:
    return Bad({old: new}, new if line is None else line, says, late=late)


def inventory(content: str | bytes, *says: str, line: str = "inventory:") -> Bad:
    old = "count: 6\n      cpu_cores: 8\n      memory_gib: 16\n"
    return Bad({old: "inventory: {file: nodes.csv}\n"}, line, says, {"nodes.csv": content})


def accuracy(asked: str, line: str, *says: str, other: dict[str, object] | None = None) -> Bad:
    """The service ``ads`` asks for accuracy; ``ads-cpu`` states an AUC of 0.7, ``rank`` states ``other``."""
    told: dict[str, object] = {"data": "made up", "split": "time", "part": "test", "metrics": {"auc": 0.7}}
    better = told | {"metrics": {"auc": 0.8}} if other is None else other
    files: dict[str, str | bytes] = {
        "ads-cpu.json": json.dumps(PROFILES["ads-cpu.json"] | {"accuracy": told}),
        "rank.json": json.dumps(PROFILES["rank.json"] | ({"accuracy": better} if better else {})),
    }
    return Bad({"max_outstanding: 6\n": f"max_outstanding: 6\n        accuracy: {asked}\n"}, line, says, files)


OTHER_DATA: dict[str, object] = {"data": "made up", "split": "user", "part": "test", "metrics": {"auc": 0.8}}

BAD = {
    # accuracy
    "metric that falls": accuracy("{metric: rmse}", "accuracy:", "rmse falls", "as auc or ndcg10"),
    "metric that is not stated": accuracy(
        "{metric: ndcg10}", "ads-cpu.json", "'ads-cpu' states no ndcg10", "it has auc", "another metric"
    ),
    "accuracy of random weights": accuracy(
        "{metric: auc}", "profile: rank.json, name: ads-gpu", "'rank' states no auc", "not trained", other={}
    ),
    "accuracies on other splits": accuracy(
        "{metric: auc}",
        "profile: rank.json, name: ads-gpu",
        "made up, split by user, test part",
        "'ads-cpu' of made up, split by time, test part",
        "same data and split",
        other=OTHER_DATA,
    ),
    "floor above the best": accuracy(
        "{metric: auc, floor: 0.81}", "accuracy:", "0.81 is above the auc of every variant", "ads-gpu with 0.8", "lower"
    ),
    "floor that is no number": accuracy("{metric: auc, floor: high}", "accuracy:", "'high'", "number"),
    "accuracy without a metric": accuracy("{floor: 0.7}", "accuracy:", "'metric' is missing"),
    "negative price on accuracy": accuracy(
        "{metric: auc, usd_per_point_per_million: -1}", "accuracy:", "-1", "greater than or equal to 0"
    ),
    "floor that only slow variants reach": replace(
        accuracy("{metric: auc, floor: 0.75}", "", "ads/rank: no variant with auc from 0.75", "lower the floor"),
        changes={
            "max_outstanding: 6\n": "max_outstanding: 6\n        accuracy: {metric: auc, floor: 0.75}\n",
            "max_batch: 64, max_wait_ms: 20": "max_batch: 64, max_wait_ms: 900",
        },
        late=True,
    ),
    # keys
    "misspelt key": change(
        "container_start_s: 2}", "container_start: 2}", "unknown key 'container_start'", "'container_start_s'"
    ),
    "misspelt section": change("planning:", "plannig:", "unknown key 'plannig'", "did you mean 'planning'?"),
    "misspelt key of a stream": change("rate_rps: 3.0", "rate_rp: 3.0", "unknown key 'rate_rp'", "'rate_rps'"),
    "key of another section": change(
        "- name: retrieve\n",
        "- name: retrieve\n        slo_quantile: 0.9\n",
        "unknown key 'slo_quantile'",
        "this section takes",
        "slo_share",
        line="slo_quantile: 0.9",
    ),
    "missing key": change(
        "    slo_ms: 600\n", "", "'slo_ms' is missing", "add slo_ms:", line="- name: feed\n    stages"
    ),
    "key twice": change("count: 6", "count: 6\n      count: 7", "'count' appears twice", line="count: 7"),
    # values
    "negative count": change("count: 6", "count: -6", "-6", "greater than or equal to 1"),
    "negative capacity": change("memory_gib: 16", "memory_gib: -16", "-16", "greater than 0"),
    "negative bandwidth": change("network_gbit_per_s: 1", "network_gbit_per_s: -1", "-1", "greater than 0"),
    "zero price": change("price_usd_per_hour: 0.4", "price_usd_per_hour: 0", "0", "greater than 0"),
    "negative wait": change(
        "max_wait_ms: 5", "max_wait_ms: -5", "-5", "greater than or equal to 0", line="retrieve.json"
    ),
    "word for a number": change("slo_ms: 600", "slo_ms: fast", "'fast'", "number"),
    "boolean for a number": change("seed: 3", "seed: true", "True", "integer"),
    "quoted number": change("count: 6", 'count: "6"', "'6'", "integer"),
    "fraction for a count": change("count: 6", "count: 6.5", "6.5", "integer"),
    "number for a name": change("name: mini", "name: 12", "12", "string"),
    "unknown router": change("router: round_robin", "router: random", "'random'", "round_robin"),
    "quantile of 1": change("slo_quantile: 0.95", "slo_quantile: 1.0", "1.0", "less than 1"),
    "too many candidates": change("candidates: 40", "candidates: 4000000000", "4000000000", "less than or equal"),
    "endless queue": change("queue_limit: 12", "queue_limit: 12000000000", "12000000000", line="rank.json, max_batch"),
    "huge seed": change("seed: 3", "seed: 99999999999999999999", "99999999999999999999"),
    "no node types": change(
        SCENARIO[SCENARIO.index("  node_types:") : SCENARIO.index("services:")],
        "  node_types: []\n",
        "at least 1",
        line="node_types: []",
    ),
    "interval of nothing": change("control_interval_s: 20", "control_interval_s: 0.00001", "1e-05", "at least 0.00029"),
    "section that is a word": change(STREAMS, "trace: today\n", "trace", line="trace: today"),
    "speed without a reason": change(", assumption: newer cores", "", "speed 1.5", "assumption", line="mini-gpu}"),
    "holding with round robin": change(
        "router: round_robin",
        "router: round_robin\n        max_outstanding: 4",
        "max_outstanding",
        "least_outstanding",
        "round_robin",
        line="- name: rank\n        candidates: 40",
    ),
    # names
    "twin services": change(
        "- name: ads", "- name: feed", "'feed' is used twice", "rename", line="- name: feed\n    slo_ms: 500"
    ),
    "twin stages": change(
        "- name: rank", "- name: retrieve", "'retrieve' is used twice", line="- name: retrieve\n        candidates: 40"
    ),
    "twin variants": change("name: ads-gpu", "name: ads-cpu", "'ads-cpu' is used twice", line="name: ads-cpu"),
    "twin node types": change("- name: gpu", "- name: box", "'box' is used twice", line="- name: box\n      count: 4"),
    # objectives
    "shares above 1": change("slo_share: 0.6", "slo_share: 0.7", "slo_share", "1.1", "at most 1", line="    stages:"),
    "shares leave nothing": Bad(
        {"        slo_share: 0.4\n": "", "slo_share: 0.6": "slo_share: 1.0"},
        "    stages:",
        ("slo_share", "sums to 1", "some stages have none"),
    ),
    "hopeless objective": change(
        "slo_ms: 600", "slo_ms: 30", "feed/retrieve", "12 ms", "0.99", "raise slo_ms", line="", late=True
    ),
    # profiles
    "unknown profile": change(
        "profile: ads-cpu.json", "profile: dlrm-h200-bf16-grap", "dlrm-h200-bf16-grap", "dlrm-h200-bf16-graph"
    ),
    "profile of no known name": change("profile: ads-cpu.json", "profile: qqqqqq", "qqqqqq", "use one of"),
    "missing profile file": change("profile: ads-cpu.json", "profile: adds.json", "adds.json", "is no file"),
    "broken profile": Bad({}, "ads-cpu.json", ("ads-cpu.json", "is not JSON"), {"ads-cpu.json": "{"}),
    "profile with a falling size": Bad(
        {},
        "ads-cpu.json",
        ("batch_sizes", "must rise"),
        {
            "ads-cpu.json": json.dumps(PROFILES["ads-cpu.json"]).replace(
                '"batch_sizes": [1, 2]', '"batch_sizes": [2, 1]'
            )
        },
    ),
    "batch above the measured": change(
        "max_batch: 4,", "max_batch: 5,", "5 requests", "largest measured batch, 4", "at most 4", line="retrieve.json"
    ),
    "model fits no node": change(
        "gpu_memory_gib: 32",
        "gpu_memory_gib: 12",
        "fits no node",
        "10 GiB of gpu_memory",
        line="profile: rank.json, max",
    ),
    "too many cores": change(
        "max_batch: 2, container",
        "max_batch: 2, cpu_cores: 9, container",
        "'ads-cpu' fits no node",
        "9 cores",
        "node type 'box'",
        line="ads-cpu.json",
    ),
    "no such device": Bad(
        {"{device: mini-gpu}": "{device: mini-tpu}"},
        "profile: rank.json, max",
        ("no node type has the device 'mini-gpu'", "mini-cpu, mini-tpu"),
    ),
    # inventories
    "no inventory file": Bad(
        {"count: 6\n      cpu_cores: 8\n      memory_gib: 16\n": "inventory: {file: nodes.csv}\n"},
        "inventory:",
        ("nodes.csv", "does not exist"),
    ),
    "inventory outside the data folder": Bad(
        {"count: 6\n      cpu_cores: 8\n      memory_gib: 16\n": "inventory: {file: 'data:no-such.csv'}\n"},
        "inventory:",
        ("data:no-such.csv", "RECFLEET_DATA"),
    ),
    "inventory and a shape": Bad(
        {"count: 6\n": "count: 6\n      inventory: {file: nodes.csv}\n"}, "- name: box", ("cpu_cores", "inventory")
    ),
    "inventory without a column": inventory(
        "cpu_milli,memory_mib,gpu_count\n8000,16384,0\n", "nodes.csv:2", "'gpu_model'", line=""
    ),
    "inventory of words": inventory(
        "cpu_milli,memory_mib,gpu_count,gpu_model\n8000,16384,0,\nmany,1,0,\n", "nodes.csv:3", "many", line=""
    ),
    "inventory with a NaN": inventory(
        "cpu_milli,memory_mib,gpu_count,gpu_model\nnan,16384,0,\n", "nodes.csv:2", "nan", line=""
    ),
    "inventory with a short row": inventory(
        "cpu_milli,memory_mib,gpu_count,gpu_model\n8000\n", "nodes.csv:2", "not a node", line=""
    ),
    "inventory that is no text": inventory(b"\xff\xfe\x00\x01", "nodes.csv:1", line=""),
    "inventory without a match": inventory(
        "cpu_milli,memory_mib,gpu_count,gpu_model\n8000,16384,1,A10\n", "no node of nodes.csv matches"
    ),
    # traces
    "unknown service in a stream": change("service: ads\n", "service: add\n", "'add'", "feed, ads", "use one of"),
    "no trace file": Bad({STREAMS: FILE_TRACE}, "file: t.parquet", ("t.parquet", "is no file")),
    "trace that is no Parquet": Bad(
        {STREAMS: FILE_TRACE}, "file: t.parquet", ("t.parquet", "not a readable Parquet"), {"t.parquet": b"PAR1 no"}
    ),
    "two kinds of trace": change(
        "  streams:", "  file: t.parquet\n  streams:", "exactly one of file, streams", line="trace:"
    ),
    "trace without requests": change(
        STREAMS,
        "trace: {duration_s: 10, streams: [{service: ads, arrivals: {rate_rps: 0.0000001}}]}\n",
        "holds no request",
        line="",
        late=True,
    ),
    # the file itself
    "not YAML": change("seed: 3", "seed: [3", "not valid YAML", line="control_interval_s"),
    "empty file": Bad({SCENARIO: ""}, "", ("empty",)),
    "a list": Bad({SCENARIO: "- 1\n"}, "", ("not a mapping",)),
}
