"""Snapshots: folders or parquet files of daily series, looked up by name along the data path.

A snapshot is a folder of ``<symbol>.csv``, a folder with ``symbols.csv`` and ``prices/``, a folder with one parquet
file, or a parquet file. ``manifest.json`` beside the data, where there is one, names source, licence and hashes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any
from zoneinfo import available_timezones

import polars as pl
from pydantic import Field

from engine.csvtext import ROW, read_text_table, scan_parquet
from engine.documents import Document, checked, read_json
from engine.errors import DataError, MissingData, SpecError
from engine.files import check_file, digest_of, is_plain

CRSP_NAMES = {"permno": "symbol", "ret": "return", "dlret": "delisting_return"}
NEWEST = "newest"  # <name>@newest is the last vintage of a fetched snapshot
VINTAGE = re.compile(r"(@(?P<day>\d{4}-\d{2}-\d{2})(\.(?P<again>\d+))?)?")


@dataclass(frozen=True)
class Snapshot:
    """One snapshot on disk.

    name: how the study called it. root: its folder or file. parquet: the one file that holds all series, else None and
    ``prices`` is the folder of CSV files.
    """

    name: str
    root: Path
    prices: Path
    parquet: Path | None = None
    manifest: dict[str, Any] = field(default_factory=dict)

    @property
    def redistributable(self) -> bool:
        """Whether the licence lets prices be passed on; not unless the manifest says so."""
        return self.manifest.get("redistributable") is True

    @property
    def about(self) -> tuple[Path, ...]:
        """``symbols.csv``, where there is one: it sets exchanges."""
        path = (self.root if self.root.is_dir() else self.root.parent) / "symbols.csv"
        return (path,) if path.is_file() else ()

    @cached_property
    def listings(self) -> dict[str, dict[str, str]]:
        """``symbols.csv`` by symbol: name, name_zh, exchange, currency, ... as text; empty where there is none."""
        if not self.about:
            return {}
        (path,) = self.about
        table = read_text_table(path, "It has a column symbol and, where known, name, name_zh, exchange and currency.")
        if "symbol" not in table.columns:
            raise DataError(f'{path}: has no column "symbol". Columns read: {", ".join(table.columns)}.')
        rows = table.drop(ROW).fill_null("").unique("symbol", keep="first", maintain_order=True).iter_rows(named=True)
        return {row["symbol"]: row for row in rows}

    def file_of(self, symbol: str) -> Path:
        """The file that holds ``symbol``. Raises SpecError for a symbol that is a path."""
        if self.parquet is None and not is_plain(symbol):
            raise SpecError(
                f'snapshot {self.name}: the symbol "{symbol}" is a path. A symbol is a plain name such as 0981.HK.'
            )
        return self.parquet if self.parquet is not None else self.prices / f"{symbol}.csv"

    def symbols(self) -> list[str]:
        """Every symbol that has a series here, sorted; none for a parquet file without a column symbol."""
        if self.parquet is None:
            return sorted(p.stem for p in self.prices.glob("*.csv") if p.name != "symbols.csv")
        try:
            table = scan_prices(self.parquet)
            if "symbol" not in table.collect_schema().names():
                return []
            return table.select(symbol_text(table, str(self.parquet)).unique().sort()).collect()["symbol"].to_list()
        except (pl.exceptions.PolarsError, OSError) as error:
            raise DataError(f"{self.parquet}: cannot be read as parquet: {str(error).splitlines()[0]}") from None

    def holds_series(self) -> bool:
        """Whether there is any series; a parquet file is not read for it."""
        if self.parquet is None:
            return any(p.name != "symbols.csv" for p in self.prices.glob("*.csv"))
        try:
            table = scan_prices(self.parquet)
            return "symbol" in table.collect_schema().names() and bool(table.select(pl.len()).collect().item())
        except (pl.exceptions.PolarsError, OSError) as error:
            raise DataError(f"{self.parquet}: cannot be read as parquet: {str(error).splitlines()[0]}") from None

    def sha256(self, path: Path) -> str:
        """The file's hash. Raises DataError if the manifest gives another one."""
        digest = digest_of(path)
        files = self.manifest.get("files", {})
        if "failures" in self.manifest and path.name not in files:  # a fetched snapshot names all that it holds
            raise DataError(
                f"{path}: is not in the manifest of snapshot {self.name}, so it came after the snapshot was made. Remove it, or "
                "make a new snapshot that holds it."
            )
        stated = files.get(path.name, {}).get("sha256")
        if stated is not None and stated != digest:
            raise DataError(
                f"{path}: its sha256 is {digest}, the manifest of snapshot {self.name} says {stated}. "
                "The file was changed after the snapshot was made: restore it, or make a new snapshot."
            )
        return digest


