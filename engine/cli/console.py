"""What the command line says, and the files it writes: messages to stderr, data to stdout, progress on a terminal only."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from engine.errors import SpecError, hint

if TYPE_CHECKING:
    from engine.market.vintages import SymbolChange


def say(message: str) -> None:
    print(message, file=sys.stderr)


def aligned(rows: list[dict[str, str]]) -> str:
    """Rows of text as a table: the first column to the left, the others to the right."""
    lines = [list(rows[0]), *(list(row.values()) for row in rows)]
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

    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[stage]}"), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(name, stage="", total=None)
        yield lambda stage, done, total: bar.update(task, stage=stage, completed=done, total=total)


def write_text(folder: Path, name: str, text: str) -> None:
    write_bytes(folder, name, text.encode("utf-8"))


def write_bytes(folder: Path, name: str, data: bytes) -> None:
    """Write one file whole: beside its place first, then renamed."""
    from engine.results import write_file

    write_file(folder / name, data)
