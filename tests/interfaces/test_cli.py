"""The command line as a user runs it: arguments in; output, errors and exit status out."""

from __future__ import annotations

import inspect
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from actlab import verbs
from actlab.catalog.index import CATALOG
from actlab.cli.entry import command_files
from actlab.cli.panels import Panel
from actlab.lower.choose import SOURCES
from actlab.measure.speed import summary
from actlab.measure.speed.case import Case
from actlab.measure.speed.timing import Speed, timed
from command_line import Run, caller

COMMANDS = dict(command_files())
TASK = """
import torch
from torch import nn
from actlab import Task

def model(activation):
    return nn.Sequential(nn.Linear(4, 8), activation(), nn.Linear(8, 2))

def make_task():
    noise = torch.Generator().manual_seed(0)
    inputs = torch.randn(120, 4, generator=noise)
    return Task("signs", model, train=(inputs, (inputs[:, 0] > 0).long()), epochs={epochs}, kind="classification")

def raises():
    return 1 / 0

def gives_text():
    return "a task"

ready = (model(nn.ReLU), (torch.ones(2, 4), torch.zeros(2).long()), nn.CrossEntropyLoss())
"""


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    monkeypatch.chdir(tmp_path)
    return caller(capsys, monkeypatch)


def task_file(folder: Path, *, epochs: int = 2) -> str:
    path = folder / "my_task.py"
    path.write_text(TASK.replace("{epochs}", str(epochs)))
    return str(path)


def test_list_holds_every_activation_with_the_documented_keys(run: Run) -> None:
    rows = run("list", "--json").json
    assert [row["name"] for row in rows] == list(CATALOG)
    assert all({"name", "family", "inputs", "parameters", "aliases", "source"} <= row.keys() for row in rows)
    assert {param["name"] for row in rows if row["name"] == "swish" for param in row["parameters"]} == {"beta"}


def test_list_filters_by_family_and_text(run: Run) -> None:
    assert {row["family"] for row in run("list", "--family", "gated", "--json").json} == {"gated"}
    assert "gelu" in [row["name"] for row in run("list", "--search", "standard normal distribution", "--json").json]
    said = run("list", "--family", "gate")
    assert (said.status, said.out) == (2, "")
    assert "there is no family 'gate'; choose one of" in said.err


def test_show_has_the_documented_keys(run: Run) -> None:
    shown = run("show", "gelu", "--json").json
    assert shown["name"] == "gelu"
    assert shown["formula"] == "x*normal_cdf(x)"
    assert shown["derivative"] == "normal_cdf(x) + x*normal_pdf(x)"
    assert shown["range"]["lower"] == pytest.approx(-0.1699712075, abs=1e-9)
    assert shown["range"]["upper"] == "inf"
    assert shown["limits"] == {"left": 0.0, "right": "inf"}
    assert shown["minimum"]["at"] == pytest.approx(-0.7517915247, abs=1e-8)
    assert shown["minimum"]["value"] == pytest.approx(-0.1699712075, abs=1e-9)
    assert shown["kinks"] == []
    assert shown["lipschitz"] == pytest.approx(1.1289041452, abs=1e-9)
    assert shown["gains"]["second_moment"] == pytest.approx(1.53353044, abs=1e-8)
    assert shown["gains"]["variance"] == pytest.approx(1.70092624, abs=1e-8)
    assert shown["gains"]["backward"] == pytest.approx(1.48111441, abs=1e-8)
    assert "monotone" in shown
    assert shown["source"]
    assert isinstance(shown["aliases"], list)


@pytest.mark.parametrize("name", list(CATALOG))
def test_show_works_for_the_whole_catalog(run: Run, name: str) -> None:
    shown = run("show", name, "--json")
    assert shown.status == 0
    assert {"name", "formula", "derivative", "range", "limits", "minimum", "kinks", "lipschitz"} <= shown.json.keys()
    assert name in run("show", name).out


