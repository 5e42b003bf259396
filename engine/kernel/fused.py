"""The kernel for many events: from the raw rows of a security to the numbers of its events in one compiled pass.

A security's valid rows are compacted once, with a count of the rows before every session, so that each estimation window
is one slice and missing days cost nothing. Each window is a centred two-pass least squares of its own: the only closed form
that stays exact at any level, beside a wild price elsewhere, and as R2 goes to 1. Several factors are solved by the cross
products of a date's full window, less the days that the security lacks, or, where that would lose digits, made orthonormal
as in `engine.orthonormal`.

Importing this file takes half a second, so it is imported late. It is one file because what is compiled is kept by the time of
the file that a function stands in: a change of what it calls elsewhere would not be seen.
"""

# mypy: disable-error-code="no-untyped-def"
from __future__ import annotations

from typing import Any, NamedTuple

import numba
import numpy as np

EPS = float(np.finfo(np.float64).eps)
NOISE = 1e-10  # as in `engine.models.moments`
LARGEST = float(np.finfo(np.float64).max)
DEPENDENT = 1e-12
# Cross products stand for the columns themselves where no column is small beside its mean or nearly a sum of others, and much is
# left unexplained: nothing is lost then that another way would keep.
SMALL, APART, NEAR = 1e-6, 1e-2, 1e-8
MOST = 8  # factors of which cross products are kept
LANES = 32
TOGETHER = 64  # rows that are looked at at once
ENOUGH = 0.5  # of a column's squared length left by one step: less, and a second step takes out what rounding left
NOTHING, ADJUSTED, MEAN, MARKET, FACTOR = range(5)
KINDS = {"raw": NOTHING, "market_adjusted": ADJUSTED, "mean_adjusted": MEAN, "market": MARKET, "factor": FACTOR}
# Sums may be parted among the lanes of the processor; not a number stays not a number.
OPTIONS: dict[str, Any] = {
    "nogil": True,
    "cache": True,
    "fastmath": {"reassoc", "contract", "nsz"},
    "error_model": "numpy",
}


@numba.njit(**OPTIONS)
def _known(value):
    """Whether it is a finite number; the library's own test is a difference, which may be reordered away."""
    return abs(value) <= LARGEST


@numba.njit(**OPTIONS)
def _centre(values, out):
    """Mean of the values, their deviations into ``out``, and their sum of squares with what rounding can leave of it."""
    n, total, square = values.shape[0], 0.0, 0.0
    for i in range(n):
        total += values[i]
        square += values[i] * values[i]
    mean = total / n
    left = 0.0
    for i in range(n):
        d = values[i] - mean
        out[i] = d
        left += d * d
    return mean, left, NOISE**2 * square


@numba.njit(inline="always", **OPTIONS)
def _market(y, x, dy, means, upper, betas):
    """Least squares on a constant and one regressor: (code, mean of y, residual and total sum of squares)."""
    n = y.shape[0]
    sums_x, sums_y, squares_x, squares_y = 0.0, 0.0, 0.0, 0.0
    for i in range(n):
        sums_x += x[i]
        sums_y += y[i]
        squares_x += x[i] * x[i]
        squares_y += y[i] * y[i]
    x_mean, y_mean = sums_x / n, sums_y / n
    sxx, sxy, syy = 0.0, 0.0, 0.0
    for i in range(n):
        a = x[i] - x_mean
        b = y[i] - y_mean
        sxx += a * a
        sxy += a * b
        syy += b * b
    code = 0
    if sxx <= NOISE**2 * squares_x:
        code, sxx = 5, np.nan
    if syy <= NOISE**2 * squares_y:
        code = 4
    beta = sxy / sxx
    rss = 0.0
    for i in range(n):
        e = (y[i] - y_mean) - beta * (x[i] - x_mean)
        dy[i] = e
        rss += e * e
    means[0], upper[0, 0], betas[0] = x_mean, np.sqrt(sxx), beta
    return code, y_mean, rss, syy


@numba.njit(**OPTIONS)
def _dot(a, b):
    total = 0.0
    for m in range(a.shape[0]):
        total += a[m] * b[m]
    return total


