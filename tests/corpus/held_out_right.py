"""E: further correct programs, in other styles of writing than C. Nothing is to be tuned to these."""

from __future__ import annotations

import math
from functools import partial

import torch
import torch.nn.functional as fun
from torch import Tensor
from torch.nn import (
    GELU,
    BatchNorm2d,
    BCEWithLogitsLoss,
    Conv1d,
    Conv2d,
    CrossEntropyLoss,
    Dropout,
    Embedding,
    GroupNorm,
    Identity,
    InstanceNorm2d,
    LayerNorm,
    LeakyReLU,
    Linear,
    Module,
    ModuleList,
    MSELoss,
    MultiheadAttention,
    Parameter,
    ReLU,
    RNNCell,
    Sequential,
    Sigmoid,
    SiLU,
    Softplus,
    TransformerDecoder,
    TransformerDecoderLayer,
    init,
)

from corpus.data import binary, blobs, curve, multi_label, normal, pictures, seeded, series, token_classes, tokens
from corpus.optimisers import adam, adamw, sgd
from corpus.program import Case
from corpus.program import clean as clean_in_group

clean = partial(clean_in_group, group="E")


class Bare(Module):
    """Weights as bare parameters, ReLU as a clamp."""

    def __init__(self) -> None:
        super().__init__()
        self.w = Parameter(torch.randn(16, 48) * math.sqrt(2 / 16))
        self.v = Parameter(torch.randn(48, 4) / math.sqrt(48))

    def forward(self, x: Tensor) -> Tensor:
        return (x @ self.w).clamp_min(0) @ self.v


@clean("Matrices by hand, and a clamp for a ReLU.")
def bare_parameters() -> Case:
    return Case(Bare(), blobs(), CrossEntropyLoss(), sgd(0.1))


