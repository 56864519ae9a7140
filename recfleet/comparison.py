"""The result of a comparison: tables, verdict, checks, figures, files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from recfleet.checks import Check, check_certificates, check_runs, conservation_line
from recfleet.run_record import RunRecord
from recfleet.standings import Standing, standings
from recfleet.verdict import Verdict, judge

if TYPE_CHECKING:
    import pandas as pd

    from optimizer.certificate.certify import Certificate
    from optimizer.certificate.prices import BottleneckPrices
    from recfleet.report.picture import Picture
    from simulator.monitoring.alerts import AlertRule

__all__ = ["Comparison", "ScenarioFacts"]


@dataclass(frozen=True)
class ScenarioFacts:
    """What the report says about a scenario.

    Attributes
    ----------
    sources, assumptions
        What is real and from where; everything that is assumed.
    inputs
        File read to its SHA-256.
    alert_rules
        Rules that every run's series are watched by.
    """

    name: str
    description: str
    path: str
    file_sha256: str
    control_interval_s: float
    duration_s: float
    sources: tuple[str, ...]
    assumptions: tuple[str, ...]
    inputs: Mapping[str, str]
    alert_rules: tuple[AlertRule, ...] = ()


@dataclass(frozen=True)
class Comparison:
    """Policies compared on common random numbers; what `recfleet.compare` returns.

    Attributes
    ----------
    runs
        A record a policy and seed, seed by seed.
    command
        The command that reproduces it.
    """

    scenario: ScenarioFacts
    runs: tuple[RunRecord, ...]
    seeds: tuple[int, ...]
    command: str
    specs: tuple[object, ...] = field(default=())

    @property
    def policies(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(run.policy for run in self.runs))

    @cached_property
    def summary(self) -> pd.DataFrame:
        """A row a policy and seed; columns are explained in ``docs/metrics.md``."""
        import pandas as pd

        from recfleet.tables import summary_rows

        return pd.DataFrame(summary_rows(self.runs))

    @cached_property
    def services(self) -> pd.DataFrame:
        """A row a policy, seed and service."""
        import pandas as pd

        from recfleet.tables import service_rows

        return pd.DataFrame(service_rows(self.runs))

    @cached_property
    def intervals(self) -> pd.DataFrame:
        """A row a policy, seed and control interval."""
        from recfleet.tables import intervals_frame

        return intervals_frame(self.runs)

    @cached_property
    def decisions(self) -> pd.DataFrame:
        """The decision log."""
        from recfleet.tables import decisions_frame

        return decisions_frame(self.runs)

    @cached_property
    def standings(self) -> list[Standing]:
        """A policy's cost, attainment and worst service over seeds."""
        return standings(self.runs)

    @cached_property
    def certificates(self) -> tuple[Certificate, ...]:
        """For each run: LP bound, clairvoyant optimum, cost, and the waste ledger between them."""
        from optimizer.certificate.certify import certify

        return tuple(certify([run.result for run in self.runs], [run.bound_usd for run in self.runs]))

    def certificates_of(self, policy: str) -> list[Certificate]:
        """Those of a policy, by seed."""
        return [c for run, c in zip(self.runs, self.certificates, strict=True) if run.policy == policy]

    @cached_property
    def prices(self) -> BottleneckPrices:
        """What one unit more of each resource, node type and demand would save or cost a day, on the first seed."""
        from optimizer.certificate.conditions import stage_demand
        from optimizer.certificate.prices import bottleneck_prices

        first = self.runs[0].result
        return bottleneck_prices(first.facts, stage_demand(first), first.intervals.length_s)

    @cached_property
    def verdict(self) -> Verdict:
        """The recommendation in words."""
        return judge(self.runs, self.certificates)

    @cached_property
    def checks(self) -> tuple[Check, ...]:
        """Invariants over all runs."""
        return (*check_runs(self.runs), *check_certificates(self.runs, self.certificates))

    @property
    def ok(self) -> bool:
        """No invariant failed."""
        return all(check.ok for check in self.checks)

    @property
    def conservation(self) -> str:
        """The accounts of all requests in one line."""
        return conservation_line(self.runs)

    def plot(self, figure: str = "cost") -> Picture:
        """A figure of the report by name, shown by notebooks; `recfleet.report.FIGURES` lists the names."""
        from recfleet.report import draw

        return draw(self, figure)

    def report(self, path: str | Path) -> Path:
        """Write the self-contained page and return its path."""
        from recfleet.report import write_page

        return write_page(self, Path(path))

    def write(self, folder: str | Path) -> Path:
        """Write all tables, the manifest and the report into ``folder``, whole or not at all."""
        from recfleet.files import write_comparison
        from recfleet.output import open_workspace

        with open_workspace(Path(folder)) as workspace:
            write_comparison(self, workspace.draft)
            workspace.publish()
        return Path(folder)

    def _repr_html_(self) -> str:
        from recfleet.report.ranking import ranking_html

        return f"<p><b>{escape(self.verdict.headline)}</b></p>{ranking_html(self)}"
