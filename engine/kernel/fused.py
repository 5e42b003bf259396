"""The kernel for many events: from the raw rows of a security to the numbers of its events in one compiled pass.

A security's valid rows are compacted once, with a count of the rows before every session, so that each estimation window
is one slice and missing days cost nothing. Each window is a centred two-pass least squares of its own: the only closed form
that stays exact at any level, beside a wild price elsewhere, and as R2 goes to 1. Several factors are made orthonormal as
in `engine.orthonormal`. Importing this file takes half a second, so it is imported late.
"""

# mypy: disable-error-code="no-untyped-def"
from __future__ import annotations

from typing import Any

import numba
import numpy as np

EPS = float(np.finfo(np.float64).eps)
LARGEST = float(np.finfo(np.float64).max)
DEPENDENT = 1e-12
LANES = 32
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
    return mean, left, (4 * EPS) ** 2 * square


@numba.njit(**OPTIONS)
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
    if sxx <= (4 * EPS) ** 2 * squares_x:
        code, sxx = 5, np.nan
    if syy <= (4 * EPS) ** 2 * squares_y:
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
    return (8 if rss <= (4 * EPS) ** 2 * squares else 0), rss


@numba.njit(**OPTIONS)
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
        for j in range(k):
            alpha -= betas[j] * means[j]
        if syy > 0:
            numbers[2] = 1 - rss / syy
        if code == 0 and dof > 0 and not rss / dof > EPS * syy:
            code = 8
    if dof < 1:
        return 3
    numbers[0], numbers[1] = alpha, np.sqrt(rss / dof)
    return code


@numba.njit(**OPTIONS)
def _ahead(kind, n, x, p, alpha, means, upper, betas, expected, basis):
    """Expected returns (L,) of the sessions from p on, and the columns (1 + K, L) of B, V = I + B B', of the forecast."""
    length, k = expected.shape[0], x.shape[0]
    if kind == ADJUSTED:
        for t in range(length):
            expected[t] = x[0, p + t]
        return
    level = alpha if kind >= MEAN else 0.0
    share = 1 / np.sqrt(n) if kind >= MEAN else 0.0
    for t in range(length):
        expected[t] = level
        basis[0, t] = share
    if kind < MARKET:
        return
    for j in range(k):
        beta, mean, one, column = betas[j], means[j], x[j], basis[1 + j]
        for t in range(length):
            expected[t] += beta * one[p + t]
            column[t] = one[p + t] - mean
        for i in range(j):
            step, other = upper[i, j], basis[1 + i]
            for t in range(length):
                column[t] -= step * other[t]
        size = upper[j, j]
        for t in range(length):
            column[t] /= size


@numba.njit(**OPTIONS)
def _cumulate(ar, actual, expected, basis, spread, lo, hi, log_returns, long, out):
    """CAR, its standard error, BHAR and, over a long window, three ways to cumulate; False where a day is missing."""
    car = 0.0
    for t in range(lo, hi):
        car += ar[t]
    if not _known(car):
        return False
    of_actual, of_expected, grown, foretold = 0.0, 0.0, 1.0, 1.0
    if log_returns:
        for t in range(lo, hi):
            of_actual += actual[t]
            of_expected += expected[t]
    else:
        for t in range(lo, hi):
            grown *= 1 + actual[t]
            foretold *= 1 + expected[t]
    squares = 0.0
    for j in range(basis.shape[0]):
        column = 0.0
        for t in range(lo, hi):
            column += basis[j, t]
        squares += column * column
    out[0] = car
    out[1] = spread * np.sqrt(hi - lo + squares)
    out[2] = np.exp(of_actual) - np.exp(of_expected) if log_returns else grown - foretold
    if long:
        simple, logs, kept = 0.0, 0.0, 1.0
        for t in range(lo, hi):
            a, e = actual[t], expected[t]
            if log_returns:
                a, e = np.expm1(a), np.expm1(e)
            simple += a - e
            kept *= 1 + a - e
            logs += np.log1p(a) - np.log1p(e) if a > -1 and e > -1 else np.nan
        out[3], out[4], out[5] = simple, logs, kept - 1
    return True


