"""How a command ends when it is asked to: Ctrl-C (130), SIGTERM (143) or SIGHUP (129), within a second in every phase.

The main thread is interrupted first and tidies up as it unwinds. A thread that waits for signals alone ends the process when
that takes longer than `GRACE`: in compiled code, in an import that passes over the interrupt, or in a lock, which a library
with a signal handler of its own makes deaf to signals. Results take their place in one step (`engine.inplace`), so an end at
any moment leaves the last whole ones. Only libraries of Python itself are imported here: this stands before all others.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from types import FrameType
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from pathlib import Path

GRACE = 0.4  # seconds that the main thread has to end by itself
TIDYING = 0.3  # seconds for the children, the unfinished files and the message; then the process ends without
WAKE = 0.05  # seconds between two tries to wake the main thread
SHOWN = 3  # places that are named
NAMES = ("SIGINT", "SIGTERM", "SIGHUP")  # the last is not there on Windows
ASKING = tuple(int(getattr(signal, name)) for name in NAMES if hasattr(signal, name))

_messages: list[Callable[[], str]] = []
_children: list[Callable[[], None]] = []
_told = threading.Lock()
_asked: list[int] = []  # the signals that came


@contextmanager
def stoppable() -> Iterator[None]:
    """While the block runs, a signal that asks the command to stop ends the process, with a message and 128 + its number.

    A signal that the caller has the command ignore stays ignored. Within another such block, and outside the main thread,
    only the way out is watched: whatever the block raises after a signal, the process ends as stopped.
    """
    undo = _installed() if threading.current_thread() is threading.main_thread() else None
    try:
        yield
    finally:
        if _asked:
            _end()
        if undo is not None:
            undo()


@contextmanager
def told_when_stopped(message: Callable[[], str]) -> Iterator[None]:
    """What the user is told of the command's work if it is stopped in this block, besides the results that are written."""
    _messages.append(message)
    try:
        yield
    finally:
        if not _asked:
            _messages.remove(message)


@contextmanager
def ended_when_stopped(end: Callable[[], None]) -> Iterator[None]:
    """A child that is ended with this process in whatever way it stops."""
    _children.append(end)
    try:
        yield
    finally:
        if not _asked:
            _children.remove(end)


def _installed() -> Callable[[], None] | None:
    """Handle the signals, and return what undoes that; None where they are handled already."""
    before = {n: signal.getsignal(n) for n in ASKING}
    mine = [n for n, handler in before.items() if handler in (signal.SIG_DFL, signal.default_int_handler)]
    if not mine or _interrupt in before.values():
        return None
    come, write = os.pipe()
    os.set_blocking(write, False)
    descriptor, hooks = signal.set_wakeup_fd(write, warn_on_full_buffer=False), (sys.unraisablehook, sys.excepthook)
    threading.Thread(target=_watch, args=(come, mine), name="signals", daemon=True).start()
    sys.unraisablehook = _without_interrupts(sys.unraisablehook)
    sys.excepthook = _ended_as_stopped(sys.excepthook)
    changed = {n: signal.signal(n, _interrupt) for n in mine}
    if hasattr(signal, "SIGURG"):  # what the main thread is woken with
        changed[signal.SIGURG] = signal.signal(signal.SIGURG, lambda *_: None)

    def undo() -> None:
        for number, handler in changed.items():
            signal.signal(number, handler)
        sys.unraisablehook, sys.excepthook = hooks
        signal.set_wakeup_fd(descriptor)
        os.close(write)

    return undo


def _interrupt(number: int, frame: FrameType | None) -> None:
    """In the main thread: the first signal raises, further ones leave it to tidy up."""
    first = not _asked
    _asked.append(number)
    if first:
        raise KeyboardInterrupt


def _watch(come: int, mine: list[int]) -> None:
    """In its own thread: wake the main thread on the first signal, and end the process if that does not, or on the second.

    The bytes that are read are written by Python's handler in C, whatever the main thread does.
    """
    while (byte := os.read(come, 1)) and byte[0] not in mine:
        pass
    if byte:
        os.set_blocking(come, False)
        for _ in range(round(GRACE / WAKE)):
            with suppress(AttributeError, OSError):
                signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGURG)
            time.sleep(WAKE)
            with suppress(BlockingIOError):
                if set(os.read(come, 64)) & set(mine):
                    break
        if not _asked:
            _asked.append(byte[0])
        _end()
    os.close(come)


def _end() -> NoReturn:
    """End the children and the process, whichever thread comes first; what does not end in time is left."""
    with suppress(RuntimeError):  # no thread begins while the interpreter ends
        last = threading.Thread(target=_last_words, daemon=True)
        last.start()
        last.join(TIDYING)
    os._exit(128 + _asked[0])


def _last_words() -> None:
    _told.acquire()  # and never released: all of this is done once
    for end in (*_children, _end_workers):
        with suppress(Exception):
            end()
    inplace: Any = sys.modules.get("engine.inplace")  # not imported yet: nothing can have been written
    places: list[Path] = []
    with suppress(Exception):
        places = inplace.put_so_far() if inplace is not None else []
    with suppress(OSError):
        cursor = b"\r\x1b[2K\x1b[?25h" if os.isatty(2) else b""  # a progress bar hides it
        os.write(2, cursor + f"stopped; {_message(places)}\n".encode(errors="backslashreplace"))
    with suppress(Exception):
        if inplace is not None:
            inplace.remove_unfinished()
        sys.stdout.flush()


def _end_workers() -> None:
    """The processes that libraries began."""
    if "multiprocessing" in sys.modules:
        for child in sys.modules["multiprocessing"].active_children():
            child.kill()


def _message(places: Sequence[Path]) -> str:
    """What of the command's work is there, in one line."""
    told = []
    for message in _messages:
        with suppress(Exception):
            told.append(message())
    if places:
        more = f" and {len(places) - SHOWN} more" if len(places) > SHOWN else ""
        told.append(f"written before that: {', '.join(map(str, places[:SHOWN]))}{more}")
    return "; ".join(told) or "nothing was written"


def _without_interrupts(hook: Callable[[Any], Any]) -> Callable[[Any], None]:
    """An interrupt that was raised where nothing can be raised is not shown: the watching thread ends the process."""

    def shown(unraisable: Any) -> None:
        if not (unraisable.exc_type is KeyboardInterrupt and _asked):
            hook(unraisable)

    return shown


def _ended_as_stopped(hook: Callable[..., Any]) -> Callable[..., None]:
    """An interrupt that was raised just before a block ended, so that the block did not see it, ends the process too: a library
    with a signal handler of its own raises first, and the interrupt from here follows."""

    def shown(*error: Any) -> None:
        if _asked:
            _end()
        hook(*error)

    return shown
