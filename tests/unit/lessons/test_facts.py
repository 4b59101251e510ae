"""Every fact of lessons 1 to 6, recomputed without the program: with mpmath, or from the pages and rows it quotes."""

from __future__ import annotations

import csv
import re
from functools import lru_cache
from pathlib import Path

import pytest
from mpmath import mp

from actlab.lessons import generate
from actlab.lessons.facts import FACTS
from actlab.lessons.fill import Use, uses
from actlab.lessons.lesson import FOLDER, files
from actlab.lessons.measured import measured

ROOT = Path(__file__).parents[3]


def sigmoid(x):
    return 1 / (1 + mp.exp(-x))


def relu(x):
    return max(x, mp.mpf(0))


LAMBDA, ALPHA = mp.mpf("1.0507009873554804934193349852946"), mp.mpf("1.6732632423543772848170429916717")

# Each formula that a lesson names, written again from its definition.
FUNCTIONS = {
    "sigmoid": lambda x: sigmoid(x),
    "tanh": lambda x: (mp.exp(x) - mp.exp(-x)) / (mp.exp(x) + mp.exp(-x)),
    "relu": relu,
    "identity": lambda x: x,
    "x": lambda x: x,
    "softplus": lambda x: mp.log(1 + mp.exp(x)),
    "elu": lambda x, alpha=1: x if x > 0 else alpha * (mp.exp(x) - 1),
    "selu": lambda x: LAMBDA * (x if x > 0 else ALPHA * (mp.exp(x) - 1)),
    "leaky_relu": lambda x: x if x > 0 else x / 100,
    "keras:leaky_relu": lambda x: x if x > 0 else x / 5,
    "prelu": lambda x, weight=0.25: x if x > 0 else weight * x,
    "exp(x)": mp.exp,
    "tanh(x)^2": lambda x: mp.tanh(x) ** 2,
    "1-tanh(x)": lambda x: 1 - mp.tanh(x),
    "tanh(x)*(1-tanh(x))": lambda x: mp.tanh(x) * (1 - mp.tanh(x)),
    "2*sigmoid(2*x)-1": lambda x: 2 / (1 + mp.exp(-2 * x)) - 1,
    "sigmoid(2*x-1)": lambda x: 1 / (1 + mp.exp(1 - 2 * x)),
    "sigmoid(6*x-3)": lambda x: 1 / (1 + mp.exp(3 - 6 * x)),
    "3*(2*x+1)-4": lambda x: 3 * (2 * x + 1) - 4,
    "6*x-1": lambda x: 6 * x - 1,
    "relu(x+1)-2*relu(x)+relu(x-1)": lambda x: max(x + 1, 0) - 2 * max(x, 0) + max(x - 1, 0),
    "where(x>0,x,-log(1-x))": lambda x: x if x > 0 else -mp.log(1 - x),
}
# The derivative that PyTorch takes at a kink, where a difference quotient finds none.
AT_KINKS = {("relu", 0): 0}
# What is approached at both ends.
BOUNDS = {"sigmoid": (0, 1), "tanh": (-1, 1), "elu": (-1, mp.inf), "selu": (-LAMBDA * ALPHA, mp.inf)}


def value(name, x, **params):
    return FUNCTIONS[name](mp.mpf(x), **params)


def slope(name, x, **params):
    return AT_KINKS.get((name, x), mp.diff(lambda at: FUNCTIONS[name](at, **params), x, h=mp.mpf("1e-12")))


@lru_cache
def expected(name, power=1, *, of_slope=False):
    """The mean of a power of an activation, or of its derivative, of a standard normal number."""

    def integrand(z):
        found = mp.diff(FUNCTIONS[name], z, h=mp.mpf("1e-12")) if of_slope else FUNCTIONS[name](z)
        return found**power * mp.npdf(z)

    return mp.quad(integrand, [-12, -4, 0, 4, 12])


def variance(name):
    return expected(name, 2) - expected(name) ** 2


def largest_slope(name):
    return max(abs(slope(name, mp.mpf(k) / 10 + mp.mpf("1e-9") * (k == 0))) for k in range(-100, 101))


def neuron(name, bias, *pairs):
    return value(name, bias + sum(pairs[k] * pairs[k + 1] for k in range(0, len(pairs), 2)))


