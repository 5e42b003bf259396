"""The tables of ``study.toml``, one class each, and the design that they make up."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)

from engine.sessions import FARTHEST, Window
from engine.spec.claims import CertificateRule, Claim, digest
from engine.spec.ends import End, read_end

Alternative = Literal["two-sided", "greater", "less"]


@dataclass(frozen=True)
class Known:
    """The names that this installation has. factor_models: the models that take the factors of ``[factors]``; resampling:
    the tests that need ``[resampling]``. outcomes: what may be measured. bridged: the models of trade-to-trade returns.
    covariances: of the cross-section. stamps: the columns that a named window may begin or end at. group_tests: the tests of
    a whole sample; claimable: those of a mean CAR, which a claim may name."""

    models: frozenset[str]
    factor_models: frozenset[str]
    tests: frozenset[str]
    resampling: frozenset[str]
    charts: frozenset[str]
    outcomes: frozenset[str]
    bridged: frozenset[str]
    covariances: frozenset[str]
    stamps: frozenset[str]
    group_tests: frozenset[str]
    claimable: frozenset[str] = frozenset()


LONGEST_NAME, LONGEST_PATH = 255, 4_000  # bytes of a file name and of a path, on every common file system


def _nameable(path: str) -> str:
    """A path that a file can have."""
    if not path.strip():
        raise ValueError("should name a file or folder")
    if "\0" in path:
        raise ValueError("holds a zero byte, which no path has")
    names = path.encode(errors="replace").replace(b"\\", b"/").split(b"/")
    if max(map(len, names)) > LONGEST_NAME or len(path.encode(errors="replace")) > LONGEST_PATH:
        raise ValueError(f"is longer than a path may be: {LONGEST_NAME} bytes a name, {LONGEST_PATH} in all")
    return path


FilePath = Annotated[str, AfterValidator(_nameable)]


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class Events(_Table):
    file: FilePath | None = None
    calendar: FilePath | None = None
    select: dict[str, list[str]] = {}
    reaction: Literal["close", "open"]
    stamp: Literal["first_public_at", "announced_at"]
    max_gap_days: int = Field(ge=0, le=FARTHEST)
    joint: bool = False


class Prices(_Table):
    snapshot: FilePath
    returns: Literal["simple", "log"]
    missing: Literal["exclude", "trade_to_trade"] = "exclude"
    currency: str = Field(default="local", pattern="^(local|[A-Z]{3})$")


class OutcomeChoice(_Table):
    name: str = "return"


class Benchmark(_Table):
    default: str | None = None
    by_exchange: dict[str, str] = {}
    baskets: dict[str, Annotated[list[str], Field(min_length=2)]] = {}
    own_weight: dict[str, Annotated[float, Field(gt=0, lt=1)]] = {}


LOCAL_US_FX = "local_us_fx"


class Factors(_Table):
    """Factors beside the benchmark. set: a file of factors by its name, which is in excess of its risk-free rate, or
    ``local_us_fx``: the local benchmark, the index ``us`` as of its last close, and the rate of the listing's currency, raw."""

    snapshot: FilePath | None = None
    set: FilePath | None = None
    columns: list[str] = []
    units: Literal["percent", "fraction"] = "percent"
    excess: bool
    us: str = "^GSPC"

    @property
    def of_file(self) -> str | None:
        """The name of a set that is a file of factors."""
        return None if self.is_world else self.set

    @property
    def is_world(self) -> bool:
        """Whether the factors are the US index and the rate of each listing's currency."""
        return self.set == LOCAL_US_FX

    @property
    def has_market(self) -> bool:
        """Whether the set brings its own market, which then takes the benchmark's place."""
        return self.of_file is not None and (not self.columns or "Mkt-RF" in self.columns)

    @model_validator(mode="before")
    @classmethod
    def _excess_of_a_set(cls, raw: Any) -> Any:
        """Excess returns are what the factors of a file explain; series of the snapshot have no risk-free rate."""
        return {"excess": raw.get("set", LOCAL_US_FX) != LOCAL_US_FX} | raw if isinstance(raw, dict) else raw


class SessionRule(_Table):
    calendar: Literal["exchange", "benchmark"] = "exchange"
    closes: dict[str, str] = {}


# The keys of [model] that one model alone takes, with their defaults; None has no default.
MODEL_KEYS: dict[str, dict[str, Any]] = {
    "dimson": {"leads_lags": 1},
    "rolling": {"window": 60},
    "exponential": {"half_life": 30.0},
    "matched": {"peers": None, "weights": "equal"},
    "custom": {"file": None, "function": None},
}


