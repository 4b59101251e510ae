"""Every number of the lessons on training, as its texts use it, against a computation that shares nothing with it."""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import mpmath
import numpy as np
import pytest
import torch
from scipy.stats import wilcoxon
from sklearn.datasets import load_digits
from torch import nn

from actlab.errors import BadInput
from actlab.lessons.fill import Use, filled, uses
from actlab.lessons.lesson import FOLDER
from actlab.lessons.signal import shares
from actlab.lessons.training_facts import FACTS

ROOT = Path(__file__).parents[3]
TEXTS = sorted([*FOLDER.glob("0[789]-*.md"), *FOLDER.glob("1[012]-*.md"), FOLDER / "questions.md"])

# Two panels that meet at 0, where relu has its kink.
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(300)
Z = np.concatenate([7 * _NODES - 7, 7 * _NODES + 7])
DENSITY = 7 * np.tile(_WEIGHTS, 2) * np.exp(-(Z**2) / 2) / math.sqrt(2 * math.pi)


def normal_cdf(x: np.ndarray) -> np.ndarray:
    return np.array([math.erfc(-each / math.sqrt(2)) / 2 for each in x])


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


FUNCTIONS: dict[str, tuple[Callable[[np.ndarray], np.ndarray], Callable[[np.ndarray], np.ndarray]]] = {
    "sigmoid": (sigmoid, lambda x: sigmoid(x) * sigmoid(-x)),
    "tanh": (np.tanh, lambda x: 1 - np.tanh(x) ** 2),
    "relu": (lambda x: np.maximum(x, 0), lambda x: (x > 0) * 1.0),
    "gelu": (
        lambda x: x * normal_cdf(x),
        lambda x: normal_cdf(x) + x * np.exp(-(x**2) / 2) / math.sqrt(2 * math.pi),
    ),
}
PRECISE: dict[str, Callable[[Any], Any]] = {
    "relu": lambda x: max(x, 0),
    "leaky_relu": lambda x: x if x > 0 else x / 100,
    "gelu": lambda x: x * mpmath.ncdf(x),
    "gelu_tanh": lambda x: x / 2 * (1 + mpmath.tanh(mpmath.sqrt(2 / mpmath.pi) * (x + mpmath.mpf("0.044715") * x**3))),
    "swish": lambda x: x / (1 + mpmath.exp(-x)),
    "mish": lambda x: x * mpmath.tanh(mpmath.log1p(mpmath.exp(x))),
    "x*sigmoid(1.702*x)": lambda x: x / (1 + mpmath.exp(-1.702 * x)),
}


def arrives(name: str, layers: float, setting: str = "default", weights: float = 1 / 3) -> float:
    function, slope = FUNCTIONS[name]
    biases = 0.0 if setting == "gain" else 1 / 96
    if setting == "gain":
        weights = 1 / float(DENSITY @ function(Z) ** 2)
    received, mean, spread, square = 1.0, 0.0, 1.0, 1.0
    for layer in range(int(layers)):
        x = math.sqrt(1.0 if setting == "batch" else weights * received + biases) * Z
        values, slopes = function(x), float(DENSITY @ slope(x) ** 2)
        expected = float(DENSITY @ values)
        variance = float(DENSITY @ (values - expected) ** 2)
        factor = {"batch": slopes / variance, "residual": 1 + weights * slopes}.get(setting, weights * slopes)
        square *= factor if layer else 1.0
        mean, spread = (mean + expected, spread + variance) if setting == "residual" else (expected, variance)
        received = mean**2 + spread
    return math.sqrt(square)


def softmax(*logits: float) -> list[Any]:
    powers = [mpmath.exp(each) for each in logits]
    return [each / sum(powers) for each in powers]


def softmax_slope(of: float, by: float, *logits: float) -> float:
    def probability(z: Any) -> Any:
        moved = list(logits)
        moved[int(by) - 1] = z
        return softmax(*moved)[int(of) - 1]

    return float(mpmath.diff(probability, logits[int(by) - 1]))


def lowest(name: str) -> float:
    return float(mpmath.findroot(lambda x: mpmath.diff(PRECISE[name], x), -1.0))


