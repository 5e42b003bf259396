"""Abnormal returns and what they cumulate to. Every formula that lies between the model and the tests is here.

AR = R - E[R]; Var(AR_t) = sigma^2 V_tt with V = I + B B' (`NormalFits.forecast_basis`), so for a window
Var(CAR) = sigma^2 (L + sum_k (sum_t B_tk)^2): the sum of all entries of V.
Campbell, Lo & MacKinlay (1997), eq. 4.4.7-4.4.12; Salinger (1992).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from engine.models import NormalFits
from engine.sessions import Window
from engine.ties import above

Floats = npt.NDArray[np.float64]
LONG = 20  # days; over a longer window sums of simple and of log returns and compounding part ways


@dataclass(frozen=True)
class AbnormalReturns:
    """Abnormal returns of N events over the L days of the event window; NaN where there is no return.

    actual, expected, ar: (N, L), in units of return. sar: (N, L) AR over its forecast standard error. spans: (N, L) sessions
    that each covers, None where that is one for all (`NormalFits.spans`).
    """

    window: Window
    actual: Floats
    expected: Floats
    ar: Floats
    sar: Floats
    spans: Floats | None = None

    @property
    def by_day(self) -> Floats:
        """(N, L) ARs in equal parts on every session that they cover, NaN where none does."""
        if self.spans is None:
            return self.ar
        days = np.full(self.ar.shape, np.nan)
        share = self.ar / self.spans
        for back in range(self.ar.shape[1]):
            covers = self.spans > back  # the session ``back`` before the one on which the return is
            reached = np.where(covers, share, np.nan)[:, back:]
            days[:, : reached.shape[1]] = np.where(np.isfinite(reached), reached, days[:, : reached.shape[1]])
        return days

    def complete(self, columns: slice) -> npt.NDArray[np.bool_]:
        """(N,) whether the returns in the columns cover them all, and nothing before."""
        present = np.isfinite(self.ar[:, columns])
        if self.spans is None:
            return np.asarray(present.all(axis=1))
        reached = np.where(present, self.spans[:, columns], 0.0).sum(axis=1)
        covered = np.isfinite(self.by_day[:, columns]).all(axis=1)
        return np.asarray(present[:, -1] & covered & (reached == present.shape[1]))


@dataclass(frozen=True)
class Cars:
    """CARs of N events over one window; NaN for an event with a missing day in it.

    car: (N,) sum of ARs. se: (N,) with the full forecast-error covariance. scar: (N,) car / se.
    bhar: (N,) buy-and-hold abnormal return. complete: (N,) whether every day is there. dof: (N,) of se. shared: (N,)
    whether a joint regression parted days that the window has in common with another event's (`engine.joint`).
    simple, log, compound: (N,) three ways to cumulate the event's own ARs (`three_ways`), NaN where the window is not
    longer than `LONG` days.
    """

    window: Window
    car: Floats
    se: Floats
    scar: Floats
    bhar: Floats
    complete: npt.NDArray[np.bool_]
    dof: npt.NDArray[np.int64]
    shared: npt.NDArray[np.bool_]
    simple: Floats
    log: Floats
    compound: Floats


@dataclass(frozen=True)
class Averages:
    """Cross-sectional averages by relative day, (L,) each; NaN where no event has a value.

    n: events present. caar: running sum of aar. se_aar: sd / sqrt(n), ddof 1. se_caar: sd / sqrt(n) of the CARs from
    the window's first day, over the events complete so far. share_positive: of ARs above zero.
    """

    n: npt.NDArray[np.int64]
    aar: Floats
    caar: Floats
    se_aar: Floats
    se_caar: Floats
    share_positive: Floats


def abnormal_returns(returns: Floats, fits: NormalFits, window: Window) -> AbnormalReturns:
    """AR and SAR of the event rows; ``returns`` is (N, L) with NaN where there is no return."""
    expected = np.where(np.isfinite(returns), fits.expected, np.nan)
    ar = returns - expected
    v_tt = (1 if fits.spans is None else fits.spans) + _squares(fits.forecast_basis)
    return AbnormalReturns(window, returns, expected, ar, ar / (fits.sigma[:, None] * np.sqrt(v_tt)), fits.spans)


def cumulate(abnormal: AbnormalReturns, fits: NormalFits, window: Window, log_returns: bool) -> Cars:
    """CAR, its standard error, SCAR and BHAR over ``window``, a part of the event window.

    BHAR = prod(1 + r) - prod(1 + expected), with log returns exp(sum r) - exp(sum expected);
    Barber & Lyon (1997), eq. 2.
    """
    columns = window.within(abnormal.window)
    complete, bridged = abnormal.complete(columns), abnormal.spans is not None

    def whole(values: Floats) -> Floats:
        return np.where(complete, values, np.nan)

    car = whole(_part(abnormal.ar, columns, bridged).sum(axis=1))
    se = whole(standard_errors(fits, columns))
    actual, expected = _part(abnormal.actual, columns, bridged), _part(abnormal.expected, columns, bridged)
    ways = np.full((3, len(car)), np.nan)
    with np.errstate(over="ignore", invalid="ignore"):  # what grows beyond every float has no number
        if log_returns:
            bhar = whole(np.exp(actual.sum(axis=1)) - np.exp(expected.sum(axis=1)))
        else:
            bhar = whole((1 + actual).prod(axis=1) - (1 + expected).prod(axis=1))
        if len(window) > LONG:
            ways = whole(three_ways(actual, expected, log_returns))
    return Cars(window, car, se, car / se, bhar, complete, fits.dof, np.zeros(len(car), bool), *ways)


def _part(values: Floats, columns: slice, bridged: bool) -> Floats:
    """The columns of a window; a session that a later return covers adds nothing of its own."""
    inside = np.ascontiguousarray(values[:, columns])
    return np.nan_to_num(inside) if bridged else inside


def standard_errors(fits: NormalFits, columns: slice) -> Floats:
    """(N,) the standard errors of the CARs over the columns of a complete window."""
    basis = _part(fits.forecast_basis, columns, fits.spans is not None)
    sums = np.ascontiguousarray(basis.transpose(0, 2, 1)).sum(axis=2)
    return np.asarray(fits.sigma * np.sqrt(columns.stop - columns.start + _squares(sums)))


def _squares(values: Floats) -> Floats:
    """The sums of squares over the last axis, which is short: column by column, thirty times as fast as along it."""
    found = np.zeros(values.shape[:-1])
    for b in range(values.shape[-1]):
        found += values[..., b] ** 2
    return found


def sums(abnormal: AbnormalReturns, ar: Floats, columns: slice) -> Floats:
    """(N,) the CARs over the columns with ``ar`` in the place of the abnormal returns, NaN where those are not complete."""
    complete = abnormal.complete(columns)
    return np.where(complete, _part(ar, columns, abnormal.spans is not None).sum(axis=1), np.nan)


def per_session(abnormal: AbnormalReturns, ar: Floats) -> Floats:
    """(N, E) ``ar`` in the place of the abnormal returns, each over the root of the sessions that it covers, which has the spread
    of one session."""
    return ar if abnormal.spans is None else ar / np.sqrt(abnormal.spans)


def three_ways(actual: Floats, expected: Floats, log_returns: bool) -> Floats:
    """(3, N) abnormal returns (N, L) cumulated arithmetically, in logs and by compounding; R, E the simple returns.

    Arithmetic: sum(R - E). Log: sum(ln(1 + R) - ln(1 + E)). Compound: prod(1 + R - E) - 1. R = exp(r) - 1 and E =
    exp(e) - 1 where the study's returns are logs. No refit. NaN in logs after a total loss.
    Campbell, Lo & MacKinlay (1997), section 1.4, for simple and log returns.
    """
    simple, normal = (np.expm1(actual), np.expm1(expected)) if log_returns else (actual, expected)
    left = (simple > -1) & (normal > -1)
    logs = np.log1p(np.where(left, simple, np.nan)) - np.log1p(np.where(left, normal, np.nan))
    return np.stack([(simple - normal).sum(axis=1), logs.sum(axis=1), (1 + simple - normal).prod(axis=1) - 1])


def average(ar: Floats) -> Averages:
    """AAR and CAAR of (N, L) abnormal returns, with their cross-sectional standard errors."""
    present = np.isfinite(ar)
    n = present.sum(axis=0)
    aar = _mean(ar, present)
    running = np.cumsum(ar, axis=1)  # NaN from an event's first missing day on
    complete = np.isfinite(running)
    with_value = np.where(present, above(ar, 0.0), False).sum(axis=0)
    return Averages(
        n=n,
        aar=aar,
        caar=np.cumsum(aar),
        se_aar=_standard_error(ar, present),
        se_caar=_standard_error(running, complete),
        share_positive=np.where(n > 0, with_value / np.maximum(n, 1), np.nan),
    )


def _mean(values: Floats, present: npt.NDArray[np.bool_]) -> Floats:
    n = present.sum(axis=0)
    total = np.ascontiguousarray(np.where(present, values, 0.0).T).sum(axis=1)
    return np.asarray(np.where(n > 0, total / np.maximum(n, 1), np.nan))


def _standard_error(values: Floats, present: npt.NDArray[np.bool_]) -> Floats:
    """sd / sqrt(n) of each column over the rows present, ddof 1; NaN below two rows."""
    n = present.sum(axis=0)
    deviation = np.where(present, values - _mean(values, present), 0.0)
    squares = np.ascontiguousarray((deviation**2).T).sum(axis=1)
    return np.asarray(np.where(n > 1, np.sqrt(squares / np.maximum(n - 1, 1) / np.maximum(n, 1)), np.nan))
