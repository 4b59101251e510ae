"""The report in a real browser, narrow and wide."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from actlab.diagnosis.report import Report
from actlab.report.diagnosis import diagnosis
from actlab.report.diagnosis_page import diagnosis_page
from actlab.report.page import page
from actlab.sites.site import Unseen
from unit.report.comparisons import TESTS, made
from unit.report.findings import finding, site
from unit.report.quantities import quantities

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(BROWSER is None, reason="no chromium is installed")

LONG = "a_function_with_a_name_that_is_far_too_long_for_any_telephone"
DIAGNOSIS = 3  # gradients, dead units, saturated units
QUIET = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-sync",
    "--disable-extensions",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
    "--hide-scrollbars",
    "--enable-logging=stderr",
    "--virtual-time-budget=4000",
)

# A window cannot be made as narrow as a telephone, a frame can. The frame has the page's own rules on what may
# run, so the measuring stands outside of it.
FRAME = """<!doctype html><body><iframe id="frame" style="width:{width}px;height:900px;border:0" srcdoc="{page}">
</iframe><script>
document.getElementById("frame").addEventListener("load", function () {{
  const page = this.contentDocument, box = (element) => element.getBoundingClientRect();
  const measured = {{
    width: page.documentElement.scrollWidth,
    rows: page.querySelectorAll("tbody tr").length,
    pictures: [...page.querySelectorAll("svg")].map((svg) => [box(svg).width, box(svg).height]),
    drawn: [...page.querySelectorAll("svg")].map((svg) => svg.getBBox().width),
    inPictures: [...page.querySelectorAll("svg text")].map((text) => page.defaultView.getComputedStyle(text).fill),
    inText: [...page.querySelectorAll("section *")].map((part) => page.defaultView.getComputedStyle(part).color),
    background: page.defaultView.getComputedStyle(page.querySelector("section")).backgroundColor,
  }};
  document.body.innerHTML = "<pre>" + JSON.stringify(measured) + "</pre>";
}});
</script>"""


def browsed(text, folder, *, width, flags=()):
    """What the browser measured of a page in a frame of this width, and what it complained of."""
    file = folder / f"frame{width}.html"
    file.write_text(FRAME.format(width=width, page=html.escape(text)), encoding="utf-8")
    command = [BROWSER, *QUIET, *flags, f"--user-data-dir={folder / 'profile'}", "--dump-dom", file.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    found = re.search(r"<pre>(.*)</pre>", done.stdout, flags=re.DOTALL)
    assert found, f"nothing was measured: {done.stdout[-500:]} {done.stderr[-2000:]}"
    complaints = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    return json.loads(html.unescape(found[1])), complaints


def found():
    """A report with names that are too long for a telephone."""
    findings = (
        finding(message=f"{LONG} " * 3, where=site(f"{LONG}.{LONG}", file=f"/{LONG}/{LONG}.py"), remedies=(LONG,)),
        finding("AL102", "warning", evidence={LONG: 0.98, "examples": 6400}),
        finding("AL101", "information"),
    )
    return Report(findings, (Unseen(LONG, "nn.LSTM", "it is fused"),), (), quantities())


@pytest.fixture(scope="module")
def text():
    tests = {**TESTS, LONG: TESTS["tanh"], "<b>$x$": TESTS["relu"]}
    return page(
        made(tests, notes=(f"{LONG} " * 2,)),
        provenance={"command": f"actlab advise {LONG}{LONG}"},
        diagnosis=diagnosis(found(), root=Path("/")),
    )


@pytest.mark.parametrize("width", [400, 1400])
def test_page_loads_fits_and_shows_everything(text, tmp_path, width):
    measured, complaints = browsed(text, tmp_path, width=width)
    assert complaints == []
    assert measured["width"] <= width
    assert measured["rows"] == len(TESTS) + 2
    assert len(measured["pictures"]) >= (len(TESTS) + 2) + 2 + len(TESTS) + DIAGNOSIS
    assert min(min(size) for size in measured["pictures"]) > 100
    assert max(wide for wide, _ in measured["pictures"]) <= width
    assert min(measured["drawn"]) > 100


@pytest.mark.parametrize("width", [400, 1400])
def test_the_page_of_a_diagnosis_fits_and_shows_everything(tmp_path, width):
    measured, complaints = browsed(diagnosis_page(found(), title=LONG, root=Path("/")), tmp_path, width=width)
    assert complaints == []
    assert measured["width"] <= width
    assert len(measured["pictures"]) == DIAGNOSIS
    assert min(min(size) for size in measured["pictures"]) > 100


@pytest.mark.parametrize("is_dark", [False, True], ids=["light", "dark"])
def test_text_can_be_read_on_light_and_on_dark(text, tmp_path, is_dark):
    flags = ["--blink-settings=preferredColorScheme=0"] if is_dark else []
    measured, _ = browsed(text, tmp_path, width=800, flags=flags)
    background = measured["background"]
    assert (luminance(background) < 0.1) is is_dark
    # What the Web Content Accessibility Guidelines 2.2 ask of small text (criterion 1.4.3).
    faint = {colour for colour in measured["inPictures"] + measured["inText"] if contrast(colour, background) < 4.5}
    assert not faint


def test_a_page_that_is_too_wide_or_complains_is_noticed(tmp_path):
    wide = "<section></section><div style='width:700px'>wide</div><script>console.error('a fault')</script>"
    measured, complaints = browsed(wide, tmp_path, width=400)
    assert measured["width"] == pytest.approx(700, abs=20)
    assert any("a fault" in line for line in complaints)


def luminance(colour):
    """The relative luminance of a colour as the browser says it, from 0 to 1."""
    shares = [float(part) / 255 for part in re.findall(r"[\d.]+", colour)[:3]]
    linear = [share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4 for share in shares]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one, other):
    darker, lighter = sorted((luminance(one), luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)
