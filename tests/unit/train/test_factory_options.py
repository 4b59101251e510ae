"""The options of a factory: which it offers, which it refuses, and the models that follow."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torch import nn

import actlab
from actlab.errors import BadTask
from actlab.train.character_transformer import CharacterTransformer
from actlab.train.cnn import cnn
from actlab.train.factory_options import check_options, offered, takes_gated, varied
from actlab.train.mlp import mlp

MLP = partial(mlp, nn.ReLU, sizes=(3, 8, 8, 2))
CNN = partial(cnn, nn.ReLU, channels=1, outputs=2)
TEXT = partial(CharacterTransformer, nn.ReLU, characters=5, length=4)
SWIGLU = partial(actlab.module, "swiglu", layout="value_first")


def own(
    activation: object, depth: int = 4, *, width: int = 64, shape: tuple[int, ...] = (1,), **more: int
) -> nn.Module:
    return nn.Linear(depth, width)


def shapes(model: nn.Module) -> list[tuple[int, ...]]:
    return [tuple(each.shape) for name, each in model.named_parameters() if name.endswith("weight")]


def test_plain_defaults_are_offered() -> None:
    assert offered(own) == {"depth": 4, "width": 64}
    assert offered(partial(own, width=7)) == {"depth": 4, "width": 7}
    assert offered(nn.Linear) == {"bias": True}
    assert offered(MLP) == {"depth": 2, "width": 8}
    assert offered(CNN) == {"depth": 3, "width": 8}
    assert offered(TEXT) == {"depth": 2, "width": 128}
    assert offered(partial(mlp, nn.ReLU, sizes=(3, 8, 4, 2))) == {}  # no single width
    assert offered(lambda: nn.Linear(2, 2)) == {}


def test_defaults_build_the_same_model() -> None:
    assert varied(MLP, {}) is MLP
    assert str(varied(MLP, offered(MLP))()) == str(MLP())
    assert str(varied(CNN, offered(CNN))()) == str(CNN())
    for factory in (MLP, TEXT):
        torch.manual_seed(0)
        usual = factory().state_dict()
        torch.manual_seed(0)
        same = varied(factory, offered(factory))().state_dict()
        assert list(usual) == list(same)
        assert all(torch.equal(usual[name], same[name]) for name in usual)


def test_depth_and_width_change_the_model() -> None:
    assert shapes(varied(MLP, {"depth": 1, "width": 5})()) == [(5, 3), (2, 5)]
    assert shapes(varied(MLP, {"width": 5})()) == [(5, 3), (5, 5), (2, 5)]
    assert shapes(varied(CNN, {"depth": 2, "width": 3})()) == [(3, 1, 3, 3), (6, 3, 3, 3), (2, 6)]
    deep = varied(TEXT, {"depth": 3, "width": 20})()
    assert len(deep.blocks) == 3
    assert deep.blocks[0].network[0].weight.shape == (20, 32)
    assert varied(own, {"depth": 2})(nn.ReLU).weight.shape == (64, 2)


def test_a_gated_unit_has_twice_the_width_before_it() -> None:
    assert shapes(varied(MLP, {"width": 5}, activation=SWIGLU)()) == [(10, 3), (10, 5), (2, 5)]
    gated = varied(TEXT, {}, activation=SWIGLU)()
    assert gated.blocks[1].network[0].weight.shape == (256, 32)
    assert gated(torch.ones(2, 4, dtype=torch.long)).shape == (2, 4, 5)
    assert [takes_gated(each) for each in (MLP, TEXT, CNN, own, lambda: nn.ReLU())] == [True, True, False, True, False]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"dept": 3}, r"takes no option 'dept'. Did you mean 'depth'\? It takes depth \(by default 4\), width"),
        ({"depth": "deep"}, "depth must be an integer, as its default 4 is; got 'deep'"),
        ({"depth": True}, "depth must be an integer, as its default 4 is; got True"),
        ({"depth": 0}, "depth must be at least 1; got 0"),
        ({"width": 2.5}, "width must be an integer"),
    ],
)
def test_other_options_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(BadTask, match=message):
        check_options(own, options, task="t")


def test_a_factory_without_options_says_how_to_give_it_one() -> None:
    with pytest.raises(BadTask, match=r"takes no option 'depth'\. It takes none: give it a keyword parameter"):
        check_options(lambda: nn.Linear(2, 2), {"depth": 3}, task="t")
