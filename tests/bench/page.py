"""docs/bench.json as a table for the README."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

START, END = "<!-- bench:start -->", "<!-- bench:end -->"


def write_bench(root: Path, report: Mapping[str, Any]) -> None:
    """Write the figures to docs/bench.json, and their table between the markers of the README."""
    (root / "docs" / "bench.json").write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    readme = root / "README.md"
    text = readme.read_text(encoding="utf-8")
    before, rest = text.split(START)
    _, after = rest.split(END)
    readme.write_text(f"{before}{START}\n{page(report)}{END}{after}", encoding="utf-8")


def page(report: Mapping[str, Any]) -> str:
    """The table, and under it where it was measured."""
    rows = ["| what | time | a second | peak memory | ratio |", "|---|---:|---:|---:|---|"]
    for line in report["lines"]:
        rate = f"{line['events_per_s']:,.3g}".replace("e+0", "e") if line["events_per_s"] else ""
        if line["events_per_s"]:
            rate = f"{_round(line['events_per_s']):,} events"
        peak = f"{line['peak_mib']:,.0f} MiB" if line["peak_mib"] else ""
        ratio = f"{_times(line['ratio'])} {line['of']}" if line["ratio"] is not None else ""
        rows.append(f"| {line['name']} | {_seconds(line['wall_s'])} | {rate} | {peak} | {ratio} |")
    machine, panel, load = report["machine"], report["panel"], report["load"]
    where = (
        f"{report['date']}, {machine['processor']}, {machine['cores']} cores, {machine['memory_gib']} GiB, Python "
        f"{report['versions']['python']}; load {load[0]} at the start, {load[1]} at the end. Panel: {panel['rows']:,} rows, "
        f"{panel['listings']:,} listings; market model, 250 + 21 days. Loops are measured on a sample."
    )
    return "\n".join(rows) + f"\n\n{where}\n"


def _round(value: float) -> int:
    """Two significant digits."""
    digits = len(str(int(value))) - 2
    return int(round(value, -digits)) if digits > 0 else int(value)


def _times(value: float) -> str:
    return f"{value:.2f} x" if value < 10 else f"{_round(value):,} x"


def _seconds(value: float) -> str:
    return f"{value:.2f} s" if value < 100 else f"{value:,.0f} s"
