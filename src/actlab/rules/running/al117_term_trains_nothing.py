"""AL117: a term of the loss without a gradient."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import final

from actlab.rules.backward import Backward
from actlab.rules.bounds import constant_of
from actlab.rules.context import Context
from actlab.rules.cut_gradient import numbers_come_back
from actlab.rules.dataflow import known_lines, moved_from, numbers_read, place_of, upstream
from actlab.rules.rule import Found, found, rule
from actlab.sites.site_text import line_phrase
from actlab.sites.trace.trace import Step, Trace

# Their derivative is 0 everywhere, or at all numbers but a few.
_FLAT = frozenset({"sign", "sgn", "round", "floor", "ceil", "trunc", "fix", "heaviside", "floor_divide", "bernoulli",
                   "poisson"})  # fmt: skip
_COPIES = frozenset({"detach", "data", "tensor", "as_tensor", "asarray", "clone"})


@rule(
    "AL117", title="loss term that trains nothing", severity="warning", remedies=("straight-through", "remove-detach")
)
def term_trains_nothing(context: Context) -> Iterator[Found]:
    """A term of the loss is computed from the model's output, but no gradient comes back from it.

    Why it matters:
        The other terms train the model, the loss falls, and this term only adds a number to it: what it asks for is
        never learned.

    How it is detected:
        The loss is taken apart into the terms of its sum. A term that depends on trainable parameters but from which
        every way to them ends at a call without a derivative (`argmax`, a comparison), with a derivative of 0 (`sign`,
        `round`), at a `detach`, or where the numbers leave the tensor is reported at that call. Not reported: constant
        targets and offsets, factors of other terms, terms that are subtracted or added in detached form to correct the
        value of others, and what a straight-through estimator brings back.

    Example:
        model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 3))
        batch = torch.randn(64, 8), torch.randint(3, (64,))

        def loss(output, labels):
            wrong = (output.argmax(1) != labels).float().mean()
            return F.cross_entropy(output, labels) + 0.5 * wrong

    Use instead:
        model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 3))
        batch = torch.randn(64, 8), torch.randint(3, (64,))

        def loss(output, labels):
            wrong = 1 - output.softmax(1).gather(1, labels[:, None]).mean()
            return F.cross_entropy(output, labels) + 0.5 * wrong

    References:
        Bengio, Léonard, Courville 2013, arXiv:1308.3432 (functions without a derivative)
    """
    backward, trace = context.backward, context.trace
    if backward is None or backward.failure is not None or trace.loss is None:
        return
    if not set(backward.gradients.values()) & {"finite", "not finite"}:
        return  # nothing learns at all
    search = _Search(trace, backward)
    terms = [term for term in _terms(context, trace.loss) if term.factor != 0]
    dead = [term for term in terms if not search.learns(term.value)]
    living = [term.value for term in terms if term not in dead]
    reported: set[int] = set()
    for term in dead if living else ():
        cuts = [step for step in search.cuts(term.value) if step.place not in reported]
        if cuts and not all(_is_on_purpose(context, term, cut, living) for cut in cuts):
            reported.update(step.place for step in cuts)
            yield _found(context, backward, cuts)
    for taken in _added_numbers(context, search):
        yield _found(context, backward, [taken])


def _added_numbers(context: Context, search: _Search) -> Iterator[Step]:
    """Yield the calls in the loss that take a number out of a tensor to add it to others, on the same line."""
    for step in context.trace.steps:
        number = constant_of(step) if step.function == "add" and len(step.inputs) == 1 else None
        if step.part != "loss" or step.place not in context.to_loss or not number:
            continue
        before = {
            each for place in upstream(context.trace, step.inputs[0]) for each in context.trace.steps[place].outputs
        }
        for taken in context.trace.escapes:
            if taken.inputs[0] in before:
                continue  # a number that is logged
            is_here = (taken.file, taken.line) == (step.file, step.line) and taken.place <= step.place
            if is_here and taken.part == "loss" and search.kinds(taken.inputs[0]):
                yield taken
                break


def _found(context: Context, backward: Backward, cuts: list[Step]) -> Found:
    step = cuts[0]
    spelled = f"{step.spelling or step.function}{line_phrase(step.line)}"
    if step.function in _FLAT:
        why = f"the derivative of {spelled} is 0"
    elif not step.outputs:
        why = f"{spelled} takes the numbers out of the tensor, where autograd cannot follow"
    elif step.function in _COPIES:
        why = f"{spelled} cuts it off"
    elif step.place in backward.untracked:
        why = f"from {spelled} on, autograd is switched off (torch.no_grad)"
    else:
        why = f"{spelled} has no derivative"
    is_cut = step.function in _COPIES or not step.outputs or step.place in backward.untracked
    return found(
        f"one term of the loss trains nothing, while the others do: no gradient comes back from it, since {why}",
        site=place_of(context.trace, step),
        remedies=("remove-detach",) if is_cut else ("straight-through",),
        cut_by=step.function,
        lines=known_lines(cuts),
    )


@final
@dataclass(frozen=True)
class _Term:
    """One term of the loss.

    Attributes:
        value: its number.
        factor: its constant factor.
        is_part: whether it is a term for each example, of a sum that is averaged afterwards.
    """

    value: int
    factor: float
    is_part: bool = False


def _terms(context: Context, loss: int) -> list[_Term]:
    """Return the terms of a sum of numbers, or of one number for each example."""
    trace, waiting, found_terms = context.trace, [_Term(loss, 1.0)], list[_Term]()
    while waiting and len(found_terms) < _MOST:
        term = waiting.pop()
        parts = _parts(context, term)
        if parts is None:
            found_terms.append(term)
        else:
            waiting += parts
    return [term for term in found_terms if trace.maker(term.value) is not None]


_MOST = 100


def _parts(context: Context, term: _Term) -> list[_Term] | None:
    """Return the terms whose sum this one is; None if it is not a sum."""
    trace, step = context.trace, context.trace.maker(term.value)
    if step is None or not step.inputs or any(len(trace.values[value].shape) > 1 for value in step.inputs):
        return None
    function, values = step.function, step.inputs
    moved = None if function in _COPIES else moved_from(step, term.value)
    if moved is not None or function in {"mean", "sum"}:
        return [replace(term, value=values[0] if moved is None else moved)]
    if function in {"stack", "cat"}:
        return [replace(term, value=value) for value in values]
    if function == "neg":
        return [_times(term, values[0], -1)]
    if function in {"mul", "div"} and len(values) == 1:
        number = constant_of(step)
        return None if number is None else [_times(term, values[0], number)]
    if function in {"add", "sub", "rsub"} and "alpha" not in step.arguments:
        part = replace(term, is_part=term.is_part or math.prod(trace.values[term.value].shape) > 1)
        return _of_sum(step, part)
    if function == "mul" and len(values) == 2:
        return _weighted(context, values, term)
    return None


def _times(term: _Term, value: int, number: float) -> _Term:
    return replace(term, value=value, factor=term.factor * number)


def _of_sum(step: Step, term: _Term) -> list[_Term]:
    first, second = {"add": (1, 1), "sub": (1, -1), "rsub": (-1, 1)}[step.function]
    if len(step.inputs) == 1:
        is_rest = any(key in step.arguments for key in ("0", "input"))
        return [_times(term, step.inputs[0], second if is_rest else first)]
    return [_times(term, step.inputs[0], first), _times(term, step.inputs[1], second)]


def _weighted(context: Context, values: tuple[int, ...], term: _Term) -> list[_Term] | None:
    """Return the learned factor of a product with a number that is not learned."""
    for value, weight in (values, values[::-1]):
        numbers = context.observed.numbers.get(weight)
        if not context.trace.values[weight].requires_grad and numbers is not None and numbers.numel() == 1:
            return [_times(term, value, float(numbers))]
        maker = context.trace.maker(value)
        is_listed = maker is not None and maker.function in {"stack", "cat"}
        if is_listed and numbers is not None and bool((numbers > 0).all()):
            return [_times(term, value, 1.0)]
    return None


@final
class _Search:
    """The ways from values of one pass back to its trainable parameters."""

    def __init__(self, trace: Trace, backward: Backward) -> None:
        self._trace, self._backward = trace, backward
        self._learns: dict[int, bool] = {}

    def learns(self, value: int) -> bool:
        """Return whether a way leads back to a leaf of autograd on which no derivative is 0 everywhere."""
        waiting, known = [value], set[int]()
        while waiting:
            value = waiting.pop()
            if value in known or value not in self._backward.tracked:
                continue
            known.add(value)
            step = self._trace.maker(value)
            if step is None or self._is_inside_own(step):
                return True
            waiting += [] if step.function in _FLAT else step.inputs
        return False

    def cuts(self, value: int) -> list[Step]:
        """Return the calls at which the ways from a value to trainable parameters end, in order."""
        waiting, known, found_cuts = [value], set[int](), dict[int, Step]()
        while waiting:
            value = waiting.pop()
            if value in known:
                continue
            known.add(value)
            step = self._trace.maker(value)
            taken = numbers_come_back(self._trace, value)
            if taken is not None and self.kinds(taken.inputs[0]) and "none" not in self.kinds(taken.inputs[0]):
                found_cuts[-1 - taken.place] = taken
            if step is None:
                continue
            if (step.function in _FLAT or value not in self._backward.tracked) and any(
                each in self._backward.tracked and self.kinds(each) for each in numbers_read(step)
            ):
                found_cuts[step.place] = step
                continue
            waiting += numbers_read(step)
        return [found_cuts[place] for place in sorted(found_cuts, key=abs)]

    def kinds(self, value: int) -> set[str]:
        """Return the kinds of gradients that the trainable parameters behind a value get."""
        steps = [self._trace.steps[place] for place in upstream(self._trace, value)]
        read = {value, *(each for step in steps for each in numbers_read(step))}
        names = [self._trace.values[each].origin.removeprefix("parameter ") for each in read]
        return {self._backward.gradients[name] for name in names if name in self._backward.gradients}

    def _is_inside_own(self, step: Step) -> bool:
        return bool(self._trace.stacks) and self._trace.stacks[step.place].own_backward


def _is_on_purpose(context: Context, term: _Term, cut: Step, living: list[int]) -> bool:
    """Return whether a term is detached in order to correct the value of others, or is a baseline of them."""
    trace = context.trace
    is_function = cut.outputs and cut.function not in _COPIES
    if is_function and cut.place not in (context.backward.untracked if context.backward else ()):
        return False
    if term.factor < 0:
        return True
    before = {each for value in living for place in upstream(trace, value) for each in trace.steps[place].inputs}
    if not before.isdisjoint(cut.outputs):
        return True  # such as the entropy of a teacher beside its cross-entropy
    inside = {each.value for value in cut.inputs[:1] for each in _terms(context, value)}
    return not inside.isdisjoint(living) or term.is_part
