"""Bars: no trade, no change, no sense."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from engine.market.quality.subject import TRADED, Finding, Flags, Subject, runs
from engine.ties import SHARE, above, below

FLAT = 5  # identical closes with trade in a row; four or fewer happen in every quiet share with a coarse tick
BRIDGE = 20  # rows: what happens again within a month is reported together
ROUNDING = 1e-4  # adjusted bars are rounded one by one: a close may leave its range by that much of the price
NO_RANGE = 60  # rows at the start of a series with open = high = low = close, before rows with a range


def idle(subject: Subject) -> Iterator[Finding]:
    """``stale``, ``zero_volume`` (a price moved without trade), ``flat`` and ``duplicate`` of a series with volume."""
    volume = subject.column("volume")
    yield from _together(subject, "stale", subject.stale, "volume 0 and the close of the row before: no price")
    if subject.kind not in TRADED or not (volume > 0).any():
        return
    close = np.where(np.isfinite(subject.column("close")), subject.column("close"), subject.price)
    moved = np.concatenate([[False], close[1:] != close[:-1]]) & np.isfinite(close)
    yield from _together(
        subject, "zero_volume", (volume == 0) & moved, "volume 0, but another close than the day before"
    )
    same = np.concatenate([[False], (close[1:] == close[:-1]) & (volume[1:] > 0) & (volume[:-1] > 0)])
    for first, last in runs(same):
        n = last - first + 2
        if n >= FLAT:
            yield subject.find("flat", first - 1, last, n, f"{n} identical closes in a row, with volume")
    bars = [subject.column(c) for c in ("open", "high", "low", "volume") if c in subject.columns]
    twin = np.concatenate([[False], np.all([b[1:] == b[:-1] for b in bars], axis=0)]) & same
    yield from _together(subject, "duplicate", twin, "the bar repeats the one before, volume included")


def senseless(subject: Subject) -> Iterator[Finding]:
    """``non_positive`` prices, ``high_low`` bars that contradict themselves, ``no_range`` at the start."""
    wrong = np.zeros(len(subject.dates), bool)
    for name in ("close", "adj_close"):
        wrong |= subject.column(name) <= 0
    yield from _together(subject, "non_positive", wrong, "a price of zero or below: not used")
    high, low, close, opened = (subject.column(c) for c in ("high", "low", "close", "open"))
    slack = ROUNDING * np.abs(close)
    tie = SHARE * np.abs(close)
    odd = above(close, high + slack, tie) | below(close, low - slack, tie) | above(low, high + slack, tie)
    odd |= above(opened, high + slack, tie) | below(opened, low - slack, tie)
    yield from _together(subject, "high_low", odd, "open, high, low and close contradict one another")
    bare = (high == low) & (close == high)
    length = int(np.argmin(bare)) if not bare.all() else 0
    if length >= NO_RANGE:
        detail = f"the first {length} rows have high = low = close: closes only, or back-filled before a launch"
        yield subject.find("no_range", 0, length - 1, length, detail)


def _together(subject: Subject, kind: str, flags: Flags, words: str) -> Iterator[Finding]:
    """A finding for every run of flagged rows; runs less than `BRIDGE` rows apart are one, n counts the flagged rows."""
    for first, last in runs(flags, BRIDGE):
        yield subject.find(kind, first, last, int(flags[first : last + 1].sum()), words)
