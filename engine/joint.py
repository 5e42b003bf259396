"""Events of one listing in overlapping windows: one regression with a dummy for each, so that none takes another's days.

R_t = x_t' b + sum_e gamma_e D_et + u_t over the clean estimation rows and the days of all the events' windows;
D_et = 1 on the L days of event e's window. gamma_e is the mean abnormal return of a day that only the events it is in
explain, CAR_e = L gamma_e. Binder (1985), eq. 2; Karafiath (1988); Salinger (1992), section 3. Where a window has one
day and no two events share it, CAR_e is the ordinary forecast error.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from engine.abnormal import Cars
from engine.orthonormal import orthonormal
from engine.panel import EventPanel, Exclusion
from engine.sessions import Window

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
COLLINEAR = 1e-9  # of a dummy's length left by the columns before it: less is no day of its own
JOINT_MODELS = ("market", "market_adjusted", "mean_adjusted", "factor", "raw", "matched")


@dataclass(frozen=True)
class JointCars:
    """CARs of E events of one line in one window.

    car, se: (E,), se with the regression's own sigma; NaN for an event with a missing day, and for all if collinear.
    dof: rows - k - E. shared: (E,) whether a day of the window is a day of another event's window too.
    collinear: whether the days of the events cannot be told apart.
    """

    car: Floats
    se: Floats
    dof: int
    shared: npt.NDArray[np.bool_]
    collinear: bool


def part_overlapping(
    cars: Cars, panel: EventPanel, model: str, clusters: Mapping[tuple[str, str], int]
) -> tuple[Cars, list[Exclusion]]:
    """Put the joint CARs of every cluster into ``cars``; the other pairs keep theirs, and every pair its bhar.

    clusters: by event and symbol, pairs of one line. The estimation rows are those of the cluster's earliest event.
    Returns also a row of stage ``window`` for each pair whose days cannot be told from another event's.
    """
    members: dict[int, list[int]] = {}
    for i, pair in enumerate(panel.pairs):
        if (pair.event_id, pair.symbol) in clusters:
            members.setdefault(clusters[pair.event_id, pair.symbol], []).append(i)
    car, se, dof = cars.car.copy(), cars.se.copy(), cars.dof.copy()
    complete, shared, lost = cars.complete.copy(), cars.shared.copy(), []
    for group in members.values():
        first = min(group, key=lambda i: int(panel.position[i]))
        line = panel.lines[panel.line[first]]
        estimation = panel.position[first] + panel.estimation_rows.days[np.isfinite(panel.returns[first])]
        regression = regression_of(model, line.returns - line.riskfree, line.regressors)
        found = joint_cars(*regression, estimation, panel.position[group], cars.window)
        car[group], se[group], dof[group], shared[group] = found.car, found.se, found.dof, found.shared
        if found.collinear:
            ids = ", ".join(sorted(panel.pairs[i].event_id for i in group))
            detail = f"{cars.window}: the days of {ids} cannot be told apart by dummies"
            pairs = [panel.pairs[i] for i in group if complete[i]]
            lost += [Exclusion(p.event_id, p.symbol, "window", "joint_collinear", detail) for p in pairs]
            complete[group] = False
    return replace(cars, car=car, se=se, scar=car / se, dof=dof, complete=complete, shared=shared), lost


def indistinct(panel: EventPanel, clusters: Mapping[tuple[str, str], int]) -> list[Exclusion]:
    """A row for each pair of a cluster whose day 0 is another's too, before anything is estimated: no window parts them."""
    days: dict[tuple[int, int], list[int]] = {}
    for i, pair in enumerate(panel.pairs):
        if (pair.event_id, pair.symbol) in clusters:
            days.setdefault((int(panel.line[i]), int(panel.position[i])), []).append(i)
    lost = []
    for same in days.values():
        for i in same if len(same) > 1 else ():
            pair, others = panel.pairs[i], ", ".join(sorted(panel.pairs[j].event_id for j in same if j != i))
            detail = f"{panel.event_window}: day 0 {pair.event_day} is that of {others} too"
            lost.append(Exclusion(pair.event_id, pair.symbol, "window", "joint_collinear", detail))
    return lost