class ModelChoice(_Table):
    """A key that only some models take is None for the others (`MODEL_KEYS`)."""

    name: str
    estimation_window: list[int] = Field(min_length=2, max_length=2)
    min_estimation_days: int = Field(ge=3)
    leads_lags: int | None = Field(default=None, ge=1, le=20)
    window: int | None = Field(default=None, ge=3)
    half_life: float | None = Field(default=None, ge=1)
    peers: str | None = None
    weights: Literal["equal", "value"] | None = None
    file: FilePath | None = None
    function: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _defaults_of_the_model(cls, raw: Any) -> Any:
        """The keys of the model chosen that are not given get its defaults, so that every run states them."""
        name = raw.get("name") if isinstance(raw, dict) else None
        return MODEL_KEYS.get(name, {}) | raw if isinstance(name, str) else raw

    @model_serializer(mode="wrap")
    def _without_foreign_keys(self, plain: SerializerFunctionWrapHandler) -> dict[str, Any]:
        foreign = {key for keys in MODEL_KEYS.values() for key in keys} - set(MODEL_KEYS.get(self.name, {}))
        made: dict[str, Any] = plain(self)
        return {key: value for key, value in made.items() if key not in foreign}

    @property
    def options(self) -> dict[str, Any]:
        """The keys that the model's function takes as keywords."""
        own = MODEL_KEYS.get(self.name, {})
        return {key: getattr(self, key) for key in ("leads_lags", "window", "half_life") if key in own}


class Windows(_Table):
    event: list[int] = Field(min_length=2, max_length=2)
    car: list[list[int]] = Field(min_length=1)
    named: dict[str, list[int | str]] = {}


class SignificanceChoice(_Table):
    """samples: groups by name, each the rows that have one of the values in every column named."""

    tests: list[str]
    group_by: list[str] = []
    samples: dict[str, dict[str, Annotated[list[str], Field(min_length=1)]]] = {}
    alternative: Alternative = "two-sided"
    alpha: float = Field(default=0.05, gt=0, lt=1)


class ContaminationRule(_Table):
    policy: Literal["flag", "exclude", "trim_estimation"] = "flag"


class Resampling(_Table):
    seed: int = Field(ge=0)
    draws: int = Field(ge=99, le=1_000_000)
    controls: list[str] = []


class Deals(_Table):
    currency: str = Field(pattern="^[A-Z]{3}$")
    unit: Literal["one", "thousand", "million", "billion"]
    rates: dict[str, Annotated[float, Field(gt=0)]] = {}


class CalendarTime(_Table):
    """Portfolios in calendar time. hold: the first and last session relative to day 0 on which a firm is held; months: the
    calendar months after the one of day 0. lags: of Newey-West, None for floor(4 (T/100)^(2/9)). history, min_history: the
    periods before each that standardise its abnormal return, and the fewest of them with a return of every firm."""

    frequency: Literal["daily", "monthly"]
    hold: list[int] | None = Field(default=None, min_length=2, max_length=2)
    months: int | None = Field(default=None, ge=1, le=600)
    weights: list[Literal["equal", "value"]] = Field(default=["equal"], min_length=1)
    market_value: str = "market_value"
    min_firms: int = Field(default=5, ge=1)
    lags: int | None = Field(default=None, ge=0, le=FARTHEST)
    history: int = Field(default=60, ge=3, le=FARTHEST)
    min_history: int = Field(default=36, ge=3, le=FARTHEST)
    rats: bool = False


class CrossSection(_Table):
    formula: str | list[str] | dict[str, str]
    windows: list[list[int]] = []
    covariance: list[str] = Field(default=["HC3"], min_length=1)
    weights: Literal["none", "forecast_variance"] = "none"

    @property
    def formulas(self) -> dict[str, str]:
        """Name of each specification -> its formula; without names they are ``1``, ``2``, ..."""
        if isinstance(self.formula, dict):
            return self.formula
        listed = [self.formula] if isinstance(self.formula, str) else self.formula
        return {str(i): text for i, text in enumerate(listed, 1)}


