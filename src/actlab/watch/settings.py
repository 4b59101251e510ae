"""The thresholds of all findings, each with its reason."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final


@final
@dataclass(frozen=True)
class Settings:
    """Thresholds; every one may be set.

    Attributes:
        dead_floor: a slope below this share of the largest counts as none. A thousandth: a gradient that small is lost
            beside the others in any optimiser's step.
        fewest_examples: with fewer no unit is called dead. 3/30 bounds the rate of firing by a tenth.
        saturated_floor: a mean slope below this share of the largest is saturation: learning is twenty times slower.
        vanishing_ratio: how many times smaller the first site's gradient is than the last one's before it is told. Below
            a thousandth, one learning rate cannot serve both ends.
        slope_per_layer: the fall or rise a layer, in powers of e, that is steady enough to be told: a factor of 1.6.
        fewest_layers: with fewer sites there is no depth to speak of.
        variance_ratio: likewise for the variance of activations.
        updates_low, updates_high: the usual ratio of a step to the weights lies well inside.
        fewest_steps: with fewer measured steps nothing is said about how training goes.
        stalled_share: a loss that fell by less than this share of its start has not moved.
        reach: targets outside the range by more than this share of their spread cannot be reached.
        zero_gradient_share: how much of the input may have gradient 0 in its dtype: one in five still trains.
        depth_factor: by how much a signal may grow or shrink over all layers at the start. Adam and biases correct two
            orders of magnitude.
        lecun_factor: selu's fixed point attracts variances within about a factor of 1.5 (FACTS: contraction .79).
    """

    dead_floor: float = 1e-3
    fewest_examples: int = 30
    saturated_floor: float = 0.05
    vanishing_ratio: float = 1e3
    slope_per_layer: float = 0.5
    fewest_layers: int = 4
    variance_ratio: float = 1e4
    updates_low: float = 1e-4
    updates_high: float = 1e-1
    fewest_steps: int = 10
    stalled_share: float = 0.02
    reach: float = 0.01
    zero_gradient_share: float = 0.2
    depth_factor: float = 100.0
    lecun_factor: float = 1.5
