"""AL115: which second derivatives are 0 for certain."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from actlab.diagnosis.check import check

X = torch.linspace(0, 6, 64)[:, None]


class Applies(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


def by(u: Tensor, x: Tensor, **options) -> Tensor:
    (found,) = torch.autograd.grad(u.sum(), x, create_graph=True, **options)
    return torch.zeros_like(x) if found is None else found


def residual(u: Tensor, x: Tensor) -> Tensor:
    return (by(by(u, x), x) + u).square().mean()


def unused_allowed(u: Tensor, x: Tensor) -> Tensor:
    return (by(by(u, x), x, allow_unused=True) + u).square().mean()


def report(activation: nn.Module, loss=residual):
    model = nn.Sequential(nn.Linear(1, 16), activation, nn.Linear(16, 16), activation, nn.Linear(16, 1))
    x = X.clone().requires_grad_()
    return check(model, (x, x), loss)


STRAIGHT = {
    "relu": nn.ReLU(),
    "leaky": nn.LeakyReLU(0.2),
    "relu6": nn.ReLU6(),
    "abs": Applies(torch.abs),
    "clamp": Applies(lambda z: z.clamp(min=0)),
    "maximum": Applies(lambda z: torch.maximum(z, 0 * z.detach())),
    "mask": Applies(lambda z: z * (z > 0)),
    "where": Applies(lambda z: torch.where(z > 0, z, 0.1 * z)),
}


@pytest.mark.parametrize("activation", STRAIGHT.values(), ids=STRAIGHT)
def test_a_piecewise_linear_network_has_no_second_derivative(activation):
    found = [each for each in report(activation).findings if each.id == "AL115"]
    assert len(found) == 1
    assert found[0].severity == "error"
    assert found[0].site.path == "1"


def test_a_second_derivative_of_none_is_found_too():
    assert "AL115" in {each.id for each in report(STRAIGHT["clamp"], unused_allowed).findings}


CURVED = {
    "tanh": nn.Tanh(),
    "elu": nn.ELU(),
    "sine": Applies(torch.sin),
    "squared": Applies(lambda z: torch.relu(z) ** 2),
    "softplus": nn.Softplus(),
}


@pytest.mark.parametrize("activation", CURVED.values(), ids=CURVED)
def test_a_second_derivative_is_right(activation):
    assert "AL115" not in {each.id for each in report(activation).findings}


def test_a_first_derivative_through_relus_is_right():
    def penalty(u: Tensor, x: Tensor) -> Tensor:
        return u.mean() + (by(u, x).norm(dim=1) - 1).square().mean()

    assert report(nn.ReLU(), penalty).ok


def test_second_derivatives_by_parameters_are_right():
    class Adapts(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second = nn.Parameter(torch.randn(1, 16)), nn.Parameter(torch.randn(16, 1) / 16)

        def forward(self, x):
            first, second = self.first, self.second
            for _ in range(2):
                inner = (torch.relu(x @ first) @ second - x).square().mean()
                steps = torch.autograd.grad(inner, (first, second), create_graph=True)
                first, second = first - 1e-3 * steps[0], second - 1e-3 * steps[1]
            return torch.relu(x @ first) @ second

    found = check(Adapts(), (X, X), nn.functional.mse_loss).findings
    assert "AL115" not in {each.id for each in found}


def test_a_hessian_is_found():
    class Curvature(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = nn.Sequential(nn.Linear(1, 16), nn.ReLU(), nn.Linear(16, 1))

        def forward(self, x):
            def single(point):
                return self.body(point[None]).sum()

            parts = [torch.autograd.functional.hessian(single, point, create_graph=True) for point in x[:4]]
            return self.body(x[:4]), torch.stack(parts)

    def loss(output, x):
        return (output[0] + output[1].view(-1, 1)).square().mean()

    assert "AL115" in {each.id for each in check(Curvature(), (X, X), loss).findings}
