"""The look of charts and memos: fonts, colours and sizes, the house's own or those of a small TOML file."""

from __future__ import annotations

import re
import reprlib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from engine.documents import read_toml
from engine.errors import SpecError, hint

COLOUR = re.compile(r"#[0-9A-Fa-f]{6}")
PAGES = ("a4", "us-letter")
MOST_NAME = 80
LONGEST = 120  # characters of a key or a value that a message repeats
SHORT = reprlib.Repr()
SHORT.maxstring = SHORT.maxother = LONGEST


@dataclass(frozen=True)
class Fonts:
    """Families by name; one that is not installed is passed over. office: of the Word file, whose reader must have it."""

    text: str = "Libertinus Serif"
    headings: str = "DejaVu Sans"
    charts: str = "DejaVu Sans"
    office: str = "Calibri"


@dataclass(frozen=True)
class Colours:
    """``#RRGGBB``. main: the main line, and the accents of the memo; groups: up to four, told apart by dashes and markers too;
    negative: CARs below zero; shade: the tested window; grid: lines behind charts."""

    main: str = "#0072B2"
    groups: tuple[str, ...] = ("#D55E00", "#009E73", "#56B4E9", "#CC79A7")
    negative: str = "#D55E00"
    shade: str = "#F0E6D2"
    grid: str = "#E3E3E3"


@dataclass(frozen=True)
class Sizes:
    """width: of charts in inches, so that a narrow one has large letters on the page; text: points; page: a4 or us-letter."""

    width: float = 6.5
    text: float = 10.0
    page: str = "a4"


@dataclass(frozen=True)
class Theme:
    """A look; the same result and theme give the same bytes."""

    fonts: Fonts = field(default_factory=Fonts)
    colours: Colours = field(default_factory=Colours)
    sizes: Sizes = field(default_factory=Sizes)

    @property
    def recoloured(self) -> dict[str, str]:
        """The colours of the house that this theme replaces, lower case, and what replaces them."""
        own, house = self.colours, Colours()
        pairs = [(house.main, own.main), (house.shade, own.shade), (house.grid, own.grid)]
        pairs += list(zip(house.groups, own.groups, strict=True))
        pairs += [(house.negative, own.negative)] if own.negative != house.negative else []
        return {old.lower(): new for old, new in pairs if old.lower() != new.lower()}


HOUSE = Theme()
RANGES = {"width": (4.0, 12.0), "text": (7.0, 16.0)}


def read_theme(path: Path) -> Theme:
    """A theme from a TOML file with the tables ``[fonts]``, ``[colours]`` and ``[sizes]``; what is not said is the house's.

    Raises SpecError that names the file, the key, what was read and what is allowed.
    """
    raw = read_toml(path, SpecError, "A theme is a small TOML file.")
    parts: dict[str, Any] = {"fonts": Fonts, "colours": Colours, "sizes": Sizes}
    for name, value in raw.items():
        if name not in parts:
            raise SpecError(f'{path}: unknown table "{name[:LONGEST]}". {hint(name[:LONGEST], parts)}')
        if not isinstance(value, dict):
            raise SpecError(f"{path}: [{name}] should be a table.")
    return Theme(**{name: _part(path, name, kind, raw.get(name, {})) for name, kind in parts.items()})


def _part(path: Path, table: str, kind: Any, raw: Mapping[str, Any]) -> Any:
    known = {f.name for f in fields(kind)}
    for key, value in raw.items():
        if key not in known:
            raise SpecError(f'{path}: [{table}] unknown key "{key[:LONGEST]}". {hint(key[:LONGEST], known)}')
        wrong = CHECKS[table](key, value)
        if wrong:
            raise SpecError(f"{path}: [{table}] {key} = {_shown(value)}: {wrong}.")
    return kind(**{key: _value(table, key, value) for key, value in raw.items()})


def _shown(value: Any) -> str:
    """A value as a message repeats it: cut short, however long or deep it is."""
    try:
        return SHORT.repr(value)
    except ValueError:  # Python writes no whole number of thousands of digits
        return "a number of thousands of digits"


def _value(table: str, key: str, value: Any) -> Any:
    if key == "groups":  # fewer than four: the house's own follow
        return (*value, *Colours().groups[len(value) :])
    return float(value) if table == "sizes" and key != "page" else value


def _wrong_font(key: str, value: Any) -> str:
    named = isinstance(value, str) and 0 < len(value) <= MOST_NAME and re.fullmatch(r"[\w .&+-]+", value)
    return "" if named else "should be the name of a font family"


def _wrong_colour(key: str, value: Any) -> str:
    if key != "groups":
        return "" if isinstance(value, str) and COLOUR.fullmatch(value) else 'should be a colour like "#0072B2"'
    listed = isinstance(value, list) and 1 <= len(value) <= len(Colours().groups)
    fine = listed and all(isinstance(c, str) and COLOUR.fullmatch(c) for c in value)
    return "" if fine else 'should be one to four colours like ["#D55E00", "#009E73"]'


def _wrong_size(key: str, value: Any) -> str:
    if key == "page":
        return "" if value in PAGES else f"should be one of {', '.join(PAGES)}"
    low, high = RANGES[key]
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return "" if number and low <= value <= high else f"should be a number from {low:g} to {high:g}"


CHECKS = {"fonts": _wrong_font, "colours": _wrong_colour, "sizes": _wrong_size}
