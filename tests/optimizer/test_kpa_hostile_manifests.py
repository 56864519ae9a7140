"""Manifests with a value replaced by anything: they are read, or refused in one line that names the file."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from optimizer.autoscalers.keda_manifest import read_scaled_object
from optimizer.autoscalers.kpa_manifest import read_cluster_config, read_revision
from optimizer.autoscalers.ray_serve_manifest import read_deployments
from tests.optimizer.test_keda_manifest import WHOLE
from tests.optimizer.test_kpa_manifest import CLUSTER, INFERENCE, SERVICE
from tests.optimizer.test_ray_serve_manifest import CONFIG
from workloads.errors import InputError

READERS: dict[str, tuple[str, Callable[[str], object]]] = {
    "service": (SERVICE, read_revision),
    "inference": (INFERENCE, read_revision),
    "cluster": (CLUSTER, read_cluster_config),
    "serve": (CONFIG, read_deployments),
    "keda": (WHOLE, lambda path: read_scaled_object(path, {"load": "tasks_per_s"})),
}
scalars = (
    st.none() | st.booleans() | st.integers(-3, 10**14) | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from(["", "nan", "inf", "-1", "1e400", "0", "7", "1h", "*", "0 0 30 2 *", "../x", "Kafka", "\u00b2"])
)  # fmt: skip
anything = scalars | st.lists(scalars, max_size=2) | st.dictionaries(st.sampled_from(["a", "name", "type"]), scalars)


def places(value: Any, place: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Every place of a document but the whole."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, child in inner:
        yield (*place, key)
        yield from places(child, (*place, key))


def refusal(read: Callable[[str], object], path: str) -> str | None:
    """Why a manifest is refused; None if it is read."""
    try:
        read(path)
    except InputError as error:
        return str(error)
    return None


@pytest.mark.parametrize("name", READERS)
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_value_is_read_or_refused(tmp_path: Path, name: str, data: st.DataObject) -> None:
    text, read = READERS[name]
    document = copy.deepcopy(yaml.safe_load(text))
    *above, last = data.draw(st.sampled_from(list(places(document))))
    section = document
    for key in above:
        section = section[key]
    section[last] = data.draw(anything)
    path = tmp_path / "changed.yaml"
    path.write_text(json.dumps(document))
    told = refusal(read, str(path))
    assert told is None or ("changed.yaml" in told and "\n" not in told)


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize("text", ["", "[]", "3", "kind: Service\n---\nkind: Service\n", "kind: [a]", "a: b"])
def test_files_of_other_shapes(tmp_path: Path, name: str, text: str) -> None:
    path = tmp_path / "other.yaml"
    path.write_text(text)
    with pytest.raises(InputError, match=r"other\.yaml"):
        READERS[name][1](str(path))
