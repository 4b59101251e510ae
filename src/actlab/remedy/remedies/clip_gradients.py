"""Clip the gradient at a quantile of the norms that were measured, and let the learning rate rise slowly."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from itertools import islice
from math import isfinite

import torch

from actlab.errors import ActlabError
from actlab.remedy.change import Change, Refusal, Remedy
from actlab.remedy.facts import Facts
from actlab.remedy.training import Training
from actlab.rules.finding import Finding
from actlab.study.control_diagnosis import batches

STEPS = 40
QUANTILES = (0.5, 0.1)
"""The median clips half of the steps; where gradients explode, most are far too long, and a tenth is right."""

WARM_UP = 0.1
"""The share of the steps over which the rate rises."""


def propose(findings: tuple[Finding, ...], facts: Facts) -> Iterator[Change | Refusal]:
    """Propose clipping at quantiles of the first steps' norms, and a warm-up."""
    norms = norms_of(facts.training)
    if not norms:
        yield Refusal("no finite gradient norm was measured in the first steps")
        return
    for share in QUANTILES:
        norm = float(torch.tensor(norms).quantile(share))
        if norm > 0:
            yield Change(
                f"gradient norm clipped at {norm:.3g}, the {share:g} quantile",
                partial(_clipped, norm=norm),
                (),
                (f"nn.utils.clip_grad_norm_(model.parameters(), {norm:.4g})  # before optimizer.step()",),
            )
    steps = max(1, int(WARM_UP * facts.training.steps))
    yield Change(
        f"warm-up over {steps} steps",
        lambda training: replace(training, warm_up=steps),
        (),
        (f"scheduler = torch.optim.lr_scheduler.LinearLR(optimizer, {1 / steps:.3g}, total_iters={steps})",),
    )


def _clipped(training: Training, *, norm: float) -> Training:
    return replace(training, clip=norm)


def norms_of(training: Training) -> list[float]:
    """Return the finite gradient norms of the first steps."""
    norms: list[float] = []
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        try:
            model = training.build(0)
            model.train()
            optimizer = training.optimizer_of(model)
            for number, batch in enumerate(islice(batches(training.task, seed=0), STEPS), start=1):
                if not bool(training.step(model, optimizer, batch, number).isfinite()):
                    break
                squares = [each.grad.square().sum() for each in model.parameters() if each.grad is not None]
                norm = float(torch.stack(squares).sum().sqrt()) if squares else 0.0
                if not isfinite(norm):
                    break
                norms.append(norm)
        except ActlabError:
            pass
    return norms


REMEDY = Remedy(
    "clip-gradients",
    2,
    frozenset({"clip-gradients", "AL109", "AL105"}),
    "Clip the gradient norm at a measured quantile, or let the learning rate rise slowly.",
    propose,
)
