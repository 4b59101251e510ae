"""C: correct networks that look odd to whoever counts zeros, modules or gradients."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from corpus.data import blobs, curve, normal, pictures, reconstruct
from corpus.mutants_construction import initialised, kaiming, lecun
from corpus.optimisers import adam, adamw, sgd
from corpus.program import Case, clean


@clean("A wide ReLU net behind a bias of -1: nine in ten outputs are 0, and every unit fires for someone.")
def sparse_relu() -> Case:
    model = initialised(nn.Sequential(nn.Linear(16, 128), nn.ReLU(), nn.Linear(128, 4)), kaiming)
    nn.init.constant_(model[0].bias, -1.0)
    return Case(model, blobs(), F.cross_entropy)


@clean("A small ReLU net some of whose units are dead, as healthy ones have; it learns.")
def a_few_dead_units() -> Case:
    model = nn.Sequential(nn.Linear(16, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 4))
    model[0].bias.data[:8] = -20
    return Case(model, blobs(), F.cross_entropy)


class ZeroBranch(nn.Module):
    """A residual block whose last layer starts at 0, so that it begins as the identity."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm, self.up, self.down = nn.LayerNorm(width), nn.Linear(width, width), nn.Linear(width, width)
        nn.init.zeros_(self.down.weight)
        nn.init.zeros_(self.down.bias)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.down(F.relu(self.up(self.norm(x))))


@clean("Residual branches whose last layer starts at 0: their first gradient is 0, and they learn.")
def zero_initialised_branches() -> Case:
    return Case(
        nn.Sequential(nn.Linear(16, 48), *[ZeroBranch(48) for _ in range(6)], nn.Linear(48, 4)),
        blobs(),
        F.cross_entropy,
    )


class Rezero(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.layer, self.scale = nn.Linear(width, width), nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.scale * torch.tanh(self.layer(x))


@clean("Branches scaled by a learned number that starts at 0: no gradient reaches them in the first step.")
def rezero() -> Case:
    return Case(
        nn.Sequential(nn.Linear(16, 48), *[Rezero(48) for _ in range(8)], nn.Linear(48, 4)), blobs(), F.cross_entropy
    )


class SometimesSkipped(nn.Module):
    def __init__(self, width: int, keep: float) -> None:
        super().__init__()
        self.layer, self.keep = nn.Linear(width, width), keep

    def forward(self, x: Tensor) -> Tensor:
        if self.training and torch.rand(()) > self.keep:
            return x
        branch = F.relu(self.layer(x))
        return x + (branch if self.training else self.keep * branch)


@clean("Stochastic depth: in some steps a block is not called at all.")
def stochastic_depth() -> Case:
    blocks = [SometimesSkipped(48, 1 - 0.1 * place) for place in range(6)]
    return Case(nn.Sequential(nn.Linear(16, 48), *blocks, nn.Linear(48, 4)), blobs(), F.cross_entropy)


@clean("A deep network with batch normalisation, whose weights may have any scale.")
def batch_norm_large_weights() -> Case:
    layers = [layer for _ in range(8) for layer in (nn.Linear(32, 32, bias=False), nn.BatchNorm1d(32), nn.ReLU())]
    model = nn.Sequential(nn.Linear(16, 32), nn.ReLU(), *layers, nn.Linear(32, 4))
    for layer in model[2:-1]:
        if isinstance(layer, nn.Linear):
            nn.init.normal_(layer.weight)
    return Case(model, blobs(), F.cross_entropy)


@clean("A bottleneck: two linear layers with nothing between them and few units in the middle.")
def low_rank_factors() -> Case:
    return Case(
        nn.Sequential(nn.Linear(16, 4, bias=False), nn.Linear(4, 64), nn.ReLU(), nn.Linear(64, 4)),
        blobs(),
        F.cross_entropy,
    )


class Adapted(nn.Module):
    """A frozen layer with a trained update of low rank beside it (LoRA)."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.frozen = nn.Linear(inputs, outputs).requires_grad_(False)
        self.down, self.up = nn.Linear(inputs, 2, bias=False), nn.Linear(2, outputs, bias=False)
        nn.init.zeros_(self.up.weight)

    def forward(self, x: Tensor) -> Tensor:
        return self.frozen(x) + self.up(self.down(x))


@clean("LoRA: two linear layers in a row on purpose, the second starts at 0, and the rest is frozen.")
def lora() -> Case:
    model = nn.Sequential(Adapted(16, 64), nn.ReLU(), Adapted(64, 64), nn.ReLU(), nn.Linear(64, 4))
    return Case(
        model,
        blobs(),
        F.cross_entropy,
        lambda m: torch.optim.Adam([p for p in m.parameters() if p.requires_grad], lr=3e-3),
    )


class Inverted(nn.Module):
    """MobileNetV2's block: expand, filter each channel, project without an activation."""

    def __init__(self, width: int) -> None:
        super().__init__()
        wide = 4 * width
        self.block = nn.Sequential(
            *(nn.Conv2d(width, wide, 1, bias=False), nn.BatchNorm2d(wide), nn.ReLU6(inplace=True)),
            *(nn.Conv2d(wide, wide, 3, padding=1, groups=wide, bias=False), nn.BatchNorm2d(wide)),
            *(nn.ReLU6(inplace=True), nn.Conv2d(wide, width, 1, bias=False), nn.BatchNorm2d(width)),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.block(x)


@clean("Inverted residuals with linear bottlenecks: the projection of one block meets the expansion of the next.")
def mobile_inverted() -> Case:
    ends = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 4)]
    return Case(
        nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), Inverted(8), Inverted(8), *ends), pictures(), F.cross_entropy
    )


