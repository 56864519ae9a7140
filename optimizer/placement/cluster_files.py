"""Nodes and instances from files, as clusters export them, and the problem that they make.

Nodes (CSV or Parquet), the form of Alibaba's openb node list: ``node``, ``cpu_milli`` (thousandths of a vCPU),
``memory_mib``, ``gpu_count``, ``gpu_model``; optionally ``gpu_memory_gib`` (of one GPU), ``nic_pct`` (bandwidth in
percent of one NIC), ``disk_gib``, ``price``.

Instances (CSV or Parquet), the form of Alibaba's DLRM trace: ``instance_sn``, ``app_name``, ``cpu_vcpu``, ``gpu``,
``memory_gib``; optionally ``role``, ``rdma_pct_of_nic``, ``disk_gib``, ``gpu_memory_gib``, ``max_instance_per_node``
(-1: no limit).

What a node file does not tell is assumed, and told (`ClusterInput.notes`): a NIC of 100 %, as much disk and GPU
memory as is asked for, a price of 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from optimizer.placement.problem import PlacementProblem, problem_from_rows
from workloads.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["ClusterInput", "cluster_problem", "read_instances", "read_nodes"]

_NODE_COLUMNS = {"cpu_milli": True, "memory_mib": True, "gpu_count": True, "gpu_memory_gib": False, "nic_pct": False}
_NODE_COLUMNS |= {"disk_gib": False, "price": False}
_INSTANCE_COLUMNS = {"cpu_vcpu": True, "gpu": True, "memory_gib": True, "rdma_pct_of_nic": False, "disk_gib": False}
_INSTANCE_COLUMNS |= {"gpu_memory_gib": False, "max_instance_per_node": False}
"""Columns of numbers, and whether the file must have them."""


@dataclass(frozen=True)
class ClusterInput:
    """The problem of two files, and what its numbers stand for.

    Attributes
    ----------
    instance, app_name, role
        ``[replica]`` name of the instance, of its application, and of its role (empty without one).
    node
        ``[node]`` name.
    type_names
        ``[node_type]``, as in ``G2: 8 GPUs, 96 vCPU, 384 GiB``.
    arrival, listed
        ``[position]`` replicas, and nodes, in the order of their files.
    notes
        What is assumed.
    """

    problem: PlacementProblem
    instance: tuple[str, ...]
    app_name: tuple[str, ...]
    role: tuple[str, ...]
    node: tuple[str, ...]
    type_names: tuple[str, ...]
    arrival: np.ndarray
    listed: np.ndarray
    notes: tuple[str, ...]

    @property
    def app(self) -> tuple[str, ...]:
        """``[replica]`` application with its role, by which limits hold."""
        return tuple(f"{name} {role}".rstrip() for name, role in zip(self.app_name, self.role))


def read_nodes(path: Path) -> pd.DataFrame:
    """Rows of a file of nodes, checked.

    Raises
    ------
    InputError
        The file cannot be read, lacks a column, or has a row that cannot be used; the row is named.
    """
    table = _read(path, ("node",), _NODE_COLUMNS)
    if "gpu_memory_gib" in table:
        bare = (table["gpu_count"].astype(str).isin(("0", "0.0"))) & table["gpu_memory_gib"].isna()
        table.loc[bare, "gpu_memory_gib"] = 0.0
    _check_numbers(path, table, _NODE_COLUMNS, {"cpu_milli": 1.0, "price": 1e-9})
    _check_whole(path, table, "gpu_count", 64)
    _check_unique(path, table, "node")
    return table


def read_instances(path: Path) -> pd.DataFrame:
    """Rows of a file of instances, checked.

    Raises
    ------
    InputError
        As `read_nodes`.
    """
    table = _read(path, ("instance_sn", "app_name"), _INSTANCE_COLUMNS)
    _check_numbers(path, table, _INSTANCE_COLUMNS, {"max_instance_per_node": -1.0})
    gpus = table["gpu"].to_numpy(dtype=np.float64)
    _refuse(path, table, "gpu", (gpus > 1.0) & (gpus != np.round(gpus)), "is neither a share of one GPU nor whole GPUs")
    if "max_instance_per_node" in table:
        limit = table["max_instance_per_node"].to_numpy(dtype=np.float64)
        _refuse(path, table, "max_instance_per_node", (limit == 0.0) | (limit != np.round(limit)), "is no limit")
    if "gpu_memory_gib" in table:
        memory = table["gpu_memory_gib"].to_numpy(dtype=np.float64)
        _refuse(path, table, "gpu_memory_gib", (memory > 0.0) & (gpus == 0.0), "is asked for without a GPU")
    _check_unique(path, table, "instance_sn")
    if "role" in table:
        table["role"] = table["role"].fillna("").astype(str)
    return table


def cluster_problem(nodes: pd.DataFrame, instances: pd.DataFrame) -> ClusterInput:
    """The placement problem of checked rows.

    A limit ``max_instance_per_node`` holds for the instances of one application and role on one node; where rows of
    these differ, the smallest holds.
    """
    notes: list[str] = []
    resources, capacity, need = ["cpu_vcpu", "memory_gib"], [], []
    capacity += [_column(nodes, "cpu_milli") / 1000.0, _column(nodes, "memory_mib") / 1024.0]
    need += [_column(instances, "cpu_vcpu"), _column(instances, "memory_gib")]
    if "rdma_pct_of_nic" in instances:
        resources.append("nic_pct")
        need.append(_column(instances, "rdma_pct_of_nic"))
        capacity.append(_column(nodes, "nic_pct") if "nic_pct" in nodes else np.full(len(nodes), 100.0))
        if "nic_pct" not in nodes:
            notes.append("nodes tell no NIC: one of 100 % each is assumed")
    if "disk_gib" in instances and "disk_gib" in nodes:
        resources.append("disk_gib")
        need.append(_column(instances, "disk_gib"))
        capacity.append(_column(nodes, "disk_gib"))
    elif "disk_gib" in instances:
        notes.append("nodes tell no disk: it is not checked")
    knows_memory = "gpu_memory_gib" in instances and "gpu_memory_gib" in nodes
    if "gpu_memory_gib" in instances and not knows_memory:
        notes.append("nodes tell no GPU memory: it is not checked")
    group, group_limit = _groups(instances)
    told = nodes["gpu_model"].astype(object) if "gpu_model" in nodes else nodes["node"].map(lambda _: "")
    models = told.fillna("").astype(str)
    model_names, model = np.unique(models.to_numpy(dtype=str), return_inverse=True)
    problem, row_of_replica, row_of_node = problem_from_rows(
        tuple(resources),
        np.column_stack(need),
        _column(instances, "gpu"),
        _column(instances, "gpu_memory_gib") if knows_memory else np.zeros(len(instances)),
        group,
        group_limit,
        capacity=np.column_stack([*capacity, model]),
        node_gpus=_column(nodes, "gpu_count"),
        gpu_capacity_gib=_column(nodes, "gpu_memory_gib") if knows_memory else np.zeros(len(nodes)),
        price=_column(nodes, "price") if "price" in nodes else np.ones(len(nodes)),
        labels=1,
    )
    label = np.array([model[row_of_node[n]] for n in np.cumsum(problem.node_count) - problem.node_count])
    names = tuple(_type_name(problem, t, str(model_names[label[t]])) for t in range(len(problem.node_count)))
    roles = instances["role"] if "role" in instances else instances["instance_sn"].map(lambda _: "")
    if "price" not in nodes:
        notes.append("nodes tell no price: nodes are counted")
    return ClusterInput(
        problem,
        tuple(str(instances["instance_sn"].iloc[row]) for row in row_of_replica),
        tuple(str(instances["app_name"].iloc[row]) for row in row_of_replica),
        tuple(str(roles.iloc[row]) for row in row_of_replica),
        tuple(str(nodes["node"].iloc[row]) for row in row_of_node),
        names,
        np.argsort(row_of_replica, kind="stable"),
        np.argsort(row_of_node, kind="stable"),
        tuple(notes),
    )


def _groups(instances: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """``group[row]``, -1 without a limit, and ``limit[group]``, the smallest that any row of an application tells."""
    if "max_instance_per_node" not in instances:
        return np.full(len(instances), -1.0), np.zeros(0, dtype=np.int64)
    limit = _column(instances, "max_instance_per_node")
    keys = instances["app_name"].astype(str)
    if "role" in instances:
        keys = keys + " " + instances["role"].astype(str)
    names, of_row = np.unique(keys.to_numpy(dtype=str), return_inverse=True)
    least = np.full(len(names), np.inf)
    np.minimum.at(least, of_row, np.where(limit > 0.0, limit, np.inf))
    limited = np.isfinite(least)
    group = np.where(limited, np.cumsum(limited) - 1.0, -1.0)
    return group[of_row], least[limited].astype(np.int64)


def _type_name(problem: PlacementProblem, node_type: int, model: str) -> str:
    cpu, memory = problem.capacity[node_type, :2]
    gpus = int(problem.node_gpus[node_type])
    lead = f"{gpus} x {model or 'GPU'}" if gpus else "no GPU"
    return f"{lead}, {cpu:g} vCPU, {memory:g} GiB"


def _column(table: pd.DataFrame, name: str) -> np.ndarray:
    return table[name].to_numpy(dtype=np.float64)


def _read(path: Path, names: tuple[str, ...], numbers: dict[str, bool]) -> pd.DataFrame:
    import pandas as pd

    try:
        parquet = path.suffix.lower() in (".parquet", ".pq")
        table: pd.DataFrame = pd.read_parquet(path) if parquet else pd.read_csv(path)
    except OSError as error:
        problem = f"it cannot be read ({error.strerror or error})"
        raise InputError(str(path), problem, "give a CSV or Parquet file") from None
    except (ValueError, UnicodeDecodeError) as error:
        text = " ".join(str(error).split())
        raise InputError(str(path), f"it is no table ({text})", "give a CSV or Parquet file with a header") from None
    missing = [column for column in (*names, *(n for n, must in numbers.items() if must)) if column not in table]
    if missing:
        raise InputError(str(path), f"it lacks the column {missing[0]}", "see docs/placement.md for the columns")
    if len(table) == 0:
        raise InputError(str(path), "it has no rows", "give at least one")
    for column in names:
        _refuse(path, table, column, table[column].isna().to_numpy(), "is empty")
    return table.reset_index(drop=True)


def _check_numbers(path: Path, table: pd.DataFrame, columns: dict[str, bool], least: dict[str, float]) -> None:
    """Finite numbers at least 0, or the least given; the columns become floats."""
    import pandas as pd

    for column in columns:
        if column not in table:
            continue
        numbers = pd.to_numeric(table[column], errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)
        low = least.get(column, 0.0)
        wrong = ~np.isfinite(numbers) | (numbers < low) | (numbers > 1e12)
        _refuse(path, table, column, wrong, f"is not a number from {low:g} to 1e12")
        table[column] = numbers


def _check_whole(path: Path, table: pd.DataFrame, column: str, most: int) -> None:
    numbers = _column(table, column)
    _refuse(path, table, column, (numbers != np.round(numbers)) | (numbers > most), f"is not a whole number to {most}")


def _check_unique(path: Path, table: pd.DataFrame, column: str) -> None:
    _refuse(path, table, column, table[column].duplicated().to_numpy(), "is the name of an earlier row too")


def _refuse(path: Path, table: pd.DataFrame, column: str, wrong: np.ndarray, problem: str) -> None:
    """An error that names the first wrong row, counted from 1 without the header."""
    rows = np.flatnonzero(wrong)
    if len(rows):
        value: Any = table[column].iloc[int(rows[0])]
        value = value.item() if isinstance(value, np.generic) else value
        raise InputError(f"{path} row {int(rows[0]) + 1} column {column}", f"{value!r} {problem}", "correct the row")
