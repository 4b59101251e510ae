"""B: terms of a loss that train nothing, parts that are cut off, own derivatives; C: right programs alike."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from corpus.data import blobs, curve, pictures, seeded
from corpus.optimisers import adam
from corpus.program import Case, clean, twins


def network(inputs: int, outputs: int, *end: nn.Module) -> nn.Sequential:
    return nn.Sequential(nn.Linear(inputs, 32), nn.GELU(), nn.Linear(32, outputs), *end)


@twins("A term counts the wrong answers by argmax, beside cross-entropy.", "AL117")
def counted_errors(wrong: bool) -> Case:
    def loss(z: Tensor, labels: Tensor) -> Tensor:
        if wrong:
            errors = (torch.argmax(z, dim=1) != labels).to(z.dtype).mean()  # fault: counted_errors
        else:
            errors = 1 - z.softmax(1).gather(1, labels[:, None]).mean()
        return F.cross_entropy(z, labels) + 0.3 * errors

    return Case(network(16, 4), blobs(), loss, adam(0.01))


class Sparse(nn.Module):
    """Gates that should be few."""

    def __init__(self) -> None:
        super().__init__()
        self.gate, self.value, self.leave = nn.Linear(16, 32), nn.Linear(16, 32), nn.Linear(32, 4)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        gate = torch.sigmoid(self.gate(x))
        return self.leave(gate * self.value(x)), gate


@twins("A penalty counts the open gates by a comparison.", "AL117")
def counted_gates(wrong: bool) -> Case:
    def loss(output: tuple[Tensor, Tensor], labels: Tensor) -> Tensor:
        z, gate = output
        opened = (gate > 0.5).float().mean() if wrong else gate.mean()  # fault: counted_gates
        return F.cross_entropy(z, labels) + opened

    return Case(Sparse(), blobs(), loss, adam(0.01))


@twins("The difference of rounded outputs and targets is added to the squared error.", "AL117")
def rounded_error(wrong: bool) -> Case:
    def loss(y: Tensor, targets: Tensor) -> Tensor:
        near = y.round() if wrong else y  # fault: rounded_error
        return F.mse_loss(y, targets) + 0.1 * F.l1_loss(near, targets)

    return Case(network(8, 1), curve(), loss, adam(0.01))


class Coder(nn.Module):
    """An autoencoder with its code."""

    def __init__(self) -> None:
        super().__init__()
        self.enter, self.leave = network(16, 6), network(6, 16)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        code = self.enter(x)
        return self.leave(code), code


def itself(step: int) -> tuple[Tensor, Tensor]:
    x, _ = blobs()(step)
    return x, x


@twins("The penalty on the code is computed without autograd.", "AL117")
def penalty_without_autograd(wrong: bool) -> Case:
    def loss(output: tuple[Tensor, Tensor], x: Tensor) -> Tensor:
        y, code = output
        with torch.set_grad_enabled(not wrong):
            spread = code.var(0).sub(1).square().mean()  # fault: penalty_without_autograd
        return F.mse_loss(y, x) + 0.1 * spread

    return Case(Coder(), itself, loss, adam(0.01))


@clean("A teacher's entropy is subtracted from its cross-entropy: a divergence.")
def divergence_by_hand() -> Case:
    class Pair(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.student, self.teacher = network(16, 4), network(16, 4)

        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            return self.student(x), self.teacher(x)

    def loss(output: tuple[Tensor, Tensor], labels: Tensor) -> Tensor:
        student, teacher = output
        p = teacher.detach().softmax(1)
        cross, entropy = -(p * student.log_softmax(1)).sum(1).mean(), -(p * p.log()).sum(1).mean()
        return F.cross_entropy(teacher, labels) + (cross - entropy)

    return Case(Pair(), blobs(), loss, adam(0.01))


@clean("A surrogate with the right gradient gets the value of the true loss.")
def value_of_another() -> Case:
    def loss(z: Tensor, labels: Tensor) -> Tensor:
        surrogate = F.cross_entropy(z, labels)
        errors = (z.argmax(1) != labels).float().mean()
        return surrogate + (errors - surrogate).detach()

    return Case(network(16, 4), blobs(), loss, adam(0.01))


@clean("A constraint's multiplier is learned, and each factor is detached for the other.")
def learned_multiplier() -> Case:
    class Held(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body, self.weight = network(8, 1), nn.Parameter(torch.zeros(()))

        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            return self.body(x), F.softplus(self.weight)

    def loss(output: tuple[Tensor, Tensor], targets: Tensor) -> Tensor:
        y, weight = output
        size = y.square().mean()
        return F.mse_loss(y, targets) + weight.detach() * size - weight * (size.detach() - 0.5) + 1e-8

    return Case(Held(), curve(), loss, adam(0.01))


@clean("Supervised contrast: the largest similarity is subtracted, detached.")
def contrast() -> Case:
    def loss(z: Tensor, labels: Tensor) -> Tensor:
        z = F.normalize(z, dim=1)
        similar = z @ z.T / 0.5
        similar = similar - similar.max(1, keepdim=True).values.detach()
        others = 1 - torch.eye(len(z))
        same = (labels[:, None] == labels).float() * others
        log_p = similar - (similar.exp() * others).sum(1, keepdim=True).log()
        return -((same * log_p).sum(1) / same.sum(1).clamp(min=1)).mean()

    return Case(network(16, 8), blobs(), loss, adam(0.01))


class Pictured(nn.Module):
    """A reader of pictures before a head of two layers."""

    def __init__(self, wrong: bool) -> None:
        super().__init__()
        self.reader = nn.Sequential(nn.Conv2d(1, 8, 3, 2), nn.SiLU(), nn.Flatten())
        self.head, self.wrong = nn.Sequential(nn.LazyLinear(24), nn.SiLU(), nn.Linear(24, 4)), wrong

    def forward(self, x: Tensor) -> Tensor:
        h = self.reader(x)
        if self.wrong:
            h = h.data  # fault: data_of_the_reader
        y: Tensor = self.head(h)
        return y


@twins("The head reads the data of the convolutions' output.", "AL114", paths=("",))
def data_of_the_reader(wrong: bool) -> Case:
    model, data = Pictured(wrong), pictures(classes=4)
    model(data(0)[0])
    return Case(model, data, F.cross_entropy, adam(0.01))


class Judged(nn.Module):
    """A generator whose outputs are detached for the critic's step."""

    def __init__(self) -> None:
        super().__init__()
        self.maker, self.judge = network(8, 16), network(16, 1)

    def forward(self, z: Tensor, real: Tensor) -> tuple[Tensor, Tensor]:
        made = self.maker(z).detach()
        return self.judge(real), self.judge(made)