@numba.njit(**OPTIONS)
def _place(days, values, is_return, first_day, table, line, report, g):
    """The values of one security on their sessions, NaN on the others, and what was seen of its rows."""
    line[:] = np.nan
    span = table.shape[0]
    twice, back, infinite, off = False, False, False, 0
    first, last, before = -1, -1, days[0] - 1
    for r in range(days.shape[0]):
        day, v = days[r], values[r]
        twice |= day == before
        back |= day < before
        before = day
        infinite |= abs(v) > LARGEST
        known = _known(v) and (is_return or v > 0)
        if known:
            last = day
            if first < 0:
                first = day
        place = day - first_day
        p = table[place] if 0 <= place < span else -1
        if p < 0:
            off += 1
        elif known:
            line[p] = v
    report[0, g] = 3 if infinite else 2 if back else 1 if twice else 0
    report[1, g], report[2, g], report[3, g] = first, last, off


@numba.njit(**OPTIONS)
def _gaps(line, skip, gaps, n_gaps, g):
    """Add the runs of sessions without a value between two with one; returns how many are known by now."""
    seen = line.shape[0]
    for s in range(skip, line.shape[0]):
        if _known(line[s]):
            if s > seen + 1 and n_gaps < gaps.shape[0]:
                gaps[n_gaps, 0], gaps[n_gaps, 1], gaps[n_gaps, 2] = g, seen + 1 - skip, s - 1 - skip
                n_gaps += 1
            seen = s
    return n_gaps


@numba.njit(**OPTIONS)
def _change(line, log_returns):
    """From prices to returns in place, NaN where the session before has none."""
    for s in range(line.shape[0] - 1, 0, -1):
        line[s] = np.log(line[s] / line[s - 1]) if log_returns else line[s] / line[s - 1] - 1
    line[0] = np.nan


@numba.njit(**OPTIONS)
def _compact(line, x, riskfree, around, count, y, xs, at):
    """The valid returns of a line without holes in y, xs and at, and before each session how many there are in ``count``."""
    m = 0
    for p in range(line.shape[0]):
        value = line[p] + around[p]
        line[p], y[m], at[m], count[p] = value, value - riskfree[p], p, m
        for j in range(x.shape[0]):
            xs[j, m] = x[j, p]
        m += _known(value)
    count[line.shape[0]] = m


