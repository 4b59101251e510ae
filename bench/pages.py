"""How soon does a page of the workbench answer? Measured in Chromium, with the server on the same machine.

`first paint`: from the request of a page to the first thing on the screen, of a server that has answered before.
`slider to curve`: from moving a slider until the frame that shows the curve has been handed to the screen.
"""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from harness import Options, Percentiles, Row, options, percentiles_of, record, row

from actlab.web.loopback import address_of, bound
from actlab.web.server import server
from actlab.web.shell import NAVIGATION
from actlab.web.workbench import Workbench

FORMULAS = {
    "swish": "swish: beta",
    "x*sigmoid(b*x) + a*tanh(x); a=0.5; b=1.5": "x*sigmoid(b*x) + a*tanh(x); a=0.5; b=1.5: a",
}

# Moves the slider and waits for the frame after the one in which the curve is drawn.
MOVE = """
([name, share]) => new Promise((resolve) => {
  const slider = document.querySelector(`[data-test="slider-${CSS.escape(name)}"]`);
  slider.value = String(Number(slider.min) + share * (slider.max - slider.min));
  const began = performance.now();
  slider.dispatchEvent(new Event("input", {bubbles: true}));
  requestAnimationFrame(() => requestAnimationFrame(() => resolve(performance.now() - began)));
})
"""
PAINT = "() => performance.getEntriesByName('first-contentful-paint')[0]?.startTime"


@contextmanager
def visited() -> Iterator[tuple[Any, str]]:
    """Open a page of a browser that has the server's cookie."""
    from playwright.sync_api import sync_playwright

    bench, listener = Workbench(), bound(0)
    runs = server(bench)
    thread = threading.Thread(target=lambda: runs.run(sockets=[listener]), daemon=True)
    thread.start()
    while not runs.started:
        time.sleep(0.05)
    with sync_playwright() as started:
        browser = started.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1400, "height": 900})
        address = address_of(bench, listener)
        page.goto(address)
        yield page, address.partition("/?")[0]
        browser.close()
    runs.should_exit = True
    thread.join()


def measured(*, asked: Options) -> list[Row]:
    visits, moves = (2, 5) if asked.quick else (9, 200)
    rows = []
    with visited() as (page, origin):
        for path in ("/", *(address for address, _ in NAVIGATION), "/lessons/3"):
            page.goto(origin + path)
            page.wait_for_function(PAINT)
            times = []
            for _ in range(visits):
                page.goto(origin + path)
                times.append(page.wait_for_function(PAINT).json_value() / 1000)
            rows.append(row("first paint", path, unit="s", measured=percentiles_of(times)))
        for formula, slider in FORMULAS.items():
            page.goto(f"{origin}/function")
            page.fill('[data-test="formula"]', formula)
            page.press('[data-test="formula"]', "Enter")
            page.wait_for_selector(f'[data-test="slider-{slider}"]')
            page.wait_for_timeout(500)
            times = sorted(page.evaluate(MOVE, [slider, (at % 40) / 40]) / 1000 for at in range(moves))
            ninety_five = times[min(len(times) - 1, round(0.95 * len(times)))]
            spread: Percentiles = percentiles_of(times)
            note = f"of {moves} moves; 95th percentile {ninety_five * 1000:.1f} ms; three curves, two frames of waiting"
            rows.append(row("slider to curve", formula, unit="s", measured=spread, note=note))
    return rows


def main() -> None:
    asked = options(__doc__ or "")
    if shutil.which("chromium") is None:
        print("chromium is not installed: nothing is measured")
        return
    record("pages", measured(asked=asked), asked=asked)


if __name__ == "__main__":
    main()
