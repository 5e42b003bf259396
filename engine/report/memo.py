"""The memo of a result: its sections put together once, its charts drawn once, every format written from that."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any

from engine.beside import Beside, gathered, here
from engine.errors import SpecError, hint, visible
from engine.report import CHARTS, FORMATS, HOMES, MEMO_FORMATS, SECTIONS
from engine.report.document import Document, Section, Table, as_shown
from engine.report.findings import Findings, read_findings
from engine.report.formats import one_line
from engine.report.sections import chart, charts_of
from engine.report.theme import HOUSE, Theme
from engine.report.wide import wide_table
from engine.results import StudyResult

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NARROW = 3.9  # inches of a chart that is read on a phone


def build(found: Findings) -> Document:
    """The memo of a result in the order of `SECTIONS`, every chart after the main one in its home of `HOMES`."""
    made = {name: section for name, path in SECTIONS.items() if (section := _load(path)(found)) is not None}
    for name in charts_of(found)[1:]:
        home = HOMES.get(name, "events")
        into = made[home if home in made else "events"]
        made[home if home in made else "events"] = Section(into.title, (*into.blocks, chart(found, name)))
    return as_shown(Document(one_line(found.settings["title"]), tuple(made.values())))


def _load(path: str) -> Any:
    """The function that ``module:name`` stands for."""
    module, name = path.split(":")
    return getattr(import_module(module), name)


def draw_chart(result: StudyResult, name: str, theme: Theme = HOUSE) -> Figure:
    """Chart ``name`` of `CHARTS` as a figure. Raises SpecError for one that does not exist."""
    return _draw(read_findings(result), name, theme)


def _draw(found: Findings, name: str, theme: Theme) -> Figure:
    if name not in CHARTS:
        raise SpecError(f'"{name}" is not a chart. {hint(name, CHARTS)}')
    from matplotlib.text import Text

    from engine.report.recolour import recolour
    from engine.report.style import style

    with style(theme):
        figure: Figure = _load(CHARTS[name])(found)
    recolour(figure, theme.recoloured)
    for text in figure.findobj(Text):  # also those that no chart writes itself, as the ticks of an axis of names
        if isinstance(text, Text) and (said := visible(text.get_text(), keep="\n")) != text.get_text():
            text.set_text(said)
    return figure


def save_chart(figure: Figure, fmt: str, theme: Theme = HOUSE) -> bytes:
    """A figure as bytes of ``fmt``. Raises SpecError for a format that does not exist."""
    if fmt not in FORMATS:
        raise SpecError(f'"{fmt}" is not a chart format. {hint(fmt, FORMATS)}')
    from engine.report.style import save, style

    with style(theme):
        return save(figure, fmt)


# The pictures that a format of the memo holds.
PICTURES = {"html": ("svg",), "pdf": ("svg",), "docx": ("png",), "tex": ("pdf",)}


@dataclass(frozen=True)
class _Plate:
    """A chart as it is printed. pictures: by format; told: what it says at which points."""

    pictures: Mapping[str, bytes]
    told: tuple[tuple[float, float, str], ...]


def _plate(found: Findings, theme: Theme, formats: Sequence[str], chart: tuple[str, bool]) -> _Plate:
    """Draw and save one chart. chart: its name, and whether narrow: then as svg alone."""
    from engine.report.style import told

    name, narrow = chart
    look = replace(theme, sizes=replace(theme.sizes, width=NARROW)) if narrow else theme
    figure = _draw(found, name, look)
    pictures = {fmt: save_chart(figure, fmt, look) for fmt in (("svg",) if narrow else formats)}
    return _Plate(pictures, tuple((x, y, visible(text, keep="\n")) for x, y, text in told(figure)))


@dataclass(frozen=True)
class _Press:
    """What the formats of one memo have in common: the document, and its charts by name and whether narrow."""

    found: Findings
    document: Document
    theme: Theme
    plates: Mapping[tuple[str, bool], _Plate]

    def pictures(self, fmt: str) -> dict[str, bytes]:
        """The charts of the memo as bytes of ``fmt``."""
        return {c.name: self.plates[c.name, False].pictures[fmt] for c in self.document.charts}

    def exported(self) -> list[Table]:
        """The tables of the memo, and the wide form of the first."""
        return [as_shown(wide_table(self.found)), *self.document.tables]


def _press(
    result: StudyResult, formats: Collection[str], theme: Theme, charts: Collection[str], beside: Beside
) -> _Press:
    """The document and all of its charts that the formats need; who is beside begins with the first chart."""
    found = read_findings(result)
    needed = tuple(dict.fromkeys([*charts, *(picture for fmt in formats for picture in PICTURES.get(fmt, ()))]))
    widths = (False, True) if "html" in formats else (False,)
    asked = [(name, narrow) for name in charts_of(found) for narrow in widths] if needed else []
    waiting = beside(partial(_plate, found, theme, needed), asked)
    return _Press(found, build(found), theme, dict(zip(asked, gathered(waiting), strict=True)))


def memo_files(
    result: StudyResult, formats: Collection[str], theme: Theme, charts: Collection[str], beside: Beside = here
) -> dict[str, bytes]:
    """Path -> bytes of the memo in ``formats`` of `MEMO_FORMATS`, and of its charts in the formats ``charts``.

    beside: who draws a part of them. Raises SpecError for a format that does not exist.
    """
    for fmt in formats:
        if fmt not in MEMO_FORMATS:
            raise SpecError(f'"{fmt}" is not a format of the memo. {hint(fmt, MEMO_FORMATS)}')
    press = _press(result, formats, theme, charts, beside)
    pictures = {f"charts/{n}.{f}": data for f in charts for n, data in press.pictures(f).items()}
    return pictures | {path: data for fmt in formats for path, data in WRITERS[fmt](press)}


def _html(press: _Press) -> Iterator[tuple[str, bytes]]:
    from engine.report.writers.page import Drawn, page_of

    drawn = {}
    for name in (c.name for c in press.document.charts):
        wide, narrow = press.plates[name, False], press.plates[name, True]
        drawn[name] = Drawn(wide.pictures["svg"], wide.told, narrow.pictures["svg"], narrow.told)
    yield "memo.html", page_of(press.document, drawn, press.theme).encode()


def _md(press: _Press) -> Iterator[tuple[str, bytes]]:
    from engine.report.writers.markdown import markdown_of

    yield "memo.md", markdown_of(press.document).encode()


def _pdf(press: _Press) -> Iterator[tuple[str, bytes]]:
    from engine.report.writers.pdf import pdf_of

    study = visible(str(press.found.result.manifest["study"]))
    yield "memo.pdf", pdf_of(press.document, press.pictures("svg"), study, press.theme)


def _docx(press: _Press) -> Iterator[tuple[str, bytes]]:
    from engine.report.writers.word import word_of

    yield "memo.docx", word_of(press.document, press.pictures("png"), press.theme)


def _tex(press: _Press) -> Iterator[tuple[str, bytes]]:
    from engine.report.writers.latex import latex_of, latex_table

    yield "memo.tex", latex_of(press.document, press.theme).encode()
    for name, data in press.pictures("pdf").items():
        yield f"charts/{name}.pdf", data
    for table in press.exported():
        yield f"tables/{table.name}.tex", f"{latex_table(table)}\n".encode()


def _xlsx(press: _Press) -> Iterator[tuple[str, bytes]]:
    from engine.report.writers.sheets import workbook_of

    yield "memo.xlsx", workbook_of(press.document, press.exported(), press.found.result)


def _csv(press: _Press) -> Iterator[tuple[str, bytes]]:
    from engine.report.writers.sheets import FULL, csv_of, full_csv_of

    for table in press.exported():
        yield f"tables/{table.name}.csv", csv_of(table).encode()
    for name in FULL:
        if name in press.found.result.tables:
            yield f"tables/{name}-full.csv", full_csv_of(press.found.result.tables[name]).encode()


WRITERS: dict[str, Callable[[_Press], Iterator[tuple[str, bytes]]]] = {
    "html": _html, "md": _md, "pdf": _pdf, "docx": _docx, "tex": _tex, "xlsx": _xlsx, "csv": _csv,
}  # fmt: skip
