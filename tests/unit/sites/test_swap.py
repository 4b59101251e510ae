from __future__ import annotations

import copy
import functools
import pickle
import re
import types

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

import actlab
from actlab.errors import BadFormula, BadInput, UnknownActivation
from actlab.sites.find import sites
from actlab.sites.swap.swap import swap, trainable_activation_parameters
from unit.sites.small import Between, left, rows


class Plain(nn.Module):
    """A function, a formula written out, a method in place, and a module that is used twice."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.first, self.second, self.act = nn.Linear(6, 6), nn.Linear(6, 6), nn.ReLU()

    def forward(self, x):
        x = F.relu(self.first(x))
        x = self.second(x)
        x = x * torch.sigmoid(x)
        y = self.first(x).relu_()
        return self.act(self.second(self.act(self.first(y))))


def expected(model, x, *functions):
    one, two, three, four, five = functions
    y = three(model.first(two(model.second(one(model.first(x))))))
    return five(model.second(four(model.first(y))))


relu, silu, gelu = F.relu, F.silu, F.gelu

CHOICES = {
    "a name": ({"relu": "gelu"}, (gelu, silu, gelu, gelu, gelu)),
    "a formula written out": ({"silu": "gelu"}, (relu, gelu, relu, relu, relu)),
    "one call of a function": ({"model[0]": "gelu"}, (gelu, silu, relu, relu, relu)),
    "one call in place": ({"model[2]": "gelu"}, (relu, silu, gelu, relu, relu)),
    "one use of a module": ({"act[1]": torch.tanh}, (relu, silu, relu, relu, torch.tanh)),
    "a path": ({"act": nn.Tanh}, (relu, silu, relu, torch.tanh, torch.tanh)),
    "a pattern": ({"a*": nn.Tanh()}, (relu, silu, relu, torch.tanh, torch.tanh)),
    "everything": ({"*": "x*sigmoid(x)"}, (silu,) * 5),
    "several": ({"act": "tanh", "silu": "sigmoid"}, (relu, torch.sigmoid, relu, torch.tanh, torch.tanh)),
}


@pytest.mark.parametrize("choice", CHOICES)
def test_the_model_uses_the_replacement_until_undo(choice):
    mapping, functions = CHOICES[choice]
    model, x = Plain(), rows()
    before, names = model(x), list(model.state_dict())
    done = swap(model, mapping, x)
    torch.testing.assert_close(model(x), expected(model, x, *functions), rtol=1e-5, atol=1e-6)
    assert done.unchanged == ()
    done.undo()
    assert torch.equal(model(x), before)
    assert list(model.state_dict()) == names
    assert left(model) == []


def test_gradients_are_those_of_the_replacement():
    model, x = Plain(), rows()
    want = torch.autograd.grad(expected(model, x, *[silu] * 5).sum(), list(model.parameters()))
    swap(model, {"*": "silu"}, x)
    got = torch.autograd.grad(model(x).sum(), list(model.parameters()))
    for one, other in zip(got, want, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("mapping", [{"relu": "gelu"}, {"silu": "gelu"}, {"act[1]": "tanh"}, {"*": "swish"}], ids=str)
def test_the_swapped_model_copies_saves_compiles_and_exports(mapping):
    model, x = Plain(), rows()
    swap(model, mapping, x)
    want = model(x)
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert torch.equal(other(x), want)
        other.first.weight.data.zero_()  # a copy of its own
    assert torch.equal(model(x), want)
    torch.compiler.reset()
    compiled = torch.compile(model, backend="eager", fullgraph=True)
    torch.testing.assert_close(compiled(x), want, rtol=1e-4, atol=1e-5)
    exported = torch.export.export(model, (x,)).module()
    torch.testing.assert_close(exported(x), want, rtol=1e-4, atol=1e-5)


def test_the_swapped_sites_are_found_again():
    model, x = Plain(), rows()
    swap(model, {"*": "mish"}, x)
    assert [site.activation for site in sites(model, x)] == ["mish"] * 5


def test_a_site_is_a_key_without_inputs():
    model, x = Plain(), rows()
    site = sites(model, x)[0]
    swap(model, {site: "gelu"})
    torch.testing.assert_close(model(x), expected(model, x, gelu, silu, relu, relu, relu), rtol=1e-5, atol=1e-6)


def test_every_place_gets_its_own_learned_parameters():
    model, x = Plain(), rows()
    done = swap(model, {"relu": "swish(beta=1.5)"}, x)
    learned = trainable_activation_parameters(model)
    assert len(learned) == 4
    assert sum(name.endswith("beta") for name in model.state_dict()) == 4
    assert [each.place for each in done.changed if "has its own now" in each.note] == ["act[0]", "act[1]"]
    model(x).sum().backward()
    assert all(parameter.grad is not None for parameter in learned)
    assert all(parameter.dtype == torch.float64 for parameter in trainable_activation_parameters(model.double()))


def test_only_the_named_instance_changes():
    one, other = Plain(), Plain()
    swap(one, {"relu": "tanh"}, rows())
    assert not torch.equal(one(rows()), other(rows()))
    assert [site.activation for site in sites(other, rows())].count("relu") == 4


def test_the_replacement_has_the_mode_and_hooks_of_the_old_module():
    model = nn.Sequential(nn.Linear(6, 6), nn.ReLU()).eval()
    heard = []
    handle = model[1].register_forward_hook(lambda *_: heard.append(1))
    swap(model, {"relu": "rrelu"})
    model(rows())
    assert (heard, model[1].training) == ([1], False)
    handle.remove()
    model(rows())
    assert heard == [1]


def test_a_shared_module_becomes_several_if_it_has_parameters():
    act = nn.ReLU()
    model = nn.Sequential(nn.Linear(6, 6), act, nn.Linear(6, 6), act)
    done = swap(model, {"relu": "prelu"})
    assert model[1] is not model[3]
    assert [each.note for each in done.changed] == ["shared a module before, has its own now"] * 2
    done.undo()
    assert model[1] is model[3] is act


def test_a_gated_unit_gets_another_gate_or_another_unit():
    class Gate(nn.Module):
        def __init__(self):
            super().__init__()
            self.gate, self.value = nn.Linear(6, 6), nn.Linear(6, 6)

        def forward(self, x):
            return F.silu(self.gate(x)) * self.value(x)

    for mapping in ({"silu": "gelu"}, {"swiglu": "geglu"}):
        model, x = Gate(), rows()
        swap(model, mapping, x)
        torch.testing.assert_close(model(x), F.gelu(model.gate(x)) * model.value(x), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kind", ["RNN", "GRU", "LSTM"])
def test_a_fused_network_is_replaced_with_the_same_weights(kind):
    model = nn.ModuleDict({"part": getattr(nn, kind)(6, 5, 2, batch_first=True, bidirectional=True)})
    x = torch.randn(2, 4, 6)
    model.forward = lambda x: model["part"](x)[0]
    before, old = model(x), model["part"]
    with swap(model, {"part": getattr(actlab.nn, kind)}) as done:
        assert [each.after for each in done.changed] == [f"actlab.nn.{kind}"]
        torch.testing.assert_close(model(x), before, rtol=1e-5, atol=1e-6)
        assert {id(each) for each in old.parameters()} <= {id(each) for each in model.parameters()}
        found = sites(model, x)
        assert {site.calls for site in found} <= {4, 8}  # 8: an LSTM's gates are applied in two calls a step
        assert found.unseen == ()
    assert model["part"] is old


def test_a_fused_network_takes_activations_by_role_only():
    model = nn.Sequential(nn.LSTM(6, 5))
    done = swap(model, {"0": "relu"})
    assert "one fused call" in done.unchanged[0].why
    swap(model, {"0": {"gate": "hard_sigmoid"}})
    assert model[0].activations["gate"].activation.name == "hard_sigmoid"
    with pytest.raises(BadInput, match="no role 'gates'"):
        swap(nn.Sequential(nn.LSTM(6, 5)), {"0": {"gates": "relu"}})


def test_what_cannot_be_changed_is_reported():
    model = nn.Sequential(nn.Linear(6, 6), nn.Softmax(-1))
    done = swap(model, {"softmax": "relu", "tanh": "relu"}, rows(), missing_ok=True)
    assert [(each.place, each.why) for each in done.unchanged] == [
        ("1[0]", "relu does not act along an axis, and softmax does"),
        ("tanh", "no activation matches"),
    ]
    assert done.lines()[0] == "1[0] stays: relu does not act along an axis, and softmax does."


def test_a_key_that_matches_nothing_is_an_error():
    model = nn.Sequential(nn.Linear(6, 6), nn.ReLU(), nn.Linear(6, 6), nn.Tanh())
    with pytest.raises(BadInput, match=r"^swap: no activation matches 'silu'; the model applies relu, tanh\."):
        swap(model, {"relu": "gelu", "silu": "gelu"}, rows())
    assert isinstance(model[1], nn.ReLU)
    with pytest.raises(BadInput, match=r"'relu'; the model has modules for no activation\. Give its inputs too"):
        swap(Between(F.relu), {"relu": "tanh"})
    with pytest.raises(BadInput, match="no recurrent network of PyTorch matches '1'"):
        swap(model, {"1": {"gate": "relu"}}, rows())


def test_a_mapping_says_what_to_replace():
    model = nn.Sequential(nn.Linear(6, 6), nn.ReLU())
    with pytest.raises(BadInput, match=r"must say which activations to replace; got 'gelu'.*the model applies relu\."):
        swap(model, "gelu", rows())
    with pytest.raises(BadInput, match=r"a key must be .* got ReLU\(\)"):
        swap(model, {nn.ReLU(): "gelu"}, rows())


@pytest.mark.parametrize("key", [nn.ReLU, "nn.ReLU"], ids=["a class", "its name"])
@pytest.mark.parametrize("inputs", [(), (rows(),)], ids=["modules", "sites"])
def test_a_class_names_its_modules(key, inputs):
    model = nn.Sequential(nn.Linear(6, 6), nn.ReLU(), nn.Linear(6, 6), nn.ReLU6())
    assert [each.after for each in swap(model, {key: "gelu"}, *inputs).changed] == ["gelu"]
    assert isinstance(model[3], nn.ReLU6)
    network = nn.Sequential(nn.LSTM(6, 5))
    swap(network, {nn.LSTM: actlab.nn.LSTM})
    assert isinstance(network[0], actlab.nn.LSTM)


def test_a_formula_with_a_parameter_needs_its_value():
    model = nn.Sequential(nn.Linear(6, 6), nn.ReLU())
    with pytest.raises(BadFormula, match=re.escape("(give one at the end: ; beta=1.0)")):
        swap(model, {"relu": "x*sigmoid(beta*x)"}, rows())
    assert swap(model, {"relu": "x*sigmoid(beta*x); beta=1.5"}, rows()).changed
    assert [each.item() for each in model[1].parameters()] == [1.5]


@pytest.mark.parametrize("inputs", [(), (rows(),)], ids=["modules", "sites"])
@pytest.mark.parametrize("unit", [nn.GLU, lambda: actlab.module("glu", layout="gate_first")], ids=["nn", "actlab"])
def test_a_packed_gated_unit_gets_another_one_only(unit, inputs):
    model = nn.Sequential(nn.Linear(6, 6), unit(), nn.Linear(3, 2))
    done = swap(model, {"glu": "relu"}, *inputs)
    assert done.unchanged[0].why == "relu has one input, and the call takes value and gate: name a gated unit"
    swap(model, {"glu": "swiglu"}, *inputs)
    value, gate = model[0](rows()).chunk(2, -1)
    if model[1].layout == "gate_first":
        value, gate = gate, value
    torch.testing.assert_close(model(rows()), model[2](value * F.silu(gate)), rtol=1e-5, atol=1e-6)


def test_a_call_of_glu_gets_another_gated_unit():
    model, x = Between(lambda x: F.glu(torch.cat([x, x], 1), dim=1)), rows()
    swap(model, {"glu": "reglu"}, x)
    want = model.second(model.first(x) * F.relu(model.first(x)))
    torch.testing.assert_close(model(x), want, rtol=1e-5, atol=1e-6)


def test_a_module_shows_its_rerouted_calls():
    model, x = Plain(), rows()
    plain = repr(model)
    done = swap(model, {"act": "tanh", "model[0]": torch.sin}, x)
    for each in (model, copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        shown = repr(each)
        assert all(f"  {line}\n" in shown for line in done.lines())
        assert "(swapped_model_0): Applying(sin)" in shown
    again = swap(model, {"silu": "tanh"}, x)
    assert "silu -> tanh" in repr(model)
    again.undo()
    assert "silu -> tanh" not in repr(model)
    done.undo()
    assert repr(model) == plain


def test_an_unknown_activation_leaves_the_model_as_it_was():
    model = Plain()
    with pytest.raises(UnknownActivation, match="swsh"):
        swap(model, {"silu": "tanh", "relu": "swsh"}, rows())
    assert left(model) == []
    assert list(model._modules) == ["first", "second", "act"]


def test_only_parameters_of_activations_are_returned():
    model = nn.Sequential(nn.Linear(6, 6), nn.PReLU(), actlab.module("swish"), nn.PReLU())
    model.append(model[1])
    assert [id(each) for each in trainable_activation_parameters(model)] == [
        id(model[1].weight),
        id(model[2].beta),
        id(model[3].weight),
    ]


def test_a_call_in_place_still_overwrites_its_input():
    def overwrite(x):
        x.relu_()
        return x

    model, x = Between(overwrite), rows()
    swap(model, {"relu": "gelu"}, x)
    torch.testing.assert_close(model(x), model.second(F.gelu(model.first(x))), rtol=1e-5, atol=1e-6)
    model(x).sum().backward()
    assert model.first.weight.grad is not None


class Gated(nn.Module):
    def __init__(self):
        super().__init__()
        self.gate, self.value = nn.Linear(4, 4), nn.Linear(4, 4)

    def forward(self, x):
        return F.silu(self.gate(x)) * self.value(x)


def doubled(self, x):
    return 2 * F.relu(x)


PATCHES = {
    "a method": lambda act: types.MethodType(doubled, act),
    "a function": lambda act: lambda x: 2 * F.relu(x),
    "a partial": lambda act: functools.partial(doubled, act),
    "the old one, wrapped": lambda act: (lambda old: lambda x: 2 * old(x))(act.forward),
}


@pytest.mark.parametrize("how", PATCHES)
def test_a_patched_forward_is_kept_and_restored(how):
    model, x = Between(nn.ReLU()), rows()
    model.between.forward = patch = PATCHES[how](model.between)
    before, want = model(x), model.second(2 * F.gelu(model.first(x)))
    assert sites(model, x)[0].path == "between"
    assert (sites(model, x)[0].spelling == "F.relu") is (how != "the old one, wrapped")
    done = swap(model, {"relu": "gelu"}, x)
    torch.testing.assert_close(model(x), want, rtol=1e-5, atol=1e-6)
    again = swap(model, {"gelu": "tanh"}, x)
    torch.testing.assert_close(model(x), model.second(2 * torch.tanh(model.first(x))), rtol=1e-5, atol=1e-6)
    again.undo()
    torch.testing.assert_close(model(x), want, rtol=1e-5, atol=1e-6)
    done.undo()
    assert model.between.forward is patch
    assert torch.equal(model(x), before)
    with pytest.raises(BadInput, match="no activation module matches 'relu'"):
        swap(model, {"relu": "gelu"})
    assert torch.equal(model(x), before)


def test_a_patched_and_swapped_model_copies_compiles_and_exports():
    model, x = Between(nn.ReLU()), rows()
    model.between.forward = types.MethodType(doubled, model.between)
    swap(model, {"relu": "swish"}, x)
    want = model(x)
    copied = copy.deepcopy(model)
    copied.between.swapped_between_0.beta.data.fill_(9)
    assert torch.equal(model(x), want)
    assert not torch.equal(copied(x), want)
    torch.compiler.reset()
    compiled = torch.compile(model, backend="eager", fullgraph=True)
    torch.testing.assert_close(compiled(x), want, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(torch.export.export(model, (x,)).module()(x), want, rtol=1e-4, atol=1e-5)


class Looping(nn.Module):
    """A loop over the rows with a branch."""

    def __init__(self, body):
        super().__init__()
        self.layer, self.act, self.body = nn.Linear(6, 6), nn.ReLU(), body

    def forward(self, x):
        if x.sum() > 0:
            x = F.relu(x + 1)
        for at in range(len(x)):
            x = self.body(self, x, at)
        return x


def two_on_a_line(model, x, at):
    return F.relu(F.relu(model.layer(x)) - 0.1)


LOOPS = {
    "a function": lambda model, x, at: F.relu(model.layer(x)),
    "a module": lambda model, x, at: model.act(model.layer(x)),
    "a formula": lambda model, x, at: (y := model.layer(x)) * torch.sigmoid(y),
    "two on a line": two_on_a_line,
}


@pytest.mark.parametrize("rounds", [1, 2])
@pytest.mark.parametrize("body", LOOPS)
def test_a_swap_survives_other_branches_and_longer_loops(body, rounds):
    model = Looping(LOOPS[body])
    swap(model, {"*": "tanh"}, torch.rand(rounds, 6))
    for count in (1, 2, 5):
        for sign in (1, -1):
            assert {site.activation for site in sites(model, sign * torch.rand(count, 6))} == {"tanh"}


def test_a_swapped_line_of_a_loop_is_swapped_in_every_round():
    model = Looping(two_on_a_line)
    (inner,) = (site for site in sites(model, -torch.rand(1, 6)) if site.index == 0)
    swap(model, {inner: torch.tanh})
    x, want = -torch.rand(3, 6), None
    want = x
    for _ in range(3):
        want = F.relu(torch.tanh(model.layer(want)) - 0.1)
    torch.testing.assert_close(model(x), want)


def test_a_swap_of_one_round_is_refused_if_the_loop_changes_length():
    class Deep(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers, self.act = nn.ModuleList(nn.Linear(6, 6) for _ in range(4)), nn.ReLU()

        def forward(self, x, *, depth):
            for layer in self.layers[:depth]:
                x = self.act(layer(x))
            return x

    model = Deep()
    done = swap(model, {"act[1]": "tanh"}, rows(), depth=3)
    assert [site.activation for site in sites(model, rows(), depth=3)] == ["relu", "tanh", "relu"]
    with pytest.raises(BadInput, match=r"relu is called more than 3 times at line 2 of .*Deep\.forward"):
        model(rows(), depth=4)
    with pytest.raises(BadInput, match=r"relu is called 2 of 3 times at line 2"):
        model(rows(), depth=2)
    done.undo()
    swap(model, {"act": nn.Tanh}, rows(), depth=3)
    assert {site.activation for site in sites(model, rows(), depth=4)} == {"tanh"}


def test_an_activation_that_the_swap_did_not_reach_gives_a_warning():
    model = Looping(LOOPS["a function"])
    swap(model, {"relu": "tanh"}, -torch.rand(1, 6))
    with pytest.warns(
        RuntimeWarning, match=r"relu at line 2 of Looping\.forward is not replaced: the pass by which Looping"
    ):
        model(torch.rand(1, 6))


def test_a_compiled_loop_may_be_longer():
    class Rounds(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(6, 6)

        def forward(self, x):
            for _ in range(len(x)):
                x = F.relu(self.layer(x))
            return x

    model = Rounds()
    swap(model, {"relu": torch.tanh}, torch.rand(1, 6))
    torch.compiler.reset()
    compiled, x = torch.compile(model, backend="eager"), torch.rand(4, 6)
    want = x
    for _ in range(4):
        want = torch.tanh(model.layer(want))
    torch.testing.assert_close(compiled(x), want)


def test_a_second_swap_of_a_module_finds_its_places():
    model, x = Plain(), rows()
    first = swap(model, {"model[0]": "tanh"}, x)
    second = swap(model, {"model[1]": "sigmoid", "silu": "gelu"}, x)
    want = expected(model, x, torch.tanh, gelu, torch.sigmoid, relu, relu)
    torch.testing.assert_close(model(x), want, rtol=1e-5, atol=1e-6)
    second.undo()
    torch.testing.assert_close(model(x), expected(model, x, torch.tanh, silu, relu, relu, relu), rtol=1e-5, atol=1e-6)
    first.undo()
    assert left(model) == []


class Frugal(torch.autograd.Function):
    """A swish that saves only its input, as in EfficientNets."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x * torch.sigmoid(x)

    @staticmethod
    def backward(ctx, dy):
        (x,) = ctx.saved_tensors
        share = torch.sigmoid(x)
        return dy * share * (1 + x * (1 - share))


