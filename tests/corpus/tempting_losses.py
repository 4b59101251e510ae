"""C: correct outputs and losses that resemble a fault."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from corpus.data import binary, blobs, curve, multi_label, normal, pictures, reconstruct, seeded, tokens
from corpus.optimisers import adam
from corpus.program import Case, clean
from corpus.skeletons import Convolutions, Perceptron, perceptron


class Logs(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = Perceptron(16, 4)

    def forward(self, x: Tensor) -> Tensor:
        return F.log_softmax(self.body(x), dim=1)


@clean("log_softmax and cross-entropy: done twice, but the value is the same.")
def log_softmax_cross_entropy() -> Case:
    return Case(Logs(), blobs(), F.cross_entropy)


@clean("log_softmax and the negative log-likelihood, as they belong together.")
def log_softmax_nll() -> Case:
    return Case(Logs(), blobs(), F.nll_loss)


class Both(nn.Module):
    """Gives logits for the loss, and probabilities to whoever asks."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.probability = Perceptron(16, 1), nn.Sigmoid()

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        z = self.body(x)
        return z, self.probability(z)


@clean("The model has a sigmoid, and computes it, but the loss takes the logits.")
def bypassed_sigmoid() -> Case:
    return Case(Both(), binary(), lambda output, y: F.binary_cross_entropy_with_logits(output[0], y))


