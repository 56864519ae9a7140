"""Where the real traces lie, and what to do when they are not there.

The data are other people's and are not part of this project: a folder of them is named by the environment
variable ``RECFLEET_DATA``, by default ``../shared/data``.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from workloads.errors import InputError

__all__ = ["DATA_PREFIX", "ORIGINALS", "PublicOriginal", "data_folder", "data_path", "resolve_path"]

DATA_PREFIX = "data:"
_VARIABLE = "RECFLEET_DATA"
_DEFAULT = Path("..") / "shared" / "data"


@dataclass(frozen=True)
class PublicOriginal:
    """The published data set that a file of the data folder was cut from.

    Attributes
    ----------
    title, url, licence
        As its publisher gives them.
    command
        How to import the original, once downloaded; empty where it is no trace.
    """

    title: str
    url: str
    licence: str
    command: str = ""


_CLUSTERDATA = "https://github.com/alibaba/clusterdata"
_ALIBABA_TERMS = "research or study purpose, as its repository says"

ORIGINALS = {
    "arrivals_worldcup98_1min.parquet": PublicOriginal(
        "1998 World Cup Web Site Access Logs (M. Arlitt and T. Jin, 1998), counts per minute",
        "https://github.com/nimamahmoudi/worldcup98-dataset",
        "free use and redistribution with the notice unmodified (Hewlett-Packard 1997-1999)",
        "recfleet trace import counts invocation_count.csv --time-column period --count-column count"
        " --day 1998-06-03 --out worldcup98.parquet",
    ),
    "arrivals_azure_llm2023_code.parquet": PublicOriginal(
        "Azure LLM inference trace 2023, code (Splitwise, ISCA 2024)",
        "https://github.com/Azure/AzurePublicDataset",
        "CC BY 4.0",
        "recfleet trace import azure-llm AzureLLMInferenceTrace_code.csv --out azure-llm.parquet",
    ),
    "ratings_movietweetings.parquet": PublicOriginal(
        "MovieTweetings (S. Dooms), ratings of the 100K snapshot",
        "https://github.com/sidooms/MovieTweetings",
        "MIT",
        "recfleet trace import movietweetings ratings.dat --sort --out movietweetings.parquet",
    ),
    "arrivals_genai_requests.parquet": PublicOriginal(
        "Alibaba cluster-trace-v2026-GenAI, lora_request_trace.csv",
        _CLUSTERDATA,
        _ALIBABA_TERMS,
    ),
    "arrivals_mooncake_conversation.parquet": PublicOriginal(
        "Mooncake conversation trace (FAST 2025)", "https://github.com/kvcache-ai/Mooncake", "Apache-2.0"
    ),
    "azure_functions2019_invocations.parquet": PublicOriginal(
        "Azure Functions 2019 invocations, 500-function sample of In-Vitro",
        "https://github.com/vhive-serverless/invitro",
        "CC BY 4.0 (sample: MIT)",
    ),
    "counts_nab_5min.parquet": PublicOriginal(
        "Numenta Anomaly Benchmark, request and tweet counts",
        "https://github.com/numenta/NAB",
        "MIT",
        "recfleet trace import counts elb_request_count_8c0756.csv --time-column timestamp"
        " --count-column value --out nab.parquet",
    ),
    "cache_scarab_recs.parquet": PublicOriginal(
        "Scarab Research recommendation cache keys", "https://github.com/ben-manes/caffeine", "Apache-2.0"
    ),
    "obd_impressions.parquet": PublicOriginal(
        "Open Bandit Dataset, small version (ZOZO)", "https://github.com/st-tech/zr-obp", "CC BY 4.0"
    ),
    "cluster_nodes_openb2023.csv": PublicOriginal(
        "Alibaba cluster-trace-gpu-v2023, openb_node_list_all_node.csv", _CLUSTERDATA, _ALIBABA_TERMS
    ),
    "dlrm_serving_instances.parquet": PublicOriginal(
        "Alibaba cluster-trace-gpu-v2025, disaggregated_DLRM_trace.csv", _CLUSTERDATA, _ALIBABA_TERMS
    ),
}
"""``ORIGINALS[file name]``: what each file of the data folder was cut from."""


def data_folder() -> Path | None:
    """The folder of real traces, or None where there is none.

    ``RECFLEET_DATA`` if it is set, else ``../shared/data`` from the working directory, else the same from the
    repository's root.
    """
    given = os.environ.get(_VARIABLE)
    if given:
        return Path(given) if Path(given).is_dir() else None
    repository = Path(__file__).resolve().parent.parent
    candidates = (Path.cwd() / _DEFAULT, repository / _DEFAULT)
    return next((folder.resolve() for folder in candidates if folder.is_dir()), None)


def data_path(name: str) -> Path:
    """The path of a file of the data folder.

    Raises
    ------
    InputError
        Absent; the message names the public original and the command that imports it.
    """
    if Path(name).name != name:
        raise InputError(f"{DATA_PREFIX}{name}", "is not the name of a file", "give a name without folders")
    folder = data_folder()
    if folder is not None and (folder / name).is_file():
        return folder / name
    looked = os.environ.get(_VARIABLE) or str(_DEFAULT)
    problem = f"is not in the data folder {folder or looked}"
    fix = f"set {_VARIABLE} to the folder that holds it"
    original = ORIGINALS.get(name)
    if original is not None:
        problem += f"; it was cut from {original.title}, {original.url}"
        if original.command:
            fix += f", or download the original, run: {original.command}  and name that file"
    raise InputError(f"{DATA_PREFIX}{name}", problem, fix)


def resolve_path(text: str, base_dir: Path) -> Path:
    """A path as a scenario writes it: ``data:NAME`` is in the data folder, else relative to `base_dir`."""
    if text.startswith(DATA_PREFIX):
        return data_path(text.removeprefix(DATA_PREFIX))
    return base_dir / Path(text).expanduser()
