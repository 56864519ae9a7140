"""ScaledObjects as their users have them, and one clear line for what is not modelled."""

from __future__ import annotations

from pathlib import Path

import pytest

from optimizer.autoscalers.hpa.behaviour import PolicyType, RatePolicy
from optimizer.autoscalers.keda import Threshold, Utilisation
from optimizer.autoscalers.keda_cron import CronWindow
from optimizer.autoscalers.keda_manifest import read_scaled_object
from workloads.errors import InputError

WHOLE = """\
apiVersion: keda.sh/v1alpha1
kind: ScaledObject
metadata:
  name: ranker
  annotations: {example.com/owner: search}
spec:
  scaleTargetRef: {name: ranker}
  minReplicaCount: 2
  maxReplicaCount: 40
  idleReplicaCount: 0
  pollingInterval: 15
  cooldownPeriod: 120
  fallback: {failureThreshold: 3, replicas: 6}
  advanced:
    horizontalPodAutoscalerConfig:
      behavior:
        scaleDown:
          stabilizationWindowSeconds: 60
          policies: [{type: Percent, value: 50, periodSeconds: 30}]
  triggers:
    - type: cron
      metadata: {timezone: Europe/Berlin, start: 0 6 * * 1-5, end: 0 20 * * 1-5, desiredReplicas: "10"}
    - type: prometheus
      name: load
      metadata:
        serverAddress: http://prometheus:9090
        query: sum(rate(http_requests_total[1m]))
        threshold: "50"
        activationThreshold: "5.5"
    - type: cpu
      metricType: Utilization
      metadata: {value: "60"}
    - type: rabbitmq
      metricType: Value
      metadata: {mode: QueueLength, value: "30", queueName: tasks}
"""


def write(folder: Path, text: str) -> str:
    path = folder / "scaled.yaml"
    path.write_text(text)
    return str(path)


def test_a_whole_manifest(tmp_path: Path) -> None:
    scaled = read_scaled_object(write(tmp_path, WHOLE), {"load": "tasks_per_s"})
    assert (scaled.least, scaled.most, scaled.idle) == (2, 40, 0)
    assert (scaled.polling_interval_s, scaled.cooldown_s, scaled.initial_cooldown_s) == (15.0, 120.0, 0.0)
    cron, query, cpu, queue = scaled.triggers
    assert isinstance(cron, CronWindow)
    assert (cron.replicas, cron.zone.key, cron.start.hours, cron.end.hours) == (10, "Europe/Berlin", (6,), (20,))
    assert query == Threshold("tasks_per_s", 50.0, 5.5)
    assert cpu == Utilisation(60.0)
    assert queue == Threshold("waiting", 30.0, is_average=False)
    assert scaled.behaviour is not None
    assert scaled.behaviour.down.policies == (RatePolicy(PolicyType.PERCENT, 50, 30.0),)
    assert scaled.behaviour.down.window_s == 60.0
    assert scaled.behaviour.up.window_s == 0.0


def test_defaults(tmp_path: Path) -> None:
    text = "kind: ScaledObject\nspec: {triggers: [{type: kafka, metadata: {topic: t}}]}\n"
    scaled = read_scaled_object(write(tmp_path, text))
    assert (scaled.least, scaled.most, scaled.idle, scaled.cooldown_s, scaled.behaviour) == (0, 100, None, 300.0, None)
    assert scaled.triggers == (Threshold("waiting", 10.0),)


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("kind: ScaledObject", "kind: ScaledJob", "yaml:2 kind: a ScaledJob is not modelled"),
        ("example.com/owner: search", 'autoscaling.keda.sh/paused: "true"', "autoscaling.keda.sh/paused"),
        ("  advanced:", "  advanced:\n    scalingModifiers: {formula: a + b}", "spec.advanced.scalingModifiers"),
        ("cooldownPeriod", "cooldownPeriods", "yaml:12 spec.cooldownPeriods: 'cooldownPeriods' is not known"),
        ("idleReplicaCount: 0", "idleReplicaCount: 1", "spec.idleReplicaCount: 1 beside minReplicaCount 2"),
        ("maxReplicaCount: 40", "maxReplicaCount: 1", "spec.maxReplicaCount: 1 is below minReplicaCount 2"),
        ("pollingInterval: 15", "pollingInterval: 0", "spec.pollingInterval: it is 0"),
        ("type: rabbitmq", "type: memory", "spec.triggers[3].type: triggers of type 'memory' are not modelled"),
        ("Europe/Berlin", "Europe/Bonn", "spec.triggers[0].metadata.timezone: 'Europe/Bonn' is no time zone"),
        ("0 6 * * 1-5", "0 6 * * 1-7", "spec.triggers[0].metadata.start: '7' is no day of week"),
        ("0 20 * * 1-5", "0 6 * * 1-5", "spec.triggers[0].metadata.end: it is the same as start"),
        ('desiredReplicas: "10"', "desiredReplicas: 10", 'quote it: "10"'),
        ('threshold: "50"', 'threshold: "0"', "spec.triggers[1].metadata.threshold: 0 is not above 0"),
        ('threshold: "50"', 'threshold: "many"', "'many' is not a number"),
        ("name: load", "name: rate", "the query of trigger 'rate' is not evaluated"),
        ("metricType: Utilization", "metricType: AverageValue", "AverageValue of cores is not modelled"),
        ("periodSeconds: 30", "periodSeconds: 0", "0 is not from 1 to 1800"),
        ("stabilizationWindowSeconds: 60", "stabilizationWindowSeconds: 4000", "4000 is too long"),
        ('desiredReplicas: "10"', 'desiredReplicas: "nan"', "'nan' is not a number"),
        ("type: Percent", "type: Per cent", "'Per cent' is unknown; use one of Pods, Percent"),
        ("mode: QueueLength", "mode: DeliverGetRate", "'DeliverGetRate' is not modelled"),
    ],
)
def test_one_clear_line(tmp_path: Path, old: str, new: str, told: str) -> None:
    assert old in WHOLE
    with pytest.raises(InputError) as caught:
        read_scaled_object(write(tmp_path, WHOLE.replace(old, new, 1)), {"load": "tasks_per_s"})
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


def test_measures_are_of_triggers_and_known(tmp_path: Path) -> None:
    path = write(tmp_path, WHOLE)
    with pytest.raises(InputError, match="'loud', which is none; did you mean 'load'"):
        read_scaled_object(path, {"load": "tasks_per_s", "loud": "in_flight"})
    with pytest.raises(InputError, match="'requests' is unknown"):
        read_scaled_object(path, {"load": "requests"})


def test_cpu_alone_cannot_sleep(tmp_path: Path) -> None:
    text = 'kind: ScaledObject\nspec: {triggers: [{type: cpu, metadata: {value: "60"}}]}\n'
    with pytest.raises(InputError, match="cpu alone"):
        read_scaled_object(write(tmp_path, text))
