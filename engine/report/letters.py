"""Text laid out word by word, each word of a font once: what measures lines and what draws outlines share.

A font lays out a line glyph by glyph, which costs more than anything else in a chart that says what it shows. The words of a
memo come back in its lines, titles and legends, so that a word is laid out once and moved to where it stands.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any
from unicodedata import bidirectional

from matplotlib.backends.backend_agg import RendererAgg
from matplotlib.font_manager import FontProperties
from matplotlib.ft2font import FT2Font, LoadFlags
from matplotlib.textpath import TextToPath

MOST = 1 << 13  # words kept

Extent = tuple[float, float, float]


def pieces(text: str) -> list[str]:
    """``text`` cut at its spaces, which are pieces too; whole where a letter of it runs from right to left."""
    if not text.isascii() and any(bidirectional(c) in ("R", "AL", "AN") for c in text):
        return [text]
    return re.findall(r" |[^ ]+", text)


def extent(parts: Sequence[Extent]) -> Extent:
    """Width, height and descent of parts that stand in line, from those of each."""
    descent = max(d for _, _, d in parts)
    return sum(w for w, _, _ in parts), descent + max(h - d for _, h, d in parts), descent


AGG: Any = RendererAgg  # which states no types


class Ruler(RendererAgg):
    """The renderer of pixels, which measures a text by its pieces. Dots, in steps of 1/64, so that sums are exact."""

    def get_text_width_height_descent(self, s: str, prop: FontProperties, ismath: Any) -> Extent:
        if ismath or not s:
            whole: Extent = AGG.get_text_width_height_descent(self, s, prop, ismath)
            return whole
        font = prop.copy()
        return extent([dots(piece, font, self.dpi) for piece in pieces(s)])


@lru_cache(maxsize=MOST)
def dots(piece: str, font: FontProperties, dpi: float) -> Extent:
    """The extent of a piece in pixels."""
    found: Extent = AGG.get_text_width_height_descent(_sheet(dpi), piece, font, False)
    return found


@lru_cache(maxsize=8)
def _sheet(dpi: float) -> Any:
    return AGG(1, 1, dpi)


class Outlines(TextToPath):
    """Outlines and extents of text, from those of its pieces."""

    def get_text_width_height_descent(self, s: str, prop: FontProperties, ismath: Any) -> Extent:
        if ismath or not s:
            return super().get_text_width_height_descent(s, prop, ismath)
        font = prop.copy()
        font.set_size(self.FONT_SCALE)
        scale = prop.get_size_in_points() / self.FONT_SCALE
        width, height, descent = extent([_units(piece, font) for piece in pieces(s)])
        return width * scale, height * scale, descent * scale

    def get_glyphs_with_font(
        self, font: FT2Font, s: str, glyph_map: Any = None, return_new_glyphs_only: bool = False, **how: Any
    ) -> Any:
        """Glyphs as (name, x, y, size), the outlines that ``glyph_map`` lacks, or has by then, and no rectangles."""
        if any(how.values()):
            return super().get_glyphs_with_font(font, s, glyph_map, return_new_glyphs_only, **how)
        known = {} if glyph_map is None else glyph_map
        found = {} if return_new_glyphs_only else known
        placed, x = [], 0.0
        for piece in pieces(s):
            glyphs, outlines, width = _laid_out(piece, font)
            placed += [(name, x + at, y, size) for name, at, y, size in glyphs]
            found.update((name, outline) for name, outline in outlines.items() if name not in known)
            x += width
        return placed, found, []


OUTLINES = Outlines()


@lru_cache(maxsize=MOST)
def _units(piece: str, font: FontProperties) -> Extent:
    return TextToPath.get_text_width_height_descent(OUTLINES, piece, font, False)


@lru_cache(maxsize=MOST)
def _laid_out(piece: str, font: FT2Font) -> tuple[list[Any], dict[str, Any], float]:
    """Glyphs and outlines of a piece in the size in which all outlines are drawn, and how far the next one is."""
    glyphs, outlines, _ = TextToPath.get_glyphs_with_font(OUTLINES, font, piece)
    font.set_text(piece, 0.0, flags=LoadFlags.NO_HINTING)
    return glyphs, outlines, font.get_width_height()[0] / 64
