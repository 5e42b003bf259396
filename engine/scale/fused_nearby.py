"""The rows of `nearby` for very many pairs, made a slice of the calendar at a time in their final order; imported late."""

# mypy: disable-error-code="no-untyped-def"
from __future__ import annotations

from typing import Any

import numba
import numpy as np

OPTIONS: dict[str, Any] = {"nogil": True, "cache": True}
FEW = 32  # other events of one listing in the windows of a pair, which are sorted in place


@numba.njit(**OPTIONS)
def rows_of(
    begin,
    end,
    inverse,
    keys,
    listed,
    base,
    position,
    own,
    window_start,
    window_end,
    dates,
    day_said,
    day_other,
    day,
    gap_first,
    gap_last,
    gap_said,
    said_estimation,
    said_event,
    row,
    kind,
    other,
    first,
    last,
    said,
):
    """The rows of the calendar's rows ``begin`` to ``end``, into the six columns if these have room; returns how many.

    inverse: (N,) where a row stands among the ``keys``, (M,) of all rows by listing and session, -1 if it is on no panel;
    listed: (M,) the row of each. gap_first, gap_last: (P,) as keys, increasing. dates: (S,) day numbers of the sessions.
    """
    n, room, sessions = 0, row.shape[0], dates.shape[0]
    others = np.empty(FEW, np.int64)
    for i in range(begin, end):
        p = position[i]
        if inverse[i] >= 0:
            low = min(own[i, 0] - window_end, window_start)
            high = max(own[i, 1] - window_start, window_end)
            at, m, here = inverse[i], 0, base[i] + p
            a, z = at, at
            while a > 0 and keys[a - 1] >= here + low:
                a -= 1
            while z < keys.shape[0] and keys[z] <= here + high:
                z += 1
            if z - a > others.shape[0]:
                others = np.empty(2 * (z - a), np.int64)
            for one in range(a, z):
                if listed[one] != i:
                    others[m] = one
                    m += 1
            if m > FEW:  # by the row that they name
                others[:m] = others[:m][np.argsort(listed[others[:m]])]
            for j in range(1, m if m <= FEW else 0):
                one, q = others[j], j
                while q > 0 and listed[others[q - 1]] > listed[one]:
                    others[q] = others[q - 1]
                    q -= 1
                others[q] = one
            for turn in range(2):
                for j in range(m):
                    away = keys[others[j]] - here
                    if turn == 0:
                        lo, hi = max(away + window_start, own[i, 0]), min(away + window_end, own[i, 1])
                        if lo > hi:
                            continue
                    elif not window_start <= away <= window_end:
                        continue
                    if n < room:
                        row[n], kind[n], other[n] = i, turn, listed[others[j]]
                        if turn == 0:
                            first[n] = dates[min(max(p + lo, 0), sessions - 1)]
                            last[n] = dates[min(max(p + hi, 0), sessions - 1)]
                            said[n] = said_estimation
                        else:
                            first[n] = dates[p + away]
                            last[n] = first[n]
                            said[n] = said_event + away - window_start
                    n += 1
        if day_said[i] >= 0:
            if n < room:
                row[n], kind[n], other[n], first[n], last[n], said[n] = i, 2, day_other[i], day[i], day[i], day_said[i]
            n += 1
        if inverse[i] >= 0:
            here = base[i] + p
            g = np.searchsorted(gap_last, here + min(window_start, -1))
            while g < gap_first.shape[0] and gap_first[g] <= here + max(window_end, -1):
                if n < room:
                    row[n], kind[n], other[n] = i, 3, -1
                    first[n], last[n] = dates[gap_first[g] - base[i]], dates[gap_last[g] - base[i]]
                    said[n] = gap_said[g]
                n += 1
                g += 1
    return n
