"""What the tests look at: the groups of a study, and for each group and window the pairs that are complete in it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from engine.abnormal import AbnormalReturns, Cars, per_session
from engine.firm_placebo import FirmPlacebo, firm_pseudo_events
from engine.inputs import Study, group_columns
from engine.models import PSEUDO_DATES, REFIT, NormalFits, model_of
from engine.panel import EventPanel
from engine.placebo import Design, Placebo, PseudoDates, clusters, placebo_of, pseudo_dates
from engine.plan import Plan, real_days
from engine.sessions import Window
from engine.significance import (
    FIRM_TESTS,
    PSEUDO_DATE_TESTS,
    REGRESSION_TESTS,
    CarSample,
    Regressions,
    Resampling,
)
from engine.significance.dependence import Related
from engine.spec import StudySpec

Ints = npt.NDArray[np.int64]
SAMPLE = "sample"  # in the place of a column in the group of a named sample


def groups_of(study: Study, panel: EventPanel) -> list[tuple[str, Ints]]:
    """The whole sample, every value of every group column, and the named samples, as positions in the panel.

    An empty cell is in no group.
    """
    columns, chosen = group_columns(study), study.spec.significance
    groups = [("all", np.arange(len(panel.pairs)))]
    for name in chosen.group_by:
        values = of_pairs(study, panel, columns[name])
        for value in sorted({v for v in values if v is not None}):
            groups.append((f"{name}={value}", np.flatnonzero([v == value for v in values])))
    for sample, wanted in chosen.samples.items():
        inside = [np.isin(np.array(of_pairs(study, panel, columns[c]), object), v) for c, v in wanted.items()]
        groups.append((f"{SAMPLE}={sample}", np.flatnonzero(np.all(inside, axis=0))))
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
    """What the resampling tests of the study draw from; None where no test asks for it. places: where the pairs may stand
    instead, for the certificate too."""

    dates: Placebo | None = None
    firms: FirmPlacebo | None = None
    clusters: Resampling | None = None
    places: PseudoDates | None = None


def design_of(study: Study, plan: Plan, options: Mapping[str, Any]) -> Design:
    """How a pseudo-event is measured: as the real ones are."""
    spec = study.spec
    bridged = spec.prices.missing == "trade_to_trade"
    return Design(
        model=model_of(spec.model.name, options, bridged),
        event_window=spec.event_window,
        windows=tuple(sorted(spec.car_windows)),
        min_days=spec.model.min_estimation_days,
        log_returns=spec.prices.returns == "log",
        left_out=plan.firms.left_out,
        bridged=bridged,
    )


def draws_of(
    study: Study, plan: Plan, panel: EventPanel, fits: NormalFits, cars: Sequence[Cars], options: Mapping[str, Any],
    on_progress: Callable[[int, int], None], certified: bool = False,
) -> Draws:  # fmt: skip
    """Pseudo-dates, stand-ins and date clusters, each from its own stream of the study's seed. certified: the pseudo-dates are
    asked for by the certificate or by a claim."""
    tests, rule = set(study.spec.significance.tests), study.spec.resampling
    elsewhere = PSEUDO_DATES not in fits.lacks
    design, real = design_of(study, plan, options), real_days(plan)
    permuted = rule is not None and bool(PSEUDO_DATE_TESTS & tests)
    places = pseudo_dates(panel, real, design, on_progress) if elsewhere and (permuted or certified) else None
    if rule is None:
        return Draws(places=places)
    cluster = clusters([p.event_id for p in panel.pairs], [p.event_day for p in panel.pairs])
    resampling, firms = Resampling(cluster, rule.draws, rule.seed), None
    dates = placebo_of(places, rule.draws, np.random.default_rng(rule.seed)) if places and permuted else None
    if FIRM_TESTS & tests and elsewhere:
        firms = firm_pseudo_events(
            panel, cars, plan.controls, real, plan.firms.firms, design, rule.draws,
            lambda cell: resampling.generator(f"firm_permutation {cell}"),
        )  # fmt: skip
    return Draws(dates, firms, resampling, places)


def sample_of(
    group: str, members: Ints, cars: Cars, panel: EventPanel, abnormal: AbnormalReturns, fits: NormalFits,
    spec: StudySpec, firms: Ints, draws: Draws, related: Mapping[Window, Related] | None = None,
) -> CarSample:  # fmt: skip
    """The members of a group that are complete in the window, as the tests see them. related: `related_of` the panel."""
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
        ar=per_session(abnormal, abnormal.ar)[inside],
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
        shared_r=partial(related[cars.window].mean, inside) if related is not None else None,
        lacks=fits.lacks,
        resampling=replace(draws.clusters, cluster=draws.clusters.cluster[inside]) if draws.clusters else None,
    )


def related_of(panel: EventPanel, fits: NormalFits, cars: Sequence[Cars]) -> dict[Window, Related]:
    """How the events that are complete in each window go together."""
    days = panel.event_dates.astype("datetime64[D]").astype(np.int64)
    return {
        one.window: Related(
            fits.residuals, panel.estimation_days, days[:, one.window.within(panel.event_window)], np.flatnonzero(one.complete)
        )
        for one in cars
    }  # fmt: skip


def regressions_of(panel: EventPanel, fits: NormalFits, chosen: Ints) -> Regressions:
    """What the chosen pairs were regressed on: of constant, benchmark and factors as many as there are coefficients."""
    k = len(fits.names)
    return Regressions(
        with_constant(panel.regressors[chosen], k),
        with_constant(panel.event_regressors[chosen], k),
        fits.coefficients[chosen],
    )


def with_constant(regressors: npt.NDArray[np.float64], k: int) -> npt.NDArray[np.float64]:
    """(N, k, R) the constant and the regressors (N, K, R), as many as there are coefficients."""
    constant = np.ones((len(regressors), 1, regressors.shape[2]))
    return np.concatenate([constant, regressors], axis=1)[:, :k]
