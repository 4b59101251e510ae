"""B and C: softmax along a wrong axis, straight activations, saturated attention and steep functions, in networks."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from corpus.data import Stream, blobs, curve, normal, pictures, seeded
from corpus.program import Case, clean, twins

LENGTH, FEATURES, SIZE = 9, 8, 48


def sequences(classes: int = 3, *, time_first: bool = False) -> Stream:
    """Sequences with a mark at one position, whose class is that of the mark."""
    marks = 2 * normal(classes, FEATURES, seed=31)

    def batch(step: int) -> tuple[Tensor, Tensor]:
        chance = seeded(31000 + step)
        labels = torch.randint(classes, (SIZE,), generator=chance)
        x = 0.5 * torch.randn(SIZE, LENGTH, FEATURES, generator=chance)
        x[torch.arange(SIZE), torch.randint(LENGTH, (SIZE,), generator=chance)] += marks[labels]
        return (x.transpose(0, 1).contiguous() if time_first else x), labels

    return batch


class Pooled(nn.Module):
    """Additive attention over the positions of a GRU."""

    def __init__(self, axis: int, *, squeezed: bool = False) -> None:
        super().__init__()
        self.encoder, self.key = nn.GRU(FEATURES, 16, batch_first=True), nn.Linear(16, 12)
        self.score, self.out, self.axis, self.squeezed = nn.Linear(12, 1, bias=False), nn.Linear(16, 3), axis, squeezed

    def forward(self, x: Tensor) -> Tensor:
        states, _ = self.encoder(x)
        scores = self.score(torch.tanh(self.key(states)))
        if self.squeezed:
            shares = torch.softmax(scores.squeeze(2), dim=self.axis)  # fault: pool_over_examples
            return self.out(torch.einsum("nt,ntd->nd", shares, states))
        shares = scores.softmax(dim=self.axis)  # fault: pool_over_one_score
        return self.out(torch.sum(shares * states, dim=1))


@twins("The softmax of additive attention acts over the last axis, which holds one score.", "AL206", paths=("",))
def pool_over_one_score(wrong: bool) -> Case:
    return Case(Pooled(-1 if wrong else 1), sequences(), F.cross_entropy)


@twins("The softmax of additive attention acts over the examples.", "AL207", paths=("",))
def pool_over_examples(wrong: bool) -> Case:
    return Case(Pooled(0 if wrong else 1, squeezed=True), sequences(), F.cross_entropy)


class Fusion(nn.Module):
    """Two views of a picture, mixed by a gate."""

    def __init__(self, units: int) -> None:
        super().__init__()
        self.left, self.right = nn.Conv2d(1, 6, 3, padding=1), nn.Conv2d(1, 6, 5, padding=2)
        self.gate, self.normalize, self.out = nn.Conv2d(12, units, 1), nn.Softmax(dim=1), nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        left, right = F.relu(self.left(x)), F.relu(self.right(x))
        gate = self.normalize(self.gate(torch.cat([left, right], 1)))
        return self.out((gate[:, :1] * left + (1 - gate[:, :1]) * right).mean((2, 3)))


@twins("A gate between two views is the softmax of a single channel, which is always 1.", "AL206", paths=("normalize",))
def fusion_of_one_channel(wrong: bool) -> Case:
    return Case(Fusion(1 if wrong else 2), pictures(), F.cross_entropy)


class Heads(nn.Module):
    """Attention of two heads, normalized along the axis that is handed over."""

    def __init__(self, axis: int) -> None:
        super().__init__()
        self.mix, self.out, self.axis = nn.Linear(FEATURES, 48), nn.Linear(16, 3), axis

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (part.unflatten(2, (2, 8)).transpose(1, 2) for part in self.mix(x).chunk(3, dim=-1))
        shares = F.softmax(q @ k.mT / math.sqrt(8), dim=self.axis)  # fault: heads_compete
        return self.out((shares @ v).transpose(1, 2).flatten(2).mean(1))


@twins("The softmax of attention with heads kept its dim=1, over the heads.", "AL207", paths=("",))
def heads_compete(wrong: bool) -> Case:
    return Case(Heads(1 if wrong else 3), sequences(), F.cross_entropy)


class Encoder(nn.Module):
    """PyTorch's own encoder, batch first or not."""

    def __init__(self, *, batch_first: bool) -> None:
        super().__init__()
        layer = nn.TransformerEncoderLayer(16, 2, 32, dropout=0.0, batch_first=batch_first)
        self.embed, self.out = nn.Linear(FEATURES, 16), nn.Linear(16, 3)
        self.encoder = nn.TransformerEncoder(layer, 1, enable_nested_tensor=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.encoder(self.embed(x)).mean(1))  # fault: encoder_over_examples


