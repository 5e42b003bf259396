"""A CSV file as text cells: how calendars, price files and listings come in before their cells are checked."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import polars as pl

from engine.errors import DataError
from engine.files import MARKS, TABLE, TEXT, check_file, raise_with, read_bytes, within, wrong_text

ROW = "#row"  # the column that holds each row's number in the file, the header being row 1
PILED = rf"\p{{M}}{{{MARKS + 1}}}"
COLUMNS, CELLS = 5_000, 200_000_000  # of one CSV file
# What a library would unpack by itself, to whatever size.
COMPRESSED: dict[str, bytes | tuple[bytes, ...]] = {
    "gzip": b"\x1f\x8b", "zstd": b"\x28\xb5\x2f\xfd", "zlib": (b"x\x01", b"x\x9c", b"x\xda"), "bzip2": b"BZh", "xz": b"\xfd7zXZ",
    "zip": b"PK\x03\x04",
}  # fmt: skip


def read_text_table(path: Path, wanted: str) -> pl.DataFrame:
    """Every cell as text, null where it is empty; column names stripped; rows without any cell left out; `ROW` last.

    wanted: what the file should hold, said if it is empty. Raises DataError for a file that is no table, is not UTF-8,
    or has a column without a name or two of one name.
    """
    try:
        table = read_cells(path)
    except pl.exceptions.NoDataError:
        raise DataError(f"{path}: is empty. {wanted}") from None
    except (pl.exceptions.PolarsError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read as CSV: {_plain(str(error))}") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read as CSV: {error.strerror}.") from None
    names = [c.strip().lstrip("\ufeff") for c in table.columns]
    told_apart = [re.fullmatch(r"(.*)_duplicated_\d+", c, re.DOTALL) for c in names]  # by polars, two of one name
    twice = [found[1] for found in told_apart if found is not None and found[1] in names]
    twice += [c for c in names if names.count(c) > 1]
    if ROW in names:
        raise DataError(f'{path}: row 1: no column may be named "{ROW}". Rename it.')
    if "" in names or "" in twice:
        raise DataError(f"{path}: row 1: a column has no name. Name it, or remove the last comma of the header.")
    if twice:
        raise DataError(f'{path}: row 1: the column "{twice[0]}" stands there more than once. Keep one.')
    named = table.rename(dict(zip(table.columns, names, strict=True)))
    _check_texts(path, named)
    return named.with_columns(pl.int_range(2, pl.len() + 2).alias(ROW)).filter(
        pl.any_horizontal(pl.col(names).is_not_null())
    )


def _check_texts(path: Path, table: pl.DataFrame) -> None:
    """Raises DataError for a header or a cell that is too long to be told, or that piles up combining marks (`wrong_text`)."""
    for name in table.columns:
        if wrong := wrong_text(name):
            raise DataError(f"{path}: row 1: the name of a column {wrong}.")
    numbered = table.with_columns(pl.int_range(2, pl.len() + 2).alias(ROW))
    rows = numbered.filter(pl.any_horizontal(pl.col(table.columns).str.len_bytes() > within(TEXT)))
    if not all(column.str.len_bytes().sum() == column.str.len_chars().sum() for column in table):  # not ASCII alone
        rows = pl.concat([rows, numbered.filter(pl.any_horizontal(pl.col(table.columns).str.contains(PILED)))])
    for row in rows.iter_rows(named=True):
        for name in table.columns:
            if wrong := wrong_text(row[name] or ""):
                raise DataError(f"{path}: row {row[ROW]}, column {name}: the cell {wrong}.")


def read_cells(path: Path) -> pl.DataFrame:
    """A CSV file as text, as it stands there.

    Raises DataError for a compressed file, one with zero bytes, and one with more columns or cells than are allowed; OSError
    for what is no regular file or too large, and polars' own errors for what is no table.
    """
    data = read_bytes(path, TABLE)
    packed = next((kind for kind, magic in COMPRESSED.items() if data.startswith(magic)), None)
    if packed is not None:
        raise DataError(
            f"{path}: is a compressed file ({packed}), not CSV. Unpack it, and give the file that was in it."
        )
    if b"\0" in data:
        raise DataError(f"{path}: is not UTF-8 text (it holds zero bytes, as UTF-16 does). Save it as CSV UTF-8.")
    columns = data.count(b",", 0, data.find(b"\n") % (len(data) + 1)) + 1
    cells = columns * (data.count(b"\n") + 1)
    for read, allowed, what in ((columns, COLUMNS, "columns"), (cells, CELLS, "cells")):
        if read > within(allowed):
            raise DataError(
                f"{path}: has {read:,} {what}, {within(allowed):,} are allowed. Leave out what no study needs, or "
                f"{raise_with(read, allowed)}."
            )
    table = pl.read_csv(data, infer_schema=False, encoding="utf8", glob=False)
    table.columns = unquoted(table.columns)
    return table


def scan_parquet(path: Path) -> pl.LazyFrame:
    """A parquet file, read later and as far as it is needed: the file of that name alone, whatever its name looks like.

    Raises OSError for what is no regular file, polars' own errors for what is no parquet.
    """
    return pl.scan_parquet(check_file(path), glob=False, hive_partitioning=False)


def unquoted(names: Sequence[str]) -> list[str]:
    """The names of the columns as the file states them: polars leaves the doubled quotes of a quoted name as they are."""
    return [name.replace('""', '"') for name in names]


def _plain(message: str) -> str:
    first = message.splitlines()[0]
    if "utf" in first.lower():
        return "it is not UTF-8 text. Save it as CSV UTF-8."
    if "more fields" in first:
        return "a row has more cells than the header. Put text that holds a comma in double quotes."
    return first