@numba.njit(**OPTIONS)
def _less(a, share, b):
    for m in range(a.shape[0]):
        a[m] -= share * b[m]


@numba.njit(**OPTIONS)
def _padded(values, out):
    """`_centre` into the front of ``out``, the rest of which is zero."""
    n = values.shape[0]
    for m in range(n, out.shape[0]):
        out[m] = 0.0
    return _centre(values, out)


@numba.njit(**OPTIONS)
def _factors(y, x, lo, hi, dy, dx, means, upper, betas):
    """Least squares on a constant and K regressors, made orthonormal one after the other.

    Columns are filled up with zeros to whole turns of the vector loops, whose rest would take as long as the loops.
    """
    k, n, code = x.shape[0], hi - lo, 0
    wide = (n + LANES - 1) // LANES * LANES
    left_over = dy[:wide]
    y_mean, syy, noise = _padded(y[lo:hi], left_over)
    flat, dependent = False, False
    for j in range(k):
        left = dx[j, :wide]
        means[j], before, rounding = _padded(x[j, lo:hi], left)
        flat |= before <= rounding
        size = before
        for i in range(j):
            upper[i, j] = 0.0
        for _ in range(2 if j else 0):
            start = size
            for i in range(j):
                share = _dot(dx[i, :wide], left)
                upper[i, j] += share
                _less(left, share, dx[i, :wide])
            size = _dot(left, left)
            if size > ENOUGH * start:
                break
        length, scale = np.nan, 0.0
        if size > DEPENDENT * before:
            length = np.sqrt(size)
            scale = 1 / length
        else:
            dependent = True
        for m in range(wide):
            left[m] *= scale
        upper[j, j] = length
        betas[j] = _dot(left, left_over)
        _less(left_over, betas[j], left)
    rss = _dot(left_over, left_over)
    for j in range(k - 1, -1, -1):
        for i in range(j + 1, k):
            betas[j] -= upper[j, i] * betas[i]
        betas[j] /= upper[j, j]
    if dependent:
        code = 7
    if flat:
        code = 6
    if syy <= noise:
        code = 4
    return code, y_mean, rss, syy


@numba.njit(**OPTIONS)
def _difference(y, x, adjusted, out):
    """The returns, or their difference from the benchmark's, as they stand; whether they vary, and their spread."""
    n, squares = y.shape[0], 0.0
    for i in range(n):
        out[i] = y[i] - x[i] if adjusted else y[i]
        squares += y[i] * y[i] + (x[i] * x[i] if adjusted else 0.0)
    total = 0.0
    for i in range(n):
        total += out[i]
    mean, rss = total / n, 0.0
    for i in range(n):
        d = out[i] - mean
        rss += d * d
    return (8 if rss <= NOISE**2 * squares else 0), rss


@numba.njit(**OPTIONS)
def _explained(y_mean, rss, syy, means, betas, k, numbers):
    """alpha, and R2 into ``numbers``."""
    alpha = y_mean
    for j in range(k):
        alpha -= betas[j] * means[j]
    if syy > 0:
        numbers[2] = 1 - rss / syy
    return alpha


@numba.njit(**OPTIONS)
def _gram(first, rows, x, around, dx, gram, means):
    """The cross products (K, K) of the regressors' deviations from their means (K,) over ``rows`` sessions, those left out that
    lack any; returns how many are left."""
    there, k = around[first : first + rows], x.shape[0]
    n = 0
    for t in range(rows):
        n += there[t] == 0
    for j in range(k):
        one, out, total = x[j, first : first + rows], dx[j, :rows], 0.0
        for t in range(rows):
            total += one[t] if there[t] == 0 else 0.0
        means[j] = total / n
        for t in range(rows):
            out[t] = one[t] - means[j] if there[t] == 0 else 0.0
        for i in range(j + 1):
            gram[i, j] = _dot(dx[i, :rows], out)
    return n


@numba.njit(**OPTIONS)
def _without(p, x, centre, upper, sums):
    """Take the session p out of cross products about ``centre``."""
    for j in range(x.shape[0]):
        own = x[j, p] - centre[j]
        sums[j] += own
        for i in range(j + 1):
            upper[i, j] -= (x[i, p] - centre[i]) * own


