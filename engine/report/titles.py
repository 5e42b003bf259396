"""Chart titles that say the finding."""

from __future__ import annotations

from collections.abc import Callable

from engine.report.answers import rejecting_and_not
from engine.report.backtest import backtest_title
from engine.report.findings import EventCar, Findings, count, span_text
from engine.report.formats import fixed, level_text, p_equals, percent, shortened
from engine.report.lanes import widest
from engine.report.long_horizon import NOUNS, alpha_rows
from engine.report.specifications import specifications_title
from engine.ties import above, at_most, below, ordered, rejects


def caar_title(found: Findings) -> str:
    """The finding as the title of the path."""
    events = found.measured
    if not events:
        return "No event is complete in the primary window"
    if len(events) == 1:
        return f"{shortened(events[0].event_id, 40)}: CAR of {percent(events[0].car)} % {span_text(found.window)}"
    row = found.row("all", found.test)
    if found.single or row is None or row["p_value"] is None:
        rows = [r for r in found.group_rows() if r["estimate"] is not None]
        mean = f"a mean CAR of {percent(rows[0]['estimate'])} %" if rows else f"CARs {_range(events)}"
        return f"{count(len(events), found.noun)} with {mean} {span_text(found.window)}"
    rejecting, holding = rejecting_and_not(found)
    text = (
        f"Mean CAR of {percent(row['estimate'])} % {span_text(found.window)} ({found.p_word}{p_equals(row['p_value'])})"
    )
    if not rejecting:
        return f"{text}: not distinguishable from noise"
    return f"{text}; the tests disagree" if holding else text


def forest_title(found: Findings) -> str:
    """How many intervals leave out zero, and how many would by chance."""
    known = [e for e in found.measured if e.low is not None and e.high is not None]
    if not known:
        return f"CARs {_range(found.measured)}" if found.measured else "No event is complete in the primary window"
    outside = sum(1 for e in known if above(e.low or 0.0, 0.0) or below(e.high or 0.0, 0.0))
    if len(known) == 1:
        return f"The interval of the one event {'excludes' if outside else 'includes'} zero {span_text(found.window)}"
    return (
        f"{outside or 'None'} of {len(known)} intervals leave{'s' if outside == 1 else ''} out zero "
        f"{span_text(found.window)}, {fixed(found.alpha * len(known), 1)} would by chance"
    )


def timeline_title(found: Findings) -> str:
    """The range of the CARs and of the years."""
    events = [e for e in found.measured if e.event_day is not None]
    if not events:
        return "No event is complete in the primary window"
    years = sorted({e.event_day.year for e in events if e.event_day is not None})
    when = f"{years[0]} to {years[-1]}" if len(years) > 1 else f"{years[0]}"
    cars = "CAR" if len(events) == 1 else "CARs"
    return f"{count(len(events), found.noun)}, {when}: {cars} {_range(tuple(events))} {span_text(found.window)}"


def venue_title(found: Findings) -> str:
    """Where the event of the widest spread had its day 0, and when."""
    _, lanes = widest(found)
    if not lanes:
        return "No event has a day 0"
    said = []
    for lane, after in zip(lanes, [*lanes[1:], None], strict=True):
        same = after is not None and f"{after.day0:%B %Y}" == f"{lane.day0:%B %Y}"
        said.append(f"{lane.city}\u00a0{lane.day0.day}" + ("" if same else f"\u00a0{lane.day0:%B %Y}"))
    number = len({lane.day0 for lane in lanes})
    if len(lanes) == 1:
        return f"Day 0 in {said[0]}"
    start = f"One piece of news, {number} different days 0" if number > 1 else "One day 0 everywhere"
    return f"{start}: {', '.join(said)}"


def calendar_time_title(found: Findings) -> str:
    """The alpha of the first portfolio of all events, and its p-value."""
    rows = [r for r in alpha_rows(found) if r["group"] == "all" and r["regression"] == "ols" and not r["unavailable"]]
    if not rows:
        return "No portfolio in calendar time has an alpha"
    row, noun = rows[0], NOUNS[found.settings["calendar_time"]["frequency"]]
    text = f"{row['weighting'].capitalize()}-weighted alpha of {percent(row['estimate'], 3)} % a {noun}"
    text += f" ({found.p_word}{p_equals(row['p_value'])})"
    return text if rejects(row["p_value"], found.alpha) else f"{text}: not distinguishable from noise"


def partial_title(found: Findings) -> str:
    """How many terms of the first regression differ from zero, by its first covariance."""
    from engine.report.crosssection_partial import partial_terms

    terms = partial_terms(found)
    known = [r for r in terms if r["p_value"] is not None]
    if not terms:
        return "No cross-section of the CARs"
    covariance = found.settings["crosssection"]["covariance"][0]
    hits = sum(rejects(r["p_value"], found.alpha) for r in known)
    return (
        f"{hits or 'None'} of {count(len(terms), 'term')} {'differs' if hits == 1 else 'differ'} from zero at the "
        f"{level_text(found.alpha)} level ({covariance})"
    )


