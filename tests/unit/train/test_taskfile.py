"""Tasks from the user's own file, and errors in them."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from actlab.errors import BadTask
from actlab.train.load import directions_to
from actlab.train.taskfile import file_task

GOOD = """
import numpy as np
from torch import nn
from actlab.train.task import Task
from beside import CLASSES

def model():
    return nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, CLASSES))

def make_task():
    x = np.random.default_rng(0).normal(size=(30, 3))
    return Task("mine", model, train=(x, np.arange(30) % CLASSES))
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "beside.py").write_text("CLASSES = 3\n")
    path = tmp_path / "my_task.py"
    path.write_text(GOOD)
    return path


def test_a_file_gives_its_task_and_finds_what_lies_beside_it(file: Path) -> None:
    before = list(sys.path)
    task = file_task(f"{file}:make_task")
    assert (task.name, task.classes) == ("mine", 3)
    assert task.origin == ("file", f"{file}:make_task")
    assert file_task(str(file)).fingerprint() == task.fingerprint()
    assert sys.path == before


def test_a_task_may_stand_in_the_file_without_a_function(file: Path) -> None:
    file.write_text(f"{GOOD}\nready = make_task()\n")
    task = file_task(f"{file}:ready")
    assert task.origin == ("file", f"{file}:ready")
    assert directions_to(task).followed().fingerprint() == task.fingerprint()


def test_directions_lead_to_the_same_task(file: Path) -> None:
    task = file_task(str(file))
    assert directions_to(task).followed().fingerprint() == task.fingerprint()


def test_a_task_that_changes_from_call_to_call_is_refused(file: Path) -> None:
    file.write_text(GOOD.replace("default_rng(0)", "default_rng()"))
    with pytest.raises(BadTask, match="must be the same each time it is built"):
        directions_to(file_task(str(file))).followed()


FAULTS = {
    "missing": ("nowhere.py:make_task", GOOD, "there is no file 'nowhere.py'"),
    "raises": ("", "import not_a_module_of_anyone", "when imported, raised ModuleNotFoundError"),
    "syntax": ("", "def make_task(:", "when imported, raised SyntaxError"),
    "function": (":make_tusk", GOOD, "has no 'make_tusk'. Did you mean 'make_task'?"),
    "inside": ("", "def make_task():\n    1 / 0\n", "raised ZeroDivisionError: division by zero (my_task.py, line 2)"),
    "leaves": ("", "import sys\n\ndef make_task():\n    sys.exit(3)\n", "raised SystemExit: 3 (my_task.py, line 4)"),
    "returns": (
        "",
        "def make_task():\n    return {}\n",
        "must be an actlab.Task or a function that returns one; got a value of type dict",
    ),
    "ready": (
        ":ready",
        "ready = (1, 2, 3)\n",
        "my_task.py:ready' must be an actlab.Task or a function that returns one; got a tuple of 3 entries",
    ),
    "none": ("", "def make_task():\n    pass\n", "must be an actlab.Task or a function that returns one; got None"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_one_line_that_names_it(fault: str, file: Path) -> None:
    where, text, message = FAULTS[fault]
    file.write_text(text)
    with pytest.raises(BadTask) as raised:
        file_task(where if where.startswith("nowhere") else f"{file}{where}")
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)
