"""What is diagnosed: read from the user's file or module, or refused with what was found."""

from __future__ import annotations

from functools import partial, wraps
from pathlib import Path

import pytest
import torch
from torch import nn

from actlab.errors import BadTask
from actlab.sites.find import sites
from actlab.train.builtin import builtin_task
from actlab.train.mlp import mlp
from actlab.train.subject import Subject, defined_at, named_subject, subject
from actlab.train.task import Task

FILE = """
import torch
from torch import nn
from actlab import Task

net = nn.Linear(4, 2)
inputs, targets = torch.randn(6, 4), torch.tensor([0, 1, 0, 1, 0, 1])
ready = (net, (inputs, targets), nn.CrossEntropyLoss())
named = {"model": net, "batch": (inputs, targets), "loss": nn.functional.cross_entropy,
         "optimizer": torch.optim.SGD(net.parameters(), lr=0.1)}
without_loss = (net, (inputs, targets))
inputs_alone = (net, inputs)
number = 5

def make():
    return ready

def make_task():
    return Task("signs", lambda: nn.Sequential(nn.Linear(4, 2)), train=(torch.randn(50, 4), torch.arange(50) % 2),
                kind="classification")

def raises():
    return 1 / 0
"""


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "subject_net.py").write_text(FILE)
    return "subject_net.py"


@pytest.mark.parametrize("name", ["ready", "named", "make", "without_loss"])
def test_a_model_a_batch_and_a_loss_are_read(file: str, name: str) -> None:
    found = named_subject(f"{file}:{name}")
    assert isinstance(found, Subject)
    assert (type(found.model), found.inputs.shape, found.targets.shape) == (nn.Linear, (6, 4), (6,))
    assert (found.loss is None) is (name == "without_loss")
    assert (found.optimizer is not None) is (name == "named")


def test_inputs_alone_are_a_batch_without_targets(file: str) -> None:
    found = named_subject(f"{file}:inputs_alone")
    assert isinstance(found, Subject)
    assert (found.inputs.shape, found.targets, found.loss) == ((6, 4), None, None)


def test_a_task_is_given_as_it_is_by_its_default_name(file: str) -> None:
    assert isinstance(named_subject(file), Task)
    assert isinstance(named_subject(f"{file}:make_task"), Task)


@pytest.mark.parametrize("name", ["ready", "make", "named"])
def test_where_it_is_defined_is_known(file: str, name: str) -> None:
    path, line = defined_at(named_subject(f"{file}:{name}"))
    text = Path(path).read_text().splitlines()[line - 1]
    assert text.startswith((f"{name} = ", f"def {name}("))


def test_a_task_is_defined_where_its_model_is(file: str) -> None:
    path, line = defined_at(named_subject(file))
    assert "lambda: nn.Sequential" in Path(path).read_text().splitlines()[line - 1]


def test_a_module_is_found_in_the_working_folder(file: str) -> None:
    assert isinstance(named_subject("subject_net:ready"), Subject)


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ("missing.py:make", "there is no file 'missing.py'"),
        ("no_such_module_here:make", "there is no module 'no_such_module_here', neither in the working folder"),
        ("subject_net.py:mak", "'subject_net.py' has no 'mak'. Did you mean 'make'?"),
        ("subject_net.py:number", "'subject_net.py:number' must be an actlab.Task, a tuple (model,"),
        ("subject_net.py:net", "must have inputs; got a model alone. Add --input with the shape of a batch"),
        (
            "subject_net.py:raises",
            "'subject_net.py:raises' raised ZeroDivisionError: division by zero (subject_net.py,",
        ),
    ],
)
def test_what_cannot_be_read_is_named(file: str, where: str, message: str) -> None:
    with pytest.raises(BadTask) as raised:
        named_subject(where)
    assert message in str(raised.value)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ((5, (1, 2), None), "the model must be a torch.nn.Module; got 5."),
        (
            (nn.ReLU(), torch.ones(3), nn.MSELoss()),
            "the batch must be a pair of inputs and targets; got a tensor of shape (3,).",
        ),
        ((nn.ReLU(), (1, 2), 5), "the loss must be a function of outputs and targets; got 5."),
        (
            {"model": nn.ReLU(), "batch": (1, 2), "optimizer": 5},
            "the optimizer must be a torch.optim.Optimizer; got 5.",
        ),
        ({"model": nn.ReLU(), "data": (1, 2)}, "got a dict with the keys model, data."),
    ],
)
def test_what_does_not_fit_is_named(given: object, message: str) -> None:
    with pytest.raises(BadTask) as raised:
        subject(given, name="net.py:make")
    assert message in str(raised.value)


def test_a_model_of_pytorchs_own_modules_has_the_lines_that_construct_them(tmp_path: Path) -> None:
    (tmp_path / "layers.py").write_text(
        "from torch import nn\n\ndef block():\n    return [nn.Linear(4, 4), nn.Tanh()]\n"
    )
    path = tmp_path / "their_net.py"
    path.write_text(
        "import torch\nfrom torch import nn\nfrom layers import block\n"
        "parts = block()\nparts.append(\n    nn.ReLU()\n)\n"
        "def ready():\n    return nn.Sequential(*parts), torch.ones(1, 4)\n"
    )
    made = named_subject(f"{path}:ready")
    assert isinstance(made, Subject)
    found = [(Path(site.file).name, site.line) for site in sites(made.model, made.inputs)]
    assert found == [("layers.py", 4), ("their_net.py", 6)]


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer(x)


class Maker:
    def __call__(self) -> nn.Module:
        return Net()


def plain() -> nn.Module:
    return Net()


@wraps(plain)
def decorated() -> nn.Module:
    return plain()


ROWS = (torch.arange(80.0).view(20, 4), torch.arange(20.0))
FACTORIES = {
    "a class": (Net, Net.__init__),
    "a partial of a class": (partial(Net), Net.__init__),
    "an object": (Maker(), Maker.__call__),
    "a decorated function": (decorated, plain),
    "a lambda": (made := lambda: Net(), made),
}


@pytest.mark.parametrize("what", FACTORIES)
def test_a_task_is_placed_where_its_model_is_made(what: str) -> None:
    factory, function = FACTORIES[what]
    task = Task("ours", factory, train=ROWS)
    assert defined_at(task) == (__file__, function.__code__.co_firstlineno)


def test_a_built_in_task_is_placed_in_the_file_that_makes_its_model() -> None:
    from actlab.study.control_diagnosis import located

    task = builtin_task("digits-relu")
    path, line = defined_at(task)
    assert (Path(path).name, line) == ("mlp.py", mlp.__code__.co_firstlineno)
    text = "layers += [activation()] if number else []"
    expected = next(at for at, each in enumerate(Path(path).read_text().splitlines(), start=1) if text in each)
    assert {(site.file, site.line) for site in located(task)[0]} == {(path, expected)}


def test_a_model_that_is_made_in_no_code_of_pythons_is_placed_at_the_task() -> None:
    task = Task("ours", partial(nn.Linear, 4, 1), train=ROWS)
    assert defined_at(task) == ("<task 'ours'>", 1)
