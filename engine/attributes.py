"""Columns of the calendar as attributes of events: numbers, or text whose values get a dummy each."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from engine.crosssection import Attribute
from engine.errors import DataError, SpecError
from engine.formula import Formula

NUMERAL = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
LARGEST = 1e100  # of a number in a regression
SHOWN = 3  # values of a column that a message shows


def as_attribute(cells: Sequence[str | None], rows: Sequence[int]) -> Attribute:
    """A column of text for the given rows: numbers if every cell that is not empty is one, NaN or None where empty."""
    known = [c for c in cells if c is not None]
    if known and all(NUMERAL.fullmatch(c) for c in known):
        return np.array([np.nan if cells[i] is None else float(str(cells[i])) for i in rows])
    return [cells[i] for i in rows]


def check_attributes(
    formula: Formula, columns: Mapping[str, Sequence[str | None]], texts: Iterable[str], rows: Sequence[str], where: str
) -> None:
    """A column that a formula takes as it is, or the log of, is all numbers or all text.

    columns: those of the calendar, whose ``rows`` are named in messages; texts: the columns of the run that are text.
    Raises DataError for a cell without a number in a column of which most cells that are not empty are numbers: a slip of the
    pen would make a dummy of every number. Raises SpecError for the log of text.
    """
    for factor in (f for term in formula.terms for f in term if f.kind != "C"):
        column, cells = factor.column, columns.get(factor.column, ())
        known = [(i, c) for i, c in enumerate(cells) if c is not None]
        other = [(i, c) for i, c in known if not NUMERAL.fullmatch(c)]
        if other and 2 * len(other) < len(known):
            i, cell = other[0]
            raise DataError(
                f'{rows[i]}, column {column}: "{cell}" is no number, and {len(known) - len(other)} of the {len(known)} cells '
                f"that are not empty are. Write a plain number such as 1234.5, leave the cell empty, or write C({column}) in "
                f"{where} if the values are categories."
            )
        for i, cell in known:
            if not other and abs(float(cell)) > LARGEST:
                raise DataError(
                    f'{rows[i]}, column {column}: "{cell[:40]}" is beyond what a regression can square. Allowed: up to '
                    f"{LARGEST:g}. Correct it, or write C({column}) in {where} if the values are categories."
                )
        if factor.kind == "log" and (other or column in texts or (column in columns and not known)):
            shown = ", ".join(f'"{c}"' for c in list(dict.fromkeys(c for _, c in other))[:SHOWN])
            held = f"is text, such as {shown}" if shown else "is text" if column in texts else "is empty in every row"
            raise SpecError(
                f'{where}: log({column}) needs numbers, and the column "{column}" {held}. Write {column} or C({column}).'
            )
