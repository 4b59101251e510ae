"""The programs of the scoreboard do what they say: each runs, and a faulty one differs from its twin."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from actlab.catalog.index import get
from actlab.rules.finding import Finding
from actlab.rules.registry import kinds
from actlab.sites.site import Site
from corpus import everything, judge

RELU = get("relu")
BENCH = Path(__file__).parents[2] / "bench"
IDS = set(kinds())

PROGRAMS = everything.programs()
REFUSED = "no_sigmoid_refused"  # PyTorch itself raises: that is its fault


def built(program):
    torch.manual_seed(0)
    return program.build()


def first_loss(case):
    torch.manual_seed(1)
    inputs, targets = case.data(0)
    output = case.model(*inputs) if isinstance(inputs, tuple) else case.model(inputs)
    return case.loss(output, targets)


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.name)
def test_each_program_gives_a_gradient(program):
    case = built(program)
    if program.name == REFUSED:
        with pytest.raises(RuntimeError, match="between 0 and 1"):
            first_loss(case)
        return
    loss = first_loss(case)
    if program.fault and "AL113" in program.fault.ids:
        with pytest.raises(RuntimeError, match="modified by an inplace operation"):
            loss.backward()
        return
    loss.backward()
    assert loss.ndim == 0
    assert any(parameter.grad is not None for parameter in case.model.parameters())
    if program.fault is None:
        assert torch.isfinite(loss)


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.name)
def test_data_are_the_same_each_time(program):
    one, other = (built(program).data(3)[0] for _ in range(2))
    pairs = zip(one, other, strict=True) if isinstance(one, tuple) else [(one, other)]
    assert all(torch.equal(left, right) for left, right in pairs)


@pytest.mark.parametrize("program", [one for one in PROGRAMS if one.fault is None], ids=lambda program: program.name)
def test_a_correct_program_stays_finite(program):
    case = built(program)
    losses = []
    if case.loop:
        case.loop(case, lambda loss: losses.append(loss.item()))
    else:
        optimiser = case.optimiser(case.model)
        for step in range(program.steps):
            inputs, targets = case.data(step)
            output = case.model(*inputs) if isinstance(inputs, tuple) else case.model(inputs)
            loss = case.loss(output, targets)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            losses.append(loss.item())
    assert torch.tensor(losses).isfinite().all()


def test_names_are_unique():
    names = [program.name for program in PROGRAMS]
    assert len(names) == len(set(names))


def test_every_finding_has_a_mutant_that_it_alone_names():
    faults = [program.fault.ids for program in PROGRAMS if program.fault and program.group == "B"]
    assert set().union(*faults) == IDS
    alone = {next(iter(ids)) for ids in faults if len(ids) == 1}
    assert {
        "AL104",
        "AL106",
        "AL108",
        "AL111",
        "AL304",
        "AL310",
    } >= IDS - alone  # these come with another that is as right


def test_enough_tempt_a_false_alarm():
    assert sum(program.group == "C" for program in PROGRAMS) >= 40


def test_each_question_is_there():
    questions = {program.name.removeprefix("so_") for program in PROGRAMS if program.group == "A" and program.fault}
    assert len(questions) == 12  # FACTS.md, section 9
    assert all(question.isdigit() and len(question) == 8 for question in questions)


@pytest.mark.parametrize("program", [one for one in PROGRAMS if one.fault], ids=lambda program: program.name)
def test_a_line_at_fault_is_one(program):
    assert len(program.lines) <= 1


@pytest.mark.parametrize("program", [one for one in PROGRAMS if one.fault], ids=lambda program: program.name)
def test_paths_at_fault_are_modules_of_the_model(program):
    modules = dict(built(program).model.named_modules(remove_duplicate=False))
    assert set(program.fault.paths or ()) <= set(modules)


@pytest.mark.parametrize("pair", everything.twins(), ids=lambda pair: pair.faulty.name)
def test_twins_differ(pair):
    """In their modules, numbers, loss, gradients, or in what their optimiser does."""
    assert told(pair.faulty) != told(pair.right)


def told(program):
    case = built(program)
    shape = str(case.model)
    weights = [parameter.sum().item() for parameter in case.model.parameters()]
    groups = [
        {name: value for name, value in group.items() if name != "params"} | {"of": sizes(group, case.model)}
        for group in case.optimiser(case.model).param_groups
    ]
    if program.name == REFUSED:
        return shape, weights, groups
    return shape, weights, groups, first_loss(case).item(), size(case), size(resting(case)), gradients(case)


def gradients(case):
    """The gradients' sums; the error's type where the backward pass fails."""
    try:
        first_loss(case).backward()
    except RuntimeError as error:
        return type(error).__name__
    return [None if parameter.grad is None else parameter.grad.sum().item() for parameter in case.model.parameters()]


def size(case):
    """Of what the model gives: log_softmax before cross-entropy leaves the loss as it was."""
    torch.manual_seed(1)
    inputs, _ = case.data(0)
    output = case.model(*inputs) if isinstance(inputs, tuple) else case.model(inputs)
    output = output[0] if isinstance(output, tuple) else getattr(output, "logits", output)
    return output.abs().sum().item()


def resting(case):
    case.model.eval()
    return case


def sizes(group, model):
    """Which of the model's parameters are in the group."""
    return [name for name, parameter in model.named_parameters() if any(parameter is one for one in group["params"])]


