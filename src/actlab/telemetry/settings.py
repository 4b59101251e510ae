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
        fewest_examples: with fewer no unit is called dead. 3/30 bounds the rate of firing by a tenth. Repeats
            count here, though not in the bound: a loop that repeats its four examples has no others.
        saturated_floor: a mean slope below this share of the largest is saturation: learning is twenty times slower.
        vanishing_ratio: how many times smaller the first site's gradient is than the last one's before it is told.
            Below a thousandth, one learning rate cannot serve both ends.
        slope_per_layer: the fall or rise a layer, in powers of e, that is steady enough to be told: a factor of 1.6.
        fewest_layers: with fewer sites there is no depth to speak of: three points lie on a line too easily.
        variance_ratio: likewise for the variance of activations: a hundred times in size, which 16 bits do not forgive.
        updates_low, updates_high: the ratio of a step to the weights is about a thousandth where training goes well
            (Bottou 2012); a tenth of that leaves the weights where they are, a hundred times that overwrites them.
        update_overwrites: a step of more than this share of the weights' size is of their own order: two of them, and
            what stood there is gone.
        overshoot: a loss that went above this many times its first was thrown there, not brought by noise.
        fewest_steps: with fewer measured steps nothing is said about how training goes: the first ones are Adam's own,
            whose moments are not settled before about 1/(1 - 0.9) steps.
        stalled_share: a loss that fell by less than this share of its start has not moved: a fall that small is of
            no use, whether it is sure or not.
        reach: targets outside the range by more than this share of their spread cannot be reached; less is a target of
            1.0 for a sigmoid that ends at 1, or rounding.
        lost_share: bounded logits are told where the lowest loss that they admit is more than this share of that of
            guessing: a tenth is what a well-trained classifier has left. Three times that leaves most of it.
        zero_gradient_share: how much of the input may have gradient 0 in its dtype: one in five still trains.
        depth_factor: by how much a signal's size may grow or shrink over all layers at the start. Adam and biases
            correct two orders of magnitude.
        lecun_factor: selu's fixed point attracts variances within about a factor of 1.5 (FACTS: contraction .79).
        most: more than this share of the units or parameters is a matter of the layer or the model, not of some.
            Healthy small ReLU networks have 9 to 30 % dead units.
        nearly_all: beyond this share of dead units what is left of a layer is no layer.
        growth: by how much the share of dead units must rise over the points to be growing; batches alone make it waver
            by a few hundredths.
        constant_share: a unit whose standard deviation is below this share of the layer's own size tells nothing: what
            follows sees it as a bias.
        drift_share: a unit that is constant within every step may move by this share of the layer's size from step to
            step: what training does to a bias; what is drawn anew for every batch varies by more.
        learned_share: a loss that fell by this share was not hindered by what was found; warnings become information.
        fewest_losses: with fewer losses nothing is said of where the loss goes: the standard error of a median of so
            few is of the order of what is looked for.
        sure_of_fall: by how many standard errors a loss must have fallen. 3: one in 700 by chance.
        noise_share: a loss so noisy that a fall by this share would go unseen is not said to have stalled.
        confident_loss: a saturated output that is right leaves a loss below this; at .1 a probability is .9 on average.
        gradient_floor: where no site's gradient exceeds this, the network is at rest and nothing vanishes.
        steady_share: the share of the steps from site to site that must go the fit's way: a signal that swings to and
            fro is no geometric fall.
        largest_jump: the largest share of the whole fall that one step from site to site may take: a single jump is two
            parts of a model with other scales, or one layer at fault, which is told as such.
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
    update_overwrites: float = 0.5
    overshoot: float = 3.0
    fewest_steps: int = 10
    stalled_share: float = 0.02
    reach: float = 0.01
    lost_share: float = 0.1
    zero_gradient_share: float = 0.2
    depth_factor: float = 100.0
    lecun_factor: float = 1.5

    most: float = 0.5
    nearly_all: float = 0.9
    growth: float = 0.1
    constant_share: float = 1e-3
    drift_share: float = 0.1
    learned_share: float = 0.5
    fewest_losses: int = 30
    sure_of_fall: float = 3.0
    noise_share: float = 0.1
    confident_loss: float = 0.1
    gradient_floor: float = 1e-7
    steady_share: float = 0.75
    largest_jump: float = 0.6
