"""How much a result hangs on single events, on the events of one date, and on events with something else in their window.

Every row is the study's own test on the events that are left, so it is the number that the study would have without the
others in its calendar (with ``policy = "flag"``: the other policies let an event change the fits of its neighbours).
Leave-one-out: Cook & Weisberg (1982), section 3; by clusters: Cameron, Gelbach & Miller (2008).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from engine.abnormal import Cars
from engine.announcements.contamination import Contamination
from engine.inputs import Study
from engine.panel import EventPanel
from engine.placebo import clusters
from engine.samples import of_pairs
from engine.significance import RESAMPLING_TESTS, SIGNIFICANCE_TESTS, CarSample, Significance, evaluate
from engine.tables import rows_table
from engine.ties import rejects, turned

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
SampleOf = Callable[[Ints, Cars, Sequence[str]], CarSample]

MOST = 500  # subsamples of one kind, window and test: beyond it single events hardly matter, and the time grows with the square
# What may stand in a window besides the event; the other kinds of contamination are not about the days of the window.
FLAGS = ("event_window", "limit_locked", "stale", "suspended")
CONFOUNDED, NOT = "confounded", ("", "0", "no", "false", "none")


def influence_table(
    study: Study, panel: EventPanel, cars: Sequence[Cars], rows: Sequence[Contamination], sample_of: SampleOf
) -> pl.DataFrame:
    """``influence.csv`` of the whole sample: for every window the full result (kind ``whole``), and what it is without each
    pair (``pair``), each cluster of dates (``cluster``) and all flagged pairs (``flagged``).

    sample_of: what given tests see of given members, positions in the panel. The first kinds are of the first test that needs
    no draws; ``whole`` and ``flagged`` of all of these, and of the study's first test.
    """
    group_tests = [t for t in study.spec.significance.tests if t in SIGNIFICANCE_TESTS]
    closed = [t for t in group_tests if t not in RESAMPLING_TESTS]
    label = clusters([p.event_id for p in panel.pairs], [p.event_day for p in panel.pairs])
    confounded = _confounded(study, panel)
    found: list[dict[str, Any]] = []
    for one in cars:
        inside = np.flatnonzero(one.complete)
        place = {"window_start": one.window.start, "window_end": one.window.end}
        tests = list(dict.fromkeys([*group_tests[:1], *closed]))
        whole = _answers(tests, sample_of(inside, one, tests)) if tests else {}
        found += [place | {"test": t, "kind": "whole", "left_out": ""} | _numbers(a) for t, a in whole.items()]
        flagged = flagged_pairs(panel, one, rows) | ({CONFOUNDED: confounded} if confounded is not None else {})
        known: dict[bytes, dict[str, Significance]] = {}  # a cluster of one pair is that pair
        for about, left in _without(panel, inside, label, flagged, len(closed) > 0):
            asked = tests if about["kind"] == "flagged" else closed[:1]
            if "unavailable" in about or not len(left):
                found += [place | {"unavailable": "no event is left", "n": 0} | about | {"test": t} for t in asked]
                continue
            key = left.tobytes() + bytes(len(asked))
            if key not in known:
                known[key] = _answers(asked, sample_of(left, one, asked))
            found += [place | about | {"test": t} | _compared(known[key][t], whole[t], study) for t in asked]
    return rows_table("influence", found)


def flagged_pairs(panel: EventPanel, cars: Cars, rows: Sequence[Contamination]) -> dict[str, Bools]:
    """(N,) for each of `FLAGS` and ``any``: whether the days of a row of that kind meet the window of the pair."""
    days = panel.event_dates[:, cars.window.within(panel.event_window)]
    row_of = {(p.event_id, p.symbol): i for i, p in enumerate(panel.pairs)}
    found = {kind: np.zeros(len(panel.pairs), bool) for kind in (*FLAGS, "any")}
    for row in rows:
        i = row_of.get((row.event_id, row.symbol))
        if i is not None and row.kind in FLAGS and row.first <= days[i, -1] and row.last >= days[i, 0]:
            found[row.kind][i] = found["any"][i] = True
    return found


def _confounded(study: Study, panel: EventPanel) -> Bools | None:
    """(N,) whether the calendar's own column ``confounded`` says so; None without that column."""
    attributes = study.announcements.attributes
    if CONFOUNDED not in attributes.columns:
        return None
    cells = of_pairs(study, panel, attributes[CONFOUNDED].to_list())
    return np.array([str(cell or "").strip().lower() not in NOT for cell in cells])


def _without(
    panel: EventPanel, inside: Ints, label: Ints, flagged: Mapping[str, Bools], alone: bool
) -> Iterator[tuple[dict[str, Any], Ints]]:
    """What is left out, and the members that stay. alone: whether there is a test for single pairs and clusters."""
    groups = np.unique(label[inside]) if alone else np.empty(0, np.int64)
    for kind, n in (("pair", len(inside) if alone else 0), ("cluster", len(groups))):
        if n > MOST:
            said = f"{n} subsamples, more than {MOST}: not measured one by one"
            yield {"kind": kind, "left_out": "", "unavailable": said}, inside[:0]
        elif kind == "pair":
            for i in inside if alone else ():
                pair = panel.pairs[i]
                about = {"event_id": pair.event_id, "symbol": pair.symbol, "n_left_out": 1}
                yield about | {"kind": kind, "left_out": f"{pair.event_id} {pair.symbol}"}, inside[inside != i]
        else:
            for c in groups:
                out = inside[label[inside] == c]
                first = min(panel.pairs[i].event_day for i in out)
                yield {"kind": kind, "left_out": str(first), "n_left_out": len(out)}, inside[label[inside] != c]
    for name, marks in flagged.items():
        out = inside[marks[inside]]
        if len(out):
            yield {"kind": "flagged", "left_out": name, "n_left_out": len(out)}, inside[~marks[inside]]


def _answers(tests: Sequence[str], sample: CarSample) -> dict[str, Significance]:
    return {test: evaluate(test, sample) for test in tests}


def _compared(answer: Significance, whole: Significance, study: Study) -> dict[str, Any]:
    """The answer on what is left, beside the whole sample's."""
    alpha = study.spec.significance.alpha
    known = not answer.unavailable and not whole.unavailable
    return _numbers(answer) | {
        "change": answer.estimate - whole.estimate,
        "sign_change": int(turned(answer.estimate, whole.estimate)),
        "turned": int(rejects(answer.p_value, alpha) != rejects(whole.p_value, alpha)) if known else None,
    }


def _numbers(answer: Significance) -> dict[str, Any]:
    names = ("n", "estimate", "statistic", "p_value", "unavailable")
    return {name: getattr(answer, name) for name in names}
