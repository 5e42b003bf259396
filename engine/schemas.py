"""The columns and keys of every result table, and which tables not every study has."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import polars as pl
from pydantic import Field

from engine.documents import Document

DIGITS = 15
TEXT, WHOLE, NUMBER, DAY = pl.String, pl.Int64, pl.Float64, pl.Date

# Columns of every result table in order; attribute columns follow in cars.
SCHEMAS: dict[str, dict[str, Any]] = {
    "events": {
        "event_id": TEXT, "symbol": TEXT, "exchange": TEXT, "announced_at": TEXT, "stamp_used": TEXT, "event_day": DAY,
        "hours_to_open": NUMBER, "reason": TEXT, "flags": TEXT, "venue_time": TEXT,
    },
    "fits": {
        "event_id": TEXT, "symbol": TEXT, "model": TEXT, "n_obs": WHOLE, "dof": WHOLE, "sigma": NUMBER, "r2": NUMBER,
    },
    "abnormal_returns": {
        "event_id": TEXT, "symbol": TEXT, "relative_day": WHOLE, "date": DAY, "actual": NUMBER, "expected": NUMBER,
        "ar": NUMBER, "sar": NUMBER,
    },
    "cars": {
        "event_id": TEXT, "symbol": TEXT, "window_start": WHOLE, "window_end": WHOLE, "car": NUMBER, "se": NUMBER,
        "t": NUMBER, "p_value": NUMBER, "scar": NUMBER, "bhar": NUMBER, "car_simple": NUMBER, "car_log": NUMBER,
        "car_compound": NUMBER,
    },
    "averages": {
        "group": TEXT, "relative_day": WHOLE, "n": WHOLE, "aar": NUMBER, "caar": NUMBER, "se_aar": NUMBER,
        "se_caar": NUMBER, "share_positive": NUMBER,
    },
    "significance": {
        "group": TEXT, "window_start": WHOLE, "window_end": WHOLE, "test": TEXT, "n": WHOLE, "estimate": NUMBER,
        "statistic": NUMBER, "distribution": TEXT, "p_value": NUMBER, "unavailable": TEXT, "se": NUMBER,
        "ci_low": NUMBER, "ci_high": NUMBER, "p_holm": NUMBER, "p_bh": NUMBER, "p_romano_wolf": NUMBER, "note": TEXT,
        "p_holm_groups": NUMBER, "p_bh_groups": NUMBER, "p_romano_wolf_groups": NUMBER,
    },
    "event_significance": {
        "event_id": TEXT, "symbol": TEXT, "window_start": WHOLE, "window_end": WHOLE, "test": TEXT, "n": WHOLE,
        "estimate": NUMBER, "statistic": NUMBER, "distribution": TEXT, "p_value": NUMBER, "unavailable": TEXT,
        "se": NUMBER, "ci_low": NUMBER, "ci_high": NUMBER, "p_holm": NUMBER, "p_bh": NUMBER, "p_romano_wolf": NUMBER,
        "note": TEXT,
    },
    "crosssection": {
        "specification": TEXT, "window_start": WHOLE, "window_end": WHOLE, "covariance": TEXT, "position": WHOLE,
        "term": TEXT, "estimate": NUMBER, "se": NUMBER, "t": NUMBER, "p_value": NUMBER, "ci_low": NUMBER,
        "ci_high": NUMBER, "distribution": TEXT, "n": WHOLE, "lost": WHOLE, "clusters": WHOLE, "r2": NUMBER,
        "unavailable": TEXT, "note": TEXT,
    },
    "partials": {
        "specification": TEXT, "window_start": WHOLE, "window_end": WHOLE, "position": WHOLE, "term": TEXT,
        "event_id": TEXT, "symbol": TEXT, "x": NUMBER, "y": NUMBER,
    },
    "differences": {
        "column": TEXT, "first": TEXT, "second": TEXT, "window_start": WHOLE, "window_end": WHOLE, "test": TEXT,
        "n": WHOLE, "estimate": NUMBER, "se": NUMBER, "statistic": NUMBER, "distribution": TEXT, "p_value": NUMBER,
        "ci_low": NUMBER, "ci_high": NUMBER, "unavailable": TEXT, "note": TEXT,
    },
    "quantiles": {
        "group": TEXT, "window_start": WHOLE, "window_end": WHOLE, "n": WHOLE, "mean": NUMBER, "sd": NUMBER,
        "min": NUMBER, "p10": NUMBER, "p25": NUMBER, "p50": NUMBER, "p75": NUMBER, "p90": NUMBER, "max": NUMBER,
    },
    "contamination": {
        "event_id": TEXT, "symbol": TEXT, "kind": TEXT, "other_event_id": TEXT, "first": DAY, "last": DAY,
        "consequence": TEXT,
    },
    "exclusions": {"event_id": TEXT, "symbol": TEXT, "stage": TEXT, "reason": TEXT, "detail": TEXT},
    "deals": {
        "event_id": TEXT, "window_start": WHOLE, "window_end": WHOLE, "role": TEXT, "symbol": TEXT, "car": NUMBER,
        "se": NUMBER, "t": NUMBER, "p_value": NUMBER, "dof": WHOLE, "market_value": NUMBER, "currency": TEXT,
        "weight": NUMBER, "gain": NUMBER, "gain_se": NUMBER, "correlation": NUMBER, "common_days": WHOLE, "reason": TEXT,
    },
    "deal_windows": {
        "event_id": TEXT, "symbol": TEXT, "name": TEXT, "start": WHOLE, "end": WHOLE, "first": DAY, "last": DAY,
        "n_days": WHOLE, "car": NUMBER, "se": NUMBER, "t": NUMBER, "p_value": NUMBER, "scar": NUMBER, "bhar": NUMBER,
        "reason": TEXT,
    },
    "deal_significance": {
        "group": TEXT, "measure": TEXT, "window": TEXT, "test": TEXT, "n": WHOLE, "estimate": NUMBER,
        "statistic": NUMBER, "distribution": TEXT, "p_value": NUMBER, "unavailable": TEXT, "se": NUMBER,
        "ci_low": NUMBER, "ci_high": NUMBER, "p_holm": NUMBER, "p_bh": NUMBER, "note": TEXT,
    },
    "quality": {"symbol": TEXT, "kind": TEXT, "first": DAY, "last": DAY, "n": WHOLE, "detail": TEXT},
    "calendar_time": {
        "group": TEXT, "weighting": TEXT, "regression": TEXT, "term": TEXT, "n": WHOLE, "estimate": NUMBER, "se": NUMBER,
        "se_hac": NUMBER, "t": NUMBER, "distribution": TEXT, "p_value": NUMBER, "ci_low": NUMBER, "ci_high": NUMBER,
        "n_periods": WHOLE, "mean_firms": NUMBER, "periods_left_out": WHOLE, "lags": WHOLE, "unavailable": TEXT,
        "no_history": WHOLE,
    },
    "portfolios": {
        "group": TEXT, "weighting": TEXT, "period": DAY, "firms": WHOLE, "actual": NUMBER, "abnormal": NUMBER,
        "standardised": NUMBER,
    },
    "rats": {
        "group": TEXT, "relative_period": WHOLE, "n": WHOLE, "alpha": NUMBER, "se": NUMBER, "t": NUMBER,
        "p_value": NUMBER, "cumulated": NUMBER, "se_cumulated": NUMBER, "t_cumulated": NUMBER, "p_cumulated": NUMBER,
        "unavailable": TEXT,
    },
    "certificate": {
        "group": TEXT, "window_start": WHOLE, "window_end": WHOLE, "kind": TEXT, "test": TEXT, "null": TEXT, "n": WHOLE,
        "draws": WHOLE, "pseudo_dates": WHOLE, "apart": WHOLE, "scale": NUMBER, "size": NUMBER, "band_low": NUMBER,
        "band_high": NUMBER, "holds": TEXT, "p_formula": NUMBER, "p_calibrated": NUMBER, "critical_p": NUMBER,
        "mde": NUMBER, "mde_error": NUMBER, "unavailable": TEXT, "note": TEXT,
    },
    "power": {
        "group": TEXT, "window_start": WHOLE, "window_end": WHOLE, "kind": TEXT, "test": TEXT, "effect": NUMBER,
        "power": NUMBER, "se": NUMBER, "draws": WHOLE,
    },
    "placebo": {
        "group": TEXT, "window_start": WHOLE, "window_end": WHOLE, "null": TEXT, "bin": WHOLE, "low": NUMBER,
        "high": NUMBER, "draws": WHOLE, "caar": NUMBER, "share_beyond": NUMBER,
    },
    "verdicts": {
        "claim": TEXT, "part": WHOLE, "statement": TEXT, "primary": TEXT, "group": TEXT, "window_start": WHOLE,
        "window_end": WHOLE, "test": TEXT, "sign": TEXT, "margin": NUMBER, "n": WHOLE, "estimate": NUMBER,
        "ci_low": NUMBER, "ci_high": NUMBER, "p_value": NUMBER, "p_opposite": NUMBER, "p_calibrated": NUMBER,
        "p_claim": NUMBER, "p_holm": NUMBER, "p_holm_opposite": NUMBER, "power": NUMBER, "power_effect": NUMBER,
        "mde": NUMBER, "mde_error": NUMBER, "verdict": TEXT, "changed": TEXT, "unavailable": TEXT, "note": TEXT,
        "p_opposite_calibrated": NUMBER,
    },
    "influence": {
        "window_start": WHOLE, "window_end": WHOLE, "test": TEXT, "kind": TEXT, "left_out": TEXT, "event_id": TEXT,
        "symbol": TEXT, "n_left_out": WHOLE, "n": WHOLE, "estimate": NUMBER, "statistic": NUMBER, "p_value": NUMBER,
        "change": NUMBER, "sign_change": WHOLE, "turned": WHOLE, "unavailable": TEXT,
    },
    "grid": {
        "spec": WHOLE, "model": TEXT, "estimation_start": WHOLE, "estimation_end": WHOLE, "benchmark": TEXT,
        "returns": TEXT, "window_start": WHOLE, "window_end": WHOLE, "test": TEXT, "n": WHOLE, "estimate": NUMBER,
        "se": NUMBER, "ci_low": NUMBER, "ci_high": NUMBER, "statistic": NUMBER, "distribution": TEXT, "p_value": NUMBER,
        "significant": WHOLE, "primary": WHOLE, "unavailable": TEXT, "note": TEXT,
    },
    "trading": {
        "event_id": TEXT, "symbol": TEXT, "relative_day": WHOLE, "date": DAY, "close": NUMBER, "volume": NUMBER,
    },
    "trades": {
        "event_id": TEXT, "symbol": TEXT, "leg": TEXT, "side": TEXT, "status": TEXT, "entry_day": DAY, "entry_at": TEXT,
        "waited": WHOLE, "exit_day": DAY, "sessions": WHOLE, "hedge": TEXT, "beta": NUMBER, "size": NUMBER,
        "capacity": NUMBER, "entry_price": NUMBER, "exit_price": NUMBER, "listing_return": NUMBER, "hedge_return": NUMBER,
        "gross": NUMBER, "cost": NUMBER, "borrow": NUMBER, "net": NUMBER, "reason": TEXT,
    },
    "equity": {
        "date": DAY, "positions": WHOLE, "gross_exposure": NUMBER, "net_exposure": NUMBER, "profit": NUMBER,
        "cost": NUMBER, "equity": NUMBER, "drawdown": NUMBER, "placebo_low": NUMBER, "placebo_high": NUMBER,
    },
    "backtest": {
        "leg": TEXT, "measure": TEXT, "n": WHOLE, "value": NUMBER, "se": NUMBER, "low": NUMBER, "high": NUMBER,
        "unavailable": TEXT, "note": TEXT,
    },
    "trials": {
        "trial": WHOLE, "model": TEXT, "estimation_start": WHOLE, "estimation_end": WHOLE, "benchmark": TEXT,
        "returns": TEXT, "hold": WHOLE, "n": WHOLE, "sharpe": NUMBER, "primary": WHOLE, "unavailable": TEXT,
    },
}  # fmt: skip

# The tables that not every study has.
OPTIONAL = frozenset(
    {
        "abnormal_returns", "calendar_time", "portfolios", "rats", "crosssection", "partials", "deals", "deal_windows",
        "deal_significance", "influence", "grid", "trading", "trades", "equity", "backtest", "trials", "certificate", "power",
        "placebo", "verdicts",
    }
)  # fmt: skip

# What `run --dry-run` prints; not a part of a result.
DRY_RUN = {
    "event_id": TEXT, "symbol": TEXT, "event_day": DAY, "estimation_rows": WHOLE, "event_rows": WHOLE, "stage": TEXT,
    "reason": TEXT, "detail": TEXT,
}  # fmt: skip

KEYS: dict[str, tuple[str, ...]] = {
    "events": ("event_id", "symbol"),
    "fits": ("event_id", "symbol"),
    "abnormal_returns": ("event_id", "symbol", "relative_day"),
    "cars": ("event_id", "symbol", "window_start", "window_end"),
    "averages": ("group", "relative_day"),
    "significance": ("group", "window_start", "window_end", "test"),
    "event_significance": ("event_id", "symbol", "window_start", "window_end", "test"),
    "crosssection": ("specification", "window_start", "window_end", "covariance", "position"),
    "partials": ("specification", "window_start", "window_end", "position", "event_id", "symbol"),
    "differences": ("column", "first", "second", "window_start", "window_end", "test"),
    "quantiles": ("group", "window_start", "window_end"),
    "contamination": ("event_id", "symbol", "kind", "other_event_id", "first"),
    "exclusions": ("event_id", "symbol", "stage", "reason", "detail"),
    "deals": ("event_id", "window_start", "window_end", "role", "symbol"),
    "deal_windows": ("event_id", "symbol", "name"),
    "deal_significance": ("group", "measure", "window", "test"),
    "quality": ("symbol", "kind", "first", "last", "detail"),
    "calendar_time": ("group", "weighting", "regression", "term"),
    "portfolios": ("group", "weighting", "period"),
    "rats": ("group", "relative_period"),
    "certificate": ("group", "window_start", "window_end", "kind", "test", "null"),
    "power": ("group", "window_start", "window_end", "kind", "test", "effect"),
    "placebo": ("group", "window_start", "window_end", "null", "bin"),
    "verdicts": ("claim", "part"),
    "influence": ("window_start", "window_end", "test", "kind", "left_out"),
    "grid": ("spec",),
    "trading": ("event_id", "symbol", "relative_day"),
    "trades": ("event_id", "symbol", "leg"),
    "equity": ("date",),
    "backtest": ("leg", "measure"),
    "trials": ("trial",),
}


# The manifest of a result. What a run always writes stands in `ALWAYS`; a golden result of an earlier version may lack some.


class ResultSnapshot(Document):
    """The prices of a result. The rest of it is what the snapshot's own manifest states."""

    name: str
    redistributable: bool
    sha256: dict[str, str] = Field(default_factory=dict)
    source: str | None = None
    licence: str | None = None
    retrieved_on: str | None = None
    limits: str | None = None


