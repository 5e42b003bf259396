"""How the tests of a study behave on its own data, and what that says of its claims.

`certify` asks every test at pseudo-dates of the same listings, same-date events together, the model fitted again at each, under
three nulls (`engine.certificate.asking`): its size with a band, the calibrated p-value, the power against an effect of a given
size and the smallest effect that it finds in 80 % of the draws.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from engine.abnormal import AbnormalReturns, Cars
from engine.beside import Beside, gathered
from engine.certificate.asking import AS_THEY_ARE, FIRMS, ORDER, RUNUP, SCALED, Asked, PValues, ask
from engine.certificate.draws import Drawn, drawn, matched_by_runup
from engine.certificate.parted import Cluster, joint_at_dates, standing_apart
from engine.certificate.scale import spread_ratio
from engine.certificate.single import AskOne
from engine.certificate.standing_in import StandIns
from engine.certificate.summary import ladder
from engine.firm_placebo import FirmPlacebo
from engine.models import PSEUDO_DATES, NormalFits
from engine.panel import EventPanel
from engine.placebo import PseudoDates
from engine.pseudo_samples import Subject
from engine.sessions import Window
from engine.significance import EVENT_TESTS, NEEDS, SIGNIFICANCE_TESTS, VARIANCE_TESTS, Resampling
from engine.significance.batch import BATCHED
from engine.spec import CertificateRule

__all__ = ["AS_THEY_ARE", "NULLS", "RUNUP", "SCALED", "Certified", "OwnSample", "Wanted", "certify", "why_not"]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
NULLS = (AS_THEY_ARE, SCALED, RUNUP)
MOST_RESAMPLES = 999  # of a test that itself resamples, at each pseudo-date


@dataclass(frozen=True)
class Wanted:
    """What to certify in one group and window. tests, events: of the group, and of its events alone. alternatives: of the
    p-values. directions: +1, -1 of the effects. levels: effects that must be among those tried, of either sign."""

    group: str
    window: Window
    tests: frozenset[str]
    events: frozenset[str] = frozenset()
    alternatives: frozenset[str] = frozenset()
    directions: frozenset[int] = frozenset()
    levels: frozenset[float] = frozenset()


@dataclass(frozen=True)
class OwnSample:
    """The study's own sample, as it was measured. cars: by window. firms: (N,) codes. places: None for a model that has no
    pseudo-dates. model: its name. joint: the cluster of every pair that is in a joint regression, by event and symbol. stand_ins:
    for `firm_permutation`, None where it is not asked."""

    panel: EventPanel
    fits: NormalFits
    abnormal: AbnormalReturns
    cars: Mapping[Window, Cars]
    firms: Ints
    places: PseudoDates | None
    log_returns: bool
    alpha: float
    resampling: Resampling | None
    model: str
    joint: Mapping[tuple[str, str], int]
    stand_ins: FirmPlacebo | None = None


@dataclass(frozen=True)
class Certified:
    """What was found for one group and window. p: by (null, kind, test, alternative), (K, B) p-values as in `PValues`; caars: by
    null. taus, few: (K,) effects of tests with and without a batched form. apart, distinct, draws, unmatched: by null. caar: the
    study's own. reasons: by (kind, test), why there is nothing."""

    wanted: Wanted
    n: int
    caar: float
    scale: float = float("nan")
    taus: Floats = field(default_factory=lambda: np.zeros(1))
    few: Floats = field(default_factory=lambda: np.zeros(1))
    p: Mapping[tuple[str, str, str, str], Floats] = field(default_factory=dict)
    caars: Mapping[str, Floats] = field(default_factory=dict)
    apart: Mapping[str, int] = field(default_factory=dict)
    distinct: Mapping[str, int] = field(default_factory=dict)
    unmatched: int = 0
    reasons: Mapping[tuple[str, str], str] = field(default_factory=dict)

    def effects(self, kind: str, test: str) -> Floats:
        """(K,) the effects that a test was asked with."""
        return self.few if kind == "group" and test not in BATCHED else self.taus

    def ordered(self, null: str, kind: str, test: str, alternative: str) -> Floats:
        """(K, B) what orders the draws: the p-values, or where those end at a smallest one, the statistic."""
        p = self.p[null, kind, test, alternative]
        return self.p.get((null, kind, test, f"{alternative}{ORDER}"), p)

    def own(self, kind: str, test: str, alternative: str, p: float) -> float:
        """Where the study itself stands among `ordered`. p: its own p-value."""
        if (SCALED, kind, test, f"{alternative}{ORDER}") not in self.p or not np.isfinite(p):
            return p
        return {"less": self.caar, "greater": -self.caar, "two-sided": -abs(self.caar)}[alternative]


