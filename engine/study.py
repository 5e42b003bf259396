"""The one orchestrator. `run_study` reads like the methods section of a paper: day 0, panel, fits, abnormal returns, tests."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from engine.abnormal import AbnormalReturns, Cars, abnormal_returns, cumulate
from engine.calendar_time import in_calendar_time
from engine.deals import deal_results, span_losses
from engine.drivers import crosssection_tables, day_numbers, group_tables, needs_regressions
from engine.errors import DataError, SpecError
from engine.inputs import Study, load_study, market_values
from engine.joint import indistinct, part_overlapping
from engine.kernel import NUMBA, compiled_model, kernel_for
from engine.manifest import run_manifest
from engine.models import DEGENERATE, REFIT, NormalFits, fit
from engine.panel import EventPanel, Exclusion, usable
from engine.plan import Plan, plan_study, quality_seen
from engine.results import StudyResult
from engine.samples import draws_of, groups_of, of_pairs, regressions_of, sample_of
from engine.scale import Mapper, in_threads, run_in_parts
from engine.schemas import SCHEMAS
from engine.sessions import Window
from engine.significance import (
    EVENT_TESTS,
    SIGNIFICANCE_TESTS,
    CarSample,
    evaluate,
    evaluate_events,
)
from engine.spec import StudySpec
from engine.tables import (
    abnormal_table,
    averages_table,
    calendar_time_tables,
    cars_table,
    contamination_table,
    dry_run_table,
    event_significance_table,
    events_table,
    exclusions_table,
    fits_table,
    significance_table,
    table,
)

__all__ = ["dry_run_result", "events_result", "load_study", "run_study"]

Progress = Callable[[str, int, int], None]
Ints = npt.NDArray[np.int64]
MANY_EVENTS = 50_000


def run_study(
    study: Study,
    on_progress: Progress = lambda stage, done, total: None,
    kernel: str | None = None,
    mapper: Mapper = in_threads,
) -> StudyResult:
    """Run a loaded study; pure but for the progress callback (stage, done, total).

    kernel: ``numpy`` or ``numba``, None for the one that its number of events says. mapper: maps the parts of prices that
    are read part by part. Raises DataError if more pairs are lost than ``[limits] max_excluded_share`` allows, or none is
    left.
    """
    spec = study.spec
    keep_rows = _keeps_abnormal_returns(study)
    bridged = spec.prices.missing == "trade_to_trade"
    kernel = kernel_for(len(study.announcements.table), spec.model.name, bridged, kernel)
    if study.parted is not None:
        return run_in_parts(study, kernel, keep_rows, partial(_check_losses, study), on_progress, mapper)
    on_progress("day 0 and windows", 0, 4)
    options = _options(study)
    plan = plan_study(study)
    panel, fits, exclusions = _fit(plan, spec, options, kernel)
    _check_losses(study, len(exclusions), ((e.stage, e.reason) for e in exclusions), exclusions[:3])
    if panel is None or fits is None:
        raise AssertionError("all pairs are lost and _check_losses did not raise")

    on_progress("abnormal returns", 1, 4)
    abnormal = abnormal_returns(panel.event_returns, fits, spec.event_window)
    cars, lost = _cumulated(plan, spec, panel, fits, abnormal)
    exclusions += lost

    draws = draws_of(
        study, plan, panel, fits, cars, options,
        lambda done, total: on_progress(f"pseudo-dates, listing {done} of {total}", 2, 4),
    )  # fmt: skip
    on_progress("tests", 3, 4)
    groups = groups_of(study, panel)
    firms = np.unique([plan.firms.firms[p.symbol] for p in panel.pairs], return_inverse=True)[1]
    samples = [
        sample_of(name, members, c, panel, abnormal, fits, spec, firms, draws) for name, members in groups for c in cars
    ]
    deals = deal_results(study, plan, panel, fits, cars, groups, exclusions, options)
    refits = needs_regressions(spec) and REFIT not in fits.lacks
    regressions = regressions_of(panel, fits, np.arange(len(panel.pairs))) if refits else None
    driven = crosssection_tables(study, panel, fits, abnormal, cars, firms, regressions)
    exclusions += [*deals.exclusions, *driven.exclusions]

    on_progress("tables", 4, 4)
    tables = {
        "events": events_table(study.announcements, study.exchanges, plan.reactions),
        "fits": fits_table(panel, fits, spec.model.name),
        "averages": averages_table(groups, abnormal),
        "contamination": contamination_table(plan.firms.rows),
        "exclusions": exclusions_table(exclusions),
        "quality": table("quality", quality_seen(study, plan.panel or panel).to_dict()),
    }
    tables |= _tested(study, panel, cars, samples) | group_tables(study, day_numbers(panel), cars, groups, firms)
    tables |= deals.tables | driven.tables | _in_calendar_time(study, plan, panel, groups, firms)
    if keep_rows:
        tables["abnormal_returns"] = abnormal_table(panel, abnormal)
    return StudyResult({n: tables[n] for n in SCHEMAS if n in tables}, run_manifest(study, plan, panel, fits, kernel))


def _cumulated(
    plan: Plan, spec: StudySpec, panel: EventPanel, fits: NormalFits, abnormal: AbnormalReturns
) -> tuple[list[Cars], list[Exclusion]]:
    """CARs of every window, those of overlapping events from their joint regression, and the windows that are lost."""
    windows = sorted(spec.car_windows)
    cars = [cumulate(abnormal, fits, window, spec.prices.returns == "log") for window in windows]
    if spec.outcome.name != "return":
        none = np.full(len(panel.pairs), np.nan)
        cars = [replace(c, bhar=none, simple=none, log=none, compound=none) for c in cars]
    exclusions = _incomplete(panel, abnormal, windows)
    if plan.firms.joint:
        parted = [part_overlapping(c, panel, spec.model.name, plan.firms.joint) for c in cars]
        cars = [c for c, _ in parted]
        exclusions += [row for _, lost in parted for row in lost]
    return cars, exclusions


def _tested(
    study: Study, panel: EventPanel, cars: Sequence[Cars], samples: Sequence[CarSample]
) -> dict[str, pl.DataFrame]:
    """The answers of every test: samples of group ``all`` come first, one a window."""
    asked, chosen = study.spec.significance.tests, study.spec.significance
    answers = [evaluate(test, sample) for sample in samples for test in asked if test in SIGNIFICANCE_TESTS]
    every = [(np.flatnonzero(c.complete), s) for c, s in zip(cars, samples[: len(cars)], strict=True)]
    alone = [(members, s, evaluate_events(t, s)) for members, s in every for t in asked if t in EVENT_TESTS]
    p_values = [_forecast_error_p(len(panel.pairs), members, s) for members, s in every]
    return {
        "cars": cars_table(study.announcements, panel, cars, p_values),
        "significance": significance_table(answers, chosen.alternative),
        "event_significance": event_significance_table(panel, alone),
    }


def _forecast_error_p(n: int, members: Ints, sample: CarSample) -> npt.NDArray[np.float64]:
    """(n,) the p-value of each pair's CAR, NaN where it is not complete in the window."""
    p = np.full(n, np.nan)
    if len(members):
        p[members] = EVENT_TESTS["forecast_error_t"](sample).p_value
    return p