def exclusive_or(one, two):
    return (one + two) % 2


def tables(study):
    """The tables of a study's page as dictionaries: row and column to the text of a cell."""
    found, head = [], None
    for line in (ROOT / "docs" / "studies" / f"{study}.md").read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.split("|")[1:-1]]
        if not cells:
            head = None
        elif head is None:
            head = cells
            found.append({})
        elif set(line) - set("|-: "):
            found[-1] |= {(cells[0], column): cell for column, cell in zip(head, cells, strict=True)}
    return found


def study(name, table, row, column):
    row = row if isinstance(row, str) else f"{row:g}"
    return float(re.match(r"[-+.\de]+", tables(name)[int(table) - 1][row, column])[0])


def dead_shares(name):
    found = [(row, cell) for table in tables(name) for (row, column), cell in table.items() if "dead" in column]
    return [float(cell.split()[0]) for row, cell in found if row != "before training"]


@lru_cache
def microseconds(name, direction="forward", contender="eager"):
    with (ROOT / "bench" / "results" / "speed.csv").open(encoding="utf-8") as file:
        rows = [
            row
            for row in csv.DictReader(file)
            if (row["name"], row["direction"], row["contender"]) == (name, direction, contender)
            and (row["shape"], row["dtype"], row["threads"]) == ("1000000", "float32", "2")
            and "AMD" in row["device"]
        ]
    return 1e6 * float(max(rows, key=lambda row: row["date"])["median"])


def zero_gradient_from(name, dtype):
    """The smallest 16-bit number at which the output rounds to 1: PyTorch's gradient has the factor 1 - y."""
    assert dtype == "bfloat16"
    # from 1 to 8 the numbers have steps of 2⁻⁷ to 2⁻⁵; below 1 they have steps of 2⁻⁸, and ties go to 1
    places = (mp.ldexp(step, power - 7) for power in range(3) for step in range(128, 256))
    return next(x for x in places if FUNCTIONS[name](x) >= 1 - mp.ldexp(1, -9))


ORACLES = {
    "condition": lambda name, units: 1 + units * expected(name) ** 2 / variance(name),
    "count": lambda name: len(dead_shares(name)),
    "exclusive_or": exclusive_or,
    "gain": lambda name: 1 / mp.sqrt(expected(name, 2)),
    "infimum": lambda name: BOUNDS[name][0],
    "largest_slope": largest_slope,
    "mean": expected,
    "microseconds": microseconds,
    "neuron": neuron,
    "over": lambda name, percent: sum(share > percent for share in dead_shares(name)),
    "product": lambda factor, layers: factor**layers,
    "slope": slope,
    "slope_square": lambda name: expected(name, 2, of_slope=True),
    "square": lambda name: expected(name, 2),
    "study": study,
    "supremum": lambda name: BOUNDS[name][1],
    "times": lambda one, other, direction="forward": microseconds(one, direction) / microseconds(other, direction),
    "value": value,
    "variance": variance,
    "zero_gradient_from": zero_gradient_from,
}

FIRST_SIX = [file for file in files(FOLDER) if int(file.name[:2]) <= 6]
USES = sorted({use for file in FIRST_SIX for use in uses(file.read_text(encoding="utf-8"))}, key=repr)
BY_NAME = {name: [use for use in USES if use.name == name] for name in sorted({use.name for use in USES})}


@pytest.mark.parametrize("name", BY_NAME)
def test_facts_agree_with_an_independent_computation(name: str):
    for use in BY_NAME[name]:
        exact = ORACLES[name](*use.args, **dict(use.named))
        assert use.value() == pytest.approx(float(exact), rel=1e-6, abs=1e-9), use


def test_every_fact_has_an_independent_computation():
    assert set(ORACLES) == set(FACTS)


def test_wrong_fact_would_be_noticed():
    wrong = Use("slope", ("tanh", 1.0), (), ".4g")
    assert wrong.value() != pytest.approx(float(1 - mp.tanh(1)), rel=1e-6)


def test_stored_results_are_those_of_the_studies_and_benchmarks():
    assert generate.written() == measured(), "run python -m actlab.lessons.generate"
