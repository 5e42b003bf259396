"""Many samples of one design at once: what a test of `BATCHED` looks at (`Batch`) and answers (`Answers`)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from engine.sessions import Window
from engine.significance.sample import NOISE, empirical_p
from engine.ties import NEAR

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
Tail = Callable[[str], Floats]


@dataclass(frozen=True)
class Compared:
    """Values to compare with, in order, and their sizes in order."""

    ordered: Floats
    sizes: Floats

    @classmethod
    def of(cls, values: Floats) -> Compared:
        """In order, from (B,) in any."""
        return cls(np.sort(values), np.sort(np.abs(values)))

    def p(self, value: Floats, alternative: str) -> Floats:
        """(1 + b)/(1 + B), b the values at least as extreme (`sample.empirical_p`); rounding parts no equal ones."""
        many = len(self.ordered)
        if alternative == "less":
            b = np.searchsorted(self.ordered, value + NEAR, side="right")
        elif alternative == "greater":
            b = many - np.searchsorted(self.ordered, value - NEAR, side="left")
        else:
            b = many - np.searchsorted(self.sizes, np.abs(value) - NEAR, side="left")
        return empirical_p(b, b, b, many, alternative)


@dataclass(frozen=True)
class Batch:
    """D samples of the same N events, complete in one window, each with K effects added to every event.

    taus: (K,) effects, each the same constant on the relative day ``on``, inside the window. car, car_se, scar: (D, N) before
    an effect. sigma, dof: (D, N). ar: (D, N, E) of the event window, NaN where missing. spans: (D, N, E) sessions that each
    return covers, of which ``ar`` is then over the square root; None where that is one for all. residuals: (D, N, R) of the
    estimation window, NaN where missing. dates: (D, N) day number of day 0; window_days: (D, N, L). firms: (N,). r, shared_r:
    (D,) the mean residual correlation of all pairs, and with the share of common window days, at least 0. reference: the mean
    CARs that `permutation` compares with, own: for each event the CARs at its own pseudo-dates, both as `Compared`. kept,
    common: what several tests of these abnormal returns, of these residuals, share: made once. rows, event_rows: (D, N, C, R) and
    (D, N, C, E) what the C coefficients of the model stand before, None unless a test fits again. push, errors: (D, N) what an
    effect of 1 adds to each CAR, and (K, D, N) the standard errors with each effect, where a joint regression makes them; None
    where the effect itself is added, and the errors stay.
    """

    window: Window
    event_window: Window
    taus: Floats
    on: int
    car: Floats
    car_se: Floats
    scar: Floats
    sigma: Floats
    dof: Ints
    ar: Floats
    residuals: Floats
    dates: Ints
    window_days: Ints
    firms: Ints
    r: Floats
    shared_r: Floats
    reference: Compared
    own: tuple[Compared, ...] = ()
    spans: Floats | None = None
    rows: Floats | None = None
    event_rows: Floats | None = None
    push: Floats | None = None
    errors: Floats | None = None
    kept: dict[str, Any] = field(default_factory=dict)
    common: dict[str, Any] = field(default_factory=dict)

    @property
    def n(self) -> int:
        return int(self.car.shape[1])

    def take(self, draws: Ints, common: dict[str, Any]) -> Batch:
        """The samples chosen; common: of these."""
        each = ("car", "car_se", "scar", "sigma", "dof", "ar", "residuals", "dates", "window_days", "r", "shared_r")
        some = ("spans", "rows", "event_rows", "push")
        chosen = {name: getattr(self, name)[draws] for name in (*each, *some) if getattr(self, name) is not None}
        errors = None if self.errors is None else self.errors[:, draws]
        return replace(self, **chosen, errors=errors, kept={}, common=common)

    @property
    def columns(self) -> slice:
        """The columns of ``ar`` that are the window."""
        return self.window.within(self.event_window)

    @property
    def cars(self) -> Floats:
        """(K, D, N) CARs with each effect."""
        push = 1.0 if self.push is None else self.push
        return np.asarray(self.car + self.taus[:, None, None] * push)

    @property
    def apart(self) -> Floats:
        """(K, D, N) CARs less their mean; (1, D, N) where effects have no bearing on that."""
        cars = self.car[None] if self.push is None else self.cars
        return np.asarray(cars - cars.mean(axis=2)[..., None])

    @property
    def day(self) -> Ints:
        """(D, N) the columns of ``ar`` that effects are put on: of the return that covers the day."""
        day = self.on - self.event_window.start
        if self.spans is None:
            return np.full(self.car.shape, day)
        return np.asarray(day + np.isfinite(self.ar[:, :, day:]).argmax(axis=2))

    @property
    def moved(self) -> Floats:
        """(K, D, N) the values of ``ar`` there, with each effect."""
        day = self.day[:, :, None]
        there = np.take_along_axis(self.ar, day, axis=2)[:, :, 0]
        size = 1.0 if self.spans is None else 1 / np.sqrt(np.take_along_axis(self.spans, day, axis=2)[:, :, 0])
        return np.asarray(there + self.taus[:, None, None] * size)

    @property
    def means(self) -> Floats:
        """(K, D) mean CARs with each effect."""
        push = 1.0 if self.push is None else self.push.mean(axis=1)
        return np.asarray(self.car.mean(axis=1) + self.taus[:, None] * push)

    @property
    def scars(self) -> Floats:
        """(K, D, N) standardised CARs with each effect."""
        if self.errors is not None:
            return np.asarray(self.cars / self.errors)
        return self.once("scars", lambda: np.asarray(self.scar + self.taus[:, None, None] / self.car_se))

    @property
    def present(self) -> Bools:
        """(D, N, R) whether there is a residual."""
        found: Bools = once(self.common, "present", lambda: np.isfinite(self.residuals))
        return found

    @property
    def known(self) -> Ints:
        """(D, N) how many residuals there are."""
        found: Ints = once(self.common, "known", lambda: self.present.sum(axis=2))
        return found

    def once(self, name: str, make: Callable[[], Floats]) -> Floats:
        """What several tests of this window share, made once."""
        found: Floats = once(self.kept, f"{name} {self.window}", make)
        return found


def once(kept: dict[str, Any], name: str, make: Callable[[], Any]) -> Any:
    """What is kept under a name, made where it is not there yet."""
    if name not in kept:
        kept[name] = make()
    return kept[name]


@dataclass(frozen=True)
class Answers:
    """statistic: (K, D), NaN where the test has no answer. p: the (K, D) p-values for an alternative; order: numbers that fall as
    the evidence grows, where p-values end at a smallest one, p itself if None."""

    statistic: Floats
    p: Tail
    order: Tail | None = None


def by_size(statistic: Floats) -> Tail:
    """The order of a statistic that is compared with draws."""
    return lambda alternative: {"less": statistic, "greater": -statistic, "two-sided": -np.abs(statistic)}[alternative]


def of_t(statistic: Floats, dof: Ints | int) -> Answers:
    """Answers of Student t statistics."""
    from scipy import special

    return _symmetric(statistic, lambda value: special.stdtr(dof, value))


def of_normal(statistic: Floats) -> Answers:
    """Answers of standard normal statistics."""
    from scipy import special

    return _symmetric(statistic, special.ndtr)


def of_tails(statistic: Floats, below: Floats, above: Floats) -> Answers:
    """Answers of a symmetric discrete law, whose tails both hold the statistic: two-sided is twice the smaller."""
    both = np.minimum(2 * np.minimum(below, above), 1.0)
    return Answers(statistic, lambda alternative: {"less": below, "greater": above, "two-sided": both}[alternative])


def _symmetric(statistic: Floats, below: Callable[[Floats], Floats]) -> Answers:
    def p(alternative: str) -> Floats:
        if alternative == "greater":
            return below(-statistic)
        if alternative == "less":
            return below(statistic)
        return np.asarray(2 * below(-np.abs(statistic)))

    return Answers(statistic, p)


def unlike_zero(value: Floats, scale: Floats) -> Floats:
    """The value where it is more than rounding can leave among numbers of this size, else NaN (`sample.noise`)."""
    return np.asarray(np.where(value > np.maximum(NOISE * scale, NEAR), value, np.nan))