@twins(
    "A transformer encoder without batch_first attends over the examples.",
    "AL207",
    paths=("encoder.layers.0.self_attn",),
)
def encoder_over_examples(wrong: bool) -> Case:
    return Case(Encoder(batch_first=not wrong), sequences(), F.cross_entropy)


class Experts(nn.Module):
    def __init__(self, axis: int) -> None:
        super().__init__()
        self.gate, self.experts, self.axis = nn.Linear(16, 3), nn.ModuleList(nn.Linear(16, 4) for _ in range(3)), axis

    def forward(self, x: Tensor) -> Tensor:
        shares = F.softmax(self.gate(x), dim=self.axis)  # fault: experts_over_examples
        return (shares[:, :, None] * torch.stack([expert(x) for expert in self.experts], dim=1)).sum(dim=1)


@twins("The gates of a mixture of experts are normalized over the examples.", "AL207", paths=("",))
def experts_over_examples(wrong: bool) -> Case:
    return Case(Experts(0 if wrong else 1), blobs(), F.cross_entropy)


@twins("nn.LeakyReLU(True) after normalization: the negative slope is 1.", "AL311", paths=("2",))
def leaky_with_true(wrong: bool) -> Case:
    act = nn.LeakyReLU(True) if wrong else nn.LeakyReLU(inplace=True)
    layers = [nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8), act, nn.Conv2d(8, 16, 3), nn.ReLU()]
    model = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 4))
    return Case(model, pictures(), F.cross_entropy)


class Shifted(nn.Module):
    def __init__(self, shift: float) -> None:
        super().__init__()
        self.one, self.two, self.three, self.shift = nn.Linear(8, 32), nn.Linear(32, 32), nn.Linear(32, 1), shift

    def forward(self, x: Tensor) -> Tensor:
        h = torch.tanh(self.one(x))
        h = F.relu(self.two(h) + self.shift)  # fault: relu_shifted
        return self.three(h)


@twins("A constant of 60 is added before the relu, which is then the identity.", "AL311", paths=("",))
def relu_shifted(wrong: bool) -> Case:
    return Case(Shifted(60.0 if wrong else 0.1), curve(), nn.MSELoss())


class Swish(nn.Module):
    """An own swish, whose beta is a plain number."""

    def __init__(self, beta: float) -> None:
        super().__init__()
        self.beta = beta

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.sigmoid(self.beta * x)  # fault: swish_of_zero


@twins("An own swish is constructed with beta=0, which is half the identity.", "AL311", paths=("1",))
def swish_of_zero(wrong: bool) -> Case:
    act = Swish(0.0 if wrong else 1.0)
    return Case(nn.Sequential(nn.Linear(16, 32), act, nn.Linear(32, 4)), blobs(), F.cross_entropy)


@twins("nn.Hardtanh of a wide range never clips.", "AL311", paths=("1",))
def wide_hardtanh(wrong: bool) -> Case:
    act = nn.Hardtanh(-500.0, 500.0) if wrong else nn.Hardtanh(-1.0, 1.0)
    return Case(nn.Sequential(nn.Linear(16, 32), act, nn.Linear(32, 4)), blobs(), F.cross_entropy)


class Scores(nn.Module):
    """Self-attention with a function of the products of queries and keys."""

    def __init__(self, weigh: Callable[[Tensor], Tensor], *, width: int = 192) -> None:
        super().__init__()
        self.embed, self.norm, self.weigh = nn.Linear(FEATURES, width), nn.LayerNorm(width), weigh
        self.q, self.k, self.v = (nn.Linear(width, width, bias=False) for _ in range(3))
        self.out = nn.Linear(width, 3)
        for layer in (self.q, self.k):
            nn.init.xavier_normal_(layer.weight, gain=1.4)

    def forward(self, x: Tensor) -> Tensor:
        h = self.norm(self.embed(x))
        return self.out((self.weigh(self.q(h) @ self.k(h).mT) @ self.v(h)).mean(1))


