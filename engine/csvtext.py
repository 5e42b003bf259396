"""A CSV file as text cells: how calendars, price files and listings come in before their cells are checked."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from engine.errors import DataError


def read_text_table(path: Path, wanted: str) -> pl.DataFrame:
    """Every cell as text, null where it is empty; column names stripped.

    wanted: what the file should hold, said if it is empty. Raises DataError for a file that is no table, is not UTF-8,
    or names a column twice.
    """
    try:
        table = pl.read_csv(path, infer_schema=False, encoding="utf8")
    except pl.exceptions.NoDataError:
        raise DataError(f"{path}: is empty. {wanted}") from None
    except (pl.exceptions.PolarsError, OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read as CSV: {str(error).splitlines()[0]}") from None
    names = [c.strip().lstrip("\ufeff") for c in table.columns]
    twice = [
        c.partition("_duplicated_")[0] for c in names if "_duplicated_" in c
    ]  # how polars tells two of a name apart
    twice += [c for c in names if names.count(c) > 1]
    if twice:
        raise DataError(f'{path}: the column "{twice[0]}" stands there more than once. Keep one.')
    return table.rename(dict(zip(table.columns, names, strict=True)))
