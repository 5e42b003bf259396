"""Ranks and their sums for very many events, compiled: what `sweeps` does with arrays, one event at a time; imported late.

The library's sort is the fastest there is, but of values alone, and of short ones: so 32 bits hold the beginning of a value and
its place, and values that begin alike are put in order after it. The ranks are those of `rank.mid_ranks` to the last bit.
"""

# mypy: disable-error-code="no-untyped-def"
from __future__ import annotations

from typing import Any

import numba
import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
OPTIONS: dict[str, Any] = {"nogil": True, "cache": True, "error_model": "numpy"}
LARGEST = np.int32(np.iinfo(np.int32).max)


def mid_ranks(values: Floats, split: int) -> tuple[Floats, Floats, Ints]:
    """The mid-ranks (N, D) of each row, 0 where it is not finite; (N, split) those of the first columns among themselves; and
    (N,) how many values are ranked."""
    ranks, own = np.empty(values.shape), np.empty((len(values), split))
    bits = max(values.shape[1] - 1, 1).bit_length()
    keys = np.empty(values.shape, np.int32)
    counts = np.empty(len(values), np.int64)
    with np.errstate(over="ignore"):  # beyond what is short, all begin alike
        short = np.add(values, 0.0, dtype=np.float32, casting="same_kind")  # 0.0 is -0.0, and must look so
    _keys(short.view(np.int32), values, bits, keys, counts)
    keys.sort(axis=1)
    _ranks(keys, counts, values, bits, ranks, own)
    return ranks, own, counts


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
def _ranks(keys, counts, values, bits, ranks, own):
    """The mid-ranks from sorted keys, of all columns and of those that ``own`` has among themselves."""
    mask, split = (1 << bits) - 1, own.shape[1]
    for e in range(values.shape[0]):
        key, row, out, mine, n, before = keys[e], values[e], ranks[e], own[e], counts[e], 0
        if n < row.shape[0]:
            out[:] = 0.0
            mine[:] = 0.0
        tied, end = False, 0
        for i in range(1, n):
            if key[i] >> bits == key[i - 1] >> bits and i >= end:
                end = i + 1
                while end < n and key[end] >> bits == key[i] >> bits:
                    end += 1
                _in_order(key[i - 1 : end], mask, row)
                for j in range(i, end):
                    tied |= row[key[j] & mask] == row[key[j - 1] & mask]
        for i in range(n):
            t = key[i] & mask
            out[t] = i + 1
            if t < split:
                before += 1
                mine[t] = before
        if tied:
            _shared(key[:n], mask, row, out, mine)


@numba.njit(**OPTIONS)
def _shared(key, mask, row, out, mine):
    """Give equal values the mean of their ranks, in place."""
    i, before, split = 0, 0, mine.shape[0]
    while i < key.shape[0]:
        end, many = i, 0
        while end < key.shape[0] and row[key[end] & mask] == row[key[i] & mask]:
            many += (key[end] & mask) < split
            end += 1
        for m in range(i, end):
            t = key[m] & mask
            out[t] = 0.5 * (i + 1 + end)
            if t < split:
                mine[t] = before + 0.5 * (many + 1)
        i, before = end, before + many


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


@numba.njit(**OPTIONS)
def above_shares(residuals, shares):
    """Each row's share of values above zero among those that are there, 0 where none is."""
    for e in range(residuals.shape[0]):
        row, above, n = residuals[e], 0, 0
        for t in range(row.shape[0]):
            above += row[t] > 0
            n += np.isfinite(row[t])
        shares[e] = above / max(n, 1)