def largest_gap(one: str, other: str) -> float:
    grid = np.linspace(-6, 6, 601)

    def gap(x: Any) -> Any:
        return abs(PRECISE[one](x) - PRECISE[other](x))

    best = max(grid, key=gap)
    for step in (1e-3, 1e-5, 1e-7):
        best = max((best + step * move for move in range(-20, 21)), key=gap)
    return float(gap(best))


def slope_jump(name: str) -> float:
    f, tiny = PRECISE[name], mpmath.mpf(10) ** -9
    return float((f(tiny) - f(0)) / tiny - (f(0) - f(-tiny)) / tiny)


def sigmoid_loss_slope(loss: str, logit: float) -> float:
    def of(z: Any) -> Any:
        p = 1 / (1 + mpmath.exp(-z))
        return -mpmath.log(p) if loss == "cross-entropy" else (1 - p) ** 2

    return float(mpmath.diff(of, logit))


def lead_of_luck(arms: float, seeds: float = 1) -> float:
    def integrand(x: Any) -> Any:
        return arms * x * mpmath.npdf(x) * mpmath.ncdf(x) ** (arms - 1)

    return float(mpmath.quad(integrand, [-9, -3, 0, 3, 9]) / mpmath.sqrt(seeds))


def seeds_for_a_claim(candidates: float) -> int:
    return next(n for n in range(1, 50) if 2 / 2**n <= 0.05 / candidates)


def smallest_p(seeds: float) -> float:
    return float(wilcoxon(np.arange(1, seeds + 1), method="exact").pvalue)


def critical_spread(name: str) -> float:
    low, high = 0.1, 1000.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if arrives(name, 8, weights=middle) < 1 else (low, middle)
    return low


# --- What was measured, read afresh from the studies' pages and the benchmarks' files.

PAGES = {
    "depth": ("depth", "Test accuracy in points"),
    "depth-gradient": ("depth", "Size of the loss gradient"),
    "smooth-inputs": ("smooth", "What noise in the inputs"),
    "smooth-labels": ("smooth", "What wrong training labels"),
    "smooth-verdicts": ("smooth", "Verdicts without noise"),
    "gated-sizes": ("shakespeare", "written by shakespeare.py"),
    "gated": ("shakespeare", "| geglu | 85 | 30,481 |"),
    "adult": ("adult", "written by adult.py"),
    "places": ("transfer", "Places by the mean"),
    "dead-sgd": ("dead-relu", "**sgd**"),
    "dead-momentum": ("dead-relu", "**momentum**"),
    "dead-adam": ("dead-relu", "**adam**"),
}


def measured(table: str, row: Any, column: Any, end: str = "value") -> float:
    place = {"value": 0, "low": 1, "high": 2}[end]
    row, column = (each if isinstance(each, str) else f"{each:g}" for each in (row, column))
    numbers = study_cell(table, row, column) if table in PAGES else benchmark(table, row, column)
    return numbers[place]


def study_cell(table: str, row: str, column: str) -> list[float]:
    page, before = PAGES[table]
    text = (ROOT / "docs" / "studies" / f"{page}.md").read_text(encoding="utf-8").partition(before)[2]
    lines = re.search(r"(\|.*\n)+", text.partition("\n\n")[2])
    assert lines is not None
    head, _, *rows = [line.strip("| ").split(" | ") for line in lines[0].splitlines()]
    where = [re.sub(r"\W+", "-", each).strip("-") for each in head]
    at = next(i for i, each in enumerate(where) if re.sub(r"\W+", "-", column) in (each, each.split("-")[0]))
    cells = next(each for each in rows if re.sub(r" \(.*|\W+$", "", each[0]).replace(" ", "-") == row)
    return [float(each.replace(",", "")) for each in re.findall(r"[-+]?\d[\d,.]*(?:e-\d+)?", cells[at])]


def newest(file: str, **wanted: str) -> dict[str, str]:
    with (ROOT / "bench" / "results" / file).open(newline="", encoding="utf-8") as lines:
        return [row for row in csv.DictReader(lines) if all(row[key].startswith(wanted[key]) for key in wanted)][-1]


