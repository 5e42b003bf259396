"""From a study to `certificate`, `power`, `placebo` and `verdicts`, and back to tables.

A run writes the verdicts of ``[claims]``, and the certificate where the study has the table ``[certificate]``; ``certify`` writes
it always.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from engine.beside import Beside
from engine.certificate import (
    NULLS,
    SCALED,
    Certified,
    OwnSample,
    Wanted,
    certify,
    is_of_variance,
)
from engine.certificate.summary import calibrated_p, critical_p, detectable, power_of, size_of
from engine.certificate.verdicts import DIRECTIONS, OPPOSITE, Verdict, Weighed, changed, verdicts, weigh, window_of
from engine.errors import SpecError, hint
from engine.inputs import Study
from engine.sessions import Window
from engine.significance import EVENT_TESTS, SIGNIFICANCE_TESTS, CarSample
from engine.spec import CertificateRule, StudySpec
from engine.tables import table
from engine.ties import at_least, rejects

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Rows = list[dict[str, Any]]
BINS = 40
DEFAULT_SEED = 1


@dataclass(frozen=True)
class Assurance:
    """The tables, and what the manifest says of how they were drawn; none where the study asks for none."""

    tables: dict[str, pl.DataFrame]
    drawn: dict[str, Any]


def is_asked(spec: StudySpec, whole: bool) -> bool:
    """Whether a run needs pseudo-dates for the certificate or for a claim."""
    return whole or spec.certificate is not None or bool(spec.claims)


def assurance_of(
    study: Study, measured: OwnSample, groups: Sequence[tuple[str, Ints]], samples: Sequence[CarSample], whole: bool,
    on_progress: Callable[[int, int], None], beside: Beside | None = None,
) -> Callable[[pl.DataFrame], Assurance]:  # fmt: skip
    """Certify the tests of the study, weigh its claims: what makes the tables from ``significance``.

    whole: the certificate too where ``[certificate]`` is not there. beside: who does a part of it and begins at once, a thread if
    None.
    """
    spec, members = study.spec, dict(groups)
    if not is_asked(spec, whole):
        return lambda significance: Assurance({}, {})
    rule = spec.certificate or CertificateRule()
    resampling = spec.resampling
    seed = rule.seed if rule.seed is not None else resampling.seed if resampling is not None else DEFAULT_SEED
    by_cell = {(s.group, s.window): s for s in samples}
    weighed = _weighed(spec, by_cell, members)
    certified = whole or spec.certificate is not None
    wanted = _wanted(spec, members, certified)
    answers = certify(measured, members, wanted, rule, seed, on_progress, beside)

    def assurance(significance: pl.DataFrame) -> Assurance:
        tables, found = {}, answers()
        if certified:
            own = {row[:4]: row[4:] for row in significance.select(*_KEY, "p_value", "n").iter_rows()}
            tables["certificate"] = table("certificate", _columns("certificate", _certificate(spec, found, own)))
            tables["power"] = table("power", _columns("power", _power(spec, found, rule)))
            tables["placebo"] = table("placebo", _columns("placebo", _placebo(found)))
        if spec.claims:
            said = verdicts(spec.claims, weighed, spec.significance.alpha)
            rows = _verdicts(study, weighed, said, {(c.wanted.group, c.wanted.window): c for c in found})
            tables["verdicts"] = table("verdicts", _columns("verdicts", rows))
        return Assurance(tables, {"seed": seed} | rule.model_dump(mode="json", exclude={"seed"}))

    return assurance


_KEY = ("group", "window_start", "window_end", "test")


def _columns(name: str, rows: Rows) -> dict[str, list[Any]]:
    """Columns of rows that may lack a key: NaN or "" there."""
    from engine.schemas import NUMBER, SCHEMAS, TEXT, WHOLE

    empty = {NUMBER: np.nan, TEXT: "", WHOLE: None}
    return {c: [row.get(c, empty[kind]) for row in rows] for c, kind in SCHEMAS[name].items()}


def _weighed(
    spec: StudySpec, samples: Mapping[tuple[str, Window], CarSample], groups: Mapping[str, Ints]
) -> list[Weighed]:
    """Every element of every claim against its sample. Raises SpecError for a group that is not there."""
    found = []
    for name, claim in spec.claims.items():
        for element in claim.elements():
            if element.group not in groups:
                known = hint(element.group, list(groups))
                raise SpecError(
                    f'[claims.{name}] group = "{element.group}" is no group of the study. {known} Groups come from '
                    "[significance] group_by."
                )
            found.append(weigh(name, element, samples[element.group, window_of(element)]))
    return found


def _wanted(spec: StudySpec, groups: Mapping[str, Ints], certified: bool) -> list[Wanted]:
    """All tests in all windows of the whole sample where the certificate is asked for, and what the claims need."""
    cells: dict[tuple[str, Window], dict[str, set[Any]]] = {}

    def cell(group: str, window: Window) -> dict[str, set[Any]]:
        names = ("tests", "events", "alternatives", "directions", "levels")
        return cells.setdefault((group, window), {name: set() for name in names})

    alternative = spec.significance.alternative
    for window in sorted(spec.car_windows) if certified else ():
        one = cell("all", window)
        one["tests"] |= {t for t in spec.significance.tests if t in SIGNIFICANCE_TESTS}
        one["events"] |= {t for t in spec.significance.tests if t in EVENT_TESTS}
        one["alternatives"].add(alternative)
        one["directions"].add(_direction(alternative))
    for element in (e for claim in spec.claims.values() for e in claim.elements()):
        one = cell(element.group, window_of(element))
        one["tests"].add(element.test)
        if element.margin is None:
            direction = 1 if element.sign == "+" else -1
            one["alternatives"] |= set(OPPOSITE)
            one["directions"].add(direction)
            one["levels"].add(direction * element.effect)
        else:
            one["alternatives"] |= {"greater", "less", alternative}
            one["directions"].add(_direction(alternative))
            one["levels"] |= {element.margin, -element.margin}
        if certified:
            one["alternatives"].add(alternative)
            one["directions"].add(_direction(alternative))
    order = list(groups)
    return [
        Wanted(group, window, **{name: frozenset(values) for name, values in cells[group, window].items()})
        for group, window in sorted(cells, key=lambda key: (order.index(key[0]), key[1]))
    ]


def _direction(alternative: str) -> int:
    return -1 if alternative == "less" else 1


def _place(one: Certified) -> dict[str, Any]:
    window = one.wanted.window
    return {"group": one.wanted.group, "window_start": window.start, "window_end": window.end}


def _tests(one: Certified) -> list[tuple[str, str]]:
    """(kind, test) of a cell, in the order of the registries."""
    group = [("group", t) for t in SIGNIFICANCE_TESTS if t in one.wanted.tests]
    return group + [("event", t) for t in EVENT_TESTS if t in one.wanted.events]


def _certificate(spec: StudySpec, found: Sequence[Certified], own: Mapping[Any, Any]) -> Rows:
    rows = []
    alternative, alpha = spec.significance.alternative, spec.significance.alpha
    for one in found:
        for kind, test in _tests(one):
            key = (one.wanted.group, one.wanted.window.start, one.wanted.window.end, test)
            p_formula = own[key][0] if kind == "group" and key in own else None
            for null in NULLS:
                row = _place(one) | {"kind": kind, "test": test, "null": null, "n": one.n}
                row |= _size_row(one, kind, test, null, alternative, alpha, p_formula)
                rows.append(row)
    return rows


def _size_row(
    one: Certified, kind: str, test: str, null: str, alternative: str, alpha: float, p_formula: float | None
) -> dict[str, Any]:
    """Size, band, calibrated p; under `SCALED` the critical p and the smallest effect found too."""
    formula = np.nan if p_formula is None else p_formula
    if reason := one.reasons.get((kind, test)):
        return {"unavailable": reason, "p_formula": formula}
    if null == SCALED and is_of_variance(test):
        return {
            "unavailable": "more spread is what this test looks for: under this null it may reject",
            "p_formula": formula,
        }
    p = one.p[null, kind, test, alternative]
    size = size_of(p[0] if null != SCALED else _at(one, kind, test, p, 0.0), alpha, one.apart[null])
    ordered = one.ordered(null, kind, test, alternative)
    base = ordered[0] if null != SCALED else _at(one, kind, test, ordered, 0.0)
    row = {
        "draws": p.shape[1], "pseudo_dates": one.distinct[null], "apart": one.apart[null],
        "scale": one.scale if null == SCALED else np.nan, "size": size.size, "band_low": size.low,
        "band_high": size.high, "holds": size.holds, "p_formula": formula,
        "p_calibrated": calibrated_p(base, one.own(kind, test, alternative, formula)),
    }  # fmt: skip
    said = _notes(one, null, size.answered, p.shape[1])
    if not size.answered:
        return row | {"unavailable": "no answer at any pseudo-date"}
    if null == SCALED:
        effects, values = _along(one, kind, test, ordered, _direction(alternative))
        mde, error = detectable(effects, values, alpha)
        row |= {"critical_p": critical_p(_at(one, kind, test, p, 0.0), alpha), "mde": abs(mde), "mde_error": error}
        if not np.isfinite(mde):
            said.append(f"no effect up to {abs(effects[-1]):.6g} is found often enough")
    return row | {"note": "; ".join(said)}


def _notes(one: Certified, null: str, answered: int, draws: int) -> list[str]:
    said = [f"{draws - answered} of {draws} without an answer"] if answered < draws else []
    if null == NULLS[-1] and one.unmatched:
        said.append(f"{one.unmatched} without a run-up of their own stand anywhere")
    return said


def _at(one: Certified, kind: str, test: str, p: Floats, effect: float) -> Floats:
    """(B,) the p-values under `SCALED` with an effect that was asked for."""
    effects = one.effects(kind, test)
    return np.asarray(p[int(np.argmin(np.abs(effects - effect)))])


def _along(one: Certified, kind: str, test: str, p: Floats, direction: int) -> tuple[Floats, Floats]:
    """The effects of a direction from none on, away from zero, and their p-values."""
    effects = one.effects(kind, test)
    chosen = np.flatnonzero(effects * direction >= 0)
    chosen = chosen[np.argsort(np.abs(effects[chosen]), kind="stable")]
    return effects[chosen], p[chosen]


def _power(spec: StudySpec, found: Sequence[Certified], rule: CertificateRule) -> Rows:
    """Size-adjusted power at the effects of the study, in the direction of its alternative."""
    rows = []
    alternative, alpha = spec.significance.alternative, spec.significance.alpha
    direction = _direction(alternative)
    for one in found:
        for kind, test in _tests(one):
            if (kind, test) in one.reasons or is_of_variance(test):
                continue
            p = one.ordered(SCALED, kind, test, alternative)
            critical = critical_p(_at(one, kind, test, p, 0.0), alpha)
            for effect in rule.effects:
                power = float(power_of(_at(one, kind, test, p, direction * effect)[None], critical)[0])
                power = power if np.isfinite(critical) else np.nan
                rows.append(
                    _place(one)
                    | {"kind": kind, "test": test, "effect": direction * effect, "power": power}
                    | {"se": float(np.sqrt(power * (1 - power) / p.shape[1])), "draws": p.shape[1]}
                )
    return rows


def _placebo(found: Sequence[Certified]) -> Rows:
    """The mean CARs under each null in bins of equal width, and the share of them beyond the study's own in absolute value."""
    rows = []
    for one in found:
        for null, values in one.caars.items():
            edges = np.linspace(values.min(), values.max(), BINS + 1)
            counts = np.histogram(values, edges)[0]
            beyond = float(at_least(np.abs(values), abs(one.caar)).mean())
            for k, count in enumerate(counts):
                rows.append(
                    _place(one)
                    | {"null": null, "bin": k + 1, "low": edges[k], "high": edges[k + 1], "draws": int(count)}
                    | {"caar": one.caar, "share_beyond": beyond}
                )
    return rows


