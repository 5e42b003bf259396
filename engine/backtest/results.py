"""``trades.csv``, ``equity.csv``, ``backtest.csv`` and ``trials.csv`` of a study with the table ``[backtest]``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from engine.backtest.measures import (
    Sharpe,
    best_of_trials,
    clustered_error,
    deflated,
    drawdowns,
    quantiles_of,
    sharpe,
    wilson,
)
from engine.backtest.positions import Equity, Position, equity_of, positions_of_book, tapes_of
from engine.backtest.pseudo import PseudoTrades, pseudo_trades
from engine.backtest.signals import Book, book_of
from engine.backtest.tape import Tape
from engine.inputs import Study
from engine.placebo import clusters
from engine.plan import Plan, real_days
from engine.significance.sample import quantile_of
from engine.spec.design import Backtest
from engine.tables import rows_table
from engine.ties import SHARE, above, at_least, at_most

Floats = npt.NDArray[np.float64]
A_YEAR, DAYS_A_YEAR = 252, 365.25
FEWEST_TRIALS = 2
OF_SHARPE = ("sharpe", "sharpe_se_iid", "sharpe_a_year", "skewness", "kurtosis", "deflated_sharpe")
NO_SHARPE = "the capital does not vary over 3 sessions or more"
STREAM = tuple(b"backtest")  # of the study's seed


@dataclass(frozen=True)
class Trades:
    """What a backtest trades, apart from prices. what: of every position its pair, leg, side, hedge, and the days and moments of
    its entry and exit. beta, weight: (P,) of the hedge, and of the position in the capital."""

    what: tuple[tuple[Any, ...], ...]
    beta: Floats
    weight: Floats

    @classmethod
    def of(cls, made: Traded) -> Trades:
        """The positions that were entered, in the order of the calendar and of the legs."""
        held = [p for p in made.positions if p.entered]
        return cls(
            tuple(_moments(p, made) for p in held),
            np.array([p.signal.beta for p in held]),
            np.array([p.weight for p in held]),
        )

    def alike(self, other: Trades) -> bool:
        """Whether both hold the same positions, hedges and sizes being equal but for rounding."""
        return self.what == other.what and all(
            bool(at_most(np.abs(a - b), 0.0, SHARE * np.maximum(1.0, np.abs(a))).all())
            for a, b in ((self.beta, other.beta), (self.weight, other.weight))
        )


@dataclass(frozen=True)
class Trials:
    """The backtest under every design of the grid. rows: of ``trials.csv``, the study's own first, with its `Trades`."""

    rows: list[dict[str, Any]]

    @classmethod
    def numbered(cls, rows: Iterable[dict[str, Any]]) -> Trials:
        """The rows of all designs in the order of the grid."""
        return cls([row | {"trial": i, "primary": int(i == 1)} for i, row in enumerate(rows, 1)])

    @property
    def ratios(self) -> Floats:
        """(K,) the Sharpe ratios a session of the trials; trials that trade alike, the same positions, are one."""
        found: list[tuple[Trades, float]] = []
        for row in self.rows:
            if row.get("sharpe") is not None and not any(row["trades"].alike(other) for other, _ in found):
                found.append((row["trades"], row["sharpe"]))
        return np.array([ratio for _, ratio in found])


def trial_rows(
    design: tuple[Study, Plan] | None, rule: Backtest, holds: Sequence[int | None], about: dict[str, Any], why: str
) -> Iterator[dict[str, Any]]:
    """One design traded for each holding period, those of the legs where there is none.

    about: the columns that name the design. why: there is none.
    """
    for hold in holds or [None]:
        row = about | {"hold": hold, "unavailable": why}
        if design is not None:
            chosen = rule if hold is None else rule.model_copy(update={"hold": hold})
            made = traded(*design, chosen)
            found = sharpe(made.equity.profits) if made.equity is not None else None
            row["n"] = sum(p.closed for p in made.positions)
            row["trades"] = Trades.of(made)
            row["sharpe"] = found.ratio if found is not None else None
            row["unavailable"] = "" if found is not None else NO_SHARPE
        yield row


