"""The sides of a deal: which listings of an event are acquirer and target, and what each is worth."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

from engine.errors import DataError
from engine.inputs import Study
from engine.spec import StudySpec

ROLES = ("acquirer", "target")


@dataclass(frozen=True)
class Side:
    """One listing of a deal. row: its place in the calendar. value: of its equity in the currency of ``[deals]``, NaN where
    none is given."""

    row: int
    event_id: str
    symbol: str
    firm: str
    role: str
    value: float


def sides_of(study: Study) -> dict[str, list[Side]]:
    """The acquirers and targets of every event that has one, by event_id.

    Raises DataError, with file, row and column, for a value that is no amount, or whose currency is not told or not converted.
    """
    table, attributes = study.announcements.table, study.announcements.attributes
    found: dict[str, list[Side]] = {}
    for row, (cells, where) in enumerate(zip(attributes.iter_rows(named=True), table["where"], strict=True)):
        role = cells.get("role")
        if role in ROLES:
            value = _value(cells, where, study.spec)
            firm = cells.get("firm") or cells["symbol"]
            found.setdefault(cells["event_id"], []).append(
                Side(row, cells["event_id"], cells["symbol"], firm, role, value)
            )
    return found


def _value(cells: Mapping[str, str | None], where: str, spec: StudySpec) -> float:
    text, currency = cells.get("market_value"), cells.get("currency")
    if text is None:
        return math.nan
    value = float(text) if re.fullmatch(r"\d+(\.\d*)?|\.\d+", text) else math.nan
    if not 0 < value < math.inf:
        raise DataError(
            f'{where}, column market_value: "{text}" is no amount above zero. Write a plain number such as 1234.5, the value of '
            "the equity before the window."
        )
    assert spec.deals is not None
    if currency is None:
        raise DataError(f"{where}, column currency: is empty beside market_value = {text}. Write one such as USD.")
    rates = spec.deals.rates | {spec.deals.currency: 1.0}
    if currency not in rates:
        raise DataError(
            f'{where}, column currency: "{currency}" is not converted. Write [deals] rates = {{{currency} = ...}}, the '
            f"{spec.deals.currency} that one {currency} is worth, or give market_value in one of {', '.join(sorted(rates))}."
        )
    return value * rates[currency]
