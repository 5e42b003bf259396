"""Factor sets: daily factor returns in one file, in the form of Kenneth French's data library."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from engine.csvtext import read_text_table
from engine.errors import DataError, SpecError, hint
from engine.market.prices import PriceSeries, column_series
from engine.market.snapshots import Snapshot

SETS = {"ff3": "FF3_US_daily", "ff5": "FF5_US_daily"}  # short names
SET_VENUES = dict.fromkeys(("ff3", "ff5", "ff3_us_daily", "ff5_us_daily"), "XNYS")  # whose closes a set has
RISK_FREE = "RF"
MISSING = (-99.99, -999.0)  # what the data library writes for no value
PERCENT = 100.0


def factor_file(snapshot: Snapshot, name: str) -> Path:
    """The file of a set: ``factors/<set>.csv`` or ``<set>.csv`` in the snapshot, whatever its case.

    Raises SpecError that lists the sets that are there.
    """
    stem = SETS.get(name.lower(), name)
    folders = [snapshot.root / "factors", snapshot.root] if snapshot.root.is_dir() else []
    files = {p.stem.lower(): p for folder in reversed(folders) for p in sorted(folder.glob("*.csv"))}
    if stem.lower() not in files:
        sets = [p.stem for p in files.values() if p.parent.name == "factors"]
        raise SpecError(f'[factors] set = "{name}" is not in snapshot {snapshot.name}. {hint(stem, sets)}')
    return files[stem.lower()]


def read_factors(path: Path, units: str) -> dict[str, PriceSeries]:
    """Every column of a factor file as a series of simple returns in fractions; ``RF`` is the risk-free rate.

    units: "percent" as the data library writes them, or "fraction". -99.99 and -999 are missing.
    Raises DataError for text, and for dates that do not exist or stand twice.
    """
    table = read_text_table(path, "A factor file has the columns date, Mkt-RF, SMB, HML, ... and RF.")
    names = [c for c in table.columns if c.lower() != "date" and not c.startswith("#")]
    if "date" not in table.columns or not names:
        raise DataError(f"{path}: has no column date, or no factor. Columns read: {', '.join(table.columns)}.")
    scale = PERCENT if units == "percent" else 1.0
    found = {}
    for name in names:
        series = column_series(name, table, name, str(path))
        values = np.where(np.isin(series.values, MISSING), np.nan, series.values / scale)
        if (values <= -1).any():
            day = series.dates[int(np.argmax(values <= -1))]
            raise DataError(
                f'{path}: {name} of {day} is a loss of everything or more when read as {units}. Set [factors] units = "percent" '
                'or "fraction", as the file has it.'
            )
        found[name] = replace(series, values=values, is_return=True)
    return found
