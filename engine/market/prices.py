"""Daily series of one listing: read as text, checked cell by cell, handed on as sorted arrays."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from engine.csvtext import ROW, read_text_table
from engine.errors import DataError, hint
from engine.market.snapshots import Snapshot, lower_names, scan_prices, symbol_text

VALUES = ("close", "adj_close", "return")
FURTHER = ("dividend", "split", "volume", "shares")
RANGE = ("open", "high", "low")  # for the quality report and price limits alone: what is no number is NaN
READ = ("symbol", "date", *VALUES, *FURTHER, *RANGE, "delisting_return")  # of a parquet file
FIRST_DATE, LAST_DATE = np.datetime64("0001-01-01"), np.datetime64("9999-12-31")
PER_DAY = {"ms": 86_400_000, "us": 86_400_000_000, "ns": 86_400_000_000_000}
SMALLEST, LARGEST = 1e-12, 1e15  # of a price; whatever is outside is a slip, and would overflow in a square
LARGEST_RETURN = 1e6
NOTHING = ("", "nan", "na", "n/a", "null", "none")


@dataclass(frozen=True)
class PriceSeries:
    """The usable values of one listing, by date.

    dates: (D,) datetime64[D], increasing. values: (D,) prices, or returns if ``is_return``; NaN where there is none.
    stale: (D,) whether the row was a stale price (volume 0, unchanged close) and hence is no price.
    columns: the numbers of the file as they stand there, (D,) each, by column name.
    """

    symbol: str
    dates: npt.NDArray[np.datetime64]
    values: npt.NDArray[np.float64]
    stale: npt.NDArray[np.bool_]
    is_return: bool
    columns: Mapping[str, npt.NDArray[np.float64]] = field(default_factory=dict)


def read_series(snapshot: Snapshot, symbols: Iterable[str]) -> tuple[dict[str, PriceSeries], list[str]]:
    """Read ``symbols`` from a snapshot; returns the series found and the symbols that are not there.

    Raises DataError for text, infinities, dates that do not exist or stand twice, and missing columns.
    """
    wanted = sorted(set(symbols))
    found: dict[str, PriceSeries] = {}
    if snapshot.parquet is not None:
        table = _read_parquet(snapshot, wanted)
        for (symbol,), rows in table.partition_by("symbol", as_dict=True).items():
            found[str(symbol)] = table_series(str(symbol), rows, f"{snapshot.parquet} symbol {symbol}")
    else:
        for symbol in wanted:
            path = snapshot.file_of(symbol)
            if path.is_file():
                found[symbol] = table_series(symbol, _read_csv(str(path)), str(path))
    return found, [s for s in wanted if s not in found]


def _read_csv(where: str) -> pl.DataFrame:
    table = read_text_table(Path(where), "A price file has the columns date and close, adj_close or return.")
    return table.rename(lower_names(table.columns, where))


def _read_parquet(snapshot: Snapshot, wanted: list[str]) -> pl.DataFrame:
    """The rows of ``wanted``, symbols as text, of the columns that are looked at."""
    where = str(snapshot.parquet)
    assert snapshot.parquet is not None
    try:
        lazy = scan_prices(snapshot.parquet)
        held = lazy.collect_schema().names()
        if "symbol" not in held:
            raise DataError(f'{where}: has no column "symbol". Columns read: {", ".join(held)}.')
        symbol = symbol_text(lazy, where)
        rows = lazy.select(c for c in held if c in READ).filter(symbol.is_in(wanted)).collect()
        return rows.with_columns(symbol)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise DataError(f"{where}: cannot be read as parquet: {str(error).splitlines()[0]}") from None


def column_series(symbol: str, table: pl.DataFrame, column: str, where: str) -> PriceSeries:
    """One column of a table of text cells, by date, as it stands there."""
    dates, order = _in_order(table, where)
    return PriceSeries(symbol, dates, _numbers(table, column, where)[order], np.zeros(len(dates), bool), False)


def table_series(symbol: str, table: pl.DataFrame, where: str) -> PriceSeries:
    """The values that returns are made of: the return column, else total returns of close and dividend, else adj_close."""
    if "date" not in table.columns:
        raise DataError(f'{where}: has no column "date". {hint("date", table.columns)}')
    if not any(c in table.columns for c in VALUES):
        raise DataError(f"{where}: has none of the columns close, adj_close, return. Read: {', '.join(table.columns)}.")
    dates, order = _in_order(table, where)
    if "delisting_return" in table.columns and "return" in table.columns:
        values = _with_delisting(table, where)[order]
        return PriceSeries(symbol, dates, values, np.zeros(len(dates), bool), is_return=True)
    numbers = {c: _numbers(table, c, where)[order] for c in (*VALUES, *FURTHER) if c in table.columns}
    numbers |= {c: _lenient(_plain(table, c, where))[order] for c in RANGE if c in table.columns}
    if "return" in numbers:
        return PriceSeries(symbol, dates, numbers["return"], np.zeros(len(dates), bool), True, numbers)
    if "close" not in numbers and not np.isfinite(numbers["adj_close"]).any():
        raise DataError(f"{where}: the column adj_close is empty and there is no close.")
    values, stale = series_values(numbers)
    return PriceSeries(symbol, dates, values, stale, False, numbers)


def series_values(
    numbers: Mapping[str, npt.NDArray[np.float64]],
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
    """Prices, NaN where there is none, and which rows are stale, of the columns (D,) of one series in order of date.

    Total returns of close and dividend where there are dividends, else adj_close, else close.
    """
    adjusted = numbers.get("adj_close")
    prices = adjusted if adjusted is not None and np.isfinite(adjusted).any() else numbers.get("close", adjusted)
    assert prices is not None
    close = numbers.get("close", prices)
    stale = _stale(np.where(np.isfinite(close), close, prices), numbers.get("volume"))
    if "dividend" in numbers and np.isfinite(close).any():
        return _total_return_index(np.where((close > 0) & ~stale, close, np.nan), numbers["dividend"]), stale
    return np.where((prices > 0) & ~stale, prices, np.nan), stale


def _in_order(table: pl.DataFrame, where: str) -> tuple[npt.NDArray[np.datetime64], npt.NDArray[np.int64]]:
    """The dates in order, and the rows that they stand in. Raises DataError for a date that stands there twice."""
    dates = _dates(table, where)
    order = np.argsort(dates, kind="stable")
    dates = dates[order]
    same = np.flatnonzero(dates[1:] == dates[:-1])
    if len(same):
        more = f" (and {len(same) - 1} more)" if len(same) > 1 else ""
        raise DataError(f"{where}: date {dates[same[0]]} stands there more than once{more}. Keep one row a day.")
    return dates, order


def _with_delisting(table: pl.DataFrame, where: str) -> npt.NDArray[np.float64]:
    """Returns as CRSP gives them, the delisting return compounded into its day: (1 + ret)(1 + dlret) - 1.

    Letters and numbers below -1 are CRSP's codes for a missing return. Shumway (1997) on why the delisting return must
    not be left out; CRSP Data Descriptions Guide for the codes.
    """
    both = []
    for name in ("return", "delisting_return"):
        column = _plain(table, name, where)
        if column.dtype == pl.String:
            column = column.set(column.str.strip_chars().str.contains(r"^[A-Z]$").fill_null(False), None)
        both.append(_numbers(table.with_columns(column.alias(name)), name, where))
    return with_delisting(*both)


def with_delisting(returns: npt.NDArray[np.float64], delisting: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """(1 + ret)(1 + dlret) - 1 where there is a delisting return, else ret; numbers below -1 are missing."""
    ordinary, last = (np.where(values < -1, np.nan, values) for values in (returns, delisting))
    grown = (1 + np.where(np.isfinite(ordinary), ordinary, 0.0)) * (1 + last) - 1
    return np.where(np.isfinite(last), grown, ordinary)


def _total_return_index(close: npt.NDArray[np.float64], dividend: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """(P_t + D_t) / P_s - 1 between each close and the one before it, as an index that starts at the first close.

    close, dividend: (D,); a dividend on a row without a close (NaN) counts at the next close. NaN where close is.
    """
    known = np.flatnonzero(np.isfinite(close))
    index = np.full(len(close), np.nan)
    if len(known):
        prices, paid = close[known], np.diff(np.cumsum(np.nan_to_num(dividend))[known])
        index[known] = prices[0] * np.cumprod(np.append(1.0, (prices[1:] + paid) / prices[:-1]))
    return index


def _stale(close: npt.NDArray[np.float64], volume: npt.NDArray[np.float64] | None) -> npt.NDArray[np.bool_]:
    """Volume 0 and the last known close: no trade, so no price. Only where the series has some volume."""
    stale = np.zeros(len(close), bool)
    if volume is not None and (volume > 0).any():
        last_known = np.maximum.accumulate(np.where(np.isfinite(close), np.arange(len(close)), 0))
        stale[1:] = (volume[1:] == 0) & (close[1:] == close[last_known[:-1]])
    return stale


def _dates(table: pl.DataFrame, where: str) -> npt.NDArray[np.datetime64]:
    column = table["date"]
    if isinstance(column.dtype, pl.Categorical | pl.Enum):
        column = column.cast(pl.String)
    if column.dtype == pl.String:
        text = column.str.strip_chars()
        parsed = text.str.to_date("%Y-%m-%d", strict=False)
        wrong = parsed.is_null() | (text.str.len_chars() != 10).fill_null(True)
        if wrong.any():
            row = int(wrong.arg_max() or 0)
            read = "empty" if column[row] is None else f'"{column[row]}"'
            raise DataError(
                f"{where}: {_row(table, row)}, column date: {read} is not a date that exists. Write YYYY-MM-DD."
            )
    else:
        if column.dtype != pl.Date and not isinstance(column.dtype, pl.Datetime):
            raise DataError(
                f"{where}: column date is {column.dtype}. Allowed: dates, date-times, or text as YYYY-MM-DD."
            )
        if column.is_null().any():
            raise DataError(f"{where}: column date has empty cells. Every row needs its date.")
        _check_days(table, column, where)
        if isinstance(column.dtype, pl.Datetime):
            column = column.dt.replace_time_zone(None)  # the exchange's own date, whatever its zone
        parsed = column.cast(pl.Date)
    _check_days(table, parsed, where)
    return parsed.to_numpy().astype("datetime64[D]")


def _check_days(table: pl.DataFrame, column: pl.Series, where: str) -> None:
    """Raises DataError for a date that no calendar has. By its number of days, since a date far away cannot be printed."""
    days = column.to_physical().to_numpy().astype(np.int64)
    if isinstance(column.dtype, pl.Datetime):
        days = days // PER_DAY[column.dtype.time_unit]
    outside = outside_calendar(days)
    if outside.any():
        raise DataError(
            f"{where}: {_row(table, int(outside.argmax()))}, column date: is not a date from {FIRST_DATE} to {LAST_DATE}. "
            "Correct it."
        )


def outside_calendar(days: npt.NDArray[np.integer[Any]]) -> npt.NDArray[np.bool_]:
    """Which day numbers, from 1970-01-01 on, are before the year 1 or after the year 9999."""
    return np.asarray((days < FIRST_DATE.astype(np.int64)) | (days > LAST_DATE.astype(np.int64)))


def _plain(table: pl.DataFrame, name: str, where: str) -> pl.Series:
    """A column as text or numbers. Raises DataError for one of any other kind: a date or a truth value is no price."""
    column = table[name]
    if isinstance(column.dtype, pl.Categorical | pl.Enum):
        return column.cast(pl.String)
    if not (column.dtype.is_numeric() or isinstance(column.dtype, pl.String | pl.Null)):
        raise DataError(f"{where}: column {name} is {column.dtype}. Allowed: numbers, or text that holds numbers.")
    return column


def _numbers(table: pl.DataFrame, name: str, where: str) -> npt.NDArray[np.float64]:
    """One column as floats, NaN where the cell says nothing."""
    column = _plain(table, name, where)
    if column.dtype == pl.String:
        text = column.str.strip_chars()
        text = text.set(text.str.to_lowercase().is_in(NOTHING), None)
        values = text.cast(pl.Float64, strict=False)
        wrong = (values.is_null() & text.is_not_null()) | values.is_infinite().fill_null(False)
    else:
        values = column.cast(pl.Float64, strict=False)
        wrong = values.is_infinite().fill_null(False) | (values.is_null() & column.is_not_null())
    if wrong.any():
        row = int(wrong.arg_max() or 0)
        raise DataError(
            f'{where}: {_row(table, row)}, column {name}: "{column[row]}" is not a number. '
            "Write a finite number, or leave the cell empty if there is none."
        )
    numbers = values.fill_null(np.nan).to_numpy().astype(np.float64)
    _check_size(table, name, numbers, where)
    return numbers


def _check_size(table: pl.DataFrame, name: str, numbers: npt.NDArray[np.float64], where: str) -> None:
    """Raises DataError for a number that no price, return or volume can be."""
    size, largest = np.abs(numbers), LARGEST_RETURN if "return" in name else LARGEST
    absurd = (size > largest) | ((size < SMALLEST) & (size > 0) & (name in ("close", "adj_close")))
    if absurd.any():
        row = int(absurd.argmax())
        floor = f", a price not below {SMALLEST:g}" if name in ("close", "adj_close") else ""
        raise DataError(
            f'{where}: {_row(table, row)}, column {name}: "{table[name][row]}" is beyond what it can be. Allowed: up to '
            f"{largest:g}{floor}. Correct it, or leave the cell empty."
        )


def _lenient(column: pl.Series) -> npt.NDArray[np.float64]:
    return column.cast(pl.Float64, strict=False).fill_null(np.nan).to_numpy().astype(np.float64)


def _row(table: pl.DataFrame, index: int) -> str:
    """``row 7`` as the file counts it, the header being row 1."""
    return f"row {table[ROW][index] if ROW in table.columns else index + 2}"
