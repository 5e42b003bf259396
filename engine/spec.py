"""`StudySpec`: the whole design of a study, read strictly from ``study.toml``.

Required keys have no default; every other key has the default printed in the README. The known names of models, tests
and charts are handed in by the caller, so that this module depends on none of them.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from engine.errors import SpecError, hint
from engine.sessions import FARTHEST, Window

SELECTABLE = ("kind", "set", "ids", "symbols", "claims", "roles")
Alternative = Literal["two-sided", "greater", "less"]

# Declared in the study format, not in this version: (table or table.key) -> the values that are available.
LATER_TABLES = ("claims", "grid", "backtest", "calendar_time", "crosssection")
LATER_VALUES: dict[tuple[str, str], set[Any]] = {
    ("prices", "missing"): {"exclude"},
}
LATER_MODELS = (
    "raw", "scholes_williams", "dimson", "rolling", "garch", "egarch", "gjr", "lad", "huber", "theil_sen",
    "matched",
)  # fmt: skip


@dataclass(frozen=True)
class Known:
    """The names that this installation has. factor_models: the models that take the factors of ``[factors]``; resampling:
    the tests that need ``[resampling]``."""

    models: frozenset[str]
    factor_models: frozenset[str]
    tests: frozenset[str]
    resampling: frozenset[str]
    charts: frozenset[str]


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Events(_Table):
    file: str | None = None
    calendar: str | None = None
    select: dict[str, list[str]] = {}
    reaction: Literal["close", "open"]
    stamp: Literal["first_public_at", "announced_at"]
    max_gap_days: int = Field(ge=0, le=FARTHEST)
    joint: bool = False


class Prices(_Table):
    snapshot: str = Field(min_length=1)
    returns: Literal["simple", "log"]
    missing: Literal["exclude", "trade_to_trade"] = "exclude"
    currency: str = Field(default="local", pattern="^(local|[A-Z]{3})$")


class Benchmark(_Table):
    default: str | None = None
    by_exchange: dict[str, str] = {}
    baskets: dict[str, Annotated[list[str], Field(min_length=2)]] = {}
    own_weight: dict[str, Annotated[float, Field(gt=0, lt=1)]] = {}


class Factors(_Table):
    snapshot: str | None = None
    set: str | None = None
    columns: list[str] = []
    units: Literal["percent", "fraction"] = "percent"
    excess: bool

    @property
    def has_market(self) -> bool:
        """Whether the set brings its own market, which then takes the benchmark's place."""
        return self.set is not None and (not self.columns or "Mkt-RF" in self.columns)

    @model_validator(mode="before")
    @classmethod
    def _excess_of_a_set(cls, raw: Any) -> Any:
        """Excess returns are what the factors of a set explain; series of the snapshot have no risk-free rate."""
        return {"excess": "set" in raw} | raw if isinstance(raw, dict) else raw


class SessionRule(_Table):
    calendar: Literal["exchange", "benchmark"] = "exchange"
    closes: dict[str, str] = {}


class ModelChoice(_Table):
    name: str
    estimation_window: list[int] = Field(min_length=2, max_length=2)
    min_estimation_days: int = Field(ge=3)


class Windows(_Table):
    event: list[int] = Field(min_length=2, max_length=2)
    car: list[list[int]] = Field(min_length=1)


class SignificanceChoice(_Table):
    tests: list[str]
    group_by: list[str] = []
    alternative: Alternative = "two-sided"
    alpha: float = Field(default=0.05, gt=0, lt=1)


class ContaminationRule(_Table):
    policy: Literal["flag", "exclude", "trim_estimation"] = "flag"


class Resampling(_Table):
    seed: int = Field(ge=0)
    draws: int = Field(ge=99, le=1_000_000)


class Limits(_Table):
    max_excluded_share: float = Field(default=0.10, ge=0, le=1)
    allow_missing_symbols: bool = False


class Output(_Table):
    abnormal_returns: bool | None = None


class Report(_Table):
    charts: list[str] = ["caar_path", "car_forest"]


