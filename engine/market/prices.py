"""Daily series of one listing: read as text, checked cell by cell, handed on as sorted arrays."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl

from engine.csvtext import ROW, read_text_table
from engine.errors import DataError, hint
from engine.market.snapshots import Snapshot, lower_names

VALUES = ("close", "adj_close", "return")
COLUMNS = (*VALUES, "dividend", "split", "volume")
NOTHING = ("", "nan", "na", "n/a", "null", "none")


@dataclass(frozen=True)
class PriceSeries:
    """The usable values of one listing, by date.

    dates: (D,) datetime64[D], increasing. values: (D,) prices, or returns if ``is_return``; NaN where there is none.
    stale: (D,) whether the row was a stale price (volume 0, unchanged close) and hence is no price.
    """

    symbol: str
    dates: npt.NDArray[np.datetime64]
    values: npt.NDArray[np.float64]
    stale: npt.NDArray[np.bool_]
    is_return: bool


@dataclass(frozen=True)
class DailyColumns:
    """The file of one listing as it is. dates: (D,) datetime64[D], increasing. values: `COLUMNS` -> (D,), NaN if empty."""

    dates: npt.NDArray[np.datetime64]
    values: dict[str, npt.NDArray[np.float64]]


def read_series(snapshot: Snapshot, symbols: Iterable[str]) -> tuple[dict[str, PriceSeries], list[str]]:
    """Read ``symbols`` from a snapshot; returns the series found and the symbols that are not there.

    Raises DataError for text, infinities, dates that do not exist or stand twice, and missing columns.
    """
    found, missing = read_columns(snapshot, symbols)
    return {s: _series(s, columns, str(snapshot.file_of(s))) for s, columns in found.items()}, missing


def read_columns(snapshot: Snapshot, symbols: Iterable[str]) -> tuple[dict[str, DailyColumns], list[str]]:
    """Read the files of ``symbols``; returns the columns found and the symbols that are not there. Errors: `read_series`."""
    wanted = sorted(set(symbols))
    found: dict[str, DailyColumns] = {}
    if snapshot.parquet is not None:
        table = _read_parquet(snapshot, wanted)
        for (symbol,), rows in table.partition_by("symbol", as_dict=True).items():
            found[str(symbol)] = _columns(rows, f"{snapshot.parquet} symbol {symbol}")
    else:
        for symbol in wanted:
            path = snapshot.file_of(symbol)
            if path.is_file():
                found[symbol] = _columns(_read_csv(str(path)), str(path))
    return found, [s for s in wanted if s not in found]


def _read_csv(where: str) -> pl.DataFrame:
    table = read_text_table(Path(where), "A price file has the columns date and close, adj_close or return.")
    return table.rename(lower_names(table.columns, where))


def _read_parquet(snapshot: Snapshot, wanted: list[str]) -> pl.DataFrame:
    where = str(snapshot.parquet)
    try:
        lazy = pl.scan_parquet(where)
        names = lower_names(lazy.collect_schema().names(), where)
        if "symbol" not in names.values():
            raise DataError(f'{where}: has no column "symbol". Columns read: {", ".join(names)}.')
        return lazy.rename(names).filter(pl.col("symbol").cast(pl.String).is_in(wanted)).collect()
    except (pl.exceptions.PolarsError, OSError) as error:
        raise DataError(f"{where}: cannot be read as parquet: {str(error).splitlines()[0]}") from None


def _columns(table: pl.DataFrame, where: str) -> DailyColumns:
    if "date" not in table.columns:
        raise DataError(f'{where}: has no column "date". {hint("date", table.columns)}')
    if not any(c in table.columns for c in VALUES):
        raise DataError(f"{where}: has none of the columns close, adj_close, return. Read: {', '.join(table.columns)}.")
    dates = _dates(table, where)
    order = np.argsort(dates, kind="stable")
    dates = dates[order]
    same = np.flatnonzero(dates[1:] == dates[:-1])
    if len(same):
        more = f" (and {len(same) - 1} more)" if len(same) > 1 else ""
        raise DataError(f"{where}: date {dates[same[0]]} stands there more than once{more}. Keep one row a day.")
    return DailyColumns(dates, {c: _numbers(table, c, where)[order] for c in COLUMNS if c in table.columns})


def _series(symbol: str, columns: DailyColumns, where: str) -> PriceSeries:
    """The values that returns are made of: the return column, else total returns of close and dividend, else adj_close."""
    dates, numbers = columns.dates, columns.values
    if "return" in numbers:
        return PriceSeries(symbol, dates, numbers["return"], np.zeros(len(dates), bool), is_return=True)
    adjusted = numbers.get("adj_close")
    prices = adjusted if adjusted is not None and np.isfinite(adjusted).any() else numbers.get("close")
    if prices is None:
        raise DataError(f"{where}: the column adj_close is empty and there is no close.")
    close = numbers.get("close", prices)
    stale = _stale(np.where(np.isfinite(close), close, prices), numbers.get("volume"))
    if "dividend" in numbers and np.isfinite(close).any():
        index = _total_return_index(np.where((close > 0) & ~stale, close, np.nan), numbers["dividend"])
        return PriceSeries(symbol, dates, index, stale, is_return=False)
    return PriceSeries(symbol, dates, np.where((prices > 0) & ~stale, prices, np.nan), stale, is_return=False)


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
        if isinstance(column.dtype, pl.Datetime):
            column = column.dt.replace_time_zone(None)  # the exchange's own date, whatever its zone
        if column.dtype != pl.Date and not isinstance(column.dtype, pl.Datetime):
            raise DataError(
                f"{where}: column date is {column.dtype}. Allowed: dates, date-times, or text as YYYY-MM-DD."
            )
        parsed = column.cast(pl.Date)
        if parsed.is_null().any():
            raise DataError(f"{where}: column date has empty cells. Every row needs its date.")
    return parsed.to_numpy().astype("datetime64[D]")


def _numbers(table: pl.DataFrame, name: str, where: str) -> npt.NDArray[np.float64]:
    """One column as floats, NaN where the cell says nothing."""
    column = table[name]
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
    return values.fill_null(np.nan).to_numpy().astype(np.float64)


def _row(table: pl.DataFrame, index: int) -> str:
    """``row 7`` as the file counts it, the header being row 1."""
    return f"row {table[ROW][index] if ROW in table.columns else index + 2}"
