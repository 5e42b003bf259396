"""Rows in order, ranks and their sums for very many events, compiled: what `sweeps` does with arrays, one event at a time;
imported late.

The library's sort is the fastest there is, but of values alone: so the place of a value stands in its last bits, and values that
differ in no other bit are put in order after it. The ranks are those of `rank.mid_ranks` to the last bit.
"""

# mypy: disable-error-code="no-untyped-def"
from __future__ import annotations

from typing import Any

import numba
import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
OPTIONS: dict[str, Any] = {"nogil": True, "cache": True, "error_model": "numpy"}
LARGEST = np.iinfo(np.int64).max


def mid_ranks(values: Floats, split: int) -> tuple[Floats, Floats]:
    """The mid-ranks (N, D) of each row, 0 where it is not finite; and (N, split) those of the first columns among themselves."""
    ranks, own = np.empty(values.shape), np.empty((len(values), split))
    _ranks(*_sorted_keys(values), ranks, own)
    return ranks, own


def in_order(values: Floats) -> tuple[Floats, npt.NDArray[np.int32]]:
    """The values (N, D) of each row in order, and the columns they stand in; NaN and 0 at the end for what is not finite."""
    ordered, columns = np.full(values.shape, np.nan), np.zeros(values.shape, np.int32)
    _places(*_sorted_keys(values), ordered, columns)
    return ordered, columns


def _sorted_keys(values: Floats) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], Floats, int]:
    """The keys of each row in order and how many there are; with the values, and the bits that hold a column."""
    bits = max(values.shape[1] - 1, 1).bit_length()
    keys, counts = np.empty(values.shape, np.int64), np.empty(len(values), np.int64)
    _keys((values + 0.0).view(np.int64), values, bits, keys, counts)  # 0.0 is -0.0, and must look so
    keys.sort(axis=1)
    return keys, counts, values, bits


@numba.njit(**OPTIONS)
def _keys(whole, values, bits, keys, counts):
    """Whole numbers in the order of the values, their column in the last bits; the largest where there is none."""
    for e in range(values.shape[0]):
        n, row, one, out = 0, whole[e], values[e], keys[e]
        for t in range(row.shape[0]):
            there = np.isfinite(one[t])
            ordered = row[t] if row[t] >= 0 else row[t] ^ LARGEST
            out[t] = (ordered >> bits) << bits | t if there else LARGEST
            n += there
        counts[e] = n


@numba.njit(**OPTIONS)
def _in_order(keys, mask, row):
    """Put keys that are alike but for the place into the order of the values, in place."""
    for i in range(1, keys.shape[0]):
        key, j = keys[i], i
        while j > 0 and row[keys[j - 1] & mask] > row[key & mask]:
            keys[j] = keys[j - 1]
            j -= 1
        keys[j] = key


@numba.njit(**OPTIONS)
def _places(keys, counts, values, bits, ordered, columns):
    """The values and their columns from sorted keys."""
    mask = (1 << bits) - 1
    for e in range(values.shape[0]):
        key, row, n, i = keys[e], values[e], counts[e], 0
        while i < n:
            end = i + 1
            while end < n and key[end] >> bits == key[i] >> bits:
                end += 1
            if end - i > 1:
                _in_order(key[i:end], mask, row)
            i = end
        for i in range(n):
            columns[e, i] = key[i] & mask
            ordered[e, i] = row[key[i] & mask]


@numba.njit(**OPTIONS)
def _ranks(keys, counts, values, bits, ranks, own):
    """The mid-ranks from sorted keys, of all columns and of those that ``own`` has among themselves."""
    mask, split = (1 << bits) - 1, own.shape[1]
    for e in range(values.shape[0]):
        key, row, out, mine, n, before = keys[e], values[e], ranks[e], own[e], counts[e], 0
        if n < row.shape[0]:
            out[:] = 0.0
            mine[:] = 0.0
        i = 0
        while i < n:
            end = i + 1
            while end < n and key[end] >> bits == key[i] >> bits:
                end += 1
            if end - i == 1:
                t = key[i] & mask
                out[t] = end
                if t < split:
                    before += 1
                    mine[t] = before
                i = end
                continue
            _in_order(key[i:end], mask, row)
            while i < end:
                j, many = i, 0
                while j < end and row[key[j] & mask] == row[key[i] & mask]:
                    many += (key[j] & mask) < split
                    j += 1
                for m in range(i, j):
                    t = key[m] & mask
                    out[t] = 0.5 * (i + 1 + j)
                    if t < split:
                        mine[t] = before + 0.5 * (many + 1)
                i, before = j, before + many


@numba.njit(**OPTIONS)
def day_sums(ranks, members, slope, offset, total, counts):
    """Add slope times rank plus offset of the members' days that have a rank, and how many these are."""
    for m in range(members.shape[0]):
        e = members[m]
        row, a, b = ranks[e], slope[m], offset[m]
        for t in range(total.shape[0]):
            there = row[t] > 0
            total[t] += row[t] * a + b if there else 0.0
            counts[t] += there


@numba.njit(**OPTIONS)
def point_sums(standardised, ranks, members, scaled, total, counts):
    """Add U of every estimation day with the event's own SCAR among its ranks, that of the SCAR last; and how many these are."""
    days = standardised.shape[1]
    for m in range(members.shape[0]):
        row, rank, own = standardised[members[m]], ranks[members[m]], scaled[m]
        below, equal, n = 0, 0, 0
        for t in range(days):
            below += row[t] < own
            equal += row[t] == own
            n += rank[t] > 0
        slope = 1 / (2 + n)
        for t in range(days):
            there = rank[t] > 0
            lifted = rank[t] + (0.0 if row[t] < own else 0.5 if row[t] == own else 1.0)
            total[t] += lifted * slope - 0.5 if there else 0.0
            counts[t] += there
        total[days] += (1 + below + 0.5 * equal) * slope - 0.5
        counts[days] += 1