@clean("Depthwise separable convolutions: depthwise and pointwise with nothing between, by design.")
def depthwise_separable() -> Case:
    pair = [nn.Conv2d(8, 8, 3, padding=1, groups=8), nn.Conv2d(8, 16, 1), nn.ReLU()]
    model = nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), *pair, nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(64, 4)
    )
    return Case(model, pictures(), F.cross_entropy)


class Excite(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.squeeze, self.excite = nn.Linear(width, width // 4), nn.Linear(width // 4, width)

    def forward(self, x: Tensor) -> Tensor:
        gate = torch.sigmoid(self.excite(F.relu(self.squeeze(x.mean((2, 3))))))
        return x * gate[:, :, None, None]


@clean("Squeeze-and-excite: a sigmoid in the middle is a gate.")
def squeeze_and_excite() -> Case:
    stages = [
        nn.Conv2d(1, 16, 3, padding=1),
        nn.ReLU(),
        Excite(16),
        nn.Conv2d(16, 16, 3, padding=1),
        nn.ReLU(),
        Excite(16),
    ]
    return Case(
        nn.Sequential(*stages, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 4)),
        pictures(),
        F.cross_entropy,
        adam(3e-3),
    )


class Highway(nn.Module):
    """Carries its input on at first: the gate's bias is -2."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.change, self.gate = nn.Linear(width, width), nn.Linear(width, width)
        nn.init.constant_(self.gate.bias, -2.0)

    def forward(self, x: Tensor) -> Tensor:
        share = torch.sigmoid(self.gate(x))
        return share * F.relu(self.change(x)) + (1 - share) * x


@clean("A highway network whose gates start nearly closed.")
def highway() -> Case:
    return Case(
        nn.Sequential(nn.Linear(16, 32), *[Highway(32) for _ in range(8)], nn.Linear(32, 4)), blobs(), F.cross_entropy
    )


class Sine(nn.Module):
    def __init__(self, inputs: int, outputs: int, *, first: bool = False) -> None:
        super().__init__()
        self.layer = nn.Linear(inputs, outputs)
        bound = 1 / inputs if first else (6 / inputs) ** 0.5 / 30
        nn.init.uniform_(self.layer.weight, -bound, bound)

    def forward(self, x: Tensor) -> Tensor:
        return torch.sin(30 * self.layer(x))


def wave(step: int) -> tuple[Tensor, Tensor]:
    x = torch.linspace(-1, 1, 128)[:, None]
    return x, torch.sin(12 * x) * torch.exp(-x)


@clean("SIREN: sines of thirty times the layer, initialised as its authors say.")
def siren() -> Case:
    return Case(
        nn.Sequential(Sine(1, 32, first=True), Sine(32, 32), Sine(32, 32), nn.Linear(32, 1)),
        wave,
        nn.MSELoss(),
        adam(1e-4),
    )


@clean("A self-normalising network as it should be: SELU, LeCun's initialisation, alpha dropout.")
def self_normalising() -> Case:
    layers = [layer for _ in range(10) for layer in (nn.Linear(64, 64), nn.SELU(), nn.AlphaDropout(0.05))]
    return Case(
        initialised(nn.Sequential(nn.Linear(16, 64), nn.SELU(), *layers, nn.Linear(64, 4)), lecun),
        blobs(),
        F.cross_entropy,
    )


class Experts(nn.Module):
    """Softmax within the network chooses among experts: it is a gate, not a hidden activation."""

    def __init__(self) -> None:
        super().__init__()
        self.router = nn.Linear(16, 4)
        self.experts = nn.ModuleList([nn.Sequential(nn.Linear(16, 32), nn.GELU(), nn.Linear(32, 32)) for _ in range(4)])
        self.out = nn.Linear(32, 4)

    def forward(self, x: Tensor) -> Tensor:
        weights = F.softmax(self.router(x), dim=-1)
        answers = torch.stack([expert(x) for expert in self.experts], dim=1)
        return self.out(F.relu((weights[:, :, None] * answers).sum(1)))


@clean("A mixture of experts with a softmax gate.")
def mixture_of_experts() -> Case:
    return Case(Experts(), blobs(), F.cross_entropy)


class Mixer(nn.Module):
    def __init__(self, places: int, width: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.across = nn.Sequential(nn.Linear(places, 32), nn.GELU(), nn.Linear(32, places))
        self.within = nn.Sequential(nn.Linear(width, 64), nn.GELU(), nn.Linear(64, width))

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.across(self.norm1(x).transpose(1, 2)).transpose(1, 2)
        return x + self.within(self.norm2(x))


class MixerNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.patches, self.mix, self.out = (
            nn.Conv2d(1, 32, 2, stride=2),
            nn.Sequential(Mixer(16, 32), Mixer(16, 32)),
            nn.Linear(32, 4),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.mix(self.patches(x).flatten(2).transpose(1, 2)).mean(1))


@clean("An MLP-Mixer: linear patches, then linear layers along both axes.")
def mlp_mixer() -> Case:
    return Case(MixerNet(), pictures(), F.cross_entropy)


class Dense(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList([nn.Conv2d(1 + 8 * place, 8, 3, padding=1) for place in range(4)])
        self.out = nn.Linear(33, 4)

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = torch.cat([x, F.relu(layer(x))], dim=1)
        return self.out(x.mean((2, 3)))


@clean("A densely connected network: every layer reads all before it.")
def densely_connected() -> Case:
    return Case(Dense(), pictures(), F.cross_entropy, adam(3e-3))


class Down(nn.Module):
    """A small U-Net with a bypass from the way down to the way up."""

    def __init__(self) -> None:
        super().__init__()
        self.enter, self.down = nn.Conv2d(1, 8, 3, padding=1), nn.Conv2d(8, 16, 3, padding=1)
        self.up, self.leave = nn.ConvTranspose2d(16, 8, 2, stride=2), nn.Conv2d(16, 1, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        top = F.relu(self.enter(x))
        low = F.relu(self.down(F.max_pool2d(top, 2)))
        return self.leave(torch.cat([top, F.relu(self.up(low))], dim=1))


@clean("A U-Net that gives one raw map to binary cross-entropy with logits.")
def u_net_segmentation() -> Case:
    from corpus.mutants_output import masks

    return Case(Down(), masks, nn.BCEWithLogitsLoss(), adam(3e-3))


class GraphLayers(nn.Module):
    """Two rounds of averaging over neighbours."""

    def __init__(self) -> None:
        super().__init__()
        near = (normal(48, 48, seed=21) > 1.3).float()
        near = ((near + near.T + torch.eye(48)) > 0).float()
        self.register_buffer("average", near / near.sum(1, keepdim=True))
        self.first, self.second = nn.Linear(16, 32), nn.Linear(32, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.second(self.average @ F.relu(self.first(self.average @ x)))


def nodes(step: int) -> tuple[Tensor, Tensor]:
    """One graph, the same at every step."""
    return blobs(size=48)(0)


@clean("A graph network: one graph is the whole batch, and its linear layers meet through the adjacency.")
def graph_convolutions() -> Case:
    return Case(GraphLayers(), nodes, F.cross_entropy, adam(0.01))


@clean("ReLU6, hard-sigmoid and hard-swish, whose slopes are exactly 0 over much of their range.")
def hard_activations() -> Case:
    layers = [nn.Conv2d(1, 16, 3, padding=1), nn.Hardswish(), nn.Conv2d(16, 16, 3, padding=1), nn.ReLU6(), nn.Flatten()]
    return Case(
        nn.Sequential(*layers, nn.Linear(1024, 16), nn.Hardsigmoid(), nn.Linear(16, 4)), pictures(), F.cross_entropy
    )


@clean("One ReLU object is used everywhere: it has nothing to learn, so nothing is shared by accident.")
def one_relu_for_all() -> Case:
    act = nn.ReLU()
    return Case(
        nn.Sequential(nn.Linear(16, 32), act, nn.Linear(32, 32), act, nn.Linear(32, 4)), blobs(), F.cross_entropy
    )


class Recursive(nn.Module):
    """The same block, weights and slope, applied three times on purpose."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.layer, self.act, self.out = nn.Linear(16, 32), nn.Linear(32, 32), nn.PReLU(), nn.Linear(32, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        for _ in range(3):
            x = self.act(self.layer(x))
        return self.out(x)


@clean("A recursive network shares its weights, and with them the slope of its PReLU.")
def recursive_block() -> Case:
    return Case(Recursive(), blobs(), F.cross_entropy)


@clean("Weight decay of 0.01 in a network without activation parameters.")
def decayed_weights() -> Case:
    model = nn.Sequential(
        nn.Linear(16, 64), nn.GELU(), nn.LayerNorm(64), nn.Linear(64, 64), nn.GELU(), nn.Linear(64, 4)
    )
    return Case(model, blobs(), F.cross_entropy, adamw())


@clean("A linear autoencoder (principal components): it is linear on purpose.")
def linear_autoencoder() -> Case:
    return Case(nn.Sequential(nn.Linear(16, 4), nn.Linear(4, 16)), reconstruct(blobs()), nn.MSELoss(), adam(0.01))


@clean("Softmax regression: a single linear layer, and no activation at all.")
def softmax_regression() -> Case:
    return Case(nn.Linear(16, 4), blobs(), F.cross_entropy, sgd(0.1))


@clean("Thirty residual branches of GELU: the gradient takes the short way.")
def deep_residual_gelu() -> Case:
    from corpus.mutants_construction import xavier
    from corpus.mutants_running import Piles

    return Case(initialised(Piles(0.2, depth=30), xavier), blobs(), F.cross_entropy)


@clean("A frozen feature extractor under a head that trains: no gradient goes below.")
def frozen_features() -> Case:
    features = nn.Sequential(nn.Linear(16, 64), nn.Tanh(), nn.Linear(64, 64), nn.Tanh()).requires_grad_(False)
    head = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 4))
    return Case(
        nn.Sequential(features, head), blobs(), F.cross_entropy, lambda m: torch.optim.Adam(m[1].parameters(), lr=3e-3)
    )


@clean("Maxout and a difference of ReLUs, spelled by hand.")
def maxout() -> Case:
    return Case(Maxout(), curve(), nn.MSELoss(), adam(0.01))


class Maxout(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.pieces, self.mix, self.out = nn.Linear(8, 96), nn.Linear(32, 32), nn.Linear(32, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.pieces(x).unflatten(1, (32, 3)).amax(2)
        z = self.mix(x)
        return self.out(F.relu(z) - 0.1 * F.relu(-z))
