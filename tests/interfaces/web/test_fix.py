"""The page Fix: the life of its process, and a repair in a browser."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from actlab.errors import BadInput
from actlab.web import fixing as module
from actlab.web.feeds import Feed
from actlab.web.fixing import Fixing, Now, command
from actlab.web.workbench import Workbench

TASK = """
import torch
from torch import nn
from actlab import Task

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(4, 16), nn.Linear(16, 4)

    def forward(self, x):
        x = torch.relu(self.fc1(x))
        return torch.softmax(self.fc2(x), dim=1)  # to classes

def make_task():
    print("the user's program prints too")
    inputs = torch.randn(400, 4, generator=torch.Generator().manual_seed(0))
    return Task("largest", Net, train=(inputs, inputs.argmax(1)), epochs=3, rates=(3e-3, 1e-2))
"""
FINDING = {"id": "AL201", "title": "softmax twice", "severity": "error", "message": "<b>twice</b>", "site": None}
ANSWER: dict[str, Any] = {
    "before": {"findings": [FINDING], "metric": 50.0, "seeds": 2, "curve": [40.0, 50.0]},
    "after": {"findings": [], "metric": 70.0, "seeds": 2, "curve": [60.0, 70.0]},
    "tried": [
        {
            "remedy": "remove: without it", "finding": "AL201", "kept": True, "reason": "better",
            "difference": {"mean": 20.0, "low": 12.5, "high": None, "p": 0.03, "pairs": 6},
        },
        {
            "remedy": "linear: no", "finding": "AL201", "kept": False, "reason": "worse",
            "difference": {"mean": -3.0, "low": None, "high": None, "p": None, "pairs": 1},
        },
    ],
    "kept": ["remove: without it"], "best": [], "diff": "--- a/net.py\n+++ b/net.py\n@@ -1 +1 @@\n-x = 1\n+x = 2\n",
    "lines": ["model.eval()"], "not_tried": ["warm-up"],
    "refused": [{"remedy": "unshare", "reason": "nothing is shared"}],
    "notes": ["A note."], "metric": "accuracy", "larger_is_better": True,
    "runs": 7, "seconds": 1.0, "verdict": "repaired",
}  # fmt: skip
DONE = {"done": 3, "planned": 40, "seconds_left": None, "label": "gain"}


def until(condition: Callable[[], bool], *, seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it took too long"
        time.sleep(0.02)


def printing(*values: Any, then: str = "") -> str:
    """A program that prints values as lines of JSON and goes on."""
    lines = "\n".join(f"print({json.dumps(value)!r}, flush=True)" for value in values)
    return f"import sys, time, json\n{lines}\n{then}"


@pytest.fixture
def start(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], Fixing]]:
    """A function that starts a repair whose process runs this program instead."""
    started: list[Fixing] = []

    def begin(code: str) -> Fixing:
        monkeypatch.setattr(module, "program", lambda bench, budget: [sys.executable, "-c", code])
        fixing = Fixing(Workbench(), Feed())
        fixing.start("40")
        started.append(fixing)
        return fixing

    yield begin
    for each in started:
        each.close()


def ended(fixing: Fixing) -> Now:
    until(lambda: not fixing.now.is_running)
    return fixing.now


def test_progress_and_the_answer_are_read_from_the_process(start):
    fixing = start(
        printing("hello", {"done": 1}, DONE, then=f"time.sleep(1.0)\nprint(json.dumps({{'answer': {ANSWER!r}}}))")
    )
    until(lambda: fixing.now.done == 3)
    assert (fixing.now.planned, fixing.now.label) == (40, "gain")
    now = ended(fixing)
    assert (now.state, now.answer, now.sentence) == ("finished", ANSWER, "")


@pytest.mark.parametrize(
    ("code", "sentence"),
    [
        ("print('net.py has no task.', file=sys.stderr); sys.exit(2)", "net.py has no task."),
        ("raise RuntimeError('broken')", "The repair ended with an error: RuntimeError: broken"),
        ("import os; os.kill(os.getpid(), 9)", "ended from outside, by signal 9"),
        ("", "The repair ended with an error: exit status 0"),
    ],
)
def test_a_process_that_fails_is_explained(start, code, sentence):
    now = ended(start(printing(DONE, then=code)))
    assert now.state == "failed"
    assert sentence in now.sentence


def test_a_repair_that_is_stopped_answers_with_what_it_found(start):
    code = f"""
