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

WIDE, WIDEST = 12, 70  # characters beyond which a column of text may wrap, and beyond which it asks for no more room
LONG = 18  # characters of a word that may break at any sign, of half as many behind an underscore
LEAST = 0.8  # of the letters of a table that is still too wide
ROOM, DENSE_ROOM = 100, 128  # characters that a line of a table has, and of one in small type


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
    dense = "dense" in table.look or len(table.columns) > 8
    wide, scale = _layout(table, DENSE_ROOM if dense else ROOM)
    return {
        "kind": "table", "number": document.number(table), "caption": _said(table.caption),
        "columns": [_said(c) for c in table.columns], "numeric": list(table.numeric), "wide": wide, "scale": scale,
        "rows": [_row(row, table.numeric) for row in table.rows],
        "kinds": [table.kind(i) for i in range(len(table.rows))], "notes": " ".join(_said(n) for n in table.notes),
        "dense": dense,
    }  # fmt: skip


def _layout(table: Table, room: int) -> tuple[list[int], float]:
    """The share of each column in what the others leave, 0 for one as wide as its cells; and the scale of the letters.

    The longest columns of text wrap, as many as must for the others to stay whole; letters get smaller where that is not enough.
    """
    cells = [[*(row[i] for row in table.rows), column] for i, column in enumerate(table.columns)]
    longest = [max(map(len, column)) for column in cells]
    asked = [n + 1 for n in longest]
    wide = [0] * len(longest)
    for i in sorted(range(len(longest)), key=lambda i: -longest[i]):
        if sum(asked) > room and longest[i] > WIDE and not table.numeric[i]:
            words = [word for cell in cells[i] for word in re.split(r"[\s\u200b]", _breakable(cell))]
            asked[i], wide[i] = 1 + max(map(len, words)), min(longest[i], WIDEST)
    return wide, min(max(room / sum(asked), LEAST), 1.0)


def _row(row: Sequence[str], numeric: Sequence[bool]) -> list[str]:
    return [_said(c) if n else _breakable(shown_names(c)) for c, n in zip(row, numeric, strict=True)]


def _breakable(text: str) -> str:
    """``text`` whose longest words may break behind an underscore, a stroke or a hyphen, shorter ones behind an underscore."""
    text = re.sub(rf"\S{{{LONG},}}", lambda word: re.sub(r"(?<=[/.-])(?=\w)", "\u200b", word[0]), text)
    return re.sub(rf"\S{{{LONG // 2},}}", lambda word: re.sub(r"(?<=_)(?=\w)", "\u200b", word[0]), text)


def _said(text: str) -> str:
    return shown_names(typeset(text))
