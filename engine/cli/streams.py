"""Standard streams that end no command: one that is closed, or that nobody reads any more, is written to in vain.

So `eventstudy run STUDY | head` writes its result and ends with the code of the run, as without `head`.
"""

from __future__ import annotations

import errno
import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, TextIO


@contextmanager
def standing_streams() -> Iterator[None]:
    """While the block runs, stdout passes over a reader that is gone, and stderr over whatever stops it.

    Streams that the program has replaced stay as they are. A full disk behind stdout still raises OSError.
    """
    _open_closed()
    stdout, stderr = sys.stdout, sys.stderr
    if stdout is None or stdout is sys.__stdout__:
        sys.stdout = _standing(1, stdout)
    if stderr is None or stderr is sys.__stderr__:
        sys.stderr = _standing(2, stderr)
    try:
        yield
    finally:
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError):  # what could not be written is said already
                stream.flush()
        sys.stdout, sys.stderr = stdout, stderr


def _open_closed() -> None:
    """The null device in the place of a standard stream that is closed, lest a file that is opened later takes its place."""
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            null = os.open(os.devnull, os.O_RDWR)
            if null != descriptor:
                os.dup2(null, descriptor)
                os.close(null)


def _standing(descriptor: int, before: TextIO | None) -> TextIO:
    encoding = getattr(before, "encoding", None) or "utf-8"
    errors = getattr(before, "errors", None) or "backslashreplace"
    lines = bool(getattr(before, "line_buffering", descriptor == 2))
    raw = io.BufferedWriter(_Standing(descriptor, "wb", closefd=False))
    return io.TextIOWrapper(raw, encoding=encoding, errors=errors, line_buffering=lines)


class _Standing(io.FileIO):
    """A standard stream; from its first failure on, that of a full stdout apart, it leads to the null device."""

    def write(self, data: Any, /) -> int:
        try:
            return super().write(data)
        except OSError as error:
            if self.fileno() == 1 and error.errno != errno.EPIPE:
                raise
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, self.fileno())
            os.close(null)
            return len(data)
