"""The thresholds that are shared: read while measuring, or by several rules."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from types import MappingProxyType
from typing import final


@final
@dataclass(frozen=True, init=False)
class Settings:
    """Thresholds; every one can be set by name, those that a single rule declares included.

    A rule's own thresholds are the keyword arguments of its function (`actlab explain AL101` lists them); a name that
    neither this class nor a rule knows is refused by `actlab.check` and `actlab.watch`.

    Attributes:
        dead_floor: a derivative below this share of the largest counts as zero. A thousandth: a gradient that small is
            lost beside the others in any optimizer's step.
        fewest_examples: with fewer examples no unit is called dead. 3/30 bounds the activation rate by a tenth. Repeats
            count here, but not in the bound: a loop that repeats its four examples has no others.
        saturated_floor: a mean derivative below this share of the largest is saturation: learning is 20 times slower.
        vanishing_ratio: how many times smaller the first site's gradient must be than the last one's to be reported.
            Below a thousandth, one learning rate cannot serve both ends.
        slope_per_layer: the change per layer, in powers of e, that is steady enough to report: a factor of 1.6.
        fewest_layers: with fewer sites there is no trend over depth: three points lie on a line too easily.
        variance_ratio: the same for the variance of activations: a factor of 100 in size, too much for 16 bits.
        gradient_floor: if no site's gradient exceeds this, the network is at rest and nothing vanishes.
        fewest_steps: with fewer measured steps nothing is said about how training goes: the first ones are Adam's own,
            whose moments are not settled before about 1/(1 - 0.9) steps.
        stalled_share: a loss that fell by less than this share of its start has not moved: a fall that small is of
            no use, whether it is significant or not.
        most: more than this share of the units or parameters concerns the layer or the model, not a few of them.
            Healthy small ReLU networks have 9 to 30 % dead units.
        nearly_all: share of dead units above which a layer counts as dead: what is left is too little to learn.
        learned_share: a loss that fell by this share was not hindered by the finding; warnings become information.
        fewest_losses: with fewer losses nothing is said about their trend: the standard error of a median of so
            few is as large as the change that is looked for.
        sure_of_fall: by how many standard errors a loss must have fallen. 3: one in 700 by chance.
        noise_share: a loss so noisy that a fall by this share would go unnoticed is not said to have stalled.
        steady_share: the share of the steps from site to site that must follow the fit: a signal that swings is no
            geometric trend.
        largest_jump: the largest share of the whole change that one step from site to site may take: a single jump
            comes from two parts of a model with other scales, or from one layer, which other rules report.
        of_rules: the thresholds of single rules that were set, by name.
    """

    dead_floor: float = 1e-3
    fewest_examples: int = 30
    saturated_floor: float = 0.05
    vanishing_ratio: float = 1e3
    slope_per_layer: float = 0.5
    fewest_layers: int = 4
    variance_ratio: float = 1e4
    gradient_floor: float = 1e-7
    fewest_steps: int = 10
    stalled_share: float = 0.02
    most: float = 0.5
    nearly_all: float = 0.9
    learned_share: float = 0.5
    fewest_losses: int = 30
    sure_of_fall: float = 3.0
    noise_share: float = 0.1
    steady_share: float = 0.75
    largest_jump: float = 0.6
    of_rules: Mapping[str, float] = field(default_factory=dict, hash=False)

    def __init__(self, **thresholds: float) -> None:
        for name in SHARED:
            if name in thresholds:
                object.__setattr__(self, name, thresholds[name])
        rest = {name: value for name, value in thresholds.items() if name not in SHARED}
        object.__setattr__(self, "of_rules", MappingProxyType(rest))


SHARED = tuple(each.name for each in fields(Settings) if each.name != "of_rules")
"""The names of the shared thresholds."""