def events_result(study: Study) -> pl.DataFrame:
    """``events.csv`` alone: day 0 of every pair and why, before any estimation."""
    return events_table(study.announcements, study.exchanges, plan_study(study).reactions)


def dry_run_result(study: Study) -> pl.DataFrame:
    """Every pair with its day 0, the rows at hand, and why it would be lost (`tables.DRY_RUN`)."""
    plan = plan_study(study)
    exclusions = list(plan.exclusions)
    if plan.panel is not None:
        left, lost = usable(plan.panel, study.spec.model.min_estimation_days)
        exclusions += lost
        if left is not None:
            bridged = study.spec.prices.missing == "trade_to_trade"
            spans, seen = left.event_regressors[:, 0] if bridged else None, left.event_returns
            measured = AbnormalReturns(study.spec.event_window, seen, seen, seen, seen, spans)
            exclusions += _incomplete(left, measured, study.spec.car_windows)
            exclusions += indistinct(left, plan.firms.joint)
            exclusions += span_losses(study, plan, left)
    return dry_run_table(study.announcements, plan.reactions, plan.panel, exclusions)


def _keeps_abnormal_returns(study: Study) -> bool:
    asked = study.spec.output.abnormal_returns
    pairs = len(study.announcements.table)
    if asked is None and pairs > MANY_EVENTS:
        raise SpecError(
            f"[output] abnormal_returns must be said above {MANY_EVENTS} events ({pairs} here): true writes "
            f"{pairs * len(study.spec.event_window)} rows, false leaves that table out."
        )
    return asked is not False