@numba.njit(**OPTIONS)
def measure(
    kind,
    row_start,
    days,
    values,
    is_return,
    log_returns,
    first_day,
    table,
    skip,
    x,
    riskfree,
    event_start,
    position,
    own,
    min_days,
    rows_start,
    before,
    length,
    lows,
    highs,
    long,
    report,
    gaps,
    code,
    n_obs,
    dof,
    coefficients,
    sigma,
    r2,
    car,
    se,
    bhar,
    ways,
    ar,
    actual,
    expected,
    sar,
    residuals,
):
    """All events of G securities; returns how many gaps were found. Shapes: `layout`."""
    sessions, k = riskfree.shape[0], x.shape[0]
    most = sessions + skip + LANES
    line, count = np.empty(sessions + skip), np.empty(most, np.int32)
    y, xs, at = np.empty(most), np.empty((max(k, 1), most)), np.empty(most, np.int32)
    dy, dx = np.empty(most), np.empty((max(k, 1), most))
    means, betas, upper = np.empty(max(k, 1)), np.empty(max(k, 1)), np.empty((max(k, 1), max(k, 1)))
    numbers, six = np.empty(4), np.empty(6)
    basis, of_actual, of_expected = np.zeros((1 + k, length)), np.empty(length), np.empty(length)
    wide, n_gaps = np.full((max(k, 1), length), np.nan), 0
    around = 0.0 * riskfree  # 0 on a session that has all that returns are measured against, else NaN
    for j in range(k):
        around += 0.0 * x[j]
    for g in range(row_start.shape[0] - 1):
        a, b = row_start[g], row_start[g + 1]
        if a == b:
            report[0, g], report[1, g], report[2, g], report[3, g] = 0, -1, -1, 0
            line[:] = np.nan
        else:
            _place(days[a:b], values[a:b], is_return, first_day, table, line, report, g)
        n_gaps = _gaps(line, skip, gaps, n_gaps, g)
        if not is_return:
            _change(line, log_returns)
        own_line = line[skip:]
        _compact(own_line, x, riskfree, around, count, y, xs, at)
        if report[0, g] == 1 or report[0, g] == 2:
            continue  # the caller says what is wrong
        for e in range(event_start[g], event_start[g + 1]):
            d = position[e]
            lo = count[min(max(d + own[e, 0], 0), sessions)]
            hi = count[min(max(d + own[e, 1] + 1, 0), sessions)]
            n, first = hi - lo, d + before
            n_obs[e] = n
            inside = first >= 0 and first + length <= sessions
            if inside:
                for t in range(length):
                    of_actual[t] = own_line[first + t]
            else:
                for t in range(length):
                    of_actual[t] = own_line[first + t] if 0 <= first + t < sessions else np.nan
            present = False
            for t in range(length):
                present |= _known(of_actual[t])
            if not present:
                code[e] = 1
                continue
            if n < min_days:
                code[e] = 2
                continue
            code[e] = _fit(kind, y, xs[:k], lo, hi, dy, dx, means, upper, betas, numbers)
            dof[e] = int(numbers[3])
            if code[e] != 0:
                continue
            alpha, spread = numbers[0], numbers[1]
            sigma[e], r2[e] = spread, numbers[2]
            if kind >= MEAN:
                coefficients[e, 0] = alpha
            if kind >= MARKET:
                for j in range(k):
                    coefficients[e, 1 + j] = betas[j]
            if inside:
                _ahead(kind, n, x, first, alpha, means, upper, betas, of_expected, basis)
                for t in range(length):
                    of_expected[t] += riskfree[first + t]
            else:
                for t in range(length):
                    p = min(max(first + t, 0), sessions - 1)
                    for j in range(k):
                        wide[j, t] = x[j, p]
                _ahead(kind, n, wide[:k], 0, alpha, means, upper, betas, of_expected, basis)
                for t in range(length):
                    of_expected[t] += riskfree[min(max(first + t, 0), sessions - 1)]
            for t in range(length):
                ar[e, t] = of_actual[t] - of_expected[t]
            if sar.shape[1]:
                for t in range(length):
                    square = 1.0
                    for j in range(basis.shape[0]):
                        square += basis[j, t] * basis[j, t]
                    actual[e, t] = of_actual[t]
                    expected[e, t] = of_expected[t] if _known(of_actual[t]) else np.nan
                    sar[e, t] = ar[e, t] / (spread * np.sqrt(square))
            for w in range(lows.shape[0]):
                if _cumulate(
                    ar[e], of_actual, of_expected, basis, spread, lows[w], highs[w], log_returns, long[w], six
                ):
                    car[e, w], se[e, w], bhar[e, w] = six[0], six[1], six[2]
                    if long[w]:
                        ways[e, w, 0], ways[e, w, 1], ways[e, w, 2] = six[3], six[4], six[5]
            if residuals.shape[1]:
                for i in range(n):
                    residuals[e, at[lo + i] - d - rows_start] = dy[i]
    return n_gaps


@numba.njit(**OPTIONS)
def fit_dense(kind, returns, regressors, ahead, coefficients, n_obs, dof, sigma, r2, residuals, expected, basis, code):
    """Fit N events whose windows are cut out: returns (N, R), regressors (N, K, R), those of the event rows (N, K, L)."""
    events, rows = returns.shape
    k, length = regressors.shape[1], ahead.shape[2]
    y, xs, at = np.empty(rows), np.empty((max(k, 1), rows)), np.empty(rows, np.int64)
    dy, dx = np.empty(rows + LANES), np.empty((max(k, 1), rows + LANES))
    means, betas, upper = np.empty(max(k, 1)), np.empty(max(k, 1)), np.empty((max(k, 1), max(k, 1)))
    numbers, columns, foretold = np.empty(4), np.zeros((1 + k, length)), np.empty(length)
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
        _ahead(kind, m, ahead[e], 0, numbers[0], means, upper, betas, foretold, columns)
        for t in range(length):
            expected[e, t] = foretold[t]
            for j in range(basis.shape[2]):
                basis[e, t, j] = columns[j, t]
