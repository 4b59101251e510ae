"""Follow a pass: each value as a formula of one other value, and the steps that are an activation by themselves."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any, NamedTuple, final

import numpy as np
from torch import Tensor, nn

from actlab.errors import ActlabError
from actlab.formula.activation import Activation
from actlab.formula.along_axis import AxisActivation
from actlab.formula.expr import Compare, Expr, ParamRef, Where, expr, param_names, walk
from actlab.formula.substitute import substitute
from actlab.lower.to_numpy import program
from actlab.sites.recognize.learned_parameters import learned_in, trained_in, with_learned
from actlab.sites.recognize.symbolic import COMPARED, LARGEST, SAME_NUMBERS, TRANSLATED, X
from actlab.sites.recognize.torch_ops import AFTER_WEIGHTS, ALONE, AnyActivation, known
from actlab.sites.trace.recorder import Call, Repeated
from actlab.sites.trace.trace import Step, Value

# Functions that fill a tensor with one number.
_FILLED = {"zeros_like": 0.0, "zeros": 0.0, "new_zeros": 0.0, "ones_like": 1.0, "ones": 1.0, "new_ones": 1.0}

# What they are may follow from the numbers of their other tensors.
_OF_OTHERS = ALONE | {"clamp"}

# Functions that read a mask as zeros and ones.
_OF_MASKS = frozenset({"mul"}) | SAME_NUMBERS


@final
class Pointwise(NamedTuple):
    """How a value is computed element-wise from another one.

    Attributes:
        root: the number of the other value; None if it is computed from weights alone.
        formula: of the other value, as `x`, and of references to weights; a comparison if it is a mask.
    """

    root: int | None
    formula: Expr | Compare


@final
@dataclass(frozen=True, eq=False)
class Weight:
    """A learned tensor to which a formula refers.

    Attributes:
        name: the last part of its own name, such as `beta`.
        values: its numbers.
        is_trained: whether they are trained.
    """

    name: str
    values: Tensor
    is_trained: bool


class _Alike(NamedTuple):
    """What is known of calls that differ only in their tensors.

    Attributes:
        repeated: what they have in common; its identity must not be reused.
        act: the activation that they are.
        is_written: whether their result may be a formula of one value.
        results: by the identity of the formula of what they read, that formula, and the one of their result.
    """

    repeated: Repeated
    act: AnyActivation | None
    is_written: bool
    results: dict[int, tuple[Expr | Compare, Expr | Compare | None]]


_LARGEST_WEIGHT = 1 << 16
"""Largest weight that may be a parameter of an activation: one number per channel, not a matrix."""


@final
class FormulaFollower:
    """Follow a pass, and note each value that is computed element by element from one other.

    Attributes:
        pointwise: by the number of such a value, its formula.
        activations: by the place of a step, the activation that its function is.
        learned: by the same place, the parameters of that activation that are tensors, all their values.
        trainable: by the same place, those of them that are trained.
        weights: by their names in formulas, the learned tensors to which these refer.
    """

    def __init__(self) -> None:
        self.pointwise: dict[int, Pointwise] = {}
        self.activations: dict[int, AnyActivation] = {}
        self.learned: dict[int, Mapping[str, tuple[float, ...]]] = {}
        self.trainable: dict[int, tuple[str, ...]] = {}
        self.weights: dict[str, Weight] = {}
        self._values: Sequence[Value] = ()
        self._read: Mapping[int, int] = {}
        self._filled: dict[int, float] = {}
        self._kinds: dict[tuple[str, str], AnyActivation | None] = {}
        self._written: dict[tuple[Any, ...], Expr | Compare | None] = {}
        self._ways: dict[tuple[str, ...], int] = {}
        self._calls: dict[int, _Alike] = {}  # by the identity of what calls have in common

    def follow(self, call: Call) -> None:
        """Note what a step computes, and what of it other calls have in common."""
        step = call.step
        self._values, self._read = call.values, call.read
        act = self._known(call)
        self._follow(step, call.arguments, act, call.results)
        if step.function in _FILLED and step.outputs:
            self._filled[step.outputs[0]] = _FILLED[step.function]
        repeated = call.repeated
        if repeated is None or not repeated.is_flat or not step.outputs or step.place in self.learned:
            return
        if len(step.inputs) != 1 and step.function in _OF_OTHERS:
            return
        known = self._calls.setdefault(id(repeated), _Alike(repeated, act, _is_written(step.function, act), {}))
        read = self._of_data(step.inputs[0], call.values) if len(step.inputs) == 1 else None
        if read is not None:
            made = self.pointwise.get(step.outputs[0])
            known.results.setdefault(id(read[1]), (read[1], None if made is None else made.formula))

    def follow_again(self, step: Step, values: Sequence[Value], repeated: Repeated) -> bool:
        """Note what a step computes of data, if that follows from earlier calls; return whether it does."""
        known = self._calls.get(id(repeated))
        if known is None:
            return False
        act = known.act
        if act is not None:
            self.activations[step.place] = act
            if isinstance(act, AxisActivation):
                return True
        if not known.is_written:
            return not all(map(self._is_of_weights, step.inputs))
        root = -1
        formula: Expr | Compare = X
        for number in step.inputs:
            read = self._of_data(number, values)
            if read is None:
                return False
            if read[0] != root >= 0:
                return True  # a formula of two values
            root, formula = read
        if len(step.inputs) != 1 or len(step.outputs) != 1:
            return False
        result = known.results.get(id(formula))
        if result is None:
            return False
        if result[1] is not None:
            self.pointwise[step.outputs[0]] = Pointwise(root, result[1])
        return True

    def _of_data(self, number: int, values: Sequence[Value]) -> tuple[int, Expr | Compare] | None:
        """Return a value as a formula of another one; None for weights, inputs, single numbers and filled tensors."""
        _, shape, _, origin, _ = values[number]
        if number in self._filled or prod(shape) == 1:
            return None
        known = self.pointwise.get(number)
        if known is None:
            return None if origin else (number, X)
        return None if known.root is None else (known.root, known.formula)

    def _known(self, call: Call) -> AnyActivation | None:
        """Return the activation that the function of a step is, found once for the same call without learned ones."""
        step, arguments = call.step, call.arguments
        kind = None
        if len(step.inputs) == 1 and len(step.arguments) == len(arguments) - 1 and step.function != "activation":
            kind = step.function, repr(step.arguments) if step.arguments else ""  # 1, 1.0 and True are equal
            if kind in self._kinds:
                act = self._kinds[kind]
                if act is not None:
                    self.activations[step.place] = act
                return act
        act = _ours(arguments) if step.function == "activation" else known(step.function, arguments)
        if act is not None:
            learned = learned_in(arguments)
            self.learned[step.place], self.trainable[step.place] = learned, trained_in(arguments, act)
            act = self.activations[step.place] = with_learned(act, learned)
        if kind is not None:
            self._kinds[kind] = act
        return act

    def needs_tensors(self, step: Step) -> bool:
        """Return whether the step may be part of an activation, so that its tensors are of use after the pass."""
        is_pointwise = bool(step.outputs) and step.outputs[0] in self.pointwise
        return step.place in self.activations or step.function in AFTER_WEIGHTS or is_pointwise

    def _follow(
        self, step: Step, arguments: Mapping[str, Any], act: AnyActivation | None, made: Sequence[Tensor]
    ) -> None:
        """Note the step's result as a formula of one value, if it is computed element-wise."""
        if isinstance(act, AxisActivation) or not step.outputs:
            return
        is_written = _is_written(step.function, act)
        if not is_written and not all(map(self._is_of_weights, step.inputs)):
            return
        operands: list[Pointwise | float | None] = []
        root: int | None = None
        for value in arguments.values():
            if isinstance(value, Tensor):
                operand = self._operand(value)
                operands.append(operand)
                if isinstance(operand, Pointwise) and operand.root is not None:
                    if root is not None and operand.root != root:
                        return  # a formula of two values
                    root = operand.root
            elif isinstance(value, _NUMBERS) and not isinstance(value, bool):
                operands.append(float(value))
        of = [operand for operand in operands if isinstance(operand, Pointwise)]
        if not of:
            return
        formula = None
        if is_written and None not in operands and len(step.outputs) == 1:
            function = act if isinstance(act, Activation) and len(act.inputs) == 1 else None
            formulas = [operand.formula if isinstance(operand, Pointwise) else operand for operand in operands]
            formula = self._applied(step.function, function, formulas, arguments)
        if formula is not None:
            self.pointwise[step.outputs[0]] = Pointwise(root, formula)
        elif root is None and all(map(self._is_of_weights, step.inputs)):
            for at, tensor in enumerate(made):
                self._follow_weights(step, arguments, of, tensor, at=at)

    def _applied(
        self, name: str, act: Activation | None, formulas: list[Any], arguments: Mapping[str, Any]
    ) -> Expr | Compare | None:
        """Return the formula of a call's result; None if it cannot be written, or is large.

        It is written once for the same call in every turn of a loop; but not one of 0, which equals -0.
        """
        has_zero = any(isinstance(each, float) and each == 0 for each in formulas)
        if has_zero or name == "clamp" or (name in {"add", "sub"} and "alpha" in arguments):
            return _if_small(_written(name, act, formulas, arguments))
        if name == "addcmul" and "value" in arguments:
            return None
        key = name, id(act), *formulas  # the activation stays in `_kinds` or `activations`
        if key not in self._written:
            self._written[key] = _if_small(_written(name, act, formulas, {}))
        return self._written[key]

    def _follow_weights(
        self, step: Step, arguments: Mapping[str, Any], of: list[Pointwise], made: Tensor, *, at: int
    ) -> None:
        """Note a result computed from weights in another way, such as a view, as a weight."""
        parents = [self.weights[name] for each in of for name in sorted(param_names(each.formula))]
        if not parents:
            return
        settings = [f"{name}={value!r}" for name, value in arguments.items() if not isinstance(value, Tensor)]
        way = (step.function, *(each.formula.digest for each in of), *settings, str(at))
        number = self._ways.setdefault(way, step.outputs[at])  # equal views are one weight
        trained = any(parent.is_trained for parent in parents)
        found = self._is_weight(number, made, name=parents[0].name, is_trained=trained)
        if found is not None:
            self.pointwise[step.outputs[at]] = found

    def _is_of_weights(self, number: int) -> bool:
        known = self.pointwise.get(number)
        return (known is not None and known.root is None) or self._is_fixed(number)

    def _is_weight(self, number: int, tensor: Tensor, *, name: str, is_trained: bool) -> Pointwise | None:
        """Return a reference to the tensor, if it may be the parameter of an activation."""
        if tensor.is_meta or not tensor.is_floating_point() or tensor.numel() > _LARGEST_WEIGHT:
            return None
        self.weights[f"w{number}"] = Weight(name, tensor.detach(), is_trained)
        found = self.pointwise[number] = Pointwise(None, ParamRef(f"w{number}"))
        return found

    def values_of(self, formula: Expr) -> tuple[float, ...]:
        """Return the current numbers of a formula of weights alone."""
        given = {name: self.weights[name].values.double().cpu().numpy() for name in sorted(param_names(formula))}
        given = given or {"unused": np.zeros(1)}
        result = program((formula,), [ParamRef(name) for name in given]).function(*given.values())
        return tuple(np.asarray(result, dtype=float).ravel().tolist())

    def is_trained(self, formula: Expr) -> bool:
        """Return whether a weight of the formula is trained."""
        return any(self.weights[name].is_trained for name in param_names(formula))

    def with_values(self, formula: Expr) -> Expr:
        """Return the formula with a number for each weight, the mean over channels."""
        middle = {name: float(self.weights[name].values.double().mean()) for name in param_names(formula)}
        return substitute(formula, {ParamRef(name): expr(number) for name, number in middle.items()})

    def _operand(self, value: Tensor) -> Pointwise | float | None:
        """Return a number, or a value as a formula of its root; None if it is neither."""
        number = self._read[id(value)]
        if number in self._filled:
            return self._filled[number]
        known_of = self.pointwise.get(number)
        if known_of is not None:
            if value.numel() == 1 and known_of.root is not None and self._is_fixed(known_of.root):
                return float(value.detach())  # computed from a single fixed number
            return known_of
        origin = self._values[number].origin
        if origin.startswith("parameter") or (type(value) is not Tensor and isinstance(value, nn.Parameter)):
            name = origin.rpartition(".")[2].removeprefix("parameter ")
            name = name if name.isidentifier() else "weight"
            return self._is_weight(number, value, name=name, is_trained=value.requires_grad)
        if value.numel() == 1 and (value.dim() == 0 or origin):
            return float(value.detach()) if not value.is_meta else None
        return None if origin.startswith("buffer") else Pointwise(number, X)

    def _is_fixed(self, number: int) -> bool:
        return self._values[number].origin.startswith(("parameter", "buffer", "constant"))


