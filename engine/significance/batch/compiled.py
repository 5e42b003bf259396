"""Loops over single values that numpy has no fast form for, compiled. Sums run over the events in order.

Importing this file takes half a second, so it is imported late.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

OPTIONS: dict[str, Any] = {"nogil": True, "cache": True, "error_model": "numpy"}
LARGEST = np.iinfo(np.int64).max


@numba.njit(**OPTIONS)
def place(values, known, value, equal_too):  # type: ignore[no-untyped-def]
    """How many of the first ``known`` values, which are in order, are below ``value``; with ``equal_too`` those equal too."""
    low, high = 0, known
    while low < high:
        middle = (low + high) >> 1
        seen = values[middle]
        if seen < value or (equal_too and seen == value):
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
        while last + 1 < count and values[last + 1] == values[first]:
            last += 1
        for r in range(first, last + 1):
            score[columns[r]] = 1 + 0.5 * (first + last) - centre
        first = last + 1


@numba.njit(**OPTIONS)
def find(values, count, value, low):  # type: ignore[no-untyped-def]
    """How many of the first ``count`` values in order are below ``value``, and how many below or equal; from ``low`` on foot."""
    while low < count and values[low] < value:
        low += 1
    while low > 0 and values[low - 1] >= value:
        low -= 1
    high = low
    while high < count and values[high] == value:
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
        while last + 1 < count and values[last + 1] == values[first]:
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
def correlate(residuals, shift, counterparts, calendar, draw, one, other, out):  # type: ignore[no-untyped-def]
    """Pearson correlations of P pairs of rows of (D, N, R) residuals on the days both have, into ``out``.

    shift: (D, N) the position of column 0 on the event's calendar. counterparts: (C, C, S) the position on a second calendar of
    each session of a first, -1 for none. 0 below 3 common days or without spread on them.
    """
    rows, sessions = residuals.shape[2], counterparts.shape[2]
    for p in range(draw.shape[0]):
        d, i, j = draw[p], one[p], other[p]
        row_a, row_b, alike = residuals[d, i], residuals[d, j], calendar[i] == calendar[j]
        to, count, mean_a, mean_b = counterparts[calendar[i], calendar[j]], 0, 0.0, 0.0
        gap = shift[d, i] - shift[d, j]
        first, end = (max(0, -gap), min(rows, rows - gap)) if alike else (0, rows)
        for step in range(2):
            aa, bb, ab = 0.0, 0.0, 0.0
            for c in range(first, end):
                e = c + gap
                if not alike:
                    at = shift[d, i] + c
                    if at < 0 or at >= sessions or to[at] < 0:
                        continue
                    e = to[at] - shift[d, j]
                    if e < 0 or e >= rows:
                        continue
                a, b = row_a[c], row_b[e]
                if a != a or b != b:
                    continue
                if step == 0:
                    count += 1
                    mean_a += a
                    mean_b += b
                else:
                    aa += (a - mean_a) * (a - mean_a)
                    bb += (b - mean_b) * (b - mean_b)
                    ab += (a - mean_a) * (b - mean_b)
            if step == 0:
                if count < 3:
                    break
                mean_a, mean_b = mean_a / count, mean_b / count
            elif aa > 0 and bb > 0:
                out[p] = ab / (aa * bb) ** 0.5
