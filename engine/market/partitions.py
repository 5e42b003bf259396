"""One large parquet file of daily series, read in parts: row groups that hold whole securities, never the file at once.

The canonical file is sorted by symbol and date, its row groups cut between securities. A security that runs on into the next
row group is read with the part in which it begins; a file in another order is sorted once, into a copy for this run.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from engine.csvtext import scan_parquet
from engine.errors import DataError
from engine.files import ANY, check_file, open_file, raise_with, within
from engine.inplace import temporary_folder
from engine.market.prices import (
    FIRST_DATE,
    LARGEST,
    LARGEST_RETURN,
    LAST_DATE,
    SMALLEST,
    PriceSeries,
    outside_calendar,
    series_values,
    table_series,
    with_delisting,
)  # fmt: skip
from engine.market.snapshots import lower_names

# What values are made of, as in `prices`; other columns are not decoded.
NEEDED = ("return", "delisting_return", "adj_close", "close", "dividend", "volume")
MOST_ROWS, MOST_IN_GROUP = 1_000_000_000, 50_000_000
SPARSE = 20_000  # rows for each symbol asked for: from here on theirs alone are decoded, mostly less than a tenth of the part

Column = tuple[npt.NDArray[Any], npt.NDArray[np.bool_] | None]


@dataclass(frozen=True)
class Part:
    """Some whole securities: all that begin in row group ``group``.

    first, last: the smallest and largest symbol among them. further: how many of the next row groups the last one runs on
    into. begins: whether the first security of the row group began in an earlier one, which has it. start, rows: the first row
    in the file, and how many there are.
    """

    group: int
    first: Any
    last: Any
    further: int = 0
    begins: bool = False
    start: int = 0
    rows: int = 0


@dataclass(frozen=True)
class PartedFile:
    """A parquet file in parts, in the order of the symbols.

    columns: name in the file -> name here, of those that are decoded. numbered: whether symbols are whole numbers there.
    last_day: the latest day that the footer tells, None where it is silent.
    copied: whether the file at ``path`` is a sorted copy of the one that was asked for, ``origin``.
    """

    path: Path
    origin: Path
    columns: Mapping[str, str]
    numbered: bool
    parts: tuple[Part, ...]
    rows: int
    last_day: np.datetime64 | None = None
    copied: bool = False

    @property
    def is_return(self) -> bool:
        return "return" in self.columns.values()

    def key(self, symbol: str) -> Any:
        """A symbol as the file orders it, None for one that cannot stand in it."""
        if not self.numbered:
            return symbol
        return int(symbol) if symbol.lstrip("-").isdigit() and str(int(symbol)) == symbol else None


@dataclass(frozen=True)
class Rows:
    """The rows of G securities of a part, in the order of the file.

    symbols: of each, as text. start: (G + 1,) into days, (M,) int32 day numbers, and values, (M,) NaN where there is none.
    stale: (G,) rows that are stale prices.
    """

    symbols: list[str]
    start: npt.NDArray[np.int64]
    days: npt.NDArray[np.int32]
    values: npt.NDArray[np.float64]
    stale: npt.NDArray[np.int64]


def parted(path: Path) -> PartedFile | None:
    """The parts of a parquet file by its footer, None where its columns are not symbols, days and numbers.

    Raises DataError for a file that cannot be read.
    """
    import pyarrow as pa  # type: ignore[import-untyped]
    import pyarrow.parquet as pq  # type: ignore[import-untyped]

    try:
        with open_file(path, ANY) as opened, pq.ParquetFile(opened) as file:
            schema, footer = file.schema_arrow, file.metadata
    except (OSError, pa.ArrowException) as error:
        raise DataError(f"{path}: cannot be read as parquet: {str(error).splitlines()[0]}") from None
    _check_rows(path, footer)
    names = {
        own: name for own, name in lower_names(schema.names, str(path)).items() if name in ("symbol", "date", *NEEDED)
    }
    kinds = {name: schema.field(own).type for own, name in names.items()}
    if not {"symbol", "date"} <= set(kinds) or not {"return", "adj_close", "close"} & set(kinds):
        return None
    symbol = kinds["symbol"].value_type if pa.types.is_dictionary(kinds["symbol"]) else kinds["symbol"]
    numbered = pa.types.is_integer(symbol) and symbol != pa.uint64()
    texts = pa.types.is_string(symbol) or pa.types.is_large_string(symbol) or pa.types.is_string_view(symbol)
    numbers = all(pa.types.is_floating(k) or pa.types.is_integer(k) for n, k in kinds.items() if n in NEEDED)
    days = pa.types.is_date(kinds["date"]) or (pa.types.is_timestamp(kinds["date"]) and kinds["date"].tz is None)
    if not (numbered or texts) or not numbers or not days or not footer.num_rows:
        return None
    if "return" in kinds:
        names = {own: n for own, n in names.items() if n in ("symbol", "date", "return", "delisting_return")}
    parts = _parts(footer, schema.names.index(next(own for own, n in names.items() if n == "symbol")))
    last = _last_day(footer, schema.names.index(next(own for own, n in names.items() if n == "date")))
    return PartedFile(path, path, names, numbered, parts or (), footer.num_rows, last)


def _check_rows(path: Path, footer: Any) -> None:
    """Raises DataError for more rows than are allowed: a few bytes can stand for any number of equal ones."""
    largest = max((footer.row_group(group).num_rows for group in range(footer.num_row_groups)), default=0)
    for rows, allowed, what in (
        (footer.num_rows, MOST_ROWS, "rows"),
        (largest, MOST_IN_GROUP, "rows in one row group"),
    ):
        if rows > within(allowed):
            raise DataError(
                f"{path}: has {rows:,} {what}, {within(allowed):,} are allowed. Write it in row groups of about 1,000,000 rows, "
                f"without the listings that no study needs, or {raise_with(rows, allowed)}."
            )


def _last_day(footer: Any, column: int) -> np.datetime64 | None:
    known = [footer.row_group(group).column(column).statistics for group in range(footer.num_row_groups)]
    try:
        days = [np.datetime64(one.max, "D") for one in known if one is not None and one.has_min_max]
    except (ValueError, OverflowError):  # a date that Python has not; it is said when the row is read
        return None
    return max(days, default=None)


def _parts(footer: Any, column: int) -> tuple[Part, ...] | None:
    """The parts by the row groups' smallest and largest symbols, None where these say nothing or are not in order."""
    ends = []
    rows = np.array([footer.row_group(group).num_rows for group in range(footer.num_row_groups)], np.int64)
    start = np.concatenate([[0], np.cumsum(rows)])
    for group in range(footer.num_row_groups):
        if not rows[group]:
            continue
        known = footer.row_group(group).column(column).statistics
        if known is None or not known.has_min_max:
            return None
        ends.append((group, known.min, known.max))
    if any(before[2] > after[1] for before, after in pairwise(ends)):
        return None
    parts = []
    for i, (group, first, last) in enumerate(ends):
        begins = i > 0 and ends[i - 1][2] == first
        if begins and first == last:
            continue  # all of it is a security that began earlier
        further = 0
        while i + further + 1 < len(ends) and ends[i + further + 1][1] == last:
            further += 1
        place = int(start[group])
        parts.append(Part(group, first, last, further, begins, place, int(start[group + further + 1]) - place))
    return tuple(parts)