@numba.njit(**OPTIONS)
def _decomposed(n, gram, centre, sums, means, upper):
    """Cross products about the mean of n rows decomposed, U'U, in place. sums: of the deviations of the rows that were taken
    out. False where the columns are too much alike, or too small or too much smaller than before, for this to be exact."""
    k = sums.shape[0]
    for j in range(k):
        for i in range(j + 1):
            upper[i, j] -= sums[i] * sums[j] / n
        means[j] = centre[j] - sums[j] / n
        size = upper[j, j]
        if not (size > 0.5 * gram[j, j] and size > SMALL * n * means[j] * means[j]):
            return False
        for i in range(j):
            for m in range(i):
                upper[i, j] -= upper[m, i] * upper[m, j]
            upper[i, j] /= upper[i, i]
        left = size
        for i in range(j):
            left -= upper[i, j] * upper[i, j]
        if not left > APART * size:
            return False
        upper[j, j] = np.sqrt(left)
    return True


@numba.njit(**OPTIONS)
def _solved(y, xs, lo, hi, dy, means, upper, betas):
    """Least squares by U'U: (whether it is exact enough, mean of y, residual and total sum of squares)."""
    n, k = hi - lo, means.shape[0]
    left = dy[:n]
    y_mean, syy, noise = _centre(y[lo:hi], left)
    for j in range(0, k, 2):  # two columns at a time; the last of an odd number with itself
        m = min(j + 1, k - 1)
        one, other, a, b, share, its = xs[j, lo:hi], xs[m, lo:hi], means[j], means[m], 0.0, 0.0
        for t in range(n):
            share += (one[t] - a) * left[t]
            its += (other[t] - b) * left[t]
        betas[m], betas[j] = its, share
    for j in range(k):
        for i in range(j):
            betas[j] -= upper[i, j] * betas[i]
        betas[j] /= upper[j, j]
    for j in range(k - 1, -1, -1):
        for i in range(j + 1, k):
            betas[j] -= upper[j, i] * betas[i]
        betas[j] /= upper[j, j]
    for j in range(0, k, 2):
        m = min(j + 1, k - 1)
        one, other, a, b, beta, its = (
            xs[j, lo:hi],
            xs[m, lo:hi],
            means[j],
            means[m],
            betas[j],
            betas[m] if m > j else 0.0,
        )
        for t in range(n):
            left[t] -= beta * (one[t] - a) + its * (other[t] - b)
    rss = _dot(left, left)
    return syy > noise and rss > NEAR * syy, y_mean, rss, syy


@numba.njit(inline="always", **OPTIONS)
def _fit(kind, y, x, lo, hi, dy, dx, means, upper, betas, numbers):
    """One event's fit over the rows lo to hi: its code; ``numbers`` are alpha, sigma, r2 and dof, ``dy`` the residuals."""
    n, k = hi - lo, x.shape[0]
    numbers[:] = np.nan
    dof = n - 1
    if kind >= MARKET:
        dof = n - k - 1
    numbers[3] = dof
    if n < 1:
        return 3
    if kind <= ADJUSTED:
        code, rss = _difference(
            y[lo:hi], x[0, lo:hi] if kind == ADJUSTED else y[lo:hi], kind == ADJUSTED, dy[: hi - lo]
        )
        alpha = 0.0
    elif kind == MEAN:
        alpha, rss, noise = _centre(y[lo:hi], dy[: hi - lo])
        code = 4 if rss <= noise else 0
        numbers[2] = 0.0
    else:
        if kind == MARKET:
            code, alpha, rss, syy = _market(y[lo:hi], x[0, lo:hi], dy[: hi - lo], means, upper, betas)
        else:
            code, alpha, rss, syy = _factors(y, x, lo, hi, dy, dx, means, upper, betas)
        alpha = _explained(alpha, rss, syy, means, betas, k, numbers)
        if code == 0 and dof > 0 and not rss / dof > EPS * syy:
            code = 8
    if dof < 1:
        return 3
    numbers[0], numbers[1] = alpha, np.sqrt(rss / dof)
    return code