def test_the_interval_is_wilsons():
    low, high = judge.wilson(9, 10)
    assert (round(low, 4), round(high, 4)) == (
        0.5958,
        0.9821,
    )  # statsmodels' proportion_confint
    assert judge.wilson(0, 0) == (0.0, 1.0)


def test_the_scoreboard_runs_on_a_few(tmp_path):
    script = BENCH / "scoreboard.py"
    done = subprocess.run(
        [sys.executable, script, "--quick", "--results", tmp_path], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "false alarms per correct program" in done.stdout
    assert "A and B: nine in ten faults named" in done.stdout
    assert (tmp_path / "diagnosis.csv").read_text(encoding="utf-8").startswith("question,group,measure,hits,of,share")


def test_one_program_is_shown_at_length():
    command = [sys.executable, BENCH / "scoreboard.py", "--only", "softmax_module_cross_entropy", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    faulty, right = json.loads(done.stdout)["outcomes"]
    assert (faulty["verdict"], right["verdict"]) == ("found", "well")
    assert "AL201" in {found["id"] for found in faulty["findings"]}


@pytest.mark.parametrize(
    ("path", "line", "placed"),
    [("", "right", True), ("", "other", False), ("elsewhere", "right", False)],
)
def test_a_site_must_be_that_of_the_fault(path, line, placed):
    program = next(one for one in PROGRAMS if one.name == "softmax_functional_cross_entropy")
    (at,) = program.lines
    site = Site("softmax", {}, path, "F.softmax", program.file, at + (line == "other"), 0, (4, 4), "float32", RELU)
    found = Finding("AL201", "error", "", site, {}, ())
    assert judge.stands_right(found, program) is placed
    assert judge.Outcome(program, (found,), 0.0).placed is placed


def test_a_wrong_name_is_no_answer_and_a_warning_on_a_correct_program_is_a_false_alarm():
    pair = next(one for one in everything.twins() if one.faulty.name == "softmax_functional_cross_entropy")
    found = Finding("AL302", "warning", "", None, {}, ())
    assert judge.verdict(judge.Outcome(pair.faulty, (found,), 0.0)) == "misnamed"
    assert judge.verdict(judge.Outcome(pair.faulty, (), 0.0)) == "missed"
    assert judge.verdict(judge.Outcome(pair.right, (found,), 0.0)) == "false alarm"
    assert judge.verdict(judge.Outcome(pair.right, (), 0.0)) == "well"
    assert judge.verdict(judge.Outcome(pair.right, (), 0.0, "Traceback")) == "no answer"
