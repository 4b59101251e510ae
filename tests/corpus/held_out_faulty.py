"""E: further faults, in other styles of writing than A and B. Nothing is to be tuned to these."""

from __future__ import annotations

import math
from collections import OrderedDict

import torch
import torch.nn.functional as fun
from torch import Tensor
from torch.nn import (
    BatchNorm1d,
    Conv1d,
    Conv2d,
    CrossEntropyLoss,
    Dropout,
    Embedding,
    Flatten,
    Linear,
    MaxPool2d,
    Module,
    ModuleDict,
    ModuleList,
    MSELoss,
    Parameter,
    PReLU,
    ReLU,
    Sequential,
    Sigmoid,
    Softmax,
    Tanh,
    init,
)

from corpus.data import binary, blobs, curve, multi_label, pictures, series, token_classes, tokens
from corpus.optimisers import adam, sgd
from corpus.program import Case, twins


class VeryOldStyle(Module):
    """Weights as bare parameters, matrices multiplied by hand."""

    def __init__(self, wrong: bool) -> None:
        super().__init__()
        self.w1, self.b1 = Parameter(torch.randn(16, 40) * (2 / 16) ** 0.5), Parameter(torch.zeros(40))
        self.w2, self.b2 = Parameter(torch.randn(40, 4) / 40**0.5), Parameter(torch.zeros(4))
        self.wrong = wrong

    def forward(self, x: Tensor) -> Tensor:
        h = (x @ self.w1 + self.b1).clamp(min=0)
        logits = h @ self.w2 + self.b2
        if not self.wrong:
            return logits
        odds = logits.exp()
        return odds / odds.sum(1, keepdim=True)


@twins("A softmax written out with exp and sum, before cross-entropy.", "AL201", group="E")
def written_out_softmax(wrong: bool) -> Case:
    return Case(VeryOldStyle(wrong), blobs(), CrossEntropyLoss())


def block(inputs: int, outputs: int) -> Sequential:
    return Sequential(OrderedDict(fc=Linear(inputs, outputs), norm=BatchNorm1d(outputs), act=ReLU(inplace=True)))


@twins("An ordered network of named blocks ends in softmax before cross-entropy.", "AL201", paths=("end",), group="E")
def named_blocks_softmax(wrong: bool) -> Case:
    parts = OrderedDict(one=block(16, 32), two=block(32, 32), logits=Linear(32, 4))
    if wrong:
        parts["end"] = Softmax(dim=1)
    return Case(Sequential(parts), blobs(), CrossEntropyLoss())


class ChoosesByName(Module):
    def __init__(self, last: str) -> None:
        super().__init__()
        self.kinds = ModuleDict({"relu": ReLU(), "tanh": Tanh(), "sigmoid": Sigmoid()})
        self.layers, self.last = ModuleList([Linear(16, 24), Linear(24, 24), Linear(24, 1)]), last

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers[:-1]:
            x = self.kinds["relu"](layer(x))
        x = self.layers[-1](x)
        return self.kinds[self.last](x) if self.last else x  # fault: chosen_by_name


@twins(
    "The last activation comes from a table of names: sigmoid, before binary cross-entropy with logits.",
    "AL203",
    paths=("kinds.sigmoid",),
    group="E",
)
def chosen_by_name(wrong: bool) -> Case:
    return Case(ChoosesByName("sigmoid" if wrong else ""), binary(), fun.binary_cross_entropy_with_logits)


class Prices(Module):
    def __init__(self, wrong: bool) -> None:
        super().__init__()
        self.net, self.wrong = Sequential(Linear(8, 64), ReLU(), Dropout(0.1), Linear(64, 1)), wrong

    def forward(self, x: Tensor) -> Tensor:
        out = self.net(x)
        if self.wrong:
            out = fun.sigmoid(out)  # fault: sigmoid_prices
        return out.squeeze(-1)


@twins("Prices in the hundreds are predicted through a sigmoid.", "AL208", paths=("",), group="E")
def sigmoid_prices(wrong: bool) -> Case:
    def prices(step: int) -> tuple[Tensor, Tensor]:
        x, y = curve(scale=50, offset=300)(step)
        return x, y.squeeze(-1)

    return Case(Prices(wrong), prices, MSELoss(), adam(0.05))


