"""Take the pictures of the workbench in docs/images/workbench: `python docs/screenshots.py`. It needs Chromium."""

from __future__ import annotations

import io
import shutil
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import sync_playwright

from actlab import verbs
from actlab.web.loopback import address_of, bound
from actlab.web.server import server
from actlab.web.workbench import Workbench

FOLDER = Path(__file__).parent / "images" / "workbench"

# The picture, the address, what to wait for, and seconds until the page has something to show.
PICTURES = (
    ("function", "/function?f=gelu&f=swish&f=x*sigmoid(b*x)%3B+b%3D3", '[data-test="curves"] canvas', 2.0),
    ("network", "/network", "svg.histogram, canvas", 20.0),
    ("depth", "/depth?f=tanh&sigma_w=1.5&sigma_b=0.2", ".plane svg", 5.0),
    ("fix", "/fix", '[data-test="form"]', 0.0),
    ("playground", "/playground", "canvas", 8.0),
    ("compare", "/compare?study=1", "svg, canvas", 3.0),
    ("lesson", "/lessons/3", "canvas", 2.0),
)


def main() -> None:
    """Serve the workbench with one stored comparison, and take every picture."""
    with tempfile.TemporaryDirectory() as folder:
        store = str(Path(folder) / "runs.db")
        verbs.compare("digits-relu", activations=["tanh", "sigmoid"], seeds=6, store=store)
        bench = Workbench(store=store)
        listener = bound(0)
        runs = server(bench)
        thread = threading.Thread(target=lambda: runs.run(sockets=[listener]), daemon=True)
        thread.start()
        while not runs.started:
            time.sleep(0.05)
        with sync_playwright() as started:
            executable = shutil.which("chromium")
            browser = started.chromium.launch(executable_path=executable, args=["--no-sandbox"])
            page = browser.new_page(viewport={"width": 1280, "height": 900})
            address = address_of(bench, listener)
            page.goto(address)
            for name, path, wanted, seconds in PICTURES:
                if sys.argv[1:] and name not in sys.argv[1:]:
                    continue
                page.goto(address.partition("/?")[0] + path)
                page.locator(wanted).first.wait_for()
                if name == "network":
                    page.locator('[data-test="play"]').click()
                if name == "fix":
                    page.locator('[data-test="start"]').click()
                    page.locator('[data-test="verdict"]').wait_for(timeout=600_000)
                page.wait_for_timeout(seconds * 1000)
                page.evaluate("scrollTo(0, 0)")
                write(page, FOLDER / f"{name}.png")
            browser.close()
        runs.should_exit = True
        thread.join()


def write(page: Any, path: Path) -> None:
    """Write what the page shows with few colors, so that the file is small."""
    picture = Image.open(io.BytesIO(page.screenshot(full_page=False)))
    picture.convert("RGB").quantize(colors=128, method=Image.Quantize.MEDIANCUT).save(path, optimize=True)
    print(path)


if __name__ == "__main__":
    main()
