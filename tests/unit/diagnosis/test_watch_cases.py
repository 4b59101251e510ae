"""Loops that are out of the ordinary."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader

from actlab.diagnosis.check import check
from actlab.diagnosis.watch import watch
from actlab.errors import BadInput


def rows(count: int = 16) -> Tensor:
    return torch.randn(count, 4, generator=torch.Generator().manual_seed(3))


def watched(model: nn.Module, called: nn.Module | None = None, *, steps: int = 4):
    torch.manual_seed(4)
    optimizer = torch.optim.SGD(model.parameters(), 1e-2)
    with watch(called or model, every=1) as found:
        for _ in range(steps):
            optimizer.zero_grad()
            (called or model)(rows()).square().mean().backward()
            optimizer.step()
    return found.quantities()


class Gated(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.value, self.gate, self.last = nn.Linear(4, 6), nn.Linear(4, 6), nn.Linear(6, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.value(x) * F.silu(self.gate(x)))


def test_the_gate_of_a_gated_unit_is_measured():
    model = Gated()
    with torch.no_grad():
        gate = model.gate(rows()).double()
    (site,) = watched(model, steps=1).sites
    assert site.site.activation == "swiglu"
    torch.testing.assert_close(site.total.mean, gate.mean(0), rtol=1e-5, atol=1e-6)
    assert site.points[0].gradient_rms > 0


class Reusing(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner, self.last = nn.Linear(4, 4), nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        for _ in range(3):
            x = torch.tanh(self.inner(x))
        return self.last(x)


@pytest.mark.parametrize("steps", [1, 4])
def test_a_site_that_is_applied_three_times_is_measured_three_times(steps):
    (site,) = watched(Reusing(), steps=steps).sites
    assert site.site.calls == 3
    assert (site.total.examples, site.total.shown) == (16, 16 * steps)
    assert (site.total.positions == 3 * 16 * steps).all()


def test_an_overflowing_scaler_causes_no_finding():
    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
    optimizer = torch.optim.SGD(model.parameters(), 1e-5)
    scaler, scales = torch.amp.GradScaler("cpu", init_scale=2.0**127, backoff_factor=2.0**-100), []
    with watch(model, every=1) as found:
        for _ in range(40):
            optimizer.zero_grad()
            scaler.scale(model(rows()).square().mean() * 1000).backward()
            scaler.step(optimizer)
            scaler.update()
            scales.append(scaler.get_scale())
            found.step()
    assert scales[0] == 2.0**27
    points = found.quantities().sites[0].points
    assert len(points) == 40
    assert points[0].gradient_rms != points[0].gradient_rms  # nothing is known of that step
    assert points[-1].gradient_rms > 0
    assert not [each for each in found.report().findings if each.id in {"AL104", "AL107"}]


def test_a_batch_on_another_device_is_refused():
    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
    batch = (rows().to("meta"), torch.zeros(16, dtype=torch.long))
    with pytest.raises(BadInput, match="meta"):
        check(model, batch, loss=F.cross_entropy)


def test_a_model_on_the_meta_device_can_be_watched():
    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2)).to("meta")
    with watch(model, every=1) as found:
        for _ in range(3):
            model(rows().to("meta")).sum().backward()
            found.step()
    assert found.quantities().sites == ()
    assert not found.report().findings


def test_an_empty_loader_is_refused():
    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
    with pytest.raises(BadInput, match="loader is empty"):
        check(model, DataLoader([], batch_size=4), loss=F.cross_entropy)
    batch = (rows(), torch.zeros(16, dtype=torch.long))
    with pytest.raises(BadInput, match="loader is empty"):
        check(model, batch, loss=F.cross_entropy, train_steps=3, data=[])


@pytest.mark.slow
def test_training_with_inductor_is_unchanged():
    losses = []
    for every in (None, 1):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(4, 8), nn.GELU(), nn.Linear(8, 2))
        compiled = torch.compile(model)
        if every:
            (site,) = watched(model, compiled).sites
            assert len(site.points) == 4
            assert site.points[-1].gradient_rms > 0
        else:
            optimizer = torch.optim.SGD(model.parameters(), 1e-2)
            for _ in range(4):
                optimizer.zero_grad()
                compiled(rows()).square().mean().backward()
                optimizer.step()
        losses.append(float(model(rows()).detach().square().mean()))
    assert losses[0] == losses[1]


class Wrapper(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)


def stepped(model: nn.Module, called, *, outer: nn.Module | None = None):
    """Train two steps by calling `called` while `outer` is watched."""
    optimizer = torch.optim.SGD(model.parameters(), 1e-2)
    with watch(outer or model, every=1) as found:
        for _ in range(2):
            optimizer.zero_grad()
            called(rows()).square().mean().backward()
            optimizer.step()
    return found.report()


def test_a_loop_in_evaluation_mode_is_warned():
    model = Wrapper().eval()
    with pytest.warns(UserWarning, match="only in evaluation mode or without autograd. Pass evaluation=True"):
        stepped(model, model)


class Mapped(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weights, self.last = nn.Parameter(torch.randn(3, 4, 5)), nn.Linear(5, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(torch.tanh(torch.vmap(lambda weight: torch.relu(x @ weight))(self.weights).mean(0)))


def test_an_activation_inside_vmap_is_named_as_not_seen_and_the_rest_is_measured():
    model = Mapped()
    report = stepped(model, model)
    assert [site.activation for site in report.sites] == ["tanh"]
    assert any(each.what == "torch.relu" and "inside torch.vmap" in each.why for each in report.unseen)


class Lazy(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.LazyLinear(3)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.first(x))


@pytest.mark.filterwarnings("ignore:Lazy modules")
def test_a_lazy_module_is_refused_before_the_loop():
    message = "the model's parameter first.weight has no shape yet"
    with pytest.raises(BadInput, match=message), watch(Lazy()):
        pass
    with pytest.raises(BadInput, match=message):
        check(Lazy(), (rows(), rows()))
