"""Work beside serving: it takes what is idle, gives way at once, and serving does not notice."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.cluster import RESOURCES
from simulator.life.events import PURPOSES, JobReport
from simulator.life.plan import Image, Job, Life, Outage
from tests.simulator.life_world import GB, GPU, World


def job(gpus: int = 1, gpu_s: float = 100.0, **options: float | str | bool) -> Job:
    need = tuple({"gpu": float(gpus), "cpu": 1.0}.get(r, 0.0) for r in RESOURCES)
    return Job(**({"name": "train", "gpus": gpus, "gpu_s": gpu_s, "node_types": (GPU,), "need": need} | options))  # type: ignore[arg-type]


def report(world: World, i: int = 0) -> JobReport:
    return world.life.jobs()[i]


def test_it_waits_for_an_open_node_and_ends_when_its_work_is_done() -> None:
    world = World(Life(jobs=(job(),)))
    world.run(10.0)
    assert report(world).held_gpu_s == 0.0
    world.want(b=1, at_once=True)
    world.run(50.0)
    assert report(world).held_gpu_s == pytest.approx(40.0)
    world.run(200.0)
    assert report(world) == JobReport("train", 1, 1, 100.0, 100.0, 0.0, pytest.approx(100.0), 0)
    assert world.actuator.ledger.training_gpu_s == pytest.approx(100.0)
    assert world.events() == [(10.0, "job_began", "train"), (110.0, "job_ended", "train")]


def test_it_gives_way_at_the_instant_a_replica_takes_its_gpu_and_loses_what_is_not_saved() -> None:
    """Two GPUs a node. Work from 0; checkpoints of 1 GB at 40 take 2 s; gives way at 70 with 28 s since."""
    world = World(Life(jobs=(job(checkpoint_gpu_s=40.0, checkpoint_bytes=GB),)))
    world.want(b=1, at_once=True)
    world.run(70.0)
    world.want(b=2)
    assert world.starting == [0, 1, 0]
    found = report(world)
    assert (found.preempted, found.done_gpu_s, found.lost_gpu_s) == (1, 40.0, pytest.approx(28.0))
    world.run(80.0)
    world.want(b=1)
    world.run(200.0)  # 60 s of work and one more checkpoint, from 80
    assert report(world) == JobReport("train", 1, 1, 100.0, 100.0, pytest.approx(28.0), pytest.approx(70.0 + 62.0), 1)
    assert world.events("job_ended") == [(142.0, "job_ended", "train")]


def test_work_whose_checkpoint_is_being_written_is_lost_too() -> None:
    world = World(Life(jobs=(job(checkpoint_gpu_s=40.0, checkpoint_bytes=GB),)))
    world.want(b=1, at_once=True)
    world.run(41.0)
    world.want(b=2)
    assert report(world).lost_gpu_s == pytest.approx(40.0)
    assert report(world).done_gpu_s == 0.0


def test_a_fraction_of_a_gpu_is_a_claim_on_the_whole_for_a_job() -> None:
    world = World(Life(jobs=(job(gpus=2),)))
    world.want(half=1, at_once=True)
    world.run(10.0)
    assert report(world).held_gpu_s == 0.0
    world.want((0, 1))
    world.run(20.0)
    assert report(world).held_gpu_s == pytest.approx(2 * 10.0)


def test_it_leaves_with_the_node_it_was_on() -> None:
    world = World(Life(jobs=(job(),), outages=(Outage(30.0, 60.0, "node", (3,)),)))
    world.want(b=1, at_once=True)
    world.run(31.0)
    assert report(world).preempted == 1
    world.want(b=1)
    world.run(40.0)
    assert report(world).held_gpu_s == pytest.approx(30.0 + 9.0)
    world.want()
    world.run(50.0)
    assert (report(world).preempted, world.actuator.ledger.training_gpus) == (2, 0)


def test_jobs_share_nodes_in_their_order() -> None:
    jobs = tuple(job(name=name, gpu_s=50.0) for name in ("one", "two", "three"))
    world = World(Life(jobs=jobs))
    world.want((0, 1), at_once=True)
    world.run(120.0)
    assert [line[:3] for line in world.events("job_began")] == [
        (0.0, "job_began", "one"), (0.0, "job_began", "two"), (50.0, "job_began", "three")
    ]  # fmt: skip


def test_an_own_node_is_opened_paid_for_and_kept() -> None:
    world = World(Life(jobs=(job(own_node=True, gpus=2),)), boot_s=np.array([0.0, 10.0]))
    world.want(b=2, at_once=True)
    world.run(30.0)
    assert world.actuator.placement.open_nodes().tolist() == [0, 2]
    assert world.want(b=4).sum() == 2  # its GPUs are claimed
    world.run(100.0)
    assert report(world).finished == 1
    assert world.events("job_ended") == [(60.0, "job_ended", "train")]  # 10 s boot, 100 GPU s on two
    assert world.actuator.placement.open_nodes().tolist() == [0, 1]
    assert world.actuator.ledger.cost_usd == pytest.approx(0.01 * (100.0 + 60.0))


def test_an_own_node_that_closes_forgets_its_images() -> None:
    """A replica came to the job's node and pulled its image; the job's end closes the node."""
    world = World(Life(images=(None, Image("serve", GB)), jobs=(job(own_node=True),)))
    world.run(5.0)
    world.want(b=1)
    world.run(30.0)
    assert world.ready == [0, 1, 0]
    world.want()
    world.run(150.0)
    assert world.actuator.placement.open_nodes().sum() == 0
    before = world.actuator.store.moved_bytes.copy()
    world.want(b=1)
    world.run(200.0)
    assert world.actuator.store.moved_bytes[PURPOSES.index("image")] - before[PURPOSES.index("image")] == GB


def test_an_online_update_comes_every_period_and_moves_its_bytes() -> None:
    update = job(name="update", gpus=0, gpu_s=0.0, period_s=100.0, first_s=50.0, read_bytes=4 * GB, write_bytes=GB)
    world = World(Life(jobs=(update,)))
    world.run(300.0)
    assert report(world)[:3] == ("update", 3, 3)
    assert world.actuator.store.moved_bytes[PURPOSES.index("update")] == pytest.approx(3 * 5 * GB)
    assert world.events("job_ended")[0][0] == pytest.approx(52.5)  # at the store's 2 GB/s


_wanted = st.tuples(st.integers(0, 3), st.integers(0, 4), st.integers(0, 4))
_moves = st.lists(st.tuples(st.floats(0.5, 15.0).map(lambda t: round(t, 1)), _wanted), min_size=1, max_size=8)
_jobs = st.lists(st.tuples(st.integers(1, 2), st.floats(5.0, 90.0), st.sampled_from([0.0, 10.0])), max_size=3)


@settings(max_examples=40, deadline=None)
@given(_moves, _jobs)
def test_serving_does_not_notice(moves: list, jobs: list) -> None:
    """With jobs that read nothing, replicas come to the same nodes and GPUs at the same times as without."""
    some = tuple(job(g, s, checkpoint_gpu_s=c, name=str(i)) for i, (g, s, c) in enumerate(jobs))
    seen = []
    for life in (Life(), Life(jobs=some)):
        world = World(life)
        found = []
        for wait_s, (a, b, half) in moves:
            world.run(world.env.now + wait_s)
            world.want((0, a), b=b, half=half)
            slots = world.fleet.replicas[world.fleet.replicas["state"] != 0]
            found.append((slots["node"].tolist(), slots["state"].tolist(), world.fleet.device.tolist()))
            world.check_books()
            check_guests(world)
        world.run(world.env.now + 1.0)
        seen.append((found, world.actuator.ledger.cost_usd))
    (found, cost_usd), (found_beside_jobs, cost_beside_jobs_usd) = seen
    assert found_beside_jobs == found
    assert cost_beside_jobs_usd == pytest.approx(cost_usd, rel=1e-12)  # summed over other spans of time


def check_guests(world: World) -> None:
    """No job is on a GPU that a replica claims, nor two on one, nor on a closed node; and the accounts add up."""
    training, placement = world.life._training, world.actuator.placement
    if training is None:
        return
    there = [work for work in training._works if work.seat is not None]
    gpus = [(work.seat.node, gpu) for work in there for gpu in work.seat.gpus]
    assert len(set(gpus)) == len(gpus)
    for node, gpu in gpus:
        assert placement.hosted[node] > 0
        assert gpu in placement.devices.empty(node)
    assert world.actuator.ledger.training_gpus == len(gpus)
    for one in world.life.jobs():
        assert one.done_gpu_s + one.lost_gpu_s <= one.held_gpu_s + 1e-6
        assert one.done_gpu_s <= one.asked_gpu_s