@dataclass(frozen=True)
class Traded:
    """One backtest: its rule, book and tapes, every position, and the capital (None where nothing was traded)."""

    rule: Backtest
    book: Book
    tapes: Sequence[Tape]
    positions: Sequence[Position]
    equity: Equity | None


def traded(study: Study, plan: Plan, rule: Backtest) -> Traded:
    """Trade the calendar of a study by a rule."""
    book = book_of(study, plan, rule.entry == "open")
    tapes = tapes_of(study, book)
    positions = positions_of_book(book, tapes, rule)
    return Traded(rule, book, tapes, positions, equity_of(positions, tapes, rule))


def _moments(p: Position, made: Traded) -> tuple[Any, ...]:
    """What a position is: of which pair and leg, on which side, with which hedge, from when to when."""
    assert p.fills is not None
    tape, line = made.tapes[p.signal.line], made.book.lines[p.signal.line]
    entry, leave = int(p.fills.entry[p.i]), int(p.fills.exit[p.i])
    hedge = line.benchmark if made.book.hedged else ""
    exit_day = str(tape.dates[leave]) if p.closed else ""
    return (
        p.signal.event_id, p.signal.symbol, p.leg, p.side, hedge, str(tape.dates[entry]), bool(p.fills.at_open[p.i]),
        exit_day,
    )  # fmt: skip


def backtest_tables(study: Study, plan: Plan, trials: Trials | None) -> dict[str, pl.DataFrame]:
    """The tables of the study's own rule. trials: None where the study has no grid."""
    rule = study.spec.backtest
    assert rule is not None
    made = traded(study, plan, rule)
    drawn, why = _drawn(study, plan, made)
    tables = {
        "trades": rows_table("trades", [_trade_row(p, made) for p in made.positions]),
        "equity": rows_table("equity", list(_equity_rows(made.equity, drawn, study.spec.significance.alpha))),
        "backtest": rows_table(
            "backtest", list(_summary(study, plan, made, trials, drawn.means if drawn else {}, why))
        ),
    }
    return tables | ({"trials": rows_table("trials", trials.rows)} if trials is not None else {})


def _trade_row(p: Position, made: Traded) -> dict[str, Any]:
    row: dict[str, Any] = {"event_id": p.signal.event_id, "symbol": p.signal.symbol, "leg": p.leg, "reason": p.reason}
    if p.fills is None:
        return row | {"status": "not traded"}
    tape, i = made.tapes[p.signal.line], p.i
    row |= {
        "side": "long" if p.side > 0 else "short",
        "beta": p.signal.beta,
        "hedge": made.book.lines[p.signal.line].benchmark,
    }
    if not p.entered:
        return row | {"status": "not traded"}
    entry, leave = int(p.fills.entry[i]), int(p.fills.exit[i])
    at_open = bool(p.fills.at_open[i])
    row |= {
        "status": "closed" if p.closed else "open", "entry_day": tape.dates[entry], "entry_at": "open" if at_open else "close",
        "waited": int(p.fills.waited[i]), "size": p.weight, "capacity": p.capacity,
        "entry_price": (tape.paid_open if at_open else tape.paid_close)[entry],
    }  # fmt: skip
    if p.closed:
        row |= {
            "exit_day": tape.dates[leave], "sessions": leave - entry + at_open, "exit_price": tape.paid_close[leave],
            "listing_return": p.number("listing"), "hedge_return": p.number("hedge"),
        } | {name: p.number(name) for name in ("gross", "cost", "borrow", "net")}  # fmt: skip
    return row


