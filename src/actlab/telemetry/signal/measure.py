"""Measure the signal in a model, and predict it from the variances of the weights."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from actlab.errors import BadInput
from actlab.sites.find import recorded
from actlab.sites.trace.run import unwrapped
from actlab.telemetry.signal.answer import Signal
from actlab.telemetry.signal.follow import Following
from actlab.train.tree import called_with, has_rows, leaves, mapped

MOST_EXAMPLES = 64
"""So many examples of the batch are followed at most: time and memory grow with their number."""


def signal(model: nn.Module, batch: Any) -> Signal:
    """Measure the signal at each activation of a model, and predict it by the theory of wide networks.

    The theory takes from each layer the variance of its weights and of its biases, σ_w² = fan_in · var(w) and
    σ_b² = E b², and from each activation its formula; it follows the mean square and the correlation of the inputs from
    layer to layer, through sums, normalization, dropout and gates. What it cannot follow, such as attention, is named;
    behind that the prediction starts at what is measured. Where the two part, the answer says by how many standard
    errors and why; the reason is decided by measuring once more, such as with the weights in random order.

    The model runs on at most 64 examples in the mode that it is in. Its weights, buffers, mode and hooks and the random
    state are left unchanged.

    Args:
        model: the model; the wrappers of `torch.compile` and DDP are taken off.
        batch: a pair of inputs and targets, of which the targets are not used, or a loader, or inputs alone as one
            tensor or a dict of keyword arguments. Examples lie along the first axis.

    Raises:
        BadInput: the model cannot be run on the batch, or runs differently each time.

    Source:
        Poole et al. 2016, arXiv:1606.05340; Schoenholz et al. 2017, arXiv:1611.01232.

    Example:
        >>> _ = torch.manual_seed(0)
        >>> layers = [nn.Linear(64, 512), nn.ReLU(), nn.Linear(512, 512), nn.ReLU()]
        >>> for layer in layers[::2]:
        ...     _ = nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
        >>> found = signal(nn.Sequential(*layers), torch.randn(16, 64))
        >>> [(each.site.name, round(each.sigma_w, 1), each.square.parts) for each in found.sites]
        [('1[0]', 1.4, False), ('3[0]', 1.4, False)]
    """
    model, inputs = unwrapped(model), _few(_inputs_of(batch))
    args, kwargs = called_with(inputs)
    examples = _examples(inputs)
    trace = recorded(model, args, dict(kwargs))
    following = Following(trace, examples=examples)
    again = recorded(model, args, dict(kwargs), observe=following)
    if [step.function for step in again.steps] != [step.function for step in trace.steps]:
        raise BadInput("the model must run the same steps each time; two passes on the same batch differ.")
    found = following.sites
    return Signal(tuple(found[at] for at in sorted(found)), examples, tuple(following.partings), trace.unseen)


def _inputs_of(batch: Any) -> Any:
    """Return the inputs of a batch.

    Raises:
        BadInput: it is a loader without a batch, or empty.
    """
    if isinstance(batch, Tensor | Mapping):
        return batch
    if not isinstance(batch, Sequence) and isinstance(batch, Iterable):
        with torch.random.fork_rng(devices=[]):  # a loader draws a seed even if it does not shuffle
            batch = next(iter(batch), None)
        if batch is None:
            raise BadInput("the loader is empty; at least one batch is required.")
        return _inputs_of(batch)
    if isinstance(batch, Sequence) and len(batch) == 2:
        return batch[0]
    raise BadInput(f"the batch must be a pair of inputs and targets, or inputs alone; got {type(batch).__name__}.")


def _few(inputs: Any) -> Any:
    """Return the first examples, if every tensor has them along its first axis."""
    first = next((each for each in leaves(inputs) if isinstance(each, Tensor) and each.dim()), None)
    if first is None or not has_rows(inputs, len(first)) or len(first) <= MOST_EXAMPLES:
        return inputs
    return mapped(lambda tensor: tensor[:MOST_EXAMPLES], inputs)


def _examples(inputs: Any) -> int:
    first = next((each for each in leaves(inputs) if isinstance(each, Tensor) and each.dim()), None)
    if first is None:
        raise BadInput("the batch must hold a tensor of inputs with the examples along its first axis; got none.")
    if len(first) == 0:
        raise BadInput(f"the batch must hold at least one example; got inputs of shape {tuple(first.shape)}.")
    return len(first)
