"""Golden results: our last number, blessed on purpose, and what differs from it now.

Cells are compared as numbers (relative 1e-9, 1e-5 for models that are fitted by a search; absolute 1e-12); versions are
shown, not compared. Results of prices that may not be passed on are kept without the columns from which a price level
could be rebuilt; those columns are compared by the hash of their values at 9 significant digits.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from engine.errors import DataError
from engine.inputs import first_fingerprints
from engine.models import ITERATIVE
from engine.results import WRITTEN, StudyResult, read_result, replaced_folder, write_tables
from engine.schemas import KEYS

RELATIVE, SEARCHED, ABSOLUTE = 1e-9, 1e-5, 1e-12
WITHHELD = {"abnormal_returns": ("actual", "expected"), "portfolios": ("actual",)}
CHANGELOG = "CHANGELOG.md"


@dataclass(frozen=True)
class Difference:
    """One changed cell; ``column`` is "row" for a row that only one side has, "column" for a missing column."""

    study: str
    table: str
    row: str
    column: str
    old: str
    new: str

    def __str__(self) -> str:
        return f"{self.study}: {self.table}.csv, {self.row}, {self.column}: {self.old} -> {self.new}"


@dataclass(frozen=True)
class Comparison:
    """What `compare` found: changed inputs by name, and changed cells in table order."""

    inputs: tuple[str, ...]
    differences: tuple[Difference, ...]
    versions: tuple[str, ...]

    def summary(self) -> str:
        """Whether inputs changed, and whether numbers moved, in one line."""
        inputs = f"inputs changed ({', '.join(self.inputs)})" if self.inputs else "inputs unchanged"
        if not self.differences:
            return f"{inputs}, numbers equal"
        return f"{inputs}, numbers moved in {len(self.differences)} cells, first in {self.differences[0].row}"


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


def compare(result: StudyResult, folder: Path) -> Comparison:
    """Compare a fresh result with the golden one in ``folder``. Raises DataError if there is none."""
    if not (folder / "manifest.json").is_file():
        raise DataError(f"{folder}: there is no golden result. Make one with `eventstudy bless STUDY --reason ...`.")
    new, old = golden_form(result), read_result(folder, whole=False)
    found = list(_tables(new, old))
    for table, columns in new.manifest.get("withheld", {}).items():
        for column, digest in columns.items():
            was = old.manifest.get("withheld", {}).get(table, {}).get(column, "")
            if was != digest:
                found.append(_difference(new, table, "all rows", column, f"sha256 {was[:12]}", f"sha256 {digest[:12]}"))
    return Comparison(
        inputs=tuple(_inputs(new.manifest, old.manifest)),
        differences=tuple(found),
        versions=tuple(
            f"{name} {old.manifest.get('versions', {}).get(name)} -> {number}"
            for name, number in new.manifest["versions"].items()
            if old.manifest.get("versions", {}).get(name) != number
        ),
    )


def bless(result: StudyResult, folder: Path, reason: str) -> None:
    """Make ``result`` the golden one, with the reason at the end of its changelog; what the first one fixed stays known."""
    log = folder / CHANGELOG
    entries = log.read_text(encoding="utf-8") if log.is_file() else "# Why the golden result was blessed\n\n"
    golden = golden_form(result)
    first = first_fingerprints(folder / "manifest.json") or result.manifest["fingerprints"]
    golden = StudyResult(golden.tables, golden.manifest | {"first_fingerprints": first})
    with replaced_folder(folder, WRITTEN | {CHANGELOG}) as fresh:
        write_tables(golden, fresh)
        (fresh / CHANGELOG).write_text(entries + f"- {' '.join(reason.split())}\n", encoding="utf-8")


def _tables(new: StudyResult, old: StudyResult) -> Iterator[Difference]:
    for name in {**new.tables, **old.tables}:
        if name not in old.tables or name not in new.tables:
            there = [str(name in side.tables) for side in (old, new)]
            yield _difference(
                new, name, "whole table", "table", *("there" if t == "True" else "missing" for t in there)
            )
        else:
            yield from _rows(new, name, new.tables[name], old.tables[name])


def _rows(result: StudyResult, name: str, new: pl.DataFrame, old: pl.DataFrame) -> Iterator[Difference]:
    for column in {**dict.fromkeys(old.columns), **dict.fromkeys(new.columns)}:
        if column not in new.columns or column not in old.columns:
            sides = ("there" if column in side.columns else "missing" for side in (old, new))
            yield _difference(result, name, "all rows", column, *sides)
    key = KEYS[name]
    relative = SEARCHED if result.manifest["settings"]["model"]["name"] in ITERATIVE else RELATIVE
    shared = [c for c in new.columns if c in old.columns and c not in key]
    before = {row[: len(key)]: row[len(key) :] for row in old.select(*key, *shared).iter_rows()}
    after = {row[: len(key)]: row[len(key) :] for row in new.select(*key, *shared).iter_rows()}
    for place in {**before, **after}:
        label = _label(key, place)
        if place not in after or place not in before:
            sides = ("there" if place in side else "missing" for side in (before, after))
            yield _difference(result, name, label, "row", *sides)
            continue
        for column, was, now in zip(shared, before[place], after[place], strict=True):
            if not _same(was, now, relative):
                yield _difference(result, name, label, column, _cell(was), _cell(now))


def _same(was: Any, now: Any, relative: float) -> bool:
    if isinstance(was, float) and isinstance(now, float):
        return math.isclose(was, now, rel_tol=relative, abs_tol=ABSOLUTE)
    return bool(was == now)


def _label(key: tuple[str, ...], place: tuple[Any, ...]) -> str:
    return " ".join(f"{name}={value}" for name, value in zip(key, place, strict=True))


def _cell(value: Any) -> str:
    return "empty" if value is None else f"{value:.15g}" if isinstance(value, float) else str(value)


def _difference(result: StudyResult, table: str, row: str, column: str, old: str, new: str) -> Difference:
    return Difference(result.manifest["study"], table, row, column, old, new)


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


def _column_hash(column: pl.Series) -> str:
    text = "\n".join("" if v is None else f"{v:.9g}" for v in column)
    return hashlib.sha256(text.encode()).hexdigest()
