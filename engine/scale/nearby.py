"""What else happened around very many pairs: the rows of ``contamination.csv`` as arrays, by the rules of `firm_events`.

Here a firm is its symbol, whose rows all keep the same sessions. Everything is looked up in sorted arrays: the events of a
listing by session, and the runs of its missing sessions likewise.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from engine.announcements.contamination import FLAGGED, check_near
from engine.firm_events import halted_words
from engine.scale.mapping import in_threads
from engine.scale.order import in_order
from engine.scale.pairs import Pairs
from engine.sessions import Window

Ints = npt.NDArray[np.int64]
Small = npt.NDArray[np.int32]
# In alphabetical order, which is that of the table.
KINDS = ("estimation_window", "event_window", "same_day", "suspended")
ESTIMATION, EVENT, SAME_DAY, SUSPENDED = range(4)
MOST_NEAR, MOST_STREAMED = 20_000_000, 100_000_000  # pairs of near events in memory, and made slice by slice
SLICE = 16_384  # rows of the calendar at a time
WIDE = 1 << 21  # more than any session, or any relative day


@dataclass(frozen=True)
class Nearby:
    """R rows of ``contamination.csv`` in their order.

    row: (R,) of the calendar. kind: into `KINDS`. other: the row of the other event, -1 for none. first, last: day numbers.
    said: into ``words``.
    """

    row: Small
    kind: npt.NDArray[np.int8]
    other: Small
    first: Small
    last: Small
    said: Small

    def ordered(self) -> Nearby:
        """In the order of the table: by row, kind, other event and first day; a row without another event comes last."""
        bits = int(max(self.row.max(initial=0), 1)).bit_length() + 1
        other = np.where(self.other < 0, (1 << bits) - 1, self.other).astype(np.int64)
        head = self.row.astype(np.int64) << 3 | self.kind
        if 2 * bits + 20 <= 63:
            key = (head << bits | other) << 17 | self.first
            order = pl.Series(key).arg_sort().to_numpy()
        else:
            order = np.lexsort((self.first, other, head))
        return Nearby(
            self.row[order], self.kind[order], self.other[order], self.first[order], self.last[order], self.said[order]
        )


@dataclass(frozen=True)
class Surroundings:
    """All rows of ``contamination.csv``: how many by kind, the words that they are in, and the rows a slice at a time."""

    counts: dict[str, int]
    words: tuple[str, ...]
    slices: Callable[[], Iterator[Nearby]]

    @property
    def rows(self) -> int:
        return sum(self.counts.values())


class _Rows:
    """Rows as they are found; words are numbered once each."""

    def __init__(self) -> None:
        self.parts: list[tuple[npt.NDArray[Any], ...]] = []
        self.words: dict[str, int] = {}

    def word(self, text: str) -> int:
        return self.words.setdefault(text, len(self.words))

    def add(self, row: Ints, kind: int, other: Ints | int, first: Ints, last: Ints, said: Ints | int) -> None:
        def filled(values: Ints | int) -> Ints:
            return np.broadcast_to(np.asarray(values), row.shape)

        columns = (row, filled(kind), filled(other), first, last, filled(said))
        self.parts.append(tuple(np.asarray(c).astype(np.int8 if i == 1 else np.int32) for i, c in enumerate(columns)))

    def table(self) -> Nearby:
        columns: list[Any] = [np.concatenate([p[c] for p in self.parts]) for c in range(6)]
        self.parts.clear()
        return Nearby(*columns).ordered()


@dataclass(frozen=True)
class Gaps:
    """Runs of sessions without a price. listing: (P,) whose; first, last: sessions of its line."""

    listing: Ints
    first: Ints
    last: Ints


def nearby(
    pairs: Pairs, event_window: Window, on_panel: npt.NDArray[np.bool_], gaps: Gaps, policy: str, compiled: bool
) -> tuple[Surroundings, Ints, list[str]]:
    """The rows of contamination; and, with the policy ``exclude``, the rows that leave and why.

    on_panel: (N,) which rows have a day 0 and a price file. compiled: whether they may be made by `fused_nearby`.
    """
    if compiled and policy != "exclude" and len(pairs.lines) == 1:
        return _compiled(pairs, event_window, on_panel, gaps), np.empty(0, np.int64), []
    rows = _Rows()
    shared: Any = _same_day(rows, pairs)
    rows.add(*shared)
    order = _listed(pairs)
    lost, why = _others(rows, pairs, event_window, on_panel, policy, order)
    _suspended(rows, pairs, event_window, order[1][on_panel[order[1]]], gaps)
    found = rows.table()
    return Surroundings(_counts(found.kind), tuple(rows.words), lambda: iter((found,))), lost, why


def leaving(pairs: Pairs, event_window: Window, policy: str) -> Ints:
    """The rows that leave under the policy, whether or not they have a price file."""
    if policy != "exclude":
        return np.empty(0, np.int64)
    return _others(_Rows(), pairs, event_window, pairs.has_day0, policy, _listed(pairs))[0]


def _counts(kind: npt.NDArray[np.int8]) -> dict[str, int]:
    found = np.bincount(kind, minlength=len(KINDS)).tolist()
    return {name: n for name, n in zip(KINDS, found, strict=True) if n}


def _compiled(pairs: Pairs, window: Window, on_panel: npt.NDArray[np.bool_], gaps: Gaps) -> Surroundings:
    """The same rows from `fused_nearby`, made when they are asked for, in order and slice by slice."""
    from engine.scale.fused_nearby import Around, Found, count_of, rows_of

    rows = _Rows()
    at, _, other, day, _, said = _same_day(rows, pairs)
    day_said, day_other, days = (np.full(len(on_panel), -1, np.int32) for _ in range(3))
    day_said[at], day_other[at], days[at] = said, other, day
    keys, listed, _ = _listed(pairs)
    inverse = np.full(len(on_panel), -1, np.int32)
    inverse[listed] = np.arange(len(listed), dtype=np.int32)
    inverse[~on_panel] = -1
    base = (gaps.listing + 1) * WIDE
    order = np.argsort(base + gaps.first, kind="stable")
    length = (gaps.last - gaps.first + 1)[order]
    texts = {n: rows.word(halted_words("suspended", n)) for n in np.unique(length).tolist()}
    gap_said = np.array([texts[n] for n in length.tolist()], np.int32)
    said_event = [rows.word(f"{FLAGGED}; its day 0 is relative day {d}") for d in window.days]
    around = Around(
        inverse, keys, listed, _base(pairs, np.arange(len(on_panel))), pairs.position, pairs.own, window.start, window.end,
        pairs.lines[0].dates.astype(np.int64), day_said, day_other, days, (base + gaps.first)[order],
        (base + gaps.last)[order], gap_said, rows.word(FLAGGED), said_event[0],
    )  # fmt: skip
    slices = [(begin, min(begin + SLICE, len(on_panel))) for begin in range(0, len(on_panel), SLICE)]

    def count(part: tuple[int, int]) -> Ints:
        counts = np.zeros(len(KINDS), np.int64)
        count_of(*part, around, counts)
        return counts

    counts = list(in_threads(count, slices))

    def made() -> Iterator[Nearby]:
        for part, found in zip(slices, counts, strict=True):
            room = Found(*(np.empty(int(found.sum()), np.int8 if c == "kind" else np.int32) for c in Found._fields))
            rows_of(*part, around, room)
            yield Nearby(*room)

    total = sum(counts, np.zeros(len(KINDS), np.int64))
    check_near(len(on_panel), int(max(total[EVENT], total[ESTIMATION])), MOST_STREAMED)
    return Surroundings({name: int(n) for name, n in zip(KINDS, total, strict=True) if n}, tuple(rows.words), made)


def _same_day(rows: _Rows, pairs: Pairs) -> tuple[Ints, int, Ints, Ints, Ints, Ints]:
    """A row for every pair that shares its day 0 with pairs of other firms, as `_Rows.add` takes them."""
    at = np.flatnonzero(pairs.has_day0)
    days = pairs.event_day[at].astype(np.int64)
    low = int(days.min(initial=0))
    day = days - low
    size = np.bincount(day)
    own = day * len(pairs.symbols) + pairs.listing[at]
    order = in_order(own)
    edges = np.flatnonzero(np.append(True, np.diff(own[order]) != 0))
    kin = np.empty(len(at), np.int64)
    kin[order] = np.repeat(np.diff(np.append(edges, len(at))), np.diff(np.append(edges, len(at))))
    others = size[day] - kin
    shared = others > 0
    other = np.where(size[day] == 2, _partner(day, at), -1)
    said = np.array([rows.word(_day_words(n)) if n else -1 for n in range(int(others.max(initial=0)) + 1)])
    found = days[shared]
    return at[shared], SAME_DAY, other[shared], found, found, said[others[shared]]


def _partner(day: Ints, at: Ints) -> Ints:
    """The other row of a day with two rows; what stands elsewhere is not to be looked at."""
    total = np.bincount(day, weights=at).astype(np.int64)
    return total[day] - at


def _day_words(n: int) -> str:
    return f"{FLAGGED}; day 0 shared with {n} {'pair' if n == 1 else 'pairs'} of other firms"


def _others(
    rows: _Rows, pairs: Pairs, window: Window, on_panel: npt.NDArray[np.bool_], policy: str, order: tuple[Ints, Ints, Ints]
) -> tuple[Ints, list[str]]:  # fmt: skip
    """The other events of the same symbol in the windows of each pair. order: of `_listed`."""
    keys, listed, place = order
    at = listed[on_panel[listed]]  # in the order of the keys, so that looking up stays near
    own, position = pairs.own[at].astype(np.int64), pairs.position[at].astype(np.int64)
    low = np.minimum(own[:, 0] - window.end, window.start)
    high = np.maximum(own[:, 1] - window.start, window.end)
    base = _base(pairs, at)
    begin = np.searchsorted(keys, base + np.clip(position + low, -WIDE // 4, WIDE // 2))
    count = np.searchsorted(keys, base + np.clip(position + high, -WIDE // 4, WIDE // 2), side="right") - begin
    check_near(len(on_panel), int(count.sum()) - len(at), MOST_NEAR)
    pair = np.repeat(np.arange(len(at)), count)
    near = np.arange(len(pair)) - np.repeat(np.cumsum(count) - count, count) + np.repeat(begin, count)
    mine = listed[near] != at[pair]
    pair, near = pair[mine], near[mine]
    day = place[near] - position[pair]
    inside = (day >= window.start) & (day <= window.end)
    first, last = np.maximum(day + window.start, own[pair, 0]), np.minimum(day + window.end, own[pair, 1])
    dates = _Dates(pairs, at[pair])
    said = "excluded" if policy == "exclude" else FLAGGED
    texts = np.array([rows.word(f"{said}; its day 0 is relative day {d}") for d in window.days])
    on = dates.of(place[near][inside], inside)
    rows.add(at[pair][inside], EVENT, listed[near][inside], on, on, texts[day[inside] - window.start])
    part = first <= last
    begins, ends = (dates.of(position[pair][part] + edge[part], part) for edge in (first, last))
    rows.add(at[pair][part], ESTIMATION, listed[near][part], begins, ends, rows.word(FLAGGED))
    if policy != "exclude":
        return np.empty(0, np.int64), []
    return _excluded(pairs, at[pair][inside], listed[near][inside], day[inside], window)


def _excluded(pairs: Pairs, row: Ints, other: Ints, day: Ints, window: Window) -> tuple[Ints, list[str]]:
    """The rows whose event window holds another event, with the days of all of them; ids are put in by the caller."""
    found: dict[int, list[str]] = {}
    for i, o, d in zip(row.tolist(), other.tolist(), day.tolist(), strict=True):
        found.setdefault(i, []).append(f"\0{o}\0 on relative day {d}")
    said = [
        f"the event window {window} around {pairs.event_day[i]} holds {', '.join(named)} of the same firm"
        for i, named in found.items()
    ]
    return np.array(list(found), np.int64), said


def _listed(pairs: Pairs) -> tuple[Ints, Ints, Ints]:
    """Every row with its day on its own line, by line, session and event: the key, the row, and the session.

    A row without day 0 stands on the first session on or after its news; one outside the sessions is left out.
    """
    news = np.array([r.stamp.day for r in pairs.reactions], "datetime64[D]")[pairs.case]
    day = np.where(pairs.has_day0, pairs.event_day, news)
    place = np.full(len(day), -1, np.int64)
    for i, line in enumerate(pairs.lines):
        rows = np.flatnonzero(pairs.shared == i)
        known = rows[(day[rows] >= line.dates[0]) & (day[rows] <= line.dates[-1])] if len(line.dates) else rows[:0]
        place[known] = np.searchsorted(line.dates, day[known])
    at = np.flatnonzero(place >= 0)
    keys = _base(pairs, at) + place[at]
    order = in_order(keys)
    return keys[order], at[order], place[at][order]


def _base(pairs: Pairs, rows: Ints) -> Ints:
    """Where the sessions of a row's listing begin on an axis of all listings."""
    return (pairs.listing[rows].astype(np.int64) + 1) * WIDE


