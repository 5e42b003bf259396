"""A figure as bytes: pixels, outlines or a page, without a date or a version in them."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from matplotlib.backends.backend_svg import RendererSVG
from matplotlib.figure import Figure

from engine.report.letters import OUTLINES, Ruler

DPI = 200  # of pixels
POINTS = 72  # an inch of outlines
METADATA: dict[str, dict[str, None]] = {
    "svg": {"Creator": None, "Date": None, "Format": None, "Type": None},
    "pdf": {"Creator": None, "Producer": None, "CreationDate": None},
}


class _Pen(RendererSVG):
    def __init__(self, *options: Any, **named: Any) -> None:
        super().__init__(*options, **named)  # type: ignore[no-untyped-call]
        self._text2path = OUTLINES


@contextmanager
def _at(figure: Figure, dpi: float) -> Iterator[None]:
    before = figure.dpi
    figure.dpi = dpi
    try:
        yield
    finally:
        figure.dpi = before


def png(figure: Figure) -> bytes:
    """Pixels without transparency; a low level of compression is the smallest for lines and letters on one ground."""
    from PIL import Image

    with _at(figure, DPI):
        width, height = (int(side) for side in figure.bbox.max)
        pen: Any = Ruler(width, height, DPI)  # type: ignore[no-untyped-call]
        figure.draw(pen)
    out = io.BytesIO()
    pixels = Image.frombuffer("RGBA", (width, height), pen.buffer_rgba(), "raw", "RGBA", 0, 1).convert("RGB")
    pixels.save(out, "png", dpi=(DPI, DPI), compress_level=3)
    return out.getvalue()


def svg(figure: Figure) -> bytes:
    """Lines and letters as outlines."""
    out = io.StringIO()
    width, height = (POINTS * float(side) for side in figure.get_size_inches())
    pen: Any = _Pen(width, height, out, metadata=METADATA["svg"])
    with _at(figure, POINTS):
        figure.draw(pen)
    pen.finalize()
    return out.getvalue().encode()


def pdf(figure: Figure) -> bytes:
    """A page as large as the figure, with letters that can be searched."""
    out = io.BytesIO()
    figure.savefig(out, format="pdf", dpi=DPI, metadata=METADATA["pdf"])
    return out.getvalue()


PENS = {"png": png, "svg": svg, "pdf": pdf}
