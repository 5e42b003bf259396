"""From the terms of a formula to the columns of a regression."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from engine.errors import SpecError
from engine.formula import Factor, Formula, Term
from engine.orthonormal import orthonormal

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
# An attribute of N events: numbers with NaN, or texts with None where there is none.
Attribute = Floats | Sequence[str | None]
DEPENDENT = 1e-14  # of a column's squared length left by the columns before it: less is a combination of them
MOST_COLUMNS = 500
CONSTANT = "Intercept"


@dataclass(frozen=True)
class Design:
    """The right side of a regression of N events on k terms.

    names: of the k columns. matrix: (N, k), NaN in the rows that are lost. complete: (N,) rows without a missing cell.
    missing: (N,) the first column without a value in a row that was wanted, "" for none.
    """

    names: tuple[str, ...]
    matrix: Floats
    complete: Bools
    missing: tuple[str, ...]

    @property
    def lost(self) -> dict[str, int]:
        """Column -> rows lost because it has no value."""
        return dict(sorted(Counter(m for m in self.missing if m).items()))


def design(formula: Formula, attributes: Mapping[str, Attribute], wanted: Bools) -> Design:
    """The columns of the formula's terms for N events; a value gets a dummy only if one of the rows used has it.

    A categorical factor of a term has a dummy for every value but the reference if the term without that factor is in the
    formula (the constant, for a term of one factor), else a dummy for every value; without a constant the first
    categorical term has all of them and stands for it. Chambers & Hastie (1992), ch. 2.
    wanted: (N,) the rows that may be used; the others have no CAR. Raises SpecError for more than 500 columns.
    """
    complete, missing = _complete(formula, attributes, wanted)
    coder = _Coder(formula, attributes, complete)
    columns: list[tuple[str, Floats]] = [(CONSTANT, np.ones(len(wanted)))] if formula.constant else []
    for term in formula.terms:
        count = len(columns) + coder.count(term)
        if count > MOST_COLUMNS:
            raise SpecError(
                f'[crosssection] formula "{formula.text}" makes {count} columns or more, with a dummy for each value of '
                f"{', '.join(f.name for f in term)}; {MOST_COLUMNS} are allowed. Group the values in a column of the calendar."
            )
        columns += coder.columns(term)
    matrix = np.array([values for _, values in columns]).reshape(len(columns), len(wanted)).T
    matrix = np.where(complete[:, None], matrix, np.nan)
    return Design(tuple(name for name, _ in columns), matrix, complete, missing)


def _complete(formula: Formula, attributes: Mapping[str, Attribute], wanted: Bools) -> tuple[Bools, tuple[str, ...]]:
    """The wanted rows with a value in every column, and for each other one the first column without."""
    complete = wanted.copy()
    first = [""] * len(wanted)
    for factor in (f for term in formula.terms for f in term):
        missing = complete & ~_present(factor, attributes[factor.column])
        for i in np.flatnonzero(missing):
            first[i] = factor.name if factor.kind == "log" else factor.column
        complete &= ~missing
    return complete, tuple(first)


def _present(factor: Factor, values: Attribute) -> Bools:
    if isinstance(values, np.ndarray):
        return np.asarray(np.isfinite(values) & ((values > 0) | (factor.kind != "log")))
    return np.array([v is not None and factor.kind != "log" for v in values], bool)


@dataclass(frozen=True)
class _Coder:
    """Codes the terms of one formula one after the other."""

    formula: Formula
    attributes: Mapping[str, Attribute]
    complete: Bools

    def columns(self, term: Term) -> list[tuple[str, Floats]]:
        """Name and values of the columns of a term: the products of the columns of its factors."""
        made = [("", np.ones(len(self.complete)))]
        for factor in term:
            own = self._factor(factor, self._whole(factor, term))
            made = [(f"{a}:{b}" if a else b, x * y) for b, y in own for a, x in made]
        return made

    def count(self, term: Term) -> int:
        """How many columns a term makes at most."""
        sizes = [len(levels(self.attributes[f.column], self.complete)) if self._categorical(f) else 1 for f in term]
        return int(np.prod(sizes))

    def _whole(self, factor: Factor, term: Term) -> bool:
        """Whether the factor has a dummy for every value in this term."""
        margin = frozenset(term) - {factor}
        terms = [frozenset(t) for t in self.formula.terms]
        if margin:
            return margin not in terms
        first = next((t for t in self.formula.terms if len(t) == 1 and self._categorical(t[0])), None)
        return not self.formula.constant and term == first

    def _categorical(self, factor: Factor) -> bool:
        return factor.kind == "C" or not isinstance(self.attributes[factor.column], np.ndarray)

    def _factor(self, factor: Factor, whole: bool) -> list[tuple[str, Floats]]:
        values = self.attributes[factor.column]
        if not self._categorical(factor):
            numbers = np.where(self.complete, np.asarray(values, dtype=np.float64), 1.0)
            return [(factor.name, np.log(numbers) if factor.kind == "log" else numbers)]
        cells = np.array([cell_text(v) for v in values], dtype=object)
        kept = levels(values, self.complete)
        mark = "" if whole else "T."
        used = kept if whole else [v for v in kept if v != (factor.reference or kept[0])]
        if not used:  # one value only: the constant again, which the search for dependent columns names
            return [(factor.name, np.ones(len(cells)))]
        return [(f"{factor.name}[{mark}{v}]", np.where(cells == v, 1.0, 0.0)) for v in used]


def cell_text(value: str | float | None) -> str:
    """A cell as a level: ``cash``, ``1990`` for 1990.0."""
    return "" if value is None else value if isinstance(value, str) else f"{value:.15g}"


def levels(values: Attribute, complete: Bools) -> list[str]:
    """The values of the rows used in order, numbers as numbers."""
    used = {v for v, use in zip(values, complete, strict=True) if use and v is not None}
    return [cell_text(v) for v in sorted(used)]


def dependent_columns(design: Design) -> list[str]:
    """The columns that the columns before them determine, by name; none where the regression can be done."""
    rows = np.ascontiguousarray(design.matrix[design.complete].T)[None]
    if not rows.shape[2]:
        return list(design.names)
    _, upper, _ = orthonormal(rows, np.zeros((1, rows.shape[1], 0)), DEPENDENT)
    return [name for name, free in zip(design.names, np.isfinite(np.diag(upper[0])), strict=True) if not free]
