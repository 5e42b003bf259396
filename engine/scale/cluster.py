"""Maps tasks over the workers of a Dask cluster: one that is started here for the run, or one that is there already.

A task is all that a worker is told, so a worker that is lost costs the tasks it held and nothing else: the scheduler gives
them to another. Tasks are handed out a few ahead of the workers and their results taken in order, so that the bytes of a
result are those of threads, and memory does not grow with the number of tasks.
"""

from __future__ import annotations

import logging
import signal
import socket
import sys
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from importlib import import_module
from multiprocessing import resource_tracker
from typing import Any, TypeVar

from engine.errors import DataError, SpecError, UpstreamError
from engine.scale.kept import versions
from engine.scale.mapping import Mapper

T = TypeVar("T")
D = TypeVar("D")
AHEAD = 2  # tasks a thread of the cluster: one that it does, and one that lies ready
PATIENCE = 20  # seconds until a scheduler must have answered


@contextmanager
def on_cluster(scheduler: str | None, workers: int = 0) -> Iterator[Mapper]:
    """A mapper over the cluster at ``scheduler`` ("tcp://host:8786"), or over ``workers`` processes started on this machine.

    Raises SpecError where the extra ``scale`` is not installed or the address is none, UpstreamError for a scheduler that
    does not answer. The mapper raises what the task raised, and UpstreamError for a task that no worker survives.
    """
    try:
        distributed: Any = import_module("distributed")
    except ImportError:
        raise SpecError(
            "--workers and --scheduler need Dask, which is not installed. Install it with: "
            "pip install 'event-study-engine[scale]', or leave them out: a run uses every core of this machine without."
        ) from None
    with ExitStack() as stack:
        stack.enter_context(_quiet())
        if scheduler is None:
            with _silent_when_stopped():
                cluster = _processes(distributed, workers)
            scheduler = stack.enter_context(cluster).scheduler_address
        try:
            client = stack.enter_context(distributed.Client(scheduler, timeout=PATIENCE, set_as_default=False))
        except (OSError, TimeoutError) as error:
            raise UpstreamError(
                f"--scheduler {scheduler}: does not answer ({type(error).__name__}). Is it running, and can it be reached from "
                "this machine? Its log says where it listens: tcp://HOST:PORT."
            ) from None
        except ValueError as error:
            raise SpecError(
                f"--scheduler {scheduler}: is no address: {error}. Give one such as tcp://node01:8786."
            ) from None
        yield partial(_mapped, client)


def _processes(distributed: Any, workers: int) -> Any:
    """A cluster of this machine: one thread a process, no dashboard, nothing limited."""
    return distributed.LocalCluster(
        n_workers=workers, threads_per_worker=1, memory_limit=0, dashboard_address=None, worker_dashboard_address=None
    )


@contextmanager
def _silent_when_stopped() -> Iterator[None]:
    """The processes that begin in this block, or later in its threads, hear no Ctrl-C, which a terminal sends to all of them:
    they end with this process. What cleans up after them does not warn that they did."""
    sys.warnoptions.append("ignore::UserWarning:multiprocessing.resource_tracker")
    resource_tracker.ensure_running()  # first: it lets the signal through again
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT}) if hasattr(signal, "pthread_sigmask") else None
    try:
        yield
    finally:
        sys.warnoptions.pop()
        if before is not None:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def _quiet() -> Iterator[None]:
    """Without Dask's own remarks on workers that come and go: what matters to the run is an error of the run."""
    logger = logging.getLogger("distributed")
    before = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        logger.setLevel(before)


def _mapped(client: Any, function: Callable[[T], D], tasks: Sequence[T]) -> Iterator[D]:
    """The results in the order of the tasks."""
    there = partial(_on_worker, versions(), function)
    waiting: deque[tuple[int, Any]] = deque()
    try:
        for place, task in enumerate(tasks):
            waiting.append((place, client.submit(there, task, pure=False)))
            if len(waiting) > AHEAD * max(sum(client.nthreads().values()), 1):
                yield _result(*waiting.popleft(), len(tasks))
        while waiting:
            yield _result(*waiting.popleft(), len(tasks))
    finally:
        client.cancel([future for _, future in waiting])


def _result(place: int, future: Any, tasks: int) -> Any:
    distributed = import_module("distributed")
    try:
        return future.result()
    except distributed.KilledWorker as error:
        raise UpstreamError(
            f"part {place + 1} of {tasks} ended every worker that took it, the last at {error.last_worker.address}. Mostly a "
            "worker has too little memory: give each one about 1 GB, or fewer threads a worker."
        ) from None
    except (OSError, distributed.CancelledError) as error:
        raise UpstreamError(
            f"part {place + 1} of {tasks}: the cluster was lost ({type(error).__name__}). Start it again; with --work the run "
            "goes on where it stopped."
        ) from None


def _on_worker(here: dict[str, str], function: Callable[[T], D], task: T) -> D:
    """Do the task. Raises SpecError on a worker with other versions, whose numbers could differ; DataError says which host."""
    mine = versions()
    other = [f"{package} {mine[package]}, not {wanted}" for package, wanted in here.items() if mine[package] != wanted]
    if other:
        raise SpecError(
            f"the worker on {socket.gethostname()} has {'; '.join(other)}. Give the workers the same environment as the client."
        )
    try:
        return function(task)
    except DataError as error:
        raise DataError(
            f"{error} So says the worker on {socket.gethostname()}: it must see the file at the same path."
        ) from None
