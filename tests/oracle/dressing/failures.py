"""What goes wrong with replicas: some straggle, some fail."""

from __future__ import annotations

from ..controls import AnyControl, Control, FailReplicas, SetSlowness
from ..model import OracleReplica
from ..simpy_oracle import simulate
from ..worlds import moment_s
from .making import Making


def lives(making: Making) -> list[tuple[OracleReplica, float, float]]:
    """Each replica with the times of its activation and of its drain."""
    drains = {c.replica.slot: c.time_s for c in making.controls if isinstance(c, Control) and c.action == "drain"}
    return [
        (c.replica, c.time_s, drains.get(c.replica.slot, making.horizon_s))
        for c in making.controls
        if isinstance(c, Control) and c.action == "activate"
    ]


def dress_stragglers(making: Making) -> None:
    draw = making.draw
    for replica, from_s, to_s in lives(making):
        if draw.chance(0.3) and to_s > from_s:
            factor = float(draw.rng.choice([0.5, 2.0, 4.0, 8.0]))
            making.controls.append(SetSlowness(moment_s(draw, from_s, to_s), replica.slot, factor))


def dress_replica_failures(making: Making) -> None:
    """Replicas fail, some at the very instant of something else, some together; most come back, some at once.

    Off the lattice, where another engine's sums may round otherwise, just before or after it.
    """
    draw = making.draw
    stays = simulate(making.world, making.arrivals, making.controls).stays
    instants = [t for stay in stays for t in (stay.taken_s, stay.ready_s, stay.start_s, stay.end_s) if t == t]
    for node in range(len(making.world.nic_bytes_per_s)):
        mine = [(replica, from_s) for replica, from_s, _ in lives(making) if replica.node == node]
        if not mine or not draw.chance(0.6):
            continue
        together = draw.chance(0.3)
        for replica, from_s in mine if not together else mine[:1]:
            if not together and not draw.chance(0.4):
                continue
            time_s = making.moment_s(from_s)
            if instants and draw.chance(0.5):
                time_s = float(draw.rng.choice(instants))
                if not draw.lattice:
                    time_s = max(0.0, time_s + float(draw.rng.choice([-1e-4, 1e-4])) * making.scale_s)
            gone = [one for one, begun_s in mine if begun_s <= time_s] if together else [replica]
            if from_s > time_s or not gone:
                continue
            slots = tuple(one.slot for one in gone)
            making.controls = [
                control for control in making.controls if not (is_about(control, slots) and control.time_s > time_s)
            ]
            making.controls.append(FailReplicas(time_s, slots))
            if draw.chance(0.7):
                later_s = time_s if draw.chance(0.3) else making.moment_s(time_s)
                making.controls += [Control(later_s, "activate", one) for one in gone]


def is_about(control: AnyControl, slots: tuple[int, ...]) -> bool:
    return (isinstance(control, Control) and control.replica.slot in slots) or (
        isinstance(control, SetSlowness) and control.slot in slots
    )
