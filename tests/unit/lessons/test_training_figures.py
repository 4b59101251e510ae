"""Every computed figure of the lessons on training, against a computation that shares nothing with it."""

from __future__ import annotations

import csv
import math
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch

from actlab.errors import BadInput
from actlab.lessons import draw
from actlab.lessons.lesson import FOLDER, read
from actlab.lessons.lines import Lines, Setting
from actlab.lessons.state import State
from actlab.lessons.training_figures import FIGURES
from actlab.train.playground.state import parse
from actlab.train.playground.training import Training

TEXTS = sorted([*FOLDER.glob("0[789]-*.md"), *FOLDER.glob("1[012]-*.md"), FOLDER / "questions.md"])
STATES = {
    figure.state.query: figure.state
    for text in TEXTS
    for figure in read(text).figures
    if figure.state.text("lines") in FIGURES
}


def drawn(query: str) -> Lines:
    state = State(query)
    return FIGURES[state.text("lines")](state)


def settings(name: str) -> Iterator[tuple[Setting, dict[str, np.ndarray]]]:
    for setting in drawn(f"lines={name}").settings:
        yield setting, {each.label: np.array(each.y) for each in setting.series}


def is_near(found: np.ndarray, expected: object) -> bool:
    return bool(np.allclose(found, np.asarray(expected), rtol=1e-6, atol=1e-12, equal_nan=True))


def test_every_figure_is_used_and_can_be_drawn():
    assert {state.text("lines") for state in STATES.values()} == set(FIGURES)
    for text in TEXTS:
        for figure in read(text).figures:
            if figure.kind != "playground":
                assert {"function": draw.function, "lines": draw.lines}[figure.kind](figure.state)


@pytest.mark.parametrize("query", sorted(STATES))
def test_settings_of_a_figure_have_the_same_lines(query: str):
    found = drawn(query)
    labels = [each.label for each in found.settings[0].series]
    assert len(found.settings) > 1
    assert found.choice
    for setting in found.settings:
        assert [each.label for each in setting.series] == labels
        assert all(len(each.y) == len(setting.x) for each in setting.series)
        assert not found.log or all(value > 0 or math.isnan(value) for each in setting.series for value in each.y)


def test_probabilities_and_their_derivatives():
    for (setting, ps), (_, slopes) in zip(
        settings("softmax_probabilities"), settings("softmax_derivatives"), strict=True
    ):
        logits = torch.tensor([[z, 1.0, 0.0] for z in setting.x], dtype=torch.float64, requires_grad=True)
        expected = torch.softmax(logits / float(setting.label), dim=1)
        for number in range(3):
            (gradient,) = torch.autograd.grad(expected[:, number].sum(), logits, retain_graph=True)
            assert is_near(ps[f"class {number + 1}"], expected[:, number].detach())
            assert is_near(slopes[f"class {number + 1}"], gradient[:, 0])


def test_losses_of_a_softmax_applied_once_and_twice():
    for setting, found in settings("softmax_twice"):
        logits = torch.zeros(len(setting.x), int(setting.label), dtype=torch.float64)
        logits[:, 0] = torch.tensor(setting.x)
        right = torch.zeros(len(setting.x), dtype=torch.long)
        once, twice = (
            torch.nn.functional.cross_entropy(each, right, reduction="none")
            for each in (logits, torch.softmax(logits, dim=1))
        )
        assert is_near(found["logits, as it should be"], once)
        assert is_near(found["softmax before the loss"], twice)


def test_derivatives_of_two_losses_behind_a_sigmoid():
    for setting, found in settings("wrong_and_sure"):
        z = torch.tensor(setting.x, dtype=torch.float64, requires_grad=True)
        target = torch.full_like(z, float(setting.label))
        losses = {
            "cross-entropy": torch.nn.functional.binary_cross_entropy_with_logits(z, target, reduction="sum"),
            "squared error": ((torch.sigmoid(z) - target) ** 2).sum(),
        }
        for name, loss in losses.items():
            assert is_near(found[name], torch.autograd.grad(loss, z)[0])


@pytest.mark.parametrize(
    ("remedy", "factor"),
    [
        ("none", math.sqrt(1 / 6)),
        ("weights drawn by the gain", 1.0),
        ("batch normalization", math.sqrt(math.pi / (math.pi - 1))),
        ("residual connections", math.sqrt(7 / 6)),
    ],
)
def test_gradients_of_relu_have_closed_forms(remedy: str, factor: float):
    found = next(lines for setting, lines in settings("gradients_by_remedy") if setting.label == remedy)
    assert is_near(found["relu"], [factor ** (8 - layer) for layer in range(1, 9)])


def test_gradients_of_relu_by_weights_have_closed_forms():
    for setting, found in settings("gradients_by_weights"):
        spread = {"1/3, PyTorch's own": 1 / 3}.get(setting.label) or float(setting.label)
        assert is_near(found["relu"], [math.sqrt(spread / 2) ** (8 - layer) for layer in range(1, 9)])


def test_sixteen_bits_are_those_of_pytorch():
    for setting, found in settings("sixteen_bits"):
        x = torch.tensor(setting.x)
        for name, dtype in (("float16", torch.float16), ("bfloat16", torch.bfloat16)):
            # The derivative as PyTorch computes it: from the output, rounded, then rounded again.
            y = getattr(torch, setting.label)(x.to(dtype))
            wide = y.to(torch.float32)
            slope = (1 - wide) * wide if setting.label == "sigmoid" else 1 - wide**2
            expected = slope.to(dtype).double()
            is_zero = np.isnan(found[name])
            assert is_zero.any()
            assert bool((expected.numpy()[is_zero] == 0).all())
            assert np.allclose(found[name][~is_zero], expected.numpy()[~is_zero], rtol=0.02)


