"""Each deal in each window: the CAR and money of its sides, and both together, or why that cannot be told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from engine.abnormal import Cars
from engine.combined import Combined, DayErrors, combine, day_errors
from engine.deals.sides import ROLES, Side
from engine.models import REFIT, NormalFits, fit
from engine.panel import EventPanel, Exclusion
from engine.sessions import Window

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Deal:
    """One deal in one window. members: for each of ``sides`` its place in the panel, -1 for one that is not in it. reasons:
    for each side "" where it enters the combined CAR. combined: None where there is none, and ``reason`` says why."""

    event_id: str
    window: Window
    sides: tuple[Side, ...]
    members: tuple[int, ...]
    reasons: tuple[str, ...]
    combined: Combined | None
    reason: str


@dataclass(frozen=True)
class Fitted:
    """What the study has fitted: the panel, its fits, and the basis of the estimation rows (N, R, k) and event rows (N, L, k)."""

    panel: EventPanel
    fits: NormalFits
    estimation_basis: npt.NDArray[np.float64]
    event_basis: npt.NDArray[np.float64]


def fitted(
    panel: EventPanel, fits: NormalFits, model: str, regressors: Sequence[str], options: Mapping[str, Any]
) -> Fitted:
    """The same fits, with the basis of the estimation rows as if they were the event's.

    A model that is no least squares on all its rows (it lacks a `REFIT`) does not say what an estimation day does to a forecast:
    its basis is zero, and the sides are taken to be as dependent as the days of their windows are common.
    """
    if REFIT in fits.lacks:
        n, rows, length = len(panel.pairs), len(panel.estimation_rows), len(panel.event_window)
        return Fitted(panel, fits, np.zeros((n, rows, 1)), np.zeros((n, length, 1)))
    again = fit(
        model, panel.returns, panel.regressors, panel.regressors, panel.estimation_rows, panel.own, regressors, options
    )
    return Fitted(panel, fits, again.forecast_basis, fits.forecast_basis)


def deals_of(
    sides: Mapping[str, Sequence[Side]], known: Fitted, cars: Sequence[Cars], exclusions: Sequence[Exclusion]
) -> list[Deal]:
    """Every deal in every window, in that order."""
    place = {(p.event_id, p.symbol): i for i, p in enumerate(known.panel.pairs)}
    lost = {(e.event_id, e.symbol): f"{e.stage}: {e.reason}" for e in exclusions if e.stage != "window"}
    made = []
    for event_id, own in sides.items():
        members = [place.get((event_id, side.symbol), -1) for side in own]
        for one in cars:
            reasons = _reasons(own, members, one, lost)
            made.append(_deal(event_id, own, members, reasons, known, one))
    return made


def _reasons(
    sides: Sequence[Side], members: Sequence[int], cars: Cars, lost: Mapping[tuple[str, str], str]
) -> list[str]:
    """Why each side does not enter the combined CAR, "" where it does."""
    valued = {(side.role, side.firm) for side in sides if side.value > 0}
    found = []
    for side, i in zip(sides, members, strict=True):
        if i < 0:
            found.append(f"not measured ({lost.get((side.event_id, side.symbol), 'excluded')})")
        elif not cars.complete[i]:
            found.append(f"not complete in {cars.window}")
        elif side.value > 0:
            found.append("")
        else:
            other = (side.role, side.firm) in valued
            found.append(f"another line of {side.firm} carries its market_value" if other else "no market_value")
    return found


def _deal(
    event_id: str, sides: Sequence[Side], members: Sequence[int], reasons: Sequence[str], known: Fitted, cars: Cars
) -> Deal:
    entering = [k for k, reason in enumerate(reasons) if not reason]
    firms = {(sides[k].role, sides[k].firm) for k in entering}
    problems = [f"no {role} in the calendar" for role in ROLES if role not in {side.role for side in sides}]
    for k, side in enumerate(sides):  # a line that has a value, or that no other line of the firm stands for
        if reasons[k] and (side.value > 0 or (side.role, side.firm) not in firms):
            problems.append(f"{side.role} {side.symbol}: {reasons[k]}")
    combined = None
    if not problems:
        i = np.array([members[k] for k in entering], np.int64)
        values = np.array([sides[k].value for k in entering])
        combined = combine(cars.car[i], cars.se[i], cars.dof[i], values, _errors(known, i, cars.window))
        problems = [combined.unavailable] if combined.unavailable else []
    return Deal(event_id, cars.window, tuple(sides), tuple(members), tuple(reasons), combined, "; ".join(problems))


def _errors(known: Fitted, i: Ints, window: Window) -> DayErrors:
    panel, columns = known.panel, window.within(known.panel.event_window)
    return day_errors(
        known.fits.residuals[i],
        panel.estimation_days[i],
        known.estimation_basis[i],
        known.event_basis[i][:, columns],
        panel.event_dates[i][:, columns].astype("datetime64[D]").astype(np.int64),
    )
