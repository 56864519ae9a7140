"""Bad variations of the mini scenario, and what the error must say of each."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace

from tests.simulator.mini import PROFILES, SCENARIO
from tests.simulator.rich import INTERFERENCE, RICH

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


def rich(old: str, new: str, *says: str, line: str | None = None) -> Bad:
    """A change to the mini scenario with sites, caches and all else that the request path has."""
    return Bad(RICH | {old: new}, new if line is None else line, says)


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
        "{metric: auc, usd_per_point_per_million: -1}", "accuracy:", "-1", "below 0"
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
    "negative count": change("count: 6", "count: -6", "-6", "below 1", "give 1 or more"),
    "negative capacity": change("memory_gib: 16", "memory_gib: -16", "-16", "not above 0"),
    "negative bandwidth": change("network_gbit_per_s: 1", "network_gbit_per_s: -1", "-1", "not above 0"),
    "zero price": change("price_usd_per_hour: 0.4", "price_usd_per_hour: 0", "0", "not above 0"),
    "negative wait": change("max_wait_ms: 5", "max_wait_ms: -5", "-5", "below 0", line="retrieve.json"),
    "word for a number": change("slo_ms: 600", "slo_ms: fast", "'fast'", "number"),
    "boolean for a number": change("seed: 3", "seed: true", "True", "not a whole number"),
    "quoted number": change("count: 6", 'count: "6"', "'6'", "not a whole number", "without quotes"),
    "fraction for a count": change("count: 6", "count: 6.5", "6.5", "not a whole number"),
    "number for a name": change("name: mini", "name: 12", "12", "not text", "in quotes"),
    "unknown router": change("router: round_robin", "router: random", "'random'", "round_robin"),
    "quantile of 1": change("slo_quantile: 0.95", "slo_quantile: 1.0", "1.0", "not below 1"),
    "too many candidates": change("candidates: 40", "candidates: 4000000000", "4000000000", "above 1000000000"),
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
    # sites and links
    "link to nowhere": rich("between: [edge, centre]", "between: [edge, center]", "no site 'center'", "edge, centre"),
    "link to itself": rich("between: [edge, centre]", "between: [edge, edge]", "from 'edge' to itself", "two sites"),
    "link of three": rich("between: [edge, centre]", "between: [edge, centre, edge]", "at most 2"),
    "second link": rich(
        "    - between: [edge, centre]",
        "    - {between: [centre, edge], bandwidth_gbit_per_s: 1}\n    - between: [edge, centre]",
        "a second link from 'edge' to 'centre'",
        line="    - between: [edge, centre]",
    ),
    "links without sites": change(
        "hop_delay_ms: 0.5\n",
        "hop_delay_ms: 0.5\n  links: [{between: [a, b], bandwidth_gbit_per_s: 1}]\n",
        "links but no sites",
        "add cluster.sites",
        line="links:",
    ),
    "link without bandwidth": rich(
        "bandwidth_gbit_per_s: 4\n      delay", "delay", "'bandwidth_gbit_per_s' is missing", line="- between"
    ),
    "link that gains": rich("ratio: 0.5", "ratio: 1.5", "1.5", "above 1", line="compression: {ratio"),
    "misspelt compression": rich(
        "decompress_gbyte_per_s",
        "decompress_gb_per_s",
        "unknown key",
        "'decompress_gbyte_per_s'",
        line="compression: {",
    ),
    "way out without a way in": rich(
        "      access: {bandwidth_gbit_per_s: 1}\n", "", "access_out", "add it", line="- name: centre"
    ),
    "twin sites": rich("- name: centre\n", "- name: edge\n", "'edge' is used twice"),
    "node type at no site": rich("sites: [edge, centre]", "sites: [edge, moon]", "no site 'moon'", "edge, centre"),
    "node type twice at a site": rich("sites: [edge, centre]", "sites: [edge, edge]", "'edge' is there twice"),
    "node type that does not say": rich(
        "      sites: [edge, centre]\n", "", "'box' does not say where it stands", "sites:", line="- name: box"
    ),
    "node type of the same name": rich(
        "- name: gpu\n      sites",
        "- name: box-edge\n      sites",
        "'box-edge'",
        "another node type",
        line="- name: box-edge",
    ),
    "sites where there are none": change(
        "- name: box\n",
        "- name: box\n      sites: [edge]\n",
        "no site 'edge'",
        "add cluster.sites",
        line="sites: [edge]",
    ),
    "home at no site": rich("homes: {edge: 0.7", "homes: {moon: 0.7", "no site 'moon'", "edge, centre"),
    "homes that do not sum": rich("edge: 0.7", "edge: 0.6", "homes sum to 0.9", "sum to 1", line="homes: {edge"),
    "users of no home": rich(
        "    homes: {centre: 1.0}\n", "", "'ads' does not say where its users are", line="- name: ads"
    ),
    "homes without sites": change(
        "slo_ms: 600\n", "slo_ms: 600\n    homes: {edge: 1.0}\n", "no site 'edge'", "add cluster.sites", line="homes:"
    ),
    "dead end": rich(
        "between: [edge, centre]",
        "one_way: true\n      between: [centre, edge]",
        "requests from edge may come to edge",
        "stage rank",
        "add a link",
        line="- name: rank",
    ),
    "no way home": rich(
        "between: [edge, centre]",
        "one_way: true\n      between: [edge, centre]",
        "requests from edge may end at centre",
        "no link leads home",
        line="- name: rank",
    ),
    # stages
    "locality without sites": change("router: round_robin", "router: locality", "one site only", "cluster.sites"),
    "spill of another router": change(
        "router: round_robin",
        "router: weighted\n        spill_outstanding: 2",
        "goes with router locality",
        "weighted",
        line="- name: rank\n        candidates: 40",
    ),
    "hash bound of another router": change(
        "candidates: 1\n",
        "candidates: 1\n        hash_bound: 0.5\n",
        "goes with router consistent_hash",
        line="- name: retrieve",
    ),
    "router function without a name": change(
        "router: round_robin", "router: function", "needs 'function'", line="- name: rank\n        candidates: 40"
    ),
    "router function of no file": change(
        "router: round_robin",
        "router: function\n        function: mine.py:choose",
        "cannot read",
        "mine.py",
        line="function: mine",
    ),
    "router function that is none": Bad(
        {"router: round_robin": "router: function\n        function: mine.py:chose"},
        "function: mine",
        ("no function 'chose'",),
        {"mine.py": "def choose(a, b, c, d, e, f): return c\n"},
    ),
    "router function with sites": rich(
        "router: locality\n        spill_outstanding: 3",
        "router: function\n        function: mine.py:choose",
        "knows no sites",
        line="router: function",
    ),
    "too many retries": rich("retries: 2", "retries: 32", "32", "above 31"),
    "retry delay without retries": rich(
        "        retries: 2\n", "", "retry_delay_ms without retries", line="- name: rank\n        candidates: 40"
    ),
    "hedge at once": rich("hedge_after_ms: 150", "hedge_after_ms: 0", "0", "not above 0"),
    "share of no deadline": rich(
        "    deadline_ms: 900\n", "", "stage rank has a deadline_share", "deadline_ms", line="- name: feed\n    slo"
    ),
    # classes
    "priorities that do not sum": rich("paying: 0.2", "paying: 0.3", "priorities sum to 1.1", line="priorities:"),
    "too many priorities": rich(
        "{paying: 0.2, free: 0.8}",
        "{a: 0.2, b: 0.2, c: 0.2, d: 0.2, e: 0.2}",
        "5 classes",
        "at most 4",
        line="- name: feed\n    slo",
    ),
    "priorities of unknown users": change(
        "slo_ms: 600\n",
        "slo_ms: 600\n    priorities: {paying: 0.2, free: 0.8}\n",
        "no users for service 'feed'",
        "priorities are drawn by user",
        "add users:",
        line="trace:",
    ),
    # caches
    "cache of unknown users": change(
        "slo_ms: 600\n",
        "slo_ms: 600\n    cache: {key: user, levels: [{entries: 5}]}\n",
        "no users for service 'feed'",
        "key user",
        line="trace:",
    ),
    "cache of unknown items": rich("key: user", "key: user_item", "no items for service 'feed'", line="trace:"),
    "cache with another key": rich("key: user", "key: query", "'query'", "'user_item'"),
    "level of no size": rich(
        "name: memory, entries: 50", "name: memory", "either entries or capacity_gib", line="- {name: mem"
    ),
    "level of two sizes": rich(
        "entries: 50", "entries: 50, capacity_gib: 1", "either entries or capacity_gib", line="- {name: mem"
    ),
    "level smaller than an entry": rich(
        "capacity_gib: 0.001", "capacity_gib: 0.0000001", "0 entries", line="- {capacity"
    ),
    "level in GiB of unknown entries": rich(
        "    bytes_out: 1024\n", "", "size of an entry is not known", "entry_bytes", line="- {capacity"
    ),
    "refresh after the end": rich(
        "refresh_after_s: 30", "refresh_after_s: 60", "refresh_after_s 60", "ttl_s 60", line="- {name: mem"
    ),
    "twin levels": rich("- {capacity_gib", "- {name: memory, capacity_gib", "'memory' is used twice"),
    # shared GPUs, tables, replicas that stand
    "shared GPU without interference": change(
        "queue_limit: 12,",
        "queue_limit: 12, gpu_share: 0.5,",
        "gpu_share 0.5",
        "share a GPU",
        "--replicas 2,3",
        line="profile: rank.json, max",
    ),
    "shared GPU without memory": Bad(
        {"queue_limit: 12,": "queue_limit: 12, gpu_share: 0.5,"},
        "profile: rank.json, max",
        ("2 replicas of variant 'rank'", "10 GiB of the 16", "node type 'gpu'", "gpu_share of at least 1"),
        {"rank.json": json.dumps(PROFILES["rank.json"] | {"interference": INTERFERENCE})},
    ),
    "share of a CPU": change(
        "max_wait_ms: 5,", "max_wait_ms: 5, gpu_share: 0.5,", "is of a CPU", "leave gpu_share out", line="retrieve.json"
    ),
    "share above a GPU": change(
        "queue_limit: 12,",
        "queue_limit: 12, gpu_share: 2,",
        "2",
        "above 1",
        line="profile: rank.json, max",
    ),
    "rows in no tier": change(
        "queue_limit: 12,",
        "embedding: {rows: 9, row_bytes: 8, lookups_per_unit: 1, zipf_s: 1, device_gib: 1, ssd_gib: 1},",
        "rows in ssd",
        "no such tier",
        "cluster.tiers",
        line="profile: rank.json, max",
    ),
    "rows without a place": change(
        "queue_limit: 12,",
        "queue_limit: 12, embedding: {rows: 100000000, row_bytes: 64, lookups_per_unit: 1, zipf_s: 1, device_gib: 1},",
        "5.96 GiB",
        "1 have a place",
        "remote:",
        line="profile: rank.json, max",
    ),
    "rows of a CPU in DRAM": rich(
        "max_wait_ms: 5,",
        "embedding: {rows: 9, row_bytes: 8, lookups_per_unit: 1, zipf_s: 1, device_gib: 1, dram_gib: 1},",
        "the device is a CPU",
        "device_gib",
        line="retrieve.json",
    ),
    "replicas on no node type": rich(
        "{box-edge: 2}", "{box: 2}", "no node type 'box'", "box-edge", line="retrieve.json"
    ),
    "replicas where they cannot run": rich(
        "queue_limit: 12,",
        "queue_limit: 12, min_replicas: {box-edge: 1},",
        "cannot run on node type 'box-edge'",
        line="profile: rank.json, max",
    ),
    "more replicas than fit": rich("{box-edge: 2}", "{box-edge: 25}", "25 replicas", "hold 24", line="retrieve.json"),
    "more replicas than fit together": Bad(
        {
            "warm_up_s: 1}": "warm_up_s: 1, min_replicas: {box: 12}}",
            "profile: ads-cpu.json,": "profile: ads-cpu.json, min_replicas: {box: 9},",
        },
        "profile: ads-cpu.json",
        ("9 replicas", "beside those named before the nodes hold 8", "at most 8"),
    ),
}
