r"""The memo and its tables in LaTeX, with booktabs. Text is escaped; pdfLaTeX leaves out what it has no font for."""

from __future__ import annotations

import re

from engine.report.document import Block, Chart, Document, Heading, Points, Table, Term, Terms, Text
from engine.report.formats import one_line, typeset
from engine.report.notation import OWN_NAMES
from engine.report.theme import Theme

# One pass over single characters: what is put in is never read again, so that no order of replacements can matter.
SPECIAL = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "#": r"\#", "%": r"\%", "_": r"\_",
    "^": r"\textasciicircum{}", "~": r"\textasciitilde{}", "<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}",
    '"': r"\textquotedbl{}", "`": r"\textasciigrave{}", "'": r"\textquotesingle{}", "-": "-{}", "[": "{[}", "]": "{]}",
    "−": r"\ensuremath{-}", "–": "--", "…": r"\ldots{}", "²": r"\ensuremath{^2}", "\u00a0": "~", "·": r"\textperiodcentered{}",
    "≥": r"\ensuremath{\ge}", "≤": r"\ensuremath{\le}", "α": r"\ensuremath{\alpha}", "β": r"\ensuremath{\beta}",
    "σ": r"\ensuremath{\sigma}", "ν": r"\ensuremath{\nu}", "×": r"\ensuremath{\times}", "±": r"\ensuremath{\pm}", "†": r"\dag{}",
}  # fmt: skip
# No wider than the text, and never made larger.
FITTED = r"\resizebox{\ifdim\width>\linewidth \linewidth\else\width\fi}{!}"
SHORT = 40  # rows of a table that stays on one page
LONG_CELL = 24  # characters beyond which a column of text wraps
ROOM, DENSE_ROOM = 100, 130  # characters that a line of a table has, and of one in small type
PREAMBLE = r"""% Compile with pdflatex, xelatex or lualatex; the charts are in charts/.
\documentclass[PAGE,10pt]{article}
\usepackage{iftex}
\ifPDFTeX
  \usepackage[T1]{fontenc}
  \usepackage[utf8]{inputenc}
  \IfFileExists{lmodern.sty}{\usepackage{lmodern}}{}
  \newcommand{\foreign}[1]{}% no font for it: the Latin name stands alone
\else
  \usepackage{fontspec}
  \IfFontExistsTF{Noto Sans CJK SC}{\newfontfamily{\foreignfont}{Noto Sans CJK SC}\newcommand{\foreign}[1]{{\foreignfont #1}}}
    {\newcommand{\foreign}[1]{}}
\fi
\usepackage[margin=22mm]{geometry}
\usepackage{amsmath,array,booktabs,longtable,float,graphicx,textcomp,ragged2e}
MACROS
\setlength{\parindent}{0pt}\setlength{\parskip}{6pt}
\setlength{\LTleft}{0pt}\setlength{\tabcolsep}{3pt}
"""


MACROS = "\n".join(rf"\newcommand{{\{name}}}{{\mathrm{{{name}}}}}" for name in OWN_NAMES)


def latex_text(text: object) -> str:
    """``text`` as literal text in LaTeX; other scripts in ``\\foreign{}``, which is empty where there is no font."""
    made, foreign = [], ""
    for c in one_line(text).replace("\u00a0", " "):
        known = c in SPECIAL or c.isascii() or (c.isalpha() and "\u00c0" <= c <= "\u017f")
        if not known:
            foreign += c
            continue
        if foreign and c != " ":
            made.append(f"\\foreign{{{foreign}}}")
            foreign = ""
        if foreign:
            foreign += c
        else:
            made.append(SPECIAL.get(c, c))
    return "".join([*made, f"\\foreign{{{foreign}}}" if foreign else ""])


def latex_table(table: Table) -> str:
    """A table alone with caption, label and notes; needs the packages array, booktabs, float, graphicx, longtable, ragged2e."""
    long = len(table.rows) > SHORT
    dense = "dense" in table.look or len(table.columns) > 8
    kinds = _columns(table, DENSE_ROOM if dense else ROOM)
    head = " & ".join(f"\\textbf{{{latex_text(typeset(c))}}}" for c in table.columns) + r" \\"
    caption = f"\\caption{{{latex_text(typeset(table.caption))}}}\\label{{tab:{table.name}}}" if table.caption else ""
    body = [_row(table, i) for i in range(len(table.rows))]
    name = "longtable" if long else "tabular"
    inside = [r"\toprule", head, r"\midrule", *([r"\endhead"] if long else []), *body, r"\bottomrule"]
    drawn = [
        f"\\begin{{{name}}}{{@{{}}{''.join(kinds)}@{{}}}}",
        *([f"{caption}\\\\"] if long and caption else []),
        *inside,
    ]
    drawn.append(f"\\end{{{name}}}")
    size = r"\scriptsize" if dense else r"\small"
    notes = (
        f"\n\\par\\smallskip\\footnotesize {' '.join(latex_text(typeset(n)) for n in table.notes)}"
        if table.notes
        else ""
    )
    if long:
        return f"{{{size}\n" + "\n".join(drawn) + f"{notes}\\par}}"
    inner = "\n".join(drawn)
    return f"\\begin{{table}}[H]\n{size}\n{caption}\n\n{FITTED}{{{inner}}}{notes}\n\\end{{table}}"


