"""All parts together: the numbers of every row of the calendar, and who is lost on the way and why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from engine.kernel import REASONS, Asked, Measured, empty_measured
from engine.models import DEGENERATE
from engine.panel import Pair, too_few_days, without_returns
from engine.scale.moments import Moments
from engine.scale.nearby import Gaps
from engine.scale.pairs import Pairs
from engine.scale.work import Done, Task
from engine.sessions import Window

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
NO_RETURNS, TOO_FEW = 1, 2


@dataclass(frozen=True)
class Lost:
    """Rows of ``exclusions.csv``: (X,) of the calendar, each with stage, reason and detail."""

    row: list[int]
    stage: list[str]
    reason: list[str]
    detail: list[str]

    def add(self, row: int, stage: str, reason: str, detail: str) -> None:
        self.row.append(row)
        self.stage.append(stage)
        self.reason.append(reason)
        self.detail.append(detail)


class Joined:
    """Room for all N rows of the calendar, filled as parts are done.

    measured: of every row, as `Measured`. missing: (N, B) packed bits of days without a return. found, first, last, stale,
    off: (G,) by listing. moments: by group. wrong: listings with rows that are not in order, and the state they have.
    """

    def __init__(self, pairs: Pairs, asked: Asked, names: tuple[str, ...], long: bool, resident: bool) -> None:
        n, listings = len(pairs.case), len(pairs.symbols)
        self.pairs = pairs
        self.measured: Measured = empty_measured(names, n, asked, long, with_ar=resident)
        self.missing = np.zeros((n, (len(asked.event_window) + 7) // 8), np.uint8)
        self.found = np.zeros(listings, bool)
        self.first, self.last = np.full((2, listings), -1, np.int32)
        self.stale = np.zeros(listings, np.int32)
        self.off = np.zeros((listings, len(pairs.lines)), np.int32)
        self.moments: dict[int, Moments] = {}
        self.wrong: list[tuple[str, int]] = []
        self._gaps: list[npt.NDArray[np.int32]] = [np.empty((0, 3), np.int32)]
        self._code = {s: i for i, s in enumerate(pairs.symbols)}

    def add(self, rows: Ints, task: Task, done: Done) -> None:
        """rows: of the calendar that the task's events are."""
        self.measured.put(rows, done.measured)
        self.missing[rows] = done.missing
        codes = np.array([self._code[s] for s in task.symbols])
        self.found[codes], self.stale[codes], self.off[codes] = done.found, done.stale, done.off_session
        self.first[codes], self.last[codes] = done.first, done.last
        self.wrong += [(task.symbols[g], int(done.state[g])) for g in np.flatnonzero(done.state)]
        self._gaps.append(np.column_stack([codes[done.gaps[:, 1]], done.gaps[:, 2:]]).astype(np.int32))
        for group, own in done.moments.items():
            self.moments[group] = self.moments[group].joined(own) if group in self.moments else own

    def gaps(self) -> Gaps:
        """The runs of sessions without a price, each once."""
        every = np.concatenate(self._gaps)
        if len(self.pairs.lines) > 1:
            every = np.unique(every, axis=0)
        return Gaps(*every.astype(np.int64).T)

    def span(self, listing: int) -> str:
        """The first and last day with a value, as `lines.Line.span`."""
        first, last = (np.datetime64(int(d), "D") for d in (self.first[listing], self.last[listing]))
        return f"{first} to {last}" if self.first[listing] >= 0 else "no values"


def losses(
    joined: Joined,
    event_ids: pl.Series,
    window: Window,
    min_days: int,
    snapshot: str,
    left: Ints,
    why: Sequence[str],
) -> tuple[Lost, npt.NDArray[np.bool_]]:
    """A row for every pair that is lost before the window stage, and (N,) which pairs are used.

    left, why: the rows that leave for another event of the firm.
    """
    pairs, code = joined.pairs, joined.measured.code
    lost = Lost([], [], [], [])
    for i in np.flatnonzero(~pairs.has_day0).tolist():
        reaction = pairs.reactions[pairs.case[i]]
        lost.add(i, "sessions", reaction.lost, reaction.reason)
    priced = pairs.has_day0 & joined.found[pairs.listing]
    for i in np.flatnonzero(pairs.has_day0 & ~priced).tolist():
        symbol = pairs.symbols[pairs.listing[i]]
        lost.add(i, "prices", "no_price_file", f"no file for {symbol} in snapshot {snapshot}")
    for i, text in zip(left.tolist(), why, strict=True):
        lost.add(i, "events", "contaminated", text)
    used = priced.copy()
    used[left] = False
    for i in np.flatnonzero(used & (code > 0)).tolist():
        lost.add(i, *_measure_loss(joined, i, event_ids[i], window, min_days))
    return lost, used & (code == 0)


def _measure_loss(joined: Joined, i: int, event_id: str, window: Window, min_days: int) -> tuple[str, str, str]:
    """Stage, reason and detail of a pair without numbers."""
    pairs, code = joined.pairs, int(joined.measured.code[i])
    listing, line = int(pairs.listing[i]), pairs.lines[pairs.shared[i]]
    n, own = int(joined.measured.n_obs[i]), Window(*pairs.own[i].tolist())
    pair = Pair(event_id, pairs.symbols[listing], ("", "", ""), pairs.event_day[i], own)
    if code == NO_RETURNS:
        return "prices", REASONS[code], without_returns(window, pair, joined.span(listing), line.against)
    if code == TOO_FEW:
        return "estimation", REASONS[code], too_few_days(n, min_days, pair, joined.span(listing), line.against)
    return "estimation", REASONS[code], f"{n} returns in {own} of {pair.symbol}: {DEGENERATE[REASONS[code]]}"


def _kinds(rows: npt.NDArray[np.bool_]) -> tuple[npt.NDArray[np.bool_], Ints]:
    """The distinct ones of N rows, and (N,) which of them each is."""
    packed = np.zeros((len(rows), -(-rows.shape[1] // 64) * 8), np.uint8)
    packed[:, : -(-rows.shape[1] // 8)] = np.packbits(rows, axis=1)
    which, first = np.zeros(len(rows), np.int64), np.zeros(min(len(rows), 1), np.int64)
    for word in packed.view(np.uint64).T:  # sorting whole numbers is much faster than sorting rows
        own = np.unique(word, return_inverse=True)[1]
        key = which * (int(own.max(initial=0)) + 1) + own
        _, first, which = np.unique(key, return_index=True, return_inverse=True)
    return rows[first], which


def incomplete(joined: Joined, used: npt.NDArray[np.bool_], windows: Sequence[Window], event_window: Window) -> Lost:
    """A row for each pair and window whose days are not all there."""
    lost = Lost([], [], [], [])
    rows = np.flatnonzero(used & joined.missing.any(axis=1))
    bits = np.unpackbits(joined.missing[rows], axis=1, count=len(event_window)).astype(bool)
    for window in windows:
        inside = bits[:, window.within(event_window)]
        short = np.flatnonzero(inside.any(axis=1))
        kinds, which = _kinds(inside[short])
        texts = [f"{window}: no return on relative day {', '.join(map(str, window.days[kind]))}" for kind in kinds]
        lost.row.extend(rows[short].tolist())
        lost.detail.extend(texts[k] for k in which.tolist())
    lost.stage.extend(["window"] * len(lost.row))
    lost.reason.extend(["missing_days"] * len(lost.row))
    return lost