def test_show_lists_the_kink_of_relu(run: Run) -> None:
    shown = run("show", "relu", "--json").json
    assert [{key: kink[key] for key in ("at", "value", "derivative")} for kink in shown["kinks"]] == [
        {"at": 0.0, "value": 0.0, "derivative": 0.0}
    ]


@pytest.mark.parametrize("target", ["numpy", "torch"])
def test_a_printed_program_runs_without_actlab(run: Run, tmp_path: Path, target: str) -> None:
    source = run("show", "mish", "--source", target).out
    assert "actlab" not in source
    make = {"numpy": "numpy.array([-1.0, 2.0])", "torch": "torch.tensor([-1.0, 2.0], dtype=torch.float64)"}[target]
    program = f"{source}\nimport {target}\nprint(*mish({make}).tolist(), *mish_derivative({make}).tolist())\n"
    (tmp_path / "alone.py").write_text(program)
    ended = subprocess.run([sys.executable, "-I", "alone.py"], cwd=tmp_path, capture_output=True, text=True, check=True)
    # mish and its derivative at -1 and 2, computed independently with mpmath
    expected = [-0.30340146137410894, 1.9439589595339946, 0.059216755877394948, 1.0693179342794896]
    assert [float(word) for word in ended.stdout.split()] == pytest.approx(expected, rel=1e-12)


def test_show_javascript(run: Run) -> None:
    """The browser runs it in the contract tests."""
    out = run("show", "leaky_relu", "--source", "javascript").out
    assert "export function leaky_relu(x, negative_slope = 0.01) {" in out
    assert "export function leaky_relu_derivative(x, negative_slope = 0.01) {" in out


def test_show_latex(run: Run) -> None:
    assert run("show", "tanh", "--source", "latex").out.strip() == r"\tanh\left(x\right)"


def test_show_draws_a_picture(run: Run, tmp_path: Path) -> None:
    assert run("show", "gelu", "--plot", "gelu.svg").status == 0
    assert "<svg" in (tmp_path / "gelu.svg").read_text()
    assert run("show", "swiglu", "--plot", "no.svg").status == 2
    assert not (tmp_path / "no.svg").exists()


def test_gain_has_the_documented_keys(run: Run) -> None:
    found = run("gain", "x*sigmoid(1.702*x)", "--q", "2", "--kind", "variance", "--json").json
    assert {"formula": found["formula"], "kind": found["kind"], "q": found["q"]} == {
        "formula": "x*sigmoid(1.702*x)",
        "kind": "variance",
        "q": 2.0,
    }
    assert found["gain"] > 1


def test_a_parameter_is_set_by_name(run: Run) -> None:
    typed = run("gain", "x*sigmoid(beta*x)", "--param", "beta=1.702", "--json").json
    assert typed["gain"] == run("gain", "quick_gelu", "--json").json["gain"]


def test_tasks_lists_the_built_in_ones(run: Run) -> None:
    assert "digits" in [row["name"] for row in run("tasks", "--json").json]


def test_bench_has_the_documented_keys(run: Run) -> None:
    said = run("bench", "mish,max(x, 0)", "--size", "1e3,500", "--json")
    assert said.status == 0, said.err
    assert {(row["name"], row["elements"], row["direction"], row["contender"]) for row in said.json} == {
        (name, size, way, contender)
        for name in ("mish", "max(x, 0)")
        for size in (500, 1000)
        for way in ("forward", "backward", "both")
        for contender in ("actlab", "eager")
    }
    for row in said.json:
        assert {"name", "direction", "dtype", "elements", "threads", "contender", "median_s", "copy_s"} <= row.keys()
    assert "500 elements, 1 thread" in run("bench", "relu", "--size", "500").out


