from __future__ import annotations

import time

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import actlab
from actlab.sites.listening import listening
from actlab.sites.recognize.traced import traced
from unit.sites.small import Between, left, rows


class Notes:
    """Record what is reported, with copies of the tensors."""

    def __init__(self, wanted=lambda forward: True):
        self.told, self.traces, self.wanted = [], [], wanted

    def wants(self, forward):
        return self.wanted(forward)

    def before(self, site, z):
        self.told.append(("before", site, z.detach().clone()))

    def after(self, site, y):
        self.told.append(("after", site, y.detach().clone()))

    def traced(self, trace):
        self.traces.append(trace)


def known(model, x):
    with torch.no_grad():
        return traced(model, (x,)).trace


SPELLED = {
    "F.relu": (F.relu, F.relu),
    "in place": (lambda x: x.relu_(), F.relu),
    "module": (nn.ReLU(inplace=True), F.relu),
    "written out": (lambda x: x * torch.sigmoid(x), F.silu),
    "an activation in the middle of a formula": (
        lambda x: 0.5 * x * (1 + torch.tanh((2 / torch.pi) ** 0.5 * (x + 0.044715 * x**3))),
        lambda x: F.gelu(x, approximate="tanh"),
    ),
    "written out in place": (lambda x: x.mul_(torch.sigmoid(x)), F.silu),
    "ours": (actlab.module("mish"), F.mish),
    "softmax": (lambda x: x.softmax(-1), lambda x: F.softmax(x, -1)),
}


class Learned(nn.Module):
    def __init__(self):
        super().__init__()
        self.beta = nn.Parameter(torch.full((6,), 1.5))

    def forward(self, x):
        return torch.sigmoid(self.beta * x) * x


SPELLED["a weight before the input"] = (Learned(), lambda x: x * torch.sigmoid(1.5 * x))
SPELLED["a constant before the input"] = (lambda x: torch.maximum(torch.zeros(()), x), F.relu)


@pytest.mark.parametrize("spelled", SPELLED)
def test_input_and_output_of_an_activation_are_reported(spelled):
    function, same = SPELLED[spelled]
    model, x, notes = Between(function), rows(), Notes()
    trace = known(model, x)
    with listening(model, notes, known=trace):
        model(x)
    (before, site, z), (after, other, y) = notes.told
    assert (before, after) == ("before", "after")
    assert site == other == trace.sites[0]
    torch.testing.assert_close(z, model.first(x))
    torch.testing.assert_close(y, same(model.first(x)), rtol=1e-5, atol=1e-6)


def test_the_gradient_is_that_of_the_reported_output():
    model, x, grads = Between(lambda x: x.relu_()), rows(), []

    class Gradients(Notes):
        def after(self, site, y):
            y.register_hook(lambda dy: grads.append(dy.clone()))

    with listening(model, Gradients(), known=known(model, x)):
        model(x).sum().backward()
    torch.testing.assert_close(grads, [model.second.weight.sum(0).expand(4, 6)])


def test_without_a_known_pass_the_first_wanted_one_is_recorded():
    model, x, notes = Between(F.relu), rows(), Notes()
    with listening(model, notes):
        model(x)
        assert [site.activation for site in notes.traces[0].sites] == ["relu"]
        assert len(notes.told) == 2
        model(x)
    first, second = notes.told[:2], notes.told[2:]
    for (_, one, z), (_, other, again) in zip(first, second, strict=True):
        assert one == other
        torch.testing.assert_close(z, again)


def test_only_wanted_passes_are_reported():
    model, x, notes = Between(F.relu), rows(), Notes(lambda forward: forward % 3 == 1)
    with listening(model, notes, known=known(model, x)):
        for _ in range(7):
            model(x)
    assert len(notes.told) == 2 * 2


class Skipping(nn.Module):
    """A layer that some passes skip."""

    def __init__(self):
        super().__init__()
        self.layers, self.skipped = nn.ModuleList(Between(F.relu) for _ in range(3)), -1

    def forward(self, x):
        for at, layer in enumerate(self.layers):
            if at != self.skipped:
                x = layer(x)
        return x


def test_a_skipped_layer_does_not_shift_the_others():
    model, x, notes = Skipping(), rows(), Notes()
    trace = known(model, x)
    model.skipped = 1
    with listening(model, notes, known=trace):
        model(x)
    assert [site.path for kind, site, _ in notes.told if kind == "before"] == ["layers.0", "layers.2"]


def test_a_new_branch_is_reported_too():
    model, x, notes = Skipping(), rows(), Notes()
    model.skipped = 1
    trace = known(model, x)
    model.skipped = -1
    with listening(model, notes, known=trace):
        model(x)
    assert [site.path for kind, site, _ in notes.told if kind == "before"] == ["layers.0", "layers.1", "layers.2"]


def trained(listen: bool) -> list[torch.Tensor]:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 6), nn.BatchNorm1d(6), nn.ReLU(inplace=True), nn.Dropout(0.5), nn.Linear(6, 1))
    optimiser = torch.optim.Adam(model.parameters(), lr=0.01)
    losses = []

    def run():
        for _ in range(20):
            loss = model(torch.randn(8, 6)).square().mean()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            losses.append(loss.detach())

    if listen:
        with listening(model, Notes()):
            run()
        assert left(model) == []
    else:
        run()
    return [*losses, *(value.clone() for value in model.state_dict().values()), torch.get_rng_state()]


def test_training_is_the_same_bit_for_bit():
    assert all(torch.equal(one, other) for one, other in zip(trained(True), trained(False), strict=True))


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_hooks_are_removed_after_an_exception(error):
    class Raising(Between):
        def forward(self, x):
            super().forward(x)
            raise error

    model, notes = Raising(F.relu), Notes()
    with pytest.raises(error), listening(model, notes):
        model(rows())
    assert left(model) == []
    assert torch.overrides._get_current_function_mode_stack() == []


def test_an_error_of_the_listener_is_raised():
    def fails(forward):
        raise ValueError("not now")

    model = Between(F.relu)
    with pytest.raises(ValueError, match="not now"), listening(model, Notes(fails)):
        model(rows())
    assert left(model) == []


def test_after_an_interrupted_pass_the_next_is_reported():
    class Once(Between):
        interrupt = True

        def forward(self, x):
            if self.interrupt:
                self.interrupt = False
                raise KeyboardInterrupt
            return super().forward(x)

    model, x, notes = Once(F.relu), rows(), Notes()
    trace = known(Between(F.relu), x)
    with listening(model, notes, known=trace):
        with pytest.raises(KeyboardInterrupt):
            model(x)
        model(x)
    assert len(notes.told) == 2
    assert torch.overrides._get_current_function_mode_stack() == []


def test_the_fused_path_of_a_transformer_layer_is_left_alone():
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True).eval()
    x, notes = torch.randn(2, 3, 8), Notes()
    trace = known(layer, x)
    with torch.no_grad():
        want = layer(x)
        with listening(layer, notes, known=trace) as ear:
            assert torch.equal(layer(x), want)
    assert (ear.left_alone, notes.told) == (1, [])


def test_an_unwanted_pass_costs_next_to_nothing():
    model, x = Between(F.relu), rows()

    def seconds() -> float:
        def once() -> float:
            start = time.perf_counter()
            for _ in range(50):
                model(x)
            return (time.perf_counter() - start) / 50

        return min(once() for _ in range(20))

    bare = seconds()
    with listening(model, Notes(lambda forward: False)):
        assert seconds() - bare < 20e-6
