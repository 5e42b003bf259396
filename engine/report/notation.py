"""Formulas as they are read: a small part of LaTeX becomes a tree of pieces.

Read are letters, numbers, operators, ``^`` and ``_``, ``{...}``, ``\\frac``, ``\\sqrt``, ``\\left`` ... ``\\right``, accents,
``\\mathrm``, ``\\operatorname``, ``\\mathbf``, ``\\text``, Greek letters, and ``\\\\`` between lines.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

SYMBOLS = {
    "alpha": "α", "beta": "β", "gamma": "γ", "delta": "δ", "Delta": "Δ", "epsilon": "ε", "eta": "η", "theta": "θ", "kappa": "κ",
    "lambda": "λ", "mu": "μ", "nu": "ν", "rho": "ρ", "sigma": "σ", "tau": "τ", "omega": "ω", "Omega": "Ω", "phi": "φ", "Phi": "Φ",
    "Sigma": "Σ", "ell": "ℓ", "pi": "π",
}  # fmt: skip
OPERATORS = {
    "sim": "∼", "le": "≤", "ge": "≥", "ne": "≠", "cdot": "·", "times": "×", "pm": "±", "infty": "∞", "in": "∈", "to": "→",
    "approx": "≈", "ldots": "…", "mid": "|", "prime": "′", "cap": "∩", "equiv": "≡", "quad": "\u2003", ",": "\u2009",
    ";": "\u2005", "{": "{", "}": "}",
}  # fmt: skip
BIG = {"sum": "∑", "prod": "∏", "max": "max", "min": "min"}
NAMES = ("log", "ln", "exp", "median")
OWN_NAMES = ("CAR", "SCAR", "BHAR", "Var", "sd", "se")  # macros of the formulas here, defined in the memo's LaTeX
ACCENTS = ("hat", "bar", "tilde")
TOKEN = re.compile(r"\\[A-Za-z]+|\\.|\d+(?:\.\d+)?|[A-Za-z]|\S|\s+")

Kind = Literal[
    "row",
    "letter",
    "name",
    "bold",
    "number",
    "operator",
    "big",
    "text",
    "fraction",
    "root",
    "script",
    "accent",
    "fence",
]


@dataclass(frozen=True)
class Node:
    """A piece of a formula. text: its characters, accent or fences; parts: what it is made of, None for an empty script."""

    kind: Kind
    text: str = ""
    parts: tuple[Node | None, ...] = ()


def read_formula(latex: str) -> tuple[Node, ...]:
    """The lines of a formula, each a row. Raises ValueError for what is not of the part of LaTeX that is read."""
    return tuple(_line(line) for line in re.split(r"\\\\", latex))


def _line(latex: str) -> Node:
    reader = _Reader(TOKEN.findall(latex), latex)
    row = reader.row()
    if reader.peek():
        raise ValueError(f"{latex}: {reader.peek()} closes nothing")
    return row


class _Reader:
    """Takes tokens from the front of a list."""

    def __init__(self, tokens: list[str], source: str) -> None:
        self.tokens = tokens
        self.source = source

    def peek(self) -> str:
        """The next token that is no space, "" at the end."""
        while self.tokens and self.tokens[0].isspace():
            self.tokens.pop(0)
        return self.tokens[0] if self.tokens else ""

    def peek_raw(self) -> str:
        """The next token, also a space."""
        if not self.tokens:
            raise ValueError(f"{self.source}: ends too early")
        return self.tokens[0]

    def next(self) -> str:
        if not self.peek():
            raise ValueError(f"{self.source}: ends too early")
        return self.tokens.pop(0)

    def row(self) -> Node:
        parts: list[Node] = []
        while self.peek() not in ("", "}", "\\right"):
            parts.append(self.scripted())
        return Node("row", parts=tuple(parts))

    def group(self) -> Node:
        """What stands in braces, or the one piece that follows."""
        if self.peek() != "{":
            return self.piece()
        self.next()
        row = self.row()
        if self.next() != "}":
            raise ValueError(f"{self.source}: a brace is not closed")
        return row.parts[0] if len(row.parts) == 1 and row.parts[0] is not None else row

    def words(self) -> str:
        """The letters in braces, as they are."""
        if self.next() != "{":
            raise ValueError(f"{self.source}: a brace is missing")
        read = ""
        while self.peek_raw() != "}":
            read += self.tokens.pop(0)
        self.tokens.pop(0)
        return read

    def scripted(self) -> Node:
        base = self.piece()
        below = above = None
        while self.peek() in ("_", "^", "'"):
            mark = self.next()
            if mark == "'":
                above = Node("operator", "′")
            elif mark == "_":
                below = self.group()
            else:
                above = self.group()
        return base if below is above is None else Node("script", parts=(base, below, above))

    def piece(self) -> Node:
        token = self.next()
        if token == "{":
            self.tokens.insert(0, token)
            return self.group()
        if not token.startswith("\\"):
            return _plain(token, self.source)
        return self.command(token[1:])

    def command(self, name: str) -> Node:
        if name == "frac":
            return Node("fraction", parts=(self.group(), self.group()))
        if name == "sqrt":
            return Node("root", parts=(self.group(),))
        if name in ACCENTS:
            return Node("accent", name, (self.group(),))
        if name == "left":
            return self.fence()
        if name in ("mathrm", "operatorname"):
            return Node("name", self.words())
        if name in ("mathbf", "text"):
            return Node("bold" if name == "mathbf" else "text", self.words())
        if name in SYMBOLS:
            return Node("letter", SYMBOLS[name])
        if name in BIG:
            return Node("big", BIG[name])
        if name in (*NAMES, *OWN_NAMES):
            return Node("name", name)
        if name in OPERATORS:
            return Node("operator", OPERATORS[name])
        raise ValueError(f"{self.source}: \\{name} is not read")

    def fence(self) -> Node:
        opening, inside = self.next(), self.row()
        if self.next() != "\\right":
            raise ValueError(f"{self.source}: \\left without \\right")
        closing = self.next()
        return Node("fence", opening.lstrip("\\") + closing.lstrip("\\"), (inside,))


def _plain(token: str, source: str) -> Node:
    if token in "}^_":
        raise ValueError(f"{source}: {token} stands alone")
    if token[0].isdigit():
        return Node("number", token)
    if token.isalpha():
        return Node("letter", token)
    return Node("operator", "−" if token == "-" else token)