def why_not(kind: str, test: str, n: int, lacks: Mapping[str, str]) -> str:
    """Why a test cannot be certified on n events, "" if it can. lacks: of the model."""
    if kind == "group" and n < 2:
        return f"needs at least 2 events, has {n}"
    if reason := lacks.get(NEEDS.get(test, "")):
        return reason
    return ""


def certify(
    measured: OwnSample, groups: Mapping[str, Ints], wanted: Sequence[Wanted], rule: CertificateRule, seed: int,
    on_progress: Callable[[int, int], None], beside: Beside | None = None,
) -> Callable[[], list[Certified]]:  # fmt: skip
    """Ask the tests wanted: what gives the answers, which whoever is beside begins with at once (`ask`). The draws of a group
    depend on the seed and its name alone, not on what else is asked."""
    subject = None
    if measured.places is not None:
        subject = Subject(measured.panel, measured.places, ~np.isfinite(measured.abnormal.ar), measured.firms)
    together: dict[tuple[str, bytes, bool], list[Wanted]] = {}
    for one in wanted:
        inside = _inside(measured, groups[one.group], one.window)
        shared = bool(measured.cars[one.window].shared[inside].any())
        together.setdefault((one.group, inside.tobytes(), shared), []).append(one)
    begun = []
    for (group, *_), several in together.items():
        inside = _inside(measured, groups[group], several[0].window)
        begun.append(_together(measured, subject, inside, several, rule, seed, on_progress, beside))
    return lambda: [one for found in gathered(begun) for one in found]


def _inside(measured: OwnSample, members: Ints, window: Window) -> Ints:
    return members[measured.cars[window].complete[members]]


def _together(
    measured: OwnSample, everyone: Subject | None, inside: Ints, wanted: Sequence[Wanted], rule: CertificateRule, seed: int,
    on_progress: Callable[[int, int], None], beside: Beside | None,
) -> Callable[[], list[Certified]]:  # fmt: skip
    """The same for windows that have the same events. everyone: None for a model without pseudo-dates."""
    subject, clusters, why = _standing(measured, everyone, inside, wanted)
    n, cars = len(inside), {w.window: measured.cars[w.window] for w in wanted}
    caars = {window: float(c.car[inside].mean()) if n else np.nan for window, c in cars.items()}
    reasons = {w.window: _reasons(w, n, why, measured.fits.lacks, len(clusters) > 0) for w in wanted}
    if why or not n or subject is None:
        return lambda: [Certified(w, n, caars[w.window], reasons=reasons[w.window]) for w in wanted]
    stand_ins = _stand_ins(measured, subject, seed)
    for one in reasons.values() if stand_ins is not None and stand_ins.lines() else ():
        one.setdefault(("group", FIRMS), "several lines of a firm have the same news, which no draw keeps together")
    draws, unmatched = _drawn(subject, rule, seed, wanted[0].group)
    asked = [_asked(measured, subject, inside, w, reasons[w.window], draws[AS_THEY_ARE], rule) for w in wanted]
    resampling = measured.resampling
    if resampling is not None:
        draws_each = min(resampling.draws, MOST_RESAMPLES)
        resampling = replace(resampling, cluster=subject.dates.cluster, draws=draws_each)
    longer = max((int(c.offset.max()) for c in clusters), default=0)  # windows that overlap stand side by side as one
    apart = {
        (null, len(w.window)): d.apart(len(w.window) + longer, subject) for w in wanted for null, d in draws.items()
    }
    joint = {
        a.window: tuple(joint_at_dates(subject, c, measured.model, a.window, a.day) for c in clusters) for a in asked
    }
    single = AskOne(measured.alpha, resampling)
    answers = ask(
        subject, asked, draws, measured.log_returns, single, rule.resampled, on_progress, joint, stand_ins, beside
    )

    def found() -> list[Certified]:
        values = answers()
        return [
            Certified(
                wanted=w,
                n=n,
                caar=caars[w.window],
                scale=one.scale,
                taus=one.taus,
                few=one.few,
                p=_of_window(values, w.window),
                caars={null: values.caars[null, w.window] for null in NULLS},
                apart={null: apart[_source(null), len(w.window)] for null in NULLS},
                distinct={null: draws[_source(null)].distinct() for null in NULLS},
                unmatched=unmatched,
                reasons=reasons[w.window],
            )
            for w, one in zip(wanted, asked, strict=True)
        ]

    return found


def _source(null: str) -> str:
    return RUNUP if null == RUNUP else AS_THEY_ARE


def _of_window(values: PValues, window: Window) -> dict[tuple[str, str, str, str], Floats]:
    return {(null, *rest): p for (null, w, *rest), p in values.p.items() if w == window}  # type: ignore[misc]


