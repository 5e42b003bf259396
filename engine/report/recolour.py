"""A theme's colours in the place of the house's, on a figure that is already drawn."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from matplotlib.collections import Collection
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.text import Text


def recolour(figure: Figure, colours: Mapping[str, str]) -> None:
    """Put the colours of a theme in the place of the house's: lower-case ``#rrggbb`` -> colour; opacity stays."""
    if not colours:
        return

    def other(colour: Any) -> Any:
        return to_rgb(colours[to_hex(colour)]) if to_hex(colour) in colours else None

    for artist in figure.findobj():
        if isinstance(artist, Line2D | Text):
            own = other(artist.get_color())
            if own is not None:
                artist.set_color(own)
        elif isinstance(artist, Patch):
            for get, put in (
                (artist.get_facecolor, artist.set_facecolor),
                (artist.get_edgecolor, artist.set_edgecolor),
            ):
                rgba: Any = get()
                own = other(rgba) if rgba[3] else None
                if own is not None:
                    put((*own, rgba[3]))
        elif isinstance(artist, Collection):
            pairs: Any = (
                (artist.get_facecolor, artist.set_facecolor),
                (artist.get_edgecolor, artist.set_edgecolor),
            )
            for get_all, put_all in pairs:
                rows = get_all()
                changed = [(*other(row), row[3]) if row[3] and other(row) is not None else tuple(row) for row in rows]
                if len(rows) and changed != [tuple(row) for row in rows]:
                    put_all(changed)