class HandOff(Module):
    """The encoder hands its features through a function outside the class."""

    def __init__(self, wrong: bool) -> None:
        super().__init__()
        self.encode, self.decode, self.wrong = Conv1d(3, 16, 3, padding=1), Linear(16, 3), wrong

    def forward(self, x: Tensor) -> Tensor:
        return finish(self.decode(fun.gelu(self.encode(x.transpose(1, 2)).amax(2))), self.wrong)


def finish(scores: Tensor, wrong: bool) -> Tensor:
    return scores.log_softmax(0) if wrong else scores.log_softmax(1)  # fault: wrong_axis_outside


@twins("A function outside of the class normalises over the batch.", "AL207", paths=("",), group="E")
def wrong_axis_outside(wrong: bool) -> Case:
    return Case(HandOff(wrong), series(), fun.nll_loss, adam(0.01))


class OwnAttention(Module):
    def __init__(self, wrong: bool) -> None:
        super().__init__()
        self.embed, self.qkv, self.head = Embedding(20, 32), Linear(32, 96), Linear(32, 20)
        self.wrong = wrong

    def forward(self, ids: Tensor) -> Tensor:
        b, t = ids.shape
        q, k, v = self.qkv(self.embed(ids)).view(b, t, 3, 4, 8).permute(2, 0, 3, 1, 4)
        scores = torch.einsum("bhid,bhjd->bhij", q, k) / math.sqrt(8)
        scores = scores.masked_fill(torch.ones(t, t).triu(1).bool(), -1e9)
        y = torch.einsum("bhij,bhjd->bihd", scores.softmax(-1), v).reshape(b, t, 32)
        logits = self.head(y)
        return logits.softmax(-1) if self.wrong else logits  # fault: language_model_softmax


@twins("A language model returns probabilities; its loss expects logits.", "AL201", paths=("",), group="E")
def language_model_softmax(wrong: bool) -> Case:
    return Case(OwnAttention(wrong), tokens(), lambda p, y: fun.cross_entropy(p.transpose(1, 2), y))


@twins("Tags that may hold together: softmax, then the mean of binary cross-entropies by hand.", "AL210", group="E")
def tags_by_hand(wrong: bool) -> Case:
    def loss(z: Tensor, y: Tensor) -> Tensor:
        p = z.softmax(1) if wrong else z.sigmoid()
        return fun.binary_cross_entropy(p, y)

    return Case(Sequential(Linear(16, 48), Tanh(), Linear(48, 6)), multi_label(16, 6), loss)


class Stem(Module):
    def __init__(self, wrong: bool) -> None:
        super().__init__()
        self.reduce, self.body, self.head = Linear(16, 24), Linear(24, 24), Linear(24, 4)
        self.wrong = wrong

    def forward(self, x: Tensor) -> Tensor:
        x = self.body(self.reduce(x) if self.wrong else fun.leaky_relu(self.reduce(x), 0.1))
        return self.head(fun.leaky_relu(x, 0.1))


@twins(
    "The first activation is missing: two linear layers in a row of equal width.",
    "AL301",
    paths=("reduce", "body"),
    group="E",
)
def missing_first_activation(wrong: bool) -> Case:
    return Case(Stem(wrong), blobs(), fun.cross_entropy)


@twins(
    "An attention-like softmax was left as the hidden activation of a picture classifier.",
    "AL302",
    paths=("5",),
    group="E",
)
def hidden_softmax_pictures(wrong: bool) -> Case:
    act = Softmax(-1) if wrong else Tanh()
    layers = [Conv2d(1, 6, 3), ReLU(), MaxPool2d(2), Flatten(), Linear(54, 32), act, Linear(32, 4)]
    return Case(Sequential(*layers), pictures(), fun.cross_entropy)


def seeded_badly(model: Module) -> None:
    """Meant as a small start; is none."""
    for name, parameter in model.named_parameters():
        if name.endswith("weight"):
            init.uniform_(parameter, -1, 1)


@twins("Weights are drawn uniformly from -1 to 1 before five layers of tanh of width 100.", "AL303", "AL102", group="E")
def uniform_weights(wrong: bool) -> Case:
    hidden = [layer for _ in range(4) for layer in (Linear(100, 100), Tanh())]
    model = Sequential(Linear(16, 100), Tanh(), *hidden, Linear(100, 4))
    if wrong:
        seeded_badly(model)
    return Case(model, blobs(), fun.cross_entropy)


