"""Which arms a study has: the control, and each activation once."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from actlab.errors import BadStudy
from actlab.study.advise import study_of
from actlab.study.arm import Arm, arms_of, control_of, model_of
from actlab.study.options import AdviseOptions
from unit.study.small_task import ring

OWN = Arm("relu", None, None)


def names(*candidates: str, against: str | None = None) -> tuple[list[str], tuple[str, ...]]:
    own, _ = control_of(ring())
    arms, notes = arms_of(own, candidates, against=against)
    return [arm.name for arm in arms], notes


def test_two_names_of_one_activation_are_merged_with_a_note() -> None:
    assert names("silu", "SiLU", "x*sigmoid(x)", "tanh") == (
        ["relu", "silu", "tanh"],
        (
            "SiLU and silu are the same activation; it is compared once, as silu.",
            "x*sigmoid(x) and silu are the same activation; it is compared once, as silu.",
        ),
    )
    assert names("tanh", "tanh") == (["relu", "tanh"], ("tanh was named twice; it is compared once.",))


def test_other_parameters_are_another_activation() -> None:
    arms, notes = names("leaky_relu", "leaky_relu(negative_slope=0.2)", "gelu", "gelu_tanh")
    assert (len(arms), notes) == (5, ())


def test_the_control_among_the_candidates_is_left_out() -> None:
    assert names("relu", "tanh") == (["relu", "tanh"], ())
    with pytest.raises(BadStudy, match="other than the control, relu; got none"):
        names("relu", "ReLU")


def test_another_control_makes_the_models_own_a_candidate() -> None:
    assert names("relu", "tanh", against="tanh") == (["tanh", "relu"], ())
    study = study_of(ring(), AdviseOptions(activations=("relu", "silu"), against="tanh", seeds=2, budget=1))
    assert study.plan.arms == ("tanh", "relu", "silu")
    assert study.setting.arms["relu"].build is None  # the model stays as it is
    tanh = model_of(study.setting.task, study.setting.arms["tanh"], where=study.setting.where, seed=0)
    assert [type(each) for each in tanh if not isinstance(each, nn.Linear)] == [nn.Tanh, nn.Tanh]
    own = model_of(study.setting.task, study.setting.arms["relu"], where=study.setting.where, seed=0)
    assert torch.equal(tanh[0].weight, own[0].weight)
