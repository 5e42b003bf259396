"""Small charts in rows and columns on one sheet, with one scale."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.figure import Figure

WIDEST = 2.2  # inches of a panel before another column is made
MOST_COLUMNS = 4


def columns_for(width: float, count: int) -> int:
    """How many panels stand side by side on a sheet of ``width`` inches."""
    return max(1, min(count, MOST_COLUMNS, int(width / WIDEST + 0.5)))


def panels(figure: Figure, frame: Axes, count: int, above: float, across: float = 0.12) -> list[Axes]:
    """Axes in rows from the top inside ``frame``, which becomes the place of the common axis names.

    above, across: inches kept free above each row, for titles, and between panels.
    """
    for spine in frame.spines.values():
        spine.set_visible(False)
    frame.set_xticks([])
    frame.set_yticks([])
    box, (width, height) = frame.get_position(), figure.get_size_inches()
    columns = columns_for(width, count)
    rows = -(-count // columns)
    w = (box.width - (columns - 1) * across / width) / columns
    h = (box.height - rows * above / height) / rows
    made: list[Axes] = []
    for i in range(count):
        left = box.x0 + (i % columns) * (w + across / width)
        bottom = box.y1 - (i // columns + 1) * (h + above / height)
        share = made[0] if made else None
        axes = figure.add_axes((left, bottom, w, h), sharex=share, sharey=share)
        axes.tick_params(labelsize=7, length=2.5, pad=2)
        axes.tick_params(labelleft=i % columns == 0, labelbottom=i + columns >= count)
        made.append(axes)
    return made
