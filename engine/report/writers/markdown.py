"""The memo as Markdown; its pictures are ``charts/<name>.png`` beside it."""

from __future__ import annotations

from engine.report.document import Block, Chart, Document, Heading, Points, Section, Table, Term, Terms, Text
from engine.report.formats import markdown_text, one_line
from engine.report.mathematics import plain_math

LOOKS = {"question": "**Question.** {}", "answer": "**Answer.** {}"}


def markdown_of(document: Document) -> str:
    """The document as Markdown, every string in it as literal text."""
    parts = [f"# {markdown_text(document.title)}"]
    for section in document.sections:
        parts += _section(section)
    return "\n\n".join(parts) + "\n"


def _section(section: Section) -> list[str]:
    made = [f"## {markdown_text(section.title)}"] if section.title else []
    for block in section.blocks:
        text = _block(block)
        made += [text] if text else []
    return made


def _block(block: Block) -> str:
    if isinstance(block, Text):
        return _text(block)
    if isinstance(block, Heading):
        return f"### {markdown_text(block.text)}"
    if isinstance(block, Points):
        return "\n".join(f"- {markdown_text(item)}" for item in block.items)
    if isinstance(block, Terms):
        return "\n".join(_term(term) for term in block.entries)
    if isinstance(block, Chart):
        return f"![{markdown_text(block.caption)}](charts/{block.name}.png)"
    if isinstance(block, Table):
        notes = "  \n".join(markdown_text(note) for note in block.notes)
        return table_markdown(block) + (f"\n\n{notes}" if notes else "")
    return ""


def _term(term: Term) -> str:
    formula = f" Formula: {markdown_text(plain_math(term.formula))}." if term.formula else ""
    return f"- **{markdown_text(term.name)}**: {markdown_text(term.text)}{formula}"


def _text(block: Text) -> str:
    text = markdown_text(block.text)
    if block.look == "label":
        return "" if block.text == "Answer" else f"{text}:"
    return LOOKS.get(block.look, "{}").format(text)


def table_markdown(table: Table) -> str:
    """A `Table` as a Markdown table; every cell is literal text."""
    rule = ["---:" if n else "---" for n in table.numeric]
    rows = [[markdown_text(one_line(c)) for c in row] for row in table.rows]
    for i, row in enumerate(rows):
        if table.kind(i) == "head" and row[0]:
            row[0] = f"*by {row[0]}*"
    lines = [[markdown_text(c) for c in table.columns], rule, *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
