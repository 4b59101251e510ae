"""C: right programs whose layers, gradients or weights look at fault, but are so by design."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.distributions import Normal
from torch.nn import functional as F

from corpus.data import blobs, curve, normal, pictures, seeded, token_classes
from corpus.program import Case, clean


class Bottleneck(nn.Module):
    """An inverted residual, whose projection back is linear."""

    def __init__(self, narrow: int, width: int, out: int) -> None:
        super().__init__()
        self.expand, self.project = nn.Conv2d(narrow, width, 1, bias=False), nn.Conv2d(width, out, 1, bias=False)
        self.depthwise = nn.Conv2d(width, width, 3, padding=1, groups=width, bias=False)
        self.norms = nn.ModuleList([nn.BatchNorm2d(each) for each in (width, width, out)])

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu6(self.norms[0](self.expand(x)))
        x = F.relu6(self.norms[1](self.depthwise(x)))
        return self.norms[2](self.project(x))


@clean("Linear bottlenecks: a projection of one block before the expansion of the next, wider one.")
def linear_bottlenecks() -> Case:
    blocks = [Bottleneck(8, 32, 12), Bottleneck(12, 12, 24), Bottleneck(24, 48, 32)]
    head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 4)]
    return Case(nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.ReLU6(), *blocks, *head), pictures(), F.cross_entropy)


class Projected(nn.Module):
    """Projects each token, then classifies the mean."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.encoder = nn.Embedding(20, 16), nn.GRU(16, 24, batch_first=True)
        self.projector, self.classifier = nn.Linear(24, 32), nn.Linear(32, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.projector(self.encoder(self.embed(x))[0]).mean(1))


@clean("A linear projector, the mean over the tokens, a linear classifier.")
def projector_mean_classifier() -> Case:
    return Case(Projected(), token_classes(), F.cross_entropy)


class Talking(nn.Module):
    """Attention whose heads are mixed before and after the softmax, by 1x1 convolutions or by a matrix."""

    def __init__(self, how: str) -> None:
        super().__init__()
        self.embed, self.qkv, self.out = nn.Embedding(20, 32), nn.Linear(32, 96), nn.Linear(32, 32)
        self.before, self.after, self.norm = nn.Conv2d(4, 4, 1), nn.Conv2d(4, 4, 1), nn.LayerNorm(32)
        self.mix, self.classifier, self.how = (
            nn.Parameter(torch.eye(4) + 0.1 * normal(4, 4, seed=5)),
            nn.Linear(32, 3),
            how,
        )

    def forward(self, x: Tensor) -> Tensor:
        x = self.embed(x)
        q, k, v = (each.unflatten(-1, (4, 8)).transpose(1, 2) for each in self.qkv(x).chunk(3, -1))
        scores = q @ k.transpose(-1, -2) / 8**0.5
        if self.how == "convolution":
            weights = self.after(self.before(scores).softmax(-1))
        else:
            weights = torch.einsum("b h i j, h g -> b g i j", scores.softmax(-1), self.mix)
        mixed = torch.einsum("b h i j, b h j d -> b i h d", weights, v).flatten(2)
        return self.classifier(self.norm(x + self.out(mixed)).mean(1))


@clean("Talking heads: convolutions over the heads around the softmax along the keys.")
def heads_mixed_by_convolutions() -> Case:
    return Case(Talking("convolution"), token_classes(), F.cross_entropy)


@clean("Re-attention: a matrix mixes the heads of the attention weights.")
def reattention() -> Case:
    return Case(Talking("matrix"), token_classes(), F.cross_entropy)


