"""Simulated event studies whose truth is known: the markets, and the engine's own way from returns to tests.

A replication is a market of `SESSIONS` sessions and N events; it is drawn from a seed of its own (scenario, N, number), so
that its numbers depend on no other replication and on no worker. Returns are beta times the market (sd 1 %, beta uniform
on 0.5 to 1.5) plus a residual (sd 2 %), and go through `engine.panel`, `engine.models`, `engine.abnormal`,
`engine.placebo` and `engine.significance` as those of a study do. An effect is added to the returns of day 0 and touches
nothing else: the same draws serve every effect.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt

from engine.abnormal import abnormal_returns, cumulate
from engine.firm_placebo import FirmPlacebo, firm_pseudo_events
from engine.lines import Line
from engine.models import MODELS, NormalFits, fit
from engine.panel import EventPanel, Pair, build_panel
from engine.placebo import Design, Placebo, clusters, placebo_of, pseudo_dates
from engine.samples import Draws, sample_of
from engine.sessions import Days, Window
from engine.significance import FIRM_TESTS, PSEUDO_DATE_TESTS, CarSample, Resampling, inversion, rank

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

SEED = 20260213
SESSIONS = 400
ESTIMATION, EVENT = Window(-130, -11), Window(-5, 5)
FIRST, LAST = 140, 390  # day 0 lies in [FIRST, LAST): room for both windows
ONE_DATE = 260
BETA, MARKET_SD, RESIDUAL_SD = (0.5, 1.5), 0.01, 0.02
EFFECTS = (0.0, 0.005, 0.01, 0.02)
WINDOWS = (Window(0, 0), Window(-5, 5))  # the first has the power too
DRAWS = 499
ALPHA = 0.05
CONTROLS = 10  # listings without an event


@dataclass(frozen=True)
class Scenario:
    """What is unlike the null of independent normal residuals.

    dates: "one" day 0 for all, "many" (a day of its own for each), or "pairs" (two events a day). firms_per_event: firms
    over events. spread: of day 0's residual. rho: correlation of the residuals of two firms on one day. tails: degrees
    of freedom of Student t, 0 for normal. traded: share of days with a trade; a day without has return 0, the next trade
    the sum. shortest: estimation days of the youngest listing, uniform up to all. missing: share of event-window days
    without a return.
    """

    words: str
    dates: str = "many"
    firms_per_event: float = 1.0
    spread: float = 1.0
    rho: float = 0.0
    tails: int = 0
    traded: float = 1.0
    shortest: int = len(ESTIMATION)
    missing: float = 0.0


SCENARIOS = {
    "null": Scenario("independent, each event on a day of its own"),
    "null_one_date": Scenario("independent, one date", dates="one"),
    "variance": Scenario("event-day sd x 1.5, many dates", spread=1.5),
    "variance_one_date": Scenario("event-day sd x 1.5, one date", dates="one", spread=1.5),
    "correlation_0.1": Scenario("one date, residual correlation 0.1", dates="one", rho=0.1),
    "correlation_0.2": Scenario("one date, residual correlation 0.2", dates="one", rho=0.2),
    "staggered": Scenario("a firm has four events, two events a day, correlation 0.2", "pairs", 0.25, rho=0.2),
    "thin": Scenario("a trade on 60 % of the days", traded=0.6),
    "unequal": Scenario("40 to 120 estimation days", shortest=40),
    "heavy_tails": Scenario("residuals Student t(4)", tails=4),
    "missing": Scenario("5 % of the event-window days missing", missing=0.05),
}


def seed_of(scenario: str, n: int, replication: int, seed: int = SEED) -> np.random.SeedSequence:
    return np.random.SeedSequence(seed, spawn_key=(*scenario.encode(), n, replication))


@dataclass(frozen=True)
class Market:
    """returns: (F + CONTROLS, S) of the firms, those without an event last; benchmark: (S,); firm, position: (N,) firm and
    day 0 of each event."""

    returns: Floats
    benchmark: Floats
    firm: Ints
    position: Ints


def market(kind: Scenario, n: int, rng: np.random.Generator) -> Market:
    firms = n if kind.firms_per_event == 1 else max(4, int(n * kind.firms_per_event))
    firm = np.arange(n) % firms
    position = _days_0(kind.dates, n, rng)
    benchmark = rng.normal(0, MARKET_SD, SESSIONS)
    shape = (firms + CONTROLS, SESSIONS)
    own = rng.standard_t(kind.tails, shape) * np.sqrt(1 - 2 / kind.tails) if kind.tails else rng.normal(size=shape)
    residual = np.sqrt(kind.rho) * rng.normal(size=SESSIONS) + np.sqrt(1 - kind.rho) * own
    residual[firm, position] *= kind.spread
    returns = rng.uniform(*BETA, len(own))[:, None] * benchmark + RESIDUAL_SD * residual
    if kind.traded < 1:
        returns = _thinly_traded(returns, rng.random(shape) < kind.traded)
    if kind.shortest < len(ESTIMATION):
        days = rng.integers(kind.shortest, len(ESTIMATION) + 1, n)
        for i in range(n):
            returns[i, : position[i] + ESTIMATION.end + 1 - days[i]] = np.nan
    if kind.missing:
        place = position[:, None] + EVENT.days
        gone = rng.random(place.shape) < kind.missing
        returns[np.broadcast_to(firm[:, None], place.shape)[gone], place[gone]] = np.nan
    return Market(returns, benchmark, firm, position)


def _days_0(dates: str, n: int, rng: np.random.Generator) -> Ints:
    if dates == "one":
        return np.full(n, ONE_DATE)
    each = 2 if dates == "pairs" else 1
    return np.repeat(np.sort(rng.choice(np.arange(FIRST, LAST), n // each, replace=False)), each)


def _thinly_traded(returns: Floats, traded: npt.NDArray[np.bool_]) -> Floats:
    """The returns seen if a price moves only on days with a trade."""
    path = np.cumsum(returns, axis=1)
    last = np.maximum.accumulate(np.where(traded, np.arange(returns.shape[1]), 0), axis=1)
    return np.diff(np.take_along_axis(path, last, axis=1), axis=1, prepend=0.0)


def panel_of(made: Market) -> tuple[EventPanel, list[Line]]:
    """The events as the engine's panel, and the lines of the firms without an event."""
    dates = np.datetime64("2020-01-01") + np.arange(SESSIONS)
    lines = []
    for i, own in enumerate(made.returns):
        regressors = np.where(np.isfinite(own), made.benchmark, np.nan)[None]
        lines.append(Line(f"F{i:03d}", "MKT", "", dates, own, regressors, np.zeros(SESSIONS), "", "", 0, 0))
    keys = [(line.symbol, "MKT", "") for line in lines]
    pairs = [
        Pair(f"e{i}", keys[f][0], keys[f], dates[p], ESTIMATION)
        for i, (f, p) in enumerate(zip(made.firm, made.position, strict=True))
    ]
    return build_panel(pairs, dict(zip(keys, lines, strict=True)), EVENT), lines[-CONTROLS:]


