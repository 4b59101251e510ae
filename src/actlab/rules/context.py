"""The context of a rule: one forward pass of a model, the numbers in its loss, the optimizer."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property, wraps
from operator import itemgetter
from typing import Any, TypeVar, final

from torch import Tensor, nn
from torch.optim import Optimizer

from actlab.rules.axes import Followed, of_inputs
from actlab.rules.backward import Backward
from actlab.rules.bounds import BoundsOf
from actlab.rules.composite_losses import written_losses
from actlab.rules.dataflow import upstream
from actlab.rules.observed import Observed
from actlab.sites.trace.trace import Step, Trace
from actlab.telemetry.settings import Settings

T = TypeVar("T")


def once(derive: Callable[[Context], T]) -> Callable[[Context], T]:
    """Let a function derive what several rules read from a context only once."""

    @wraps(derive)
    def derived(context: Context) -> T:
        if derive not in context.derived:
            context.derived[derive] = derive(context)
        found: T = context.derived[derive]
        return found

    return derived


@final
@dataclass(frozen=True, eq=False)
class Context:
    """What a rule reads of one forward pass.

    Attributes:
        trace: the pass in training mode, with the loss.
        observed: the numbers in it.
        model: its parameters and configuration; a rule never calls it.
        settings: the thresholds.
        optimizer: None if none was handed over.
        evaluated: the pass in evaluation mode; None if it cannot be run.
        is_fresh: whether the weights still have their initial values.
        backward: the backward pass; None if it was not run.
        is_dtype_to_blame: whether loss and gradients that are not finite in 16 bits are finite in 32.
    """

    trace: Trace
    observed: Observed
    model: nn.Module
    settings: Settings = field(default_factory=Settings)
    optimizer: Optimizer | None = None
    evaluated: Trace | None = None
    is_fresh: bool = True
    backward: Backward | None = None
    is_dtype_to_blame: bool = False

    @cached_property
    def parameters(self) -> dict[str, Tensor]:
        """The model's parameters by all their names."""
        return dict(self.model.named_parameters(remove_duplicate=False))

    @cached_property
    def derived(self) -> dict[Any, Any]:
        """What functions marked `once` derived from this context."""
        return {}

    @cached_property
    def to_loss(self) -> frozenset[int]:
        """The places of the steps on which the loss depends."""
        return upstream(self.trace, self.trace.loss)

    @cached_property
    def matters(self) -> frozenset[int]:
        """The places of the steps on which an output or the loss depends."""
        before = frozenset[int]() if self.trace.loss is None else self.to_loss
        made = {value: self.trace.maker(value) for value in self.trace.outputs}
        return before | upstream(self.trace, *(value for value, by in made.items() if by and by.place not in before))

    @cached_property
    def axes(self) -> Followed:
        """Where the axes of the values begin: at the inputs, or at a layer."""
        return of_inputs(self.trace)

    @cached_property
    def bounds(self) -> BoundsOf:
        """The bounds of values by their number, whatever the weights."""
        return BoundsOf(self.trace, self.observed.numbers, self.observed.limits)

    def losses(self, *functions: str) -> list[Step]:
        """Return the steps that compute these losses, in order; composite losses last."""
        found = [each for function in set(functions) for each in self._before_loss.get(function, ())]
        return [step for _, step in sorted(found, key=itemgetter(0))]

    @cached_property
    def _before_loss(self) -> dict[str, list[tuple[int, Step]]]:
        """By function, the steps on which the loss depends, with their order; composite losses last."""
        steps = defaultdict[str, list[tuple[int, Step]]](list)
        for at, step in enumerate((*self.trace.steps, *self.written)):
            if step.place in self.to_loss:
                steps[step.function].append((at, step))
        return steps

    def called(self, step: Step) -> str:
        """Return the name of the loss for a sentence; a composite loss is named by its last call."""
        is_written = any(step is each for each in self.written)
        return f"the loss's {step.spelling}" if is_written else step.function

    @cached_property
    def written(self) -> tuple[Step, ...]:
        """The losses that the program composes of several operations."""
        return written_losses(self.trace, self.observed.numbers)

    def tensor(self, step: Step, at: int) -> Tensor | None:
        """Return the tensor that a loss reads at this place of its arguments."""
        if any(step is each for each in self.written):
            return self.observed.numbers.get(step.inputs[at]) if at < len(step.inputs) else None
        held = self.observed.tensors.get(step.place, ())
        return held[at] if at < len(held) else None