def _verdicts(
    study: Study, weighed: Sequence[Weighed], said: Mapping[str, Verdict],
    certified: Mapping[tuple[str, Window], Certified],
) -> Rows:  # fmt: skip
    spec, rows = study.spec, []
    alpha, fingerprints = spec.significance.alpha, spec.fingerprints()
    for one in weighed:
        claim, element, verdict = spec.claims[one.claim], one.element, said[one.claim]
        window = window_of(element)
        row = {
            "claim": one.claim, "part": element.number, "statement": claim.statement,
            "primary": "yes" if claim.primary else "no", "group": element.group, "window_start": window.start,
            "window_end": window.end, "test": str(element.test), "sign": str(element.sign),
            "margin": np.nan if element.margin is None else element.margin, "n": one.answer.n,
            "estimate": one.answer.estimate, "ci_low": one.answer.ci[0], "ci_high": one.answer.ci[1], "p_value": one.p,
            "p_opposite": one.opposite, "p_claim": verdict.p, "p_holm": verdict.holm,
            "p_holm_opposite": verdict.opposite_holm, "verdict": verdict.verdict,
            "changed": changed(one.claim, fingerprints, study.first), "unavailable": one.answer.unavailable,
        }  # fmt: skip
        rows.append(row | _assured(one, certified[element.group, window], alpha, spec.significance.alternative))
    return rows


