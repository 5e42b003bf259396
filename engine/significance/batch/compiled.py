"""Loops over single values that numpy has no fast form for, compiled. Sums run over the events in order.

Importing this file takes half a second, so it is imported late.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

OPTIONS: dict[str, Any] = {"nogil": True, "cache": True, "error_model": "numpy"}


@numba.njit(**OPTIONS)
def place(row, order, known, value, equal_too):  # type: ignore[no-untyped-def]
    """How many of the first ``known`` values of a row, in order, are below ``value``; with ``equal_too`` those equal too."""
    low, high = 0, known
    while low < high:
        middle = (low + high) >> 1
        seen = row[order[middle]]
        if seen < value or (equal_too and seen == value):
            low = middle + 1
        else:
            high = middle
    return low


@numba.njit(**OPTIONS)
def places(rows, order, known, values, equal_too, out):  # type: ignore[no-untyped-def]
    """`place` of (K, D, N) values in (D, N, T) rows, into ``out``."""
    for k in range(values.shape[0]):
        for d in range(values.shape[1]):
            for i in range(values.shape[2]):
                out[k, d, i] = place(rows[d, i], order[d, i], known[d, i], values[k, d, i], equal_too)


@numba.njit(**OPTIONS)
def score_ranks(rows, order, known, slope, offset, out):  # type: ignore[no-untyped-def]
    """Add slope rank + offset of every value of every row to its column of ``out`` (S, D, T), for S ways to score.

    rows: (D, N, T). order: (D, N, T) columns by value, the ``known`` (D, N) first. slope, offset: (S, D, N). Ties have mid-ranks.
    """
    for d in range(rows.shape[0]):
        for i in range(rows.shape[1]):
            row, turn, m = rows[d, i], order[d, i], known[d, i]
            first = 0
            while first < m:
                last = first
                while last + 1 < m and row[turn[last + 1]] == row[turn[first]]:
                    last += 1
                for r in range(first, last + 1):
                    for s in range(out.shape[0]):
                        out[s, d, turn[r]] += slope[s, d, i] * (1 + 0.5 * (first + last)) + offset[s, d, i]
                first = last + 1


@numba.njit(**OPTIONS)
def score_inserted(rows, order, known, inserted, column, slope, offset, out):  # type: ignore[no-untyped-def]
    """Add to ``out`` (S, K, D, T) what (K, D, N) values change that are put into a column left out of the rows.

    Each has a score of its own, and lifts the values above it by one rank, its equals by half. As in `score_ranks` otherwise.
    """
    ways, effects, draws, days = out.shape
    below, up_to = np.empty(effects, np.int64), np.empty(effects, np.int64)
    for d in range(draws):
        lifts = np.zeros((ways, effects + 1, days))  # of values with so many effects below them
        for i in range(rows.shape[1]):
            row, turn, m = rows[d, i], order[d, i], known[d, i]
            rising = _between(row, turn, m, inserted[:, d, i], below, up_to)
            for k in range(effects):
                for s in range(ways):
                    out[s, k, d, column] += slope[s, d, i] * (1 + 0.5 * (below[k] + up_to[k])) + offset[s, d, i]
                    for r in range(below[k], up_to[k]):
                        out[s, k, d, turn[r]] += 0.5 * slope[s, d, i]
            if rising:
                passed = 0
                for r in range(m):
                    while passed < effects and up_to[passed] <= r:
                        passed += 1
                    if passed:
                        for s in range(ways):
                            lifts[s, passed, turn[r]] += slope[s, d, i]
            else:
                for k in range(effects):
                    for r in range(up_to[k], m):
                        for s in range(ways):
                            out[s, k, d, turn[r]] += slope[s, d, i]
        for s in range(ways):
            for t in range(days):
                above = 0.0
                for k in range(effects - 1, -1, -1):
                    above += lifts[s, k + 1, t]
                    out[s, k, d, t] += above


@numba.njit(**OPTIONS)
def _between(row, turn, known, values, below, up_to):  # type: ignore[no-untyped-def]
    """How many values of a row are below each of some, and below or equal; whether those rise, so that one walk finds all."""
    rising = True
    for k in range(1, values.shape[0]):
        rising = rising and values[k] >= values[k - 1]
    if not rising or values.shape[0] < 4:
        for k in range(values.shape[0]):
            below[k] = place(row, turn, known, values[k], False)
            up_to[k] = place(row, turn, known, values[k], True)
        return rising
    low, high = 0, 0
    for k in range(values.shape[0]):
        while low < known and row[turn[low]] < values[k]:
            low += 1
        high = max(high, low)
        while high < known and row[turn[high]] <= values[k]:
            high += 1
        below[k], up_to[k] = low, high
    return True


@numba.njit(**OPTIONS)
def merge_columns(rows, order, known, first, left_out, out, counts):  # type: ignore[no-untyped-def]
    """Order whole rows (D, N, T) whose columns before ``first`` are in order already, the ``known`` (D, N) of them first.

    out: (D, N, T) the columns by value, without ``left_out`` and missing ones; counts: (D, N) how many.
    """
    draws, events, days = rows.shape
    late = np.empty(days - first, np.int64)
    for d in range(draws):
        for i in range(events):
            row, m = rows[d, i], 0
            for t in range(first, days):
                if t == left_out or row[t] != row[t]:
                    continue
                at = m
                while at > 0 and row[late[at - 1]] > row[t]:
                    late[at] = late[at - 1]
                    at -= 1
                late[at] = t
                m += 1
            a, b = 0, 0
            for r in range(known[d, i] + m):
                if b == m or (a < known[d, i] and row[order[d, i, a]] <= row[late[b]]):
                    out[d, i, r] = order[d, i, a]
                    a += 1
                else:
                    out[d, i, r] = late[b]
                    b += 1
            counts[d, i] = known[d, i] + m


@numba.njit(**OPTIONS)
def correlate(residuals, shift, counterparts, calendar, draw, one, other, out):  # type: ignore[no-untyped-def]
    """Pearson correlations of P pairs of rows of (D, N, R) residuals on the days both have, into ``out``.

    shift: (D, N) the position of column 0 on the event's calendar. counterparts: (C, C, S) the position on a second calendar of
    each session of a first, -1 for none. 0 below 3 common days or without spread on them.
    """
    rows, sessions = residuals.shape[2], counterparts.shape[2]
    for p in range(draw.shape[0]):
        d, i, j = draw[p], one[p], other[p]
        to, count, mean_a, mean_b = counterparts[calendar[i], calendar[j]], 0, 0.0, 0.0
        for step in range(2):
            aa, bb, ab = 0.0, 0.0, 0.0
            for c in range(rows):
                at = shift[d, i] + c
                if at < 0 or at >= sessions or to[at] < 0:
                    continue
                e = to[at] - shift[d, j]
                if e < 0 or e >= rows:
                    continue
                a, b = residuals[d, i, c], residuals[d, j, e]
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
