"""RATS, returns across time and securities: one cross-sectional regression for each period of event time."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from engine.calendar_time.holdings import PeriodReturns, held_span
from engine.calendar_time.least_squares import least_squares
from engine.panel import EventPanel
from engine.significance.sample import normal_p, t_p
from engine.spec.design import CalendarTime

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class RatsRow:
    """One row of ``rats.csv``: the abnormal return of one relative day or month, and the sum of those up to it.

    n: events with a return. alpha, se, t, p_value: the intercept, Student t. cumulated, se_cumulated: sum of the
    intercepts and root of the sum of their squared errors; t_cumulated, p_cumulated: normal. All sums are NaN from the
    first period without an intercept on, also one in which no event has a return. unavailable: "" or the reason.
    """

    group: str
    relative_period: int
    n: int
    alpha: float
    se: float
    t: float
    p_value: float
    cumulated: float
    se_cumulated: float
    t_cumulated: float
    p_cumulated: float
    unavailable: str


def rats(
    group: str, panel: EventPanel, series: Sequence[PeriodReturns], rule: CalendarTime, members: Ints, alternative: str
) -> list[RatsRow]:
    """R_i - r_f = alpha_s + sum_j beta_js F_ij + e_i across the events i, for each period s after the event.

    Every event counts, also a firm's second one. The market's return at s differs from event to event only if their
    dates do: on one date there is no beta to tell from the intercept. Errors of different periods are taken as
    independent. Ibbotson (1975).
    """
    by_period: dict[int, list[tuple[int, int]]] = {}
    for i in members:
        own = series[panel.line[i]]
        first, last = held_span(panel, i, own, rule)
        for at in first + np.flatnonzero(np.isfinite(own.returns[first:last])):
            by_period.setdefault(_relative(panel, i, own, rule, int(at)), []).append((int(i), int(at)))
    made = []
    total, squares = 0.0, 0.0
    for period in _periods(rule, by_period):
        cells = by_period.get(period, [])
        y = np.array([series[panel.line[i]].returns[at] for i, at in cells])
        own = [series[panel.line[i]].regressors[:, at] for i, at in cells]
        x = np.stack(own, axis=1) if own else np.empty((panel.regressors.shape[1], 0))
        fit = least_squares(y, x, np.ones(len(y)))
        alpha, se = float(fit.estimate[0]), float(fit.se[0])
        total, squares = total + alpha, squares + se * se
        t, summed = alpha / se, total / float(np.sqrt(squares))
        p = float("nan") if fit.unavailable else float(t_p(t, fit.dof, alternative))
        made.append(
            RatsRow(
                group, period, len(cells), alpha, se, t, p, total, float(np.sqrt(squares)), summed,
                normal_p(summed, alternative), fit.unavailable,
            )
        )  # fmt: skip
    return made


def _periods(rule: CalendarTime, found: Collection[int]) -> range:
    """Every period of the holding period; by day over months, which differ in length, those from first to last return."""
    if rule.hold is not None:
        return range(rule.hold[0], rule.hold[1] + 1)
    if rule.frequency == "monthly":
        return range(1, (rule.months or 0) + 1)
    return range(min(found), max(found) + 1) if found else range(0)


def _relative(panel: EventPanel, i: int, own: PeriodReturns, rule: CalendarTime, at: int) -> int:
    """Sessions from day 0, or calendar months from its month."""
    if rule.frequency == "daily":
        return at - int(panel.position[i])
    return int(own.codes[at]) - int(panel.pairs[i].event_day.astype("datetime64[M]").astype(np.int64))
