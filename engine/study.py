"""The one orchestrator. `run_study` reads like the methods section of a paper: day 0, panel, fits, abnormal returns, tests."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from engine.abnormal import AbnormalReturns, Cars, abnormal_returns, cumulate
from engine.calendar_time import in_calendar_time
from engine.deals import deal_results, span_losses
from engine.drivers import crosssection_tables, group_tables, needs_regressions
from engine.errors import DataError, SpecError
from engine.firm_placebo import FirmPlacebo, firm_pseudo_events
from engine.inputs import Study, group_columns, load_study, market_values
from engine.joint import indistinct, part_overlapping
from engine.manifest import run_manifest
from engine.models import PSEUDO_DATES, REFIT, NormalFits, fit, model_of
from engine.panel import EventPanel, Exclusion, usable
from engine.placebo import Design, Placebo, clusters, pseudo_events
from engine.plan import Plan, plan_study, quality_seen, real_days
from engine.results import StudyResult
from engine.schemas import SCHEMAS
from engine.sessions import Window
from engine.significance import (
    EVENT_TESTS,
    FIRM_TESTS,
    PSEUDO_DATE_TESTS,
    REGRESSION_TESTS,
    SIGNIFICANCE_TESTS,
    CarSample,
    Regressions,
    Resampling,
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
DEGENERATE = {
    "constant_returns": "the listing's returns do not vary",
    "constant_benchmark": "the benchmark's returns do not vary, so there is no beta",
    "constant_factor": "the benchmark or a factor does not vary, so it has no beta",
    "collinear_factors": "one of benchmark and factors is a combination of the others, so their betas cannot be told apart",
    "exact_fit": "the model fits without residual, so there is no variance to test against",
    "no_degrees_of_freedom": "too few for the model's coefficients",
    "too_few_neighbours": "too few of them have the benchmark's days before and after for the corrected beta",
    "collinear_neighbours": "the benchmark's days before and after are combinations of each other",
    "undefined_beta": "the benchmark's days undo each other (1 + 2 rho = 0), so the corrected beta is not defined",
    "too_few_for_variance": "too few for the variance equation",
    "not_converged": "the search for the model's coefficients did not end",
    "no_unconditional_sigma": "the variance equation has no unconditional sigma, or one a hundred times off the residuals'",
}


def run_study(study: Study, on_progress: Progress = lambda stage, done, total: None) -> StudyResult:
    """Run a loaded study; pure but for the progress callback (stage, done, total).

    Raises DataError if more pairs are lost than ``[limits] max_excluded_share`` allows, or none is left.
    """
    spec = study.spec
    keep_rows = _keeps_abnormal_returns(study)
    on_progress("day 0 and windows", 0, 4)
    options = _options(study)
    plan = plan_study(study)
    panel, fits, exclusions = _fit(plan, spec, options)
    _check_losses(study, exclusions)
    if panel is None or fits is None:
        raise AssertionError("all pairs are lost and _check_losses did not raise")

    on_progress("abnormal returns", 1, 4)
    log_returns = spec.prices.returns == "log"
    abnormal = abnormal_returns(panel.event_returns, fits, spec.event_window)
    cars = [cumulate(abnormal, fits, window, log_returns) for window in sorted(spec.car_windows)]
    if spec.outcome.name != "return":
        none = np.full(len(panel.pairs), np.nan)
        cars = [replace(c, bhar=none, simple=none, log=none, compound=none) for c in cars]
    exclusions += _incomplete(panel, abnormal, sorted(spec.car_windows))
    if plan.firms.joint:
        parted = [part_overlapping(c, panel, spec.model.name, plan.firms.joint) for c in cars]
        cars = [c for c, _ in parted]
        exclusions += [row for _, lost in parted for row in lost]

    draws = _draws(
        study, plan, panel, fits, cars, options,
        lambda done, total: on_progress(f"pseudo-dates, listing {done} of {total}", 2, 4),
    )  # fmt: skip
    on_progress("tests", 3, 4)
    groups = _groups(study, panel)
    deals = deal_results(study, plan, panel, fits, cars, groups, exclusions, options)
    exclusions += deals.exclusions
    firms = np.unique([plan.firms.firms[p.symbol] for p in panel.pairs], return_inverse=True)[1]
    samples = [
        _sample(name, members, c, panel, abnormal, fits, spec, firms, draws) for name, members in groups for c in cars
    ]
    group_tests = [t for t in spec.significance.tests if t in SIGNIFICANCE_TESTS]
    answers = [evaluate(test, sample) for sample in samples for test in group_tests]
    event_tests = [t for t in spec.significance.tests if t in EVENT_TESTS]
    every = [
        (np.flatnonzero(c.complete), s) for c, s in zip(cars, samples[: len(cars)], strict=True)
    ]  # group all is first
    event_answers = [(members, s, evaluate_events(test, s)) for members, s in every for test in event_tests]
    p_values = [_forecast_error_p(len(panel.pairs), members, s) for members, s in every]

    everyone = _regressions(panel, fits, np.arange(len(panel.pairs))) if needs_regressions(spec) else None
    driven = crosssection_tables(study, panel, fits, abnormal, cars, firms, everyone)
    exclusions += driven.exclusions

    on_progress("tables", 4, 4)
    tables = {
        "events": events_table(study.announcements, study.exchanges, plan.reactions),
        "fits": fits_table(panel, fits, spec.model.name),
        "cars": cars_table(study.announcements, panel, cars, p_values),
        "averages": averages_table(groups, abnormal),
        "significance": significance_table(answers, spec.significance.alternative),
        "event_significance": event_significance_table(panel, event_answers),
        "contamination": contamination_table(plan.firms.rows),
        "exclusions": exclusions_table(exclusions),
        **deals.tables,
        "quality": table("quality", quality_seen(study, plan.panel or panel).to_dict()),
    }
    tables |= group_tables(study, panel, cars, groups, firms) | driven.tables
    if keep_rows:
        tables["abnormal_returns"] = abnormal_table(panel, abnormal)
    tables |= _in_calendar_time(study, plan, panel, groups, firms)
    return StudyResult({n: tables[n] for n in SCHEMAS if n in tables}, run_manifest(study, plan, panel, fits))


@dataclass(frozen=True)
class _Draws:
    """What the resampling tests of the study draw from; None where no test asks for it."""

    dates: Placebo | None = None
    firms: FirmPlacebo | None = None
    clusters: Resampling | None = None


def _draws(
    study: Study, plan: Plan, panel: EventPanel, fits: NormalFits, cars: Sequence[Cars], options: Mapping[str, Any],
    on_progress: Callable[[int, int], None],
) -> _Draws:  # fmt: skip
    """Pseudo-dates, stand-ins and date clusters, each from its own stream of the study's seed."""
    spec, tests = study.spec, set(study.spec.significance.tests)
    rule = spec.resampling
    if rule is None:
        return _Draws()
    cluster = clusters([p.event_id for p in panel.pairs], [p.event_day for p in panel.pairs])
    resampling = Resampling(cluster, rule.draws, rule.seed)
    log_returns, bridged = spec.prices.returns == "log", spec.prices.missing == "trade_to_trade"
    design = Design(
        model=model_of(spec.model.name, options, bridged),
        event_window=spec.event_window,
        windows=tuple(sorted(spec.car_windows)),
        min_days=spec.model.min_estimation_days,
        log_returns=log_returns,
        left_out=plan.firms.left_out,
        bridged=bridged,
    )
    real, dates, firms = real_days(plan), None, None
    elsewhere = PSEUDO_DATES not in fits.lacks
    if PSEUDO_DATE_TESTS & tests and elsewhere:
        dates = pseudo_events(panel, real, design, rule.draws, np.random.default_rng(rule.seed), on_progress)
    if FIRM_TESTS & tests and elsewhere:
        rng = resampling.generator("firm_permutation")
        firms = firm_pseudo_events(panel, cars, plan.controls, real, design, rule.draws, rng)
    return _Draws(dates, firms, resampling)


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
    plan: Plan, spec: StudySpec, options: Mapping[str, Any]
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


