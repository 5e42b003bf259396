"""What a study asks of its prices before there are any: the symbols to fetch, and since when."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import polars as pl

from engine.benchmarks import grid_benchmarks, listing_choices
from engine.errors import DataError, MissingData
from engine.inputs import default_data_path, read_design
from engine.market import find_snapshot
from engine.sessions import FIRST_DAY
from engine.spec import StudySpec
from engine.supply import CURRENCIES, check_names, controls_of, indices_of

DAYS_A_SESSION, SLACK_DAYS = 1.6, 30  # calendar days to a session, holidays included; and some more


@dataclass(frozen=True)
class Needs:
    """What a study asks of its prices.

    snapshot: the name in the study. exchanges: listing -> its exchange, None where none is known. benchmarks: indices,
    members of baskets, controls, factors and currencies, without which nothing goes. first: the first day, long enough before the
    earliest event for its estimation window; the first of all where resampling draws pseudo-dates from the whole history.
    """

    name: str
    snapshot: str
    exchanges: dict[str, str | None]
    benchmarks: frozenset[str]
    first: date


def study_needs(folder: Path, charts: frozenset[str]) -> Needs:
    """Read a study's design. Raises what `load_study` raises for study and calendar."""
    spec, announcements = read_design(folder, charts)
    table = announcements.table
    try:
        listings = find_snapshot(spec.prices.snapshot, folder, default_data_path(folder)).listings
    except MissingData:
        listings = {}
    exchanges, benchmarks = listing_choices(spec, table, listings)
    indices, members = indices_of(spec, [*benchmarks, *grid_benchmarks(spec, table, listings)])
    controls = controls_of(spec)
    check_names(indices | members)
    check_names(controls, "[resampling] controls:")
    before = min([spec.estimation_window.start, *table["estimation_start"].drop_nulls()])
    stamps = table.select(pl.concat_list(pl.col("announced_at", "first_public_at").str.slice(0, 10)).explode())
    days = stamps.to_series().str.to_date("%Y-%m-%d", strict=False).drop_nulls()
    if days.is_empty():
        raise DataError(f"{announcements.files[0]}: no row has a date that exists, so there is nothing to fetch.")
    earliest: date = days.min()  # type: ignore[assignment]
    first = earliest - timedelta(days=math.ceil(max(-before, 0) * DAYS_A_SESSION) + SLACK_DAYS)
    return Needs(
        name=folder.resolve().name,
        snapshot=spec.prices.snapshot,
        exchanges=dict(zip(table["symbol"], exchanges, strict=True)),
        benchmarks=frozenset(
            indices
            | members
            | controls
            | _factors(spec, {e for e in exchanges if e})
            | _currencies(spec, {e for e in exchanges if e})
        ),
        first=first if spec.resampling is None else date.fromisoformat(str(FIRST_DAY)),
    )


def _factors(spec: StudySpec, exchanges: set[str]) -> set[str]:
    """The factors that are series of the study's own snapshot, rates by the currencies of the exchanges."""
    factors = spec.factors
    if factors is None or factors.of_file is not None or factors.snapshot is not None:
        return set()
    if not factors.is_world:
        return set(factors.columns)
    return {factors.us, *(f"{CURRENCIES[e]}=X" for e in exchanges if CURRENCIES.get(e, "USD") != "USD")}


def _currencies(spec: StudySpec, exchanges: set[str]) -> set[str]:
    """The exchange rates that the base currency takes, by the currencies of the exchanges."""
    base = spec.prices.currency
    if base == "local":
        return set()
    return {f"{c}=X" for c in {base, *(CURRENCIES[e] for e in exchanges if e in CURRENCIES)} - {"USD"}}