def never(scores: Tensor) -> Tensor:
    return scores.softmax(-1)  # fault: scores_never_scaled


def afterwards(scores: Tensor) -> Tensor:
    return F.softmax(scores, dim=-1) / 192**0.5  # fault: scores_scaled_late


def multiplied(scores: Tensor) -> Tensor:
    return torch.softmax(scores * 192**0.5, dim=-1)  # fault: scores_multiplied


def before(scores: Tensor) -> Tensor:
    return F.softmax(scores / 192**0.5, dim=-1)


@twins("The scores of attention are not scaled.", "AL312", paths=("",))
def scores_never_scaled(wrong: bool) -> Case:
    return Case(Scores(never if wrong else before), sequences(), F.cross_entropy)


@twins("The scores of attention are scaled after the softmax.", "AL312", paths=("",))
def scores_scaled_late(wrong: bool) -> Case:
    return Case(Scores(afterwards if wrong else before), sequences(), F.cross_entropy)


@twins("The scores of attention are multiplied by the root of the width.", "AL312", paths=("",))
def scores_multiplied(wrong: bool) -> Case:
    return Case(Scores(multiplied if wrong else before), sequences(), F.cross_entropy)


def forgetful(h: Tensor) -> Tensor:
    return F.dropout(h, p=0.3)  # fault: dropout_left_on


class Dropped(nn.Module):
    def __init__(self, *, always: bool) -> None:
        super().__init__()
        self.one, self.two, self.always = nn.Linear(16, 64), nn.Linear(64, 4), always

    def forward(self, x: Tensor) -> Tensor:
        h = F.gelu(self.one(x))
        return self.two(forgetful(h) if self.always else F.dropout(h, p=0.3, training=self.training))


@twins("F.dropout without training=self.training stays on in evaluation mode.", "AL308", paths=("",))
def dropout_left_on(wrong: bool) -> Case:
    return Case(Dropped(always=wrong), blobs(), F.cross_entropy)


class Blocks(nn.Module):
    """Blocks that have an activation; the second one may forget to call it."""

    class Block(nn.Module):
        def __init__(self, inputs: int, outputs: int, *, forgets: bool) -> None:
            super().__init__()
            self.layer, self.norm = nn.Linear(inputs, outputs), nn.BatchNorm1d(outputs)
            self.act, self.forgets = nn.SiLU(), forgets

        def forward(self, x: Tensor) -> Tensor:
            x = self.norm(self.layer(x))
            return x if self.forgets else self.act(x)

    def __init__(self, *, forgets: bool) -> None:
        super().__init__()
        self.one, self.two = self.Block(16, 32, forgets=False), self.Block(32, 32, forgets=forgets)
        self.out = nn.Linear(32, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.two(self.one(x)))


@twins("The second block never calls its activation.", "AL301", paths=("out", "two.layer"))
def activation_never_called(wrong: bool) -> Case:
    return Case(Blocks(forgets=wrong), blobs(), F.cross_entropy)


# Right programs that look like them.


