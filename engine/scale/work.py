"""The unit of work: the events of one part of a price file, measured. A pure function of what it is handed, in arrays.

Whoever maps it, in threads or on other machines, gives the same `Task` and gets the same `Done`, to the byte.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from engine.kernel import NUMBA, Asked, Calendar, Measured, RawEvents, RawRows, RowReport, measure
from engine.kernel.layout import coefficient_names, empty_measured
from engine.market.partitions import Part, PartedFile, read_part
from engine.scale.moments import Moments, moments_of
from engine.scale.order import in_order

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
AnyInts = npt.NDArray[np.integer[Any]]


@dataclass(frozen=True)
class Task:
    """The E events of one part, those of one listing together.

    symbols: the G listings that are looked for, in the order of the file. listing: (E,) into them, not falling. calendar: (E,)
    into ``calendars``. position, own: as of `RawEvents`. groups: (C, E) for each group column the group of each event, -1
    for none; the first column is the group of all.
    """

    file: PartedFile
    part: Part
    symbols: tuple[str, ...]
    listing: npt.NDArray[np.int32]
    calendar: npt.NDArray[np.int32]
    position: npt.NDArray[np.int32]
    own: npt.NDArray[np.int32]
    groups: npt.NDArray[np.int32]
    calendars: tuple[Calendar, ...]
    asked: Asked
    kernel: str


@dataclass(frozen=True)
class Done:
    """What came of a task, its events in the same order.

    measured: without ``ar``, unless residuals are asked for. missing: (E, B) the days of the event window without a return,
    as packed bits. found: (G,) whether the file has the listing. state, first, last, stale: (G,) of its rows, as
    `RowReport`. off_session: (G, S) by calendar. gaps: (P, 4) calendar and the columns of `RowReport`. moments: of the
    abnormal returns by group.
    """

    measured: Measured
    missing: npt.NDArray[np.uint8]
    found: npt.NDArray[np.bool_]
    state: npt.NDArray[np.int8]
    first: npt.NDArray[np.int32]
    last: npt.NDArray[np.int32]
    stale: npt.NDArray[np.int32]
    off_session: npt.NDArray[np.int32]
    gaps: npt.NDArray[np.int32]
    moments: dict[int, Moments]


def work(task: Task) -> Done:
    """Read the part, measure its events. Raises DataError for a file that cannot be read, `Unsorted` for one out of order."""
    raw, at, stale_rows = _read(task)
    found = np.zeros(len(task.symbols), bool)
    found[at] = True
    measured, reports = _measured(task, raw, at)
    state, first, last = np.zeros(len(found), np.int8), *np.full((2, len(found)), -1, np.int32)
    stale, off = np.zeros(len(found), np.int32), np.zeros((len(found), len(task.calendars)), np.int32)
    stale[at] = stale_rows
    gaps = [np.empty((0, 4), np.int32)]
    for c, report in reports.items():
        state[at], first[at], last[at], off[at, c] = report.state, report.first, report.last, report.off_session
        gaps.append(np.column_stack([np.full(len(report.gaps), c), at[report.gaps[:, 0]], report.gaps[:, 1:]]))
    missing = np.packbits(~np.isfinite(measured.ar), axis=1)
    known = (measured.code == 0) & found[task.listing]
    moments = moments_of(measured.ar, np.where(known, task.groups, -1), task.kernel == NUMBA)
    return Done(
        measured if task.asked.residuals else measured.without_ar(),
        missing,
        found,
        state,
        first,
        last,
        stale,
        off,
        np.concatenate(gaps).astype(np.int32),
        moments,
    )


def measured_in_runs(task: Task, most: int) -> Iterator[tuple[slice, Measured]]:
    """The numbers of the task's events alone, run by run: of whole listings, ``most`` events or those of one listing."""
    raw, at, _ = _read(task)
    listings = len(task.symbols)
    first = np.searchsorted(task.listing, np.arange(listings + 1))
    begin = 0
    while begin < listings:
        end = max(int(np.searchsorted(first, first[begin] + most, side="right")) - 1, begin + 1)
        events = slice(int(first[begin]), int(first[end]))
        lo, hi = np.searchsorted(at, [begin, end]).tolist()
        rows = slice(int(raw.start[lo]), int(raw.start[hi]))
        own = replace(
            task, symbols=task.symbols[begin:end], listing=task.listing[events] - begin, calendar=task.calendar[events],
            position=task.position[events], own=task.own[events], groups=task.groups[:, events],
        )  # fmt: skip
        some = RawRows(raw.start[lo : hi + 1] - rows.start, raw.days[rows], raw.values[rows], raw.is_return)
        yield events, _measured(own, some, at[lo:hi] - begin)[0]
        begin = end


