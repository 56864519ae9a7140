"""A model's measured profile: what one replica does with a batch, on one device.

The file format is described in ``docs/profile-format.md`` and by ``profile_schema.json``.
Nothing here needs torch.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from workloads import field_words
from workloads.atomic_files import replace_file
from workloads.errors import InputError

__all__ = [
    "ModelProfile",
    "load_document",
    "load_profile",
    "profile_from_document",
    "save_profile",
    "schema_text",
]


@dataclass(frozen=True, eq=False)
class ModelProfile:
    """Latency by batch size, and what one replica needs.

    Attributes
    ----------
    name, model, stage
        The profile's name, the model's, and its place in the funnel: retrieve, filter, rank or rerank.
    unit
        What batch sizes count: ``requests`` or ``items``.
    device, device_kind, device_name
        Stable id that node types refer to; ``cuda`` or ``cpu``; the vendor's name.
    precision, mode
        ``fp32``, ``bf16`` or ``int8``; ``eager``, ``compiled``, ``cuda_graph`` or ``compiled_graph``.
    batch_sizes
        ``batch_sizes[size]``, int64, rising.
    quantile_levels
        ``quantile_levels[level]``, float64, rising from 0 (minimum) to 1 (maximum).
    latency_s
        ``latency_s[size, level]``: quantiles of a batch's wall-clock time, host memory to host memory.
    mean_s, cpu_core_s
        ``mean_s[size]`` and ``cpu_core_s[size]``: mean time, and host CPU core-seconds, of one batch.
    device_memory_bytes, host_memory_bytes, host_cores
        Peak memory on the accelerator (0 on a CPU), resident host memory and CPU cores of one replica.
    weights_bytes, load_s
        Bytes of the weights; seconds from weights on disk to the first answer.
    provenance, date, versions, notes
        ``measured`` or ``assumed``; day; versions of what ran; remarks that a reader must see.
    variant, accuracy, accuracy_data
        How a compressed model came about (empty for others); metrics of these very weights on the test part (empty
        where weights are random), for example ``{"auc": 0.76}``; the data set.
    idle_power_w, busy_power_w
        Power of the device when a loaded replica serves nothing (NaN where not measured), and ``busy_power_w[size]``
        while batches of one size follow one another (empty where not measured).
    embedding_bytes, config, runs, transfer_in_s, compute_s, transfer_out_s, drift, two_modes, document
        Further fields of the file; the split by size is empty where it was not measured.
    """

    name: str
    model: str
    stage: str
    unit: str
    device: str
    device_kind: str
    precision: str
    mode: str
    batch_sizes: np.ndarray
    quantile_levels: np.ndarray
    latency_s: np.ndarray
    mean_s: np.ndarray
    cpu_core_s: np.ndarray
    device_memory_bytes: int
    host_memory_bytes: int
    host_cores: int
    weights_bytes: int
    load_s: float
    provenance: str
    date: str
    versions: dict[str, str]
    notes: tuple[str, ...]
    device_name: str = ""
    embedding_bytes: int = 0
    config: Mapping[str, Any] = field(default_factory=dict)
    runs: np.ndarray = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    transfer_in_s: np.ndarray = field(default_factory=lambda: np.empty(0))
    compute_s: np.ndarray = field(default_factory=lambda: np.empty(0))
    transfer_out_s: np.ndarray = field(default_factory=lambda: np.empty(0))
    idle_power_w: float = math.nan
    busy_power_w: np.ndarray = field(default_factory=lambda: np.empty(0))
    drift: np.ndarray = field(default_factory=lambda: np.empty(0))
    two_modes: np.ndarray = field(default_factory=lambda: np.empty(0, dtype=np.bool_))
    variant: str = ""
    accuracy: Mapping[str, float] = field(default_factory=dict)
    accuracy_data: str = ""
    document: Mapping[str, Any] | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        for name, dtype in _ARRAY_DTYPES.items():
            values = np.array(getattr(self, name), dtype=dtype)
            values.flags.writeable = False
            object.__setattr__(self, name, values)

    def throughput_per_s(self) -> np.ndarray:
        """Units a second when batches of each size follow one another: ``throughput_per_s[size]``."""
        return np.asarray(self.batch_sizes / self.mean_s)

    def energy_j_per_unit(self) -> np.ndarray:
        """Joules of the device for one unit, batches back to back; NaN where not measured: ``[size]``."""
        if not len(self.busy_power_w):
            return np.full(len(self.batch_sizes), np.nan)
        return np.asarray(self.busy_power_w * self.mean_s / self.batch_sizes)

    def quantile_s(self, level: float) -> np.ndarray:
        """Latency at a quantile level, linear between the stored ones: ``quantile_s[size]``."""
        if not 0.0 <= level <= 1.0:
            raise ValueError(f"level must lie in 0 to 1, got {level}")
        return np.array([np.interp(level, self.quantile_levels, row) for row in self.latency_s])


_LIST_OF_NUMBERS = re.compile(r"\[\n[^\[\]{}\"]*\]")
_ARRAY_DTYPES: dict[str, Any] = {
    "batch_sizes": np.int64,
    "quantile_levels": np.float64,
    "latency_s": np.float64,
    "mean_s": np.float64,
    "cpu_core_s": np.float64,
    "runs": np.int64,
    "transfer_in_s": np.float64,
    "compute_s": np.float64,
    "transfer_out_s": np.float64,
    "busy_power_w": np.float64,
    "drift": np.float64,
    "two_modes": np.bool_,
}


def load_profile(path_or_name: str | Path) -> ModelProfile:
    """Read a profile from a file, or a shipped one by its name.

    Raises
    ------
    InputError
        The file or name does not exist (near names are listed), or a field breaks the format.

    Examples
    --------
    >>> profile = load_profile("dlrm-h200-bf16-graph")
    >>> profile.stage, profile.unit, profile.device
    ('rank', 'items', 'nvidia-h200')
    """
    from workloads.catalogue import profile_path

    path = profile_path(path_or_name)
    return profile_from_document(load_document(path), where=str(path_or_name))


def load_document(path: str | Path) -> dict[str, Any]:
    """Read a profile file into plain dictionaries and lists, without checking it against the format."""
    where = str(path)
    try:
        text = Path(path).read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise InputError(where, "is not UTF-8 text", "give a profile that `recfleet profile` wrote") from None
    except OSError as error:
        raise InputError(where, f"cannot be read ({error.strerror})", "give the path of a profile file") from None
    try:
        document = json.loads(text, object_pairs_hook=_unique_keys, parse_constant=_refuse_constant)
    except json.JSONDecodeError as error:
        place = f"{where}:{error.lineno}"
        raise InputError(place, f"is not JSON ({error.msg})", "give a profile that `recfleet profile` wrote") from None
    except (ValueError, RecursionError) as error:
        raise InputError(where, f"is not valid JSON ({error})", "correct the file") from None
    if not isinstance(document, dict):
        raise InputError(where, "holds no JSON object", "give a profile that `recfleet profile` wrote")
    return document


def profile_from_document(document: Mapping[str, Any], where: str = "profile") -> ModelProfile:
    """Check a document against the format and turn it into a `ModelProfile`."""
    checked = _validate(document, where)
    model, device, execution = checked.model, checked.device, checked.execution
    latency, resources, provenance = checked.latency, checked.resources, checked.provenance
    split, power = latency.split, checked.power
    empty = np.empty(0)
    return ModelProfile(
        name=checked.name,
        model=model.name,
        stage=model.stage,
        unit=model.unit,
        device=device.id,
        device_kind=device.kind,
        device_name=device.name,
        precision=execution.precision,
        mode=execution.mode,
        batch_sizes=latency.batch_sizes,
        quantile_levels=latency.quantile_levels,
        latency_s=latency.quantiles_s,
        mean_s=latency.mean_s,
        cpu_core_s=latency.cpu_core_s,
        device_memory_bytes=resources.device_memory_bytes,
        host_memory_bytes=resources.host_memory_bytes,
        host_cores=resources.host_cores,
        weights_bytes=model.weights_bytes,
        load_s=resources.load.total_s,
        provenance=provenance.kind,
        date=provenance.date,
        versions=dict(provenance.versions),
        notes=tuple(checked.notes),
        embedding_bytes=model.embedding_bytes,
        config=dict(model.config),
        runs=latency.runs,
        transfer_in_s=empty if split is None else split.transfer_in_s,
        compute_s=empty if split is None else split.compute_s,
        transfer_out_s=empty if split is None else split.transfer_out_s,
        idle_power_w=math.nan if power is None else power.idle_w,
        busy_power_w=empty if power is None else power.busy_w,
        drift=latency.drift,
        two_modes=latency.two_modes,
        variant="" if checked.variant is None else checked.variant.method,
        accuracy={} if checked.accuracy is None else dict(checked.accuracy.metrics),
        accuracy_data="" if checked.accuracy is None else checked.accuracy.data,
        document=checked.model_dump(mode="json", exclude_unset=True),
    )


def save_profile(profile_document: Mapping[str, Any], path: str | Path) -> None:
    """Check a profile document and write it in one step: the file is whole or absent."""
    _validate(profile_document, str(path))
    write_json(profile_document, path)


def write_json(document: Mapping[str, Any], path: str | Path) -> None:
    """Write JSON under a temporary name, sync it, and rename it into place."""
    path = Path(path)
    text = profile_text(document)

    def write(temporary: Path) -> None:
        temporary.write_text(text, encoding="utf-8")

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, write)
    except OSError as error:
        raise InputError(str(path), f"cannot be written ({error.strerror})", "give a path that can") from None


def profile_text(document: Mapping[str, Any]) -> str:
    """The document as JSON, indented, with each list of numbers on one line."""
    text = json.dumps(document, indent=2, allow_nan=False)
    return _LIST_OF_NUMBERS.sub(lambda match: " ".join(match.group().split()), text) + "\n"


def schema_text() -> str:
    """The shipped JSON Schema of the profile format."""
    return (Path(__file__).parent / "profile_schema.json").read_text(encoding="utf-8")


def _validate(document: Mapping[str, Any], where: str) -> Any:
    from pydantic import ValidationError

    from workloads.profile_document import ProfileDocument

    try:
        return ProfileDocument.model_validate(dict(document))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
    place, problem = _field_and_problem(first)
    raise InputError(f"{where} {place}".rstrip(), problem, _fix_for(first["type"]))


def _field_and_problem(error: Any) -> tuple[str, str]:
    place = ""
    for part in error["loc"]:
        place += f"[{part}]" if isinstance(part, int) else f".{part}" if place else str(part)
    message = str(error["msg"]).removeprefix("Value error, ")
    if error["type"] == "value_error" and ": " in message:
        inner, message = message.split(": ", 1)
        place = f"{place}.{inner}" if place else inner
        return place, message
    if error["type"] == "extra_forbidden":
        return place, "is no field of a profile"
    return place, field_words.problem(error)


def _fix_for(kind: str) -> str:
    if kind == "extra_forbidden":
        return "remove it or correct its spelling (docs/profile-format.md lists the fields)"
    if kind == "missing":
        return "add it (docs/profile-format.md lists the fields)"
    return "correct the value (docs/profile-format.md says what it may be)"


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for key, value in pairs:
        if key in result:
            raise ValueError(f"the key {key!r} occurs twice in one object")
        result[key] = value
    return result


def _refuse_constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is not a number that JSON knows")
