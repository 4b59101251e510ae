"""A repair from a file to its diff, and that nothing of the user's changes."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from actlab.errors import ActlabError, BadInput
from actlab.remedy import registry
from actlab.remedy.change import Change, Remedy
from actlab.remedy.training import Origin, Training, run
from actlab.train.taskfile import file_task
from actlab.verbs.fix import fix

TASK = """
from sklearn.datasets import load_digits
from torch import nn

from actlab import Task


def net():
    return nn.Sequential(
        nn.Linear(64, 16),
        nn.Tanh(),
        nn.Linear(16, 10),
        nn.Softmax(dim=1),  # the loss applies it itself
    )


def make_task():
    x, y = load_digits(return_X_y=True)
    rows = (x / 16, y)
    return Task("digits", net, train=rows, loss=nn.CrossEntropyLoss(), epochs=2, batch_size=64, rates=(0.005, 0.005))
"""


NOISE = """import numpy


class Noise(nn.Module):
    def forward(self, x):
        return x + float(numpy.random.default_rng().normal())
"""


@pytest.fixture
def file(tmp_path):
    place = tmp_path / "net.py"
    place.write_text(TASK)
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    return place


def rows(count=120):
    x = torch.randn(count, 4, generator=torch.Generator().manual_seed(1))
    return x, (x[:, 0] > 0).long()


def faulty(*more):
    """A network with a softmax before the loss."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), *more, nn.Linear(8, 2), nn.Softmax(dim=1))


@pytest.fixture(scope="module")
def repaired(tmp_path_factory):
    """A file with a fault, and the answer about it."""
    place = tmp_path_factory.mktemp("repaired") / "net.py"
    place.write_text(TASK)
    return place, fix(f"{place}:make_task", budget=14)


def test_a_kept_change_is_a_diff_that_gives_the_measured_metric(repaired, tmp_path):
    file, answer = repaired
    assert answer.verdict == "repaired"
    assert [each.id for each in answer.before.findings if each.severity == "error"] == ["AL201"]
    assert [each.kept for each in answer.tried] == [True]
    assert answer.tried[0].difference.pairs >= 5
    assert answer.tried[0].difference.low > 0
    assert file.read_text() == TASK
    shutil.copy(file, tmp_path)
    subprocess.run(["git", "apply", "-"], input=answer.diff.encode(), cwd=tmp_path, check=True)
    fault = "        nn.Softmax(dim=1),  # the loss applies it itself\n"
    assert (tmp_path / "net.py").read_text() == TASK.replace(fault, "")
    again = Training(file_task(f"{tmp_path / 'net.py'}:make_task"))
    assert run(again, 0).metric == pytest.approx(run(answer.outcome.training, 0).metric, rel=1e-6)


def test_the_gains_are_those_of_runs_that_are_done_again(repaired):
    answer = repaired[1]
    start, training = answer.outcome.start, answer.outcome.training
    seeds = range(1, 1 + answer.tried[0].difference.pairs)
    gains = [run(training, seed).metric - run(start, seed).metric for seed in seeds]
    assert answer.tried[0].difference.mean == pytest.approx(sum(gains) / len(gains))


def test_the_answer_has_the_form_that_others_rely_on(repaired):
    told = repaired[1].to_json()
    assert set(told) >= {"before", "tried", "after", "diff", "verdict"}
    assert set(told["before"]) >= {"findings", "metric"}
    assert set(told["tried"][0]) >= {"remedy", "finding", "kept", "reason", "difference"}
    assert set(told["tried"][0]["difference"]) >= {"mean", "low", "high", "p"}
    assert json.loads(json.dumps(told, allow_nan=False)) == told
    text = "\n".join(repaired[1].lines())
    assert "AL201" in text
    assert told["diff"].rstrip() in text


def state_of(model, optimizer):
    """A digest of everything that a repair could have changed."""
    held = [*model.state_dict().values(), torch.get_rng_state()]
    held += [value for state in optimizer.state.values() for value in state.values() if torch.is_tensor(value)]
    digest = hashlib.sha256()
    for each in held:
        digest.update(each.detach().cpu().numpy().tobytes())
    parts = []
    for name, module in model.named_modules():
        parts += [(name, sorted(vars(module)), module.training, len(module._forward_hooks), sorted(module._modules))]
    grads = [None if each.grad is None else each.grad.clone().tolist() for each in model.parameters()]
    return digest.hexdigest(), parts, grads, [id(each) for group in optimizer.param_groups for each in group["params"]]


@pytest.mark.parametrize("trained", [False, True])
def test_model_optimizer_and_random_state_stay_bit_for_bit(trained):
    model = faulty(nn.Dropout(0.1))
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    x, y = rows()
    if trained:
        F.cross_entropy(model(x), y).backward()
        optimizer.step()
    before = state_of(model, optimizer)
    answer = fix(model=model, batches=[(x, y)], loss=F.cross_entropy, optimizer=optimizer, budget=4, epochs=3)
    assert answer.tried
    assert state_of(model, optimizer) == before