def size_title(found: Findings) -> str:
    """How many tests hold their size."""
    from engine.report.certificate import AS_THEY_ARE, certificate_of, outside

    rows = certificate_of(found, found.window)
    tests = [t for (t, null), r in rows.items() if null == AS_THEY_ARE and r["size"] is not None]
    if not tests:
        return "No test is certified"
    good = sum(not outside(found, t) for t in tests)
    return (
        f"{good or 'None'} of {count(len(tests), 'test')} hold{'s' if good == 1 else ''} {'its' if good == 1 else 'their'} size "
        f"{span_text(found.window)}"
    )


def power_title(found: Findings) -> str:
    """The smallest effect that the best test that holds its size finds; of all tests where none does."""
    from engine.report.certificate import SCALED, certificate_of, outside

    rows = certificate_of(found, found.window)
    known = sorted((r["mde"], t) for (t, null), r in rows.items() if null == SCALED and r["mde"])
    holding = [(mde, test) for mde, test in known if not outside(found, test)]
    if not known:
        return f"No test finds one of the effects tried {span_text(found.window)}"
    mde, test = (holding or known)[0]
    finds = f"{test} finds an effect of {percent(mde)} % in 80 % of the draws {span_text(found.window)}"
    return finds if holding else f"No test holds its size; put right, {finds}"


def placebo_title(found: Findings) -> str:
    """How rare a mean CAR as large as the real one is among those at pseudo-dates."""
    from engine.report.placebo_caar import placebo_rows

    rows = placebo_rows(found)
    if not rows:
        return "No pseudo-dates"
    shares = [next(r["share_beyond"] for r in rows if r["null"] == null) for null in ("as_they_are", "scaled")]
    said = [("none" if share == 0 else f"{percent(share, 1)} %") for share in shares]
    caar = percent(rows[0]["caar"])
    return f"A mean CAR as far out as {caar} %: {said[0]} of the draws, {said[1]} with the extra spread of the window"


def paths_title(found: Findings) -> str:
    """How many listings rose and fell over the primary window, by the mean of their events."""
    by_listing: dict[str, list[float]] = {}
    for event in found.measured:
        by_listing.setdefault(event.symbol, []).append(event.car or 0.0)
    if not by_listing:
        return "No event is complete in the primary window"
    rose = sum(above(sum(cars), 0.0) for cars in by_listing.values())
    return f"{rose} of {count(len(by_listing), 'listing')} rose beyond what was expected {span_text(found.window)}"


def heatmap_title(found: Findings) -> str:
    """How many events fell in every window, and how many rose."""
    cars: dict[tuple[str, str], list[float]] = {}
    for event_id, symbol, car in found.result.tables["cars"].select("event_id", "symbol", "car").drop_nulls().rows():
        cars.setdefault((event_id, symbol), []).append(car)
    own = [cars[e.event_id, e.symbol] for e in found.measured]
    if not own:
        return "No event is complete in the primary window"
    fell, rose = sum(below(max(c), 0.0) for c in own), sum(above(min(c), 0.0) for c in own)
    windows = "the window" if len(found.windows) == 1 else f"all {len(found.windows)} windows"
    return f"Of {count(len(own), found.noun)}, {fell} fell and {rose} rose in {windows}"


def chosen_event(found: Findings) -> EventCar | None:
    """The event of ``[report] event``, its largest CAR in absolute value where it has several listings; else of all events."""
    asked = found.settings["report"].get("event")
    events = [e for e in found.measured if asked is None or e.event_id == asked]
    return next(reversed(ordered(events, lambda e: abs(e.car or 0.0), lambda e: (e.event_id, e.symbol))), None)


def panel_title(found: Findings) -> str:
    """The event of the panel and its CAR."""
    event = chosen_event(found)
    if event is None:
        asked = found.settings["report"].get("event")
        return f"No event {shortened(asked, 40)} is complete in the primary window" if asked else "No event to show"
    tested = f" (t {fixed(event.t)})" if event.t is not None else ""
    return f"{shortened(event.event_id, 40)}: CAR of {percent(event.car)} % {span_text(found.window)}{tested}"


def _range(events: tuple[EventCar, ...]) -> str:
    cars = [e.car for e in events if e.car is not None]
    if at_most(max(cars), min(cars)):
        return f"of {percent(cars[0])} %"
    return f"from {percent(min(cars))} to {percent(max(cars))} %"


# Name of a chart -> what it found.
TITLES: dict[str, Callable[[Findings], str]] = {
    "caar_path": caar_title,
    "car_forest": forest_title,
    "crosssection_partial": partial_title,
    "event_timeline": timeline_title,
    "venue_days": venue_title,
    "calendar_time": calendar_time_title,
    "listing_paths": paths_title,
    "car_heatmap": heatmap_title,
    "event_panel": panel_title,
    "specification_curve": specifications_title,
    "equity_curve": backtest_title,
    "size_plot": size_title,
    "power_curve": power_title,
    "placebo_caar": placebo_title,
}
