"""The finding in words: the answer sentence, and what to hold against it."""

from __future__ import annotations

from collections import Counter

from engine.report.certificate import SCALED, certificate_of, outside
from engine.report.claims import size_words
from engine.report.findings import EventCar, Findings, Row, count, span_text
from engine.report.formats import (
    FEWEST_FOR_STARS,
    is_number,
    level_text,
    listed,
    p_equals,
    p_text,
    percent,
    shortened,
)
from engine.report.wording import INDEPENDENT, OUTCOMES, outcome_of
from engine.ties import ordered, rejects

MANY_NAMES = 4


def answer(found: Findings) -> str:
    """One sentence: the estimate at the primary window, its uncertainty, and whether the tests agree."""
    events = found.measured
    if not events:
        lost = count(len(found.events), found.noun)
        return (
            f"There is no answer {span_text(found.window)}: none of {lost} is complete there; the exclusions say why."
        )
    if len(events) == 1:
        return _one_event(found, events[0])
    return _event_by_event(found) if found.single else _group(found)


def measured_note(found: Findings) -> str:
    """What the numbers are where no return is measured, "" else."""
    outcome = outcome_of(found.settings)
    return f"Measured is {OUTCOMES[outcome][0]}: % stands for {OUTCOMES[outcome][1]}." if outcome else ""


def event_label(event: EventCar, length: int = 40) -> str:
    """``B07-dod (0981.HK SMIC)``."""
    listing = f"{event.symbol} {event.name}".strip()
    return f"{shortened(event.event_id, length)} ({shortened(listing, length)})"


def interval_text(low: float | None, high: float | None, alpha: float) -> str:
    """``95 % interval -2.93 to -0.40 %``, "" where there is none."""
    if not is_number(low) or not is_number(high):
        return ""
    return f"{level_text(1 - alpha)} interval {percent(low)} to {percent(high)} %"


def _one_event(found: Findings, event: EventCar) -> str:
    parts = [interval_text(event.low, event.high, found.alpha)]
    for test, row in (event.tests or {}).items():
        if row["p_value"] is not None:
            parts.append(f"{test} {found.p_word}{p_equals(row['p_value'])}")
    inside = "; ".join(p for p in parts if p) or "no standard error and no test of one event"
    rejecting = [t for t, r in (event.tests or {}).items() if _below(r["p_value"], found.alpha)]
    answered = [t for t, r in (event.tests or {}).items() if r["p_value"] is not None]
    level = level_text(found.alpha)
    if not answered:
        verdict = "whether that is more than noise cannot be said"
    elif not rejecting:
        verdict = f"not distinguishable from noise at the {level} level"
    elif len(rejecting) == len(answered):
        verdict = f"more than noise at the {level} level for this one event, which says nothing about others"
    else:
        verdict = f"the tests disagree at the {level} level: only {listed(rejecting)} would call it more than noise"
    start = "The one event measured" if len(found.events) > 1 else "The one event"
    return f"{start}, {event_label(event)}, had a CAR of {percent(event.car)} % {span_text(found.window)} ({inside}): {verdict}."


def _event_by_event(found: Findings) -> str:
    """The answer where the primary test looks at each event alone."""
    values = found.p_values(found.test)
    when, level = span_text(found.window), level_text(found.alpha)
    cars = [e.car for e in found.measured if e.car is not None]
    spread = f"single CARs run from {percent(min(cars))} to {percent(max(cars))} %"
    if not values:
        reasons = {(e.tests or {})[found.test]["unavailable"] for e in found.measured if found.test in (e.tests or {})}
        why = listed(sorted(str(r) for r in reasons if r)) or "it was not computed"
        return f"The primary test {found.test} has no answer {when} ({why}) for {_all(found)}; {spread}."
    moved = [e for e, p in values if rejects(p, found.alpha)]
    verb = {"greater": "rose", "less": "fell"}.get(found.alternative, "moved")
    start = f"Of {count(len(values), found.noun)}, {len(moved) or 'none'} {verb} {when} at the {level} level by {found.test}"
    chance = f"{found.alpha * len(values):.1f} would by chance"
    word = f"{found.p_word.strip()}; " if found.p_word else ""
    return f"{start} ({word}{chance}){_mean(found)}; {spread}.{_after_holm(found)}"


def _after_holm(found: Findings) -> str:
    """What Holm over the events leaves of those that each test of one event calls more than noise; "" where none does."""
    said, total = [], 0
    asked = [t for t in found.settings["significance"]["tests"] if any(t in (e.tests or {}) for e in found.measured)]
    for test in asked:
        values = found.p_values(test)
        moved = sum(rejects(p, found.alpha) for _, p in values)
        kept = [e for (e, _), p in zip(values, holm([p for _, p in values]), strict=True) if rejects(p, found.alpha)]
        floor = smallest_rank_p(found) if test == "sq" else None
        total += moved
        if kept and test == found.test and len(kept) <= MANY_NAMES:
            said.append(f"{len(kept)} of {moved} by {test} ({listed([event_label(e, 24) for e in kept])})")
        elif floor is not None and not rejects(floor * len(values), found.alpha):
            said.append(f"none by {test}, whatever the prices did (none of its p can be below {p_text(floor)})")
        elif values:
            said.append(f"{len(kept) or 'none'} of {moved} by {test}")
    return f" Holm over the {len(found.p_values(found.test))} leaves {'; '.join(said)}." if total else ""