def _check_losses(study: Study, exclusions: Sequence[Exclusion]) -> None:
    total, lost = len(study.announcements.table), len(exclusions)
    share = study.spec.limits.max_excluded_share
    if lost / total <= share and lost < total:
        return
    counted = Counter((e.stage, e.reason) for e in exclusions)
    reasons = "; ".join(f"{n} x {stage}: {reason}" for (stage, reason), n in sorted(counted.items()))
    examples = "\n".join(f"  {e.event_id} {e.symbol}: {e.detail}" for e in exclusions[:3])
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


def _groups(study: Study, panel: EventPanel) -> list[tuple[str, Ints]]:
    """The whole sample and every value of every group column, as positions in the panel; an empty cell is in no group."""
    columns = group_columns(study)
    groups = [("all", np.arange(len(panel.pairs)))]
    for name in study.spec.significance.group_by:
        values = _of_pairs(study, panel, columns[name])
        for value in sorted({v for v in values if v is not None}):
            groups.append((f"{name}={value}", np.flatnonzero([v == value for v in values])))
    return groups


def _in_calendar_time(
    study: Study, plan: Plan, panel: EventPanel, groups: Sequence[tuple[str, Ints]], firms: Ints
) -> dict[str, pl.DataFrame]:
    """Portfolios in real time and RATS, where the study has the table ``[calendar_time]``."""
    spec, chosen = study.spec, study.spec.significance
    if spec.calendar_time is None:
        return {}
    values = np.array(_of_pairs(study, panel, market_values(study)))
    held = in_calendar_time(
        panel, spec.calendar_time, plan.regressors, groups, firms, values, spec.prices.returns == "log",
        chosen.alternative, chosen.alpha,
    )  # fmt: skip
    return calendar_time_tables(held, spec.calendar_time.rats)