def test_an_interrupted_bench_shows_the_rows_so_far(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def stopped(case: Case, *, seconds: float) -> list[Speed]:
        if case.name == "mish":
            raise KeyboardInterrupt
        return timed(case, seconds=0)

    monkeypatch.setattr(summary, "timed", stopped)
    said = run("bench", "relu", "mish", "--size", "500", "--json")
    assert said.status == 130
    assert {row["name"] for row in said.json} == {"relu"}
    assert "Interrupted; showing the rows measured so far." in said.err


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("gain", "swsh"), "no activation is named 'swsh'. Did you mean 'swish'?"),
        (("gain", "2 + 3"), "does not depend on x"),
        (("gain", "x +"), "it ends too early"),
        (("gain", "__import__('os')"), "means nothing in one"),
        (("gain", "elu", "--param", "alpha=-1"), "alpha must lie above 0; got -1"),
        (("gain", "elu", "--param", "beta=1"), "elu has no parameter 'beta'"),
        (("gain", "elu", "--param", "alpha"), "--param must be NAME=VALUE, such as beta=1.5; got 'alpha'"),
        (("gain", "gelu", "--q", "-1"), "q, the variance of the input, must be finite and above 0"),
        (("gain", "gelu", "--kind", "best"), "kind must be one of "),
        (("gain", "softmax"), "acts along an axis"),
        (("gain", "exp(x*x)"), "does not exist"),
        (
            ("show", "relu", "--source", "cobol"),
            f"there is no target 'cobol'; choose one of {', '.join(SOURCES)}",
        ),
        (("bench", "swsh"), "no activation is named 'swsh'. Did you mean 'swish'?"),
        (("bench", "x +"), "it ends too early"),
        (("bench", "gelu", "--size", "1.5"), "elements must be integers, such as 1000 or 1e6; got '1.5'"),
        (("bench", "gelu", "--size", "inf"), "elements must be integers, such as 1000 or 1e6; got 'inf'"),
        (("bench", "gelu", "--size", ""), "nothing to time: name at least one size"),
        (("bench", "gelu", "--size", "0"), "size must be 1 to 100,000,000 elements; got 0"),
        (("bench", "gelu", "--dtype", "int8"), "dtype must be one of float32"),
        (("bench", "gelu", "--threads", "two"), "threads must be integers"),
        (("bench", "gelu", "--mode", "best"), "mode must be accurate or fast; got 'best'"),
        (("bench", "gelu", "--against", "numpy"), "got 'numpy'"),
        (("advise", "absent.csv", "--target", "y"), "absent.csv"),
        (("advise", "absent.csv"), "name the column to predict with --target"),
        (("advise", "absent.py:make_task"), "there is no file 'absent.py'"),
        (("advise", "--task", "digitz"), "Did you mean 'digits'?"),
        (("advise", "--target", "y"), "--target y requires a table: actlab advise data.csv --target y"),
        (("advise", "--activations", "relu,swsh"), "no activation is named 'swsh'"),
        (
            ("advise", "--activations", "relu,x*sigmoid(b*x)", "-p", "c=1"),
            "no candidate is a formula with the parameter 'c'",
        ),
        (("advise", "json:dumps"), "advise reads a task from a file, not from a module; got 'json:dumps'"),
        (("advise", "--activations", ""), "must include an activation other than the control"),
        (("advise", "--report", "no/folder/report.html"), "there is no folder"),
        (("advise", "--report", "."), "it is a folder; choose a file name"),
    ],
)
def test_a_usage_error_is_one_line_and_status_2(run: Run, tmp_path: Path, args: tuple[str, ...], message: str) -> None:
    said = run(*args)
    assert said.status == 2
    assert said.out == ""
    assert message in said.err
    assert "Traceback" not in said.err
    assert len([line for line in said.err.splitlines() if line.strip()]) == 1
    assert not [path.name for path in tmp_path.iterdir() if path.suffix == ".html"]


@pytest.mark.parametrize(
    ("function", "message"),
    [
        ("raises", "ZeroDivisionError"),
        ("gives_text", "actlab.Task"),
        ("ready", "must be an actlab.Task or a function that returns one; got a tuple of 3 entries"),
    ],
)
def test_an_error_in_a_task_file_is_one_line(run: Run, tmp_path: Path, function: str, message: str) -> None:
    said = run("advise", f"{task_file(tmp_path)}:{function}")
    assert (said.status, said.out) == (2, "")
    assert message in said.err
    assert "Traceback" not in said.err


