"""The kernel for many events: from the raw rows of a security to the numbers of its events in one compiled pass.

A security's valid rows are compacted once, with a count of the rows before every session, so that each estimation window
is one slice and missing days cost nothing. Each window is a centred two-pass least squares of its own: the only closed form
that stays exact at any level, beside a wild price elsewhere, and as R2 goes to 1. Several factors are made orthonormal as
in `engine.orthonormal`. Importing this file takes half a second, so it is imported late.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

EPS = float(np.finfo(np.float64).eps)
DEPENDENT = 1e-12
ENOUGH = 0.5  # of a column's squared length left by one step: less, and a second step takes out what rounding left
NOTHING, ADJUSTED, MEAN, MARKET, FACTOR = range(5)
KINDS = {"raw": NOTHING, "market_adjusted": ADJUSTED, "mean_adjusted": MEAN, "market": MARKET, "factor": FACTOR}
# Sums may be parted among the lanes of the processor; not a number stays not a number.
OPTIONS: dict[str, Any] = {"nogil": True, "cache": True, "fastmath": {"reassoc", "contract", "nsz"}, "error_model": "numpy"}


@numba.njit(**OPTIONS)
def _centre(values, lo, hi, out):  # type: ignore[no-untyped-def]
    """Mean of a slice, its deviations into ``out``, and their sum of squares with what rounding can leave of it."""
    total, square = 0.0, 0.0
    for i in range(lo, hi):
        total += values[i]
        square += values[i] * values[i]
    mean = total / (hi - lo)
    left = 0.0
    for i in range(hi - lo):
        d = values[lo + i] - mean
        out[i] = d
        left += d * d
    return mean, left, (4 * EPS) ** 2 * square


@numba.njit(**OPTIONS)
def _market(y, x, lo, hi, dy, dx, means, upper, betas):  # type: ignore[no-untyped-def]
    """Least squares on a constant and one regressor: (code, mean of y, residual and total sum of squares)."""
    sums_x, sums_y, squares_x, squares_y = 0.0, 0.0, 0.0, 0.0
    for i in range(lo, hi):
        sums_x += x[i]
        sums_y += y[i]
        squares_x += x[i] * x[i]
        squares_y += y[i] * y[i]
    n = hi - lo
    x_mean, y_mean = sums_x / n, sums_y / n
    sxx, sxy, syy = 0.0, 0.0, 0.0
    for i in range(lo, hi):
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
        e = (y[lo + i] - y_mean) - beta * (x[lo + i] - x_mean)
        dy[i] = e
        rss += e * e
    means[0], upper[0, 0], betas[0] = x_mean, np.sqrt(sxx), beta
    return code, y_mean, rss, syy


@numba.njit(**OPTIONS)
def _factors(y, x, lo, hi, dy, dx, means, upper, betas):  # type: ignore[no-untyped-def]
    """Least squares on a constant and K regressors, made orthonormal one after the other."""
    k, n, code = x.shape[0], hi - lo, 0
    y_mean, syy, noise = _centre(y, lo, hi, dy)
    flat, dependent = False, False
    for j in range(k):
        left = dx[j]
        means[j], before, rounding = _centre(x[j], lo, hi, left)
        flat |= before <= rounding
        size = before
        for i in range(j):
            upper[i, j] = 0.0
        for turn in range(2):
            start = size
            for i in range(j):
                share, one = 0.0, dx[i]
                for m in range(n):
                    share += one[m] * left[m]
                upper[i, j] += share
                for m in range(n):
                    left[m] -= share * one[m]
            size = 0.0
            for m in range(n):
                size += left[m] * left[m]
            if j == 0 or size > ENOUGH * start:
                break
        length = np.nan
        if size > DEPENDENT * before:
            length = np.sqrt(size)
            for m in range(n):
                left[m] /= length
        else:
            dependent = True
            for m in range(n):
                left[m] = 0.0
        upper[j, j] = length
    for j in range(k):
        share, one = 0.0, dx[j]
        for m in range(n):
            share += one[m] * dy[m]
        betas[j] = share
        for m in range(n):
            dy[m] -= share * one[m]
    rss = 0.0
    for m in range(n):
        rss += dy[m] * dy[m]
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
def _difference(y, x, lo, hi, dy, dx, adjusted):  # type: ignore[no-untyped-def]
    """The returns, or their difference from the benchmark's, as they stand; their spread about their mean."""
    total, squares = 0.0, 0.0
    for i in range(lo, hi):
        d = y[i] - x[i] if adjusted else y[i]
        dy[i - lo] = d
        total += d
        squares += y[i] * y[i] + (x[i] * x[i] if adjusted else 0.0)
    mean, rss = total / (hi - lo), 0.0
    for i in range(hi - lo):
        d = dy[i] - mean
        rss += d * d
    return (8 if rss <= (4 * EPS) ** 2 * squares else 0), rss


