"""Charts as bytes: what the pens write is what matplotlib writes of the same figure, and leaders end where they should."""

from __future__ import annotations

import io

import numpy as np
import pytest
from matplotlib.backends.backend_agg import RendererAgg
from matplotlib.font_manager import FontProperties
from matplotlib.patches import Rectangle
from matplotlib.textpath import TextToPath
from PIL import Image
from test_report import make

from engine.report.labels import leader
from engine.report.letters import Outlines, Ruler, pieces
from engine.report.memo import draw_chart, save_chart
from engine.report.pens import DPI, METADATA
from engine.report.style import blank, style, text_width

TEXTS = (
    "Mean CAR over [-1, 1], 85 events", "- -", "a", " ", "  two  spaces  ", "AVA Tora Yj. fi ffl “quoted” −1.5\u00a0%", "_ gp ^",
    "Größe Ωμέγα Событие", "שלום עולם and more", "سهم one", "N\u00a0= 8; p\u00a0< 0.0001",
)  # fmt: skip
CHARTS = ("caar_path", "car_forest", "event_timeline", "car_heatmap")


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("size", [7.0, 8.5, 11.0])
def test_the_pieces_of_a_line_measure_what_the_line_does(text: str, size: float) -> None:
    with style():
        for weight in ("normal", "bold"):
            font = FontProperties(family=["DejaVu Sans"], size=size, weight=weight)
            for dpi in (100, DPI):
                whole = RendererAgg(1, 1, dpi).get_text_width_height_descent(text, font, False)
                assert Ruler(1, 1, dpi).get_text_width_height_descent(text, font, False) == whole
            outlined = TextToPath().get_text_width_height_descent(text, font, False)
            assert Outlines().get_text_width_height_descent(text, font, False) == outlined
        figure = blank()
        font = FontProperties(family=["DejaVu Sans"], size=size)
        dots = figure.canvas.get_renderer().get_text_width_height_descent(text, font, False)[0]
        assert text_width(figure, text, size) == dots / figure.dpi


@pytest.mark.parametrize("text", TEXTS)
def test_the_outlines_of_a_line_are_those_of_its_pieces(text: str) -> None:
    for known in ({}, {"of another chart": ()}):
        font = FontProperties(family=["DejaVu Sans"], size=8)
        plain, ours = TextToPath(), Outlines()
        for fresh in (False, True):
            expected = plain.get_glyphs_with_font(plain._get_font(font), text, dict(known), fresh)
            found = ours.get_glyphs_with_font(ours._get_font(font), text, dict(known), fresh)
            assert found[0] == expected[0]
            assert list(found[1]) == list(expected[1])
            for name in expected[1].keys() - known.keys():
                assert all(np.array_equal(a, b) for a, b in zip(found[1][name], expected[1][name], strict=True))


def test_letters_from_right_to_left_are_not_cut() -> None:
    assert pieces("one  two") == ["one", " ", " ", "two"]
    assert pieces("שלום עולם") == ["שלום עולם"]


@pytest.mark.parametrize("name", CHARTS)
def test_the_pens_write_what_matplotlib_writes(name: str) -> None:
    figure = draw_chart(make(12), name)
    with style():
        expected = io.BytesIO()
        figure.savefig(expected, format="svg", dpi=DPI, metadata=METADATA["svg"])
        pixels = io.BytesIO()
        figure.savefig(pixels, format="png", dpi=DPI)
    assert save_chart(figure, "svg") == expected.getvalue()
    found, plain = Image.open(io.BytesIO(save_chart(figure, "png"))), Image.open(pixels)
    assert found.mode == "RGB"
    assert found.info["dpi"] == plain.info["dpi"]
    assert np.array_equal(np.asarray(found), np.asarray(plain.convert("RGB")))
    assert np.asarray(plain)[..., 3].min() == 255
    assert figure.dpi == 100


@pytest.mark.parametrize(
    ("end", "shrink", "expected"),
    [
        ((30.0, 5.0), (0.0, 0.0), [(10, 5), (30, 5)]),  # out of the right side
        ((30.0, 5.0), (2.0, 3.0), [(12, 5), (27, 5)]),
        ((-15.0, 5.0), (0.0, 5.0), [(0, 5), (-10, 5)]),  # out of the left side
        ((5.0, 25.0), (0.0, 0.0), [(5, 10), (5, 25)]),  # out of the top
        ((9.0, -15.0), (0.0, 0.0), [(6, 0), (9, -15)]),  # the bottom comes before the right side
        ((8.0, 5.0), (0.0, 0.0), [(5, 5), (8, 5)]),  # the point is inside the box: the whole line
        ((12.0, 5.0), (3.0, 3.0), [(5, 5), (12, 5)]),  # nothing would be left
    ],
)
def test_a_leader_goes_from_the_edge_of_its_label_to_its_point(end, shrink, expected) -> None:
    box = Rectangle((0, 0), 10, 10)
    path = leader((5.0, 5.0), end, patchA=box, patchB=None, shrinkA=shrink[0], shrinkB=shrink[1])
    assert np.allclose(path.vertices, expected)


def test_a_leader_without_a_box_or_a_way_is_the_line_itself() -> None:
    assert np.allclose(leader((0.0, 0.0), (3.0, 4.0), shrinkA=1.0).vertices, [(0.6, 0.8), (3, 4)])
    assert np.allclose(leader((50.0, 5.0), (60.0, 5.0), patchA=Rectangle((0, 0), 10, 10)).vertices, [(50, 5), (60, 5)])
    assert np.allclose(leader((1.0, 1.0), (1.0, 1.0), shrinkB=2.0).vertices, [(1, 1), (1, 1)])
