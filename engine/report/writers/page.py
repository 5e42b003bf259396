"""The memo as one self-contained HTML page: charts as inline SVG, inline style and script, nothing fetched."""

from __future__ import annotations

import json
import re
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from importlib.resources import files
from typing import TYPE_CHECKING

from engine.errors import visible_json
from engine.report.document import Document, Picker
from engine.report.formats import typeset
from engine.report.mathematics import mathml
from engine.report.theme import Theme

if TYPE_CHECKING:
    from jinja2 import Environment
    from markupsafe import Markup

Told = Sequence[tuple[float, float, str]]
DIGITS = 6  # of the picker's paths, as fractions: a hundredth of a basis point


@dataclass(frozen=True)
class Drawn:
    """A chart for the page, as wide as a column and narrow for a phone, with what each says at which points."""

    svg: bytes
    told: Told
    narrow: bytes
    narrow_told: Told


def page_of(document: Document, charts: Mapping[str, Drawn], theme: Theme) -> str:
    """The document as a page with ``charts`` inside it, every string in it as literal text."""
    from markupsafe import Markup

    svgs = {name: Markup(inline_svg(name, one.svg, one.told)) for name, one in charts.items()}
    slim = {name: Markup(inline_svg(f"{name}-narrow", one.narrow, one.narrow_told)) for name, one in charts.items()}
    script = Markup(files("engine.report").joinpath("templates/memo.js").read_text(encoding="utf-8").strip())
    allowed = b64encode(sha256(script.encode()).digest()).decode()  # no other script runs, whatever a cell holds
    template = _environment().get_template("memo.html.j2")
    return (
        template.render(document=document, svgs=svgs, narrow=slim, theme=theme, script=script, script_hash=allowed)
        + "\n"
    )


def inline_svg(name: str, svg: bytes, told: Told = ()) -> str:
    """An SVG for use inside HTML: no prolog, no comments, ids that are unique on the page, size left to the page.

    told: points at which it says something when a pointer, a finger or the keyboard is there.
    """
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
    body = text[text.index(">") + 1 :].strip().removesuffix("</svg>")
    return re.sub(r"[ \t]*\n\s*", "\n", f"{start}{body}{_points(told)}</svg>").strip()


def _points(told: Told) -> str:
    from markupsafe import escape

    circles = [
        f'<circle class="hit" cx="{x:g}" cy="{y:g}" r="6"><title>{escape(text)}</title></circle>' for x, y, text in told
    ]
    return "\n".join(circles)


def picker_json(picker: Picker) -> str:
    """The events of a picker as JSON that no HTML parser takes for a tag."""

    def short(value: float | None) -> float | None:
        return None if value is None else round(value, DIGITS)

    events = [
        {
            "label": e.label,
            "facts": [list(f) for f in e.facts],
            "path": [[d, short(ar), short(car)] for d, ar, car in e.path],
        }
        for e in picker.events
    ]
    text = visible_json(json.dumps(events, ensure_ascii=False, separators=(",", ":")))
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def _environment() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup

    environment = Environment(
        loader=PackageLoader("engine.report"), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    environment.filters["minus"] = typeset
    environment.filters["hang"] = _hanging
    environment.filters["mathml"] = lambda latex: Markup(mathml(latex))
    environment.filters["json"] = lambda picker: Markup(picker_json(picker))
    environment.filters["kind"] = lambda block: type(block).__name__
    return environment


def _hanging(cell: str) -> Markup:
    """A numeric cell whose stars or closing parenthesis hang beside the column, so that the digits stand in line."""
    from markupsafe import Markup

    marks = re.search(r"(\*+|\))$", cell)
    if marks is None:
        return Markup.escape(cell)
    return Markup('{}<span class="h">{}</span>').format(cell[: marks.start()], marks.group())