def benchmark(table: str, row: str, column: str) -> list[float]:
    if table.startswith("speed-"):
        direction, shape = column.split("-")
        device = {"intel": "cpu: Intel", "amd": "cpu: AMD"}[table.removeprefix("speed-")]
        of = {"name": row, "direction": direction, "threads": "1", "dtype": "float32", "device": device}
        with (ROOT / "bench" / "results" / "speed.csv").open(newline="", encoding="utf-8") as lines:
            rows = [
                each
                for each in csv.DictReader(lines)
                if each["contender"] == "eager"
                and each["shape"] == shape
                and each["reported"] == "True"
                and each["name"] == row
                and all(each[key].startswith(of[key]) for key in of)
            ]
        return [float(rows[-1]["median"]) / float(rows[-1]["copy_median"])]
    if table == "memory":
        network, _, activation = row.partition("-")
        contender = {"few-bit-1-bit": "few-bit, 1 bit", "few-bit-4-bits": "few-bit, 4 bits", "as-it-is": "as it is"}
        with (ROOT / "bench" / "results" / "memory.csv").open(newline="", encoding="utf-8") as lines:
            rows = [
                each
                for each in csv.DictReader(lines)
                if each["question"] == f"{network} with {activation}" and each["contender"] == contender[column]
            ]
        return [float(rows[-1]["median"])]
    if table == "step":
        found = newest("real_step.csv", name=row.replace("-", " "), contender=column, threads="1", unit="s")
        return [float(found["median"])]
    if table == "false-claims":
        found = newest("aa.csv", question="identical arms", task=row, arms=column)
        return [float(found["share"]), float(found["low"]), float(found["high"])]
    if table.startswith("power-"):
        effect = f"{float(table.removeprefix('power-'))}"
        found = newest("aa.csv", question="known effect", task=row, arms=column, effect=effect)
        return [float(found["share"]), float(found["low"]), float(found["high"])]
    return sentence(table, row, column)


def sentence(table: str, row: str, column: str) -> list[float]:
    page, words = {
        ("tau", "mean"): ("transfer", r"Mean over all pairs of tasks: (.*?\))"),
        ("winner", "elsewhere"): ("transfer", r"Who takes the winner .* loses (.*)\."),
        ("boosting", "adult"): ("adult", r"Gradient boosting .* has (.*) points on"),
    }[table, row]
    found = re.search(words, (ROOT / "docs" / "studies" / f"{page}.md").read_text(encoding="utf-8"))
    assert found is not None
    numbers = [float(each) for each in re.findall(r"[-+]?\d+\.\d+", found[1])]
    return numbers[1:] if column == "worst" else numbers


ORACLES: dict[str, Callable[..., float]] = {
    "arrives": arrives,
    "critical_spread": critical_spread,
    "cross_entropy": lambda target, *logits: float(-mpmath.log(softmax(*logits)[int(target) - 1])),
    "false_alarm": lambda tests: 1 - 0.95**tests,
    "floor_of_guessing": lambda classes: float(mpmath.log(classes)),
    "floor_of_sigmoid_twice": lambda target: nn.BCEWithLogitsLoss()(
        torch.tensor(target, dtype=torch.float64), torch.tensor(target, dtype=torch.float64)
    ).item(),
    "floor_of_softmax_twice": lambda classes: float(mpmath.log(1 + (classes - 1) / mpmath.e)),
    "largest_gap": largest_gap,
    "lead_of_luck": lead_of_luck,
    "least": lambda name: float(PRECISE[name](lowest(name))),
    "lowest": lowest,
    "measured": measured,
    "per_layer": lambda name, setting="default", weights=1 / 3: arrives(name, 8, setting, weights) ** (1 / 7),
    "pytorch_gain_of_tanh": lambda: 5 / 3,
    "quotient": lambda table, row, column, other, another: (
        measured(table, row, column) / measured(table, other, another)
    ),
    "rows": lambda task: {"digits-relu": len(load_digits().target)}[task],
    "seeds_for_a_claim": seeds_for_a_claim,
    "share_of_operations": lambda width: 12 / (2 * width + 12),
    "sigmoid_loss_slope": sigmoid_loss_slope,
    "slope_jump": slope_jump,
    "slope_power": lambda name, x, layers: float(FUNCTIONS[name][1](np.array([x]))[0] ** layers),
    "smallest_p": smallest_p,
    "softmax": lambda at, *logits: float(softmax(*logits)[int(at) - 1]),
    "softmax_slope": softmax_slope,
}


