"""Whole samples at pseudo-dates: every pair of a group at another date, the model re-estimated, nothing else changed.

A pair keeps its windows, its model and the days of its event window on which it has no return; its estimation window has the
gaps that it meets. Pairs of a cluster stay together (`engine.placebo`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt

from engine.abnormal import AbnormalReturns, abnormal_returns
from engine.lines import Line
from engine.models import NormalFits
from engine.models.fits import assemble
from engine.panel import EventPanel
from engine.placebo import CHUNK, PseudoDates, estimable
from engine.sessions import Window
from engine.significance.batch.correlation import Placed

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
NO_DAY = 100_000  # between the days beyond the end of a line, which no other line has


@dataclass(frozen=True)
class Strip:
    """The lines of a panel end to end, with days without values around each, so that any window around any of their sessions
    is one slice.

    start: (lines,) where the first session of each stands. seen: (P,) returns that an estimation row may be, in excess of the
    risk-free rate, as returns are; regressors: (K, P); riskfree: (P,). days: (P,) day numbers, days of their own beyond a line.
    """

    start: Ints
    seen: Floats
    returns: Floats
    regressors: Floats
    riskfree: Floats
    days: Ints

    @classmethod
    def of(cls, panel: EventPanel, dates: PseudoDates) -> Strip:
        """With room for the estimation and event windows of the panel."""
        first = min(panel.estimation_rows.start, panel.event_window.start, 0)
        last = max(panel.estimation_rows.end, panel.event_window.end, 0)

        def laid(values: Callable[[Line], Floats]) -> Floats:
            parts = []
            for line in panel.lines:
                one = values(line)
                edges = [(0, 0)] * (one.ndim - 1) + [(-first, last)]
                parts.append(np.pad(one, edges, constant_values=np.nan))
            return np.concatenate(parts, axis=-1)

        lengths = np.array([len(line.dates) + last - first for line in panel.lines])
        return cls(
            start=np.cumsum(lengths) - lengths - first,
            seen=laid(lambda line: estimable(line, dates.design) - line.riskfree),
            returns=laid(lambda line: line.returns - line.riskfree),
            regressors=laid(lambda line: line.regressors),
            riskfree=laid(lambda line: line.riskfree),
            days=np.concatenate([_days(line, -first, last) for line in panel.lines]),
        )


def _days(line: Line, before: int, after: int) -> Ints:
    """The day numbers of a line, with days of their own before and after."""
    days = line.dates.astype(np.int64)
    return np.concatenate(
        [days[0] - NO_DAY * np.arange(before, 0, -1), days, days[-1] + NO_DAY * np.arange(1, after + 1)]
    )


@dataclass(frozen=True)
class Subject:
    """The N pairs of a group, as they are and where they may stand instead.

    missing: (N, E) days of the real event window without a return; where returns run over such days, the listing's own gaps
    at the other date stand for them, and these are not looked at. firms: (N,) codes. blank: (N, R) estimation rows that are left
    out at any date, None for none.
    """

    panel: EventPanel
    dates: PseudoDates
    missing: Bools
    firms: Ints
    blank: Bools | None = None

    @property
    def n(self) -> int:
        return len(self.panel.pairs)

    @cached_property
    def strip(self) -> Strip:
        """The lines of the pairs."""
        return Strip.of(self.panel, self.dates)

    @cached_property
    def calendars(self) -> tuple[Ints, Ints]:
        """(N,) the number of each pair's calendar, and (C, S) where each session of a calendar is among the days of all."""
        dates = [self.panel.lines[line].dates for line in self.panel.line]
        names: dict[bytes, int] = {}
        calendar = np.array([names.setdefault(d.tobytes(), len(names)) for d in dates])
        each = [dates[int(np.flatnonzero(calendar == number)[0])] for number in range(len(names))]
        every, longest = np.unique(np.concatenate(each)), max(map(len, each))
        common = [np.pad(np.searchsorted(every, one), (0, longest - len(one)), mode="edge") for one in each]
        return calendar, np.stack(common)

    def take(self, members: Ints) -> Subject:
        """The chosen pairs."""
        blank = None if self.blank is None else self.blank[members]
        return Subject(
            self.panel.take(members), self.dates.take(members), self.missing[members], self.firms[members], blank
        )  # fmt: skip


