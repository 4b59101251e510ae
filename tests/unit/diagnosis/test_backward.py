"""The backward pass of a check: what it finds, and that it leaves nothing behind."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from actlab import verbs
from actlab.diagnosis.check import check
from actlab.diagnosis.report import Report
from actlab.diagnosis.watch import watch
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
    "draws": lambda h: torch.bernoulli(torch.sigmoid(h)),
    "index": lambda h: F.one_hot(h.argmax(1), 16).float(),
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


def test_a_layer_without_autograd_is_information():
    class Random(Between):
        def forward(self, x):
            with torch.no_grad():
                h = self.first(x)
            return self.out(torch.relu(h))

    assert found(Random(None))["AL114"][0] == "information"


def test_a_gate_by_comparison_is_an_error():
    class Gated(Between):
        def forward(self, x):
            gate = (torch.sigmoid(self.gate(x)) > 0.5).float()
            return self.out(torch.relu(self.first(x))) * gate

    model = Gated(None)
    model.gate = nn.Linear(8, 1)
    severity, message = found(model)["AL114"]
    assert severity == "error"
    assert "no gradient reaches gate.weight (and 1 more)" in message


def test_the_optimizer_says_what_is_to_be_trained():
    model = Frozen("detach")
    assert found(model, optimizer=torch.optim.SGD(model.parameters(), 0.1))["AL114"][0] == "error"
    assert "AL114" not in found(model, optimizer=torch.optim.SGD(model.head.parameters(), 0.1))


def test_detached_embeddings_are_information_though_the_optimizer_holds_them():
    class Words(Between):
        def forward(self, x):
            return self.out(torch.relu(self.first(self.words((x[:, 0] > 0).long()).detach())))

    model = Words(None)
    model.words = nn.Embedding(2, 8)
    assert found(model, optimizer=torch.optim.Adam(model.parameters()))["AL114"][0] == "information"


def test_a_detached_generator_before_a_critic_of_real_examples_is_information():
    class Critic(nn.Module):
        def __init__(self):
            super().__init__()
            self.generator = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 8))
            self.critic = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 1))

        def forward(self, x):
            return self.critic(x), self.critic(self.generator(x[:, :4]).detach())

    model = Critic()
    reported = found(
        model, lambda out, _: F.softplus(-out[0]).mean() + F.softplus(out[1]).mean(),
        optimizer=torch.optim.Adam(model.parameters()),
    )  # fmt: skip
    assert reported["AL114"][0] == "information"


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


def test_margins_that_are_all_kept_are_right():
    model = nn.Sequential(nn.Linear(8, 16), nn.Tanh(), nn.Linear(16, 1))
    assert "AL114" not in found(model, lambda out, y: F.relu(out - 100).mean())
    assert "AL114" in found(model, lambda out, y: (F.relu(out - 100) - 1).square().mean())


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


def test_a_row_without_an_entry_is_named_in_every_spelling():
    class Attends(nn.Module):
        def __init__(self):
            super().__init__()
            self.attention, self.out = nn.MultiheadAttention(8, 2, batch_first=True), nn.Linear(8, 3)

        def forward(self, x, left_out):
            return self.out(self.attention(x, x, x, key_padding_mask=left_out)[0])

    left_out = torch.arange(5) >= torch.tensor([[0], [2], [4], [5]])
    report = check(
        Attends(), ((torch.randn(4, 5, 8), left_out), ~left_out), lambda out, kept: out[kept].square().mean()
    )
    (broken,) = (each for each in report.findings if each.id == "AL112")
    assert "1 of 4 rows of a mask leave nothing to attend to" in broken.message


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


def test_a_harmless_write_before_the_harmful_one_is_not_blamed():
    def between(h):
        gate = torch.sigmoid(h)
        other = (h + 1).mul_(2)
        return other + gate.sub_(0.5)

    _, message = found(Between(between))["AL113"]
    assert "x.sub_()" in message
    assert "torch.sigmoid" in message


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


def test_the_command_fails_and_says_where_the_model_raised(tmp_path):
    file = tmp_path / "net.py"
    file.write_text(
        """
import torch
from torch import nn

