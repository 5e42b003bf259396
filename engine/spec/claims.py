"""What a study claims before it looks, and how its certificate is drawn."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterator, Sequence
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from engine.errors import hint
from engine.sessions import FARTHEST

Sign = Literal["+", "-", "0"]
Pair = list[int]


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class ClaimPart(_Table):
    """One part of a claim of several; a key that it leaves out is that of the claim."""

    sign: Sign | None = None
    windows: list[Pair] | None = Field(default=None, min_length=1)
    test: str | None = None
    group: str | None = None
    margin: float | None = Field(default=None, gt=0)
    effect: float | None = Field(default=None, gt=0)


class Claim(_Table):
    """A statement with its direction, windows and test. effect: the size at which its power is told."""

    statement: str = Field(min_length=1)
    sign: Sign | None = None
    windows: list[Pair] | None = Field(default=None, min_length=1)
    test: str | None = None
    group: str = "all"
    margin: float | None = Field(default=None, gt=0)
    effect: float = Field(default=0.01, gt=0)
    primary: bool = True
    parts: list[ClaimPart] = []

    def elements(self) -> list[Element]:
        """What must all be true: every window of every part, numbered from 1."""
        own = {"sign", "windows", "test", "group", "margin", "effect"}
        found: list[Element] = []
        for part in self.parts or [ClaimPart()]:
            told = {key: getattr(part, key) if getattr(part, key) is not None else getattr(self, key) for key in own}
            for window in told.pop("windows") or []:
                found.append(Element(number=len(found) + 1, window=window, **told))
        return found


class Element(_Table):
    """One (sign, window, test, group) of a claim, all keys said. margin: of no effect, None for a claim with a direction."""

    number: int
    sign: Sign | None
    window: Pair
    test: str | None
    group: str
    margin: float | None
    effect: float


class CertificateRule(_Table):
    """How pseudo-events are drawn. seed, None: that of ``[resampling]``, else 1. effects: at which power is told. runup: the
    window whose run-up matched pseudo-dates share, runup_share: of all pseudo-dates, the nearest. resampled: draws for tests that
    themselves resample or fit again."""

    seed: int | None = Field(default=None, ge=0)
    draws: int = Field(default=2000, ge=99, le=100_000)
    effects: list[float] = Field(default=[0.005, 0.01, 0.02, 0.03, 0.05], min_length=1)
    runup: list[int] = Field(default=[-20, -2], min_length=2, max_length=2)
    runup_share: float = Field(default=0.1, gt=0, le=1)
    resampled: int = Field(default=200, ge=20)


def claim_problems(
    claims: dict[str, Claim], car: Sequence[Pair], tests: Collection[str], group_tests: Collection[str]
) -> Iterator[str]:
    """What is wrong with ``[claims]``, beside types. car, tests: of the study; group_tests: those that there are."""
    for name, claim in claims.items():
        place = f"[claims.{name}]"
        for number, part in enumerate(claim.parts or [ClaimPart()], 1):
            where = f"{place} parts {number}" if claim.parts else place
            for key in ("sign", "windows", "test"):
                if getattr(part, key) is None and getattr(claim, key) is None:
                    yield f"{where}: {key} is required and has no default. {_EXAMPLES[key]}"
        for element in claim.elements():
            yield from _element_problems(place, element, car, tests, group_tests)


def _element_problems(
    place: str, element: Element, car: Sequence[Pair], tests: Collection[str], group_tests: Collection[str]
) -> Iterator[str]:
    if element.window not in car:
        yield f"{place} windows = {element.window} is not one of [windows] car = {list(car)}."
    if element.test is not None and element.test not in tests:
        yield f'{place} test = "{element.test}" is not one of [significance] tests. {hint(element.test, sorted(tests))}'
    elif element.test is not None and element.test not in group_tests:
        yield f'{place} test = "{element.test}" is of one event or of a variance, and a claim is of a mean CAR. Use another.'
    if element.sign == "0" and element.margin is None:
        yield (
            f'{place} sign = "0" needs margin: how large an effect still counts as none, for example margin = 0.01. That a test '
            "does not reject shows no absence."
        )
    if element.sign in ("+", "-") and element.margin is not None:
        yield f'{place} margin = {element.margin:g} belongs to sign = "0", and sign = "{element.sign}". Remove one of them.'


_EXAMPLES = {
    "sign": 'Write sign = "+", "-" or "0".',
    "windows": "Write windows = [[0, 1]], windows of [windows] car.",
    "test": 'Write test = "kolari_pynnonen", a test of [significance] tests.',
}


def certificate_problems(rule: CertificateRule | None) -> Iterator[str]:
    """What is wrong with ``[certificate]``, beside types."""
    if rule is None:
        return
    first, last = rule.runup
    if first > last or max(abs(first), abs(last)) > FARTHEST or last >= 0:
        yield f"[certificate] runup = {rule.runup}: the first day must not be after the last, and both before day 0."
    for effect in rule.effects:
        if not effect > 0:
            yield f"[certificate] effects: {effect:g} is not above 0. Its direction comes from the alternative."
    for effect in sorted({e for e in rule.effects if rule.effects.count(e) > 1}):
        yield f"[certificate] effects: {effect:g} stands there more than once."


CERTIFICATE_CHARTS = ("size_plot", "power_curve", "placebo_caar")


def chart_problems(charts: Collection[str], rule: CertificateRule | None) -> Iterator[str]:
    """Charts that show a table which is not there."""
    for name in (n for n in CERTIFICATE_CHARTS if n in charts and rule is None):
        yield f'[report] charts = "{name}" shows the certificate, and there is no table [certificate].'


def digest(value: Any) -> str:
    """The sha256 of plain values, whatever the order of keys."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, ensure_ascii=False).encode()).hexdigest()
