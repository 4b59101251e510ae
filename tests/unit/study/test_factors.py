"""What the factors of an arm change in its model, and what is refused."""

from __future__ import annotations

import pickle
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import actlab
from actlab.errors import BadStudy
from actlab.study.arm import model_of
from actlab.study.changes import LastAxisBatchNorm
from actlab.study.compare import Study, compare, prepare
from actlab.study.detailed_cost import detailed_costs
from actlab.study.lots import LotTrainer, carry_out
from actlab.study.plan import Plan, Trial
from actlab.train.own_training import OwnTraining
from actlab.train.task import Task
from unit.study.small_task import ring


def rows(*shape: int) -> tuple[Tensor, Tensor]:
    inputs = torch.randn(60, *shape, generator=torch.Generator().manual_seed(0))
    return inputs, (inputs.flatten(1)[:, 0] > 0).long()


def task_of(model: Any, *shape: int, **settings: Any) -> Task:
    fixed = {"epochs": 1, "batch_size": 20, "rates": (1e-3, 1e-2)}
    return Task("small", model, train=rows(*(shape or (4,))), kind="classification", **{**fixed, **settings})


class Mixed(nn.Module):
    """A stem, a residual block with a gate, and an output between 0 and 1."""

    def __init__(self, depth: int = 1, width: int = 8) -> None:
        super().__init__()
        self.stem, self.act = nn.Linear(4, width), nn.ReLU()
        self.blocks = nn.ModuleList(nn.Linear(width, width) for _ in range(depth))
        self.gate, self.out = nn.Linear(width, width), nn.Linear(width, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.act(self.stem(x))
        for block in self.blocks:
            x = x + torch.relu(block(x)) * torch.sigmoid(self.gate(x))
        return torch.tanh(self.out(x))


def taking(activation: Any, width: int = 6, depth: int = 1) -> nn.Module:
    layers: list[nn.Module] = [nn.Linear(4, width)]
    for _ in range(depth):
        act = activation()
        layers += [nn.Linear(width, actlab.nn.inputs_of(act) * width), act]
    return nn.Sequential(*layers, nn.Linear(width, 2))


def studied(task: Task, *arms: Any, **settings: Any) -> Study:
    return prepare(task, candidates=arms, **{"seeds": 2, "budget": 1, **settings})


def model(study: Study, name: str) -> nn.Module:
    return model_of(study.setting.task, study.setting.arms[name], where=study.setting.where, seed=0)


def applied(study: Study, name: str) -> dict[str, str]:
    found = actlab.sites(model(study, name), torch.randn(20, 4))
    return {site.name: site.activation for site in found}


def test_each_group_of_sites_can_have_its_activation() -> None:
    own = {"act[0]": "relu", "model[0]": "relu", "model[1]": "sigmoid", "model[2]": "tanh"}
    changed = {
        "own@hidden=elu": {"act[0]": "elu"},
        "own@block=elu": {"model[0]": "elu"},
        "own@gate=hard_sigmoid": {"model[1]": "hard_sigmoid"},
        "own@output=softsign": {"model[2]": "softsign"},
        "gelu": {"act[0]": "gelu", "model[0]": "gelu"},
        "gelu@block=elu": {"act[0]": "gelu", "model[0]": "elu"},
    }
    study = studied(task_of(Mixed), *changed)
    assert applied(study, "relu") == own
    for name, change in changed.items():
        arm = name.replace("own", "relu")
        wanted = list({**own, **change}.values())
        assert list(applied(study, arm).values()) == wanted, name


def test_a_group_that_the_model_lacks_is_refused_with_those_that_it_has() -> None:
    with pytest.raises(BadStudy, match=r"the arm tanh@gate=sigmoid cannot be built: task 'ring': the model must have an"
                       r" activation in the group gate; got hidden \(1, 3\). Leave out gate="):  # fmt: skip
        studied(ring(), "tanh@gate=sigmoid")


def test_groups_in_a_model_that_takes_the_activation() -> None:
    def made(activation: Any) -> nn.Module:
        net = Mixed()
        net.act = activation()
        return net

    study = studied(task_of(made), "gelu@gate=hard_sigmoid", "gelu@hidden=elu")
    assert list(applied(study, "gelu@gate=hard_sigmoid").values()) == ["gelu", "relu", "hard_sigmoid", "tanh"]
    assert list(applied(study, "gelu@hidden=elu").values()) == ["elu", "relu", "sigmoid", "tanh"]


@pytest.mark.parametrize("taken", [False, True])
def test_a_normalization_stands_before_every_activation(taken: bool) -> None:
    task = task_of(taking) if taken else ring()
    study = studied(task, "own@norm=batch", "tanh@norm=layer@width=5")
    batch = model(study, "relu@norm=batch")
    norms = [(type(each[0]), type(each[1])) for each in batch if isinstance(each, nn.Sequential)]
    assert norms == [(nn.BatchNorm1d, nn.ReLU)] * (1 if taken else 2)
    layer = model(study, "tanh@norm=layer@width=5")
    shapes = [(each[0].normalized_shape, type(each[1])) for each in layer if isinstance(each, nn.Sequential)]
    assert shapes == [((5,), nn.Tanh)] * (1 if taken else 2)
    plain = model(study, "relu")
    assert torch.equal(batch[0].weight, plain[0].weight)  # the same noise


class Shared(nn.Module):
    """One module of ReLU in a stem, in a residual block and behind it."""

    def __init__(self, activation: Any = nn.ReLU) -> None:
        super().__init__()
        self.stem, self.inner, self.out = nn.Linear(4, 8), nn.Linear(8, 5), nn.Linear(8, 2)
        self.back, self.act = nn.Linear(5, 8), activation()

    def forward(self, x: Tensor) -> Tensor:
        x = self.act(self.stem(x))
        return self.out(self.act(x + self.back(self.act(self.inner(x)))))


def test_a_module_that_follows_several_layers_is_a_site_behind_each() -> None:
    for task in (task_of(Shared), task_of(lambda activation: Shared(activation))):
        study = studied(task, "own@block=elu", "gelu@norm=batch", "tanh")
        assert list(applied(study, "relu@block=elu").values()) == ["relu", "elu", "relu"]
        normed = model(study, "gelu@norm=batch")
        norms = [each.num_features for each in normed.modules() if isinstance(each, nn.BatchNorm1d)]
        assert norms == [8, 5, 8]
        assert list(applied(study, "gelu@norm=batch").values()) == ["gelu"] * 3
        assert len([each for each in model(study, "tanh").modules() if isinstance(each, nn.Tanh)]) == 1


def test_the_axis_of_the_channels_follows_from_the_layer_before() -> None:
    class Tokens(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.up, self.out = nn.Linear(3, 7), nn.Linear(7, 2)

        def forward(self, x: Tensor) -> Tensor:
            return self.out(torch.relu(self.up(x))).mean(1)

    def images() -> nn.Module:
        return nn.Sequential(nn.Conv2d(1, 5, 3), nn.ReLU(), nn.Flatten(), nn.Linear(20, 2))

    def series() -> nn.Module:
        return nn.Sequential(nn.Conv1d(2, 5, 3), nn.ReLU(), nn.Flatten(), nn.Linear(10, 2))

    def norms(make: Any, *shape: int) -> list[nn.Module]:
        study = studied(task_of(make, *shape), "own@norm=batch", "own@norm=layer")
        kinds = (nn.BatchNorm1d, nn.BatchNorm2d, nn.LayerNorm, nn.GroupNorm)
        found = (each for arm in study.plan.arms[1:] for each in model(study, arm).modules() if isinstance(each, kinds))
        return list(found)

    batch, layer = norms(images, 1, 4, 4)
    assert (type(batch), batch.num_features, type(layer), layer.num_channels) == (nn.BatchNorm2d, 5, nn.GroupNorm, 5)
    batch, layer = norms(series, 2, 4)
    assert (type(batch), batch.num_features, type(layer), layer.num_channels) == (nn.BatchNorm1d, 5, nn.GroupNorm, 5)
    batch, layer = norms(Tokens, 6, 3)
    assert (type(batch), batch.num_features, layer.normalized_shape) == (LastAxisBatchNorm, 7, (7,))
    x = 3 + torch.randn(10, 6, 7)
    torch.testing.assert_close(batch(x), nn.BatchNorm1d(7)(x.transpose(1, 2)).transpose(1, 2))


def test_the_weights_follow_the_gain_of_arms_that_ask_for_it() -> None:
    gain, plain = (actlab.gain("tanh"), None)
    arms = studied(ring(), "tanh", "tanh@init=gain").setting.arms
    assert [arms["tanh"].gain, arms["tanh@init=gain"].gain] == [plain, gain]
    arms = studied(ring(), "tanh", "tanh@init=as-is", init="gain").setting.arms
    assert [arms["tanh"].gain, arms["tanh@init=as-is"].gain] == [gain, plain]


def test_gated_units_in_a_factory_that_makes_room_for_them() -> None:
    study = studied(task_of(taking), "swiglu", "swiglu@norm=layer@width=5", "geglu@depth=2")
    assert model(study, "swiglu")[1].weight.shape == (12, 6)
    assert model(study, "swiglu@norm=layer@width=5")[2][0].normalized_shape == (10,)
    assert model(study, "geglu@depth=2")[3].weight.shape == (12, 6)
    with pytest.raises(BadStudy, match="the arm swiglu is a gated unit, which halves its input: the model of task"
                       " 'small' must take the activation"):  # fmt: skip
        studied(task_of(Mixed), "swiglu")
    with pytest.raises(BadStudy, match="the activation of the group gate must have one input; got swiglu"):
        studied(task_of(Mixed), "own@gate=swiglu")


def test_a_deeper_model_of_ones_own_is_searched_anew() -> None:
    study = studied(task_of(Mixed), "gelu@depth=3@width=5", "own@depth=2")
    found = actlab.sites(model(study, "gelu@depth=3@width=5"), torch.randn(20, 4))
    assert [site.shape[-1] for site in found] == [5] * 5 + [2]
    assert [site.activation for site in found].count("gelu") == 4  # the stem's and one a block
    assert len(model(study, "relu@depth=2").blocks) == 2


def test_arms_that_differ_in_a_factor_are_two() -> None:
    names = ("relu@clip=1", "relu@clip=2", "ReLU@clip=1", "silu@clip=1", "SiLU@clip=1", "relu@depth=2", "relu@depth=3",
             "relu@depth=4", "relu@norm=batch", "relu@hidden=elu", "relu@hidden=gelu")  # fmt: skip
    study = studied(ring(), *names)
    assert study.plan.arms == (
        "relu", "relu@clip=1", "relu@clip=2", "silu@clip=1", "relu@depth=3", "relu@depth=4", "relu@norm=batch",
        "relu@hidden=elu", "relu@hidden=gelu",
    )  # fmt: skip
    assert "SiLU@clip=1 and silu@clip=1 are the same arm; it is compared once, as silu@clip=1." in study.notes
    assert "relu@depth=2 and relu are the same arm; it is compared once, as relu." in study.notes
    digests = [study.plan.contents[f"the activation {arm}"] for arm in study.plan.arms]
    assert len(set(digests)) == len(digests)
    alone = [arm for arm in study.setting.arms.values() if arm.is_activation_alone]
    assert [arm.name for arm in alone] == ["relu"]  # of the others, a formula does not say the cost
    assert studied(ring(), "tanh", against="own@clip=1").plan.control == "relu@clip=1"


def test_the_plan_says_what_the_factors_are() -> None:
    said = studied(ring(), "relu@norm=batch@clip=2").plan.sentences()
    assert "relu@norm=batch@clip=2: batch normalization before each activation; gradients clipped to norm 2." in said
    assert studied(ring(), "relu@depth=3", "relu@depth=3#2").plan.factors() == ("relu@depth=3: depth 3.",)


@pytest.mark.parametrize(
    ("arm", "message"),
    [
        ("relu@dept=3", "the arm relu@dept=3 cannot be built: task 'ring': the model's factory takes no option 'dept'"),
        ("relu@depth=deep", "depth must be an integer, as its default 2 is; got 'deep'"),
        ("relu@clip=x", "clip must be a positive number"),
        ("relu@output=identity", "the model must have an activation in the group output; got hidden"),
    ],
)
def test_what_cannot_be_built_is_refused(arm: str, message: str) -> None:
    with pytest.raises(BadStudy, match=message):
        studied(ring(), arm)


def test_a_training_of_ones_own_takes_activations_alone() -> None:
    task = OwnTraining("game", lambda activation, rate, seed, budget: 0.5, baseline=0.0)
    with pytest.raises(BadStudy, match="the arms of task 'game' must be activations alone"):
        prepare(task, candidates=["tanh@clip=1"], seeds=2, budget=1)
    with pytest.raises(BadStudy, match="equal must be trials: task 'game' builds and trains its models itself"):
        prepare(task, candidates=["tanh"], seeds=2, budget=1, equal="seconds")


ARMS = ("relu@clip=0.1", "tanh@norm=batch", "gelu@norm=layer@init=gain", "own@depth=3@width=16", "swiglu")


def test_every_factor_trains_alike_in_lanes_and_alone() -> None:
    study = studied(ring(), *ARMS)
    trainer = LotTrainer(study.setting)
    for arm in study.plan.arms:
        trials = [Trial(arm, 0, seed) for seed in study.plan.seeds]
        together = {each.trial: each for each in trainer.outcomes(trials)}
        for trial in trials:
            alone = carry_out(study.setting, trial)
            assert together[trial].valid == pytest.approx(alone.valid, abs=4.2)  # one row of 24
            assert together[trial].curve[0].loss == pytest.approx(alone.curve[0].loss, rel=1e-3)
        assert "cannot be batched" not in trainer.decisions[arm].reason


def test_arms_with_factors_reach_other_processes() -> None:
    study = studied(ring(), *ARMS)
    arms = pickle.loads(pickle.dumps(study.setting.arms))
    assert {name: arm.digest() for name, arm in arms.items()} == {
        name: arm.digest() for name, arm in study.setting.arms.items()
    }


def test_clipping_changes_the_result() -> None:
    found = compare(ring(optimizer="sgd", rates=(0.1, 0.3)), candidates=["own@clip=0.001"], seeds=2, budget=1)
    losses = [arm.curves[0][-1].loss for arm in found.arms]
    assert losses[0] < losses[1]  # steps of a thousandth of a gradient learn nothing


def test_what_an_arm_costs_counts_its_factors() -> None:
    task = ring()
    study = studied(task, "tanh", "relu@norm=batch", "relu@width=16", "swiglu")
    costs = {each.arm: each for each in detailed_costs(study.setting, task)}
    assert costs["relu@norm=batch"].parameters == costs["relu"].parameters + 2 * 2 * 8
    assert costs["relu@width=16"].product_flops > costs["relu"].product_flops
    known = [name for name, cost in costs.items() if cost.activation_operations is not None]
    assert known == ["relu", "tanh"]  # of the others, it is not known how many elements pass where


def test_a_stored_plan_with_factors_is_read_again() -> None:
    study = studied(ring(), "swiglu", equal="parameters")
    assert Plan.from_json(study.plan.to_json()) == study.plan


def test_a_factory_that_does_not_make_room_for_a_gated_unit_is_shown_how() -> None:
    def narrow(activation: Any) -> nn.Module:
        return nn.Sequential(nn.Linear(2, 8), activation(), nn.Linear(8, 2))

    task = task_of(narrow, 2)
    with pytest.raises(BadStudy, match=r"glu cannot be trained: .*\. glu halves its input, .* actlab\.nn\.inputs_of"):
        prepare(task, candidates=["glu"], seeds=2, budget=1)