def _equity_rows(equity: Equity | None, drawn: PseudoTrades | None, alpha: float) -> Iterator[dict[str, Any]]:
    if equity is None:
        return
    capital, below = drawdowns(equity.profits)
    band = np.full((2, len(equity.dates)), np.nan)
    if drawn is not None:
        band = drawn.band(equity.dates, (alpha / 2, 1 - alpha / 2))
    for t, day in enumerate(equity.dates):
        yield {
            "date": day, "positions": int(equity.positions[t]), "gross_exposure": equity.gross[t],
            "net_exposure": equity.net[t], "profit": equity.profits[t], "cost": equity.costs[t], "equity": capital[t],
            "drawdown": below[t], "placebo_low": band[0, t], "placebo_high": band[1, t],
        }  # fmt: skip


def _summary(
    study: Study, plan: Plan, made: Traded, trials: Trials | None, draws: Mapping[str, Floats], why: str
) -> Iterator[dict[str, Any]]:
    """The rows of ``backtest.csv``: for all legs and each, what the trades earned; for all, what the capital did.

    draws: the mean net return at pseudo-dates by leg. why: there are none.
    """
    alpha = study.spec.significance.alpha
    cluster = _clusters(plan)
    legs = list(made.rule.named_legs)
    for leg in ["all", *(legs if len(legs) > 1 else [])]:
        chosen = [p for p in made.positions if leg in ("all", p.leg)]
        for row in _of_trades(chosen, cluster, alpha, draws.get(leg), why):
            yield {"leg": leg} | row
    for row in _of_capital(made, alpha, trials):
        yield {"leg": "all"} | row


def _of_trades(
    chosen: Sequence[Position], cluster: dict[tuple[str, str], int], alpha: float, draws: Floats | None, why: str
) -> Iterator[dict[str, Any]]:
    closed = [p for p in chosen if p.closed]
    n = len(closed)
    yield {"measure": "signals", "n": len(chosen), "value": len(chosen)}
    yield {"measure": "trades", "n": n, "value": n}
    yield {"measure": "open", "n": n, "value": sum(p.entered and not p.closed for p in chosen)}
    yield {"measure": "not_traded", "n": n, "value": sum(not p.entered for p in chosen)}
    if not n:
        for name in ("hit_rate", "mean_net", "mean_gross", "mean_cost", "median_net", "placebo_mean_net", "placebo_p"):
            yield {"measure": name, "n": 0, "unavailable": "no position was entered and left"}
        return
    net = np.array([p.number("net") for p in closed])
    hits = int(above(net, 0.0).sum())
    low, high = wilson(hits, n, alpha)
    yield {"measure": "hit_rate", "n": n, "value": hits / n, "low": low, "high": high}
    se, dof = clustered_error(net, np.array([cluster[p.signal.event_id, p.signal.symbol] for p in closed]))
    half = quantile_of(alpha, dof) * se if dof else np.nan
    said = "" if dof else "one cluster of dates: no standard error"
    mean = float(net.mean())
    yield {
        "measure": "mean_net",
        "n": n,
        "value": mean,
        "se": se,
        "low": mean - half,
        "high": mean + half,
        "note": said,
    }
    yield {"measure": "mean_gross", "n": n, "value": float(np.mean([p.number("gross") for p in closed]))}
    yield {
        "measure": "mean_cost",
        "n": n,
        "value": float(np.mean([p.number("cost") + p.number("borrow") for p in closed])),
    }
    yield {"measure": "median_net", "n": n, "value": float(np.median(net))}
    if draws is None or not len(draws):
        yield from ({"measure": name, "n": n, "unavailable": why} for name in ("placebo_mean_net", "placebo_p"))
        return
    low, high = quantiles_of(draws, alpha)
    yield {"measure": "placebo_mean_net", "n": len(draws), "value": float(draws.mean()), "low": low, "high": high}
    yield {
        "measure": "placebo_p",
        "n": len(draws),
        "value": float((1 + at_least(draws, mean).sum()) / (1 + len(draws))),
    }


