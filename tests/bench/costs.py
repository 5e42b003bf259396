"""What a part costs: seconds of one core and bytes, for a row and for an event. The numbers of docs/scale.md."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from clock import once

from engine import load_study, run_study
from engine.market.partitions import read_part
from engine.scale.work import Task, work

PARTS = 6  # of the file, from its start
NANO = 1e9


class Seen(Exception):
    """The tasks are known; nothing is to be computed."""


def tasks_of_study(study: Path) -> list[Task]:
    """The tasks that a run of the study hands to its mapper."""
    seen: list[Task] = []

    def listening(function: Callable[[Any], Any], tasks: Sequence[Any], /) -> Iterator[Any]:
        seen.extend(tasks)
        raise Seen

    try:
        run_study(load_study(study, data_path=(), in_parts=True), kernel="numba", mapper=listening)
    except Seen:
        return seen
    raise AssertionError("the study is not run in parts")


def costs(many: Path, few: Path) -> dict[str, float]:
    """many, few: studies of one panel whose numbers of events differ: what is alike in both is the cost of rows."""
    tasks = tasks_of_study(many)[:PARTS]
    groups = {task.part.group for task in tasks}
    small = [task for task in tasks_of_study(few) if task.part.group in groups]
    with pq.ParquetFile(tasks[0].file.path) as file:
        about = [file.metadata.row_group(group) for group in sorted(groups)]
    rows = sum(group.num_rows for group in about)
    size = sum(group.column(c).total_compressed_size for group in about for c in range(group.num_columns))
    work(tasks[0])  # compiled, and the file in memory
    reading = once(lambda: [read_part(t.file, t.part, t.symbols) for t in tasks]).cpu
    all_events, some_events = once(lambda: [work(t) for t in tasks]).cpu, once(lambda: [work(t) for t in small]).cpu
    events, others = (sum(len(t.position) for t in one) for one in (tasks, small))
    an_event = (all_events - some_events) / (events - others)
    done = [work(task) for task in tasks]
    return {
        "bytes_a_row": size / rows,
        "read_ns_a_row": reading / rows * NANO,
        "read_ns_a_byte": reading / size * NANO,
        "align_ns_a_row": max(some_events - others * an_event - reading, 0.0) / rows * NANO,
        "measure_ns_an_event": an_event * NANO,
        "sent_bytes_an_event": sum(len(pickle.dumps(t)) for t in tasks) / events,
        "returned_bytes_an_event": sum(len(pickle.dumps(d)) for d in done) / events,
    }
