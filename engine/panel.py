"""The seam: announcements and lines become arrays of returns in event time. Behind it there are no dates and no tables.

Every pair that does not get through leaves a row with a reason.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from engine.announcements import Reaction
from engine.lines import Line
from engine.sessions import NO_DAY, Days, Window, first_on_or_after

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Exclusion:
    """One lost pair, or one lost window of a pair (stage ``window``)."""

    event_id: str
    symbol: str
    stage: str
    reason: str
    detail: str


@dataclass(frozen=True)
class Pair:
    """One (event, listing) pair that has a day 0: where it stands and its own estimation window."""

    event_id: str
    symbol: str
    line: tuple[str, str, str]
    event_day: np.datetime64
    own: Window


@dataclass(frozen=True)
class EventPanel:
    """N pairs in event time: R estimation rows, L event rows.

    estimation_rows: the relative days of the R columns (the union of the pairs' own windows); event_window: of the L.
    own: (N, 2) each pair's own estimation window. line, position: (N,) its line in ``lines`` and day 0 on it.
    returns: (N, R) in excess of the risk-free rate where the model asks for that; regressors: (N, K, R) benchmark and
    factors; NaN outside the pair's own window and where missing. estimation_days: (N, R) day numbers.
    event_returns: (N, L) never in excess; event_riskfree: (N, L); event_regressors: (N, K, L). event_dates: (N, L), NaT
    beyond the calendar.
    """

    pairs: tuple[Pair, ...]
    lines: tuple[Line, ...]
    estimation_rows: Window
    event_window: Window
    own: Ints
    line: Ints
    position: Ints
    returns: Floats
    regressors: Floats
    estimation_days: Ints
    event_returns: Floats
    event_riskfree: Floats
    event_regressors: Floats
    event_dates: Days

    def take(self, chosen: npt.NDArray[np.int64]) -> EventPanel:
        """The chosen pairs, in that order."""
        arrays = {
            f.name: getattr(self, f.name)[chosen] for f in fields(self) if isinstance(getattr(self, f.name), np.ndarray)
        }
        return replace(self, pairs=tuple(self.pairs[i] for i in chosen), **arrays)


def build_panel(pairs: Sequence[Pair], lines: Mapping[tuple[str, str, str], Line], event_window: Window) -> EventPanel:
    """Cut the windows of every pair (at least one) out of its line."""
    rows = Window(min(p.own.start for p in pairs), max(p.own.end for p in pairs))
    keys = sorted({p.line for p in pairs})
    line_of = {key: i for i, key in enumerate(keys)}
    line = np.array([line_of[p.line] for p in pairs])
    own = np.array([[p.own.start, p.own.end] for p in pairs])
    position = np.array([first_on_or_after(p.event_day, lines[p.line].dates) for p in pairs])
    used = tuple(lines[k] for k in keys)

    def cut(window: Window, values: Callable[[Line], npt.NDArray[Any]], beyond: Any) -> npt.NDArray[Any]:
        """The window around day 0 of every pair, (N, ..., len(window)); ``beyond`` where the line has ended."""
        parts = [_cut(values(one), position[line == i], window, beyond) for i, one in enumerate(used)]
        joined = np.empty((len(pairs), *parts[0].shape[1:]), parts[0].dtype)
        for i, part in enumerate(parts):
            joined[line == i] = part
        return joined

    nowhere = NO_DAY
    panel = EventPanel(
        pairs=tuple(pairs),
        lines=used,
        estimation_rows=rows,
        event_window=event_window,
        own=own,
        line=line,
        position=position,
        returns=cut(rows, lambda one: one.returns - one.riskfree, np.nan),
        regressors=cut(rows, lambda one: one.regressors, np.nan),
        estimation_days=cut(rows, lambda one: one.dates.astype(np.int64), 0),
        event_returns=cut(event_window, lambda one: one.returns, np.nan),
        event_riskfree=cut(event_window, lambda one: one.riskfree, np.nan),
        event_regressors=cut(event_window, lambda one: one.regressors, np.nan),
        event_dates=cut(event_window, lambda one: one.dates, nowhere),
    )
    outside = (rows.days < own[:, :1]) | (rows.days > own[:, 1:])
    panel.returns[outside] = np.nan
    return panel


def _cut(values: npt.NDArray[Any], at: Ints, window: Window, beyond: Any) -> npt.NDArray[Any]:
    """(len(at), ..., len(window)) of values (..., S) around each position."""
    place = at[:, None] + window.days
    inside = (place >= 0) & (place < values.shape[-1])
    held = np.clip(place, 0, values.shape[-1] - 1)
    return np.moveaxis(np.where(inside, values[..., held], beyond).astype(values.dtype), -2, 0)


def usable(panel: EventPanel, min_days: int) -> tuple[EventPanel | None, list[Exclusion]]:
    """Leave out pairs without any event-window return, and pairs with too few estimation rows.

    Returns the panel of the others, None if there are none, and a row for each pair lost.
    """
    lost = []
    no_return = np.asarray(~np.isfinite(panel.event_returns).any(axis=1))
    n_obs = np.isfinite(panel.returns).sum(axis=1)
    for i in np.flatnonzero(no_return | (n_obs < min_days)):
        pair, line = panel.pairs[i], panel.lines[panel.line[i]]
        if no_return[i]:
            detail = without_returns(panel.event_window, pair, line.span, line.against)
            lost.append(Exclusion(pair.event_id, pair.symbol, "prices", "no_event_returns", detail))
        else:
            detail = too_few_days(int(n_obs[i]), min_days, pair, line.span, line.against)
            lost.append(Exclusion(pair.event_id, pair.symbol, "estimation", "too_few_estimation_days", detail))
    kept = np.flatnonzero(~no_return & (n_obs >= min_days))
    return (panel.take(kept) if len(kept) else None), lost


def without_returns(window: Window, pair: Pair, span: str, against: str) -> str:
    """What is said of a pair without any return in the event window; span, against: of `Line`."""
    return f"no return in {window} around {pair.event_day}: {pair.symbol} ({span}){_against(against)}"


def too_few_days(n_obs: int, needed: int, pair: Pair, span: str, against: str) -> str:
    """What is said of a pair with too few estimation rows."""
    return f"{n_obs} returns in {pair.own} before {pair.event_day}, {needed} needed; prices {span}{_against(against)}"


def _against(words: str) -> str:
    return f"; against {words}" if words else ""


def reaction_exclusion(event_id: str, symbol: str, reaction: Reaction) -> Exclusion:
    """The row of a pair that has no day 0."""
    return Exclusion(event_id, symbol, "sessions", reaction.lost, reaction.reason)