class Raises(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(4, 8), nn.Linear(8, 8)

    def forward(self, x):
        return self.b(self.a(x)) @ torch.ones(3, 3)

def ready():
    return Raises(), (torch.randn(16, 4), torch.zeros(16, dtype=torch.long)), nn.CrossEntropyLoss()
"""
    )
    checked = verbs.check(f"{file}:ready", fail_on="never")
    assert not checked.is_well
    assert any("Ended early: the model raised RuntimeError" in line and "line 11" in line for line in checked.lines())
    assert "AL301" in {each.id for each in checked.new}
    assert "Ended early" in checked.to_json()["notes"][0]


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


class Reaches(nn.Module):
    """Leaves the domain of a root while it trains."""

    def __init__(self, how):
        super().__init__()
        self.layer, self.how = nn.Linear(8, 1), how

    def forward(self, x):
        y = torch.tanh(self.layer(x)) + self.layer.bias
        return torch.where(y < 3, torch.sqrt(3 - y), y) if self.how == "where" else torch.log(3 - y)


@pytest.mark.parametrize(("how", "id", "function"), [("where", "AL112", "sqrt"), ("log", "AL107", "log")])
def test_a_trial_run_names_the_step_and_the_operation(how, id, function):
    torch.manual_seed(0)
    model = Reaches(how)
    optimizer = torch.optim.SGD(model.parameters(), 0.5)

    report = check(model, (X, Y), lambda out, y: out.mean(), optimizer=optimizer, train_steps=40)
    found_in = [each for each in report.findings if each.id in {"AL107", "AL112"}]
    assert [each.id for each in found_in] == [id]
    assert found_in[0].evidence["step"] > 1
    assert f"in training step {found_in[0].evidence['step']}" in found_in[0].message
    assert found_in[0].evidence["made_by"] == function


def test_weights_that_are_nan_are_reported_without_a_loss():
    model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 3))
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    with watch(model, every=10) as watched:
        for step in range(3):
            optimizer.zero_grad()
            loss = F.cross_entropy(model(X), Y)
            (loss * (torch.nan if step == 2 else 1)).backward()
            optimizer.step()
    found_in = [each for each in watched.report().findings if each.id == "AL107"]
    assert "0.weight (and 3 more) hold NaN or infinity after the last of 3 steps" in found_in[0].message


class Wrapped(nn.Module):
    """A whole part, a way to cut it off, and a head of two layers."""

    def __init__(self, cut, head=None):
        super().__init__()
        self.part = nn.Sequential(nn.Linear(8, 16), nn.ReLU())
        self.head = head or nn.Sequential(nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 3))
        self.cut = cut

    def forward(self, x):
        return self.head(self.cut(self.part(x)))


@pytest.mark.parametrize("cut", [torch.detach, lambda h: h.data, lambda h: h.clone().detach()])
def test_a_whole_part_that_is_detached_is_a_warning(cut):
    assert found(Wrapped(cut))["AL114"][0] == "warning"


def test_a_part_whose_data_come_back_in_a_new_variable():
    severity, message = found(Wrapped(lambda h: torch.autograd.Variable(h.data)))["AL114"]
    assert severity == "error"
    assert "part.0.weight" in message

    class Judged(Wrapped):
        def forward(self, x):
            return self.head(self.cut(self.part(x))) + self.head(x.repeat(1, 2))

    assert "AL114" not in found(Judged(lambda h: torch.autograd.Variable(h.data)))


def test_a_probe_and_a_part_in_evaluation_mode_may_be_frozen():
    assert found(Wrapped(torch.detach, nn.Linear(16, 3)))["AL114"][0] == "information"
    assert found(Wrapped(lambda h: h.data, nn.Linear(16, 3)))["AL114"][0] == "warning"
    model = Wrapped(torch.detach)
    model.part.eval()
    assert found(model)["AL114"][0] == "information"


def test_numbers_that_are_taken_out_one_by_one():
    class Values(nn.Module):
        def __init__(self):
            super().__init__()
            self.body, self.logits, self.value = nn.Linear(8, 16), nn.Linear(16, 3), nn.Linear(16, 1)

        def forward(self, x):
            h = torch.tanh(self.body(x))
            return self.logits(h), torch.tensor([self.value(row).item() for row in h])

    def loss(out, y):
        return F.cross_entropy(out[0], y) + (out[1] - 1).square().mean()

    severity, message = found(Values(), loss)["AL114"]
    assert severity == "error"
    assert "no gradient reaches value.weight (and 1 more): x.item()" in message


def test_a_line_that_is_not_known_is_left_out():
    model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 3))
    nn.init.constant_(model[0].bias, -100.0)
    assert "(line 0)" not in found(model)["AL114"][1]
