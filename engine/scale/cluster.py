"""Maps tasks over the workers of a Dask cluster: one that is started here for the run, or one that is there already.

A task is all that a worker is told, so a worker that is lost costs the tasks it held and nothing else: the scheduler gives
them to another. Tasks are handed out a few ahead of the workers and their results taken in order, so that the bytes of a
result are those of threads, and memory does not grow with the number of tasks.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import sys
import tempfile
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
# What Dask's web servers would show of a run to every user of the machine; the servers themselves cannot be turned off.
NO_PAGES: dict[str, list[str]] = {"distributed.scheduler.http.routes": [], "distributed.worker.http.routes": []}
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
        security = None
        if scheduler is None:
            cluster = stack.enter_context(_processes(distributed, workers))
            scheduler, security = cluster.scheduler_address, cluster.security
        try:
            client = stack.enter_context(
                distributed.Client(scheduler, timeout=PATIENCE, set_as_default=False, security=security)
            )
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


@contextmanager
def _processes(distributed: Any, workers: int) -> Iterator[Any]:
    """A cluster of this machine for this run alone: one thread a process, no dashboard, nothing limited.

    Whoever reaches a scheduler runs code as its owner, and every user of a machine reaches its loopback: only who has the key
    of this run is answered, and it stands in no file. Workers import nothing from the working folder.
    """
    try:
        security = distributed.security.Security.temporary()
    except ImportError:
        raise SpecError(
            "--workers needs the package cryptography, so that no other user of this machine can reach the processes. Install "
            "it with: pip install 'event-study-engine[scale]'."
        ) from None
    with (
        tempfile.TemporaryDirectory(prefix="eventstudy-workers-", ignore_cleanup_errors=True) as scratch,
        _variable("PYTHONSAFEPATH", "1"),
        import_module("dask").config.set(NO_PAGES),
    ):
        with _silent_when_stopped():
            cluster = distributed.LocalCluster(
                n_workers=workers, threads_per_worker=1, memory_limit=0, dashboard_address=None,
                worker_dashboard_address=None, host="127.0.0.1", security=security, local_directory=scratch,
                scheduler_kwargs={"dashboard_address": "127.0.0.1:0"},  # any free port, where no page is
            )  # fmt: skip
        with cluster:
            yield cluster


@contextmanager
def _variable(name: str, value: str) -> Iterator[None]:
    """An environment variable for the processes that are started meanwhile."""
    before = os.environ.get(name)
    os.environ[name] = value
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before


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
