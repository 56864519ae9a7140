"""What happened to the fleets of runs: events and alerts as tables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from recfleet.run_record import RunRecord
from simulator.life.events import Event
from simulator.monitoring.alerts import Alert, AlertRule, alerts_of

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["alerts_frame", "events_frame"]

_ALERT_COLUMNS = ("rule", "series", "label", "began_s", "fired_s", "ended_s", "worst")


def events_frame(runs: Sequence[RunRecord]) -> pd.DataFrame:
    """A row a run and event: failures and repairs, refreshes, jobs."""
    import pandas as pd

    rows = [(run.policy, run.seed, *event) for run in runs for event in run.result.events]
    return pd.DataFrame(rows, columns=["policy", "seed", *Event._fields])


def alerts_frame(runs: Sequence[RunRecord], rules: Sequence[AlertRule]) -> pd.DataFrame:
    """A row a run and alert; ``ended_s`` is infinite where it still held at the end."""
    import pandas as pd

    rows = [(run.policy, run.seed, *_cells(alert)) for run in runs for alert in alerts_of(run.result, rules)]
    return pd.DataFrame(rows, columns=["policy", "seed", *_ALERT_COLUMNS])


def _cells(alert: Alert) -> tuple[object, ...]:
    return tuple(getattr(alert, name) for name in _ALERT_COLUMNS)
