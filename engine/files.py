"""Read files that a stranger may have written: regular files only, each up to a size, and opened in one place.

What is refused is an OSError with its reason as ``strerror``, so that a reader tells it as it tells a file that is not
there. ``EVENTSTUDY_LIMITS=4`` in the environment makes every limit four times as large; a study cannot move them.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
import unicodedata
from io import BufferedReader
from pathlib import Path

from engine.errors import SpecError

FACTOR = "EVENTSTUDY_LIMITS"
SETTINGS = 2_000_000  # bytes of a study.toml, a theme, a model of the user's own
RECORD = 100_000_000  # bytes of a manifest, or of what a fetch keeps
TABLE = 1_000_000_000  # bytes of a table as text
TEXT = 4_000  # characters of one text in a study or a cell
MARKS = 30  # combining marks in a row: what Unicode's Stream-Safe Text Format (UAX 15) allows
ANY = 2**60  # bytes of a file that is read in pieces


class Refused(OSError):
    """A file that is not read: no regular file, or larger than its limit."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(errno.EINVAL, reason, str(path))


def within(limit: int) -> int:
    """The limit as the user of this machine has set it: times ``EVENTSTUDY_LIMITS``. Raises SpecError for what is no factor."""
    written = os.environ.get(FACTOR) or "1"
    try:
        factor = float(written)
    except ValueError:
        factor = 0.0
    if not 1 <= factor <= 1e6:
        raise SpecError(
            f'{FACTOR} = "{written}" in the environment: should be a number from 1 to 1000000, by which limits grow.'
        )
    return int(limit * factor)


def raise_with(needed: int, limit: int) -> str:
    """What to set so that ``needed`` is within ``limit``."""
    return f"set {FACTOR}={-(-needed // limit)} in the environment to allow it"


def open_file(path: Path, limit: int = TABLE) -> BufferedReader:
    """A regular file, opened for reading at its first byte. Never waits for a writer, as opening a FIFO does.

    Raises OSError for what cannot be opened, is a folder, a device, a FIFO or a socket, or holds more than ``limit`` bytes.
    """
    try:
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    except ValueError:  # a zero byte, or text that is no name on this system
        raise Refused(path, "its path is no name of a file") from None
    try:
        about = os.fstat(handle)
        if stat.S_ISDIR(about.st_mode):
            raise Refused(path, "it is a folder, not a file")
        if not stat.S_ISREG(about.st_mode):
            raise Refused(path, "it is a device, a pipe or a socket, not a regular file")
        if about.st_size > within(limit):
            raise Refused(
                path,
                f"it holds {about.st_size:,} bytes, {within(limit):,} are allowed: {raise_with(about.st_size, limit)}",
            )
        return open(handle, "rb")
    except BaseException:
        os.close(handle)
        raise


def read_bytes(path: Path, limit: int = TABLE) -> bytes:
    """All of a regular file. Raises OSError as `open_file`, also where the file says that it is smaller than it is."""
    with open_file(path, limit) as file:
        data = file.read(within(limit) + 1) or b""
    if len(data) > within(limit):
        raise Refused(path, f"it holds more than the {within(limit):,} bytes that are allowed")
    return data


def read_text(path: Path, limit: int = SETTINGS) -> str:
    """All of a regular UTF-8 file as text, a byte order mark left out. Raises OSError, or UnicodeDecodeError for other text."""
    return read_bytes(path, limit).decode("utf-8-sig").replace("\r\n", "\n").replace("\r", "\n")


def check_file(path: Path) -> str:
    """The absolute path of a regular file of any size, for a library that opens it itself: no address and no home folder.

    Raises OSError as `open_file`.
    """
    open_file(path, ANY).close()
    return os.path.abspath(path)


def digest_of(path: Path) -> str:
    """The sha256 of a regular file of any size. Raises OSError as `open_file`."""
    with open_file(path, ANY) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def wrong_text(text: str) -> str:
    """What is wrong with a text that will stand in a memo, "" if nothing: its length, or a pile of combining marks."""
    if len(text) > within(TEXT):
        return (
            f"has {len(text):,} characters, {within(TEXT):,} are allowed. Shorten it, or {raise_with(len(text), TEXT)}"
        )
    marks = 0
    for sign in text if not text.isascii() else "":
        marks = marks + 1 if unicodedata.category(sign).startswith("M") else 0
        if marks > MARKS:
            return f"has more than {MARKS} combining marks in a row, which no script has. Leave them out"
    return ""


def is_plain(name: str) -> bool:
    """Whether a name of a study's own stands for one entry of a folder on every system: no part of a path, no zero byte."""
    return name.strip(".") != "" and not any(c in name for c in "/\\\0")
