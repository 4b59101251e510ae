"""The lessons in a browser: figures, choices, progress, presets; and as files without a server."""

from __future__ import annotations

import math
from io import BytesIO
from pathlib import Path
from urllib.parse import parse_qs

import pytest
from PIL import Image

from actlab.errors import BadInput
from actlab.lessons import draw
from actlab.lessons.lesson import Lesson, lessons, questions
from actlab.lessons.state import State
from actlab.theory.evaluate import of_x, slope_of
from actlab.theory.multiprecision import precise
from actlab.web.lessons_export import export, modules

PAGES = [*lessons(), *questions()]
DRAWN = "figures => figures.map(figure => figure.querySelector('.stage').drawn)"
MOUNTED = """() => [...document.querySelectorAll("[data-figure]")].every((figure) =>
  "mounted" in figure.dataset && (figure.querySelector(".stage").drawn || !figure.querySelector(".error").hidden))"""


def address_of(lesson: Lesson) -> str:
    return f"/lessons/{lesson.number}" if lesson.number else "/questions"


def at(place, name: str):
    return place.locator(f'[data-test="{name}"]')


def assert_figures_are_right(page, lesson: Lesson):
    """Compare what each figure of a page drew with Python, to 1e-6."""
    page.wait_for_function(MOUNTED)
    assert page.locator(".live .error:visible").all_inner_texts() == []
    drawn = page.eval_on_selector_all("[data-figure]", DRAWN)
    for figure, found in zip(lesson.figures, drawn, strict=True):
        if figure.kind == "function":
            assert_curves_are_right(figure.state, found)
        elif figure.kind == "lines":
            data = draw.lines(figure.state)
            setting = data["settings"][data["first"]]
            assert found["x"] == pytest.approx(list(setting["x"]), abs=1e-6)
            for y, series in zip(found["ys"], setting["series"], strict=True):
                assert numbers(y) == pytest.approx(numbers(series["y"]), rel=1e-6, nan_ok=True)
        else:
            assert found["step"] == 0


def numbers(values) -> list[float]:
    """The values of a line; null, a gap in it, as NaN."""
    return [math.nan if value is None else value for value in values]


def assert_curves_are_right(state: State, found):
    orders = [["value", "derivative"].index(name) for name in draw.function(state)["show"]]
    ys = iter(found["ys"])
    for text in state.texts("f"):
        formula = of_x(draw.activation_of(text, state))
        for order in orders:
            exact = precise(slope_of(formula) if order else formula)
            for x, y in list(zip(found["x"], next(ys), strict=True))[::60]:
                assert y == pytest.approx(float(exact(x)), rel=1e-6, abs=1e-6), (text, order, x)


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export(tmp_path_factory.mktemp("export") / "lessons")


@pytest.mark.parametrize("lesson", PAGES, ids=lambda lesson: lesson.slug)
def test_figures_of_a_lesson_agree_with_python(visitor_of, lesson: Lesson):
    page = visitor_of().visit(address_of(lesson))
    assert_figures_are_right(page, lesson)


def test_answer_is_explained_when_chosen_with_the_keyboard_and_survives_a_reload(visitor_of):
    page = visitor_of().visit("/lessons/3")
    choice = at(page, "choice1")
    assert choice.locator(".why:visible").count() == 0
    choice.locator("input").first.focus()
    page.keyboard.press("Space")
    assert choice.locator(".why:visible").inner_text().startswith("Not quite.")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    assert choice.locator(".why:visible").inner_text().startswith("Right.")
    assert at(page, "progress").inner_text() == "– 1 of 2 answered"
    page.reload()
    assert choice.locator(".why:visible").inner_text().startswith("Right.")
    at(page, "choice2").locator("input").first.focus()
    page.keyboard.press("Space")
    assert at(page, "progress").inner_text() == "– done, 1 of 2 right"


def test_list_of_lessons_shows_progress_and_forgets_it(visitor_of):
    visitor = visitor_of()
    page = visitor.visit("/lessons/3")
    at(page, "choice1").locator("input").first.check()
    page = visitor.visit("/lessons")
    entry = page.locator("[data-lesson='03-sigmoid'] [data-progress]")
    assert entry.inner_text() == "– 1 of 2 answered"
    at(page, "forget").click()
    assert entry.inner_text() == ""
    visitor.visit("/lessons/3")
    assert page.locator(".why:visible").count() == 0


def test_slider_reads_value_and_derivative(visitor_of):
    page = visitor_of().visit("/lessons/3")
    page.wait_for_function(MOUNTED)
    figure = at(page, "figure1")
    at(figure, "slider-x").focus()
    page.keyboard.press("End")
    page.wait_for_function("() => document.querySelector('[data-test=reading]').innerText.includes('0.0003352')")
    assert "0.9997" in at(figure, "reading").inner_text()


