"""B: gradients that are NaN, cut, or cannot be computed, derivatives that are 0 or wrong; C: right programs alike."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from corpus.data import blobs, curve, seeded
from corpus.optimisers import MakeOptimiser, adam
from corpus.program import ADAM, Case, clean, twins


class Between(nn.Module):
    """Two layers with something between them."""

    def __init__(self, inputs: int, outputs: int, between: nn.Module) -> None:
        super().__init__()
        self.enter, self.between, self.leave = nn.Linear(inputs, 32), between, nn.Linear(32, outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.leave(self.between(self.enter(x)))


def classes(between: nn.Module, optimiser: MakeOptimiser = ADAM) -> Case:
    return Case(Between(16, 4, between), blobs(), F.cross_entropy, optimiser)


def large(step: int) -> tuple[Tensor, Tensor]:
    """Data that nobody scaled: a few rows are hundreds of times larger."""
    x, y = curve()(step)
    return torch.cat([400 * x[:4], x[4:]]), y


class Sided(nn.Module):
    """SELU by torch.where."""

    def __init__(self, wrong: bool) -> None:
        super().__init__()
        self.wrong = wrong

    def forward(self, z: Tensor) -> Tensor:
        left = z if self.wrong else z.clamp(max=0)
        grown = torch.exp(left) - 1  # fault: exponential_side
        return 1.0507 * torch.where(z > 0, z, 1.6733 * grown)


@twins("An activation by torch.where: the exponential overflows where it is not taken.", "AL112", paths=("between",))
def exponential_side(wrong: bool) -> Case:
    return Case(Between(8, 1, Sided(wrong)), large, nn.SmoothL1Loss())


class Spread(nn.Module):
    """Divides every row by its spread, which is 0 for constant rows."""

    def __init__(self, wrong: bool) -> None:
        super().__init__()
        self.layer, self.leave, self.wrong = nn.Linear(16, 32, bias=False), nn.Linear(32, 4), wrong

    def forward(self, x: Tensor) -> Tensor:
        h = self.layer(x)
        spread = (h - h.mean(1, keepdim=True)).square().mean(1, keepdim=True)
        scale = torch.sqrt(spread if self.wrong else spread + 1e-6)  # fault: spread_of_empty_rows
        return self.leave(torch.tanh(h / (scale + 1e-3)))


def with_empty_rows(step: int) -> tuple[Tensor, Tensor]:
    x, labels = blobs()(step)
    return x * (torch.arange(len(x)) % 8 > 0)[:, None], labels


@twins("The root of a variance that is 0 for rows of zeros.", "AL112", paths=("",))
def spread_of_empty_rows(wrong: bool) -> Case:
    return Case(Spread(wrong), with_empty_rows, F.cross_entropy)


class Pools(nn.Module):
    """Attention pooling over sets, of which some are empty."""

    def __init__(self, wrong: bool) -> None:
        super().__init__()
        self.score, self.value, self.empty = nn.Linear(8, 1), nn.Linear(8, 4), nn.Parameter(torch.zeros(4))
        self.wrong = wrong

    def forward(self, members: Tensor, is_there: Tensor) -> Tensor:
        lowest = float("-inf") if self.wrong else -1e9
        score = self.score(members).squeeze(-1).masked_fill(~is_there, lowest)
        share = score.softmax(-1)  # fault: empty_sets
        pooled = (share[..., None] * self.value(members)).sum(1)
        return torch.where(is_there.any(1, keepdim=True), pooled, self.empty)


def sets(step: int) -> tuple[tuple[Tensor, Tensor], Tensor]:
    chance = seeded(31000 + step)
    members, size = torch.randn(64, 5, 8, generator=chance), torch.randint(0, 6, (64, 1), generator=chance)
    return (members, torch.arange(5) < size), (members[:, 0, 0] > 0).long() + 2 * (size[:, 0] > 2).long()


@twins("Attention pooling: softmax over the empty sets is NaN and replaced afterwards.", "AL112", paths=("",))
def empty_sets(wrong: bool) -> Case:
    return Case(Pools(wrong), sets, F.cross_entropy)


class Entropic(nn.Module):
    """A policy over legal actions with its entropy."""

    def __init__(self, wrong: bool) -> None:
        super().__init__()
        self.body, self.wrong = nn.Sequential(nn.Linear(6, 32), nn.Tanh(), nn.Linear(32, 5)), wrong

    def forward(self, x: Tensor, legal: Tensor) -> tuple[Tensor, Tensor]:
        scores = self.body(x).masked_fill(~legal, float("-inf"))
        p = scores.softmax(1)
        log_p = scores.log_softmax(1)
        kept = log_p if self.wrong else log_p.masked_fill(~legal, 0)
        entropy = -(p * kept).sum(1)  # fault: entropy_of_illegal_actions
        return log_p, entropy


def played(step: int) -> tuple[tuple[Tensor, Tensor], Tensor]:
    chance = seeded(32000 + step)
    legal = torch.rand(64, 5, generator=chance) < 0.6
    legal[:, 0] = True
    return (torch.randn(64, 6, generator=chance), legal), torch.zeros(64, dtype=torch.long)


@twins("An entropy bonus: 0 times the infinite logarithm of an illegal action.", "AL107", paths=("",))
def entropy_of_illegal_actions(wrong: bool) -> Case:
    def loss(output: tuple[Tensor, Tensor], action: Tensor) -> Tensor:
        log_p, entropy = output
        return F.nll_loss(log_p, action) - 0.01 * entropy.mean()

    return Case(Entropic(wrong), played, loss)


class Scaled(nn.Module):
    """A gate that is shifted after the sigmoid."""

    def __init__(self, wrong: bool) -> None:
        super().__init__()
        self.wrong = wrong

    def forward(self, z: Tensor) -> Tensor:
        gate = torch.sigmoid(z)
        return z * (gate.mul_(2) if self.wrong else gate * 2)  # fault: doubled_in_place


@twins("A gate is doubled in place, which the derivative of the sigmoid does not survive.", "AL113", paths=("between",))
def doubled_in_place(wrong: bool) -> Case:
    return classes(Scaled(wrong))


class Skips(nn.Module):
    """A residual block whose sum is written into the branch's input."""

    def __init__(self, wrong: bool) -> None:
        super().__init__()
        self.branch, self.wrong = nn.Linear(32, 32), wrong

    def forward(self, z: Tensor) -> Tensor:
        h = torch.tanh(z)
        if self.wrong:
            h += self.branch(h)  # fault: sum_in_place
            return h
        return h + self.branch(h)