class StudySpec(_Table):
    """One study's design; frozen. Windows are also available as `Window` objects."""

    title: str = Field(min_length=1)
    question: str = ""
    events: Events
    prices: Prices
    benchmark: Benchmark = Benchmark()
    factors: Factors | None = None
    sessions: SessionRule = SessionRule()
    model: ModelChoice
    windows: Windows
    significance: SignificanceChoice
    contamination: ContaminationRule = ContaminationRule()
    resampling: Resampling | None = None
    limits: Limits = Limits()
    output: Output = Output()
    report: Report = Report()

    @property
    def estimation_window(self) -> Window:
        return Window(*self.model.estimation_window)

    @property
    def event_window(self) -> Window:
        return Window(*self.windows.event)

    @property
    def car_windows(self) -> tuple[Window, ...]:
        return tuple(Window(*w) for w in self.windows.car)

    def settings(self) -> dict[str, Any]:
        """Every setting with its value, defaults written out."""
        return self.model_dump(mode="json")


def read_spec(path: Path, known: Known) -> StudySpec:
    """Read and check ``study.toml``. Raises SpecError that names the file, the key, what was read and what is allowed."""
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise SpecError(f"{path}: cannot be read ({error.strerror}). A study is a folder with a study.toml.") from None
    except UnicodeDecodeError:
        raise SpecError(f"{path}: is not UTF-8 text. Save it as UTF-8.") from None
    except tomllib.TOMLDecodeError as error:
        raise SpecError(f"{path}: is not valid TOML: {error}. Text needs quotes, windows look like [-1, 1].") from None
    return parse_spec(raw, str(path), known)


def parse_spec(raw: Mapping[str, Any], where: str, known: Known) -> StudySpec:
    """Check an already parsed study. Raises SpecError; ``where`` names the source in messages."""
    problems = [*_later(raw), *_unknown_keys(raw)]
    if not problems:
        try:
            spec = StudySpec.model_validate(raw)
        except ValidationError as error:
            problems = [_plain(e) for e in error.errors()]
        else:
            problems = list(_contradictions(spec, known))
    if problems:
        raise SpecError("\n".join(f"{where}: {p}" for p in problems))
    return spec


def _later(raw: Mapping[str, Any]) -> Iterator[str]:
    for name in LATER_TABLES:
        if name in raw:
            yield f"[{name}] is known, not available in this version. Remove the table."
    for (table, key), available in LATER_VALUES.items():
        value = raw.get(table, {}).get(key) if isinstance(raw.get(table), dict) else None
        if isinstance(value, str) and value not in available and not (key == "missing" and value != "trade_to_trade"):
            allowed = ", ".join(repr(v) for v in available)
            yield f"[{table}] {key} = {value!r} is known, not available in this version. Allowed now: {allowed}."


def _unknown_keys(raw: Mapping[str, Any]) -> Iterator[str]:
    tables = StudySpec.model_fields
    for name, value in raw.items():
        if name in LATER_TABLES:
            continue
        if name not in tables:
            yield f'unknown key "{name}". {hint(name, [*tables, *LATER_TABLES])}'
            continue
        fields = getattr(_table_type(name), "model_fields", None)
        if fields is None or not isinstance(value, dict):
            continue
        for key in value:
            if key not in fields:
                yield f'[{name}] unknown key "{key}". {hint(key, fields)}'


def _table_type(name: str) -> Any:
    annotation: Any = StudySpec.model_fields[name].annotation
    return next((t for t in get_args(annotation) if t is not type(None)), annotation)


def _plain(error: Any) -> str:
    """One pydantic error in the words of the study file."""
    *tables, key = [str(part) for part in error["loc"]]
    place = f"[{tables[0]}] {'.'.join([*tables[1:], key])}" if tables else key
    if error["type"] == "missing":
        kind = "key" if tables else "table or key"
        return f"{place}: this {kind} is required and has no default. Write it into the study."
    message = str(error["msg"]).replace("Input should be", "should be").replace("Field required", "is required")
    return f"{place} = {error['input']!r}: {message}."


