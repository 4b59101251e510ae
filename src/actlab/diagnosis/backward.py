"""Run the backward pass of a recorded forward pass, and find where a gradient is lost or not finite."""

from __future__ import annotations

import traceback
from array import array
from collections.abc import Callable, Container, Iterator
from contextlib import contextmanager, suppress
from typing import Any, final

import torch
from torch import Tensor, nn

from actlab.diagnosis.own_derivative import OwnFunctions
from actlab.nn.user_lines import owner_of
from actlab.rules.backward import Backward, Broken, Failure, Gradient
from actlab.sites.trace.trace import Step

Gradients = tuple[Tensor | None, ...]

_is_wrapped = torch._C._functorch.is_functorch_wrapped_tensor  # within vmap


@final
class BackwardPass:
    """Observe a forward pass, so that its backward pass can be run and read.

    Nothing is added to the gradients of the model's parameters: each gradient is measured and dropped.

    Args:
        model: whose parameters' gradients are read.
        plain: the values whose tensors are known to be one strided block of numbers; it may grow during the pass.

    Attributes:
        result: what the backward pass gave; None until it ran, and if it could not be run.
    """

    def __init__(self, model: nn.Module, plain: Container[int] = ()) -> None:
        self.result: Backward | None = None
        self._parameters = {name: value for name, value in model.named_parameters() if value.requires_grad}
        self._made: list[tuple[Any, int]] = []  # the node of autograd behind a tensor, with the place of its step
        self._maker: dict[int, int] = {}  # the place of the step, by value that autograd did not track at first
        self._tracked: set[int] = set()
        self._untracked: set[int] = set()
        self._memory = _Memory(plain)
        self._own = OwnFunctions()

    def __call__(self, step: Step, inputs: tuple[Tensor, ...], outputs: tuple[Tensor, ...]) -> None:
        """Note which nodes of autograd the step has created."""
        place, tracked = step.place, self._tracked
        if not torch.is_grad_enabled():
            self._untracked.add(place)
            self._own.note(place, depth=2)
        if not tracked.issuperset(step.inputs):
            for number, tensor in zip(step.inputs, inputs, strict=True):
                if number not in tracked and tensor.requires_grad:
                    self._note(number, tensor, self._maker.get(number))
            self._memory.note(place, step.inputs, inputs)  # those that are tracked were noted when they became so
        self._memory.note(place, step.outputs, outputs)
        self._memory.steps.append(step)
        for number, tensor in zip(step.outputs, outputs, strict=True):
            if tensor.requires_grad:
                tracked.add(number)
                self._made.append((tensor.grad_fn, place))
            else:
                self._maker[number] = place

    def run(self, loss: Tensor) -> None:
        """Run the backward pass of the loss before its graph is freed."""
        try:
            self._run(loss)
        finally:
            self._made.clear()  # lets go of the graph

    def _run(self, loss: Tensor) -> None:
        if not self._parameters or not bool(loss.isfinite().all()):
            return
        if not loss.requires_grad:
            self.result = self._backward(loss, dict.fromkeys(self._parameters, "none"))
            return
        try:
            found = self._gradients(loss)
        except Exception as error:  # a backward function of the user may raise anything
            if "heckpoint" not in str(error):  # a reentrant one refuses gradients of chosen parameters
                self.result = self._backward(loss, {}, failure=self._failure(loss, error))
            return
        kinds = set(found.values())
        broken = self._first_broken(loss) if "not finite" in kinds else None
        blocked = self._blocked(loss) if broken is None and kinds != {"finite"} else frozenset[int]()
        self.result = self._backward(loss, found, broken=broken, blocked=blocked)

    def _note(self, number: int, tensor: Tensor, maker: int | None) -> None:
        """Note the step that made a tensor which autograd tracks."""
        self._tracked.add(number)
        node = tensor.grad_fn
        if maker is not None and node is not None:
            self._made.append((node, maker))

    def _place_of(self) -> dict[Any, int]:
        """Attribute the nodes behind each tensor that no earlier step has to the step that made it."""
        found: dict[Any, int] = {}
        for last, maker in self._made:
            waiting = [] if last is None else [last]
            while waiting:
                node = waiting.pop()
                if node not in found and not _is_leaf(node):
                    found[node] = maker
                    waiting += [before for before, _ in node.next_functions if before is not None]
        return found

    def _backward(self, loss: Tensor, gradients: dict[str, Gradient], **found: Any) -> Backward:
        tracked, untracked = frozenset(self._tracked), frozenset(self._untracked)
        own, value = self._own.compared(), float(loss.detach())
        return Backward(gradients, value, tracked=tracked, untracked=untracked, own=own, **found)

    def _gradients(self, loss: Tensor) -> dict[str, Gradient]:
        gradients = torch.autograd.grad(loss, list(self._parameters.values()), retain_graph=True, allow_unused=True)
        return {name: _kind(each) for name, each in zip(self._parameters, gradients, strict=True)}

    def _first_broken(self, loss: Tensor) -> Broken | None:
        """Run the backward pass again to find the operation that makes the first gradient that is not finite."""
        found: list[Broken] = []
        place_of = self._place_of()

        def look(node: Any, out: Gradients, came: Gradients) -> None:
            if not found and any(_is_broken(each) for each in out) and not any(_is_broken(each) for each in came):
                found.append(_broken(node, place_of.get(node), out, came))

        with _hooked(loss, lambda node: node.register_hook(lambda out, came: look(node, out, came))):
            self._gradients(loss)
        return found[0] if found else None

    def _blocked(self, loss: Tensor) -> frozenset[int]:
        """Run the backward pass again to find the steps that get a gradient and pass on only 0."""
        found: set[int] = set()
        place_of = self._place_of()

        def look(node: Any, out: Gradients, came: Gradients) -> None:
            place = place_of.get(node)
            if place is not None and out and not any(_is_some(each) for each in out):
                found.update({place} if any(_is_some(each) for each in came) else ())

        with _hooked(loss, lambda node: node.register_hook(lambda out, came: look(node, out, came))):
            self._gradients(loss)
        return frozenset(found)

    def _failure(self, loss: Tensor, error: Exception) -> Failure:
        """Run the backward pass again to find the step whose derivative raised, and the call in place to blame."""
        text = " ".join(str(error).split("Hint:")[0].split())
        message = f"{type(error).__name__}: {text}"
        begun: list[Any] = []
        place_of = self._place_of()
        with _hooked(loss, lambda node: node.register_prehook(lambda _: begun.append(node))), suppress(Exception):
            self._gradients(loss)  # raises the same again
        place = place_of.get(begun[-1]) if begun else None
        if "inplace operation" in text and place is not None:
            return Failure(message, place, self._memory.written_after(place))
        return Failure(message, place, None, *_raised_at(error))


