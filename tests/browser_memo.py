"""The memo in a real browser, part of `make slow`: no console errors, sorting, picker and numbers on hover, print, phone width.

Not collected by `make test`. Where there is no Chromium with its driver every test is skipped, with the reason printed.
"""

from __future__ import annotations

import base64
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pypdfium2
import pytest
from test_memo_formats import HOSTILE, small

from engine.report import memo_html

FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--window-size=1100,900",
)  # fmt: skip
BROWSER, DRIVER = (shutil.which(n) for n in ("chromium", "chromedriver"))
pytestmark = pytest.mark.skipif(not (BROWSER and DRIVER), reason="no chromium with chromedriver on this machine")


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    folder = tmp_path_factory.mktemp("browser")
    options = webdriver.ChromeOptions()
    options.binary_location = BROWSER
    for flag in (*FLAGS, f"--user-data-dir={folder / 'profile'}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    memo = folder / "memo.html"
    memo.write_text(memo_html(small(len(HOSTILE), ids=HOSTILE, names=("<b>Acme</b>", "中芯国际"))), encoding="utf-8")
    driver = webdriver.Chrome(options=options, service=Service(DRIVER))
    try:
        driver.get(memo.as_uri())
        yield driver
    finally:
        driver.quit()


def cells(page: Any, column: int) -> list[str]:
    script = "return [...document.querySelectorAll('table.events tbody tr')].map(r => r.cells[arguments[0]].textContent.trim())"
    return list(page.execute_script(script, column))


def test_nothing_is_wrong_and_nothing_is_asked_from_outside(page: Any) -> None:
    assert page.get_log("browser") == []
    assert page.execute_script("return performance.getEntriesByType('resource').map(e => e.name)") == []
    assert "alert" not in page.title


def test_tables_sort_by_number_up_and_down(page: Any) -> None:
    from selenium.webdriver.common.by import By

    button = page.find_elements(By.CSS_SELECTOR, "table.events thead button")[5]
    assert button.text.strip() == "CAR %"
    before = cells(page, 5)
    button.click()
    values = [float(c.replace("−", "-")) for c in cells(page, 5)]
    assert values == sorted(values)
    assert values != [float(c.replace("−", "-")) for c in before]
    button.click()
    assert [float(c.replace("−", "-")) for c in cells(page, 5)] == values[::-1]
    by_name = page.find_elements(By.CSS_SELECTOR, "table.events thead button")[0]
    by_name.click()
    assert set(cells(page, 0)) == set(HOSTILE)


def test_the_picker_shows_each_event(page: Any) -> None:
    from selenium.webdriver.common.by import By
    from selenium.webdriver.support.ui import Select

    choice = Select(page.find_element(By.CSS_SELECTOR, ".picker select"))
    labels = [o.text for o in choice.options]
    assert len(labels) == len(HOSTILE)
    assert any(label.startswith("<script>alert(1)</script>") for label in labels)
    paths = set()
    for i in range(len(labels)):
        choice.select_by_index(i)
        points = page.find_elements(By.CSS_SELECTOR, ".picker .hit")
        paths.add(" ".join(point.get_attribute("aria-label") for point in points))
        assert "Day 0" in page.find_element(By.CSS_SELECTOR, ".picker dl").text
    assert len(paths) == len(labels)
    assert not page.find_element(By.CSS_SELECTOR, ".picker .next").is_enabled()
    page.find_element(By.CSS_SELECTOR, ".picker .previous").click()
    assert choice.first_selected_option.text == labels[-2]


def test_a_point_tells_its_numbers(page: Any) -> None:
    from selenium.webdriver.common.by import By

    point = page.find_element(By.CSS_SELECTOR, ".column .hit")
    page.execute_script("arguments[0].scrollIntoView({block: 'center'})", point)
    page.execute_script("arguments[0].dispatchEvent(new PointerEvent('pointerenter'))", point)
    tip = page.find_element(By.CSS_SELECTOR, ".tip")
    assert tip.is_displayed()
    assert tip.text.startswith("day −1: CAAR ")
    page.execute_script("arguments[0].dispatchEvent(new PointerEvent('pointerleave'))", point)
    assert not tip.is_displayed()


def test_it_prints(page: Any, tmp_path: Path) -> None:
    pdf = pypdfium2.PdfDocument(base64.b64decode(page.execute_cdp_cmd("Page.printToPDF", {})["data"]))
    assert len(pdf) >= 3
    for sheet in pdf:
        grey = np.asarray(sheet.render(scale=0.5).to_pil().convert("L"))
        assert 0.001 < (grey < 128).mean() < 0.5
    text = " ".join(sheet.get_textpage().get_text_range() for sheet in pdf)
    assert "Look at one event" not in text.replace("LOOK AT ONE EVENT", "Look at one event")
    assert "Provenance" in text


def test_a_phone_needs_no_sideways_scroll(page: Any) -> None:
    size = {"width": 390, "height": 800, "deviceScaleFactor": 2, "mobile": True}
    page.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    page.refresh()
    try:
        assert page.execute_script("return document.documentElement.scrollWidth") <= 390
        shown = "return [...document.querySelectorAll('{} svg')].map(s => s.getBoundingClientRect().width > 0)"
        assert set(page.execute_script(shown.format(".phone"))) == {True}
        assert set(page.execute_script(shown.format(".column"))) == {False}
    finally:
        page.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
