"""Computed lines of the lessons on training, by the name that a figure's state calls them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from itertools import combinations

import numpy as np
import torch

from actlab.lessons.lines import Lines, Series, Setting
from actlab.lessons.signal import DEFAULT_WEIGHTS, SETTINGS, shares
from actlab.lessons.state import State
from actlab.lessons.training_facts import (
    ERROR,
    cross_entropy,
    lead_of_luck,
    smallest_p,
    softmax,
    softmax_slope,
)
from actlab.lessons.training_numbers import number

STUDIED = ("relu", "leaky_relu", "hard_swish", "gelu", "silu", "mish", "tanh")
TASKS = ("digits-relu", "diabetes", "breast-cancer", "wine", "phoneme")
LOGITS = np.linspace(-8, 8, 33)


def noise(state: State) -> Lines:
    """Return what noise costs each activation of the study of smooth activations."""
    sources = (
        ("in the inputs of the test", "smooth-inputs", {0.1: "noise-0.1", 0.3: "noise-0.3", 1.0: "noise-1"}),
        ("in the training labels", "smooth-labels", {0.2: "20-wrong-labels", 0.4: "40-wrong-labels"}),
    )
    names = state.texts("f") or STUDIED
    settings = [
        Setting(
            label,
            [0.0, *columns],
            [Series(name, [0.0, *(number(table, name, column) for column in columns.values())]) for name in names],
        )
        for label, table, columns in sources
    ]
    return Lines(
        "noise (share)",
        "change of the test accuracy (points)",
        "noise",
        settings,
    )


def softmax_probabilities(state: State) -> Lines:
    """Return the three probabilities of softmax as the first logit moves; the others are 1 and 0."""
    return _of_logits("probability", lambda at, logits: softmax(at, *logits))


def softmax_derivatives(state: State) -> Lines:
    """Return the derivatives of all three probabilities with respect to the first logit."""
    return _of_logits("derivative by the first logit", lambda at, logits: softmax_slope(at, 1, *logits))


def _of_logits(label: str, at: Callable[[int, Sequence[float]], float]) -> Lines:
    """Return a quantity of each class, for three temperatures by which the logits are divided."""
    settings = []
    for temperature in (1.0, 0.5, 2.0):
        rows = [[float(z) / temperature, 1 / temperature, 0.0] for z in LOGITS]
        scale = 1 / temperature if label.startswith("derivative") else 1.0
        series = [Series(f"class {one}", [scale * at(one, row) for row in rows]) for one in (1, 2, 3)]
        settings.append(Setting(f"{temperature:g}", LOGITS.tolist(), series))
    return Lines("first logit; the others are 1 and 0", label, "temperature", settings)


def softmax_twice(state: State) -> Lines:
    """Return the cross-entropy as the right class's logit grows: of logits, and of probabilities taken for logits."""
    settings = []
    for classes in (10, 2, 100, 1000):
        once, twice = [], []
        for z in LOGITS:
            others = [0.0] * (classes - 1)
            right, rest = softmax(1, z, *others), softmax(2, z, *others)
            once.append(cross_entropy(1, z, *others))
            twice.append(cross_entropy(1, right, *[rest] * (classes - 1)))
        series = [Series("logits, as it should be", once), Series("softmax before the loss", twice)]
        settings.append(Setting(f"{classes}", LOGITS.tolist(), series))
    return Lines("logit of the right class; the others are 0", "loss (nats)", "classes", settings)


def wrong_and_sure(state: State) -> Lines:
    """Return the derivative of two losses behind a sigmoid with respect to the logit."""
    p = 1 / (1 + np.exp(-LOGITS))
    settings = []
    for target in (1, 0):
        series = [
            Series("cross-entropy", (p - target).tolist()),
            Series("squared error", (2 * (p - target) * p * (1 - p)).tolist()),
        ]
        settings.append(Setting(f"{target}", LOGITS.tolist(), series))
    return Lines("logit", "derivative of the loss", "target", settings)


