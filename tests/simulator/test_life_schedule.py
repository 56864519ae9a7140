"""Random outages: the rates that were asked for, the same for every policy, each thing with a stream of its own."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from simulator.life.plan import Life, Outage, Risk
from simulator.life.schedule import draw_outages, outages_of


def risk(name: str = "gpu/0", mtbf_s: float = 900.0, mttr_s: float = 100.0, **more: float) -> Risk:
    return Risk("node", (0,), name, mtbf_s, mttr_s, **more)


def test_times_have_their_means_and_are_exponential() -> None:
    outages = list(draw_outages(risk(), 7, 4e6))
    up = np.diff([0.0, *(o.at_s for o in outages)]) - np.array([0.0, *(o.until_s - o.at_s for o in outages[:-1])])
    down = np.array([o.until_s - o.at_s for o in outages])
    for times, mean_s in ((up, 900.0), (down, 100.0)):
        error = mean_s / math.sqrt(len(times))
        assert times.mean() == pytest.approx(mean_s, abs=4 * error)
        assert times.std() == pytest.approx(mean_s, rel=0.1)
        assert np.quantile(times, 0.5) == pytest.approx(mean_s * math.log(2.0), rel=0.1)


def test_out_of_use_for_mttr_over_mtbf_plus_mttr_of_the_time() -> None:
    horizon_s = 4e6
    down_s = sum(min(o.until_s, horizon_s) - o.at_s for o in draw_outages(risk(), 3, horizon_s))
    assert down_s / horizon_s == pytest.approx(0.1, rel=0.1)


def test_outages_of_a_thing_do_not_overlap_and_notices_come_before() -> None:
    for one in (risk(), risk(notice_s=50.0), risk(mttr_s=0.0, notice_s=5.0)):
        outages = list(draw_outages(one, 1, 1e5))
        assert len(outages) > 50
        for outage, following in itertools.pairwise(outages):
            assert outage.at_s + one.notice_s <= outage.until_s <= following.at_s


def test_streams_are_named_and_seeded() -> None:
    one = list(draw_outages(risk(), 1, 1e4))
    assert one == list(draw_outages(risk(), 1, 1e4))
    assert one == list(draw_outages(risk(), 1, 2e4))[: len(one)]
    assert one != list(draw_outages(risk(), 2, 1e4))
    assert one != list(draw_outages(risk("gpu/1"), 1, 1e4))
    assert one[0].at_s != next(draw_outages(Risk("slow_node", (0,), "gpu/0", 900.0, 100.0), 1, 1e4)).at_s


def test_another_thing_changes_nothing_for_the_first() -> None:
    alone = outages_of(Life(risks=(risk(),)), 5, 1e4)
    stated = Outage(10.0, 20.0, "store", (), 0.5)
    other = Risk("node", (1,), "gpu/1", 500.0, 50.0)
    both = outages_of(Life(risks=(other, risk()), outages=(stated,)), 5, 1e4)
    assert tuple(o for o in both if o.target == (0,)) == alone
    assert stated in both
    assert list(both) == sorted(both, key=lambda o: o.at_s)
