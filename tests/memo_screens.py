"""The pictures of the memo in docs: the page on a desk and on a phone, the event picker, the first pages of the PDF.

`python tests/memo_screens.py` makes them anew from the golden result of us-acquirers; it needs Chromium with its driver.
"""

from __future__ import annotations

import base64
import io
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pypdfium2
from browser_memo import BROWSER, DRIVER, FLAGS
from PIL import Image

from engine.report import memo_files
from engine.results import read_result

ROOT = Path(__file__).parents[1]
GROUND, EDGE = (208, 208, 208), 24
DESK, PHONE = (960, 1290), (390, 1290)


def browser(folder: Path) -> Any:
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = BROWSER or ""
    for flag in (*FLAGS, f"--user-data-dir={folder / 'profile'}", "--hide-scrollbars"):
        options.add_argument(flag)
    return webdriver.Chrome(options=options, service=Service(DRIVER or ""))


def sized(page: Any, size: tuple[int, int], mobile: bool) -> None:
    """A window of this size, at its top."""
    told = {"width": size[0], "height": size[1], "deviceScaleFactor": 1, "mobile": mobile}
    page.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", told)
    page.refresh()


def shot(page: Any, top: float, size: tuple[int, int]) -> Image.Image:
    """What is seen from ``top`` pixels down."""
    clip = {"x": 0, "y": top, "width": size[0], "height": size[1], "scale": 1}
    told = page.execute_cdp_cmd(
        "Page.captureScreenshot", {"format": "png", "captureBeyondViewport": True, "clip": clip}
    )
    return Image.open(io.BytesIO(base64.b64decode(told["data"]))).convert("RGB")


def beside(pictures: Sequence[Image.Image]) -> Image.Image:
    """Pictures in a row on a grey ground."""
    width = sum(p.width for p in pictures) + EDGE * (len(pictures) + 1)
    sheet = Image.new("RGB", (width, max(p.height for p in pictures) + 2 * EDGE), GROUND)
    x = EDGE
    for picture in pictures:
        sheet.paste(picture, (x, EDGE))
        x += picture.width + EDGE
    return sheet


def keep(picture: Image.Image, name: str) -> None:
    picture.quantize(128, dither=Image.Dither.NONE).save(ROOT / "docs" / name, optimize=True)


def screens(page: Any) -> None:
    """The page and the picker."""
    above = "return window.scrollY + document.querySelector(arguments[0]).getBoundingClientRect().top"
    sized(page, DESK, mobile=False)
    pictures = [shot(page, 0, DESK)]
    page.execute_script("for (let i = 0; i < 2; i++) document.querySelector('.picker .next').click()")
    page.execute_script("document.querySelectorAll('.picker .hit')[11].dispatchEvent(new PointerEvent('pointerenter'))")
    keep(beside([shot(page, page.execute_script(above, ".picker") - 70, (DESK[0], 720))]), "memo-picker.png")
    sized(page, PHONE, mobile=True)
    chart = page.execute_script(above, "figure .phone")
    keep(beside([*pictures, shot(page, 0, PHONE), shot(page, chart, PHONE)]), "memo-page.png")


def main() -> None:
    files = memo_files(read_result(ROOT / "studies" / "us-acquirers" / "golden"), ["html", "pdf"])
    pages = pypdfium2.PdfDocument(files["memo.pdf"])
    keep(beside([pages[i].render(scale=1.5).to_pil().convert("RGB") for i in range(2)]), "memo-pdf.png")
    with tempfile.TemporaryDirectory() as folder:
        memo = Path(folder) / "memo.html"
        memo.write_bytes(files["memo.html"])
        page = browser(Path(folder))
        try:
            page.get(memo.as_uri())
            screens(page)
        finally:
            page.quit()


if __name__ == "__main__":
    main()