def _options(study: Study) -> dict[str, Any]:
    """The options of the model's function. Raises SpecError where it is the study's own and may not run."""
    chosen = study.spec.model
    if chosen.name != "custom":
        return chosen.options
    if study.function is None:
        raise SpecError(
            f'study {study.name}: [model] name = "custom" runs {chosen.function} of {chosen.file}, code that came with the '
            "study. Read the file first; then say --allow-code, for example: eventstudy run STUDY --allow-code."
        )
    return {"function": study.function}


def _fit(
    plan: Plan, spec: StudySpec, options: Mapping[str, Any], kernel: str
) -> tuple[EventPanel | None, NormalFits | None, list[Exclusion]]:
    """Fit the model to the usable pairs; degenerate fits are lost with their reason."""
    if plan.panel is None:
        return None, None, list(plan.exclusions)
    panel, lost = usable(plan.panel, spec.model.min_estimation_days)
    exclusions = [*plan.exclusions, *lost]
    if panel is None:
        return None, None, exclusions
    fits = fit(
        spec.model.name,
        panel.returns,
        panel.regressors,
        panel.event_regressors,
        panel.estimation_rows,
        panel.own,
        plan.regressors,
        options,
        spec.prices.missing == "trade_to_trade",
        partial(compiled_model, spec.model.name) if kernel == NUMBA else None,
    )
    fits = replace(fits, expected=fits.expected + panel.event_riskfree)
    for i in np.flatnonzero(fits.degenerate != ""):
        pair = panel.pairs[i]
        detail = f"{fits.n_obs[i]} returns in {pair.own} of {pair.symbol}: {DEGENERATE[str(fits.degenerate[i])]}"
        exclusions.append(Exclusion(pair.event_id, pair.symbol, "estimation", str(fits.degenerate[i]), detail))
    kept = np.flatnonzero(fits.degenerate == "")
    if not len(kept):
        return None, None, exclusions
    return panel.take(kept), fits.take(kept), exclusions


def _check_losses(study: Study, lost: int, why: Iterable[tuple[str, str]], some: Sequence[Exclusion]) -> None:
    """why: stage and reason of each of the pairs lost; some: a few of them."""
    total = len(study.announcements.table)
    share = study.spec.limits.max_excluded_share
    if lost / total <= share and lost < total:
        return
    reasons = "; ".join(f"{n} x {stage}: {reason}" for (stage, reason), n in sorted(Counter(why).items()))
    examples = "\n".join(f"  {e.event_id} {e.symbol}: {e.detail}" for e in some)
    raise DataError(
        f"study {study.name}: {lost} of {total} (event, symbol) pairs are lost, more than [limits] max_excluded_share = "
        f"{share:g} allows or all of them. {reasons}. For example:\n{examples}\n"
        "`eventstudy run STUDY --dry-run` shows every pair; mend the calendar or the prices, or raise the limit."
    )


def _incomplete(panel: EventPanel, abnormal: AbnormalReturns, windows: Sequence[Window]) -> list[Exclusion]:
    """One row for each event and window that the event-window returns do not cover day by day."""
    lost = []
    for window in windows:
        columns = window.within(panel.event_window)
        missing = ~np.isfinite(abnormal.by_day[:, columns])
        for i in np.flatnonzero(~abnormal.complete(columns)):
            days = ", ".join(str(d) for d in window.days[missing[i]])
            pair = panel.pairs[i]
            detail = f"{window}: no return on relative day {days}"
            if not days:
                detail = f"{window}: a return over several sessions begins before the window or ends after it"
            lost.append(Exclusion(pair.event_id, pair.symbol, "window", "missing_days", detail))
    return lost


def _in_calendar_time(
    study: Study, plan: Plan, panel: EventPanel, groups: Sequence[tuple[str, Ints]], firms: Ints
) -> dict[str, pl.DataFrame]:
    """Portfolios in real time and RATS, where the study has the table ``[calendar_time]``."""
    spec, chosen = study.spec, study.spec.significance
    if spec.calendar_time is None:
        return {}
    values = np.array(of_pairs(study, panel, market_values(study)))
    held = in_calendar_time(
        panel, spec.calendar_time, plan.regressors, groups, firms, values, spec.prices.returns == "log",
        chosen.alternative, chosen.alpha,
    )  # fmt: skip
    return calendar_time_tables(held, spec.calendar_time.rats)