class Grid(_Table):
    """Further choices beside the study's own, which every list is tried with (`engine.spec.variants`).

    benchmark: of every listing, or by exchange. car: inside the event window. hold: of the backtest, in sessions.
    """

    model: list[str] = []
    estimation_window: list[Annotated[list[int], Field(min_length=2, max_length=2)]] = []
    car: list[Annotated[list[int], Field(min_length=2, max_length=2)]] = []
    benchmark: list[str | dict[str, str]] = []
    test: list[str] = []
    returns: list[Literal["simple", "log"]] = []
    hold: list[Annotated[int, Field(ge=1, le=FARTHEST)]] = []


class Leg(_Table):
    """One position of the rule. side: with the expected sign or against it; delay: sessions after the first fill that is
    possible; hold: sessions."""

    side: Literal["expected", "opposite"] = "expected"
    delay: int = Field(default=0, ge=0, le=FARTHEST)
    hold: int = Field(ge=1, le=FARTHEST)


class Backtest(_Table):
    """The calendar as signals. entry: the first open or close after the stamp, or the first close.

    hold: sessions of the one leg ``signal``, or several ``legs`` by name. cost_bp: of the value traded, each way, for
    listing and hedge. borrow_bp: a year, of a listing sold short. size: a position's share of the capital. max_wait: sessions
    that an order waits for a fill. notional: of a position in the listing's currency, at most ``participation`` of the daily
    traded value; None: whatever the capacity.
    """

    entry: Literal["open", "close"]
    hold: int | None = Field(default=None, ge=1, le=FARTHEST)
    legs: dict[str, Leg] = {}
    cost_bp: float = Field(ge=0, le=10_000)
    borrow_bp: float = Field(ge=0, le=100_000)
    size: float = Field(default=0.1, gt=0, le=1)
    max_wait: int = Field(default=5, ge=0, le=250)
    notional: float | None = Field(default=None, gt=0)
    participation: float = Field(default=0.05, gt=0, le=1)

    @property
    def named_legs(self) -> dict[str, Leg]:
        """Name of each leg -> the leg."""
        return self.legs or {"signal": Leg(hold=self.hold or 1)}


class Limits(_Table):
    max_excluded_share: float = Field(default=0.10, ge=0, le=1)
    allow_missing_symbols: bool = False


class Output(_Table):
    abnormal_returns: bool | None = None


class Report(_Table):
    charts: list[str] = ["caar_path", "car_forest"]
    theme: FilePath | None = None
    event: str | None = None


class StudySpec(_Table):
    """One study's design; frozen. Windows are also available as `Window` objects."""

    title: str = Field(min_length=1)
    question: str = ""
    events: Events
    prices: Prices
    outcome: OutcomeChoice = OutcomeChoice()
    benchmark: Benchmark = Benchmark()
    factors: Factors | None = None
    sessions: SessionRule = SessionRule()
    model: ModelChoice
    windows: Windows
    significance: SignificanceChoice
    contamination: ContaminationRule = ContaminationRule()
    resampling: Resampling | None = None
    deals: Deals | None = None
    calendar_time: CalendarTime | None = None
    crosssection: CrossSection | None = None
    claims: dict[str, Claim] = {}
    certificate: CertificateRule | None = None
    grid: Grid | None = None
    backtest: Backtest | None = None
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

    @property
    def named_windows(self) -> dict[str, tuple[End, End]]:
        """The windows whose ends differ by event, as `End` objects."""
        pairs = {name: [read_end(value) for value in pair] for name, pair in self.windows.named.items()}
        return {name: (a, b) for name, (a, b) in pairs.items() if a is not None and b is not None}

    @property
    def crosssection_windows(self) -> tuple[Window, ...]:
        """The windows whose CARs are explained, the primary one unless others are asked for."""
        asked = self.crosssection.windows if self.crosssection is not None else []
        return tuple(Window(*w) for w in asked) or self.car_windows[:1]

    def fingerprints(self) -> dict[str, str]:
        """The sha256 of what was fixed in advance: of every claim by its name, and of the whole ``design`` without them.

        Of what was chosen, not of defaults, so that a key of a later version changes nothing. Neither the words of the study nor
        what only shows its results are part of it.
        """
        chosen = self.model_dump(mode="json", exclude_defaults=True)
        claims = {f"claim {name}": digest(claim) for name, claim in chosen.pop("claims", {}).items()}
        shown = ("title", "question", "report", "output", "certificate")
        return {"design": digest({key: value for key, value in chosen.items() if key not in shown})} | claims

    def settings(self) -> dict[str, Any]:
        """Every setting with its value, defaults written out."""
        return self.model_dump(mode="json")
