"""Does training with few-bit memory end where exact training ends?

Digits on a small perceptron and a small convolutional network, and characters of a text on a small transformer:
`--text FILE`, or the variable ACTLAB_BENCH_TEXT; without either the transformer is left out (a quick run reads the
README). Every choice begins with the same weights and sees the same batches as the exact one, seed by seed; a row's
note has the differences to it: few-bit minus exact, with the interval of the exact signed-rank test.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from pathlib import Path
from statistics import mean, stdev

import torch
from harness import ROOT, Options, Row, options, percentiles_of, record, row
from torch import Tensor, nn
from torch.nn import functional

import actlab
from actlab.study.signed_rank import SignedRank
from actlab.train.builtin import builtin_task
from actlab.train.loop import train

BITS = (None, 1, 2, 3, 4)
CONTEXT = 64
BATCH = 16

MakeActivation = Callable[[], nn.Module]


@dataclass(frozen=True)
class Setting:
    """A network and its data, with the result of one training run for an activation and a seed."""

    name: str
    activation: str
    unit: str
    seeds: int
    end: Callable[[MakeActivation, int], float]


def perceptron(activation: MakeActivation) -> nn.Module:
    return nn.Sequential(nn.Linear(64, 64), activation(), nn.Linear(64, 64), activation(), nn.Linear(64, 10))


def convolutions(activation: MakeActivation) -> nn.Module:
    return nn.Sequential(
        nn.Unflatten(1, (1, 8, 8)),
        *(nn.Conv2d(1, 16, 3, padding=1), activation(), nn.Conv2d(16, 32, 3, stride=2, padding=1), activation()),
        *(nn.Flatten(), nn.Linear(512, 10)),
    )


def end_on_digits(
    network: Callable[[MakeActivation], nn.Module], asked: Options, activation: MakeActivation, seed: int
) -> float:
    """Train on three fifths of the digits; return the accuracy in % on the others."""
    digits = builtin_task("digits-relu")
    parts = {"train": digits.train, "valid": digits.valid, "test": digits.test}
    task = actlab.Task("digits", network, **parts, epochs=1 if asked.quick else 20, batch_size=96)
    torch.manual_seed(seed)
    model = task.build(activation)
    run = train(model, task, rate=3e-3, seed=seed)
    return (run.valid + run.test) / 2


class Block(nn.Module):
    """Attention to what came before, then two layers with the activation between them, each beside a shortcut."""

    def __init__(self, width: int, activation: MakeActivation) -> None:
        super().__init__()
        self.norms = nn.ModuleList([nn.LayerNorm(width), nn.LayerNorm(width)])
        self.project, self.join = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.layers = nn.Sequential(nn.Linear(width, 4 * width), activation(), nn.Linear(4 * width, width))

    def forward(self, x: Tensor) -> Tensor:
        heads = self.project(self.norms[0](x)).unflatten(-1, (3, 4, -1)).permute(2, 0, 3, 1, 4)
        seen = functional.scaled_dot_product_attention(*heads, is_causal=True)
        x = x + self.join(seen.transpose(1, 2).flatten(2))
        return x + self.layers(self.norms[1](x))


class Transformer(nn.Module):
    """A model of the next character, for every character."""

    def __init__(self, characters: int, activation: MakeActivation) -> None:
        super().__init__()
        self.characters, self.places = nn.Embedding(characters, 64), nn.Embedding(CONTEXT, 64)
        self.blocks = nn.Sequential(*(Block(64, activation) for _ in range(2)))
        self.out = nn.Sequential(nn.LayerNorm(64), nn.Linear(64, characters))

    def forward(self, text: Tensor) -> Tensor:
        out: Tensor = self.out(self.blocks(self.characters(text) + self.places.weight))
        return out


def end_on_text(text: Tensor, asked: Options, activation: MakeActivation, seed: int) -> float:
    """Train a transformer; return the loss in nats per character on the last tenth of the text."""
    torch.manual_seed(seed)
    model = Transformer(int(text.max()) + 1, activation)
    optimiser = torch.optim.AdamW(model.parameters(), lr=3e-3, fused=True)
    cut, order = len(text) * 9 // 10, torch.Generator().manual_seed(seed)
    for _ in range(2 if asked.quick else 300):
        starts = torch.randint(cut - CONTEXT - 1, (BATCH,), generator=order)
        optimiser.zero_grad()
        torch.autograd.backward(loss_on(model, text, starts))
        optimiser.step()
    with torch.no_grad():
        return float(loss_on(model, text, torch.arange(cut, len(text) - CONTEXT - 1, CONTEXT)[:256]))


def loss_on(model: nn.Module, text: Tensor, starts: Tensor) -> Tensor:
    windows = text[starts[:, None] + torch.arange(CONTEXT + 1)]
    return functional.cross_entropy(model(windows[:, :-1]).flatten(0, 1), windows[:, 1:].flatten())


def characters_of(file: Path) -> Tensor:
    """Encode the text, one number for each character."""
    text = file.read_text(encoding="utf-8")
    numbers = {character: number for number, character in enumerate(sorted(set(text)))}
    return torch.tensor([numbers[character] for character in text])


def settings(asked: Options, text: Path | None) -> Iterator[Setting]:
    networks = ((perceptron, "gelu"), (perceptron, "silu"), (convolutions, "gelu"))
    for network, activation in networks[:1] if asked.quick else networks:
        end = partial(end_on_digits, network, asked)
        yield Setting(f"digits, {network.__name__}", activation, "%", asked.repeats(10), end)
    if text is None:
        print("no text was named (--text FILE): the transformer is left out", file=sys.stderr)
        return
    digest = sha256(text.read_bytes()).hexdigest()[:12]
    end = partial(end_on_text, characters_of(text), asked)
    yield Setting(f"text {digest}, transformer", "gelu", "nats", asked.repeats(8), end)


def measured(asked: Options, text: Path | None) -> Iterator[Row]:
    for setting in settings(asked, text):
        ends: dict[int | None, list[float]] = {}
        for bits in (None, 3) if asked.quick else BITS:
            activation = activation_of(setting.activation, bits)
            ends[bits] = [setting.end(activation, seed) for seed in range(setting.seeds)]
            contender = f"{setting.activation}, " + ("exact" if bits is None else counted(bits))
            print(f"{setting.name}: {contender} done", file=sys.stderr)
            note = noise_of(ends[None]) if bits is None else difference(ends[bits], ends[None])
            spread = percentiles_of(ends[bits])
            yield row(setting.name, contender, unit=setting.unit, measured=spread, dtype="float32", note=note)


def counted(bits: int) -> str:
    return f"{bits} bit{'s' * (bits > 1)}"


def activation_of(name: str, bits: int | None) -> MakeActivation:
    return partial(actlab.module, name) if bits is None else partial(actlab.nn.FewBit, name, bits=bits)


def noise_of(ends: list[float]) -> str:
    return f"{len(ends)} seeds spread by {stdev(ends):.4f}"


def difference(ends: list[float], exact: list[float]) -> str:
    """Compare few-bit with exact memory seed by seed."""
    test = SignedRank(tuple(one - other for one, other in zip(ends, exact, strict=True)))
    interval = test.interval(0.05)
    inside = f"95 % interval {interval.low:+.4f} to {interval.high:+.4f}, p = {test.p:.3f}"
    return f"minus exact: {mean(test.differences):+.4f}, {inside}, {len(ends)} paired seeds"


def main() -> None:
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--text", type=Path, default=os.environ.get("ACTLAB_BENCH_TEXT"))
    own, others = parser.parse_known_args()
    asked = options(__doc__ or "", others)
    text = None if own.text is None else Path(own.text)
    record("few_bit", measured(asked, text or (ROOT / "README.md" if asked.quick else None)), asked=asked)


if __name__ == "__main__":
    main()
