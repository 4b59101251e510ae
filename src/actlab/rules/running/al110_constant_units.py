"""AL110: constant units."""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor

from actlab.rules.rule import Found, found, rule
from actlab.rules.run import Run
from actlab.rules.running.units import indices, is_dead, is_finite, unit_sites
from actlab.telemetry.quantities import UnitStatistics


@rule(
    "AL110",
    title="constant units",
    severity="information",
    remedies=("remove-units", "check-inputs"),
    plateau_rank=10,
)
def constant_units(run: Run, *, constant_share: float = 1e-3, drift_share: float = 0.1) -> Iterator[Found]:
    """The input of some units is the same for every example.

    Why it matters:
        Such units act as constant biases for the next layer: they carry no information about the example.

    How it is detected:
        From the variance of each unit's input over n examples; what training changes from step to step does not count.
        Dead units are reported as dead, not again as constant.

    Thresholds:
        constant_share: a unit whose standard deviation is below this share of the layer's size carries no information:
            the next layer sees it as a bias.
        drift_share: a unit that is constant within every step may move by this share of the layer's size from step to
            step, as training moves a bias; what is drawn anew for every batch varies by more.

    Example:
        model = nn.Sequential(nn.Linear(8, 16), nn.Tanh(), nn.Linear(16, 3))
        with torch.no_grad():
            model[0].weight[:4] = 0.0  # these units see their bias alone
        batch = torch.cat([torch.randn(64, 7), torch.zeros(64, 1)], dim=1), torch.randint(3, (64,))
        loss = nn.CrossEntropyLoss()
        model[0].weight.register_hook(lambda gradient: gradient * (torch.arange(16) > 3)[:, None])
        train_steps = 40

    Use instead:
        model = nn.Sequential(nn.Linear(8, 16), nn.Tanh(), nn.Linear(16, 3))
        batch = torch.randn(64, 8), torch.randint(3, (64,))
        loss = nn.CrossEntropyLoss()
        train_steps = 40

    References:
        Morcos et al. 2018, arXiv:1803.06959
    """
    for at in unit_sites(run.quantities):
        units = at.recent
        if units.examples < run.settings.fewest_examples or units.variance.numel() < 1:
            continue
        size = float((units.variance + units.mean.square()).nanmean().sqrt())
        still = _never_vary(units, size, constant_share, drift_share) & ~is_dead(units) & is_finite(units)
        count, width = int(still.sum()), still.numel()
        if count:
            yield found(
                f"{at.site.activation} at {at.site.name}: {count} of {width} units have the same input for all"
                f" {units.examples} examples; they act as constant biases for the next layer",
                site=at.site,
                examples=units.examples,
                units=width,
                constant=count,
                constant_units=indices(still),
                layer_size=size,
            )


def _never_vary(units: UnitStatistics, size: float, constant_share: float, drift_share: float) -> Tensor:
    """Return for every unit whether its input is the same for every example; training may move that one number."""
    spread = units.variance.sqrt()
    same = spread <= constant_share * size
    if units.within is None:
        return same
    # A number that is drawn anew at every step, such as one time for a whole batch, moves by more than training does.
    drifts = spread <= drift_share * size
    return same | ((units.within.sqrt() <= constant_share * size) & drifts)
