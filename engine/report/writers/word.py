"""The memo in Word: real headings, tables with captions that Word numbers, formulas that Word can edit, charts as pictures."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Mapping
from datetime import datetime
from typing import Any
from xml.sax.saxutils import escape

from engine.report.document import Block, Chart, Document, Heading, Points, Table, Terms, Text
from engine.report.formats import typeset
from engine.report.mathematics import omml
from engine.report.theme import Theme

FIRST_DAY = datetime(2000, 1, 1)
ZIP_DAY = (1980, 1, 1, 0, 0, 0)
SPACES = (
    'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main" '
    'xmlns:m="http://schemas.openxmlformats.org/officeDocument/2006/math"'
)
CJK = "Noto Sans CJK SC"
PAGES = {"a4": (210.0, 297.0), "us-letter": (215.9, 279.4)}
MARGIN = 20.0
TABLE = 9638  # twentieths of a point: 170 mm
WIDEST, NARROW = (
    28,
    18,
)  # characters of a cell beyond which a column of text asks for no more room, and one of many columns
MANY = 9  # columns; more are many, and numbers must stay whole
WIDE = 8  # columns from which a table is set in small type
NOT_XML = re.compile(r"[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def word_of(document: Document, pngs: Mapping[str, bytes], theme: Theme) -> bytes:
    """The document as .docx, the same bytes for the same document, charts and theme."""
    import docx

    file: Any = docx.Document()
    _styles(file, theme)
    file.add_heading(_clean(document.title), 0)
    for section in document.sections:
        if section.title:
            file.add_heading(_said(section.title), 1)
        for block in section.blocks:
            _block(file, document, block, pngs, theme)
    core = file.core_properties
    core.title, core.author, core.comments, core.last_modified_by = _clean(document.title)[:255], "", "", ""
    core.created = core.modified = core.last_printed = FIRST_DAY
    core.revision = 1
    out = io.BytesIO()
    file.save(out)
    return _same_zip(out.getvalue())


def _same_zip(data: bytes) -> bytes:
    """The archive with one date on every file."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as new:
        for item in old.infolist():
            fixed = zipfile.ZipInfo(item.filename, ZIP_DAY)
            fixed.compress_type, fixed.create_system, fixed.external_attr = zipfile.ZIP_DEFLATED, 0, 0
            new.writestr(fixed, old.read(item.filename))
    return out.getvalue()


def _clean(text: str) -> str:
    return NOT_XML.sub("", text)


def _said(text: str) -> str:
    return _clean(typeset(text))


def _styles(file: Any, theme: Theme) -> None:
    from docx.oxml.ns import qn
    from docx.shared import Mm, Pt, RGBColor

    page = file.sections[0]
    page.page_width, page.page_height = (Mm(v) for v in PAGES[theme.sizes.page])
    page.left_margin = page.right_margin = page.top_margin = page.bottom_margin = Mm(MARGIN)
    for name in ("Normal", "Heading 1", "Heading 2", "Title", "Caption", "List Bullet"):
        style = file.styles[name]
        style.font.name = theme.fonts.office
        fonts = style.element.get_or_add_rPr().get_or_add_rFonts()
        fonts.set(qn("w:eastAsia"), CJK)
        for key in ("asciiTheme", "hAnsiTheme", "eastAsiaTheme", "cstheme"):
            fonts.attrib.pop(qn(f"w:{key}"), None)
        for key in ("w:ascii", "w:hAnsi"):
            fonts.set(qn(key), style.font.name)
        style.font.color.rgb = RGBColor(0x1B, 0x1B, 0x1B)
    sizes = {"Normal": theme.sizes.text, "Heading 1": 13, "Heading 2": 11, "Title": 20, "Caption": 8.5}
    for name, size in sizes.items():
        file.styles[name].font.size = Pt(size)
    file.styles["Caption"].font.bold = False
    file.styles["Caption"].paragraph_format.keep_with_next = True
    file.styles["Normal"].paragraph_format.space_after = Pt(6)


def _block(file: Any, document: Document, block: Block, pngs: Mapping[str, bytes], theme: Theme) -> None:
    from docx.shared import Mm

    if isinstance(block, Text):
        _text(file, block, theme)
    elif isinstance(block, Heading):
        file.add_heading(_said(block.text), 2)
    elif isinstance(block, Points):
        for item in block.items:
            file.add_paragraph(_said(item), style="List Bullet")
    elif isinstance(block, Terms):
        for term in block.entries:
            file.add_paragraph().add_run(_clean(term.name)).bold = True
            for line in omml(term.formula) if term.formula else ():
                _formula(file, line)
            file.add_paragraph(_clean(term.text))
    elif isinstance(block, Chart):
        file.add_picture(io.BytesIO(pngs[block.name]), width=Mm(PAGES[theme.sizes.page][0] - 2 * MARGIN))
        file.paragraphs[-1].paragraph_format.keep_with_next = True
        _describe(file, block.caption)
        _caption(file, "Figure", document.number(block), block.caption)
    elif isinstance(block, Table):
        if block.caption:
            _caption(file, "Table", document.number(block), block.caption)
        _table(file, block)


def _describe(file: Any, caption: str) -> None:
    """What the last picture shows, for readers who cannot see it."""
    properties = file.inline_shapes[len(file.inline_shapes) - 1]._inline.docPr
    properties.set("descr", _said(caption))