def _of_pairs(study: Study, panel: EventPanel, column: Sequence[Any]) -> list[Any]:
    """The values of the panel's pairs in a column of the calendar."""
    keys = study.announcements.table.select("event_id", "symbol").rows()
    row_of = {key: i for i, key in enumerate(keys)}
    return [column[row_of[p.event_id, p.symbol]] for p in panel.pairs]


def _sample(
    group: str, members: Ints, cars: Cars, panel: EventPanel, abnormal: AbnormalReturns, fits: NormalFits,
    spec: StudySpec, firms: Ints, draws: _Draws,
) -> CarSample:  # fmt: skip
    """The members of a group that are complete in the window, as the tests see them."""
    inside = members[cars.complete[members]]
    spans = None if abnormal.spans is None else abnormal.spans[inside]
    refits = REGRESSION_TESTS & set(spec.significance.tests)
    return CarSample(
        group=group,
        window=cars.window,
        event_window=abnormal.window,
        car=cars.car[inside],
        car_se=cars.se[inside],
        scar=cars.scar[inside],
        bhar=cars.bhar[inside],
        sigma=fits.sigma[inside],
        dof=cars.dof[inside],
        ar=abnormal.ar[inside] if spans is None else abnormal.ar[inside] / np.sqrt(spans),
        spans=spans,
        residuals=fits.residuals[inside],
        residual_days=panel.estimation_days[inside],
        event_days=panel.event_dates[inside].astype("datetime64[D]").astype(np.int64),
        dates=np.array([panel.pairs[i].event_day for i in inside], "datetime64[D]").astype(np.int64),
        firms=firms[inside],
        alternative=spec.significance.alternative,
        alpha=spec.significance.alpha,
        pseudo=draws.dates.sample(inside, cars.window, members) if draws.dates is not None else None,
        pseudo_firms=draws.firms.sample(inside, cars.window) if draws.firms is not None else None,
        shared=cars.shared[inside],
        regressions=_regressions(panel, fits, inside) if refits and REFIT not in fits.lacks else None,
        lacks=fits.lacks,
        resampling=replace(draws.clusters, cluster=draws.clusters.cluster[inside]) if draws.clusters else None,
    )


def _regressions(panel: EventPanel, fits: NormalFits, chosen: Ints) -> Regressions:
    """What the chosen pairs were regressed on: of constant, benchmark and factors as many as there are coefficients."""
    k = len(fits.names)

    def with_constant(regressors: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        constant = np.ones((len(regressors), 1, regressors.shape[2]))
        return np.concatenate([constant, regressors], axis=1)[:, :k]

    return Regressions(
        with_constant(panel.regressors[chosen]),
        with_constant(panel.event_regressors[chosen]),
        fits.coefficients[chosen],
    )
