"""Record the calls of a forward pass while it runs."""

from __future__ import annotations

import sys
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from types import FrameType, MethodType, MethodWrapperType
from typing import Any, Protocol, final
from weakref import ReferenceType, ref

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from actlab.nn.torch_function import is_shown
from actlab.sites.trace.aliasing import Memory
from actlab.sites.trace.call_places import CallPlace, CallPlaces
from actlab.sites.trace.call_stack import Stack
from actlab.sites.trace.calls import argument_names, is_in_place, name_of, settings_in, spelling_of, tensors_in
from actlab.sites.trace.readable import shape_of
from actlab.sites.trace.source_location import places_of
from actlab.sites.trace.trace import Part, Step, Trace, Value

# Called with every step, the tensors that it reads, as they are before the call, those that it makes, and what it has
# in common with other calls, if that is known.
Observer = Callable[[Step, tuple[Tensor, ...], tuple[Tensor, ...], "Repeated | None"], None]


@final
@dataclass(frozen=True, eq=False, slots=True)
class Repeated:
    """What calls of one function from one place have in common, if all their arguments but tensors are the same.

    Attributes:
        function: of PyTorch.
        step: one of the calls; the others have other inputs and outputs, and another place.
        is_flat: whether each of its tensors is an argument by itself, in no list.
    """

    function: Function
    step: Step
    is_flat: bool


@final
class Call:
    """A step that was just recorded, with its tensors.

    Attributes:
        step: the step.
        results: the tensors that it makes.
        values: all values recorded so far.
        repeated: what it has in common with other calls; None if that is not known.
    """

    __slots__ = ("_about", "_arguments", "_given", "_read", "repeated", "results", "step", "values")

    def __init__(
        self,
        step: Step,
        read: Sequence[Tensor],
        results: Sequence[Tensor],
        values: Sequence[Value],
        *,
        about: Function,
        given: tuple[tuple[Any, ...], Mapping[str, Any]],
        repeated: Repeated | None,
    ) -> None:
        self.step, self.results, self.values, self.repeated = step, results, values, repeated
        self._read, self._about, self._given = read, about, given
        self._arguments: Mapping[str, Any] | None = None

    @property
    def arguments(self) -> Mapping[str, Any]:
        """All arguments by name."""
        if self._arguments is None:
            self._arguments = self._about.named(*self._given)
        return self._arguments

    @property
    def read(self) -> Mapping[int, int]:
        """By the identity of each tensor argument, the number of its value before the call."""
        return dict(zip(map(id, self._read), self.step.inputs, strict=True))


class Follower(Protocol):
    """What derives more from each recorded step."""

    def follow_again(self, step: Step, values: Sequence[Value], repeated: Repeated) -> bool:
        """Take note of a step, if what it has in common with earlier ones is enough for it; return whether it is."""

    def follow(self, call: Call) -> None:
        """Take note of a step."""

    def needs_tensors(self, step: Step) -> bool:
        """Return whether the step's tensors are of use after the pass."""


# They read metadata or create constants: no data flows through them.
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


# Most calls have at most so many arguments without a known name.
_USUAL_ARGUMENTS = 8

# They take numbers out of a tensor, where autograd cannot follow.
_ESCAPES = frozenset({"item", "tolist", "numpy", "__array__", "__float__", "__int__"})


