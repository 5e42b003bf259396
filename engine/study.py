"""The one orchestrator. `run_study` reads like the methods section of a paper: day 0, panel, fits, abnormal returns, tests.

`load_study` reads what a study needs; nothing after it touches a file.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from engine import __version__
from engine.abnormal import AbnormalReturns, Cars, abnormal_returns, cumulate
from engine.announcements import Announcements, Reaction, exchange_of, reaction_days, read_announcements
from engine.announcements.reaction import unresolved_exchange
from engine.errors import DataError, MissingData, SpecError, hint
from engine.market import PriceSeries, Snapshot, find_snapshot, read_series
from engine.models import MODELS, WITHOUT_BENCHMARK, NormalFits, fit
from engine.panel import (
    EventPanel,
    Exclusion,
    Line,
    Pair,
    benchmark_days,
    build_line,
    build_panel,
    reaction_exclusion,
    usable,
)
from engine.placebo import Placebo, pseudo_events
from engine.results import StudyResult, to_json
from engine.sessions import FIRST_DAY, Days, Window, exchange_sessions
from engine.significance import (
    EVENT_TESTS,
    RESAMPLING_TESTS,
    SIGNIFICANCE_TESTS,
    CarSample,
    evaluate,
)
from engine.spec import Known, StudySpec, read_spec
from engine.tables import (
    SCHEMAS,
    abnormal_table,
    averages_table,
    cars_table,
    dry_run_table,
    event_significance_table,
    events_table,
    exclusions_table,
    fits_table,
    significance_table,
)

Progress = Callable[[str, int, int], None]
Ints = npt.NDArray[np.int64]
MANY_EVENTS = 50_000
LAST_YEAR = 2200  # a later date in a calendar is a slip of the pen, and becomes a row like any other without a session
PACKAGES = ("numpy", "scipy", "polars", "exchange-calendars")


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


@dataclass(frozen=True)
class Plan:
    """What a run looks at: the reaction of every pair, the panel of all pairs with a day 0 and a price file (None if
    there is none), and the pairs lost before it."""

    reactions: tuple[Reaction, ...]
    lines: tuple[Line, ...]
    panel: EventPanel | None
    exclusions: tuple[Exclusion, ...] = field(default=())


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
    spec = read_spec(toml, known_names(charts))
    announcements = read_announcements(
        folder / spec.events.file if spec.events.file is not None else None,
        folder / spec.events.calendar if spec.events.calendar is not None else None,
        spec.events.select,
    )
    _check_columns(spec, announcements)
    if prices is not None:
        snapshot = find_snapshot(str(prices.resolve()), folder, ())
    else:
        path = default_data_path(folder) if data_path is None else tuple(data_path)
        snapshot = find_snapshot(spec.prices.snapshot, folder, path)
    exchanges, benchmarks = _listing_choices(spec, announcements.table, snapshot)
    series = _read_prices(spec, announcements.table, benchmarks, snapshot)
    files = {p.name: p for p in (snapshot.file_of(s) for s in series)}
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
            "calendar": announcements.sha256,
            "snapshot": {name: snapshot.sha256(path) for name, path in sorted(files.items())},
        },
    )


def _check_columns(spec: StudySpec, announcements: Announcements) -> None:
    """Group columns must exist, and attributes may not carry the name of a result column."""
    available = _group_columns(announcements)
    for name in spec.significance.group_by:
        if name not in available:
            raise SpecError(f'[significance] group_by: "{name}" is no column of the calendar. {hint(name, available)}')
    clash = set(announcements.attributes.columns[2:]) & set(SCHEMAS["cars"])
    if clash:
        raise DataError(f"the calendar's column {', '.join(sorted(clash))} has the name of a result column. Rename it.")


def _group_columns(announcements: Announcements) -> dict[str, list[str | None]]:
    own = announcements.table.select("event_id", "symbol", pl.col("exchange", "precision").replace("", None))
    return (own.hstack(announcements.attributes.drop("event_id", "symbol"))).to_dict(as_series=False)


def _listing_choices(
    spec: StudySpec, table: pl.DataFrame, snapshot: Snapshot
) -> tuple[tuple[str | None, ...], tuple[str, ...]]:
    """Exchange and benchmark of every row. Raises SpecError where one is needed and cannot be told."""
    exchanges: list[str | None] = []
    benchmarks: list[str] = []
    by_exchange = {("XSHG" if k == "XSHE" else k): v for k, v in spec.benchmark.by_exchange.items()}
    for row in table.iter_rows(named=True):
        exchange = exchange_of(row["symbol"], row["exchange"], snapshot.listings)
        clock_time = max(len(row["announced_at"]), len(row["first_public_at"])) > len("2020-12-18")
        if exchange is None and (clock_time or spec.sessions.calendar == "exchange"):
            raise unresolved_exchange(row["symbol"], row["where"])
        benchmark = row["benchmark"] or by_exchange.get(exchange or "") or spec.benchmark.default or ""
        needed = spec.model.name not in WITHOUT_BENCHMARK or spec.sessions.calendar == "benchmark"
        if needed and not benchmark:
            raise SpecError(
                f"{row['where']}: no benchmark for {row['symbol']} on {exchange}. Give [benchmark] default, "
                f'by_exchange = {{{exchange} = "..."}}, or a column benchmark in the calendar.'
            )
        exchanges.append(exchange)
        benchmarks.append(benchmark if needed else "")
    return tuple(exchanges), tuple(benchmarks)


def _read_prices(
    spec: StudySpec, table: pl.DataFrame, benchmarks: Sequence[str], snapshot: Snapshot
) -> dict[str, PriceSeries]:
    listings, indices = set(table["symbol"]), set(benchmarks) - {""}
    for symbol in sorted(indices):
        if "/" in symbol or "\\" in symbol or symbol.strip(".") == "":
            raise SpecError(f'[benchmark] "{symbol}" holds a part of a path. A symbol is a plain name such as ^HSI.')
    series, missing = read_series(snapshot, listings | indices)
    lost_indices = [s for s in missing if s in indices]
    lost = [s for s in missing if s not in indices]
    if lost_indices or (lost and not spec.limits.allow_missing_symbols):
        what = [f"benchmark {', '.join(lost_indices)}"] if lost_indices else []
        what += [f"listing {', '.join(lost)}"] if lost else []
        raise MissingData(
            f"snapshot {snapshot.name} ({snapshot.root}) has no prices for {' and '.join(what)}. Add a file "
            f"<symbol>.csv for each, or set [limits] allow_missing_symbols = true to go on without listings."
        )
    return series


def plan_study(study: Study) -> Plan:
    """Day 0 of every pair, the lines, the panel, and who is lost before it; nothing is estimated."""
    spec, table = study.spec, study.announcements.table
    needs_exchange = [e for e in study.exchanges if e is not None]
    last_year = _last_year(study)
    calendars = {e: exchange_sessions(e, last_year) for e in sorted(set(needs_exchange))}
    on_benchmark = spec.sessions.calendar == "benchmark"
    grids = {b: benchmark_days(study.series[b]) for b in set(study.benchmarks) if on_benchmark}
    reactions = reaction_days(
        table,
        [calendars[e] if e is not None else None for e in study.exchanges],
        [grids[b][1:] if on_benchmark else None for b in study.benchmarks],
        spec.events.reaction,
        spec.events.stamp,
        spec.events.max_gap_days,
    )
    lost: list[Exclusion] = []
    pairs: list[Pair] = []
    lines: dict[tuple[str, str, str], Line] = {}
    for row, reaction, exchange, benchmark in zip(
        table.iter_rows(named=True), reactions, study.exchanges, study.benchmarks, strict=True
    ):
        event_id, symbol = row["event_id"], row["symbol"]
        if reaction.event_day is None:
            lost.append(reaction_exclusion(event_id, symbol, reaction))
            continue
        if symbol not in study.series:
            detail = f"no file for {symbol} in snapshot {study.snapshot.name}"
            lost.append(Exclusion(event_id, symbol, "prices", "no_price_file", detail))
            continue
        key = (symbol, benchmark, "" if on_benchmark else str(exchange))
        if key not in lines:
            lines[key] = build_line(
                study.series[symbol],
                study.series[benchmark] if benchmark and spec.model.name not in WITHOUT_BENCHMARK else None,
                grids[benchmark] if on_benchmark else calendars[str(exchange)].dates,
                spec.prices.returns == "log",
                on_benchmark,
            )
        pairs.append(Pair(event_id, symbol, key, reaction.event_day, _own_window(row, spec)))
    panel = build_panel(pairs, lines, spec.event_window) if pairs else None
    return Plan(tuple(reactions), tuple(lines[k] for k in sorted(lines)), panel, tuple(lost))


def _last_year(study: Study) -> int:
    """The last year that calendars must cover: the prices', and room for the event window of the latest event."""
    column = study.announcements.table.select(pl.max_horizontal("announced_at", "first_public_at").str.slice(0, 4))
    years = [int(y) for y in column.to_series() if y.isdigit() and y >= str(FIRST_DAY)[:4]]
    ahead = 1 + max(study.spec.event_window.end, 0) // 240
    priced = [int(str(s.dates[-1])[:4]) for s in study.series.values() if len(s.dates)]
    return min(max([y + ahead for y in years] + priced, default=2000), LAST_YEAR)


