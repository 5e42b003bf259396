"""Moves: spikes that revert, returns beyond the board's limit, days locked at it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import polars as pl

from engine.market.limits import SMALLEST, limit_of, locked_days
from engine.market.quality.subject import PEERS, TRADED, Finding, Floats, Subject, percent, runs
from engine.sessions import Days, positions_of
from engine.ties import above, at_most

# A spike: over one or two rows the price moves by more than SPIKE_SDS robust standard deviations (1.4826 MAD of the
# WINDOW returns on either side, AROUND rows left out) and by more than the floor of its kind, and within BACK rows it is
# back where it was but for a fifth of the move (in logs): real news that reverts seldom does so entirely. On 143
# real series (707,000 rows) this leaves 18 spikes; half the floors 40, 4 sds instead of 8 114, most of them crises.
SPIKE_SDS = 8.0
FLOORS = {"equity": 0.15, "fund": 0.12, "index": 0.15, "commodity": 0.30, "fx": 0.005}
WINDOW, AROUND, FEWEST = 60, 4, 20
BACK, LEFT = 3, 0.2
MAD_TO_SD = 1.4826
FX_JUMP_SDS = 15.0  # a rate that moves by this much and stays there: a peg's file changes its vendor, or it breaks
ROUNDING = 0.006  # a limit price is rounded to 0.01 of the currency: half a point on a price of 1, and our own rounding
FEW_MISSING = 5  # sessions: beyond it the price was free to move while the listing was suspended


def spikes(subject: Subject, peers: pl.DataFrame) -> Iterator[Finding]:
    """``spike``: a one- or two-row jump that the next one to three rows undo; rows as they stand in the file.

    peers: `market_moves`; a jump is judged beyond the exchange's own, for a day on which all fall is no fault.
    """
    at = np.flatnonzero(np.isfinite(subject.price))
    if "return" in subject.columns or len(at) < FEWEST:
        return
    log, floor = np.log(subject.price[at]), np.log1p(FLOORS.get(subject.kind, FLOORS["equity"]))
    steps = np.diff(log, prepend=log[0])
    market = _of_peers(subject, subject.dates[at], peers)
    taken = -1
    for k in _candidates(log, floor):
        if k <= taken:
            continue
        for length in (1, 2):
            start = k - length
            move = log[k] - log[max(start, 0)]
            after = log[k + 1 : k + 1 + BACK]
            if (
                start < 0
                or at_most(min(abs(move), abs(move - market[start + 1 : k + 1].sum())), floor)
                or not len(after)
            ):
                continue
            left = np.abs(after - log[start]) / abs(move)
            back = int(np.argmax(at_most(left, LEFT)))
            if above(left[back], LEFT) or at_most(abs(move), SPIKE_SDS * _sd(steps, k) * np.sqrt(length)):
                continue
            undoing = float(np.expm1(after[back] - log[k]))
            taken = k + 1 + back
            detail = f"{percent(float(np.expm1(move)))}, then {percent(undoing)} by {subject.dates[at[taken]]}"
            yield subject.find("spike", int(at[start + 1]), int(at[k]), length, detail)
            break


def market_moves(subjects: Sequence[Subject]) -> pl.DataFrame:
    """Median log return by exchange and date where at least `PEERS` listings have one: exchange, date, move."""
    parts = [
        pl.DataFrame({"date": s.dates, "step": np.log1p(s.returns)}).with_columns(exchange=pl.lit(s.exchange))
        for s in subjects
        if s.kind in TRADED and s.exchange is not None and "return" not in s.columns
    ]
    if len(parts) < PEERS:
        return pl.DataFrame(schema={"exchange": pl.String, "date": pl.Date, "move": pl.Float64})
    rows = pl.concat(parts).filter(pl.col("step").is_finite()).group_by("exchange", "date")
    medians = rows.agg(move=pl.col("step").median(), n=pl.len()).filter(pl.col("n") >= PEERS)
    return medians.select("exchange", "date", "move").sort("exchange", "date")


def _of_peers(subject: Subject, dates: Days, peers: pl.DataFrame) -> Floats:
    """The peers' moves on ``dates``; 0 where there are none, and for what is no listing."""
    own = peers.filter(pl.col("exchange") == (subject.exchange or "")) if subject.kind in TRADED else peers.clear()
    place = positions_of(dates, own["date"].to_numpy().astype("datetime64[D]"))
    return np.where(place >= 0, np.append(own["move"].to_numpy(), 0.0)[place], 0.0)


