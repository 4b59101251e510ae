"""Programs with one fault, which is named, at its place."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.distributions import Categorical
from torch.nn import functional as F

from actlab.diagnosis.check import check
from actlab.rules.context import Observed, Context
from actlab.rules.dataflow import sole
from actlab.rules.kinds import KINDS
from actlab.rules.registry import RULES, still_findings
from actlab.sites.trace.trace import Step, Trace, Value

X = torch.randn(32, 8, generator=torch.Generator().manual_seed(1))
CLASSES = torch.arange(32) % 4
BITS = (X[:, :1] > 0).float()
SEVERAL = (X[:, :5] > 0).float()


def mlp(outputs, *end, act=nn.ReLU):
    return nn.Sequential(nn.Linear(8, 32), act(), nn.Linear(32, 32), act(), nn.Linear(32, outputs), *end)


def by_hand(z, y):
    e = z.exp()
    return F.cross_entropy(e / e.sum(1, keepdim=True), y)


def chain(scale, act, depth):
    torch.manual_seed(0)
    layers = [part for _ in range(depth) for part in (nn.Linear(32, 32), act())]
    model = nn.Sequential(nn.Linear(8, 32), act(), *layers, nn.Linear(32, 4))
    for part in model:
        if isinstance(part, nn.Linear):
            nn.init.normal_(part.weight, std=scale)
    return model


def shared():
    act = nn.PReLU()
    return nn.Sequential(nn.Linear(8, 32), act, nn.Linear(32, 32), act, nn.Linear(32, 4))


class Rrelu(nn.Module):
    def __init__(self):
        super().__init__()
        self.one, self.two = nn.Linear(8, 32), nn.Linear(32, 4)

    def forward(self, x):
        return self.two(F.rrelu(self.one(x), training=True))


class Half(nn.Module):
    def __init__(self):
        super().__init__()
        self.one, self.two = nn.Linear(8, 32, dtype=torch.bfloat16), nn.Linear(32, 4, dtype=torch.bfloat16)

    def forward(self, x):
        return self.two(torch.tanh(self.one(30 * x.bfloat16()))).float()


class Configured(nn.Module):
    def __init__(self):
        super().__init__()
        self.config = type("Config", (), {"hidden_act": "gelu"})()
        self.body = mlp(4, act=lambda: nn.GELU(approximate="tanh"))

    def forward(self, x):
        return self.body(x)


def selu(*between):
    return nn.Sequential(nn.Linear(8, 32), nn.SELU(), *between, nn.Linear(32, 4))


NLL, CE, BCE, LOGITS = F.nll_loss, F.cross_entropy, F.binary_cross_entropy, F.binary_cross_entropy_with_logits
SHARES = torch.full((32, 4), 0.25)
KL = nn.KLDivLoss(reduction="batchmean")
FAULTS = {
    "softmax, cross-entropy": ("AL201", "5", mlp(4, nn.Softmax(1)), CLASSES, CE),
    "softmax by hand, cross-entropy": ("AL201", "", mlp(4), CLASSES, by_hand),
    "softmax, reshaped": ("AL201", "5", mlp(4, nn.Softmax(1)), CLASSES, lambda p, y: CE(p.view(-1, 4), y)),
    "softmax, log_softmax by hand": (
        "AL201", "5", mlp(4, nn.Softmax(1)), CLASSES, lambda p, y: -F.log_softmax(p, 1).gather(1, y[:, None]).mean()
    ),
    "softmax as the logits of a policy": (
        "AL201", "5", mlp(4, nn.Softmax(1)), CLASSES, lambda p, y: -Categorical(logits=p).log_prob(y).mean()
    ),
    "log_softmax, cross-entropy": ("AL202", "5", mlp(4, nn.LogSoftmax(1)), CLASSES, CE),
    "sigmoid twice": ("AL203", "5", mlp(1, nn.Sigmoid()), BITS, LOGITS),
    "sigmoid twice, squeezed": ("AL203", "5", mlp(1, nn.Sigmoid()), BITS, lambda p, y: LOGITS(p.squeeze(1), y[:, 0])),
    "no sigmoid": ("AL204", "4", mlp(1), BITS, BCE),
    "raw outputs, nll": ("AL205", "4", mlp(4), CLASSES, NLL),
    "probabilities, nll": ("AL205", "5", mlp(4, nn.Softmax(1)), CLASSES, NLL),
    "probabilities, divergence": ("AL205", "5", mlp(4, nn.Softmax(1)), SHARES, KL),
    "softmax of one": ("AL206", "5", mlp(1, nn.Softmax(1)), BITS, BCE),
    "cross-entropy of one": ("AL206", "4", mlp(1), 0 * CLASSES, CE),
    "softmax along the batch": ("AL207", "5", mlp(4, nn.LogSoftmax(0)), CLASSES, NLL),
    "sigmoid, signed targets": ("AL208", "5", mlp(1, nn.Sigmoid()), X[:, :1], F.mse_loss),
    "tanh, large targets, by hand": ("AL208", "5", mlp(1, nn.Tanh()), 5 * X[:, :1], lambda p, y: ((p - y) ** 2).mean()),
    "softmax, sums": ("AL208", "5", mlp(5, nn.Softmax(1)), torch.sigmoid(X[:, :5]), F.mse_loss),
    "relu on logits": ("AL209", "5", mlp(4, nn.ReLU()), CLASSES, CE),
    "relu before sigmoid": ("AL209", "5", mlp(1, nn.ReLU(), nn.Sigmoid()), BITS, BCE),
    "softmax, several labels": ("AL210", "5", mlp(5, nn.Softmax(1)), SEVERAL, BCE),
    "cross-entropy, several labels": ("AL210", "", mlp(5), SEVERAL, CE),
    "two linear": ("AL301", "2", nn.Sequential(nn.Linear(8, 32), nn.Dropout(0.1), nn.Linear(32, 4)), CLASSES, CE),
    "hidden softmax": ("AL302", "1", mlp(4, act=lambda: nn.Softmax(-1)), CLASSES, CE),
    "small start": ("AL303", "1", chain(0.01, nn.ReLU, 6), CLASSES, CE),
    "large start": ("AL303", "1", chain(1.5, nn.Tanh, 6), CLASSES, CE),
    "selu": ("AL304", "1", chain(0.5, nn.SELU, 4), CLASSES, CE),
    "selu, dropout": ("AL305", "1", selu(nn.Dropout(0.1)), CLASSES, CE),
    "shared": ("AL306", "1", shared(), CLASSES, CE),
    "random in evaluation": ("AL308", "", Rrelu(), CLASSES, CE),
    "other gelu": ("AL309", "body.1", Configured(), CLASSES, CE),
    "bfloat16": ("AL310", "", Half(), CLASSES, CE),
}  # fmt: skip


@pytest.mark.parametrize("name", FAULTS)
def test_the_fault_is_named_at_its_place(name):
    kind, path, model, targets, loss = FAULTS[name]
    torch.manual_seed(0)
    found = [each for each in check(model, (X, targets), loss).findings if each.id == kind]
    assert found, check(model, (X, targets), loss).lines()
    assert found[0].site.path == path
    assert found[0].lines[0][1] > 0
    assert found[0].remedies
    assert found[0].evidence or kind == "AL308"


@pytest.mark.parametrize("name", FAULTS)
def test_nothing_else_is_alarmed(name):
    kind, _, model, targets, loss = FAULTS[name]
    torch.manual_seed(0)
    others = [each for each in check(model, (X, targets), loss).findings if each.id != kind]
    allowed = {"information"} if kind != "AL302" else {"information", "warning"}
    assert {each.severity for each in others} <= allowed, others


def test_decay_on_slopes_and_only_there():
    model = mlp(4, act=nn.PReLU)
    slopes = [value for name, value in model.named_parameters() if name in {"1.weight", "3.weight"}]
    others = [value for name, value in model.named_parameters() if name not in {"1.weight", "3.weight"}]
    bad = torch.optim.AdamW(model.parameters(), weight_decay=0.01)
    good = torch.optim.AdamW([{"params": slopes, "weight_decay": 0.0}, {"params": others}])
    (found,) = check(model, (X, CLASSES), CE, optimiser=bad).findings
    assert (found.id, found.evidence["parameters"]) == ("AL307", ["1.weight", "3.weight"])
    assert check(model, (X, CLASSES), CE, optimiser=good).findings == ()


def test_attention_that_sums_over_queries():
    class Attends(nn.Module):
        def __init__(self):
            super().__init__()
            self.mix, self.out = nn.Linear(8, 24), nn.Linear(8, 4)

        def forward(self, x):
            q, k, v = self.mix(x).chunk(3, -1)
            return self.out((torch.softmax(q @ k.mT, dim=-2) @ v).mean(1))

    found = check(Attends(), (torch.randn(8, 6, 8), CLASSES[:8]), CE).findings
    assert [each.id for each in found] == ["AL207"]


def test_the_collapse_shows_the_single_layer():
    model = nn.Sequential(nn.Linear(8, 32), nn.Linear(32, 4))
    (found,) = check(model, (X, CLASSES), CE).findings
    assert found.evidence["layers"] == ["0", "1"]
    assert found.evidence["equivalent"] == [8, 4]
    assert (found.evidence["weights"], found.evidence["weights_of_one"]) == (8 * 32 + 32 * 4, 32)


def test_the_right_gain_is_told():
    found = next(each for each in check(chain(0.01, nn.ReLU, 6), (X, CLASSES), CE).findings if each.id == "AL303")
    assert found.evidence["right_gain"] == pytest.approx(2**0.5)
    assert found.evidence["gain"] == pytest.approx(0.01 * 32**0.5, rel=0.2)


def step(place, function, inputs, outputs, part="model", **arguments):
    return Step(place, function, function, part, "", "a.py", place + 1, inputs, outputs, arguments)


def values(*shapes):
    return tuple(Value(number, shape, "float32", requires_grad=True) for number, shape in enumerate(shapes))


def test_rules_read_a_trace_written_by_hand():
    steps = (
        step(0, "softmax", (0,), (1,), dim=1),
        step(1, "view", (1,), (2,)),
        step(2, "cross_entropy", (2, 3), (4,), part="loss"),
    )
    trace = Trace(values((4, 3), (4, 3), (4, 3), (4,), ()), steps, (1,), 4, (), {}, ())
    assert sole(trace, 2).dim == 1
    (found,) = still_findings(Context(trace, Observed(), nn.Identity()))
    assert (found.id, found.evidence["classes"]) == ("AL201", 3)


def test_what_the_loss_does_not_depend_on_is_not_looked_at():
    steps = (step(0, "softmax", (0,), (1,), dim=1), step(1, "cross_entropy", (1, 2), (3,), part="loss"))
    trace = Trace(values((4, 3), (4, 3), (4,), (), ()), steps, (1,), 4, (), {}, ())
    assert still_findings(Context(trace, Observed(), nn.Identity())) == []


def test_every_kind_of_a_still_model_has_a_rule():
    told = " ".join(rule.__doc__ for rule in RULES)
    assert {kind for kind in KINDS if kind > "AL2"} - set(told.replace(",", " ").replace(":", " ").split()) == set()