def _standing(
    measured: OwnSample, everyone: Subject | None, inside: Ints, wanted: Sequence[Wanted]
) -> tuple[Subject | None, list[Cluster], str]:
    """The events where they may stand, those of joint regressions, and why there is nothing, "" if there is."""
    if everyone is None or measured.places is None:
        return None, [], measured.fits.lacks.get(PSEUDO_DATES, "the model is not fitted at pseudo-dates")
    subject, clusters, why = (
        everyone.take(inside),
        list[Cluster](),
        "no pseudo-date is free of real events and missing days",
    )
    if len(inside) and measured.cars[wanted[0].window].shared[inside].any():
        subject, clusters = standing_apart(subject, measured.panel, measured.joint, inside)
        why = "no other date has the events of a joint regression as many sessions apart, free of real events and missing days"
    nowhere = len(inside) > 0 and min(len(places) for places in subject.dates.places) == 0
    return subject, clusters, why if nowhere else ""


def _reasons(wanted: Wanted, n: int, why: str, lacks: Mapping[str, str], joint: bool) -> dict[tuple[str, str], str]:
    each = [("group", t) for t in wanted.tests] + [("event", t) for t in wanted.events]
    said = {(kind, test): why or why_not(kind, test, n, lacks) for kind, test in each}
    if len(wanted.window) > 1 and ("event", "sq") in said:
        said["event", "sq"] = said["event", "sq"] or "tests one day only"
    for kind, test in each if joint else ():
        said[kind, test] = said[kind, test] or _without_joint(kind, test)
    return {key: reason for key, reason in said.items() if reason}


def _stand_ins(measured: OwnSample, subject: Subject, seed: int) -> StandIns | None:
    """What `firm_permutation` draws from at pseudo-dates; None where the study does not ask for it."""
    if measured.stand_ins is None or measured.resampling is None:
        return None
    return StandIns(subject, measured.stand_ins, min(measured.resampling.draws, MOST_RESAMPLES), seed)


def _without_joint(kind: str, test: str) -> str:
    """Why a test is not asked of CARs from joint regressions, "" if it is."""
    if test in ("permutation", "firm_permutation", "conformal"):
        return "has no answer for the CAR of a joint regression"
    if test in ("corrado", "corrado_zivney"):
        return "ranks the days of each event's own fit, in which the effects of its neighbours are"
    if kind == "group" and test not in BATCHED:
        return "sees one event's own fit at a time, not the joint regression"
    return ""


def _drawn(subject: Subject, rule: CertificateRule, seed: int, group: str) -> tuple[dict[str, Drawn], int]:
    """The draws of the nulls, each from a stream of its own."""

    def stream(null: str) -> np.random.Generator:
        return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=tuple(f"{null} {group}".encode())))

    matched, unmatched = matched_by_runup(subject, Window(*rule.runup), rule.runup_share)
    return {
        AS_THEY_ARE: drawn(subject, rule.draws, stream(AS_THEY_ARE)),
        RUNUP: drawn(subject, rule.draws, stream(RUNUP), matched),
    }, unmatched


def _asked(
    measured: OwnSample, subject: Subject, inside: Ints, wanted: Wanted, reasons: Mapping[tuple[str, str], str], draws: Drawn,
    rule: CertificateRule,
) -> Asked:  # fmt: skip
    """The tests that can be asked, with the window's own extra spread and the effects to try."""
    tests = [t for t in SIGNIFICANCE_TESTS if t in wanted.tests and ("group", t) not in reasons]
    events = [t for t in EVENT_TESTS if t in wanted.events and ("event", t) not in reasons]
    fits = measured.fits
    columns = wanted.window.within(measured.abnormal.window)
    scale = spread_ratio(measured.abnormal.sar[inside, columns], fits.residuals[inside] / fits.sigma[inside, None])
    w = subject.dates.design.windows.index(wanted.window)
    means = sum(cars[draws.place[:, i], w] for i, cars in enumerate(subject.dates.cars)) / subject.n
    error = scale * float(np.std(means))
    taus = {0.0, *(level for level in wanted.levels)}
    few = {0.0, *(level for level in wanted.levels)}
    for direction in wanted.directions:
        taus |= set(ladder(error, direction, rule.effects).tolist())
        few |= {direction * effect for effect in rule.effects}
    return Asked(
        window=wanted.window,
        tests=tuple(t for t in tests if t in BATCHED),
        events=tuple(events),
        single=tuple(t for t in tests if t not in BATCHED and t != FIRMS),
        firms=FIRMS in tests,
        scale=scale,
        taus=np.array(sorted(taus)) + 0.0,
        few=np.array(sorted(few)) + 0.0,
        alternatives=tuple(sorted(wanted.alternatives)),
    )


def is_of_variance(test: str) -> bool:
    """Whether a test's own alternative is the extra spread of `SCALED`."""
    return test in VARIANCE_TESTS