class TimeFirst(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.score, self.out = nn.LSTM(FEATURES, 16), nn.Linear(16, 1), nn.Linear(16, 3)

    def forward(self, x: Tensor) -> Tensor:
        states, _ = self.encoder(x)
        return self.out((F.softmax(self.score(states), dim=0) * states).sum(dim=0))


@clean("Time comes first, so attention over axis 0 is over the positions.")
def attention_over_time_first() -> Case:
    return Case(TimeFirst(), sequences(time_first=True), F.cross_entropy)


class Slots(nn.Module):
    """Slot attention: softmax over the slots, then weights that sum to 1 over the positions."""

    def __init__(self) -> None:
        super().__init__()
        self.q, self.k, self.v = nn.Linear(16, 16), nn.Linear(FEATURES, 16), nn.Linear(FEATURES, 16)
        self.slots, self.cell, self.out = nn.Parameter(torch.randn(1, 4, 16)), nn.GRUCell(16, 16), nn.Linear(64, 3)

    def forward(self, x: Tensor) -> Tensor:
        slots, k, v = self.slots.expand(len(x), -1, -1), self.k(x), self.v(x)
        for _ in range(2):
            shares = (self.q(slots) @ k.mT / 4).softmax(dim=1) + 1e-8
            updates = shares / shares.sum(dim=-1, keepdim=True) @ v
            slots = self.cell(updates.flatten(0, 1), slots.flatten(0, 1)).view_as(slots)
        return self.out(slots.flatten(1))


@clean("Slots compete for the positions, and the weights are then normalized along the positions.")
def slot_attention() -> Case:
    return Case(Slots(), sequences(), F.cross_entropy)


class AcrossExamples(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.q, self.k, self.v, self.out = (*(nn.Linear(16, 16) for _ in range(3)), nn.Linear(16, 4))

    def forward(self, x: Tensor) -> Tensor:
        return self.out(x + F.softmax(self.q(x) @ self.k(x).T / 4, dim=1) @ self.v(x))


@clean("Examples attend to each other on purpose.")
def attention_across_examples() -> Case:
    return Case(AcrossExamples(), blobs(), F.cross_entropy)


class TalkingHeads(nn.Module):
    """Attention whose scores and weights are mixed over the heads."""

    def __init__(self) -> None:
        super().__init__()
        self.mix, self.out = nn.Linear(FEATURES, 96), nn.Linear(32, 3)
        self.before, self.after = nn.Linear(4, 4, bias=False), nn.Linear(4, 4, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (part.unflatten(2, (4, 8)) for part in self.mix(x).chunk(3, dim=-1))
        scores = self.before(torch.einsum("nihd,njhd->nijh", q, k) / math.sqrt(8))
        shares = self.after(scores.softmax(dim=2))
        return self.out(torch.einsum("nijh,njhd->nihd", shares, v).flatten(2).mean(1))


@clean("Talking heads: layers over the heads before and after a softmax over the keys.")
def talking_heads() -> Case:
    return Case(TalkingHeads(), sequences(), F.cross_entropy)


class Separable(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.time, self.channels = nn.Conv1d(LENGTH, 12, 1), nn.Linear(FEATURES, 8)
        self.out = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(F.relu(self.channels(self.time(x))).mean(1))


@clean("A layer over time is followed by one over the channels.")
def layers_over_two_axes() -> Case:
    return Case(Separable(), sequences(), F.cross_entropy)


class Rooted(nn.Module):
    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.one, self.two, self.function = nn.Linear(16, 32), nn.Linear(32, 4), function

    def forward(self, x: Tensor) -> Tensor:
        return self.two(self.function(self.one(x)))


def gated_root(z: Tensor) -> Tensor:
    return F.relu(z) * torch.rsqrt(F.relu(z) + 1e-9)


@clean("A root of a relu, written as a product, is steep at 0 alone.")
def steep_gated_root() -> Case:
    return Case(Rooted(gated_root), blobs(), F.cross_entropy)


@clean("A soft cap of 30 is nearly straight for small inputs.")
def soft_cap() -> Case:
    return Case(Rooted(lambda z: 30 * torch.tanh(z / 30)), blobs(), F.cross_entropy)


@clean("Hardtanh after small initial weights starts in its straight part and leaves it.")
def small_start() -> Case:
    model = nn.Sequential(nn.Linear(16, 32), nn.Hardtanh(), nn.Linear(32, 4))
    nn.init.normal_(model[0].weight, std=0.01)
    return Case(model, blobs(), F.cross_entropy)


@clean("Cosine scores with a low temperature are peaked on purpose.")
def cosine_scores() -> Case:
    class Cosine(Scores):
        def forward(self, x: Tensor) -> Tensor:
            h = self.norm(self.embed(x))
            q, k = F.normalize(self.q(h), dim=-1), F.normalize(self.k(h), dim=-1)
            return self.out((F.softmax(q @ k.mT / 0.02, dim=-1) @ self.v(h)).mean(1))

    return Case(Cosine(before), sequences(), F.cross_entropy)