def _of_capital(made: Traded, alpha: float, trials: Trials | None) -> Iterator[dict[str, Any]]:
    """Return, turnover, drawdown and the Sharpe ratios of the whole rule."""
    equity = made.equity
    if equity is None:
        for name in ("total_return", "turnover_a_year", "max_drawdown", *OF_SHARPE):
            yield {"measure": name, "unavailable": "nothing was traded"}
        return
    t, (capital, below) = len(equity.dates), drawdowns(equity.profits)
    years = float((equity.dates[-1] - equity.dates[0]).astype(int) + 1) / DAYS_A_YEAR
    yield {"measure": "total_return", "n": t, "value": float(capital[-1] - 1)}
    yield {"measure": "turnover_a_year", "n": t, "value": turnover(made.positions) / years}
    yield {"measure": "max_drawdown", "n": t, "value": float(below.min())}
    found = sharpe(equity.profits)
    if found is None:
        yield from ({"measure": name, "unavailable": NO_SHARPE} for name in OF_SHARPE)
        return
    half = quantile_of(alpha) * found.se
    for name, scale in (("sharpe", 1.0), ("sharpe_a_year", A_YEAR**0.5)):
        yield {
            "measure": name, "n": t, "value": scale * found.ratio, "se": scale * found.se,
            "low": scale * (found.ratio - half), "high": scale * (found.ratio + half),
        }  # fmt: skip
    yield {"measure": "sharpe_se_iid", "n": t, "value": found.se_iid}
    yield {"measure": "skewness", "n": t, "value": found.skewness}
    yield {"measure": "kurtosis", "n": t, "value": found.kurtosis}
    yield from _deflated(found, trials)


def _deflated(found: Sharpe, trials: Trials | None) -> Iterator[dict[str, Any]]:
    """The deflated Sharpe ratio with what it is made of."""
    ratios = trials.ratios if trials is not None else np.empty(0)
    if len(ratios) < FEWEST_TRIALS:
        why = "without [grid] nothing tells how many rules were tried, and how far they part" if trials is None else (
            f"{len(ratios)} trials of the grid have a Sharpe ratio, {FEWEST_TRIALS} needed"
        )  # fmt: skip
        yield {"measure": "deflated_sharpe", "unavailable": why}
        return
    variance = float(ratios.var(ddof=1))
    hurdle = best_of_trials(variance, len(ratios))
    yield {"measure": "trials", "n": len(ratios), "value": len(ratios)}
    yield {"measure": "trials_variance", "n": len(ratios), "value": variance}
    yield {"measure": "sharpe_hurdle", "n": len(ratios), "value": hurdle}
    yield {"measure": "deflated_sharpe", "n": found.sessions, "value": deflated(found, hurdle)}


def turnover(positions: Sequence[Position]) -> float:
    """The value traded, of listings and hedges on both ways, over the first capital."""
    total = 0.0
    for p in positions:
        size = abs(p.signal.beta)
        total += p.weight * (1 + size)
        if p.closed:
            total += p.weight * (1 + p.number("listing") + size * (1 + p.number("hedge")))
    return total


def _clusters(plan: Plan) -> dict[tuple[str, str], int]:
    """The date cluster of every pair with a day 0."""
    if not plan.pairs:
        return {}
    label = clusters([p.event_id for p in plan.pairs], [p.event_day for p in plan.pairs])
    return {(p.event_id, p.symbol): int(c) for p, c in zip(plan.pairs, label, strict=True)}


def _drawn(study: Study, plan: Plan, made: Traded) -> tuple[PseudoTrades | None, str]:
    """The trades at pseudo-dates, and why there are none."""
    rule = study.spec.resampling
    if rule is None:
        return None, "needs [resampling] with seed and draws"
    if made.book.panel is None or not any(p.closed for p in made.positions):
        return None, "no position was entered and left"
    rng = np.random.default_rng(np.random.SeedSequence(rule.seed, spawn_key=STREAM))
    found = pseudo_trades(
        study, made.book, made.tapes, made.rule, made.positions, real_days(plan), rule.draws, rng
    )  # fmt: skip
    return found, "some cluster has no other date on which all of its positions can be traded"
