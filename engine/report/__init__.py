"""Charts and memo of a `StudyResult`; nothing else is read, and nothing below knows this package.

>>> from engine.report import answer, write_report     # doctest: +SKIP
>>> print(answer(result))                              # doctest: +SKIP

To add a chart: a module with ``draw(findings) -> Figure``, one line in `CHARTS` and its title in `titles.TITLES`. To add a
section: a function of the findings that returns `document.section(title, blocks...)` or None, and one line in `SECTIONS`; it
then stands in every format. matplotlib and what writes the formats are imported when a chart or a memo is asked for, so that
the names here cost nothing.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from engine.beside import Beside
    from engine.report.theme import Theme
    from engine.results import StudyResult

# Name of a chart -> the function that draws it, imported when it is drawn.
CHARTS: dict[str, str] = {
    "caar_path": "engine.report.caar_path:draw",
    "car_forest": "engine.report.car_forest:draw",
    "crosssection_partial": "engine.report.crosssection_partial:draw",
    "event_timeline": "engine.report.event_timeline:draw",
    "venue_days": "engine.report.venue_days:draw",
    "calendar_time": "engine.report.calendar_time:draw",
    "size_plot": "engine.report.size_plot:draw",
    "power_curve": "engine.report.power_curve:draw",
    "placebo_caar": "engine.report.placebo_caar:draw",
    "listing_paths": "engine.report.listing_paths:draw",
    "car_heatmap": "engine.report.car_heatmap:draw",
    "event_panel": "engine.report.event_panel:draw",
    "specification_curve": "engine.report.specification_curve:draw",
    "equity_curve": "engine.report.equity_curve:draw",
}
FORMATS = ("png", "svg", "pdf")
MEMO_FORMATS = ("html", "md", "pdf", "docx", "tex", "xlsx", "csv")

# Sections of the memo in order. Name -> the function of the findings that makes it, or None where a study has nothing for it.
SECTIONS: dict[str, str] = {
    "answer": "engine.report.sections:answer_section",
    "verdict": "engine.report.sections:verdict_section",
    "claims": "engine.report.claims:claims_section",
    "main_chart": "engine.report.sections:main_chart_section",
    "results": "engine.report.sections:results_section",
    "tests": "engine.report.sections:tests_section",
    "regression": "engine.report.drivers:regression_section",
    "groups": "engine.report.drivers:groups_section",
    "events": "engine.report.sections:events_section",
    "long_windows": "engine.report.long_horizon:long_windows_section",
    "calendar_time": "engine.report.long_horizon:calendar_time_section",
    "deals": "engine.report.deals:deals_section",
    "certificate": "engine.report.certificate:certificate_section",
    "backtest": "engine.report.backtest:backtest_section",
    "advice": "engine.report.sections:advice_section",
    "surroundings": "engine.report.surroundings:surroundings_section",
    "exclusions": "engine.report.sections:exclusions_section",
    "methods": "engine.report.sections:methods_section",
    "limits": "engine.report.sections:limits_section",
    "provenance": "engine.report.sections:provenance_section",
    "influence": "engine.report.influence:influence_section",
    "specifications": "engine.report.specifications:specifications_section",
}
# Charts that stand in a section of their own subject; the first of a study is the main one, the others follow the events.
HOMES = {
    "calendar_time": "calendar_time", "crosssection_partial": "regression", "specification_curve": "specifications",
    "equity_curve": "backtest", "size_plot": "certificate", "power_curve": "certificate", "placebo_caar": "certificate",
}  # fmt: skip

__all__ = [
    "CHARTS", "FORMATS", "HOMES", "MEMO_FORMATS", "SECTIONS", "about_event", "answer", "certificate_rows",
    "draw_chart", "headline_rows", "memo_files", "memo_html", "memo_markdown", "read_theme",
    "render_chart", "which_tests", "write_report",
]  # fmt: skip


def answer(result: StudyResult) -> str:
    """The answer of the study with its uncertainty: a sentence; with claims theirs, and below it what the whole sample did."""
    if result.streamed:
        from engine.report.summary import summary_answer

        return summary_answer(result)
    from engine.report.answers import answer, measured_note
    from engine.report.claims import claims_answer
    from engine.report.findings import read_findings

    found = read_findings(result)
    claims, note = claims_answer(found), measured_note(found)
    first = " ".join(text for text in (claims or answer(found), note) if text)
    return f"{first}\nThe whole sample: {answer(found)}" if claims else first


def which_tests(result: StudyResult) -> str:
    """What the study is, and which tests fit it, in one line; "" where nothing was measured."""
    from engine.report.findings import read_findings
    from engine.report.sections import which_tests

    return which_tests(read_findings(result))


def headline_rows(result: StudyResult) -> list[dict[str, str]]:
    """One row a group at the primary window, column title -> text ready to print; the first row is group ``all``."""
    if result.streamed:
        from engine.report.summary import summary_rows

        return summary_rows(result)
    from engine.report.findings import read_findings
    from engine.report.tables import headline_rows

    return headline_rows(read_findings(result))


def certificate_rows(result: StudyResult) -> list[tuple[str, list[dict[str, str]]]]:
    """Verdicts and certificate as titled rows, column title -> text ready to print; only those that the result has."""
    from engine.report.certificate import certificate_table, detectable_table
    from engine.report.claims import claims_table
    from engine.report.findings import read_findings

    found = read_findings(result)
    titled = (
        ("Verdicts", claims_table(found)),
        (f"Certificate, window {found.window}", certificate_table(found)),
        ("Smallest effect found in 80 % of the draws, % (size %, with the extra spread)", detectable_table(found)),
    )
    return [
        (title, [dict(zip(table.columns, row, strict=True)) for row in table.rows]) for title, table in titled if table
    ]


def draw_chart(result: StudyResult, name: str, theme: Theme | None = None) -> Figure:
    """Chart ``name`` of `CHARTS` as a matplotlib Figure, for a notebook. Raises SpecError for one that does not exist."""
    from engine.report.memo import draw_chart
    from engine.report.theme import HOUSE

    return draw_chart(result, name, theme or HOUSE)


def render_chart(result: StudyResult, name: str, fmt: str, theme: Theme | None = None) -> bytes:
    """Chart ``name`` of `CHARTS` as bytes of ``fmt`` (png at 200 dpi, svg, pdf); the same result gives the same bytes.

    Raises SpecError for a chart or format that does not exist.
    """
    from engine.report.memo import draw_chart, save_chart
    from engine.report.theme import HOUSE

    return save_chart(draw_chart(result, name, theme or HOUSE), fmt, theme or HOUSE)


def memo_files(
    result: StudyResult,
    formats: Collection[str] = MEMO_FORMATS,
    theme: Theme | None = None,
    charts: Collection[str] = (),
    beside: Beside | None = None,
) -> dict[str, bytes]:
    """Path -> bytes of the memo in ``formats`` of `MEMO_FORMATS`, and of its charts in the formats ``charts`` of `FORMATS`.

    beside: who draws a part of the charts, None for this process alone. The same result, theme and fonts give the same bytes.
    Raises SpecError for a format that does not exist.
    """
    from engine.beside import here
    from engine.report.memo import memo_files
    from engine.report.theme import HOUSE

    return memo_files(result, formats, theme or HOUSE, charts, beside or here)


def memo_markdown(result: StudyResult) -> str:
    """The memo as Markdown; its pictures are ``charts/<name>.png`` beside it."""
    return memo_files(result, ["md"])["memo.md"].decode()


def memo_html(result: StudyResult) -> str:
    """The memo as one self-contained HTML page: charts as inline SVG, inline style and script, nothing fetched."""
    return memo_files(result, ["html"])["memo.html"].decode()


def write_report(result: StudyResult, folder: Path, theme: Theme | None = None, beside: Beside | None = None) -> None:
    """Write ``memo.md``, ``memo.html`` and ``charts/<name>.png`` and ``.svg`` of the study's charts into ``folder``.

    beside: of `memo_files`. A run in parts has ``memo.md`` alone: its events are not in memory.
    """
    if result.streamed:
        from engine.report.summary import summary_markdown

        (folder / "memo.md").write_text(summary_markdown(result), encoding="utf-8", newline="\n")
        return
    for path, data in memo_files(result, ["md", "html"], theme, ["svg", "png"], beside).items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)


def about_event(result: StudyResult, event_id: str) -> StudyResult:
    """The result with ``event_id`` as the event that the chart ``event_panel`` shows. Raises SpecError for one it has not."""
    from dataclasses import replace

    from engine.errors import SpecError, hint

    known = result.tables["events"]["event_id"].to_list()
    if event_id not in known:
        raise SpecError(f'"{event_id}" is no event of the study. {hint(event_id, known)}')
    settings = result.manifest["settings"]
    changed = settings | {"report": settings["report"] | {"event": event_id}}
    return replace(result, manifest=result.manifest | {"settings": changed})


def read_theme(path: Path) -> Theme:
    """A theme from a TOML file. Raises SpecError that names the file, the key and what is allowed."""
    from engine.report.theme import read_theme

    return read_theme(path)