class TwoTowers(Module):
    def __init__(self, wrong: bool) -> None:
        super().__init__()
        self.left, self.right, self.head = Linear(16, 24), Linear(16, 24), Linear(48, 4)
        self.left_act = PReLU(24)
        self.right_act = self.left_act if wrong else PReLU(24)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.cat([self.left_act(self.left(x)), self.right_act(self.right(x))], 1))


@twins(
    "Two towers with weights of their own share the slopes of one PReLU.",
    "AL306",
    paths=("left_act", "right_act"),
    group="E",
)
def towers_share_slopes(wrong: bool) -> Case:
    return Case(TwoTowers(wrong), blobs(), fun.cross_entropy)


class Plunges(Module):
    """A convolution followed by subtracting a constant that is far too large."""

    def __init__(self, wrong: bool) -> None:
        super().__init__()
        self.conv, self.head, self.shift = Conv2d(1, 12, 3), Linear(12, 4), 30.0 if wrong else 0.1

    def forward(self, x: Tensor) -> Tensor:
        x = (self.conv(x) - self.shift).relu_()  # fault: shifted_to_death
        return self.head(x.amax((2, 3)))


@twins("A threshold of 30 is subtracted before the ReLU: no channel ever fires.", "AL101", paths=("",), group="E")
def shifted_to_death(wrong: bool) -> Case:
    return Case(Plunges(wrong), pictures(), fun.cross_entropy)


class Counts(Module):
    def __init__(self, wrong: bool) -> None:
        super().__init__()
        self.embed, self.mix, self.head, self.wrong = Embedding(20, 24), Linear(24, 24), Linear(24, 3), wrong
        init.normal_(self.embed.weight, std=60.0 if wrong else 1.0)

    def forward(self, ids: Tensor) -> Tensor:
        return self.head(self.mix(self.embed(ids)).tanh().mean(1))  # fault: embedding_saturates


@twins("Embeddings sixty times too large saturate the tanh behind them.", "AL102", paths=("",), group="E")
def embedding_saturates(wrong: bool) -> Case:
    return Case(Counts(wrong), token_classes(), fun.cross_entropy)


class Unrolls(Module):
    def __init__(self, wrong: bool) -> None:
        super().__init__()
        self.read, self.carry, self.head = Linear(3, 24), Linear(24, 24, bias=False), Linear(24, 3)
        init.orthogonal_(self.carry.weight, gain=0.2 if wrong else 1.0)

    def forward(self, x: Tensor) -> Tensor:
        h = torch.zeros(x.shape[0], 24)
        first = True
        for step in range(x.shape[1]):
            h = torch.tanh(self.carry(h) + (self.read(x[:, step]) if first else 0))
            first = False
        return self.head(h)


@twins(
    "A recurrent state is multiplied by 0.2 at every step: what came first is forgotten.",
    "AL103",
    "AL106",
    "AL303",
    group="E",
)
def forgets(wrong: bool) -> Case:
    def starts(step: int) -> tuple[Tensor, Tensor]:
        x, _ = series()(step)
        return x, (x[:, 0, 0] > 0).long()

    return Case(Unrolls(wrong), starts, fun.cross_entropy, adam(0.01))


class Cube(Module):
    def __init__(self, wrong: bool) -> None:
        super().__init__()
        self.layers, self.wrong = ModuleList([Linear(16 if i == 0 else 32, 32) for i in range(4)]), wrong
        self.head = Linear(32, 4)

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = fun.softplus(4 * layer(x)) ** 3 if self.wrong else fun.softplus(layer(x))
        return self.head(x)


@twins("Every layer cubes its softplus: the numbers overflow.", "AL107", "AL105", "AL104", group="E")
def cubed(wrong: bool) -> Case:
    return Case(Cube(wrong), blobs(), fun.cross_entropy, adam(1e-4 if wrong else 3e-3))


@twins("A learning rate of 2 for SGD with momentum 0.99.", "AL109", "AL107", "AL104", "AL101", group="E")
def runaway_momentum(wrong: bool) -> Case:
    model = Sequential(Linear(8, 32), ReLU(), Linear(32, 32), ReLU(), Linear(32, 1))
    return Case(model, curve(), MSELoss(), sgd(2.0, momentum=0.99) if wrong else sgd(0.02, momentum=0.9))
