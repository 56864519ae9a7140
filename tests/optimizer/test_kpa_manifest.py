"""Knative and KServe manifests as their users have them, and one clear line for what is not modelled."""

from __future__ import annotations

from pathlib import Path

import pytest

from optimizer.autoscalers.kpa_manifest import read_cluster_config, read_revision
from optimizer.autoscalers.kpa_settings import KpaSettings
from optimizer.autoscalers.kpa_target import TargetDefaults
from optimizer.autoscalers.manifests import by_stage, duration_s
from workloads.errors import InputError

SERVICE = """\
apiVersion: serving.knative.dev/v1
kind: Service
metadata:
  name: ranker
  annotations: {serving.knative.dev/creator: someone}
spec:
  template:
    metadata:
      annotations:
        autoscaling.knative.dev/metric: concurrency
        autoscaling.knative.dev/target: "12.5"
        autoscaling.knative.dev/target-utilization-percentage: "80"
        autoscaling.knative.dev/window: 2m
        autoscaling.knative.dev/panic-window-percentage: "20.0"
        autoscaling.knative.dev/panicThresholdPercentage: "150.0"
        autoscaling.knative.dev/min-scale: "2"
        autoscaling.knative.dev/maxScale: "30"
        autoscaling.knative.dev/scale-down-delay: 15m
        autoscaling.knative.dev/target-burst-capacity: "-1"
        autoscaling.knative.dev/metric-aggregation-algorithm: weightedExponential
        serving.knative.dev/progress-deadline: 600s
    spec:
      containerConcurrency: 16
      timeoutSeconds: 30
      containers: [{image: example.com/ranker}]
  traffic: [{latestRevision: true, percent: 100}]
"""

INFERENCE = """\
apiVersion: serving.kserve.io/v1beta1
kind: InferenceService
metadata:
  name: ranker
  annotations:
    autoscaling.knative.dev/window: 40s
    serving.kserve.io/enable-prometheus-scraping: "true"
spec:
  predictor:
    minReplicas: 0
    maxReplicas: 5
    scaleTarget: 4
    scaleMetric: rps
    model: {modelFormat: {name: pytorch}, storageUri: s3://models/ranker}
"""

CLUSTER = """\
apiVersion: v1
kind: ConfigMap
metadata: {name: config-autoscaler, namespace: knative-serving}
data:
  container-concurrency-target-default: "40"
  container-concurrency-target-percentage: "60"
  requests-per-second-target-default: "300"
  stable-window: 90s
  max-scale-up-rate: "10.0"
  enable-scale-to-zero: "false"
  scale-to-zero-grace-period: 45s
  tick-interval: 4s
"""


def write(folder: Path, text: str, name: str = "manifest.yaml") -> str:
    path = folder / name
    path.write_text(text)
    return str(path)


def test_a_knative_service(tmp_path: Path) -> None:
    assert read_revision(write(tmp_path, SERVICE)) == KpaSettings(
        target=12.5,
        target_utilisation=0.8,
        container_concurrency=16,
        window_s=120.0,
        panic_window_percent=20.0,
        panic_threshold_percent=150.0,
        burst_capacity=-1.0,
        scale_down_delay_s=900.0,
        min_scale=2,
        max_scale=30,
        aggregation="weighted-exponential",
    )


def test_a_service_without_annotations_is_knative_s_default(tmp_path: Path) -> None:
    text = "kind: Service\nspec: {template: {spec: {containers: [{image: x}]}}}\n"
    assert read_revision(write(tmp_path, text)) == KpaSettings()


def test_a_kserve_inference_service(tmp_path: Path) -> None:
    settings = read_revision(write(tmp_path, INFERENCE))
    assert settings == KpaSettings(metric="rps", target=4.0, window_s=40.0, min_scale=0, max_scale=5)
    least = read_revision(write(tmp_path, INFERENCE.replace("    minReplicas: 0\n", "")))
    assert least.min_scale == 1


def test_the_cluster_s_defaults_hold_where_the_manifest_is_silent(tmp_path: Path) -> None:
    cluster = read_cluster_config(write(tmp_path, CLUSTER, "cluster.yaml"))
    assert cluster.defaults == TargetDefaults(40.0, 0.6, 300.0)
    assert (cluster.up_rate, cluster.scale_to_zero, cluster.grace_s, cluster.tick_s) == (10.0, False, 45.0, 4.0)
    settings = read_revision(write(tmp_path, INFERENCE), cluster)
    assert (settings.window_s, settings.up_rate) == (40.0, 10.0)
    plain = read_revision(write(tmp_path, "kind: Service\nspec: {template: {}}\n"), cluster)
    assert plain.window_s == 90.0
    assert plain.rules().target == pytest.approx(24.0)
    assert plain.rules().total == 40.0


