"""B: one line wrong that shows when the network runs.

Where that line is an initialisation, the finding about initialisation names it as well as the one about what follows.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from corpus.data import blobs, curve, pictures, series, token_classes
from corpus.mutants_construction import deep, initialised, kaiming, xavier
from corpus.optimisers import adam, sgd
from corpus.program import Case, twins
from corpus.skeletons import Convolutions, Perceptron, Reader, perceptron


@twins("The bias of the second hidden layer starts at -10: its ReLU never fires.", "AL101", paths=("3",))
def dead_layer_module(wrong: bool) -> Case:
    model = perceptron(16, 4, nn.ReLU)
    nn.init.constant_(model[2].bias, -10 if wrong else 0)
    return Case(model, blobs(), F.cross_entropy)


@twins("A convolution's bias starts at -10.", "AL101", paths=("features.4",))
def dead_layer_cnn(wrong: bool) -> Case:
    model = Convolutions(1, 4)
    nn.init.constant_(model.features[3].bias, -10 if wrong else 0)
    return Case(model, pictures(), F.cross_entropy)


class Feeds(nn.Module):
    """A transformer's feed-forward layer with its residual branch, written by hand."""

    def __init__(self) -> None:
        super().__init__()
        self.letters, self.norm = nn.Embedding(20, 32), nn.LayerNorm(32)
        self.up, self.down, self.out = nn.Linear(32, 64), nn.Linear(64, 32), nn.Linear(32, 3)

    def forward(self, text: Tensor) -> Tensor:
        x = self.letters(text)
        h = F.relu(self.up(self.norm(x)))  # fault: dead_layer_transformer
        return self.out((x + self.down(h)).mean(1))


@twins("The feed-forward layer of a transformer is dead: its bias starts at -20.", "AL101", paths=("",))
def dead_layer_transformer(wrong: bool) -> Case:
    model = Feeds()
    nn.init.constant_(model.up.bias, -20 if wrong else 0)
    return Case(model, token_classes(), F.cross_entropy)


@twins("A learning rate of 30 kills the ReLUs in the first steps.", "AL101", "AL107", "AL109", "AL111")
def dead_by_learning_rate(wrong: bool) -> Case:
    return Case(perceptron(8, 1, nn.ReLU), curve(), nn.MSELoss(), sgd(30.0 if wrong else 0.05))


@twins("Hard-swish behind a bias of -8: its slope is 0 for every example.", "AL101", paths=("1",))
def dead_hardswish(wrong: bool) -> Case:
    model = perceptron(16, 4, nn.Hardswish)
    nn.init.constant_(model[0].bias, -8 if wrong else 0)
    return Case(model, blobs(), F.cross_entropy)


@twins("Inputs are a hundred times too large for the sigmoid of the first layer.", "AL102", paths=("1",))
def saturated_sigmoid(wrong: bool) -> Case:
    stream = blobs()

    def scaled(step: int) -> tuple[Tensor, Tensor]:
        x, y = stream(step)
        return (100 * x if wrong else x), y

    return Case(perceptron(16, 4, nn.Sigmoid), scaled, F.cross_entropy, adam(0.01))


