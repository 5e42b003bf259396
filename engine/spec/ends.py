"""The ends of named windows: a relative day, or a number of sessions from day 0 of a stamp of the calendar."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from engine.errors import hint
from engine.sessions import FARTHEST

NAME = re.compile(r"[A-Za-z][\w-]{0,39}")
OF_A_STAMP = re.compile(r"(\w+?)(?:\s*([+-])\s*(\d{1,6}))?")


@dataclass(frozen=True)
class End:
    """One end of a named window, the day itself inside: ``days`` sessions after day 0 of the stamp in ``column``, or after
    the study's own day 0 where that is ""."""

    column: str
    days: int

    def __str__(self) -> str:
        if not self.column:
            return str(self.days)
        return self.column if not self.days else f"{self.column} {'+' if self.days > 0 else '-'} {abs(self.days)}"


def read_end(value: int | str) -> End | None:
    """``-1``, ``"completed_at"`` or ``"announced_at - 1"``; None for anything else."""
    if isinstance(value, int):
        return End("", value)
    read = OF_A_STAMP.fullmatch(value.strip())
    if read is None or read[1].isdigit():
        return None
    days = int(read[3] or 0)
    return End(read[1], -days if read[2] == "-" else days)


def end_problems(named: Mapping[str, Sequence[int | str]], stamps: Collection[str]) -> Iterator[str]:
    """What is wrong with ``[windows] named``."""
    for name, pair in named.items():
        place = f"[windows] named.{name} = {list(pair)}"
        if not NAME.fullmatch(name):
            yield f"{place}: a name begins with a letter and holds letters, digits, - and _, at most 40."
        if len(pair) != 2:
            yield f'{place}: a window has two ends, ["first_public_at", -1].'
            continue
        ends = [read_end(value) for value in pair]
        for value, end in zip(pair, ends, strict=True):
            if end is None:
                yield f'{place}: {value!r} is no end. Write a relative day, "completed_at", or "completed_at - 1".'
            elif end.column and end.column not in stamps:
                yield f'{place}: "{end.column}" is no stamp of the calendar. {hint(end.column, stamps)}'
            elif abs(end.days) > FARTHEST:
                yield f"{place} reaches farther than {FARTHEST} sessions."
        start, last = ends
        if start is not None and last is not None and start.column == last.column and start.days > last.days:
            yield f"{place} is reversed: the first day must not be after the last."
