"""Kinds of faults between outputs and losses that were reported publicly, and right programs that look like them."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.distributions import Categorical, Normal, kl_divergence
from torch.nn import functional as F

from corpus.data import binary, blobs, curve, multi_label, normal, pictures, reconstruct, seeded, tokens
from corpus.optimisers import adam
from corpus.program import Case, clean, twins
from corpus.skeletons import Convolutions, Perceptron, Reader, perceptron

Function = Callable[[Tensor], Tensor]


def same(z: Tensor) -> Tensor:
    return z


# Probabilities into a loss that takes logits, after arithmetic.


class TwoViews(nn.Module):
    """Two networks that vote."""

    def __init__(self, wrong: bool) -> None:
        super().__init__()
        self.one, self.other, self.wrong = Perceptron(16, 4), Perceptron(16, 4), wrong

    def forward(self, x: Tensor) -> Tensor:
        votes = [self.one(x), self.other(x)]
        if self.wrong:
            votes = [F.softmax(vote, dim=1) for vote in votes]  # fault: vote_of_probabilities
        return torch.stack(votes).mean(0)


@twins("The mean of two softmaxes goes to cross-entropy.", "AL201", paths=("",))
def vote_of_probabilities(wrong: bool) -> Case:
    return Case(TwoViews(wrong), blobs(), nn.CrossEntropyLoss())


class Relabels(nn.Module):
    """Class probabilities times a matrix of confusions, as for noisy labels."""

    def __init__(self, wrong: bool) -> None:
        super().__init__()
        self.body, self.wrong = Perceptron(16, 4), wrong
        self.register_buffer("confusion", 0.9 * torch.eye(4) + 0.1 * torch.eye(4).roll(1, 0))

    def forward(self, x: Tensor) -> Tensor:
        p = self.body(x).softmax(-1) @ self.confusion  # fault: confused_probabilities
        return p if self.wrong else p.log()


@twins("Softmax times a matrix of label noise goes to cross-entropy without its logarithm.", "AL201", paths=("",))
def confused_probabilities(wrong: bool) -> Case:
    return Case(Relabels(wrong), blobs(), F.cross_entropy)


class OneUnit(nn.Module):
    def __init__(self, wrong: bool) -> None:
        super().__init__()
        self.body, self.end = Perceptron(16, 1), nn.Sigmoid()
        self.wrong = wrong

    def forward(self, x: Tensor) -> Tensor:
        p = self.end(self.body(x))
        both = torch.cat((1 - p, p), dim=-1)
        return both if self.wrong else torch.log(both.clamp(min=1e-6))


@twins("A sigmoid is turned into two columns for cross-entropy.", "AL201", paths=("end",))
def two_columns(wrong: bool) -> Case:
    return Case(OneUnit(wrong), blobs(classes=2), F.cross_entropy)


@twins("Binary cross-entropy with logits of 1 - p.", "AL203", paths=("5",))
def turned_probability(wrong: bool) -> Case:
    def loss(p: Tensor, y: Tensor) -> Tensor:
        if wrong:
            return F.binary_cross_entropy_with_logits(1 - p, 1 - y)
        return F.binary_cross_entropy(1 - p, 1 - y)

    return Case(nn.Sequential(*perceptron(16, 1, nn.ReLU), nn.Sigmoid()), binary(), loss)


@twins("Soft-margin loss on the output of a sigmoid.", "AL203", paths=("5",))
def soft_margin_of_sigmoid(wrong: bool) -> Case:
    model = nn.Sequential(*perceptron(16, 1, nn.ReLU), *([nn.Sigmoid()] if wrong else []))
    return Case(model, binary(), lambda z, y: F.soft_margin_loss(z, 2 * y - 1))


@twins("Softmax for several labels under MultiLabelSoftMarginLoss.", "AL210", paths=("5",))
def soft_margin_for_labels(wrong: bool) -> Case:
    model = nn.Sequential(*perceptron(16, 5, nn.ReLU), *([nn.Softmax(dim=1)] if wrong else []))
    return Case(model, multi_label(), nn.MultiLabelSoftMarginLoss())


class Tagger(nn.Module):
    """A tag for each position of a sequence."""

    def __init__(self, *, squash: bool = False, turn: bool = True) -> None:
        super().__init__()
        self.embed, self.mix, self.out = nn.Embedding(20, 16), nn.Linear(16, 32), nn.Linear(32, 20)
        self.squash, self.turn = squash, turn

    def forward(self, x: Tensor) -> Tensor:
        z = self.out(torch.tanh(self.mix(self.embed(x))))
        z = torch.sigmoid(z) if self.squash else z  # fault: sigmoid_for_smoothed_tags
        return z.transpose(1, 2) if self.turn else z


@twins("Sigmoid before cross-entropy whose targets are smoothed one-hot vectors.", "AL208", paths=("",))
def sigmoid_for_smoothed_tags(wrong: bool) -> Case:
    def data(step: int) -> tuple[Tensor, Tensor]:
        x, y = tokens()(step)
        return x, (0.95 * F.one_hot(y, 20).float() + 0.05 / 20).transpose(1, 2)

    return Case(Tagger(squash=wrong), data, F.cross_entropy, adam(0.01))


# ReLU on the logits of a policy.


class Player(nn.Module):
    def __init__(self, wrong: bool) -> None:
        super().__init__()
        self.hidden, self.scores, self.wrong = nn.Linear(8, 32), nn.Linear(32, 3), wrong

    def forward(self, x: Tensor) -> Categorical:
        z = self.scores(torch.tanh(self.hidden(x)))
        z = F.softplus(z) if self.wrong else z  # fault: softplus_policy
        return Categorical(logits=z)


def plays(step: int) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    x, chance = normal(64, 8, seed=30000 + step), seeded(31000 + step)
    action = torch.randint(3, (64,), generator=chance)
    return x, (action, (x[:, :3].argmax(1) == action).float() - 0.3)


@twins("A softplus on the logits of a policy, which gives a distribution.", "AL209", paths=("",))
def softplus_policy(wrong: bool) -> Case:
    def loss(policy: Categorical, told: tuple[Tensor, Tensor]) -> Tensor:
        action, gain = told
        return -(policy.log_prob(action) * gain).mean() - 0.01 * policy.entropy().mean()

    return Case(Player(wrong), plays, loss, adam(3e-3))


@twins("Cross-entropy by einsum of the logarithm of a softmax behind a ReLU.", "AL209", paths=("5",))
def relu_before_einsum(wrong: bool) -> Case:
    ends = [nn.ReLU(), nn.Softmax(dim=1)] if wrong else [nn.Softmax(dim=1)]

    def loss(p: Tensor, y: Tensor) -> Tensor:
        return -torch.einsum("nc,nc->n", torch.log(p + 1e-8), F.one_hot(y, 4).float()).mean()

    return Case(nn.Sequential(*perceptron(16, 4, nn.Tanh), *ends), blobs(), loss)


# Targets that a loss cannot take.


@twins("Labels of -1 and 1 for binary cross-entropy.", "AL211", paths=("",))
def signed_labels(wrong: bool) -> Case:
    def data(step: int) -> tuple[Tensor, Tensor]:
        x, y = binary()(step)
        return x, 2 * y - 1 if wrong else y

    def loss(z: Tensor, y: Tensor) -> Tensor:
        return F.binary_cross_entropy_with_logits(z, y)  # fault: signed_labels

    return Case(Perceptron(16, 1), data, loss)


@twins("Masks of 0 and 255 for binary cross-entropy.", "AL211", paths=("2",))
def masks_of_bytes(wrong: bool) -> Case:
    def data(step: int) -> tuple[Tensor, Tensor]:
        x, _ = pictures()(step)
        return x, (F.avg_pool2d(x, 3, 1, 1) > 0).float() * (255 if wrong else 1)

    model = nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 1, 3, padding=1))
    return Case(model, data, nn.BCEWithLogitsLoss(), adam(0.01))


@twins("Standardized counts for a Poisson loss.", "AL211", paths=("4",))
def standardized_counts(wrong: bool) -> Case:
    def data(step: int) -> tuple[Tensor, Tensor]:
        x, y = curve()(step)
        counts = torch.poisson(torch.exp(y.clamp(max=2)), generator=seeded(32000 + step))
        return x, (counts - counts.mean()) / counts.std() if wrong else counts

    return Case(perceptron(8, 1, nn.Tanh), data, nn.PoissonNLLLoss(), adam(3e-3))


@twins("A hinge by hand with targets of 0 and 1.", "AL211", paths=("",))
def hinge_of_bits(wrong: bool) -> Case:
    def loss(z: Tensor, y: Tensor) -> Tensor:
        return torch.clamp(1 - (y if wrong else 2 * y - 1) * z, min=0).mean()  # fault: hinge_of_bits

    return Case(Perceptron(16, 1), binary(), loss)


# A value that need not be positive.


class Spread(nn.Module):
    """The mean and the variance of a number."""

    def __init__(self, end: Function) -> None:
        super().__init__()
        self.body, self.mean, self.variance, self.end = nn.Linear(8, 32), nn.Linear(32, 1), nn.Linear(32, 1), end
        nn.init.constant_(self.variance.bias, 3.0)  # positive at first

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        h = torch.tanh(self.body(x))
        return self.mean(h), self.end(self.variance(h))


@twins("The variance of a Gaussian is a linear output, its likelihood written out.", "AL212", paths=("",))
def linear_variance(wrong: bool) -> Case:
    def loss(output: tuple[Tensor, Tensor], y: Tensor) -> Tensor:
        mean, variance = output
        size = torch.log(variance)  # fault: linear_variance
        return 0.5 * (size + (y - mean) ** 2 / variance).mean()

    return Case(Spread(same if wrong else lambda z: F.softplus(z) + 1e-3), curve(), loss, adam(3e-3))


@twins("The scale of a normal distribution is a linear output.", "AL212", paths=("",))
def linear_deviation(wrong: bool) -> Case:
    def loss(output: tuple[Tensor, Tensor], y: Tensor) -> Tensor:
        mean, deviation = output
        return -Normal(mean, deviation).log_prob(y).mean()  # fault: linear_deviation

    return Case(Spread(same if wrong else lambda z: F.softplus(z) + 1e-3), curve(), loss, adam(3e-3))


@twins("A Poisson loss of the rate itself, which is linear.", "AL212", paths=("",))
def linear_rate(wrong: bool) -> Case:
    def data(step: int) -> tuple[Tensor, Tensor]:
        x, y = curve()(step)
        return x, torch.poisson(torch.exp(y.clamp(max=2)), generator=seeded(33000 + step))

    def loss(z: Tensor, y: Tensor) -> Tensor:
        rate = z if wrong else F.softplus(z)
        return F.poisson_nll_loss(rate, y, log_input=False)  # fault: linear_rate

    model = perceptron(8, 1, nn.Tanh)
    nn.init.constant_(model[4].bias, 2.0)
    return Case(model, data, loss, adam(3e-3))


# A sign or a range that is taken away.


class Encodes(nn.Module):
    def __init__(self, end: Function) -> None:
        super().__init__()
        self.enter, self.mean, self.scale = nn.Linear(16, 48), nn.Linear(48, 4), nn.Linear(48, 4)
        self.leave, self.end = nn.Sequential(nn.Linear(4, 48), nn.Tanh(), nn.Linear(48, 16)), end

    def forward(self, x: Tensor) -> tuple[Tensor, Normal]:
        h = torch.tanh(self.enter(x))
        size = self.end(self.scale(h))
        code = Normal(self.mean(h), torch.exp(0.5 * size))
        return self.leave(code.rsample()), code


@twins("A softplus on the logarithm of a variance, whose divergence PyTorch computes.", "AL213")
def softplus_log_variance(wrong: bool) -> Case:
    def loss(output: tuple[Tensor, Normal], x: Tensor) -> Tensor:
        back, code = output
        prior = Normal(torch.zeros_like(code.loc), torch.ones_like(code.scale))
        return F.mse_loss(back, x) + 0.1 * kl_divergence(code, prior).sum(1).mean()

    return Case(Encodes(F.softplus if wrong else same), reconstruct(blobs()), loss, adam(3e-3))


class Critic(nn.Module):
    """A score of what is real, and one of noise."""

    def __init__(self, *end: nn.Module) -> None:
        super().__init__()
        self.score = nn.Sequential(nn.Linear(16, 32), nn.LeakyReLU(0.2), nn.Linear(32, 1), *end)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.score(x), self.score(x.flip(1) + 1)


@twins("A Wasserstein critic that ends in tanh.", "AL213", paths=("score.3",))
def critic_with_tanh(wrong: bool) -> Case:
    def loss(output: tuple[Tensor, Tensor], _: Tensor) -> Tensor:
        real, other = output
        drift = 0 if wrong else 0.1 * (real**2 + other**2).mean()
        return torch.mean(other) - torch.mean(real) + drift

    return Case(Critic(*([nn.Tanh()] if wrong else [])), blobs(), loss, adam(1e-3))


@twins("A hinge loss of a GAN on the output of a sigmoid.", "AL213", paths=("score.3",))
def hinge_with_sigmoid(wrong: bool) -> Case:
    def loss(output: tuple[Tensor, Tensor], _: Tensor) -> Tensor:
        return F.relu(1 - output[0]).mean() + F.relu(1 + output[1]).mean()

    return Case(Critic(*([nn.Sigmoid()] if wrong else [])), blobs(), loss, adam(1e-3))


@twins("Multi-margin loss on probabilities.", "AL213", paths=("5",))
def margin_of_probabilities(wrong: bool) -> Case:
    model = nn.Sequential(*perceptron(16, 4, nn.ReLU), *([nn.Softmax(dim=1)] if wrong else []))
    return Case(model, blobs(), nn.MultiMarginLoss())


# Bounded activations on values whose targets add rewards to values.


class Values(nn.Module):
    def __init__(self, end: Function) -> None:
        super().__init__()
        self.body, self.end = Perceptron(8, 1), end

    def forward(self, now: Tensor, later: Tensor) -> tuple[Tensor, Tensor]:
        with torch.no_grad():
            after = self.end(self.body(later))
        return self.end(self.body(now)), after


def rewards(step: int) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    states = normal(65, 8, seed=34000 + step)
    reward = torch.sigmoid(states[:-1, :1])
    return (states[:-1], states[1:]), (reward, (torch.arange(64) % 16 == 15).float()[:, None])


def one_step(output: tuple[Tensor, Tensor], told: tuple[Tensor, Tensor]) -> Tensor:
    reward, ended = told
    return F.smooth_l1_loss(output[0], reward + 0.95 * (1 - ended) * output[1])


@twins("A sigmoid on values that add up rewards between 0 and 1.", "AL214", paths=("",))
def sigmoid_values(wrong: bool) -> Case:
    return Case(Values(torch.sigmoid if wrong else same), rewards, one_step, adam(3e-3))


@twins("A ReLU on values where every step costs 1.", "AL214", paths=("",))
def relu_costs(wrong: bool) -> Case:
    def costs(step: int) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
        states, (reward, ended) = rewards(step)
        return states, (-1 - reward, ended)

    return Case(Values(F.relu if wrong else same), costs, one_step, adam(3e-3))


@clean("A sigmoid on the chance to win: the only reward comes at the end, where no value follows.")
def chance_to_win() -> Case:
    def ends(step: int) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
        states, (reward, ended) = rewards(step)
        return states, ((reward > 0.5).float() * ended, ended)

    return Case(Values(torch.sigmoid), ends, one_step, adam(3e-3))


# Shapes.


@twins("A column of outputs against a row of targets, squared by hand.", "AL215", paths=("",))
def column_against_row(wrong: bool) -> Case:
    def data(step: int) -> tuple[Tensor, Tensor]:
        x, y = curve()(step)
        return x, y[:, 0]

    def loss(output: Tensor, y: Tensor) -> Tensor:
        output = output if wrong else output.squeeze(-1)
        return ((output - y) ** 2).mean()  # fault: column_against_row

    return Case(perceptron(8, 1, nn.SiLU), data, loss, adam(3e-3))


@twins("Returns in a column against a row of log-probabilities.", "AL215", paths=("",))
def returns_in_a_column(wrong: bool) -> Case:
    def data(step: int) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        x, (action, gain) = plays(step)
        return x, (action, gain[:, None] if wrong else gain)

    def loss(policy: Categorical, told: tuple[Tensor, Tensor]) -> Tensor:
        action, gain = told
        return -(policy.log_prob(action) * gain).mean()  # fault: returns_in_a_column

    return Case(Player(False), data, loss, adam(3e-3))


@twins("As many positions as tags: cross-entropy reads the tags from the axis of the positions.", "AL216", paths=("",))
def tags_on_last_axis(wrong: bool) -> Case:
    def data(step: int) -> tuple[Tensor, Tensor]:
        x = torch.randint(20, (16, 20), generator=seeded(35000 + step))
        return x, (x + 1) % 20

    def loss(z: Tensor, y: Tensor) -> Tensor:
        return F.cross_entropy(z, y)  # fault: tags_on_last_axis

    return Case(Tagger(turn=not wrong), data, loss, adam(0.01))


# Right programs that look like these.


class Gated(nn.Module):
    """A mixture of experts: softmax weighs the logits of three networks."""

    def __init__(self) -> None:
        super().__init__()
        self.gate, self.experts = nn.Linear(16, 3), nn.ModuleList(Perceptron(16, 4) for _ in range(3))

    def forward(self, x: Tensor) -> Tensor:
        weights = F.softmax(self.gate(x), dim=-1)
        return torch.stack([expert(x) for expert in self.experts], -1).mul(weights[:, None]).sum(-1)


@clean("A mixture of experts: softmax weighs logits, cross-entropy takes their mean.")
def experts() -> Case:
    return Case(Gated(), blobs(), F.cross_entropy)


@clean("Negative sampling with a sharpened copy of the own predictions as targets.")
def sharpened_targets() -> Case:
    def loss(z: Tensor, y: Tensor) -> Tensor:
        p = z.softmax(1).detach() ** 2
        soft = p / p.sum(1, keepdim=True)
        return F.cross_entropy(z, y) + 0.5 * (z.softmax(1) - soft).square().mean() + 0.1 * F.cross_entropy(z, soft)

    return Case(Perceptron(16, 4), blobs(), loss)


@clean("Labels that are missing for some examples are marked by -1 and masked in the loss.")
def masked_labels() -> Case:
    def data(step: int) -> tuple[Tensor, Tensor]:
        x, y = multi_label()(step)
        hidden = torch.rand(y.shape, generator=seeded(36000 + step)) < 0.3
        return x, y.masked_fill(hidden, -1.0)

    def loss(z: Tensor, y: Tensor) -> Tensor:
        each = F.binary_cross_entropy_with_logits(z, y, reduction="none")
        return (each * (y >= 0)).sum() / (y >= 0).sum()

    return Case(Perceptron(16, 5), data, loss)


@clean("A ranking network: the loss compares all pairs of a list on purpose.")
def pairwise_ranking() -> Case:
    def loss(score: Tensor, y: Tensor) -> Tensor:
        return (F.softplus(-(score - score.T)) * (y > y.T)).mean()

    return Case(perceptron(8, 1, nn.ReLU), curve(), loss, adam(3e-3))


@clean("Label classes of a language model: a head on the mean of the positions.")
def reader_of_classes() -> Case:
    def data(step: int) -> tuple[Tensor, Tensor]:
        x, _ = tokens()(step)
        return x, x[:, 0] % 3

    return Case(Reader(20, 3), data, nn.CrossEntropyLoss(label_smoothing=0.1))


@clean("A network that bounds its logits to -8 ... 8, far enough.")
def soft_capped_logits() -> Case:
    class Capped(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = Convolutions(1, 4)

        def forward(self, x: Tensor) -> Tensor:
            return 8 * torch.tanh(self.body(x) / 8)

    return Case(Capped(), pictures(), F.cross_entropy)
