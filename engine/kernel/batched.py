"""The kernel for few events, and the oracle of the other: windows cut out of the rows, the model's own function on them.

Every number is that of `engine.models` and `engine.abnormal` on a panel of the same events. What is rare, a day without a row or
a value, is put right cell by cell, so that no mask has to pass over all the rows.
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
Bools = npt.NDArray[np.bool_]
BATCH = 512  # events at once: more of them wait for memory, fewer for calls


@dataclass(frozen=True)
class _Aligned:
    """The returns of all securities on one axis, each from the first session that it has a row on to its last.

    returns: (M,), never in excess, NaN where there is none. first: (G,) the first session of each; start: (G + 1,) where it
    stands in ``returns``.
    """

    returns: Floats
    first: Ints
    start: Ints


@dataclass(frozen=True)
class _Common:
    """What all securities are measured against, with room for every window around every session: NaN beyond them.

    front: the room before the first. regressors: (K, P). riskfree: (P,), None where it is zero throughout.
    """

    front: int
    regressors: Floats
    riskfree: Floats | None

    @classmethod
    def of(cls, calendar: Calendar, asked: Asked) -> _Common:
        front = max(-asked.rows.start, -asked.event_window.start, 0)
        room = (front, max(asked.rows.end, asked.event_window.end, 0))
        riskfree = np.pad(calendar.riskfree, room, constant_values=np.nan) if calendar.riskfree.any() else None
        return cls(front, np.pad(calendar.regressors, ((0, 0), room), constant_values=np.nan), riskfree)


def measure_batched(raw: RawRows, calendar: Calendar, events: RawEvents, asked: Asked) -> tuple[Measured, RowReport]:
    """All events of the securities."""
    aligned, report = _align(raw, calendar, asked.log_returns)
    common = _Common.of(calendar, asked)
    security = np.repeat(np.arange(len(events.start) - 1), np.diff(events.start))
    position, names = events.position.astype(np.int64), coefficient_names(asked.model, len(calendar.regressors))
    long = any(len(w) > LONG for w in asked.windows)
    made = empty_measured(names, len(security), asked, long)
    sound = np.flatnonzero((report.state[security] != TWICE) & (report.state[security] != OUT_OF_ORDER))
    for begin in range(0, len(sound), BATCH):
        part = sound[begin : begin + BATCH]
        _batch(made, part, _Cut(aligned, common, security[part], position[part]), events.own[part], asked)
    return made, report


def _batch(made: Measured, part: Ints, cut: _Cut, own: npt.NDArray[np.int32], asked: Asked) -> None:
    """Measure the events ``part`` and put their numbers into ``made``."""
    rows, event_window = asked.rows, asked.event_window
    actual, riskfree = cut.returns(event_window), cut.riskfree(event_window)
    returns = cut.excess(rows)
    if (own != [rows.start, rows.end]).any():
        returns[(rows.days < own[:, :1]) | (rows.days > own[:, 1:])] = np.nan
    fits = fit(asked.model, returns, cut.regressors(rows), cut.regressors(event_window), rows, own.astype(np.int64), ())
    if riskfree is not None:
        fits = replace(fits, expected=fits.expected + riskfree)
    few, nothing = fits.n_obs < asked.min_days, ~np.isfinite(actual).any(axis=1)
    made.n_obs[part], made.dof[part] = fits.n_obs, np.where(few | nothing, 0, fits.dof)
    lost = few | nothing | (fits.degenerate != "")
    if lost.any():
        code = np.array([CODE[reason] for reason in fits.degenerate.tolist()])
        code[few], code[nothing] = CODE["too_few_estimation_days"], CODE["no_event_returns"]
        good = np.flatnonzero(~lost)
        made.code[part] = code
        part, fits, actual = part[good], fits.take(good), actual[good]
    _fill(made, part, fits, actual, asked)


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
    common: _Common
    security: Ints
    position: Ints

    def returns(self, window: Window) -> Floats:
        """(N, len(window)) the returns, NaN where there is none."""
        line, security = self.aligned, self.security
        begin = self.position + window.start - line.first[security]
        length, at = np.diff(line.start)[security], begin + line.start[security]
        inside = (begin >= 0) & (begin + len(window) <= length)
        if inside.all():
            return _windows(line.returns, at, window)
        found = np.full((len(at), len(window)), np.nan)
        if inside.any():
            found[inside] = _windows(line.returns, at[inside], window)
        low = np.clip(-begin, 0, len(window))
        high = np.clip(length - begin, low, len(window))
        for i in np.flatnonzero(~inside).tolist():
            found[i, low[i] : high[i]] = line.returns[at[i] + low[i] : at[i] + high[i]]
        return found

    def excess(self, window: Window) -> Floats:
        """The same less the risk-free rate."""
        rate, found = self.riskfree(window), self.returns(window)
        return found if rate is None else found - rate

    def riskfree(self, window: Window) -> Floats | None:
        """(N, len(window)) the rate of each day, NaN beyond the sessions; None where it is zero throughout."""
        rate = self.common.riskfree
        return None if rate is None else _windows(rate, self.position + self.common.front + window.start, window)

    def regressors(self, window: Window) -> Floats:
        """(N, K, len(window)) the regressors, NaN beyond the sessions."""
        values = self.common.regressors
        found = np.empty((len(self.position), len(values), len(window)))
        for k, one in enumerate(values):
            found[:, k] = _windows(one, self.position + self.common.front + window.start, window)
        return found


def _windows(values: Floats, at: Ints, window: Window) -> Floats:
    """(N, len(window)) the runs of values that begin at the N places."""
    every: Floats = np.ndarray((len(values) - len(window) + 1, len(window)), np.float64, values, 0, 2 * values.strides)
    return np.asarray(every[at])


def _align(raw: RawRows, calendar: Calendar, log_returns: bool) -> tuple[_Aligned, RowReport]:
    """Put every row on its session, make returns of prices, and keep those whose session has all they are measured against."""
    session, start, values = calendar.sessions_of(raw.days), raw.start, raw.values
    known = np.isfinite(values) if raw.is_return else np.isfinite(values) & (values > 0)
    report = _report(raw, session, known)
    unsound = (report.state == TWICE) | (report.state == OUT_OF_ORDER)
    if unsound.any() or report.off_session.any():  # rows out of order are put nowhere: nobody measures them
        kept = (session >= 0) & ~np.repeat(unsound, np.diff(start))
        start = np.append(0, np.cumsum(kept))[start]
        session, values, known = session[kept], values[kept], known[kept]
    late = _within(start, np.flatnonzero(session[1:] > session[:-1] + 1) + 1)
    absent = session[late] - session[late - 1] - 1
    pushed = np.append(0, np.cumsum(absent))  # by the sessions without a row before a row

    def cell(row: Ints) -> Ints:
        return np.asarray(row + pushed[np.searchsorted(late, row, side="right")])

    edge, some, first = cell(start), np.diff(start) > 0, np.zeros(len(start) - 1, np.int64)
    first[some] = session[start[:-1][some]]
    line, there = np.empty(int(edge[-1])), np.ones(int(edge[-1]), bool)
    empty = _ranges(cell(late) - absent, absent)
    there[empty] = False
    line[there] = values
    empty = np.sort(np.concatenate([empty, cell(np.flatnonzero(~known))]))
    line[empty] = np.nan
    report = replace(report, gaps=_gaps(empty, first, edge, calendar.skip))
    if not raw.is_return:
        line[1:] = np.log(line[1:] / line[:-1]) if log_returns else line[1:] / line[:-1] - 1
        line[edge[:-1][some]] = np.nan
    line[_beside(calendar, first, edge)] = np.nan
    return _Aligned(line, first - calendar.skip, edge), report


def _within(start: Ints, rows: Ints) -> Ints:
    """The rows that are not the first of their security."""
    return np.asarray(rows[start[np.searchsorted(start, rows)] != rows])


def _ranges(first: Ints, many: Ints) -> Ints:
    """So many whole numbers from each first one on, one range after the other."""
    return np.repeat(first - np.cumsum(many) + many, many) + np.arange(int(many.sum()))


def _beside(calendar: Calendar, first: Ints, edge: Ints) -> Ints:
    """The cells of lines on sessions that only carry the first return, or that lack something to be measured against."""
    whole = np.isfinite(calendar.riskfree) & np.isfinite(calendar.regressors).all(axis=0)
    beside = np.append(np.arange(calendar.skip), calendar.skip + np.flatnonzero(~whole))
    low, high = np.searchsorted(beside, [first, first + np.diff(edge)])
    return np.asarray(beside[_ranges(low, high - low)] + np.repeat(edge[:-1] - first, high - low))


def _gaps(empty: Ints, first: Ints, edge: Ints, skip: int) -> npt.NDArray[np.int32]:
    """The runs of sessions without a value between two with one, as of `RowReport`. empty: the cells without a value."""
    ends = np.flatnonzero(np.diff(empty) > 1)
    before, after = empty[np.append(0, ends + 1)[: len(empty)]] - 1, empty[np.append(ends, -1)[: len(empty)]] + 1
    of = np.searchsorted(edge, before, side="right") - 1
    shift = first[of] - edge[of] - skip
    between = (before >= 0) & (after < edge[of + 1]) & (before + shift >= 0)
    of, before, after = of[between], (before + shift)[between], (after + shift)[between]
    return np.stack([of, before + 1, after - 1], axis=1).astype(np.int32)


def _report(raw: RawRows, session: npt.NDArray[np.int32], known: Bools) -> RowReport:
    """What was seen of the rows, but for gaps."""
    securities, days, start = len(raw.start) - 1, raw.days, raw.start

    def of(rows: Ints) -> Ints:
        return np.searchsorted(start, rows, side="right") - 1

    state = np.full(securities, IN_ORDER, np.int8)
    back = _within(start, np.flatnonzero(days[1:] <= days[:-1]) + 1)
    wrong, place = np.unique(of(back), return_index=True)  # the first decides
    state[wrong] = np.where(days[back[place]] == days[back[place] - 1], TWICE, OUT_OF_ORDER)
    unknown = np.flatnonzero(~known)
    state[of(unknown[np.isinf(raw.values[unknown])])] = INFINITE
    before, lower = start - np.searchsorted(unknown, start), unknown - np.arange(len(unknown))
    some, first, last = before[1:] > before[:-1], *np.full((2, securities), -1, np.int32)
    for found, number in (first, before[:-1][some]), (last, before[1:][some] - 1):
        found[some] = days[number + np.searchsorted(lower, number, side="right")]  # the day of a value by its number
    off = np.bincount(of(np.flatnonzero(session < 0)), minlength=securities)
    return RowReport(state, first, last, off.astype(np.int32), np.empty((0, 3), np.int32))
