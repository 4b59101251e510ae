"""What a forward pass does, written down call by call while it runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, final
from weakref import ReferenceType, ref

import numpy as np
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from actlab.errors import ActlabError
from actlab.formula.activation import Activation
from actlab.formula.along_axis import AxisActivation
from actlab.formula.expr import Compare, Expr, ParamRef, Where, expr, param_names, walk
from actlab.formula.substitute import substitute
from actlab.lower.to_numpy import program
from actlab.nn.torch_function import is_shown
from actlab.sites.recognize.learned_parameters import learned_in, trained_in, with_learned
from actlab.sites.recognize.symbolic import COMPARED, LARGEST, SAME_NUMBERS, TRANSLATED, X
from actlab.sites.recognize.torch_ops import AFTER_WEIGHTS, AnyActivation, known
from actlab.sites.trace.aliasing import Memory
from actlab.sites.trace.call_stack import Stack, stack_here
from actlab.sites.trace.calls import is_in_place, name_of, named_arguments, settings_in, spelling_of, tensors_in
from actlab.sites.trace.source_location import here, places_of
from actlab.sites.trace.trace import Part, Step, Value

Observer = Callable[[Step, tuple[Tensor, ...], tuple[Tensor, ...]], None]

# They read sizes and make constants: nothing of the data passes through them.
_SILENT = frozenset(
    {
        "",
        "dim",
        "size",
        "numel",
        "stride",
        "is_floating_point",
        "is_complex",
        "is_contiguous",
        "data_ptr",
        "item",
        "tolist",
        "requires_grad",
        "element_size",
        "ndimension",
        "storage_offset",
        "untyped_storage",
        "register_hook",
        "backward",
        "__len__",
        "__repr__",
        "__format__",
        "__bool__",
        "__hash__",
        "_set_grad_enabled",
        "get_device",
        "is_nonzero",
    }
)


# They fill a tensor with one number.
_FILLED = {"zeros_like": 0.0, "zeros": 0.0, "new_zeros": 0.0, "ones_like": 1.0, "ones": 1.0, "new_ones": 1.0}

# They take a mask for zeros and ones.
_OF_MASKS = frozenset({"mul"}) | SAME_NUMBERS


@final
@dataclass(frozen=True)
class Pointwise:
    """What a value is of another one, number by number.

    Attributes:
        root: the number of the other value; None where it is computed of weights alone.
        formula: of `x`, which stands for the other value, and of references to weights; a comparison where it is a
            mask.
    """

    root: int | None
    formula: Expr | Compare


@final
@dataclass(frozen=True, eq=False)
class Weight:
    """A learned tensor that a formula refers to.

    Attributes:
        name: the last part of its own name, such as `beta`.
        values: its numbers.
        is_trained: whether they are still learned.
    """

    name: str
    values: Tensor
    is_trained: bool


_LARGEST_WEIGHT = 1 << 16
"""Numbers of a weight that may be the parameter of an activation: one a channel, not a matrix."""


@final
class Recorder(TorchFunctionMode):
    """Writes down every call of PyTorch.

    Attributes:
        values, steps: as in `Trace`.
        pointwise: of each value that is computed number by number from one other, how.
        activations: by the place of a step, the activation that its function is.
        instructions: by the place of a step, which of the calls on its line it is.
        stacks: by the place of a step, the lines that lead to it.
        learned: by the same place, the parameters of that activation that are tensors, all their values.
        trainable: by the same place, those of them that are still learned.
        weights: by their names in formulas, the learned tensors that these refer to.
        part: whether the model or the loss is running.
    """

    def __init__(self, model: nn.Module, *, observe: Observer | None = None, keeps: bool = False) -> None:
        super().__init__()
        self.values: list[Value] = []
        self.steps: list[Step] = []
        self.pointwise: dict[int, Pointwise] = {}
        self.activations: dict[int, AnyActivation] = {}
        self.learned: dict[int, Mapping[str, tuple[float, ...]]] = {}
        self.trainable: dict[int, tuple[str, ...]] = {}
        self.weights: dict[str, Weight] = {}
        self.instructions: list[int] = []
        self.stacks: list[Stack] = []
        self.part: Part = "model"
        self._observe = observe
        self._paths = places_of(model)
        self._names = _named_tensors(model)
        self._numbers: dict[int, int] = {}
        self._read: dict[int, int] = {}  # of the call that runs: what its arguments were before it
        self._filled: dict[int, float] = {}
        self._memory = Memory()
        self._ways: dict[tuple[str, ...], int] = {}
        self._seen: dict[int, ReferenceType[Tensor]] = {}  # by identity: one that is used again is another tensor
        self._alive: dict[int, tuple[Tensor, int]] = {}  # by number: what is told of after the pass, with its version
        self._overwritten: dict[int, Tensor] = {}
        self._keeps = keeps

    def given(self, tensors: list[Tensor], origin: str) -> None:
        """Name tensors that come from outside."""
        for at, tensor in enumerate(tensors):
            self._new(tensor, origin=f"{origin} {at}" if origin == "input" else origin)

    def number(self, tensor: Tensor) -> int:
        """The number of the tensor's value now."""
        found = self._numbers.get(id(tensor))
        if found is None:
            return self._new(tensor, origin=self._origin(tensor))
        written, is_all = self._memory.changed(found, tensor)
        return self._again(tensor, (*written, *(() if is_all else (found,)))) if written else found

    def _again(self, tensor: Tensor, parts: tuple[int, ...]) -> int:
        """Another number for a tensor that was overwritten through a view of it, or of which it is a view."""
        by = next(step for step in reversed(self.steps) if parts[0] in step.outputs)
        number = self._new(tensor, origin="")
        self.steps.append(
            replace(
                by, place=len(self.steps), function="alias", spelling="", inputs=parts, outputs=(number,), arguments={}
            )
        )
        self.instructions.append(-1)
        self.stacks.append(Stack(()))
        return number

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        name = "activation" if is_shown(func) else name_of(func)
        if name in _SILENT:
            return func(*args, **kwargs)
        arguments = named_arguments(func, args, kwargs)
        read = tensors_in(arguments)
        overwrites = is_in_place(func) or arguments.get("inplace") is True or isinstance(arguments.get("out"), Tensor)
        numbers = tuple(self.number(tensor) for tensor in read)
        before = tuple(tensor.detach().clone() for tensor in read) if overwrites and self._observe else tuple(read)
        if overwrites and self._keeps and read:
            self._overwritten[numbers[0]] = read[0].detach().clone()
        result = func(*args, **kwargs)
        made = tensors_in([result])
        if name == "__setitem__":
            made = read[:1]
        if made:
            self._note(func, name, arguments, numbers, before, made)
            if overwrites:
                self._memory.write(self._numbers[id(made[0])], made[0])
        return result

    def _note(
        self,
        func: Callable[..., Any],
        name: str,
        arguments: dict[str, Any],
        numbers: tuple[int, ...],
        before: tuple[Tensor, ...],
        made: list[Tensor],
    ) -> None:
        place = here(self._paths, depth=3)
        spelling = spelling_of(func)
        if name == "activation":
            spelling = _spelling_of_ours(arguments)
        elif place.module and self.part == "model":
            spelling = f"nn.{place.module}"
        step = Step(
            place=len(self.steps),
            function=name,
            spelling=spelling,
            part=self.part,
            path=place.path if self.part == "model" else "",
            file=place.file,
            line=place.line,
            inputs=numbers,
            outputs=tuple(self._new(tensor, origin="") for tensor in made),
            arguments=settings_in(arguments) | _state_of_ours(name, arguments),
        )
        self.steps.append(step)
        self.instructions.append(place.instruction)
        self.stacks.append(stack_here(self._paths, depth=3))
        act = _ours(arguments) if name == "activation" else known(name, arguments)
        if act is not None:
            learned = learned_in(arguments)
            self.learned[step.place], self.trainable[step.place] = learned, trained_in(arguments, act)
            act = self.activations[step.place] = with_learned(act, learned)
        self._read = {id(tensor): number for tensor, number in zip(tensors_in(arguments), numbers, strict=True)}
        self._follow(step, arguments, act, made)
        if name in _FILLED and step.outputs:
            self._filled[step.outputs[0]] = _FILLED[name]
        if self._keeps and (act is not None or step.function in AFTER_WEIGHTS or self._is_pointwise(step)):
            for number, tensor in zip((*numbers, *step.outputs), (*before, *made), strict=True):
                self._alive.setdefault(number, (tensor, _version(tensor)))
        if self._observe is not None:
            self._observe(step, before, tuple(made))

    def _is_pointwise(self, step: Step) -> bool:
        return bool(step.outputs) and step.outputs[0] in self.pointwise

    def _follow(self, step: Step, arguments: dict[str, Any], act: AnyActivation | None, made: list[Tensor]) -> None:
        """What the step's result is of one value, if it is computed number by number."""
        if len(step.outputs) != 1 or isinstance(act, AxisActivation):
            return
        operands = [self._operand(value) for value in arguments.values() if _is_operand(value)]
        of = [operand for operand in operands if isinstance(operand, Pointwise)]
        roots = {operand.root for operand in of if operand.root is not None}
        if len(roots) > 1 or not of:
            return
        formula = None
        if None not in operands:
            function = act if isinstance(act, Activation) and len(act.inputs) == 1 else None
            formulas = [operand.formula if isinstance(operand, Pointwise) else operand for operand in operands]
            formula = _applied(step.function, function, formulas, arguments)
        if formula is not None and sum(1 for _ in walk(formula)) <= LARGEST:
            self.pointwise[step.outputs[0]] = Pointwise(next(iter(roots), None), formula)
        elif not roots and all(self._is_of_weights(number) for number in step.inputs):
            self._follow_weights(step, arguments, of, made[0])

    def _follow_weights(self, step: Step, arguments: dict[str, Any], of: list[Pointwise], made: Tensor) -> None:
        """What is computed of weights in other ways than number by number, such as a view, is a weight itself."""
        parents = [self.weights[name] for each in of for name in sorted(param_names(each.formula))]
        if not parents:
            return
        settings = [f"{name}={value!r}" for name, value in arguments.items() if not isinstance(value, Tensor)]
        way = (step.function, *(each.formula.digest for each in of), *settings)
        number = self._ways.setdefault(way, step.outputs[0])  # twice the same view is one weight
        trained = any(parent.is_trained for parent in parents)
        found = self._is_weight(number, made, name=parents[0].name, is_trained=trained)
        if found is not None:
            self.pointwise[step.outputs[0]] = found

    def _is_of_weights(self, number: int) -> bool:
        known = self.pointwise.get(number)
        return (known is not None and known.root is None) or self._is_fixed(number)

    def _is_weight(self, number: int, tensor: Tensor, *, name: str, is_trained: bool) -> Pointwise | None:
        """The tensor as a reference, where it may be the parameter of an activation."""
        if tensor.is_meta or not tensor.is_floating_point() or tensor.numel() > _LARGEST_WEIGHT:
            return None
        self.weights[f"w{number}"] = Weight(name, tensor.detach(), is_trained)
        found = self.pointwise[number] = Pointwise(None, ParamRef(f"w{number}"))
        return found

    def values_of(self, formula: Expr) -> tuple[float, ...]:
        """The numbers of a formula of weights alone, as they are now."""
        given = {name: self.weights[name].values.double().cpu().numpy() for name in sorted(param_names(formula))}
        given = given or {"unused": np.zeros(1)}
        result = program((formula,), [ParamRef(name) for name in given]).function(*given.values())
        return tuple(np.asarray(result, dtype=float).ravel().tolist())

    def is_trained(self, formula: Expr) -> bool:
        """Whether a weight of the formula is still learned."""
        return any(self.weights[name].is_trained for name in param_names(formula))

    def with_values(self, formula: Expr) -> Expr:
        """The formula with a number for every weight: of one for every channel their mean."""
        middle = {name: float(self.weights[name].values.double().mean()) for name in param_names(formula)}
        return substitute(formula, {ParamRef(name): expr(number) for name, number in middle.items()})

    def _operand(self, value: Any) -> Pointwise | float | None:
        """A number, or a value as a formula of its root; None where it is neither."""
        if not isinstance(value, Tensor):
            return float(value)
        number = self._read[id(value)]
        if number in self._filled:
            return self._filled[number]
        known_of = self.pointwise.get(number)
        if known_of is not None and value.numel() == 1 and known_of.root is not None and self._is_fixed(known_of.root):
            return float(value.detach())  # what a program computes of one fixed number
        if known_of is not None:
            return known_of
        origin = self.values[number].origin
        if origin.startswith("parameter") or isinstance(value, nn.Parameter):
            name = origin.rpartition(".")[2].removeprefix("parameter ")
            name = name if name.isidentifier() else "weight"
            return self._is_weight(number, value, name=name, is_trained=value.requires_grad)
        if value.numel() == 1 and (value.dim() == 0 or origin):
            return float(value.detach()) if not value.is_meta else None
        return None if origin.startswith("buffer") else Pointwise(number, X)

    def _is_fixed(self, number: int) -> bool:
        return self.values[number].origin.startswith(("parameter", "buffer", "constant"))

    def _new(self, tensor: Tensor, *, origin: str) -> int:
        number = len(self.values)
        shape, dtype = tuple(tensor.shape), str(tensor.dtype).removeprefix("torch.")
        self.values.append(Value(number, shape, dtype, origin, tensor.requires_grad))
        self._numbers[id(tensor)] = number
        self._seen[id(tensor)] = ref(tensor, self._forgetter(id(tensor)))
        self._memory.see(number)
        return number

    def _forgetter(self, identity: int) -> Callable[[ReferenceType[Tensor]], None]:
        """What forgets a tensor that is gone, and not another one that has its identity since."""
        numbers, seen = self._numbers, self._seen

        def forget(gone: ReferenceType[Tensor]) -> None:
            if seen.get(identity) is gone:
                del seen[identity], numbers[identity]

        return forget

    def kept(self, number: int) -> Tensor | None:
        """The value with that number, after the pass; None where something overwrote it and no copy was kept."""
        copy = self._overwritten.get(number)
        if copy is not None:
            return copy
        tensor, version = self._alive.get(number, (None, 0))
        return tensor if tensor is not None and _version(tensor) == version else None

    def _origin(self, tensor: Tensor) -> str:
        named = self._names.get(id(tensor))
        if named is not None:
            return named
        made_by = tensor.grad_fn
        return "constant" if made_by is None else f"opaque {type(made_by).__name__}"