def test_sizes_luck_and_clipping():
    for setting, found in settings("gated_sizes"):
        units = {"4 units per input": 4, "8/3 units per input": 8 / 3}[setting.label]
        d = np.array(setting.x)
        assert is_near(found["gated"], (2 * d * units * d + units * d * d) / 1e6)
        assert is_near(found["ordinary, 4 units per input"], (d * 4 * d + 4 * d * d) / 1e6)
    for setting, found in settings("luck"):
        assert setting.x[:3] == [1, 2, 3]
        root = math.sqrt(float(setting.label) * math.pi)
        assert is_near(found["lead by luck"][:3], [0, 1 / root, 1.5 / root])
    for setting, found in settings("clipping"):
        for norm, used in zip(setting.x, found["clipped"], strict=True):
            parameter = torch.nn.Parameter(torch.zeros(1, dtype=torch.float64))
            parameter.grad = torch.tensor([norm], dtype=torch.float64)
            torch.nn.utils.clip_grad_norm_([parameter], float(setting.label))
            assert used == pytest.approx(parameter.grad.item(), abs=1e-5)
    for setting, found in settings("least_p"):
        assert is_near(found["smallest p-value"], [2.0 ** (1 - n) for n in setting.x])
        assert is_near(found["level to reach"], [0.05 / int(setting.label)] * len(setting.x))


def cells(page: str, before: str) -> dict[str, dict[str, list[float]]]:
    """Read the first table behind a text of a study's page: its numbers by row and column."""
    text = (FOLDER.parents[2] / "docs" / "studies" / f"{page}.md").read_text(encoding="utf-8").partition(before)[2]
    lines = [line.strip("| ").split(" | ") for line in text[text.index("|") :].partition("\n\n")[0].splitlines()]

    def numbers(cell: str) -> list[float]:
        words = [word.strip("(),") for word in cell.split()]
        return [float(word) for word in words if word.lstrip("+-").replace(".", "", 1).isdigit()]

    return {row[0]: dict(zip(lines[0][1:], map(numbers, row[1:]), strict=False)) for row in lines[2:]}


def test_depth_is_that_of_the_study():
    study = cells("depth", "Test accuracy in points")
    query = "lines=depth&arm=sigmoid&arm=sigmoid@norm=batch"
    for at, setting in enumerate(drawn(query).settings):
        for series in setting.series:
            found = [study[f"{layers}"][series.label] for layers in setting.x]
            assert list(series.y) == [numbers[at] if at < len(numbers) else numbers[0] for numbers in found]


def test_noise_places_and_dead_units_are_those_of_the_studies():
    by_row = {name.partition(" ")[0]: row for name, row in cells("smooth", "Means over the seeds").items()}
    (inputs, found), _ = settings("noise")
    assert inputs.x == [0.0, 0.1, 0.3, 1.0]
    for name, y in found.items():
        assert y.tolist() == [0.0, *(by_row[name][f"noise {level}"][0] for level in ("0.1", "0.3", "1"))]
    places = cells("transfer", "Places by the mean")
    for setting, found in settings("places"):
        for name, y in found.items():
            assert y.tolist() == [places[name][task][0] for task in setting.label.split(", ")]
    for setting, found in settings("dead"):
        study = cells("dead-relu", f"**{setting.label}**")
        for layers in (2, 4, 8):
            rates = [10**power for power in setting.x]
            rows = [study[f"{rate:.2g}"][f"{layers} layers: dead, %"][0] for rate in rates]
            assert found[f"{layers} layers"].tolist() == rows


def test_times_are_those_of_the_benchmark(benchmark_of: Callable[[str, str, str], float]):
    for setting, found in settings("speed"):
        for name, y in found.items():
            expected = [benchmark_of(setting.label.split()[0], name, f"{10**power}") for power in setting.x]
            assert is_near(y, expected)


@pytest.fixture(scope="module")
def benchmark_of() -> Callable[[str, str, str], float]:
    with (FOLDER.parents[2] / "bench" / "results" / "speed.csv").open(newline="", encoding="utf-8") as lines:
        rows = [row for row in csv.DictReader(lines) if row["contender"] == "eager" and row["reported"] == "True"]
    of_one_thread = [row for row in rows if row["threads"] == "1" and row["dtype"] == "float32"]
    latest = {
        (row["device"].split()[1].split("(")[0], row["name"], row["shape"]): float(row["median"])
        / float(row["copy_median"])
        for row in of_one_thread
        if row["direction"] == "forward"
    }
    return lambda maker, name, shape: latest[maker, name, shape]


def test_figure_without_a_measurement_is_refused():
    with pytest.raises(BadInput, match="no number 'value' was measured for depth 1 gelu"):
        drawn("lines=depth&arm=gelu")


@pytest.mark.parametrize(
    ("lesson", "activation", "normalization", "learns"),
    [
        ("09-backpropagation", "sigmoid", "none", False),
        ("09-backpropagation", "tanh", "none", True),
        ("10-remedies", "sigmoid", "batch", True),
        ("questions", "identity", "none", False),
        ("questions", "tanh", "none", True),
    ],
)
def test_playground_shows_what_its_caption_says(lesson: str, activation: str, normalization: str, learns: bool):
    (figure,) = (each for each in read(FOLDER / f"{lesson}.md").figures if each.kind == "playground")
    state = parse(figure.state.query)
    assert {layer.normalization for layer in state.layers} == {normalization}
    training = Training(replace(state, layers=tuple(replace(each, activation=activation) for each in state.layers)))
    training.advance(500)
    assert (training.losses().test < 0.2) == learns