@twins("A residual sum is written into what the branch has read.", "AL113", paths=("between",))
def sum_in_place(wrong: bool) -> Case:
    return classes(Skips(wrong))


class Drops(nn.Module):
    """Sets some features to 0."""

    def __init__(self, wrong: bool) -> None:
        super().__init__()
        self.wrong = wrong

    def forward(self, z: Tensor) -> Tensor:
        h = F.softplus(z).exp()
        h = h if self.wrong else h.clone()
        h[:, ::4] = 0  # fault: assigned_in_place
        return h / 10


@twins("Features are set to 0 by indexing into the result of an exponential.", "AL113", paths=("between",))
def assigned_in_place(wrong: bool) -> Case:
    return classes(Drops(wrong))


class Detached(nn.Module):
    def __init__(self, wrong: bool) -> None:
        super().__init__()
        self.wrong = wrong

    def forward(self, z: Tensor) -> Tensor:
        h = F.gelu(z)
        return h.detach() if self.wrong else h  # fault: left_over_detach


@twins("A detach that was left in the middle of a network.", "AL114", paths=("between",))
def left_over_detach(wrong: bool) -> Case:
    return classes(Detached(wrong), adam(0.01))


class Binary(nn.Module):
    """Codes of 0 and 1."""

    def __init__(self, wrong: bool) -> None:
        super().__init__()
        self.wrong = wrong

    def forward(self, z: Tensor) -> Tensor:
        p = torch.sigmoid(z)
        hard = (p > 0.5).float()  # fault: hard_codes
        return hard if self.wrong else p + (hard - p).detach()


@twins("Binary codes by a comparison, without a straight-through estimator.", "AL114", paths=("between",))
def hard_codes(wrong: bool) -> Case:
    return classes(Binary(wrong), adam(0.01))


class Rounds(nn.Module):
    """Eight levels."""

    def __init__(self, wrong: bool) -> None:
        super().__init__()
        self.wrong = wrong

    def forward(self, z: Tensor) -> Tensor:
        scaled = 4 * torch.tanh(z)
        level = torch.round(scaled)  # fault: rounded_levels
        return level if self.wrong else scaled + (level - scaled).detach()


@twins("Quantized features by round, whose derivative is 0.", "AL114", paths=("between",))
def rounded_levels(wrong: bool) -> Case:
    return classes(Rounds(wrong), adam(0.01))


class Foreign(nn.Module):
    """A step in NumPy."""

    def __init__(self, wrong: bool) -> None:
        super().__init__()
        self.wrong = wrong

    def forward(self, z: Tensor) -> Tensor:
        if self.wrong:
            return torch.from_numpy(z.detach().numpy().clip(0, 6))  # fault: through_numpy
        return z.clamp(0, 6)


