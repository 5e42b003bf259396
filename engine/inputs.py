"""A study with everything it reads, in memory: ``study.toml``, the calendar and the prices; nothing after it opens a file."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl
from pydantic import ValidationError

from engine.announcements import STAMPS, Announcements, read_announcements
from engine.attributes import check_attributes
from engine.benchmarks import grid_benchmarks, listing_choices
from engine.crosssection import COVARIANCES
from engine.errors import DataError, SpecError, hint
from engine.files import digest_of
from engine.formula import parse_formula
from engine.joint import JOINT_MODELS
from engine.kernel import MANY_EVENTS
from engine.libraries import user_folder
from engine.lines import Market
from engine.market import PriceSeries, Snapshot, find_snapshot
from engine.market.outcomes import OUTCOMES
from engine.market.partitions import PartedFile, in_order, parted
from engine.models import BRIDGED, MODELS, WITH_FACTORS
from engine.obstacles import obstacles
from engine.results import read_manifest
from engine.schemas import SCHEMAS
from engine.significance import EVENT_TESTS, RESAMPLING_TESTS, SIGNIFICANCE_TESTS, VARIANCE_TESTS
from engine.spec import Known, StudySpec, read_spec
from engine.supply import read_market
from engine.usercode import UserModel, code_file, load_function

OWN_GROUPS = ("event_id", "symbol", "exchange", "benchmark", "precision")
# What a cross-section may take from the run itself, besides alpha and the betas of fits.csv.
MANY_ROWS = 2_000_000  # of one parquet file: more are read part by part
DERIVED = ("year", "decade", "sigma", "r2", "n_obs", "runup")


@dataclass(frozen=True)
class Study:
    """A study with everything it reads, in memory.

    exchanges, benchmarks: one a row of ``announcements.table``; exchange None where none is known or needed, benchmark
    "" for a model that needs none. market: every series read; listings without one are lost with a row. function: of the
    study's own model, None where there is none or it may not run. first: the fingerprints of claims and design at the first
    golden result, none without one. parted: the file whose listings are read part by part while the study runs; ``market``
    then has the other series alone, and ``sha256`` not yet the file's.
    """

    name: str
    spec: StudySpec
    announcements: Announcements
    exchanges: tuple[str | None, ...]
    benchmarks: tuple[str, ...]
    market: Market
    snapshot: Snapshot
    sha256: dict[str, Any]
    function: UserModel | None = None
    first: Mapping[str, str] = field(default_factory=dict)
    parted: PartedFile | None = None

    @property
    def series(self) -> Mapping[str, PriceSeries]:
        """Listings, benchmarks, members of baskets and currencies, by symbol."""
        return self.market.series

    @property
    def files(self) -> tuple[Path, ...]:
        """The calendar files."""
        return self.announcements.files


# The charts of `engine.report`, for callers who hand in none.
CHARTS = (
    "caar_path", "car_forest", "crosssection_partial", "event_timeline", "venue_days", "calendar_time", "listing_paths",
    "car_heatmap", "event_panel", "specification_curve", "equity_curve", "size_plot", "power_curve",
    "placebo_caar",
)  # fmt: skip


def known_names(charts: frozenset[str]) -> Known:
    """The models, tests and charts of this installation."""
    tests = frozenset(SIGNIFICANCE_TESTS) | frozenset(EVENT_TESTS)
    outcomes, covariances = frozenset(OUTCOMES), frozenset(COVARIANCES)
    models, bridged, stamps = frozenset(MODELS), frozenset(BRIDGED), frozenset(STAMPS)
    group_tests = frozenset(SIGNIFICANCE_TESTS)
    claimable = group_tests - VARIANCE_TESTS - {"sur_f"}
    return Known(
        models,
        WITH_FACTORS,
        tests,
        RESAMPLING_TESTS,
        charts,
        outcomes,
        bridged,
        covariances,
        stamps,
        group_tests,
        claimable,
    )


def default_data_path(folder: Path) -> tuple[Path, ...]:
    """Where snapshots are looked up: EVENTSTUDY_DATA, fixtures/prices above the study or here, the user's data folder.

    A user without a home has none.
    """
    entries = [Path(p) for p in os.environ.get("EVENTSTUDY_DATA", "").split(os.pathsep) if p.strip()]
    for base in (Path.cwd(), *folder.resolve().parents):
        if (base / "fixtures" / "prices").is_dir():
            entries.append(base / "fixtures" / "prices")
            break
    own = user_folder("XDG_DATA_HOME", ".local", "share")
    return (*entries, *([own / "event-study-engine" / "snapshots"] if own is not None else []))


def load_study(
    folder: str | Path,
    data_path: Sequence[Path] | None = None,
    prices: Path | None = None,
    charts: frozenset[str] = frozenset(CHARTS),
    allow_code: bool = False,
    in_parts: bool | None = None,
) -> Study:
    """Read a study folder, its calendar and the prices it names.

    data_path: where snapshots are looked up (`default_data_path` if None). prices: a folder or parquet file to use in
    place of the study's snapshot. allow_code: whether the study's own model (``[model] name = "custom"``) may run.
    in_parts: whether one parquet file is read part by part; None: where it or the calendar is large.
    Raises SpecError for the study, DataError for calendar and prices.
    """
    folder = Path(folder)
    spec, announcements = read_design(folder, charts)
    path = default_data_path(folder) if data_path is None else tuple(data_path)
    if prices is not None:
        snapshot = find_snapshot(str(prices.resolve()), folder, ())
    else:
        snapshot = find_snapshot(spec.prices.snapshot, folder, path)
    other = snapshot
    if spec.factors is not None and spec.factors.snapshot is not None:
        other = find_snapshot(spec.factors.snapshot, folder, path)
    return gathered(folder, spec, announcements, snapshot, other, allow_code, in_parts)


def gathered(
    folder: Path, spec: StudySpec, announcements: Announcements, snapshot: Snapshot, other: Snapshot, allow_code: bool,
    in_parts: bool | None = None,
) -> Study:  # fmt: skip
    """A study from its design, its calendar and the snapshots of its prices and of its factors. in_parts: of `load_study`."""
    toml = folder / "study.toml"
    exchanges, benchmarks = listing_choices(spec, announcements.table, snapshot.listings)
    code, function = None, None
    if spec.model.file is not None and spec.model.function is not None:
        code = code_file(folder, spec.model.file, str(toml))
        function = load_function(code, spec.model.function) if allow_code else None
    further = grid_benchmarks(spec, announcements.table, snapshot.listings)
    parts = _parts_of(spec, announcements, snapshot, str(toml), in_parts)
    market, hashes = read_market(spec, announcements.table, exchanges, benchmarks, snapshot, other, further, parts)
    return Study(
        name=folder.resolve().name,
        spec=spec,
        announcements=announcements,
        exchanges=exchanges,
        benchmarks=benchmarks,
        market=market,
        snapshot=snapshot,
        sha256={
            "study": sha256_of(toml),
            "calendar": {p.name: sha256_of(p) for p in announcements.files},
            "snapshot": hashes,
            "code": {code.name: sha256_of(code)} if code is not None else {},
        },
        function=function,
        first=first_fingerprints(folder / "golden"),
        parted=parts,
    )


def first_fingerprints(folder: Path) -> dict[str, str]:
    """What was fixed when a study first had a golden result, the one in ``folder``: of that result's own settings where nothing
    else is written; none without a golden result, or with one that cannot be read."""
    try:
        golden = read_manifest(folder)
        if "first_fingerprints" in golden:
            return dict(golden["first_fingerprints"])
        return StudySpec.model_validate(golden["settings"]).fingerprints()
    except (DataError, ValidationError):
        return {}


def _parts_of(
    spec: StudySpec, announcements: Announcements, snapshot: Snapshot, where: str, in_parts: bool | None
) -> PartedFile | None:
    """The prices in parts, where they are one large file or the calendar is; None where they are read at once.

    Raises SpecError for a calendar that is too large for what the study asks.
    """
    if snapshot.parquet is None or in_parts is False:
        return None
    pairs = len(announcements.table)
    found = parted(snapshot.parquet)
    large = pairs > MANY_EVENTS or (found is not None and found.rows > MANY_ROWS)
    if not (large or in_parts):
        return None
    hindrances = list(obstacles(spec, announcements))
    if found is None:
        hindrances.append("a parquet file whose symbols, dates and numbers are not of these types")
    if hindrances and pairs > MANY_EVENTS:
        raise SpecError(
            f"{where}: {pairs} events are measured part by part, and that is not available above {MANY_EVENTS} events for: "
            f"{'; '.join(hindrances)}. Remove it, or select fewer events."
        )
    return None if hindrances or found is None else in_order(found)


def sha256_of(path: Path) -> str:
    """The hash of a file, "" where there is none."""
    return digest_of(path) if path.is_file() else ""


def read_design(folder: Path, charts: frozenset[str]) -> tuple[StudySpec, Announcements]:
    """``study.toml`` and the calendar, checked against each other."""
    spec = read_spec(folder / "study.toml", known_names(charts))
    return spec, read_calendar(folder, spec, str(folder / "study.toml"))


def read_calendar(folder: Path, spec: StudySpec, where: str) -> Announcements:
    """The calendar of a design, checked against it; ``where`` names the design in messages."""
    announcements = read_announcements(
        folder / spec.events.file if spec.events.file is not None else None,
        folder / spec.events.calendar if spec.events.calendar is not None else None,
        spec.events.select,
    )
    _check_columns(spec, announcements, where)
    return announcements


def _check_columns(spec: StudySpec, announcements: Announcements, where: str) -> None:
    """Group columns must exist and hold something, and attributes may not carry the name of a result column."""
    if spec.events.joint and spec.model.name not in JOINT_MODELS:
        raise SpecError(
            f'{where}: [events] joint = true has no regression for [model] name = "{spec.model.name}". '
            f"Models with one: {', '.join(JOINT_MODELS)}."
        )
    attributes = announcements.attributes
    if spec.calendar_time is not None and "value" in spec.calendar_time.weights:
        numbers_in(attributes, spec.calendar_time.market_value, f"{where}: [calendar_time] market_value")
    available = [*OWN_GROUPS, *attributes.columns[2:]]
    for name in spec.significance.group_by:
        if name not in available:
            problem = f'"{name}" is no column of the calendar. {hint(name, available)}'
            raise SpecError(f"{where}: [significance] group_by: {problem}")
        if name in attributes.columns and attributes[name].null_count() == len(attributes):
            raise SpecError(
                f'{where}: [significance] group_by: the column "{name}" is empty in every row. Fill or drop it.'
            )
    _check_samples(spec, announcements, where)
    _check_deals(spec, announcements, where)
    _check_signs(spec, announcements, where)
    _check_formulas(spec, available, where)
    _check_kinds(spec, announcements, where)
    _check_references(spec, attributes, where)
    clash = set(attributes.columns[2:]) & set(SCHEMAS["cars"])
    if clash:
        named = ", ".join(sorted(clash))
        raise DataError(f"{announcements.files[0]}: row 1: column {named} has the name of a result column. Rename it.")


def _check_deals(spec: StudySpec, announcements: Announcements, where: str) -> None:
    """The ends of named windows stand in the calendar, and so do the roles of deals."""
    for name, ends in spec.named_windows.items():
        for column in {e.column for e in ends} - {""}:
            if not (announcements.table[column] != "").any():
                raise SpecError(
                    f"{where}: [windows] named.{name}: the column {column} of {announcements.files[0]} is empty in every row. "
                    "Fill it, or remove the window."
                )
    attributes = announcements.attributes
    roles = set(attributes["role"]) if "role" in attributes.columns else set()
    if spec.deals is not None and not {"acquirer", "target"} & roles:
        raise SpecError(
            f"{where}: [deals] needs a column role in the calendar with acquirer and target; no row has one of them."
        )


def _check_signs(spec: StudySpec, announcements: Announcements, where: str) -> None:
    """A backtest trades the column ``expected_sign``."""
    attributes = announcements.attributes
    if spec.backtest is not None and not (
        "expected_sign" in attributes.columns and attributes["expected_sign"].is_in(["+", "-"]).any()
    ):
        raise SpecError(
            f"{where}: [backtest] trades the column expected_sign of {announcements.files[-1]}, which holds no + or -. Fill it: "
            "+ to buy, - to sell, empty for a row that is not traded."
        )


def market_values(study: Study) -> list[float]:
    """The market value of every row of the calendar, NaN where the cell is empty or no portfolio is weighted by it."""
    rule = study.spec.calendar_time
    if rule is None or "value" not in rule.weights:
        return [float("nan")] * len(study.announcements.table)
    return numbers_in(study.announcements.attributes, rule.market_value, "[calendar_time] market_value")


def numbers_in(attributes: pl.DataFrame, name: str, where: str) -> list[float]:
    """A column of the calendar as numbers above zero, NaN for an empty cell. Raises SpecError for any other cell."""
    available = attributes.columns[2:]
    if name not in available:
        raise SpecError(f'{where} = "{name}" is no column of the calendar. {hint(name, available)}')
    made = []
    for event_id, symbol, cell in attributes.select("event_id", "symbol", name).rows():
        try:
            value = float("nan") if cell is None else float(cell)
        except ValueError:
            value = -1.0
        if not (cell is None or 0 < value < float("inf")):
            raise SpecError(
                f'{where} = "{name}": "{cell}" of {event_id} {symbol} is no number above zero. Correct it, or leave it empty.'
            )
        made.append(value)
    return made


def _check_formulas(spec: StudySpec, columns: Sequence[str], where: str) -> None:
    """The columns of ``[crosssection]`` are of the calendar, or of what the run makes."""
    formulas = spec.crosssection.formulas if spec.crosssection is not None else {}
    known = [*columns, *DERIVED, "alpha"]
    for name, text in formulas.items():
        for column in parse_formula(text).columns:
            if column not in known and not column.startswith("beta_"):
                raise SpecError(
                    f'{where}: [crosssection] formula {name}: "{column}" is no column of the calendar and nothing that the '
                    f"run makes. {hint(column, [*known, 'beta_market'])}"
                )


def _check_kinds(spec: StudySpec, announcements: Announcements, where: str) -> None:
    """A column that a formula takes for numbers holds numbers (`check_attributes`)."""
    formulas = spec.crosssection.formulas if spec.crosssection is not None else {}
    if not formulas:
        return
    table, attributes = announcements.table, announcements.attributes
    columns = attributes.to_dict(as_series=False) | {c: table[c].to_list() for c in ("event_id", "symbol")}
    texts = {*OWN_GROUPS, "decade"} - set(columns)
    for name, text in formulas.items():
        check_attributes(
            parse_formula(text), columns, texts, table["where"].to_list(), f"{where}: [crosssection] formula {name}"
        )


def _check_references(spec: StudySpec, attributes: pl.DataFrame, where: str) -> None:
    """A value that ``Treatment`` names stands in its column."""
    formulas = spec.crosssection.formulas if spec.crosssection is not None else {}
    for name, text in formulas.items():
        for factor in (f for term in parse_formula(text).terms for f in term if f.reference):
            held = set(attributes[factor.column].drop_nulls()) if factor.column in attributes.columns else None
            if held is not None and factor.reference not in held:
                raise SpecError(
                    f'{where}: [crosssection] formula {name}: the column "{factor.column}" has no value '
                    f'"{factor.reference}". {hint(factor.reference, held)}'
                )


def _check_samples(spec: StudySpec, announcements: Announcements, where: str) -> None:
    """The columns and values of the named samples are in the calendar, and a row has all that its sample asks for."""
    if not spec.significance.samples:
        return
    table = announcements.table.select("event_id", "symbol").join(
        announcements.attributes, on=["event_id", "symbol"], how="left", validate="1:1"
    )
    for sample, wanted in spec.significance.samples.items():
        said = f"{where}: [significance] samples.{sample}"
        for column, values in wanted.items():
            if column not in table.columns:
                raise SpecError(f'{said}: "{column}" is no column of the calendar. {hint(column, table.columns)}')
            held = set(table[column].drop_nulls())
            for value in (v for v in values if v not in held):
                raise SpecError(f'{said}: the column "{column}" has no value "{value}". {hint(value, held)}')
        if wanted and table.filter(*(pl.col(c).is_in(v) for c, v in wanted.items())).is_empty():
            raise SpecError(f"{said}: no row of the calendar has all of that. Ask for less.")


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
