"""Loops over single values that numpy has no fast form for, compiled. Sums run over the events in order.

Importing this file takes half a second, so it is imported late.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

from engine.ties import NEAR

OPTIONS: dict[str, Any] = {"nogil": True, "cache": True, "error_model": "numpy"}
LARGEST = np.iinfo(np.int64).max
LEAST = 16 * float(np.finfo(np.float64).eps)  # of a sum of squares: less than that beside its mean is rounding


@numba.njit(**OPTIONS)
def place(values, known, value, equal_too):  # type: ignore[no-untyped-def]
    """How many of the first ``known`` values, which are in order, are below ``value``; with ``equal_too`` those equal too.

    Equal are, here and below, values that lie within `ties.NEAR` of each other.
    """
    low, high, bound = 0, known, value + NEAR if equal_too else value - NEAR
    while low < high:
        middle = (low + high) >> 1
        seen = values[middle]
        if seen < bound or (equal_too and seen == bound):
            low = middle + 1
        else:
            high = middle
    return low


@numba.njit(**OPTIONS)
def places(ordered, known, values, equal_too, out):  # type: ignore[no-untyped-def]
    """`place` of (K, D, N) values in (D, N, R) rows, each in order, into ``out``."""
    for k in range(values.shape[0]):
        for d in range(values.shape[1]):
            for i in range(values.shape[2]):
                out[k, d, i] = place(ordered[d, i], known[d, i], values[k, d, i], equal_too)


@numba.njit(**OPTIONS)
def to_keys(whole, rows, bits, keys):  # type: ignore[no-untyped-def]
    """Whole numbers in the order of (D, N, R) values, of which ``whole`` is the view; their columns in the last bits.

    The library sorts those several times as fast as it finds the order of values. `LARGEST` where there is no value.
    """
    for d in range(rows.shape[0]):
        for i in range(rows.shape[1]):
            for r in range(rows.shape[2]):
                bit = whole[d, i, r]
                ordered = bit if bit >= 0 else bit ^ LARGEST
                keys[d, i, r] = (ordered >> bits) << bits | r if np.isfinite(rows[d, i, r]) else LARGEST


@numba.njit(**OPTIONS)
def from_keys(keys, known, rows, bits, values, columns):  # type: ignore[no-untyped-def]
    """The ``known`` values (D, N, R) and their columns from keys in order; those that differ in the last bits alone too."""
    mask = (1 << bits) - 1
    for d in range(rows.shape[0]):
        for i in range(rows.shape[1]):
            key, row = keys[d, i], rows[d, i]
            for r in range(1, known[d, i]):
                one, j = key[r], r
                if one >> bits != key[r - 1] >> bits:
                    continue
                while j > 0 and row[key[j - 1] & mask] > row[one & mask]:
                    key[j] = key[j - 1]
                    j -= 1
                key[j] = one
            for r in range(known[d, i]):
                columns[d, i, r] = key[r] & mask
                values[d, i, r] = row[key[r] & mask]


@numba.njit(**OPTIONS)
def among(values, columns, count, centre, score):  # type: ignore[no-untyped-def]
    """Mid-ranks less ``centre`` of the first ``count`` values, which are in order, into their columns of ``score``."""
    first = 0
    while first < count:
        last = first
        while last + 1 < count and values[last + 1] - values[last] <= NEAR:
            last += 1
        for r in range(first, last + 1):
            score[columns[r]] = 1 + 0.5 * (first + last) - centre
        first = last + 1


@numba.njit(**OPTIONS)
def find(values, count, value, low):  # type: ignore[no-untyped-def]
    """How many of the first ``count`` values in order are below ``value``, and how many below or equal; from ``low`` on foot."""
    while low < count and values[low] < value - NEAR:
        low += 1
    while low > 0 and values[low - 1] >= value - NEAR:
        low -= 1
    high = low
    while high < count and values[high] <= value + NEAR:
        high += 1
    return low, high


@numba.njit(**OPTIONS)
def lift(columns, low, high, low_before, high_before, slope, out):  # type: ignore[no-untyped-def]
    """Add to the columns what a value changes that has ``low`` values below it and ``high`` not above, in place of one before.

    It lifts those above by one rank and its equals by half: half for all from ``low`` on, half for all from ``high`` on.
    """
    if low == high and low_before == high_before:
        for r in range(low, low_before):
            out[columns[r]] += slope
        for r in range(low_before, low):
            out[columns[r]] -= slope
        return
    for r in range(low, low_before):
        out[columns[r]] += 0.5 * slope
    for r in range(low_before, low):
        out[columns[r]] -= 0.5 * slope
    for r in range(high, high_before):
        out[columns[r]] += 0.5 * slope
    for r in range(high_before, high):
        out[columns[r]] -= 0.5 * slope


@numba.njit(**OPTIONS)
def insert(values, columns, count, inserted, column, slope, change):  # type: ignore[no-untyped-def]
    """Put each of K values in a column: slope times the number of values below it, equals half, and what it lifts them by.

    values, columns: (count,) in order. change: (K, T) what each adds to every column beside the one before it, so that K values
    cost little more than one where they are near. A missing one counts as the lowest.
    """
    low_before, high_before, low, below = count, count, place(values, count, inserted[0], False), 0
    for k in range(len(inserted)):
        low, high = find(values, count, inserted[k], low)
        change[k, column] += slope * 0.5 * (low + high - below)
        below = low + high
        lift(columns, low, high, low_before, high_before, slope, change[k])
        low_before, high_before = low, high


@numba.njit(**OPTIONS)
def enter(ordered, order, known, late, turn, many, left_out, centre, slope, values, columns, step, base):  # type: ignore[no-untyped-def]
    """Put late values, all but one, among the ``known`` ordered ones: their scores and lifts into ``base``; how many, in order
    with their columns in ``values`` and ``columns``.

    turn: the columns of the late values by value, ``many`` of them. step: (known + 1,) to work with.
    """
    count, rows = 0, len(ordered)
    for b in range(many):
        if turn[b] != left_out:
            values[count], columns[count] = late[turn[b]], rows + turn[b]
            count += 1
    step[:] = 0.0
    low = 0
    for b in range(count):
        low, high = find(ordered, known, values[b], low)
        step[low] += 0.5
        step[high] += 0.5
        base[columns[b]] += slope * 0.5 * (low + high)
    lifts = 0.0
    for r in range(known):
        lifts += step[r]
        base[order[r]] += slope * lifts
    first = 0
    while first < count:
        last = first
        while last + 1 < count and values[last + 1] - values[last] <= NEAR:
            last += 1
        for r in range(first, last + 1):
            base[columns[r]] += slope * (1 + 0.5 * (first + last) - centre)
        first = last + 1
    return count


@numba.njit(**OPTIONS)
def squared(base, change, divisor, weight, first, late, squares):  # type: ignore[no-untyped-def]
    """The daily series of K inserted values over a divisor: weighted sums of squares, and the days from ``first`` on.

    base: (T,) without them, overwritten. change: (K, T), as in `insert`. late: (K, T - first).
    """
    share, days = weight / (divisor * divisor), len(base)
    for k in range(len(change)):
        for t in range(days):
            base[t] += change[k, t]
        a, b, c, e = 0.0, 0.0, 0.0, 0.0  # four sums, since one waits for itself
        for t in range(0, days - 3, 4):
            a += share[t] * base[t] * base[t]
            b += share[t + 1] * base[t + 1] * base[t + 1]
            c += share[t + 2] * base[t + 2] * base[t + 2]
            e += share[t + 3] * base[t + 3] * base[t + 3]
        for t in range(days - days % 4, days):
            a += share[t] * base[t] * base[t]
        squares[k] = a + b + c + e
        for t in range(first, days):
            late[k, t - first] = base[t] / divisor[t]


@numba.njit(**OPTIONS)
def score_residuals(ordered, order, known, slope, centre, out):  # type: ignore[no-untyped-def]
    """Add to ``out`` (S, D, R) the daily sums over events of slope (rank - centre), ranks among the row's own values.

    ordered, order: (D, N, R), the first ``known`` (D, N) of them values and their columns in order. slope: (S, D, N), centre:
    (D, N).
    """
    score = np.empty(out.shape[2])
    for d in range(known.shape[0]):
        for i in range(known.shape[1]):
            score[:] = 0.0
            among(ordered[d, i], order[d, i], known[d, i], centre[d, i], score)
            for s in range(out.shape[0]):
                for t in range(out.shape[2]):
                    out[s, d, t] += slope[s, d, i] * score[t]


@numba.njit(**OPTIONS)
def score_rows(  # type: ignore[no-untyped-def]
    ordered, order, known, residuals, late, turn, many, column, inserted, slope, centre, divisor, weight, out, squares
):
    """Daily sums over events of slope (rank - centre), for S slopes, each over a divisor: the late days and sums of squares.

    ordered, order, known: as in `score_residuals`, whose sums are ``residuals``. late, turn: (D, N, E), many: (D, N). column:
    (D, N) of ``late``, where the (K, D, N) inserted values are in the place of what is there; -1 for none. slope: (S, D, N), the
    first 1. divisor: (S, D, R + E); weight: (D, R + E). out: (S, K, D, E); squares: (S, K, D).
    """
    ways, effects, draws, days = out.shape
    events, rows = known.shape[1], ordered.shape[2]
    values, columns, step = np.empty(days), np.empty(days, order.dtype), np.empty(rows + 1)
    for d in range(draws):
        base, change = np.zeros((ways, rows + days)), np.zeros((ways, effects, rows + days))
        least = np.zeros(ways)
        for s in range(1, ways):
            least[s] = slope[s, d].min()
        for i in range(events):
            m, middle, left_out = known[d, i], centre[d, i], column[d, i]
            for s in range(ways):
                one = slope[s, d, i] - least[s]
                if (
                    one == 0
                ):  # most events of a sample have a slope in common: the first sums have it all but for a factor
                    continue
                count = enter(
                    ordered[d, i], order[d, i], m, late[d, i], turn[d, i], many[d, i], left_out, middle, one, values, columns,
                    step[: m + 1], base[s],
                )  # fmt: skip
                if left_out >= 0:
                    at = rows + left_out
                    base[s, at] += one * (1 - middle)
                    insert(ordered[d, i], order[d, i], m, inserted[:, d, i], at, one, change[s])
                    insert(values, columns, count, inserted[:, d, i], at, one, change[s])
        for s in range(1, ways):
            base[s] += least[s] * base[0]
            change[s] += least[s] * change[0]
        for s in range(ways):
            base[s, :rows] += residuals[s, d]
            squared(base[s], change[s], divisor[s, d], weight[d], rows, out[s, :, d], squares[s, :, d])


@numba.njit(**OPTIONS)
def score_one_more(ordered, order, known, residuals, inserted, slope, centre, divisor, weight, out, squares):  # type: ignore[no-untyped-def]
    """`score_rows` with one day behind the rows, which holds the (K, D, N) inserted values and nothing else.

    residuals: (D, R); slope: (D, N). divisor, weight: (D, R + 1). out: (K, D, 1); squares: (K, D).
    """
    effects, draws, _ = out.shape
    rows = ordered.shape[2]
    base = np.zeros(rows + 1)
    for d in range(draws):
        base[:rows], base[rows], change = residuals[d], 0.0, np.zeros((effects, rows + 1))
        for i in range(known.shape[1]):
            base[rows] += slope[d, i] * (1 - centre[d, i])
            insert(ordered[d, i], order[d, i], known[d, i], inserted[:, d, i], rows, slope[d, i], change)
        squared(base, change, divisor[d], weight[d], rows, out[:, d], squares[:, d])


@numba.njit(**OPTIONS)
def meeting(low, high, block, draw, one, other):  # type: ignore[no-untyped-def]
    """The pairs of events whose spans ``low`` to ``high`` (D, N) meet, not both of one ``block``, -1 for none; how many.

    draw, one, other: what they are written into, in order, as far as there is room.
    """
    count, draws, events = 0, low.shape[0], low.shape[1]
    for d in range(draws):
        for i in range(events):
            for j in range(i + 1, events):
                if low[d, i] > high[d, j] or low[d, j] > high[d, i]:
                    continue
                if block[d, i] >= 0 and block[d, i] == block[d, j]:
                    continue
                if count < len(draw):
                    draw[count], one[count], other[count] = d, i, j
                count += 1
    return count


@numba.njit(**OPTIONS)
def lay(residuals, first, calendar, common, start, values, there):  # type: ignore[no-untyped-def]
    """Put (D, N, R) residuals, each row less its mean, on the days of a calendar in common, as (D, N, T) ``values`` from the day
    ``start`` (D, N) on, 0 where missing; ``there`` is 1 where there is one. Both come as zeros.

    first: (D, N) the position of column 0 on the event's calendar. common: (C, S) the common day of each session of a calendar.
    """
    for d in range(residuals.shape[0]):
        for i in range(residuals.shape[1]):
            row, days, total, count = residuals[d, i], common[calendar[i]], 0.0, 0
            for c in range(len(row)):
                if row[c] == row[c]:
                    total, count = total + row[c], count + 1
            for c in range(len(row)):
                if row[c] == row[c]:
                    at = days[first[d, i] + c] - start[d, i]
                    values[d, i, at], there[d, i, at] = row[c] - total / count, 1.0


@numba.njit(**OPTIONS, fastmath={"reassoc", "nsz", "contract"})
def correlate(values, there, start, draw, one, other, out):  # type: ignore[no-untyped-def]
    """Pearson correlations of P pairs of rows that `lay` made, on the days both have, into ``out``.

    The rows have a mean near 0, so that sums of squares lose nothing to it. 0 below 3 common days or without spread on them.
    """
    width = values.shape[2]
    for p in range(len(draw)):
        d, i, j = draw[p], one[p], other[p]
        gap = start[d, i] - start[d, j]
        first, end = max(0, -gap), min(width, width - gap)
        a, b = values[d, i, first:end], values[d, j, first + gap : end + gap]
        in_a, in_b = there[d, i, first:end], there[d, j, first + gap : end + gap]
        n, sum_a, sum_b, aa, bb, ab = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
        for t in range(len(a)):
            n += in_a[t] * in_b[t]
            sum_a += a[t] * in_b[t]
            sum_b += b[t] * in_a[t]
            aa += a[t] * a[t] * in_b[t]
            bb += b[t] * b[t] * in_a[t]
            ab += a[t] * b[t]
        if n >= 3:
            apart_a, apart_b = aa - sum_a * sum_a / n, bb - sum_b * sum_b / n
            if apart_a > max(LEAST * aa, NEAR * NEAR) and apart_b > max(LEAST * bb, NEAR * NEAR):
                out[p] = (ab - sum_a * sum_b / n) / (apart_a * apart_b) ** 0.5


@numba.njit(**OPTIONS)
def within_blocks(values, block, out):  # type: ignore[no-untyped-def]
    """Add to ``out`` (D,) the correlations of all pairs of rows of one block: (|sum z|^2 - n)/2, z the n rows at length 1.

    values: as `lay` makes them, complete and on the same days in a block. block: (D, N), -1 for none.
    """
    total = np.empty(values.shape[2])
    for d in range(block.shape[0]):
        for i in range(block.shape[1]):
            if block[d, i] < 0 or (block[d, :i] == block[d, i]).any():
                continue
            total[:] = 0.0
            alone = 0
            for j in range(i, block.shape[1]):
                if block[d, j] == block[d, i]:
                    length = (values[d, j] * values[d, j]).sum() ** 0.5
                    if length > NEAR:
                        total += values[d, j] / length
                        alone += 1
            out[d] += ((total * total).sum() - alone) / 2


@numba.njit(**OPTIONS)
def days_in_common(days, draw, one, other, out):  # type: ignore[no-untyped-def]
    """How many of the (D, N, L) days of each of P pairs of events are the same, into ``out``."""
    for p in range(len(draw)):
        a, b = days[draw[p], one[p]], days[draw[p], other[p]]
        for s in range(len(a)):
            for t in range(len(b)):
                if a[s] == b[t]:
                    out[p] += 1