def _version(tensor: Tensor) -> int:
    """How often it was overwritten; of a tensor of inference mode nobody counts that."""
    return 0 if tensor.is_inference() else tensor._version


def _named_tensors(model: nn.Module) -> dict[int, str]:
    parameters = {id(value): f"parameter {name}" for name, value in model.named_parameters()}
    return {**{id(value): f"buffer {name}" for name, value in model.named_buffers()}, **parameters}


def _is_operand(value: Any) -> bool:
    return isinstance(value, Tensor) or (isinstance(value, int | float) and not isinstance(value, bool))


def _ours(arguments: dict[str, Any]) -> AnyActivation | None:
    found = getattr(next(iter(arguments.values())), "activation", None)
    return found if isinstance(found, Activation | AxisActivation) else None


def _state_of_ours(name: str, arguments: dict[str, Any]) -> dict[str, Any]:
    """The axis that a module of ours acts along and whether it draws at random, which are no arguments of its call."""
    owner = next(iter(arguments.values())) if name == "activation" else None
    if not isinstance(owner, nn.Module):
        return {}
    dim = getattr(owner, "dim", None)
    draws = owner.training and bool(getattr(getattr(owner, "activation", None), "samplers", None))
    return ({"dim": dim} if isinstance(dim, int) else {}) | ({"training": True} if draws else {})


def _spelling_of_ours(arguments: dict[str, Any]) -> str:
    owner = next(iter(arguments.values()))
    return "actlab.module" if isinstance(owner, nn.Module) else "actlab.functional"


def _applied(
    name: str, act: Activation | None, formulas: list[Any], arguments: dict[str, Any]
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
        if (name in {"add", "sub"} and "alpha" in arguments) or (name == "addcmul" and "value" in arguments):
            return None
        return table[name](*formulas) if name in table else None
    except (ActlabError, TypeError, ValueError, ZeroDivisionError, OverflowError):
        return None


def _where(formulas: list[Any]) -> Expr | None:
    condition, *branches = formulas
    return Where(condition, *map(expr, branches)) if isinstance(condition, Compare) and len(branches) == 2 else None


def _clamped(formula: Any, arguments: dict[str, Any]) -> Expr | None:
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
