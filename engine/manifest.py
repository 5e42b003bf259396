"""The manifest of a run: its inputs, settings and versions, and how many independent events it has."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from engine import __version__
from engine.announcements.contamination import firm_clusters
from engine.inputs import Study
from engine.models import NormalFits
from engine.panel import EventPanel
from engine.plan import Plan
from engine.results import to_json
from engine.significance.dependence import mean_shared_correlation
from engine.spec import StudySpec

MANY_CORRELATIONS = 1_000  # pairs of events grow with the square
BY_DATE = "by date"  # the closes of a benchmark whose exchange is not known
PACKAGES = ("numpy", "scipy", "polars", "exchange-calendars", "statsmodels")
SEARCHES = {"arch": ("garch", "egarch", "gjr")}


@dataclass(frozen=True)
class Outcome:
    """What a run has to say for its manifest. firms: of `_independence`; series: one entry a line; listings: by
    symbol; pseudo: how pseudo-samples were drawn, None where none were."""

    kernel: str
    coefficients: tuple[str, ...]
    used: int
    firms: Mapping[str, Any]
    series: Sequence[Mapping[str, Any]]
    listings: Mapping[str, Mapping[str, str]]
    pseudo: Mapping[str, Any] | None = None


def run_manifest(
    study: Study, plan: Plan, panel: EventPanel, fits: NormalFits, kernel: str, pseudo: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Inputs, settings and versions of the run; no clock, no path. kernel: which one made the fits. pseudo: how
    pseudo-samples were drawn, where any were."""
    rows = zip(study.announcements.table["symbol"], study.exchanges, study.benchmarks, strict=True)
    return manifest_of(
        study,
        Outcome(
            kernel=kernel,
            coefficients=fits.names,
            used=len(panel.pairs),
            firms=_independence(study.spec, plan, panel, fits),
            series=[
                {"symbol": one.symbol, "prices": one.span, "rows_off_session": one.off_session, "stale_rows": one.stale}
                for one in {line.symbol: line for line in plan.lines}.values()
            ],
            listings=listings_of(study, dict.fromkeys(rows)),
            pseudo=pseudo,
        ),
    )


def listings_of(study: Study, rows: Iterable[tuple[str, str | None, str]]) -> dict[str, dict[str, str]]:
    """What is known of each listing, of the distinct symbols, exchanges and benchmarks of the calendar."""
    listings: dict[str, dict[str, str]] = {}
    for symbol, exchange, benchmark in rows:
        known = study.snapshot.listings.get(symbol, {})
        about = {name: known.get(name, "") for name in ("name", "name_zh", "currency")}
        before = listings.get(symbol, {}).get("benchmark", "").split(", ")
        against = ", ".join(sorted({b for b in (*before, benchmark) if b}))
        listings[symbol] = about | {"exchange": exchange or "", "benchmark": against}
    return listings


def manifest_of(study: Study, outcome: Outcome) -> dict[str, Any]:
    """The manifest of a run, however it was made."""
    spec, snapshot = study.spec, study.snapshot
    stating = ("title", "source", "version", "licence", "retrieved_on", "limits")
    stated = {k: snapshot.manifest[k] for k in stating if k in snapshot.manifest}
    manifest: dict[str, Any] = {
        "study": study.name,
        "settings": study.spec.settings(),
        "study_sha256": study.sha256["study"],
        "fingerprints": spec.fingerprints(),
        **({"pseudo_samples": dict(outcome.pseudo)} if outcome.pseudo else {}),
        **({"claims": list(spec.claims)} if spec.claims else {}),
        "calendar_sha256": study.sha256["calendar"],
        **({"code_sha256": study.sha256["code"]} if study.sha256["code"] else {}),
        "snapshot": {
            "name": Path(snapshot.name).name,
            "redistributable": snapshot.redistributable,
            "sha256": study.sha256["snapshot"],
            **stated,
        },
        "kernel": outcome.kernel,
        "coefficients": list(outcome.coefficients),
        "specifications": [{"name": n, "formula": f} for n, f in _formulas(spec).items()],
        "closes": dict(sorted((dict.fromkeys(_by_date(study), BY_DATE) | dict(study.market.venues)).items())),
        "seed": study.spec.resampling.seed if study.spec.resampling is not None else None,
        "versions": {"event-study-engine": __version__} | {p: _version(p) for p in _packages(spec, outcome.kernel)},
        "pairs": {"calendar": len(study.announcements.table), "used": outcome.used},
        "contamination": outcome.firms,
        "listings": dict(sorted(outcome.listings.items())),
        "quality": list(outcome.series),
    }

    as_read_back: dict[str, Any] = json.loads(to_json(manifest))  # plain types, sorted keys
    return as_read_back


def _independence(spec: StudySpec, plan: Plan, panel: EventPanel, fits: NormalFits) -> dict[str, Any]:
    """How many independent events the pairs used come to: counted by firm and day, and from their correlation.

    effective_events = N / (1 + (N - 1) r), Kish's formula with the r of Kolari, Pape & Pynnonen (2018) in the primary
    window; null for one event or above `MANY_CORRELATIONS`. clusters: `firm_clusters`.
    """
    firms = [plan.firms.firms[p.symbol] for p in panel.pairs]
    n, r = len(panel.pairs), None
    if 1 < n <= MANY_CORRELATIONS:
        days = panel.event_dates[:, spec.car_windows[0].within(panel.event_window)].astype(np.int64)
        r = max(mean_shared_correlation(fits.residuals, panel.estimation_days, days), 0.0)
    return {
        "rows": dict(sorted(Counter(row.kind for row in plan.firms.rows).items())),
        "firms": len(set(firms)),
        "clusters": firm_clusters(firms, [p.event_id for p in panel.pairs], [p.event_day for p in panel.pairs]),
        "mean_correlation": r,
        "effective_events": None if r is None else n / (1 + (n - 1) * r),
    }


def _formulas(spec: StudySpec) -> dict[str, str]:
    """The formulas of the cross-section in the order of the study, which the sorted settings lose."""
    return spec.crosssection.formulas if spec.crosssection is not None else {}


def _packages(spec: StudySpec, kernel: str) -> tuple[str, ...]:
    """The libraries behind the numbers, those of the model among them."""
    searched = [package for package, models in SEARCHES.items() if spec.model.name in models]
    return (*PACKAGES, *searched, *([kernel] if kernel not in PACKAGES else []))


def _by_date(study: Study) -> set[str]:
    """The benchmarks that are series of their own and whose exchange is not known."""
    return set(study.benchmarks) - {""} - set(study.market.baskets)


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "unknown"