class Residual(Module):
    """A basic block; its last normalisation starts at a scale of 0."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = Conv2d(width, width, 3, padding=1, bias=False), BatchNorm2d(width)
        self.conv2, self.bn2 = Conv2d(width, width, 3, padding=1, bias=False), BatchNorm2d(width)
        init.zeros_(self.bn2.weight)

    def forward(self, x: Tensor) -> Tensor:
        out = fun.relu(self.bn1(self.conv1(x)), inplace=True)
        out = self.bn2(self.conv2(out))
        return fun.relu(out + x, inplace=True)


@clean("A residual network whose blocks end in a normalisation of scale 0.")
def residual_zero_gamma() -> Case:
    head = [torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(), Linear(12, 4)]
    return Case(
        Sequential(Conv2d(1, 12, 3, padding=1), *[Residual(12) for _ in range(3)], *head),
        pictures(),
        CrossEntropyLoss(),
    )


class Vision(Module):
    """Patches, a class token, and attention from PyTorch."""

    def __init__(self) -> None:
        super().__init__()
        self.patch, self.token = Conv2d(1, 32, 2, 2), Parameter(torch.zeros(1, 1, 32))
        self.place = Parameter(torch.randn(1, 17, 32) * 0.02)
        self.norm1, self.norm2 = LayerNorm(32), LayerNorm(32)
        self.attention, self.mlp = (
            MultiheadAttention(32, 4, batch_first=True),
            Sequential(Linear(32, 64), GELU(), Linear(64, 32)),
        )
        self.head = Linear(32, 4)
        init.zeros_(self.head.weight)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patch(x).flatten(2).mT
        x = torch.cat([self.token.expand(len(x), -1, -1), x], 1) + self.place
        y = self.norm1(x)
        x = x + self.attention(y, y, y, need_weights=False)[0]
        return self.head((x + self.mlp(self.norm2(x)))[:, 0])


@clean("A vision transformer whose head starts at 0.")
def vision_transformer() -> Case:
    return Case(Vision(), pictures(), CrossEntropyLoss(), adamw(3e-3))


@clean("A decoder of PyTorch's own layers over an encoded series, norm first.", steps=120)
def cross_attention() -> Case:
    return Case(Crosses(), series(), CrossEntropyLoss(), adam(0.01))


class Crosses(Module):
    def __init__(self) -> None:
        super().__init__()
        self.enter, self.ask, self.head = Linear(3, 32), Parameter(torch.randn(1, 2, 32)), Linear(64, 3)
        self.place = Parameter(0.5 * torch.randn(16, 32))
        layer = TransformerDecoderLayer(32, 4, 64, 0.0, batch_first=True, norm_first=True)
        self.decode = TransformerDecoder(layer, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.decode(self.ask.expand(len(x), -1, -1), self.enter(x) + self.place).flatten(1))


class Steps(Module):
    def __init__(self) -> None:
        super().__init__()
        self.cell, self.head = RNNCell(3, 24), Linear(24, 3)

    def forward(self, x: Tensor) -> Tensor:
        h = None
        for now in x.unbind(1):
            h = self.cell(now, h)
        return fun.log_softmax(self.head(h), -1)


@clean("A recurrent cell in a loop, log_softmax and its likelihood.", steps=120)
def recurrent_cell() -> Case:
    return Case(Steps(), series(), fun.nll_loss, adam(0.01))


def accumulates(case: Case, tell) -> None:
    """Four small batches to a step."""
    optimiser = case.optimiser(case.model)
    for step in range(40):
        for part in range(4):
            x, y = case.data(4 * step + part)
            loss = case.loss(case.model(x), y)
            (loss / 4).backward()
        torch.nn.utils.clip_grad_norm_(case.model.parameters(), 1.0)
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        tell(loss)


@clean("Gradient accumulation over four batches, and clipping.")
def accumulation() -> Case:
    model = Sequential(Linear(16, 48), SiLU(), Linear(48, 48), SiLU(), Linear(48, 4))
    return Case(model, blobs(size=16), CrossEntropyLoss(), adam(3e-3), accumulates)


def warms_up(case: Case, tell) -> None:
    """A learning rate that rises from 0 and falls again."""
    optimiser = case.optimiser(case.model)
    plan = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: min(step / 10, 1 - step / 50))
    for step in range(40):
        x, y = case.data(step)
        optimiser.zero_grad()
        loss = case.loss(case.model(x), y)
        loss.backward()
        optimiser.step()
        plan.step()
        tell(loss)


@clean("Warm-up from a learning rate of 0: the first step changes nothing.")
def warm_up() -> Case:
    model = Sequential(Linear(16, 48), ReLU(), Linear(48, 48), ReLU(), Linear(48, 4))
    return Case(model, blobs(), CrossEntropyLoss(), adam(5e-3), warms_up)


def critic_first(case: Case, tell) -> None:
    """Five steps of the critic to one of the generator, with a penalty on the critic's slope."""
    model = case.model
    judges, makes = (torch.optim.Adam(part.parameters(), lr=1e-3) for part in (model.critic, model.maker))
    for step in range(40):
        z, _ = case.data(step)
        real, fake = blobs()(step)[0], model.maker(z)
        between = (0.5 * real + 0.5 * fake).detach().requires_grad_()
        (slope,) = torch.autograd.grad(model.critic(between).sum(), between, create_graph=True)
        loss = (
            model.critic(fake.detach()).mean()
            - model.critic(real).mean()
            + 10 * (slope.norm(dim=1) - 1).square().mean()
        )
        judges.zero_grad()
        loss.backward()
        judges.step()
        if step % 5 == 4:
            makes.zero_grad()
            (-model(z).mean()).backward()
            makes.step()
        tell(loss)


class Wasserstein(Module):
    def __init__(self) -> None:
        super().__init__()
        self.maker = Sequential(Linear(4, 32), ReLU(), Linear(32, 16))
        self.critic = Sequential(Linear(16, 32), LeakyReLU(0.2), Linear(32, 32), LeakyReLU(0.2), Linear(32, 1))

    def forward(self, z: Tensor) -> Tensor:
        return self.critic(self.maker(z))


@clean("A Wasserstein GAN: scores without bounds, a penalty on the critic's slope.")
def wasserstein() -> Case:
    def noise(step: int) -> tuple[Tensor, Tensor]:
        return normal(64, 4, seed=31000 + step), torch.ones(64, 1)

    return Case(Wasserstein(), noise, lambda score, _: -score.mean(), adam(), critic_first)


