"""A second process of this program for the length of a command: it does work of a study on another core (`engine.beside`).

It is begun before the study is read, so that it loads its libraries while this process does. It says nothing, hears of no
Ctrl-C, and ends with the command, however that ends. Without it everything is done in this process, with the same result.
"""

from __future__ import annotations

import ctypes
import gc
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import IO, Any, TypeVar

from engine.beside import Beside, here, result_of
from engine.cli.stopping import ended_when_stopped

T = TypeVar("T")
D = TypeVar("D")

OWN = ContextVar("OWN", default=False)  # whether this process is the command's own, not a program that calls it
PATIENCE = 3.0  # seconds till a process that was told to stop is killed
STOPPING = 0.1  # the same when the command is stopped, which must answer at once
PAUSE = 1.0  # seconds between two looks at whether the process is paused
DEATH_SIGNAL = 1  # prctl of Linux
SETTING = "EVENTSTUDY_PROCESSES"  # 1: no second one
HEAVY = ("grid", "backtest", "certificate", "claims")  # tables of a study whose work is worth a second process
PROGRAM = "import sys; sys.path[:] = {path!r}; from engine.cli.second_process import serve; serve({parent})"


@contextmanager
def own_process() -> Iterator[None]:
    """While a command has this process to itself, it may begin a second one."""
    before = OWN.set(True)
    try:
        yield
    finally:
        OWN.reset(before)


@contextmanager
def second_process(worth: bool = True) -> Iterator[Beside | None]:
    """What hands work over to a second process, or None where it is not worth one or there can be none."""
    child = _begun() if worth and _may_begin() else None
    if child is None:
        yield None
        return
    feeder, patience, ended = ThreadPoolExecutor(1), PATIENCE, threading.Event()
    threading.Thread(target=_end_paused, args=(child, ended), daemon=True).start()
    try:
        with ended_when_stopped(partial(_end, child, STOPPING)):
            yield _Second(child, feeder)
    except KeyboardInterrupt:
        patience = STOPPING
        raise
    finally:
        _end(child, patience)
        ended.set()
        feeder.shutdown(cancel_futures=True)
        with suppress(OSError), child:  # closes the pipes
            pass


def _end(child: subprocess.Popen[bytes], patience: float) -> None:
    """Tell the process to stop, and kill it if it does not."""
    child.terminate()
    with suppress(subprocess.TimeoutExpired):
        child.wait(patience)
    child.kill()


def _end_paused(child: subprocess.Popen[bytes], ended: threading.Event) -> None:
    """Kill the process if a signal has paused it, so that nobody waits for it: what it had to do is done here then."""
    while not ended.wait(PAUSE):
        with suppress(OSError, ValueError, IndexError):
            if _is_paused(child.pid) and not ended.wait(PAUSE) and _is_paused(child.pid):
                child.kill()
                return


def _is_paused(pid: int) -> bool:
    """Whether a process is stopped by a signal, by the system's own account of it: the state stands after the name."""
    return Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()[0] in "Tt"


def is_heavy(settings: Mapping[str, Any]) -> bool:
    """Whether a study with these tables of study.toml has work enough for two."""
    return any(settings.get(name) for name in HEAVY)


def _may_begin() -> bool:
    """Only beside a command's own process, on a second core, and not where the user wants one process."""
    return OWN.get() and _cores() > 1 and os.environ.get(SETTING, "") != "1"


def _cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _begun() -> subprocess.Popen[bytes] | None:
    """The process, in a session of its own; None where the system gives none."""
    path = [entry for entry in sys.path if os.path.isabs(entry)]  # "" is the working folder
    program = PROGRAM.format(path=path, parent=os.getpid())
    with suppress(OSError):
        return subprocess.Popen(
            [sys.executable, "-P", "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            start_new_session=True,
        )  # fmt: skip
    return None


class _Second:
    """Hands tasks over, one at a time: a thread of this process waits for each of them to be done."""

    def __init__(self, child: subprocess.Popen[bytes], feeder: ThreadPoolExecutor) -> None:
        assert child.stdin is not None
        assert child.stdout is not None
        self.to: IO[bytes] = child.stdin
        self.back: IO[bytes] = child.stdout
        self.feeder = feeder
        self.function = b""  # the other process has it

    def __call__(self, function: Callable[[T], D], tasks: Sequence[T], /) -> list[Callable[[], D]]:
        try:
            work, sent = _sent(function), [_sent(task) for task in tasks]
        except Exception:  # of any kind: code of a study's own, a function within a function, an object with a lock
            return here(function, tasks)
        return [
            partial(result_of, self.feeder.submit(self._ask, work, data), function, task)
            for data, task in zip(sent, tasks, strict=True)
        ]

    def _ask(self, work: bytes, data: bytes) -> Any:
        pickle.dump((None if work is self.function else work, data), self.to)
        self.to.flush()
        self.function = work
        return pickle.loads(pickle.load(self.back))


def _sent(thing: Any) -> bytes:
    return pickle.dumps(thing, pickle.HIGHEST_PROTOCOL)


def serve(parent: int) -> None:
    """What the second process does: the tasks it is sent, until it is told to stop, or the first process is gone."""
    gc.set_threshold(200_000)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())  # what a task has begun to write is removed
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever prints, prints nowhere
    try:
        _serve(parent, answers)
    finally:
        os._exit(0)  # at once: nothing is left to do


def _serve(parent: int, answers: IO[bytes]) -> None:
    if sys.platform == "linux":  # also where this process is paused, or deaf in compiled code
        ctypes.CDLL(None).prctl(DEATH_SIGNAL, signal.SIGKILL)
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    import_module("engine.study")  # while the first process reads
    function: Any = None  # comes with its first task
    while True:
        try:
            work, data = pickle.load(sys.stdin.buffer)
        except EOFError:
            return
        function = function if work is None else pickle.loads(work)
        pickle.dump(_answer(function, data), answers)
        answers.flush()


def _answer(function: Callable[[Any], Any], data: bytes) -> bytes:
    """The result as it is sent; nothing for a failure, which the first process then meets itself."""
    try:
        return _sent(function(pickle.loads(data)))
    except Exception:
        return b""


def _end_with(parent: int) -> None:
    """End this process with the first one, also where that was killed in the midst of a task."""
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)