def in_order(file: PartedFile) -> PartedFile:
    """The file itself, or a copy sorted by symbol and date where its row groups are not: made once, gone after the run."""
    if file.parts:
        return file
    return sorted_copy(file)


def sorted_copy(file: PartedFile) -> PartedFile:
    """A copy in canonical form in a temporary folder that goes with the process."""
    path = temporary_folder() / "sorted.parquet"
    own = {name: o for o, name in file.columns.items()}
    lazy = scan_parquet(file.origin).select(list(file.columns))
    lazy.sort(own["symbol"], own["date"]).sink_parquet(
        path, compression="lz4", row_group_size=1_000_000, statistics=True
    )
    made = parted(path)
    assert made is not None
    return replace(made, origin=file.origin, copied=True)


def read_part(file: PartedFile, part: Part, wanted: Iterable[str]) -> Rows:
    """The rows of the ``wanted`` symbols that begin in a part, in the order of the file.

    Raises DataError for a security that stands in two places of the part: the file is not sorted.
    """
    keys, first = {file.key(s): s for s in wanted}, part.first if part.begins else None
    found = _some(file, part, list(keys)) if len(keys) * SPARSE <= part.rows else None
    found = found or _all(file, part)
    if len(set(found.runs)) < len(found.runs):
        raise Unsorted
    chosen = [
        i for i, name in enumerate(found.runs) if name in keys and name != first and part.first <= name <= part.last
    ]
    taken = [(int(found.edges[i]), int(found.edges[i + 1])) for i in chosen]
    start = np.concatenate([[0], np.cumsum([b - a for a, b in taken])]).astype(np.int64)
    picked = {n: _picked(column, taken) for n, column in found.columns.items()}
    days = picked.pop("date")
    for name, numbers in picked.items():
        _check_sizes(file, name, numbers, start, [keys[found.runs[i]] for i in chosen])
    values, stale = _values(picked, start)
    return Rows([keys[found.runs[i]] for i in chosen], start, days, values, stale)