class Squashes(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc1, self.fc2, self.out = nn.Linear(8, 32), nn.Linear(32, 32), nn.Linear(32, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.tanh(self.fc1(x))
        x = torch.tanh(self.fc2(x))  # fault: saturated_tanh
        return self.out(x)


@twins("The weights before the second tanh are a hundred times too large.", "AL102", paths=("",))
def saturated_tanh(wrong: bool) -> Case:
    model = Squashes()
    model.fc2.weight.data.mul_(100 if wrong else 1)
    return Case(model, curve(), nn.MSELoss())


class Gates(nn.Module):
    """A recurrent cell with one gate, written by hand."""

    def __init__(self, bias: float) -> None:
        super().__init__()
        self.gate, self.new, self.out = nn.Linear(3 + 24, 24), nn.Linear(3 + 24, 24), nn.Linear(24, 3)
        nn.init.constant_(self.gate.bias, bias)

    def forward(self, x: Tensor) -> Tensor:
        state = x.new_zeros(len(x), 24)
        for now in x.unbind(1):
            both = torch.cat([now, state], dim=1)
            keep = torch.sigmoid(self.gate(both))  # fault: saturated_gate
            state = keep * state + (1 - keep) * torch.tanh(self.new(both))
        return self.out(state)


@twins("The gate of a recurrent cell starts at a bias of 20: it never lets anything in.", "AL102", paths=("",))
def saturated_gate(wrong: bool) -> Case:
    return Case(Gates(20.0 if wrong else 1.0), series(), F.cross_entropy, adam(0.01))


@twins("Twelve layers of sigmoid with PyTorch's own initialisation, where ReLU would do.", "AL103")
def vanishing_sigmoid(wrong: bool) -> Case:
    model = deep(nn.Sigmoid, depth=12) if wrong else initialised(deep(nn.ReLU, depth=12), kaiming)
    return Case(model, blobs(), F.cross_entropy)


@twins("Twenty layers of tanh whose weights are half as large as Xavier's.", "AL103", "AL106", "AL303")
def vanishing_tanh(wrong: bool) -> Case:
    gain = 0.5 if wrong else 1.0
    model = initialised(deep(nn.Tanh, depth=20), lambda w: nn.init.xavier_normal_(w, gain=gain))
    return Case(model, blobs(), F.cross_entropy)


class DeepPictures(nn.Module):
    def __init__(self, kind: Callable[[Tensor], Tensor], depth: int = 10) -> None:
        super().__init__()
        first, rest = nn.Conv2d(1, 16, 3, padding=1), [nn.Conv2d(16, 16, 3, padding=1) for _ in range(depth - 1)]
        self.layers, self.out, self.kind = nn.ModuleList([first, *rest]), nn.Linear(16, 4), kind

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = self.kind(layer(x))
        return self.out(x.mean((2, 3)))


@twins("Ten convolutions with sigmoid between them.", "AL103")
def vanishing_cnn(wrong: bool) -> Case:
    model = DeepPictures(torch.sigmoid) if wrong else initialised(DeepPictures(F.relu), kaiming)
    return Case(model, pictures(), F.cross_entropy)


@torch.no_grad()
def scaled(model: nn.Module, factor: float) -> nn.Module:
    return initialised(model, lambda weight: kaiming(weight).mul_(factor))


@twins("Weights three times as large as Kaiming's, twelve layers deep.", "AL104", "AL303")
def exploding_relu(wrong: bool) -> Case:
    model = scaled(deep(nn.ReLU, depth=12), 3.0 if wrong else 1.0)
    return Case(model, blobs(), F.cross_entropy, adam(3e-4))


class Unrolled(nn.Module):
    """A recurrent network of ReLUs, written by hand."""

    def __init__(self, gain: float) -> None:
        super().__init__()
        self.new, self.old, self.out = nn.Linear(3, 24), nn.Linear(24, 24, bias=False), nn.Linear(24, 3)
        nn.init.orthogonal_(self.old.weight, gain=gain)

    def forward(self, x: Tensor) -> Tensor:
        state = x.new_zeros(len(x), 24)
        for now in x.unbind(1):
            state = torch.relu(self.new(now) + self.old(state))
        return self.out(state)


@twins("The weights by which a recurrent state returns have gain 5.", "AL104", "AL105", "AL107", "AL303")
def exploding_recurrent(wrong: bool) -> Case:
    return Case(Unrolled(5.0 if wrong else 1.0), series(), F.cross_entropy)


@twins("Weights 2.5 times as large as Kaiming's, in twelve convolutions.", "AL104", "AL105", "AL303")
def exploding_cnn(wrong: bool) -> Case:
    return Case(scaled(DeepPictures(F.relu, 12), 2.5 if wrong else 1.0), pictures(), F.cross_entropy, adam(3e-4))


@twins(
    "Weights 2.3 times as large as Kaiming's, sixteen layers deep: the signal grows by half a million or more.",
    "AL105",
    "AL303",
)
def signal_explodes(wrong: bool) -> Case:
    model = scaled(deep(nn.ReLU, depth=16), 2.3 if wrong else 1.0)
    return Case(model, blobs(), F.cross_entropy, adam(3e-4))


class Piles(nn.Module):
    """Residual blocks that are scaled by `factor` as they are added."""

    def __init__(self, factor: float, depth: int = 12) -> None:
        super().__init__()
        self.first, self.out, self.factor = nn.Linear(16, 64), nn.Linear(64, 4), factor
        self.blocks = nn.ModuleList([nn.Linear(64, 64) for _ in range(depth)])

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        for block in self.blocks:
            x = x + self.factor * block(F.gelu(x))
        return self.out(x)


@twins("Residual branches are multiplied by 10 where 0.3 was meant.", "AL105")
def residual_explodes(wrong: bool) -> Case:
    return Case(Piles(10.0 if wrong else 0.3), blobs(), F.cross_entropy, adam(3e-4))


@twins("Weights a third as large as Kaiming's, fourteen layers deep: the signal fades.", "AL106", "AL303")
def signal_collapses(wrong: bool) -> Case:
    return Case(scaled(deep(nn.ReLU, depth=14), 0.33 if wrong else 1.0), blobs(), F.cross_entropy)


@twins("Convolutions that lose four fifths of the signal each, ten layers deep.", "AL106", "AL303")
def signal_collapses_cnn(wrong: bool) -> Case:
    return Case(scaled(DeepPictures(F.silu), 0.3 if wrong else 1.2), pictures(), F.cross_entropy)


class Divides(nn.Module):
    def __init__(self, wrong: bool) -> None:
        super().__init__()
        self.fc1, self.fc2, self.wrong = nn.Linear(16, 32), nn.Linear(32, 4), wrong

    def forward(self, x: Tensor) -> Tensor:
        z = self.fc1(x)
        z = z / (z - z).abs().sum(1, keepdim=True) if self.wrong else z  # fault: divided_by_zero
        h = F.relu(z)
        return self.fc2(h)


@twins("A hidden layer is divided by a sum that is always 0.", "AL107", paths=("",))
def divided_by_zero(wrong: bool) -> Case:
    return Case(Divides(wrong), blobs(), F.cross_entropy)


class OwnSoftplus(nn.Module):
    def __init__(self, wrong: bool) -> None:
        super().__init__()
        self.wrong = wrong

    def forward(self, x: Tensor) -> Tensor:
        return torch.log(1 + torch.exp(x)) if self.wrong else F.softplus(x)


@twins("softplus is spelled log(1 + exp(x)) and overflows on large inputs; the next layer sees infinities.", "AL107")
def overflowing_softplus(wrong: bool) -> Case:
    stream = curve()

    def large(step: int) -> tuple[Tensor, Tensor]:
        x, y = stream(step)
        return 300 * x, y

    layers = [nn.Linear(8, 16), OwnSoftplus(wrong), nn.LayerNorm(16), nn.Linear(16, 16), nn.Tanh(), nn.Linear(16, 1)]
    return Case(nn.Sequential(*layers), large, nn.MSELoss())


class Roots(nn.Module):
    def __init__(self, wrong: bool) -> None:
        super().__init__()
        self.fc1, self.fc2, self.wrong = nn.Linear(8, 16), nn.Linear(16, 1), wrong

    def forward(self, x: Tensor) -> Tensor:
        z = self.fc1(torch.log(x) if self.wrong else x)  # fault: logarithm_of_negative
        return self.fc2(F.elu(z))


@twins("The logarithm of standardised inputs, half of which are negative.", "AL107", paths=("",))
def logarithm_of_negative(wrong: bool) -> Case:
    return Case(Roots(wrong), curve(), nn.MSELoss())


@twins("A learning rate of 1e-9 for SGD.", "AL108", "AL111")
def tiny_steps(wrong: bool) -> Case:
    return Case(Perceptron(16, 4), blobs(), F.cross_entropy, sgd(1e-9 if wrong else 0.1))


@twins("A learning rate of 1e-8 for Adam, in a transformer.", "AL108", "AL111")
def tiny_steps_transformer(wrong: bool) -> Case:
    return Case(Reader(20, 3), token_classes(), F.cross_entropy, adam(1e-8 if wrong else 1e-3))


@twins("The loss is divided by a million before SGD sees it.", "AL108", "AL111")
def loss_made_small(wrong: bool) -> Case:
    factor = 1e-6 if wrong else 1.0
    return Case(Perceptron(16, 4), blobs(), lambda z, y: factor * F.cross_entropy(z, y), sgd(0.1))


@twins("A learning rate of 0.5 for Adam.", "AL109")
def huge_steps(wrong: bool) -> Case:
    return Case(Perceptron(16, 4), blobs(), F.cross_entropy, adam(0.5 if wrong else 1e-3))


@twins("A learning rate of 1 for Adam, in a convolutional network.", "AL109")
def huge_steps_cnn(wrong: bool) -> Case:
    return Case(Convolutions(1, 4), pictures(), F.cross_entropy, adam(1.0 if wrong else 1e-3))


class Blanks(nn.Module):
    def __init__(self, wrong: bool) -> None:
        super().__init__()
        self.fc1, self.fc2, self.out, self.wrong = nn.Linear(16, 32), nn.Linear(32, 32), nn.Linear(32, 4), wrong

    def forward(self, x: Tensor) -> Tensor:
        x = x - (x if self.wrong else x.mean(0))
        x = torch.tanh(self.fc1(x))  # fault: subtracted_from_itself
        return self.out(torch.tanh(self.fc2(x)))


@twins("The inputs are subtracted from themselves instead of their mean: every unit is constant.", "AL110", paths=("",))
def subtracted_from_itself(wrong: bool) -> Case:
    return Case(Blanks(wrong), blobs(), F.cross_entropy)


class OneFeature(nn.Module):
    def __init__(self, wrong: bool) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(1) if wrong else nn.Identity()
        self.fc1, self.out = nn.Linear(1, 32), nn.Linear(32, 1)

    def forward(self, x: Tensor) -> Tensor:
        h = F.silu(self.fc1(self.norm(x)))  # fault: norm_over_one_feature
        return self.out(h)


@twins("Layer normalisation over a single feature gives the same for every example.", "AL110", paths=("",))
def norm_over_one_feature(wrong: bool) -> Case:
    return Case(OneFeature(wrong), curve(1), nn.MSELoss(), adam(0.01))


@twins(
    "Two thirds of the hidden units get no input: the mask that should be drawn once is all 0 there.",
    "AL110",
    paths=("1",),
)
def masked_weights(wrong: bool) -> Case:
    model = perceptron(16, 4, nn.Tanh, width=48)
    if wrong:
        rows = torch.ones(48, 1)
        rows[16:] = 0
        model[0].weight.data.mul_(rows)
        model[0].weight.register_hook(lambda gradient: gradient * rows)
    return Case(model, blobs(), F.cross_entropy)


@twins("The last hidden layer is dead from the start, so only the last bias learns.", "AL111", "AL101")
def loss_stands_dead(wrong: bool) -> Case:
    model = perceptron(16, 4, nn.ReLU)
    nn.init.constant_(model[2].bias, -50 if wrong else 0)
    nn.init.zeros_(model[4].bias)
    return Case(model, blobs(), F.cross_entropy)


@twins("The optimiser was given the parameters of another copy of the model.", "AL111", "AL108")
def optimises_another(wrong: bool) -> Case:
    def optimiser(model: nn.Module) -> torch.optim.Optimizer:
        return torch.optim.Adam((Perceptron(16, 4) if wrong else model).parameters(), lr=1e-3)

    return Case(Perceptron(16, 4), blobs(), F.cross_entropy, optimiser)


@twins("Sigmoids of twelve layers pass no gradient: the loss stays where it is.", "AL111", "AL103")
def loss_stands_sigmoid(wrong: bool) -> Case:
    model = deep(nn.Sigmoid, depth=12) if wrong else initialised(deep(nn.Tanh, depth=12), xavier)
    return Case(model, blobs(), F.cross_entropy, sgd(0.01 if wrong else 0.1))
