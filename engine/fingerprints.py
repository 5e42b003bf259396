"""Fingerprints of what a study reads: hashes fine enough to name the month of a changed price and the cell of a changed row.

They are kept beside a golden result and hold no price: a month is its number of rows and 16 bits of a hash over all of
them, so nothing can be read back, and a change stays unseen in one month of 65,536 (the hash of the file still tells).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from engine.inputs import Study
from engine.market import PriceSeries

CELL, MONTH, COLUMN = 4, 6, 16  # hex digits of a calendar cell, of a month (two for its rows), of a whole column
NO_ROWS = "0" * MONTH


def fingerprints(study: Study) -> dict[str, Any]:
    """The fingerprints of a loaded study.

    ``calendar``: ``columns``, and for each pair ``[event_id, symbol, digests]`` with `CELL` digits a column. ``prices``:
    for each series the digest of each of its ``columns``, and ``months``: year -> twelve times `MONTH` digits.
    ``files``: the hashes of the files that they were taken from.
    """
    auxiliary = [*study.market.factors, *([study.market.riskfree] if study.market.riskfree is not None else [])]
    series = {one.symbol: one for one in auxiliary} | dict(study.market.prices)
    return {
        "calendar": _calendar(study),
        "files": dict(study.sha256),
        "prices": {symbol: _series(one) for symbol, one in sorted(series.items())},
    }


def _calendar(study: Study) -> dict[str, Any]:
    announced = study.announcements
    keys = ["event_id", "symbol"]
    cells = announced.table.drop("where").hstack(announced.attributes.drop(keys).get_columns())
    columns = [c for c in cells.columns if c not in keys]
    rows = [
        [*pair, "".join(_digest(b"" if cell is None else str(cell).encode(), CELL) for cell in row)]
        for pair, row in zip(cells.select(keys).rows(), cells.select(columns).rows(), strict=True)
    ]
    return {"columns": columns, "rows": rows}


def _series(series: PriceSeries) -> dict[str, Any]:
    columns = dict(sorted(series.columns.items())) or {"value": series.values}
    table = np.column_stack([_plain(values) for values in columns.values()])
    months = series.dates.astype("datetime64[M]")
    starts = np.flatnonzero(np.append(True, months[1:] != months[:-1])) if len(months) else np.array([], np.int64)
    years: dict[str, list[str]] = {}
    for first, last in zip(starts, np.append(starts[1:], len(months)), strict=True):
        year, month = str(months[first]).split("-")
        rows = series.dates[first:last].astype("<i8").tobytes() + table[first:last].tobytes()
        told = years.setdefault(year, [NO_ROWS] * 12)
        told[int(month) - 1] = f"{min(last - first, 255):02x}" + _digest(rows, MONTH - 2)
    return {
        "columns": {name: _digest(_plain(values).tobytes(), COLUMN) for name, values in columns.items()},
        "months": {year: "".join(told) for year, told in years.items()},
    }


def _plain(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The same numbers with one NaN and one zero, so that equal values have equal bytes."""
    return np.where(np.isnan(values), np.nan, values + 0.0).astype("<f8")


def _digest(data: bytes, digits: int) -> str:
    return hashlib.sha256(data).hexdigest()[:digits]


# What changed between two of them


def changed_rows(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The pairs of a calendar that differ, and how: ``("one AAA", "announced_at changed")``."""
    before, after = ({(row[0], row[1]): _cells(side, row[2]) for row in side["rows"]} for side in (old, new))
    for pair in sorted({*before, *after}):
        name = " ".join(pair)
        if pair not in after:
            yield name, "row missing"
        elif pair not in before:
            yield name, "row added"
        else:
            nothing = _digest(b"", CELL)
            columns = {**before[pair], **after[pair]}
            moved = [c for c in columns if before[pair].get(c, nothing) != after[pair].get(c, nothing)]
            if moved:
                yield name, f"{', '.join(moved)} changed"


def _cells(side: Mapping[str, Any], digests: str) -> dict[str, str]:
    return {c: digests[i * CELL : (i + 1) * CELL] for i, c in enumerate(side["columns"])}


def changed_series(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The series that differ, and how: ``("B", "close changed in 2015-05")``, with rows that are missing or added."""
    for symbol in sorted({*old, *new}):
        if symbol not in new:
            yield symbol, "no longer read"
        elif symbol not in old:
            yield symbol, "newly read"
        elif old[symbol] != new[symbol]:
            yield symbol, _change(old[symbol], new[symbol])


def _change(old: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    before, after = _by_month(old["months"]), _by_month(new["months"])
    every = sorted({*before, *after})
    moved = [m for m in every if before.get(m, NO_ROWS) != after.get(m, NO_ROWS)]
    columns = {**old["columns"], **new["columns"]}
    said = [c for c in columns if old["columns"].get(c) != new["columns"].get(c)]
    rows = [_rows(after.get(m, NO_ROWS)) - _rows(before.get(m, NO_ROWS)) for m in moved]
    lost, added = -sum(r for r in rows if r < 0), sum(r for r in rows if r > 0)
    counted = [f"{n} {'row' if n == 1 else 'rows'} {what}" for n, what in ((lost, "missing"), (added, "added")) if n]
    what = ", ".join(counted) if counted else f"{', '.join(said)} changed"
    return f"{what} in {_span(moved, len(every))}" if moved else f"{what}, its months are equal"


def _by_month(years: Mapping[str, str]) -> dict[str, str]:
    told = {f"{y}-{m + 1:02d}": text[m * MONTH : (m + 1) * MONTH] for y, text in years.items() for m in range(12)}
    return {month: digits for month, digits in told.items() if digits != NO_ROWS}


def _rows(digits: str) -> int:
    return int(digits[:2], 16)


def _span(months: list[str], among: int) -> str:
    if len(months) == 1:
        return months[0]
    every = "every month" if len(months) == among else f"{len(months)} months"
    return f"{every} from {months[0]} to {months[-1]}"