class Policy(nn.Module):
    """The mean of an action within its bounds, and the logarithm of its deviation."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.mean = nn.Sequential(nn.Linear(8, 32), nn.Tanh()), nn.Linear(32, 2)
        self.log_std = nn.Parameter(torch.zeros(2))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return torch.tanh(self.mean(self.body(x))), self.log_std.exp().expand(len(x), 2)


def drawn(step: int) -> tuple[Tensor, tuple[Tensor, Tensor, Tensor]]:
    """States; actions drawn around a mean, some beyond its range; their log-probabilities and advantages."""
    chance = seeded(900 + step)
    states = torch.randn(64, 8, generator=chance)
    actions = 0.3 * states[:, :2] + torch.randn(64, 2, generator=chance)
    old = Normal(0.3 * states[:, :2], 1.0).log_prob(actions).sum(-1)
    return states, (actions, old, torch.randn(64, generator=chance))


def clipped(output: tuple[Tensor, Tensor], batch: tuple[Tensor, Tensor, Tensor]) -> Tensor:
    actions, old, advantages = batch
    ratio = (Normal(*output).log_prob(actions).sum(-1) - old).exp()
    return -torch.min(ratio * advantages, ratio.clamp(0.8, 1.2) * advantages).mean()


@clean("PPO: actions are drawn around a mean behind tanh, also beyond its range.")
def proximal_policy() -> Case:
    return Case(Policy(), drawn, clipped)


def with_returns(output: tuple[Tensor, Tensor], batch: tuple[Tensor, Tensor, Tensor]) -> Tensor:
    actions, _, advantages = batch
    return -(Normal(*output).log_prob(actions).sum(-1) * advantages.exp()).mean()


@clean("REINFORCE with positive returns: actions are drawn around a mean behind tanh.")
def policy_gradient() -> Case:
    return Case(Policy(), drawn, with_returns)


class Actor(nn.Module):
    """A squashed Gaussian whose log-deviation is clamped, and a frozen critic."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.mean, self.log_std = (
            nn.Sequential(nn.Linear(8, 32), nn.ReLU()),
            nn.Linear(32, 2),
            nn.Linear(32, 2),
        )
        self.critic = nn.Sequential(nn.Linear(10, 32), nn.ReLU(), nn.Linear(32, 1)).requires_grad_(False)

    def forward(self, x: Tensor) -> Tensor:
        h = self.body(x)
        log_std = torch.clamp(self.log_std(h), min=-20, max=2)
        around = Normal(self.mean(h), log_std.exp())
        drawn = around.rsample()
        action = torch.tanh(drawn)
        log_prob = around.log_prob(drawn) - torch.log(1 - action.pow(2) + 1e-6)
        return 0.2 * log_prob.sum(1) - self.critic(torch.cat([x, action], 1)).squeeze(1)


@clean("SAC: the deviation is the exponential of a clamped number.")
def squashed_gaussian_actor() -> Case:
    return Case(Actor(), curve(), lambda output, _: output.mean())


class Detached(nn.Module):
    """Pretrained embeddings that are kept as they are."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.hidden, self.out = nn.Embedding(20, 16), nn.Linear(16, 32), nn.Linear(32, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(F.relu(self.hidden(self.embed(x).detach())).mean(1))


@clean("Embeddings that are detached, though the optimizer holds them.")
def detached_embeddings() -> Case:
    return Case(Detached(), token_classes(), F.cross_entropy)


class Critic(nn.Module):
    """A critic's step of a GAN, whose generator is detached."""

    def __init__(self) -> None:
        super().__init__()
        self.generator = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 8))
        self.critic = nn.Sequential(nn.Linear(8, 32), nn.LeakyReLU(0.2), nn.Linear(32, 1))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.critic(x), self.critic(self.generator(torch.randn(len(x), 4)).detach())


def judged(scores: tuple[Tensor, Tensor], _: Tensor) -> Tensor:
    real, fake = scores
    return F.softplus(-real).mean() + F.softplus(fake).mean()


@clean("The critic's step of a GAN, with one optimizer for both networks.")
def critic_step() -> Case:
    return Case(Critic(), curve(), judged)


class Refined(nn.Module):
    """Residual branches that begin very small on purpose."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.out = nn.Linear(16, 32), nn.Linear(32, 4)
        self.branches = nn.ModuleList(
            nn.Sequential(*(part for _ in range(3) for part in (nn.Linear(32, 32), nn.SiLU())), nn.Linear(32, 32))
            for _ in range(2)
        )
        for weight in self.branches.parameters():
            nn.init.normal_(weight, std=1e-3)

    def forward(self, x: Tensor) -> Tensor:
        x = F.silu(self.first(x))
        for branch in self.branches:
            x = x + branch(x)
        return self.out(x)


@clean("Residual branches with weights of 0.001.")
def small_branches() -> Case:
    return Case(Refined(), blobs(), F.cross_entropy)