def _check_sizes(
    file: PartedFile, name: str, numbers: npt.NDArray[np.float64], start: npt.NDArray[np.int64], symbols: Sequence[str]
) -> None:
    """Raises DataError for a number that no price, return or volume can be, as `prices` does."""
    price, largest = name in ("close", "adj_close"), LARGEST_RETURN if "return" in name else LARGEST
    ends = (np.fmax.reduce(numbers, initial=0.0), np.fmin.reduce(numbers, initial=0.0))
    if max(ends[0], -ends[1]) <= largest and not (price and ((numbers > 0) & (numbers < SMALLEST)).any()):
        return
    size = np.abs(numbers)
    row = int(((size > largest) | (price & (size > 0) & (size < SMALLEST))).argmax())
    symbol = symbols[int(np.searchsorted(start, row, side="right")) - 1]
    raise DataError(
        f"{file.origin} symbol {symbol}: column {name} holds {numbers[row]:g}, beyond what it can be. Allowed: up to {largest:g}"
        + f"{f', a price not below {SMALLEST:g}' if price else ''}. Correct it, or leave the cell empty."
    )


@dataclass(frozen=True)
class _Held:
    """Rows as they stand in the file. runs: the symbol of each run of rows; edges: (runs + 1,) where they begin and end.

    columns: by their names here but the symbols, numbers and which of them are there, None for all.
    """

    runs: list[Any]
    edges: npt.NDArray[np.int64]
    columns: Mapping[str, Column]


def _all(file: PartedFile, part: Part) -> _Held:
    """Every row of the row groups of a part."""
    own = {name: o for o, name in file.columns.items()}
    table = _decoded(file, list(range(part.group, part.group + part.further + 1)), list(own.values()))
    codes, names = _codes(table[own["symbol"]])
    edges = np.concatenate([[0], np.flatnonzero(codes[1:] != codes[:-1]) + 1, [len(codes)]])
    columns = {n: _buffers(table[o], np.float64) for n, o in own.items() if n not in ("symbol", "date")}
    days = _days(table[own["date"]])
    _check_days(file, *days)
    return _Held([names[c] for c in codes[edges[:-1]].tolist()], edges, columns | {"date": days})


def _some(file: PartedFile, part: Part, keys: list[Any]) -> _Held | None:
    """The rows of some symbols alone: what the other rows hold is not decoded; None where the file's kinds are not plain.

    Raises Unsorted for a row without a symbol.
    """
    own = {name: o for o, name in file.columns.items()}
    lazy = scan_parquet(file.path).select(*own.values())
    try:
        kinds, symbol = lazy.collect_schema(), pl.col(own["symbol"])
        if kinds[own["date"]] != pl.Date or not (file.numbered or kinds[own["symbol"]] in (pl.String, pl.Categorical)):
            return None
        asked = pl.Series(keys, dtype=kinds[own["symbol"]] if file.numbered else pl.String).implode()
        frame = lazy.slice(part.start, part.rows).filter(symbol.is_in(asked) | symbol.is_null()).collect()
    except (OSError, pl.exceptions.PolarsError):
        return None  # said by the other reader
    if frame[own["symbol"]].null_count():
        raise Unsorted
    runs = frame[own["symbol"]].rle().struct
    edges = np.concatenate([[0], np.cumsum(runs["len"].to_numpy(), dtype=np.int64)])
    numbers = [n for n in own if n not in ("symbol", "date")]
    columns: dict[str, Column] = {
        n: (frame[own[n]].cast(pl.Float64).fill_null(np.nan).to_numpy(), None) for n in numbers
    }
    dates = frame[own["date"]].to_physical()
    known = (~dates.is_null()).to_numpy() if dates.null_count() else None
    days = (dates.fill_null(0).to_numpy(), known)
    _check_days(file, *days)
    return _Held(runs["value"].to_list(), edges, columns | {"date": days})


def _check_days(file: PartedFile, days: npt.NDArray[Any], known: npt.NDArray[np.bool_] | None) -> None:
    """Raises DataError for a row without a date, or with one that no calendar has."""
    if known is not None and not known.all():
        raise DataError(f"{file.origin}: column date has empty cells. Every row needs its date.")
    if len(days) and outside_calendar(np.array([days.min(), days.max()])).any():
        raise DataError(
            f"{file.origin}: column date holds a date before {FIRST_DATE} or after {LAST_DATE}. Correct it."
        )


class Unsorted(Exception):
    """A part turned out not to be sorted."""


def _decoded(file: PartedFile, groups: list[int], columns: list[str]) -> Any:
    import pyarrow as pa
    import pyarrow.parquet as pq

    symbol = next(o for o, n in file.columns.items() if n == "symbol")
    try:
        with pq.ParquetFile(
            check_file(file.path), memory_map=True, read_dictionary=[] if file.numbered else [symbol]
        ) as opened:
            return opened.read_row_groups(groups, columns=columns, use_threads=False)
    except (OSError, pa.ArrowException) as error:
        raise DataError(f"{file.origin}: cannot be read as parquet: {str(error).splitlines()[0]}") from None


