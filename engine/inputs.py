"""A study with everything it reads, in memory: ``study.toml``, the calendar and the prices; nothing after it opens a file."""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from engine.announcements import Announcements, exchange_of, read_announcements
from engine.announcements.reaction import unresolved_exchange
from engine.errors import DataError, MissingData, SpecError, hint
from engine.market import PriceSeries, Snapshot, find_snapshot, read_series
from engine.models import MODELS, WITHOUT_BENCHMARK
from engine.sessions import known_exchange
from engine.significance import EVENT_TESTS, RESAMPLING_TESTS, SIGNIFICANCE_TESTS
from engine.spec import Known, StudySpec, read_spec
from engine.tables import SCHEMAS

DAYS_A_SESSION, SLACK_DAYS = 1.6, 30  # calendar days to a session, holidays included; and some more
OWN_GROUPS = ("event_id", "symbol", "exchange", "benchmark", "precision")


@dataclass(frozen=True)
class Study:
    """A study with everything it reads, in memory.

    exchanges, benchmarks: one a row of ``announcements.table``; exchange None where none is known or needed, benchmark
    "" for a model that needs none. series: by symbol; listings without one are lost with a row.
    """

    name: str
    spec: StudySpec
    announcements: Announcements
    exchanges: tuple[str | None, ...]
    benchmarks: tuple[str, ...]
    series: Mapping[str, PriceSeries]
    snapshot: Snapshot
    sha256: dict[str, Any]

    @property
    def files(self) -> tuple[Path, ...]:
        """The calendar files."""
        return self.announcements.files


@dataclass(frozen=True)
class Needs:
    """What a study asks of its prices, before there are any.

    snapshot: the name in the study. exchanges: listing -> its exchange, None where none is known. first: the first day,
    long enough before the earliest event for its estimation window.
    """

    name: str
    snapshot: str
    exchanges: dict[str, str | None]
    benchmarks: frozenset[str]
    first: date


def known_names(charts: frozenset[str]) -> Known:
    """The models, tests and charts of this installation."""
    tests = frozenset(SIGNIFICANCE_TESTS) | frozenset(EVENT_TESTS)
    return Known(frozenset(MODELS), tests, RESAMPLING_TESTS, charts)


def default_data_path(folder: Path) -> tuple[Path, ...]:
    """Where snapshots are looked up: EVENTSTUDY_DATA, fixtures/prices above the study or here, the user's data folder."""
    entries = [Path(p) for p in os.environ.get("EVENTSTUDY_DATA", "").split(os.pathsep) if p.strip()]
    for base in (Path.cwd(), *folder.resolve().parents):
        if (base / "fixtures" / "prices").is_dir():
            entries.append(base / "fixtures" / "prices")
            break
    home = Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share")
    return (*entries, home / "event-study-engine" / "snapshots")


def load_study(
    folder: str | Path,
    data_path: Sequence[Path] | None = None,
    prices: Path | None = None,
    charts: frozenset[str] = frozenset({"caar_path", "car_forest", "event_timeline"}),
) -> Study:
    """Read a study folder, its calendar and the prices it names.

    data_path: where snapshots are looked up (`default_data_path` if None). prices: a folder or parquet file to use in
    place of the study's snapshot. Raises SpecError for the study, DataError for calendar and prices.
    """
    folder = Path(folder)
    toml = folder / "study.toml"
    spec, announcements = _read_design(folder, charts)
    if prices is not None:
        snapshot = find_snapshot(str(prices.resolve()), folder, ())
    else:
        path = default_data_path(folder) if data_path is None else tuple(data_path)
        snapshot = find_snapshot(spec.prices.snapshot, folder, path)
    exchanges, benchmarks = _listing_choices(spec, announcements.table, snapshot.listings)
    series = _read_prices(spec, announcements.table, benchmarks, snapshot)
    files = {p.name: p for p in (*(snapshot.file_of(s) for s in series), *snapshot.about)}
    return Study(
        name=folder.resolve().name,
        spec=spec,
        announcements=announcements,
        exchanges=exchanges,
        benchmarks=benchmarks,
        series=series,
        snapshot=snapshot,
        sha256={
            "study": hashlib.sha256(toml.read_bytes()).hexdigest(),
            "calendar": {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in announcements.files},
            "snapshot": {name: snapshot.sha256(path) for name, path in sorted(files.items())},
        },
    )


def study_needs(folder: Path, charts: frozenset[str]) -> Needs:
    """What a study asks of its prices. Raises what `load_study` raises for study and calendar."""
    spec, announcements = _read_design(folder, charts)
    table = announcements.table
    try:
        listings = find_snapshot(spec.prices.snapshot, folder, default_data_path(folder)).listings
    except MissingData:
        listings = {}
    exchanges, benchmarks = _listing_choices(spec, table, listings)
    _check_names(set(benchmarks))
    before = min([spec.estimation_window.start, *table["estimation_start"].drop_nulls()])
    stamps = table.select(pl.concat_list(pl.col("announced_at", "first_public_at").str.slice(0, 10)).explode())
    days = stamps.to_series().str.to_date("%Y-%m-%d", strict=False).drop_nulls()
    if days.is_empty():
        raise DataError(f"{announcements.files[0]}: no row has a date that exists, so there is nothing to fetch.")
    earliest: date = days.min()  # type: ignore[assignment]
    return Needs(
        name=folder.resolve().name,
        snapshot=spec.prices.snapshot,
        exchanges=dict(zip(table["symbol"], exchanges, strict=True)),
        benchmarks=frozenset(benchmarks) - {""},
        first=earliest - timedelta(days=math.ceil(max(-before, 0) * DAYS_A_SESSION) + SLACK_DAYS),
    )


