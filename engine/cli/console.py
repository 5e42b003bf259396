"""What the command line says, and the files it writes: messages to stderr, data to stdout, progress on a terminal only."""

from __future__ import annotations

import io
import logging
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, TextIO

from engine.errors import SpecError, hint, visible

if TYPE_CHECKING:
    from engine.market.vintages import SymbolChange


def say(message: str) -> None:
    """A message, to stderr."""
    print(visible(message, keep="\n"), file=sys.stderr)


def tell(message: str) -> None:
    """What was found, in words, to stdout."""
    print(visible(message, keep="\n"))


def write_data(text: str) -> None:
    """Data to stdout: as they are into a file or a pipe, with nothing raw in them on a terminal."""
    sys.stdout.write(visible(text, keep="\n") if sys.stdout.isatty() else text)


def plain_streams() -> None:
    """What the encoding of a stream does not have is written as its escape, and a warning of a library as a line of our own."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    warnings.showwarning = _Warned()
    logging.lastResort = _Logged(logging.WARNING)


class _Warned:
    """Says a warning of a library once, in one line without a path; what is meant for programmers is not said."""

    def __init__(self) -> None:
        self.said: set[str] = set()

    def __call__(
        self, message: Warning | str, category: type[Warning], filename: str, lineno: int, file: TextIO | None = None,
        line: str | None = None,
    ) -> None:  # fmt: skip
        if issubclass(category, (DeprecationWarning, PendingDeprecationWarning, FutureWarning, ResourceWarning)):
            return
        first = (str(message).strip().splitlines() or [category.__name__])[0]
        told = f"warning: {_library(filename)}: {first}"
        if issubclass(category, RuntimeWarning):  # of arithmetic
            told = f"warning: a number is too large or undefined ({first}); where that is a result, it is left empty."
        if told not in self.said:
            self.said.add(told)
            say(told)


class _Logged(logging.Handler):
    """Says what a library logs as a warning, in one line."""

    def emit(self, record: logging.LogRecord) -> None:
        say(f"warning: {record.name.partition('.')[0]}: {(record.getMessage().strip().splitlines() or [''])[0]}")


def _library(filename: str) -> str:
    """The name of the library that a file belongs to."""
    parts = PurePath(filename).parts
    at = next((i for i, part in enumerate(parts) if part in ("site-packages", "dist-packages")), len(parts) - 2)
    return parts[at + 1].removesuffix(".py") if 0 <= at < len(parts) - 1 else "a library"


def aligned(rows: list[dict[str, str]]) -> str:
    """Rows of text as a table: the first column to the left, the others to the right."""
    lines = [[visible(cell) for cell in line] for line in (rows[0], *(row.values() for row in rows))]
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    return "\n".join(
        "  ".join([line[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(line[1:], widths[1:], strict=True))]).rstrip()
        for line in lines
    )


def show_changes(changes: list[SymbolChange], say: Callable[[str], None]) -> None:
    """Changed histories each in a line, the others counted."""
    say(f"{len(changes)} series compared, {sum(c.append_only for c in changes)} append only or equal")
    for change in changes:
        if not change.append_only or change.rescaled:
            say(f"  {change}")


def choice(option: str, read: str | None, allowed: tuple[str | None, ...]) -> None:
    if read not in allowed:
        raise SpecError(f'{option} "{read}" is not available. {hint(str(read), [a for a in allowed if a is not None])}')


@contextmanager
def progress(name: str) -> Iterator[Callable[[str, int, int], None]]:
    """A progress bar on a terminal, silence in a pipe."""
    if not sys.stderr.isatty():
        yield lambda stage, done, total: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    def text(field: str) -> TextColumn:
        return TextColumn(f"{{task.{field}}}", markup=False)  # a name in brackets is a name

    columns = (text("description"), BarColumn(), text("fields[stage]"), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(visible(name), stage="", total=None)
        yield lambda stage, done, total: bar.update(task, stage=visible(stage), completed=done, total=total)


def write_text(folder: Path, name: str, text: str) -> None:
    write_bytes(folder, name, text.encode("utf-8"))


def write_bytes(folder: Path, name: str, data: bytes) -> None:
    """Write one file whole: beside its place first, then renamed."""
    from engine.results import write_file

    write_file(folder / name, data)