@numba.njit(inline="always", **OPTIONS)
def _expect(kind, x, riskfree, p, alpha, betas, expected):
    """Expected returns (L,) of the sessions from p on."""
    length = expected.shape[0]
    rate, level = riskfree[p : p + length], alpha if kind >= MEAN else 0.0
    for t in range(length):
        expected[t] = level + rate[t]
    for j in range(x.shape[0] if kind >= MARKET or kind == ADJUSTED else 0):
        one, beta = x[j, p : p + length], betas[j] if kind >= MARKET else 1.0
        for t in range(length):
            expected[t] += beta * one[t]


@numba.njit(**OPTIONS)
def _basis(kind, n, x, p, means, upper, basis):
    """The columns (1 + K, L) of B for the sessions from p on: V = I + B B' is the variance of the forecast, but for sigma2."""
    length, k = basis.shape[1], x.shape[0] if kind >= MARKET else 0
    for t in range(length):
        basis[0, t] = 1 / np.sqrt(n) if kind >= MEAN else 0.0
    for j in range(k):
        one, column, scale = x[j, p : p + length], basis[1 + j], 1 / upper[j, j]
        for t in range(length):
            column[t] = one[t] - means[j]
        for i in range(j):
            _less(column, upper[i, j], basis[1 + i])
        for t in range(length):
            column[t] *= scale


@numba.njit(inline="always", **OPTIONS)
def _spread(kind, n, x, p, days, means, upper, sums):
    """The variance of the sum of ``days`` forecast errors from session p on, but for sigma2."""
    if kind < MEAN:
        return float(days)
    total = days + days * days / n
    for j in range(x.shape[0] if kind >= MARKET else 0):
        one, left = x[j, p : p + days], 0.0
        for t in range(days):
            left += one[t] - means[j]
        for i in range(j):
            left -= upper[i, j] * sums[i]
        sums[j] = left / upper[j, j]
        total += sums[j] * sums[j]
    return total


@numba.njit(inline="always", **OPTIONS)
def _grow(ar, actual, expected, log_returns, long, out):
    """CAR, BHAR and, over a long window, three ways to cumulate; False where a day is missing."""
    days, car = ar.shape[0], 0.0
    for t in range(days):
        car += ar[t]
    if not _known(car):
        return False
    out[0] = car
    if log_returns:
        own, normal, simple, kept = 0.0, 0.0, 0.0, 1.0
        for t in range(days):
            own += actual[t]
            normal += expected[t]
        out[1] = np.exp(own) - np.exp(normal)
        for t in range(days if long else 0):
            apart = np.expm1(actual[t]) - np.expm1(expected[t])
            simple += apart
            kept *= 1 + apart
        out[2], out[3], out[4] = simple, car, kept - 1
        return True
    grown, foretold, kept, least = 1.0, 1.0, 1.0, 1.0
    for t in range(days):
        grown *= 1 + actual[t]
        foretold *= 1 + expected[t]
    out[1] = grown - foretold
    if long:
        for t in range(days):
            kept *= 1 + ar[t]
            least = min(least, actual[t], expected[t])
        out[2], out[3], out[4] = car, np.log(grown / foretold) if least > -1 else np.nan, kept - 1
    return True


class Given(NamedTuple):
    """What is the same for all events.

    sessions: (S + skip,) day numbers. x: (K, S); riskfree: (S,). around: (S,) 0 on a session that has all that returns are
    measured against, else NaN. lows, highs, long: (W,) of the windows, as columns of the event window's L days. ahead:
    (K, S + 2F), rates: (S + 2F,) x and riskfree with ``front`` F sessions before and behind that have none. grams: (S, K, K),
    centres: (S, K), kept: (S,) as of `cross_products`, of the window that most events have; empty without several factors.
    """

    kind: int
    is_return: bool
    log_returns: bool
    sessions: np.ndarray
    skip: int
    x: np.ndarray
    riskfree: np.ndarray
    around: np.ndarray
    min_days: int
    rows_start: int
    rows: int
    before: int
    length: int
    lows: np.ndarray
    highs: np.ndarray
    long: np.ndarray
    ahead: np.ndarray
    rates: np.ndarray
    front: int
    grams: np.ndarray
    centres: np.ndarray
    kept: np.ndarray


