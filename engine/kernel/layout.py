"""What a kernel is given and what it gives back: raw rows by security, sessions, events; numbers by event."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from engine.sessions import Window

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
CrossProducts = tuple[Floats, Floats, npt.NDArray[np.int32]]

# Why an event has no numbers, by the code that a kernel gives it; the words are those of `models` and `panel`.
REASONS = (
    "", "no_event_returns", "too_few_estimation_days", "no_degrees_of_freedom", "constant_returns", "constant_benchmark",
    "constant_factor", "collinear_factors", "exact_fit",
)  # fmt: skip
CODE = {reason: code for code, reason in enumerate(REASONS)}
NO_SESSION = -2  # far enough from the first that no row on it follows one beside the sessions
AT_ONCE = 16_384
# What may be wrong with the rows of a security.
IN_ORDER, TWICE, OUT_OF_ORDER, INFINITE = range(4)


@dataclass(frozen=True)
class RawRows:
    """The rows of G securities as a price file has them, one security after the other.

    start: (G + 1,) where each begins in days (M,) int32 day numbers, and values (M,) prices or returns, NaN where there is
    none. is_return: whether they are returns.
    """

    start: Ints
    days: npt.NDArray[np.int32]
    values: Floats
    is_return: bool


@dataclass(frozen=True)
class Calendar:
    """The S sessions that the securities are measured on, and what they are measured against.

    days: (S,) int32 day numbers, increasing. regressors: (K, S); riskfree: (S,), zero without excess; NaN where missing.
    skip: sessions at the front that only carry the first return (`lines.build_line`). products: by estimation window what
    `fused.cross_products` has made of the regressors so far.
    """

    days: npt.NDArray[np.int32]
    regressors: Floats
    riskfree: Floats
    skip: int = 0
    products: dict[Window, CrossProducts] = field(default_factory=dict, repr=False, compare=False)

    def sessions_of(self, days: npt.NDArray[np.int32]) -> npt.NDArray[np.int32]:
        """(M,) the session of each day, `NO_SESSION` where there is none; some thousand at a time, which stay in the cache."""
        first = int(self.days[0]) - 1
        table = np.full(int(self.days[-1]) - first + 2, NO_SESSION, np.int32)  # a day before and one after them too
        table[self.days - first] = np.arange(len(self.days), dtype=np.int32)
        found = np.empty(len(days), np.int32)
        for begin in range(0, len(days), AT_ONCE):
            part = slice(begin, begin + AT_ONCE)
            np.take(table, days[part] - first, mode="clip", out=found[part])
        return found


@dataclass(frozen=True)
class Asked:
    """What is to be measured, the same for all events.

    model: a name of `MODELS`, with its options. rows: the union of the estimation windows. days: whether the numbers of each
    day are wanted, residuals: those of each estimation row.
    """

    model: str
    rows: Window
    event_window: Window
    windows: tuple[Window, ...]
    min_days: int
    log_returns: bool
    days: bool
    residuals: bool = False
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class RawEvents:
    """E events, those of one security together and in its order.

    start: (G + 1,) where the events of each security begin. position: (E,) day 0 as a session; own: (E, 2) the estimation
    window.
    """

    start: Ints
    position: npt.NDArray[np.int32]
    own: npt.NDArray[np.int32]


@dataclass(frozen=True)
class Measured:
    """The numbers of E events; NaN where there is none.

    code: (E,) into `REASONS`, 0 for an event that has all; n_obs, dof: (E,). coefficients: (E, C). sigma, r2: (E,).
    car, se, bhar: (E, W) by CAR window; ways: (E, W, 3) as `abnormal.three_ways`, or (E, 0, 3) where no window is long.
    ar: (E, L). actual, expected, sar: (E, L), or (E, 0) unless each day is asked for. residuals: (E, R), or (E, 0).
    """

    names: tuple[str, ...]
    code: npt.NDArray[np.int8]
    n_obs: npt.NDArray[np.int32]
    dof: npt.NDArray[np.int32]
    coefficients: Floats
    sigma: Floats
    r2: Floats
    car: Floats
    se: Floats
    bhar: Floats
    ways: Floats
    ar: Floats
    actual: Floats
    expected: Floats
    sar: Floats
    residuals: Floats

    def take(self, chosen: Ints) -> Measured:
        """The chosen events, in that order."""
        arrays = {f.name: getattr(self, f.name)[chosen] for f in fields(self) if f.name != "names"}
        return replace(self, **arrays)

    def put(self, rows: Ints, other: Measured) -> None:
        """Set the rows to those of ``other``."""
        for f in fields(self):
            if f.name != "names":
                getattr(self, f.name)[rows] = getattr(other, f.name)

    def without_ar(self) -> Measured:
        """The same without ``ar``, which is actual less expected."""
        return replace(self, ar=np.empty((len(self.code), 0)))


@dataclass(frozen=True)
class RowReport:
    """What was seen of the rows of G securities.

    state: (G,) `IN_ORDER` or what is wrong. first, last: (G,) the first and last day with a value, -1 for none.
    off_session: (G,) rows on days that are no session. gaps: (P, 3) security, first and last session of each run of
    sessions without a value between two with one.
    """

    state: npt.NDArray[np.int8]
    first: npt.NDArray[np.int32]
    last: npt.NDArray[np.int32]
    off_session: npt.NDArray[np.int32]
    gaps: npt.NDArray[np.int32]


def coefficient_names(model: str, k: int) -> tuple[str, ...]:
    """The coefficients that a linear model has with K regressors."""
    if model == "mean_adjusted":
        return ("alpha",)
    if model == "market":
        return ("alpha", "beta_market")
    return ("alpha", *(f"beta_{j}" for j in range(k))) if model == "factor" else ()


def empty_measured(
    names: tuple[str, ...], n: int, asked: Asked, ways: bool, filled: bool = True, with_ar: bool = True
) -> Measured:
    """Room for the numbers of N events, NaN so far, or not ``filled`` with anything. with_ar: whether there is any for ``ar``."""
    w, length, rows = len(asked.windows), len(asked.event_window), len(asked.rows)

    def room(*shape: int) -> Floats:
        return np.full((n, *shape), np.nan) if filled else np.empty((n, *shape))

    daily = length if asked.days else 0
    return Measured(
        names, np.zeros(n, np.int8), np.zeros(n, np.int32), np.zeros(n, np.int32), room(len(names)), room(), room(),
        room(w), room(w), room(w), room(w if ways else 0, 3), room(length if with_ar else 0), room(daily), room(daily),
        room(daily), room(rows if asked.residuals else 0),
    )  # fmt: skip
