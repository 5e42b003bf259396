"""A local folder of CSV files, such as a vendor's download, as a source: it becomes a snapshot with hashes and a date."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import polars as pl

from engine.errors import DataError, MissingData
from engine.market.prices import FURTHER, VALUES, read_series
from engine.market.snapshots import open_snapshot
from engine.market.sources.source import Access, Failure, Fetch, Fetched, Source


def _start(access: Access) -> Fetch:
    place = Path(str(access.place))
    snapshot = open_snapshot(str(place), place)
    if snapshot is None:
        raise MissingData(f"{place}: is no folder and no parquet file. Give a folder with one <symbol>.csv a listing.")

    def fetch(symbol: str, first: date, last: date) -> Fetched | Failure:
        try:
            found, _ = read_series(snapshot, [symbol])
            if symbol in found:
                snapshot.sha256(snapshot.file_of(symbol))  # a manifest that is there must fit
        except DataError as problem:
            return Failure(symbol, "unreadable", str(problem))
        if symbol not in found:
            return Failure(symbol, "not_found", f"there is no {snapshot.file_of(symbol)}")
        one = found[symbol]
        kept = {name: one.columns[name] for name in (*VALUES, *FURTHER) if name in one.columns}
        table = pl.DataFrame({"date": one.dates, **kept}).with_columns(pl.col(pl.Float64).fill_nan(None))
        about = snapshot.listings.get(symbol, {})
        return Fetched(
            symbol,
            table.filter(pl.col("date").is_between(first, last)),
            about.get("currency", ""),
            about.get("exchange", ""),
            about.get("name", ""),
        )

    return fetch


SOURCE = Source(
    start=_start,
    about={"source": "local files", "redistributable": False, "close": "as the files give it"},
    needs_place=True,
)
