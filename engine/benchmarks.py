"""Exchange and benchmark of every row of a calendar, as a design and the snapshot say."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl

from engine.announcements import exchange_of
from engine.announcements.cases import distinct
from engine.announcements.reaction import unresolved_exchange
from engine.errors import SpecError
from engine.models import WITH_FACTORS, WITHOUT_BENCHMARK
from engine.sessions import known_exchange
from engine.spec import StudySpec
from engine.spec.alternatives import Choice, choices, design_of


def listing_choices(
    spec: StudySpec, table: pl.DataFrame, listings: Mapping[str, Mapping[str, str]]
) -> tuple[tuple[str | None, ...], tuple[str, ...]]:
    """Exchange and benchmark of every row. Raises SpecError where one is needed and cannot be told."""
    stamp = pl.when(pl.col("first_public_at") != "").then("first_public_at").otherwise("announced_at")
    if spec.events.stamp != "first_public_at":
        stamp = pl.col("announced_at")
    cases = table.select("symbol", "exchange", "benchmark", (stamp.str.len_bytes() > len("2020-12-18")).alias("clock"))
    case, first = distinct(cases)
    exchanges, benchmarks = _choices(spec, table[first], listings)
    found = tuple(np.array(exchanges, object)[case].tolist()), tuple(np.array(benchmarks, object)[case].tolist())
    if any(benchmarks) and not all(benchmarks):
        raise SpecError("[benchmark] some listings have a benchmark and some have none. Give all of them one, or none.")
    if spec.sessions.calendar == "benchmark" and set(benchmarks) & set(spec.benchmark.baskets):
        raise SpecError(
            '[sessions] calendar = "benchmark" needs an index of its own; a basket has no days. Use "exchange".'
        )
    return found


def _choices(
    spec: StudySpec, table: pl.DataFrame, listings: Mapping[str, Mapping[str, str]]
) -> tuple[list[str | None], list[str]]:
    """Exchange and benchmark of every row of a calendar without equal ones."""
    exchanges: list[str | None] = []
    benchmarks: list[str] = []
    stated = spec.benchmark.by_exchange
    by_exchange = {known_exchange(k, "[benchmark] by_exchange"): v for k, v in stated.items()} | stated
    looked_at = ("symbol", "exchange", "benchmark", "announced_at", "first_public_at", "where")
    on_exchange, leaked = spec.sessions.calendar == "exchange", spec.events.stamp == "first_public_at"
    used = spec.model.name not in WITHOUT_BENCHMARK or not on_exchange
    for row in table.select(looked_at).iter_rows(named=True):
        exchange = exchange_of(row["symbol"], row["exchange"], listings)
        stamp = (row["first_public_at"] if leaked else "") or row["announced_at"]
        calendar = known_exchange(exchange, row["where"]) if exchange is not None else ""
        if exchange is None and (len(stamp) > len("2020-12-18") or on_exchange):
            raise unresolved_exchange(row["symbol"], row["where"])
        benchmark = (
            row["benchmark"]
            or (spec.model.peers if on_exchange else None)
            or by_exchange.get(exchange or "")
            or by_exchange.get(calendar)
            or spec.benchmark.default
            or ""
        )
        if used and not benchmark and not (_without(spec) and not any(benchmarks)):
            raise SpecError(
                f"{row['where']}: no benchmark for {row['symbol']} on {exchange}. Give [benchmark] default, "
                f'by_exchange = {{{exchange} = "..."}}, or a column benchmark in the calendar.'
            )
        _check_control(spec, benchmark, row)
        exchanges.append(exchange)
        benchmarks.append(benchmark if used else "")
    return exchanges, benchmarks


def _without(spec: StudySpec) -> bool:
    """Whether factors alone may explain the returns; a world's "local" factor is the benchmark."""
    factors = spec.model.name in WITH_FACTORS and not (spec.factors is not None and spec.factors.is_world)
    return factors and spec.sessions.calendar == "exchange"


def _check_control(spec: StudySpec, benchmark: str, row: Mapping[str, Any]) -> None:
    """Raises SpecError where the model "matched" has no basket for a row."""
    if spec.model.name != "matched":
        return
    if (spec.model.peers if spec.sessions.calendar == "benchmark" else benchmark) in spec.benchmark.baskets:
        return
    raise SpecError(
        f'{row["where"]}: the model "matched" has no control portfolio for {row["symbol"]}. Write [benchmark] baskets = '
        '{peers = ["AAA", "BBB"]} and [model] peers = "peers"; with calendar = "exchange" a column benchmark may name the '
        "basket of each row."
    )


def grid_benchmarks(spec: StudySpec, table: pl.DataFrame, listings: Mapping[str, Mapping[str, str]]) -> set[str]:
    """Every benchmark that a design of ``[grid]`` takes, so that it is read with the study's own."""
    found: set[str] = set()
    for choice in choices(spec) if spec.grid is not None else []:
        if isinstance(choice.benchmark, str):
            found.add(choice.benchmark)  # also where nothing else can be told: a misspelt one must be said
        try:
            design = design_of(spec, choice, [])
            found |= set(listing_choices(design, rows_of_choice(table, choice), listings)[1])
        except SpecError:
            continue  # a row of the grid with the reason
    return found - {""}


def rows_of_choice(table: pl.DataFrame, choice: Choice) -> pl.DataFrame:
    """The calendar for a design of the grid: a benchmark for every listing takes the place of those of the rows."""
    return table.with_columns(pl.lit("").alias("benchmark")) if isinstance(choice.benchmark, str) else table
