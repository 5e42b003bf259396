"""Signals: the side, the first moment to trade and the hedge of every pair of the calendar, known when the news is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from engine.announcements import Reaction
from engine.inputs import Study
from engine.lines import Line
from engine.measured import model_options
from engine.models import DEGENERATE, WITHOUT_BENCHMARK, NormalFits, fit
from engine.panel import EventPanel, build_panel
from engine.plan import Plan, last_year_of
from engine.sessions import Sessions, closes_on, exchange_sessions, first_after

Floats = npt.NDArray[np.float64]
SIDES = {"+": 1.0, "-": -1.0}
SIGN = "expected_sign"
AS_ONE = frozenset({"market_adjusted", "matched"})  # models whose expected return is the benchmark's


@dataclass(frozen=True)
class Signal:
    """One row of the calendar. side: 1 or -1, that of the expected sign. line: of `Market.lines`, -1 for none. position: day 0
    on it. first, at_open: the first moment to trade, the open or the close of a session. beta: of the hedge. reason: "" or why
    it is not traded."""

    event_id: str
    symbol: str
    reason: str
    side: float = 0.0
    line: int = -1
    position: int = -1
    first: int = -1
    at_open: bool = False
    beta: float = 0.0


@dataclass(frozen=True)
class Book:
    """Every signal in the order of the calendar, and the lines they are traded on. panel: the pairs of the signals that are
    traded, in their order, None without any. hedged: whether there is a hedge. coefficient: its column among those of the
    model's fit, -1 where it is 1 for all."""

    signals: tuple[Signal, ...]
    lines: tuple[Line, ...]
    panel: EventPanel | None
    hedged: bool
    coefficient: int


def book_of(study: Study, plan: Plan, opens: bool) -> Book:
    """The signals of a study. opens: whether a position may be entered at an open.

    The beta is the model's, fitted to the pair's own estimation window, which ends before the entry. It does not matter to a
    signal whether the prices of its event window are all there, or what the policy of contamination leaves out.
    """
    table, model = study.announcements.table, study.spec.model.name
    signs = study.announcements.attributes[SIGN].to_list()
    keys = sorted({p.line for p in plan.pairs})
    panel = build_panel(plan.pairs, dict(zip(keys, plan.lines, strict=True)), study.spec.event_window) if keys else None
    hedged = bool(plan.regressors) and model not in WITHOUT_BENCHMARK and model != "custom"
    betas, reasons, coefficient = _betas(study, plan, panel, hedged)
    row_of = {(p.event_id, p.symbol): i for i, p in enumerate(plan.pairs)}
    signals, traded, until = [], [], last_year_of(study)
    rows = zip(table.iter_rows(named=True), plan.reactions, study.exchanges, signs, strict=True)
    for row, reaction, exchange, sign in rows:
        key = (row["event_id"], row["symbol"])
        i = row_of.get(key)
        if sign not in SIDES:
            signals.append(Signal(*key, "no expected sign"))
        elif i is None or panel is None:
            signals.append(Signal(*key, reaction.reason if reaction.event_day is None else "no price file"))
        elif reasons[i]:
            signals.append(Signal(*key, reasons[i]))
        else:
            line = panel.lines[panel.line[i]]
            sessions = exchange_sessions(exchange, until) if exchange is not None else None
            first, at_open = first_moment(reaction, line, sessions, opens)
            late = coefficient >= 0 and panel.position[i] + panel.own[i, 1] >= first
            said = "the estimation window ends after the entry" if late else ""
            signals.append(
                Signal(
                    *key, said, side=SIDES[sign], line=int(panel.line[i]), position=int(panel.position[i]), first=first,
                    at_open=at_open, beta=float(betas[i]),
                )
            )  # fmt: skip
            traded += [] if said else [i]
    used = panel.take(np.array(traded)) if panel is not None and traded else None
    return Book(tuple(signals), panel.lines if panel is not None else (), used, hedged, coefficient)


def first_moment(reaction: Reaction, line: Line, sessions: Sessions | None, opens: bool) -> tuple[int, bool]:
    """The first open or close strictly after the stamp: the session on the line, and whether it is the open.

    A date without a zone, and one on a line without hours, is over at its end: the first session after it.
    """
    instant, dates = reaction.stamp.instant, line.dates
    if instant is None or sessions is None:
        return int(np.searchsorted(dates, reaction.stamp.day, side="right")), opens
    if line.exchange:
        close, at = first_after(instant, sessions.closes), first_after(instant, sessions.opens)
        return (at, True) if opens and at <= close else (close, False)
    return first_after(instant, closes_on(dates, sessions)), False


def _betas(study: Study, plan: Plan, panel: EventPanel | None, hedged: bool) -> tuple[Floats, Sequence[str], int]:
    """(N,) the hedge of every pair, why it has none, and the coefficient that it is."""
    if panel is None or not hedged:
        n = len(plan.pairs)
        return np.zeros(n), [""] * n, -1
    spec, n = study.spec, len(panel.pairs)
    n_obs = np.isfinite(panel.returns).sum(axis=1)
    enough = np.flatnonzero(n_obs >= spec.model.min_estimation_days)
    betas, reasons, column = np.full(n, np.nan), ["too few estimation days for a hedge"] * n, -1
    if len(enough):
        fits = fit_of(study, plan, panel.take(enough))
        column = -1 if spec.model.name in AS_ONE else fits.names.index(f"beta_{plan.regressors[0]}")
        betas[enough] = 1.0 if column < 0 else fits.coefficients[:, column]
        for i, why in zip(enough.tolist(), fits.degenerate.tolist(), strict=True):
            reasons[i] = DEGENERATE[why] if why else ""
    return betas, reasons, column


def fit_of(study: Study, plan: Plan, panel: EventPanel) -> NormalFits:
    """The study's model fitted to every pair of a panel."""
    spec = study.spec
    return fit(
        spec.model.name, panel.returns, panel.regressors, panel.event_regressors, panel.estimation_rows, panel.own,
        plan.regressors, model_options(study), spec.prices.missing == "trade_to_trade",
    )  # fmt: skip
