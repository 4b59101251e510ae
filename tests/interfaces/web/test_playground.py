"""The page Playground in a browser."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from actlab.telemetry.playground import recorded
from actlab.train.playground.state import Layer, State, query_of
from actlab.train.playground.training import Training

SMALL = State(paused=True, pace=0, layers=(Layer(4, "tanh"), Layer(3, "x*sigmoid(1.702*x)")))


def drawn(page: Any) -> dict[str, Any]:
    """Return the frame that the page shows."""
    frame: dict[str, Any] = page.evaluate("document.getElementById('surface').drawn")
    return frame


def becomes(page: Any, expression: str) -> None:
    """Wait until an expression in JavaScript is true; the pages' policy forbids Playwright's own way."""
    end = time.monotonic() + 15
    while not page.evaluate(expression):
        assert time.monotonic() < end, expression
        page.wait_for_timeout(30)


def shows(page: Any, condition: str) -> None:
    """Wait until the frame that the page shows fulfills a condition in JavaScript."""
    becomes(
        page, f"(() => {{ const frame = document.getElementById('surface')?.drawn; return frame && ({condition}); }})()"
    )


def test_the_address_restores_the_training_to_the_bit(visitor_of):
    visitor = visitor_of()
    page = visitor.visit("/playground?" + query_of(SMALL))
    shows(page, "frame.step === 0")
    visitor.at("steps").click()
    shows(page, "frame.step === 100 && !frame.playing")
    first, address = drawn(page), page.url
    page.reload()
    shows(page, "frame.step === 0")
    assert page.url == address
    assert visitor.at("activation-2").input_value() == "x*sigmoid(1.702*x)"
    visitor.at("steps").click()
    shows(page, "frame.step === 100 && !frame.playing")
    assert drawn(page) == first
    training = Training(SMALL)
    training.advance(100)
    assert first["train"] == training.losses().train


def test_it_runs_at_once_and_every_change_is_in_the_address(visitor_of):
    visitor = visitor_of()
    page = visitor.visit("/playground")
    shows(page, "frame.playing && frame.step > 20")
    visitor.at("play").click()
    shows(page, "!frame.playing")
    assert "paused=1" in page.url
    visitor.at("data").select_option("xor")
    visitor.at("rate").fill("0.03")
    visitor.at("width-1").fill("5")
    visitor.at("normalization-2").select_option("batch")
    visitor.at("add-layer").click()
    becomes(page, "location.search.includes('data=xor') && (location.search.match(/layer=/g) || []).length === 3")
    shows(page, "frame.step === 0 && frame.layers.length === 3 && frame.layers[0].units.length === 5")
    for part in ("rate=0.03", "layer=5:none:default:tanh", "layer=8:batch:default:tanh"):
        assert part in page.url
    assert visitor.at("unit").count() == 5 + 8 + 8
    visitor.at("remove-2").click()
    shows(page, "frame.layers.length === 2")


def test_what_is_typed_while_the_server_answers_is_not_lost(visitor_of):
    visitor = visitor_of()
    page = visitor.visit("/playground?" + query_of(SMALL))
    shows(page, "frame.step === 0")

    def slowly(route: Any) -> None:
        time.sleep(0.4)  # the answer to one change arrives after the next change
        route.continue_()

    page.route("**/api/playground", slowly)
    visitor.at("rate").fill("0.1")
    page.wait_for_timeout(350)  # asked for, and not answered yet
    visitor.at("width-1").fill("7")
    visitor.at("batch").fill("5")
    visitor.at("activation-2").fill("sin(x)")
    visitor.at("play").click()
    shows(page, "frame.playing && frame.layers[0].units.length === 7")
    becomes(page, "location.search.includes('sin(x)')")
    for part in ("rate=0.1", "layer=7:none", "batch=5", "layer=3:none:default:sin(x)"):
        assert part in page.url
    assert visitor.at("width-1").input_value() == "7"
    assert "paused" not in page.url


def test_a_formula_that_is_being_typed_stays_when_a_layer_is_added_or_removed(visitor_of):
    visitor = visitor_of()
    page = visitor.visit("/playground?" + query_of(SMALL))
    shows(page, "frame.step === 0")
    visitor.at("activation-2").fill("sin(x)")
    visitor.at("add-layer").click()
    assert visitor.at("activation-2").input_value() == "sin(x)"
    visitor.at("activation-1").fill("cos(x)")
    visitor.at("remove-1").click()
    page.wait_for_timeout(600)
    assert visitor.at("activation-1").input_value() == "sin(x)"
    becomes(page, "(location.search.match(/sin\\(x\\)/g) || []).length === 2 && !location.search.includes('cos')")


def test_a_formula_is_an_activation_and_a_wrong_one_is_explained_beside_its_box(visitor_of):
    visitor = visitor_of()
    visitor.expected.append("400")
    page = visitor.visit("/playground?" + query_of(SMALL))
    shows(page, "frame.step === 0")
    before = drawn(page)["layers"][0]
    visitor.at("activation-1").fill("sin(3*")
    visitor.at("activation-error-1").wait_for(state="visible")
    assert "sin(3*" in visitor.at("activation-error-1").text_content()
    assert visitor.at("activation-1").get_attribute("aria-invalid") == "true"
    assert "sin" not in page.url  # the rest goes on with the last correct one
    visitor.at("activation-1").fill("sin(3*x)")
    becomes(page, "location.search.includes('sin(3*x)')")
    assert visitor.at("activation-error-1").is_hidden()
    shows(page, f"frame.layers[0].units[0] !== '{before['units'][0]}'")


def test_a_wrong_address_is_explained_and_can_be_corrected(visitor_of):
    visitor = visitor_of()
    visitor.expected.append("400")
    page = visitor.visit("/playground?paused=1&layer=" + quote("4:none:default:tahn"))
    visitor.at("error").wait_for(state="visible")
    assert "Did you mean 'tanh'" in visitor.at("error").text_content()
    visitor.at("activation-error-1").wait_for(state="visible")
    visitor.at("activation-1").fill("relu")
    shows(page, "frame.step === 0")
    assert visitor.at("error").is_hidden()


def test_a_training_that_diverges_is_shown_and_can_be_reset(visitor_of):
    visitor = visitor_of()
    state = State(data="function", f="x^3", rate=10.0, pace=0, layers=(Layer(8, "relu"),))
    page = visitor.visit("/playground?" + query_of(state))
    visitor.at("error").wait_for(state="visible")
    assert "diverged at step" in visitor.at("error").text_content()
    shows(page, "!frame.playing")
    assert visitor.at("play").is_disabled()
    visitor.at("reset").click()
    shows(page, "frame.step === 0 && !frame.diverged")
    assert visitor.at("error").is_hidden()


def test_the_keyboard_suffices(visitor_of):
    visitor = visitor_of()
    page = visitor.visit("/playground?" + query_of(SMALL))
    shows(page, "frame.step === 0")
    visitor.at("step").focus()
    page.keyboard.press("Enter")
    shows(page, "frame.step === 1")
    page.keyboard.press("Tab")
    page.keyboard.press("Space")
    shows(page, "frame.step === 101")
    visitor.at("play").focus()
    page.keyboard.press("Enter")
    shows(page, "frame.playing")
    page.keyboard.press("Enter")
    shows(page, "!frame.playing")
    assert "training loss" in visitor.at("surface").get_attribute("aria-label")
    assert visitor.at("layer-table").locator("tbody tr").count() == 2


def test_a_table_is_uploaded_and_trained_on(visitor_of, tmp_path):
    visitor = visitor_of()
    visitor.expected.append("400")
    file, wrong = tmp_path / "trees.csv", tmp_path / "words.csv"
    file.write_text("height,width,kind\n" + "".join(f"{at},{at % 7},{'ab'[at % 2]}\n" for at in range(60)))
    wrong.write_text("one,two\nx,y\n")
    page = visitor.visit("/playground?" + query_of(SMALL))
    shows(page, "frame.step === 0")
    visitor.at("data").select_option("table")
    visitor.at("file").set_input_files(wrong)
    visitor.at("file-error").wait_for(state="visible")
    assert "two columns of numbers" in visitor.at("file-error").text_content()
    visitor.at("file").set_input_files(file)
    becomes(page, "location.search.includes('x1=height')")
    becomes(page, "document.getElementById('legend').textContent.includes('kind a')")
    assert visitor.at("file-error").is_hidden()
    page.reload()
    becomes(page, "document.getElementById('legend').textContent.includes('kind b')")
    assert visitor.at("y").input_value() == "kind"


def test_a_session_that_has_gone_is_made_again(visitor_of):
    visitor = visitor_of()
    page = visitor.visit("/playground?" + query_of(SMALL))
    shows(page, "frame.step === 0")
    with page.expect_response("**/api/playground") as started:
        visitor.at("width-1").fill("6")
    name = started.value.json()["id"]
    shows(page, "frame.step === 0 && frame.layers[0].units.length === 6")
    visitor.at("step").click()
    shows(page, "frame.step === 1")
    with page.expect_response("**/api/playground"):
        page.request.post(f"{visitor.origin}/api/playground/{name}/close")
    shows(page, "frame.step === 0")


@pytest.mark.parametrize(("width", "dark"), [(360, False), (800, True), (1400, True)])
def test_nothing_is_wider_than_the_window(visitor_of, width, dark):
    visitor = visitor_of(width=width, dark=dark)
    page = visitor.visit("/playground?" + query_of(SMALL))
    shows(page, "frame.step === 0")
    assert page.evaluate("document.documentElement.scrollWidth") <= width


MOUNT = """async ([query, frames]) => {
  const {mount} = await import("/static/figure_playground.js");
  const place = document.createElement("div");
  place.id = "surface";
  document.getElementById("main").replaceChildren(place);
  await mount(place, new URLSearchParams(query), frames ? {frames} : {});
}"""


def test_a_lesson_mounts_a_live_figure(visitor_of):
    visitor = visitor_of()
    page = visitor.visit("/")
    page.evaluate(MOUNT, [query_of(SMALL) + "&controls=activation,layers", None])
    shows(page, "frame.step === 0 && frame.layers.length === 2")
    visitor.at("step").click()
    shows(page, "frame.step === 1")
    visitor.at("layers").fill("1")
    shows(page, "frame.step === 0 && frame.layers.length === 1")
    visitor.at("play").click()
    shows(page, "frame.step > 20")


def test_a_lesson_replays_a_recording_without_a_server(visitor_of):
    visitor = visitor_of()
    page = visitor.visit("/")
    frames = recorded(SMALL, 200, count=5)
    asked = len(visitor.requests)
    page.evaluate(MOUNT, [query_of(SMALL), frames])
    shows(page, "frame.step === 0")
    visitor.at("step").click()
    shows(page, f"frame.step === {frames[1]['step']}")
    visitor.at("play").click()
    shows(page, "frame.step === 200 && !frame.playing")
    assert not [address for address in visitor.requests[asked:] if "/api/" in address]
    visitor.at("reset").click()
    shows(page, "frame.step === 0")


def test_the_program_is_handed_out(visitor_of):
    visitor = visitor_of()
    page = visitor.visit("/playground?" + query_of(SMALL))
    shows(page, "frame.step === 0")
    with page.expect_download() as download:
        visitor.at("program").click()
    assert download.value.suggested_filename == "playground.py"
    compile(Path(download.value.path()).read_text(encoding="utf-8"), "playground.py", "exec")