try:
    time.sleep(60)
except KeyboardInterrupt:
    print(json.dumps({{"answer": {ANSWER!r}}}))
"""
    fixing = start(printing(DONE, then=code))
    until(lambda: fixing.now.done == 3)
    with pytest.raises(BadInput, match="running already"):
        fixing.start("40")
    assert fixing.stop().state == "stopping"
    now = ended(fixing)
    assert (now.state, now.answer["verdict"]) == ("stopped", "repaired")
    with pytest.raises(BadInput, match="no repair is running"):
        fixing.stop()


def test_the_end_of_the_server_ends_the_process(start):
    fixing = start(printing(DONE, then="time.sleep(60)"))
    until(lambda: fixing.now.done == 3)
    before = time.monotonic()
    fixing.close()
    assert time.monotonic() - before < 3
    assert not fixing.now.is_running


def test_a_budget_that_is_none_is_refused():
    with pytest.raises(BadInput, match="budget must be"):
        Fixing(Workbench(), Feed()).start("some")


def test_the_command_line_does_the_same():
    bench = Workbench(data="my data.csv", target="y")
    assert command(bench, "10m") == "actlab fix 'my data.csv' --target=y --budget=10m"
    assert command(Workbench(task="digits-relu"), "40") == "actlab fix --task=digits-relu --budget=40"


def test_the_page_shows_progress_and_the_answer(visitor_of, monkeypatch):
    code = printing(DONE, then=f"time.sleep(2.0)\nprint(json.dumps({{'answer': {ANSWER!r}}}))")
    monkeypatch.setattr(module, "program", lambda bench, budget: [sys.executable, "-c", code])
    visitor = visitor_of()
    page = visitor.visit("/fix")
    visitor.at("budget").fill("forty")
    visitor.at("start").click()
    visitor.at("form-error").filter(has_text="budget must be").wait_for()
    visitor.expected.append("400")
    visitor.at("budget").fill("40")
    page.keyboard.press("Enter")
    visitor.at("said").filter(has_text="3 of 40 training runs: gain").wait_for()
    visitor.at("verdict").filter(has_text="Repaired, after 7 training runs.").wait_for()
    before, after = visitor.at("before").inner_text(), visitor.at("after").inner_text()
    assert "Error: softmax twice" in before
    assert "<b>twice</b>" in before
    assert "Validation accuracy 50, mean of 2 seeds." in before
    assert "No error or warning." in after
    rows = visitor.at("tried").locator("tbody tr").all_inner_texts()
    assert [part in rows[0] for part in ("✓ kept", "20", "12.5 … ∞", "0.03")] == [True] * 4
    assert [part in rows[1] for part in ("not kept", "−3", "one seed")] == [True] * 3
    assert visitor.at("diff").locator("pre").inner_text().rstrip().split("\n")[-2:] == ["-x = 1", "+x = 2"]
    assert visitor.at("curves").locator("canvas").count() == 1
    assert "warm-up" in visitor.at("rest").inner_text()
    assert "model.eval()" in visitor.at("lines").inner_text()
    for width in (1400, 800, 360):
        page.set_viewport_size({"width": width, "height": 900})
        page.wait_for_timeout(150)
        assert page.evaluate("document.documentElement.scrollWidth") <= width, width
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    visitor.at("diff").get_by_role("button", name="Copy").click()
    visitor.at("diff").get_by_role("button", name="Copied").wait_for()
    assert page.evaluate("navigator.clipboard.readText()") == ANSWER["diff"]


@pytest.mark.slow
def test_a_real_network_is_repaired_and_git_takes_the_diff(visitor_of, tmp_path: Path):
    (tmp_path / "net.py").write_text(TASK, encoding="utf-8")
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    visitor = visitor_of(Workbench(data="net.py:make_task"))
    visitor.visit("/fix")
    visitor.at("start").click()
    visitor.at("verdict").wait_for(timeout=240_000)
    diff = visitor.page.request.get(visitor.origin + "/api/fix").json()["answer"]["diff"]
    subprocess.run(["git", "apply", "-"], cwd=tmp_path, input=diff.encode(), check=True)
    assert "return self.fc2(x)  # to classes" in (tmp_path / "net.py").read_text(encoding="utf-8")
