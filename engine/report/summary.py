"""The memo of a run in parts: what was found, tested and lost, counted; the events stand in the tables beside it."""

from __future__ import annotations

from engine.errors import visible
from engine.report.answers import interval_text
from engine.report.document import Table
from engine.report.findings import Findings, read_findings
from engine.report.formats import fixed, is_number, markdown_text, one_line, p_equals, percent
from engine.report.provenance import provenance_table, settings_table
from engine.report.tables import all_tests_table
from engine.report.writers.markdown import table_markdown
from engine.results import StudyResult
from engine.sessions import Window

MOST_GROUPS = 50


def summary_answer(result: StudyResult) -> str:
    """The estimate at the primary window with its interval and p-value, in one sentence."""
    found = read_findings(result)
    row = found.row("all", found.test)
    used = f"{result.manifest['pairs']['used']:,} of {result.manifest['pairs']['calendar']:,} events measured"
    if row is None or not is_number(row["estimate"]):
        return f"{used}; the study asks for no test over {found.window} that answers for all of them."
    inside = [interval_text(row["ci_low"], row["ci_high"], found.alpha)]
    inside.append(f"{row['test']} {p_equals(row['p_value'])}" if is_number(row["p_value"]) else str(row["unavailable"]))
    said = "; ".join(text for text in inside if text)
    return f"{used}: mean CAR over {found.window} {percent(row['estimate'])} % of {row['n']:,} ({said})."


def summary_rows(result: StudyResult) -> list[dict[str, str]]:
    """One row a group at the primary window: N, mean CAR, the primary test and its p-value."""
    found = read_findings(result)
    made = []
    for group in found.groups[:MOST_GROUPS]:
        row = found.row(group, found.test)
        if row is not None:
            made.append(
                {
                    "group": one_line(group),
                    "N": f"{row['n']:,}",
                    f"CAR{found.window} %": percent(row["estimate"]),
                    found.test: fixed(row["statistic"]),
                    "p": p_equals(row["p_value"]),
                }
            )
    return made or [{"group": "all", "N": str(result.manifest["pairs"]["used"])}]


def summary_markdown(result: StudyResult) -> str:
    """The memo as Markdown."""
    found = read_findings(result)
    settings = found.settings
    parts = [
        f"# {markdown_text(one_line(settings['title']))}", markdown_text(one_line(settings.get("question") or "")),
        summary_answer(result), "## Tests of the whole sample", table_markdown(all_tests_table(found)),
        "## Windows and groups", table_markdown(_windows(found)),
        "## Lost on the way", table_markdown(_losses(result)),
        "## What else happened", table_markdown(_counts(result)),
        "## Checks of the prices", *[markdown_text(str(d)) for d in result.tables["quality"]["detail"]],
        "## Settings", table_markdown(settings_table(found)), "## Provenance", table_markdown(provenance_table(found)),
        "Prices were read part by part: the rows of every event are in the tables beside this page, its charts are not drawn.",
    ]  # fmt: skip
    return visible("\n\n".join(p for p in parts if p), keep="\n") + "\n"


def _windows(found: Findings) -> Table:
    rows = []
    for group in found.groups[:MOST_GROUPS]:
        for window in found.windows:
            row = found.row(group, found.test, Window(window.start, window.end))
            if row is not None:
                values = (percent(row["estimate"]), fixed(row["statistic"]), p_equals(row["p_value"]))
                rows.append((one_line(group), str(window), f"{row['n']:,}", *values))
    return Table(
        ("Group", "Window", "N", "Mean CAR %", found.test, "p"), (False, False, True, True, True, True), tuple(rows)
    )


def _losses(result: StudyResult) -> Table:
    counted = result.tables["exclusions"].group_by("stage", "reason").len().sort("stage", "reason")
    rows = tuple((str(stage), str(reason), f"{n:,}") for stage, reason, n in counted.rows())
    return Table(("Stage", "Reason", "Rows"), (False, False, True), rows)


def _counts(result: StudyResult) -> Table:
    counts = result.manifest["contamination"]["rows"]
    return Table(("Kind", "Rows"), (False, True), tuple((kind, f"{n:,}") for kind, n in counts.items()))
