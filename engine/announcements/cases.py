"""Day 0 of very many rows: every distinct stamp is looked at once.

A million rows have some thousand stamps where these are dates, and dates without a zone need no clock: they are looked up
together. Every other stamp goes through `reaction.reaction_days`, whose rule and words are the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from engine.announcements.reaction import DATE, HOURS, Reaction, Stamp, reaction_days
from engine.sessions import FIRST_DAY, Days, Sessions

Ints = npt.NDArray[np.int64]
FEW = 200  # distinct stamps that are not worth looking up together


@dataclass(frozen=True)
class Cases:
    """The reactions of N rows. case: (N,) which of the ``reactions`` each row has."""

    case: Ints
    reactions: tuple[Reaction, ...]


def distinct(table: pl.DataFrame) -> tuple[Ints, Ints]:
    """(N,) which of the distinct rows each row is, in order of first appearance, and (U,) where each appears first."""
    key = np.zeros(len(table), np.int64)
    for column in table.iter_columns():
        if column.null_count() == len(column) or (not column.null_count() and (column == column[0]).all()):
            continue
        codes = codes_of(column)
        key = key * (int(codes.max(initial=0)) + 1) + codes
        if key.max(initial=0) > 1 << 40:
            key = np.unique(key, return_inverse=True)[1]
    first, inverse = first_places(key)
    place = np.argsort(np.argsort(first))
    return place[inverse], np.sort(first)


def codes_of(column: pl.Series) -> Ints:
    """A number from 0 for each distinct value of a column, one of its own for null."""
    if column.dtype == pl.String:
        codes = column.cast(pl.Categorical).to_physical().cast(pl.Int64) + 1
    else:
        codes = column.rank("dense").cast(pl.Int64)
    return codes.fill_null(0).to_numpy()


def first_places(key: Ints) -> tuple[Ints, Ints]:
    """Where each distinct value appears first, in order of value, and which of them each element is."""
    most = int(key.max(initial=0)) + 1
    if most > 4 * len(key) + 1000:
        _, first, inverse = np.unique(key, return_index=True, return_inverse=True)
        return first, inverse
    first = np.full(most, -1, np.int64)
    first[key[::-1]] = np.arange(len(key) - 1, -1, -1)  # the last to be written is the first to appear
    there = first >= 0
    return first[there], (np.cumsum(there) - 1)[key]


def reaction_cases(
    table: pl.DataFrame,
    exchanges: Sequence[str | None],
    sessions: Sequence[Sessions | None],
    grids: Sequence[Days | None],
    reaction: str,
    stamp_rule: str,
    default_gap: int,
) -> Cases:
    """`reaction_days` of every row. exchanges: of each row, which say its sessions and, with a benchmark, its grid."""
    columns = ["announced_at", "first_public_at", "zone", "precision", "max_gap_days", "benchmark"]
    asked = table.select(columns).with_columns(pl.Series("#exchange", exchanges, pl.String))
    case, first = distinct(asked)
    rows = table[first]
    own, days = [sessions[i] for i in first.tolist()], [grids[i] for i in first.tolist()]
    plain = (
        rows["announced_at"].str.contains(DATE.pattern)
        & (rows["zone"] == "")
        & (
            (rows["first_public_at"] == "")
            if stamp_rule == "first_public_at"
            else pl.repeat(True, len(rows), eager=True)
        )
        & rows["announced_at"].str.to_date("%Y-%m-%d", strict=False).is_not_null()
    ).to_numpy()
    if plain.sum() < FEW:
        plain[:] = False
    found: list[Reaction | None] = [None] * len(rows)
    others = np.flatnonzero(~plain).tolist()
    slow = reaction_days(
        rows[others], [own[i] for i in others], [days[i] for i in others], reaction, stamp_rule, default_gap
    )
    for i, one in zip(others, slow, strict=True):
        found[i] = one
    _plain(found, rows, np.flatnonzero(plain), own, days, default_gap)
    return Cases(case, tuple(r for r in found if r is not None))


def _plain(
    found: list[Reaction | None], rows: pl.DataFrame, places: Ints, own: Sequence[Sessions | None],
    grids: Sequence[Days | None], default_gap: int,
) -> None:  # fmt: skip
    """The reactions of dates without a zone: the first session on or after each."""
    texts = rows["announced_at"].to_list()
    day_of = rows["announced_at"].str.to_date("%Y-%m-%d", strict=False).to_numpy().astype("datetime64[D]")
    gaps, precisions = rows["max_gap_days"].to_list(), rows["precision"].to_list()
    by_dates: dict[int, list[int]] = {}
    for i in places.tolist():
        by_dates.setdefault(id(_dates(own[i], grids[i])), []).append(i)
    for members in by_dates.values():
        dates = _dates(own[members[0]], grids[members[0]])
        news = day_of[members]
        place = np.searchsorted(dates, news)
        outside = (place >= len(dates)) | (news < (max(FIRST_DAY, dates[0]) if len(dates) else FIRST_DAY))
        span = f"{dates[0]} to {dates[-1]}" if len(dates) else "no day at all"
        reached = dates[np.where(outside, 0, place)] if len(dates) else news
        apart = (reached - news).astype(int)
        words = np.datetime_as_string(reached).tolist()
        for i, day, event_day, word, far, lost in zip(
            members, news, reached, words, apart.tolist(), outside.tolist(), strict=True
        ):
            stamp = Stamp(day, None, False, False, texts[i])
            flags = ("date_only", "precision_without_zone") if precisions[i] in HOURS else ("date_only",)
            why = f"{texts[i]} is the listing's own date: first session on or after it"
            gap = default_gap if gaps[i] is None else gaps[i]
            if lost:
                reason = f"{why}; outside the sessions known ({span})"
                found[i] = Reaction(stamp, None, None, reason, flags, "outside_calendar")
            elif far > gap:
                reason = f"{why}; {word} is {far} days after the news of {day}, more than max_gap_days = {gap}"
                found[i] = Reaction(stamp, None, None, reason, flags, "gap_too_long")
            else:
                found[i] = Reaction(stamp, event_day, None, f"{why}: {word}", flags)


NO_DAYS: Days = np.empty(0, "datetime64[D]")


def _dates(sessions: Sessions | None, grid: Days | None) -> Days:
    if grid is not None:
        return grid
    return sessions.dates if sessions is not None else NO_DAYS
