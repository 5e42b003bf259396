"""The formulas of ``[crosssection]``: a small grammar, read into terms and never evaluated.

A study may come from somebody else, so a formula is data: column names, C(...), log(...), ``:``, ``*``, ``+``, ``- 1``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from engine.errors import SpecError

ALLOWED = (
    'Allowed: car ~ terms joined by "+"; a term is a column, C(column), C(column, Treatment("value")), log(column), or '
    'several of them joined by ":" or "*"; "- 1" leaves out the constant, "1" alone is the constant. A column whose name is '
    "no plain word stands in backquotes."
)
LONGEST = 1_000
MOST_TERMS = 100
TOKEN = re.compile(
    r'\s*(?:(?P<name>[^\W\d]\w*)|`(?P<quoted>[^`]+)`|"(?P<text>[^"]*)"|(?P<sign>[-+*:~(),]|[01](?!\w|\.)))'
)
Token = tuple[str, str]


@dataclass(frozen=True)
class Factor:
    """One column in a term. kind: "" as it is, "C" one dummy a value, "log". reference: the value without a dummy, "" the
    first."""

    column: str
    kind: str = ""
    reference: str = ""

    @property
    def name(self) -> str:
        """As it is written: ``value``, ``C(kind)``, ``log(value)``."""
        if self.reference:
            return f'{self.kind}({self.column}, Treatment("{self.reference}"))'
        return f"{self.kind}({self.column})" if self.kind else self.column


Term = tuple[Factor, ...]


@dataclass(frozen=True)
class Formula:
    """``text`` read: the terms by degree, in the order of the text, each once; whether there is a constant."""

    text: str
    terms: tuple[Term, ...]
    constant: bool

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns used, each once."""
        return tuple(dict.fromkeys(f.column for term in self.terms for f in term))


def parse_formula(text: str) -> Formula:
    """Read a formula. Raises SpecError that says what was read and what is allowed; a term that stands twice is an error."""
    if len(text) > LONGEST:
        raise SpecError(f"a formula of {len(text)} characters is longer than {LONGEST}. {ALLOWED}")
    tokens = [*_tokens(text)]
    if tokens[:2] != [("name", "car"), ("sign", "~")]:
        raise SpecError(f'"{text}" does not start with "car ~". {ALLOWED}')
    terms: dict[frozenset[Factor], Term] = {}
    constant = True
    for sign, part in _parts(text, tokens[2:]):
        if part in ([("sign", "1")], [("sign", "0")]):
            constant = (part[0][1] == "1") == (sign == "+")
            continue
        if sign == "-":
            raise SpecError(f'"{text}" takes away something else than the constant, "- 1". {ALLOWED}')
        for term in _term(text, part):
            if frozenset(term) in terms:
                name = ":".join(f.name for f in term)
                raise SpecError(
                    f'"{text}" holds the term {name} more than once; a*b is a + b + a:b. Leave one out. {ALLOWED}'
                )
            terms[frozenset(term)] = term
    if len(terms) > MOST_TERMS:
        raise SpecError(f"a formula of {len(terms)} terms has more than {MOST_TERMS}.")
    if not terms and not constant:
        raise SpecError(f'"{text}" has no term. {ALLOWED}')
    if any(f.column == "car" for term in terms.values() for f in term):
        raise SpecError(f'"{text}" explains car by car. Take it out of the right side.')
    return Formula(text, tuple(sorted(terms.values(), key=len)), constant)


def _tokens(text: str) -> Iterator[Token]:
    place = 0
    end = len(text.rstrip())
    while place < end:
        found = TOKEN.match(text, place)
        if found is None or found.lastgroup is None:
            raise SpecError(f'"{text}" holds "{text[place:].split()[0][:20]}", which a formula may not. {ALLOWED}')
        yield found.lastgroup, found[found.lastgroup]
        place = found.end()


def _parts(text: str, tokens: list[Token]) -> Iterator[tuple[str, list[Token]]]:
    """The terms between the signs + and -, each with its sign."""
    sign, part = "+", list[Token]()
    for i, token in enumerate(tokens):
        if token in (("sign", "+"), ("sign", "-")):
            if i > 0:
                yield sign, _whole(text, part)
            sign, part = token[1], []
        else:
            part.append(token)
    yield sign, _whole(text, part)


def _whole(text: str, part: list[Token]) -> list[Token]:
    if not part:
        raise SpecError(f'"{text}" has a sign with no term behind or before it. {ALLOWED}')
    return part


def _term(text: str, tokens: list[Token]) -> list[Term]:
    """One part as its terms: a*b is a + b + a:b."""
    factor, rest = _factor(text, tokens)
    made: list[Term] = [(factor,)]
    while rest:
        operator = rest[0]
        if operator not in (("sign", ":"), ("sign", "*")):
            raise SpecError(f'"{text}" holds "{operator[1]}" where + - : * is expected. {ALLOWED}')
        factor, rest = _factor(text, rest[1:])
        if any(factor in term for term in made):
            raise SpecError(f'"{text}" joins {factor.name} with itself. {ALLOWED}')
        joined = [(*term, factor) for term in made]
        made = joined if operator[1] == ":" else [*made, (factor,), *joined]
        if len(made) > MOST_TERMS:
            raise SpecError(f'"{text}" multiplies to more than {MOST_TERMS} terms.')
    return made


def _factor(text: str, tokens: list[Token]) -> tuple[Factor, list[Token]]:
    """The factor at the start of the tokens, and the tokens behind it."""
    match tokens:
        case [("name", "C"), ("sign", "("), ("name" | "quoted", name), ("sign", ")"), *rest]:
            return Factor(name, "C"), rest
        case [("name", "C"), ("sign", "("), ("name" | "quoted", name), ("sign", ","), ("name", "Treatment"),
              ("sign", "("), ("text", value), ("sign", ")"), ("sign", ")"), *rest]:  # fmt: skip
            return Factor(name, "C", value), rest
        case [("name", "log"), ("sign", "("), ("name" | "quoted", name), ("sign", ")"), *rest]:
            return Factor(name, "log"), rest
        case [("name", function), ("sign", "("), *_]:
            raise SpecError(f'"{text}" calls "{function}", or calls it in a way that is not known. {ALLOWED}')
        case [("name" | "quoted", name), *rest]:
            return Factor(name), rest
    read = tokens[0][1] if tokens else "the end"
    raise SpecError(f'"{text}" holds "{read}" where a column is expected. {ALLOWED}')
