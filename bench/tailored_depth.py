"""Does a plain network of 50 layers train once its activation is tailored to its depth and its weights are initialized?

A multilayer perceptron without shortcuts or normalization on the handwritten digits, with tanh and with ReLU. Both
contenders begin with PyTorch's default weights of the same seed and take the same batches in the same order: `default`
trains as it is, `tailored` after `actlab.tailor` and `actlab.initialize(..., "orthogonal")`. The accuracy is that on
the validation images after the last epoch; the seconds include tailoring.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

import torch
from harness import Options, Row, options, percentiles_of, record, row
from sklearn.datasets import load_digits
from torch import Tensor, nn

import actlab

DEPTH, WIDTH = 50, 128
RATE, BATCH, EPOCHS = 3e-4, 64, 10
TRAINED = 1300
METHODS: Mapping[str, tuple[Callable[[], nn.Module], str]] = {"tanh": (nn.Tanh, "dks"), "relu": (nn.ReLU, "tat")}


def digits() -> tuple[Tensor, Tensor]:
    """Return the images, each with a mean square of 1, and their classes."""
    inputs, classes = load_digits(return_X_y=True)
    images = torch.tensor(inputs, dtype=torch.float32)
    images = images - images.mean()
    return images / images.square().mean(dim=1, keepdim=True).sqrt(), torch.tensor(classes)


def network(activation: Callable[[], nn.Module], *, depth: int) -> nn.Module:
    """Return a network with so many layers of weights."""
    layers: list[nn.Module] = []
    for inputs in (64, *[WIDTH] * (depth - 2)):
        layers += [nn.Linear(inputs, WIDTH), activation()]
    return nn.Sequential(*layers, nn.Linear(WIDTH, 10))


def accuracy(model: nn.Module, data: tuple[Tensor, Tensor], *, seed: int, epochs: int) -> float:
    """Train the model and return the share of validation images that it classifies correctly."""
    images, classes = data
    numbers = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(images), generator=numbers)
    trained, validation = order[:TRAINED], order[TRAINED:]
    optimizer = torch.optim.Adam(model.parameters(), lr=RATE)
    steps = epochs * -(-TRAINED // BATCH)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for _ in range(epochs):
        for batch in trained[torch.randperm(TRAINED, generator=numbers)].split(BATCH):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(images[batch]), classes[batch]).backward()
            optimizer.step()
            schedule.step()
    with torch.no_grad():
        return float((model(images[validation]).argmax(1) == classes[validation]).float().mean())


def trained(name: str, *, seed: int, is_tailored: bool, asked: Options) -> tuple[float, float]:
    """Return the accuracy of one run, and its seconds."""
    data = digits()
    activation, method = METHODS[name]
    torch.manual_seed(seed)
    model = network(activation, depth=5 if asked.quick else DEPTH)
    start = time.perf_counter()
    if is_tailored:
        batch = data[0][:512]
        model = actlab.tailor(name, model=model, batch=batch, method=method).apply(model)
        actlab.initialize(model, batch, "orthogonal", seed=seed)
    reached = accuracy(model, data, seed=seed, epochs=1 if asked.quick else EPOCHS)
    return reached, time.perf_counter() - start


def measured(name: str, asked: Options) -> list[Row]:
    method = METHODS[name][1]
    seeds = range(1 if asked.quick else 5)
    runs = {
        contender: [trained(name, seed=seed, is_tailored=contender == "tailored", asked=asked) for seed in seeds]
        for contender in ("default", "tailored")
    }
    gains = [after[0] - before[0] for before, after in zip(runs["default"], runs["tailored"], strict=True)]
    question, shape = f"digits, {name}", f"{DEPTH} layers of {WIDTH} units"
    rows = []
    for contender, found in runs.items():
        reached, seconds = ([each[at] for each in found] for at in (0, 1))
        note = f"{method}; each seed: {' '.join(f'{each:.3f}' for each in reached)}"
        for unit, values, text in (("accuracy", reached, note), ("s", seconds, method)):
            spread = percentiles_of(values)
            rows.append(row(question, contender, unit=unit, measured=spread, dtype="float32", shape=shape, note=text))
    least = f"{len(gains)} paired seeds; least {min(gains):.3f}"
    both = "tailored - default"
    spread = percentiles_of(gains)
    rows.append(row(question, both, unit="accuracy", measured=spread, dtype="float32", shape=shape, note=least))
    return rows


if __name__ == "__main__":
    asked = options(__doc__, parts=tuple(METHODS))
    for name in [asked.only] if asked.only else METHODS:
        record("tailored_depth", measured(name, asked), asked=asked)
