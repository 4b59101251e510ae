"""Record the calls of a forward pass while it runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, final
from weakref import ReferenceType, ref

from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from actlab.nn.torch_function import is_shown
from actlab.sites.trace.aliasing import Memory
from actlab.sites.trace.call_stack import Stack, stack_here
from actlab.sites.trace.calls import is_in_place, name_of, named_arguments, settings_in, spelling_of, tensors_in
from actlab.sites.trace.source_location import here, places_of
from actlab.sites.trace.trace import Part, Step, Trace, Value

# Called with every step, the tensors that it reads, as they are before the call, and those that it makes.
Observer = Callable[[Step, tuple[Tensor, ...], tuple[Tensor, ...]], None]


@final
@dataclass(frozen=True, eq=False)
class Call:
    """A step that was just recorded, with its tensors.

    Attributes:
        step: the step.
        arguments: all its arguments by name.
        read: by the identity of each tensor argument, the number of its value before the call.
        results: the tensors that it makes.
        values: all values recorded so far.
    """

    step: Step
    arguments: Mapping[str, Any]
    read: Mapping[int, int]
    results: Sequence[Tensor]
    values: Sequence[Value]


class Follower(Protocol):
    """What derives more from each recorded step."""

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


# They take numbers out of a tensor, where autograd cannot follow.
_ESCAPES = frozenset({"item", "tolist", "numpy", "__array__", "__float__", "__int__"})


@final
class Recorder(TorchFunctionMode):
    """Record every call of PyTorch.

    Args:
        model: its parameters and modules are known by their names.
        follower: called with each step once it is recorded.
        observe: called with each step and its tensors; of what is overwritten in place it gets a copy.
        keeps: whether `kept` gives the tensors that the follower needs after the pass.

    Attributes:
        values, steps, instructions, stacks, escapes, without_gradient: as in `Trace`.
        part: whether the model or the loss is running.
    """

    def __init__(
        self,
        model: nn.Module,
        *,
        follower: Follower | None = None,
        observe: Observer | None = None,
        keeps: bool = False,
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
        self._observe = observe
        self._paths = places_of(model)
        self._names = _named_tensors(model)
        self._numbers: dict[int, int] = {}
        self._memory = Memory()
        self._seen: dict[int, ReferenceType[Tensor]] = {}  # by identity, which a later tensor may reuse
        self._alive: dict[int, tuple[Tensor, int]] = {}  # by number, with its version: what `kept` returns
        self._overwritten: dict[int, Tensor] = {}
        self._keeps = keeps

    def given(self, tensors: list[Tensor], origin: str) -> None:
        """Register tensors that come from outside."""
        for at, tensor in enumerate(tensors):
            self._new(tensor, origin=f"{origin} {at}" if origin == "input" else origin)

    def number(self, tensor: Tensor) -> int:
        """Return the number of the tensor's current value."""
        found = self._numbers.get(id(tensor))
        if found is None:
            return self._new(tensor, origin=self._origin(tensor))
        written, is_all = self._memory.changed(found, tensor)
        return self._again(tensor, (*written, *(() if is_all else (found,)))) if written else found

    def _again(self, tensor: Tensor, parts: tuple[int, ...]) -> int:
        """Give a new number to a tensor that was overwritten through another view of its memory."""
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
        if name in _ESCAPES and args:
            self.escapes.append(self._bare(func, name, (self.number(args[0]),)))
        if name in _SILENT:
            return func(*args, **kwargs)
        arguments = named_arguments(func, args, kwargs)
        read = tensors_in(arguments)
        overwrites = is_in_place(func) or arguments.get("inplace") is True or isinstance(arguments.get("out"), Tensor)
        numbers = tuple(self.number(tensor) for tensor in read)
        before = tuple(tensor.detach().clone() for tensor in read) if overwrites and self._observe else tuple(read)
        if overwrites and self._keeps and read:
            self._overwritten[numbers[0]] = read[0].detach().clone()
        try:
            result = func(*args, **kwargs)
        except RuntimeError:
            if name == "grad":
                self.without_gradient.append(self._bare(func, name, numbers))
            raise
        made = tensors_in([result])
        if name == "__setitem__":
            made = read[:1]
        if name == "grad" and not made:
            self.without_gradient.append(self._bare(func, name, numbers))
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
        if self._follower is not None:
            read = {id(tensor): number for tensor, number in zip(tensors_in(arguments), numbers, strict=True)}
            self._follower.follow(Call(step, arguments, read, made, self.values))
            if self._keeps and self._follower.needs_tensors(step):
                for number, tensor in zip((*numbers, *step.outputs), (*before, *made), strict=True):
                    self._alive.setdefault(number, (tensor, _version(tensor)))
        if self._observe is not None:
            self._observe(step, before, tuple(made))

    def _bare(self, func: Callable[..., Any], name: str, numbers: tuple[int, ...]) -> Step:
        """Return the current call, which makes no tensor."""
        place = here(self._paths, depth=3)
        path = place.path if self.part == "model" else ""
        file, line = place.file, place.line
        return Step(len(self.steps), name, spelling_of(func), self.part, path, file, line, numbers, (), {})

    def _new(self, tensor: Tensor, *, origin: str) -> int:
        number = len(self.values)
        shape, dtype = tuple(tensor.shape), str(tensor.dtype).removeprefix("torch.")
        self.values.append(Value(number, shape, dtype, origin, tensor.requires_grad))
        self._numbers[id(tensor)] = number
        self._seen[id(tensor)] = ref(tensor, self._forgetter(id(tensor)))
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

    def _forgetter(self, identity: int) -> Callable[[ReferenceType[Tensor]], None]:
        """Return a callback that forgets a deleted tensor, but not a new one with the same identity."""
        numbers, seen = self._numbers, self._seen

        def forget(gone: ReferenceType[Tensor]) -> None:
            if seen.get(identity) is gone:
                del seen[identity], numbers[identity]

        return forget

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


def _version(tensor: Tensor) -> int:
    """Return how often the tensor was overwritten; inference tensors do not count that."""
    return 0 if tensor.is_inference() else tensor._version


def _named_tensors(model: nn.Module) -> dict[int, str]:
    parameters = {id(value): f"parameter {name}" for name, value in model.named_parameters()}
    return {**{id(value): f"buffer {name}" for name, value in model.named_buffers()}, **parameters}


def _state_of_ours(name: str, arguments: dict[str, Any]) -> dict[str, Any]:
    """Return the axis of an actlab module and whether it draws random numbers, which are not arguments of the call."""
    owner = next(iter(arguments.values())) if name == "activation" else None
    if not isinstance(owner, nn.Module):
        return {}
    dim = getattr(owner, "dim", None)
    draws = owner.training and bool(getattr(getattr(owner, "activation", None), "samplers", None))
    return ({"dim": dim} if isinstance(dim, int) else {}) | ({"training": True} if draws else {})


def _spelling_of_ours(arguments: dict[str, Any]) -> str:
    owner = next(iter(arguments.values()))
    return "actlab.module" if isinstance(owner, nn.Module) else "actlab.functional"
