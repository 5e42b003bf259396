"""The same study on other prices: which abnormal returns move, and which of them enough to change what is said."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from engine.golden import ABSOLUTE, RELATIVE
from engine.results import StudyResult
from engine.schemas import KEYS
from engine.ties import rejects, turned


@dataclass(frozen=True)
class Replication:
    """Two runs of one study. moved, total: CARs that differ beyond the golden tolerance, or that one run alone has, of
    all CARs of either. largest: the largest difference of a CAR, and where. turned: what changed sign or significance in
    the primary window, in words."""

    moved: int
    total: int
    largest: float
    where: str
    turned: tuple[str, ...]

    def summary(self) -> str:
        """How many CARs moved and how far, in one line."""
        if not self.moved:
            return f"all {self.total} CARs equal"
        far = f", the farthest by {self.largest:.4%} ({self.where})" if self.where else ""
        turned = f"{len(self.turned)} results" if len(self.turned) != 1 else "1 result"
        return f"{self.moved} of {self.total} CARs differ{far}; in the primary window {turned} changed sign or significance"


def compare_runs(pinned: StudyResult, other: StudyResult) -> Replication:
    """Compare the CARs of two runs of one study; the primary window and alpha are those of ``other``'s settings."""
    before, after = (_rows(result, "cars", "car") for result in (pinned, other))
    shared = [key for key in before if key in after]
    apart = {key: abs((after[key][0] or 0.0) - (before[key][0] or 0.0)) for key in shared}
    moved = [key for key in shared if not _same(before[key][0], after[key][0])]
    worst = max(moved, key=lambda key: apart[key], default=None)
    return Replication(
        moved=len(moved) + len(before.keys() ^ after.keys()),
        total=len(before.keys() | after.keys()),
        largest=apart[worst] if worst is not None else 0.0,
        where=_place("cars", worst) if worst is not None else "",
        turned=tuple(
            line
            for table, column in (("cars", "car"), ("significance", "estimate"))
            for line in _turned(table, _rows(pinned, table, column), _rows(other, table, column), other.manifest)
        ),
    )


def _rows(result: StudyResult, table: str, column: str) -> dict[tuple[Any, ...], tuple[float | None, float | None]]:
    """Key -> (estimate, p-value)."""
    key = KEYS[table]
    rows = result.tables[table].select(*key, column, "p_value").iter_rows()
    return {row[: len(key)]: (row[-2], row[-1]) for row in rows}


def _same(was: float | None, now: float | None) -> bool:
    if was is None or now is None:
        return was is now
    return math.isclose(was, now, rel_tol=RELATIVE, abs_tol=ABSOLUTE)


def _turned(table: str, before: Any, after: Any, manifest: dict[str, Any]) -> Iterator[str]:
    """The rows of the primary window whose estimate changes sign or whose p-value crosses alpha."""
    settings = manifest["settings"]
    primary, alpha = tuple(settings["windows"]["car"][0]), settings["significance"]["alpha"]
    for key in (k for k in before if k in after):
        named = dict(zip(KEYS[table], key, strict=True))
        (was, p_was), (now, p_now) = before[key], after[key]
        if (named["window_start"], named["window_end"]) != primary or was is None or now is None:
            continue
        if turned(was, now):
            yield f"{_place(table, key)}: sign turned, {was:.4%} -> {now:.4%}"
        if p_was is not None and p_now is not None and rejects(p_was, alpha) != rejects(p_now, alpha):
            yield f"{_place(table, key)}: p crossed {alpha:g}, {p_was:.4f} -> {p_now:.4f}"


def _place(table: str, key: tuple[Any, ...]) -> str:
    named = dict(zip(KEYS[table], key, strict=True))
    window = f"[{named.pop('window_start')}, {named.pop('window_end')}]"
    return f"{' '.join(map(str, named.values()))} {window}"
