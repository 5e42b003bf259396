"""What the tests look at: the groups of a study, and for each group and window the pairs that are complete in it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from engine.abnormal import AbnormalReturns, Cars
from engine.firm_placebo import FirmPlacebo, firm_pseudo_events
from engine.inputs import Study, group_columns
from engine.models import PSEUDO_DATES, REFIT, NormalFits, model_of
from engine.panel import EventPanel
from engine.placebo import Design, Placebo, clusters, pseudo_events
from engine.plan import Plan, real_days
from engine.significance import (
    FIRM_TESTS,
    PSEUDO_DATE_TESTS,
    REGRESSION_TESTS,
    CarSample,
    Regressions,
    Resampling,
)
from engine.spec import StudySpec

Ints = npt.NDArray[np.int64]


def groups_of(study: Study, panel: EventPanel) -> list[tuple[str, Ints]]:
    """The whole sample and every value of every group column, as positions in the panel; an empty cell is in no group."""
    columns = group_columns(study)
    groups = [("all", np.arange(len(panel.pairs)))]
    for name in study.spec.significance.group_by:
        values = of_pairs(study, panel, columns[name])
        for value in sorted({v for v in values if v is not None}):
            groups.append((f"{name}={value}", np.flatnonzero([v == value for v in values])))
    return groups


def of_pairs(study: Study, panel: EventPanel, column: Sequence[Any]) -> list[Any]:
    """The values of the panel's pairs in a column of the calendar."""
    keys = study.announcements.table.select("event_id", "symbol").rows()
    row_of = {key: i for i, key in enumerate(keys)}
    return [column[row_of[p.event_id, p.symbol]] for p in panel.pairs]


def firm_codes(plan: Plan, panel: EventPanel) -> Ints:
    """(N,) a code for the firm of each pair, equal for all its listings."""
    return np.unique([plan.firms.firms[p.symbol] for p in panel.pairs], return_inverse=True)[1]


@dataclass(frozen=True)
class Draws:
    """What the resampling tests of the study draw from; None where no test asks for it."""

    dates: Placebo | None = None
    firms: FirmPlacebo | None = None
    clusters: Resampling | None = None


def draws_of(
    study: Study, plan: Plan, panel: EventPanel, fits: NormalFits, cars: Sequence[Cars], options: Mapping[str, Any],
    on_progress: Callable[[int, int], None],
) -> Draws:  # fmt: skip
    """Pseudo-dates, stand-ins and date clusters, each from its own stream of the study's seed."""
    spec, tests = study.spec, set(study.spec.significance.tests)
    rule = spec.resampling
    if rule is None:
        return Draws()
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
        firms = firm_pseudo_events(
            panel, cars, plan.controls, real, plan.firms.firms, design, rule.draws,
            lambda cell: resampling.generator(f"firm_permutation {cell}"),
        )  # fmt: skip
    return Draws(dates, firms, resampling)


def sample_of(
    group: str, members: Ints, cars: Cars, panel: EventPanel, abnormal: AbnormalReturns, fits: NormalFits,
    spec: StudySpec, firms: Ints, draws: Draws,
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
        regressions=regressions_of(panel, fits, inside) if refits and REFIT not in fits.lacks else None,
        lacks=fits.lacks,
        resampling=replace(draws.clusters, cluster=draws.clusters.cluster[inside]) if draws.clusters else None,
    )


def regressions_of(panel: EventPanel, fits: NormalFits, chosen: Ints) -> Regressions:
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