def test_the_repair_of_a_model_is_applied_to_a_copy():
    model = faulty()
    x, y = rows(400)
    batches = [(x[:200], y[:200]), (x[200:], y[200:])]
    answer = fix(model=model, batches=batches, loss=F.cross_entropy, budget=16, epochs=2)
    assert answer.verdict == "repaired"
    repaired = answer.apply(model)
    with torch.no_grad():
        assert float(repaired(x).sum(1).sub(1).abs().max()) > 0.01
        assert float(model(x).sum(1).sub(1).abs().max()) < 1e-5


@pytest.mark.slow
def test_files_stay_if_the_process_is_killed(file):
    before = file.read_bytes()
    call = f"fix({f'{file}:make_task'!r}, progress=lambda *_: print('run', flush=True))"
    program = f"from actlab.verbs.fix import fix; {call}"
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as child:
        for _ in range(4):
            child.stdout.readline()
        os.kill(child.pid, signal.SIGKILL)
    time.sleep(0.05)
    assert file.read_bytes() == before
    assert sorted(each.name for each in file.parent.iterdir() if each.name != "__pycache__") == [".git", "net.py"]


def test_a_correct_program_is_left_as_it_is(file):
    file.write_text(TASK.replace("        nn.Softmax(dim=1),  # the loss applies it itself\n", ""))
    answer = fix(f"{file}:make_task", budget=14)
    assert (answer.verdict, answer.kept, answer.diff, answer.is_well) == ("nothing to repair", (), "", True)


def test_a_budget_too_small_to_decide_is_said(file):
    answer = fix(f"{file}:make_task", budget=4)
    assert answer.verdict == "undecided"
    assert answer.kept == ()
    assert answer.outcome.best[0].remedy == "remove-output-activation"
    assert "the budget is too small" in answer.tried[0].reason
    assert answer.outcome.runs <= 4


def test_a_remedy_that_raises_is_named_and_the_others_go_on(file, monkeypatch):
    def broken(training):
        raise ZeroDivisionError("by a remedy")

    known = registry.remedies()
    wrong = Remedy("broken", 0, frozenset({"remove-output-activation"}), "", lambda *_: [Change("raises", broken)])
    monkeypatch.setattr(registry, "remedies", lambda: (wrong, *known))
    answer = fix(f"{file}:make_task", budget=16)
    assert answer.verdict == "repaired"
    assert answer.tried[0].reason == "it raised ZeroDivisionError: by a remedy"


class Stubborn(nn.Linear):
    def __deepcopy__(self, memo):
        raise RuntimeError("one of a kind")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"loss": None}, "a loss is required"),
        ({"batches": [rows(12)]}, "no validation data: at least 20 rows are required"),
        ({"batches": []}, "at least one batch is required"),
        ({"batches": [3]}, "each batch must be a pair"),
        ({"model": nn.Sequential(Stubborn(4, 2))}, "copying the model raised RuntimeError: one of a kind"),
        ({"budget": "soon"}, "budget must be training runs, such as 40, or a time, such as 10m; got 'soon'"),
        ({"budget": 0}, "got '0'"),
        ({"optimizer": torch.optim.SGD(nn.Linear(2, 2).parameters(), lr=0.1)}, "none of the model's parameters"),
    ],
)
def test_bad_input_is_refused_with_the_reason(arguments, says):
    asked = {"model": faulty(), "batches": [rows()], "loss": F.cross_entropy, **arguments}
    with pytest.raises(ActlabError) as error:
        fix(**asked)
    assert says in str(error.value)


def test_a_changed_file_is_not_written(repaired):
    file, answer = repaired
    file.write_text(TASK + "\n")
    with pytest.raises(BadInput, match="has changed since"):
        answer.write()
    assert file.read_text() == TASK + "\n"
    file.write_text(TASK)


def test_a_training_that_is_not_repeatable_is_said(file):
    noisy = TASK.replace("        nn.Tanh(),\n", "        Noise(),\n        nn.Tanh(),\n")
    file.write_text(noisy.replace("def net():", NOISE + "\n\ndef net():"))
    answer = fix(f"{file}:make_task", budget=3)
    assert any("not repeatable" in note and "differs by" in note for note in answer.outcome.notes)


def test_a_finding_without_a_remedy_is_said():
    class Cut(nn.Module):
        def __init__(self):
            super().__init__()
            self.one, self.two = nn.Linear(4, 8), nn.Linear(8, 2)

        def forward(self, x):
            return self.two(F.relu(self.one(x)).detach())

    answer = fix(model=Cut(), batches=[rows()], loss=F.cross_entropy, budget=3)
    assert "AL114" in {each.id for each in answer.before.findings}
    assert answer.verdict == "no remedy"
    assert not answer.is_well


def test_origin_is_needed_for_a_change_of_text(file):
    from actlab.remedy.apply import applied

    start = Training(file_task(f"{file}:make_task"))
    with pytest.raises(BadInput, match="requires a program in a file"):
        applied(start, [Change("text", None)])
    assert Origin(str(file), "make_task").name == "make_task"