def small(path: str, *more: str) -> tuple[str, ...]:
    words = {"--activations": "relu,tanh", "--seeds": "6", "--budget": "1", "--jobs": "1"}
    return ("advise", f"{path}:make_task", *(word for pair in words.items() for word in pair), "-q", *more)


def test_advise_has_the_documented_keys_and_writes_a_report(run: Run, tmp_path: Path) -> None:
    said = run(*small(task_file(tmp_path), "--json"))
    assert said.status == 0, said.err
    found = said.json
    assert {"task", "arms", "verdict", "report"} <= found.keys()
    assert found["task"] == "signs"
    control, candidate = found["arms"]
    assert control["activation"] == "relu"
    assert control["difference"] is None
    assert {"activation", "valid", "test", "difference", "verdict"} <= candidate.keys()
    assert {"mean", "low", "high", "p"} <= candidate["difference"].keys()
    assert candidate["difference"]["low"] <= candidate["difference"]["mean"] <= candidate["difference"]["high"]
    assert Path(found["report"]).read_text().lower().startswith("<!doctype html>")


def test_a_repeated_command_gives_the_same_numbers_and_resume_runs_nothing_again(run: Run, tmp_path: Path) -> None:
    path = task_file(tmp_path)
    first, again, resumed = (run(*small(path, "--no-report", "--json", *more)).json for more in ((), (), ("--resume",)))
    assert first["arms"] == again["arms"] == resumed["arms"]
    assert first["verdict"] == again["verdict"]
    assert first["report"] is None


def test_a_parameter_of_a_typed_candidate_is_set_by_name(run: Run, tmp_path: Path) -> None:
    words = ("--activations", "relu,x*sigmoid(beta*x)", "-p", "beta=1.5", "--no-report", "--json")
    said = run(*small(task_file(tmp_path), *words))
    assert said.status == 0, said.err
    assert [arm["activation"] for arm in said.json["arms"]] == ["relu", "x*sigmoid(beta*x)"]


def test_a_report_is_replaced_with_a_word(run: Run, tmp_path: Path) -> None:
    path = task_file(tmp_path)
    assert "will be replaced" not in run(*small(path)).err
    said = run(*small(path, "--resume"))
    assert "actlab-report.html exists and will be replaced; --report FILE names another file." in said.err


def test_two_jobs_give_the_numbers_of_one(run: Run, tmp_path: Path) -> None:
    path = task_file(tmp_path)
    one, two = (run(*small(path, "--no-report", "--json", "--jobs", jobs)).json for jobs in ("1", "2"))
    assert one["arms"] == two["arms"]


def test_ctrl_c_ends_cleanly_and_resume_continues(run: Run, tmp_path: Path) -> None:
    args = small(task_file(tmp_path, epochs=100), "--no-report")
    command = [sys.executable, "-c", "from actlab.cli import main; main()", *[arg for arg in args if arg != "-q"]]
    with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True, env={**os.environ}) as process:
        store = tmp_path / "actlab-runs.db"
        _within(120, lambda: _trials(store) or process.poll() is not None)
        process.send_signal(signal.SIGINT)
        assert process.stderr is not None
        err = process.stderr.read()
    assert process.returncode == 130, err
    assert "--resume" in err
    assert "Traceback" not in err
    kept = _trials(store)
    assert kept >= 1
    # the plan is the same, so what was kept is not run again
    assert run(*args, "--resume").status == 0
    assert _trials(store) == 2 * 6


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="/proc lists the children")
def test_a_study_that_is_killed_leaves_no_process_behind(tmp_path: Path) -> None:
    args = small(task_file(tmp_path, epochs=4000), "--no-report", "--jobs", "2")
    command = [sys.executable, "-c", "from actlab.cli import main; main()", *args]
    with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.DEVNULL) as process:
        children = _within(120, lambda: len(found := _descendants(process.pid)) >= 4 and found)
        process.kill()
    # two workers, the process that they fork from, and the one that keeps account of what they share
    assert children
    assert _within(20, lambda: not any(Path(f"/proc/{pid}").exists() for pid in children))


