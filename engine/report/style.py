"""The chart style: colours, fonts, text that never turns into boxes or formulas, and the sheet a chart stands on."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import matplotlib
from matplotlib import font_manager
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ft2font import FT2Font

from engine.report.formats import one_line
from engine.report.letters import dots, pieces
from engine.report.pens import PENS
from engine.report.theme import HOUSE, Theme

HEIGHT = 4.5
NO_BREAK = "\u00a0"
MAIN, GREY, FAINT, SHADE, GRID = "#0072B2", "#595959", "#9A9A9A", "#F0E6D2", "#E3E3E3"
# Okabe and Ito (2008), in an order whose greys differ too; dashes and markers tell the same in print.
GROUP_COLOURS = ("#D55E00", "#009E73", "#56B4E9", "#CC79A7")
GROUP_DASHES: tuple[Any, ...] = ((0, (5, 1.5)), (0, (1.2, 1.2)), (0, (5, 1.5, 1.2, 1.5)), (0, (8, 2)))
GROUP_MARKERS = ("o", "s", "^", "v")
CJK_FONTS = (
    "Noto Sans CJK SC", "Noto Sans SC", "Source Han Sans SC", "Source Han Sans CN", "PingFang SC", "Microsoft YaHei",
    "Hiragino Sans GB", "WenQuanYi Micro Hei", "WenQuanYi Zen Hei", "SimHei", "Heiti SC", "Noto Sans CJK JP",
    "Noto Sans CJK TC", "Noto Sans CJK HK", "Noto Serif CJK SC", "Arial Unicode MS",
)  # fmt: skip
_THEME: ContextVar[Theme] = ContextVar("theme", default=HOUSE)


class Sheet(Figure):
    """A figure that knows what to say where a pointer rests. told: (axes, x, y, text) in the data's own coordinates."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.told: list[tuple[Axes, float, float, str]] = []

    def _repr_png_(self) -> bytes:
        """How a notebook shows it."""
        return save(self, "png")


def tell(axes: Axes, x: Any, y: Any, text: str) -> None:
    """Say ``text`` where a reader of the page points at (x, y) of the axes; print and single files do not have it."""
    if isinstance(axes.figure, Sheet):
        axes.figure.told.append((axes, float(x), float(y), text))


def told(figure: Figure) -> list[tuple[float, float, str]]:
    """What a figure tells: (x, y, text) in points from the left and from the top."""
    if not isinstance(figure, Sheet):
        return []
    height = figure.get_size_inches()[1]
    places = [(axes.transData.transform((x, y)) / figure.dpi, text) for axes, x, y, text in figure.told]
    return [(round(72 * float(at[0]), 2), round(72 * (height - float(at[1])), 2), text) for at, text in places]


def font_files() -> dict[str, tuple[str, int]]:
    """Regular faces known to matplotlib: family -> (file, index of the face in it)."""
    faces = sorted(font_manager.fontManager.ttflist, key=lambda f: (f.fname, getattr(f, "index", 0)))
    plain = [f for f in faces if f.style == "normal" and f.weight in (400, "normal", "regular", "book")]
    return {f.name: (f.fname, getattr(f, "index", 0)) for f in reversed(plain)}


def cjk_font() -> str | None:
    """The first font with Chinese characters among matplotlib's, None where there is none."""
    known = font_files()
    return next((name for name in CJK_FONTS if name in known), None)


def families() -> list[str]:
    """The font families in the order in which a character is looked up."""
    own, found = _THEME.get().fonts.charts, cjk_font()
    first = [own] if own in font_files() else []
    return list(dict.fromkeys([*first, "DejaVu Sans", *([found] if found else [])]))


@lru_cache(maxsize=8)
def _characters(file: str, face: int) -> frozenset[int]:
    try:
        return frozenset(FT2Font(file, face_index=face).get_charmap())
    except TypeError:  # matplotlib before 3.11 reads the first face of a collection
        return frozenset(FT2Font(file).get_charmap())


