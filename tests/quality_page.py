"""docs/quality.md: the part between its markers is made from the report on the shared snapshot.

`EVENTSTUDY_DATA=.../market-data python tests/quality_page.py` writes it anew; tests/test_quality.py compares it.
"""

from __future__ import annotations

import os
from pathlib import Path

import polars as pl

from engine.market import find_snapshot
from engine.market.quality import FAULTS, KINDS, NOTES, quality_report

PAGE = Path(__file__).parents[1] / "docs" / "quality.md"
START, END = "<!-- report:start -->\n", "<!-- report:end -->"
SHOWN = (
    "additive_adjustment", "day_lost", "double_dividend", "exchange_closed", "jump", "missing_dividend", "no_range",
    "spike", "suspension",
)  # fmt: skip


def between(text: str) -> str:
    return text.partition(START)[2].partition(END)[0]


def page_of(report: pl.DataFrame) -> str:
    """Counts by kind, then every finding of the kinds that are few."""
    counted = report.group_by("kind").agg(pl.len(), pl.col("symbol").n_unique())
    by_kind = {k: (n, s) for k, n, s in counted.rows()}
    lines = ["| kind | what | findings | symbols |", "|---|---|---:|---:|"]
    for group in (FAULTS, NOTES):
        for kind in group:
            n, symbols = by_kind.get(kind, (0, 0))
            lines.append(f"| `{kind}` | {KINDS[kind]} | {n} | {symbols} |")
    for kind in SHOWN:
        lines += [
            "",
            f"### `{kind}`: {KINDS[kind]}",
            "",
            "| symbol | first | last | n | what |",
            "|---|---|---|---:|---|",
        ]
        rows = report.filter(pl.col("kind") == kind).drop("kind").rows()
        lines += [f"| {symbol} | {first} | {last} | {n} | {detail} |" for symbol, first, last, n, detail in rows]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    folder = Path(os.environ["EVENTSTUDY_DATA"])
    snapshot = find_snapshot(str(folder.resolve()), folder, ())
    text = PAGE.read_text(encoding="utf-8")
    fresh = page_of(quality_report(snapshot, snapshot.symbols()))
    PAGE.write_text(text.replace(START + between(text), START + fresh), encoding="utf-8")
