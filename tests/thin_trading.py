"""docs/thin-trading.md: how often two tests reject a true null on shares that do not trade every day, by model.

`python tests/thin_trading.py` writes the table between the page's markers anew; tests/test_thin_trading.py holds the page to it.

The true return of a share is 0.0002 + beta R_m + e, beta uniform on [0.5, 1.5], R_m with sd 1 %, e with sd 2 %. On a day it
trades with its own probability, uniform on [0.3, 0.8]; the price shown is that of the last trade, so a day without one shows zero
and the next trade shows all that was missed. Trade to trade, a day without a trade has no return and the next one runs over
all of them; a share is then in the sample if it traded on the day before the window and on its last. There is no abnormal
return anywhere. 50 shares, each on a date of its own, estimation window [-250, -11], CAR over [0, 4], two-sided tests at 5 %.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from engine.abnormal import abnormal_returns, cumulate
from engine.models import NormalFits, fit
from engine.sessions import Window
from engine.significance import CarSample, evaluate

PAGE = Path(__file__).parents[1] / "docs" / "thin-trading.md"
START, END = "<!-- table:start -->\n", "<!-- table:end -->"
ROWS, EVENT, CAR = Window(-250, -11), Window(-5, 5), Window(0, 4)
SHARES, REPLICATIONS, SEED = 50, 2000, 20260213
TESTS = ("bmp", "corrado_zivney")
SCENARIOS = {"any day": 0.0, "the market moves 2 % on day 0": 0.02}

# name -> fits of (N, R) returns and (N, K, R) regressors, ahead of (N, K, L); another way to treat thin trading is a line here.
ESTIMATORS: dict[str, Callable[[np.ndarray, np.ndarray, np.ndarray], NormalFits]] = {
    "market": lambda y, x, ahead: _fitted("market", y, x, ahead),
    "scholes_williams": lambda y, x, ahead: _fitted("scholes_williams", y, x, ahead),
    "dimson": lambda y, x, ahead: _fitted("dimson", y, x, ahead, leads_lags=3),
    "trade_to_trade": lambda y, x, ahead: fit("market", y, x, ahead, ROWS, _own(y), bridged=True),
}
WORDS = {"dimson": "dimson, leads_lags = 3", "trade_to_trade": "market, trade to trade"}


def _fitted(model: str, y: np.ndarray, x: np.ndarray, ahead: np.ndarray, **options: int) -> NormalFits:
    return fit(model, y, x, ahead, ROWS, _own(y), options=options)


def _own(y: np.ndarray) -> np.ndarray:
    return np.array([[ROWS.start, ROWS.end]] * len(y))


@dataclass(frozen=True)
class Shares:
    """Returns as the prices show them, (N, S), and the market's; between trades, NaN without one, and the sessions they cover."""

    returns: np.ndarray
    market: np.ndarray
    bridged: np.ndarray
    bridged_market: np.ndarray
    spans: np.ndarray


def draw(rng: np.random.Generator, move: float) -> Shares:
    """move: the market's return on day 0, drawn like any other where it is zero."""
    days = EVENT.end - ROWS.start + 1
    market = rng.normal(0.0004, 0.01, (SHARES, days))
    if move:
        market[:, -ROWS.start] = move
    beta = rng.uniform(0.5, 1.5, SHARES)[:, None]
    true = 0.0002 + beta * market + rng.normal(0, 0.02, (SHARES, days))
    trades = rng.random((SHARES, days)) < rng.uniform(0.3, 0.8, SHARES)[:, None]
    path = np.cumsum(true, axis=1)
    last = np.maximum.accumulate(np.where(trades, np.arange(days), 0), axis=1)
    shown = np.take_along_axis(path, last, axis=1)
    before = np.concatenate([last[:, :1], last[:, :-1]], axis=1)  # the last trade until the day before
    total = np.cumsum(market, axis=1)
    since = [np.where(trades, v - np.take_along_axis(v, before, axis=1), np.nan) for v in (path, total)]
    spans = np.where(trades & (np.arange(days) > before), np.arange(days) - before, np.nan)
    return Shares(np.diff(shown, axis=1, prepend=shown[:, :1]), market, *since, spans)


def sample_of(shares: Shares, estimator: str) -> CarSample:
    rows, ahead = slice(0, len(ROWS)), slice(EVENT.start - ROWS.start, None)
    returns, market = shares.returns, shares.market[:, None]
    if estimator == "trade_to_trade":
        returns, market = shares.bridged, np.stack([shares.spans, shares.bridged_market], axis=1)
    fits = ESTIMATORS[estimator](returns[:, rows], market[:, :, rows], market[:, :, ahead])
    abnormal = abnormal_returns(returns[:, ahead], fits, EVENT)
    cars = cumulate(abnormal, fits, CAR, log_returns=False)
    inside = np.flatnonzero(cars.complete)
    n, spans = len(inside), None if abnormal.spans is None else abnormal.spans[inside]
    ar = abnormal.ar[inside]
    return CarSample(
        group="all", window=CAR, event_window=EVENT, car=cars.car[inside], car_se=cars.se[inside], scar=cars.scar[inside],
        bhar=cars.bhar[inside], sigma=fits.sigma[inside], dof=fits.dof[inside], spans=spans,
        ar=ar if spans is None else ar / np.sqrt(spans),
        residuals=fits.residuals[inside], residual_days=np.tile(np.arange(len(ROWS)), (n, 1)),
        event_days=np.tile(np.arange(len(EVENT)) + 1000, (n, 1)), dates=np.arange(n), firms=np.arange(n),
        alternative="two-sided", alpha=0.05,
    )  # fmt: skip


def rejections(replications: int) -> dict[tuple[str, str, str], float]:
    """(scenario, estimator, test) -> the share of replications that reject at 5 %; all estimators see the same draws."""
    counts = dict.fromkeys(((s, e, t) for s in SCENARIOS for e in ESTIMATORS for t in TESTS), 0)
    for number, (scenario, move) in enumerate(SCENARIOS.items()):
        rng = np.random.default_rng([SEED, number])
        for _ in range(replications):
            shares = draw(rng, move)
            for estimator in ESTIMATORS:
                sample = sample_of(shares, estimator)
                for test in TESTS:
                    counts[scenario, estimator, test] += evaluate(test, sample).p_value < 0.05
    return {key: count / replications for key, count in counts.items()}


def table_of(found: dict[tuple[str, str, str], float]) -> Iterator[str]:
    yield f"| day 0 | model | {' | '.join(f'`{t}`' for t in TESTS)} |"
    yield "|---|---|" + "---:|" * len(TESTS)
    for scenario in SCENARIOS:
        for estimator in ESTIMATORS:
            cells = " | ".join(f"{100 * found[scenario, estimator, t]:.1f} %" for t in TESTS)
            yield f"| {scenario} | {WORDS.get(estimator, estimator)} | {cells} |"


def between(text: str) -> str:
    return text.partition(START)[2].partition(END)[0]


if __name__ == "__main__":
    text = PAGE.read_text(encoding="utf-8")
    fresh = "\n".join(table_of(rejections(int(sys.argv[1]) if len(sys.argv) > 1 else REPLICATIONS))) + "\n"
    PAGE.write_text(text.replace(START + between(text), START + fresh), encoding="utf-8")