@final
class _Memory:
    """Which steps overwrite the memory of which tensors, by autograd's count of versions.

    Args:
        plain: the values whose tensors are known to be one strided block of numbers.

    Attributes:
        steps: those whose tensors are noted.
    """

    def __init__(self, plain: Container[int]) -> None:
        self.steps: list[Step] = []
        self._plain = plain
        # by place and value, its storage and version: an array, since there are as many as calls
        self._noted = array("q")

    def note(self, place: int, numbers: tuple[int, ...], tensors: tuple[Tensor, ...]) -> None:
        """Note the tensors that a step reads, as they were before, or makes."""
        plain, noted = self._plain, self._noted
        for number, tensor in zip(numbers, tensors, strict=True):
            try:
                storage = tensor.untyped_storage()._cdata if number in plain else _storage(tensor)
                noted.extend((place, number, storage, tensor._version))
            except RuntimeError:  # without memory, or of inference, which counts no versions
                self._noted.extend((place, number, 0, 0))

    def written_after(self, place: int) -> int | None:
        """Return the place of the first step after this one that overwrites what it read or made."""
        storage_of: dict[int, int] = {}
        latest: dict[int, int] = {}  # version by storage
        writes: list[tuple[int, int]] = []
        for at in range(0, len(self._noted), 4):
            by, number, storage, version = self._noted[at : at + 4]
            if number in storage_of:
                continue
            storage_of[number] = storage
            if version > latest.get(storage, version):
                writes.append((by, storage))
            latest[storage] = version
        step = next((each for each in self.steps if each.place == place), None)
        mine = set() if step is None else {storage_of[number] for number in (*step.inputs, *step.outputs)}
        return next((at for at, storage in writes if at > place and storage in mine - {0}), None)