class MessagePassing(Module):
    """Sums over edges by index_add; one graph a batch."""

    def __init__(self) -> None:
        super().__init__()
        chance = seeded(51)
        self.register_buffer("source", torch.randint(40, (160,), generator=chance))
        self.register_buffer("target", torch.randint(40, (160,), generator=chance))
        self.enter, self.message, self.update = Linear(16, 24), Linear(48, 24), torch.nn.GRUCell(24, 24)
        self.head = Linear(24, 4)

    def forward(self, x: Tensor) -> Tensor:
        h = torch.tanh(self.enter(x))
        for _ in range(2):
            told = fun.relu(self.message(torch.cat([h[self.source], h[self.target]], 1)))
            h = self.update(torch.zeros_like(h).index_add(0, self.target, told), h)
        return self.head(h)


@clean("Message passing over edges with a gated update.")
def message_passing() -> Case:
    return Case(MessagePassing(), blobs(size=40), CrossEntropyLoss(), adam(3e-3))


class Attends(Module):
    """Graph attention: a softmax over each node's neighbours, written with exp and sums."""

    def __init__(self) -> None:
        super().__init__()
        near = normal(40, 40, seed=52) > 1.0
        self.register_buffer("near", near | near.T | torch.eye(40, dtype=torch.bool))
        self.value, self.asks, self.answers, self.head = Linear(16, 24), Linear(24, 1), Linear(24, 1), Linear(24, 4)

    def forward(self, x: Tensor) -> Tensor:
        v = self.value(x)
        scores = fun.leaky_relu(self.asks(v) + self.answers(v).T, 0.2).masked_fill(~self.near, -torch.inf)
        return self.head(fun.elu(scores.softmax(1) @ v))


@clean("Graph attention with a masked softmax over the neighbours.", steps=120)
def graph_attention() -> Case:
    return Case(Attends(), blobs(size=40), CrossEntropyLoss(), adam(3e-3))


@clean("Noisy labels that cannot be learned: the loss stays, and nothing is wrong with the network.")
def nothing_to_learn() -> Case:
    def chance(step: int) -> tuple[Tensor, Tensor]:
        return normal(64, 8, seed=32000 + step), torch.randint(2, (64,), generator=seeded(33000 + step))

    model = Sequential(Linear(8, 16), ReLU(), Linear(16, 2))
    return Case(model, chance, CrossEntropyLoss())


