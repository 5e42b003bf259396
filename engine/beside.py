"""Work that another process may do beside this one: tasks are handed over, and their results are asked for later.

The other one begins with the first task and this one asks from the last on: a task that is not begun when its result is asked
for is done here. So both end together, and who did what changes no number.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import partial
from typing import Protocol, TypeVar

T = TypeVar("T")
D = TypeVar("D")


class Beside(Protocol):
    """Hands tasks of a function over; for each the call that gives its result."""

    def __call__(self, function: Callable[[T], D], tasks: Sequence[T], /) -> list[Callable[[], D]]: ...


def here(function: Callable[[T], D], tasks: Sequence[T]) -> list[Callable[[], D]]:
    """Nothing is handed over: every task is done when its result is asked for."""
    return [partial(function, task) for task in tasks]


@contextmanager
def a_thread() -> Iterator[Beside]:
    """Tasks handed over to a thread of this process, for work that leaves others free to run."""
    pool = ThreadPoolExecutor(1)

    def beside(function: Callable[[T], D], tasks: Sequence[T]) -> list[Callable[[], D]]:
        return [partial(result_of, pool.submit(function, task), function, task) for task in tasks]

    try:
        yield beside
    finally:
        pool.shutdown(cancel_futures=True)


def result_of(future: Future[D], function: Callable[[T], D], task: T) -> D:
    """What came of a task that was handed over; done here where it is not begun, or where it failed: then it fails here too,
    with its own error."""
    if not future.cancel():
        with suppress(
            Exception
        ):  # whatever it is: a process that ended, a result that cannot be sent, an error of the task
            return future.result()
    return function(task)


def gathered(
    waiting: Sequence[Callable[[], D]], on_done: Callable[[int, int], None] = lambda done, total: None
) -> list[D]:
    """The results of all tasks in their order, asked for from the last on; the progress is (done, total)."""
    results = []
    for ask in reversed(waiting):
        results.append(ask())
        on_done(len(results), len(waiting))
    return results[::-1]