def _storage(tensor: Tensor) -> int:
    """Return the identity of the memory.

    Raises:
        RuntimeError: the tensor has none.
    """
    if _is_wrapped(tensor) or tensor.layout is not torch.strided:
        raise RuntimeError
    return int(tensor.untyped_storage()._cdata)


def _kind(gradient: Tensor | None) -> Gradient:
    if gradient is None:
        return "none"
    size = _size(gradient)
    return "not finite" if size is None else "zero" if size == 0 else "finite"


def _is_broken(gradient: Tensor | None) -> bool:
    return gradient is not None and _size(gradient) is None


def _is_some(gradient: Tensor | None) -> bool:
    return gradient is not None and _size(gradient) != 0


def _size(gradient: Tensor) -> float | None:
    """Return the sum of absolute values; None if one is not finite."""
    values = gradient.detach()
    values = values if values.layout is torch.strided else values.coalesce().values()
    if values.numel() == 0 or values.is_meta:
        return 0.0
    is_half = values.dtype in {torch.float16, torch.bfloat16}
    total = float(torch.linalg.vector_norm(values, 1, dtype=torch.float32 if is_half else None))
    if total == total and total != float("inf"):
        return total
    return total if bool(values.isfinite().all()) else None


def _broken(node: Any, place: int | None, out: Gradients, came: Gradients) -> Broken:
    gradient = next(each for each in out if each is not None and _is_broken(each))
    bad = ~gradient.isfinite()
    dropped = 0
    for each in came:
        if each is not None and each.shape == gradient.shape:
            dropped = int(((each == 0) & bad).sum())
    at, is_result = _saved(node, bad)
    return Broken(place, node.name(), int(bad.sum()), bad.numel(), dropped, at, is_result)


def _saved(node: Any, bad: Tensor) -> tuple[float | None, bool]:
    """Return the input or result of an element-wise operation where its gradient is not finite."""
    for name in ("_saved_self", "_saved_result"):
        value = getattr(node, name, None)
        if isinstance(value, Tensor) and value.shape == bad.shape and value.is_floating_point():
            return float(value.detach()[bad][0]), name == "_saved_result"
    return None, False


def _nodes(loss: Tensor) -> Iterator[Any]:
    """Yield the nodes of the graph, without those of leaves."""
    seen, waiting = set[Any](), [loss.grad_fn]
    while waiting:
        node = waiting.pop()
        if node is not None and node not in seen and not _is_leaf(node):
            seen.add(node)
            yield node
            waiting += [before for before, _ in node.next_functions]


def _is_leaf(node: Any) -> bool:
    return hasattr(node, "variable")


@contextmanager
def _hooked(loss: Tensor, hook: Callable[[Any], Any]) -> Iterator[None]:
    """Keep a hook on every node of the graph within a block."""
    handles = [hook(node) for node in _nodes(loss)]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _raised_at(error: Exception) -> tuple[str, int]:
    """Return the innermost line of the user's code that raised; of autograd's own, there is none."""
    frames = traceback.extract_tb(error.__traceback__)
    users = [each for each in frames if owner_of(each.filename) == "user"]
    return (users[-1].filename, users[-1].lineno or 0) if users else ("", 0)
