"""Charts and memo of a `StudyResult`; nothing else is read, and nothing below knows this package.

>>> from engine.report import answer, write_report     # doctest: +SKIP
>>> print(answer(result))                              # doctest: +SKIP

To add a chart: a module with ``draw(findings) -> Figure`` and one line in `CHARTS`. matplotlib and jinja2 are imported when
a chart or a memo is asked for, so that the names here cost nothing.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from engine.results import StudyResult

# Name of a chart -> the function that draws it, imported when it is drawn.
CHARTS: dict[str, str] = {
    "caar_path": "engine.report.caar_path:draw",
    "car_forest": "engine.report.car_forest:draw",
    "crosssection_partial": "engine.report.crosssection_partial:draw",
    "event_timeline": "engine.report.event_timeline:draw",
    "venue_days": "engine.report.venue_days:draw",
    "calendar_time": "engine.report.calendar_time:draw",
}
FORMATS = ("png", "svg", "pdf")

__all__ = [
    "CHARTS", "FORMATS", "answer", "headline_rows", "memo_html", "memo_markdown", "render_chart", "which_tests", "write_report",
]  # fmt: skip


def answer(result: StudyResult) -> str:
    """The answer of the study in one sentence with its uncertainty."""
    if result.streamed:
        from engine.report.summary import summary_answer

        return summary_answer(result)
    from engine.report.answers import answer
    from engine.report.findings import read_findings

    return answer(read_findings(result))


def which_tests(result: StudyResult) -> str:
    """What the study is, and which tests fit it, in one line; "" where nothing was measured."""
    from engine.report.findings import read_findings
    from engine.report.memo import which_tests

    return which_tests(read_findings(result))


def headline_rows(result: StudyResult) -> list[dict[str, str]]:
    """One row a group at the primary window, column title -> text ready to print; the first row is group ``all``."""
    if result.streamed:
        from engine.report.summary import summary_rows

        return summary_rows(result)
    from engine.report.findings import read_findings
    from engine.report.tables import headline_rows

    return headline_rows(read_findings(result))


def render_chart(result: StudyResult, name: str, fmt: str) -> bytes:
    """Chart ``name`` of `CHARTS` as bytes of ``fmt`` (png at 200 dpi, svg, pdf); the same result gives the same bytes.

    Raises SpecError for a chart or format that does not exist.
    """
    from engine.report.memo import draw_chart, save_chart

    return save_chart(draw_chart(result, name), fmt)


def memo_markdown(result: StudyResult) -> str:
    """The memo as Markdown; its pictures are ``charts/<name>.png`` beside it."""
    from engine.report.memo import markdown

    return markdown(result)


def memo_html(result: StudyResult) -> str:
    """The memo as one self-contained HTML page: charts as inline SVG, inline style, nothing fetched."""
    from engine.report.memo import chart_svgs, html

    return html(result, chart_svgs(result))


def write_report(result: StudyResult, folder: Path) -> None:
    """Write ``memo.md``, ``memo.html`` and ``charts/<name>.png`` and ``.svg`` of the study's charts into ``folder``.

    A run in parts has ``memo.md`` alone: its events are not in memory.
    """
    if result.streamed:
        from engine.report.summary import summary_markdown

        (folder / "memo.md").write_text(summary_markdown(result), encoding="utf-8", newline="\n")
        return
    from engine.report.memo import write

    write(result, folder)
