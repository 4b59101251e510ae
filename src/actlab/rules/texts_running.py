"""The findings about a network while it trains, in words."""

from __future__ import annotations

from actlab.rules.texts_output import Row

RUNNING: tuple[Row, ...] = (
    (
        "AL101",
        "dead-units",
        "information",
        "units whose slope was 0 on every example",
        "A unit is dead if |f'(z)| was 0 in the dtype, or below a thousandth of its largest, on every one of n"
        " examples: no"
        " gradient reaches its weights. Told with n, which counts an example once however often a loop repeats it,"
        " and with 3/n, the bound (at 95 %) of the rate at which it"
        " may still"
        " fire. Zeros in one batch are sparsity, not death. Healthy small ReLU networks have 9 to 30 % dead"
        " units, so that"
        " the severity follows the consequence: a whole layer dead is an error, and a warning where the loss halved"
        " or falls by a way around it, as of a gate; nine in ten, while the loss stalls, or half, growing while it"
        " rises, a warning. Anything less is information, and so is what died only after the loss had come to rest:"
        " where there is nothing to learn, units die of that.",
        "Lu et al. 2019, arXiv:1903.06733; the rule of three: Hanley, Lippman-Hand 1983",
        ("use-leaky", "lower-learning-rate", "init-with-gain"),
    ),
    (
        "AL102",
        "saturated-units",
        "warning",
        "units that stay where the function is flat",
        "A unit is saturated if the mean of |f'(z)| over the data is below 0.05 of its largest, on a side where"
        " f tends to a"
        " limit without being exactly linear (sigmoid, tanh, erf, softsign). A ReLU is dead or sparse, never"
        " saturated.",
        "Glorot, Bengio 2010 (AISTATS); LeCun et al. 1998, Efficient BackProp",
        ("use-non-saturating", "add-normalisation", "init-with-gain"),
    ),
    (
        "AL103",
        "vanishing-gradient",
        "warning",
        "the loss's gradient falls from layer to layer on its way back",
        "Told from the size (RMS) of the gradient at successive activations: a straight line through its"
        " logarithm, and the"
        " ratio of the first to the last. What counts is the fall from layer to layer; a small gradient"
        " everywhere is what a"
        " trained network has. Information where the loss halved, or had come to rest before the gradient fell so.",
        "Hochreiter 1991; Glorot, Bengio 2010 (AISTATS)",
        ("use-non-saturating", "init-with-gain", "add-normalisation", "residual"),
    ),
    (
        "AL104",
        "exploding-gradient",
        "warning",
        "the loss's gradient grows from layer to layer on its way back",
        "As for vanishing gradients, the other way: early layers get gradients that are orders of magnitude"
        " larger than late"
        " ones, and one step ruins what was learned.",
        "Pascanu, Mikolov, Bengio 2013, arXiv:1211.5063",
        ("init-with-gain", "clip-gradients", "add-normalisation"),
    ),
    (
        "AL105",
        "activations-explode",
        "warning",
        "the activations' size grows from layer to layer",
        "The variance of what successive activations give grows geometrically with depth: the last layers see"
        " numbers of"
        " another order than the first, and overflow is near in 16 bits. Of a layer that is applied to what it gave,"
        " the size of its state is followed from call to call, in one pass and without training.",
        "He et al. 2015, arXiv:1502.01852",
        ("init-with-gain", "add-normalisation"),
    ),
    (
        "AL106",
        "activations-collapse",
        "warning",
        "the activations' variation dies out from layer to layer",
        "The variance of what successive activations give falls geometrically with depth: the last layers give"
        " nearly the"
        " same for every input, and the network can learn little more than a constant.",
        "Schoenholz et al. 2017, arXiv:1611.01232",
        ("init-with-gain", "add-normalisation", "use-non-saturating"),
    ),
    (
        "AL107",
        "non-finite",
        "error",
        "numbers that are not finite",
        "NaN or infinity at an activation: told with the first site and the first measured step. What comes"
        " after it in the"
        " same step is a consequence. A loss that is not finite on the batch that is looked at is told at the call that"
        " made the first such number of finite ones, such as a logarithm of 0.",
        "IEEE 754",
        ("check-data", "lower-learning-rate", "clip-gradients"),
    ),
    (
        "AL108",
        "updates-too-small",
        "information",
        "weights hardly change",
        "The RMS of a step over the RMS of the weights is below 1e-4 for most parameters: at this pace the"
        " weights stay what"
        " they were. About 1e-3 is usual.",
        "Bottou 2012, Stochastic Gradient Descent Tricks; Karpathy 2016, CS231n (ratio of updates to weights)",
        ("raise-learning-rate",),
    ),
    (
        "AL109",
        "updates-too-large",
        "warning",
        "weights change by a tenth of their size at every step",
        "The RMS of a step over the RMS of the weights is above 1e-1 for most parameters: every step overwrites"
        " what the last"
        " ones learned. Also told where most weights once moved by half their size and the loss was thrown above"
        " three times its first: afterwards the weights are so large that the same step is small beside them.",
        "Bottou 2012, Stochastic Gradient Descent Tricks; Karpathy 2016, CS231n (ratio of updates to weights)",
        ("lower-learning-rate",),
    ),
    (
        "AL110",
        "constant-units",
        "information",
        "units that give the same for every example",
        "The input of these units does not vary over n examples: they are biases, and tell the next layer"
        " nothing about the"
        " example. What training changes from step to step does not count as variation."
        " Dead units are told as such and not again here.",
        "Morcos et al. 2018, arXiv:1803.06959",
        ("remove-units", "check-data"),
    ),
    (
        "AL111",
        "loss-does-not-move",
        "warning",
        "the loss is where it was at the start",
        "Over the measured steps the loss shows no trend beyond its noise. The finding names which of the"
        " others is the likely"
        " cause, if any. An error, without training, where the optimiser holds none of the model's parameters.",
        "Cleveland 1979 (robust trend); see the findings that it names",
        ("check-loss", "raise-learning-rate"),
    ),
)
