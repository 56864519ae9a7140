"""A HorizontalPodAutoscaler manifest: what it means, the API's defaults, and one clear line for whatever is wrong."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from optimizer.autoscalers.hpa.behaviour import PolicyType, RatePolicy, Rules, Select
from optimizer.autoscalers.hpa.calculator import Tolerance
from optimizer.autoscalers.hpa.limits import Bounds
from optimizer.autoscalers.hpa.manifest import read_hpa
from optimizer.autoscalers.hpa.metrics import Metric, Source, Target
from optimizer.autoscalers.hpa.spec import DEFAULT_DOWN, DEFAULT_UP, Behaviour, Controller, HpaSpec
from optimizer.autoscalers.quantity import amount, milli
from workloads.errors import InputError

FULL = """\
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata:
  name: rank
  labels: {team: feed}
spec:
  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: rank}
  minReplicas: 2
  maxReplicas: 40
  metrics:
    - type: Resource
      resource:
        name: cpu
        target: {type: Utilization, averageUtilization: 60}
    - type: ContainerResource
      containerResource:
        name: cpu
        container: server
        target: {type: AverageValue, averageValue: 500m}
    - type: Pods
      pods:
        metric: {name: requests_per_second}
        target: {type: AverageValue, averageValue: 1k}
    - type: Object
      object:
        describedObject: {apiVersion: networking.k8s.io/v1, kind: Ingress, name: main}
        metric: {name: latency_p99_ms}
        target: {type: Value, value: "80"}
    - type: External
      external:
        metric: {name: queue_length, selector: {matchLabels: {queue: rank}}}
        target: {type: AverageValue, averageValue: 2.5}
  behavior:
    scaleUp:
      stabilizationWindowSeconds: 30
      selectPolicy: Min
      policies:
        - {type: Pods, value: 3, periodSeconds: 60}
        - {type: Percent, value: 50, periodSeconds: 30}
      tolerance: 0.05
    scaleDown:
      selectPolicy: Disabled
status:
  currentReplicas: 3
"""
SHORT = """\
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
spec:
  maxReplicas: 7