def _ours(arguments: Mapping[str, Any]) -> AnyActivation | None:
    found = getattr(next(iter(arguments.values())), "activation", None)
    return found if isinstance(found, Activation | AxisActivation) else None


def _if_small(formula: Expr | Compare | None) -> Expr | Compare | None:
    return formula if formula is not None and sum(1 for _ in walk(formula)) <= LARGEST else None


def _is_written(function: str, act: AnyActivation | None) -> bool:
    """Return whether the result may be written as a formula."""
    return act is not None or function in _WRITTEN


_NUMBERS = (int, float)
# Functions whose result `_written` may write as a formula, beside activations.
_WRITTEN = frozenset({"where", "masked_fill", "__setitem__", "max", "min", "clamp", *TRANSLATED, *COMPARED})


def _written(
    name: str, act: Activation | None, formulas: list[Any], arguments: Mapping[str, Any]
) -> Expr | Compare | None:
    try:
        if act is not None:
            first = next((each for each in formulas if isinstance(each, Expr)), None)
            return None if first is None else act(first)
        if name == "where":
            return _where(formulas)
        if name in {"masked_fill", "__setitem__"}:
            value, mask, filled = formulas
            return _where([mask, filled, value])
        if name in {"max", "min"} and len(formulas) == 2:
            name = {"max": "maximum", "min": "minimum"}[name]
        if name == "clamp":
            return _clamped(formulas[0], arguments)
        if name in _OF_MASKS:
            formulas = [Where(each, expr(1), expr(0)) if isinstance(each, Compare) else each for each in formulas]
        if any(isinstance(each, Compare) for each in formulas):
            return None
        table: Mapping[str, Callable[..., Expr | Compare]] = {**TRANSLATED, **COMPARED}
        if name in {"add", "sub"} and "alpha" in arguments:
            return None
        return table[name](*formulas) if name in table else None
    except (ActlabError, TypeError, ValueError, ZeroDivisionError, OverflowError):
        return None


def _where(formulas: list[Any]) -> Expr | None:
    condition, *branches = formulas
    return Where(condition, *map(expr, branches)) if isinstance(condition, Compare) and len(branches) == 2 else None


def _clamped(formula: Any, arguments: Mapping[str, Any]) -> Expr | None:
    result = formula
    for name, function in (("min", TRANSLATED["maximum"]), ("max", TRANSLATED["minimum"])):
        limit = arguments.get(name)
        if isinstance(limit, Tensor):
            if limit.numel() != 1:
                return None
            limit = float(limit.detach())
        if limit is not None:
            result = function(result, limit)
    return result if isinstance(result, Expr) else None
