"""Tapes: what a listing and its hedge can be traded at, on the sessions of the listing's line.

Nothing of a session is used before its moment: whether an open may be filled is told by the open, the close before and
older rows. The exception is the volume of the day, zero where nobody traded at all.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from engine.lines import Line, Market
from engine.market import PriceSeries
from engine.market.limits import locked_days, locked_opens
from engine.sessions import Days, positions_of

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

LOOK_BACK, FEWEST = 20, 5  # sessions before the entry that tell the traded value, and whether a file has opens


@dataclass(frozen=True)
class Tape:
    """S sessions of a line.

    close, open: (S,) the listing's price with dividends, on any scale; NaN where there is none, or no open that can be believed.
    hedge_close, hedge_open: (S,) the same of the hedge; ones without one. piece: (S,) prices of one piece have one scale.
    fills_close, fills_open: (S,) whether listing and hedge can be traded then. paid_close, paid_open: (S,) the
    listing's price as it stands in the file, NaN for a file of returns. traded: (S,) the mean value traded a session over the
    `LOOK_BACK` sessions before, NaN where it is not known.
    """

    dates: Days
    close: Floats
    open: Floats
    hedge_close: Floats
    hedge_open: Floats
    piece: Ints
    fills_close: Bools
    fills_open: Bools
    paid_close: Floats
    paid_open: Floats
    traded: Floats


def tape_of(line: Line, exchange: str, market: Market, hedged: bool, bridged: bool) -> Tape:
    """The tape of a line. exchange: the listing's, for price limits, "" where none is known. hedged: by the first regressor."""
    series = market.prices[line.symbol]
    ones = np.ones(len(line.dates))
    own = _prices(series, line) if not market.base else None
    close, opens = own if own is not None else (_chained(_simple(line.returns, market)), np.full(len(ones), np.nan))
    hedge_close, hedge_open = ones, ones
    chains = [] if own is not None else [line.returns]
    if hedged:
        regressor = line.regressors[int(bridged)] + np.nan_to_num(line.riskfree)
        other = _hedge_series(line, market)
        found = _prices(other, line) if other is not None else None
        hedge_close, hedge_open = found or (_chained(_simple(regressor, market)), np.full(len(ones), np.nan))
        chains += [regressor] if found is None else []
    broken = [np.cumsum(~np.isfinite(chain)) for chain in chains]
    row = positions_of(line.dates, series.dates)
    locked = _on(locked_days(series.symbol, exchange, series.dates, series.columns), row, 0.0) != 0
    locked_open = _on(locked_opens(series.symbol, exchange, series.dates, series.columns), row, 0.0) != 0
    volume = _on(series.columns.get("volume", np.full(len(series.dates), np.nan)), row)
    idle = (volume == 0) & bool((volume > 0).any())
    paid = [_on(series.columns.get(name, np.full(len(series.dates), np.nan)), row) for name in ("close", "open")]
    return Tape(
        dates=line.dates,
        close=close,
        open=opens,
        hedge_close=hedge_close,
        hedge_open=hedge_open,
        piece=np.sum(broken, axis=0) if broken else np.zeros(len(ones), np.int64),
        fills_close=np.isfinite(close) & np.isfinite(hedge_close) & ~locked & ~idle,
        fills_open=np.isfinite(opens) & np.isfinite(hedge_open) & ~locked_open & ~idle,
        paid_close=paid[0],
        paid_open=paid[1],
        traded=_mean_before(paid[0] * volume),
    )


def _hedge_series(line: Line, market: Market) -> PriceSeries | None:
    """The benchmark as a series of prices that keeps the days of the line, None where it is not one."""
    other = market.prices.get(line.benchmark)
    venue = market.venues.get(line.benchmark, "")
    elsewhere = bool(venue) and bool(line.exchange) and venue != line.exchange
    if other is None or other.is_return or elsewhere or market.base or line.symbol in market.own_weight:
        return None
    return other


def _prices(series: PriceSeries, line: Line) -> tuple[Floats, Floats] | None:
    """(S,) prices with dividends at close and open, None for a file of returns: open x adj_close / close, both there."""
    if series.is_return:
        return None
    row = positions_of(line.dates, series.dates)
    nothing = np.full(len(series.dates), np.nan)
    close, paid, opens = series.values, series.columns.get("close", nothing), series.columns.get("open", nothing)
    known = (paid > 0) & (opens > 0) & np.isfinite(close) & believed(opens, paid)
    adjusted = np.where(known, opens * close / np.where(known, paid, 1.0), np.nan)
    return _on(close, row), _on(adjusted, row)


def believed(opens: Floats, closes: Floats) -> Bools:
    """(D,) whether a file's opens are more than copies of its closes: they differ on half of the rows before or more.

    Looks at the last `LOOK_BACK` rows before that have both, at least `FEWEST` of them.
    """
    both = np.flatnonzero(np.isfinite(opens) & np.isfinite(closes))
    differ = np.concatenate([[0], np.cumsum(opens[both] != closes[both])])
    at = np.searchsorted(both, np.arange(len(opens)))  # how many rows before have both
    n = np.minimum(at, LOOK_BACK)
    return np.asarray((n >= FEWEST) & (2 * (differ[at] - differ[at - n]) >= n))


def _simple(returns: Floats, market: Market) -> Floats:
    return np.expm1(returns) if market.log_returns else returns


def _chained(returns: Floats) -> Floats:
    """(S,) returns compounded from each gap on, NaN in the gap: one scale for each piece."""
    known = np.isfinite(returns)
    grown = np.cumsum(np.log1p(np.where(known & (returns > -1), returns, 0.0)))
    start = np.maximum.accumulate(np.where(known, 0, np.arange(len(returns)) + 1))
    base = np.where(start > 0, grown[np.maximum(start - 1, 0)], 0.0)
    return np.where(known & (returns > -1), np.exp(grown - base), np.nan)


def _mean_before(values: Floats) -> Floats:
    """(S,) the mean of the known values among the `LOOK_BACK` sessions before, NaN below `FEWEST` of them."""
    padded = np.concatenate([np.full(LOOK_BACK, np.nan), values[:-1]])[: len(values) + LOOK_BACK - 1]
    view = np.lib.stride_tricks.sliding_window_view(padded, LOOK_BACK)
    known = np.isfinite(view)
    n = known.sum(axis=1)
    total = np.where(known, view, 0.0).sum(axis=1)
    return np.asarray(np.where(n >= FEWEST, total / np.maximum(n, 1), np.nan))


def _on(values: npt.NDArray[np.float64], row: Ints, empty: float = np.nan) -> Floats:
    """(S,) values of the file on the sessions; ``empty`` where it has no row."""
    if not len(values):
        return np.full(len(row), empty)
    return np.where(row >= 0, values[row], empty)
