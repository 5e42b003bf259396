"""docs/thin-trading.csv and .md: how often two tests reject a true null on shares that do not trade every day, by model.

`python tests/thin_trading.py` counts anew and writes both; with names of models behind it, only these are counted and the other
lines stay. tests/test_thin_trading.py holds the page to the counts and the counts to their first replications.

The true return of a share is 0.0002 + beta R_m + e, beta uniform on [0.5, 1.5], R_m with sd 1 %, e with sd 2 %. On a day it
trades with its own probability, uniform on [0.3, 0.8]; the price shown is that of the last trade, so a day without one shows zero
and the next trade shows all that was missed. Trade to trade, a day without a trade has no return and the next one runs over
all of them; a share is then in the sample if it traded on the day before the window and on its last. There is no abnormal
return anywhere. 50 shares, each on a date of its own, estimation window [-250, -11], CAR over [0, 4], two-sided tests at 5 %.
The model `factor` has the market of the session before as its second regressor; `matched` the mean of ten peers of each share
that trade as thinly. All models see the same draws; those fitted by a search see the first ones only.
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, fields, replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from simulated_markets import without_intervals

from engine.abnormal import abnormal_returns, cumulate
from engine.models import NormalFits, fit
from engine.sessions import Window
from engine.significance import CarSample, evaluate

PAGE = Path(__file__).parents[1] / "docs" / "thin-trading.md"
COUNTS = PAGE.with_suffix(".csv")
START, END = "<!-- table:start -->\n", "<!-- table:end -->"
ROWS, EVENT, CAR = Window(-250, -11), Window(-5, 5), Window(0, 4)
SHARES, PEERS, REPLICATIONS, SEED = 50, 10, 2000, 20260213
FIRST = 120  # replications that are counted apart, for a short run to make again
SIZES = {  # both numbers for the models that were added to the first four; those that are searched for take longer
    **dict.fromkeys(("factor", "matched", "market_adjusted", "mean_adjusted", "raw", "rolling", "exponential"), (400, FIRST)),
    **dict.fromkeys(("lad", "huber", "theil_sen"), (200, 20)),
    **dict.fromkeys(("garch", "gjr", "egarch"), (20, 1)),
}  # fmt: skip
TESTS = ("bmp", "corrado_zivney")
SCENARIOS = {"any day": 0.0, "the market moves 2 % on day 0": 0.02}

# name -> fits of (N, R) returns and (N, K, R) regressors, ahead of (N, K, L); another way to treat thin trading is a line here.
Fitted = Callable[[np.ndarray, np.ndarray, np.ndarray], NormalFits]


def _of(model: str, **options: float) -> Fitted:
    return lambda y, x, ahead: fit(model, y, x, ahead, ROWS, _own(y), options=options)


ESTIMATORS: dict[str, Fitted] = {
    "market": _of("market"),
    "scholes_williams": _of("scholes_williams"),
    "dimson": _of("dimson", leads_lags=3),
    "trade_to_trade": lambda y, x, ahead: fit("market", y, x, ahead, ROWS, _own(y), bridged=True),
    "factor": _of("factor"),
    "matched": _of("matched"),
    "market_adjusted": _of("market_adjusted"),
    "mean_adjusted": _of("mean_adjusted"),
    "raw": _of("raw"),
    "rolling": _of("rolling", window=120),
    "exponential": _of("exponential", half_life=60),
    "lad": _of("lad"),
    "huber": _of("huber"),
    "theil_sen": _of("theil_sen"),
    "garch": _of("garch"),
    "egarch": _of("egarch"),
    "gjr": _of("gjr"),
}
WORDS = {
    "dimson": "dimson, leads_lags = 3", "trade_to_trade": "market, trade to trade", "rolling": "rolling, window = 120",
    "exponential": "exponential, half_life = 60", "factor": "factor: the market and its session before",
}  # fmt: skip


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
    peers: np.ndarray

    def regressors(self, estimator: str) -> np.ndarray:
        """(N, K, S) what the returns are explained by."""
        if estimator == "trade_to_trade":
            return np.stack([self.spans, self.bridged_market], axis=1)
        if estimator == "matched":
            return self.peers[:, None]
        if estimator == "factor":
            before = np.concatenate([np.full((len(self.market), 1), np.nan), self.market[:, :-1]], axis=1)
            return np.stack([self.market, before], axis=1)
        return self.market[:, None]


def draw(rng: np.random.Generator, peers: np.random.Generator | None, move: float) -> Shares:
    """move: the market's return on day 0, drawn like any other where it is zero. peers: draws those and nothing else, None for
    none."""
    days = EVENT.end - ROWS.start + 1
    market = rng.normal(0.0004, 0.01, (SHARES, days))
    if move:
        market[:, -ROWS.start] = move
    true, trades = _true_and_traded(rng, market)
    last = _last_trade(trades)
    before = np.concatenate([last[:, :1], last[:, :-1]], axis=1)  # the last trade until the day before
    total = np.cumsum(market, axis=1)
    path = np.cumsum(true, axis=1)
    since = [np.where(trades, v - np.take_along_axis(v, before, axis=1), np.nan) for v in (path, total)]
    spans = np.where(trades & (np.arange(days) > before), np.arange(days) - before, np.nan)
    others = np.full(market.shape, np.nan)
    if peers is not None:
        shown = _shown(*_true_and_traded(peers, np.repeat(market, PEERS, axis=0)))
        others = shown.reshape(SHARES, PEERS, days).mean(axis=1)
    return Shares(_shown(true, trades), market, *since, spans, others)


def _true_and_traded(rng: np.random.Generator, market: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    beta = rng.uniform(0.5, 1.5, len(market))[:, None]
    true = 0.0002 + beta * market + rng.normal(0, 0.02, market.shape)
    return true, rng.random(market.shape) < rng.uniform(0.3, 0.8, len(market))[:, None]


def _last_trade(trades: np.ndarray) -> np.ndarray:
    return np.maximum.accumulate(np.where(trades, np.arange(trades.shape[1]), 0), axis=1)


def _shown(true: np.ndarray, trades: np.ndarray) -> np.ndarray:
    """The returns that the prices show."""
    shown = np.take_along_axis(np.cumsum(true, axis=1), _last_trade(trades), axis=1)
    return np.diff(shown, axis=1, prepend=shown[:, :1])


def sample_of(shares: Shares, estimator: str) -> CarSample:
    rows, ahead = slice(0, len(ROWS)), slice(EVENT.start - ROWS.start, None)
    returns = shares.bridged if estimator == "trade_to_trade" else shares.returns
    regressors = shares.regressors(estimator)
    fits = ESTIMATORS[estimator](returns[:, rows], regressors[:, :, rows], regressors[:, :, ahead])
    kept = np.flatnonzero(fits.degenerate == "")  # a search that finds no variance leaves a share out, as in a study
    returns, fits = returns[kept], fits.take(kept)
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
        alternative="two-sided", alpha=0.05, lacks=fits.lacks,
    )  # fmt: skip


@dataclass(frozen=True)
class Count:
    """One line of the counts: how many replications reject, in all and among the first; fewest events of a replication."""

    scenario: str
    model: str
    test: str
    replications: int
    rejected: int
    first: int
    rejected_first: int
    fewest: int
    unavailable: str

    @property
    def share(self) -> float:
        return self.rejected / self.replications


def sizes(estimator: str) -> tuple[int, int]:
    """Replications of an estimator, and how many of them are counted apart."""
    return SIZES.get(estimator, (REPLICATIONS, FIRST))


def counted(estimators: Collection[str], short: bool = False) -> Iterator[Count]:
    """The counts of each estimator; short: of its first replications alone."""
    for scenario in SCENARIOS:
        yield from counted_in(scenario, estimators, short)


def counted_in(scenario: str, estimators: Collection[str], short: bool = False) -> list[Count]:
    """The same in one scenario, whose draws are its own."""
    number, move = list(SCENARIOS).index(scenario), SCENARIOS[scenario]
    rng = np.random.default_rng([SEED, number])
    peers = np.random.default_rng([SEED, number, 1]) if "matched" in estimators else None
    made = {(e, t): Count(scenario, e, t, 0, 0, 0, 0, SHARES, "") for e in estimators for t in TESTS}
    with without_intervals():
        for replication in range(max(sizes(e)[short] for e in estimators)):
            shares = draw(rng, peers, move)
            for estimator in (e for e in estimators if replication < sizes(e)[short]):
                sample = sample_of(shares, estimator)
                for test in TESTS:
                    made[estimator, test] = _with(made[estimator, test], sample, replication < sizes(estimator)[1])
    return list(made.values())


def _with(count: Count, sample: CarSample, early: bool) -> Count:
    answer = evaluate(count.test, sample)
    rejected = int(answer.p_value < 0.05)
    return replace(
        count, replications=count.replications + 1, rejected=count.rejected + rejected, first=count.first + early,
        rejected_first=count.rejected_first + rejected * early, fewest=min(count.fewest, len(sample.car)),
        unavailable=answer.unavailable,
    )  # fmt: skip


def read_counts() -> list[Count]:
    if not COUNTS.is_file():
        return []
    with COUNTS.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    whole = {f.name for f in fields(Count) if f.type == "int"}
    return [Count(**{k: int(v) if k in whole else v for k, v in row.items()}) for row in rows]


def write_counts(counts: Collection[Count]) -> None:
    with COUNTS.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, [f.name for f in fields(Count)], lineterminator="\n")
        writer.writeheader()
        writer.writerows(vars(c) for c in counts)


def table_of(counts: Collection[Count]) -> Iterator[str]:
    cells = {(c.scenario, c.model, c.test): c for c in counts}
    yield f"| day 0 | model | studies | {' | '.join(f'`{t}`' for t in TESTS)} |"
    yield "|---|---|" + "---:|" * (1 + len(TESTS))
    for scenario in SCENARIOS:
        for estimator in ESTIMATORS:
            line = [cells[scenario, estimator, t] for t in TESTS]
            shown = " | ".join("unavailable" if c.unavailable else f"{100 * c.share:.1f} %" for c in line)
            yield f"| {scenario} | {WORDS.get(estimator, estimator)} | {line[0].replications:,} | {shown} |"


def between(text: str) -> str:
    return text.partition(START)[2].partition(END)[0]


def main() -> None:
    """Models of one size together, written when they are counted."""
    wanted = sys.argv[1:] or list(ESTIMATORS)
    order = [(s, e, t) for s in SCENARIOS for e in ESTIMATORS for t in TESTS]
    for size in sorted({sizes(e) for e in wanted}):
        together = [e for e in wanted if sizes(e) == size]
        with ProcessPoolExecutor(len(SCENARIOS), get_context("spawn")) as pool:
            fresh = [c for found in pool.map(partial(counted_in, estimators=together), SCENARIOS) for c in found]
        found = {(c.scenario, c.model, c.test): c for c in [*read_counts(), *fresh]}
        counts = [found[key] for key in order if key in found]
        write_counts(counts)
        if len(counts) == len(order):
            text = PAGE.read_text(encoding="utf-8")
            table = "\n".join(table_of(counts)) + "\n"
            PAGE.write_text(text.replace(START + between(text), START + table), encoding="utf-8")


if __name__ == "__main__":
    main()