def draws_of(
    panel: EventPanel, controls: list[Line], fits: NormalFits, min_days: int, tests: set[str], rng: np.random.Generator
) -> Draws:
    """What the resampling tests draw from, as in `engine.samples`."""
    cluster = clusters([p.event_id for p in panel.pairs], [p.event_day for p in panel.pairs])
    resampling = Resampling(cluster, DRAWS, int(rng.integers(2**31)))
    dates_rng, firms_rng = rng.spawn(2)
    real: dict[str, Days] = {}
    for pair in panel.pairs:
        real[pair.symbol] = np.append(real.get(pair.symbol, np.empty(0, "datetime64[D]")), pair.event_day)
    design = Design(MODELS["market"], EVENT, tuple(sorted(WINDOWS)), min_days, False, {})
    dates: Placebo | None = None
    firms: FirmPlacebo | None = None
    if PSEUDO_DATE_TESTS & tests:
        dates = placebo_of(pseudo_dates(panel, real, design), DRAWS, dates_rng)
    if FIRM_TESTS & tests:
        abnormal = abnormal_returns(panel.event_returns, fits, EVENT)
        cars = [cumulate(abnormal, fits, window, False) for window in design.windows]
        firms = firm_pseudo_events(panel, cars, controls, real, {}, design, DRAWS, lambda cell: firms_rng.spawn(1)[0])
    return Draws(dates, firms, resampling)


def with_effect(draws: Draws, effect: float) -> Draws:
    """The pools of `firm_permutation` hold the events' own CARs, which an effect on day 0 shifts in both windows."""
    if draws.firms is None or not effect:
        return draws
    cells = []
    for cell in draws.firms.cells:
        own = (np.arange(len(cell.cars)) < cell.own)[:, None]
        cells.append(replace(cell, cars=cell.cars + effect * own))
    return replace(draws, firms=replace(draws.firms, cells=tuple(cells)))


@contextmanager
def without_intervals() -> Iterator[None]:
    """Tests do not search for the ends of their intervals, which takes most of their time and is not looked at here."""
    kept = inversion.DOUBLINGS, rank.MOST_RANKED
    inversion.DOUBLINGS = rank.MOST_RANKED = 0
    try:
        yield
    finally:
        inversion.DOUBLINGS, rank.MOST_RANKED = kept


def samples(
    scenario: str, n: int, replication: int, effects: Iterable[float], tests: set[str], seed: int = SEED
) -> Iterator[tuple[Window, float, CarSample]]:
    """The samples of one replication: both windows without effect, the first window with each of the other effects.

    tests: what the samples must hold data for.
    """
    kind = SCENARIOS[scenario]
    own, drawn = (np.random.default_rng(s) for s in seed_of(scenario, n, replication, seed).spawn(2))
    made = market(kind, n, own)
    panel, controls = panel_of(made)
    fits = fit("market", panel.returns, panel.regressors, panel.event_regressors, ESTIMATION, panel.own)
    draws = draws_of(panel, controls, fits, kind.shortest, tests, drawn)
    spec: Any = SimpleNamespace(significance=SimpleNamespace(alternative="two-sided", alpha=ALPHA, tests=tests))
    for effect in effects:
        seen = panel.event_returns + effect * (EVENT.days == 0)
        abnormal = abnormal_returns(seen, fits, EVENT)
        for window in WINDOWS if effect == 0 else WINDOWS[:1]:
            cars = cumulate(abnormal, fits, window, log_returns=False)
            with_it = with_effect(draws, effect)
            sample = sample_of("all", np.arange(n), cars, panel, abnormal, fits, spec, made.firm, with_it)
            yield window, effect, sample