class PairCounts(Document):
    calendar: int
    used: int


class Listing(Document):
    name: str | None = None
    name_zh: str | None = None
    exchange: str
    benchmark: str


class SeriesLine(Document):
    symbol: str
    prices: str
    rows_off_session: int
    stale_rows: int


class FirmCounts(Document):
    rows: dict[str, int]
    firms: int
    clusters: int
    mean_correlation: float | None
    effective_events: float | None


class Specification(Document):
    name: str
    formula: str


class Drawn(Document):
    seed: int
    runup: Annotated[list[int], Field(min_length=2, max_length=2)]
    runup_share: float


class ResultManifest(Document):
    """The manifest of a result, as `engine.manifest` writes it."""

    study: str
    study_sha256: str
    calendar_sha256: dict[str, str]
    code_sha256: dict[str, str] = Field(default_factory=dict)
    snapshot: ResultSnapshot
    settings: dict[str, Any]
    versions: dict[str, str]
    kernel: Literal["numpy", "numba"]
    seed: int | None = None
    fingerprints: dict[str, str] = Field(default_factory=dict)
    first_fingerprints: dict[str, str] = Field(default_factory=dict)
    withheld: dict[str, dict[str, str]] = Field(default_factory=dict)
    coefficients: list[str] = Field(default_factory=list)
    specifications: list[Specification] = Field(default_factory=list)
    claims: list[str] = Field(default_factory=list)
    closes: dict[str, str] = Field(default_factory=dict)
    pairs: PairCounts | None = None
    contamination: FirmCounts | None = None
    listings: dict[str, Listing] = Field(default_factory=dict)
    quality: list[SeriesLine] = Field(default_factory=list)
    pseudo_samples: Drawn | None = None


ALWAYS = (
    "study", "study_sha256", "calendar_sha256", "snapshot", "settings", "versions", "kernel", "seed", "fingerprints",
    "coefficients", "specifications", "closes", "pairs", "contamination", "listings", "quality",
)  # fmt: skip
