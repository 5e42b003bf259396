"""The second look at very many events: each part is measured again with its residuals, which leave only sums."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from engine.kernel import NUMBA
from engine.scale.mapping import Mapper
from engine.scale.work import Task, measured_in_runs
from engine.significance.sweeps import SWEEPS, Block, Cell, Sums, added, sums_of

Ints = npt.NDArray[np.int64]
RUN = 4_096  # events that are measured at once: what they leave is never much
BLOCK = 512  # events that are ranked at once: what they need stays in the processor's cache


@dataclass(frozen=True)
class SweepTask:
    """A task whose events leave sums. tests: of `SWEEPS`. used: (E,) which events take part. spreads: by group and window,
    the sd of its SCARs."""

    task: Task
    tests: tuple[str, ...]
    used: npt.NDArray[np.bool_]
    spreads: dict[tuple[int, int], float]


Swept = dict[tuple[str, int, int], Sums]


def sweep_work(asked: SweepTask) -> Swept:
    """The sums of a part by test, group and window."""
    task = replace(asked.task, asked=replace(asked.task.asked, residuals=True, days=False))
    held = [np.flatnonzero(np.bincount(column[column >= 0])).tolist() for column in task.groups]
    total: Swept = {}
    for events, measured in measured_in_runs(task, RUN):
        scar = measured.car / measured.se
        complete = np.isfinite(measured.car) & asked.used[events, None]
        for begin in range(0, len(scar), BLOCK):
            part = slice(begin, begin + BLOCK)
            block = Block(measured.residuals[part], measured.ar[part], measured.sigma[part], task.kernel == NUMBA)
            cells = {}
            for w, window in enumerate(task.asked.windows):
                columns = window.within(task.asked.event_window)
                for column, groups in zip(task.groups[:, events], held, strict=True):
                    for group in groups:
                        members = np.flatnonzero((column[part] == group) & complete[part, w])
                        if len(members):
                            spread = asked.spreads.get((group, w), np.nan)
                            cells[group, w] = Cell(members, columns, scar[part][members, w], spread)
            for key, sums in sums_of(asked.tests, block, cells).items():
                total[key] = added(SWEEPS[key[0]], total[key], sums) if key in total else sums
    return total


def swept(
    tasks: Sequence[tuple[Ints, Task]], used: npt.NDArray[np.bool_], tests: Sequence[str],
    spreads: dict[tuple[int, int], float], mapper: Mapper,
) -> Swept:  # fmt: skip
    """The sums of all parts in their order. used: of all rows of the calendar; spreads: as of `SweepTask`."""
    names = tuple(t for t in dict.fromkeys(tests) if t in SWEEPS)
    if not names:
        return {}
    asked = [SweepTask(task, names, used[rows], spreads) for rows, task in tasks]
    total: Swept = {}
    for part in mapper(sweep_work, asked):
        for key, sums in part.items():
            total[key] = added(SWEEPS[key[0]], total[key], sums) if key in total else sums
    return total