"""


def read(folder: Path, text: str) -> HpaSpec:
    (folder / "hpa.yaml").write_text(text)
    return read_hpa(folder / "hpa.yaml")


def test_everything(tmp_path: Path) -> None:
    spec = read(tmp_path, FULL)
    assert spec == HpaSpec(
        Bounds(2, 40),
        (
            Metric(Source.RESOURCE, "cpu", Target.UTILISATION, 60),
            Metric(Source.CONTAINER_RESOURCE, "cpu", Target.AVERAGE_VALUE, 500),
            Metric(Source.PODS, "requests_per_second", Target.AVERAGE_VALUE, 1_000_000),
            Metric(Source.OBJECT, "latency_p99_ms", Target.VALUE, 80_000),
            Metric(Source.EXTERNAL, "queue_length", Target.AVERAGE_VALUE, 2500),
        ),
        Behaviour(
            Rules(
                (RatePolicy(PolicyType.PODS, 3, 60.0), RatePolicy(PolicyType.PERCENT, 50, 30.0)),
                Select.MIN,
                30.0,
                0.05,
            ),
            Rules(DEFAULT_DOWN.policies, Select.DISABLED, 300.0),
        ),
    )
    assert spec.tolerance(Controller()) == Tolerance(0.1, 0.05)


def test_defaults(tmp_path: Path) -> None:
    """Without behaviours there are none; an empty section is full of defaults, which is not the same."""
    assert read(tmp_path, SHORT) == HpaSpec(Bounds(1, 7), (Metric(Source.RESOURCE, "cpu", Target.UTILISATION, 80),))
    assert read(tmp_path, SHORT + "  behavior: {}\n").behaviour == Behaviour(DEFAULT_UP, DEFAULT_DOWN)
    down = read(tmp_path, SHORT + "  behavior:\n    scaleDown: {stabilizationWindowSeconds: 0}\n").behaviour
    assert down == Behaviour(DEFAULT_UP, Rules((RatePolicy(PolicyType.PERCENT, 100, 15.0),), window_s=0.0))
    assert DEFAULT_UP.policies == (RatePolicy(PolicyType.PODS, 4, 15.0), RatePolicy(PolicyType.PERCENT, 100, 15.0))


@pytest.mark.parametrize(
    ("there", "instead", "told"),
    [
        ("autoscaling/v2", "autoscaling/v1", ":1 apiVersion: got 'autoscaling/v1'"),
        ("HorizontalPodAutoscaler", "Deployment", ":2 kind: got 'Deployment'"),
        ("maxReplicas: 40", "maxReplica: 40", ":9 spec.maxReplica: unknown key 'maxReplica'; did you mean 'maxRep"),
        ("  maxReplicas: 40\n", "", ":6 spec: 'maxReplicas' is missing"),
        ("maxReplicas: 40", "maxReplicas: 1", ":6 spec: maxReplicas 1 is below minReplicas 2; raise maxReplicas"),
        ("minReplicas: 2", "minReplicas: two", ":8 spec.minReplicas: got 'two'"),
        ("averageUtilization: 60", "averageUtilization: 0", "resource.target.averageUtilization: got 0"),
        ("averageUtilization: 60", "averageValue: 60", "a target of type Utilization has no averageUtilization"),
        ("averageUtilization: 60", "averageUtilization: 60, value: 1", "has another value than averageUtilization"),
        ("type: Pods\n", "type: Podz\n", ":20 spec.metrics[2].type: got 'Podz'"),
        ("type: Pods\n", "type: External\n", ":20 spec.metrics[2]: a metric of type External has no section external"),
        ("averageValue: 1k", "averageValue: 1kk", ":23 spec.metrics[2].pods.target.averageValue: got '1kk': not"),
        ("type: Value, value: \"80\"", "type: Utilization, averageUtilization: 8", "has no target of type Util"),
        ("periodSeconds: 60", "periodSeconds: 3600", "scaleUp.policies[0].periodSeconds: got 3600"),
        ("Seconds: 30\n", "Seconds: 7200\n", "scaleUp.stabilizationWindowSeconds: got 7200"),
        ("selectPolicy: Min", "selectPolicy: Most", "scaleUp.selectPolicy: got 'Most'"),
        ("tolerance: 0.05", "tolerance: -0.05", "scaleUp.tolerance: got -0.05"),
        ("tolerance: 0.05", "tolerance: yes", "'yes' means a boolean in some YAML readers"),
        ("value: 3,", "value: 0,", "scaleUp.policies[0].value: got 0"),
    ],
)  # fmt: skip
def test_whatever_is_wrong_is_one_line(tmp_path: Path, there: str, instead: str, told: str) -> None:
    assert there in FULL
    with pytest.raises(InputError) as caught:
        read(tmp_path, FULL.replace(there, instead, 1))
    assert told in str(caught.value)
    assert str(caught.value).startswith(str(tmp_path / "hpa.yaml"))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "it is empty or not a mapping"),
        ("- 1\n", "it is empty or not a mapping"),
        (SHORT + "  minReplicas: 0\n", "minReplicas 0 without a metric that no pod is needed for"),
        (SHORT + "  behavior: {scaleUp: {policies: []}}\n", "spec.behavior.scaleUp.policies: "),
    ],
)
def test_other_files(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(InputError) as caught:
        read(tmp_path, text)
    assert told in str(caught.value)


VALUES = [None, [], {}, [1], {"a": 1}, "", "x", "1k", 0, 1, -1, 5, 1.5, True, 10**30, "é"]


def places(value: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Of every value below, each before those within it."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [place for key, one in inner for place in ((*at, key), *places(one, (*at, key)))]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.sampled_from(places(yaml.safe_load(FULL))), st.sampled_from(VALUES), st.booleans())
def test_with_any_value_replaced_it_is_read_or_refused_in_a_line_each(
    tmp_path: Path, place: tuple[Any, ...], value: Any, is_dropped: bool
) -> None:
    document = yaml.safe_load(FULL)
    section = document
    for key in place[:-1]:
        section = section[key]
    if is_dropped:
        del section[place[-1]]
    else:
        section[place[-1]] = value
    spec, told = None, str(tmp_path / "hpa.yaml")
    try:
        spec = read(tmp_path, yaml.safe_dump(document))
    except InputError as error:
        told = str(error)
    assert all(line.strip().startswith(str(tmp_path / "hpa.yaml")) for line in told.splitlines())
    if spec is not None:
        assert 0 <= spec.bounds.least <= spec.bounds.most
        assert spec.metrics
        assert all(metric.amount > 0 for metric in spec.metrics)


# --- quantities -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "wanted"),
    [("500m", "0.5"), (2, "2"), (2.5, "2.5"), ("1k", "1000"), ("1Ki", "1024"), ("2e3", "2000"), ("1.5G", "1.5e9"),
     ("3n", "3e-9"), ("7u", "7e-6"), ("1Ei", str(2**60)), (".5", "0.5"), ("5.", "5"), ("-1", "-1"), ("1E", "1e18")],
)  # fmt: skip
def test_quantities(text: Any, wanted: str) -> None:
    assert amount(text) == Decimal(wanted)


@pytest.mark.parametrize("text", ["", "k", "1kk", "1 k", "1K", "0x1", "nan", None, True, [1], "1e", "--1", "1e333"])
def test_what_is_no_quantity(text: Any) -> None:
    with pytest.raises(ValueError, match="not a quantity"):
        amount(text)


@given(st.integers(-(10**9), 10**9), st.sampled_from(["n", "u", "m", "", "k", "Ki"]))
def test_thousandths_are_rounded_up(number: int, suffix: str) -> None:
    text = f"{number}{suffix}"
    assert 0 <= milli(text) - amount(text) * 1000 < 1
