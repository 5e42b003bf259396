"""The kernel for few events, and the oracle of the other: windows cut out of the rows, the model's own function on them.

Every number is that of `engine.models` and `engine.abnormal` on a panel of the same events.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from engine.abnormal import LONG, abnormal_returns, cumulate
from engine.kernel.layout import (
    CODE,
    IN_ORDER,
    INFINITE,
    OUT_OF_ORDER,
    TWICE,
    Asked,
    Calendar,
    Measured,
    RawEvents,
    RawRows,
    RowReport,
    coefficient_names,
    empty_measured,
)
from engine.models import NormalFits, fit
from engine.sessions import Window

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
BATCH = 512  # events at once: what they need stays in the processor's cache


@dataclass(frozen=True)
class _Aligned:
    """The valid returns of all securities on one axis: security times the sessions, plus the session.

    key: (M,) increasing; returns: (M,) never in excess.
    """

    key: Ints
    returns: Floats
    sessions: int


def measure_batched(raw: RawRows, calendar: Calendar, events: RawEvents, asked: Asked) -> tuple[Measured, RowReport]:
    """All events of the securities."""
    aligned, report = _align(raw, calendar, asked.log_returns)
    security = np.repeat(np.arange(len(events.start) - 1), np.diff(events.start))
    names = coefficient_names(asked.model, len(calendar.regressors))
    long = any(len(w) > LONG for w in asked.windows)
    made = empty_measured(names, len(security), asked, long)
    sound = np.flatnonzero((report.state[security] != TWICE) & (report.state[security] != OUT_OF_ORDER))
    for begin in range(0, len(sound), BATCH):
        part = sound[begin : begin + BATCH]
        _batch(made, part, _Cut(aligned, calendar, security[part], events.position[part]), events.own[part], asked)
    return made, report


def _batch(made: Measured, part: Ints, cut: _Cut, own: npt.NDArray[np.int32], asked: Asked) -> None:
    """Measure the events ``part`` and put their numbers into ``made``."""
    actual, riskfree = cut.returns(asked.event_window)
    returns, rate = cut.returns(asked.rows)
    outside = (asked.rows.days < own[:, :1]) | (asked.rows.days > own[:, 1:])
    returns = np.where(outside, np.nan, returns - rate)
    n_obs = np.isfinite(returns).sum(axis=1)
    made.n_obs[part] = n_obs
    lost = np.where(n_obs < asked.min_days, CODE["too_few_estimation_days"], 0)
    made.code[part] = np.where(np.isfinite(actual).any(axis=1), lost, CODE["no_event_returns"])
    kept = np.flatnonzero(made.code[part] == 0)
    if not len(kept):
        return
    regressors, ahead = cut.regressors(asked.rows)[kept], cut.regressors(asked.event_window)[kept]
    fits = fit(asked.model, returns[kept], regressors, ahead, asked.rows, own[kept].astype(np.int64), ())
    fits = replace(fits, expected=fits.expected + riskfree[kept])
    made.dof[part[kept]] = fits.dof
    made.code[part[kept]] = [CODE[reason] for reason in fits.degenerate.tolist()]
    good = np.flatnonzero(fits.degenerate == "")
    _fill(made, part[kept[good]], fits.take(good), actual[kept[good]], asked)


def _fill(made: Measured, rows: Ints, fits: NormalFits, actual: Floats, asked: Asked) -> None:
    abnormal = abnormal_returns(actual, fits, asked.event_window)
    for name in ("coefficients", "sigma", "r2"):
        getattr(made, name)[rows] = getattr(fits, name)
    made.ar[rows] = abnormal.ar
    if asked.days:
        made.actual[rows], made.expected[rows], made.sar[rows] = abnormal.actual, abnormal.expected, abnormal.sar
    if asked.residuals:
        made.residuals[rows] = fits.residuals
    for w, window in enumerate(asked.windows):
        cars = cumulate(abnormal, fits, window, asked.log_returns)
        made.car[rows, w], made.se[rows, w], made.bhar[rows, w] = cars.car, cars.se, cars.bhar
        if made.ways.shape[1]:
            made.ways[rows, w] = np.stack([cars.simple, cars.log, cars.compound], axis=1)


@dataclass(frozen=True)
class _Cut:
    """Windows around day 0 of N events. security, position: (N,)."""

    aligned: _Aligned
    calendar: Calendar
    security: Ints
    position: npt.NDArray[np.int32]

    def returns(self, window: Window) -> tuple[Floats, Floats]:
        """The returns and the risk-free rates (N, len(window)) of their days, NaN where there is no return."""
        base, sessions = self.security * self.aligned.sessions, self.aligned.sessions
        day = self.position.astype(np.int64)
        ends = (np.clip(day + edge, 0, sessions) + base for edge in (window.start, window.end + 1))
        first, beyond = (np.searchsorted(self.aligned.key, end) for end in ends)
        count = beyond - first
        event = np.repeat(np.arange(len(day)), count)
        row = np.arange(len(event)) + np.repeat(first - np.cumsum(count) + count, count)
        place = self.aligned.key[row] - base[event]
        returns, rate = np.full((2, len(day), len(window)), np.nan)
        column = place - day[event] - window.start
        returns[event, column] = self.aligned.returns[row]
        rate[event, column] = self.calendar.riskfree[place]
        return returns, rate

    def regressors(self, window: Window) -> Floats:
        """The regressors (N, K, len(window)) of its days, NaN beyond the sessions."""
        place = self.position[:, None] + window.days
        inside = (place >= 0) & (place < self.aligned.sessions)
        held = self.calendar.regressors[:, np.clip(place, 0, self.aligned.sessions - 1)]
        return np.ascontiguousarray(np.where(inside, held, np.nan).transpose(1, 0, 2))


def _align(raw: RawRows, calendar: Calendar, log_returns: bool) -> tuple[_Aligned, RowReport]:
    """Put every row on its session, make returns of prices, and keep what has a return and all that it is measured against."""
    securities, skip = len(raw.start) - 1, calendar.skip
    security = np.repeat(np.arange(securities), np.diff(raw.start))
    place = calendar.table
    offset = raw.days.astype(np.int64) - int(calendar.days[0])
    inside = (offset >= 0) & (offset < len(place))
    session = np.where(inside, place[np.where(inside, offset, 0)], -1).astype(np.int64)
    known = np.isfinite(raw.values) & (raw.is_return | (raw.values > 0))
    kept = np.flatnonzero(known & (session >= 0))
    of, at, value = security[kept], session[kept], raw.values[kept]
    same, apart = np.append(False, of[1:] == of[:-1]), np.diff(at, prepend=0)
    jumps = np.flatnonzero(same & (apart > 1))
    jumps = jumps[at[jumps - 1] >= skip]
    gaps = np.stack([of[jumps], at[jumps - 1] + 1 - skip, at[jumps] - 1 - skip], axis=1).astype(np.int32)
    if not raw.is_return:
        before = np.where(same & (apart == 1), np.append(np.nan, value[:-1]), np.nan)
        value = np.log(value / before) if log_returns else value / before - 1
    at = at - skip
    valid = np.isfinite(value) & (at >= 0)
    held = np.maximum(at, 0)
    valid &= np.isfinite(calendar.riskfree[held]) & np.isfinite(calendar.regressors[:, held]).all(axis=0)
    sessions = len(calendar.riskfree)
    aligned = _Aligned(of[valid] * sessions + at[valid], value[valid], sessions)
    return aligned, _report(raw, security, known, np.bincount(security[session < 0], minlength=securities), gaps)


def _report(
    raw: RawRows, security: Ints, known: npt.NDArray[np.bool_], off: Ints, gaps: npt.NDArray[np.int32]
) -> RowReport:
    securities = len(raw.start) - 1
    state = np.full(securities, IN_ORDER, np.int8)
    steps, same = np.diff(raw.days), security[1:] == security[:-1]
    for wrong in np.flatnonzero(same & (steps <= 0))[::-1]:  # the first decides
        state[security[wrong]] = TWICE if steps[wrong] == 0 else OUT_OF_ORDER
    state[security[np.isinf(raw.values)]] = INFINITE
    rows = np.flatnonzero(known)
    of = security[rows]
    ends = np.searchsorted(of, np.arange(securities)), np.searchsorted(of, np.arange(securities), side="right")
    some = ends[1] > ends[0]
    first, last = np.full((2, securities), -1, np.int32)
    first[some], last[some] = raw.days[rows[ends[0][some]]], raw.days[rows[ends[1][some] - 1]]
    return RowReport(state, first, last, off.astype(np.int32), gaps)