def used() -> Iterator[Use]:
    found = {use for text in TEXTS for use in uses(text.read_text(encoding="utf-8")) if use.name in FACTS}
    yield from sorted(found, key=str)


USED = list(used())


def test_every_fact_is_used_and_recomputed():
    assert {use.name for use in USED} == set(FACTS) == set(ORACLES)


@pytest.mark.parametrize("name", sorted(ORACLES))
def test_facts_agree_with_an_independent_computation(name: str):
    for use in (use for use in USED if use.name == name):
        expected = ORACLES[name](*use.args, **dict(use.named))
        assert use.value() == pytest.approx(expected, rel=1e-6, abs=1e-12), use


@pytest.mark.parametrize("text", TEXTS, ids=lambda text: text.stem)
def test_prose_holds_no_measured_number_of_its_author(text: Path):
    """A number with a decimal point or a percent sign in the prose comes from a fact."""
    prose = re.sub(r"```figure.*?```", "", text.read_text(encoding="utf-8"), flags=re.DOTALL)
    prose = prose.partition("## Sources")[0].replace("```choice", "").replace("```", "")
    prose = re.sub(r"\{\{.*?\}\}|`[^`]*`|\]\(.*?\)|\$[^$]*\$", "", prose)
    allowed = {"0.05", "0.1", "0.03"}  # the error that is allowed, and the learning rates of a study
    assert set(re.findall(r"\d+\.\d+|\d+ ?%", prose)) <= allowed


@pytest.mark.parametrize("setting", ["default", "gain", "batch", "residual"])
@pytest.mark.parametrize("name", ["sigmoid", "tanh", "relu"])
def test_theory_agrees_with_a_network(name: str, setting: str):
    torch.manual_seed(1)
    width, layers, function = 400, 5, getattr(torch, name)
    x = torch.randn(400, width)
    outputs, gain = [], 1 / math.sqrt(float(DENSITY @ FUNCTIONS[name][0](Z) ** 2))
    for _ in range(layers):
        linear = nn.Linear(width, width)
        nn.init.uniform_(linear.bias, -1 / math.sqrt(32), 1 / math.sqrt(32))
        if setting == "gain":
            nn.init.normal_(linear.weight, 0, gain / math.sqrt(width))
            nn.init.zeros_(linear.bias)
        z = nn.BatchNorm1d(width)(linear(x)) if setting == "batch" else linear(x)
        x = x + function(z) if setting == "residual" else function(z)
        x.retain_grad()
        outputs.append(x)
    scores = nn.Linear(width, 10)(x)
    scores.backward(torch.randn_like(scores))
    sizes = [each.grad.square().mean().sqrt().item() for each in outputs if each.grad is not None]
    assert sizes[0] / sizes[-1] == pytest.approx(shares(name, layers, setting=setting)[0], rel=0.15)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("{{measured depth 5 sigmoid}}", "no number 'value' was measured for depth 5 sigmoid"),
        ("{{measured depth 6 sigmoid low}}", "no number 'low'"),
        ("{{arrives relu 8 warm}}", "a setting is one of default, gain, batch, residual; got 'warm'"),
        ("{{least sigmoid}}", "sigmoid has no known minimum"),
        ("{{slope_jump gelu}}", "gelu has no known kink"),
        ("{{largest_gap softmax relu}}", "two element-wise activations are required; got softmax and relu"),
        ("{{sigmoid_loss_slope hinge 1}}", "the loss must be one of cross-entropy, squared; got 'hinge'"),
        ("{{arrives sign 8}}", "sign"),
    ],
)
def test_what_cannot_be_computed_is_refused(text: str, sentence: str):
    with pytest.raises(BadInput, match=sentence):
        filled(text, "x.md:1")
