"""What a vendor's new snapshot says about the days of the old one: nothing new, another scale, or another history.

Returns are compared, not levels: a split or a later dividend rescales every earlier price and changes no return.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from engine.market.prices import PriceSeries, read_series
from engine.market.snapshots import Snapshot
from engine.sessions import NO_DAY, positions_of
from engine.ties import above

Floats = npt.NDArray[np.float64]
Days = npt.NDArray[np.datetime64]
TOLERANCE = 1e-6  # vendors keep prices as single-precision floats
SHOWN = 3
SPLITS = (2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 10.0, 15.0, 20.0, 25.0, 50.0, 100.0, 1.5, 1.25, 1.2)
SPLIT_FIT = 0.002  # how near to one of them two returns are apart


@dataclass(frozen=True)
class SymbolChange:
    """One symbol in two snapshots, over the days that both cover.

    only: "old" or "new" where one snapshot alone has it, "neither" where none does. scale: new over old close, where it
    is one number; NaN else. largest: largest absolute difference of a total return, on ``worst``. dividends, splits: the
    days on which they differ. lost, added: days with a price in one only, before the last old and from the first old one on;
    lost also outside what the new snapshot covers. new_days: days after the last old one.
    """

    symbol: str
    only: str = ""
    scale: float = 1.0
    largest: float = 0.0
    worst: str = ""
    dividends: tuple[str, ...] = ()
    splits: tuple[str, ...] = ()
    lost: tuple[str, ...] = ()
    added: tuple[str, ...] = ()
    new_days: int = 0

    @property
    def append_only(self) -> bool:
        """Whether the old days say the same, up to a constant scale of the prices."""
        return not (self.only or self.worst or self.dividends or self.splits or self.lost or self.added)

    @property
    def rescaled(self) -> bool:
        """Whether all closes are multiplied by one number."""
        return abs(self.scale - 1) > TOLERANCE

    def __str__(self) -> str:
        if self.only:
            return (
                f"{self.symbol}: in neither snapshot"
                if self.only == "neither"
                else f"{self.symbol}: only in the {self.only} snapshot"
            )
        rescaled = f"closes times {self.scale:.6g} (a split or another adjustment, no return changed)"
        if self.append_only:
            return f"{self.symbol}: append only, {self.new_days} new days" + (f", {rescaled}" if self.rescaled else "")
        parts = [f"total return of {self.worst} differs by {self.largest:.4%}"] if self.worst else []
        for days, what in (
            (self.dividends, "dividend changed on"), (self.splits, "split changed on"),
            (self.lost, "day lost:"), (self.added, "day added:"),
        ):  # fmt: skip
            if days:
                more = f" and {len(days) - SHOWN} more" if len(days) > SHOWN else ""
                parts.append(f"{what} {', '.join(days[:SHOWN])}{more}")
        return f"{self.symbol}: history changed: " + "; ".join(parts)


@dataclass(frozen=True)
class DayChange:
    """One day of one symbol that two snapshots tell differently. kind: "dividend", "split", "missing day", "added day" or
    "revised close"; detail: what each says."""

    symbol: str
    day: str
    kind: str
    detail: str

    def __str__(self) -> str:
        return f"{self.symbol} {self.day} {self.kind}{f' ({self.detail})' if self.detail else ''}"


def day_changes(old: PriceSeries, new: PriceSeries, tolerance: float = TOLERANCE) -> list[DayChange]:
    """Every day within the old series that the new one tells differently, in order; tolerance as in `compare_snapshots`.

    A return that differs is put down to a dividend or split that differs on its day, else to a split that one of the two
    does not adjust for, if the closes are a usual ratio apart from that day on, else to a revised close. Days after the old
    series are not looked at, nor is a constant scale.
    """
    found = _moved_returns(old, new, tolerance)
    first, last = (old.dates[0], old.dates[-1]) if len(old.dates) else (NO_DAY, NO_DAY)
    then, now = _priced(old), _inside(_priced(new), first, last)
    for days, kind in ((np.setdiff1d(then, now), "missing day"), (np.setdiff1d(now, then), "added day")):
        found |= {str(d): DayChange(old.symbol, str(d), kind, "") for d in days}
    both = np.intersect1d(then, now)
    before, after = _column(old, "split"), _column(new, "split")
    for day in _changed(before, after, first, last, tolerance):
        said = f"{(before or {}).get(day, 1.0):g} -> {(after or {}).get(day, 1.0):g}"
        found[day] = DayChange(old.symbol, day, "split", said)
    before, after = _dividend_yield(old, both), _dividend_yield(new, both)
    for day in _changed(before, after, first, last, tolerance):
        said = f"{(before or {}).get(day, 0.0):.4%} -> {(after or {}).get(day, 0.0):.4%} of the price before"
        found[day] = DayChange(old.symbol, day, "dividend", said)
    return [found[day] for day in sorted(found)]


def _moved_returns(old: PriceSeries, new: PriceSeries, tolerance: float) -> dict[str, DayChange]:
    """The days on which the total returns of two series, over the same span, are apart."""
    (ends, starts, returns), (new_ends, new_starts, new_returns) = _returns(old), _returns(new)
    _, i, j = np.intersect1d(ends, new_ends, assume_unique=True, return_indices=True)
    was, now = returns[i], new_returns[j]
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = (1 + now) / (1 + was)
    found = {}
    for k in np.flatnonzero((starts[i] == new_starts[j]) & above(np.abs(was - now), tolerance)):
        said = f"return {was[k]:.4%} -> {now[k]:.4%}"
        undone = any(abs(ratio[k] * ratio[n] - 1) < SPLIT_FIT for n in (k - 1, k + 1) if 0 <= n < len(ratio))
        fits = [s for s in SPLITS if min(abs(ratio[k] * s - 1), abs(ratio[k] / s - 1)) < SPLIT_FIT]
        kind = "split" if fits and not undone and not old.is_return else "revised close"
        said += f", a split by {fits[0]:g} that one of them does not adjust for" if kind == "split" else ""
        found[str(ends[i][k])] = DayChange(old.symbol, str(ends[i][k]), kind, said)
    return found


def compare_snapshots(
    old: Snapshot, new: Snapshot, symbols: Iterable[str] | None = None, tolerance: float = TOLERANCE
) -> list[SymbolChange]:
    """Compare two snapshots, symbol by symbol; all symbols of either if None. Raises DataError for files that do not pass.

    tolerance: what two returns, or a dividend as a share of the price, may differ by.
    """
    wanted = sorted({*old.symbols(), *new.symbols()} if symbols is None else set(symbols))
    (was, _), (now, _) = read_series(old, wanted), read_series(new, wanted)
    return [
        _change(s, was[s], now[s], tolerance)
        if s in was and s in now
        else SymbolChange(s, only="old" if s in was else "new" if s in now else "neither")
        for s in wanted
    ]


def _change(symbol: str, old: PriceSeries, new: PriceSeries, tolerance: float) -> SymbolChange:
    if not len(old.dates) or not len(new.dates):
        return SymbolChange(symbol, only="new" if len(new.dates) else "old")
    first, last = max(old.dates[0], new.dates[0]), min(old.dates[-1], new.dates[-1])
    (old_ends, old_starts, old_returns), (new_ends, new_starts, new_returns) = _returns(old), _returns(new)
    _, i, j = np.intersect1d(old_ends, new_ends, assume_unique=True, return_indices=True)
    same_span = old_starts[i] == new_starts[j]
    apart = np.abs(old_returns[i] - new_returns[j])[same_span]
    changed = bool(len(apart)) and bool(above(apart.max(), tolerance))
    had, has = _priced(old), _inside(_priced(new), first, last)
    both = np.intersect1d(had, has)
    return SymbolChange(
        symbol=symbol,
        scale=_scale(old, new, tolerance),
        largest=float(apart.max()) if changed else 0.0,
        worst=str(old_ends[i][same_span][apart.argmax()]) if changed else "",
        dividends=_changed(_dividend_yield(old, both), _dividend_yield(new, both), first, last, tolerance),
        splits=_changed(_column(old, "split"), _column(new, "split"), first, last, tolerance),
        lost=tuple(map(str, np.setdiff1d(had, has))),
        added=tuple(map(str, np.setdiff1d(has, had))),
        new_days=int((_priced(new) > old.dates[-1]).sum()),
    )


def _priced(series: PriceSeries) -> Days:
    return series.dates[np.isfinite(series.values)]


def _returns(series: PriceSeries) -> tuple[Days, Days, Floats]:
    """Total returns between neighbouring values: the day each ends on, the day it starts from, the return."""
    known = np.isfinite(series.values)
    days, values = series.dates[known], series.values[known]
    if series.is_return:
        return days, days, values
    return days[1:], days[:-1], values[1:] / values[:-1] - 1


def _inside(days: Days, first: np.datetime64, last: np.datetime64) -> Days:
    return days[(days >= first) & (days <= last)]


def _scale(old: PriceSeries, new: PriceSeries, tolerance: float) -> float:
    """New over old close on the common days if that is one number, NaN if it is not; 1 without closes."""
    if "close" not in old.columns or "close" not in new.columns:
        return 1.0
    _, i, j = np.intersect1d(old.dates, new.dates, assume_unique=True, return_indices=True)
    before, after = old.columns["close"][i], new.columns["close"][j]
    both = (before > 0) & (after > 0)
    ratio = after[both] / before[both]
    if not len(ratio):
        return 1.0
    return float(np.median(ratio)) if np.ptp(ratio) <= tolerance * abs(np.median(ratio)) * 10 else float("nan")


def _column(series: PriceSeries, name: str) -> dict[str, float] | None:
    """The cells of an actions column that say something (a split of 1 or 0 says nothing), by day; None without the column."""
    if name not in series.columns:
        return None
    values = series.columns[name]
    told = np.isfinite(values) & (values != 0) & ((values != 1) | (name != "split"))
    return {str(d): float(v) for d, v in zip(series.dates[told], values[told], strict=True)}


def _dividend_yield(series: PriceSeries, days: Days) -> dict[str, float] | None:
    """Dividends over the close of the last of ``days`` (priced in both snapshots) before them, which no split changes."""
    paid = _column(series, "dividend")
    if paid is None or "close" not in series.columns:
        return None
    closes = series.columns["close"][positions_of(days, series.dates)]
    before = {d: int(np.searchsorted(days, np.datetime64(d))) - 1 for d in paid}
    return {d: v / closes[before[d]] for d, v in paid.items() if before[d] >= 0}


def _changed(
    old: dict[str, float] | None, new: dict[str, float] | None, first: np.datetime64, last: np.datetime64, tolerance: float
) -> tuple[str, ...]:  # fmt: skip
    """The days within ``first`` to ``last`` on which two sets of actions differ; none where a snapshot does not keep them."""
    if old is None or new is None:
        return ()
    days = sorted({*old, *new})
    return tuple(d for d in days if str(first) <= d <= str(last) and abs(old.get(d, 0.0) - new.get(d, 0.0)) > tolerance)
