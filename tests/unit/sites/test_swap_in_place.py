"""A module that works in place may be called without using its result; its replacement must act all the same."""

from __future__ import annotations

import copy
import io

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import actlab
from actlab.errors import BadInput
from actlab.sites.find import sites
from actlab.sites.swap.swap import swap


class Net(nn.Module):
    """Two layers and what a case does between them."""

    def __init__(self, between, **parts):
        super().__init__()
        torch.manual_seed(0)
        self.first, self.last, self.between = nn.Linear(6, 8), nn.Linear(8, 3), between
        for name, part in parts.items():
            setattr(self, name, part)

    def forward(self, x):
        return self.last(self.between(self, self.first(x)))


def relu():
    return nn.ReLU(inplace=True)


def dropped(net, h):
    net.act(h)
    return h


def aliased(net, h):
    result = net.act(h)
    return h + result


def a_part(net, h):
    net.act(h[:, :3])
    return h


def a_view(net, h):
    net.act(h.view(-1, 2, 4))
    return h


def kept_for_later(net, h):
    net.act(h)
    net.seen = h
    return h.clone()


def residual(net, h):
    out = net.mid(h)
    out += h
    net.act(out)
    return out


def before_a_residual(net, h):
    return net.mid(net.act(h)) + h


def used_twice(net, h):
    net.act(h)
    h = net.mid(h)
    net.act(h)
    return h


def in_a_loop(net, h):
    for _ in range(2):
        net.act(h)
    return h


def in_a_container(net, h):
    net.blocks[0]["act"](h)
    return h


def only_in_training(net, h):
    result = net.act(h)
    return h + result if net.training else result


def as_usual(net, h):
    return net.act(h)


CASES = {
    dropped: ({"act": relu}, lambda net, h, act: act(h)),
    aliased: ({"act": relu}, lambda net, h, act: 2 * act(h)),
    a_part: ({"act": relu}, lambda net, h, act: torch.cat([act(h[:, :3]), h[:, 3:]], 1)),
    a_view: ({"act": relu}, lambda net, h, act: act(h)),
    kept_for_later: ({"act": relu}, lambda net, h, act: act(h)),
    residual: ({"act": relu, "mid": lambda: nn.Linear(8, 8)}, lambda net, h, act: act(net.mid(h) + h)),
    before_a_residual: ({"act": relu, "mid": lambda: nn.Linear(8, 8)}, lambda net, h, act: net.mid(act(h)) + act(h)),
    used_twice: ({"act": relu, "mid": lambda: nn.Linear(8, 8)}, lambda net, h, act: act(net.mid(act(h)))),
    in_a_loop: ({"act": relu}, lambda net, h, act: act(act(h))),
    in_a_container: (
        {"blocks": lambda: nn.ModuleList([nn.ModuleDict({"act": relu()})])},
        lambda net, h, act: act(h),
    ),
    only_in_training: ({"act": relu}, lambda net, h, act: 2 * act(h) if net.training else act(h)),
    as_usual: ({"act": relu}, lambda net, h, act: act(h)),
}


def made(case):
    parts, expected = CASES[case]
    return Net(case, **{name: make() for name, make in parts.items()}), expected


@pytest.mark.parametrize("inputs", [True, False], ids=["with inputs", "without"])
@pytest.mark.parametrize("training", [True, False], ids=["training", "evaluation"])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_the_new_activation_acts_where_the_old_one_wrote(case, training, inputs):
    model, expected = made(case)
    x = torch.randn(5, 6)
    model.train(training)
    swap(model, {"relu": nn.SiLU}, *([x] * inputs))
    for mode in (training, not training):
        model.train(mode)
        found, right = model(x), model.last(expected(model, model.first(x), F.silu))
        torch.testing.assert_close(found, right)
        weights = list(model.parameters())
        torch.testing.assert_close(
            torch.autograd.grad((found**2).sum(), weights), torch.autograd.grad((right**2).sum(), weights)
        )


IN_PLACE = {
    "F.relu": lambda h: F.relu(h, inplace=True),
    "F.relu by position": lambda h: F.relu(h, True),
    "F.relu_": F.relu_,
    "torch.relu_": torch.relu_,
    "x.relu_": lambda h: h.relu_(),
    "an operator": torch.ops.aten.relu_,
    "an overload": torch.ops.aten.relu_.default,
    "x.clamp_": lambda h: h.clamp_(min=0),
    "F.threshold_": lambda h: F.threshold_(h, 0, 0),
    "of a part": lambda h: h[:, :8].relu_(),
}


@pytest.mark.parametrize("call", IN_PLACE)
def test_a_function_in_place_may_be_called_without_using_its_result(call):
    model, x = Net(lambda net, h: (IN_PLACE[call](h), h)[1]), torch.randn(5, 6)
    swap(model, {"relu": nn.SiLU}, x)
    torch.testing.assert_close(model(x), model.last(F.silu(model.first(x))))