def _descendants(pid: int) -> list[int]:
    listed = Path(f"/proc/{pid}/task/{pid}/children")
    children = [int(child) for child in listed.read_text().split()] if listed.exists() else []
    return [*children, *(each for child in children for each in _descendants(child))]


def _within(seconds: float, holds: Callable[[], object]) -> object:
    """Return the value of `holds`, once it is true or the time is up."""
    deadline = time.monotonic() + seconds
    while not (found := holds()) and time.monotonic() < deadline:
        time.sleep(0.1)
    return found


def _trials(store: Path) -> int:
    import sqlite3

    if not store.exists():
        return 0
    try:
        with sqlite3.connect(store) as connection:
            (count,) = connection.execute("SELECT count(*) FROM trials").fetchone()
    except sqlite3.OperationalError:  # its tables do not exist yet
        return 0
    finally:
        connection.close()
    return int(count)


def test_help_shows_every_command_with_its_whole_summary(run: Run) -> None:
    words = " ".join(run("--help").out.split())
    for name, file in COMMANDS.items():
        summary = str(inspect.getdoc(file.command)).splitlines()[0]
        assert f"{name} {summary}" in words.replace("written- out", "written-out")  # click breaks lines at hyphens
    assert "... " not in words.partition("COMMAND")[2].partition("[ARGS]...")[2]


def test_every_command_has_a_place_of_its_own_in_the_help() -> None:
    places = [file.PLACE for file in COMMANDS.values()]
    assert len(set(places)) == len(places)
    assert {place.panel for place in places} == set(Panel)


def test_every_command_has_a_verb_in_the_file_of_its_name() -> None:
    # serve shows the others' answers and has none
    assert set(COMMANDS) - {"serve"} <= {file.stem for file in Path(verbs.__path__[0]).glob("*.py")}


def test_version_prints_the_installed_version(run: Run) -> None:
    assert run("--version").out.startswith("actlab ")


def test_the_package_runs_as_a_program() -> None:
    program = [sys.executable, "-m", "actlab", "gain", "relu", "--json"]
    ended = subprocess.run(program, capture_output=True, text=True, check=True)
    assert json.loads(ended.stdout)["gain"] == pytest.approx(2**0.5)


OWN = '''
from actlab import activation
from actlab.formula.atoms import where


@activation(source="nobody, 2026", known={-1: -0.5, 0: 0, 1: 1})
def bent(x):
    """Half on the left."""
    return where(x <= 0, x / 2, x)
'''


def test_file_and_name_are_accepted_wherever_a_name_is(run: Run, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(OWN)
    assert run("show", "mine.py:bent", "--json").json["formula"] == "where(x <= 0, x/2, x)"
    assert run("gain", "mine.py:bent", "--json").json["gain"] == pytest.approx((2 / (1 + 0.25)) ** 0.5)
    said = run(*small(task_file(tmp_path), "--activations", "relu,mine.py:bent", "--json"))
    assert [arm["activation"] for arm in said.json["arms"]] == ["relu", "bent"]
    assert "bent" in Path(said.json["report"]).read_text()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("mine.py:bend", "'mine.py' declares no activation 'bend'. Did you mean 'bent'?"),
        ("absent.py:bent", "there is no file 'absent.py'"),
        ("broken.py:bent", "'broken.py', when imported, raised ZeroDivisionError"),
    ],
)
def test_an_error_in_the_users_file_is_one_line(run: Run, tmp_path: Path, name: str, message: str) -> None:
    (tmp_path / "mine.py").write_text(OWN)
    (tmp_path / "broken.py").write_text("1 / 0\n")
    said = run("show", name)
    assert (said.status, said.out) == (2, "")
    assert message in said.err
