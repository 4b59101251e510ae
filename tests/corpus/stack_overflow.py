"""A: faults that people asked about, restated as programs of our own; the number is the question's.

The fault is the one that the benchmark of Cao et al. 2022 (DeepFD, ICSE) lists with its repair. The questions'
networks and data are not copied: each program here is a small one in which the same fault does the same harm.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from corpus.data import binary, curve, multi_label, normal, pictures
from corpus.optimisers import adam, sgd
from corpus.program import Case, twins


class OneUnit(nn.Module):
    """Two layers and an output of one unit."""

    def __init__(self, wrong: bool) -> None:
        super().__init__()
        self.wrong = wrong
        self.hidden, self.out = nn.Linear(16, 32), nn.Linear(32, 1)

    def forward(self, x: Tensor) -> Tensor:
        z = self.out(torch.tanh(self.hidden(x)))
        return F.softmax(z, dim=-1) if self.wrong else torch.sigmoid(z)  # fault: so_31880720


@twins("A binary classifier ends in softmax over its one unit, which is always 1.", "AL206", paths=("",), group="A")
def so_31880720(wrong: bool) -> Case:
    return Case(OneUnit(wrong), binary(), F.binary_cross_entropy, sgd(0.1))


@twins(
    "A regression ends in softmax over one unit: the prediction is always 1.",
    "AL206",
    "AL208",
    paths=("4",),
    group="A",
)
def so_33969059(wrong: bool) -> Case:
    layers = [nn.Linear(8, 12), nn.ReLU(), nn.Linear(12, 1)]
    end = [nn.Identity(), nn.Softmax(dim=1)] if wrong else []
    return Case(nn.Sequential(*layers, *end), curve(), nn.MSELoss())


def exclusive_or(step: int) -> tuple[Tensor, Tensor]:
    x = torch.tensor([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]]).repeat(8, 1)
    return x, (x.sum(1, keepdim=True) == 1).float()


class ExclusiveOr(nn.Module):
    def __init__(self, end: nn.Module) -> None:
        super().__init__()
        self.hidden, self.out, self.end = nn.Linear(2, 8), nn.Linear(8, 1), end

    def forward(self, x: Tensor) -> Tensor:
        z = self.out(torch.tanh(self.hidden(x)))
        return self.end(z)  # fault: so_34311586


@twins(
    "A network for exclusive or is fitted by squares and ends in softmax over its one unit.",
    "AL206",
    "AL208",
    paths=("end",),
    group="A",
)
def so_34311586(wrong: bool) -> Case:
    return Case(ExclusiveOr(nn.Softmax(-1) if wrong else nn.Sigmoid()), exclusive_or, nn.MSELoss(), adam(0.05))


class SameForAll(nn.Module):
    def __init__(self, wrong: bool) -> None:
        super().__init__()
        self.wrong = wrong
        self.layers = nn.ModuleList([nn.Linear(16, 24), nn.Linear(24, 24)])
        self.out = nn.Linear(24, 1)

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = F.relu(layer(x))
        z = self.out(x)
        return z.softmax(1) if self.wrong else z.sigmoid()  # fault: so_38648195


@twins(
    "Softmax over one unit under squared error: the network answers the same for every input.",
    "AL206",
    "AL208",
    paths=("",),
    group="A",
)
def so_38648195(wrong: bool) -> Case:
    return Case(SameForAll(wrong), binary(), F.mse_loss if wrong else F.binary_cross_entropy, sgd(0.1))


@twins(
    "Hidden sigmoids behind weights of deviation 0.05: hardly any gradient reaches the first layers.",
    "AL103",
    "AL106",
    "AL111",
    "AL303",
    group="A",
)
def so_39217567(wrong: bool) -> Case:
    kind = nn.Sigmoid if wrong else nn.ReLU
    layers = [layer for _ in range(5) for layer in (nn.Linear(32, 32), kind())]
    model = nn.Sequential(nn.Linear(8, 32), kind(), *layers, nn.Linear(32, 1))
    for layer in model:
        if isinstance(layer, nn.Linear) and wrong:
            nn.init.normal_(layer.weight, std=0.05)
    return Case(model, curve(), nn.MSELoss(), sgd(0.05) if wrong else adam(0.003))


def heights(step: int) -> tuple[Tensor, Tensor]:
    """Three positive measurements in the hundreds, as a table often has them."""
    x = 300 + 40 * normal(64, 3, seed=11000 + step)
    return x, (x.sum(1, keepdim=True) > 900).float()


class Unscaled(nn.Module):
    def __init__(self, wrong: bool) -> None:
        super().__init__()
        self.wrong = wrong
        self.first, self.second, self.out = nn.Linear(3, 12), nn.Linear(12, 3), nn.Linear(3, 1)
        for layer in (self.first, self.second, self.out):
            nn.init.uniform_(layer.weight, -0.05, 0.05)
            nn.init.zeros_(layer.bias)
        self.second.weight.data.copy_(-self.second.weight.abs())  # the draw in which the question's loss stands still

    def forward(self, x: Tensor) -> Tensor:
        if not self.wrong:
            x = (x - 300) / 40
            return self.out(torch.tanh(self.second(torch.tanh(self.first(x))))).sigmoid()
        x = torch.relu(self.first(x))
        x = torch.relu(self.second(x))  # fault: so_39525358
        return self.out(x).sigmoid()


@twins(
    "ReLU on inputs in the hundreds with tiny uniform weights: the second layer is dead and the loss stays at 0.69.",
    "AL101",
    "AL111",
    paths=("",),
    group="A",
)
def so_39525358(wrong: bool) -> Case:
    return Case(Unscaled(wrong), heights, F.binary_cross_entropy, adam(0.003 if wrong else 0.05))


class Topics(nn.Module):
    def __init__(self, wrong: bool) -> None:
        super().__init__()
        self.wrong = wrong
        self.body = nn.Sequential(nn.Linear(16, 64), nn.ReLU(), nn.Dropout(0.1), nn.Linear(64, 5))

    def forward(self, x: Tensor) -> Tensor:
        z = self.body(x)
        return torch.softmax(z, dim=1) if self.wrong else torch.sigmoid(z)  # fault: so_44164749


@twins("Labels that may hold together are predicted by one softmax.", "AL210", "AL208", paths=("",), group="A")
def so_44164749(wrong: bool) -> Case:
    return Case(Topics(wrong), multi_label(), F.binary_cross_entropy)


def shares(step: int) -> tuple[Tensor, Tensor]:
    """Ten numbers between 0 and 1 that do not add up to anything."""
    x, y = curve(8, 10)(step)
    return x, torch.sigmoid(3 * y)


@twins(
    "Ten independent values between 0 and 1 are predicted by softmax, whose outputs add up to 1 "
    "(of this question only the repair is known: softmax to sigmoid over ten units).",
    "AL208",
    "AL210",
    paths=("3",),
    group="A",
)
def so_45337371(wrong: bool) -> Case:
    end = nn.Softmax(dim=-1) if wrong else nn.Sigmoid()
    return Case(nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 10), end), shares, nn.MSELoss())


class Saturates(nn.Module):
    def __init__(self, wrong: bool) -> None:
        super().__init__()
        self.wrong = wrong
        self.hidden, self.out = nn.Linear(3, 16), nn.Linear(16, 1)

    def forward(self, x: Tensor) -> Tensor:
        z = self.hidden(x if self.wrong else (x - 300) / 40)
        h = torch.sigmoid(z)  # fault: so_45442843
        return self.out(h)


@twins(
    "Hidden sigmoids on inputs in the hundreds saturate "
    "(the benchmark names the activation beside loss and optimiser; which layer is our guess).",
    "AL102",
    "AL110",
    "AL111",
    paths=("",),
    group="A",
)
def so_45442843(wrong: bool) -> Case:
    def prices(step: int) -> tuple[Tensor, Tensor]:
        x, _ = heights(step)
        return x, (x - 300).mean(1, keepdim=True) / 40

    return Case(Saturates(wrong), prices, F.l1_loss, adam(0.01))


class Digits(nn.Module):
    def __init__(self, wrong: bool) -> None:
        super().__init__()
        self.wrong = wrong
        self.one, self.two = nn.Conv2d(1, 8, 3, padding=1), nn.Conv2d(8, 16, 3, padding=1)
        self.out = nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = F.max_pool2d(F.relu(self.one(x)), 2)
        x = F.max_pool2d(F.relu(self.two(x)), 2)
        z = self.out(x.flatten(1))
        return F.relu(z) if self.wrong else z  # fault: so_47352366


@twins("The ten outputs of a classifier pass a ReLU before the cross-entropy.", "AL209", paths=("",), group="A")
def so_47352366(wrong: bool) -> Case:
    return Case(Digits(wrong), pictures(1, 10), nn.CrossEntropyLoss())


@twins("A regression with targets in the tens ends in a sigmoid.", "AL208", paths=("3",), group="A")
def so_48221692(wrong: bool) -> Case:
    end = [nn.Sigmoid()] if wrong else []
    model = nn.Sequential(nn.Linear(8, 16), nn.Tanh(), nn.Linear(16, 1), *end)
    return Case(model, curve(scale=10, offset=40), nn.MSELoss(), adam(0.05))


class Signed(nn.Module):
    def __init__(self, wrong: bool) -> None:
        super().__init__()
        self.hidden, self.out = nn.Linear(8, 32), nn.Linear(32, 1)
        self.end = F.relu if wrong else torch.tanh

    def forward(self, x: Tensor) -> Tensor:
        z = self.out(F.relu(self.hidden(x)))
        return self.end(z)  # fault: so_48251943


@twins("Targets between -1 and 1 are predicted through a ReLU.", "AL208", "AL209", paths=("",), group="A")
def so_48251943(wrong: bool) -> Case:
    def signed(step: int) -> tuple[Tensor, Tensor]:
        x, y = curve()(step)
        return x, torch.tanh(2 * y)

    return Case(Signed(wrong), signed, nn.MSELoss())