@numba.njit(**OPTIONS)
def _fit(kind, y, x, lo, hi, dy, dx, means, upper, betas, numbers):  # type: ignore[no-untyped-def]
    """One event's fit over the rows lo to hi: its code; ``numbers`` are alpha, sigma, r2 and dof, ``dy`` the residuals."""
    n, k = hi - lo, x.shape[0]
    numbers[:] = np.nan
    dof = n - 1
    if kind == MARKET or kind == FACTOR:
        dof = n - k - 1
    numbers[3] = dof
    if n < 1:
        return 3
    if kind == NOTHING or kind == ADJUSTED:
        code, rss = _difference(y, x[0] if kind == ADJUSTED else y, lo, hi, dy, dx, kind == ADJUSTED)
        alpha = 0.0
    elif kind == MEAN:
        alpha, rss, noise = _centre(y, lo, hi, dy)
        code = 4 if rss <= noise else 0
        numbers[2] = 0.0
    else:
        if kind == MARKET:
            code, alpha, rss, syy = _market(y, x[0], lo, hi, dy, dx, means, upper, betas)
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
def _basis(kind, n, x, p, means, upper, steps):  # type: ignore[no-untyped-def]
    """The row of B for session p, V = I + B B', into ``steps``: first the share of the constant, then of the regressors."""
    steps[0] = 0.0
    if kind >= MEAN:
        steps[0] = 1 / np.sqrt(n)
    if kind >= MARKET:
        for j in range(x.shape[0]):
            z = x[j, p] - means[j]
            for i in range(j):
                z -= upper[i, j] * steps[1 + i]
            steps[1 + j] = z / upper[j, j]


@numba.njit(**OPTIONS)
def _expected(kind, x, p, alpha, betas):  # type: ignore[no-untyped-def]
    """The expected return of session p."""
    if kind == ADJUSTED:
        return x[0, p]
    value = alpha if kind >= MEAN else 0.0
    if kind >= MARKET:
        for j in range(x.shape[0]):
            value += betas[j] * x[j, p]
    return value


@numba.njit(**OPTIONS)
def _cumulate(ar, actual, expected, basis, spread, lo, hi, log_returns, long, out):  # type: ignore[no-untyped-def]
    """CAR, its standard error, BHAR and, over a long window, three ways to cumulate; nothing where a day is missing."""
    car, of_actual, of_expected = 0.0, 0.0, 0.0
    grown, foretold, kept, simple, logs = 1.0, 1.0, 1.0, 0.0, 0.0
    for t in range(lo, hi):
        if not np.isfinite(ar[t]):
            return False
        a, e = actual[t], expected[t]
        car += ar[t]
        of_actual += a
        of_expected += e
        if not log_returns:
            grown *= 1 + a
            foretold *= 1 + e
        if long:
            if log_returns:
                a, e = np.expm1(a), np.expm1(e)
            simple += a - e
            kept *= 1 + a - e
            logs += np.log1p(a) - np.log1p(e) if a > -1 and e > -1 else np.nan
    squares = 0.0
    for j in range(basis.shape[1]):
        column = 0.0
        for t in range(lo, hi):
            column += basis[t, j]
        squares += column * column
    out[0] = car
    out[1] = spread * np.sqrt(hi - lo + squares)
    out[2] = np.exp(of_actual) - np.exp(of_expected) if log_returns else grown - foretold
    out[3], out[4], out[5] = simple, logs, kept - 1
    return True


@numba.njit(**OPTIONS)
def _lay_out(days, values, is_return, log_returns, first_day, table, skip, x, riskfree, line, count, y, xs, at, report, gaps, n_gaps, g):  # type: ignore[no-untyped-def]  # fmt: skip
    """The valid rows of one security in order: returns on their sessions in ``line``, compact in y, xs and at, and before
    each session how many there are in ``count``. Returns how many gaps are known so far."""
    sessions, k = line.shape[0], x.shape[0]
    line[:] = np.nan
    m, filled, state, off = 0, 0, 0, 0
    before_day, seen, before_value = -(1 << 31), -1, np.nan
    first, last = -1, -1
    for r in range(days.shape[0]):
        day, v = days[r], values[r]
        if day <= before_day and r > 0 and state == 0:
            state = 1 if day == before_day else 2
        before_day = day
        if np.isinf(v):
            state = 3
        known = np.isfinite(v) and (is_return or v > 0)
        if known:
            if first < 0:
                first = day
            last = day
        place = day - first_day
        p = table[place] if 0 <= place < table.shape[0] else -1
        if p < 0:
            off += 1
            continue
        if not known:
            continue
        if seen >= skip and p > seen + 1 and n_gaps < gaps.shape[0]:
            gaps[n_gaps, 0], gaps[n_gaps, 1], gaps[n_gaps, 2] = g, seen + 1 - skip, p - 1 - skip
            n_gaps += 1
        value = v
        if not is_return:
            value = np.nan
            if seen == p - 1 and seen >= 0:
                value = np.log(v / before_value) if log_returns else v / before_value - 1
        before_value, seen = v, p
        p -= skip
        if p < 0 or not np.isfinite(value) or not np.isfinite(riskfree[p]):
            continue
        whole = True
        for j in range(k):
            c = x[j, p]
            xs[j, m] = c
            whole &= np.isfinite(c)
        if not whole:
            continue
        while filled <= p:
            count[filled] = m
            filled += 1
        line[p] = value
        y[m] = value - riskfree[p]
        at[m] = p
        m += 1
    for p in range(filled, sessions + 1):
        count[p] = m
    report[0, g], report[1, g], report[2, g], report[3, g] = state, first, last, off
    return n_gaps