@final
@dataclass(frozen=True, eq=False, slots=True)
class Function:
    """What a recorder must know of a function of PyTorch, whatever its arguments.

    Attributes:
        function: the function itself, whose identity must not be reused.
        stand_in: what runs in its place; None for itself.
        name, spelling: as in `Step`.
        is_silent: whether no data flows through it.
        is_escape: whether it takes numbers out of a tensor.
        is_in_place: whether it overwrites its first argument, by its name.
        arguments: the names of its arguments, and the index of those whose name is unknown.
        is_plain: whether a call overwrites nothing that its named arguments do not ask for, and raises no
            `RuntimeError` that is of interest.
    """

    function: Callable[..., Any]
    stand_in: Callable[..., Any] | None
    name: str
    is_silent: bool
    is_escape: bool
    is_in_place: bool
    spelling: str
    arguments: tuple[str, ...]
    is_plain: bool

    def named(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """Return all arguments of a call by name, or by index if the name is unknown."""
        found = dict(zip(self.arguments, args, strict=False))
        if len(found) < len(args):
            found.update({str(at): args[at] for at in range(len(found), len(args))})
        if kwargs:
            found.update(kwargs)
        return found


# The tensors that a call reads, whether the first is overwritten, their numbers, and their values.
_Begun = tuple[list[Tensor], bool, tuple[int, ...], tuple[Tensor, ...]]

# The types of arguments that two calls may have in common.
_SETTINGS = frozenset({bool, int, str, type(None)})


@final
class Recorder(TorchFunctionMode):
    """Record every call of PyTorch.

    Args:
        model: its parameters and modules are known by their names.
        follower: called with each step once it is recorded.
        observe: called with each step and its tensors; of what is overwritten in place it gets a copy.
        settle: called before a tensor is overwritten in place: what an observer has yet to read, it reads now.
        stand_ins: by a function, what runs in its place; its call is recorded all the same.
        keeps: whether `kept` gives the tensors that the follower needs after the pass.
        spares: whether the pass goes on unrecorded if recording raises.

    Attributes:
        values, steps, instructions, stacks, escapes, without_gradient: as in `Trace`.
        part: whether the model or the loss is running.
        broken: what recording raised; None as a rule.
    """

    def __init__(
        self,
        model: nn.Module,
        *,
        follower: Follower | None = None,
        observe: Observer | None = None,
        settle: Callable[[], None] | None = None,
        stand_ins: Mapping[Callable[..., Any], Callable[..., Any]] | None = None,
        keeps: bool = False,
        spares: bool = False,
    ) -> None:
        super().__init__()
        self.values: list[Value] = []
        self.steps: list[Step] = []
        self.instructions: list[int] = []
        self.stacks: list[Stack] = []
        self.escapes: list[Step] = []
        self.without_gradient: list[Step] = []
        self.part: Part = "model"
        self._follower = follower
        self._observe, self._settle = observe, settle
        self._stand_ins = {} if stand_ins is None else stand_ins
        self._places = CallPlaces(places_of(model))
        self._names = _named_tensors(model)
        self._numbers: dict[int, tuple[int, ReferenceType[Tensor]]] = {}  # by identity, which a later one may reuse
        self._memory = Memory()
        self._alive: dict[int, tuple[Tensor, int]] = {}  # by number, with its version: what `kept` returns
        self._overwritten: dict[int, Tensor] = {}
        self._keeps, self._spares = keeps, spares
        self.broken: Exception | None = None
        self._about: dict[Hashable, Function] = {}
        self._shapes: dict[tuple[int, ...], tuple[int, ...]] = {}
        self._maker: dict[int, int] = {}  # by a value that was written in place, the place of the step that made it

    def __exit__(self, *raised: Any) -> None:
        self._places.forget()
        super().__exit__(*raised)  # type: ignore[no-untyped-call]  # PyTorch leaves it without types

    def given(self, tensors: list[Tensor], origin: str) -> None:
        """Register tensors that come from outside."""
        for at, tensor in enumerate(tensors):
            self._new(tensor, origin=f"{origin} {at}" if origin == "input" else origin)

    def number(self, tensor: Tensor) -> int:
        """Return the number of the tensor's current value."""
        found, seen = self._numbers.get(id(tensor), _UNSEEN)
        if seen() is not tensor:
            return self._new(tensor, origin=self._origin(tensor))
        if not self._memory.is_written:
            return found
        written, is_all = self._memory.changed(found, tensor)
        return self._again(tensor, (*written, *(() if is_all else (found,)))) if written else found

    def _again(self, tensor: Tensor, parts: tuple[int, ...]) -> int:
        """Give a new number to a tensor that was overwritten through another view of its memory."""
        by = self.steps[self._maker[parts[0]]]
        number = self._new(tensor, origin="")
        self._add(
            by._replace(
                place=len(self.steps), function="alias", spelling="", inputs=parts, outputs=(number,), arguments={}
            ),
            instruction=-1,
            stack=Stack(()),
        )
        return number

    def _add(self, step: Step, *, instruction: int, stack: Stack) -> None:
        self.steps.append(step)
        self.instructions.append(instruction)
        self.stacks.append(stack)

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if torch.compiler.is_compiling():
            return func(*args, **kwargs)
        about = self._about.get(id(func)) or self._known(func)
        if self.broken is not None:
            return func(*args, **kwargs)
        if about.is_escape and args:
            self.escapes.append(self._bare(about, (self.number(args[0]),), sys._getframe(1)))
        if about.is_silent:
            return func(*args, **kwargs)
        if about.is_plain and not (kwargs and ("out" in kwargs or kwargs.get("inplace") is True)):
            result = (about.stand_in or func)(*args, **kwargs)
            with torch._C.DisableTorchFunction():  # no other mode, nor the class of a tensor, notices what is done here
                try:
                    self._noted(about, args, kwargs, result, sys._getframe(1))
                except Exception as error:
                    self._break(error)
            return result
        with torch._C.DisableTorchFunction():
            try:
                begun = self._begin(about, args, kwargs)
            except Exception as error:
                self._break(error)
        try:
            result = (about.stand_in or func)(*args, **kwargs)
        except RuntimeError:
            if about.name == "grad" and self.broken is None:
                self.without_gradient.append(self._bare(about, begun[2], sys._getframe(1)))
            raise
        if self.broken is None:
            with torch._C.DisableTorchFunction():
                try:
                    self._end(about, begun, args, kwargs, result, sys._getframe(1))
                except Exception as error:
                    self._break(error)
        return result

    def _break(self, error: Exception) -> None:
        """Stop recording, if the pass belongs to a loop that must not be disturbed; else raise the error."""
        if not self._spares:
            raise error
        self.broken = error

    def _known(self, func: Callable[..., Any]) -> Function:
        """Describe a function, once; by identity, since `torch.mm` and `torch.dsmm` are equal and differ in name.

        Reading a property such as `x.T` calls another object each time.
        """
        key: Hashable = id(func)
        if isinstance(func, MethodType | MethodWrapperType):
            key = (func.__name__, id(func.__self__))
        found = self._about.get(key)
        if found is None:
            name = "activation" if is_shown(func) else name_of(func)
            names = argument_names(func)
            found = Function(
                func,
                self._stand_ins.get(func),
                name,
                name in _SILENT,
                name in _ESCAPES,
                is_in_place(func),
                spelling_of(func),
                (*names, *map(str, range(len(names), _USUAL_ARGUMENTS))),
                not is_in_place(func)
                and {"inplace", "out"}.isdisjoint(names)
                and name not in {"grad", "activation", "__setitem__"},
            )
            self._about[key] = found
        return found

    def _begin(self, about: Function, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> _Begun:
        arguments = about.named(args, kwargs)
        read = tensors_in(arguments)
        overwrites = about.is_in_place or arguments.get("inplace") is True or isinstance(arguments.get("out"), Tensor)
        numbers = tuple([self.number(tensor) for tensor in read])
        if overwrites and self._settle is not None:
            self._settle()
        copies = overwrites and self._observe is not None
        before = tuple([tensor.detach().clone() for tensor in read]) if copies else tuple(read)
        if overwrites and self._keeps and read:
            self._overwritten[numbers[0]] = read[0].detach().clone()
        return read, overwrites, numbers, before

    def _end(
        self,
        about: Function,
        begun: _Begun,
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
        result: Any,
        frame: FrameType,
    ) -> None:
        read, overwrites, numbers, before = begun
        made = (result,) if isinstance(result, Tensor) else tuple(tensors_in((result,)))
        if about.name == "__setitem__":
            made = tuple(read[:1])
        if made:
            call = self._places.of(frame)
            step = self._described(about, call, about.named(args, kwargs))
            step = self._note(about, step, call, (args, kwargs), read, numbers, before, made)
            if overwrites:
                number = self._numbers[id(made[0])][0]
                self._maker[number] = step.place
                self._memory.write(number, made[0])
        elif about.name == "grad":
            self.without_gradient.append(self._bare(about, numbers, frame))

    def _noted(
        self, about: Function, args: tuple[Any, ...], kwargs: Mapping[str, Any], result: Any, frame: FrameType
    ) -> None:
        """Record a call that has overwritten nothing."""
        made = (result,) if isinstance(result, Tensor) else tuple(tensors_in((result,)))
        read, key = _kind_of(args)
        if kwargs or key is None:
            read, key = tensors_in(about.named(args, kwargs)), None
        found = []
        for tensor in read:  # as `number`, for the usual case
            number, seen = self._numbers.get(id(tensor), _UNSEEN)
            is_known = seen() is tensor and not self._memory.is_written
            found.append(number if is_known else self.number(tensor))
        numbers = tuple(found)
        if not made:
            return
        call = self._places.of(frame)
        key = None if key is None else (id(about), self.part, *key)
        repeated: Repeated | None = None if key is None else call.repeated.get(key)
        if repeated is None:
            step = self._described(about, call, about.named(args, kwargs))
            if key is not None:
                is_flat = not any(isinstance(each, _SEQUENCES) for each in args)
                repeated = call.repeated[key] = Repeated(about, step, is_flat)
        else:
            step = repeated.step
        self._note(about, step, call, (args, kwargs), read, numbers, tuple(read), made, repeated)

    def _described(self, about: Function, call: CallPlace, arguments: dict[str, Any]) -> Step:
        """Return a step without its place and its values."""
        path, module, file, line, _ = call.place
        in_model, spelling, settings = self.part == "model", about.spelling, settings_in(arguments)
        if about.name == "activation":
            spelling = _spelling_of_ours(arguments)
            settings |= _state_of_ours(arguments)
        elif module and in_model:
            spelling = f"nn.{module}"
        return Step(-1, about.name, spelling, self.part, path if in_model else "", file, line, (), (), settings)

    def _note(
        self,
        about: Function,
        alike: Step,
        call: CallPlace,
        given: tuple[tuple[Any, ...], Mapping[str, Any]],
        read: list[Tensor],
        numbers: tuple[int, ...],
        before: tuple[Tensor, ...],
        made: tuple[Tensor, ...],
        repeated: Repeated | None = None,
    ) -> Step:
        outputs = tuple([self._new(tensor, origin="") for tensor in made])
        _, function, spelling, part, path, file, line, _, _, settings = alike
        # as `Step(...)`, which takes twice the time
        step: Step = _tuple(
            Step, (len(self.steps), function, spelling, part, path, file, line, numbers, outputs, settings)
        )
        self.steps.append(step)
        self.instructions.append(call.place.instruction)
        self.stacks.append(call.stack)
        if self._follower is not None:
            if repeated is None or not self._follower.follow_again(step, self.values, repeated):
                self._follower.follow(Call(step, read, made, self.values, about=about, given=given, repeated=repeated))
            if self._keeps and self._follower.needs_tensors(step):
                for number, tensor in zip((*numbers, *outputs), (*before, *made), strict=True):
                    self._alive.setdefault(number, (tensor, _version(tensor)))
        if self._observe is not None:
            self._observe(step, before, made, repeated)
        return step

    def _bare(self, about: Function, numbers: tuple[int, ...], frame: FrameType) -> Step:
        """Return the call that the frame makes, which computes no tensor."""
        place = self._places.of(frame).place
        path = place.path if self.part == "model" else ""
        return Step(
            len(self.steps), about.name, about.spelling, self.part, path, place.file, place.line, numbers, (), {}
        )

    def _new(self, tensor: Tensor, *, origin: str) -> int:
        number = len(self.values)
        shape = None if tensor.is_nested else self._shapes.get(tensor.shape)
        if shape is None:
            shape = shape_of(tensor)
            self._shapes[shape] = shape  # one tuple for many tensors
        self.values.append(_tuple(Value, (number, shape, _dtype(tensor.dtype), origin, tensor.requires_grad)))
        self._numbers[id(tensor)] = number, ref(tensor)
        if self._memory.is_written:
            self._memory.see(number)
        return number

    def trace(self, *, outputs: Sequence[int], loss: int | None) -> Trace:
        """Return what was recorded; its sites are not known yet."""
        return Trace(
            tuple(self.values),
            tuple(self.steps),
            tuple(outputs),
            loss,
            stacks=tuple(self.stacks),
            instructions=tuple(self.instructions),
            escapes=tuple(self.escapes),
            without_gradient=tuple(self.without_gradient),
        )

    def kept(self, number: int) -> Tensor | None:
        """Return the value with that number after the pass; None if it was overwritten without a copy."""
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


# What is known of a tensor that was not met yet.
_UNSEEN: tuple[int, Callable[[], Tensor | None]] = (-1, lambda: None)


_tuple: Callable[..., Any] = tuple.__new__

_SEQUENCES = (list, tuple)


def _kind_of(args: tuple[Any, ...]) -> tuple[list[Tensor], tuple[Any, ...] | None]:
    """Return the tensors among the arguments, and what two calls have in common whose other arguments are the same.

    That is None if an argument is neither a tensor nor a list of tensors nor a number that equals no other but itself.
    """
    read: list[Tensor] = []
    key: list[Any] = []
    for value in args:
        kind = type(value)
        if isinstance(value, Tensor):
            read.append(value)
            key.append(Tensor)
        elif kind in _SETTINGS or (kind is float and value != 0):  # 0.0 equals -0.0
            key += (kind, value)  # 1 equals 1.0 and True
        elif isinstance(value, _SEQUENCES) and all(isinstance(each, Tensor) for each in value):
            read += value
            key += (kind, len(value))
        else:
            return [], None
    return read, tuple(key)


@cache
def _dtype(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _version(tensor: Tensor) -> int:
    """Return how often the tensor was overwritten; inference tensors do not count that."""
    return 0 if tensor.is_inference() else tensor._version


def _named_tensors(model: nn.Module) -> dict[int, str]:
    parameters = {id(value): f"parameter {name}" for name, value in model.named_parameters()}
    return {**{id(value): f"buffer {name}" for name, value in model.named_buffers()}, **parameters}


def _state_of_ours(arguments: dict[str, Any]) -> dict[str, Any]:
    """Return the axis of an actlab module and whether it draws random numbers, which are not arguments of the call."""
    owner = next(iter(arguments.values()))
    if not isinstance(owner, nn.Module):
        return {}
    dim = getattr(owner, "dim", None)
    draws = owner.training and bool(getattr(getattr(owner, "activation", None), "samplers", None))
    return ({"dim": dim} if isinstance(dim, int) else {}) | ({"training": True} if draws else {})


def _spelling_of_ours(arguments: dict[str, Any]) -> str:
    owner = next(iter(arguments.values()))
    return "actlab.module" if isinstance(owner, nn.Module) else "actlab.functional"