def test_a_function_with_its_own_backward_is_found_and_not_swapped():
    model, x = Between(Frugal.apply), rows()
    assert [site.activation for site in sites(model, x)] == ["silu"]
    done = swap(model, {"silu": "gelu"}, x)
    assert done.changed == ()
    assert done.unchanged[0].why.startswith("it is in a torch.autograd.Function, whose backward would not change")
    assert left(model) == []


class Again(nn.Module):
    """A module that is recomputed for backward."""

    def __init__(self, inner, *, reentrant):
        super().__init__()
        self.inner, self.reentrant = inner, reentrant

    def forward(self, x):
        return checkpoint(self.inner, x, use_reentrant=self.reentrant)


@pytest.mark.parametrize("reentrant", [True, False])
def test_a_recomputed_activation_is_swapped_only_in_a_module(reentrant):
    model, x = Between(Again(F.relu, reentrant=reentrant)), rows()
    assert "torch.utils.checkpoint recomputes it" in swap(model, {"relu": "gelu"}, x).unchanged[0].why
    inner = Between(F.relu)
    model = Between(Again(inner, reentrant=reentrant))
    assert len(swap(model, {"relu": "gelu"}, x).changed) == 1
    model(x).sum().backward()
    plain = nn.Sequential(model.first, inner.first, nn.GELU(), inner.second, model.second)
    want = torch.autograd.grad(plain(x).sum(), list(inner.parameters())[:4])
    for parameter, grad in zip(list(inner.parameters())[:4], want, strict=True):
        torch.testing.assert_close(parameter.grad, grad, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "make", [lambda model, x: torch.export.export(model, (x,)).module(), None], ids=["export", "fx"]
)
def test_an_exported_program_is_swapped(make):
    model, x = Between(F.relu), rows()
    other = torch.fx.symbolic_trace(model) if make is None else make(model, x)
    before = other(x)
    done = swap(other, {"relu": "tanh"}, x)
    torch.testing.assert_close(other(x), model.second(torch.tanh(model.first(x))), rtol=1e-5, atol=1e-6)
    done.undo()
    assert torch.equal(other(x), before)


def test_the_last_of_two_matching_keys_applies():
    model, x = Gated(), torch.randn(2, 4)
    done = swap(model, {"silu": "mish", "swiglu": "tanh"}, x)
    assert done.lines() == ["model[0]: swiglu -> tanh", "silu stays: a later key names the same places."]
    assert torch.allclose(model(x), torch.tanh(model.gate(x)) * model.value(x))
