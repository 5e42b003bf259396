"""What can go wrong, by exit code, the did-you-mean hint, and how text that others wrote is shown.

Every message says where, what was read, what is allowed and what to do.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterable

MOST_NAMED, MOST_COMPARED = 200, 10_000  # names that a hint tells, and among which it looks for the nearest


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
    near = difflib.get_close_matches(read[:MOST_NAMED], names[:MOST_COMPARED], n=1, cutoff=0.6)
    guess = f'Did you mean "{near[0]}"? ' if near else ""
    more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    return f"{guess}Known: {', '.join(names[:MOST_NAMED])}{more}."


# Characters that a reader does not see, or that move what stands around them: controls, format characters (bidirectional and
# zero-width ones, tags), line and paragraph separators, surrogates, private use, noncharacters, and letters and marks that
# Unicode calls default ignorable, such as variation selectors and Hangul fillers. Ranges, so that every Python sees the same.
HIDDEN = re.compile(
    "[\x00-\x1f\x7f-\x9f\xad\u034f\u0600-\u0605\u061c\u06dd\u070f\u0890\u0891\u08e2\u115f\u1160\u17b4\u17b5\u180b-\u180f"
    "\u200b-\u200f\u2028-\u202e\u2060-\u206f\u3164\ud800-\uf8ff\ufdd0-\ufdef\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb"
    "\ufffe\uffff\U000110bd\U000110cd\U00013430-\U0001343f\U0001bca0-\U0001bca3\U0001d173-\U0001d17a"
    "\U0001fffe\U0001ffff\U0002fffe\U0002ffff\U0003fffe-\U0010ffff]"
)


def visible(text: str, keep: str = "") -> str:
    """``text`` with each of its `HIDDEN` characters as its escape, as in ``\\x1b`` and ``\\u202e``; those in ``keep`` stay.

    For everything that is shown: a terminal, a memo, a page. What is data keeps its own characters.
    """
    if text.isascii() and text.isprintable():
        return text
    return HIDDEN.sub(lambda m: m[0] if m[0] in keep else _escaped(m[0]), text)


def _escaped(character: str) -> str:
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def visible_json(text: str) -> str:
    """JSON with each `HIDDEN` character in its strings as an escape of JSON, which reads back as that character."""
    if text.isascii():
        return text.replace("\x7f", "\\u007f")
    return HIDDEN.sub(lambda m: m[0] if m[0] in "\n\t\r" else json.dumps(m[0])[1:-1], text)