@clean("The step of a discriminator: the generator's outputs are detached.")
def step_of_the_judge() -> Case:
    def data(step: int) -> tuple[tuple[Tensor, Tensor], Tensor]:
        x, labels = blobs()(step)
        return (torch.randn(len(x), 8, generator=seeded(41000 + step)), x), labels

    def loss(output: tuple[Tensor, Tensor], _: Tensor) -> Tensor:
        return F.softplus(-output[0]).mean() + F.softplus(output[1]).mean()

    return Case(Judged(), data, loss, lambda model: torch.optim.Adam(model.get_submodule("judge").parameters(), 0.01))


class Mish(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, z: Tensor, wrong: bool) -> Tensor:
        ctx.save_for_backward(z)
        ctx.wrong = wrong
        return z * torch.tanh(F.softplus(z))  # fault: own_mish

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (z,) = ctx.saved_tensors
        t = torch.tanh(F.softplus(z))
        slope = t + z * (1 - t * t) * torch.sigmoid(z)
        return (slope if ctx.wrong else gradient * slope), None


class Cube(torch.autograd.Function):
    """z³ + z; its backward leaves autograd if it is wrong."""

    @staticmethod
    def forward(ctx: Any, z: Tensor, wrong: bool) -> Tensor:
        ctx.save_for_backward(z)
        ctx.wrong = wrong
        return z**3 + z  # fault: cube_of_the_critic

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (z,) = ctx.saved_tensors
        z = z.detach() if ctx.wrong else z
        return gradient * (3 * z**2 + 1), None


class Own(nn.Module):
    def __init__(self, kind: type[torch.autograd.Function], wrong: bool) -> None:
        super().__init__()
        self.kind, self.wrong = kind, wrong

    def forward(self, z: Tensor) -> Tensor:
        y: Tensor = self.kind.apply(z, self.wrong)
        return y


@twins("An own mish returns its derivative without the gradient that comes in.", "AL116", paths=("1",))
def own_mish(wrong: bool) -> Case:
    return Case(
        nn.Sequential(nn.Linear(16, 32), Own(Mish, wrong), nn.Linear(32, 4)), blobs(), F.cross_entropy, adam(0.01)
    )