@pytest.mark.parametrize(
    ("text", "old", "new", "told"),
    [
        (SERVICE, "kind: Service", "kind: Deployment", "manifest.yaml:2 kind: a Deployment is no revision"),
        (SERVICE, "metric: concurrency", "metric: cpu", "the KPA scales on concurrency or rps, not on 'cpu'"),
        (
            SERVICE,
            '"12.5"',
            "12.5",
            "manifest.yaml:11 spec.template.metadata.annotations.autoscaling.knative.dev/target",
        ),
        (SERVICE, "window: 2m", "window: 2 min", "'2 min' is not a duration"),
        (SERVICE, "window: 2m", "window: 2h", "window_s: 7200.0 is not a number at least 6 and at most 3600"),
        (SERVICE, "window: 2m", "window: 6500ms", "window_s: 6.5 is not in whole seconds"),
        (SERVICE, "min-scale", "minn-scale", "did you mean 'autoscaling.knative.dev/min-scale'"),
        (SERVICE, '"30"', '"1"', "max_scale: 1 is below min_scale 2"),
        (SERVICE, '"30"', '"3.5"', "'3.5' is not a whole number"),
        (
            SERVICE,
            "metric: concurrency",
            "class: hpa.autoscaling.knative.dev",
            "is not the KPA; remove it, or take the",
        ),
        (
            SERVICE,
            "serving.knative.dev/creator: someone",
            'autoscaling.knative.dev/target: "1"',
            "move it to spec.template",
        ),
        (SERVICE, "metric: concurrency", 'minScale: "1"', "said twice"),
        (SERVICE, "percent: 100}", "percent: 50}, {revisionName: old, percent: 50}", "several revisions"),
        (
            INFERENCE,
            'enable-prometheus-scraping: "true"',
            "deploymentMode: RawDeployment",
            "RawDeployment mode does not",
        ),
        (INFERENCE, 'enable-prometheus-scraping: "true"', "autoscalerClass: hpa", "chooses another autoscaler"),
        (INFERENCE, "minReplicas: 0", "canaryTrafficPercent: 10", "'canaryTrafficPercent' splits traffic"),
        (INFERENCE, "/window: 40s", '/target: "9"', "annotations and fields differ on target"),
        (INFERENCE, "scaleMetric: rps", "scaleMetric: memory", "not on 'memory'"),
    ],
)
def test_one_clear_line(tmp_path: Path, text: str, old: str, new: str, told: str) -> None:
    assert old in text
    with pytest.raises(InputError) as caught:
        read_revision(write(tmp_path, text.replace(old, new, 1)))
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("kind: ConfigMap", "kind: Service", "has no cluster's settings"),
        ("stable-window", "stable-windw", "did you mean 'stable-window'"),
        ("  stable", "  pod-autoscaler-class: hpa.autoscaling.knative.dev\n  stable", "does not use the KPA"),
        ('"false"', '"maybe"', "'maybe' is neither true nor false"),
        ('"10.0"', '"0.5"', "up_rate: 0.5 is not a number above 1"),
    ],
)
def test_one_clear_line_of_a_cluster(tmp_path: Path, old: str, new: str, told: str) -> None:
    assert old in CLUSTER
    with pytest.raises(InputError) as caught:
        read_cluster_config(write(tmp_path, CLUSTER.replace(old, new, 1)))
    assert told in str(caught.value)


def test_durations() -> None:
    texts = ("90s", "1m30s", "1.5h", "250ms", "0", "1h2m3s", "-5s", "5", "s", "", "1 m", "1d")
    assert [duration_s(text) for text in texts] == [90.0, 90.0, 5400.0, 0.25, 0.0, 3723.0, *[None] * 6]


def test_manifests_by_stage() -> None:
    stages = ("shop/retrieve", "shop/rank", "video/rank")
    assert by_stage(None, stages, "manifest") == ["", "", ""]
    assert by_stage("a", stages, "manifest") == ["a", "a", "a"]
    assert by_stage({"retrieve": "a", "rank": "b", "video/rank": "c"}, stages, "manifest") == ["a", "b", "c"]
    assert by_stage({"shop/rank": "a"}, stages, "manifest") == ["", "a", ""]
    with pytest.raises(InputError, match="manifest rnk: the scenario has no such stage"):
        by_stage({"rnk": "a"}, stages, "manifest")