def test_a_function_may_write_into_another_tensor():
    def into_itself(net, h):
        torch.sigmoid(h, out=h)
        return h

    model, x = Net(into_itself), torch.randn(5, 6)
    with torch.no_grad():
        swap(model, {"sigmoid": nn.SiLU}, x)
        torch.testing.assert_close(model(x), model.last(F.silu(model.first(x))))


def test_a_result_that_is_used_needs_no_writing():
    (model, _), x = made(as_usual), torch.randn(5, 6)
    swap(model, {"relu": nn.SiLU}, x)
    assert "forward" not in model.act.__dict__
    pre = model.first(x)
    model.act(pre)
    torch.testing.assert_close(pre, model.first(x))


def test_a_result_that_the_code_does_not_use_is_reported():
    def forget(net, h):
        net.act(h)
        return h

    model, x = Net(forget, act=nn.ReLU()), torch.randn(5, 6)
    assert swap(model, {"relu": nn.SiLU}, x).lines() == [
        "act[0]: relu -> SiLU (it has no effect: the code ignores its result, as it ignored the old one)"
    ]


def test_a_module_that_the_code_keeps_elsewhere_stays():
    class Listed(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.act, self.last = nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3)
            self.order = (self.first, self.act, self.last)

        def forward(self, x):
            for part in self.order:
                x = part(x)
            return x

    model, x = Listed(), torch.randn(5, 6)
    done = swap(model, {"relu": nn.SiLU}, x)
    assert done.lines() == ["act[0] stays: a forward pass does not call SiLU there."]
    assert isinstance(model.act, nn.ReLU)
    done.undo()
    torch.testing.assert_close(model(x), model.last(F.relu(model.first(x))))


def test_the_swapped_model_copies_saves_and_exports():
    (model, _), x = made(dropped), torch.randn(5, 6)
    model.between = dropped
    swap(model, {"relu": "gelu"}, x)
    assert set(model.state_dict()) == {"first.weight", "first.bias", "last.weight", "last.bias"}
    saved = io.BytesIO()
    torch.save(model, saved)
    saved.seek(0)
    for other in (copy.deepcopy(model), torch.load(saved, weights_only=False), torch.compile(model, backend="eager")):
        torch.testing.assert_close(other(x), model(x))
    torch.testing.assert_close(torch.export.export(model, (x,)).module()(x), model(x))


def test_a_swapped_model_is_found_checked_and_swapped_again():
    (model, _), x = made(dropped), torch.randn(64, 6)
    first = swap(model, {"relu": "gelu"}, x)
    assert [site.activation for site in sites(model, x)] == ["gelu"]
    batch = (x, torch.arange(64) % 3)
    assert actlab.check(model, batch=batch, loss=nn.CrossEntropyLoss()).findings == ()
    second = swap(model, {"gelu": nn.PReLU}, x)
    torch.testing.assert_close(model(x), model.last(F.prelu(model.first(x), model.act.weight)))
    second.undo()
    torch.testing.assert_close(model(x), model.last(F.gelu(model.first(x))))
    first.undo()
    torch.testing.assert_close(model(x), model.last(F.relu(model.first(x))))


def test_the_check_of_a_swap_changes_nothing_else():
    (model, _), x = made(aliased), torch.randn(5, 6)
    model.norm = nn.BatchNorm1d(8)
    model.between = lambda net, h: net.norm(F.dropout(aliased(net, h), training=net.training))
    model.norm.eval()
    before, drawn = copy.deepcopy(model.state_dict()), torch.get_rng_state()
    swap(model, {"relu": nn.SiLU}, x)
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert torch.equal(drawn, torch.get_rng_state())
    assert model.training
    assert not model.norm.training


def test_a_replacement_that_the_model_cannot_take_is_refused_and_undone():
    (model, _), x = made(dropped), torch.randn(5, 6)
    with pytest.raises(BadInput, match=r"must keep the shape of its input, \(5, 8\); got \(5, 4\)"):
        swap(model, {"relu": lambda h: h[:, :4]}, x)
    assert isinstance(model.act, nn.ReLU)
    model = Net(as_usual, act=nn.ReLU())
    with pytest.raises(BadInput, match="the model with the new activations raised RuntimeError"):
        swap(model, {"relu": lambda h: h[:, :4]}, x)
    assert isinstance(model.act, nn.ReLU)


def test_the_inputs_stay_as_they_are():
    model, x = nn.Sequential(nn.ReLU(inplace=True), nn.Linear(6, 3)), torch.randn(5, 6)
    kept = x.clone()
    swap(model, {"relu": nn.SiLU}, x)
    assert torch.equal(x, kept)
    torch.testing.assert_close(model(x), model[1](F.silu(kept)))
    torch.testing.assert_close(x, F.silu(kept))  # as the old one did


def test_a_single_example_a_half_precision_and_keywords():
    (model, _), x = made(dropped), torch.randn(1, 6).to(torch.bfloat16)
    model.first = nn.Sequential(model.first, nn.BatchNorm1d(8))
    model.to(torch.bfloat16).eval()
    swap(model, {"relu": "silu"}, x=x)
    torch.testing.assert_close(model(x), model.last(F.silu(model.first(x))))
