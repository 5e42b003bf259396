"""The wide form of the results, as papers print it."""

from __future__ import annotations

from engine.report.document import Table
from engine.report.findings import Findings
from engine.report.formats import NOTHING, fixed, level_text
from engine.report.tables import car_rows, estimates, foot, group_name, window_cell


def wide_table(found: Findings) -> Table:
    """The wide form for papers: for each group estimate, (statistic), N and share positive, a column a window."""
    rows: list[tuple[str, ...]] = []
    for group in found.groups:
        n, _ = estimates(found, group, found.window)
        cells = [window_cell(found, group, w, n) for w in found.windows]
        cars = [[r["car"] for r in car_rows(found, group, w) if r["car"] is not None] for w in found.windows]
        name = group_name(group)
        rows += [
            (name, "mean CAR, %", *[top for top, _ in cells]),
            (name, _statistic_name(found), *[below.partition(";")[0].rstrip(")") + ")" for _, below in cells]),
            (name, "N", *[str(estimates(found, group, w)[0]) for w in found.windows]),
            (
                name,
                "CAR > 0, %",
                *[fixed(100 * sum(c > 0 for c in own) / len(own), 1) if own else NOTHING for own in cars],
            ),
        ]
    columns = ("Group", "Line", *[str(w) for w in found.windows])
    return Table(
        columns, (False, False, *[True] * len(found.windows)), tuple(rows), notes=foot(found), name="wide",
        caption="Mean CAR by group, a column a window",
    )  # fmt: skip


def _statistic_name(found: Findings) -> str:
    """What stands in parentheses below an estimate."""
    if found.single:
        return f"(p < {level_text(found.alpha)} by {found.test})"
    return f"(p of {found.test})" if found.test == "permutation" else f"({found.test or 'no test'})"