def _read(task: Task) -> tuple[RawRows, Ints, Ints]:
    """The rows of the part; of each security read, where it stands among those looked for, and how many of its rows are stale."""
    rows = read_part(task.file, task.part, task.symbols)
    place = {symbol: g for g, symbol in enumerate(task.symbols)}
    at = np.array([place[s] for s in rows.symbols], np.int64)
    return RawRows(rows.start, rows.days, rows.values, task.file.is_return), at, rows.stale


def _measured(task: Task, raw: RawRows, at: Ints) -> tuple[Measured, dict[int, RowReport]]:
    """The events of each calendar, put back in the order of the task; a listing that is not there has none."""
    asked = task.asked
    names = coefficient_names(asked.model, len(task.calendars[0].regressors))
    kinds = np.unique(task.calendar)
    rank = np.full(len(task.symbols), -1, np.int64)
    rank[at] = np.arange(len(at))
    whole: Measured | None = None
    reports: dict[int, RowReport] = {}
    for c in kinds.tolist():
        chosen = np.flatnonzero((task.calendar == c) & (rank[task.listing] >= 0))
        order = rank[task.listing[chosen]]
        start = np.searchsorted(order, np.arange(len(at) + 1))
        events = RawEvents(start, task.position[chosen], task.own[chosen])
        made, reports[c] = measure(task.kernel, raw, task.calendars[c], events, asked)
        if len(chosen) == len(task.listing):
            return made, reports
        if whole is None:
            whole = empty_measured(names, len(task.listing), asked, made.ways.shape[1] > 0)
        whole.put(chosen, made)
    assert whole is not None
    return whole, reports


def tasks_of(
    file: PartedFile, symbols: Sequence[str], listing: AnyInts, calendar: AnyInts, position: AnyInts, own: AnyInts,
    groups: AnyInts,
    calendars: tuple[Calendar, ...], asked: Asked, kernel: str,
) -> list[tuple[Ints, Task]]:  # fmt: skip
    """A task for every part that may hold one of the listings, with the events (positions in the arrays given) that it has.

    symbols: of the listings; the other arrays are those of `Task`, in any order.
    """
    keys = [file.key(s) for s in symbols]
    ordered = sorted((i for i, key in enumerate(keys) if key is not None), key=lambda i: keys[i])
    part_of = np.full(len(symbols), -1, np.int64)
    rank = np.full(len(symbols), -1, np.int64)
    p = 0
    for r, i in enumerate(ordered):
        while p < len(file.parts) and file.parts[p].last < keys[i]:
            p += 1
        if p < len(file.parts) and keys[i] >= file.parts[p].first:
            part_of[i], rank[i] = p, r
    order = in_order(rank[listing] + 1)
    order = order[np.searchsorted(rank[listing[order]], 0) :]
    edges = np.searchsorted(part_of[listing[order]], np.arange(len(file.parts) + 1))
    tasks = []
    for p, part in enumerate(file.parts):
        chosen = order[edges[p] : edges[p + 1]]
        if not len(chosen):
            continue
        ranks = rank[listing[chosen]]
        steps = np.diff(ranks, prepend=-1) > 0
        codes = np.cumsum(steps) - 1
        names = tuple(symbols[ordered[r]] for r in ranks[steps].tolist())
        task = Task(
            file, part, names, codes.astype(np.int32), calendar[chosen].astype(np.int32), position[chosen].astype(np.int32),
            own[chosen].astype(np.int32), groups[:, chosen].astype(np.int32), calendars, asked, kernel,
        )  # fmt: skip
        tasks.append((chosen, task))
    return tasks