def _columns(table: Table, room: int) -> list[str]:
    """The kind of every column; those of long text wrap, and share what the others leave."""
    longest = [max([len(c), *(len(row[i]) for row in table.rows)]) for i, c in enumerate(table.columns)]
    wraps = [n > LONG_CELL and not numeric for n, numeric in zip(longest, table.numeric, strict=True)]
    others = sum(n + 2 for n, wrap in zip(longest, wraps, strict=True) if not wrap)
    share = min(max(0.97 * (1 - others / room), 0.2), 0.62) / max(1, sum(wraps))
    text = f">{{\\RaggedRight}}p{{{share:.2f}\\textwidth}}"
    return [text if wrap else "r" if numeric else "l" for wrap, numeric in zip(wraps, table.numeric, strict=True)]


def _row(table: Table, i: int) -> str:
    row, kind = table.rows[i], table.kind(i)
    if kind == "head":
        text = f"by {row[0]}" if row[0] else ""
        return f"\\multicolumn{{{len(table.columns)}}}{{@{{}}l}}{{\\itshape {latex_text(text)}}} \\\\"
    cells = [latex_text(typeset(c) if n else c) for c, n in zip(row, table.numeric, strict=True)]
    return " & ".join(_starred(c) for c in cells) + r" \\"


def _starred(cell: str) -> str:
    """Stars raised, as tables of estimates have them."""
    return re.sub(r"(\d)(\*{1,3})$", r"\1\\textsuperscript{\2}", cell)


def latex_of(document: Document, theme: Theme) -> str:
    """The document as a LaTeX article whose charts are ``charts/<name>.pdf``."""
    page = {"a4": "a4paper", "us-letter": "letterpaper"}[theme.sizes.page]
    title = f"\\section*{{\\LARGE {latex_text(document.title)}}}"
    parts = [PREAMBLE.replace("PAGE", page).replace("MACROS", MACROS) + r"\begin{document}", title]
    for section in document.sections:
        parts += [f"\\section*{{{latex_text(typeset(section.title))}}}"] if section.title else []
        parts += [text for block in section.blocks if (text := _block(block))]
    return "\n\n".join([*parts, r"\end{document}"]) + "\n"


def _block(block: Block) -> str:
    if isinstance(block, Text):
        text = latex_text(typeset(block.text))
        looks = {
            "question": r"\emph{%s}",
            "answer": r"\textbf{%s}",
            "label": r"\textsc{%s}",
            "note": r"{\footnotesize %s}",
        }
        return looks.get(block.look, "%s") % text
    if isinstance(block, Heading):
        return f"\\subsection*{{{latex_text(typeset(block.text))}}}"
    if isinstance(block, Points):
        items = "\n".join(f"\\item {latex_text(typeset(i))}" for i in block.items)
        return f"\\begin{{itemize}}\n{items}\n\\end{{itemize}}"
    if isinstance(block, Terms):
        return "\n\n".join(_term(t) for t in block.entries)
    if isinstance(block, Chart):
        picture = f"\\includegraphics[width=\\textwidth]{{charts/{block.name}.pdf}}"
        caption = f"\\caption{{{latex_text(typeset(block.caption))}}}\\label{{fig:{block.name}}}"
        return f"\\begin{{figure}}[H]\n{picture}\n{caption}\n\\end{{figure}}"
    return latex_table(block) if isinstance(block, Table) else ""


def _term(term: Term) -> str:
    lines = "\n".join(f"\\[ {line.strip()} \\]" for line in re.split(r"\\\\", term.formula)) if term.formula else ""
    lines = lines.replace(r"\median", r"\operatorname*{median}")
    return f"\\textbf{{{latex_text(term.name)}}}\n{lines}\n{latex_text(term.text)}"
