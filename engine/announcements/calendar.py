"""Read the event calendar: one row per (event_id, symbol), every cell as text, checked by row and column.

A study's own file is checked row by row. A calendar folder is frozen: every row of it is checked, whichever rows the
study selects, and rows that may not be used stand in its ``unused.csv``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from engine.announcements.milestones import MILESTONES, check_milestones
from engine.announcements.reaction import parse_stamp
from engine.csvtext import ROW, read_text_table
from engine.errors import DataError, SpecError, hint
from engine.sessions import FARTHEST

REQUIRED = ("event_id", "symbol", "announced_at")
OPTIONAL = (
    "zone", "precision", "first_public_at", "exchange", "benchmark", "estimation_start", "estimation_end",
    "max_gap_days", *MILESTONES,
)  # fmt: skip
INTEGERS = ("estimation_start", "estimation_end", "max_gap_days")
PRECISIONS = ("", "minute", "hour", "bound", "date", "pre_open", "session", "after_close")
LONGEST_SYMBOL = 100
EXPOSURE_KEYS = ("event_id", "symbol")
SELECT_EVENTS = {"kind": "kind", "set": "set", "ids": "event_id"}
SELECT_LISTINGS = {"symbols": "symbol", "claims": "claim", "roles": "role"}
CALENDAR_COLUMNS = ("event_id", "announced_at", "source")
UNUSED_COLUMNS = ("event_id", "reason")
CONFIDENCES = ("high", "medium")
SIGNS = ("", "+", "-")


@dataclass(frozen=True)
class Announcements:
    """The (event, listing) pairs of a study, sorted by event_id and symbol.

    table: columns of REQUIRED and OPTIONAL as text ("" for nothing), the INTEGERS as Int64 (null for nothing), and
    ``where`` (file and row, for messages). attributes: every further column as text, null for an empty cell.
    elsewhere: the other events that the calendar has for the firms of the study, a row for each of the firm's listings in
    the study, with the same columns as ``table``. files: the files read.
    """

    table: pl.DataFrame
    attributes: pl.DataFrame
    elsewhere: pl.DataFrame
    files: tuple[Path, ...]


def read_announcements(file: Path | None, calendar: Path | None, select: Mapping[str, list[str]]) -> Announcements:
    """Read ``file``, complete by itself, or ``events.csv`` and ``exposures.csv`` of the folder ``calendar``.

    Raises DataError for missing or duplicate rows, columns and keys, and for cells that are not allowed; SpecError if a
    selection finds nothing, or asks for an event of ``unused.csv``.
    """
    if calendar is None:
        assert file is not None
        table = _read(file, REQUIRED)
        other, files = table.clear(), [file]
    else:
        events, exposures = calendar / "events.csv", calendar / "exposures.csv"
        frozen = _read(events, CALENDAR_COLUMNS)
        unused = _unused(frozen, calendar / "unused.csv")
        _check_frozen(frozen)
        chosen = _selected(frozen, select, SELECT_EVENTS, events, unused)
        rows = _exposures(frozen["event_id"], events, exposures)
        table = _join(chosen, rows, select, events, exposures)
        other, files = _elsewhere(table, rows, frozen), [events, exposures]
    if table.is_empty():
        raise DataError(f"{file or calendar}: the calendar has no rows. A row needs {', '.join(REQUIRED)}.")
    _check_cells(table)
    table = table.sort("event_id", "symbol", maintain_order=True)
    further = [c for c in table.columns if c not in (*REQUIRED, *OPTIONAL, "where")]
    attributes = table.select(*EXPOSURE_KEYS, pl.col(further).replace("", None))
    return Announcements(_typed(table), attributes, _typed(other), tuple(files))


def _typed(table: pl.DataFrame) -> pl.DataFrame:
    """REQUIRED, OPTIONAL and ``where``, an absent column empty, whole numbers as such."""
    absent = [pl.lit("").alias(name) for name in OPTIONAL if name not in table.columns]
    return (
        table.with_columns(absent)
        .select(*REQUIRED, *OPTIONAL, "where")
        .with_columns(pl.col(INTEGERS).replace("", None).cast(pl.Int64, strict=False))
    )


def _read(path: Path, required: tuple[str, ...]) -> pl.DataFrame:
    """A CSV file as stripped text, with the column ``where`` naming file and row."""
    if not path.is_file():
        raise DataError(f"{path}: is not there. The study names it in [events].")
    table = read_text_table(path, f"A calendar needs the columns {', '.join(required)}.")
    for name in required:
        if name not in table.columns:
            raise DataError(f'{path}: has no column "{name}". {hint(name, table.columns)}')
    if "where" in table.columns:
        raise DataError(f'{path}: row 1: the column "where" has a name that is kept for messages. Rename it.')
    return table.with_columns(pl.col(pl.String).fill_null("").str.strip_chars()).select(
        pl.exclude(ROW), pl.format("{}: row {}", pl.lit(str(path)), ROW).alias("where")
    )


def _unused(events: pl.DataFrame, path: Path) -> dict[str, str]:
    """The events of ``unused.csv``, where there is one, each with what is said when a study asks for it."""
    if not path.is_file():
        return {}
    unused = _read(path, UNUSED_COLUMNS)
    for name in UNUSED_COLUMNS:
        _no_empty(unused, name, UNUSED_COLUMNS)
    both = unused.filter(pl.col("event_id").is_in(events["event_id"].to_list()))
    if len(both):
        raise DataError(
            f'{both["where"][0]}, column event_id: "{both["event_id"][0]}" stands in events.csv too. An event is used or '
            "unused: keep one row."
        )
    return {i: f"{where}: {reason}" for i, where, reason in unused.select("event_id", "where", "reason").rows()}


def _check_frozen(events: pl.DataFrame) -> None:
    """Every row of a calendar folder's ``events.csv``, selected or not."""
    for name in CALENDAR_COLUMNS:
        _no_empty(events, name, CALENDAR_COLUMNS)
    duplicate = events.filter(pl.col("event_id").is_duplicated())
    if len(duplicate):
        raise DataError(
            f'{duplicate["where"][-1]}: event_id "{duplicate["event_id"][-1]}" stands there more than once.'
        )
    _only(events, "confidence", CONFIDENCES, "Raise it with a source, or move the row to unused.csv.")
    _check_precision(events)
    for row in events.iter_rows(named=True):
        for column in ("announced_at", "first_public_at"):
            if row.get(column):
                parse_stamp(row[column], row.get("zone", ""), "", f"{row['where']}, column {column}")
    check_milestones(events)