@numba.njit(**OPTIONS)
def measure(
    kind, row_start, days, values, is_return, log_returns, first_day, table, skip, x, riskfree,
    event_start, position, own, min_days, rows_start, before, length, lows, highs, long, report, gaps,
    code, n_obs, dof, coefficients, sigma, r2, car, se, bhar, ways, ar, actual, expected, sar, residuals,
):  # type: ignore[no-untyped-def]  # fmt: skip
    """All events of G securities; ``gaps`` is cut at its room, the number found is returned. Shapes: `layout`."""
    sessions, k = riskfree.shape[0], x.shape[0]
    width = 1 + k
    most = 1
    for g in range(row_start.shape[0] - 1):
        most = max(most, row_start[g + 1] - row_start[g])
    line, count = np.empty(sessions), np.empty(sessions + 1, np.int32)
    y, xs, at = np.empty(most), np.empty((max(k, 1), most)), np.empty(most, np.int32)
    dy, dx = np.empty(most), np.empty((max(k, 1), most))
    means, betas, upper = np.empty(max(k, 1)), np.empty(max(k, 1)), np.empty((max(k, 1), max(k, 1)))
    numbers, steps, six = np.empty(4), np.zeros(width), np.empty(6)
    basis, days_actual, days_expected = np.zeros((length, width)), np.empty(length), np.empty(length)
    n_gaps = 0
    for g in range(row_start.shape[0] - 1):
        a, b = row_start[g], row_start[g + 1]
        n_gaps = _lay_out(
            days[a:b], values[a:b], is_return, log_returns, first_day, table, skip, x, riskfree, line, count, y, xs, at,
            report, gaps, n_gaps, g,
        )  # fmt: skip
        if report[0, g] == 1 or report[0, g] == 2:
            continue  # the caller says what is wrong
        for e in range(event_start[g], event_start[g + 1]):
            d = position[e]
            lo = count[min(max(d + own[e, 0], 0), sessions)]
            hi = count[min(max(d + own[e, 1] + 1, 0), sessions)]
            n = hi - lo
            n_obs[e] = n
            present = False
            for t in range(length):
                p = d + before + t
                days_actual[t] = line[p] if 0 <= p < sessions else np.nan
                present |= np.isfinite(days_actual[t])
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
            for t in range(length):
                p = d + before + t
                if not np.isfinite(days_actual[t]):
                    days_expected[t] = np.nan
                    ar[e, t] = np.nan
                    continue
                days_expected[t] = _expected(kind, x, p, alpha, betas) + riskfree[p]
                _basis(kind, n, x, p, means, upper, steps)
                square = 0.0
                for j in range(width):
                    basis[t, j] = steps[j]
                    square += steps[j] * steps[j]
                ar[e, t] = days_actual[t] - days_expected[t]
                if sar.shape[1]:
                    actual[e, t], expected[e, t] = days_actual[t], days_expected[t]
                    sar[e, t] = ar[e, t] / (spread * np.sqrt(1 + square))
            for w in range(lows.shape[0]):
                if _cumulate(ar[e], days_actual, days_expected, basis, spread, lows[w], highs[w], log_returns, long[w], six):  # fmt: skip
                    car[e, w], se[e, w], bhar[e, w] = six[0], six[1], six[2]
                    if long[w]:
                        ways[e, w, 0], ways[e, w, 1], ways[e, w, 2] = six[3], six[4], six[5]
            if residuals.shape[1]:
                for i in range(n):
                    residuals[e, at[lo + i] - d - rows_start] = dy[i]
    return n_gaps


@numba.njit(**OPTIONS)
def fit_dense(kind, returns, regressors, ahead, coefficients, n_obs, dof, sigma, r2, residuals, expected, basis, code):  # type: ignore[no-untyped-def]  # fmt: skip
    """Fit N events whose windows are cut out: returns (N, R), regressors (N, K, R), those of the event rows (N, K, L)."""
    events, rows = returns.shape
    k, length = regressors.shape[1], ahead.shape[2]
    y, xs, at = np.empty(rows), np.empty((max(k, 1), rows)), np.empty(rows, np.int64)
    dy, dx = np.empty(rows), np.empty((max(k, 1), rows))
    means, betas, upper = np.empty(max(k, 1)), np.empty(max(k, 1)), np.empty((max(k, 1), max(k, 1)))
    numbers, steps = np.empty(4), np.zeros(1 + k)
    for e in range(events):
        m = 0
        for r in range(rows):
            whole = np.isfinite(returns[e, r])
            for j in range(k):
                xs[j, m] = regressors[e, j, r]
                whole &= np.isfinite(xs[j, m])
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
        for t in range(length):
            expected[e, t] = _expected(kind, ahead[e], t, numbers[0], betas)
            _basis(kind, m, ahead[e], t, means, upper, steps)
            for j in range(basis.shape[2]):
                basis[e, t, j] = steps[j]