def find_snapshot(name: str, study_folder: Path, data_path: Sequence[Path]) -> Snapshot:
    """Find a snapshot: a path relative to the study, an absolute path, or a name on the data path.

    An entry of the data path is a snapshot, named after its folder, or a folder of snapshots. A name stands for one
    folder for good: what is fetched later is ``<name>@<date>``, used when it is named, or asked for as ``<name>@newest``.
    Raises MissingData that lists where it was looked for.
    """
    candidates = [study_folder / name]
    for entry in data_path:
        candidates += [entry] if entry.resolve().name == name else []
        candidates += [entry / name]
    base, _, newest = name.rpartition("@")
    if newest == NEWEST:
        candidates = [v for entry in data_path for v in reversed(vintages(entry / base))]
        name = candidates[0].name if candidates else name
    found = [s for s in (open_snapshot(name, path) for path in candidates) if s is not None]
    if found:
        return next((s for s in found if s.holds_series()), found[0])
    looked = ", ".join(str(p) for p in data_path) or "nowhere: the data path is empty"
    raise MissingData(
        f'price snapshot "{name}" is not here. Looked in the study folder and in: {looked}. '
        f"Put the folder {name}/ with one <symbol>.csv a listing on the data path, "
        f"export EVENTSTUDY_DATA=/folder/with/snapshots, run with --prices DIR, "
        f"or fetch it: eventstudy fetch {study_folder} (network)."
    )


def vintages(base: Path) -> list[Path]:
    """The snapshots of one name in one folder, oldest first: ``<name>``, then ``<name>@<date>``, ``<name>@<date>.2``."""
    dated = []
    for path in base.parent.iterdir() if base.parent.is_dir() else ():
        vintage = VINTAGE.fullmatch(path.name.removeprefix(base.name)) if path.name.startswith(base.name) else None
        if vintage is not None and path.is_dir():
            dated.append((vintage["day"] or "", int(vintage["again"] or 1), path))
    return [path for _, _, path in sorted(dated)]


def open_snapshot(name: str, path: Path) -> Snapshot | None:
    """The snapshot at ``path``, maybe without any series; None if nothing is there.

    Raises DataError for an unreadable manifest.
    """
    if path.is_file() and path.suffix == ".parquet":
        return Snapshot(name, path, path, path, {})
    if not path.is_dir():
        return None
    manifest = _manifest(path / "manifest.json")
    tables = sorted(path.glob("*.parquet"))
    if len(tables) > 1:
        raise DataError(
            f"{path}: holds {len(tables)} parquet files; a snapshot has one. Keep one, or name the file itself."
        )
    if tables:
        return Snapshot(name, path, path, tables[0], manifest)
    if (path / "prices").is_dir():
        return Snapshot(name, path, path / "prices", None, manifest)
    return Snapshot(name, path, path, None, manifest)


class SnapshotFile(Document):
    sha256: str | None = None


class SnapshotManifest(Document):
    """``manifest.json`` of a snapshot: what is passed on into the manifest of a result, and the hashes."""

    title: str | None = None
    source: str | None = None
    version: str | int | float | None = None
    licence: str | None = None
    retrieved_on: str | None = None
    limits: str | None = None
    redistributable: bool = False
    files: dict[str, SnapshotFile] = Field(default_factory=dict)
    failures: dict[str, Any] = Field(default_factory=dict)


def _manifest(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    manifest: dict[str, Any] = read_json(path, DataError)
    checked(SnapshotManifest, manifest, str(path), DataError)
    return manifest


def scan_prices(path: Path) -> pl.LazyFrame:
    """A parquet file of prices, not yet read, with column names as this package writes them.

    Raises DataError for a file that cannot be read, and for a column whose time zone is no name of one, which polars takes for a
    fault of its own.
    """
    import pyarrow as pa  # type: ignore[import-untyped]
    import pyarrow.parquet as pq  # type: ignore[import-untyped]

    try:
        schema = pq.read_schema(check_file(path))
        names = lower_names(schema.names, str(path))
        for field in schema:
            zone = field.type.tz if pa.types.is_timestamp(field.type) else None
            if zone is not None and zone not in available_timezones():
                raise DataError(
                    f'{path}: column {field.name} is {field.type}, and "{zone}" is no time zone. Write dates, or a zone such as '
                    "Asia/Hong_Kong."
                )
        return scan_parquet(path).rename(names)
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read as parquet: {str(error).splitlines()[0]}") from None


def symbol_text(table: pl.LazyFrame | pl.DataFrame, where: str) -> pl.Expr:
    """The column ``symbol`` as text: that of categories and of whole numbers as they are written, 14593.0 as 14593.

    Raises DataError for a column of any other kind.
    """
    kind, symbol = table.collect_schema()["symbol"], pl.col("symbol")
    if kind.is_float():
        whole = symbol.cast(pl.Int64, strict=False)
        return pl.when(whole == symbol).then(whole.cast(pl.String)).otherwise(symbol.cast(pl.String)).alias("symbol")
    if not (kind.is_integer() or isinstance(kind, pl.String | pl.Categorical | pl.Enum | pl.Null)):
        raise DataError(f"{where}: column symbol is {kind}. Allowed: text, categories or whole numbers.")
    return symbol.cast(pl.String)


def lower_names(columns: Iterable[str], where: str) -> dict[str, str]:
    """Column names as this package writes them: "Adj Close" is adj_close, CRSP's permno is symbol.

    Raises DataError if two become one.
    """
    names = {c: c.strip().lower().replace(" ", "_") for c in columns}
    crsp = CRSP_NAMES if "permno" in names.values() else {}
    names = {c: crsp.get(name, name) for c, name in names.items()}
    if len(set(names.values())) < len(names):
        raise DataError(f"{where}: two columns have the same name: {', '.join(columns)}. Keep one.")
    return names