class Smooth(nn.Module):
    """A critic with the size of its gradient by the input."""

    def __init__(self, wrong: bool) -> None:
        super().__init__()
        self.enter, self.own, self.leave = nn.Linear(8, 24), Own(Cube, wrong), nn.Linear(24, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        with torch.enable_grad():
            x = x.detach().clone().requires_grad_()
            y = self.leave(self.own(0.3 * self.enter(x)))
            (slope,) = torch.autograd.grad(y.sum(), x, create_graph=True)
        return y, slope


@twins("A penalty differentiates an own function whose backward leaves autograd.", "AL116", paths=("own",))
def cube_of_the_critic(wrong: bool) -> Case:
    def loss(output: tuple[Tensor, Tensor], targets: Tensor) -> Tensor:
        return F.mse_loss(output[0], targets) + output[1].square().sum(1).mean()

    return Case(Smooth(wrong), curve(), loss, adam(0.003))


@clean("The same own function, in a loss without second derivatives.")
def cube_once() -> Case:
    return Case(nn.Sequential(nn.Linear(8, 24), Own(Cube, True), nn.Linear(24, 1)), curve(), F.mse_loss, adam(0.003))


def angles(step: int) -> tuple[Tensor, Tensor]:
    x, y = curve(outputs=2, scale=1)(step)
    return x, (4 * y).tanh()


@twins("A softsign in front of the tanh keeps actions away from both ends.", "AL208", paths=("end.1",))
def squashed_by_two(wrong: bool) -> Case:
    class Policy(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = network(8, 2)
            self.end = nn.Sequential(nn.Softsign() if wrong else nn.Identity(), nn.Tanh())

        def forward(self, x: Tensor) -> Tensor:
            y: Tensor = self.end(self.body(x))
            return y

    return Case(Policy(), angles, F.smooth_l1_loss, adam(0.01))


@clean("Logits bounded to ±10 before the sigmoid, as in pointer networks.")
def wide_bound() -> Case:
    class Bounded(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = network(16, 1)

        def forward(self, x: Tensor) -> Tensor:
            return torch.sigmoid(10 * torch.tanh(self.body(x)))[:, 0]

    return Case(Bounded(), blobs(), lambda p, labels: F.binary_cross_entropy(p, (labels > 1).float()), adam(0.01))


class Selects(nn.Module):
    """Weighs two views of a picture, channel by channel."""

    def __init__(self, axis: int) -> None:
        super().__init__()
        self.views = nn.ModuleList(nn.Sequential(nn.Conv2d(1, 8, k), nn.BatchNorm2d(8), nn.SiLU()) for k in (1, 3))
        self.score, self.leave, self.axis = nn.ModuleList(nn.Linear(8, 8) for _ in (1, 2)), nn.Linear(8, 4), axis

    def forward(self, x: Tensor) -> Tensor:
        views = torch.stack([view(x).mean((2, 3)) for view in self.views])
        total = views.sum(0)
        weights = torch.stack([score(total) for score in self.score]).softmax(self.axis)  # fault: selects_over_batch
        return self.leave((weights * views).sum(0))


@twins("The weights of two views behind batch normalization are a softmax over the examples.", "AL207", paths=("",))
def selects_over_batch(wrong: bool) -> Case:
    return Case(Selects(1 if wrong else 0), pictures(classes=4), F.cross_entropy, adam(0.01))


def bytes_of(scale: float) -> Callable[[int], tuple[Tensor, Tensor]]:
    def data(step: int) -> tuple[Tensor, Tensor]:
        x, labels = blobs()(step)
        return scale * (127 + 60 * x).clamp(0, 255), labels

    return data


@twins("Bytes from 0 to 255 go into a layer before a tanh.", "AL313", paths=("1",))
def bytes_into_tanh(wrong: bool) -> Case:
    model = nn.Sequential(nn.Linear(16, 32), nn.Tanh(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 4))
    return Case(model, bytes_of(1.0 if wrong else 1 / 255), F.cross_entropy, adam(0.01))


@clean("Bytes are normalized inside the model, before the sigmoids.")
def bytes_normalized() -> Case:
    model = nn.Sequential(nn.BatchNorm1d(16), nn.Linear(16, 32), nn.Sigmoid(), nn.Linear(32, 4))
    return Case(model, bytes_of(1.0), F.cross_entropy, adam(0.01))


class Fused(nn.Module):
    """Fused attention, two heads."""

    def __init__(self, wrong: bool) -> None:
        super().__init__()
        self.into, self.leave, self.wrong = nn.Linear(64, 3 * 256), nn.Linear(256, 4), wrong
        nn.init.orthogonal_(self.into.weight, gain=1.5)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (part.unflatten(-1, (2, 128)).transpose(1, 2) for part in self.into(x).chunk(3, -1))
        scale = 1.0 if self.wrong else None
        h = F.scaled_dot_product_attention(q, k, v, scale=scale)  # fault: fused_without_scale
        return self.leave(h.transpose(1, 2).flatten(2).mean(1))


@twins("Fused attention with scale=1.", "AL312", paths=("",))
def fused_without_scale(wrong: bool) -> Case:
    def data(step: int) -> tuple[Tensor, Tensor]:
        x = 2 * torch.randn(32, 10, 64, generator=seeded(42000 + step))
        return x, (x[:, :, :2].mean(1) > 0).long() @ torch.tensor([1, 2])

    return Case(Fused(wrong), data, F.cross_entropy, adam(0.001))
