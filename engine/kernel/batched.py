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
    """The returns of all securities on one axis, each from the first session that it has a row on to its last.

    returns: (M,), never in excess, NaN where there is none. first: (G,) the first session of each; start: (G + 1,) where it
    stands in ``returns``.
    """

    returns: Floats
    first: Ints
    start: Ints


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
    ahead_rate = riskfree[kept] if isinstance(riskfree, np.ndarray) else riskfree
    fits = replace(fits, expected=fits.expected + ahead_rate)
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

    def returns(self, window: Window) -> tuple[Floats, Floats | float]:
        """The returns (N, len(window)) and the risk-free rates of their days, NaN where there is no return; rates that are all
        zero as one."""
        line, security, calendar = self.aligned, self.security, self.calendar
        day = self.position[:, None] + window.days
        place = day - line.first[security, None]
        inside = (place >= 0) & (place < np.diff(line.start)[security, None]) & (day >= 0)
        place += line.start[security, None]
        if inside.all():
            found = line.returns[place]
        else:
            found = (
                np.where(inside, line.returns[np.where(inside, place, 0)], np.nan)
                if len(line.returns)
                else place * np.nan
            )
        if not calendar.riskfree.any():
            return found, 0.0
        rate = calendar.riskfree[np.clip(day, 0, len(calendar.riskfree) - 1)]
        return found, np.where(np.isnan(found), np.nan, rate)

    def regressors(self, window: Window) -> Floats:
        """The regressors (N, K, len(window)) of its days, NaN beyond the sessions."""
        place = self.position[:, None] + window.days
        sessions = len(self.calendar.riskfree)
        inside = (place >= 0) & (place < sessions)
        held = self.calendar.regressors[:, np.clip(place, 0, sessions - 1)]
        return np.ascontiguousarray(np.where(inside, held, np.nan).transpose(1, 0, 2))


def _align(raw: RawRows, calendar: Calendar, log_returns: bool) -> tuple[_Aligned, RowReport]:
    """Put every row on its session, make returns of prices, and keep those whose session has all they are measured against."""
    securities, skip = len(raw.start) - 1, calendar.skip
    security = np.repeat(np.arange(securities, dtype=np.int32), np.diff(raw.start))
    table = calendar.table
    offset = raw.days - calendar.days[0]
    inside = (offset >= 0) & (offset < len(table))
    session = table[offset] if inside.all() else np.where(inside, table[np.where(inside, offset, 0)], -1)
    known = np.isfinite(raw.values) if raw.is_return else np.isfinite(raw.values) & (raw.values > 0)
    on = session >= 0
    kept: Ints | slice = slice(None) if on.all() else np.flatnonzero(on)
    of, at, values = security[kept], session[kept], np.where(known, raw.values, np.nan)[kept]
    many = np.bincount(of, minlength=securities)
    some, ends = many > 0, np.cumsum(many)
    first, last = np.zeros(securities, np.int64), np.full(securities, -1)
    first[some], last[some] = at[(ends - many)[some]], at[ends[some] - 1]
    start = np.append(0, np.cumsum(np.maximum(last - first + 1, 0)))
    shift = start[:-1] - first
    line, place = np.full(int(start[-1]), np.nan), at + np.repeat(shift, many)
    if not (report := _report(raw, security, known, np.bincount(security[~on], minlength=securities))).state.any():
        line[place] = values
    else:  # rows out of order are put nowhere: nobody measures them
        sound = (report.state[of] == IN_ORDER) | (report.state[of] == INFINITE)
        line[place[sound]] = values[sound]
    report = replace(report, gaps=_gaps(line, shift, start, skip))
    if not raw.is_return:
        line[1:] = np.log(line[1:] / line[:-1]) if log_returns else line[1:] / line[:-1] - 1
        line[start[:-1][some]] = np.nan
    whole = np.isfinite(calendar.riskfree) & np.isfinite(calendar.regressors).all(axis=0)
    if not whole.all():
        at_cell = np.arange(len(line)) - np.repeat(shift, np.diff(start)) - skip
        line[(at_cell < 0) | ~whole[np.maximum(at_cell, 0)]] = np.nan
    return _Aligned(line, first - skip, start), report


def _gaps(line: Floats, shift: Ints, start: Ints, skip: int) -> npt.NDArray[np.int32]:
    """The runs of sessions without a value between two with one, as of `RowReport`."""
    there = np.flatnonzero(~np.isnan(line))
    jumps = np.flatnonzero(np.diff(there) > 1)
    before, after = there[jumps], there[jumps + 1]
    of = np.searchsorted(start, before, side="right") - 1
    same = (after < start[of + 1]) & (before - shift[of] >= skip)
    of, before, after = of[same], before[same], after[same]
    return np.stack([of, before - shift[of] + 1 - skip, after - shift[of] - 1 - skip], axis=1).astype(np.int32)


def _report(raw: RawRows, security: npt.NDArray[np.int32], known: npt.NDArray[np.bool_], off: Ints) -> RowReport:
    """What was seen of the rows, but for gaps."""
    securities = len(raw.start) - 1
    state = np.full(securities, IN_ORDER, np.int8)
    steps = np.diff(raw.days)
    back = np.flatnonzero(steps <= 0)  # or another security's first row
    for wrong in back[security[back + 1] == security[back]][::-1]:  # the first decides
        state[security[wrong]] = TWICE if steps[wrong] == 0 else OUT_OF_ORDER
    state[security[np.isinf(raw.values)]] = INFINITE
    rows = np.flatnonzero(known)
    ends = np.searchsorted(rows, raw.start)
    some = ends[1:] > ends[:-1]
    first, last = np.full((2, securities), -1, np.int32)
    first[some], last[some] = raw.days[rows[ends[:-1][some]]], raw.days[rows[ends[1:][some] - 1]]
    return RowReport(state, first, last, off.astype(np.int32), np.empty((0, 3), np.int32))
