"""The memo as PDF, set by typst: the template reads the document as JSON, so that no string of it is markup."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from engine.report.document import Block, Chart, Document, Heading, Points, Table, Term, Terms, Text
from engine.report.formats import typeset
from engine.report.mathematics import typst_math
from engine.report.style import cjk_font, font_files, shown_names
from engine.report.theme import Fonts, Theme

WIDE, WIDEST = 18, 70  # characters beyond which a column of text may wrap, and beyond which it asks for no more room


def pdf_of(document: Document, svgs: Mapping[str, bytes], study: str, theme: Theme) -> bytes:
    """The document as PDF, the same bytes for the same document, charts and fonts."""
    import typst

    template = files("engine.report").joinpath("templates/memo.typ").read_bytes()
    known = font_files()
    families = [f for f in ("DejaVu Sans", cjk_font(), theme.fonts.headings, theme.fonts.text) if f in known]
    folders = list(dict.fromkeys(str(Path(known[f][0]).parent) for f in families if f))
    said = json.dumps(_memo(document, svgs, study, theme), ensure_ascii=False)
    to_pdf: Any = typst.compile  # its types ask for folders of the type of the source
    pdf: bytes = to_pdf(
        template, format="pdf", font_paths=folders, ignore_system_fonts=True, timestamp=0, sys_inputs={"memo": said}
    )
    return pdf


def _memo(document: Document, svgs: Mapping[str, bytes], study: str, theme: Theme) -> dict[str, Any]:
    known = [theme.fonts.text, Fonts().text], [theme.fonts.headings, Fonts().headings]
    further = [f for f in (cjk_font(), "DejaVu Sans") if f]
    look = {
        "text": list(dict.fromkeys([*known[0], *further])), "headings": list(dict.fromkeys([*known[1], *further])),
        "size": theme.sizes.text, "page": theme.sizes.page, "main": theme.colours.main,
    }  # fmt: skip
    sections = [
        {"title": _said(s.title), "blocks": [b for one in s.blocks if (b := _block(document, one, svgs))]}
        for s in document.sections
    ]
    return {"title": _said(document.title), "study": _said(study), "look": look, "sections": sections}


def _block(document: Document, block: Block, svgs: Mapping[str, bytes]) -> dict[str, Any] | None:
    if isinstance(block, Text):
        return {"kind": "text", "look": block.look, "text": _said(block.text)}
    if isinstance(block, Heading):
        return {"kind": "heading", "text": _said(block.text)}
    if isinstance(block, Points):
        return {"kind": "points", "items": [_said(i) for i in block.items]}
    if isinstance(block, Terms):
        return {"kind": "terms", "entries": [_term(t) for t in block.entries]}
    if isinstance(block, Chart):
        svg = svgs[block.name].decode("utf-8")
        return {"kind": "chart", "number": document.number(block), "caption": _said(block.caption), "svg": svg}
    if isinstance(block, Table):
        return _table(document, block)
    return None


def _term(term: Term) -> dict[str, Any]:
    return {
        "name": shown_names(term.name), "text": shown_names(term.text),
        "formula": typst_math(term.formula) if term.formula else [],
    }  # fmt: skip


def _table(document: Document, table: Table) -> dict[str, Any]:
    longest = [max((len(row[i]) for row in table.rows), default=0) for i in range(len(table.columns))]
    wide = [
        min(length, WIDEST) if not n and length > WIDE else 0 for n, length in zip(table.numeric, longest, strict=True)
    ]
    return {
        "kind": "table", "number": document.number(table), "caption": _said(table.caption),
        "columns": [_said(c) for c in table.columns], "numeric": list(table.numeric), "wide": wide,
        "rows": [_row(row, table.numeric) for row in table.rows],
        "kinds": [table.kind(i) for i in range(len(table.rows))], "notes": " ".join(_said(n) for n in table.notes),
        "dense": "dense" in table.look or len(table.columns) > 8,
    }  # fmt: skip


def _row(row: Sequence[str], numeric: Sequence[bool]) -> list[str]:
    return [_said(c) if n else _breakable(shown_names(c)) for c, n in zip(row, numeric, strict=True)]


def _breakable(text: str) -> str:
    """``text`` whose longest words may break behind an underscore, a stroke or a hyphen."""
    return re.sub(rf"\S{{{WIDE},}}", lambda word: re.sub(r"(?<=[_/.-])(?=\w)", "\u200b", word[0]), text)


def _said(text: str) -> str:
    return shown_names(typeset(text))
