"""What a source of market data is: a function of a symbol and its days that answers with a table or with a reason."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import polars as pl

PRICE_COLUMNS = ("close", "adj_close", "dividend", "split", "volume")


@dataclass(frozen=True)
class Fetched:
    """What a source has for one symbol.

    table: ``date`` first, then numbers, null where there is none: `PRICE_COLUMNS`, or factors in percent a day.
    exchange: a market identifier code, "" where the source does not say. notes: what a reader of the data should know.
    """

    symbol: str
    table: pl.DataFrame
    currency: str = ""
    exchange: str = ""
    name: str = ""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Failure:
    """Why a source has nothing for one symbol.

    reason: one word (``not_found``, ``rate_limited``, ``timeout``, ...). retryable: whether asking again may help.
    stops: whether the trouble is the source's, so that asking for other symbols is no use either.
    """

    symbol: str
    reason: str
    detail: str
    retryable: bool = False
    stops: bool = False

    def __str__(self) -> str:
        return f"{self.symbol}: {self.reason.replace('_', ' ')} ({self.detail})"


Fetch = Callable[[str, date, date], Fetched | Failure]


@dataclass(frozen=True)
class Access:
    """How a source is reached.

    place: a folder, file or data set, for sources that need one. base: ``http://127.0.0.1:<port>`` that stands in for
    every host, in tests. seconds, max_bytes: limits of one answer.
    """

    place: str | None = None
    base: str | None = None
    seconds: float = 15.0
    max_bytes: int = 20_000_000


@dataclass(frozen=True)
class Source:
    """One source. start: makes its `Fetch`; an answer's first and last day are included.

    about: what the manifest of a snapshot says of it. packages: whose versions it names. factors: whether it holds
    factors in place of prices. needs_place: whether `Access.place` must be given.
    """

    start: Callable[[Access], Fetch]
    about: Mapping[str, Any]
    packages: tuple[str, ...] = field(default=())
    factors: bool = False
    needs_place: bool = False
