"""Ray Serve config files as their users have them, and one clear line for what is not modelled."""

from __future__ import annotations

from pathlib import Path

import pytest

from optimizer.autoscalers.ray_serve_manifest import for_stages, read_deployments
from optimizer.autoscalers.ray_serve_settings import ServeSettings
from workloads.errors import InputError

CONFIG = """\
proxy_location: EveryNode
http_options: {host: 0.0.0.0, port: 8000}
applications:
  - name: shop
    route_prefix: /
    import_path: shop:app
    deployments:
      - name: Retrieve
        num_replicas: 3
      - name: shop-rank
        max_ongoing_requests: 20
        ray_actor_options: {num_gpus: 1}
        autoscaling_config:
          min_replicas: 2
          initial_replicas: 4
          max_replicas: 50
          target_ongoing_requests: 8
          upscale_smoothing_factor: 0.5
          smoothing_factor: 0.8
          upscale_delay_s: 10
          downscale_delay_s: 120.5
          metrics_interval_s: 5
          aggregation_function: max
  - name: video
    import_path: video:app
    deployments:
      - name: VideoRank
        num_replicas: auto
        autoscaling_config: {max_replicas: 8, min_replicas: 4}
        gang_scheduling_config: {gang_size: 4}
"""


def write(folder: Path, text: str) -> str:
    path = folder / "serve.yaml"
    path.write_text(text)
    return str(path)


def test_a_whole_file(tmp_path: Path) -> None:
    found = read_deployments(write(tmp_path, CONFIG))
    assert list(found) == ["Retrieve", "shop-rank", "VideoRank"]
    assert found["Retrieve"] == ServeSettings(min_replicas=3, max_replicas=3)
    assert found["shop-rank"] == ServeSettings(
        min_replicas=2,
        initial_replicas=4,
        max_replicas=50,
        target_ongoing_requests=8,
        upscaling_factor=0.5,
        downscaling_factor=0.8,
        upscale_delay_s=10,
        downscale_delay_s=120.5,
        metrics_interval_s=5,
        aggregation_function="max",
    )
    assert found["VideoRank"] == ServeSettings(min_replicas=4, max_replicas=8, gang_size=4)


def test_deployments_are_those_of_the_stages_by_name(tmp_path: Path) -> None:
    found = read_deployments(write(tmp_path, CONFIG))
    stages = ("shop/retrieve", "shop/rank", "video/rank")
    assert for_stages(found, stages, "x") == [found["Retrieve"], found["shop-rank"], found["VideoRank"]]
    with pytest.raises(InputError, match="none is named like stage shop/filter: Retrieve, shop-rank, VideoRank"):
        for_stages(found, ("shop/filter",), "x")
    one = {"Model": ServeSettings()}
    assert for_stages(one, stages, "x") == [ServeSettings()] * 3


def test_older_files_without_applications(tmp_path: Path) -> None:
    text = "import_path: a:b\ndeployments: [{name: Model, autoscaling_config: {max_replicas: 7}}, {name: Other}]\n"
    found = read_deployments(write(tmp_path, text))
    assert found == {"Model": ServeSettings(max_replicas=7), "Other": ServeSettings(max_replicas=1)}


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("upscale_delay_s: 10", "upscale_delay: 10", "'upscale_delay' is not known; did you mean 'upscale_delay_s'"),
        ("upscale_delay_s: 10", "upscale_delay_s: -1", "autoscaling_config.upscale_delay_s: upscale_delay_s: -1"),
        ("upscale_delay_s: 10", "policy: {policy_function: a:b}", "'policy' is a policy of its own"),
        ("max_replicas: 50", "max_replicas: 1", "serve.yaml:16"),
        ("initial_replicas: 4", "initial_replicas: 60", "60 is out of bounds"),
        ("aggregation_function: max", "aggregation_function: median", "'median' is unknown; use mean, max, min"),
        ("min_replicas: 4}", "min_replicas: 3}", "4 does not divide"),
        ("num_replicas: auto", "num_replicas: 2", "2 beside autoscaling_config"),
        ("num_replicas: 3", "num_replicas: 0", "0 replicas serve nothing"),
        ("proxy_location: EveryNode", "kind: RayService", "give the text of its spec.serveConfigV2"),
        ("num_replicas: 3", "num_replicas: many", "'many' is not a whole number"),
        ("name: VideoRank", "name: Retrieve", "'Retrieve' has been read already"),
        ("    route_prefix: /", "    autoscaling_policy: {policy_function: a:b}", "'autoscaling_policy' is code"),
        ("applications:", "apps:", "there is no deployment"),
    ],
)
def test_one_clear_line(tmp_path: Path, old: str, new: str, told: str) -> None:
    assert old in CONFIG
    with pytest.raises(InputError) as caught:
        read_deployments(write(tmp_path, CONFIG.replace(old, new, 1)))
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)
