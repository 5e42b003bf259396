"""Golden results: our last number, blessed on purpose, and what differs from it now.

Cells are compared as numbers (relative 1e-9, 1e-5 for models that are fitted by a search; absolute 1e-12); versions are
shown, not compared. Results of prices that may not be passed on are kept without the columns from which a price level
could be rebuilt; those columns are compared by the hash of their values at 9 significant digits. What the result was
computed from is kept as hashes in ``inputs.json`` (`engine.fingerprints`), why it was blessed in ``CHANGELOG.md``.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

import polars as pl
from pydantic import Field

from engine.documents import Document, checked, read_json
from engine.errors import DataError
from engine.files import read_text
from engine.fingerprints import MONTH, changed_rows, changed_series
from engine.inputs import first_fingerprints
from engine.models import ITERATIVE
from engine.results import WRITTEN, StudyResult, read_result, replaced_folder, to_json, write_tables
from engine.schemas import KEYS

RELATIVE, SEARCHED, ABSOLUTE = 1e-9, 1e-5, 1e-12
WITHHELD = {
    "abnormal_returns": ("actual", "expected"), "portfolios": ("actual",), "trading": ("close", "volume"),
    "trades": ("entry_price", "exit_price", "listing_return", "hedge_return"),
}  # fmt: skip
CHANGELOG, INPUTS = "CHANGELOG.md", "inputs.json"
YEAR, MONTHS = r"^-?\d{1,6}$", rf"^[0-9a-f]{{{12 * MONTH}}}$"
LISTINGS = "symbols.csv"  # of a snapshot: no series
HEADER = "# Why the golden result was blessed\n\nThe newest entry comes first.\n\n"


@dataclass(frozen=True)
class Difference:
    """One changed cell; ``column`` is "row" for a row that only one side has, "column" for a missing column.

    event: event_id and symbol that the cell belongs to, "" for a cell of a group. size: how far a number moved, in root
    mean squares of its column in the golden table, so that cells of different units can be told apart; NaN for the rest.
    """

    study: str
    table: str
    row: str
    column: str
    old: str
    new: str
    event: str = ""
    size: float = math.nan

    def __str__(self) -> str:
        return f"{self.study}: {self.table}.csv, {self.row}, {self.column}: {self.old} -> {self.new}"


@dataclass(frozen=True)
class InputChange:
    """One changed input: ``kind`` is study.toml, calendar, prices or code, ``name`` the key, pair, symbol or file."""

    kind: str
    name: str
    what: str

    def __str__(self) -> str:
        return f"{self.kind} {self.name}: {self.what}"


@dataclass(frozen=True)
class Comparison:
    """What `compare` found: changed inputs by file, what changed in them, and changed cells in table order."""

    inputs: tuple[str, ...]
    changes: tuple[InputChange, ...]
    differences: tuple[Difference, ...]
    versions: tuple[str, ...]

    @property
    def first(self) -> Difference | None:
        """The first changed cell, in the order of the run: day 0, fits, abnormal returns, CARs, tests."""
        return self.differences[0] if self.differences else None

    @cached_property
    def worst(self) -> Difference | None:
        """The number that moved farthest; of events, where one of an event moved at all."""
        numbers = [d for d in self.differences if math.isfinite(d.size)]
        of_events = [d for d in numbers if d.event] or numbers
        return max(of_events, key=lambda d: d.size, default=None)

    @cached_property
    def events(self) -> tuple[str, ...]:
        """The pairs with a changed cell of their own, in order of appearance."""
        return tuple(dict.fromkeys(d.event for d in self.differences if d.event))

    def summary(self) -> str:
        """Whether inputs changed, and whether numbers moved, in one line."""
        inputs = f"inputs changed ({', '.join(self.inputs)})" if self.inputs else "inputs unchanged"
        if self.first is None:
            return f"{inputs}, numbers equal"
        pairs = f" of {len(self.events)} {'pair' if len(self.events) == 1 else 'pairs'}" if self.events else ""
        return f"{inputs}, numbers moved in {len(self.differences)} cells{pairs}, first in {self.first.row}"


def golden_form(result: StudyResult) -> StudyResult:
    """The result as it may be committed: without withheld columns where prices are not redistributable."""
    if result.manifest["snapshot"]["redistributable"]:
        return result
    tables, hashes = dict(result.tables), {}
    for name, columns in WITHHELD.items():
        if name in tables:
            hashes[name] = {c: _column_hash(tables[name][c]) for c in columns}
            tables[name] = tables[name].drop(columns)
    return StudyResult(tables, result.manifest | {"withheld": hashes})


def compare(result: StudyResult, folder: Path, inputs: Mapping[str, Any] | None = None) -> Comparison:
    """Compare a fresh result with the golden one in ``folder``. Raises DataError if there is none.

    inputs: the fingerprints of what the result was computed from; without, changed inputs are named by file alone.
    """
    if not (folder / "manifest.json").is_file():
        raise DataError(f"{folder}: there is no golden result. Make one with `eventstudy bless STUDY --reason ...`.")
    old = read_result(folder, whole=False)
    new = golden_form(result) if "withheld" in old.manifest else result
    found = list(_tables(new, old))
    for table, columns in new.manifest.get("withheld", {}).items():
        for column, digest in columns.items():
            was = old.manifest.get("withheld", {}).get(table, {}).get(column, "")
            if was != digest:
                study = new.manifest["study"]
                sides = (f"sha256 {was[:12]}", f"sha256 {digest[:12]}")
                found.append(Difference(study, table, "all rows", column, *sides))
    return Comparison(
        inputs=tuple(_inputs(new.manifest, old.manifest)),
        changes=tuple(_changes(new.manifest, old.manifest, inputs or {}, kept_inputs(folder, old.manifest))),
        differences=tuple(found),
        versions=tuple(
            f"{name} {old.manifest.get('versions', {}).get(name)} -> {number}"
            for name, number in new.manifest["versions"].items()
            if old.manifest.get("versions", {}).get(name) != number
        ),
    )


def bless(result: StudyResult, folder: Path, reason: str, inputs: Mapping[str, Any] | None = None) -> None:
    """Make ``result`` the golden one, with the reason and what it moves at the top of its changelog.

    What was fixed at the first golden result stays known. inputs: the fingerprints of what it was computed from. The entry
    has no date: the history of the files knows it. Of two programs that bless at once, the later compares again with what
    the other one blessed, and its entry stands above the other's.
    """
    with suppress(_Overtaken):
        return _blessed(result, folder, reason, inputs)
    return bless(result, folder, reason, inputs)


class _Overtaken(Exception):
    """Another program has blessed meanwhile."""


def _blessed(result: StudyResult, folder: Path, reason: str, inputs: Mapping[str, Any] | None) -> None:
    """`bless`. Raises _Overtaken."""
    log = folder / CHANGELOG
    earlier = _earlier(log)

    def check() -> None:
        if _earlier(log) != earlier:
            raise _Overtaken

    try:
        moved = _moved(compare(result, folder, inputs)) if (folder / "manifest.json").is_file() else ""
    except DataError:
        moved = "  The golden result before could not be read.\n"
    golden = golden_form(result)
    first = first_fingerprints(folder) or result.manifest["fingerprints"]
    golden = StudyResult(golden.tables, golden.manifest | {"first_fingerprints": first})
    with replaced_folder(folder, WRITTEN | {CHANGELOG, INPUTS}, last=check) as fresh:
        write_tables(golden, fresh)
        if inputs is not None:
            (fresh / INPUTS).write_text(to_json(inputs), encoding="utf-8")
        (fresh / CHANGELOG).write_text(f"{HEADER}- {' '.join(reason.split())}\n{moved}{earlier}", encoding="utf-8")


def _earlier(log: Path) -> str:
    """The entries of a changelog. Raises DataError for one that is no text: its reasons are not thrown away."""
    try:
        return read_text(log).removeprefix(HEADER) if log.is_file() else ""
    except UnicodeDecodeError:
        raise DataError(f"{log}: is not UTF-8 text. Save it as UTF-8, or remove it to begin another.") from None


def _moved(comparison: Comparison) -> str:
    """The lines of a changelog entry that say what the new numbers change."""
    first, worst = comparison.first, comparison.worst
    named = [("first", first), *([("worst", worst)] if worst is not None and worst != first else [])]
    lines = [f"Before: {comparison.summary()}."] if first is not None or comparison.inputs else ["No number moved."]
    lines += [f"The {what}: {str(d).partition(': ')[2]}." for what, d in named if d is not None]
    return "".join(f"  {line}\n" for line in lines)


class CalendarPrints(Document):
    columns: list[str]
    rows: list[Annotated[list[str], Field(min_length=3, max_length=3)]]


class SeriesPrints(Document):
    columns: dict[str, str]
    months: dict[Annotated[str, Field(pattern=YEAR)], Annotated[str, Field(pattern=MONTHS)]]


class FilePrints(Document):
    study: str
    calendar: dict[str, str]
    snapshot: dict[str, str]
    code: dict[str, str]


class Inputs(Document):
    """What `engine.fingerprints.fingerprints` makes, as it stands in ``inputs.json``."""

    calendar: CalendarPrints
    files: FilePrints
    prices: dict[str, SeriesPrints]


def kept_inputs(folder: Path, manifest: Mapping[str, Any]) -> Mapping[str, Any]:
    """The fingerprints beside a golden result; none where they are missing, damaged or of other files."""
    path = folder / INPUTS
    try:
        kept: Mapping[str, Any] = read_json(path, DataError)
        checked(Inputs, kept, str(path), DataError)
    except DataError:
        return {}
    return kept if kept["files"] == _files(manifest) else {}


def _files(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """The hashes of the files of a run, as `engine.inputs.Study.sha256` has them."""
    return {
        "study": manifest["study_sha256"],
        "calendar": manifest["calendar_sha256"],
        "snapshot": manifest["snapshot"].get("sha256", {}),
        "code": manifest.get("code_sha256", {}),
    }


def _tables(new: StudyResult, old: StudyResult) -> Iterator[Difference]:
    for name in {**new.tables, **old.tables}:
        if name not in old.tables or name not in new.tables:
            there = _there(name in old.tables, name in new.tables)
            yield Difference(new.manifest["study"], name, "whole table", "table", *there)
        else:
            yield from _rows(new, name, new.tables[name], old.tables[name])


def _rows(result: StudyResult, name: str, new: pl.DataFrame, old: pl.DataFrame) -> Iterator[Difference]:
    study = result.manifest["study"]
    for column in {**dict.fromkeys(old.columns), **dict.fromkeys(new.columns)}:
        if column not in new.columns or column not in old.columns:
            there = _there(column in old.columns, column in new.columns)
            yield Difference(study, name, "all rows", column, *there)
    key = KEYS[name]
    relative = SEARCHED if result.manifest["settings"]["model"]["name"] in ITERATIVE else RELATIVE
    shared = [c for c in new.columns if c in old.columns and c not in key]
    before = {row[: len(key)]: row[len(key) :] for row in old.select(*key, *shared).iter_rows()}
    after = {row[: len(key)]: row[len(key) :] for row in new.select(*key, *shared).iter_rows()}
    scales = [_scale(old[column]) for column in shared]
    for place in {**before, **after}:
        label, event = _label(key, place), _event(key, place)
        if place not in after or place not in before:
            there = _there(place in before, place in after)
            yield Difference(study, name, label, "row", *there, event)
            continue
        for column, scale, was, now in zip(shared, scales, before[place], after[place], strict=True):
            if not _same(was, now, relative):
                size = abs(now - was) / scale if scale and was is not None and now is not None else math.nan
                yield Difference(study, name, label, column, _cell(was), _cell(now), event, size)


def _there(old: bool, new: bool) -> tuple[str, str]:
    return ("there" if old else "missing", "there" if new else "missing")


def _scale(column: pl.Series) -> float:
    """The root mean square of a column of numbers, 0 for any other."""
    if column.dtype not in (pl.Float64, pl.Int64):
        return 0.0
    known = [float(v) for v in column if v is not None and math.isfinite(v)]
    return math.sqrt(math.fsum(v * v for v in known) / len(known)) if known else 0.0


def _event(key: Iterable[str], place: Iterable[Any]) -> str:
    named = dict(zip(key, place, strict=True))
    return " ".join(str(named[k]) for k in ("event_id", "symbol") if k in named) if "event_id" in named else ""


def _same(was: Any, now: Any, relative: float) -> bool:
    if isinstance(was, float) and isinstance(now, float):
        return math.isclose(was, now, rel_tol=relative, abs_tol=ABSOLUTE)
    return bool(was == now)


def _label(key: tuple[str, ...], place: tuple[Any, ...]) -> str:
    return " ".join(f"{name}={value}" for name, value in zip(key, place, strict=True))


def _cell(value: Any) -> str:
    return "empty" if value is None else f"{value:.15g}" if isinstance(value, float) else str(value)


def _inputs(new: Mapping[str, Any], old: Mapping[str, Any]) -> Iterator[str]:
    """The names of the files whose hash changed, of either side."""
    if new["study_sha256"] != old.get("study_sha256"):
        yield "study.toml"
    for kind, now, was in (
        ("calendar", new["calendar_sha256"], old.get("calendar_sha256", {})),
        ("code", new.get("code_sha256", {}), old.get("code_sha256", {})),
        ("prices", new["snapshot"]["sha256"], old.get("snapshot", {}).get("sha256", {})),
    ):
        for name in sorted({*now, *was}):
            if now.get(name) != was.get(name):
                yield f"{kind} {name}"


def _changes(
    new: Mapping[str, Any], old: Mapping[str, Any], now: Mapping[str, Any], was: Mapping[str, Any]
) -> Iterator[InputChange]:
    """What changed in the files whose hash did, as fine as the fingerprints of both sides say it."""
    if new["study_sha256"] != old.get("study_sha256"):
        settings = list(_settings("", old.get("settings", {}), new["settings"]))
        yield from settings or [InputChange("study.toml", "text", "changed, no setting differs")]
    files = [name.split(" ", 1) for name in _inputs(new, old) if name != "study.toml"]
    told = {
        "calendar": (changed_rows, "calendar", "no row of the study differs"),
        "prices": (changed_series, "prices", "no value that the study reads differs"),
    }
    for kind, (differing, part, nothing) in told.items():
        names = [name for k, name in files if k == kind]
        if names and part in now and part in was:
            found = [InputChange(kind, name, what) for name, what in differing(was[part], now[part])]
            yield from found or [InputChange(kind, name, f"changed, {nothing}") for name in names if name != LISTINGS]
            yield from (InputChange(kind, name, "changed") for name in names if name == LISTINGS)
        else:
            yield from (InputChange(kind, name, "changed") for name in names)
    yield from (InputChange("code", name, "changed") for kind, name in files if kind == "code")


def _settings(path: str, was: Any, now: Any) -> Iterator[InputChange]:
    """The keys of ``study.toml`` whose value differs."""
    if isinstance(was, dict) and isinstance(now, dict):
        for name in sorted({*was, *now}):
            yield from _settings(f"{path}.{name}".lstrip("."), was.get(name), now.get(name))
    elif was != now:
        yield InputChange("study.toml", path, f"{json.dumps(was)} -> {json.dumps(now)}")


def _column_hash(column: pl.Series) -> str:
    text = "\n".join("" if v is None else f"{v:.9g}" for v in column)
    return hashlib.sha256(text.encode()).hexdigest()
