"""What can go wrong, by exit code, and the did-you-mean hint.

Every message says where, what was read, what is allowed and what to do.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class EngineError(Exception):
    """Any failure that the engine explains; ``exit_code`` is what the command line returns."""

    exit_code = 2


class SpecError(EngineError):
    """The study or the call is wrong (exit 2)."""

    exit_code = 2


class DataError(EngineError):
    """Data are missing or fail a check (exit 3)."""

    exit_code = 3


class MissingData(DataError):
    """Prices that a study needs are not on this machine (exit 3); a run over all studies leaves the study out."""


class UpstreamError(EngineError):
    """A source of prices gave nothing that can be used: network, rate limit, damaged answers (exit 4)."""

    exit_code = 4


class GoldenMismatch(EngineError):
    """A recomputed result differs from its golden result (exit 1)."""

    exit_code = 1


class UnforeseenError(EngineError):
    """An exception that the engine does not explain, which is a fault of its own (exit 70); its cause is that exception."""

    exit_code = 70


def hint(read: str, known: Iterable[str]) -> str:
    """``Did you mean "x"? Known: ...`` for a name that is not known."""
    names = sorted({name for name in known if name and not name.startswith("#")})
    if not names:
        return "None is known."
    near = difflib.get_close_matches(read, names, n=1, cutoff=0.6)
    guess = f'Did you mean "{near[0]}"? ' if near else ""
    return f"{guess}Known: {', '.join(names)}."