class Wide(Module):
    """A linear path beside a deep one, over categories and numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.kinds, self.wide = Embedding(20, 8), Linear(16, 1)
        self.deep = Sequential(Linear(24, 32), ReLU(), Dropout(0.2), Linear(32, 1))

    def forward(self, x: Tensor, kind: Tensor) -> Tensor:
        return self.wide(x) + self.deep(torch.cat([x, self.kinds(kind)], 1))


@clean("Wide and deep: a linear and a deep path are added to one logit.")
def wide_and_deep() -> Case:
    def data(step: int) -> tuple[tuple[Tensor, Tensor], Tensor]:
        x, y = binary()(step)
        return (x, torch.randint(20, (len(x),), generator=seeded(34000 + step))), y

    return Case(Wide(), data, BCEWithLogitsLoss(), adam(3e-3))


class Beta(Module):
    """Two positive numbers of a distribution, each one more than a softplus."""

    def __init__(self) -> None:
        super().__init__()
        self.body = Sequential(Linear(8, 32), SiLU(), Linear(32, 2), Softplus())

    def forward(self, x: Tensor) -> torch.distributions.Beta:
        a, b = (self.body(x) + 1).unbind(1)
        return torch.distributions.Beta(a, b)


@clean("The model gives a distribution, not a tensor; its loss is the negative log-likelihood.")
def gives_a_distribution() -> Case:
    def shares(step: int) -> tuple[Tensor, Tensor]:
        x, y = curve()(step)
        return x, torch.sigmoid(y[:, 0])

    return Case(Beta(), shares, lambda d, y: -d.log_prob(y).mean(), adam(3e-3))


class Answers(Module):
    """Gives a dictionary, and computes its own loss when given targets."""

    def __init__(self) -> None:
        super().__init__()
        self.enter, self.head = Linear(16, 32), Linear(32, 4)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        logits = self.head(fun.gelu(self.enter(x)))
        return {"logits": logits, "probabilities": logits.detach().softmax(-1)}


@clean("A dictionary of logits and probabilities; the loss takes the logits.")
def gives_a_dictionary() -> Case:
    return Case(Answers(), blobs(), lambda out, y: fun.cross_entropy(out["logits"], y))


@clean("Multi-label with weights for the positive ones, raw outputs.")
def weighted_multi_label() -> Case:
    model = Sequential(Linear(16, 64), LeakyReLU(0.01), Linear(64, 5))
    return Case(model, multi_label(), BCEWithLogitsLoss(pos_weight=torch.tensor([1.0, 2.0, 1.0, 3.0, 1.0])))


class Gru4Tokens(Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed, self.rnn, self.head = (
            Embedding(20, 24, padding_idx=0),
            torch.nn.GRU(24, 24, batch_first=True),
            Linear(24, 20),
        )

    def forward(self, ids: Tensor) -> Tensor:
        return self.head(self.rnn(self.embed(ids))[0])


@clean("A language model whose padding is ignored by the loss.")
def padded_language() -> Case:
    def loss(z: Tensor, y: Tensor) -> Tensor:
        return fun.cross_entropy(z.mT, y, ignore_index=0)

    return Case(Gru4Tokens(), tokens(), loss, adam(0.01))


class Bilinear(Module):
    """Gated linear units throughout, halved by chunk."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = ModuleList([Conv1d(3, 32, 3, padding=1), Conv1d(16, 32, 3, padding=1)])
        self.head = Linear(16, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = x.mT
        for layer in self.layers:
            value, gate = layer(x).chunk(2, 1)
            x = value * gate.sigmoid()
        return self.head(x.mean(-1))


@clean("Gated linear units by hand.")
def gated_by_hand() -> Case:
    return Case(Bilinear(), series(), CrossEntropyLoss(), adam(0.01))


@clean("Group and instance normalisation between convolutions, SiLU after.")
def group_norms() -> Case:
    body = [Conv2d(1, 8, 3, padding=1), GroupNorm(2, 8), SiLU(), Conv2d(8, 8, 3, padding=1), InstanceNorm2d(8), SiLU()]
    return Case(Sequential(*body, torch.nn.Flatten(), Linear(512, 4)), pictures(), CrossEntropyLoss())


@clean("A text classifier of convolutions and the largest value over time.")
def text_convolutions() -> Case:
    return Case(TextConvolutions(), token_classes(), CrossEntropyLoss(), adam(3e-3))


class TextConvolutions(Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed, self.drop = Embedding(20, 16), Dropout(0.2)
        self.convs, self.head = ModuleList([Conv1d(16, 8, k) for k in (2, 3, 4)]), Linear(24, 3)

    def forward(self, ids: Tensor) -> Tensor:
        x = self.embed(ids).mT
        return self.head(self.drop(torch.cat([conv(x).relu().amax(2) for conv in self.convs], 1)))


@clean("Coordinates are put through fixed sines and cosines, the answer is a colour between 0 and 1.")
def neural_field() -> Case:
    turns = 4 * normal(2, 16, seed=53)

    def colours(step: int) -> tuple[Tensor, Tensor]:
        at = torch.rand(128, 2, generator=seeded(35000 + step))
        features = torch.cat([(at @ turns).sin(), (at @ turns).cos()], 1)
        return features, torch.stack([at[:, 0], at[:, 1], (6 * at[:, 0]).sin() / 2 + 0.5], 1)

    return Case(
        Sequential(Linear(32, 64), ReLU(), Linear(64, 64), ReLU(), Linear(64, 3), Sigmoid()),
        colours,
        MSELoss(),
        adam(3e-3),
    )


@clean("Identity layers stand where an option was switched off.")
def identities() -> Case:
    layers = [Linear(16, 32), Identity(), ReLU(), Identity(), Linear(32, 4), Identity()]
    return Case(Sequential(*layers), blobs(), CrossEntropyLoss())


class Hierarchy(Module):
    """A coarse and a fine class; the fine logits are corrected by the coarse log-probabilities."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.coarse, self.fine = Sequential(Linear(16, 32), GELU()), Linear(32, 2), Linear(32, 4)

    def forward(self, x: Tensor) -> Tensor:
        h = self.body(x)
        return self.fine(h) + self.coarse(h).log_softmax(-1).repeat_interleave(2, 1)


@clean("log_softmax of a coarse class is added to the logits of the fine ones.")
def hierarchy() -> Case:
    return Case(Hierarchy(), blobs(), CrossEntropyLoss())
