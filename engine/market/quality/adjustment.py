"""Adjustment: ex-dates that the file implies, dividends stated and not, doubled or missing, additive adjustment."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from engine.market.quality.subject import TRADED, Finding, Flags, Floats, Subject
from engine.ties import above, at_least, at_most, below

STEP = 5e-4  # adj_close returns and close returns agree to 1e-5 apart from rounding; 5 basis points are a distribution
SPLITS = (2, 3, 4, 5, 6, 7, 8, 10, 15, 20, 25, 30, 40, 50, 100, 1.5, 4 / 3, 1.25)
SPLIT_NEAR = 0.01  # relative
STATED_NEAR = (0.001, 0.1)  # a stated dividend may differ from the implied by 0.1 % of the price, or a tenth of itself
# Vendors book a receipt's dividend twice, on two candidates for its ex-date: like sizes within three weeks. Shares that
# pay monthly are not in them; smaller ones than half a percent are left to the reader.
TWICE_WITHIN, TWICE_NEAR, TWICE_FROM = 15, 0.15, 0.005
# Additive adjustment moves old prices by a constant, so old returns are too large: slope on the reference above 1.
# Judged on the oldest OLD_ROWS rows, where the correlation is at least TRACKS; sound trackers come within 0.02 of 1.
OLD_ROWS, FEWEST_OLD, SLOPE_OFF, TRACKS, ORDINARY = 500, 100, 0.1, 0.95, 0.15
# Two lines of one firm: the log ratio of their total-return prices, median of SIDE common days after the ex-date (NEAR
# days left out) against the median before. A dividend that one line lacks moves it by its size; the ratio's own noise
# (1.4826 MAD within the sides) must be smaller than half of that.
SIDE, NEAR, NOISE, SIZE_NEAR, SMALLEST = 20, 3, 2.0, 0.4, 0.01


def ex_dates(subject: Subject) -> Iterator[Finding]:
    """``ex_date`` with the implied size, ``double_dividend``, and ``ex_date_mismatch`` against the stated columns."""
    rows, implied = _implied(subject)
    if _looks_additive(subject):
        return
    for i, part in zip(rows.tolist(), implied.tolist(), strict=True):
        yield subject.find("ex_date", i, i, 1, _words(part))
    for k in np.flatnonzero(_doubled(rows, implied)):
        a, b = rows[k], rows[k + 1]
        sizes = f"{100 * implied[k]:.2f} % and {100 * implied[k + 1]:.2f} %"
        detail = f"implied dividends of {sizes}, {b - a} row{'s' * int(b - a > 1)} apart"
        yield subject.find("double_dividend", a, b, 2, f"{detail}: one counted twice?")
    yield from _mismatches(subject, dict(zip(rows.tolist(), implied.tolist(), strict=True)))


def _implied(subject: Subject) -> tuple[npt.NDArray[np.int64], Floats]:
    """Rows on which adj_close and close part, and the share of the last close that left: 1 - f(t-1)/f(t), f = adj/close."""
    close, adjusted = subject.column("close"), subject.column("adj_close")
    both = np.flatnonzero((close > 0) & (adjusted > 0))
    factor = adjusted[both] / close[both]
    part = 1 - factor[:-1] / factor[1:]
    hit = above(np.abs(part), STEP)
    return both[1:][hit], part[hit]


def _doubled(rows: npt.NDArray[np.int64], implied: Floats) -> Flags:
    """Whether an implied dividend and the next one are alike and within `TWICE_WITHIN` rows; one fewer than ``rows``."""
    near = (np.diff(rows) <= TWICE_WITHIN) & at_least(implied[:-1], TWICE_FROM)
    return np.asarray(near & at_most(np.abs(implied[1:] / implied[:-1] - 1), TWICE_NEAR))


def _words(part: float) -> str:
    ratio = 1 / (1 - part)
    for n in SPLITS:
        if below(abs(ratio / n - 1), SPLIT_NEAR):
            return f"as of a split {_whole(n)}"
        if below(abs(ratio * n - 1), SPLIT_NEAR):
            return f"as of a reverse split {_whole(n, reverse=True)}"
    if part < 0:
        return f"adj_close falls {-100 * part:.2f} % more than close: no dividend does that"
    return f"implied dividend {100 * part:.2f} % of the last close"


def _whole(n: float, reverse: bool = False) -> str:
    over = next(k for k in (1, 2, 3, 4) if abs(n * k - round(n * k)) < 1e-9)
    pair = (round(n * over), over)
    return f"{pair[1]}:{pair[0]}" if reverse else f"{pair[0]}:{pair[1]}"


def _mismatches(subject: Subject, implied: Mapping[int, float]) -> Iterator[Finding]:
    """``ex_date_mismatch``: a stated dividend or split that adj_close does not show, or the other way round.

    Yahoo's close is already split-adjusted, so a stated split may be in the implied step or not.
    """
    if "dividend" not in subject.columns:
        return
    dividend = np.nan_to_num(subject.column("dividend"))
    split = subject.column("split")
    split = np.where(np.isfinite(split) & (split > 0), split, 1.0)
    close = subject.column("close")
    before = close[np.maximum(subject.last, 0)]
    paid = (dividend != 0) & (subject.last >= 0) & (before > 0)
    share = np.where(paid, dividend / np.where(paid, before, 1.0), 0.0)
    for i in sorted({*implied, *np.flatnonzero(above(share, STEP)).tolist()}):
        seen = implied.get(i, 0.0)
        candidates = (share[i], 1 - (1 - share[i]) / split[i], 1 - (1 - share[i] * split[i]) / split[i])
        near = max(STATED_NEAR[0], STATED_NEAR[1] * abs(share[i]))
        if subject.last[i] >= 0 and above(min(abs(seen - c) for c in candidates), near):
            stated = f"stated dividend {100 * share[i]:.2f} % of the last close" if share[i] else "no dividend stated"
            yield subject.find("ex_date_mismatch", i, i, 1, f"{stated}, adj_close implies {100 * seen:.2f} %")


def additive(subject: Subject, indices: Sequence[Subject]) -> Iterator[Finding]:
    """``additive_adjustment``: the old returns are too large by a factor, against close or an index that it tracks."""
    if subject.kind not in TRADED or "return" in subject.columns:
        return
    if _looks_additive(subject):
        slope = _old_slope(subject, subject.column("close"), subject.dates)
        reference = "its own close"
    elif subject.kind == "fund":
        slopes = ((_old_slope(subject, i.price, i.dates), i.symbol) for i in indices if i.exchange == subject.exchange)
        slope, reference = next(((s, name) for s, name in slopes if s is not None), (None, ""))
    else:
        return
    if slope is not None and above(slope, 1 + SLOPE_OFF):
        last = min(OLD_ROWS, len(subject.dates)) - 1
        detail = (
            f"slope {slope:.2f} of the oldest adjusted returns on those of {reference}: adjusted by a sum, not a ratio?"
        )
        yield subject.find("additive_adjustment", 0, last, last + 1, detail)


def _looks_additive(subject: Subject) -> bool:
    """Whether adj_close over close changes on most rows of the oldest part: then no single day is an ex-date."""
    rows, _ = _implied(subject)
    old = min(OLD_ROWS, len(subject.dates))
    return old >= FEWEST_OLD and int((rows < old).sum()) > old / 4


def _old_slope(subject: Subject, prices: Floats, dates: npt.NDArray[np.datetime64]) -> float | None:
    """Slope of the oldest returns on those of a reference over common days; None if it is not tracked."""
    _, own, other = np.intersect1d(subject.dates[:OLD_ROWS], dates, assume_unique=True, return_indices=True)
    y = subject.price[own][1:] / subject.price[own][:-1] - 1
    x = prices[other][1:] / prices[other][:-1] - 1
    known = below(np.abs(x), ORDINARY) & below(np.abs(y), ORDINARY)  # splits and large distributions apart
    if known.sum() < FEWEST_OLD or at_most(np.ptp(x[known]), 0.0) or at_most(np.ptp(y[known]), 0.0):
        return None
    spread = np.cov(x[known], y[known])
    if spread[0, 1] < TRACKS * np.sqrt(spread[0, 0] * spread[1, 1]):
        return None
    return float(spread[0, 1] / spread[0, 0])


def missing_dividends(subjects: Sequence[Subject], names: Mapping[str, str]) -> Iterator[Finding]:
    """``missing_dividend``: an ex-date of a firm's depositary receipt that its home line does not show.

    names: by symbol, as in ``symbols.csv``; "PetroChina ADR" is the receipt of "PetroChina". The receipt must have
    close as traded, so that its ex-dates can be told; one that is close to a like one before it is left out (doubled).
    """
    by_name = {names[s.symbol]: s for s in subjects if names.get(s.symbol)}
    for name, receipt in sorted(by_name.items()):
        home = by_name.get(name.removesuffix(" ADR"))
        if name.endswith(" ADR") and home is not None:
            yield from _lacking(home, receipt)


def _lacking(home: Subject, receipt: Subject) -> Iterator[Finding]:
    rows, implied = _implied(receipt)
    common, a, b = np.intersect1d(home.dates, receipt.dates, assume_unique=True, return_indices=True)
    ratio = np.log(home.price[a]) - np.log(receipt.price[b])
    pairs = _doubled(rows, implied)
    single = ~(np.append(pairs, False) | np.append(False, pairs))[: len(rows)]
    for row, part in zip(rows[single].tolist(), implied[single].tolist(), strict=True):
        k = int(np.searchsorted(common, receipt.dates[row]))
        before, after = ratio[max(k - NEAR - SIDE, 0) : max(k - NEAR, 0)], ratio[k + NEAR : k + NEAR + SIDE]
        if below(part, SMALLEST) or min(np.isfinite(before).sum(), np.isfinite(after).sum()) < SIDE // 2:
            continue
        middle = (np.nanmedian(before), np.nanmedian(after))
        shift = -float(middle[1] - middle[0])
        noise = 1.4826 * float(np.nanmedian(np.abs(np.concatenate([before - middle[0], after - middle[1]]))))
        if below(abs(shift - part), SIZE_NEAR * part) and above(shift, NOISE * noise):
            day = int(np.searchsorted(home.dates, receipt.dates[row], side="left"))
            last = min(day + NEAR, len(home.dates) - 1)
            detail = (
                f"{receipt.symbol} has a dividend of {100 * part:.1f} % on {receipt.dates[row]}; against it this line "
                f"falls {100 * shift:.1f} % and stays there: its dividend is missing, or counted twice there"
            )
            yield home.find("missing_dividend", day, last, 1, detail)