def _contradictions(spec: StudySpec, known: Known) -> Iterator[str]:
    """What the types cannot say: names that must exist, windows that must fit."""
    if (spec.events.file is None) == (spec.events.calendar is None):
        yield '[events] needs exactly one of file = "events.csv" and calendar = "../calendar".'
    if spec.events.select and spec.events.calendar is None:
        yield "[events] select: picks rows of a calendar; with file, keep only the rows wanted."
    for key in spec.events.select:
        if key not in SELECTABLE:
            yield f'[events] select: unknown key "{key}". {hint(key, SELECTABLE)}'
    if spec.events.joint and spec.contamination.policy == "exclude":
        yield (
            '[contamination] policy = "exclude" leaves nothing to [events] joint = true: it takes out the overlapping events '
            'that the joint regression tells apart. Use "flag" or "trim_estimation", or joint = false.'
        )
    yield from _names("model", "name", "model", [spec.model.name], known.models, LATER_MODELS)
    yield from _names("significance", "tests", "significance test", spec.significance.tests, known.tests, ())
    yield from _names("report", "charts", "chart", spec.report.charts, known.charts, ())
    for name in sorted({n for n in spec.significance.group_by if spec.significance.group_by.count(n) > 1}):
        yield f'[significance] group_by: "{name}" stands there more than once.'
    for basket, members in spec.benchmark.baskets.items():
        for name in sorted({m for m in members if members.count(m) > 1}):
            yield f'[benchmark] baskets.{basket}: "{name}" stands there more than once.'
    yield from _window_problems(spec)
    yield from _factor_problems(spec, known)
    asked = sorted(set(spec.significance.tests) & known.resampling)
    if asked and spec.resampling is None:
        yield f"[resampling] is required by {', '.join(asked)}: write seed and draws, for example seed = 1 and draws = 9999."


def _factor_problems(spec: StudySpec, known: Known) -> Iterator[str]:
    takes = spec.model.name in known.factor_models
    factors = spec.factors
    if factors is None:
        if takes:
            yield (
                f'[factors] is required by the model "{spec.model.name}": columns = ["BZ=F"], series of the snapshot, or '
                'set = "ff3".'
            )
        return
    if not takes and spec.model.name in known.models:
        taking = ", ".join(f'"{name}"' for name in sorted(known.factor_models))
        yield f'[factors] is used by the model {taking} only, and [model] name = "{spec.model.name}". Change one of them.'
    if factors.set is None and not factors.columns:
        yield '[factors] needs columns = ["BZ=F"], series of the snapshot, or set = "ff3", or both: columns of the set.'
    if factors.excess and factors.set is None:
        yield "[factors] excess = true takes the risk-free rate from the column RF of a set: give set."
    if factors.set is not None and spec.prices.returns == "log":
        yield (
            '[factors] set holds simple returns, which have no counterpart in [prices] returns = "log". Use returns = "simple", '
            "or columns of the snapshot."
        )
    for name in sorted({n for n in factors.columns if factors.columns.count(n) > 1}):
        yield f'[factors] columns: "{name}" stands there more than once.'


def _names(
    table: str, key: str, noun: str, read: list[str], known: frozenset[str], later: tuple[str, ...]
) -> Iterator[str]:
    for name in read:
        if name in later and name not in known:
            yield f'[{table}] {key} = "{name}" is known, not available in this version. Available: {", ".join(sorted(known))}.'
        elif name not in known:
            yield f'[{table}] {key} = "{name}" is not a {noun}. {hint(name, known)}'
    for name in sorted({n for n in read if read.count(n) > 1}):
        yield f'[{table}] {key}: "{name}" stands there more than once.'


def _window_problems(spec: StudySpec) -> Iterator[str]:
    pairs = [
        ("[model] estimation_window", spec.model.estimation_window),
        ("[windows] event", spec.windows.event),
        *(("[windows] car", w) for w in spec.windows.car),
    ]
    shaped = True
    for place, pair in pairs:
        if len(pair) != 2:
            yield f"{place} = {pair}: a window has two days, [first, last]."
            shaped = False
        elif max(map(abs, pair)) > FARTHEST:
            yield f"{place} = {pair} reaches farther than {FARTHEST} sessions from day 0, more than any series has."
            shaped = False
        elif pair[0] > pair[1]:
            yield f"{place} = {pair} is reversed: the first day must not be after the last."
            shaped = False
    if not shaped:
        return
    if spec.estimation_window.end >= spec.event_window.start:
        yield (
            f"[model] estimation_window = {spec.estimation_window} overlaps or follows [windows] event = "
            f"{spec.event_window}: it must end before the event window starts."
        )
    if spec.model.min_estimation_days > len(spec.estimation_window):
        yield (
            f"[model] min_estimation_days = {spec.model.min_estimation_days} is more than the "
            f"{len(spec.estimation_window)} days of estimation_window = {spec.estimation_window}."
        )
    for window in spec.car_windows:
        if window not in spec.event_window:
            yield f"[windows] car = {window} is not inside [windows] event = {spec.event_window}."
    for window in sorted({w for w in spec.car_windows if spec.car_windows.count(w) > 1}):
        yield f"[windows] car: {window} stands there more than once."