def regression_of(model: str, returns: Floats, market: Floats) -> tuple[Floats, Floats]:
    """What a model explains (S,) and its regressors (K, S): `JOINT_MODELS`; raw, market-adjusted and matched returns have none.

    market: (K', S) benchmark and factors, as on the line.
    """
    constant = np.ones((1, len(returns)))
    if model == "raw":
        return returns, constant[:0]
    if model in ("market_adjusted", "matched"):
        return returns - market[0], constant[:0]
    if model == "mean_adjusted":
        return returns, constant
    return returns, np.concatenate([constant, market])


def joint_cars(explained: Floats, regressors: Floats, estimation: Ints, day_zero: Ints, window: Window) -> JointCars:
    """CARs of E events by one least-squares fit with a dummy for each.

    explained: (S,), regressors: (K, S), on the sessions of the line, NaN where missing. estimation: (M,) positions of
    the clean estimation rows. day_zero: (E,) positions of day 0. A missing day takes its event out of the window; the
    event's dummy stays on its other days, so that the others are still freed of it.
    """
    days = day_zero[:, None] + window.days
    inside = (days >= 0) & (days < len(explained))
    usable = np.isfinite(explained) & np.isfinite(regressors).all(axis=0)
    rows = np.concatenate([estimation, np.setdiff1d(days[inside], estimation)])
    rows = rows[usable[rows]]
    dummies = np.stack([np.isin(rows, d[i]) for d, i in zip(days, inside, strict=True)]).astype(np.float64)
    there = dummies.any(axis=1)
    complete = (inside & usable[np.where(inside, days, 0)]).all(axis=1)
    shared = np.array([np.isin(d, np.delete(days, e, axis=0)).any() for e, d in enumerate(days)])
    k, events = len(regressors), int(there.sum())
    dof = len(rows) - k - events
    design = np.ascontiguousarray(np.concatenate([regressors[:, rows], dummies[there]]))
    coefficients, variances = _least_squares(design, np.ascontiguousarray(explained[rows]), dof)
    car, se = np.full(len(days), np.nan), np.full(len(days), np.nan)
    car[there] = len(window) * coefficients[k:]
    se[there] = len(window) * np.sqrt(variances[k:])
    lost = ~complete
    car[lost], se[lost] = np.nan, np.nan
    return JointCars(car, se, dof, shared, bool(np.isnan(coefficients).any()))


def _least_squares(design: Floats, y: Floats, dof: int) -> tuple[Floats, Floats]:
    """Coefficients (K,) and their variances for a (K, rows) design; NaN for both where its columns are collinear.

    X = Q R gives b = R^-1 Q'y and (X'X)^-1 = R^-1 R^-1'.
    """
    unit, upper, _ = (part[0] for part in orthonormal(design[None], np.empty((1, len(design), 0)), COLLINEAR))
    if np.isnan(upper).any() or dof < 1:
        return np.full(len(design), np.nan), np.full(len(design), np.nan)
    shares = (unit * y).sum(axis=1)
    error = y - (shares[:, None] * unit).sum(axis=0)
    inverse = _inverse(upper)
    return (inverse * shares).sum(axis=1), (error * error).sum() / dof * (inverse * inverse).sum(axis=1)


def _inverse(upper: Floats) -> Floats:
    """The inverse of an upper triangular matrix, column by column from below."""
    k = len(upper)
    inverse = np.zeros((k, k))
    for j in range(k):
        inverse[j, j] = 1 / upper[j, j]
        for i in reversed(range(j)):
            inverse[i, j] = -(upper[i, i + 1 : j + 1] * inverse[i + 1 : j + 1, j]).sum() / upper[i, i]
    return inverse
