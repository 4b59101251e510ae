"""C: correct generative models and reinforcement learning, each with the training loop that it needs."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from corpus.data import blobs, normal, pictures, reconstruct, seeded
from corpus.optimisers import adam
from corpus.program import Case, clean
from corpus.skeletons import perceptron

Tell = Callable[[Tensor], None]


class Adversaries(nn.Module):
    """A generator and a critic; forward judges what the generator makes of noise."""

    def __init__(self, critic_end: nn.Module) -> None:
        super().__init__()
        self.generator = nn.Sequential(nn.Linear(4, 32), nn.ReLU(), nn.Linear(32, 16))
        self.critic = nn.Sequential(nn.Linear(16, 32), nn.LeakyReLU(0.2), nn.Linear(32, 1), critic_end)

    def forward(self, noise: Tensor) -> Tensor:
        return self.critic(self.generator(noise))


def noise(step: int) -> tuple[Tensor, Tensor]:
    return normal(64, 4, seed=21000 + step), torch.ones(64, 1)


def duel(case: Case, tell: Tell) -> None:
    """The critic learns to tell, the generator to deceive, in turn."""
    model = case.model
    makes = torch.optim.Adam(model.generator.parameters(), lr=1e-3, betas=(0.5, 0.999))
    judges = torch.optim.Adam(model.critic.parameters(), lr=1e-3, betas=(0.5, 0.999))
    for step in range(40):
        (z, ones), (real, _) = case.data(step), blobs()(step)
        made = model.generator(z)
        judges.zero_grad()
        told = case.loss(model.critic(real), ones) + case.loss(model.critic(made.detach()), 0 * ones)
        told.backward()
        judges.step()
        makes.zero_grad()
        case.loss(model(z), ones).backward()
        makes.step()
        tell(told)


@clean("A GAN on logits: neither loss need fall.")
def gan_logits() -> Case:
    return Case(Adversaries(nn.Identity()), noise, F.binary_cross_entropy_with_logits, adam(), duel)


@clean("A GAN whose critic ends in a sigmoid, under binary cross-entropy.")
def gan_sigmoid() -> Case:
    return Case(Adversaries(nn.Sigmoid()), noise, F.binary_cross_entropy, adam(), duel)


class Variational(nn.Module):
    def __init__(self, *, binary: bool) -> None:
        super().__init__()
        self.enter, self.mean, self.log_variance = nn.Linear(64, 32), nn.Linear(32, 4), nn.Linear(32, 4)
        self.middle, self.leave, self.binary = nn.Linear(4, 32), nn.Linear(32, 64), binary

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        h = F.relu(self.enter(x))
        mean, log_variance = self.mean(h), self.log_variance(h)
        code = mean + torch.exp(0.5 * log_variance) * torch.randn_like(mean)
        back = self.leave(F.relu(self.middle(code)))
        return torch.sigmoid(back) if self.binary else back, mean, log_variance


def towards_normal(mean: Tensor, log_variance: Tensor) -> Tensor:
    return -0.5 * (1 + log_variance - mean**2 - log_variance.exp()).sum(1).mean()


def dots(step: int) -> tuple[Tensor, Tensor]:
    x = (pictures()(step)[0].flatten(1) > 0).float()
    return x, x


@clean("A VAE of black-and-white pictures: its codes are linear on purpose, its output is a sigmoid.")
def vae_binary() -> Case:
    def loss(output: tuple[Tensor, Tensor, Tensor], x: Tensor) -> Tensor:
        return 64 * F.binary_cross_entropy(output[0], x) + towards_normal(*output[1:])

    return Case(Variational(binary=True), dots, loss, adam(3e-3))


def greys(step: int) -> tuple[Tensor, Tensor]:
    x = pictures()(step)[0].flatten(1)
    return x, x


@clean("A VAE of standardised pictures under squared error.")
def vae_gaussian() -> Case:
    def loss(output: tuple[Tensor, Tensor, Tensor], x: Tensor) -> Tensor:
        return 64 * F.mse_loss(output[0], x) + towards_normal(*output[1:])

    return Case(Variational(binary=False), greys, loss, adam(3e-3))


class Coupling(nn.Module):
    """One step of a normalising flow; its last layer starts at 0, its scale passes tanh."""

    def __init__(self, flip: bool) -> None:
        super().__init__()
        self.net, self.flip = nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 16)), flip
        nn.init.zeros_(self.net[2].weight)
        nn.init.zeros_(self.net[2].bias)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        kept, moved = x.chunk(2, dim=1)[:: -1 if self.flip else 1]
        scale, shift = self.net(kept).chunk(2, dim=1)
        scale = torch.tanh(scale)
        parts = (kept, moved * scale.exp() + shift)
        return torch.cat(parts[:: -1 if self.flip else 1], dim=1), scale.sum(1)


class Flow(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.steps = nn.ModuleList([Coupling(flip) for flip in (False, True, False, True)])

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        volume = x.new_zeros(len(x))
        for step in self.steps:
            x, change = step(x)
            volume = volume + change
        return x, volume


@clean("A normalising flow that starts as the identity.")
def normalising_flow() -> Case:
    def loss(output: tuple[Tensor, Tensor], x: Tensor) -> Tensor:
        z, volume = output
        return (0.5 * z.square().sum(1) - volume).mean()

    return Case(Flow(), reconstruct(blobs()), loss, adam(3e-3))


@clean("Denoising diffusion: the target is the noise, the network knows the time.")
def diffusion() -> Case:
    def noised(step: int) -> tuple[tuple[Tensor, Tensor], Tensor]:
        x, _ = blobs()(step)
        time = torch.rand(len(x), 1, generator=seeded(22000 + step))
        added = normal(*x.shape, seed=23000 + step)
        return ((1 - time).sqrt() * x + time.sqrt() * added, time), added

    return Case(Denoises(), noised, nn.MSELoss(), adam(3e-3))


class Denoises(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.enter, self.when, self.leave = nn.Linear(16, 64), nn.Linear(1, 64), nn.Linear(64, 16)

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        return self.leave(F.silu(self.enter(x) + self.when(time)))


@clean("A vector-quantised autoencoder with a straight-through gradient.")
def vector_quantised() -> Case:
    def loss(output: tuple[Tensor, Tensor, Tensor], x: Tensor) -> Tensor:
        back, code, chosen = output
        return F.mse_loss(back, x) + F.mse_loss(chosen, code.detach()) + 0.25 * F.mse_loss(code, chosen.detach())

    return Case(Quantises(), reconstruct(blobs()), loss, adam(3e-3))


class Quantises(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.enter = nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 4))
        self.book, self.leave = nn.Embedding(16, 4), nn.Sequential(nn.Linear(4, 32), nn.ReLU(), nn.Linear(32, 16))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        code = self.enter(x)
        chosen = self.book(torch.cdist(code, self.book.weight).argmin(1))
        return self.leave(code + (chosen - code).detach()), code, chosen


def states(step: int) -> Tensor:
    return normal(64, 4, seed=24000 + step)


def reward(state: Tensor, action: Tensor) -> Tensor:
    """1 for the action that the state asks for, else 0."""
    return (action == (state[:, 0] > 0).long() + (state[:, 1] > 0).long()).float()


def chances(logits: Tensor, step: int) -> Tensor:
    return torch.multinomial(logits.detach().softmax(-1), 1, generator=seeded(25000 + step))[:, 0]


class Policy(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = perceptron(4, 3, nn.Tanh)

    def forward(self, state: Tensor) -> Tensor:
        return self.body(state)


def walks(step: int) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    state = states(step)
    action = torch.randint(3, (64,), generator=seeded(26000 + step))
    return state, (action, reward(state, action))


def reinforce_loss(logits: Tensor, told: tuple[Tensor, Tensor]) -> Tensor:
    action, paid = told
    return F.cross_entropy(logits, action, reduction="none").mul(paid - paid.mean()).mean()


def acts(case: Case, tell: Tell) -> None:
    """Draws actions from the policy itself, and learns from what they pay."""
    optimiser = case.optimiser(case.model)
    for step in range(40):
        state = states(step)
        logits = case.model(state)
        action = chances(logits, step)
        loss = case.loss(logits, (action, reward(state, action)))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        tell(loss)


@clean("REINFORCE: a loss that hovers around 0 while the policy improves.")
def reinforce() -> Case:
    return Case(Policy(), walks, reinforce_loss, adam(3e-3), acts)


class ActorCritic(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.trunk, self.actor, self.critic = nn.Linear(4, 64), nn.Linear(64, 3), nn.Linear(64, 1)

    def forward(self, state: Tensor) -> tuple[Tensor, Tensor]:
        h = F.relu(self.trunk(state))
        return F.log_softmax(self.actor(h), dim=-1), self.critic(h)


def actor_critic_loss(output: tuple[Tensor, Tensor], told: tuple[Tensor, Tensor]) -> Tensor:
    (logs, value), (action, paid) = output, told
    better = paid - value[:, 0].detach()
    entropy = -(logs.exp() * logs).sum(1).mean()
    return -(logs.gather(1, action[:, None])[:, 0] * better).mean() + F.mse_loss(value[:, 0], paid) - 0.01 * entropy


@clean("Actor and critic on one trunk: log_softmax chosen by action, a bonus for entropy.")
def actor_critic() -> Case:
    return Case(ActorCritic(), walks, actor_critic_loss, adam(3e-3))


class Values(nn.Module):
    """A network of values and the old copy that gives its targets."""

    def __init__(self) -> None:
        super().__init__()
        self.now, self.old = perceptron(4, 3, nn.ReLU), perceptron(4, 3, nn.ReLU).requires_grad_(False)
        self.old.load_state_dict(self.now.state_dict())

    def forward(self, state: Tensor, action: Tensor, later: Tensor) -> tuple[Tensor, Tensor]:
        with torch.no_grad():
            best = self.old(later).amax(1)
        return self.now(state).gather(1, action[:, None])[:, 0], best


def transitions(step: int) -> tuple[tuple[Tensor, Tensor, Tensor], Tensor]:
    state, (action, paid) = walks(step)
    return (state, action, states(step + 500)), paid


@clean("Deep Q-learning: a frozen copy of the network gives the targets.")
def deep_q() -> Case:
    def loss(output: tuple[Tensor, Tensor], paid: Tensor) -> Tensor:
        value, best = output
        return F.smooth_l1_loss(value, paid + 0.5 * best)

    def optimiser(model: nn.Module) -> torch.optim.Optimizer:
        return torch.optim.Adam(model.now.parameters(), lr=3e-3)

    return Case(Values(), transitions, loss, optimiser)


class Squashed(nn.Module):
    """A policy for continuous actions between -1 and 1 by a deviation that is learned."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.log_deviation = perceptron(4, 2, nn.Tanh), nn.Parameter(torch.full((2,), -0.5))

    def forward(self, state: Tensor) -> tuple[Tensor, Tensor]:
        return torch.tanh(self.body(state)), self.log_deviation.exp()


@clean("Proximal policy optimisation of a tanh policy: the ratio is clipped, so its gradient is 0 at times.")
def clipped_policy() -> Case:
    def data(step: int) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        state = states(step)
        action = normal(64, 2, seed=27000 + step).clamp(-2, 2)
        return state, (action, -(action - state[:, :2].clamp(-1, 1)).square().sum(1))

    def loss(output: tuple[Tensor, Tensor], told: tuple[Tensor, Tensor]) -> Tensor:
        (mean, deviation), (action, paid) = output, told
        logs = (-0.5 * ((action - mean) / deviation) ** 2 - deviation.log()).sum(1)
        ratio, better = (logs + 0.5 * action.square().sum(1)).clamp(-5, 5).exp(), (paid - paid.mean()) / paid.std()
        return -torch.minimum(ratio * better, ratio.clamp(0.8, 1.2) * better).mean()

    return Case(Squashed(), data, loss, adam(3e-3))