def _mean(found: Findings) -> str:
    """The mean CAR with its permutation p, where the study has both."""
    row = found.row("all", "permutation")
    if row is None or row["p_value"] is None or row["n"] < 2:
        return ""
    return f"; mean CAR {percent(row['estimate'])} % (permutation {found.p_word}{p_equals(row['p_value'])})"


def smallest_rank_p(found: Findings) -> float | None:
    """The smallest p that `sq` can give in this study; None where it is not the primary test or has no answer."""
    values = found.p_values("sq") if found.test == "sq" else []
    days = {(e, s): n for e, s, n in found.result.tables["fits"].select("event_id", "symbol", "n_obs").rows()}
    sides = 1 if found.alternative != "two-sided" else 2
    return min((sides / (1 + days[e.event_id, e.symbol]) for e, _ in values), default=None)


def _group(found: Findings) -> str:
    """The answer where the primary test looks at the whole sample."""
    row = found.row("all", found.test)
    if row is None or row["estimate"] is None:
        return f"The study asks for no test {span_text(found.window)} that answers for {_all(found)}."
    when = span_text(found.window)
    start = (
        f"{when[0].upper()}{when[1:]} the {count(row['n'], found.noun)} had a mean CAR of {percent(row['estimate'])} %"
    )
    permuted = found.row("all", "permutation") if found.test != "permutation" else None
    extra = f"permutation {found.p_word}{p_equals(permuted['p_value'])}" if permuted and permuted["p_value"] else ""
    if row["p_value"] is None:
        other = f"; {extra}" if extra else ""
        return f"{start}, but {found.test} has no answer ({row['unavailable']}{other})."
    own = f"{found.test} {found.p_word}{p_equals(row['p_value'])}"
    inside = "; ".join(p for p in (_interval(found, row), own, extra) if p)
    return f"{start} ({inside}): {_verdict(found, row)}{_reservation(found, row)}."


def _interval(found: Findings, row: Row) -> str:
    text = interval_text(row["ci_low"], row["ci_high"], found.alpha)
    other = found.row("all", "cross_sectional_t")
    if text or other is None:
        return text
    text = interval_text(other["ci_low"], other["ci_high"], found.alpha)
    return f"{text} by cross_sectional_t" if text else ""


def rejecting_and_not(found: Findings) -> tuple[list[str], list[str]]:
    """The group tests of the whole sample that reject at the primary window, and those that answer but do not."""
    rows = [r for r in found.group_rows() if r["p_value"] is not None]
    rejecting = [r["test"] for r in rows if rejects(r["p_value"], found.alpha)]
    return rejecting, [r["test"] for r in rows if r["test"] not in rejecting]


def _verdict(found: Findings, row: Row) -> str:
    rejecting, holding = rejecting_and_not(found)
    level, total = level_text(found.alpha), len(rejecting) + len(holding)
    if total == 1:
        said = "more than noise" if rejecting else "not distinguishable from noise"
        return f"{said} at the {level} level by the one test of the study"
    if not holding:
        return f"more than noise at the {level} level by all {total} tests"
    if not rejecting:
        return f"not distinguishable from noise at the {level} level by any of the {total} tests"
    if rejects(row["p_value"], found.alpha):
        others = listed(holding) if len(holding) <= MANY_NAMES else f"the other {len(holding)}"
        verb = "disagrees" if len(holding) == 1 else "disagree"
        return f"more than noise at the {level} level by {len(rejecting)} of the {total} tests; {others} {verb}"
    others = listed(rejecting) if len(rejecting) <= MANY_NAMES else f"{len(rejecting)} of the {total} tests"
    return f"not distinguishable from noise at the {level} level by {found.test}, but the tests disagree ({others} would reject)"


def _reservation(found: Findings, row: Row) -> str:
    """What the reader must know in the same breath: few events, one date, many windows."""
    said = []
    holm_p = row["p_holm"]
    if _below(row["p_value"], found.alpha) and holm_p is not None and not rejects(holm_p, found.alpha):
        said.append(f"not after Holm over the {len(found.windows)} windows (p = {p_text(holm_p)})")
    if _below(row["p_value"], found.alpha) and outside(found, found.test):
        calibrated = certificate_of(found, found.window)[found.test, SCALED]["p_calibrated"]
        said.append(
            f"{found.test} does not hold its size here"
            + (f" (calibrated {p_equals(calibrated)})" if is_number(calibrated) else "")
        )
    if on_one_date(found) and found.test in INDEPENDENT:
        said.append(f"all share one event day, where {found.test} is too sure of itself")
    if row["n"] < FEWEST_FOR_STARS:
        said.append(f"with {row['n']} events this is no more than a description")
    return f"; {'; '.join(said)}" if said else ""


