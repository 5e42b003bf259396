"""The memo of a result: its sections put together once, its charts drawn once, every format written from that."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.errors import SpecError, hint
from engine.report import CHARTS, FORMATS, HOMES, SECTIONS
from engine.report.document import Document, Section
from engine.report.findings import Findings, read_findings
from engine.report.formats import one_line
from engine.report.sections import chart, charts_of
from engine.report.writers.markdown import markdown_of
from engine.report.writers.page import page_of
from engine.results import StudyResult

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def build(found: Findings) -> Document:
    """The memo of a result in the order of `SECTIONS`, every chart after the main one in its home of `HOMES`."""
    made = {name: section for name, path in SECTIONS.items() if (section := _load(path)(found)) is not None}
    for name in charts_of(found)[1:]:
        home = HOMES.get(name, "events")
        into = made[home if home in made else "events"]
        made[home if home in made else "events"] = Section(into.title, (*into.blocks, chart(found, name)))
    return Document(one_line(found.settings["title"]), tuple(made.values()))


def _load(path: str) -> Any:
    """The function that ``module:name`` stands for."""
    module, name = path.split(":")
    return getattr(import_module(module), name)


def draw_chart(result: StudyResult, name: str) -> Figure:
    """Chart ``name`` of `CHARTS` as a figure. Raises SpecError for one that does not exist."""
    if name not in CHARTS:
        raise SpecError(f'"{name}" is not a chart. {hint(name, CHARTS)}')
    from engine.report.style import style

    with style():
        figure: Figure = _load(CHARTS[name])(read_findings(result))
    return figure


def save_chart(figure: Figure, fmt: str) -> bytes:
    """A figure as bytes of ``fmt``. Raises SpecError for a format that does not exist."""
    if fmt not in FORMATS:
        raise SpecError(f'"{fmt}" is not a chart format. {hint(fmt, FORMATS)}')
    from engine.report.style import save

    return save(figure, fmt)


def chart_svgs(result: StudyResult) -> dict[str, bytes]:
    """The study's charts as SVG."""
    return {name: save_chart(draw_chart(result, name), "svg") for name in charts_of(read_findings(result))}


def markdown(result: StudyResult) -> str:
    """The memo as Markdown."""
    return markdown_of(build(read_findings(result)))


def html(result: StudyResult) -> str:
    """The memo as one HTML page."""
    return page_of(build(read_findings(result)), chart_svgs(result))


def write(result: StudyResult, folder: Path) -> None:
    """Write memo and charts; each chart is drawn once."""
    charts = folder / "charts"
    charts.mkdir(parents=True, exist_ok=True)
    document, svgs = build(read_findings(result)), {}
    for name in (c.name for c in document.charts):
        figure = draw_chart(result, name)
        svgs[name] = save_chart(figure, "svg")
        (charts / f"{name}.svg").write_bytes(svgs[name])
        (charts / f"{name}.png").write_bytes(save_chart(figure, "png"))
    (folder / "memo.md").write_text(markdown_of(document), encoding="utf-8", newline="\n")
    (folder / "memo.html").write_text(page_of(document, svgs), encoding="utf-8", newline="\n")
