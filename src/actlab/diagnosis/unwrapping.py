"""Look through the wrappers of a model."""

from __future__ import annotations

from torch import nn

from actlab.errors import BadInput
from actlab.sites.trace.run import REPLICATED, is_kind_of


def is_compiled(model: nn.Module) -> bool:
    """Return whether the model is wrapped by `torch.compile`, at any level.

    Raises:
        BadInput: the model is compiled in place, so hooks are not called and no uncompiled model is left.
    """
    each: nn.Module | None = model
    found = False
    while isinstance(each, nn.Module):
        if getattr(each, "_compiled_call_impl", None) is not None:
            raise BadInput(
                "the model must not be compiled in place by model.compile(); use torch.compile(model) instead."
            )
        inner = getattr(each, "_orig_mod", None)
        found = found or inner is not None
        around = inner is None and is_kind_of(each, REPLICATED)
        each = inner if isinstance(inner, nn.Module) else getattr(each, "module", None) if around else None
    return found
