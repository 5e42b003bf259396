"""The memo as data: sections of paragraphs, lists, tables, terms and charts. Every format is written from this, and every
string in it is plain text: what is markup in a format is escaped by that format's writer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any, TypeVar

from engine.errors import visible

T = TypeVar("T")


@dataclass(frozen=True)
class Text:
    """A paragraph. look: "" (plain), ``question``, ``answer``, ``label`` (a small heading) or ``note`` (small print)."""

    text: str
    look: str = ""


@dataclass(frozen=True)
class Heading:
    """A heading inside a section."""

    text: str


@dataclass(frozen=True)
class Points:
    """A bulleted list."""

    items: tuple[str, ...]


@dataclass(frozen=True)
class Term:
    """A method: its name, what it is with its source, and its formula in LaTeX, "" for none."""

    name: str
    text: str
    formula: str = ""


@dataclass(frozen=True)
class Terms:
    """Methods, one below the other."""

    entries: tuple[Term, ...]


@dataclass(frozen=True)
class Chart:
    """A chart of `engine.report.CHARTS` and the finding it shows."""

    name: str
    caption: str


@dataclass(frozen=True)
class EventPath:
    """One event of the picker: its label, facts as (name, text), and (relative day, AR, CAR so far) as fractions."""

    label: str
    facts: tuple[tuple[str, str], ...]
    path: tuple[tuple[int, float | None, float | None], ...]


@dataclass(frozen=True)
class Picker:
    """Events to choose from on a screen; formats for paper leave it out, whose tables hold the same."""

    events: tuple[EventPath, ...]


@dataclass(frozen=True)
class Table:
    """Cells as text. numeric: one flag a column, right-aligned. kinds: one a row: "", "sub" (second line) or "head".

    name: of its file and sheet, unique in a memo; caption: what it shows; look: words for the writers, of which ``dense`` is
    small type.
    """

    columns: tuple[str, ...]
    numeric: tuple[bool, ...]
    rows: tuple[tuple[str, ...], ...]
    kinds: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    name: str = ""
    caption: str = ""
    look: str = ""

    def kind(self, i: int) -> str:
        """The kind of row ``i``."""
        return self.kinds[i] if self.kinds else ""

    @property
    def sortable(self) -> bool:
        """Whether every row stands alone, so that any order of the rows says the same."""
        return not any(self.kinds)

    def shown(self, name: str, caption: str, look: str = "") -> Table:
        """The table with what it is called where it is shown."""
        return replace(self, name=name, caption=caption, look=look)


Block = Text | Heading | Points | Terms | Chart | Picker | Table


@dataclass(frozen=True)
class Section:
    """A section: its title ("" for the start of the memo) and what stands in it."""

    title: str
    blocks: tuple[Block, ...]


@dataclass(frozen=True)
class Document:
    """A memo: title and sections, numbered tables and charts in the order in which they are read."""

    title: str
    sections: tuple[Section, ...]

    @property
    def blocks(self) -> Iterator[Block]:
        """All blocks in order."""
        return (block for section in self.sections for block in section.blocks)

    @property
    def tables(self) -> list[Table]:
        """All tables in order."""
        return [b for b in self.blocks if isinstance(b, Table)]

    @property
    def charts(self) -> list[Chart]:
        """All charts in order."""
        return [b for b in self.blocks if isinstance(b, Chart)]

    def number(self, block: Table | Chart) -> int:
        """The place of a table among the tables, of a chart among the charts, from 1."""
        same: Sequence[Table | Chart] = self.tables if isinstance(block, Table) else self.charts
        return 1 + next(i for i, other in enumerate(same) if other is block)


def as_shown(part: T) -> T:
    """A document or a part of it with `visible` text throughout: what no writer of a format has to look for again."""
    return _shown(part)  # type: ignore[no-any-return]


def _shown(part: Any) -> Any:
    if isinstance(part, str):
        return visible(part, keep="\n")
    if isinstance(part, tuple):
        return tuple(_shown(one) for one in part)
    if is_dataclass(part) and not isinstance(part, type):
        return replace(part, **{f.name: _shown(getattr(part, f.name)) for f in fields(part)})
    return part


def section(title: str, *blocks: Block | None) -> Section | None:
    """A section of those blocks that there are; None where there is none."""
    kept = tuple(b for b in blocks if b is not None)
    return Section(title, kept) if kept else None


def paragraph(sentences: Sequence[str], look: str = "") -> Text | None:
    """Sentences as one paragraph, None where there are none."""
    return Text(" ".join(sentences), look) if sentences else None


def points(items: Sequence[str]) -> Points | None:
    """A list, None where it is empty."""
    return Points(tuple(items)) if items else None