class Numbers(NamedTuple):
    """Room for what the events give, as `layout.Measured`."""

    code: np.ndarray
    n_obs: np.ndarray
    dof: np.ndarray
    coefficients: np.ndarray
    sigma: np.ndarray
    r2: np.ndarray
    car: np.ndarray
    se: np.ndarray
    bhar: np.ndarray
    ways: np.ndarray
    ar: np.ndarray
    actual: np.ndarray
    expected: np.ndarray
    sar: np.ndarray
    residuals: np.ndarray


class Desk(NamedTuple):
    """Room that every security and event uses again.

    line: (S + skip,) values, then returns, by session. y, xs, at, upto: what `_compact` makes of it; holes: as of `_holes`.
    dy, dx: residuals and orthonormal columns. gram, centre: cross products of the factors over a window of an event's own.
    basis: (1 + K, L). actual, expected: (L,).
    """

    line: np.ndarray
    y: np.ndarray
    xs: np.ndarray
    at: np.ndarray
    upto: np.ndarray
    holes: np.ndarray
    dy: np.ndarray
    dx: np.ndarray
    means: np.ndarray
    betas: np.ndarray
    upper: np.ndarray
    four: np.ndarray
    grown: np.ndarray
    sums: np.ndarray
    gram: np.ndarray
    centre: np.ndarray
    basis: np.ndarray
    actual: np.ndarray
    expected: np.ndarray


@numba.njit(**OPTIONS)
def _desk(sessions, k, length):
    most, some = sessions + LANES, max(k, 1)
    return Desk(
        np.empty(sessions), np.empty(most), np.empty((some, most)), np.empty(most, np.int32), np.empty(most, np.int32),
        np.empty(most, np.int32),
        np.empty(most), np.empty((some, most)), np.empty(some), np.empty(some), np.empty((some, some)),
        np.empty(4), np.empty(5), np.empty(some), np.empty((k, k)), np.empty(k),
        np.zeros((1 + k, length)), np.empty(length), np.empty(length),
    )  # fmt: skip


@numba.njit(**OPTIONS)
def _place(days, values, is_return, sessions, line, report, g):
    """The values of one security on their sessions, and what was seen of its rows.

    Returns the sessions [lo, hi) that its rows lie between, NaN in ``line`` where there is none, untouched beyond. Rows out of
    order are put nowhere.
    """
    rows, step, infinite = days.shape[0], 1, False
    one, next_one = days[: max(rows - 1, 0)], days[1:]
    for r in range(one.shape[0]):
        step = min(step, next_one[r] - one[r])
    for r in range(rows):
        infinite |= abs(values[r]) > LARGEST
    report[0, g] = 3 if infinite else 2 if step < 0 else 1 if step == 0 else 0
    report[1, g], report[2, g], report[3, g] = -1, -1, 0
    if rows == 0 or step < 1:
        return 0, 0
    least = -LARGEST if is_return else 0.0  # a price is more than that
    first, last = 0, rows - 1
    while first < rows and not (values[first] > least and _known(values[first])):
        first += 1
    while last >= first and not (values[last] > least and _known(values[last])):
        last -= 1
    if first < rows:
        report[1, g], report[2, g] = days[first], days[last]
    lo, hi = np.searchsorted(sessions, days[0]), np.searchsorted(sessions, days[rows - 1], "right")
    r, p, off = 0, lo, 0
    while r < rows and p < hi:
        run = min(TOGETHER, rows - r, hi - p)
        own, there, own_values, room = days[r : r + run], sessions[p : p + run], values[r : r + run], line[p : p + run]
        apart = False
        for i in range(run):
            apart |= own[i] != there[i]
        if not apart:
            for i in range(run):
                room[i] = own_values[i] if own_values[i] > least and own_values[i] <= LARGEST else np.nan
            r, p = r + run, p + run
            continue
        end = r + run
        while r < end and p < hi:
            if sessions[p] < days[r]:
                line[p] = np.nan
                p += 1
                continue
            if sessions[p] == days[r]:
                line[p] = values[r] if values[r] > least and values[r] <= LARGEST else np.nan
                p += 1
            else:
                off += 1
            r += 1
    report[3, g] = off + rows - r
    return lo, hi