def gradients_by_weights(state: State) -> Lines:
    """Return the size of the gradient from layer to layer before training, for several spreads of the weights."""
    spreads = {"1/3, PyTorch's own": 1 / 3, "1": 1.0, "2": 2.0, "4": 4.0, "16": 16.0}
    return _gradients(state, {label: ("default", spread) for label, spread in spreads.items()}, "spread of the weights")


def gradients_by_remedy(state: State) -> Lines:
    """Return the size of the gradient from layer to layer before training, without and with a remedy."""
    labels = ("none", "weights drawn by the gain", "batch normalization", "residual connections")
    remedies = {label: (setting, DEFAULT_WEIGHTS) for label, setting in zip(labels, SETTINGS, strict=True)}
    return _gradients(state, remedies, "remedy")


def _gradients(state: State, settings: Mapping[str, tuple[str, float]], choice: str) -> Lines:
    layers = state.count("layers", 8, most=50)
    names = state.texts("f") or ("sigmoid", "tanh", "relu")
    x = list(range(1, layers + 1))
    found = [
        Setting(label, x, [Series(name, shares(name, layers, setting=setting, weights=weights)) for name in names])
        for label, (setting, weights) in settings.items()
    ]
    return Lines("layer", "share of the last layer's gradient", choice, found, log=True)


def depth(state: State) -> Lines:
    """Return the test accuracy of the study of depth by hidden layers."""
    arms = state.texts("arm") or ("sigmoid", "tanh", "relu")
    layers = (1, 2, 3, 4, 6, 8)
    ends = {"mean over the seeds": "value", "lower end of the interval": "low", "upper end of the interval": "high"}
    settings = [
        Setting(label, list(layers), [Series(arm, [_end("depth", each, arm, end) for each in layers]) for arm in arms])
        for label, end in ends.items()
    ]
    return Lines("hidden layers", "test accuracy (%)", "what is drawn", settings)


def _end(table: str, row: float, column: str, end: str) -> float:
    """Return an end of an interval; a number without one did not vary over the seeds."""
    try:
        return number(table, row, column, end)
    except ValueError:
        return number(table, row, column)


def clipping(state: State) -> Lines:
    """Return the norm of a gradient after clipping by the norm before it."""
    x = np.linspace(0, 10, 21)
    settings = [
        Setting(
            f"{limit:g}", x.tolist(), [Series("clipped", np.minimum(x, limit).tolist()), Series("as it is", x.tolist())]
        )
        for limit in (1.0, 0.1, 5.0)
    ]
    return Lines("norm of the gradient", "norm after clipping", "largest norm", settings)


def speed(state: State) -> Lines:
    """Return the time of PyTorch's own activations by size, in copies of the same tensor."""
    names = state.texts("f") or ("relu", "sigmoid", "tanh", "gelu", "elu", "mish")
    machines = {"Intel Xeon": ("speed-intel", (5, 6)), "AMD EPYC": ("speed-amd", (3, 4, 5, 6))}
    settings = [
        Setting(
            label,
            list(powers),
            [Series(name, [number(table, name, f"forward-{10**n}") for n in powers]) for name in names],
        )
        for label, (table, powers) in machines.items()
    ]
    return Lines("elements, as a power of ten", "time forward (copies)", "processor", settings, log=True)


def sixteen_bits(state: State) -> Lines:
    """Return PyTorch's gradient of sigmoid and tanh in 16 and 32 bits; where it is exactly 0, the line ends."""
    settings = []
    for name in ("sigmoid", "tanh"):
        x = np.linspace(0, 20, 81)
        series = [
            Series(f"{dtype}".removeprefix("torch."), np.where(found > 0, found, np.nan).tolist())
            for dtype in (torch.float32, torch.float16, torch.bfloat16)
            for found in [_gradient_in(name, dtype, x)]
        ]
        settings.append(Setting(name, x.tolist(), series))
    return Lines("input", "gradient", "activation", settings, log=True)


