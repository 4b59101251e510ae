"""What is usual for hidden and output layers, with its reason and source; a measurement on the task outranks it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

import torch
from torch import Tensor, nn

from actlab.train.task import Task


@final
@dataclass(frozen=True)
class Hint:
    """A recommendation that does not come from a measurement.

    Attributes:
        layer: "hidden" or "output".
        where: which networks or losses it is for.
        activation: the activation that is usual there.
        reason: why.
        source: where this is established.
    """

    layer: str
    where: str
    activation: str
    reason: str
    source: str


_DEEP_LEARNING = "Goodfellow, Bengio, Courville 2016, Deep Learning, section 6.2.2"
_RELU = Hint(
    "hidden",
    "",
    "relu",
    "it is cheap, and its derivative stays 1 for every positive input, however deep the network",
    "Nair, Hinton 2010; Glorot, Bordes, Bengio 2011",
)
_LEAKY = Hint(
    "hidden",
    "if units die",
    "leaky_relu",
    "its derivative is never 0, so a unit that is inactive on all examples still learns",
    "Maas, Hannun, Ng 2013",
)

# By the kind of network, in the order in which they are looked for: its name, a pattern for the classes of its modules,
# and the recommendations.
HIDDEN: Sequence[tuple[str, str, tuple[Hint, ...]]] = (
    (
        "a transformer",
        r"Attention|Transformer",
        (
            Hint(
                "hidden",
                "",
                "gelu",
                "it is smooth and was used in BERT, GPT and vision transformers; large language models also gate it",
                "Hendrycks, Gimpel 2016, arXiv:1606.08415; Shazeer 2020, arXiv:2002.05202",
            ),
        ),
    ),
    (
        "a recurrent network",
        r"^(RNN|LSTM|GRU|SimpleRNN|Recurrent)",
        (
            Hint(
                "hidden",
                "",
                "tanh",
                "a state that is fed back stays bounded and centered on 0, with derivative 1 there",
                "LeCun, Bottou, Orr, Mueller 1998, Efficient BackProp, section 4.4; Hochreiter, Schmidhuber 1997",
            ),
        ),
    ),
    ("a convolutional network", r"^_?Conv", (_RELU, _LEAKY)),
    ("a network of linear layers", r"", (_RELU, _LEAKY)),
)

_LOGITS = "the loss applies the {}, more exactly than a layer before it could: the model returns logits"
_ANY = "the targets may take any value"

# By the loss: the class of PyTorch's module, the name of its function, or the kind of task.
OUTPUT: Mapping[str, Hint] = {
    loss: Hint("output", f"with {names[0]}", activation, reason, source)
    for names, activation, reason, source in (
        (
            ("cross_entropy", "CrossEntropyLoss", "classification"),
            "identity",
            _LOGITS.format("softmax"),
            _DEEP_LEARNING,
        ),
        (("nll_loss", "NLLLoss"), "log_softmax", "the loss expects logarithms of probabilities", _DEEP_LEARNING),
        (
            ("binary_cross_entropy_with_logits", "BCEWithLogitsLoss", "binary"),
            "identity",
            _LOGITS.format("sigmoid"),
            _DEEP_LEARNING,
        ),
        (("binary_cross_entropy", "BCELoss"), "sigmoid", "the loss expects probabilities", _DEEP_LEARNING),
        (("mse_loss", "MSELoss", "regression"), "identity", _ANY, _DEEP_LEARNING),
        (("l1_loss", "L1Loss"), "identity", _ANY, _DEEP_LEARNING),
        (("smooth_l1_loss", "SmoothL1Loss"), "identity", _ANY, _DEEP_LEARNING),
        (("huber_loss", "HuberLoss"), "identity", _ANY, _DEEP_LEARNING),
        (
            ("poisson_nll_loss", "PoissonNLLLoss"),
            "identity",
            "the loss expects the logarithm of the rate, which may take any value",
            "McCullagh, Nelder 1989, Generalized Linear Models, chapter 6",
        ),
    )
    for loss in names
}

# Instead of the identity, if the targets of a regression stay within bounds.
SHARES = Hint(
    "output", "with targets from 0 to 1", "sigmoid", "predictions then stay between 0 and 1", "Bishop 1995, section 6.9"
)
POSITIVE = Hint(
    "output", "with targets above 0", "softplus", "predictions then stay above 0", "Dugas et al. 2001; Bishop 1995"
)


def guide(task: Task) -> tuple[Hint, ...]:
    """Return what is usual for the hidden layers of a task's network, and for its output layer.

    Example:
        >>> from actlab.train.builtin import builtin_task
        >>> [(hint.layer, hint.activation) for hint in guide(builtin_task("diabetes"))]
        [('hidden', 'relu'), ('hidden', 'leaky_relu'), ('output', 'identity')]
    """
    with torch.random.fork_rng(devices=[]):
        model = task.build(nn.Identity if task.takes_activation else None)
    return (*_hidden(model), *_output(task))


def _hidden(model: nn.Module) -> tuple[Hint, ...]:
    names = {base.__name__ for each in model.modules() for base in type(each).__mro__}
    kind, _, hints = next(row for row in HIDDEN if any(re.search(row[1], name) for name in names))
    return tuple(
        hint if hint.where else Hint(hint.layer, kind, hint.activation, hint.reason, hint.source) for hint in hints
    )


def _output(task: Task) -> tuple[Hint, ...]:
    loss: Any = task.loss
    names = (getattr(loss, "__name__", type(loss).__name__), getattr(task.kind.loss, "__name__", ""), task.kind.name)
    hint = next((OUTPUT[name] for name in names if name in OUTPUT), None)
    if hint is None:
        return ()
    if hint.reason != _ANY or not isinstance(task.train.targets, Tensor):
        return (hint,)
    low, high = float(task.train.targets.min()), float(task.train.targets.max())
    return (SHARES if low >= 0 and high <= 1 else POSITIVE if low > 0 else hint,)
