"""The distributions of a measured step are those of the tensors themselves."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from actlab.catalog.index import get
from actlab.diagnosis.watch import watch
from actlab.telemetry.close_look import BINS, MOST_VALUES, MeasuredStep, curve, looks_at
from actlab.telemetry.history import MOST_LOOKS, MOST_STEPS, History


def mlp() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 12), nn.Tanh(), nn.Linear(12, 3), nn.Softmax(dim=-1)
    )


def raw_step(model: nn.Sequential, x: torch.Tensor) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Return z, y and dL/dy of each activation by plain hooks of PyTorch."""
    found: list[list[torch.Tensor]] = []

    def keep(module: nn.Module, args: tuple[torch.Tensor], y: torch.Tensor) -> None:
        row = [args[0].detach().clone(), y.detach().clone()]
        found.append(row)
        y.register_hook(lambda gradient: row.append(gradient.clone()))

    handles = [each.register_forward_hook(keep) for each in model if not isinstance(each, nn.Linear)]
    model(x).square().sum().backward()
    for handle in handles:
        handle.remove()
    model.zero_grad()
    return [tuple(each.double().numpy().ravel() for each in row) for row in found]


def looked(model: nn.Module, x: torch.Tensor) -> MeasuredStep:
    got: list[MeasuredStep] = []
    with watch(model, every=1).look_closely(got.append) as watched:
        loss = model(x).square().sum()
        loss.backward()
        watched.step(loss)
    assert len(got) == 1
    return got[0]


def test_histograms_are_those_of_raw_hooks():
    model, x = mlp(), torch.randn(32, 4)
    raw, step = raw_step(model, x), looked(model, x)
    assert [look.site.activation for look in step.looks] == ["relu", "tanh", "softmax"]
    for look, values in zip(step.looks, raw, strict=True):
        for found, expected in zip((look.z, look.y, look.gradient), values, strict=True):
            assert found is not None
            counts, borders = np.histogram(expected, BINS)
            assert list(found.counts) == counts.tolist()
            assert found.borders == pytest.approx(borders.tolist(), rel=1e-12, abs=1e-18)
            assert (found.mean, found.rms) == pytest.approx((expected.mean(), np.sqrt((expected**2).mean())))
            assert found.values == expected.size


def test_flat_and_dead_shares_are_those_of_the_derivative():
    model, x = mlp(), 8 * torch.randn(64, 4)
    (z, *_), (z_tanh, *_), _ = raw_step(model, x)
    relu, tanh, softmax = looked(model, x).looks
    assert relu.dead_share == relu.flat_share == pytest.approx(np.mean(z <= 0))
    slopes = 1 - np.tanh(z_tanh) ** 2
    assert (tanh.flat_share, tanh.dead_share) == pytest.approx((np.mean(slopes <= 0.05), np.mean(slopes <= 0.001)))
    assert np.isnan(softmax.flat_share)


def test_of_a_large_tensor_every_unit_is_counted_alike():
    model = nn.Sequential(nn.Linear(64, 64), nn.ReLU())
    with torch.no_grad():
        model[0].bias.copy_(torch.arange(64.0))
        model[0].weight.zero_()
    z = looked(model, torch.randn(2048, 64)).looks[0].z
    assert z is not None
    assert z.values == 2048 * 64
    assert MOST_VALUES / 2 < sum(z.counts) <= MOST_VALUES
    assert max(z.counts) < 2.1 * min(z.counts)  # 64 values in 40 bins: one or two to a bin


def test_values_that_are_not_finite_are_in_no_bin():
    model = nn.Sequential(nn.Linear(2, 2), nn.ReLU())
    z = looked(model, torch.tensor([[1.0, torch.inf], [0.5, 0.5]])).looks[0].z
    assert z is not None
    assert (z.non_finite, sum(z.counts)) == (2, 2)


def test_an_input_that_is_overwritten_in_place_is_taken_before():
    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(inplace=True), nn.Linear(8, 2))
    assert looked(model, torch.randn(16, 4)).looks[0].z.low < 0


def test_gradients_are_divided_by_the_loss_scale():
    plain, scaled = [], []
    for got, scale in ((plain, 1.0), (scaled, 1024.0)):
        torch.manual_seed(1)
        model, x = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 2)), torch.randn(8, 4)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        scaler = torch.amp.GradScaler("cpu", init_scale=scale, enabled=scale > 1)
        with watch(model, every=1).look_closely(got.append):
            scaler.scale(model(x).square().sum()).backward()
            scaler.step(optimizer)
            scaler.update()
    assert scaled[0].looks[0].gradient.rms == pytest.approx(plain[0].looks[0].gradient.rms)


@pytest.mark.parametrize(("name", "dead"), [("relu", [(-6, 0)]), ("sigmoid", []), ("tanh", [(-6, -4.15), (4.15, 6)])])
def test_the_dead_parts_of_a_curve(name, dead):
    found = curve(get(name), low=-6, high=6)
    assert np.array(found.dead).ravel() == pytest.approx(np.array(dead).ravel(), abs=0.05)
    assert found.y == pytest.approx([float(getattr(torch, name)(torch.tensor(z))) for z in found.z], abs=1e-6)


def test_a_history_is_bounded_and_keeps_its_first_and_recent_steps():
    history = History()
    for step in range(2000):
        history.add(MeasuredStep(step, None, ()))
    kept = [each.step for each in history.steps()]
    assert len(kept) <= MOST_STEPS
    assert kept[0] == 0
    assert kept[-100:] == list(range(1900, 2000))
    assert (history.at(1950).step, history.at(None).step) == (1950, 1999)


def test_a_history_of_a_large_network_keeps_fewer_steps():
    look = looked(mlp(), torch.randn(4, 4)).looks[0]
    history = History()
    for step in range(100):
        history.add(MeasuredStep(step, None, (look,) * 1000))
    assert sum(len(each.looks) for each in history.steps()) <= MOST_LOOKS


def test_a_step_measured_again_replaces_the_later_ones():
    history = History()
    for step in (0, 1, 2, 1):
        history.add(MeasuredStep(step, None, ()))
    assert [each.step for each in history.steps()] == [0, 1]


def test_a_site_that_was_not_reached_has_an_empty_look():
    step = looked(mlp(), torch.randn(4, 4))
    sites = [look.site for look in step.looks]
    found = looks_at([sites[1], sites[0]], MeasuredStep(0, None, step.looks[:1]))
    assert (found[0].z, found[1].z) == (None, step.looks[0].z)
