"""Named windows: each event's own days between two stamps of the calendar, and the CAR over them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from engine.abnormal import AbnormalReturns, abnormal_returns, cumulate
from engine.announcements import Reaction
from engine.models import fit
from engine.panel import EventPanel, Exclusion, build_panel
from engine.sessions import NO_DAY, Window, first_on_or_after
from engine.spec import End

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
NOT_THERE = ("no_date", "no_session")  # the event has no such window: nothing is lost
FEW_DAYS = 5


@dataclass(frozen=True)
class Span:
    """The days of one pair in one named window; window None where it has none, with the reason and its detail."""

    window: Window | None
    reason: str = ""
    detail: str = ""


@dataclass(frozen=True)
class SpanCars:
    """CARs of N pairs over one named window, each over its own days; NaN where ``spans`` says why there is none.

    car, se, scar, bhar: (N,), as in `Cars`. dof: (N,). first, last: (N,) the days, NaT where there are none.
    """

    name: str
    spans: tuple[Span, ...]
    car: Floats
    se: Floats
    scar: Floats
    bhar: Floats
    dof: Ints
    first: npt.NDArray[np.datetime64]
    last: npt.NDArray[np.datetime64]

    @property
    def complete(self) -> npt.NDArray[np.bool_]:
        """(N,) whether there is a CAR."""
        return np.isfinite(self.car)


def find_spans(
    panel: EventPanel, rows: Sequence[int], ends: tuple[End, End], stamped: Mapping[str, Sequence[Reaction | None]]
) -> list[Span]:
    """The days of every pair of the panel between two ends. rows: of each pair, its place in ``stamped``."""
    return [_span(panel, i, row, ends, stamped) for i, row in enumerate(rows)]


def _span(
    panel: EventPanel, i: int, row: int, ends: tuple[End, End], stamped: Mapping[str, Sequence[Reaction | None]]
) -> Span:
    places = []
    for end in ends:
        reaction = stamped[end.column][row] if end.column else None
        if end.column and reaction is None:
            return Span(None, "no_date", f"{end.column} is empty")
        if reaction is not None and reaction.event_day is None:
            return Span(None, reaction.lost, f"{end.column}: {reaction.reason}")
        start = 0
        if reaction is not None and reaction.event_day is not None:
            start = first_on_or_after(reaction.event_day, panel.lines[panel.line[i]].dates) - int(panel.position[i])
        places.append(start + end.days)
    first, last = places
    if first > last:
        return Span(
            None, "no_session", f"{ends[0]} is relative day {first}, {ends[1]} is {last}: no session between them"
        )
    if first <= panel.own[i, 1]:
        detail = f"[{first}, {last}] begins in or before the estimation window {panel.pairs[i].own}"
        return Span(None, "estimation_overlap", detail)
    return Span(Window(first, last))


def span_cars(
    name: str, spans: Sequence[Span], panel: EventPanel, model: str, regressors: Sequence[str],
    options: Mapping[str, Any], log_returns: bool | None, bridged: bool,
) -> SpanCars:  # fmt: skip
    """The CARs of one named window, by the fits of the study carried on to the window's days.

    log_returns: None for an outcome that is no return, which has no bhar.
    Every event's standard error has the full forecast-error covariance of its own days (`cumulate`); events of one listing
    that overlap keep their own fits.
    """
    made, found = _nothing(name, spans), list(spans)
    held = np.array([i for i, span in enumerate(spans) if span.window is not None], np.int64)
    if not len(held):
        return made
    windows = [w for span in spans if (w := span.window) is not None]
    wide = _carried_on(panel.take(held), Window(min(w.start for w in windows), max(w.end for w in windows)))
    fits = fit(
        model, wide.returns, wide.regressors, wide.event_regressors, wide.estimation_rows, wide.own, regressors, options,
        bridged,
    )  # fmt: skip
    fits = replace(fits, expected=fits.expected + wide.event_riskfree)
    abnormal = abnormal_returns(wide.event_returns, fits, wide.event_window)
    for window in sorted(set(windows)):
        at = np.flatnonzero([w == window for w in windows])
        part, days = _of(abnormal, at), window.within(wide.event_window)
        cars = cumulate(part, fits.take(at), window, bool(log_returns))
        for column in ("car", "se", "scar", "bhar") if log_returns is not None else ("car", "se", "scar"):
            getattr(made, column)[held[at]] = np.where(cars.complete, getattr(cars, column), np.nan)
        made.dof[held[at]] = cars.dof
        made.first[held[at]], made.last[held[at]] = wide.event_dates[at, days][:, 0], wide.event_dates[at, days][:, -1]
        for k in np.flatnonzero(cars.complete & ~np.isfinite(cars.car)):
            found[held[at[k]]] = Span(window, "too_large", "the abnormal returns sum to more than a number can hold")
        for k in np.flatnonzero(~cars.complete):
            gone = window.days[~np.isfinite(part.by_day[k, days])]
            found[held[at[k]]] = Span(window, "missing_days", _missing(gone))
    return replace(made, spans=tuple(found))


def _nothing(name: str, spans: Sequence[Span]) -> SpanCars:
    """No CAR yet for any event."""
    n = len(spans)
    car, se, scar, bhar = np.full((4, n), np.nan)
    first, last = np.full((2, n), NO_DAY, "datetime64[D]")
    return SpanCars(name, tuple(spans), car, se, scar, bhar, np.zeros(n, np.int64), first, last)


def _of(abnormal: AbnormalReturns, at: Ints) -> AbnormalReturns:
    """The abnormal returns of some of the events."""
    parts = {name: getattr(abnormal, name)[at] for name in ("actual", "expected", "ar", "sar")}
    return replace(abnormal, **parts, spans=None if abnormal.spans is None else abnormal.spans[at])


def _carried_on(panel: EventPanel, window: Window) -> EventPanel:
    """The panel with another event window, its estimation rows as they are."""
    lines = {pair.line: panel.lines[k] for pair, k in zip(panel.pairs, panel.line, strict=True)}
    wide = build_panel(panel.pairs, lines, window)
    return replace(
        panel, event_window=window, event_returns=wide.event_returns, event_riskfree=wide.event_riskfree,
        event_regressors=wide.event_regressors, event_dates=wide.event_dates,
    )  # fmt: skip


def _missing(days: Ints) -> str:
    """The days without a return, the first few by name."""
    if not len(days):
        return "a return over several sessions begins before the window or ends after it"
    named = ", ".join(str(d) for d in days[:FEW_DAYS])
    more = f" and {len(days) - FEW_DAYS} more" if len(days) > FEW_DAYS else ""
    return f"no return on relative day {named}{more}"


def span_exclusions(name: str, spans: Sequence[Span], panel: EventPanel) -> list[Exclusion]:
    """A row of stage ``window`` for every pair that has such a window and no CAR over it."""
    return [
        Exclusion(pair.event_id, pair.symbol, "window", span.reason, f"{name}: {span.detail}")
        for pair, span in zip(panel.pairs, spans, strict=True)
        if span.reason and span.reason not in NOT_THERE
    ]