def on_one_date(found: Findings) -> bool:
    """Whether at least two measured events share the only event day."""
    return len(found.measured) > 1 and len({e.event_day for e in found.measured}) == 1


def holm(p_values: list[float]) -> list[float]:
    """Holm-adjusted p-values over the events of the sample."""
    from engine.significance import multiplicity

    return multiplicity(p_values)[0]


def _all(found: Findings) -> str:
    n = count(len(found.measured), found.noun)
    return f"the {n}" if len(found.measured) > 1 else f"the {found.noun}"


def _below(p: float | None, alpha: float) -> bool:
    return p is not None and bool(rejects(p, alpha))


def caveats(found: Findings) -> list[str]:
    """What to hold against the answer, each a sentence; all from the numbers of the result."""
    events = found.measured
    said = [
        _clusters(found),
        _repeats(found),
        _one_that_moves(found),
        _rank_limit(found),
        _size(found),
        _hours(events),
        _by_date(found),
        _losses(found),
    ]
    return [s for s in said if s]


def _size(found: Findings) -> str:
    """Where the primary test does not hold its size on the study's own data, how often it rejects there."""
    kind = "event" if found.single else "group"
    if not outside(found, found.test, kind=kind):
        return ""
    return f"{found.test} does not hold its size here: {size_words(found, found.test, found.window, kind=kind)}."


def _by_date(found: Findings) -> str:
    """Benchmarks taken by date beside listings that may close at another hour."""
    closes, listings = found.result.manifest.get("closes", {}), found.result.manifest["listings"]
    abroad = {
        b for one in listings.values() if one["exchange"] not in ("", "XNYS") for b in one["benchmark"].split(", ")
    }
    names = sorted(b for b in abroad if closes.get(b) == "by date")
    if not names:
        return ""
    said = ", ".join(shortened(n, 24) for n in names)
    return f"The exchange of {said} is not known: aligned by date, not by the hour of the close. Say it in [sessions] closes."


def _clusters(found: Findings) -> str:
    days = Counter(e.event_day for e in found.measured)
    shared = sum(n for n in days.values() if n > 1)
    if shared == 0:
        return ""
    n = len(found.measured)
    if len(days) == 1:
        return f"All {n} share one event day: they are not independent, and tests that assume so are too sure."
    start = f"{shared} of the {count(n, found.noun)} share their event day with another one ({len(days)} distinct days)"
    return f"{start}: these are not independent" + (
        "." if 4 * shared < n else ", and tests that assume so are too sure."
    )


def _repeats(found: Findings) -> str:
    events = found.measured
    firms = Counter(e.symbol for e in events)
    if not firms or max(firms.values()) == 1:
        return ""
    symbol, most = max(firms.items(), key=lambda item: (item[1], item[0]))
    start = f"The {count(len(events), found.noun)} come from {count(len(firms), 'listing')}"
    return f"{start}; {shortened(symbol, 24)} alone has {most}."


def _one_that_moves(found: Findings) -> str:
    """The event whose removal changes the mean CAR most."""
    cars = [(e.car, e) for e in found.measured if e.car is not None]
    if len(cars) < 3:
        return ""
    mean = sum(c for c, _ in cars) / len(cars)
    car, event = ordered(cars, lambda item: abs(item[0] - mean), lambda item: (item[1].event_id, item[1].symbol))[-1]
    without = (mean * len(cars) - car) / (len(cars) - 1)
    return (
        f"The event that moves the mean most is {event_label(event, 30)} with {percent(car)} %: without it the mean CAR "
        f"is {percent(without)} % instead of {percent(mean)} %."
    )


def _rank_limit(found: Findings) -> str:
    """Where the smallest p that `sq` can give, times the number of events, is above alpha."""
    smallest, n = smallest_rank_p(found), len(found.p_values("sq"))
    if smallest is None or n < 2 or rejects(smallest * n, found.alpha):
        return ""
    return (
        f"The smallest p that sq can give here is {p_text(smallest)}: times {n} it is above {found.alpha:g}, so Holm over the "
        "events cannot leave any, whatever the prices did."
    )


def _hours(events: tuple[EventCar, ...]) -> str:
    vague = sum("date_only" in e.flags and not e.session_known for e in events)
    if not vague:
        return ""
    return f"{vague} of {count(len(events), 'announcement')} have a date but no hour: their day 0 may be a session off."


def _losses(found: Findings) -> str:
    lost = len(found.events) - len(found.measured)
    if not lost:
        return ""
    verb = "is" if lost == 1 else "are"
    return f"{lost} of {count(len(found.events), found.noun)} {verb} not in the primary window (see exclusions)."