def _gradient_in(name: str, dtype: torch.dtype, x: np.ndarray) -> np.ndarray:
    """Return PyTorch's own gradient of sigmoid or tanh at numbers rounded to a dtype."""
    places = torch.tensor(x).to(dtype).requires_grad_()
    (gradient,) = torch.autograd.grad(getattr(torch, name)(places).sum(), places)
    return np.asarray(gradient.double())


def gated_sizes(state: State) -> Lines:
    """Return the parameters of a feed-forward network in a transformer, ordinary and gated, in millions."""
    width = np.linspace(0, 4096, 17)
    settings = []
    for label, ratio in (("4 units per input", 4.0), ("8/3 units per input", 8 / 3)):
        series = [
            Series("ordinary, 4 units per input", (2 * 4 * width**2 / 1e6).tolist()),
            Series("gated", (3 * ratio * width**2 / 1e6).tolist()),
        ]
        settings.append(Setting(label, width.tolist(), series))
    return Lines("inputs of the network", "parameters (millions)", "width of the gated network", settings)


def least_p(state: State) -> Lines:
    """Return the smallest p-value by seeds, and the level that it must reach by Holm's first step."""
    seeds = list(range(2, 16))
    settings = []
    for candidates in (1, 3, 8):
        level = Series("level to reach", [ERROR / candidates] * len(seeds))
        settings.append(
            Setting(f"{candidates}", seeds, [Series("smallest p-value", [smallest_p(each) for each in seeds]), level])
        )
    return Lines("seeds", "p-value", "candidates", settings, log=True)


def luck(state: State) -> Lines:
    """Return the expected lead of the best of equally good arms over their mean."""
    arms = list(range(1, 31))
    settings = [
        Setting(f"{seeds}", arms, [Series("lead by luck", [lead_of_luck(each, seeds) for each in arms])])
        for seeds in (1, 5, 10, 30)
    ]
    return Lines("equally good arms", "lead of the best (deviations of one run)", "seeds", settings)


def places(state: State) -> Lines:
    """Return the places of seven activations on two tasks: lines that cross are pairs whose order changes."""
    names = ("relu", "leaky_relu", "elu", "silu", "gelu", "tanh", "sigmoid")
    settings = [
        Setting(
            f"{one}, {two}",
            [1, 2],
            [Series(name, [number("places", name, task) for task in (one, two)]) for name in names],
        )
        for one, two in combinations(TASKS, 2)
    ]
    return Lines("task: first or second", "place (1 is the best)", "tasks", settings, first=3)


def dead(state: State) -> Lines:
    """Return the share of dead ReLU units at the end of training by learning rate, of the study of dead units."""
    rates = {
        "adam": (0.0003, 0.00095, 0.003, 0.0095, 0.03),
        "momentum": (0.003, 0.0095, 0.03, 0.095, 0.3),
        "sgd": (0.01, 0.032, 0.1, 0.32, 1.0),
    }
    settings = [
        Setting(
            optimizer,
            [math.log10(rate) for rate in tried],
            [
                Series(
                    f"{layers} layers", [number(f"dead-{optimizer}", rate, f"{layers}-layers-dead") for rate in tried]
                )
                for layers in (2, 4, 8)
            ],
        )
        for optimizer, tried in rates.items()
    ]
    return Lines("learning rate, as a power of ten", "dead units (%)", "optimizer", settings)


FIGURES: Mapping[str, Callable[[State], Lines]] = {
    "clipping": clipping,
    "dead": dead,
    "depth": depth,
    "gated_sizes": gated_sizes,
    "gradients_by_remedy": gradients_by_remedy,
    "gradients_by_weights": gradients_by_weights,
    "least_p": least_p,
    "luck": luck,
    "noise": noise,
    "places": places,
    "sixteen_bits": sixteen_bits,
    "softmax_derivatives": softmax_derivatives,
    "softmax_probabilities": softmax_probabilities,
    "softmax_twice": softmax_twice,
    "speed": speed,
    "wrong_and_sure": wrong_and_sure,
}
"""Every figure of the lessons on training, by name."""
