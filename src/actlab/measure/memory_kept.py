"""What one training step keeps for its backward pass, by the storages that autograd saves."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

Hook = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Kept:
    """The storages that were saved for backward, each counted once however often it was saved.

    Attributes:
        total: bytes of all of them.
        by_place: bytes saved at each place that was watched.
        alone: of those, the bytes that nothing else saved.
    """

    total: int
    by_place: Mapping[str, int]
    alone: Mapping[str, int]


def kept_by(
    step: Callable[[], object],
    *,
    model: nn.Module,
    there_anyway: Sequence[Tensor] = (),
    watched: Sequence[str] = (),
    untraced: Callable[[Hook], Hook] = lambda hook: hook,
) -> Kept:
    """What a forward pass keeps for backward, beyond the model's own tensors.

    Args:
        step: the forward pass, loss included; what it returns keeps its graph alive until all is counted.
        model: its parameters and buffers are not counted.
        there_anyway: other tensors that are not counted, such as the batch itself.
        watched: paths of modules within the model whose share is told apart.
        untraced: what keeps a compiler from following the hook, where the step is compiled.
    """
    known = {_address(tensor) for tensor in (*model.parameters(), *model.buffers(), *there_anyway)}
    saved: dict[int, tuple[torch.UntypedStorage, set[str]]] = {}
    inside: list[str] = []

    def pack(tensor: Tensor) -> Tensor:
        address = _address(tensor)
        if address not in known:
            # the storage itself is held, so that no later one can take its address
            _, places = saved.setdefault(address, (tensor.untyped_storage(), set()))
            places.add(inside[-1] if inside else "")
        return tensor

    with _watching(model, watched, inside), torch.autograd.graph.saved_tensors_hooks(untraced(pack), _unchanged):
        graph = step()
    sizes = [(storage.nbytes(), places) for storage, places in saved.values()]
    del graph
    return Kept(
        sum(size for size, _ in sizes),
        {path: sum(size for size, places in sizes if path in places) for path in watched},
        {path: sum(size for size, places in sizes if places == {path}) for path in watched},
    )


def _address(tensor: Tensor) -> int:
    return tensor.untyped_storage().data_ptr()


def _unchanged(tensor: Tensor) -> Tensor:
    return tensor


@contextmanager
def _watching(model: nn.Module, paths: Sequence[str], inside: list[str]) -> Iterator[None]:
    """While it lasts, the path of the watched module that runs is the last one in `inside`."""

    def enter(path: str) -> Callable[..., None]:
        return lambda *_: inside.append(path)

    def leave(*_: object) -> None:
        inside.pop()

    hooks = []
    try:
        for path in paths:
            module = model.get_submodule(path)
            hooks.append(module.register_forward_pre_hook(enter(path)))
            hooks.append(module.register_forward_hook(leave, always_call=True))
        yield
    finally:
        for hook in hooks:
            hook.remove()