class _Dates:
    """The dates of sessions of rows' own lines."""

    def __init__(self, pairs: Pairs, rows: Ints) -> None:
        self.dates = [line.dates.astype(np.int64) for line in pairs.lines]
        self.shared = pairs.shared[rows]

    def of(self, session: Ints, chosen: npt.NDArray[np.bool_]) -> Ints:
        if len(self.dates) == 1:
            return self.dates[0][np.clip(session, 0, len(self.dates[0]) - 1)]
        shared, made = self.shared[chosen], np.zeros(len(session), np.int64)
        for i, dates in enumerate(self.dates):
            here = shared == i
            made[here] = dates[np.clip(session[here], 0, len(dates) - 1)]
        return made


def _suspended(rows: _Rows, pairs: Pairs, window: Window, at: Ints, gaps: Gaps) -> None:
    """The runs of sessions without a price that meet the event window, or end right before day 0, of the rows ``at``."""
    line = (gaps.listing + 1) * WIDE
    order = np.argsort(line + gaps.first, kind="stable")
    starts, ends = (line + gaps.first)[order], (line + gaps.last)[order]
    base, position = _base(pairs, at), pairs.position[at].astype(np.int64)
    begin = np.searchsorted(ends, base + np.maximum(position + min(window.start, -1), -WIDE // 4))
    count = np.searchsorted(starts, base + position + max(window.end, -1), side="right") - begin
    count = np.maximum(count, 0)
    pair = np.repeat(np.arange(len(at)), count)
    run = order[np.arange(len(pair)) - np.repeat(np.cumsum(count) - count, count) + np.repeat(begin, count)]
    length = gaps.last[run] - gaps.first[run] + 1
    texts = {n: rows.word(halted_words("suspended", n)) for n in np.unique(length).tolist()}
    said = np.array([texts.get(n, -1) for n in range(int(length.max(initial=0)) + 1)])
    dates, every = _Dates(pairs, at[pair]), np.ones(len(pair), bool)
    rows.add(at[pair], SUSPENDED, -1, dates.of(gaps.first[run], every), dates.of(gaps.last[run], every), said[length])


def named(texts: Sequence[str], event_ids: pl.Series) -> list[str]:
    """Words in which rows of the calendar stand for the events they name."""
    made = []
    for text in texts:
        pieces = text.split("\0")
        pieces[1::2] = [event_ids[int(i)] for i in pieces[1::2]]
        made.append("".join(pieces))
    return made
