"""Whole samples at pseudo-dates: every pair of a group at another date, the model re-estimated, nothing else changed.

A pair keeps its windows, its model and the days of its event window on which it has no return; its estimation window has the
gaps that it meets. Pairs of a cluster stay together (`engine.placebo`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from engine.abnormal import AbnormalReturns, abnormal_returns
from engine.models import NormalFits
from engine.models.fits import assemble
from engine.panel import EventPanel
from engine.placebo import PseudoDates, around_sessions, estimable
from engine.sessions import Window
from engine.significance.batch.correlation import Placed

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Subject:
    """The N pairs of a group, as they are and where they may stand instead.

    missing: (N, E) days of the real event window without a return. firms: (N,) codes.
    """

    panel: EventPanel
    dates: PseudoDates
    missing: Bools
    firms: Ints

    @property
    def n(self) -> int:
        return len(self.panel.pairs)

    def take(self, members: Ints) -> Subject:
        """The chosen pairs."""
        return Subject(
            self.panel.take(members), self.dates.take(members), self.missing[members], self.firms[members]
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
        panel = self.subject.panel
        place = self.position[:, :, None] + window.days
        found = np.empty(place.shape, np.int64)
        for i, line in enumerate(panel.line):
            dates = panel.lines[line].dates.astype(np.int64)
            at = place[:, i]
            held = np.clip(at, 0, len(dates) - 1)
            found[:, i] = np.where(at == held, dates[held], dates[held] + 100_000 * (at - held))
        return found

    def placed(self) -> Placed:
        """Where the residuals lie, for their correlations."""
        panel = self.subject.panel
        dates = [panel.lines[line].dates for line in panel.line]
        names: dict[bytes, int] = {}
        calendar = np.array([names.setdefault(d.tobytes(), len(names)) for d in dates])
        each = [dates[int(np.flatnonzero(calendar == number)[0])] for number in range(len(names))]
        counterparts = np.full((len(each), len(each), max(map(len, each))), -1)
        for a, one in enumerate(each):
            for b, other in enumerate(each):
                counterparts[a, b, : len(one)] = _counterparts(one, other)
        residuals = self.fits.residuals.reshape(*self.position.shape, -1)
        return Placed(residuals, self.position + panel.estimation_rows.start, calendar, counterparts)

    def other(self, centre: Floats, scale: float, columns: slice) -> AbnormalReturns:
        """The abnormal returns less (N, E) means, those of the columns times ``scale``; expected returns as they are."""
        ar = self.abnormal.ar - np.tile(centre, (self.draws, 1))
        ar[:, columns] *= scale
        return abnormal_returns(self.abnormal.expected + ar, self.fits, self.abnormal.window)


def _counterparts(one: npt.NDArray[np.datetime64], other: npt.NDArray[np.datetime64]) -> Ints:
    """(S,) where each date of a calendar stands on another one, -1 where it does not."""
    place = np.searchsorted(other, one)
    held = np.minimum(place, len(other) - 1)
    return np.where(other[held] == one, held, -1)


def pseudo_samples(subject: Subject, position: Ints, keep_regressors: bool = False) -> PseudoSamples:
    """Fit the model with day 0 of every pair at (D, N) positions on its line."""
    panel, design = subject.panel, subject.dates.design
    draws, n = position.shape
    rows, event_window = panel.estimation_rows, panel.event_window
    views: dict[tuple[int, Window], Sequence[Floats]] = {}
    parts: list[tuple[Ints, slice, NormalFits]] = []
    returns = np.empty((draws * n, len(event_window)))
    riskfree = np.empty((draws * n, len(event_window)))
    shape = (draws * n, panel.regressors.shape[1])
    kept = (np.full((*shape, len(rows)), np.nan), np.empty((*shape, len(event_window)))) if keep_regressors else None
    for i in range(n):
        line, own = panel.lines[panel.line[i]], Window(*panel.own[i].tolist())
        around = views.get((panel.line[i], own))
        if around is None:
            around = views[panel.line[i], own] = around_sessions(line, own, estimable(line, design), design)
        at = position[:, i]
        cut = [np.ascontiguousarray(view[at]) for view in around]
        fits = design.model(*cut[:3])
        chosen = np.arange(draws) * n + i
        parts.append((chosen, own.within(rows), fits))
        returns[chosen], riskfree[chosen] = cut[3], cut[4]
        if kept is not None:
            kept[0][chosen, :, own.within(rows)] = cut[1]
            kept[1][chosen] = cut[2]
    fits = assemble(parts, draws * n, len(rows))
    returns[np.tile(subject.missing, (draws, 1))] = np.nan
    fits = replace(fits, expected=fits.expected + riskfree)
    abnormal = abnormal_returns(returns + riskfree, fits, event_window)
    return PseudoSamples(subject, position, fits, abnormal, *(kept or (None, None)))
