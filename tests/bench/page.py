"""docs/bench.json as the tables of the README and of docs/scale.md."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

FIGURES = "docs/bench.json"
COSTS = {
    "bytes_a_row": ("a row in the file", "bytes"),
    "read_ns_a_row": ("reading a row", "ns"),
    "read_ns_a_byte": ("reading a byte of the file", "ns"),
    "align_ns_a_row": ("putting a row on its session", "ns"),
    "measure_ns_an_event": ("measuring an event", "ns"),
    "sent_bytes_an_event": ("an event on its way to a worker", "bytes"),
    "returned_bytes_an_event": ("its numbers on their way back", "bytes"),
}


def write_bench(root: Path, report: Mapping[str, Any]) -> None:
    """Write the figures to docs/bench.json, and their tables between the markers of README.md and docs/scale.md."""
    (root / FIGURES).write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    for name, marker, text in places(report):
        path = root / name
        path.write_text(between(path.read_text(encoding="utf-8"), marker, text), encoding="utf-8")


def places(report: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """File, marker and text of each table."""
    return [("README.md", "bench", figures_table(report)), ("docs/scale.md", "costs", costs_table(report["costs"]))]


def between(text: str, marker: str, table: str) -> str:
    """``text`` with ``table`` between its markers."""
    start, end = f"<!-- {marker}:start -->", f"<!-- {marker}:end -->"
    before, rest = text.split(start)
    return f"{before}{start}\n{table}{end}{rest.split(end)[1]}"


def figures_table(report: Mapping[str, Any]) -> str:
    """Every line of the benchmark, and under it where it was measured."""
    rows = ["| what | time | CPU time | a second | peak memory | ratio |", "|---|---:|---:|---:|---:|---|"]
    for line in report["lines"]:
        rate = f"{_round(line['events_per_s']):,} events" if line["events_per_s"] else ""
        peak = f"{line['peak_mib']:,.0f} MiB" if line["peak_mib"] else ""
        ratio = f"{_times(line['ratio'])} {line['of']}" if line["ratio"] is not None else ""
        note = f" ({line['note']})" if line["note"] else ""
        times = f"{_seconds(line['wall_s'])} | {_seconds(line['cpu_s'])}"
        rows.append(f"| {line['name']}{note} | {times} | {rate} | {peak} | {ratio} |")
    machine, panel, load = report["machine"], report["panel"], report["load"]
    where = (
        f"{report['date']}, {machine['processor']}, {machine['cores']} cores, {machine['memory_gib']} GiB, Python "
        f"{report['versions']['python']}; load {load[0]} at the start, {load[1]} at the end. Panel: {panel['rows']:,} rows, "
        f"{panel['listings']:,} listings; market model, 250 + 21 days. Loops and DuckDB are measured on a sample and scaled."
    )
    return "\n".join(rows) + f"\n\n{where}\n"


def costs_table(costs: Mapping[str, float]) -> str:
    """Rows, events and bytes."""
    rows = [f"| {title} | {_few(costs[name])} {unit} |" for name, (title, unit) in COSTS.items()]
    return "\n".join(["| what | cost |", "|---|---:|", *rows]) + "\n"


def _few(value: float) -> str:
    return f"{value:.1f}" if value < 100 else f"{_round(value):,}"


def _round(value: float) -> int:
    """Two significant digits."""
    digits = len(str(int(value))) - 2
    return int(round(value, -digits)) if digits > 0 else int(value)


def _times(value: float) -> str:
    return f"{value:.2f} x" if value < 10 else f"{_round(value):,} x"


def _seconds(value: float) -> str:
    return f"{value:.2f} s" if value < 100 else f"{value:,.0f} s"
