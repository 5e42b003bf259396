"""A second implementation of the backtest: one order at a time, plain loops over the rows of the files; no ``engine``."""

from __future__ import annotations

import math
from typing import Any

Row = dict[str, Any]


def moments(stamp: Any, opens: list[Any], closes: list[Any], entry: str) -> list[tuple[int, str]]:
    """Every open and close strictly after the stamp, in order of time, as (session, "open" or "close")."""
    made = [(time, i, "open") for i, time in enumerate(opens) if time > stamp and entry == "open"]
    made += [(time, i, "close") for i, time in enumerate(closes) if time > stamp]
    return [(i, kind) for _, i, kind in sorted(made, key=lambda m: m[0])]


def has_open(rows: list[Row | None], i: int) -> bool:
    """Whether the open of a session can be believed: on half of the up to 20 rows before, it is not the close."""
    before = [r for r in rows[:i] if r is not None and r["open"] is not None and r["close"] is not None][-20:]
    return len(before) >= 5 and 2 * sum(r["open"] != r["close"] for r in before) >= len(before)


def price(rows: list[Row | None], i: int, kind: str) -> float | None:
    """The price with dividends at a moment, None where there is none."""
    row = rows[i]
    if row is None or row["close"] is None or row["adj_close"] is None or is_stale(rows, i):
        return None
    if kind == "close":
        return float(row["adj_close"])
    if row["open"] is None or not has_open(rows, i):
        return None
    return float(row["open"] * row["adj_close"] / row["close"])


def is_stale(rows: list[Row | None], i: int) -> bool:
    row = rows[i]
    before = [r["close"] for r in rows[:i] if r is not None and r["close"] is not None]
    return row is not None and row["volume"] == 0 and bool(before) and row["close"] == before[-1]


def at_limit(rows: list[Row | None], i: int, kind: str, limit: float | None) -> bool:
    """Whether the listing opened at its price limit, or closed there without having traded off it."""
    row = rows[i]
    before = [r["close"] for r in rows[:i] if r is not None and r["close"] is not None]
    if limit is None or row is None or not before or row[kind] is None:
        return False
    move = row[kind] / before[-1] - 1
    off = kind == "close" and row["high"] != row["low"]
    return abs(abs(move) - limit) <= 0.003 and not off


def can_fill(listing: list[Row | None], hedge: list[Row | None], i: int, kind: str, limit: float | None) -> bool:
    row = listing[i]
    traded = row is not None and row["volume"] != 0
    prices = price(listing, i, kind) is not None and price(hedge, i, kind) is not None
    return traded and prices and not at_limit(listing, i, kind, limit)


def simulate(
    listing: list[Row | None], hedge: list[Row | None], days: list[Any], opens: list[Any], closes: list[Any], stamp: Any,
    side: int, beta: float, rule: Row, limit: float | None = None,
) -> Row:  # fmt: skip
    """One order from its stamp to its end. rule: entry, delay, hold, max_wait, cost_bp, borrow_bp."""
    after = moments(stamp, opens, closes, rule["entry"])
    if not after:
        return {"status": "not traded"}
    first, kind = after[0]
    due = first + rule["delay"]
    later = [(i, k) for i, k in after if i > due or (i == due and (k == kind or k == "close"))]
    fill = next(((i, k) for i, k in later if can_fill(listing, hedge, i, k, limit)), None)
    if fill is None or fill[0] - due > rule["max_wait"]:
        return {"status": "not traded"}
    entry, at = fill
    made: Row = {"status": "open", "entry": entry, "entry_at": at, "waited": entry - due}
    values = [r["close"] * r["volume"] for r in listing[max(entry - 20, 0) : entry] if r is not None and r["close"] is not None
              and r["volume"] is not None]  # fmt: skip
    made["traded"] = sum(values) / len(values) if len(values) >= 5 else None
    wanted = entry + rule["hold"] - (1 if at == "open" else 0)
    leave = next((i for i in range(wanted, len(days)) if can_fill(listing, hedge, i, "close", limit)), None)
    if leave is None:
        return made
    start, start_hedge = price(listing, entry, at), price(hedge, entry, at)
    end, end_hedge = price(listing, leave, "close"), price(hedge, leave, "close")
    assert start is not None
    assert end is not None
    assert start_hedge is not None
    assert end_hedge is not None
    own, other = end / start, end_hedge / start_hedge
    cost = rule["cost_bp"] / 10_000 * (1 + abs(beta) + own + abs(beta) * other)
    borrow = rule["borrow_bp"] / 10_000 * (days[leave] - days[entry]).days / 365 if side < 0 else 0.0
    gross = side * ((own - 1) - beta * (other - 1))
    return made | {
        "status": "closed",
        "exit": leave,
        "gross": gross,
        "cost": cost,
        "borrow": borrow,
        "net": gross - cost - borrow,
    }


def sharpe_parts(profits: list[float]) -> Row:
    """Sharpe ratio, skewness, kurtosis and the two standard errors, term by term."""
    n = len(profits)
    mean = sum(profits) / n
    moment = [sum((x - mean) ** k for x in profits) / n for k in range(5)]
    ratio = mean / math.sqrt(moment[2] * n / (n - 1))
    skew, tails = moment[3] / moment[2] ** 1.5, moment[4] / moment[2] ** 2
    return {
        "ratio": ratio, "skewness": skew, "kurtosis": tails, "se_iid": math.sqrt((1 + ratio * ratio / 2) / n),
        "se": math.sqrt((1 + ratio * ratio / 2 - skew * ratio + (tails - 3) / 4 * ratio * ratio) / n),
    }  # fmt: skip
