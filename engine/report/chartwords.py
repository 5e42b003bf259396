"""What all charts say around the picture: subtitle, notes, source, and which group an event's colour stands for."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from engine.report.findings import EventCar, Findings
from engine.report.formats import level_text, one_line, percent, shortened, typeset
from engine.report.wording import measured_words, model_name
from engine.sessions import Window

MOST_GROUPS = 4


def subtitle(found: Findings, measure: str) -> str:
    """Measure, model, benchmark."""
    settings = found.settings
    window = Window(*settings["model"]["estimation_window"])
    return f"{measure}; {model_name(settings)} over {window}, {measured_words(settings)}{_against(found)}"


def _against(found: Findings) -> str:
    used = {e.symbol for e in found.measured}
    listings = found.result.manifest["listings"]
    stated = (str(listings[s]["benchmark"]) for s in used if s in listings)
    names = sorted({name for several in stated for name in several.split(", ") if name})
    if not names:
        return ""
    shown = ", ".join(shortened(n, 20) for n in names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
    return f", against {shown}"


def source(found: Findings) -> str:
    """Snapshot with its date and short hash, and the version of the code."""
    manifest = found.result.manifest
    snapshot = manifest["snapshot"]
    when = f", retrieved {snapshot['retrieved_on']}" if snapshot.get("retrieved_on") else ""
    version = manifest["versions"].get("event-study-engine", "unknown")
    return one_line(
        f"Source: snapshot {shortened(snapshot['name'], 40)}{when}, sha256 {short_hash(snapshot['sha256'])}; "
        f"study {shortened(manifest['study'], 40)}; event-study-engine {version}."
    )


def short_hash(files: Mapping[str, str]) -> str:
    """The first 8 digits of the one file's sha256; of several, of the sha256 over their sorted ``digest  name`` lines."""
    if len(files) == 1:
        return next(iter(files.values()))[:8]
    lines = "".join(f"{digest}  {name}\n" for name, digest in sorted(files.items()))
    return f"{hashlib.sha256(lines.encode()).hexdigest()[:8]} over {len(files)} files"


def interval_note(found: Findings) -> str:
    """How the intervals of single events are made."""
    return f"{level_text(1 - found.alpha)} intervals from the forecast error of the fit, Student t"


def shown_groups(found: Findings) -> tuple[str, ...]:
    """The groups of the first group column if there are at most 4, else none."""
    if not found.column:
        return ()
    groups = tuple(g for g in found.groups if g.startswith(f"{found.column}="))
    return groups if 0 < len(groups) <= MOST_GROUPS else ()


def event_group(event: EventCar, groups: tuple[str, ...], column: str) -> int | None:
    """Which of ``groups`` an event belongs to, None for none."""
    name = f"{column}={event.group}"
    return groups.index(name) if event.group is not None and name in groups else None


def short_label(event: EventCar, found: Findings, length: int = 22) -> str:
    """The event's id, with the listing where an event has several."""
    own = shortened(event.event_id, length)
    return own if found.noun == "event" else f"{own} {shortened(event.symbol, 12)}"


def event_words(event: EventCar) -> str:
    """What a chart says of an event on a screen: id, listing, day 0, CAR with its interval."""
    listing = f"{event.symbol} {event.name}".strip()
    known = event.low is not None and event.high is not None
    interval = f" ({percent(event.low)} to {percent(event.high)})" if known else ""
    day = f"\nday 0 {event.event_day}" if event.event_day else ""
    return typeset(
        f"{shortened(event.event_id, 40)}\n{shortened(listing, 40)}{day}\nCAR {percent(event.car)} %{interval}"
    )


def percent_axis(axis: Any) -> None:
    """Ticks of fractions in percent, with no more decimals than they need."""
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    axis.set_major_locator(MaxNLocator(nbins=7, steps=[1, 2, 2.5, 5, 10]))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value + 0.0:.6g}".replace("-", "−")))
