"""The memo as one self-contained HTML page: charts as inline SVG, inline style and script, nothing fetched."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

from engine.report.document import Document
from engine.report.formats import typeset

if TYPE_CHECKING:
    from jinja2 import Environment
    from markupsafe import Markup


def page_of(document: Document, svgs: Mapping[str, bytes]) -> str:
    """The document as a page with ``svgs`` inside it, every string in it as literal text."""
    from markupsafe import Markup

    inline = {name: Markup(inline_svg(name, svg)) for name, svg in svgs.items()}
    template = _environment().get_template("memo.html.j2")
    return template.render(document=document, svgs=inline) + "\n"


def inline_svg(name: str, svg: bytes) -> str:
    """An SVG for use inside HTML: no prolog, no comments, ids that are unique on the page, size left to the page."""
    text = svg.decode("utf-8")
    text = re.sub(r"<!--.*?-->", "", text[text.index("<svg") :], flags=re.DOTALL)
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r'<style type="text/css">.*?</style>', "", text, flags=re.DOTALL)
    text = re.sub(r'\bid="', f'id="{name}-', text)
    text = re.sub(r'href="#', f'href="#{name}-', text).replace("url(#", f"url(#{name}-")
    size = re.search(r'<svg [^>]*?viewBox="([^"]*)"', text)
    box = size.group(1) if size else "0 0 468 324"
    start = (
        f'<svg viewBox="{box}" role="img" aria-labelledby="{name}-caption" stroke-linejoin="round" stroke-linecap="butt" '
        'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink">'
    )
    return re.sub(r"[ \t]*\n\s*", "\n", start + text[text.index(">") + 1 :]).strip()


def _environment() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("engine.report"), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    environment.filters["minus"] = typeset
    environment.filters["hang"] = _hanging
    environment.filters["kind"] = lambda block: type(block).__name__
    return environment


def _hanging(cell: str) -> Markup:
    """A numeric cell whose stars or closing parenthesis hang beside the column, so that the digits stand in line."""
    from markupsafe import Markup

    marks = re.search(r"(\*+|\))$", cell)
    if marks is None:
        return Markup.escape(cell)
    return Markup('{}<span class="h">{}</span>').format(cell[: marks.start()], marks.group())