class OnlyWhenEvaluating(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body, self.softmax = Perceptron(16, 4), nn.Softmax(dim=-1)

    def forward(self, x: Tensor) -> Tensor:
        z = self.body(x)
        return z if self.training else self.softmax(z)


@clean("Softmax is applied in eval mode only; in training the loss gets logits.")
def softmax_in_eval_only() -> Case:
    return Case(OnlyWhenEvaluating(), blobs(), F.cross_entropy)


@clean("Sigmoid and binary cross-entropy on several labels.")
def sigmoid_multi_label() -> Case:
    return Case(nn.Sequential(*perceptron(16, 5, nn.ReLU), nn.Sigmoid()), multi_label(), nn.BCELoss())


@clean("Cross-entropy with smoothed labels.")
def label_smoothing() -> Case:
    return Case(Convolutions(1, 4), pictures(), nn.CrossEntropyLoss(label_smoothing=0.1))


@clean("Mixup: cross-entropy against targets that are mixtures of two classes.")
def mixup() -> Case:
    def mixed(step: int) -> tuple[Tensor, Tensor]:
        x, y = blobs()(step)
        share = torch.rand(len(x), 1, generator=seeded(13000 + step))
        sure = F.one_hot(y, 4).float()
        return share * x + (1 - share) * x.flip(0), share * sure + (1 - share) * sure.flip(0)

    return Case(Perceptron(16, 4), mixed, F.cross_entropy)


def focal(z: Tensor, y: Tensor) -> Tensor:
    """Binary cross-entropy in which what is easy counts less."""
    p = torch.sigmoid(z)
    right = torch.where(y > 0.5, p, 1 - p)
    return ((1 - right) ** 2 * F.binary_cross_entropy_with_logits(z, y, reduction="none")).mean()


@clean("Focal loss: sigmoid and binary cross-entropy with logits of the same number, side by side.")
def focal_loss() -> Case:
    return Case(Perceptron(16, 1), binary(), focal, adam(3e-3))


def with_teacher() -> Case:
    teacher = nn.Linear(16, 4).requires_grad_(False)
    teacher.weight.data.copy_(normal(4, 16, seed=31))

    def loss(z: Tensor, targets: tuple[Tensor, Tensor]) -> Tensor:
        soft, hard = targets
        near = F.kl_div(F.log_softmax(z / 2, -1), F.softmax(soft / 2, -1), reduction="batchmean")
        return 4 * near + F.cross_entropy(z, hard)

    def data(step: int) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        x, _ = blobs()(step)
        return x, (teacher(x), teacher(x).argmax(1))

    return Case(Perceptron(16, 4), data, loss, adam(3e-3))


@clean("Distillation: softmax and log_softmax at a temperature, beside cross-entropy of the same logits.")
def distillation() -> Case:
    return with_teacher()


class MixtureDensity(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(8, 32), nn.Tanh())
        self.weights, self.means, self.deviations = nn.Linear(32, 3), nn.Linear(32, 3), nn.Linear(32, 3)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        h = self.body(x)
        return self.weights(h).log_softmax(-1), self.means(h), F.softplus(self.deviations(h)) + 1e-3


@clean("A mixture density network: log_softmax for the weights, softplus for the deviations.")
def mixture_density() -> Case:
    def loss(output: tuple[Tensor, Tensor, Tensor], y: Tensor) -> Tensor:
        weights, means, deviations = output
        logs = weights - 0.5 * ((y - means) / deviations) ** 2 - deviations.log()
        return -logs.logsumexp(-1).mean()

    return Case(MixtureDensity(), curve(), loss, adam(0.01))


def counts(step: int) -> tuple[Tensor, Tensor]:
    x, y = curve()(step)
    return x, torch.poisson(torch.exp(y.clamp(max=2)), generator=seeded(14000 + step))


@clean("Poisson regression: the exponential of the output is the rate.")
def poisson_log_link() -> Case:
    return Case(perceptron(8, 1, nn.Tanh), counts, nn.PoissonNLLLoss(log_input=True), adam(3e-3))


@clean("Poisson regression through softplus.")
def poisson_softplus() -> Case:
    model = nn.Sequential(*perceptron(8, 1, nn.ReLU), nn.Softplus())
    return Case(model, counts, nn.PoissonNLLLoss(log_input=False), adam(3e-3))


@clean("Non-negative targets, many of them 0, through a ReLU.")
def relu_for_amounts() -> Case:
    def amounts(step: int) -> tuple[Tensor, Tensor]:
        x, y = curve()(step)
        return x, F.relu(y + 0.5)

    model = nn.Sequential(*perceptron(8, 1, nn.ReLU), nn.ReLU())
    nn.init.constant_(model[4].bias, 0.5)
    return Case(model, amounts, nn.MSELoss(), adam(3e-3))


@clean("Targets between -1 and 1 through tanh.")
def tanh_for_signed() -> Case:
    def signed(step: int) -> tuple[Tensor, Tensor]:
        x, y = curve()(step)
        return x, torch.tanh(2 * y)

    return Case(nn.Sequential(*perceptron(8, 1, nn.ReLU), nn.Tanh()), signed, nn.MSELoss(), adam(3e-3))


@clean("Targets between 0 and 1 through a sigmoid, under squared error.")
def sigmoid_for_shares() -> Case:
    def shares(step: int) -> tuple[Tensor, Tensor]:
        x, y = curve(8, 3)(step)
        return x, torch.sigmoid(2 * y)

    return Case(nn.Sequential(*perceptron(8, 3, nn.ReLU), nn.Sigmoid()), shares, nn.MSELoss(), adam(3e-3))


@clean("A scaled tanh reaches targets from -5 to 5.")
def scaled_tanh() -> Case:
    return Case(ScaledTanh(), curve(scale=1.5), nn.SmoothL1Loss(), adam(3e-3))


class ScaledTanh(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = Perceptron(8, 1)

    def forward(self, x: Tensor) -> Tensor:
        return 8 * torch.tanh(self.body(x) / 8)


@clean("Nine quantiles of a regression at once.")
def quantiles() -> Case:
    levels = torch.arange(1, 10) / 10

    def loss(predicted: Tensor, y: Tensor) -> Tensor:
        short = y - predicted
        return torch.maximum(levels * short, (levels - 1) * short).mean()

    return Case(perceptron(8, 9, nn.SiLU), curve(), loss, adam(0.01))


@clean("Ordinal regression: sigmoids of one score against ordered thresholds, under binary cross-entropy.")
def ordinal() -> Case:
    def grades(step: int) -> tuple[Tensor, Tensor]:
        x, y = curve()(step)
        return x, (y > torch.tensor([-0.5, 0.0, 0.5])).float()

    return Case(Ordinal(), grades, F.binary_cross_entropy, adam(3e-3))


class Ordinal(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body, self.borders = Perceptron(8, 1), nn.Parameter(torch.tensor([0.5, 0.0, -0.5]))

    def forward(self, x: Tensor) -> Tensor:
        return torch.sigmoid(self.body(x) + self.borders)


@clean("Survival: Cox's partial likelihood is a log of sums over the batch, by design.")
def survival() -> Case:
    def times(step: int) -> tuple[Tensor, Tensor]:
        x, y = curve()(step)
        return x, -y - torch.empty_like(y).exponential_(generator=seeded(15000 + step)).log()

    def loss(risk: Tensor, time: Tensor) -> Tensor:
        ordered = risk[time[:, 0].argsort(descending=True), 0]
        return -(ordered - ordered.logcumsumexp(0)).mean()

    return Case(perceptron(8, 1, nn.ELU), times, loss, adam(3e-3))


@clean("Contrastive: cross-entropy over the batch, of cosines at a temperature; the class is the example itself.")
def contrastive() -> Case:
    def pairs(step: int) -> tuple[Tensor, Tensor]:
        x, _ = blobs()(step)
        noise = 0.3 * normal(2, *x.shape, seed=16000 + step)
        return torch.cat([x + noise[0], x + noise[1]]), torch.arange(len(x))

    def loss(output: Tensor, same: Tensor) -> Tensor:
        one, two = F.normalize(output, dim=1).chunk(2)
        return F.cross_entropy(one @ two.T / 0.1, same)

    return Case(perceptron(16, 16, nn.ReLU), pairs, loss)


@clean("A siamese network with a triplet loss: the same weights see three inputs.")
def triplets() -> Case:
    def three(step: int) -> tuple[tuple[Tensor, Tensor, Tensor], Tensor]:
        x, y = blobs(classes=2)(step)
        order = y.argsort(stable=True)
        x, y = x[order], y[order]
        near = torch.where((y == 0)[:, None], x.roll(1, 0), x.roll(-1, 0))
        return (x, near, x.flip(0)), y

    return Case(Siamese(), three, lambda three, _: F.triplet_margin_loss(*three), adam(3e-3))


class Siamese(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = perceptron(16, 8, nn.PReLU)

    def forward(self, one: Tensor, near: Tensor, far: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return self.body(one), self.body(near), self.body(far)


@clean("A hinge loss on raw scores.")
def hinge() -> Case:
    return Case(perceptron(16, 4, nn.Tanh), blobs(), nn.MultiMarginLoss(), adam(3e-3))


@clean("Dice loss on a sigmoid map, with binary cross-entropy on the logits beside it.")
def dice_and_entropy() -> Case:
    from corpus.mutants_output import masks

    def loss(z: Tensor, y: Tensor) -> Tensor:
        p = torch.sigmoid(z)
        dice = 1 - (2 * (p * y).sum() + 1) / (p.sum() + y.sum() + 1)
        return dice + F.binary_cross_entropy_with_logits(z, y)

    model = nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 1, 3, padding=1))
    return Case(model, masks, loss, adam(0.01))


@clean("Per-pixel classes: cross-entropy with the classes on axis 1 of four.")
def pixel_classes() -> Case:
    def levels(step: int) -> tuple[Tensor, Tensor]:
        x, _ = pictures()(step)
        return x, torch.bucketize(F.avg_pool2d(x, 3, 1, 1)[:, 0], torch.tensor([-0.3, 0.3]))

    model = nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 3, 3, padding=1), nn.LogSoftmax(dim=1)
    )
    return Case(model, levels, nn.NLLLoss(), adam(0.01))


@clean("Two tasks from one trunk: a class by cross-entropy and a number by squared error.")
def two_heads() -> Case:
    def data(step: int) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        x, y = blobs()(step)
        return x, (y, x[:, :1] * x[:, 1:2])

    return Case(Heads(), data, lambda out, y: F.cross_entropy(out[0], y[0]) + F.mse_loss(out[1], y[1]), adam(3e-3))


class Heads(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.trunk, self.kind, self.amount = nn.Linear(16, 48), nn.Linear(48, 4), nn.Linear(48, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        h = F.mish(self.trunk(x))
        return self.kind(h), self.amount(h)


@clean("Physics-informed: a tanh network whose loss differentiates it twice.")
def physics_informed() -> Case:
    def points(step: int) -> tuple[Tensor, Tensor]:
        x = torch.rand(64, 1, generator=seeded(17000 + step)) * 3.1416
        return x.requires_grad_(), torch.sin(x.detach())

    return Case(
        Oscillates(), points, lambda out, y: (out[1] + y).square().mean() + out[0][:1].square().mean(), adam(0.01)
    )


class Oscillates(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(1, 24), nn.Tanh(), nn.Linear(24, 24), nn.Tanh(), nn.Linear(24, 1))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        with torch.enable_grad():
            x = x if x.requires_grad else x.clone().requires_grad_()
            u = self.body(x)
            (first,) = torch.autograd.grad(u.sum(), x, create_graph=True)
            (second,) = torch.autograd.grad(first.sum(), x, create_graph=True)
        return u, second


@clean("A sparse autoencoder: few units fire, and a penalty keeps it so.")
def sparse_autoencoder() -> Case:
    def loss(output: tuple[Tensor, Tensor], x: Tensor) -> Tensor:
        back, code = output
        return F.mse_loss(back, x) + 0.01 * code.abs().mean()

    return Case(Sparse(), reconstruct(blobs()), loss, adam(3e-3))


class Sparse(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.enter, self.leave = nn.Linear(16, 64), nn.Linear(64, 16)
        nn.init.constant_(self.enter.bias, -0.5)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        code = F.relu(self.enter(x))
        return self.leave(code), code


@clean("Negative sampling on word vectors: log-sigmoid of dot products, no hidden layer.")
def word_vectors() -> Case:
    def pairs(step: int) -> tuple[tuple[Tensor, Tensor], Tensor]:
        text, after = tokens()(step)
        wrong = torch.randint(20, after.shape, generator=seeded(18000 + step))
        return (text.flatten(), torch.stack([after.flatten(), wrong.flatten()], 1)), torch.tensor([1.0, -1.0])

    return Case(Vectors(), pairs, lambda dots, sign: -F.logsigmoid(sign * dots).mean(), adam(0.03))


class Vectors(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inside, self.outside = nn.Embedding(20, 16), nn.Embedding(20, 16)
        nn.init.zeros_(self.outside.weight)

    def forward(self, word: Tensor, others: Tensor) -> Tensor:
        return (self.outside(others) @ self.inside(word)[:, :, None])[:, :, 0]


@clean("Matrix factorisation: the product of two embeddings, squared error.")
def matrix_factors() -> Case:
    def ratings(step: int) -> tuple[tuple[Tensor, Tensor], Tensor]:
        who, what = torch.randint(20, (2, 128), generator=seeded(19000 + step)).unbind(0)
        people, things = normal(20, 3, seed=41), normal(20, 3, seed=42)
        return (who, what), (people[who] * things[what]).sum(1, keepdim=True)

    return Case(Factors(), ratings, nn.MSELoss(), adam(0.03))


class Factors(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.who, self.what = nn.Embedding(20, 8), nn.Embedding(20, 8)
        nn.init.normal_(self.who.weight, std=0.3)
        nn.init.normal_(self.what.weight, std=0.3)

    def forward(self, who: Tensor, what: Tensor) -> Tensor:
        return (self.who(who) * self.what(what)).sum(1, keepdim=True)
