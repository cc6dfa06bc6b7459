import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from selenium import webdriver

from automed.report import page
from automed.report.results import Results

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(
        not (CHROMIUM and DRIVER) and "AUTOMED_REQUIRE_BROWSER" not in os.environ,
        reason="needs the Debian packages chromium and chromium-driver",
    ),
]

ARGUMENTS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-quic",
    "--hide-scrollbars",
    "--window-size=1280,2000",
)
TEXT_BOXES = """
return [...document.querySelectorAll(
  "#figure-front .annotation-text, #figure-front .xtick text, #figure-front .ytick text, " +
  "#figure-front .g-xtitle text, #figure-front .g-ytitle text"
)].map(e => { const b = e.getBoundingClientRect();
  return [e.textContent, b.left, b.top, b.right, b.bottom]; });
"""
DRAWN = """
return [...document.querySelectorAll(".plotly-graph-div")].map(
  e => [e.id, e.querySelectorAll("svg.main-svg").length, e.querySelectorAll("path.point").length]);
"""


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Any]:
    options = webdriver.ChromeOptions()
    for argument in (*ARGUMENTS, f"--user-data-dir={tmp_path / 'profile'}"):
        options.add_argument(argument)
    options.binary_location = CHROMIUM
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    yield driver
    driver.quit()


def opened(browser: Any, results: Results, folder: Path, width: int) -> None:
    page.write(results, folder / "report.html")
    browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": width, "height": 2000, "deviceScaleFactor": 1, "mobile": False},
    )
    browser.get((folder / "report.html").as_uri())


def overlaps(boxes: list[tuple[str, float, float, float, float]]) -> list[tuple[str, str]]:
    return [
        (a[0], b[0])
        for i, a in enumerate(boxes)
        for b in boxes[:i]
        if a[1] < b[3] and b[1] < a[3] and a[2] < b[4] and b[2] < a[4]
    ]


@pytest.mark.parametrize("width", [1280, 820, 400])
def test_the_page_reads_well_at_every_width(
    width: int, browser: Any, results: Results, tmp_path: Path
) -> None:
    opened(browser, results, tmp_path, width)
    root = "document.documentElement"
    wide, shown = browser.execute_script(f"return [{root}.scrollWidth, {root}.clientWidth]")
    assert shown == width
    assert wide <= shown
    drawn = {name: (svgs, points) for name, svgs, points in browser.execute_script(DRAWN)}
    assert set(drawn) == {f"figure-{n}" for n in page.FIGURES}
    assert all(svgs for svgs, _ in drawn.values())
    assert drawn["figure-front"][1] >= len(results.models)
    boxes = browser.execute_script(TEXT_BOXES)
    texts = [box[0] for box in boxes]
    assert all(any(m.name in text for text in texts) for m in results.models)
    assert {"0.5", "Latency in ms (log scale)"} <= set(texts)
    assert overlaps(boxes) == []
    assert [e for e in browser.get_log("browser") if e["level"] == "SEVERE"] == []


@pytest.mark.parametrize("case", ["empty", "hostile", "errors"])
def test_odd_results_open_without_a_complaint(
    case: str, browser: Any, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    opened(browser, request.getfixturevalue(case), tmp_path, 1280)
    assert all(svgs for _, svgs, _ in browser.execute_script(DRAWN))
    scripts = browser.execute_script("return document.querySelectorAll('script').length")
    assert scripts == 2 + len(page.FIGURES), "Plotly, the legends, and one a figure"
    assert [e for e in browser.get_log("browser") if e["level"] == "SEVERE"] == []


def test_a_family_can_be_hidden(browser: Any, results: Results, tmp_path: Path) -> None:
    opened(browser, results, tmp_path, 1280)
    before = dict((n, p) for n, _, p in browser.execute_script(DRAWN))
    browser.execute_script(
        "document.querySelector('[data-figure=figure-families] button[data-group=vgg]').click()"
    )
    after = dict((n, p) for n, _, p in browser.execute_script(DRAWN))
    assert after["figure-families"] < before["figure-families"]
    assert after["figure-front"] == before["figure-front"]
