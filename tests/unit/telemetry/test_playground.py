"""The frames of a playground show the network as it is, and change nothing."""

from __future__ import annotations

import base64
import json
import math

import pytest
import torch

from actlab.jsonable import plain
from actlab.telemetry.playground import SURFACE, UNIT, frame_of, points_shown, recorded
from actlab.train.playground.state import Layer, State
from actlab.train.playground.training import Training


def bytes_of(text: str) -> torch.Tensor:
    return torch.tensor(list(base64.b64decode(text)))


def test_the_surface_is_the_probability_at_each_pixel():
    training = Training(State())
    training.advance(100)
    surface = bytes_of(frame_of(training).surface).reshape(SURFACE, SURFACE)
    for row, column in ((0, 0), (5, 30), (39, 17)):
        x1, x2 = ((column + 0.5) / SURFACE * 12 - 6), (6 - (row + 0.5) / SURFACE * 12)
        output = training.network.model(torch.tensor([[x1, x2]]).double())
        assert surface[row, column].item() == pytest.approx(255 * torch.sigmoid(output).item(), abs=0.51)


def test_a_unit_is_drawn_over_the_plane():
    training = Training(State(layers=(Layer(2, "relu"),)))
    layer = frame_of(training).layers[0]
    linear, relu = training.network.model[0], training.network.model[1]
    unit = bytes_of(layer.units[1]).reshape(UNIT, UNIT)
    x = torch.tensor([[(7 + 0.5) / UNIT * 12 - 6, 6 - (2 + 0.5) / UNIT * 12]]).double()
    expected = relu(linear(x))[0, 1].item() / layer.sizes[1]
    assert unit[2, 7].item() == pytest.approx(127.5 + 127.5 * expected, abs=0.51)


def test_a_function_has_a_curve():
    training = Training(State(data="function"))
    frame = frame_of(training)
    assert frame.surface == ""
    assert frame.train_accuracy is None
    ends = training.network.model(torch.tensor([[-6.0], [6.0]]).double())
    assert [frame.curve[0], frame.curve[-1]] == pytest.approx(ends.flatten().tolist(), rel=1e-4)


def test_dead_units_are_counted_and_gradients_measured():
    training = Training(State(layers=(Layer(4, "relu"), Layer(3, "tanh"))))
    with torch.no_grad():
        training.network.model[0].bias[:3] = -1000.0  # never above 0 within the plane
    frame = frame_of(training)
    assert [layer.dead_share for layer in frame.layers] == [0.75, 0.0]
    points, model = training.points, training.network.model
    middle = model[1](model[0](points.train_x)).detach().requires_grad_()
    losses = torch.nn.functional.binary_cross_entropy_with_logits(
        model[4](model[3](model[2](middle))).squeeze(1), points.train_y, reduction="none"
    )
    (gradient,) = torch.autograd.grad(losses.sum(), middle)
    assert frame.layers[0].gradient == pytest.approx(gradient.square().mean().sqrt().item(), rel=1e-9)


def test_looking_changes_nothing():
    state = State(layers=(Layer(8, "tanh", "batch"), Layer(8, "gelu", "layer")))
    one, other = Training(state), Training(state)
    for _ in range(30):
        one.advance()
        other.advance()
        frame_of(other)
    assert one.log == other.log
    for mine, its in zip(
        one.network.model.state_dict().values(), other.network.model.state_dict().values(), strict=True
    ):
        assert torch.equal(mine, its)


def test_a_long_curve_of_losses_is_thinned_to_its_ends():
    training = Training(State(layers=(Layer(1),)))
    training.advance(5000)
    log = frame_of(training, pictures=False).log
    assert len(log) <= 202
    assert (log[0][0], log[-1][0]) == (0, 5000)


def test_a_recording_is_small_and_repeats_itself():
    state = State(data="xor", layers=(Layer(4, "relu"),))
    frames = recorded(state, 300)
    assert frames == recorded(state, 300)
    assert [frames[0]["step"], frames[-1]["step"]] == [0, 300]
    training = Training(state)
    training.advance(300)
    assert frames[-1]["train"] == training.losses().train
    assert frames[0]["points"] == points_shown(training)
    assert len(json.dumps(frames)) < 150_000


def test_a_recording_ends_where_the_training_diverges():
    frames = recorded(State(data="function", f="x^3", rate=10.0, layers=(Layer(8, "relu"),)), 1000)
    assert frames[-1]["diverged"]
    assert frames[-1]["step"] < 1000


def test_a_diverged_network_is_drawn_all_the_same():
    training = Training(State(rate=1000.0, optimizer="momentum", layers=(Layer(8, "x^3"),)))
    training.advance(300)
    frame = frame_of(training)
    assert frame.diverged
    assert not math.isfinite(frame.train)
    json.dumps(plain(frame), allow_nan=False)
