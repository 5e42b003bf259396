"""`StudyResult`: tables and manifest of one run, and their one canonical form on disk."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from engine.errors import DataError, SpecError
from engine.tables import DAY, DIGITS, NUMBER, SCHEMAS, TEXT


@dataclass(frozen=True)
class StudyResult:
    """One run: ``tables`` by name (`SCHEMAS`, sorted by key) and the ``manifest`` (inputs, settings, versions)."""

    tables: dict[str, pl.DataFrame]
    manifest: dict[str, Any]

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
        for name, frame in result.tables.items():
            (fresh / f"{name}.csv").write_text(to_csv(frame), encoding="utf-8", newline="")
        (fresh / "manifest.json").write_text(to_json(result.manifest), encoding="utf-8", newline="")
        also(fresh)


@contextmanager
def replaced_folder(folder: Path) -> Iterator[Path]:
    """A temporary folder beside ``folder`` that takes its place when the block ends well, and vanishes otherwise.

    Raises SpecError for a folder that holds something else than a result, DataError where nothing can be written.
    """
    if folder.exists() and not _is_result(folder):
        raise SpecError(
            f"{folder}: holds files but no manifest.json of a result, and is left alone. "
            "Give another folder, or empty this one."
        )
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        fresh = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    except OSError as error:
        raise DataError(f"{folder}: cannot be written ({error.strerror}). Give another folder with --out.") from None
    try:
        fresh.chmod(0o755)
        yield fresh
        _swap(fresh, folder)
    except OSError as error:
        raise DataError(f"{folder}: cannot be written ({error.strerror}). Nothing was changed.") from None
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def write_file(path: Path, data: bytes) -> None:
    """Write one file whole: beside its place first, then renamed. Raises DataError where nothing can be written."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, beside = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        os.chmod(beside, 0o644)
        os.replace(beside, path)
    except OSError as error:
        raise DataError(f"{path}: cannot be written ({error.strerror}).") from None


def _swap(fresh: Path, folder: Path) -> None:
    if not folder.exists():
        os.rename(fresh, folder)
        return
    aside = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    os.rename(folder, aside / "old")
    try:
        os.rename(fresh, folder)
    except OSError:
        os.rename(aside / "old", folder)
        raise
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _is_result(folder: Path) -> bool:
    return folder.is_dir() and ((folder / "manifest.json").is_file() or not any(folder.iterdir()))


def read_result(folder: Path, whole: bool = True) -> StudyResult:
    """Read a result back. Raises DataError for one that is missing or damaged.

    whole: every table must be there; golden results may lack columns and tables.
    """
    manifest_path = folder / "manifest.json"
    try:
        manifest = json.loads(manifest_path.read_text(encoding="utf-8"))
    except OSError:
        raise DataError(f"{folder}: has no manifest.json, so it holds no result. Run the study first.") from None
    except ValueError as error:
        raise DataError(f"{manifest_path}: is not valid JSON: {error}") from None
    names = [n for n in SCHEMAS if (folder / f"{n}.csv").is_file()]
    if whole and set(names) | {"abnormal_returns"} != set(SCHEMAS):
        raise DataError(f"{folder}: lacks {', '.join(sorted(set(SCHEMAS) - set(names)))}. Run the study again.")
    return StudyResult({name: _read_table(folder / f"{name}.csv", name, manifest) for name in names}, manifest)


def _read_table(path: Path, name: str, manifest: Mapping[str, Any]) -> pl.DataFrame:
    try:
        text = pl.read_csv(path, infer_schema=False)
        coefficients = manifest.get("coefficients", []) if name == "fits" else []
        kinds = SCHEMAS[name] | dict.fromkeys(coefficients, NUMBER)
        return text.select(
            pl.col(c).str.to_date("%Y-%m-%d") if kinds.get(c) == DAY else pl.col(c).cast(kinds.get(c, TEXT))
            for c in text.columns
        )
    except pl.exceptions.PolarsError as error:
        raise DataError(f"{path}: cannot be read: {str(error).splitlines()[0]}") from None


def to_csv(frame: pl.DataFrame) -> str:
    """A table as CSV: UTF-8, LF, empty for null, floats with 15 significant digits."""
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator="\n")
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


def to_json(manifest: Mapping[str, Any]) -> str:
    """The manifest as sorted, indented JSON with a final newline."""
    return json.dumps(manifest, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