def test_figure_is_preset_through_the_address(visitor_of):
    visitor = visitor_of()
    query = "f=tanh(s*x)&s=2&from=-2&to=2&show=value&slider=s:1:3"
    page = visitor.visit("/lessons/3?figure1=" + query.replace("&", "%26"))
    page.wait_for_function(MOUNTED)
    assert_curves_are_right(State(query), page.eval_on_selector_all("[data-figure]", DRAWN)[0])
    figure = at(page, "figure1")
    at(figure, "slider-s").focus()
    page.keyboard.press("End")
    page.wait_for_function("() => document.querySelector('.stage').drawn.ys[0][450] > 0.995")
    assert parse_qs(figure.get_by_role("link").get_attribute("href").partition("?")[2])["f"] == ["tanh(s*x)"]


def test_wrong_preset_is_a_sentence_and_the_rest_works(visitor_of):
    visitor = visitor_of()
    page = visitor.visit("/lessons/3?figure1=f%3Dswsh&figure2=lines%3Dnone")
    page.wait_for_function(MOUNTED)
    assert "swsh" in at(page, "figure1").get_by_role("alert").inner_text()
    assert "lines must be one of" in at(page, "figure2").get_by_role("alert").inner_text()
    assert at(page, "figure3").locator("canvas").count() == 1


@pytest.mark.parametrize("width", [360, 800])
def test_lessons_fit_a_narrow_window(visitor_of, width: int):
    visitor = visitor_of(width=width)
    for path in ("/lessons", "/lessons/3", "/lessons/9"):
        page = visitor.visit(path)
        page.wait_for_function(MOUNTED)
        assert page.evaluate("document.documentElement.scrollWidth") <= width, path


@pytest.mark.parametrize("dark", [False, True])
def test_nothing_in_an_exported_lesson_is_hard_to_reach(chromium, exported: Path, dark: bool):
    """Let axe-core look at a file, since the policy of the served pages keeps foreign scripts out."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    context = chromium.new_context(color_scheme="dark" if dark else "light", bypass_csp=True)
    page = context.new_page()
    page.goto((exported.parent / "05-relu.html").as_uri())
    page.wait_for_function(MOUNTED)
    page.locator(".choice input").first.check()
    found = axe.run(page).response["violations"]
    context.close()
    assert [each["id"] for each in found if each["impact"] in {"serious", "critical"}] == []


@pytest.mark.parametrize("lesson", PAGES, ids=lambda lesson: lesson.slug)
def test_exported_lesson_works_from_a_file(chromium, exported: Path, lesson: Lesson):
    page = chromium.new_page()
    asked, wrong = [], []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda line: wrong.append(line.text) if line.type == "error" else None)
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.goto(exported.as_uri())
    page.locator(f'a[href="{lesson.slug}.html"]').click()
    assert_figures_are_right(page, lesson)
    if lesson.choices:
        page.locator(".choice input").first.check()
        assert page.locator(".why:visible").count() == 1
    page.close()
    assert wrong == []
    assert [url for url in asked if not url.startswith(("file:", "data:"))] == []


def test_an_address_presets_the_figures_of_an_exported_lesson(chromium, exported: Path):
    page = chromium.new_page()
    page.goto((exported.parent / "03-sigmoid.html").as_uri() + "?figure1=f%3Dsigmoid%26point%3D2&figure2=lines%3Dother")
    page.wait_for_function(MOUNTED)
    reading = page.locator('[data-test="figure1"] [data-test="reading"]')
    assert "0.8808" in reading.inner_text()
    assert page.locator('[data-test="figure1"] .error').is_hidden()
    assert "The address presets lines, which only" in page.locator('[data-test="figure2"] .error').inner_text()
    page.close()


def test_a_lesson_is_printed_dark_on_light(chromium, exported: Path):
    context = chromium.new_context(color_scheme="dark", viewport={"width": 800, "height": 600})
    page = context.new_page()
    page.goto((exported.parent / "03-sigmoid.html").as_uri())
    page.wait_for_function(MOUNTED)
    page.emulate_media(media="print")
    page.wait_for_timeout(300)
    pixels = Image.open(BytesIO(page.screenshot())).convert("L")
    shares = pixels.histogram()
    context.close()
    assert sum(shares[200:]) > 0.8 * sum(shares)
    assert sum(shares[:90]) > 0.003 * sum(shares)


def test_export_is_repeated_but_never_written_over_other_files(tmp_path: Path):
    folder = tmp_path / "lessons"
    assert export(folder) == export(folder)
    before = {each.name: each.read_bytes() for each in folder.iterdir()}
    (folder / "notes.txt").write_text("mine")
    with pytest.raises(BadInput, match=r"holds 'notes\.txt'"):
        export(folder)
    assert {each.name: each.read_bytes() for each in folder.iterdir()} == before | {"notes.txt": b"mine"}
    with pytest.raises(BadInput, match="it is a file"):
        export(folder / "notes.txt")
    assert list(tmp_path.iterdir()) == [folder]  # no part of an export is left


def test_exported_modules_import_bare_names_that_the_map_holds():
    found = modules("lessons.js")
    assert {"actlab/lessons.js", "actlab/page.js", "actlab/plot.js", "actlab/figures.js"} <= set(found)
