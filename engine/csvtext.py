"""A CSV file as text cells: how calendars, price files and listings come in before their cells are checked."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import polars as pl

from engine.errors import DataError

ROW = "#row"  # the column that holds each row's number in the file, the header being row 1


def read_text_table(path: Path, wanted: str) -> pl.DataFrame:
    """Every cell as text, null where it is empty; column names stripped; rows without any cell left out; `ROW` last.

    wanted: what the file should hold, said if it is empty. Raises DataError for a file that is no table, is not UTF-8,
    or has a column without a name or two of one name.
    """
    try:
        with path.open("rb") as file:
            if b"\0" in file.read(4096):
                raise DataError(
                    f"{path}: is not UTF-8 text (it holds zero bytes, as UTF-16 does). Save it as CSV UTF-8."
                )
        table = pl.read_csv(path, infer_schema=False, encoding="utf8")
    except pl.exceptions.NoDataError:
        raise DataError(f"{path}: is empty. {wanted}") from None
    except (pl.exceptions.PolarsError, OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read as CSV: {_plain(str(error))}") from None
    names = [c.strip().lstrip("\ufeff") for c in unquoted(table.columns)]
    told_apart = [re.fullmatch(r"(.*)_duplicated_\d+", c, re.DOTALL) for c in names]  # by polars, two of one name
    twice = [found[1] for found in told_apart if found is not None and found[1] in names]
    twice += [c for c in names if names.count(c) > 1]
    if "" in names or "" in twice:
        raise DataError(f"{path}: row 1: a column has no name. Name it, or remove the last comma of the header.")
    if twice:
        raise DataError(f'{path}: row 1: the column "{twice[0]}" stands there more than once. Keep one.')
    named = table.rename(dict(zip(table.columns, names, strict=True)))
    return named.with_columns(pl.int_range(2, pl.len() + 2).alias(ROW)).filter(
        pl.any_horizontal(pl.col(names).is_not_null())
    )


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