def _own_window(row: Mapping[str, Any], spec: StudySpec) -> Window:
    """The pair's estimation window: the study's, with the row's overrides."""
    start, end = row["estimation_start"], row["estimation_end"]
    start = spec.estimation_window.start if start is None else start
    end = spec.estimation_window.end if end is None else end
    if start > end or end >= spec.event_window.start:
        raise DataError(
            f"{row['where']}: estimation window [{start}, {end}] is reversed or does not end before the event window "
            f"{spec.event_window}. Correct estimation_start and estimation_end."
        )
    return Window(start, end)


def run_study(study: Study, on_progress: Progress = lambda stage, done, total: None) -> StudyResult:
    """Run a loaded study; pure but for the progress callback (stage, done, total).

    Raises DataError if more pairs are lost than ``[limits] max_excluded_share`` allows, or none is left.
    """
    spec = study.spec
    keep_rows = _keeps_abnormal_returns(study)
    on_progress("day 0 and windows", 0, 4)
    plan = plan_study(study)
    panel, fits, exclusions = _fit(plan, spec)
    _check_losses(study, exclusions)
    if panel is None or fits is None:
        raise AssertionError("all pairs are lost and _check_losses did not raise")

    on_progress("abnormal returns", 1, 4)
    log_returns = spec.prices.returns == "log"
    abnormal = abnormal_returns(panel.event_returns, fits, spec.event_window)
    cars = [cumulate(abnormal, fits, window, log_returns) for window in sorted(spec.car_windows)]
    exclusions += _incomplete(panel, abnormal, cars)

    placebo = None
    if spec.resampling is not None and RESAMPLING_TESTS & set(spec.significance.tests):
        placebo = pseudo_events(
            panel,
            _real_days(plan),
            spec.model.name,
            sorted(spec.car_windows),
            spec.model.min_estimation_days,
            log_returns,
            spec.resampling.draws,
            np.random.default_rng(spec.resampling.seed),
            lambda done, total: on_progress(f"pseudo-dates, listing {done} of {total}", 2, 4),
        )

    on_progress("tests", 3, 4)
    groups = _groups(study, panel)
    samples = [
        _sample(name, members, c, panel, abnormal, fits, spec, placebo) for name, members in groups for c in cars
    ]
    group_tests = [t for t in spec.significance.tests if t in SIGNIFICANCE_TESTS]
    answers = [evaluate(test, sample) for sample in samples for test in group_tests]
    event_tests = [t for t in spec.significance.tests if t in EVENT_TESTS]
    everyone = np.arange(len(panel.pairs))
    event_answers = []
    p_values = []
    for c in cars:
        members = everyone[c.complete]
        sample = _sample("all", everyone, c, panel, abnormal, fits, spec, placebo)
        event_answers += [(members, sample, EVENT_TESTS[test](sample)) for test in event_tests]
        p = np.full(len(everyone), np.nan)
        p[members] = EVENT_TESTS["forecast_error_t"](sample).p_value if len(members) else p[members]
        p_values.append(p)

    on_progress("tables", 4, 4)
    tables = {
        "events": events_table(study.announcements, study.exchanges, plan.reactions),
        "fits": fits_table(panel, fits, spec.model.name),
        "cars": cars_table(study.announcements, panel, cars, p_values),
        "averages": averages_table(groups, abnormal),
        "significance": significance_table(answers),
        "event_significance": event_significance_table(panel, event_answers),
        "exclusions": exclusions_table(exclusions),
    }
    if keep_rows:
        tables["abnormal_returns"] = abnormal_table(panel, abnormal)
    return StudyResult({n: tables[n] for n in SCHEMAS if n in tables}, _manifest(study, plan, panel, fits))


