"""Claims against the sample: one-sided p-values, Holm over the primary claims, and a verdict in one of three words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from engine.sessions import Window
from engine.significance import CarSample, Significance, evaluate, multiplicity
from engine.spec import Claim
from engine.spec.claims import Element
from engine.ties import rejects

SUPPORTED, CONTRADICTED, NOISE = "supported", "contradicted", "not distinguishable from noise"
DIRECTIONS = {"+": "greater", "-": "less"}
OPPOSITE = {"greater": "less", "less": "greater"}


@dataclass(frozen=True)
class Weighed:
    """One element of a claim: what its test says in the claimed direction (p) and in the opposite one. answer: of the test as it
    stands, with estimate and interval."""

    claim: str
    element: Element
    answer: Significance
    p: float
    opposite: float


@dataclass(frozen=True)
class Verdict:
    """p: the largest of the elements'; opposite: the same the other way round; holm, opposite_holm: over the primary claims, NaN
    for one that is not primary."""

    p: float
    opposite: float
    holm: float
    opposite_holm: float
    verdict: str


def weigh(claim: str, element: Element, sample: CarSample) -> Weighed:
    """The p-values of one element.

    A claim of no effect is tested twice, one-sided against either end of the margin, and has the larger p (Schuirmann 1987); the
    opposite is an effect beyond one of the ends, with twice the smaller p.
    """
    test = str(element.test)

    def p(alternative: str, effect: float = 0.0) -> float:
        return evaluate(test, replace(moved(sample, effect), alternative=alternative)).p_value

    answer = evaluate(test, sample)
    if answer.unavailable:
        return Weighed(claim, element, answer, np.nan, np.nan)
    if element.margin is None:
        direction = DIRECTIONS[str(element.sign)]
        return Weighed(claim, element, answer, p(direction), p(OPPOSITE[direction]))
    margin = element.margin
    inside = max(p("greater", margin), p("less", -margin))
    outside = min(2 * min(p("greater", -margin), p("less", margin)), 1.0)
    return Weighed(claim, element, answer, inside, outside)


def moved(sample: CarSample, effect: float) -> CarSample:
    """The sample with an effect added to every event, in equal parts on the days of the window."""
    if not effect:
        return sample
    ar, columns = sample.ar.copy(), sample.columns
    days = 1.0 if sample.spans is None else np.sqrt(sample.spans[:, columns])
    ar[:, columns] += days * effect / len(sample.window)
    car = sample.car + effect
    return replace(sample, car=car, scar=sample.scar + effect / sample.car_se, bhar=sample.bhar + effect, ar=ar)


def verdicts(claims: Mapping[str, Claim], weighed: Sequence[Weighed], alpha: float) -> dict[str, Verdict]:
    """The verdict of every claim, by name.

    A claim of several elements is their intersection: its p is the largest (intersection-union, Berger 1982), in either
    direction. Holm (1979) counts a primary claim whose test has no answer as one with p = 1.
    """
    p = {name: _largest([w.p for w in weighed if w.claim == name]) for name in claims}
    opposite = {name: _largest([w.opposite for w in weighed if w.claim == name]) for name in claims}
    primary = [name for name, claim in claims.items() if claim.primary]
    holm, other = _holm(p, primary), _holm(opposite, primary)
    found = {}
    for name in claims:
        counted = (holm, other) if name in holm else (p, opposite)
        said = verdict(counted[0][name], counted[1][name], alpha)
        found[name] = Verdict(p[name], opposite[name], holm.get(name, np.nan), other.get(name, np.nan), said)
    return found


def verdict(p: float, opposite: float, alpha: float) -> str:
    """Supported or contradicted where the p-value of that direction is below alpha; NaN is below nothing."""
    return SUPPORTED if rejects(p, alpha) else CONTRADICTED if rejects(opposite, alpha) else NOISE


def changed(name: str, now: Mapping[str, str], first: Mapping[str, str]) -> str:
    """What happened to a claim since the first golden result; "" where nothing did, or there is none."""
    key = f"claim {name}"
    if not first:
        return ""
    if key not in first:
        return "added after the first result"
    if first[key] != now[key]:
        return "changed after the first result"
    if first["design"] != now["design"]:
        return "design changed after the first result"
    return ""


def _largest(values: Sequence[float]) -> float:
    return float(np.max(values)) if len(values) else float("nan")  # one without an answer leaves none


def _holm(p: Mapping[str, float], primary: Sequence[str]) -> dict[str, float]:
    counted = [p[name] if np.isfinite(p[name]) else 1.0 for name in primary]
    adjusted = dict(zip(primary, multiplicity(counted)[0], strict=True))
    return {name: value if np.isfinite(p[name]) else float("nan") for name, value in adjusted.items()}


def window_of(element: Element) -> Window:
    """The window of an element."""
    return Window(*element.window)
