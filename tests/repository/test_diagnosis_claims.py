"""What the scoreboard's running mutants say of themselves is so, by plain hooks; and it is not so of their twins."""

from __future__ import annotations

import pytest
import torch

from corpus import everything
from corpus import known_layers as known

PAIRS = {pair.faulty.name: pair for pair in everything.twins()}


def seen(case, *, steps=1, layer=None):
    """From a few steps of training: what the layer gave, losses, gradients of the weights, relative updates."""
    outputs, losses, gradients, ratios = [], [], [], []
    handle = layer.register_forward_hook(lambda *call: outputs.append(call[2].detach())) if layer else None
    optimiser = case.optimiser(case.model)
    weights = [parameter for parameter in case.model.parameters() if parameter.ndim > 1]
    for step in range(steps):
        inputs, targets = case.data(step)
        loss = case.loss(case.model(inputs), targets)
        optimiser.zero_grad()
        loss.backward()
        gradients.append([weight.grad.norm().item() if weight.grad is not None else 0.0 for weight in weights])
        before = [weight.detach().clone() for weight in weights]
        optimiser.step()
        ratios += [((new - old).norm() / old.norm()).item() for new, old in zip(weights, before, strict=True)]
        losses.append(loss.item())
    if handle:
        handle.remove()
    return outputs, losses, gradients, ratios


def built(program):
    torch.manual_seed(0)
    return program.build()


def both(name, ask):
    """The answer for the faulty program and for its twin."""
    pair = PAIRS[name]
    return ask(built(pair.faulty)), ask(built(pair.right))


@pytest.mark.parametrize(("name", "path"), [("dead_layer_module", "3"), ("dead_layer_cnn", "features.3")])
def test_the_layer_is_dead(name, path):
    def all_off(case):
        outputs, *_ = seen(case, steps=5, layer=case.model.get_submodule(path))
        return all(bool((output <= 0).all()) for output in outputs)

    assert both(name, all_off) == (True, False)


def test_hardswish_is_dead_where_its_slope_is_0():
    def below(case):
        outputs, *_ = seen(case, steps=5, layer=case.model[0])
        return all(bool((output <= -3).all()) for output in outputs)

    assert both("dead_hardswish", below) == (True, False)


@pytest.mark.parametrize(
    ("name", "path", "slope"),
    [
        ("saturated_sigmoid", "0", lambda z: 4 * torch.sigmoid(z) * torch.sigmoid(-z)),
        ("saturated_tanh", "fc2", lambda z: 1 - torch.tanh(z) ** 2),
        ("saturated_gate", "gate", lambda z: 4 * torch.sigmoid(z) * torch.sigmoid(-z)),
        ("so_45442843", "hidden", lambda z: 4 * torch.sigmoid(z) * torch.sigmoid(-z)),
        ("embedding_saturates", "mix", lambda z: 1 - torch.tanh(z) ** 2),
    ],
)
def test_most_units_are_saturated(name, path, slope):
    def flat(case):
        outputs, *_ = seen(case, layer=case.model.get_submodule(path))
        by_unit = slope(torch.cat(outputs)).flatten(0, -2).mean(0)
        return (by_unit < 0.05).float().mean().item() > 0.5

    assert both(name, flat) == (True, False)


@pytest.mark.parametrize("name", ["vanishing_sigmoid", "vanishing_cnn", "so_39217567"])
def test_the_gradient_vanishes(name):
    def fades(case):
        _, _, (sizes,), _ = seen(case)
        return sizes[0] < 1e-2 * sizes[-2]

    assert both(name, fades) == (True, False)


@pytest.mark.parametrize("name", ["signal_collapses", "signal_collapses_cnn", "vanishing_tanh"])
def test_the_signal_fades(name):
    def fades(case):
        spreads = []
        layers = [layer for layer in case.model.modules() if isinstance(layer, torch.nn.Linear | torch.nn.Conv2d)]
        for layer in layers[:-1]:
            layer.register_forward_hook(lambda *call: spreads.append(call[2].std().item()))
        case.model(case.data(0)[0])
        return spreads[-1] < 1e-2 * spreads[0]

    assert both(name, fades) == (True, False)


@pytest.mark.parametrize("name", ["exploding_relu", "exploding_cnn", "signal_explodes", "residual_explodes"])
def test_the_gradient_and_the_loss_explode(name):
    def bursts(case):
        _, (loss,), (sizes,), _ = seen(case)
        return max(sizes) > 1e3 and loss > 1e2

    assert both(name, bursts) == (True, False)


@pytest.mark.parametrize("name", ["divided_by_zero", "overflowing_softplus", "logarithm_of_negative"])
def test_something_is_not_finite(name):
    assert both(name, lambda case: torch.tensor(seen(case)[1]).isfinite().all().item()) == (False, True)


@pytest.mark.parametrize("name", ["tiny_steps", "tiny_steps_transformer", "loss_made_small", "optimises_another"])
def test_updates_are_too_small(name):
    assert both(name, lambda case: max(seen(case, steps=5)[3]) < 1e-4) == (True, False)


@pytest.mark.parametrize("name", ["huge_steps", "huge_steps_cnn"])
def test_updates_are_too_large(name):
    assert both(name, lambda case: max(seen(case, steps=5)[3]) > 1) == (True, False)


@pytest.mark.parametrize(("name", "path"), [("subtracted_from_itself", "fc1"), ("norm_over_one_feature", "fc1")])
def test_no_unit_varies(name, path):
    def constant(case):
        outputs, *_ = seen(case, layer=case.model.get_submodule(path))
        return bool((outputs[0].std(0) < 1e-6).all())

    assert both(name, constant) == (True, False)


@pytest.mark.parametrize("name", ["loss_stands_dead", "loss_stands_sigmoid", "optimises_another", "so_39525358"])
def test_the_loss_stands(name):
    def gain(case):
        losses = torch.tensor(seen(case, steps=40)[1])
        return (losses[:8].mean() - losses[-8:].mean()).item()

    faulty, right = both(name, gain)
    assert faulty < 0.05 < right


@pytest.mark.parametrize("seed", range(3))
def test_units_of_known_layers_are_dead_alive_and_rare(seed):
    linear, batches = known.dead_layer(seed)
    z = linear(torch.cat(batches))
    fired = (z > 0).sum(0)
    assert torch.equal(known.never_fires(z), torch.arange(known.UNITS) < known.DEAD)
    assert (fired[: known.DEAD] == 0).all()
    assert (fired[known.DEAD : known.DEAD + known.RARE] == 1).all()
    assert (fired[known.DEAD + known.RARE :] > 10).all()


@pytest.mark.parametrize("seed", range(3))
def test_units_of_known_layers_are_saturated_or_not(seed):
    linear, batches = known.saturated_layer(seed)
    z = linear(torch.cat(batches))
    slope = (1 - torch.tanh(z) ** 2).mean(0)
    assert torch.equal(known.lies_far_out(z), torch.arange(known.UNITS) < known.DEAD)
    assert (slope[: known.DEAD] < 1e-6).all()
    assert (slope[known.DEAD :] > 0.3).all()
