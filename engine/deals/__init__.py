"""Deals as deals: both sides together in money, and windows that begin and end on dates of each deal.

Nothing here is computed for a study without ``[deals]`` and without ``[windows] named``; its tables are then absent.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from engine.abnormal import Cars
from engine.deals.gains import Deal, deals_of, fitted
from engine.deals.sides import sides_of
from engine.deals.spans import SpanCars, find_spans, span_cars, span_exclusions
from engine.deals.tables import deal_significance_table, deal_windows_table, deals_table
from engine.inputs import Study
from engine.models import COVARIANCE, NormalFits
from engine.panel import EventPanel, Exclusion
from engine.plan import Plan
from engine.sessions import Window
from engine.significance import CarSample, Significance, evaluate
from engine.spec import StudySpec

__all__ = ["TESTS", "DealResults", "deal_results", "span_losses"]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
# What makes sense of CARs over unequal windows, and of one number a deal.
TESTS = ("cross_sectional_t", "bmp", "sign", "wilcoxon")


@dataclass(frozen=True)
class DealResults:
    """The tables by name, none where the study asks for none, and a row for every named window that is lost."""

    tables: dict[str, pl.DataFrame]
    exclusions: list[Exclusion]


def deal_results(
    study: Study, plan: Plan, panel: EventPanel, fits: NormalFits, cars: Sequence[Cars],
    groups: Sequence[tuple[str, Ints]], exclusions: Sequence[Exclusion], options: Mapping[str, Any],
) -> DealResults:  # fmt: skip
    """Combined CARs and gains of the study's windows, CARs of its named windows, and the tests of both."""
    spec, tables, lost = study.spec, {}, []
    answers: list[tuple[str, str, Significance]] = []
    if spec.deals is not None:
        known = fitted(panel, fits, spec.model.name, plan.regressors, options)
        deals = deals_of(sides_of(study), known, cars, exclusions)
        tables["deals"] = deals_table(deals, cars, spec.deals.currency, spec.significance.alternative)
        answers += _of_deals(deals, groups, spec, fits.lacks)
    if spec.windows.named:
        named = named_cars(study, plan, panel, options)
        tables["deal_windows"] = deal_windows_table(study, panel, named, spec.significance.alternative)
        lost = [row for one in named for row in span_exclusions(one.name, one.spans, panel)]
        answers += _of_spans(named, groups, [plan.firms.firms[p.symbol] for p in panel.pairs], spec, fits.lacks)
    if tables:
        tables["deal_significance"] = deal_significance_table(answers)
    return DealResults(tables, lost)


def named_cars(study: Study, plan: Plan, panel: EventPanel, options: Mapping[str, Any]) -> list[SpanCars]:
    """The CARs of every named window, in the order of the study."""
    spec, rows = study.spec, _rows(study, panel)
    log_returns = spec.prices.returns == "log" if spec.outcome.name == "return" else None
    bridged, chosen = spec.prices.missing == "trade_to_trade", (spec.model.name, plan.regressors, options)
    found = {name: find_spans(panel, rows, ends, plan.stamped) for name, ends in spec.named_windows.items()}
    return [span_cars(name, spans, panel, *chosen, log_returns, bridged) for name, spans in found.items()]


def span_losses(study: Study, plan: Plan, panel: EventPanel) -> list[Exclusion]:
    """The named windows that are lost before anything is estimated."""
    rows, named = _rows(study, panel), study.spec.named_windows
    found = {name: find_spans(panel, rows, ends, plan.stamped) for name, ends in named.items()}
    return [row for name, spans in found.items() for row in span_exclusions(name, spans, panel)]


def _rows(study: Study, panel: EventPanel) -> list[int]:
    """The place of every pair of the panel in the calendar."""
    keys = study.announcements.table.select("event_id", "symbol").rows()
    row_of = {key: i for i, key in enumerate(keys)}
    return [row_of[p.event_id, p.symbol] for p in panel.pairs]


def _of_spans(
    named: Sequence[SpanCars],
    groups: Sequence[tuple[str, Ints]],
    firms: Sequence[str],
    spec: StudySpec,
    lacks: Mapping[str, str],
) -> Iterator[tuple[str, str, Significance]]:
    """A group of which no event has the window has no rows."""
    for one in named:
        for group, members in groups:
            inside = members[one.complete[members]]
            if not len(inside) and group != "all":
                continue
            windows = [w for i in inside if (w := one.spans[i].window) is not None]
            hull = Window(min(w.start for w in windows), max(w.end for w in windows)) if windows else Window(0, 0)
            sample = _sample(group, hull, one.car[inside], one.se[inside], one.dof[inside], spec, lacks)
            lines = len(inside) - len({firms[i] for i in inside})
            said = f"{len(inside)} windows of {len(inside) - lines} firms, taken as independent" if lines else ""
            for answer in (evaluate(test, sample) for test in TESTS):
                note = "; ".join(text for text in (answer.note, said) if text)
                yield "car", one.name, replace(answer, note=note)


def _of_deals(
    deals: Sequence[Deal], groups: Sequence[tuple[str, Ints]], spec: StudySpec, lacks: Mapping[str, str]
) -> Iterator[tuple[str, str, Significance]]:
    """A deal is in a group where all that enter its combined CAR are; a group that never holds one has no rows."""
    for window in sorted({deal.window for deal in deals}):
        here = [d for d in deals if d.window == window and (not d.reason or COVARIANCE in lacks)]
        whole = [(d, d.combined) for d in here if d.combined is not None]
        for group, members in groups:
            inside = [c for d, c in whole if _entering(d) <= set(members.tolist())]
            if not inside and group != "all":
                continue
            car, se = (np.array([getattr(c, name) for c in inside], np.float64) for name in ("car", "se"))
            sample = _sample(group, window, car, se, np.array([c.dof for c in inside], np.int64), spec, lacks)
            yield from (("combined", str(window), evaluate(test, sample)) for test in TESTS)


def _entering(deal: Deal) -> set[int]:
    return {i for i, reason in zip(deal.members, deal.reasons, strict=True) if not reason}


def _sample(
    group: str, window: Window, car: Floats, se: Floats, dof: Ints, spec: StudySpec, lacks: Mapping[str, str]
) -> CarSample:
    """CARs with standard errors of their own, as `TESTS` see them; nothing by day.

    window: from the earliest to the latest day of any event. residuals: one an event, of the size that gives its se (without
    one, its CAR) over that window, which tells an interval where to look (`CarSample.rough_error`) and enters no number.
    """
    n, size = len(car), np.where(np.isfinite(se), se, np.abs(car))
    days = np.zeros((n, 1), np.int64)
    return CarSample(
        group=group, window=window, event_window=window, car=car, car_se=se, scar=car / se, sigma=np.full(n, np.nan),
        dof=dof, ar=np.full((n, len(window)), np.nan), residuals=(size / np.sqrt(len(window)))[:, None],
        residual_days=days, event_days=np.zeros((n, len(window)), np.int64), dates=days[:, 0], firms=np.arange(n),
        alternative=spec.significance.alternative, alpha=spec.significance.alpha, bhar=np.full(n, np.nan), lacks=lacks,
    )  # fmt: skip
