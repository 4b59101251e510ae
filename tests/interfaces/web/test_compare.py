"""The page Compare in a browser: stored comparisons, and one that is started, watched and stopped."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from actlab import verbs
from actlab.study.compare import compare, prepare
from actlab.study.comparison import Comparison
from actlab.study.store import Store
from actlab.train.taskfile import file_task
from actlab.web.workbench import Workbench
from small_study import SETTINGS, dots
from web_server import Visitor

STORE = "actlab-runs.db"
SECONDS = 60_000  # milliseconds, for a machine that does much else

TASK = """
import torch
from torch import nn
from actlab import Task

def make_task():
    inputs = torch.randn(120, 4, generator=torch.Generator().manual_seed(0))
    model = lambda: nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
    return Task("signs", model, train=(inputs, (inputs[:, 0] > 0).long()), epochs=2, kind="classification")
"""

Visit = Callable[..., Visitor]


def stored(folder: Path) -> Comparison:
    return compare(dots(), **SETTINGS, store=folder / STORE)


def api(visitor: Visitor, path: str) -> Any:
    return visitor.page.request.get(visitor.origin + path).json()


def points(folder: Path, rows: int = 400) -> Path:
    """A table with two columns of numbers and a class."""
    table = np.random.default_rng(0).normal(size=(rows, 2))
    lines = ["a,b,y", *(f"{a:.4f},{b:.4f},{'up' if a + b > 0 else 'down'}" for a, b in table)]
    path = folder / "points.csv"
    path.write_text("\n".join(lines))
    return path


def test_a_stored_comparison_has_the_numbers_of_its_report(visitor_of: Visit, tmp_path: Path) -> None:
    found = stored(tmp_path)
    visitor = visitor_of()
    visitor.visit("/compare?study=1")
    answer = api(visitor, "/api/compare/1")
    assert answer["answer"] == json.loads(verbs.report(1, store=tmp_path / STORE, format="json").text)
    assert [row["number"] for row in api(visitor, "/api/compare")["runs"]] == [1]
    difference = found.arms[1].difference
    assert difference is not None
    assert answer["facts"]["differences"]["arms"][0]["each"] == list(difference.each)
    assert visitor.at("verdict").locator(".said").text_content() == answer["facts"]["verdict"]
    row = answer["facts"]["rows"][1]
    cells = visitor.at("arms").locator("tbody tr").nth(1).locator("td").all_text_contents()
    assert [row["difference"], row["p"]] == [cells[2], cells[4]]
    assert visitor.at("plan-sentences").locator("li").all_text_contents() == [
        sentence.replace(" (--init as-is)", "") for sentence in found.plan.sentences()
    ]


def test_every_seed_is_a_dot_at_its_difference_and_says_its_number_to_the_keyboard(
    visitor_of: Visit, tmp_path: Path
) -> None:
    found = stored(tmp_path)
    visitor = visitor_of(width=800)
    page = visitor.visit("/compare?study=1")
    dots_of = visitor.at("dot")
    dots_of.first.wait_for()
    difference = found.arms[1].difference
    assert difference is not None
    assert dots_of.count() == len(difference.each) == 6
    places = [float(dot.get_attribute("cx")) for dot in dots_of.all()]
    span = max(difference.each) - min(difference.each)
    assert span > 0
    scale = (max(places) - min(places)) / span
    for place, value in zip(places, difference.each, strict=True):
        assert abs(place - min(places) - scale * (value - min(difference.each))) < 1e-6
    region = visitor.at("region")
    assert abs(float(region.get_attribute("width")) - 2 * scale * found.region) < 1e-6
    dots_of.first.focus()
    for at in (1, 2):
        page.keyboard.press("ArrowRight")
        said = visitor.at("readout").text_content()
        amount = f"{difference.each[at]:+.2f}".replace("-", "−") if difference.each[at] else "0.00"
        assert said == f"tanh, seed {found.plan.seeds[at]}: {amount} points"
    visitor.at("point").nth(1).wait_for()
    assert visitor.at("point").count() == 2
    visitor.at("curves").select_option("2")
    visitor.at("learning").locator("canvas").wait_for()
    assert visitor.at("learning").locator("canvas").count() == 1


@pytest.mark.parametrize("width", [360, 800, 1400])
def test_no_page_is_wider_than_the_window(visitor_of: Visit, tmp_path: Path, width: int) -> None:
    stored(tmp_path)
    visitor = visitor_of(width=width, dark=width == 800)
    for path in ("/compare", "/compare?study=1"):
        page = visitor.visit(path)
        page.wait_for_timeout(300)
        assert page.evaluate("() => document.documentElement.scrollWidth") <= width


def test_several_tasks_are_listed_with_one_conclusion(visitor_of: Visit, tmp_path: Path) -> None:
    tasks = [dots(), replace(dots(), name="other dots")]
    found = verbs.compare(tasks, ["tanh"], seeds=2, budget=1, store=tmp_path / STORE)
    visitor = visitor_of()
    visitor.visit("/compare")
    visitor.at("run").nth(2).wait_for()
    assert visitor.at("run").count() == 3
    first = visitor.at("run").first
    assert "2 tasks: dots, other dots (run S1)" in first.text_content()
    assert found.verdict in first.text_content()
    first.locator("a").click()
    assert visitor.at("tasks").locator("tbody tr").count() == 2
    assert api(visitor, "/api/compare/S1")["answer"]["verdict"] == found.verdict
    visitor.at("tasks").locator("a").nth(1).click()
    assert visitor.at("title").text_content() == "other dots, run 2"


def test_an_unfinished_study_shows_how_far_it_is_and_how_to_continue(visitor_of: Visit, tmp_path: Path) -> None:
    plan = prepare(dots(), **SETTINGS).plan
    with Store(tmp_path / STORE) as store:
        store.begin("dots", plan)
        store.begin("digits", replace(plan, task="digits"))
    visitor = visitor_of()
    visitor.visit("/compare?study=1")
    assert "0 of 24 trials are done" in visitor.at("sentence").text_content()
    assert "task 'dots' is not built in" in visitor.at("unfinished").text_content()
    assert visitor.at("plan-sentences").locator("li").count() == len(plan.sentences())
    visitor.visit("/compare?study=2")
    assert visitor.at("continue").is_enabled()
    command = visitor.at("command").text_content()
    assert command.startswith("actlab compare digits --activations=tanh --against=relu --seeds=6 --budget=2")
    assert command.endswith("--resume --no-report")


def test_a_store_that_cannot_be_read_and_an_empty_one_leave_the_rest_working(visitor_of: Visit, tmp_path: Path) -> None:
    (tmp_path / "broken.db").write_bytes(b"no database" * 1000)
    visitor = visitor_of(Workbench(store="broken.db"))
    visitor.visit("/compare")
    visitor.at("unread").get_by_text("cannot be opened").wait_for()
    visitor.at("arm").fill("x*sigmoid(")
    visitor.at("arm-error").get_by_text("cannot read the formula 'x*sigmoid(': it ends too early.").wait_for()
    assert visitor.at("arm").get_attribute("aria-invalid") == "true"
    visitor.at("arm").fill("gelu")
    visitor.at("arm-error").wait_for(state="hidden")
    visitor.at("arm").press("Enter")
    visitor.at("arms").get_by_text("gelu").wait_for()
    visitor.expected.append("400 (Bad Request)")
    visitor.at("start").click()
    visitor.at("form-error").get_by_text("cannot be opened").wait_for()
    visitor.visit("/compare?study=1")
    assert "cannot be opened" in visitor.at("study-error").text_content()

    empty = visitor_of(Workbench(store="none.db"))
    empty.visit("/compare")
    empty.at("about").get_by_text("There is nothing in none.db yet. Start a comparison with the form").wait_for()
    empty.at("seeds").fill("1")
    empty.expected.append("400 (Bad Request)")
    empty.at("start").click()
    empty.at("form-error").get_by_text("seeds must be an integer from 2 to 500; got '1'.").wait_for()
    assert not (tmp_path / "none.db").exists()


def test_a_run_that_is_not_there_is_named(visitor_of: Visit, tmp_path: Path) -> None:
    stored(tmp_path)
    visitor = visitor_of()
    visitor.visit("/compare?study=7")
    assert "the store has no run 7" in visitor.at("study-error").text_content()
    assert visitor.page.request.get(visitor.origin + "/api/compare/7").status == 400


def test_a_comparison_is_started_watched_and_stopped(visitor_of: Visit, tmp_path: Path) -> None:
    points(tmp_path)
    visitor = visitor_of(Workbench(data="points.csv", target="y"))
    page = visitor.visit("/compare")
    assert visitor.at("task").locator("option").first.text_content() == "points.csv, predicting y"
    visitor.at("arm").fill("x*sigmoid(1.7*x)")
    visitor.at("seeds").fill("14")
    page.get_by_text("More options").click()
    for name, value in (("budget", "3"), ("epochs", "10"), ("jobs", "1")):
        visitor.at(name).fill(value)
    visitor.at("start").click()
    visitor.at("said").get_by_text(re.compile(r"^[1-9]\d* of 84 training runs")).wait_for(timeout=SECONDS)
    second = page.request.post(visitor.origin + "/api/compare", data={"activations": ["gelu"], "task": "digits"})
    assert (second.status, "is running already" in second.json()["error"]) == (400, True)
    visitor.at("stop").click()
    page.locator('[data-test="now"][data-state="stopped"]').wait_for(timeout=SECONDS)
    now = api(visitor, "/api/compare")["now"]
    assert now["sentence"] == f"Stopped. {now['done']} finished training runs are stored; nothing is lost."
    assert 0 < now["done"] < 84
    assert now["command"].endswith("--resume --no-report")
    assert verbs.runs(tmp_path / STORE).to_json()[0]["done"] == now["done"]
    assert visitor.at("continue").is_enabled()


def test_the_bar_moves_while_runs_train_together_and_the_form_survives_a_reload(
    visitor_of: Visit, tmp_path: Path
) -> None:
    visitor = visitor_of(Workbench(task="digits-relu"))
    page = visitor.visit("/compare")
    visitor.at("arm").fill("gelu")
    visitor.at("arm").press("Enter")
    visitor.at("against").fill("tanh")
    visitor.at("seeds").fill("6")
    page.get_by_text("More options").click()
    for name, value in (("budget", "4"), ("epochs", "200"), ("jobs", "1")):
        visitor.at(name).fill(value)
    visitor.at("start").click()
    together = re.compile(r"Training: (gelu|tanh), epoch \d+ of \d+ runs together")
    visitor.at("doing").get_by_text(together).wait_for(timeout=SECONDS)
    assert re.match(r"0 of 48 training runs", visitor.at("said").text_content())
    assert 0 < float(visitor.at("bar").get_attribute("value")) < 24
    page.reload()
    visitor.at("doing").get_by_text("runs together").wait_for(timeout=SECONDS)
    assert visitor.at("arms").locator("code").all_text_contents() == ["gelu"]
    found = [visitor.at(name).input_value() for name in ("task", "against", "seeds", "budget", "epochs", "jobs")]
    assert found == ["digits-relu", "tanh", "6", "4", "200", "1"]
    visitor.at("stop").click()
    page.locator('[data-test="now"][data-state="stopped"]').wait_for(timeout=SECONDS)
    # stopped before a run ended: it is listed, and goes on from here
    assert "0 of 48 training runs" in visitor.at("run").text_content()
    assert visitor.at("continue").is_enabled()
    visitor.at("to-study").click()
    assert "0 of 48 trials are done. Continue it here." in visitor.at("sentence").text_content()


def test_several_tasks_are_compared_from_the_form(visitor_of: Visit, tmp_path: Path) -> None:
    visitor = visitor_of(Workbench(task="breast-cancer"))
    page = visitor.visit("/compare")
    visitor.at("arm").fill("tanh")
    visitor.at("seeds").fill("2")
    page.get_by_text("On several tasks").click()
    assert visitor.at("more").get_by_label("breast-cancer", exact=True).is_disabled()
    visitor.at("more").get_by_label("diabetes", exact=True).check()
    page.get_by_text("More options").click()
    for name, value in (("budget", "1"), ("epochs", "1"), ("jobs", "1")):
        visitor.at(name).fill(value)
    visitor.at("start").click()
    page.locator('[data-test="now"][data-state="finished"]').wait_for(timeout=SECONDS)
    visitor.at("to-study").get_by_text("Run S1").click()
    assert visitor.at("tasks").locator("tbody tr").count() == 2
    assert api(visitor, "/api/compare/S1")["run"]["studies"] == [1, 2]


def test_a_picture_and_the_table_draw_an_activation_in_one_color(visitor_of: Visit, tmp_path: Path) -> None:
    stored(tmp_path)
    visitor = visitor_of()
    page = visitor.visit("/compare?study=1")
    visitor.at("arms").locator(".swatch").nth(1).wait_for()
    visitor.at("row").wait_for()
    colors = page.evaluate(
        """() => [
            document.querySelectorAll('[data-test="arms"] .swatch')[1],
            document.querySelector('[data-test="row"]'),
            document.querySelectorAll('[data-test="point"]')[1].parentElement,
        ].map((each) => getComputedStyle(each).color)"""
    )
    assert len(set(colors)) == 1, colors
    page.locator('[data-test="learning"] canvas').wait_for()
    stroke = page.evaluate(
        """() => getComputedStyle(
            document.querySelectorAll('[data-test="learning"] .u-series')[2].querySelector('.u-marker')
        ).borderTopColor"""
    )
    assert stroke == colors[0]


def test_a_study_that_another_process_began_is_continued(visitor_of: Visit, tmp_path: Path) -> None:
    (tmp_path / "signs.py").write_text(TASK)
    task = file_task("signs.py:make_task")
    study = prepare(task, candidates=["gelu"], seeds=6, budget=1)
    with Store(tmp_path / STORE) as store:
        store.begin(task.name, study.plan)
    visitor = visitor_of(Workbench(data="signs.py:make_task"))
    visitor.visit("/compare?study=1")
    visitor.at("continue").click()
    visitor.at("verdict").wait_for(timeout=SECONDS)
    (run,) = api(visitor, "/api/compare")["runs"]
    assert (run["number"], run["done"], run["planned"]) == (1, 12, 12)
    visitor.at("dot").first.wait_for()
    assert visitor.at("dot").count() == 6


def test_a_plan_is_shown_before_the_start(visitor_of: Visit, tmp_path: Path) -> None:
    points(tmp_path, rows=120)
    visitor = visitor_of(Workbench(data="points.csv:y"))
    page = visitor.visit("/compare")
    visitor.at("arm").fill("gelu")
    visitor.at("seeds").fill("2")
    page.get_by_text("More options").click()
    for name, value in (("budget", "1"), ("epochs", "1"), ("jobs", "1")):
        visitor.at(name).fill(value)
    visitor.at("plan").click()
    visitor.at("planned").wait_for(timeout=SECONDS)
    assert "This plan cannot decide: with 2 seeds" in visitor.at("said").text_content()
    assert "expected time" in visitor.at("planned").text_content()
    assert visitor.at("start-planned").is_enabled()
    assert api(visitor, "/api/compare")["runs"] == []
