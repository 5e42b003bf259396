"""Formulas as they are written: MathML, typst, Word's OMML or plain text, from the LaTeX that `engine.report.notation` reads."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from html import escape

from engine.report.notation import Node, read_formula

COMBINING = {"hat": "\u0302", "bar": "\u0304", "tilde": "\u0303"}
BRACKETS = "()[]{}|"  # outside \\left and \\right: a browser would stretch each to its own neighbours
MARKS = {"hat": "^", "tilde": "~"}
WIDTHS = {"\u2003": "1em", "\u2009": "0.17em", "\u2005": "0.28em"}
NO_BREAK = "\u00a0"
SPACES = {"\u2003": "quad", "\u2009": "thin", "\u2005": "med"}


def mathml(latex: str) -> str:
    """The formula as MathML, a block a line; everything in it is escaped."""
    return "".join(f'<math display="block">{_mathml(row)}</math>' for row in read_formula(latex))


def _mathml(node: Node | None) -> str:
    if node is None:
        return "<mrow></mrow>"
    inside = [_mathml(p) for p in node.parts]
    text = escape(node.text)
    simple = {
        "letter": f"<mi>{text}</mi>", "name": f'<mi mathvariant="normal">{text}</mi>', "number": f"<mn>{text}</mn>",
        "bold": f'<mi mathvariant="normal">{_bold(text)}</mi>', "operator": _operator(node.text), "big": f"<mo>{text}</mo>",
        "text": f"<mtext>{text.replace(' ', NO_BREAK)}</mtext>", "row": f"<mrow>{''.join(inside)}</mrow>",
        "fraction": f"<mfrac>{''.join(inside)}</mfrac>", "root": f"<msqrt>{''.join(inside)}</msqrt>",
    }  # fmt: skip
    if node.kind in simple:
        return simple[node.kind]
    if node.kind == "accent" and node.text == "bar":  # drawn by the page: few fonts have a bar as wide as a word
        return f'<mrow class="bar">{inside[0]}</mrow>'
    if node.kind == "accent":
        return f'<mover accent="true">{inside[0]}<mo>{MARKS[node.text]}</mo></mover>'
    if node.kind == "fence":
        a, b = (f'<mo stretchy="true">{escape(c)}</mo>' if c != "." else "" for c in node.text)
        return f"<mrow>{a}{inside[0]}{b}</mrow>"
    return _scripts(node, inside, ("munder", "mover", "munderover"), ("msub", "msup", "msubsup"))


def _operator(text: str) -> str:
    if text in WIDTHS:
        return f'<mspace width="{WIDTHS[text]}"/>'
    fixed = ' stretchy="false"' if text in BRACKETS else ""
    return f"<mo{fixed}>{escape(text)}</mo>"


def _bold(text: str) -> str:
    """Bold letters and digits as characters of their own, for browsers that know no bold in a formula."""
    starts = ((range(65, 91), 0x1D400), (range(97, 123), 0x1D41A), (range(48, 58), 0x1D7CE))
    return "".join(next((chr(first + ord(c) - r[0]) for r, first in starts if ord(c) in r), c) for c in text)


def _scripts(node: Node, inside: Sequence[str], limits: Sequence[str], scripts: Sequence[str]) -> str:
    base, below, above = node.parts
    names = limits if base is not None and base.kind == "big" else scripts
    tag = names[2] if below and above else names[0] if below else names[1]
    kept = [inside[0], *[text for part, text in ((below, inside[1]), (above, inside[2])) if part is not None]]
    return f"<{tag}>{''.join(kept)}</{tag}>"


def typst_math(latex: str) -> list[str]:
    """The lines of the formula as typst's mathematics, without the dollar signs."""
    return [_typst(row) for row in read_formula(latex)]


def _typst(node: Node | None) -> str:
    if node is None:
        return ""
    inside = [_typst(p) for p in node.parts]
    quoted = '"' + node.text.replace("\\", "\\\\").replace('"', '\\"') + '"'
    if node.kind == "row":
        return " ".join(inside)
    if node.kind == "fraction":
        return f"frac({inside[0]}, {inside[1]})"
    if node.kind in ("root", "accent"):
        called = {"root": "sqrt", "hat": "hat", "bar": "overline", "tilde": "tilde"}[node.text or node.kind]
        return f"{called}({inside[0]})"
    if node.kind == "fence":
        a, b = ("" if c == "." else f"\\{c}" if c in "()[]{}" else c for c in node.text)
        return f"lr({a} {inside[0]} {b})"
    if node.kind == "script":
        below = f"_({inside[1]})" if node.parts[1] is not None else ""
        above = f"^({inside[2]})" if node.parts[2] is not None else ""
        return f"{inside[0]}{below}{above}"
    if node.kind == "bold":
        return f"upright(bold({quoted}))"
    if node.kind in ("name", "text") or (node.kind == "big" and node.text.isalpha()):
        return f"op({quoted}, limits: #true)" if node.kind == "big" else quoted
    if node.kind == "operator":
        return SPACES.get(node.text) or "".join(f"\\{c}" if c in ",;:()[]{}/#&|" else c for c in node.text)
    return node.text


