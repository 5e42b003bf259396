"""`StudyResult`: tables and manifest of one run, and their one canonical form on disk."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl

from engine.csvtext import ROW, read_text_table, scan_parquet
from engine.documents import checked, read_json
from engine.errors import DataError, SpecError, visible_json
from engine.inplace import own_place, tidy, version, whole_folder, write_file
from engine.schemas import ALWAYS, DAY, DIGITS, KEYS, NUMBER, OPTIONAL, SCHEMAS, TEXT, WHOLE, ResultManifest

__all__ = [
    "MANY_ROWS", "WRITTEN", "Streamed", "StudyResult", "own_place", "read_manifest", "read_result",
    "replaced_folder", "to_csv", "to_json", "write_file", "write_result", "write_tables",
]  # fmt: skip

MANY_ROWS = 1_000_000
FEW_ROWS = 2_000  # from here on the table's own writer is faster
# What a run and a memo write into their folder, and nothing else.
WRITTEN = frozenset(f"{n}{s}" for n in SCHEMAS for s in (".csv", ".parquet")) | {
    "manifest.json", "charts", "tables", *(f"memo.{f}" for f in ("html", "md", "pdf", "docx", "tex", "xlsx")),
}  # fmt: skip

WORDS = {TEXT: "text", NUMBER: "a finite number", WHOLE: "a whole number", DAY: "a date that exists, as YYYY-MM-DD"}


@dataclass(frozen=True)
class Streamed:
    """A table that is made a slice at a time: how many rows it has, its columns, and the slices in order."""

    rows: int
    columns: tuple[str, ...]
    slices: Callable[[], Iterator[pl.DataFrame]]


@dataclass(frozen=True)
class StudyResult:
    """One run: ``tables`` by name (`SCHEMAS`, sorted by key) and the ``manifest`` (inputs, settings, versions).

    streamed: the tables of a large run that are made while they are written; `whole` has them all in memory.
    """

    tables: dict[str, pl.DataFrame]
    manifest: dict[str, Any]
    streamed: dict[str, Streamed] = field(default_factory=dict)

    def whole(self) -> StudyResult:
        """The same with every table in memory."""
        if not self.streamed:
            return self
        made = {name: _collected(name, one) for name, one in self.streamed.items()}
        both = self.tables | made
        return StudyResult({n: both[n] for n in SCHEMAS if n in both}, self.manifest)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, StudyResult):
            return NotImplemented
        same_tables = self.tables.keys() == other.tables.keys()
        return (
            same_tables
            and self.manifest == other.manifest
            and all(self.tables[name].equals(other.tables[name]) for name in self.tables)
        )

    __hash__ = None  # type: ignore[assignment]


def write_result(result: StudyResult, folder: Path, also: Callable[[Path], None] = lambda folder: None) -> None:
    """Write all tables and the manifest to ``folder``, replacing an earlier result there only when all is whole.

    also: writes more into the temporary folder first (memo, charts).
    """
    with replaced_folder(folder) as fresh:
        write_tables(result, fresh)
        also(fresh)


def _collected(name: str, table: Streamed) -> pl.DataFrame:
    slices = list(table.slices())
    if slices:
        return _plain_text(pl.concat(slices))
    return pl.DataFrame(schema={c: SCHEMAS[name].get(c, NUMBER) for c in table.columns})


def _plain_text(frame: pl.DataFrame) -> pl.DataFrame:
    """Text that is kept by code, as large tables have it, as text."""
    return frame.cast({c: pl.String for c, kind in frame.schema.items() if isinstance(kind, pl.Enum)})


def _write_streamed(table: Streamed, name: str, folder: Path) -> None:
    """A table slice by slice: CSV, above a million rows parquet, a row group a slice."""
    if table.rows > MANY_ROWS:
        _write_parquet(table, folder / f"{name}.parquet")
        return
    with (folder / f"{name}.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerow(table.columns)
        for part in _ahead(table.slices()):
            file.write(to_csv(_plain_text(part), header=False))


def _ahead(slices: Iterator[pl.DataFrame]) -> Iterator[pl.DataFrame]:
    """The same, each made while the one before is written."""
    with ThreadPoolExecutor(1) as beside:
        coming = beside.submit(next, slices, None)
        while (one := coming.result()) is not None:
            coming = beside.submit(next, slices, None)
            yield one


def _write_parquet(table: Streamed, path: Path) -> None:
    """Row groups of a slice each. Text that is kept by code is written so; numbers and days hardly shrink, and stay plain."""
    import pyarrow.parquet as pq  # type: ignore[import-untyped]

    writer = None
    try:
        for part in _ahead(table.slices()):
            arrow = part.to_arrow()
            if writer is None:
                coded = [c for c, kind in part.schema.items() if isinstance(kind, pl.Enum)]
                writer = pq.ParquetWriter(
                    path, arrow.schema, use_dictionary=coded, store_schema=False,
                    compression={c: "NONE" if kind in (NUMBER, DAY) else "LZ4" for c, kind in part.schema.items()},
                    write_statistics=["event_id"],  # what rows are looked for by; a slice holds all of the rest
                )  # fmt: skip
            writer.write_table(arrow)
    finally:
        if writer is not None:
            writer.close()


def write_tables(result: StudyResult, folder: Path) -> None:
    """The tables and the manifest into ``folder``: CSV, above a million rows parquet with the same columns."""
    if result.streamed:
        longest_first = sorted(result.streamed.items(), key=lambda item: -item[1].rows)
        with ThreadPoolExecutor(2) as pool:  # a table at a time a core
            written = [pool.submit(_write_streamed, table, name, folder) for name, table in longest_first]
            for one in written:
                one.result()
    for name, frame in result.tables.items():
        if len(frame) > MANY_ROWS:
            frame.write_parquet(folder / f"{name}.parquet")
        else:
            (folder / f"{name}.csv").write_text(to_csv(frame), encoding="utf-8", newline="")
    (folder / "manifest.json").write_text(to_json(result.manifest), encoding="utf-8", newline="")


@contextmanager
def replaced_folder(
    folder: Path, may_hold: frozenset[str] = WRITTEN, last: Callable[[], None] = lambda: None
) -> Iterator[Path]:
    """`whole_folder` for a result: what is replaced is empty, or a result with nothing else in it.

    may_hold: the names that may be replaced. last: as there. Raises SpecError for a folder that holds anything else.
    """
    with whole_folder(folder, lambda held: _check_replaceable(folder, held, may_hold), last) as fresh:
        yield fresh


def _check_replaceable(folder: Path, held: set[str], may_hold: frozenset[str]) -> None:
    foreign = sorted(held - may_hold)
    if foreign or (held and "manifest.json" not in held):
        what = (
            f"holds {', '.join(foreign[:3])}, which no run wrote" if foreign else "holds no manifest.json of a result"
        )
        raise SpecError(f"{folder}: {what}, and is left alone. Give another folder, or empty this one.")
    if held:
        read_manifest(folder)


def read_result(folder: Path, whole: bool = True) -> StudyResult:
    """Read a result back; all of it is of one run, also while another replaces it. Raises DataError for one that is missing or
    damaged.

    whole: every table must be there; golden results may lack columns and tables.
    """
    seen = version(folder / "manifest.json")
    try:
        result = _read_result(folder, whole)
    except DataError:
        if version(folder / "manifest.json") == seen:
            raise
        return read_result(folder, whole)
    return result if version(folder / "manifest.json") == seen else read_result(folder, whole)


def _read_result(folder: Path, whole: bool) -> StudyResult:
    manifest = read_manifest(folder)
    unsaid = [key for key in ALWAYS if key not in manifest or (manifest[key] is None and key != "seed")]
    if whole and unsaid:
        raise DataError(f"{folder / 'manifest.json'}: lacks {', '.join(unsaid)}. Run the study again.")
    paths = {n: p for n in SCHEMAS for p in (folder / f"{n}.csv", folder / f"{n}.parquet") if p.is_file()}
    missing_tables = set(SCHEMAS) - set(paths) - OPTIONAL
    if whole and missing_tables:
        raise DataError(f"{folder}: lacks {', '.join(sorted(missing_tables))}. Run the study again.")
    tables = {name: _read_table(path, name, manifest) for name, path in paths.items()}
    for name, table in tables.items():
        needed = SCHEMAS[name] if whole else KEYS[name]
        missing = [c for c in needed if c not in table.columns]
        if missing:
            raise DataError(f"{paths[name]}: lacks the column {', '.join(missing)}. Make the result again.")
    return StudyResult(tables, manifest)


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of a result, by its folder or its own path. Raises DataError if there is none, or it is none of a result."""
    path = folder if folder.is_file() else folder / "manifest.json"
    if not folder.exists():
        tidy(folder)  # a run that was killed while it put its result in place
    if not path.is_file():
        raise DataError(f"{folder}: has no manifest.json, so it holds no result. Run the study first.")
    manifest: dict[str, Any] = read_json(path, DataError)
    checked(ResultManifest, manifest, str(path), DataError, "It is not the manifest of a result. Run the study again.")
    return manifest


