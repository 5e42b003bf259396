"""Maps a function over tasks and hands back what came of them in the order of the tasks: one after another, or in threads."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol, TypeVar

T = TypeVar("T")
D = TypeVar("D")


class Mapper(Protocol):
    """Maps a function over tasks; what comes of them is in their order."""

    def __call__(self, function: Callable[[T], D], tasks: Sequence[T], /) -> Iterator[D]: ...


def cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def in_threads(function: Callable[[T], D], tasks: Sequence[T], workers: int = 0) -> Iterator[D]:
    """One task a core; only a few are under way at a time, so that memory does not grow with their number."""
    from concurrent.futures import Future, ThreadPoolExecutor

    workers = workers or cores()
    if workers == 1 or len(tasks) == 1:
        yield from map(function, tasks)
        return
    with ThreadPoolExecutor(workers) as pool:
        waiting: deque[Future[D]] = deque()
        try:
            for task in tasks:
                waiting.append(pool.submit(function, task))
                if len(waiting) > workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for one in waiting:
                one.cancel()