def events_result(study: Study) -> pl.DataFrame:
    """``events.csv`` alone: day 0 of every pair and why, before any estimation."""
    return events_table(study.announcements, study.exchanges, plan_study(study).reactions)


def dry_run_result(study: Study) -> pl.DataFrame:
    """Every pair with its day 0, the rows at hand, and why it would be lost (`tables.DRY_RUN`)."""
    plan = plan_study(study)
    exclusions = list(plan.exclusions)
    if plan.panel is not None:
        exclusions += usable(plan.panel, study.spec.model.min_estimation_days)[1]
    return dry_run_table(study.announcements, plan.reactions, plan.panel, exclusions)


def _keeps_abnormal_returns(study: Study) -> bool:
    asked = study.spec.output.abnormal_returns
    pairs = len(study.announcements.table)
    if asked is None and pairs > MANY_EVENTS:
        raise SpecError(
            f"[output] abnormal_returns must be said above {MANY_EVENTS} events ({pairs} here): true writes "
            f"{pairs * len(study.spec.event_window)} rows, false leaves that table out."
        )
    return asked is not False


def _fit(plan: Plan, spec: StudySpec) -> tuple[EventPanel | None, NormalFits | None, list[Exclusion]]:
    """Fit the model to the usable pairs; degenerate fits are lost with their reason."""
    if plan.panel is None:
        return None, None, list(plan.exclusions)
    panel, lost = usable(plan.panel, spec.model.min_estimation_days)
    exclusions = [*plan.exclusions, *lost]
    if panel is None:
        return None, None, exclusions
    fits = fit(spec.model.name, panel.returns, panel.market, panel.event_market, panel.estimation_rows, panel.own)
    for i in np.flatnonzero(fits.degenerate != ""):
        pair = panel.pairs[i]
        detail = f"{fits.n_obs[i]} returns in {pair.own} of {pair.symbol} leave no residual variance to test against"
        exclusions.append(Exclusion(pair.event_id, pair.symbol, "estimation", str(fits.degenerate[i]), detail))
    kept = np.flatnonzero(fits.degenerate == "")
    if not len(kept):
        return None, None, exclusions
    return panel.take(kept), fits.take(kept), exclusions


