"""The findings about outputs and losses, in words."""

from __future__ import annotations

from actlab.rules.finding import Severity

Row = tuple[str, str, Severity, str, str, str, tuple[str, ...]]

OUTPUT: tuple[Row, ...] = (
    (
        "AL201",
        "softmax-before-cross-entropy",
        "error",
        "softmax is applied before a loss that applies it again",
        "cross_entropy takes logits and applies log_softmax itself. Fed with probabilities it sees numbers"
        " between 0 and"
        " 1: the loss cannot fall below log(1 + (K − 1)/e) for K classes, gradients shrink, and training is slow or"
        " stalls while nothing looks broken. Told by the flow of data: the loss's first input is made by a"
        " softmax, with"
        " nothing between that changes its meaning. Rules that look for a softmax by name fire on correct"
        " programs; this"
        " one follows the tensor.",
        "PyTorch documentation of CrossEntropyLoss; Humbatova et al. 2020, arXiv:1910.11015 (wrong activation,"
        " wrong loss)",
        ("remove-output-activation",),
    ),
    (
        "AL202",
        "log-softmax-before-cross-entropy",
        "information",
        "log_softmax is applied before a loss that applies it again",
        "log_softmax of a log_softmax is the same log_softmax: the loss's value and gradients are right, a pass"
        " over the"
        " logits is wasted. Nothing is wrong; nll_loss says the same with one pass.",
        "idempotence of log_softmax: logsumexp of its result is 0",
        ("remove-output-activation",),
    ),
    (
        "AL203",
        "sigmoid-before-bce-with-logits",
        "error",
        "sigmoid is applied before a loss that applies it again",
        "binary_cross_entropy_with_logits takes logits, as a sigmoid of one's own before binary_cross_entropy does. Fed"
        " with probabilities it squeezes them once more, into"
        " 0.5 … 0.73: the model can never say no, and its gradient is a quarter or less of the right one.",
        "PyTorch documentation of BCEWithLogitsLoss",
        ("remove-output-activation",),
    ),
    (
        "AL204",
        "no-sigmoid-before-bce",
        "error",
        "binary_cross_entropy is given numbers that no sigmoid made",
        "binary_cross_entropy takes probabilities. Logits outside 0 … 1 raise an error or give NaN on some devices, and"
        " inside they mean something else than was intended. Told by the flow of data: nothing between the last weights"
        " and the loss maps into 0 … 1.",
        "PyTorch documentation of BCELoss",
        ("add-sigmoid", "use-logits-loss"),
    ),
    (
        "AL205",
        "no-log-softmax-before-nll",
        "error",
        "nll_loss is given numbers that are no log-probabilities",
        "nll_loss picks the target's entry and changes its sign; it relies on log_softmax before it. On bare logits the"
        " loss falls without bound while nothing is learned; on probabilities it is linear and its gradient does not"
        " grow where the model is wrong. Told by value too: log-probabilities sum, as exponentials, to 1.",
        "PyTorch documentation of NLLLoss",
        ("add-log-softmax", "use-cross-entropy"),
    ),
    (
        "AL206",
        "softmax-over-one-unit",
        "error",
        "softmax acts along an axis of length 1",
        "Softmax along one number is 1, whatever the number: the output is constant and no gradient passes."
        " What was meant"
        " is a sigmoid.",
        "Humbatova et al. 2020, arXiv:1910.11015",
        ("use-sigmoid", "softmax-over-classes"),
    ),
    (
        "AL207",
        "softmax-over-wrong-axis",
        "error",
        "softmax acts along another axis than that of the classes",
        "Along the batch, softmax makes the examples compete with each other: the answer for one depends on its"
        " neighbours, and sums to 1 over the batch rather than over the classes.",
        "PyTorch documentation of Softmax: dim",
        ("softmax-over-classes",),
    ),
    (
        "AL208",
        "output-cannot-reach-targets",
        "error",
        "the range of the output activation does not hold the targets",
        "A regression's output can only take values in the range of its last activation: (0, 1) for a sigmoid,"
        " [0, ∞) for"
        " a ReLU. Targets outside are never reached; the loss stays above a bound that can be computed, and the"
        " activation is driven into saturation. For classes logits between bounds are the same (a sigmoid or tanh"
        " before cross_entropy), and for counts a rate whose logarithm cannot be negative. Told for targets in"
        " the batch that lie outside by more than 1 % of their spread.",
        "the range of the activation (`actlab show NAME`)",
        ("linear-output", "scale-targets"),
    ),
    (
        "AL209",
        "relu-on-logits",
        "warning",
        "a half-line activation is applied to the logits",
        "A ReLU before the loss makes every negative logit 0: the model cannot say that a class is unlikely,"
        " and where all"
        " logits are 0 no gradient passes at all. With a binary loss the answer can never fall below one half.",
        "Humbatova et al. 2020, arXiv:1910.11015",
        ("remove-output-activation",),
    ),
    (
        "AL210",
        "softmax-for-multi-label",
        "error",
        "softmax over classes of which several may hold at once",
        "Softmax gives shares that sum to 1: it cannot say that two classes hold, or none. With targets in"
        " which rows hold"
        " several ones, or none, the best answer is wrong by construction.",
        "Humbatova et al. 2020, arXiv:1910.11015; Bishop 2006, section 4.3",
        ("use-bce-with-logits",),
    ),
)