def _candidates(log: Floats, floor: float) -> list[int]:
    """Positions at the end of a one- or two-row move above the floor."""
    big = above(np.abs(np.diff(log, prepend=log[0])), floor)
    big[2:] |= above(np.abs(log[2:] - log[:-2]), floor)
    return np.flatnonzero(big).tolist()


def _sd(steps: Floats, k: int) -> float:
    """The robust standard deviation of the steps around row ``k``, itself and its neighbours apart."""
    near = np.concatenate(
        [steps[max(k - AROUND - WINDOW, 1) : max(k - AROUND, 1)], steps[k + AROUND : k + AROUND + WINDOW]]
    )
    moved = above(np.abs(near), 0.0)
    near = near[moved] if moved.sum() >= FEWEST else near
    return MAD_TO_SD * float(np.median(np.abs(near - np.median(near)))) if len(near) >= FEWEST else np.inf


def jumps(subject: Subject) -> Iterator[Finding]:
    """``jump`` beyond the board's daily limit and ``limit_locked`` runs; for FX a move of `FX_JUMP_SDS` that stays."""
    if subject.kind == "fx":
        yield from _fx_jumps(subject)
    if subject.exchange is None or subject.kind not in TRADED:
        return
    limits = _limits(subject)
    missed = _sessions_missed(subject)
    for i in np.flatnonzero(above(np.abs(subject.returns), limits + ROUNDING) & (missed <= FEW_MISSING)).tolist():
        over = f" over {missed[i]} missing session{'s' * int(missed[i] > 1)}" if missed[i] else ""
        yield subject.find("jump", i, i, 1, f"{percent(subject.returns[i])}{over}, limit {100 * limits[i]:.0f} %")
    locked = np.sign(locked_days(subject.symbol, subject.exchange, subject.dates, subject.columns))
    for sign, side in ((1, "up"), (-1, "down")):
        for first, last in runs(locked == sign):
            n = last - first + 1
            yield subject.find(
                "limit_locked", first, last, n, f"locked limit {side}: nobody could trade at another price"
            )


def _limits(subject: Subject) -> Floats:
    """The limit of every row, inf where there is none; asked for only where the return exceeds the smallest."""
    limits = np.full(len(subject.dates), np.inf)
    for i in np.flatnonzero(np.abs(subject.returns) > SMALLEST):
        limit = limit_of(subject.symbol, str(subject.exchange), subject.dates[i], subject.dates[0])
        limits[i] = np.inf if limit is None else limit
    return limits


def _sessions_missed(subject: Subject) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Sessions between each row and the row with a price before it."""
    place = np.searchsorted(subject.sessions, subject.dates)
    return np.where(subject.last >= 0, np.maximum(place - place[subject.last] - 1, 0), 0)


def _fx_jumps(subject: Subject) -> Iterator[Finding]:
    at = np.flatnonzero(np.isfinite(subject.price))
    steps = np.diff(np.log(subject.price[at]), prepend=np.nan)
    for k in np.flatnonzero(above(np.abs(steps), np.log1p(FLOORS["fx"]))):
        if above(abs(steps[k]), FX_JUMP_SDS * _sd(np.nan_to_num(steps), int(k))):
            change = float(np.expm1(steps[k]))
            yield subject.find("jump", int(at[k]), int(at[k]), 1, f"{percent(change)} since {subject.dates[at[k - 1]]}")
