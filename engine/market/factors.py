"""Factor sets: daily factor returns in one file, in the form of Kenneth French's data library."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from engine.csvtext import read_text_table
from engine.errors import DataError, SpecError, hint
from engine.market.prices import PriceSeries, column_series
from engine.market.snapshots import Snapshot

RISK_FREE = "RF"
MOMENTUM = ("MOM", "Mom", "UMD", "WML")  # names of one factor
FF3, FF5 = "FF3_US_daily", "FF5_US_daily"


@dataclass(frozen=True)
class FactorSet:
    """A set with a short name. files: where it may be, the first that is there; columns: its factors, each by its names."""

    files: tuple[str, ...]
    columns: tuple[tuple[str, ...], ...]


# CAPM: Sharpe (1964); FF3, FF5: Fama & French (1993, 2015); Carhart (1997). All in excess of RF.
SETS = {
    "capm": FactorSet((FF3, FF5), (("Mkt-RF",),)),
    "ff3": FactorSet((FF3,), (("Mkt-RF",), ("SMB",), ("HML",))),
    "ff5": FactorSet((FF5,), (("Mkt-RF",), ("SMB",), ("HML",), ("RMW",), ("CMA",))),
    "carhart": FactorSet(("Carhart_US_daily", FF3), (("Mkt-RF",), ("SMB",), ("HML",), MOMENTUM)),
}
# Whose closes a set has.
SET_VENUES = dict.fromkeys((*SETS, *(f.lower() for one in SETS.values() for f in one.files)), "XNYS")
MISSING = (-99.99, -999.0)  # what the data library writes for no value
PERCENT = 100.0


def factor_file(snapshot: Snapshot, name: str) -> Path:
    """The file of a set: ``factors/<set>.csv`` or ``<set>.csv`` in the snapshot, whatever its case.

    Raises SpecError that lists the sets that are there.
    """
    stems = SETS[name.lower()].files if name.lower() in SETS else (name,)
    folders = [snapshot.root / "factors", snapshot.root] if snapshot.root.is_dir() else []
    files = {p.stem.lower(): p for folder in reversed(folders) for p in sorted(folder.glob("*.csv"))}
    found = [stem.lower() for stem in stems if stem.lower() in files]
    if not found:
        sets = [p.stem for p in files.values() if p.parent.name == "factors"]
        raise SpecError(f'[factors] set = "{name}" is not in snapshot {snapshot.name}. {hint(stems[0], sets)}')
    return files[found[0]]


def set_columns(name: str, columns: Sequence[str], path: Path) -> list[str]:
    """The factors of a set among the ``columns`` of its file: those of its short name, else all but the risk-free rate.

    Raises SpecError for a factor that the file does not have.
    """
    if name.lower() not in SETS:
        return [c for c in columns if c != RISK_FREE]
    wanted = []
    for names in SETS[name.lower()].columns:
        found = [n for n in names if n in columns]
        if not found:
            get = " It is in the data set F-F_Momentum_Factor_daily of the library; add it by date." * (
                names == MOMENTUM
            )
            raise SpecError(
                f'[factors] set = "{name}" needs the column {" or ".join(names)}, and {path} has {", ".join(columns)}.{get}'
            )
        wanted.append(found[0])
    return wanted


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