def _read_table(path: Path, name: str, manifest: Mapping[str, Any]) -> pl.DataFrame:
    """A table with the kinds of its schema; the coefficients of ``fits`` are numbers, other further columns text."""
    try:
        held = scan_parquet(path).collect() if path.suffix == ".parquet" else _read_csv(path, name)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise DataError(
            f"{path}: cannot be read as a table: {str(error).splitlines()[0]}. Run the study again."
        ) from None
    coefficients = manifest.get("coefficients", []) if name == "fits" else []
    kinds = SCHEMAS[name] | dict.fromkeys(coefficients, NUMBER)
    table = held.with_columns(_as_kind(column, kinds.get(column.name, TEXT), path) for column in held.iter_columns())
    for key in (k for k in KEYS[name] if kinds.get(k) == WHOLE and k in table.columns):
        if table[key].null_count():
            row = int(table[key].is_null().arg_max() or 0)
            raise DataError(f"{path}: row {row + 2}, column {key}: is empty. Run the study again.")
    return table


def _read_csv(path: Path, name: str) -> pl.DataFrame:
    return read_text_table(path, f"The table {name} has the columns {', '.join(SCHEMAS[name])}.").drop(ROW)


def _as_kind(column: pl.Series, kind: Any, path: Path) -> pl.Series:
    """A column as its schema has it. Raises DataError for one that holds anything else."""
    text = isinstance(column.dtype, pl.String | pl.Categorical | pl.Enum)
    if text or column.dtype == pl.Null:
        column = column.cast(pl.String)
        made = column.str.to_date("%Y-%m-%d", strict=False) if kind == DAY else column.cast(kind, strict=False)
        wrong = made.is_null() & column.is_not_null()
    elif column.dtype == kind or (column.dtype.is_integer() and kind in (WHOLE, NUMBER)):
        made = column.cast(kind, strict=False)
        wrong = made.is_null() & column.is_not_null()
    else:
        made, wrong = column, pl.Series([True])
    if kind == NUMBER and not wrong.any():
        wrong = ~made.is_finite().fill_null(True)
    if wrong.any():
        row = int(wrong.arg_max() or 0)
        read = f"{str(column[row])!r}" if text else str(column.dtype)
        raise DataError(
            f"{path}: row {row + 2}, column {column.name}: {read} stands where a run writes {WORDS[kind]}. Run the study again."
        )
    return made


