"""The rows of `nearby` for very many pairs, made a slice of the calendar at a time in their final order; imported late."""

# mypy: disable-error-code="no-untyped-def"
from __future__ import annotations

from typing import Any, NamedTuple

import numba
import numpy as np

OPTIONS: dict[str, Any] = {"nogil": True, "cache": True}
FEW = 32  # other events of one listing in the windows of a pair, which are sorted in place
ESTIMATION, EVENT, SAME_DAY, SUSPENDED = range(4)


class Around(NamedTuple):
    """What there is around the N rows of the calendar.

    inverse: (N,) where a row stands among the ``keys``, (M,) of all rows by listing and session, -1 if it is on no panel;
    listed: (M,) the row of each. base: (N,) where the sessions of its listing begin among the keys. position, own: (N,), (N, 2)
    as of `Pairs`. dates: (S,) day numbers of the sessions. day_said, day_other, day: (N,) of the row on its shared day 0, -1 for
    none. gap_first, gap_last: (P,) as keys, increasing. The ``said`` are numbers of words.
    """

    inverse: np.ndarray
    keys: np.ndarray
    listed: np.ndarray
    base: np.ndarray
    position: np.ndarray
    own: np.ndarray
    window_start: int
    window_end: int
    dates: np.ndarray
    day_said: np.ndarray
    day_other: np.ndarray
    day: np.ndarray
    gap_first: np.ndarray
    gap_last: np.ndarray
    gap_said: np.ndarray
    said_estimation: int
    said_event: int


class Found(NamedTuple):
    """Room for the six columns of `Nearby`."""

    row: np.ndarray
    kind: np.ndarray
    other: np.ndarray
    first: np.ndarray
    last: np.ndarray
    said: np.ndarray


@numba.njit(**OPTIONS)
def _span(i, keys, inverse, here, low, high):
    """The keys [a, z) of the listing of row i from ``low`` to ``high`` sessions away."""
    a = z = inverse[i]
    while a > 0 and keys[a - 1] >= here + low:
        a -= 1
    while z < keys.shape[0] and keys[z] <= here + high:
        z += 1
    return a, z


@numba.njit(**OPTIONS)
def _by_row(others, m, listed):
    """Put m keys into the order of the rows that they are of, in place."""
    if m > FEW:
        others[:m] = others[:m][np.argsort(listed[others[:m]])]
        return
    for j in range(1, m):
        one, q = others[j], j
        while q > 0 and listed[others[q - 1]] > listed[one]:
            others[q] = others[q - 1]
            q -= 1
        others[q] = one


@numba.njit(**OPTIONS)
def count_of(begin, end, around, counts):
    """Add how many rows of each kind `rows_of` finds."""
    keys, inverse, base, position, own = around.keys, around.inverse, around.base, around.position, around.own
    day_said, start, stop = around.day_said, around.window_start, around.window_end
    gap_first, gap_last = around.gap_first, around.gap_last
    for i in range(begin, end):
        counts[SAME_DAY] += day_said[i] >= 0
        if inverse[i] < 0:
            continue
        here = base[i] + position[i]
        a, z = _span(i, keys, inverse, here, min(own[i, 0] - stop, start), max(own[i, 1] - start, stop))
        for one in range(a, z):
            away = keys[one] - here
            if one != inverse[i]:
                counts[EVENT] += start <= away <= stop
                counts[ESTIMATION] += max(away + start, own[i, 0]) <= min(away + stop, own[i, 1])
        g = np.searchsorted(gap_last, here + min(start, -1))
        while g < gap_first.shape[0] and gap_first[g] <= here + max(stop, -1):
            counts[SUSPENDED] += 1
            g += 1


@numba.njit(**OPTIONS)
def rows_of(begin, end, around, found):
    """The rows of the calendar's rows ``begin`` to ``end``, into room that is enough for them; returns how many."""
    (
        inverse, keys, listed, base, position, own, start, stop, dates, day_said, day_other, day, gap_first, gap_last,
        gap_said, said_estimation, said_event,
    ) = around  # fmt: skip
    row, kind, other, first, last, said = found
    n, sessions, others = 0, dates.shape[0], np.empty(FEW, np.int64)
    for i in range(begin, end):
        p, here, m = position[i], base[i] + position[i], 0
        if inverse[i] >= 0:
            a, z = _span(i, keys, inverse, here, min(own[i, 0] - stop, start), max(own[i, 1] - start, stop))
            if z - a > others.shape[0]:
                others = np.empty(2 * (z - a), np.int64)
            for one in range(a, z):
                others[m] = one
                m += one != inverse[i]
            _by_row(others, m, listed)
        for j in range(m):
            away = keys[others[j]] - here
            lo, hi = max(away + start, own[i, 0]), min(away + stop, own[i, 1])
            if lo <= hi:
                row[n], kind[n], other[n], said[n] = i, ESTIMATION, listed[others[j]], said_estimation
                first[n] = dates[min(max(p + lo, 0), sessions - 1)]
                last[n] = dates[min(max(p + hi, 0), sessions - 1)]
                n += 1
        for j in range(m):
            away = keys[others[j]] - here
            if start <= away <= stop:
                row[n], kind[n], other[n], said[n] = i, EVENT, listed[others[j]], said_event + away - start
                first[n] = last[n] = dates[p + away]
                n += 1
        if day_said[i] >= 0:
            row[n], kind[n], other[n], first[n], last[n], said[n] = (
                i,
                SAME_DAY,
                day_other[i],
                day[i],
                day[i],
                day_said[i],
            )
            n += 1
        if inverse[i] >= 0:
            g = np.searchsorted(gap_last, here + min(start, -1))
            while g < gap_first.shape[0] and gap_first[g] <= here + max(stop, -1):
                row[n], kind[n], other[n], said[n] = i, SUSPENDED, -1, gap_said[g]
                first[n], last[n] = dates[gap_first[g] - base[i]], dates[gap_last[g] - base[i]]
                n += 1
                g += 1
    return n
