"""What else happened around the events: ``contamination`` in words, a table by kind, and the rows to read first."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from engine.report.document import Heading, Section, Table, Text, paragraph, section
from engine.report.findings import KEY, Findings, count
from engine.report.formats import FEWEST_FOR_STARS, NOTHING, fixed, one_line, shortened
from engine.schemas import SCHEMAS

MOST_ROWS = 12
# Kinds in the order of what a reader must know first; same_day and same_firm are counted, not listed.
KINDS = {
    "limit_locked": "close at the price limit on or near day 0",
    "suspended": "no price around day 0",
    "stale": "stale prices in the event window",
    "event_window": "another event of the firm in the event window",
    "estimation_window": "another event of the firm in the estimation window",
    "same_day": "other firms with the same day 0",
    "same_firm": "other lines of the firm for the same event",
}
POLICIES = {
    "flag": "Policy flag: the policy changes no number.",
    "exclude": "Policy exclude: a pair whose event window holds another event of its firm is left out.",
    "trim_estimation": "Policy trim_estimation: days of the firm's other event windows are no estimation days, at the "
    "pseudo-dates of permutation neither.",
}
LEFT_OUT = re.compile(r"(\d+) estimation days? left out")


@dataclass(frozen=True)
class Facts:
    """What `advice` needs of the contamination of the measured events.

    firms: of each event. overlapping: events with another of the firm in the event window; trimmable: in the estimation
    window. locked: events with a locked day. joint, policy: as set.
    """

    firms: Sequence[str]
    overlapping: int = 0
    trimmable: int = 0
    locked: int = 0
    joint: bool = False
    policy: str = "flag"


def contamination(found: Findings) -> pl.DataFrame:
    """The table ``contamination``, empty for a result without it."""
    table = found.result.tables.get("contamination")
    return pl.DataFrame(schema=dict.fromkeys(SCHEMAS["contamination"], pl.String)) if table is None else table


def facts(found: Findings) -> Facts:
    """`Facts` of the measured events."""
    measured = pl.DataFrame(
        [(e.event_id, e.symbol) for e in found.measured], schema=dict.fromkeys(KEY, pl.String), orient="row"
    )
    pairs = contamination(found).select("kind", *KEY).unique().join(measured.unique(), on=KEY, how="semi")
    many = dict(pairs.group_by("kind").len().rows())
    cars = found.result.tables["cars"]
    named = dict(cars.select("symbol", "firm").drop_nulls().rows()) if "firm" in cars.columns else {}
    return Facts(
        firms=[named.get(e.symbol, e.symbol) for e in found.measured],
        overlapping=many.get("event_window", 0),
        trimmable=many.get("estimation_window", 0),
        locked=many.get("limit_locked", 0),
        joint=bool(found.settings["events"].get("joint")),
        policy=str(found.settings.get("contamination", {}).get("policy", "flag")),
    )


def surroundings_words(found: Findings) -> list[str]:
    """The policy, the joint regression, and how many independent events the pairs come to."""
    known = facts(found)
    said = [POLICIES[known.policy]]
    if known.joint:
        said.append(
            "Events of one listing with overlapping event windows share one regression with a dummy for each, which "
            "takes the effect as the same on each day of a window; the bhar column stays the ordinary one."
        )
    summary = found.result.manifest.get("contamination", {})
    used = found.result.manifest["pairs"]["used"]
    if summary:
        text = f"{count(used, 'pair')} of {count(summary['firms'], 'firm')} come to {count(summary['clusters'], 'cluster')}"
        text += " of a firm and a day or event"
        if summary["effective_events"] is not None:
            text += (
                f", and by their residual correlation on shared days (mean {fixed(summary['mean_correlation'], 3)}) to "
            )
            text += f"{fixed(summary['effective_events'], 1)} independent events: N / (1 + (N - 1) r)"
        said.append(text + ".")
    return said


def kinds_table(found: Findings) -> Table | None:
    """Every kind with its rows, pairs and consequence; None where nothing else happened."""
    rows = contamination(found)
    made = []
    for kind, words in KINDS.items():
        own = rows.filter(pl.col("kind") == kind)
        if len(own):
            pairs = own.select(KEY).n_unique()
            made.append((kind, words, str(len(own)), str(pairs), _consequence(own["consequence"].to_list())))
    columns = ("Kind", "Meaning", "Rows", "Pairs", "Consequence")
    return Table(columns, (False, False, True, True, False), tuple(made)) if made else None


def _consequence(texts: Sequence[str]) -> str:
    """Equal consequences counted; estimation days left out added up."""
    others, days, rows = Counter[str](), 0, 0
    for text, many in Counter(texts).items():
        if left_out := LEFT_OUT.match(text):
            days, rows = days + many * int(left_out.group(1)), rows + many
        else:
            others[re.split(r"[;:] (?!flagged)", text)[0]] += many
    said = [f"{days} estimation days left out ({rows} rows)"] if rows else []
    said += [f"{one_line(text)} ({n})" for text, n in others.most_common(2)]
    more = sum(others.values()) - sum(n for _, n in others.most_common(2))
    return "; ".join([*said, *([f"other ({more})"] if more else [])])


def first_rows_table(found: Findings) -> Table | None:
    """The rows about single days and other events, the kinds that touch the CARs first; None where there are none."""
    order = {kind: i for i, kind in enumerate(list(KINDS)[:5])}
    rows = contamination(found).filter(pl.col("kind").is_in(list(order)))
    rows = rows.sort(rows["kind"].replace_strict(order, return_dtype=pl.Int32), maintain_order=True)
    cells = []
    for r in rows[:MOST_ROWS].to_dicts():
        days = str(r["first"]) if r["first"] == r["last"] else f"{r['first']} to {r['last']}"
        other = shortened(r["other_event_id"], 32) if r["other_event_id"] else NOTHING
        ids = (shortened(r["event_id"], 32), shortened(r["symbol"], 24))
        cells.append((*ids, r["kind"], other, days, one_line(r["consequence"])))
    notes = (f"The first {MOST_ROWS} of {len(rows)}; all are in contamination.csv.",) if len(rows) > MOST_ROWS else ()
    columns = ("Event", "Symbol", "Kind", "Other event", "Days", "Consequence")
    return Table(columns, (False,) * 6, tuple(cells), notes=notes) if cells else None


def remarks_on(known: Facts) -> list[str]:
    """Advice that follows from what else happened."""
    said = []
    if known.overlapping and not known.joint and known.policy != "exclude":
        said.append(
            f"{count(known.overlapping, 'event')} with another event of the firm in the event window: use [events] joint = true, "
            "or windows too short to share a day."
        )
    if known.joint and known.overlapping:
        said.append(
            "Joint CARs of events that share days pull against each other: read them together, and day 0 first, where the "
            "windows are apart."
        )
    if known.trimmable and known.policy == "flag":
        said.append(
            f"{count(known.trimmable, 'event')} with another event of the firm in the estimation window: sigma may be too large "
            'there; compare with [contamination] policy = "trim_estimation".'
        )
    if known.locked:
        said.append(
            f"{count(known.locked, 'event')} with a close at the price limit: read a window that reaches the first unlocked "
            "close, not day 0."
        )
    many = len(set(known.firms))
    if 1 < many < len(known.firms) and len(known.firms) >= FEWEST_FOR_STARS:
        said.append(
            f"{len(known.firms)} events of {many} firms: events and lines of one firm are not independent draws."
        )
    return said


def surroundings_section(found: Findings) -> Section | None:
    """Contamination and confounding: the policy, how often, and what to read first."""
    kinds, first = kinds_table(found), first_rows_table(found)
    return section(
        "What else happened",
        paragraph(surroundings_words(found)),
        kinds.shown("contamination", "What else happened around the events", "losses")
        if kinds
        else Text("Nothing that the calendar or the prices tell of."),
        Heading("Other events and days to read first") if first else None,
        first.shown("contamination-first", "Other events and days to read first", "dense") if first else None,
    )