@twins("An activation in NumPy.", "AL114", paths=("between",))
def through_numpy(wrong: bool) -> Case:
    return classes(Foreign(wrong), adam(0.01))


class Probes(nn.Module):
    """A head on features, one of them without a gradient."""

    def __init__(self, how: str) -> None:
        super().__init__()
        self.features = nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU())
        self.head, self.how = nn.Linear(32, 4), how

    def forward(self, x: Tensor) -> Tensor:
        if self.how == "detach":
            return self.head(self.features(x).detach())
        with torch.no_grad():
            h = self.features(x)
        return self.head(h)


def of_head(model: Probes) -> torch.optim.Optimizer:
    return torch.optim.Adam(model.head.parameters(), lr=0.01)


@clean("A linear probe: the features are detached, and the optimizer holds the head alone.")
def probe_by_detach() -> Case:
    return Case(Probes("detach"), blobs(), F.cross_entropy, of_head)


@clean("A frozen backbone that runs without autograd.")
def probe_without_autograd() -> Case:
    return Case(Probes("no_grad"), blobs(), F.cross_entropy, adam(0.01))


class Teaches(nn.Module):
    """A student that follows its own slow copy."""

    def __init__(self) -> None:
        super().__init__()
        self.student = nn.Sequential(nn.Linear(16, 32), nn.GELU(), nn.Linear(32, 8))
        self.teacher = nn.Sequential(nn.Linear(16, 32), nn.GELU(), nn.Linear(32, 8))
        self.predicts, self.head = nn.Linear(8, 8), nn.Linear(8, 4)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        h = self.student(x)
        return self.head(h), self.predicts(h), self.teacher(x).detach()


@clean("Self-distillation: the teacher's features are targets and get no gradient.")
def slow_teacher() -> Case:
    def loss(output: tuple[Tensor, Tensor, Tensor], labels: Tensor) -> Tensor:
        logits, guess, target = output
        return F.cross_entropy(logits, labels) - F.cosine_similarity(guess, target, dim=1).mean()

    return Case(Teaches(), blobs(), loss, adam(0.01))


class Zeroed(nn.Module):
    """A branch that a learned factor of 0 leaves out at the start."""

    def __init__(self) -> None:
        super().__init__()
        self.branch, self.factor = (
            nn.Sequential(nn.Linear(32, 32), nn.SiLU(), nn.Linear(32, 32)),
            nn.Parameter(torch.zeros(1)),
        )

    def forward(self, z: Tensor) -> Tensor:
        return F.silu(z) + self.factor * self.branch(z)


@clean("ReZero: the branch gets a gradient of 0 in the first step.")
def starts_at_zero() -> Case:
    return classes(Zeroed(), adam(0.01))


class Elastic(nn.Module):
    """A beam: its bending is a second derivative."""

    def __init__(self, kind: Callable[[], nn.Module]) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(1, 24), kind(), nn.Linear(24, 24), kind(), nn.Linear(24, 1))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        with torch.enable_grad():
            x = x.detach().clone().requires_grad_()
            u = self.body(x)
            (first,) = torch.autograd.grad(u, x, torch.ones_like(u), create_graph=True)
            (second,) = torch.autograd.grad(first, x, torch.ones_like(first), create_graph=True)
        return u, second


def along(step: int) -> tuple[Tensor, Tensor]:
    x = 3 * torch.rand(64, 1, generator=seeded(33000 + step))
    return x, torch.sin(x)


def bent(output: tuple[Tensor, Tensor], load: Tensor) -> Tensor:
    u, second = output
    return (second + load).square().mean() + u[:1].square().mean()


@twins("A beam whose bending is differentiated twice through leaky ReLUs.", "AL115", paths=("body.1", "body.3"))
def beam_of_leaky_relus(wrong: bool) -> Case:
    return Case(Elastic(nn.LeakyReLU if wrong else nn.Softplus), along, bent, adam(0.01))


class HardTanh(nn.Module):
    def forward(self, z: Tensor) -> Tensor:
        return F.hardtanh(z)  # fault: heat_of_hard_tanh


@twins("A heat equation through hard tanh.", "AL115", paths=("body.1", "body.3"))
def heat_of_hard_tanh(wrong: bool) -> Case:
    def loss(output: tuple[Tensor, Tensor], source: Tensor) -> Tensor:
        u, second = output
        return F.mse_loss(second, -source) + 10 * F.mse_loss(u[:4], 0 * u[:4])

    return Case(Elastic(HardTanh if wrong else nn.Tanh), along, loss, adam(0.01))