def omml(latex: str) -> list[str]:
    """The lines of the formula as Word's OMML, an ``m:oMath`` each; the prefix ``m`` is to be declared by the caller."""
    return [f"<m:oMath>{_omml(row)}</m:oMath>" for row in read_formula(latex)]


def _omml(node: Node | None) -> str:
    if node is None:
        return ""
    inside = [_omml(p) for p in node.parts]
    if node.kind == "row":
        return "".join(inside)
    if node.kind == "fraction":
        return f"<m:f><m:num>{inside[0]}</m:num><m:den>{inside[1]}</m:den></m:f>"
    if node.kind == "root":
        return f'<m:rad><m:radPr><m:degHide m:val="1"/></m:radPr><m:deg/><m:e>{inside[0]}</m:e></m:rad>'
    if node.kind == "accent":
        return f'<m:acc><m:accPr><m:chr m:val="{COMBINING[node.text]}"/></m:accPr><m:e>{inside[0]}</m:e></m:acc>'
    if node.kind == "fence":
        a, b = ("" if c == "." else escape(c) for c in node.text)
        ends = f'<m:begChr m:val="{a}"/><m:endChr m:val="{b}"/>'
        return f"<m:d><m:dPr>{ends}</m:dPr><m:e>{inside[0]}</m:e></m:d>"
    if node.kind == "script":
        return _omml_script(node, inside)
    style = {"letter": "i", "bold": "b"}.get(node.kind, "p")
    return (
        f'<m:r><m:rPr><m:sty m:val="{style}"/></m:rPr><w:rPr><w:rFonts w:ascii="Cambria Math" w:hAnsi="Cambria Math"/></w:rPr>'
        f'<m:t xml:space="preserve">{escape(node.text)}</m:t></m:r>'
    )


def _omml_script(node: Node, inside: Sequence[str]) -> str:
    base, below, above = node.parts
    if base is not None and base.kind == "big":
        made = inside[0]
        made = f"<m:limLow><m:e>{made}</m:e><m:lim>{inside[1]}</m:lim></m:limLow>" if below else made
        return f"<m:limUpp><m:e>{made}</m:e><m:lim>{inside[2]}</m:lim></m:limUpp>" if above else made
    tag = "sSubSup" if below and above else "sSub" if below else "sSup"
    sub = f"<m:sub>{inside[1]}</m:sub>" if below else ""
    sup = f"<m:sup>{inside[2]}</m:sup>" if above else ""
    return f"<m:{tag}><m:e>{inside[0]}</m:e>{sub}{sup}</m:{tag}>"


def plain_math(latex: str) -> str:
    """The formula as one line of text that can be read aloud: ``CAR = sum_(t=a)^b AR_t``."""
    return "; ".join(" ".join(_text(row).split()) for row in read_formula(latex))


def _text(node: Node | None) -> str:
    if node is None:
        return ""
    inside = [_text(p) for p in node.parts]

    def bracketed(part: Node | None, text: str) -> str:
        alone = part is not None and part.kind in (
            "letter",
            "number",
            "name",
            "bold",
            "accent",
            "fence",
            "text",
            "operator",
        )
        return text if alone else f"({text.strip()})"

    written: dict[str, Callable[[], str]] = {
        "row": lambda: "".join(inside),
        "fraction": lambda: "/".join(bracketed(p, t) for p, t in zip(node.parts, inside, strict=True)),
        "root": lambda: f"√{bracketed(node.parts[0], inside[0])}" if node.parts[0] else "",
        "accent": lambda: f"{inside[0]}{COMBINING[node.text]}",
        "fence": lambda: f"{node.text[0]}{inside[0].strip()}{node.text[1]}".replace(".", ""),
        "big": lambda: f" {node.text} ",
        "text": lambda: node.text if node.text[:1] == node.text[-1:] == " " else f" {node.text.strip()} ",
        "operator": lambda: f" {node.text} " if node.text in "=<>≤≥≠∼+−·×±∈∩≈" else node.text,
    }
    if node.kind == "script":
        below = f"_{bracketed(node.parts[1], inside[1])}" if node.parts[1] is not None else ""
        prime = node.parts[2] is not None and node.parts[2].text == "′"
        above = "′" if prime else f"^{bracketed(node.parts[2], inside[2])}" if node.parts[2] is not None else ""
        return f"{inside[0].rstrip()}{below}{above} "
    return written.get(node.kind, lambda: node.text)()