def to_csv(frame: pl.DataFrame, header: bool = True) -> str:
    """A table as CSV: UTF-8, LF, empty for null, floats with 15 significant digits."""
    if len(frame) > FEW_ROWS and not _returns_within(frame):
        return _many_rows(frame, header)
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator="\n")
    if header:
        writer.writerow(frame.columns)
    columns: list[Sequence[Any]] = []
    for column in frame.iter_columns():
        values = column.to_list()
        if column.dtype == pl.Float64:
            columns.append(["" if v is None else f"{v:.{DIGITS}g}" for v in values])
        else:
            columns.append(["" if v is None else str(v) for v in values])
    writer.writerows(zip(*columns, strict=True))
    return out.getvalue()


def _many_rows(frame: pl.DataFrame, header: bool) -> str:
    """The same text by the table's own writer; the floats that it writes otherwise are put in as text."""
    columns = [_as_text(c) if c.dtype == pl.Float64 else c for c in frame.iter_columns()]
    return pl.DataFrame(columns).write_csv(include_header=header, quote_style="necessary")


def _returns_within(frame: pl.DataFrame) -> bool:
    """Whether a cell holds a carriage return, which one writer quotes and the other does not."""
    texts = (c for c in frame.iter_columns() if c.dtype == pl.String)
    return any(c.str.contains("\r", literal=True).any() for c in texts)


def _as_text(column: pl.Series) -> pl.Series:
    """Floats with 15 significant digits: those without an exponent or a point are the same as the library's."""
    size = column.abs()
    text = column.cast(pl.String)
    otherwise = ((size < 1e-4) | (size >= 1e15) | (column == column.round())).fill_null(False)
    places = otherwise.arg_true()
    if len(places):
        text = text.scatter(places, [f"{v:.{DIGITS}g}" for v in column.gather(places).to_list()])
    return text


def to_json(manifest: Mapping[str, Any]) -> str:
    """The manifest as sorted, indented JSON with a final newline; what a reader does not see is escaped."""
    return visible_json(json.dumps(manifest, indent=2, sort_keys=True, ensure_ascii=False)) + "\n"
