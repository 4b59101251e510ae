"""How much faster is a whole training step with actlab's modules than with PyTorch's?

Two small networks with activations that are slow in PyTorch: a convolutional one with mish on 32 x 32 images, and a
transformer with the tanh form of gelu on text. Both kinds of the same network begin with the same weights and take
their steps in turn; a row of unit `ratio` holds PyTorch's time over actlab's, round by round.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from harness import Options, Timing, keep, options, timing
from torch import Tensor, nn

import actlab
from actlab.measure.speed.case import cores
from actlab.measure.speed.timing import is_steady, spread, steadied, steadiest

VOCABULARY = 65

MakeActivation = Callable[[], nn.Module]


def cnn(activation: MakeActivation) -> nn.Module:
    layers: list[nn.Module] = []
    for width, (before, stride) in {32: (3, 1), 64: (32, 2), 128: (64, 2)}.items():
        convolution = nn.Conv2d(before, width, 3, stride=stride, padding=1, bias=False)
        layers += [convolution, nn.BatchNorm2d(width), activation()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(128, 10))


class Block(nn.Module):
    """Attention, then two layers with the activation between them, each beside a shortcut."""

    def __init__(self, width: int, activation: MakeActivation) -> None:
        super().__init__()
        self.before_attention, self.before_layers = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = nn.MultiheadAttention(width, 4, batch_first=True)
        self.layers = nn.Sequential(nn.Linear(width, 4 * width), activation(), nn.Linear(4 * width, width))

    def forward(self, x: Tensor) -> Tensor:
        seen = self.before_attention(x)
        x = x + self.attention(seen, seen, seen, need_weights=False)[0]
        return x + self.layers(self.before_layers(x))


def transformer(activation: MakeActivation) -> nn.Module:
    blocks = (Block(128, activation) for _ in range(4))
    return nn.Sequential(nn.Embedding(VOCABULARY, 128), *blocks, nn.LayerNorm(128), nn.Linear(128, VOCABULARY))


@dataclass(frozen=True)
class Setting:
    """A network, its batches of so many examples of some shape, and the activation in both kinds."""

    network: Callable[[MakeActivation], nn.Module]
    batch: Callable[[int], tuple[Tensor, Tensor]]
    size: int
    each: str
    kinds: Mapping[str, MakeActivation]


SETTINGS: Mapping[str, Setting] = {
    "cnn with mish": Setting(
        cnn,
        lambda size: (torch.randn(size, 3, 32, 32), torch.randint(10, (size,))),
        32,
        "3x32x32",
        {"torch.nn": nn.Mish, "actlab": lambda: actlab.module("mish")},
    ),
    "transformer with gelu_tanh": Setting(
        transformer,
        lambda size: (torch.randint(VOCABULARY, (size, 128)), torch.randint(VOCABULARY, (size, 128))),
        8,
        "128",
        {"torch.nn": lambda: nn.GELU(approximate="tanh"), "actlab": lambda: actlab.module("gelu_tanh")},
    ),
}


def step_of(setting: Setting, kind: str, *, size: int) -> Callable[[], float]:
    """Make one training step of a network of this kind; it returns the loss before the step."""
    torch.manual_seed(0)
    model = setting.network(setting.kinds[kind])
    inputs, labels = setting.batch(size)
    optimiser = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)

    def step() -> float:
        optimiser.zero_grad()
        loss = nn.functional.cross_entropy(model(inputs).flatten(0, -2), labels.flatten())
        loss.backward()
        optimiser.step()
        return loss.item()

    return step


def measured(name: str, setting: Setting, *, threads: int, asked: Options) -> list[Timing]:
    size = 2 if asked.quick else setting.size
    with steadied(threads=threads):
        steps = {kind: step_of(setting, kind, size=size) for kind in setting.kinds}
        losses = {kind: [step() for _ in range(2)] for kind, step in steps.items()}
        torch.testing.assert_close(losses["actlab"], losses["torch.nn"], rtol=1e-4, atol=1e-5)
        source = torch.randn(1_000_000)
        target = torch.empty_like(source)
        calls = {"copy": lambda: target.copy_(source), **steps}
        how = {"seconds": 0, "attempts": 1} if asked.quick else {"seconds": 6, "attempts": 3}
        samples = steadiest(calls, gauge="copy", **how)
    copy = spread(samples["copy"])
    ratios = [theirs / ours for theirs, ours in zip(samples["torch.nn"], samples["actlab"], strict=True)]
    shown = {"torch.nn": ("s", samples["torch.nn"]), "actlab": ("s", samples["actlab"]), "both": ("ratio", ratios)}
    return [
        timing(
            "a training step",
            name,
            contender,
            measured=spread(values),
            copy=copy,
            reported=is_steady(copy),
            direction="step",
            threads=threads,
            shape=f"{size}x{setting.each}",
            unit=unit,
        )
        for contender, (unit, values) in shown.items()
    ]


def main() -> None:
    asked = options(__doc__ or "")
    for threads in sorted({1, min(2, cores())})[: 1 if asked.quick else None]:
        for name, setting in SETTINGS.items():
            rows = measured(name, setting, threads=threads, asked=asked)
            keep("real_step", rows, asked=asked)
            times = ", ".join(f"{row.contender} {row.median:.4g} {row.unit}" for row in rows[:2])
            ratio, doubt = rows[2], "" if rows[2].reported else ", beside an unsteady copy"
            mark = "reached" if ratio.median > 1 else "missed "
            print(
                f"{mark} {name}, threads {threads}: {times}; "
                f"{ratio.median:.3g} times as fast ({ratio.p10:.3g} to {ratio.p90:.3g}{doubt})"
            )


if __name__ == "__main__":
    main()