@numba.njit(**OPTIONS)
def _holes(line, holes):
    """Where a line has no value, into ``holes``; returns how many there are."""
    n = 0
    for p in range(line.shape[0]):
        holes[n] = p
        n += not _known(line[p])
    return n


@numba.njit(**OPTIONS)
def _gaps(line, first, holes, gaps, n_gaps, g):
    """Add the runs of sessions without a value between two with one; returns how many are known by now. first: the session of
    the line's first value."""
    n, i = _holes(line, holes), 0
    while i < n and n_gaps < gaps.shape[0]:
        j = i
        while j + 1 < n and holes[j + 1] == holes[j] + 1:
            j += 1
        if holes[i] > 0 and holes[j] < line.shape[0] - 1:
            gaps[n_gaps, 0], gaps[n_gaps, 1], gaps[n_gaps, 2] = g, first + holes[i], first + holes[j]
            n_gaps += 1
        i = j + 1
    return n_gaps


@numba.njit(**OPTIONS)
def _change(line, log_returns):
    """From prices to returns in place, NaN where the session before has none."""
    for s in range(line.shape[0] - 1, 0, -1):
        line[s] = np.log(line[s] / line[s - 1]) if log_returns else line[s] / line[s - 1] - 1
    line[:1] = np.nan


@numba.njit(**OPTIONS)
def _compact(line, lo, hi, x, riskfree, around, holes, y, xs, at, upto):
    """The valid returns of the sessions [lo, hi) without holes in y, xs and at, and before each session how many in ``upto``."""
    own, there = line[lo:hi], around[lo:hi]
    for i in range(hi - lo):
        own[i] += there[i]
    n, m, p = _holes(own, holes), 0, lo
    holes[n] = hi - lo
    for h in range(n + 1):
        run = lo + holes[h] - p
        returns, rate, room, places, before = line[p : p + run], riskfree[p : p + run], y[m:], at[m:], upto[p:]
        for i in range(run):
            room[i] = returns[i] - rate[i]
        for i in range(run):
            places[i] = p + i
        for i in range(run + 1):
            before[i] = m + i
        for j in range(x.shape[0]):
            one, other = x[j, p : p + run], xs[j, m : m + run]
            for i in range(run):
                other[i] = one[i]
        p, m = p + run + 1, m + run
    upto[hi] = m


@numba.njit(inline="always", **OPTIONS)
def _blank(e, code, n_obs, dof, coefficients, sigma, r2, car, se, bhar, ways, ar, actual, expected, sar, residuals):
    """No numbers for an event, so far."""
    code[e], n_obs[e], dof[e], sigma[e], r2[e] = 0, 0, 0, np.nan, np.nan
    for j in range(coefficients.shape[1]):
        coefficients[e, j] = np.nan
    for w in range(car.shape[1]):
        car[e, w], se[e, w], bhar[e, w] = np.nan, np.nan, np.nan
        for i in range(3 if ways.shape[1] else 0):
            ways[e, w, i] = np.nan
    for t in range(ar.shape[1]):
        ar[e, t] = np.nan
    for t in range(sar.shape[1]):
        actual[e, t], expected[e, t], sar[e, t] = np.nan, np.nan, np.nan
    for t in range(residuals.shape[1]):
        residuals[e, t] = np.nan


@numba.njit(inline="always", **OPTIONS)
def _returned(line, lo, hi, first, actual):
    """The returns of an event's days into ``actual``; whether there is any."""
    length, present = actual.shape[0], False
    if first >= lo and first + length <= hi:
        inside = line[first : first + length]
        for t in range(length):
            actual[t] = inside[t]
    else:
        for t in range(length):
            actual[t] = line[first + t] if lo <= first + t < hi else np.nan
    for t in range(length):
        present |= _known(actual[t])
    return present


@numba.njit(**OPTIONS)
def cross_products(position, rows_start, rows, x, around, grams, centres, kept):
    """What `_gram` gives of the window of each ``position``, where it is not ``kept`` yet: (S, K, K), (S, K), and (S,) how many
    sessions it rests on. A window that begins or ends beyond the sessions has none."""
    room = np.empty((x.shape[0], rows))
    for d in position:
        first = d + rows_start
        if kept[d] == 0 and first >= 0 and first + rows <= x.shape[1]:
            kept[d] = _gram(first, rows, x, around, room, grams[d], centres[d])


