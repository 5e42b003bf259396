"""Sums of ranks of very many events, compiled: what `sweeps` does with arrays, one event at a time; imported late.

The library's sort is the fastest there is, but of values alone, and of short ones: so 32 bits hold the beginning of a value and
its place, and values that begin alike are put in order after it. The ranks are those of `rank.mid_ranks`; they leave nothing
but their sums, so that those of an event stay in the processor's nearest cache.
"""

# mypy: disable-error-code="no-untyped-def"
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numba
import numpy as np
import numpy.typing as npt

from engine.significance.rank import Scoring
from engine.ties import NEAR

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
OPTIONS: dict[str, Any] = {"nogil": True, "cache": True, "error_model": "numpy"}
LARGEST = np.int32(np.iinfo(np.int32).max)
WIDE = 8.0  # standard deviations that are told apart before and after zero


def rank_sums(
    residuals: Floats, ar: Floats, sigma: Floats, member: npt.NDArray[np.bool_], own: Floats, scorings: Sequence[Scoring]
) -> tuple[Floats, Floats, Floats, Floats]:  # fmt: skip
    """The sums of S scores of the ranks (S, C, D) in C cells on D days, and how many ranks they are of, (C, D).

    And the sums of U of `rank.grank_t` (C, R + 1) by point, the SCAR the last, and how many these are of, (C, R + 1).

    residuals: (n, R) and ar: (n, D - R) of n events; sigma: (n,) the sd of their residuals. member: (C, n) which events a cell
    holds; own: (C, n) their SCARs, or (0, n) if nothing is to be ranked among residuals over sigma.
    """
    n, days, points = len(sigma), residuals.shape[1] + ar.shape[1], residuals.shape[1] + 1
    bits = max(days - 1, 1).bit_length()
    keys, counts = np.empty((n, days), np.int32), np.empty(n, np.int64)
    _keys(residuals, ar, sigma, bits, keys, counts)
    keys.sort(axis=1)
    slope, offset = np.empty((2, len(scorings), n))
    for s, scoring in enumerate(scorings):
        scores = scoring(counts, np.ones(1, np.int64))
        slope[s], offset[s] = scores.slope, scores.offset
    total, many = np.zeros((len(scorings), len(member), days)), np.zeros((len(member), days))
    u, of = np.zeros((2, len(own), points))
    _sums(residuals, ar, keys, counts, bits, member, slope, offset, own, sigma, total, many, u, of)
    return total, many, u, of


@numba.njit(**OPTIONS)
def _keys(residuals, ar, sigma, bits, keys, counts):
    """Whole numbers in the order of the values, their column in the last bits; the largest where there is none."""
    split, days, most = residuals.shape[1], keys.shape[1], (1 << (31 - bits)) - 2
    row = np.empty(days)
    for e in range(residuals.shape[0]):
        out, n = keys[e], 0
        row[:split] = residuals[e]
        row[split:] = ar[e]
        scale = most / (WIDE * sigma[e]) if sigma[e] > 0 else 1.0
        for t in range(days):
            there = np.isfinite(row[t])
            begins = np.int32(min(max(row[t] * scale, -most), most)) if there else np.int32(0)
            out[t] = begins << bits | t if there else LARGEST
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
def _alike(key, bits, row):
    """Put all keys that begin alike, or next to each other, in order, in place; returns whether any values are equal."""
    mask, n, end, tied, some = (1 << bits) - 1, key.shape[0], 0, False, 0
    for i in range(1, n):
        some += (key[i] >> bits) - (key[i - 1] >> bits) <= 1
    for i in range(1, n if some else 0):
        if (key[i] >> bits) - (key[i - 1] >> bits) <= 1 and i >= end:
            end = i + 1
            while end < n and (key[end] >> bits) - (key[end - 1] >> bits) <= 1:
                end += 1
            _in_order(key[i - 1 : end], mask, row)
            for j in range(i, end):
                tied |= row[key[j] & mask] - row[key[j - 1] & mask] <= NEAR
    return tied


@numba.njit(**OPTIONS)
def _tied(key, mask, row, split, rank, own):
    """Give equal values the mean of their ranks, in place."""
    i, before = 0, 0
    while i < key.shape[0]:
        end, many = i, 0
        while end < key.shape[0] and row[key[end] & mask] - row[key[max(end - 1, i)] & mask] <= NEAR:
            many += (key[end] & mask) < split
            end += 1
        for m in range(i, end):
            t = key[m] & mask
            rank[t] = 0.5 * (i + 1 + end)
            if t < split:
                own[t] = before + 0.5 * (many + 1)
        i, before = end, before + many


@numba.njit(**OPTIONS)
def _sums(residuals, ar, keys, counts, bits, member, slope, offset, own, sigma, total, many, u, of):
    """Add the events one after another: ranks of all days and of the residuals among themselves, 0 where there is none."""
    split, days, mask = residuals.shape[1], keys.shape[1], (1 << bits) - 1
    row, rank, among, scaled = np.empty(days), np.empty(days), np.empty(days), np.empty(split)
    for e in range(residuals.shape[0]):
        n, before = counts[e], 0
        row[:split] = residuals[e]
        row[split:] = ar[e]
        if n < days:
            rank[:] = 0.0
            among[:] = 0.0
        key = keys[e, :n]
        tied = _alike(key, bits, row)
        for i in range(n):
            t = key[i] & mask
            before += t < split
            rank[t], among[t] = i + 1, before
        if tied:
            _tied(key, mask, row, split, rank, among)
        for t in range(split):
            scaled[t] = row[t] / sigma[e]
        for c in range(member.shape[0]):
            if member[c, e]:
                for s in range(slope.shape[0]):
                    a, b, added = slope[s, e], offset[s, e], total[s, c]
                    for t in range(days):
                        added[t] += rank[t] * a + b if rank[t] > 0 else 0.0
                for t in range(days):
                    many[c, t] += 1.0 if rank[t] > 0 else 0.0
                if own.shape[0]:
                    _points(scaled, among, before, own[c, e], u[c], of[c])


@numba.njit(**OPTIONS)
def _points(scaled, among, n, own, u, of):
    """Add U of every estimation day with the SCAR ``own`` among its n ranks, that of the SCAR last; and how many these are."""
    days, below, upto, slope = scaled.shape[0], 0, 0, 1 / (2 + n)
    for t in range(days):
        below += scaled[t] < own - NEAR
        upto += scaled[t] <= own + NEAR
    for t in range(days):
        lifted = among[t] + (0.0 if scaled[t] < own - NEAR else 0.5 if scaled[t] <= own + NEAR else 1.0)
        u[t] += lifted * slope - 0.5 if among[t] > 0 else 0.0
    for t in range(days):
        of[t] += 1.0 if among[t] > 0 else 0.0
    u[days] += (1 + 0.5 * (below + upto)) * slope - 0.5
    of[days] += 1


@numba.njit(**OPTIONS)
def above_shares(residuals, shares):
    """Each row's share of values above zero among those that are there, 0 where none is."""
    for e in range(residuals.shape[0]):
        row, above, n = residuals[e], 0, 0
        for t in range(row.shape[0]):
            above += row[t] > NEAR
            n += np.isfinite(row[t])
        shares[e] = above / max(n, 1)
