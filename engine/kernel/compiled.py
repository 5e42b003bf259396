"""The compiled kernel in the form of the other one: `layout` in, `layout` out, and models with the signature of `MODELS`."""

from __future__ import annotations

from threading import Lock
from typing import Any

import numpy as np
import numpy.typing as npt

from engine.abnormal import LONG
from engine.kernel.layout import (
    REASONS,
    Asked,
    Calendar,
    CrossProducts,
    Measured,
    RawEvents,
    RawRows,
    RowReport,
    coefficient_names,
    empty_measured,
)
from engine.models import NormalFits
from engine.sessions import Window

Floats = npt.NDArray[np.float64]
MAKING = Lock()  # held while the cross products of a calendar, which the threads share, are made


def measure_compiled(raw: RawRows, calendar: Calendar, events: RawEvents, asked: Asked) -> tuple[Measured, RowReport]:
    """All events of the securities, for a model of `LINEAR`."""
    from engine.kernel import fused

    windows, x = asked.windows, calendar.regressors
    long = np.array([len(w) > LONG for w in windows], np.bool_)
    columns = [w.within(asked.event_window) for w in windows]
    front = max(-asked.event_window.start, asked.event_window.end + 1, 0)
    around = 0.0 * calendar.riskfree + 0.0 * x.sum(axis=0)
    given = fused.Given(
        fused.KINDS[asked.model], raw.is_return, asked.log_returns, calendar.days, calendar.skip, x, calendar.riskfree,
        around, asked.min_days, asked.rows.start, len(asked.rows), asked.event_window.start, len(asked.event_window),
        np.array([c.start for c in columns]), np.array([c.stop for c in columns]), long,
        np.pad(x, ((0, 0), (front, front))), np.pad(calendar.riskfree, front), front,
        *_cross_products(calendar, asked, around, events.position),
    )  # fmt: skip
    made = empty_measured(
        coefficient_names(asked.model, len(x)), len(events.position), asked, bool(long.any()), filled=False
    )
    numbers = fused.Numbers(*(getattr(made, name) for name in fused.Numbers._fields))
    report = np.empty((4, len(raw.start) - 1), np.int32)
    gaps = np.empty((max(len(raw.days), 1), 3), np.int32)  # room that is not touched costs nothing
    rows = (_read_only(held) for held in (raw.start, raw.days, raw.values, events.start, events.position, events.own))
    found = fused.measure(given, *rows, report, gaps, numbers)
    return made, RowReport(report[0].astype(np.int8), report[1], report[2], report[3], gaps[:found].copy())


def loaded() -> None:
    """Load what is compiled, half a second's work, by measuring nothing."""
    day = np.zeros(1, np.int32)
    nothing = RawRows(np.zeros(2, np.int64), day[:0], np.empty(0), is_return=True)
    events = RawEvents(np.zeros(2, np.int64), day[:0], np.empty((0, 2), np.int32))
    asked = Asked("raw", Window(-1, -1), Window(0, 0), (Window(0, 0),), 1, log_returns=False, days=False)
    measure_compiled(nothing, Calendar(day, np.zeros((1, 1)), np.zeros(1)), events, asked)


def _read_only(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """The array as one that may not be written to, as those of a file are not: for both kinds it would be compiled twice."""
    seen = values.view()
    seen.flags.writeable = False
    return seen


def _cross_products(calendar: Calendar, asked: Asked, around: Floats, position: npt.NDArray[np.int32]) -> CrossProducts:
    """`fused.cross_products` of the estimation window before each ``position``, made once for all parts on one calendar."""
    from engine.kernel import fused

    k, sessions = calendar.regressors.shape
    if asked.model != "factor" or k > fused.MOST:
        return np.empty((0, k, k)), np.empty((0, k)), np.empty(0, np.int32)
    with MAKING:
        room = np.empty((sessions, k, k)), np.empty((sessions, k)), np.zeros(sessions, np.int32)
        made = calendar.products.setdefault(asked.rows, room)
        fused.cross_products(position, asked.rows.start, len(asked.rows), calendar.regressors, around, *made)
    return made


def compiled_model(name: str, returns: Floats, regressors: Floats, event_regressors: Floats) -> NormalFits:
    """The fits of a model of `LINEAR`, as `MODELS` has it."""
    from engine.kernel import fused

    (n, rows), k, length = returns.shape, regressors.shape[1], event_regressors.shape[2]
    names, kind = coefficient_names(name, k), fused.KINDS[name]
    used = regressors[:, : _used(name, k)], event_regressors[:, : _used(name, k)]
    code, n_obs, dof = np.zeros(n, np.int8), np.zeros(n, np.int64), np.zeros(n, np.int64)
    coefficients, sigma, r2 = np.full((n, len(names)), np.nan), np.full(n, np.nan), np.full(n, np.nan)
    residuals, expected = np.full((n, rows), np.nan), np.full((n, length), np.nan)
    basis = np.full((n, length, len(names)), np.nan)
    fused.fit_dense(
        kind, np.ascontiguousarray(returns), *(np.ascontiguousarray(u) for u in used), coefficients, n_obs, dof, sigma,
        r2, residuals, expected, basis, code,
    )  # fmt: skip
    reasons = np.array(REASONS)[code]
    return NormalFits(names, coefficients, n_obs, dof, sigma, r2, residuals, expected, basis, reasons)


def _used(model: str, k: int) -> int:
    """How many of the K regressors a model looks at."""
    return {"raw": 0, "mean_adjusted": 0, "market_adjusted": 1, "market": 1}.get(model, k)
