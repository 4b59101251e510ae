"""The backward pass of a check: what it finds, and that it leaves nothing behind."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from actlab.diagnosis.check import check
from actlab.diagnosis.report import Report
from actlab.errors import BadInput

X, Y = torch.randn(64, 8), torch.arange(64) % 3


class Between(nn.Module):
    """Two layers with something between them."""

    def __init__(self, between):
        super().__init__()
        self.first, self.out, self.between = nn.Linear(8, 16), nn.Linear(16, 3), between

    def forward(self, x):
        return self.out(self.between(self.first(x)))


def found(model: nn.Module, loss=F.cross_entropy, **options) -> dict[str, tuple[str, str]]:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        report = check(model, (X, Y), loss, **options)
    return {each.id: (each.severity, each.message) for each in report.findings}


def without_autograd(h: Tensor) -> Tensor:
    with torch.no_grad():
        return torch.relu(h)


CUTS = {
    "detach": lambda h: torch.relu(h).detach(),
    "data": lambda h: torch.relu(h).data,
    "copy": lambda h: torch.relu(torch.tensor(h.tolist())),
    "numpy": lambda h: torch.relu(torch.from_numpy(h.detach().numpy())),
    "comparison": lambda h: (torch.sigmoid(h) > 0.5).float(),
    "sign": torch.sign,
    "round": lambda h: torch.relu(h).round(),
    "no_grad": without_autograd,
    "flat": lambda h: torch.relu(h - 100),
    "clamped": lambda h: (h + 100).clamp(-1, 1),
    "integers": lambda h: h.long().float() + torch.relu(h.long().float()),
}


@pytest.mark.parametrize("between", CUTS.values(), ids=CUTS)
def test_a_gradient_that_is_cut_is_one_error(between):
    severity, message = found(Between(between))["AL114"]
    assert severity == "error"
    assert "no gradient reaches first.weight (and 1 more)" in message


@pytest.mark.filterwarnings("ignore:To copy construct")
@pytest.mark.parametrize(
    "loss",
    [
        lambda out, y: F.cross_entropy(out.detach(), y),
        lambda out, y: (out.argmax(1) == y).float().mean(),
        lambda out, y: torch.tensor(F.cross_entropy(out, y).item(), requires_grad=True),
        lambda out, y: torch.tensor(F.cross_entropy(out, y), requires_grad=True),
    ],
)
def test_a_loss_without_any_gradient_is_an_error(loss):
    severity, message = found(Between(torch.relu), loss)["AL114"]
    assert severity == "error"
    assert "nothing learns" in message


def test_frozen_parameters_alone_are_refused():
    with pytest.raises(BadInput, match="no parameter requires_grad"):
        check(Between(torch.relu).requires_grad_(False), (X, Y), F.cross_entropy)


class Frozen(nn.Module):
    """A backbone whose features are used without its gradient."""

    def __init__(self, how):
        super().__init__()
        self.backbone = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 16), nn.ReLU())
        self.head, self.how = nn.Linear(16, 3), how

    def forward(self, x):
        if self.how == "detach":
            return self.head(self.backbone(x).detach())
        with torch.no_grad():
            h = self.backbone(x)
        return self.head(h)


@pytest.mark.parametrize("how", ["detach", "no_grad"])
def test_a_whole_part_that_is_cut_off_is_information(how):
    assert found(Frozen(how))["AL114"][0] == "information"


def test_the_optimizer_says_what_is_to_be_trained():
    model = Frozen("detach")
    assert found(model, optimizer=torch.optim.SGD(model.parameters(), 0.1))["AL114"][0] == "error"
    assert "AL114" not in found(model, optimizer=torch.optim.SGD(model.head.parameters(), 0.1))


class Zero(nn.Module):
    def __init__(self, kind):
        super().__init__()
        self.first, self.out, self.kind = nn.Linear(8, 16), nn.Linear(16, 3), kind
        self.extra, self.unused = nn.Sequential(nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 16)), nn.Linear(3, 3)
        self.scale = nn.Parameter(torch.zeros(()))
        if kind == "layer":
            nn.init.zeros_(self.extra[2].weight)

    def forward(self, x):
        h = torch.tanh(self.first(x))
        if self.kind == "straight":
            return self.out(h + self.extra(h + (h.sign() - h).detach()))
        return self.out(h + (self.scale if self.kind == "scale" else 1) * self.extra(h))


@pytest.mark.parametrize("kind", ["layer", "scale", "straight"])
def test_zero_weights_unused_layers_and_straight_through_are_right(kind):
    assert "AL114" not in found(Zero(kind))


def test_targets_of_a_teacher_are_right():
    class Student(nn.Module):
        def __init__(self):
            super().__init__()
            self.student, self.teacher = nn.Linear(8, 3), nn.Sequential(nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 3))

        def forward(self, x):
            return self.student(x), self.teacher(x)

    def loss(out, y):
        return F.mse_loss(out[0], out[1].detach()) + F.cross_entropy(out[0], out[1].argmax(1))

    assert not found(Student(), loss)


BROKEN = {
    "where": (lambda h: torch.where(h <= 0, torch.exp(1000 * h), 1 + h), "exp"),
    "clamp": (lambda h: torch.exp(1000 * h).clamp(max=1), "exp"),
    "root": (lambda h: h + (h - h.detach()).square().sum(1, keepdim=True).sqrt(), "sqrt"),
    "norm by hand": (lambda h: h / ((0 * h).square().sum(1).sqrt() + 1).unsqueeze(1), "sqrt"),
    "softplus by hand": (lambda h: h * torch.tanh(torch.log(1 + torch.exp(1000 * h))), "exp"),
    "masked rows": (lambda h: (h + torch.log((h > 1).all(1, True))).softmax(1).nan_to_num(0.0) + h, "softmax"),
    "arccos": (lambda h: torch.acos(torch.ones_like(h) + 0 * h), "acos"),
}


@pytest.mark.parametrize(("between", "function"), BROKEN.values(), ids=BROKEN)
def test_the_operation_that_makes_a_gradient_nan_is_named(between, function):
    severity, message = found(Between(between))["AL112"]
    assert severity == "error"
    assert function in message.partition(";")[0]


FINE = {
    "where": lambda h: torch.where(h <= 0, torch.exp(1000 * h.clamp(max=0)), 1 + h),
    "norm": lambda h: h + torch.relu(h - 100).norm(dim=1, keepdim=True) + h.relu(),
    "mask": lambda h: h.masked_fill(h < 0, -torch.inf).softmax(1).relu() + h,
}


@pytest.mark.parametrize("between", FINE.values(), ids=FINE)
def test_finite_gradients_are_right(between):
    assert "AL112" not in found(Between(between))


def test_a_narrow_dtype_is_blamed():
    model = Between(torch.relu).half()
    with torch.no_grad():
        model.first.weight.mul_(3e4)
    report = check(model, (X.half(), Y), lambda out, y: (out.float() ** 2).mean())
    assert any("float16 is too narrow" in each.message for each in report.findings)


IN_PLACE = {
    "method": lambda h: torch.sigmoid(h).sub_(0.5),
    "module": lambda h: (lambda y: nn.ReLU(inplace=True)(y) + 0 * y)(torch.tanh(h)),
    "index": lambda h: _first_column_zero(torch.exp(h)),
    "view": lambda h: _first_column_zero(torch.tanh(h).view(-1, 16)),
}


def _first_column_zero(h: Tensor) -> Tensor:
    h[:, 0] = 0
    return h


@pytest.mark.parametrize("between", IN_PLACE.values(), ids=IN_PLACE)
def test_a_write_in_place_that_breaks_the_backward_pass_is_named(between):
    severity, message = found(Between(between))["AL113"]
    assert severity == "error"
    assert "overwrites in place what the derivative of" in message


def test_a_write_in_place_that_harms_nothing_is_right():
    assert "AL113" not in found(Between(lambda h: h.mul_(2).relu_()))


def test_the_gradients_of_the_model_stay_as_they_are():
    model = nn.Sequential(nn.Linear(8, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.5), nn.Linear(16, 3))
    F.cross_entropy(model(X), Y).backward()
    gradients = {name: value.grad for name, value in model.named_parameters()}
    before, state = {name: value.clone() for name, value in gradients.items()}, copy.deepcopy(model.state_dict())
    calls: list[Tensor] = []
    for value in model.parameters():
        value.register_post_accumulate_grad_hook(calls.append)
    random = torch.get_rng_state()
    check(model, (X, Y), F.cross_entropy)
    for name, value in model.named_parameters():
        assert value.grad is gradients[name]
        assert torch.equal(value.grad, before[name])
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
    assert torch.equal(torch.get_rng_state(), random)
    assert not calls


@pytest.mark.parametrize("reentrant", [True, False])
def test_checkpoints_do_not_stop_the_check(reentrant):
    part = nn.Sequential(nn.Linear(16, 16), nn.BatchNorm1d(16), nn.ReLU())

    def between(h):
        return checkpoint(part, torch.relu(h), use_reentrant=reentrant)

    model = Between(between)
    model.part = part
    state = copy.deepcopy(model.state_dict())
    assert not {"AL112", "AL113", "AL114"} & found(model).keys()
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())


def test_what_ran_before_the_model_raised_is_reported():
    def between(h):
        return nn.functional.linear(h, model.extra) @ torch.ones(3, 3)

    model = Between(between)
    model.extra = nn.Parameter(torch.randn(16, 16))
    report = check(model, (X, Y), F.cross_entropy)
    assert [each.id for each in report.findings] == ["AL301"]
    assert not report.ok
    assert "test_backward.py" in str(report.raised)
    assert any("Ended early: the model raised" in line for line in report.lines())


def test_what_ran_before_the_loss_raised_is_reported():
    model = nn.Sequential(nn.Linear(8, 16), nn.Linear(16, 3))

    def loss(out, y):
        raise RuntimeError("no")

    report = check(model, (X, Y), loss)
    assert "AL301" in [each.id for each in report.findings]
    assert "the loss raised RuntimeError: no" in str(report.raised)


def test_a_model_that_raises_without_a_finding_is_refused():
    with pytest.raises(BadInput, match="the model raised RuntimeError"):
        check(Between(lambda h: h @ torch.ones(3, 3)), (X, Y), F.cross_entropy)


class Remembers(nn.Module):
    def __init__(self):
        super().__init__()
        self.enter, self.again, self.out = nn.Linear(8, 16), nn.Linear(16, 16), nn.Linear(16, 3)
        self.state = torch.zeros(64, 16)

    def forward(self, x):
        self.state = torch.tanh(self.enter(x) + self.again(self.state))
        return self.out(self.state)


def test_a_state_that_keeps_its_graph_fails_in_the_second_step():
    report = check(Remembers(), (X, Y), F.cross_entropy, train_steps=3)
    failed = [each for each in report.findings if each.id == "AL113"]
    assert isinstance(report, Report)
    assert "in training step 2" in failed[0].message
    assert "state keeps it" in failed[0].message
    assert failed[0].evidence["kept"] == "state"
