"""Orders on a tape: when they are filled, what they earn, and what that costs. Positions and formulas, no names."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from engine.backtest.tape import Tape
from engine.spec.design import Backtest, Leg

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
BP, YEAR = 1e-4, 365.0


@dataclass(frozen=True)
class Orders:
    """N orders on one tape.

    first: (N,) session of the first moment at which they may be filled; at_open: (N,) whether that is its open, else its
    close. side: (N,) 1 to buy, -1 to sell. beta: (N,) of the hedge, sold for each unit bought.
    """

    first: Ints
    at_open: Bools
    side: Floats
    beta: Floats


@dataclass(frozen=True)
class Fills:
    """What became of N orders; numbers are NaN without an entry, those of the exit without one.

    entry, exit: (N,) sessions, -1 for none. at_open: (N,) whether the entry is at the open. waited: (N,) sessions.
    listing, hedge: (N,) returns of the two between entry and exit. gross = side (listing - beta hedge). cost, borrow: (N,)
    shares of the position's value at the entry. net = gross - cost - borrow. reason: (N,) "" or why there is no entry or exit.
    """

    entry: Ints
    exit: Ints
    at_open: Bools
    waited: Ints
    listing: Floats
    hedge: Floats
    gross: Floats
    cost: Floats
    borrow: Floats
    net: Floats
    reason: npt.NDArray[np.str_]


def trade(tape: Tape, orders: Orders, rule: Backtest, leg: Leg) -> Fills:
    """Fill the orders of one leg: the first moment that can be traded, at most ``max_wait`` sessions after it is due.

    A position entered at an open is held from that session on, one entered at a close from the next; it is left at the
    close of its last session, or at the first close after it that can be traded.
    """
    s = len(tape.dates)
    due = np.minimum(orders.first + leg.delay, s)
    entry, at_open = _entries(tape, due, orders.at_open, rule.entry == "open")
    waited = entry - due
    reason = np.full(len(due), "", dtype="<U60")
    reason[due >= s] = "the prices end before the entry"
    unfilled = (reason == "") & ((entry >= s) | (waited > rule.max_wait))
    reason[unfilled] = "no fill: no price, no trade or a price limit until max_wait"
    entered = reason == ""
    held = np.where(entered, entry, 0)
    last = held + leg.hold - at_open
    leave = _next(tape.fills_close)[np.minimum(last, s)]
    reason[entered & (leave >= s)] = "the prices end before the exit"
    gone = np.where(leave < s, leave, 0)
    left = entered & (leave < s)
    broken = left & (tape.piece[gone] != tape.piece[held])
    reason[broken] = "a return between entry and exit is missing"
    left &= ~broken
    nan = np.where(left, 0.0, np.nan)
    start, hedge_start = entry_prices(tape, held, at_open)
    listing = tape.close[gone] / start - 1 + nan
    hedge = tape.hedge_close[gone] / hedge_start - 1 + nan
    size = np.abs(orders.beta)
    gross = orders.side * (listing - orders.beta * hedge)
    cost = BP * rule.cost_bp * ((1 + size) + (1 + listing) + size * (1 + hedge))
    days = (tape.dates[gone] - tape.dates[held]).astype(np.int64)
    borrow = np.where(orders.side < 0, BP * rule.borrow_bp * days / YEAR, 0.0) + nan
    return Fills(
        entry=np.where(entered, entry, -1),
        exit=np.where(left, leave, -1),
        at_open=at_open & entered,
        waited=np.where(entered, waited, 0),
        listing=listing,
        hedge=hedge,
        gross=gross,
        cost=cost,
        borrow=borrow,
        net=gross - cost - borrow,
        reason=reason,
    )


def entry_prices(tape: Tape, entry: Ints, at_open: Bools) -> tuple[Floats, Floats]:
    """The prices of listing and hedge at which positions are entered."""
    return (
        np.where(at_open, tape.open[entry], tape.close[entry]),
        np.where(at_open, tape.hedge_open[entry], tape.hedge_close[entry]),
    )


def path(tape: Tape, entry: int, last: int, at_open: bool, side: float, beta: float) -> tuple[Floats, Floats, Floats]:
    """A position's value on the sessions entry..last: profit so far, and the values of listing and hedge, over that at entry.

    A session without a price carries the value before. Shape (last - entry + 1,) each.
    """
    starts = entry_prices(tape, np.array([entry]), np.array([at_open]))
    held = slice(entry, last + 1)
    listing, hedge = (
        _carried(prices[held] / start[0]) for prices, start in zip((tape.close, tape.hedge_close), starts, strict=True)
    )
    return side * (listing - 1 - beta * (hedge - 1)), listing, np.abs(beta) * hedge


def _entries(tape: Tape, due: Ints, at_open: Bools, opens: bool) -> tuple[Ints, Bools]:
    """The session of the first fill from each moment on, len(dates) if none, and whether it is the open."""
    s = len(tape.dates)
    by_close = _next(tape.fills_close)[due]
    if not opens:
        return by_close, np.zeros(len(due), bool)
    by_open = _next(tape.fills_open)[np.minimum(due + ~at_open, s)]
    first = (by_open <= by_close) & (by_open < s)
    return np.where(first, by_open, by_close), first


def _next(marks: Bools) -> Ints:
    """(S + 1,) the first marked session on or after each; S where there is none."""
    s = len(marks)
    found = np.where(marks, np.arange(s), s)
    return np.append(np.minimum.accumulate(found[::-1])[::-1], s)


def _carried(values: Floats) -> Floats:
    """The last known value; 1 before the first."""
    known = np.isfinite(values)
    last = np.maximum.accumulate(np.where(known, np.arange(len(values)), -1))
    return np.where(last >= 0, values[np.maximum(last, 0)], 1.0)
