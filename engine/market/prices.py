"""Daily series of one listing: read as text, checked cell by cell, handed on as sorted arrays."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl

from engine.csvtext import ROW, read_text_table
from engine.errors import DataError, hint
from engine.market.snapshots import Snapshot, lower_names

VALUES = ("close", "adj_close", "return", "volume")
FURTHER = ("open", "high", "low", "dividend", "split")  # for the quality report alone: what is no number is NaN
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
            found[str(symbol)] = _series(str(symbol), rows, f"{snapshot.parquet} symbol {symbol}")
    else:
        for symbol in wanted:
            path = snapshot.file_of(symbol)
            if path.is_file():
                found[symbol] = _series(symbol, _read_csv(str(path)), str(path))
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


def _series(symbol: str, table: pl.DataFrame, where: str) -> PriceSeries:
    if "date" not in table.columns:
        raise DataError(f'{where}: has no column "date". {hint("date", table.columns)}')
    kinds = [c for c in VALUES[:3] if c in table.columns]
    if not kinds:
        raise DataError(f"{where}: has none of the columns close, adj_close, return. Read: {', '.join(table.columns)}.")
    dates = _dates(table, where)
    order = np.argsort(dates, kind="stable")
    dates = dates[order]
    same = np.flatnonzero(dates[1:] == dates[:-1])
    if len(same):
        more = f" (and {len(same) - 1} more)" if len(same) > 1 else ""
        raise DataError(f"{where}: date {dates[same[0]]} stands there more than once{more}. Keep one row a day.")
    numbers = {c: _numbers(table, c, where)[order] for c in VALUES if c in table.columns}
    numbers |= {c: _lenient(table[c])[order] for c in FURTHER if c in table.columns}
    if "return" in numbers:
        return PriceSeries(symbol, dates, numbers["return"], np.zeros(len(dates), bool), True, numbers)
    adjusted = numbers.get("adj_close")
    prices = adjusted if adjusted is not None and np.isfinite(adjusted).any() else numbers.get("close")
    if prices is None:
        raise DataError(f"{where}: the column adj_close is empty and there is no close.")
    close = numbers.get("close", prices)
    stale = _stale(np.where(np.isfinite(close), close, prices), numbers.get("volume"))
    return PriceSeries(symbol, dates, np.where((prices > 0) & ~stale, prices, np.nan), stale, False, numbers)


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


def _lenient(column: pl.Series) -> npt.NDArray[np.float64]:
    return column.cast(pl.Float64, strict=False).fill_null(np.nan).to_numpy().astype(np.float64)


def _row(table: pl.DataFrame, index: int) -> str:
    """``row 7`` as the file counts it, the header being row 1."""
    return f"row {table[ROW][index] if ROW in table.columns else index + 2}"
