"""The one orchestrator. `run_study` reads like the methods section of a paper: day 0, panel, fits, abnormal returns, tests."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from engine.abnormal import AbnormalReturns, Cars
from engine.assurance import assurance_of, is_asked
from engine.backtest import Trials, backtest_tables, trial_rows
from engine.beside import Beside, gathered, here
from engine.calendar_time import in_calendar_time
from engine.certificate import OwnSample
from engine.deals import deal_results, span_losses
from engine.drivers import crosssection_tables, day_numbers, group_tables, needs_regressions
from engine.errors import SpecError
from engine.grid import design_columns, grid_rows, grid_table, measured_by, tried
from engine.influence import influence_table
from engine.inputs import Study, load_study, market_values
from engine.joint import indistinct
from engine.kernel import kernel_for
from engine.manifest import run_manifest
from engine.measured import Measured, check_losses, incomplete_windows, measure, model_options
from engine.models import REFIT
from engine.panel import EventPanel, usable
from engine.plan import Plan, plan_study, quality_seen
from engine.results import StudyResult
from engine.samples import Draws, draws_of, firm_codes, groups_of, of_pairs, regressions_of, related_of, sample_of
from engine.scale import Mapper, in_threads, run_in_parts
from engine.schemas import SCHEMAS
from engine.sessions import Window
from engine.significance import (
    EVENT_TESTS,
    RESAMPLING_TESTS,
    SIGNIFICANCE_TESTS,
    CarSample,
    evaluate,
    evaluate_events,
)
from engine.significance.dependence import Related
from engine.spec import StudySpec
from engine.spec.alternatives import Choice
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
    trading_table,
)

__all__ = ["dry_run_result", "events_result", "load_study", "run_study"]

Progress = Callable[[str, int, int], None]
Ints = npt.NDArray[np.int64]
MANY_EVENTS = 50_000
SHOWS_TRADING = "event_panel"  # the chart for which closes and volumes are kept


def run_study(
    study: Study,
    on_progress: Progress = lambda stage, done, total: None,
    certify: bool = False,
    kernel: str | None = None,
    mapper: Mapper = in_threads,
    beside: Beside | None = None,
) -> StudyResult:
    """Run a loaded study; pure but for the progress callback (stage, done, total).

    certify: with the certificate of its tests, also where the study has no table ``[certificate]``. kernel: ``numpy`` or
    ``numba``, None for the one that its number of events says. mapper: maps the parts of prices that are read part by part.
    beside: does a part of the work of the others, None for this process alone.
    Raises DataError if more pairs are lost than ``[limits] max_excluded_share`` allows, or none is left.
    """
    spec = study.spec
    keep_rows = _keeps_abnormal_returns(study)
    bridged = spec.prices.missing == "trade_to_trade"
    kernel = kernel_for(len(study.announcements.table), spec.model.name, bridged, kernel)
    if study.parted is not None and certify:
        raise SpecError(
            f"study {study.name}: its prices are read part by part, and a certificate needs them at once. Select fewer events, "
            "or a snapshot with fewer rows."
        )
    if study.parted is not None:
        return run_in_parts(study, kernel, keep_rows, partial(check_losses, study), on_progress, mapper)
    on_progress("day 0 and windows", 0, 4)
    options = model_options(study)
    designs = (beside or here)(partial(_design, study), tried(study)) if spec.grid is not None else []
    plan = plan_study(study)
    on_progress("abnormal returns", 1, 4)
    used = measure(study, plan, kernel)
    panel, fits, abnormal, cars, exclusions = used.panel, used.fits, used.abnormal, used.cars, used.exclusions

    draws = draws_of(
        study, plan, panel, fits, cars, options,
        lambda done, total: on_progress(f"pseudo-dates, listing {done} of {total}", 2, 4), is_asked(spec, certify),
    )  # fmt: skip
    on_progress("tests", 3, 4)
    groups = groups_of(study, panel)
    firms = firm_codes(plan, panel)
    related = related_of(panel, fits, cars)
    samples = [
        sample_of(name, members, c, panel, abnormal, fits, spec, firms, draws, related)
        for name, members in groups
        for c in cars
    ]
    assurance = assurance_of(
        study, _own_sample(used, firms, draws, spec, plan.firms.joint), groups, samples, certify,
        lambda done, total: on_progress("pseudo-samples", done, total), beside,
    )  # fmt: skip
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
    tables["influence"] = _influence(study, plan, used, firms, draws, related)
    if keep_rows:
        tables["abnormal_returns"] = abnormal_table(panel, abnormal)
    if SHOWS_TRADING in spec.report.charts:
        tables["trading"] = trading_table(panel, study.series)
    assured = assurance(tables["significance"])
    made = gathered(designs, lambda done, total: on_progress(f"design {done} of {total}", 4, 4))
    tables |= assured.tables | _alternatives(study, plan, made)
    manifest = run_manifest(study, plan, panel, fits, kernel, assured.drawn)
    return StudyResult({n: tables[n] for n in SCHEMAS if n in tables}, manifest)


def _own_sample(
    used: Measured, firms: Ints, draws: Draws, spec: StudySpec, joint: Mapping[tuple[str, str], int]
) -> OwnSample:
    """What the certificate starts from."""
    return OwnSample(
        used.panel, used.fits, used.abnormal, {c.window: c for c in used.cars}, firms, draws.places,
        spec.prices.returns == "log", spec.significance.alpha, draws.clusters, spec.model.name, joint, draws.firms,
    )  # fmt: skip


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


def _influence(
    study: Study, plan: Plan, used: Measured, firms: Ints, draws: Draws, related: Mapping[Window, Related]
) -> pl.DataFrame:
    """What the result is without single events, clusters and flagged events."""

    def subsample(members: Ints, cars: Cars, tests: Sequence[str]) -> CarSample:
        chosen = study.spec.significance.model_copy(update={"tests": list(tests)})
        spec = study.spec.model_copy(update={"significance": chosen})
        drawn = draws if RESAMPLING_TESTS & set(tests) else Draws()
        return sample_of("all", members, cars, used.panel, used.abnormal, used.fits, spec, firms, drawn, related)

    return influence_table(study, used.panel, used.cars, plan.firms.rows, subsample)


@dataclass(frozen=True)
class _Design:
    """One combination of the grid. rows: of ``grid.csv``; trials: of ``trials.csv``."""

    rows: list[dict[str, Any]]
    trials: list[dict[str, Any]]


def _design(study: Study, choice: Choice) -> _Design:
    """Measure one combination of the grid, and trade the calendar under it where the study has a rule."""
    grid, rule = study.spec.grid, study.spec.backtest
    variant = measured_by(study, choice)
    rows, trials = list(grid_rows(study, variant)), []
    if grid is not None and rule is not None:
        holds = [] if rule.legs else list(dict.fromkeys([rule.hold, *grid.hold]))
        design = variant.made[:2] if variant.made else None
        trials = list(trial_rows(design, rule, holds, design_columns(variant), variant.reason))
    return _Design(rows, trials)


def _alternatives(study: Study, plan: Plan, designs: Sequence[_Design]) -> dict[str, pl.DataFrame]:
    """The tables of ``[grid]`` and ``[backtest]``: every other design, and the calendar traded under each."""
    grid, rule = study.spec.grid, study.spec.backtest
    tables, trials = {}, None
    if grid is not None:
        tables["grid"] = grid_table([row for d in designs for row in d.rows])
        trials = Trials.numbered(row for d in designs for row in d.trials)
    return tables | (backtest_tables(study, plan, trials) if rule is not None else {})


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
            exclusions += incomplete_windows(left, measured, study.spec.car_windows)
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
