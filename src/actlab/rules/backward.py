"""What the backward pass of one batch gave, as rules read it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, final

Gradient = Literal["none", "zero", "finite", "not finite"]


@final
@dataclass(frozen=True)
class Broken:
    """The first operation, in the order of the backward pass, that makes NaN or infinity of finite gradients.

    Attributes:
        place: of its step; None if it is not part of the trace.
        node: autograd's name of the operation, such as `ExpBackward0`.
        numbers, total: how many of its gradients are not finite, and of how many.
        dropped: how many of these get a gradient of 0 from what follows, such as a branch that was not taken.
        at: the number at which its derivative is not finite; None if it is not known.
        is_result: whether `at` is its result, not its input.
    """

    place: int | None
    node: str
    numbers: int
    total: int
    dropped: int
    at: float | None = None
    is_result: bool = False


@final
@dataclass(frozen=True)
class Failure:
    """An exception in the backward pass.

    Attributes:
        message: its type and text.
        place: of the step whose derivative raised it; None if that is not known.
        overwritten_by: of the call in place that overwrote what this step had saved; None if none did.
        file, line: of the user's code that raised it, in a backward function of the user; empty and 0 otherwise.
    """

    message: str
    place: int | None = None
    overwritten_by: int | None = None
    file: str = ""
    line: int = 0


@final
@dataclass(frozen=True)
class OwnDerivative:
    """A backward function of the user compared with the derivative of its forward function.

    Attributes:
        name: of the class.
        place: of a step in its forward function.
        differing, compared: at how many of how many inputs the two differ.
        at, returned, derivative: the input where they differ most, what backward returns there, and the derivative.
        fault: what is compared: `first`, the derivative; `incoming`, what is returned for a gradient of 2, where only
            the derivative itself came back; or `second`, the derivative of backward.
    """

    name: str
    place: int
    differing: int
    compared: int
    at: float
    returned: float
    derivative: float
    fault: Literal["first", "incoming", "second"] = "first"


@final
@dataclass(frozen=True)
class Backward:
    """The backward pass of one batch.

    Attributes:
        gradients: what each trainable parameter got, by name.
        loss: its value.
        failure: the exception that ended it; None without one.
        broken: where the first gradient that is not finite was made; None if all are finite.
        blocked: the places of the steps that got a gradient other than 0 and passed on only 0.
        untracked: the places of the steps that ran with autograd switched off.
        tracked: the numbers of the values that autograd follows.
        own: the backward functions of the user that were compared with their forward functions.
    """

    gradients: Mapping[str, Gradient] = field(default_factory=dict)
    loss: float = 0.0
    failure: Failure | None = None
    broken: Broken | None = None
    blocked: frozenset[int] = frozenset()
    untracked: frozenset[int] = frozenset()
    tracked: frozenset[int] = frozenset()
    own: tuple[OwnDerivative, ...] = ()