@dataclass(frozen=True)
class PseudoSamples:
    """D samples of N events each; event i of sample d is row d N + i of fits and abnormal returns.

    position: (D, N) of day 0 on the pair's line. regressors, event_regressors: (D N, K, R) and (D N, K, E), what the model was
    fitted to, None unless asked for.
    """

    subject: Subject
    position: Ints
    fits: NormalFits
    abnormal: AbnormalReturns
    regressors: Floats | None = None
    event_regressors: Floats | None = None

    @property
    def draws(self) -> int:
        return len(self.position)

    def days(self, window: Window) -> Ints:
        """(D, N, len(window)) the day number of each day of a window around day 0; a day of its own where a line ends."""
        strip, panel = self.subject.strip, self.subject.panel
        found: Ints = strip.days[(strip.start[panel.line] + self.position)[:, :, None] + window.days]
        return found

    def placed(self) -> Placed:
        """Where the residuals lie, for their correlations."""
        residuals = self.fits.residuals.reshape(*self.position.shape, -1)
        return Placed(residuals, self.position + self.subject.panel.estimation_rows.start, *self.subject.calendars)

    def other(self, centre: Floats, scale: float, columns: slice) -> Floats:
        """(D N, E) abnormal returns less (N, E) means, those of the columns times ``scale``."""
        ar = self.abnormal.ar - np.tile(centre, (self.draws, 1))
        ar[:, columns] *= scale
        return ar

    def with_returns(self, ar: Floats) -> AbnormalReturns:
        """These abnormal returns on expected returns as they are."""
        return abnormal_returns(self.abnormal.expected + ar, self.fits, self.abnormal.window)


def pseudo_samples(subject: Subject, position: Ints, keep_regressors: bool = False) -> PseudoSamples:
    """Fit the model with day 0 of every pair at (D, N) positions on its line."""
    panel, strip, model = subject.panel, subject.strip, subject.dates.design.model
    draws, n = position.shape
    rows, event_window = panel.estimation_rows, panel.event_window
    at = (strip.start[panel.line] + position).ravel()
    shape = (draws * n, panel.regressors.shape[1])
    kept = (np.full((*shape, len(rows)), np.nan), np.empty((*shape, len(event_window)))) if keep_regressors else None
    parts: list[tuple[Ints, slice, NormalFits]] = []
    for own in np.unique(panel.own, axis=0):
        window = Window(*own.tolist())
        alike = np.flatnonzero(np.tile((panel.own == own).all(axis=1), draws))
        for begin in range(0, len(alike), CHUNK):
            chosen = alike[begin : begin + CHUNK]
            ahead = cut(strip.regressors, at[chosen], event_window)
            around = cut(strip.regressors, at[chosen], window)
            seen = cut(strip.seen, at[chosen], window)
            if subject.blank is not None:
                seen[subject.blank[chosen % n, window.within(rows)]] = np.nan
            parts.append((chosen, window.within(rows), model(seen, around, ahead)))
            if kept is not None:
                kept[0][chosen, :, window.within(rows)] = around
                kept[1][chosen] = ahead
    fits = assemble(parts, draws * n, len(rows))
    returns, riskfree = cut(strip.returns, at, event_window), cut(strip.riskfree, at, event_window)
    if not subject.dates.design.bridged:
        returns[np.tile(subject.missing, (draws, 1))] = np.nan
    fits = replace(fits, expected=fits.expected + riskfree)
    abnormal = abnormal_returns(returns + riskfree, fits, event_window)
    return PseudoSamples(subject, position, fits, abnormal, *(kept or (None, None)))


def cut(values: Floats, at: Ints, window: Window) -> Floats:
    """(len(at), ..., len(window)) of values (..., P) around each place."""
    around = np.lib.stride_tricks.sliding_window_view(values, len(window), axis=-1)
    return np.ascontiguousarray(np.moveaxis(around[..., at + window.start, :], -2, 0))
