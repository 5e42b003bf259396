"""Numbers and text as a reader sees them: rounding, percent, p-values, stars, shortening and escaping."""

from __future__ import annotations

import re

from engine.errors import visible
from engine.ties import rejects

STARS = ((0.01, "***"), (0.05, "**"), (0.10, "*"))
SPACE = re.compile(r"[^\S\x1c-\x1f\x85\u2028\u2029]+")  # separators that no editor shows as a space are no space
FEWEST_FOR_STARS = 10
NOTHING = "–"
STARTS = re.compile(r"[&<\\`*|$~\]_]|^[#>+-](?=\s|#|>|$)|^\d+[.)](?=\s)")  # what may start something in Markdown


def is_number(value: float | None) -> bool:
    """Whether there is a finite number."""
    return value is not None and value - value == 0


def fixed(value: float | None, digits: int = 2) -> str:
    """``value`` with ``digits`` decimals and never a minus before zero; a dash for no number."""
    if value is None or not is_number(value):
        return NOTHING
    text = f"{value:.{digits}f}"
    return text.lstrip("-") if float(text) == 0 else text


def percent(value: float | None, digits: int = 2) -> str:
    """A return as a number of percent, without the sign %: -0.0167 is ``-1.67``."""
    return fixed(None if value is None else 100 * value, digits)


def p_text(p: float | None) -> str:
    """A p-value with 3 decimals, 4 below 0.01; more where rounding would move it to another side of 1, 5 or 10 %."""
    if p is None or not is_number(p):
        return NOTHING
    if p < 0.0001:
        return "<0.0001"
    for digits in range(3 if p >= 0.01 else 4, 9):
        text = f"{p:.{digits}f}"
        if all(rejects(p, level) == rejects(float(text), level) for level, _ in STARS):
            return text
    return f"{p:.9g}"


def p_equals(p: float | None) -> str:
    """``p = 0.010`` or ``p < 0.0001``."""
    text = p_text(p)
    return f"p < {text[1:]}" if text.startswith("<") else f"p = {text}"


def stars(p: float | None, n: int) -> str:
    """*, **, *** for p below 10, 5, 1 %; none where there are fewer than 10 events."""
    if p is None or not is_number(p) or n < FEWEST_FOR_STARS:
        return ""
    return next((mark for level, mark in STARS if rejects(p, level)), "")


def level_text(alpha: float) -> str:
    """A level as ``5 %``."""
    return f"{100 * alpha:g} %"


def listed(names: list[str]) -> str:
    """``a``, ``a and b``, ``a, b and c``."""
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def one_line(text: object) -> str:
    """``text`` on one line: white space collapsed, and `visible`."""
    return visible(SPACE.sub(" ", str(text)).strip(" "))


def shortened(text: object, length: int) -> str:
    """``text`` on one line, cut to ``length`` characters with an ellipsis in the middle, so that both ends are seen."""
    line = one_line(text)
    if len(line) <= length:
        return line
    tail = (length - 1) // 3
    return f"{line[: length - 1 - tail].rstrip()}…{line[len(line) - tail :].lstrip()}"


def first_words(text: str, length: int) -> str:
    """The first words of ``text`` that have room in ``length`` characters; at least one, which may be cut."""
    kept = ""
    for word in one_line(text).split():
        if kept and len(kept) + 1 + len(word) > length:
            break
        kept = f"{kept} {word}".strip()
    return shortened(kept, length)


def markdown_text(text: object) -> str:
    """``text`` as literal text in Markdown, also inside a table cell and where ``$`` starts a formula.

    What cannot start anything stays as it is, so that windows, numbers and stars read well in the source too.
    """
    line = one_line(text)
    if not STARTS.search(line) or re.fullmatch(r"-?[\d.]+\*{0,3}", line):
        return line
    line = re.sub(r"&(?=#?\w+;)", "&amp;", line)
    line = re.sub(r"<(?=[A-Za-z/!?])", "&lt;", line)
    line = re.sub(r"([\\`*|$~]|\](?=[(\[:]))", r"\\\1", line)
    line = re.sub(r"(?<![^\W_])_|_(?![^\W_])", r"\\_", line)
    line = re.sub(r"^([#>+-])(?=\s|#|>|$)", r"\\\1", line)
    return re.sub(r"^(\d+)([.)])(?=\s)", r"\1\\\2", line)


def typeset(text: str) -> str:
    """``text`` for print: a minus sign before numbers, and no line break inside ``5 %`` and ``p = 0.010``.

    For reading only; what may be copied into code keeps its hyphens and spaces.
    """
    text = re.sub(r"(?<![\w.-])-(?=\d)", "−", text)
    text = re.sub(r"(?<=\d) (?=%)", "\u00a0", text)
    return re.sub(r"\bp ([=<]) (?=\d)", "p\u00a0\\1\u00a0", text)