def _selected(
    rows: pl.DataFrame,
    select: Mapping[str, list[str]],
    columns: Mapping[str, str],
    path: Path,
    unused: Mapping[str, str],
) -> pl.DataFrame:
    """The rows that have one of the values asked for in each of ``columns`` (name in ``select`` -> column)."""
    chosen = rows
    for key, values in select.items():
        if (column := columns.get(key)) is None:
            continue
        if column not in rows.columns:
            raise SpecError(f'{path}: [events] select {key} needs the column "{column}", which is not there.')
        for value in values:
            if key == "ids" and value in unused:
                raise SpecError(f'[events] select ids = "{value}" may not be used. {unused[value]}')
            if value not in rows[column]:
                raise SpecError(f'[events] select {key} = "{value}" is not in {path}. {hint(value, rows[column])}')
        chosen = chosen.filter(pl.col(column).is_in(values))
    return chosen


def _exposures(every: pl.Series, path: Path, exposures_path: Path) -> pl.DataFrame:
    """All rows of ``exposures.csv``, checked against the ids of ``events.csv``."""
    exposures = _read(exposures_path, EXPOSURE_KEYS)
    astray = exposures.filter(~pl.col("event_id").is_in(every.to_list()))
    if len(astray):
        raise DataError(
            f'{astray["where"][0]}, column event_id: "{astray["event_id"][0]}" is no event of {path}. '
            "Correct it, or remove the row."
        )
    _only(exposures, "expected_sign", SIGNS, "Leave the cell empty where no direction is expected.")
    return exposures


def _elsewhere(table: pl.DataFrame, exposures: pl.DataFrame, events: pl.DataFrame) -> pl.DataFrame:
    """Every event of the calendar that names a firm of ``table``, for each of its listings there, but for its own rows."""
    firm = pl.col("symbol")
    if "firm" in exposures.columns:
        firm = pl.when(pl.col("firm") != "").then("firm").otherwise("symbol")
    listed = table.select("symbol", firm.alias("#firm")).unique(maintain_order=True)
    named = exposures.select("event_id", firm.alias("#firm")).unique(maintain_order=True)
    pairs = named.join(listed, on="#firm", how="inner", maintain_order="left_right").drop("#firm")
    others = pairs.unique(maintain_order=True).join(table, on=EXPOSURE_KEYS, how="anti", maintain_order="left")
    return others.join(events, on="event_id", how="left", validate="m:1", maintain_order="left")


