"""What a study needs from its snapshots: listings, benchmarks, baskets, factors and currencies, read and hashed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from pathlib import Path

import numpy as np
import polars as pl

from engine.announcements import exchange_of, exchange_of_benchmark
from engine.announcements.calendar import LONGEST_SYMBOL
from engine.errors import DataError, SpecError, hint
from engine.files import is_plain
from engine.lines import Market
from engine.market import PriceSeries, Snapshot, read_series
from engine.market.alignment import is_closing_time
from engine.market.factors import RISK_FREE, SET_VENUES, factor_file, read_factors, set_columns
from engine.market.outcomes import ABSOLUTE, OUTCOMES, measured
from engine.market.partitions import PartedFile, series_of
from engine.sessions import known_exchange
from engine.spec import Factors, StudySpec

CURRENCIES = {
    "XNYS": "USD", "XNAS": "USD", "XHKG": "HKD", "XSHG": "CNY", "XTKS": "JPY", "XLON": "GBP", "XETR": "EUR", "XPAR": "EUR",
    "XAMS": "EUR", "XTSE": "CAD", "XASX": "AUD", "XKRX": "KRW", "XTAI": "TWD", "XSES": "SGD", "XSWX": "CHF",
}  # fmt: skip
MINOR_UNITS = {"GBp": "GBP", "GBX": "GBP", "ZAc": "ZAR", "ILA": "ILS"}  # pence and agorot move as their currency does


def read_market(
    spec: StudySpec,
    table: pl.DataFrame,
    exchanges: Sequence[str | None],
    benchmarks: Sequence[str],
    snapshot: Snapshot,
    other: Snapshot,
    further: Iterable[str] = (),
    parts: PartedFile | None = None,
) -> tuple[Market, dict[str, str]]:
    """Every series that the study reads, and the hash of every file behind them.

    table: the announcements; exchanges, benchmarks: of each of its rows. other: the snapshot of the factors. further: more
    benchmarks, those of ``[grid]``. parts: the file whose listings are read later, and hashed then.
    Raises DataError that names all that is missing at once, SpecError for what the study should have said.
    """
    rule = spec.benchmark
    columns = {"symbol": table["symbol"], "exchange": exchanges, "benchmark": benchmarks}
    homes = pl.DataFrame(columns, schema=dict.fromkeys(columns, pl.String)).unique(maintain_order=True).rows()
    indices, members = indices_of(spec, [*(benchmark for _, _, benchmark in homes), *further])
    _check_own_weights(spec, {symbol: benchmark for symbol, _, benchmark in homes})
    listings, controls = {symbol for symbol, _, _ in homes}, controls_of(spec)
    read = listings if parts is None else set()
    _check_controls(controls, indices)
    currencies = _currencies(spec, sorted(listings | indices | members | controls), snapshot)
    fx = _fx_symbols(spec, currencies)
    series = _read_prices(spec, read, indices | members | controls | set(fx.values()), snapshot, parts)
    hashes = _hashes(snapshot, [snapshot.file_of(s) for s in series] if parts is None else [])
    factors: list[PriceSeries] = []
    riskfree = None
    rates: dict[str, PriceSeries] = {}
    if spec.factors is not None:
        if spec.factors.is_world:
            factors, rates, paths = _read_world(
                spec.factors, _homes(table, exchanges, controls, snapshot), snapshot, other
            )
        else:
            factors, riskfree, paths = _read_factors(spec.factors, other)
        prefix = "" if other == snapshot else f"{Path(other.name).name}/"
        hashes |= {prefix + name: digest for name, digest in _hashes(other, paths).items()}
        taken = sorted({f.symbol for f in factors if f.is_return and not spec.factors.is_world} & set(series))
        if taken:
            raise SpecError(
                f"[factors] {taken[0]} is the name of a listing or benchmark too. Rename the listing's file."
            )
    on_exchange = {symbol: exchange for symbol, exchange, _ in homes if exchange}
    auxiliary = [
        *factors,
        *{r.symbol: r for r in rates.values()}.values(),
        *([riskfree] if riskfree is not None else []),
    ]
    if spec.prices.missing == "trade_to_trade":
        _check_bridges(read | controls, series, snapshot)
    outcomes = measured(spec.outcome.name, {s: series[s] for s in {*series} - {*fx.values()}}, snapshot)
    market = Market(
        series=series | outcomes,
        log_returns=spec.prices.returns == "log",
        venues=_venues(
            spec, sorted(indices), sorted(members), auxiliary, sorted(fx.values()), on_exchange, snapshot, other
        ),
        factors=tuple(factors),
        rates=rates,
        riskfree=riskfree,
        base="" if spec.prices.currency == "local" else spec.prices.currency,
        currencies=currencies,
        fx={currency: series[symbol] for currency, symbol in fx.items()},
        baskets=rule.baskets,
        weights=_market_values(members, snapshot) if spec.model.weights == "value" else {},
        weighed_on=_weighed_on(members, snapshot) if spec.model.weights == "value" else {},
        own_weight=rule.own_weight,
        levels=OUTCOMES[spec.outcome.name] is not None,
        absolute=spec.outcome.name == ABSOLUTE,
        bridged=spec.prices.missing == "trade_to_trade",
        prices=series,
    )
    return market, dict(sorted(hashes.items()))


def indices_of(spec: StudySpec, benchmarks: Sequence[str]) -> tuple[set[str], set[str]]:
    """The indices among the benchmarks, and the members of the baskets among them and of the control portfolio."""
    baskets = spec.benchmark.baskets
    named = {*benchmarks, *([spec.model.peers] if spec.model.peers is not None else [])}
    members = {m for b in named & set(baskets) for m in baskets[b]}
    return set(benchmarks) - {""} - set(baskets), members


def controls_of(spec: StudySpec) -> set[str]:
    """The listings without an event that may stand in for those with one (`firm_permutation`)."""
    return set(spec.resampling.controls) if spec.resampling is not None else set()


def _market_values(members: set[str], snapshot: Snapshot) -> dict[str, float]:
    """The column ``market_value`` of ``symbols.csv`` for the members of control portfolios, one value for the whole study."""
    values = {}
    for symbol in sorted(members):
        text = snapshot.listings.get(symbol, {}).get("market_value", "")
        try:
            values[symbol] = float(text)
        except ValueError:
            values[symbol] = float("nan")
        if not 0 < values[symbol] < float("inf"):
            raise SpecError(
                f'[model] weights = "value" needs the market value of {symbol}: the column market_value of symbols.csv in '
                f'snapshot {snapshot.name} holds "{text}". Write a number above zero there, or set weights = "equal".'
            )
    return values


def _weighed_on(members: set[str], snapshot: Snapshot) -> dict[str, np.datetime64]:
    """The day of each of these values, the column ``market_value_on``; without one nobody knows what they look ahead to."""
    days: dict[str, np.datetime64] = {}
    for symbol in sorted(members):
        text = snapshot.listings.get(symbol, {}).get("market_value_on", "")
        try:
            days[symbol] = np.datetime64(date.fromisoformat(text).isoformat(), "D")
        except ValueError:
            raise SpecError(
                f'[model] weights = "value" needs the day of the market value of {symbol}: the column market_value_on of '
                f'symbols.csv in snapshot {snapshot.name} holds "{text}". Write a day such as 2019-12-31, before the windows in '
                'which the value is to weigh, or set weights = "equal".'
            ) from None
    return days


def check_names(symbols: set[str], where: str = "[benchmark]") -> None:
    """Raises SpecError for a symbol that is empty or a path."""
    for symbol in sorted(symbols):
        if not is_plain(symbol):
            raise SpecError(
                f'{where} "{symbol}" is empty or holds a part of a path. A symbol is a plain name such as ^HSI.'
            )
        if len(symbol.encode(errors="replace")) > LONGEST_SYMBOL:
            raise SpecError(
                f'{where} "{symbol[:LONGEST_SYMBOL]}..." is longer than {LONGEST_SYMBOL} bytes. A symbol is a plain name such as '
                "^HSI."
            )


def _check_controls(controls: set[str], indices: set[str]) -> None:
    check_names(controls, "[resampling] controls:")
    if own := sorted(controls & indices):
        raise SpecError(
            f'[resampling] controls: "{own[0]}" is a benchmark, whose own abnormal return is none. Remove it.'
        )


def _check_bridges(symbols: set[str], series: Mapping[str, PriceSeries], snapshot: Snapshot) -> None:
    """Raises DataError for a listing whose file holds returns: there is no price to bridge a gap with."""
    returns = sorted(s for s in symbols if s in series and series[s].is_return)
    if returns:
        raise DataError(
            f"snapshot {snapshot.name}: {', '.join(returns)} holds returns, and a gap between prices can only be bridged "
            'with prices. Give close or adj_close, or set [prices] missing = "exclude".'
        )


def _check_own_weights(spec: StudySpec, against: Mapping[str, str]) -> None:
    """against: the benchmark of each listing."""
    for symbol in sorted(spec.benchmark.own_weight):
        if symbol not in against:
            raise SpecError(f'[benchmark] own_weight: "{symbol}" is no listing of the study. {hint(symbol, against)}')
        if against[symbol] in spec.benchmark.baskets:
            raise SpecError(
                f"[benchmark] own_weight: {symbol} is measured against the basket {against[symbol]}, which never holds the "
                "listing itself. Remove the weight."
            )


def _hashes(snapshot: Snapshot, paths: Sequence[Path]) -> dict[str, str]:
    return {p.name: snapshot.sha256(p) for p in {*paths, *snapshot.about}}


def _read_prices(
    spec: StudySpec, listings: set[str], others: set[str], snapshot: Snapshot, parts: PartedFile | None
) -> dict[str, PriceSeries]:
    """others: benchmarks, members of baskets, controls and currencies, without which nothing goes."""
    check_names(others)
    if parts is not None:
        series, missing = series_of(parts, others)
    else:
        series, missing = read_series(snapshot, listings | others)
    lost = [s for s in missing if s not in others]
    rates = [s for s in missing if s in others and s.endswith("=X")]
    lost_others = [s for s in missing if s in others and s not in rates]
    controls = sorted(controls_of(spec) & set(lost_others))
    if lost_others or rates or (lost and not spec.limits.allow_missing_symbols):
        indices = ", ".join(s for s in lost_others if s not in controls)
        what = [f"benchmark {indices}"] if indices else []
        what += [f"control {', '.join(controls)}"] if controls else []
        what += [f"exchange rate {', '.join(rates)}"] if rates else []
        what += [f"listing {', '.join(lost)}"] if lost else []
        raise without_prices(snapshot, what, bool(lost), bool(lost_others))
    for symbol in sorted(others):
        if not np.isfinite(series[symbol].values).any():
            raise DataError(f"{snapshot.file_of(symbol)}: {symbol} has no value in any row. Fill it, or give another.")
    return series


def without_prices(snapshot: Snapshot, what: Sequence[str], listings: bool, benchmarks: bool = False) -> DataError:
    """The error for series that the snapshot lacks. listings, benchmarks: whether there are such among them."""
    do = ["Add a file <symbol>.csv for each to a snapshot of your own"]
    do += ["or give another benchmark, or the basket of that name in [benchmark] baskets"] if benchmarks else []
    do += ["or set [limits] allow_missing_symbols = true to go on without listings"] if listings else []
    return DataError(
        f"snapshot {snapshot.name} ({snapshot.root}) has no prices for {' and '.join(what)}. {', '.join(do)}."
    )


def _homes(
    table: pl.DataFrame, exchanges: Sequence[str | None], controls: set[str], snapshot: Snapshot
) -> dict[str, str | None]:
    """The exchange of every listing and control."""
    return dict(zip(table["symbol"], exchanges, strict=True)) | {
        c: exchange_of(c, "", snapshot.listings) for c in controls - set(table["symbol"])
    }


def _read_world(
    chosen: Factors, homes: Mapping[str, str | None], snapshot: Snapshot, other: Snapshot
) -> tuple[list[PriceSeries], dict[str, PriceSeries], list[Path]]:
    """``local_us_fx``: the US index, the rate of each listing's currency to the dollar (JPY=X), and their files.

    The currency is that of symbols.csv, else that of the exchange. Park (2004): world market model.
    Raises SpecError for a listing in dollars or in a currency that is not known, DataError for series that are not there.
    """
    names = {}
    for symbol, exchange in sorted(homes.items()):
        stated = snapshot.listings.get(symbol, {}).get("currency", "") or CURRENCIES.get(exchange or "", "")
        currency = MINOR_UNITS.get(stated, stated)
        if currency in ("", "USD"):
            why = (
                "trades in US dollars and has no rate to them" if currency else "trades in a currency that is not known"
            )
            do = "Leave it to a study of its own" if currency else "Give it in the column currency of symbols.csv"
            raise SpecError(
                f'[factors] set = "{chosen.set}": {symbol} {why}. {do}, or write factors.columns, the same for all.'
            )
        names[symbol] = f"{currency}=X"
    series, missing = read_series(other, {chosen.us, *names.values()})
    if missing:
        needed = {chosen.us: "the US index"} | {n: f"the rate of {n.removesuffix('=X')}" for n in names.values()}
        said = ", ".join(f"{m} ({needed[m]})" for m in missing)
        raise DataError(
            f'snapshot {other.name} ({other.root}) has no prices for {said}, which [factors] set = "{chosen.set}" needs. Add a '
            "file <symbol>.csv for each, or give [factors] snapshot."
        )
    rates = {symbol: series[name] for symbol, name in names.items()}
    return [series[chosen.us]], rates, [other.file_of(name) for name in sorted(series)]


def _read_factors(chosen: Factors, snapshot: Snapshot) -> tuple[list[PriceSeries], PriceSeries | None, list[Path]]:
    """The factor series in the order of the study, the risk-free rate where it is asked for, and their files."""
    if chosen.set is None:
        series, missing = read_series(snapshot, chosen.columns)
        if missing:
            raise DataError(
                f"snapshot {snapshot.name} ({snapshot.root}) has no prices for factor {', '.join(missing)}. Add a file "
                f"<symbol>.csv for each, or give [factors] snapshot."
            )
        return [series[name] for name in chosen.columns], None, [snapshot.file_of(name) for name in chosen.columns]
    path = factor_file(snapshot, chosen.set)
    columns = read_factors(path, chosen.units)
    wanted = chosen.columns or set_columns(chosen.set, list(columns), path)
    for name in [*wanted, *([RISK_FREE] if chosen.excess else [])]:
        if name not in columns:
            raise SpecError(f'[factors] "{name}" is no column of {path}. {hint(name, columns)}')
    return [columns[name] for name in wanted], columns[RISK_FREE] if chosen.excess else None, [path]


def _currencies(spec: StudySpec, symbols: Sequence[str], snapshot: Snapshot) -> dict[str, str]:
    """The currency of each symbol, from ``symbols.csv``; nothing where returns stay in local currency."""
    if spec.prices.currency == "local":
        return {}
    stated = {s: snapshot.listings.get(s, {}).get("currency", "") for s in symbols}
    unknown = [s for s, currency in stated.items() if not currency]
    if unknown:
        raise SpecError(
            f'[prices] currency = "{spec.prices.currency}" needs the currency of {", ".join(unknown)}, which symbols.csv of '
            f'snapshot {snapshot.name} does not give. Add it there, or set currency = "local".'
        )
    return {s: MINOR_UNITS.get(currency, currency) for s, currency in stated.items()}


def _fx_symbols(spec: StudySpec, currencies: Mapping[str, str]) -> dict[str, str]:
    """The series of each currency that must be converted: JPY=X is yen for one dollar."""
    foreign = set(currencies.values()) - {spec.prices.currency}
    return {c: f"{c}=X" for c in sorted({*foreign, spec.prices.currency} - {"USD"})} if foreign else {}


def _venues(
    spec: StudySpec, indices: Sequence[str], members: Sequence[str], factors: Sequence[PriceSeries], fx: Sequence[str],
    on_exchange: Mapping[str, str], snapshot: Snapshot, other: Snapshot,
) -> dict[str, str]:  # fmt: skip
    """Whose closes each series has: as ``[sessions] closes`` says, else its exchange as `exchange_of_benchmark` knows it.

    A benchmark of which nothing is known keeps the listing's days, and the memo says so. Raises SpecError for a factor or a
    currency whose close is not known, and for a close of a series that the study does not read.
    """
    stated, names = spec.sessions.closes, {}
    of_set = spec.factors.of_file if spec.factors is not None else None
    homes: dict[str, str] = {}
    for symbol in (*indices, *members, *fx):
        exchange = on_exchange.get(symbol, "") or exchange_of_benchmark(symbol, snapshot.listings)
        if symbol in members:
            exchange = exchange or exchange_of(symbol, "", snapshot.listings) or ""
        homes[symbol] = exchange
        names[symbol] = stated.get(symbol) or exchange
    for one in factors:
        own = "" if of_set else exchange_of_benchmark(one.symbol, other.listings)
        homes[one.symbol] = own
        names[one.symbol] = (
            (stated.get(of_set) or SET_VENUES.get(of_set.lower(), "")) if of_set else stated.get(one.symbol) or own
        )
    strange = set(stated) - set(names) - {of_set}
    if strange:
        raise SpecError(f'[sessions] closes: "{min(strange)}" is no series of the study. {hint(min(strange), names)}')
    for symbol, home in homes.items():
        if home and is_closing_time(names[symbol]):
            raise SpecError(
                f"[sessions] closes: {symbol} trades on {home}, whose closes it has. Remove it; a later hour would lag it by a "
                f"session."
            )
    nowhere = [
        s for s in indices if "=" in s or s in snapshot.listings
    ]  # a currency, a commodity, or stated to have none
    unknown = [s for s in (*(f.symbol for f in factors), *fx, *nowhere) if not names[s]]
    if unknown and spec.sessions.calendar == "exchange":
        asked = of_set or unknown[0]
        raise SpecError(
            f'[sessions] closes is required for {asked}: it trades on no exchange that is known. Write closes = {{"{asked}" = '
            f'"14:30 Europe/London"}}, the hour at which its daily value is taken, or the code of an exchange.'
        )
    return {
        symbol: venue if is_closing_time(venue) else known_exchange(venue, f"closes of {symbol}")
        for symbol, venue in names.items()
        if venue
    }