def _assured(one: Weighed, cell: Certified, alpha: float, alternative: str) -> dict[str, Any]:
    """Calibrated p in either direction, power and smallest effect of an element in its own; with a margin the chance that a true
    absence is shown, and the smallest effect of the test as the study has it."""
    element, test = one.element, str(one.element.test)
    if reason := cell.reasons.get(("group", test)):
        return {"note": f"not at pseudo-dates: {reason}"}
    if element.margin is not None:
        above, below = (cell.p[SCALED, "group", test, side] for side in ("greater", "less"))
        at_margin = _at(cell, "group", test, above, element.margin), _at(cell, "group", test, below, -element.margin)
        shown = float((rejects(at_margin[0], alpha) & rejects(at_margin[1], alpha)).mean())
        ordered = cell.ordered(SCALED, "group", test, alternative)
        effects, values = _along(cell, "group", test, ordered, _direction(alternative))
        mde, error = detectable(effects, values, alpha)
        return {"power": shown, "power_effect": 0.0, "mde": abs(mde), "mde_error": error}
    direction, claimed = 1 if element.sign == "+" else -1, DIRECTIONS[str(element.sign)]
    p = cell.ordered(SCALED, "group", test, claimed)
    base = _at(cell, "group", test, p, 0.0)
    other = _at(cell, "group", test, cell.ordered(SCALED, "group", test, OPPOSITE[claimed]), 0.0)
    effects, values = _along(cell, "group", test, p, direction)
    mde, error = detectable(effects, values, alpha)
    power = power_of(_at(cell, "group", test, p, direction * element.effect)[None], critical_p(base, alpha))[0]
    return {
        "p_calibrated": calibrated_p(base, cell.own("group", test, claimed, one.p)),
        "p_opposite_calibrated": calibrated_p(other, cell.own("group", test, OPPOSITE[claimed], one.opposite)),
        "power": float(power), "power_effect": direction * element.effect,
        "mde": abs(mde), "mde_error": error,
    }  # fmt: skip
