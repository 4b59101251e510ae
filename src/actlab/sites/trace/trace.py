"""The dataflow of one forward pass and its loss, without the data."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Literal, NamedTuple, final

from actlab.sites.site import Site, Unseen
from actlab.sites.trace.call_stack import Stack

Part = Literal["model", "loss"]


# a named tuple takes half the time of a frozen dataclass, and there is one for every call
@final
class Value(NamedTuple):
    """A tensor of the pass, identified by a number.

    Attributes:
        number: its place in `Trace.values`. An in-place call creates another value.
        shape, dtype: of the tensor.
        origin: `input 0`, `target`, `parameter fc1.weight`, `buffer bn.running_mean` or `constant`; empty if a step
            computed it.
        requires_grad: whether autograd tracks it.
    """

    number: int
    shape: tuple[int, ...]
    dtype: str
    origin: str = ""
    requires_grad: bool = False


@final
class Step(NamedTuple):
    """One call of PyTorch.

    Attributes:
        place: its place in `Trace.steps`.
        function: the name of the function, the same for all spellings: `relu`, `linear`, `conv2d`, `add`,
            `log_softmax`, `cross_entropy`, `binary_cross_entropy_with_logits`, ...
        spelling: how the code writes it.
        part: whether the model or the loss calls it.
        path: the dotted path of the innermost module whose `forward` calls it; empty in the loss.
        file, line: the line of the user's code.
        inputs: the numbers of the values that it reads, in the order of the arguments.
        outputs: the numbers of the values that it computes.
        arguments: its other arguments by name, if they are numbers, strings, booleans or tuples of those.
    """

    place: int
    function: str
    spelling: str
    part: Part
    path: str
    file: str
    line: int
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    arguments: Mapping[str, Any]


@final
@dataclass(frozen=True)
class Trace:
    """One forward pass, and its loss if there is one.

    Attributes:
        values, steps: what was computed, in order.
        outputs: the numbers of the model's outputs.
        loss: the number of the loss; None without one.
        sites: where activations are applied, in the order of their first calls.
        site_of: by the place of each step of a site, the index in `sites`.
        unseen: the parts that could not be inspected.
        source_of: by the place of the first step of each application of an activation, the number of its input.
        stacks: by the place of a step, the lines of the user's code that lead to it.
        instructions: by the place of a step, which of the calls on its line it is.
        escapes: the calls that take numbers out of a tensor, such as `item` and `numpy`; the place of each is that of
            the step after it.
        without_gradient: the calls of `torch.autograd.grad` that raised or returned no tensor.
    """

    values: tuple[Value, ...]
    steps: tuple[Step, ...]
    outputs: tuple[int, ...]
    loss: int | None
    sites: tuple[Site, ...] = ()
    site_of: Mapping[int, int] = field(default_factory=dict)
    unseen: tuple[Unseen, ...] = ()
    source_of: Mapping[int, int] = field(default_factory=dict)
    stacks: tuple[Stack, ...] = field(default=(), repr=False)
    instructions: tuple[int, ...] = field(default=(), repr=False)
    escapes: tuple[Step, ...] = field(default=(), repr=False)
    without_gradient: tuple[Step, ...] = field(default=(), repr=False)

    @cached_property
    def maker(self) -> Callable[[int], Step | None]:
        """By a value's number, the step that computed the value; None if it comes from outside."""
        # the dictionary's own method: searches call it more often than anything else
        return {value: step for step in self.steps for value in step.outputs}.get

    @cached_property
    def readers(self) -> Callable[[int], tuple[Step, ...]]:
        """By a value's number, the steps that read the value, in order."""
        readers = defaultdict[int, list[Step]](list)
        for step in self.steps:
            for value in step.inputs if len(step.inputs) == 1 else dict.fromkeys(step.inputs):
                readers[value].append(step)
        return _Readers({value: tuple(steps) for value, steps in readers.items()}).__getitem__

    def source(self, first: Step) -> int:
        """Return the number of the input of the activation whose first step this is."""
        return self.source_of.get(first.place, first.inputs[0])

    def site_at(self, step: Step) -> Site | None:
        """Return the site to which the step belongs."""
        at = self.site_of.get(step.place)
        return None if at is None else self.sites[at]

    @cached_property
    def of_weights(self) -> frozenset[int]:
        """The values computed from weights alone: a softplus that keeps a parameter positive is not a site."""
        given = [value for value in self.values if value.origin]
        fixed = {value.number for value in given if value.origin.startswith(("buffer", "constant"))}
        found = {value.number for value in given if value.origin.startswith("parameter")}
        for step in self.steps:
            if not found.isdisjoint(step.inputs) and all(value in found or value in fixed for value in step.inputs):
                found.update(step.outputs)
        return frozenset(found)

    @cached_property
    def layers_before(self) -> dict[tuple[int, frozenset[str]], Step | None]:
        """By value and by the functions that a search upstream passes, the layer that it found; filled by searches."""
        return {}

    @cached_property
    def parameters_behind(self) -> dict[int, str]:
        """By value, the parameter that a search found it to be; filled by searches."""
        return {}

    @cached_property
    def are_layers(self) -> dict[int, bool]:
        """By the place of a step, whether it multiplies by parameters; filled by searches."""
        return {}

    def sited(self, **found: Any) -> Trace:
        """Return the trace with other sites or unseen parts, and with what was derived from its steps alone."""
        trace = replace(self, **found)
        trace.__dict__.update({name: value for name, value in self.__dict__.items() if name in _OF_STEPS})
        return trace


_OF_STEPS = frozenset({"maker", "readers", "of_weights", "parameters_behind", "are_layers"})


class _Readers(dict[int, tuple[Step, ...]]):
    def __missing__(self, value: int) -> tuple[Step, ...]:
        return ()