@numba.njit(inline="always", **OPTIONS)
def _by_cross_products(
    first, rows, gram, centre, y, xs, a, b, x, around, lo, holes, dy, sums, means, upper, betas, four
):  # fmt: skip
    """`_fit` on several factors by the cross products of all securities' window, less the days that this one lacks; False where
    that is not exact enough."""
    k, n = x.shape[0], b - a
    for j in range(k):
        sums[j] = 0.0
        for i in range(j + 1):
            upper[i, j] = gram[i, j]
    for h in range(first - lo - a, first + rows - lo - b):
        if around[lo + holes[h]] == 0:
            _without(lo + holes[h], x, centre, upper, sums)
    if not _decomposed(n, gram, centre, sums, means, upper):
        return False
    sound, y_mean, rss, syy = _solved(y, xs, a, b, dy, means, upper, betas)
    four[0] = _explained(y_mean, rss, syy, means, betas, k, four)
    four[1], four[3] = np.sqrt(rss / (n - k - 1)), n - k - 1
    return sound


@numba.njit(**OPTIONS)
def _events(begin, beyond, sound, position, own, line, lo, hi, given, desk, out):
    """The numbers of the events [begin, beyond) of one security, whose returns are on the sessions [lo, hi).

    Arrays are taken out of their tuples once, and what is called in the loop is compiled into it: to hand them on would cost
    more than the numbers do.
    """
    (
        kind, _, log_returns, _, _, x, _, around, min_days, rows_start, usual_rows, before, length, lows,
        highs, long, ahead, rates, front, grams, centres, kept,
    ) = given  # fmt: skip
    (
        _, y, xs, at, upto, holes, dy, dx, means, betas, upper, four, grown, sums, own_gram, own_centre, basis, actual, expected,
    ) = desk  # fmt: skip
    code, n_obs, dof, coefficients, sigma, r2, car, se, bhar, ways, ar, all_actual, all_expected, sar, residuals = out
    k = x.shape[0]
    for e in range(begin, beyond):
        _blank(
            e, code, n_obs, dof, coefficients, sigma, r2, car, se, bhar, ways, ar, all_actual, all_expected, sar, residuals
        )  # fmt: skip
        if not sound:
            continue
        d, first_row, rows = position[e], position[e] + own[e, 0], own[e, 1] - own[e, 0] + 1
        a, b = upto[min(max(first_row, lo), hi)], upto[min(max(first_row + rows, lo), hi)]
        n, first = b - a, d + before
        n_obs[e] = n
        if not _returned(line, lo, hi, first, actual):
            code[e] = 1
            continue
        if n < min_days:
            code[e] = 2
            continue
        done = False
        if kind == FACTOR and k <= MOST and n > 2 * k and first_row >= lo and first_row + rows <= hi:
            usual = first_row - d == rows_start and rows == usual_rows and kept[d] > 0
            gram, centre = grams[d] if usual else own_gram, centres[d] if usual else own_centre
            if not usual:
                _gram(first_row, rows, x, around, dx, gram, centre)
            done = _by_cross_products(
                first_row, rows, gram, centre, y, xs, a, b, x, around, lo, holes, dy, sums, means, upper, betas, four
            )  # fmt: skip
        if not done:
            code[e] = _fit(kind, y, xs[:k], a, b, dy, dx, means, upper, betas, four)
        dof[e] = int(four[3])
        if code[e] != 0:
            continue
        spread, p = four[1], first + front
        sigma[e], r2[e] = spread, four[2]
        if kind >= MEAN:
            coefficients[e, 0] = four[0]
        for j in range(k if kind >= MARKET else 0):
            coefficients[e, 1 + j] = betas[j]
        _expect(kind, ahead, rates, p, four[0], betas, expected)
        one = ar[e]
        for t in range(length):
            one[t] = actual[t] - expected[t]
        if sar.shape[1]:
            _basis(kind, n, ahead, p, means, upper, basis)
            for t in range(length):
                square = 1.0
                for j in range(basis.shape[0]):
                    square += basis[j, t] * basis[j, t]
                all_actual[e, t] = actual[t]
                all_expected[e, t] = expected[t] if _known(actual[t]) else np.nan
                sar[e, t] = one[t] / (spread * np.sqrt(square))
        for w in range(lows.shape[0]):
            i, j = lows[w], highs[w]
            if _grow(one[i:j], actual[i:j], expected[i:j], log_returns, long[w], grown):
                variance = _spread(kind, n, ahead, p + i, j - i, means, upper, sums)
                car[e, w], se[e, w], bhar[e, w] = grown[0], spread * np.sqrt(variance), grown[1]
                if long[w]:
                    ways[e, w, 0], ways[e, w, 1], ways[e, w, 2] = grown[2], grown[3], grown[4]
        for i in range(n if residuals.shape[1] else 0):
            residuals[e, at[a + i] - d - rows_start] = dy[i]