def _text(file: Any, block: Text, theme: Theme) -> None:
    from docx.shared import Pt, RGBColor

    paragraph = file.add_paragraph()
    run = paragraph.add_run(_said(block.text))
    run.italic = block.look == "question" or None
    run.bold = block.look == "answer" or None
    if block.look in ("label", "note"):
        run.font.size = Pt(8.5)
        run.font.color.rgb = RGBColor(0x5C, 0x5C, 0x5C)
    if block.look == "label":
        run.font.small_caps = True
        paragraph.paragraph_format.keep_with_next = True


def _formula(file: Any, line: str) -> None:
    from docx.oxml import parse_xml

    file.add_paragraph()._p.append(parse_xml(line.replace("<m:oMath>", f"<m:oMath {SPACES}>", 1)))


def _caption(file: Any, kind: str, number: int, text: str) -> None:
    """``Table 3. ...`` with a field that Word counts on."""
    from docx.oxml import parse_xml

    paragraph = file.add_paragraph(f"{kind} ", style="Caption")
    paragraph._p.append(
        parse_xml(
            f'<w:fldSimple {SPACES} w:instr=" SEQ {kind} \\* ARABIC "><w:r><w:t>{number}</w:t></w:r></w:fldSimple>'
        )
    )
    said = escape(f". {_said(text)}")
    paragraph._p.append(parse_xml(f'<w:r {SPACES}><w:t xml:space="preserve">{said}</w:t></w:r>'))
    paragraph.paragraph_format.keep_with_next = kind == "Table"


def _table(file: Any, table: Table) -> None:
    small = "dense" in table.look or len(table.columns) >= WIDE
    made = file.add_table(rows=0, cols=len(table.columns))
    made.autofit = True
    size = 6.5 if small else 8.0
    _row(made, [_said(c) for c in table.columns], table, size, bold=True)
    for i, row in enumerate(table.rows):
        kind = table.kind(i)
        if kind == "head":
            _row(made, [f"by {row[0]}" if row[0] else ""], table, size, italic=True)
        else:
            said = [_said(c) if n else _clean(c) for c, n in zip(row, table.numeric, strict=True)]
            _row(made, said, table, size, grey=kind == "sub")
    _widths(made, table)
    _rules(made)
    if table.notes:
        _text(file, Text(" ".join(table.notes), "note"), Theme())


def _row(made: Any, cells: list[str], table: Table, size: float, **looks: bool) -> None:
    """A row of text, one cell over all columns where there is but one.

    Written as XML at once: made cell by cell, a table of hundreds of rows would take many seconds.
    """
    from docx.oxml import parse_xml

    properties = f'<w:sz w:val="{round(2 * size)}"/>'
    properties = ("<w:b/>" if looks.get("bold") else "") + ("<w:i/>" if looks.get("italic") else "") + properties
    properties = ('<w:color w:val="5C5C5C"/>' if looks.get("grey") else "") + properties
    parts = []
    span = f'<w:gridSpan w:val="{len(table.columns)}"/>' if len(cells) < len(table.columns) else ""
    for text, numeric in zip(cells, table.numeric, strict=False):
        side = "right" if numeric else "left"
        parts.append(
            f'<w:tc><w:tcPr><w:tcW w:w="0" w:type="auto"/>{span}</w:tcPr><w:p><w:pPr><w:spacing w:before="10" w:after="10"/>'
            f'<w:jc w:val="{side}"/></w:pPr><w:r><w:rPr>{properties}</w:rPr>'
            f'<w:t xml:space="preserve">{escape(text)}</w:t></w:r></w:p></w:tc>'
        )
    head = "<w:tblHeader/>" if looks.get("bold") else ""
    row = parse_xml(f"<w:tr {SPACES}><w:trPr><w:cantSplit/>{head}</w:trPr>{''.join(parts)}</w:tr>")
    made._tbl.append(row)


def _widths(made: Any, table: Table) -> None:
    """Columns as wide as their longest cell asks for, within limits; Word moves them as it likes, others keep them."""
    from docx.oxml.ns import qn

    heads = [max(map(len, c.split() or [""])) for c in table.columns]
    longest = [max([heads[i], *(len(row[i]) for row in table.rows)]) for i in range(len(table.columns))]
    widest = WIDEST if len(table.columns) <= MANY else NARROW
    asked = [n + 3.5 if numeric else min(n, widest) + 3 for n, numeric in zip(longest, table.numeric, strict=True)]
    for column, wish in zip(made._tbl.tblGrid.findall(qn("w:gridCol")), asked, strict=True):
        column.set(qn("w:w"), str(round(TABLE * wish / sum(asked))))


def _rules(made: Any) -> None:
    """Lines above, below and under the header, none between."""
    from docx.oxml import parse_xml

    line = '<w:{} w:val="single" w:sz="{}" w:color="1B1B1B"/>'
    borders = f"<w:tblBorders {SPACES}>{line.format('top', 12)}{line.format('bottom', 12)}</w:tblBorders>"
    made._tbl.tblPr.append(parse_xml(borders))
    sides = "".join(f'<w:{side} w:w="40" w:type="dxa"/>' for side in ("left", "right"))
    made._tbl.tblPr.append(parse_xml(f"<w:tblCellMar {SPACES}>{sides}</w:tblCellMar>"))
    for cell in made.rows[0].cells:
        cell._tc.get_or_add_tcPr().append(parse_xml(f"<w:tcBorders {SPACES}>{line.format('bottom', 6)}</w:tcBorders>"))
