"""The comparison that a page starts: its command line, and the life of its process."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from actlab.errors import ActlabError, BadFormula, BadInput, BadStudy, BadTask
from actlab.web import comparing as module
from actlab.web.child import Child
from actlab.web.comparing import Comparing, Now
from actlab.web.comparison_order import NAMED, Order, check_arm, order_of, order_of_plans
from actlab.web.feeds import Feed
from actlab.web.workbench import Workbench
from small_study import PLAN

ORDER = Order("digits-relu", activations=("gelu",), seeds=2, budget=1, epochs=1, jobs=1)

RAISING = """
import torch
from torch import nn
from actlab import Task

def model(activation):
    raise RuntimeError("no such layer")

def make_task():
    inputs = torch.randn(60, 4)
    return Task("raising", model, train=(inputs, (inputs[:, 0] > 0).long()), epochs=1, kind="classification")
"""


def until(condition: Callable[[], bool], *, seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it took too long"
        time.sleep(0.02)


def is_alive(pid: int) -> bool:
    """Whether a process is there and not merely waiting to be collected."""
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


@pytest.fixture
def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], Comparing]]:
    """A function that starts a comparison whose process runs this program instead."""
    monkeypatch.chdir(tmp_path)
    started = []

    def begin(code: str, *, plan: bool = False) -> Comparing:
        monkeypatch.setattr(module, "program", lambda arguments: [sys.executable, "-c", code, *arguments])
        comparing = Comparing(Workbench(), Feed())
        started.append(comparing)
        comparing.start(ORDER, plan=plan)
        return comparing

    yield begin
    for each in started:
        each.close()


def ended(comparing: Comparing) -> Now:
    until(lambda: not comparing.now.is_running)
    return comparing.now


def test_the_command_line_is_a_list_of_words_in_the_form_of_the_command(tmp_path: Path) -> None:
    bench = Workbench(data="points.csv", target="y", store="my runs.db")
    form = {"task": NAMED, "activations": ["gelu", " max(x, 0) "], "against": "tanh", "seeds": "9", "jobs": 2}
    order = order_of(form, bench)
    head = ["compare", "points.csv", "--target=y", "--activations=gelu,max(x, 0)", "--against=tanh"]
    assert order.arguments(bench) == [
        *head, "--seeds=9", "--jobs=2", "--store=my runs.db", "--no-report", "--quiet", "--progress-json",
    ]  # fmt: skip
    assert order.arguments(bench, plan=True)[-4:] == ["--plan", "--json", "--quiet", "--progress-json"]
    assert order.command(bench, resume=True).endswith("'--store=my runs.db' --resume --no-report")


def test_a_password_of_the_store_is_hidden_in_what_a_page_shows() -> None:
    bench = Workbench(store="postgresql://me:secret@host/db")
    assert "secret" in " ".join(ORDER.arguments(bench))
    assert "secret" not in ORDER.command(bench)


@pytest.mark.parametrize(
    "text",
    ["a.py", "a.py:f", "relu@gate=a.py@clip=1", "own@hidden=a.py:f", "a.py#2"],
)
def test_an_activation_that_names_a_file_is_refused(text: str) -> None:
    with pytest.raises(BadFormula, match="a page runs no file"):
        check_arm(text)


@pytest.mark.parametrize("text", ["x*sigmoid(", "--json", "gelu,tanh", "swsh", "relu@norm=group", "relu@", ""])
def test_what_cannot_be_compared_is_refused_as_it_is_typed(text: str) -> None:
    with pytest.raises(ActlabError):
        check_arm(text)


@pytest.mark.parametrize(
    "text", ["gelu", "x*sigmoid(1.7*x)", "own@norm=batch", "relu#2", "keras:leaky_relu", "max(x, 0)@clip=1"]
)
def test_names_formulas_and_factors_are_accepted(text: str) -> None:
    check_arm(text)


@pytest.mark.parametrize(
    ("form", "error", "words"),
    [
        ([], BadInput, "must be an object"),
        ({"task": "my_task.py:make_task"}, BadTask, "a page starts a built-in task"),
        ({"activations": "gelu"}, BadInput, "must be a list of texts"),
        ({"activations": ["gelu"] * 31}, BadInput, "at most 30"),
        ({"seeds": "1"}, BadInput, "seeds must be an integer from 2 to 500; got '1'"),
        ({"jobs": "many"}, BadInput, "jobs must be an integer from 1 to 64; got 'many'"),
        ({"against": "relu#2"}, BadStudy, "the control must be without #"),
    ],
)
def test_a_form_that_cannot_be_carried_out_is_refused(form: object, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        order_of(form, Workbench())


def test_a_stored_plan_of_a_task_that_is_not_built_in_asks_for_its_file() -> None:
    with pytest.raises(BadStudy, match="is not built in: name its file after `actlab serve`"):
        order_of_plans([PLAN], Workbench())
    assert order_of_plans([PLAN], Workbench(data="t.py:make_task")).task == NAMED


def test_closing_a_child_ends_it_and_what_it_has_started() -> None:
    inner = "import signal as s, time; [s.signal(each, s.SIG_IGN) for each in (s.SIGINT, s.SIGTERM)]; time.sleep(60)"
    outer = (
        f"import subprocess, sys; print(subprocess.Popen([sys.executable, '-c', {inner!r}]).pid, flush=True); {inner}"
    )
    child = Child([sys.executable, "-c", outer])
    until(lambda: child.output().endswith("\n"))
    worker = int(child.output())
    assert is_alive(worker)
    began = time.monotonic()
    child.close()
    assert time.monotonic() - began < 4
    until(lambda: not is_alive(worker), seconds=2)
    assert not is_alive(child.pid)


def test_a_child_that_cannot_be_started_is_reported() -> None:
    with pytest.raises(BadStudy, match="cannot be started: No such file"):
        Child(["/no/such/program"])


def test_stopping_interrupts_and_a_second_start_is_refused(start: Callable[..., Comparing]) -> None:
    comparing = start("import time; time.sleep(60)")
    pid = comparing._child.pid if comparing._child else 0
    with pytest.raises(BadStudy, match="a comparison on 'digits-relu' is running already; stop it"):
        comparing.start(ORDER)
    began = time.monotonic()
    assert comparing.stop().state == "stopping"
    now = ended(comparing)
    assert time.monotonic() - began < 5
    assert (now.state, now.sentence) == ("stopped", "Stopped. No training run had ended.")
    assert not is_alive(pid)
    with pytest.raises(BadStudy, match="nothing is running"):
        comparing.stop()


def test_closing_ends_what_runs_within_a_few_seconds(start: Callable[..., Comparing]) -> None:
    ignoring = "import signal, time; signal.signal(signal.SIGINT, signal.SIG_IGN); print(1, flush=True); time.sleep(60)"
    comparing = start(ignoring)
    assert comparing._child is not None
    child = comparing._child
    until(lambda: bool(child.output()))
    began = time.monotonic()
    comparing.close()
    assert time.monotonic() - began < 5
    assert not is_alive(child.pid)
    assert comparing.now.state == "stopped"


@pytest.mark.parametrize(
    ("code", "sentence"),
    [
        (
            "import os; os.kill(os.getpid(), 9)",
            "The comparison was ended from outside, by signal 9, perhaps for lack of",
        ),
        ("import sys; sys.exit('Error in the library: no memory')", "The comparison ended with an error: Error in the"),
        ("import sys; print('BadTask: model raised.', file=sys.stderr); sys.exit(2)", "model raised."),
        ("import sys; sys.exit(3)", "The comparison ended with an error: exit status 3"),
    ],
)
def test_a_process_that_fails_is_described(start: Callable[..., Comparing], code: str, sentence: str) -> None:
    now = ended(start(code))
    assert now.state == "failed"
    assert now.sentence.startswith(sentence)


def test_a_plan_is_the_answer_of_the_command(start: Callable[..., Comparing]) -> None:
    now = ended(start("""print('{"verdict": "This plan can decide."}')""", plan=True))
    assert (now.state, now.plan) == ("finished", {"verdict": "This plan can decide."})


def test_a_task_that_raises_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "raising.py").write_text(RAISING)
    bench = Workbench(data="raising.py:make_task")
    comparing = Comparing(bench, Feed())
    try:
        comparing.start(order_of({"task": NAMED, "activations": ["gelu"], "jobs": 1, "seeds": 2}, bench))
        now = ended(comparing)
        assert now.state == "failed"
        assert "raised RuntimeError: no such layer" in now.sentence
    finally:
        comparing.close()