def can_print(text: str) -> bool:
    """Whether every character of ``text`` has a glyph in `families`."""
    return all(_has_glyph(c) for c in text)


def _has_glyph(character: str) -> bool:
    known = font_files()
    return any(ord(character) in _characters(*known[f]) for f in families() if f in known)


def printable(text: object) -> str:
    """``text`` on one line, its no-break spaces kept, with ``?`` for each character that no font has."""
    line = NO_BREAK.join(one_line(part) for part in str(text).split(NO_BREAK))
    return line if line.isascii() else "".join(c if c.isascii() or _has_glyph(c) else "?" for c in line)


def shown_names(text: str) -> str:
    """``text`` without the words that no font here can print, as long as others are left; else with ``?`` in their place."""
    if text.isascii() or can_print(text):
        return text
    kept = " ".join(word for word in text.split(" ") if can_print(word))
    return kept if re.search(r"\w", kept) else "".join(c if _has_glyph(c) else "?" for c in text)


def listing_name(name: str, name_zh: str) -> str:
    """The name of a listing with its Chinese name behind it where the characters can be printed."""
    return printable(f"{name} {name_zh}".strip() if name_zh and can_print(name_zh) else name)


@contextmanager
def style(theme: Theme = HOUSE) -> Iterator[None]:
    """matplotlib settings of all charts; text is text, ``$`` starts no formula."""
    token = _THEME.set(theme)
    settings: dict[str, Any] = {
        "font.family": families(),
        "font.size": 9,
        "text.parse_math": False,
        "text.hinting": "none",
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.edgecolor": "#7A7A7A",
        "axes.linewidth": 0.8,
        "axes.axisbelow": True,
        "xtick.color": "#333333",
        "ytick.color": "#333333",
        "xtick.labelsize": 8.5,
        "ytick.labelsize": 8.5,
        "pdf.fonttype": 42,
        "svg.fonttype": "path",
        "svg.hashsalt": "event-study",
        "path.simplify": True,
        "savefig.facecolor": "white",
        "figure.facecolor": "white",
    }
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(settings)  # type: ignore[arg-type]
        try:
            yield
        finally:
            _THEME.reset(token)


def save(figure: Figure, fmt: str) -> bytes:
    """``figure`` as bytes, without a date or a version in them."""
    with style(_THEME.get()):
        return PENS[fmt](figure)


@lru_cache(maxsize=64)
def _font(families: tuple[str, ...], size: float, weight: str) -> font_manager.FontProperties:
    return font_manager.FontProperties(family=list(families), size=size, weight=weight)


def text_width(figure: Figure, text: str, size: float, weight: str = "normal") -> float:
    """The width of one line of text, in inches, inside `style`."""
    if not text:
        return 0.0
    font = _font(tuple(matplotlib.rcParams["font.family"]), size, weight)
    return sum(dots(piece, font, figure.dpi)[0] for piece in pieces(text)) / figure.dpi


def glued(text: str) -> str:
    """``text`` with no-break spaces where no line may end: ``over [0, 1]``, ``on day 0``, ``5 %``, ``p = 0.010``, ``N = 8``."""
    for before, after in (
        (r"\[\S+,", r"\S+\]"), (r"\d", "%"), (r"\b[pN]", r"[=<]"), (r"\b[pN].[=<]", r"\d"), (r"\b(?:over|day)", r"[\[\d−-]"),
        (r"-engine", r"\d"),
    ):  # fmt: skip
        text = re.sub(f"({before}) (?={after})", rf"\1{NO_BREAK}", text)
    return text


def wrap(figure: Figure, text: str, size: float, width: float, weight: str = "normal") -> list[str]:
    """``text`` in lines of at most ``width`` inches, broken at spaces, within a word only where it alone is too long."""
    lines: list[str] = []
    line = ""
    for word in glued(text).split(" "):
        longer = f"{line} {word}".strip(" ")
        if text_width(figure, longer, size, weight) <= width:
            line = longer
            continue
        if line:
            lines.append(line)
        line = ""
        for character in word:
            if line and text_width(figure, line + character, size, weight) > width:
                lines.append(line)
                line = ""
            line += character
    return [*lines, line] if line else lines