def _join(
    events: pl.DataFrame, exposures: pl.DataFrame, select: Mapping[str, list[str]], path: Path, exposures_path: Path
) -> pl.DataFrame:
    known = set(events["event_id"])
    bare = known - set(exposures["event_id"])
    if bare:
        raise DataError(
            f"{exposures_path}: no listing for event {', '.join(sorted(bare))} of {path}. Add a row for each."
        )
    chosen = _selected(exposures, select, SELECT_LISTINGS, exposures_path, {})
    chosen = chosen.filter(pl.col("event_id").is_in(known))
    empty = set(select.get("ids", ())) & (known - set(chosen["event_id"]))
    if empty or chosen.is_empty():
        named = ", ".join(sorted(empty)) or "any event"
        raise SpecError(f"[events] select leaves no listing of {named} in {exposures_path}. Select more, or fewer ids.")
    both = (set(events.columns) & set(chosen.columns)) - {"event_id", "where"}
    if both:
        raise DataError(
            f"{exposures_path}: column {', '.join(sorted(both))} stands in {path.name} too. Keep it in one."
        )
    return chosen.join(events.drop("where"), on="event_id", how="left", validate="m:1", maintain_order="left")


def _check_cells(table: pl.DataFrame) -> None:
    for name in REQUIRED:
        _no_empty(table, name, REQUIRED)
    duplicate = table.filter(pl.struct(EXPOSURE_KEYS).is_duplicated())
    if len(duplicate):
        last = duplicate.row(-1, named=True)
        raise DataError(
            f'{last["where"]}: event_id "{last["event_id"]}" with symbol "{last["symbol"]}" stands there more than once. '
            "Keep one row for each event and listing."
        )
    for column in ("symbol", "benchmark"):
        if column in table.columns:
            parts = table.filter(pl.col(column).str.contains(r"[/\\\x00]|^\.+$"))
            if len(parts):
                raise DataError(
                    f'{parts["where"][0]}, column {column}: "{parts[column][0]}" holds a part of a path. '
                    "A symbol is a plain name such as 0981.HK or ^HSI."
                )
            long = table.filter(pl.col(column).str.len_bytes() > LONGEST_SYMBOL)
            if len(long):
                raise DataError(
                    f"{long['where'][0]}, column {column}: has {len(long[column][0])} characters, more than "
                    f"{LONGEST_SYMBOL}. A symbol is a plain name such as 0981.HK or ^HSI."
                )
    _check_precision(table)
    check_milestones(table)
    for name in INTEGERS:
        if name in table.columns:
            days = pl.col(name).cast(pl.Int64, strict=False)
            lowest = 0 if name == "max_gap_days" else -FARTHEST
            odd = table.filter((pl.col(name) != "") & ~days.is_between(lowest, FARTHEST).fill_null(False))
            if len(odd):
                raise DataError(
                    f'{odd["where"][0]}, column {name}: "{odd[name][0]}" is not a whole number of days '
                    f"between {lowest} and {FARTHEST}."
                )


def _no_empty(table: pl.DataFrame, name: str, needed: tuple[str, ...]) -> None:
    empty = table.filter(pl.col(name) == "")
    if len(empty):
        raise DataError(f"{empty['where'][0]}, column {name}: is empty. Every row needs {', '.join(needed)}.")


def _only(table: pl.DataFrame, name: str, allowed: tuple[str, ...], advice: str) -> None:
    """Every cell of the column, where there is one, is one of ``allowed``."""
    if name in table.columns:
        odd = table.filter(~pl.col(name).is_in(allowed))
        if len(odd):
            words = ", ".join(a or "empty" for a in allowed)
            raise DataError(
                f'{odd["where"][0]}, column {name}: "{odd[name][0]}" is not allowed. Allowed: {words}. {advice}'
            )


def _check_precision(table: pl.DataFrame) -> None:
    if "precision" in table.columns:
        odd = table.filter(~pl.col("precision").is_in(PRECISIONS))
        if len(odd):
            raise DataError(
                f'{odd["where"][0]}, column precision: "{odd["precision"][0]}" is not known. '
                f"{hint(odd['precision'][0], PRECISIONS[1:])}"
            )