def _check_losses(study: Study, exclusions: Sequence[Exclusion]) -> None:
    total, lost = len(study.announcements.table), len(exclusions)
    share = study.spec.limits.max_excluded_share
    if lost / total <= share and lost < total:
        return
    counted = Counter((e.stage, e.reason) for e in exclusions)
    reasons = "; ".join(f"{n} x {stage}: {reason}" for (stage, reason), n in sorted(counted.items()))
    examples = "\n".join(f"  {e.event_id} {e.symbol}: {e.detail}" for e in exclusions[:3])
    raise DataError(
        f"study {study.name}: {lost} of {total} (event, symbol) pairs are lost, more than [limits] max_excluded_share = "
        f"{share:g} allows or all of them. {reasons}. For example:\n{examples}\n"
        "`eventstudy run STUDY --dry-run` shows every pair; mend the calendar or the prices, or raise the limit."
    )


def _real_days(plan: Plan) -> dict[str, Days]:
    """The event days of every symbol, whether or not the pair can be used."""
    days: dict[str, list[np.datetime64]] = {}
    for pair in plan.panel.pairs if plan.panel is not None else ():
        days.setdefault(pair.symbol, []).append(pair.event_day)
    return {symbol: np.array(found) for symbol, found in days.items()}


def _incomplete(panel: EventPanel, abnormal: AbnormalReturns, cars: Sequence[Cars]) -> list[Exclusion]:
    """One row for each event and window with a missing day."""
    lost = []
    for c in cars:
        missing = ~np.isfinite(abnormal.ar[:, c.window.within(abnormal.window)])
        for i in np.flatnonzero(~c.complete):
            days = ", ".join(str(d) for d in c.window.days[missing[i]])
            pair = panel.pairs[i]
            detail = f"{c.window}: no return on relative day {days}"
            lost.append(Exclusion(pair.event_id, pair.symbol, "window", "missing_days", detail))
    return lost