class Potential(nn.Module):
    """A potential over the plane, with its Laplacian."""

    def __init__(self, wrong: bool) -> None:
        super().__init__()
        self.enter, self.leave, self.wrong = nn.Linear(2, 32), nn.Linear(32, 1), wrong

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        with torch.enable_grad():
            x = x.detach().clone().requires_grad_()
            z = self.enter(x)
            h = torch.relu(z) if self.wrong else torch.sin(z)  # fault: laplacian_of_relu
            u = self.leave(h)
            (slope,) = torch.autograd.grad(u.sum(), x, create_graph=True)
            parts = [torch.autograd.grad(slope[:, at].sum(), x, create_graph=True)[0][:, at] for at in (0, 1)]
        return u, sum(parts)[:, None]


def plane(step: int) -> tuple[Tensor, Tensor]:
    x = torch.randn(64, 2, generator=seeded(34000 + step))
    return x, torch.exp(-x.square().sum(1, keepdim=True))


@twins("The Laplacian of a network of ReLUs.", "AL115", paths=("",))
def laplacian_of_relu(wrong: bool) -> Case:
    return Case(Potential(wrong), plane, bent, adam(0.01))


class Penalized(nn.Module):
    """A critic with a penalty on the size of its gradient by the input."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(2, 32), nn.LeakyReLU(0.2), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 1))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        with torch.enable_grad():
            x = x.detach().clone().requires_grad_()
            u = self.body(x)
            (slope,) = torch.autograd.grad(u.sum(), x, create_graph=True)
        return u, slope


@clean("A signed distance: its gradient has length 1, which takes only a first derivative through ReLUs.")
def eikonal_of_relus() -> Case:
    def loss(output: tuple[Tensor, Tensor], y: Tensor) -> Tensor:
        u, slope = output
        return F.mse_loss(u, y) + 0.1 * (slope.norm(dim=1) - 1).square().mean()

    return Case(Penalized(), plane, loss, adam(0.01))


class OwnSwish(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, z: Tensor, wrong: bool) -> Tensor:
        ctx.save_for_backward(z)
        ctx.wrong = wrong
        return z * torch.sigmoid(z)  # fault: own_swish

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (z,) = ctx.saved_tensors
        s = torch.sigmoid(z)
        return gradient * (s * (1 - s) if ctx.wrong else s * (1 + z * (1 - s))), None


class OwnGaussian(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, z: Tensor, wrong: bool) -> Tensor:
        y = torch.exp(-z * z)  # fault: own_gaussian
        ctx.save_for_backward(z, y)
        ctx.wrong = wrong
        return y

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        z, y = ctx.saved_tensors
        return gradient * (-z if ctx.wrong else -2 * z) * y, None


class OwnSigmoid(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, z: Tensor, wrong: bool) -> Tensor:
        y = 1 / (1 + torch.exp(-z))  # fault: own_sigmoid
        ctx.save_for_backward(z if wrong else y)
        return y

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (y,) = ctx.saved_tensors
        return gradient * y * (1 - y), None


class OwnSign(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, z: Tensor, wrong: bool) -> Tensor:
        ctx.save_for_backward(z)
        return torch.sign(z)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (z,) = ctx.saved_tensors
        return gradient * (z.abs() <= 1), None


class OwnExponential(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, z: Tensor, wrong: bool) -> Tensor:
        ctx.save_for_backward(z)
        return torch.exp(z)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (z,) = ctx.saved_tensors
        return gradient * torch.exp(z.clamp(-10, 10)), None


class Own(nn.Module):
    def __init__(self, kind: type[torch.autograd.Function], wrong: bool = False) -> None:
        super().__init__()
        self.kind, self.wrong = kind, wrong

    def forward(self, z: Tensor) -> Tensor:
        y: Tensor = self.kind.apply(z, self.wrong)
        return y


@twins("An own swish whose backward is that of the sigmoid alone.", "AL116", paths=("between",))
def own_swish(wrong: bool) -> Case:
    return classes(Own(OwnSwish, wrong), adam(0.01))


@twins("An own Gaussian whose backward lacks a factor of 2.", "AL116", paths=("between",))
def own_gaussian(wrong: bool) -> Case:
    return classes(Own(OwnGaussian, wrong), adam(0.01))


@twins("An own sigmoid that saves its input and differentiates it as its output.", "AL116", paths=("between",))
def own_sigmoid(wrong: bool) -> Case:
    return classes(Own(OwnSigmoid, wrong), adam(0.01))


@clean("An own sign with the gradient of a straight line: a binary network.")
def own_sign() -> Case:
    return classes(Own(OwnSign), adam(0.01))


@clean("An exponential whose derivative is bounded for large inputs.")
def own_exponential() -> Case:
    return classes(Own(OwnExponential), adam(0.003))
