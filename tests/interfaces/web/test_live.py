"""What is live stays live: in ten tabs, and when the server goes away and comes back."""

from __future__ import annotations

import threading
import time

from actlab.web.loopback import address_of, bound
from actlab.web.server import server
from actlab.web.workbench import Workbench


def test_ten_tabs_are_all_live(visitor_of):
    visitor = visitor_of()
    context = visitor.page.context
    pages = [visitor.page, *(context.new_page() for _ in range(9))]
    for page in pages:
        page.goto(visitor.origin + "/playground?pace=60")
    for page in pages:
        page.wait_for_function("() => /\\d/.test(document.querySelector('.status')?.textContent || '')", timeout=60_000)
    # a page that asks for something still gets an answer: six open connections would block it
    pages[-1].goto(visitor.origin + "/function?f=gelu")
    pages[-1].locator('[data-test="curves"] canvas').first.wait_for(timeout=30_000)


def test_a_page_says_when_the_server_has_gone_and_goes_on_when_it_is_back(chromium):
    bench = Workbench(token="key")
    listener = bound(0)
    port = listener.getsockname()[1]
    context = chromium.new_context()
    page = context.new_page()
    for visit in range(2):
        runs = server(bench)
        thread = threading.Thread(target=lambda runs=runs, held=listener: runs.run(sockets=[held]), daemon=True)
        thread.start()
        while not runs.started:
            time.sleep(0.02)
        if visit == 0:
            page.goto(address_of(bench, listener))
            page.goto(f"http://127.0.0.1:{port}/playground?pace=10")
            page.wait_for_function("() => /\\d/.test(document.querySelector('.status').textContent)", timeout=30_000)
        else:
            page.locator("#gone").wait_for(state="hidden", timeout=30_000)
        runs.should_exit = True
        thread.join(10)
        listener.close()
        if visit == 0:
            page.locator("#gone").wait_for(state="visible", timeout=30_000)
            listener = bound(port)
    context.close()


def test_a_tab_that_slept_while_the_server_was_restarted_goes_on(chromium):
    context = chromium.new_context()
    page = context.new_page()
    listener = bound(0)
    port = listener.getsockname()[1]
    sleeping = context.new_cdp_session(page)
    for visit in range(2):
        bench = Workbench(token="key")
        runs = server(bench)
        thread = threading.Thread(target=lambda runs=runs, held=listener: runs.run(sockets=[held]), daemon=True)
        thread.start()
        while not runs.started:
            time.sleep(0.02)
        if visit == 0:
            page.goto(address_of(bench, listener))
            page.goto(f"http://127.0.0.1:{port}/playground?pace=10&layer=3:none:default:tanh")
            page.wait_for_function(
                "() => /Step \\d/.test(document.querySelector('.status').textContent)", timeout=30_000
            )
            sleeping.send("Page.setWebLifecycleState", {"state": "frozen"})
        else:
            sleeping.send("Page.setWebLifecycleState", {"state": "active"})
            page.locator("#gone").wait_for(state="hidden", timeout=30_000)
            page.wait_for_timeout(1500)
            before = page.locator(".status").text_content()
            page.wait_for_timeout(1500)
            assert page.locator(".status").text_content() != before
            assert "layer=3:none:default:tanh" in page.url
        runs.should_exit = True
        thread.join(10)
        listener.close()
        if visit == 0:
            listener = bound(port)
    context.close()