def _read_design(folder: Path, charts: frozenset[str]) -> tuple[StudySpec, Announcements]:
    """``study.toml`` and the calendar, checked against each other."""
    spec = read_spec(folder / "study.toml", known_names(charts))
    announcements = read_announcements(
        folder / spec.events.file if spec.events.file is not None else None,
        folder / spec.events.calendar if spec.events.calendar is not None else None,
        spec.events.select,
    )
    _check_columns(spec, announcements, str(folder / "study.toml"))
    return spec, announcements


def _check_columns(spec: StudySpec, announcements: Announcements, where: str) -> None:
    """Group columns must exist and hold something, and attributes may not carry the name of a result column."""
    attributes = announcements.attributes
    available = [*OWN_GROUPS, *attributes.columns[2:]]
    for name in spec.significance.group_by:
        if name not in available:
            problem = f'"{name}" is no column of the calendar. {hint(name, available)}'
            raise SpecError(f"{where}: [significance] group_by: {problem}")
        if name in attributes.columns and attributes[name].null_count() == len(attributes):
            raise SpecError(
                f'{where}: [significance] group_by: the column "{name}" is empty in every row. Fill or drop it.'
            )
    clash = set(attributes.columns[2:]) & set(SCHEMAS["cars"])
    if clash:
        named = ", ".join(sorted(clash))
        raise DataError(f"{announcements.files[0]}: row 1: column {named} has the name of a result column. Rename it.")


def group_columns(study: Study) -> dict[str, list[str | None]]:
    """The columns that may form groups, one value a row of the calendar, None for an empty cell."""
    table = study.announcements.table
    attributes = study.announcements.attributes.drop("event_id", "symbol").to_dict(as_series=False)
    return {
        "event_id": table["event_id"].to_list(),
        "symbol": table["symbol"].to_list(),
        "exchange": list(study.exchanges),
        "benchmark": [b or None for b in study.benchmarks],
        "precision": table["precision"].replace("", None).to_list(),
    } | attributes


def _listing_choices(
    spec: StudySpec, table: pl.DataFrame, listings: Mapping[str, Mapping[str, str]]
) -> tuple[tuple[str | None, ...], tuple[str, ...]]:
    """Exchange and benchmark of every row. Raises SpecError where one is needed and cannot be told."""
    exchanges: list[str | None] = []
    benchmarks: list[str] = []
    stated = spec.benchmark.by_exchange
    by_exchange = {known_exchange(k, "[benchmark] by_exchange"): v for k, v in stated.items()} | stated
    for row in table.iter_rows(named=True):
        exchange = exchange_of(row["symbol"], row["exchange"], listings)
        stamp = (row["first_public_at"] if spec.events.stamp == "first_public_at" else "") or row["announced_at"]
        calendar = known_exchange(exchange, row["where"]) if exchange is not None else ""
        if exchange is None and (len(stamp) > len("2020-12-18") or spec.sessions.calendar == "exchange"):
            raise unresolved_exchange(row["symbol"], row["where"])
        benchmark = (
            row["benchmark"]
            or by_exchange.get(exchange or "")
            or by_exchange.get(calendar)
            or spec.benchmark.default
            or ""
        )
        needed = spec.model.name not in WITHOUT_BENCHMARK or spec.sessions.calendar == "benchmark"
        if needed and not benchmark:
            raise SpecError(
                f"{row['where']}: no benchmark for {row['symbol']} on {exchange}. Give [benchmark] default, "
                f'by_exchange = {{{exchange} = "..."}}, or a column benchmark in the calendar.'
            )
        exchanges.append(exchange)
        benchmarks.append(benchmark if needed else "")
    return tuple(exchanges), tuple(benchmarks)


def _check_names(benchmarks: set[str]) -> None:
    for symbol in sorted(benchmarks - {""}):
        if "/" in symbol or "\\" in symbol or symbol.strip(".") == "":
            raise SpecError(f'[benchmark] "{symbol}" holds a part of a path. A symbol is a plain name such as ^HSI.')


def _read_prices(
    spec: StudySpec, table: pl.DataFrame, benchmarks: Sequence[str], snapshot: Snapshot
) -> dict[str, PriceSeries]:
    listings, indices = set(table["symbol"]), set(benchmarks) - {""}
    _check_names(indices)
    series, missing = read_series(snapshot, listings | indices)
    lost_indices = [s for s in missing if s in indices]
    lost = [s for s in missing if s not in indices]
    if lost_indices or (lost and not spec.limits.allow_missing_symbols):
        what = [f"benchmark {', '.join(lost_indices)}"] if lost_indices else []
        what += [f"listing {', '.join(lost)}"] if lost else []
        raise DataError(
            f"snapshot {snapshot.name} ({snapshot.root}) has no prices for {' and '.join(what)}. Add a file "
            f"<symbol>.csv for each, or set [limits] allow_missing_symbols = true to go on without listings."
        )
    for symbol in sorted(indices):
        if not np.isfinite(series[symbol].values).any():
            raise DataError(
                f"{snapshot.file_of(symbol)}: benchmark {symbol} has no value in any row. Fill it, or give another."
            )
    return series
