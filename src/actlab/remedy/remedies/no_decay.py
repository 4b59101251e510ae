"""Train the parameters of activations without weight decay."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from actlab.remedy.change import Change, Refusal, Remedy
from actlab.remedy.facts import Facts
from actlab.rules.finding import Finding


def propose(findings: tuple[Finding, ...], facts: Facts) -> Iterator[Change | Refusal]:
    """Propose a group of parameters without decay."""
    yield Change(
        "no weight decay on the parameters of activations",
        lambda training: replace(training, undecayed=True),
        (),
        (
            "learned = set(actlab.trainable_activation_parameters(model))",
            "groups = [{'params': [p for p in model.parameters() if p not in learned]},",
            "          {'params': list(learned), 'weight_decay': 0.0}]",
        ),
    )


REMEDY = Remedy("no-decay", 0, frozenset({"no-decay"}), "Take weight decay off the activations' parameters.", propose)