@dataclass
class Words:
    """The text around a chart. legend: (handle, label) pairs."""

    title: str
    subtitle: str
    notes: str
    source: str
    legend: Sequence[tuple[Any, str]] = ()


def blank(height: float = HEIGHT) -> Figure:
    """An empty figure with a canvas that can measure text."""
    figure = Sheet(figsize=(_THEME.get().sizes.width, height))
    FigureCanvasAgg(figure)
    return figure


LOWEST = 1.0  # inches of height that a chart has at least


def compose(figure: Figure, words: Words, left: float = 0.62, right: float = 0.12, x_label: bool = True) -> Axes:
    """Write the words around the chart and return axes in the room that is left.

    left, right: inches beside the axes, for tick and direct labels. Text is wrapped by its measured width; where it leaves less
    than `LOWEST` inches for the chart, the figure grows.
    """
    width, height = figure.get_size_inches()
    margin, room = 0.12, width - 0.24
    y = _lines(figure, words.title, 11, "bold", "#111111", margin, height - 0.10, room)
    y = _lines(figure, words.subtitle, 8.5, "normal", GREY, margin, y - 0.03, room)
    y = _legend(figure, words.legend, margin, y - 0.05, room) if words.legend else y
    foot = [line for text in (words.notes, words.source) if text for line in wrap(figure, text, 7, room)]
    step = 7 * 1.3 / 72
    for i, line in enumerate(reversed(foot)):
        figure.text(margin / width, (0.08 + i * step) / height, line, fontsize=7, color=GREY, va="bottom")
    bottom = 0.08 + len(foot) * step + (0.52 if x_label else 0.36)
    top = y - 0.10
    if top - bottom < LOWEST:  # many words on a narrow sheet: a higher one
        figure.clear()
        figure.set_size_inches(width, height + LOWEST - (top - bottom) + 0.01)
        return compose(figure, words, left, right, x_label)
    return figure.add_axes((left / width, bottom / height, (width - left - right) / width, (top - bottom) / height))


def _lines(figure: Figure, text: str, size: float, weight: str, colour: str, x: float, y: float, room: float) -> float:
    """Write wrapped lines from ``y`` inches down, and return where they end."""
    width, height = figure.get_size_inches()
    for line in _balanced(figure, printable(text), size, room, weight):
        figure.text(x / width, y / height, line, fontsize=size, fontweight=weight, color=colour, va="top")
        y -= size * 1.28 / 72
    return y


def _balanced(figure: Figure, text: str, size: float, room: float, weight: str) -> list[str]:
    """Lines of similar width: no single word alone in the last one."""
    lines = wrap(figure, text, size, room, weight)
    for share in (0.9, 0.8, 0.7, 0.6) if len(lines) > 1 else ():
        narrower = wrap(figure, text, size, share * room, weight)
        if len(narrower) > len(lines):
            break
        lines = narrower
    return lines


def _legend(figure: Figure, entries: Sequence[tuple[Any, str]], x: float, y: float, room: float) -> float:
    """A legend in as few rows as fit, and where it ends."""
    width, height = figure.get_size_inches()
    # A label that starts with an underscore would be left out; the space keeps it.
    labels = [f" {printable(label)}" if label.startswith("_") else printable(label) for _, label in entries]
    widest = max(text_width(figure, label, 8) for label in labels) + 0.5
    columns = max(1, min(len(labels), int(room / widest)))
    rows = -(-len(labels) // columns)
    figure.legend(
        [handle for handle, _ in entries], labels, loc="upper left", bbox_to_anchor=(x / width, y / height), fontsize=8,
        ncols=columns, frameon=False, borderpad=0, borderaxespad=0, handlelength=2.2, columnspacing=1.4, labelspacing=0.35,
    )  # fmt: skip
    return y - rows * 8 * 1.5 / 72
