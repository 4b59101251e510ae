"""Measure what one training step saves for its backward pass, by storage."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, final

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from actlab.nn.torch_function import is_shown
from actlab.sites.site import Site
from actlab.sites.trace.calls import name_of, tensors_in

_NONE: Mapping[str, Site] = MappingProxyType({})

Hook = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Kept:
    """The storages that were saved for backward, each counted once.

    Attributes:
        total: the bytes of all.
        by_place: the bytes saved at each watched place.
        alone: of those, the bytes that no other operation saved.
    """

    total: int
    by_place: Mapping[str, int]
    alone: Mapping[str, int]


def kept_by(
    step: Callable[[], object],
    *,
    model: nn.Module,
    there_anyway: Sequence[Tensor] = (),
    watched: Mapping[str, Site] = _NONE,
    untraced: Callable[[Hook], Hook] = lambda hook: hook,
) -> Kept:
    """Measure what a forward pass saves for backward, beyond the model's own tensors.

    Args:
        step: the forward pass including the loss; its result keeps the graph alive until all is counted.
        model: its parameters and buffers are not counted.
        there_anyway: other tensors that are not counted, such as the batch itself.
        watched: the sites of the model to count separately, by name.
        untraced: the decorator that excludes the hook from compilation if the step is compiled.
    """
    known = {_address(tensor) for tensor in (*model.parameters(), *model.buffers(), *there_anyway)}
    saved: dict[int, tuple[torch.UntypedStorage, set[str]]] = {}
    inside: list[str] = []

    def pack(tensor: Tensor) -> Tensor:
        address = _address(tensor)
        if address not in known:
            # holding the storage keeps a later one from taking its address
            _, places = saved.setdefault(address, (tensor.untyped_storage(), set()))
            places.add(inside[-1] if inside else "")
        return tensor

    marking: AbstractContextManager[object] = Marking(watched, inside) if watched else nullcontext()
    with marking, torch.autograd.graph.saved_tensors_hooks(untraced(pack), _unchanged):
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


@final
class Marking(TorchFunctionMode):
    """A mode that keeps the name of the site whose call is running as the last element of `inside`."""

    def __init__(self, sites: Mapping[str, Site], inside: list[str]) -> None:
        super().__init__()
        self._inside = inside
        self._counts: Counter[str] = Counter()
        self._names = {
            (call.function, call.at_all): name
            for name, site in sites.items()
            for calls in (site.route.calls if site.route is not None else ())
            for call in calls
        }
        self._functions = {function for function, _ in self._names}

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        function = "activation" if is_shown(func) else name_of(func)
        if function not in self._functions:
            return func(*args, **kwargs)
        self._inside.append(self._names.get((function, self._counts[function]), ""))
        try:
            result = func(*args, **kwargs)
        finally:
            self._inside.pop()
        self._counts[function] += bool(tensors_in([result]))
        return result
