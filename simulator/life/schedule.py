"""All outages of a run, drawn before it begins: what a policy does changes nothing about its luck."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import numpy as np

from simulator.life.plan import Life, Outage, Risk

__all__ = ["draw_outages", "outages_of", "stream"]


def stream(seed: int, name: str) -> np.random.Generator:
    """The random numbers of one named thing in a run: adding another thing leaves them as they are."""
    digest = hashlib.sha256(f"recfleet life {name}".encode()).digest()
    words = np.frombuffer(digest[:16], dtype="<u4").tolist()
    return np.random.default_rng(np.random.SeedSequence([seed, *words]))


def draw_outages(risk: Risk, seed: int, duration_s: float) -> Iterator[Outage]:
    """Outages of a risk that begin before ``duration_s``, in order; they do not overlap."""
    rng = stream(seed, f"{risk.kind} {risk.name}")
    now_s = 0.0
    while True:
        begin_s = now_s + rng.exponential(risk.mtbf_s)
        if begin_s >= duration_s:
            return
        now_s = begin_s + risk.notice_s + (rng.exponential(risk.mttr_s) if risk.mttr_s > 0.0 else 0.0)
        yield Outage(begin_s, now_s, risk.kind, risk.target, risk.factor, risk.notice_s)


def outages_of(life: Life, seed: int, duration_s: float) -> tuple[Outage, ...]:
    """All outages of a run, stated and drawn, in order of time."""
    drawn = [outage for risk in life.risks for outage in draw_outages(risk, seed, duration_s)]
    return tuple(sorted([*life.outages, *drawn]))
