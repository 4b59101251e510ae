"""D: whether dead and saturated units are told apart one by one, and depths by their gains."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn

from actlab.diagnosis.check import check
from actlab.diagnosis.watch import watch
from actlab.telemetry.quantities import SiteQuantities
from corpus.judge import Share
from corpus.known_layers import BATCH, UNITS, dead_layer, lies_far_out, never_fires, saturated_layer

DEPTH, WIDTH = 20, 64


@dataclass(frozen=True)
class Exactness:
    """Units told apart, counted over all seeds.

    Attributes:
        what: of which activation, and what was to be told.
        right, wrong, missed: units said to be so that are, that are not, and that are but were not said.
        of: units in all.
        n: examples seen.
    """

    what: str
    right: int
    wrong: int
    missed: int
    of: int
    n: int

    def shares(self) -> list[Share]:
        precision = Share("D", f"{self.what}: precision at n={self.n}", self.right, self.right + self.wrong)
        recall = Share("D", f"{self.what}: recall at n={self.n}", self.right, self.right + self.missed)
        return [precision, recall]

    def line(self) -> str:
        return (
            f"D      {self.what:<38} of {self.of} units, n = {self.n}: "
            f"{self.right} right, {self.wrong} wrongly so, {self.missed} missed"
        )

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def exactness(*, seeds: int) -> list[Exactness]:
    """Dead and saturated units, and depths, each over several seeds."""
    dead = {"ReLU": nn.ReLU, "ReLU6": nn.ReLU6, "Hardtanh": nn.Hardtanh, "GELU": nn.GELU, "Softplus": nn.Softplus}
    layers = [
        counted(f"dead units of {name}", seeds, kind(), dead_layer, is_dead, never_fires) for name, kind in dead.items()
    ]
    for name, kind in {"sigmoid": nn.Sigmoid, "tanh": nn.Tanh, "Softsign": nn.Softsign}.items():
        layers.append(counted(f"saturated units of {name}", seeds, kind(), saturated_layer, is_saturated, lies_far_out))
    return [*layers, depths(seeds)]


Layer = Callable[[int], tuple[nn.Linear, list[Tensor]]]
Is = Callable[[Tensor], Tensor]


def counted(
    what: str, seeds: int, act: nn.Module, layer: Layer, said: Callable[[SiteQuantities], Tensor], truth: Is
) -> Exactness:
    """The truth is of the examples that were measured: the steps among the points."""
    right = wrong = missed = examples = 0
    for seed in range(seeds):
        linear, batches = layer(seed)
        site = measured(nn.Sequential(linear, act), batches)
        seen = torch.cat([batches[point.step] for point in site.points])
        examples = site.total.examples
        assert examples == len(seen), f"{examples} examples are told, {len(seen)} were in the steps that were measured"
        found, true = said(site), truth(linear(seen).detach())
        right += int((found & true).sum())
        wrong += int((found & ~true).sum())
        missed += int((~found & true).sum())
    return Exactness(what, right, wrong, missed, UNITS * seeds, examples)


def measured(model: nn.Module, batches: list[Tensor]) -> SiteQuantities:
    """What was measured at the one site while nothing changed: the steps are of size 0."""
    optimiser = torch.optim.SGD(model.parameters(), lr=0.0)
    with watch(model, every=1) as running:
        for x in batches:
            loss = model(x).square().mean()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            running.step(loss)
    (site,) = running.quantities().sites
    return site


def is_dead(site: SiteQuantities) -> Tensor:
    return site.total.fired == 0


def is_saturated(site: SiteQuantities) -> Tensor:
    return site.total.slope_mean / site.slope_bound < 0.05


def depths(seeds: int) -> Exactness:
    """ReLU nets of known gain and depth: at 0.6 and 1.7 times Kaiming's the signal leaves, at 1 it stays."""
    right = wrong = missed = 0
    for seed in range(seeds):
        for gain in (0.6, 1.0, 1.7):
            said = bool(depth_findings(gain, seed) & {"AL103", "AL104", "AL105", "AL106"})
            right += said and gain != 1.0
            wrong += said and gain == 1.0
            missed += not said and gain != 1.0
    return Exactness(f"depth {DEPTH}, gains 0.6, 1 and 1.7 times He's", right, wrong, missed, 3 * seeds, BATCH)


def depth_findings(gain: float, seed: int) -> set[str]:
    chance = torch.Generator().manual_seed(seed)
    layers: list[nn.Module] = []
    for _ in range(DEPTH):
        linear = nn.Linear(WIDTH, WIDTH, bias=False)
        nn.init.kaiming_normal_(linear.weight, nonlinearity="relu", generator=chance)
        linear.weight.data.mul_(gain)
        layers += [linear, nn.ReLU()]
    model = nn.Sequential(*layers, nn.Linear(WIDTH, 1))
    x, y = torch.randn(BATCH, WIDTH, generator=chance), torch.randn(BATCH, 1, generator=chance)
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-5)
    report = check(model, (x, y), nn.functional.mse_loss, optimizer=optimiser, train_steps=5)
    return {found.id for found in report.findings}