def _codes(column: Any) -> tuple[npt.NDArray[Any], list[Any]]:
    """The symbol of each row as a code, and what the codes stand for."""
    import pyarrow as pa

    if column.null_count:
        raise Unsorted
    if pa.types.is_dictionary(column.type):
        array = _one(column if column.num_chunks == 1 else column.unify_dictionaries())
        return _plain(array.indices, np.int32), array.dictionary.to_pylist()
    names, codes = np.unique(_plain(column, np.int64), return_inverse=True)
    return codes, names.tolist()


def _days(column: Any) -> Column:
    """A column of dates or times as day numbers."""
    import pyarrow as pa

    array = _one(column if column.type == pa.date32() else column.cast(pa.date32()))
    return _buffers(array.view(pa.int32()), np.int32)


def _picked(column: Column, taken: Sequence[tuple[int, int]]) -> npt.NDArray[Any]:
    """The rows taken of a column, null as NaN."""
    values, known = column
    if taken and taken[0][0] == 0 and taken[-1][1] == len(values) == sum(b - a for a, b in taken):
        return _filled(values, known)
    return _filled(_joined(values, taken), None if known is None else _joined(known, taken))


def _filled(values: npt.NDArray[Any], known: npt.NDArray[np.bool_] | None) -> npt.NDArray[Any]:
    return values if known is None else np.where(known, values, np.nan)


def _joined(values: npt.NDArray[Any], taken: Sequence[tuple[int, int]]) -> npt.NDArray[Any]:
    return np.concatenate([values[:0], *(values[a:b] for a, b in taken)])


def _plain(column: Any, kind: Any) -> npt.NDArray[Any]:
    """A column of numbers, null as NaN."""
    return _filled(*_buffers(column, kind))


def _buffers(column: Any, kind: Any) -> Column:
    """A column of numbers, and which of them are there, None for all.

    By its buffers, since pyarrow's own ways import pandas or its functions for it, 0.1 to 0.4 s.
    """
    import pyarrow as pa

    array = _one(
        column if column.type == pa.from_numpy_dtype(kind) else column.cast(pa.from_numpy_dtype(kind), safe=False)
    )
    held = slice(array.offset, array.offset + len(array))
    present, numbers = array.buffers()
    values = np.frombuffer(numbers, kind)[held] if len(array) else np.empty(0, kind)
    if not array.null_count:
        return values, None
    return values, np.unpackbits(np.frombuffer(present, np.uint8), bitorder="little")[held].view(np.bool_)


def _one(column: Any) -> Any:
    """A column in one piece; without a copy where it is, as a row group mostly is."""
    import pyarrow as pa

    if not isinstance(column, pa.ChunkedArray):
        return column
    return column.chunk(0) if column.num_chunks == 1 else pa.concat_arrays(column.chunks)


def _values(
    numbers: Mapping[str, npt.NDArray[np.float64]], start: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    """The values that returns are made of, by the rules of `prices`, and the stale rows of each security."""
    none = np.zeros(len(start) - 1, np.int64)
    if "return" in numbers:
        if "delisting_return" in numbers:
            return with_delisting(numbers["return"], numbers["delisting_return"]), none
        return numbers["return"], none
    if set(numbers) in ({"adj_close"}, {"close"}):
        return np.concatenate([*numbers.values()]), none
    values, stale = np.full(int(start[-1]), np.nan), none.copy()
    for i in range(len(none)):
        rows = slice(int(start[i]), int(start[i + 1]))
        own, old = series_values({name: column[rows] for name, column in numbers.items()})
        values[rows], stale[i] = own, old.sum()
    return values, stale


def series_of(file: PartedFile, symbols: Iterable[str]) -> tuple[dict[str, PriceSeries], list[str]]:
    """Some series read whole, as `prices.read_series` does, from the row groups that may hold them."""
    own = {name: o for o, name in file.columns.items()}
    found: dict[str, PriceSeries] = {}
    missing = []
    for symbol in sorted(set(symbols)):
        key = file.key(symbol)
        parts = [p for p in file.parts if key is not None and p.first <= key <= p.last]
        part = next((p for p in parts if not (p.begins and p.first == key)), None)
        if part is not None:
            table = _decoded(file, list(range(part.group, part.group + part.further + 1)), list(own.values()))
            frame = pl.DataFrame(pl.from_arrow(table)).rename(dict(file.columns))
            rows = frame.filter(pl.col("symbol").cast(pl.String) == symbol)
            if len(rows):
                found[symbol] = table_series(symbol, rows, f"{file.origin} symbol {symbol}")
                continue
        missing.append(symbol)
    return found, missing
