"""Every rule's own examples: the first triggers it, the second does not."""

from __future__ import annotations

import textwrap

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import actlab
from actlab.rules.registry import kinds, rules

RULES = rules()


def reported(program: str) -> set[str]:
    """Run an example and return the ids of its findings."""
    names: dict[str, object] = {"torch": torch, "nn": nn, "F": F, "actlab": actlab}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        exec(compile(textwrap.dedent(program), "<example>", "exec"), names)
        report = actlab.check(
            names["model"],
            names["batch"],
            names.get("loss"),
            **{name: names[name] for name in ("optimizer", "train_steps") if name in names},
        )
    return {finding.id for finding in report.findings}


@pytest.mark.parametrize("each", RULES, ids=lambda each: each.kind.id)
def test_the_example_triggers_the_rule(each):
    assert each.kind.id in reported(each.kind.example)


@pytest.mark.parametrize("each", RULES, ids=lambda each: each.kind.id)
def test_the_fixed_example_does_not(each):
    assert each.kind.id not in reported(each.kind.fix)


@pytest.mark.parametrize("each", RULES, ids=lambda each: each.kind.id)
def test_every_threshold_has_a_reason(each):
    assert set(each.kind.thresholds) == set(each.thresholds)
    assert all(len(reason) > 30 for reason in each.kind.thresholds.values())


def test_a_threshold_of_several_rules_has_one_default():
    defaults: dict[str, set[float]] = {}
    for each in RULES:
        for name, value in each.thresholds.items():
            defaults.setdefault(name, set()).add(value)
    assert {name: values for name, values in defaults.items() if len(values) > 1} == {}


def test_kinds_read_from_text_are_those_of_the_rules():
    assert dict(kinds()) == {each.kind.id: each.kind for each in sorted(RULES, key=lambda each: each.kind.id)}
