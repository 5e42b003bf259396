"""What a newer download does to a study: the events whose answer moves, and the days of which series it comes from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from engine.fingerprints import changed_series, fingerprints
from engine.inputs import Study
from engine.market import PriceSeries
from engine.market.vintages import DayChange, day_changes
from engine.plan import plan_study
from engine.results import StudyResult
from engine.ties import above, rejects, turned

MOVED = 1e-4  # a CAR that moves by more than a basis point
SHOWN = 4
Answer = tuple[float | None, float | None]


@dataclass(frozen=True)
class WindowDrift:
    """One CAR in two runs, None where a run has none. moved, turned, crossed: by more than the tolerance, in sign, over
    alpha."""

    window: tuple[int, int]
    was: float | None
    now: float | None
    p_was: float | None
    p_now: float | None
    moved: bool
    turned: bool
    crossed: bool

    def __str__(self) -> str:
        window = f"CAR[{self.window[0]}, {self.window[1]}]"
        if self.was is None or self.now is None:
            return f"{window} {'lost' if self.now is None else 'new'}"
        said = [name for name, so in (("moved", self.moved), ("sign turned", self.turned)) if so]
        said += [f"p {self.p_was:.4f} -> {self.p_now:.4f}"] if self.crossed else []
        return f"{window} {self.was:.4%} -> {self.now:.4%} ({', '.join(said)})"


@dataclass(frozen=True)
class EventDrift:
    """A pair whose answer differs. windows: those that do, the primary one first. causes: the days of its own series, of its
    benchmark and factors, that differ from the first day of its estimation window to the last of its event window."""

    event_id: str
    symbol: str
    windows: tuple[WindowDrift, ...]
    causes: tuple[str, ...]

    def __str__(self) -> str:
        more = f", and {len(self.windows) - 1} more windows" if len(self.windows) > 1 else ""
        why = "; ".join(self.causes[:SHOWN]) or "no day of its series differs"
        why += f"; and {len(self.causes) - SHOWN} more days" if len(self.causes) > SHOWN else ""
        return f"{self.event_id} {self.symbol}: {self.windows[0]}{more}. Why: {why}"


def drifted(
    before: StudyResult, after: StudyResult, why: Mapping[tuple[str, str], Sequence[str]], tolerance: float
) -> list[EventDrift]:
    """The pairs of two runs whose CAR moved by more than ``tolerance``, changed sign, crossed alpha, or is in one run alone.

    why: the causes of each pair. alpha and the primary window are those of ``after``'s settings.
    """
    settings = after.manifest["settings"]
    alpha, primary = settings["significance"]["alpha"], tuple(settings["windows"]["car"][0])
    was, now = (_answers(result) for result in (before, after))
    found: dict[tuple[str, str], list[WindowDrift]] = {}
    for key in sorted({*was, *now}):
        one = _drift(key[2:], was.get(key), now.get(key), alpha, tolerance)
        if one is not None:
            found.setdefault((key[0], key[1]), []).append(one)
    return [
        EventDrift(*pair, tuple(sorted(windows, key=lambda w: w.window != primary)), tuple(why.get(pair, ())))
        for pair, windows in found.items()
    ]


def _answers(result: StudyResult) -> dict[tuple[Any, ...], Answer]:
    columns = ("event_id", "symbol", "window_start", "window_end", "car", "p_value")
    return {row[:4]: (row[4], row[5]) for row in result.tables["cars"].select(columns).iter_rows()}


def _drift(window: Any, was: Answer | None, now: Answer | None, alpha: float, tolerance: float) -> WindowDrift | None:
    (car, p), (new_car, new_p) = was or (None, None), now or (None, None)
    if car is None or new_car is None:
        both = car is None and new_car is None
        return None if both else WindowDrift(window, car, new_car, p, new_p, moved=True, turned=False, crossed=False)
    apart = abs(new_car - car)
    crossed = p is not None and new_p is not None and rejects(p, alpha) != rejects(new_p, alpha)
    one = WindowDrift(window, car, new_car, p, new_p, above(apart, tolerance), turned(car, new_car), crossed)
    return one if one.moved or one.turned or one.crossed else None


def causes_by_day(pinned: Study, other: Study) -> dict[tuple[str, str], list[str]]:
    """For every pair, the days that the series of two loads of one study tell differently and that its numbers look at."""
    before, after = _series(pinned), _series(other)
    changes: dict[str, list[DayChange]] = {
        symbol: day_changes(before[symbol], after[symbol]) for symbol in sorted({*before} & {*after})
    }
    gone = {s: f"{s}: only in one of the snapshots" for s in before.keys() ^ after.keys()}
    spans = _spans(pinned) or _spans(other)
    found = {}
    for event_id, symbol, benchmark in _pairs(pinned):
        first, last = spans.get((event_id, symbol), ("", "9999"))
        read = _reads(pinned, symbol, benchmark)
        days = [c for s in read for c in changes.get(s, []) if first <= c.day <= last]
        found[event_id, symbol] = [gone[s] for s in read if s in gone] + [str(c) for c in days]
    return found


def causes_by_month(kept: Mapping[str, Any], other: Study) -> dict[tuple[str, str], list[str]]:
    """The same as far as the fingerprints beside a golden result tell it: the months in which a series differs."""
    changed = dict(changed_series(kept["prices"], fingerprints(other)["prices"])) if "prices" in kept else {}
    return {
        (event_id, symbol): [f"{s}: {changed[s]}" for s in _reads(other, symbol, benchmark) if s in changed]
        for event_id, symbol, benchmark in _pairs(other)
    }


def _series(study: Study) -> dict[str, PriceSeries]:
    rest = [*study.market.factors, *([study.market.riskfree] if study.market.riskfree is not None else [])]
    return {one.symbol: one for one in rest} | dict(study.market.prices)


def _pairs(study: Study) -> Iterable[tuple[str, str, str]]:
    pairs = study.announcements.table.select("event_id", "symbol").rows()
    return [(*pair, benchmark) for pair, benchmark in zip(pairs, study.benchmarks, strict=True)]


def _reads(study: Study, symbol: str, benchmark: str) -> list[str]:
    """The series behind the numbers of one pair, its own first."""
    market = study.market
    against = market.baskets.get(benchmark, [benchmark] if benchmark else [])
    rest = [one.symbol for one in (*market.factors, *market.fx.values())]
    return list(dict.fromkeys([symbol, *against, *rest, *([market.riskfree.symbol] if market.riskfree else [])]))


def _spans(study: Study) -> dict[tuple[str, str], tuple[str, str]]:
    """The first day of the estimation window and the last of the event window of every pair with a panel."""
    panel = plan_study(study).panel
    if panel is None:
        return {}
    spans = {}
    for pair, estimation, event in zip(panel.pairs, panel.estimation_days, panel.event_dates, strict=True):
        days = np.concatenate([estimation[estimation != 0].astype("datetime64[D]"), event[~np.isnat(event)]])
        spans[pair.event_id, pair.symbol] = (str(days.min()), str(days.max()))
    return spans
