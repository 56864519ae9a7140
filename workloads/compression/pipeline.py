"""From a model folder and a method to a variant's folder: carry out the steps, measure, write."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workloads.compression.methods import steps_of
from workloads.compression.options import CompressOptions
from workloads.compression.packing import pack
from workloads.compression.restore import method_module
from workloads.compression.sizes import flops_per_unit, measure_sizes
from workloads.compression.subject import Step, Subject
from workloads.errors import InputError
from workloads.model_folder import CARD_FILE, load_model, save_model
from workloads.training.devices import usable_device
from workloads.training.session import data_of_card, refuse_updated

if TYPE_CHECKING:
    from workloads.interactions.prepared import PreparedData

__all__ = ["Progress", "check_data", "compress_folder", "compress_network", "measure_accuracy"]

Progress = Callable[[str, int, int], None]


def _silent(phase: str, done: int, total: int) -> None:
    """Show no progress."""


def compress_folder(
    folder: str | Path,
    method: str,
    out: str | Path,
    data: PreparedData | None,
    options: CompressOptions,
    tell: Progress = _silent,
) -> dict[str, Any]:
    """See `workloads.compression.compress`."""
    steps = steps_of(method)
    usable_device(options.device)
    _check_out(Path(folder), Path(out))
    saved = load_model(folder)
    if saved.card["variant"] is not None:
        before = saved.card["variant"].get("method")
        problem = f"is a variant already ({before})"
        raise InputError(str(folder), problem, f"compress its source in one go, as in --method {before}+{method}")
    if data is not None:
        check_data(saved.card, data, str(folder))
    subject = Subject(saved.model, saved.module, saved.config, saved.network, saved.card, data, options, tell)
    source_sizes = measure_sizes(saved.network) | flops_per_unit(saved.module, saved.config, saved.network)
    done, records, operations = compress_network(subject, steps)
    variant = {
        "method": method,
        "of": Path(folder).name,
        "of_sha256": saved.card["weights_sha256"],
        "source_metrics": saved.card["metrics"],
        "source_sizes": saved.card["sizes"] | source_sizes,
        "steps": records,
    }
    return _save(done, variant, operations, Path(out))


def check_data(card: Mapping[str, Any], data: PreparedData, where: str) -> None:
    """Refuse data that cannot tune or judge the model of this card.

    Raises
    ------
    InputError
        It was trained on other data, or updated since.
    """
    refuse_updated(
        card, where, "compress the model that was updated first, or leave --data out: nothing is judged then"
    )
    data_of_card(card, data, where)


def compress_network(subject: Subject, steps: tuple[str, ...]) -> tuple[Subject, list[dict[str, Any]], dict[str, int]]:
    """Carry out the steps on a copy of the subject's network.

    Returns
    -------
    tuple
        The subject after the last step, a record of each, and its operations.
    """
    subject = replace(subject, network=copy.deepcopy(subject.network).eval())
    records = []
    operations = None
    for number, method in enumerate(steps):
        subject.tell(method, number, len(steps))
        if method.startswith("int8-"):
            operations = flops_per_unit(subject.module, subject.config, subject.network)
        step = _function(method)(subject)
        records.append({"method": method, **step.record})
        subject = subject.after(step)
        subject.network.eval().requires_grad_(False)
    if operations is None:
        operations = flops_per_unit(subject.module, subject.config, subject.network)
    return subject, records, operations


def measure_accuracy(subject: Subject, device: str) -> dict[str, Any]:
    """Metrics of the subject's network on the test part, as a card holds them; empty without data."""
    if subject.data is None:
        return {}
    from workloads.compression.tuning import seen_data
    from workloads.training import evaluate

    ranking_users = subject.options.ranking_users
    if ranking_users is None:
        ranking_users = subject.card["training"].get("settings", {}).get("ranking_users", 0)
    subject.tell("measuring accuracy", 0, 1)
    found = evaluate(
        subject.module,
        subject.config,
        subject.network.to(device),
        seen_data(subject),
        device=device,
        ranking_users=ranking_users,
    )
    subject.network.to("cpu")
    return found.as_dict()


def _save(subject: Subject, variant: dict[str, Any], operations: dict[str, int], out: Path) -> dict[str, Any]:
    network = subject.network
    tensors, coding = pack(network, sparse="magnitude" in variant["method"].split("+"))
    cpu_only = any("devices" in record for record in variant["steps"])
    metrics = measure_accuracy(subject, "cpu" if cpu_only else subject.options.device)
    subject.tell("writing", 0, 1)
    card = {
        "data": subject.card["data"],
        "training": subject.card["training"],
        "metrics": metrics,
        "sizes": measure_sizes(network) | operations,
    }
    return save_model(
        out,
        model=subject.model,
        config=subject.config,
        network=network,
        card=card,
        variant=variant | ({"devices": ["cpu"]} if cpu_only else {}) | {"coding": coding},
        tensors=tensors,
    )


def _function(method: str) -> Callable[[Subject], Step]:
    module = method_module(method)
    return getattr(module, {"int8-dynamic": "apply_dynamic", "int8-weight": "apply_weight"}.get(method, "apply"))


def _check_out(folder: Path, out: Path) -> None:
    if out.resolve() == folder.resolve():
        raise InputError(f"--out {out}", "is the source's own folder", "give another one")
    if out.is_dir() and any(out.iterdir()) and not (out / CARD_FILE).is_file():
        raise InputError(f"--out {out}", "is a folder that holds something else", "give a new one")