def _groups(study: Study, panel: EventPanel) -> list[tuple[str, Ints]]:
    """The whole sample and every value of every group column, as positions in the panel; an empty cell is in no group."""
    columns = _group_columns(study.announcements)
    keys = study.announcements.table.select("event_id", "symbol").rows()
    row_of = {key: i for i, key in enumerate(keys)}
    rows = [row_of[p.event_id, p.symbol] for p in panel.pairs]
    groups = [("all", np.arange(len(panel.pairs)))]
    for name in study.spec.significance.group_by:
        values = [columns[name][i] for i in rows]
        for value in sorted({v for v in values if v is not None}):
            groups.append((f"{name}={value}", np.flatnonzero([v == value for v in values])))
    return groups


def _sample(
    group: str, members: Ints, cars: Cars, panel: EventPanel, abnormal: AbnormalReturns, fits: NormalFits,
    spec: StudySpec, placebo: Placebo | None,
) -> CarSample:  # fmt: skip
    """The members of a group that are complete in the window, as the tests see them."""
    inside = members[cars.complete[members]]
    return CarSample(
        group=group,
        window=cars.window,
        event_window=abnormal.window,
        car=cars.car[inside],
        car_se=cars.se[inside],
        scar=cars.scar[inside],
        sigma=fits.sigma[inside],
        dof=fits.dof[inside],
        ar=abnormal.ar[inside],
        residuals=fits.residuals[inside],
        residual_days=panel.estimation_days[inside],
        alternative=spec.significance.alternative,
        alpha=spec.significance.alpha,
        pseudo=placebo.sample(inside, cars.window) if placebo is not None else None,
    )


def _manifest(study: Study, plan: Plan, panel: EventPanel, fits: NormalFits) -> dict[str, Any]:
    """Inputs, settings and versions of the run; no clock, no path."""
    snapshot, table = study.snapshot, study.announcements.table
    about = ("title", "source", "version", "licence", "retrieved_on", "limits")
    stated = {k: snapshot.manifest[k] for k in about if k in snapshot.manifest}
    listings = {}
    for symbol, exchange, benchmark in zip(table["symbol"], study.exchanges, study.benchmarks, strict=True):
        known = snapshot.listings.get(symbol, {})
        listings[symbol] = {
            "name": known.get("name", ""),
            "name_zh": known.get("name_zh", ""),
            "currency": known.get("currency", ""),
            "exchange": exchange or "",
            "benchmark": benchmark,
        }
    manifest: dict[str, Any] = {
        "study": study.name,
        "settings": study.spec.settings(),
        "study_sha256": study.sha256["study"],
        "calendar_sha256": study.sha256["calendar"],
        "snapshot": {
            "name": Path(snapshot.name).name,
            "redistributable": snapshot.redistributable,
            "sha256": study.sha256["snapshot"],
            **stated,
        },
        "kernel": "numpy",
        "coefficients": list(fits.names),
        "seed": study.spec.resampling.seed if study.spec.resampling is not None else None,
        "versions": {"event-study-engine": __version__} | {p: _version(p) for p in PACKAGES},
        "pairs": {"calendar": len(table), "used": len(panel.pairs)},
        "listings": dict(sorted(listings.items())),
        "quality": [
            {"symbol": one.symbol, "prices": one.span, "rows_off_session": one.off_session, "stale_rows": one.stale}
            for one in {line.symbol: line for line in plan.lines}.values()
        ],
    }

    as_read_back: dict[str, Any] = json.loads(to_json(manifest))  # plain types, sorted keys
    return as_read_back


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "unknown"