@numba.njit(**OPTIONS)
def measure(given, row_start, days, values, event_start, position, own, report, gaps, out):
    """All events of G securities; returns how many gaps were found. Shapes: `layout`."""
    desk, skip, n_gaps = _desk(given.sessions.shape[0], given.x.shape[0], given.length), given.skip, 0
    line, own_line, holes = desk.line, desk.line[skip:], desk.holes
    for g in range(row_start.shape[0] - 1):
        a, b = row_start[g], row_start[g + 1]
        lo, hi = _place(days[a:b], values[a:b], given.is_return, given.sessions, line, report, g)
        own_lo, own_hi = max(lo - skip, 0), max(hi - skip, 0)
        n_gaps = _gaps(own_line[own_lo:own_hi], own_lo, holes, gaps, n_gaps, g)
        if not given.is_return:
            _change(line[lo:hi], given.log_returns)
        _compact(
            own_line, own_lo, own_hi, given.x, given.riskfree, given.around, holes, desk.y, desk.xs, desk.at, desk.upto
        )
        sound = report[0, g] != 1 and report[0, g] != 2  # else the caller says what is wrong
        _events(event_start[g], event_start[g + 1], sound, position, own, own_line, own_lo, own_hi, given, desk, out)
    return n_gaps


@numba.njit(**OPTIONS)
def fit_dense(kind, returns, regressors, ahead, coefficients, n_obs, dof, sigma, r2, residuals, expected, basis, code):
    """Fit N events whose windows are cut out: returns (N, R), regressors (N, K, R), those of the event rows (N, K, L)."""
    events, rows = returns.shape
    k, length = regressors.shape[1], ahead.shape[2]
    y, xs, at = np.empty(rows), np.empty((max(k, 1), rows)), np.empty(rows, np.int64)
    dy, dx = np.empty(rows + LANES), np.empty((max(k, 1), rows + LANES))
    means, betas, upper = np.empty(max(k, 1)), np.empty(max(k, 1)), np.empty((max(k, 1), max(k, 1)))
    numbers, columns, foretold, none = np.empty(4), np.zeros((1 + k, length)), np.empty(length), np.zeros(length)
    for e in range(events):
        m = 0
        for r in range(rows):
            whole = _known(returns[e, r])
            for j in range(k):
                xs[j, m] = regressors[e, j, r]
                whole &= _known(xs[j, m])
            if whole:
                y[m], at[m] = returns[e, r], r
                m += 1
        n_obs[e] = m
        code[e] = _fit(kind, y, xs[:k], 0, m, dy, dx, means, upper, betas, numbers)
        dof[e] = int(numbers[3])
        sigma[e], r2[e] = numbers[1], numbers[2]
        if m == 0:
            continue
        if kind >= MEAN:
            coefficients[e, 0] = numbers[0]
        if kind >= MARKET:
            for j in range(k):
                coefficients[e, 1 + j] = betas[j]
        for i in range(m):
            residuals[e, at[i]] = dy[i]
        _expect(kind, ahead[e], none, 0, numbers[0], betas, foretold)
        _basis(kind, m, ahead[e], 0, means, upper, columns)
        for t in range(length):
            expected[e, t] = foretold[t]
            for j in range(basis.shape[2]):
                basis[e, t, j] = columns[j, t]
