"""Lines: one listing's returns against its benchmark and factors, on the sessions of the listing's calendar.

A return of session t exists only if the listing has a valid price on t and on the session before t, and so have its
benchmark and its factors at the closes of those sessions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from engine.market import PriceSeries
from engine.market.alignment import Clock, latest_by_close, returns_by_close, returns_by_date
from engine.sessions import Days, Instants, positions_of

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Line:
    """One listing on its S sessions; exchange: whose they are, "" where they are the benchmark's.

    returns: (S,), NaN where the rule gives no return. regressors: (K, S) benchmark first, then factors; NaN in all where one is
    missing, but not where the listing alone has no return, so that its neighbours still know what the benchmark did.
    With bridged gaps the first regressor is the sessions that the return covers (`engine.models.trade_to_trade`).
    riskfree: (S,) what the model's returns are in excess of, zero without excess.
    against: the benchmark and the factors, each with its first and last day, in words.
    off_session, stale: rows of the price file on days that are no session, and stale rows, for the quality report.
    """

    symbol: str
    benchmark: str
    exchange: str
    dates: Days
    returns: Floats
    regressors: Floats
    riskfree: Floats
    span: str
    against: str
    off_session: int
    stale: int


@dataclass(frozen=True)
class Market:
    """The series that lines are built from, and how.

    series: by symbol. venues: of each series that may not keep the listing's days: the exchange whose closes it has, or
    a closing time such as "14:30 Europe/London". factors: the factor series, in order; rates: of each listing, one more factor
    behind them, its currency's exchange rate, empty for none. riskfree: None without excess.
    base: the currency of the returns, "" for local. currencies: of each symbol. fx: units of a currency for one US dollar.
    baskets: benchmarks of several members by name. weights: of the members in a basket, empty for equal ones; weighed_on: the
    day each is of. own_weight: of a listing in its benchmark, to be taken out of it. prices: the series as they were read, where
    ``series`` hold another outcome than the return. levels: whether they do. absolute: returns count by their size alone, also
    those of benchmark and factors. bridged: a return runs from one price of the listing to the next, however many sessions apart.
    """

    series: Mapping[str, PriceSeries]
    log_returns: bool
    venues: Mapping[str, str] = field(default_factory=dict)
    factors: Sequence[PriceSeries] = ()
    rates: Mapping[str, PriceSeries] = field(default_factory=dict)
    riskfree: PriceSeries | None = None
    base: str = ""
    currencies: Mapping[str, str] = field(default_factory=dict)
    fx: Mapping[str, PriceSeries] = field(default_factory=dict)
    baskets: Mapping[str, Sequence[str]] = field(default_factory=dict)
    weights: Mapping[str, float] = field(default_factory=dict)
    weighed_on: Mapping[str, np.datetime64] = field(default_factory=dict)
    own_weight: Mapping[str, float] = field(default_factory=dict)
    bridged: bool = False
    levels: bool = False
    absolute: bool = False
    prices: Mapping[str, PriceSeries] = field(default_factory=dict)


@dataclass(frozen=True)
class Grid:
    """The sessions of a line.

    dates: (S,). closes: (S,) instants, None where no exchange is known. exchange: its code. clocks: of each series in ``venues``.
    """

    dates: Days
    closes: Instants | None
    exchange: str
    clocks: Mapping[str, Clock]


def build_line(symbol: str, benchmark: str, grid: Grid, market: Market, first_is_base: bool = False) -> Line:
    """Put a listing, its benchmark ("" for none) and the factors on the sessions of ``grid``.

    first_is_base: the first session only carries the first return (``calendar = "benchmark"``) and is cut off.
    """
    series = market.series[symbol]
    returns = _converted(returns_by_date(series, grid.dates, market.log_returns), symbol, grid, market)
    stacked, riskfree = measured_against(symbol, benchmark, returns, grid, market)
    if market.bridged:
        returns, stacked = _bridge(series, grid, stacked)
    if market.absolute:
        returns, stacked = np.abs(returns), np.abs(stacked)
    around = np.isfinite(riskfree) & np.isfinite(stacked).all(axis=0)
    known = np.isfinite(returns) & around
    dates, first = series.dates, int(first_is_base)
    return Line(
        symbol=symbol,
        benchmark=benchmark,
        exchange=grid.exchange,
        dates=grid.dates[first:],
        returns=np.where(known, returns, np.nan)[first:],
        regressors=np.where(around, stacked, np.nan)[:, first:],
        riskfree=np.where(known, riskfree, np.nan)[first:],
        span=_span(series),
        against=against_words(symbol, benchmark, market),
        off_session=int((positions_of(dates, grid.dates) < 0).sum()),
        stale=int(series.stale.sum()),
    )


def measured_against(symbol: str, benchmark: str, returns: Floats, grid: Grid, market: Market) -> tuple[Floats, Floats]:
    """The regressors (K, S) of a listing on the sessions of ``grid``, in excess where that is asked, and the risk-free rate.

    returns: (S,) of the listing, which a basket or a weight may have to be rid of.
    """
    riskfree = np.zeros(len(returns))
    if market.riskfree is not None:
        riskfree = _aligned(market.riskfree, grid, market)
    regressors = []
    if benchmark:
        regressors.append(_benchmark(symbol, benchmark, returns, grid, market) - riskfree)
    regressors += [_aligned(factor, grid, market) for factor in _factors(symbol, market)]
    return np.array(regressors).reshape(len(regressors), len(returns)), riskfree


def against_words(symbol: str, benchmark: str, market: Market) -> str:
    """Benchmark and factors of a listing, each with its first and last day."""
    return ", ".join(f"{one.symbol} ({_span(one)})" for one in _others(symbol, benchmark, market))


def _bridge(series: PriceSeries, grid: Grid, stacked: Floats) -> tuple[Floats, Floats]:
    """Trade-to-trade: the log return (S,) of each price from the one before it, and (1 + K, S) how many sessions that covers
    and the sums over them of the regressors (K, S); NaN on a session without a price, or where a sum lacks a session.

    The listing's gaps are bridged, those of benchmark and factors are not. Maynes & Rumsey (1993).
    """
    prices = np.full(len(grid.dates), np.nan)
    place = positions_of(series.dates, grid.dates)
    prices[place[place >= 0]] = series.values[place >= 0]
    at = np.flatnonzero(np.isfinite(prices))
    returns, spans = np.full(len(prices), np.nan), np.full(len(prices), np.nan)
    sums = np.full(stacked.shape, np.nan)
    returns[at[1:]], spans[at[1:]] = np.log(prices[at[1:]] / prices[at[:-1]]), np.diff(at)
    for j, regressor in enumerate(stacked):
        total = np.concatenate([[0.0], np.cumsum(np.where(np.isfinite(regressor), regressor, 0.0))])
        lost = np.concatenate([[0], np.cumsum(~np.isfinite(regressor))])
        over = np.where(np.diff(at) == 1, regressor[at[1:]], total[at[1:] + 1] - total[at[:-1] + 1])
        sums[j, at[1:]] = np.where(lost[at[1:] + 1] > lost[at[:-1] + 1], np.nan, over)
    return returns, np.concatenate([spans[None], sums])


def _factors(symbol: str, market: Market) -> list[PriceSeries]:
    """The factors of a listing."""
    return [*market.factors, *([market.rates[symbol]] if market.rates else [])]


def _others(symbol: str, benchmark: str, market: Market) -> list[PriceSeries]:
    """Every series beside the listing without which a line has no return."""
    named = [market.series[benchmark]] if benchmark in market.series else []
    return [
        *named,
        *_factors(symbol, market),
        *([market.riskfree] if market.riskfree is not None else []),
        *market.fx.values(),
    ]


def _span(series: PriceSeries) -> str:
    known = series.dates[np.isfinite(series.values)]
    return f"{known[0]} to {known[-1]}" if len(known) else "no values"


def benchmark_days(benchmark: PriceSeries) -> Days:
    """The days on which the benchmark has a value: the sessions of ``calendar = "benchmark"``.

    For prices the first of them only carries the first return; a return series gets one day put before it for that.
    """
    days = benchmark.dates[np.isfinite(benchmark.values)]
    if benchmark.is_return and len(days):
        return np.concatenate([[days[0] - np.timedelta64(1, "D")], days])
    return days


def _benchmark(symbol: str, benchmark: str, own: Floats, grid: Grid, market: Market) -> Floats:
    """The benchmark's returns, without the listing itself where it is a basket or the listing's weight is given."""
    if benchmark in market.baskets:
        members = [m for m in market.baskets[benchmark] if m != symbol]
        found = np.array(
            [_converted(_aligned(market.series[m], grid, market), m, grid, market) for m in members]
        ).reshape(len(members), len(own))
        return _basket(found, np.array([market.weights.get(m, 1.0) for m in members]))
    returns = _converted(_aligned(market.series[benchmark], grid, market), benchmark, grid, market)
    weight = market.own_weight.get(symbol, 0.0)
    if not weight:
        return returns
    simple = (np.expm1(returns), np.expm1(own)) if market.log_returns else (returns, own)
    without = (simple[0] - weight * simple[1]) / (1 - weight)
    return np.log1p(without) if market.log_returns else without


def _basket(found: Floats, weights: Floats) -> Floats:
    """The weighted mean of (M, S) members' returns over the members present; NaN where more than half are missing."""
    present = np.isfinite(found)
    n = present.sum(axis=0)
    total = np.where(present, weights[:, None] * found, 0.0).sum(axis=0)
    weight = np.where(present, weights[:, None], 0.0).sum(axis=0)
    enough = (n > 0) & (2 * n >= len(found))
    return np.where(enough, total / np.where(enough, weight, 1.0), np.nan)


def _aligned(series: PriceSeries, grid: Grid, market: Market) -> Floats:
    """Returns of a series on the line's sessions: by date on the listing's own exchange, else by the instant of the close."""
    venue = market.venues.get(series.symbol, "")
    if not venue or grid.closes is None or venue == grid.exchange:
        return returns_by_date(series, grid.dates, market.log_returns)
    clock = grid.clocks[series.symbol]
    if market.levels:
        return latest_by_close(series, clock, grid.closes)
    return returns_by_close(series, clock, grid.closes, market.log_returns)


def _converted(returns: Floats, symbol: str, grid: Grid, market: Market) -> Floats:
    """Returns of a symbol in the base currency: (1 + r) times the change of its currency, less 1."""
    currency = market.currencies.get(symbol, market.base)
    if not market.base or currency == market.base:
        return returns
    growth = np.zeros(len(returns))
    for name, sign in ((currency, -1), (market.base, 1)):  # fx is units of the currency for one dollar
        if name in market.fx:
            change = _aligned(market.fx[name], grid, market)
            growth = growth + sign * (change if market.log_returns else np.log1p(change))
    return returns + growth if market.log_returns else (1 + returns) * np.exp(growth) - 1
