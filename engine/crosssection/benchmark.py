"""The same cross-sectional slopes on windows before the event, where there is nothing to find."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from engine.cholesky import solve
from engine.orthonormal import orthonormal

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
FEWEST_WINDOWS = 10
DEPENDENT = 1e-12


@dataclass(frozen=True)
class PreEvent:
    """The estimation windows of N events. residuals: (N, R), NaN where missing; days: (N, R) day numbers.

    rows: (N, K, R) what the least-squares model regresses on, K = 0 for none. length: days of the CAR window.
    """

    residuals: Floats
    days: Ints
    rows: Floats
    length: int

    def take(self, chosen: Ints) -> PreEvent:
        """The chosen events, in that order."""
        return PreEvent(self.residuals[chosen], self.days[chosen], self.rows[chosen], self.length)


def pre_event_slopes(pre: PreEvent | None, slopes: Floats, dates: Ints) -> tuple[Floats, str]:
    """(M, k) slopes w'CAR on M pre-event windows, or the reason why there are none.

    slopes: (k, N) the weights w. The windows have the length of the CAR window, do not overlap, and are counted back from
    the last estimation day; a day counts if every event has a return on it, so all events of a window stand on the same
    days.
    """
    if len(np.unique(dates)) > 1:
        return np.empty((0, len(slopes))), f"needs events of one date, has {len(np.unique(dates))} dates"
    if pre is None:
        return np.empty(
            (0, len(slopes))
        ), "the model is no least-squares regression that could be fitted without a window"
    cars = pre_event_cars(pre)
    if len(cars) < FEWEST_WINDOWS:
        reason = f"needs at least {FEWEST_WINDOWS} pre-event windows of {pre.length} days, has {len(cars)}"
        return np.empty((0, len(slopes))), reason
    return (cars[:, None, :] * slopes).sum(axis=2), ""


def pre_event_cars(pre: PreEvent) -> Floats:
    """(M, N) CARs of the pre-event windows, each window forecast by the model fitted to the other estimation days.

    e* = (I - H_BB)^-1 e_B = e_B + Q_B'(I - Q_B Q_B')^-1 Q_B e_B, e_B the residuals in the window, Q (K, R) the
    orthonormal regressors: a residual of the fit itself is smaller than a forecast error, at 21 of 240 days by 9 %.
    Cook & Weisberg (1982), section 3.6 (a set of rows left out).
    """
    finite = np.isfinite(pre.residuals)
    own = np.where(finite[:, None, :], pre.rows, 0.0)
    q = orthonormal(own, np.zeros((*own.shape[:2], 0)), DEPENDENT)[0]
    made = []
    for columns in _windows(pre):
        e = np.take_along_axis(pre.residuals, columns, axis=1)
        inside = np.take_along_axis(q, np.broadcast_to(columns[:, None], (*q.shape[:2], columns.shape[1])), axis=2)
        left = np.eye(q.shape[1]) - (inside[:, :, None, :] * inside[:, None, :, :]).sum(axis=3)
        share = (inside * e[:, None, :]).sum(axis=2)
        added = solve(left, share, DEPENDENT)
        made.append(e.sum(axis=1) + (added * inside.sum(axis=2)).sum(axis=1))
    return np.array(made).reshape(len(made), len(pre.residuals))


def _windows(pre: PreEvent) -> list[Ints]:
    """The columns (N, L) of each window: L consecutive common days, from the last one back."""
    finite = np.isfinite(pre.residuals)
    common = np.array(sorted(set.intersection(*({*d[f].tolist()} for d, f in zip(pre.days, finite, strict=True)))))
    count = len(common) // pre.length
    blocks = common[len(common) - count * pre.length :].reshape(count, pre.length)
    return [np.array([np.searchsorted(d, block) for d in pre.days]) for block in blocks]
