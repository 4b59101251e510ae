"""Arms with factors, from the command line to the report."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import actlab
from command_line import Run, caller

TASK = """
import torch
from torch import nn
import actlab

class Net(nn.Module):
    def __init__(self, activation, depth, width):
        super().__init__()
        acts = [activation() for _ in range(depth)]
        self.stem, self.acts = nn.Linear(4, width), nn.ModuleList(acts)
        self.layers = nn.ModuleList(nn.Linear(width, actlab.nn.inputs_of(act) * width) for act in acts)
        self.gate, self.out = nn.Linear(width, width), nn.Linear(width, 2)

    def forward(self, x):
        x = self.stem(x)
        for layer, act in zip(self.layers, self.acts):
            x = x + act(layer(x)) * torch.sigmoid(self.gate(x))
        return self.out(x)

def model(activation, depth=1, width=8):
    return Net(activation, depth, width)

def make_task():
    inputs = torch.randn(120, 4, generator=torch.Generator().manual_seed(0))
    rows = (inputs, (inputs[:, 0] > 0).long())
    return actlab.Task("signs", model, train=rows, epochs=2, batch_size=40, kind="classification")
"""
FAST = ("--seeds", "2", "--budget", "1", "--jobs", "1", "--quiet")


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.py").write_text(TASK)
    (tmp_path / "own.py").write_text(
        "import actlab\nfrom actlab.formula.atoms import tanh\n\n\n@actlab.activation(known={0: 0}, source='ours')\n"
        "def bent(x):\n    return x * tanh(x)\n"
    )
    return caller(capsys, monkeypatch)


def test_every_factor_is_an_arm_of_its_name_in_every_form(run: Run, tmp_path: Path) -> None:
    arms = "own@clip=1,own@norm=batch,tanh@init=gain,gelu@gate=hard_sigmoid,own@depth=2@width=4,swiglu"
    said = run("compare", "net.py", "--activations", arms, *FAST, "--report", "page.html", "--json")
    assert said.status == 0, said.err
    names = [arm["activation"] for arm in said.json["arms"]]
    wanted = ["relu", *arms.replace("own", "relu").split(",")]
    assert sorted(names) == sorted(wanted)
    assert said.json["plan"]["arms"] == wanted
    page = (tmp_path / "page.html").read_text()
    assert "gelu@gate=hard_sigmoid: hard_sigmoid in the gate sites." in page
    assert "relu@clip=1 is not drawn" not in page  # the function of an arm is that of its activation
    stored = run("compare", "--last", "--json")
    assert stored.json["plan"]["arms"] == wanted
    cited = run("report", "--format", "bibtex", "--out", "b.bib")
    assert cited.status == 0, cited.err
    assert "relu@clip=1" not in (tmp_path / "b.bib").read_text()


def test_a_plan_with_factors_is_saved_shown_and_run(run: Run, tmp_path: Path) -> None:
    arms = "relu@clip=0.5,own.py:bent@norm=layer,x*sigmoid(beta*x)@clip=2"
    said = run("compare", "net.py", "--activations", arms, "--against", "own@width=6", "-p", "beta=1.5", *FAST,
               "--plan", "--save", "plan.toml")  # fmt: skip
    assert said.status == 0, said.err
    assert "relu@clip=0.5: gradients clipped to norm 0.5." in " ".join(said.out.split())
    text = (tmp_path / "plan.toml").read_text()
    assert 'control = "relu@width=6"' in text or 'control = "own@width=6"' in text
    assert "# bent@norm=layer: layer normalization before each activation." in text
    found = run("compare", "plan.toml", "--jobs", "1", "--quiet", "--no-report", "--json")
    assert found.status == 0, found.err
    assert found.json["plan"]["arms"] == [
        "relu@width=6", "relu@clip=0.5", "bent@norm=layer", "x*sigmoid(beta*x)@clip=2",
    ]  # fmt: skip
    (tmp_path / "plan.toml").write_text(text.replace("relu@clip=0.5", "relu@clip=0"))
    refused = run("compare", "plan.toml", "--jobs", "1", "--quiet", "--no-report")
    assert refused.status == 2
    assert "clip must be a positive number" in refused.err


@pytest.mark.parametrize("equal", ["parameters", "flops"])
def test_equal_sizes_are_planned_said_and_run(run: Run, tmp_path: Path, equal: str) -> None:
    said = run("compare", "net.py", "--activations", "swiglu", "--equal", equal, *FAST, "--plan", "--save", "p.toml")
    assert said.status == 0, said.err
    assert "by the width of the model: relu" in " ".join(said.out.split())
    assert f'equal = "{equal}"' in (tmp_path / "p.toml").read_text()
    found = run("compare", "p.toml", "--jobs", "1", "--quiet", "--no-report", "--json")
    assert found.status == 0, found.err
    budget = found.json["plan"]["budget"]
    assert budget["settings"]["swiglu"] < budget["settings"]["relu"] == 8
    again = run("compare", "p.toml", "--jobs", "1", "--quiet", "--no-report", "--json", "--seeds", "3", "--resume")
    assert again.status == 0, again.err
    assert again.json["plan"]["budget"] == budget


def test_equal_seconds_are_stored_in_the_plan_and_resumed(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = ("net.py", "--activations", "swiglu@depth=3", "--equal", "seconds", "--epochs", "8")
    said = run("compare", *asked, *FAST, "--plan", "--save", "p.toml")
    assert said.status == 0, said.err
    text = (tmp_path / "p.toml").read_text()
    assert "[budget]" in text
    edited = text.replace('"swiglu@depth=3" = ', '"swiglu@depth=3" =  ')
    (tmp_path / "p.toml").write_text(edited)
    found = run("compare", "p.toml", "--jobs", "1", "--quiet", "--no-report", "--json")
    assert found.status == 0, found.err
    budget = found.json["plan"]["budget"]
    assert budget["equal"] == "seconds"
    assert f'"swiglu@depth=3" =  {budget["settings"]["swiglu@depth=3"]}' in edited  # nothing was measured anew
    monkeypatch.delattr("actlab.study.compare.equally_long")
    longer = run("compare", *asked, *FAST, "--no-report", "--json", "--seeds", "3", "--resume")
    assert longer.status == 0, longer.err
    assert longer.json["plan"]["budget"] == budget
    (tmp_path / "p.toml").write_text(text.replace("epochs = 8", "epochs = 9"))
    refused = run("compare", "p.toml", "--jobs", "1", "--quiet", "--no-report")
    assert (refused.status, "the epochs of the task, 9; got 8" in refused.err) == (2, True)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--activations", "relu@clip=0"), "the arm 'relu@clip=0': clip must be a positive number"),
        (("--activations", "relu@norm=group"), "norm must be one of none, batch, layer; got 'group'"),
        (("--activations", "relu@clip"), "a factor must be NAME=VALUE; got 'relu@clip'"),
        (("--activations", "tanh@output=identity"), "in the group output; got block (acts.0), gate (model[0])"),
        (("--activations", "tanh@heads=3"), "takes no option 'heads'. It takes depth (by default 1), width"),
        (("--activations", "tanh", "--against", "relu@width=none"), "width must be an integer, as its default 8 is"),
        (("--activations", "swsh@clip=1"), "no activation is named 'swsh'"),
        (("--activations", "tanh@gate=swsh"), "no activation is named 'swsh'"),
        (("--activations", "relu#1"), "the arm 'relu#1' must have # and a number from 2 on at its end"),
        (("--activations", "relu#2@norm=batch"), "such as relu#2 or relu@norm=batch#2, if it repeats another one."),
        (("--activations", "tanh", "--against", "relu#2"), "the control must be without # and a number"),
        (("--activations", "tanh", "--equal", "money"), "equal must be one of trials, seconds, parameters, flops"),
    ],
)
def test_bad_input_is_one_line_and_writes_nothing(
    run: Run, tmp_path: Path, arguments: tuple[str, ...], message: str
) -> None:
    said = run("compare", "net.py", *arguments, *FAST, "--report", "page.html")
    assert said.status == 2
    assert message in said.err
    assert "Traceback" not in said.err
    assert not (tmp_path / "page.html").exists()


def test_python_takes_the_same_text(run: Run) -> None:
    typed = run("compare", "net.py", "--activations", "tanh@clip=1", *FAST, "--no-report", "--json").json
    called = actlab.compare("net.py", ["tanh@clip=1"], seeds=2, budget=1)
    assert json.loads(json.dumps(called.to_json()["plan"])) == typed["plan"]


def test_the_sites_show_their_groups(run: Run) -> None:
    assert "group" in run("sites", "net.py").out.splitlines()[0]
    found = run("sites", "net.py", "--json").json["sites"]
    assert {site["path"]: site["group"] for site in found} == {"acts.0": "block", "": "gate"}
