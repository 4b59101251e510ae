"""What a task's factory can vary besides its activation: depth, width, and whatever else it offers."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from functools import partial
from typing import Any, TypeGuard

from torch import nn

from actlab.errors import BadTask, shortened
from actlab.train.character_transformer import CharacterTransformer
from actlab.train.cnn import WIDTHS, cnn, sized_cnn
from actlab.train.factory import Build, takes_activation
from actlab.train.mlp import gated_mlp, mlp
from actlab.train.options import Option

Factory = Callable[..., nn.Module]


def offered(factory: Factory) -> dict[str, Option]:
    """Return the options of a factory with their defaults: its keyword parameters that default to a plain value.

    Example:
        >>> def model(activation, depth=4, *, width=64, sizes=(3, 2)):
        ...     return nn.Identity()
        >>> offered(model)
        {'depth': 4, 'width': 64}
        >>> offered(partial(mlp, nn.ReLU, sizes=(10, 32, 32, 1)))
        {'depth': 2, 'width': 32}
    """
    if _is(factory, mlp):
        hidden = factory.keywords["sizes"][1:-1]
        return {"depth": len(hidden), "width": hidden[0]} if len(set(hidden)) == 1 else {}
    if _is(factory, cnn):
        return {"depth": len(WIDTHS), "width": WIDTHS[0]}
    parameters = _parameters(factory)
    # What a function requires is not an option of a `partial` that fills it in.
    required = _parameters(factory.func) if isinstance(factory, partial) else {}
    return {
        name: one.default
        for name, one in parameters.items()
        if isinstance(one.default, bool | int | float | str)
        and one.kind in (one.KEYWORD_ONLY, one.POSITIONAL_OR_KEYWORD)
        and (name not in required or required[name].default is not one.empty)
    }


def _parameters(factory: Callable[..., Any]) -> Mapping[str, inspect.Parameter]:
    try:
        return inspect.signature(factory).parameters
    except (TypeError, ValueError):  # a builtin without a signature
        return {}


def check_options(factory: Factory, options: Mapping[str, Option], *, task: str) -> None:
    """Check that a factory takes these options.

    Raises:
        BadTask: it does not have one of them, or the value is of another type than the default.
    """
    known = offered(factory)
    for name, value in options.items():
        if name not in known:
            near = get_close_matches(name, known, n=1)
            hint = f" Did you mean '{near[0]}'?" if near else ""
            listed = ", ".join(f"{each} (by default {default})" for each, default in known.items())
            raise BadTask(
                f"task '{task}': the model's factory takes no option '{shortened(name)}'.{hint} It takes"
                f" {listed or 'none: give it a keyword parameter with a default, such as width=64'}."
            )
        default = known[name]
        fits = isinstance(value, type(default)) and isinstance(value, bool) == isinstance(default, bool)
        if not fits and not (type(default) is float and type(value) is int):
            raise BadTask(
                f"task '{task}': {name} must be {_KINDS[type(default)]}, as its default {default!r} is; got {value!r}."
            )
        if name in ("depth", "width") and isinstance(value, int) and value < 1:
            raise BadTask(f"task '{task}': {name} must be at least 1; got {value}.")


_KINDS: Mapping[type, str] = {bool: "true or false", int: "an integer", float: "a number", str: "a text"}


def varied(factory: Factory, options: Mapping[str, Option], *, activation: Build | None = None) -> Factory:
    """Return a factory with other values of its options.

    Args:
        factory: the factory; one that takes the activation still does.
        options: their values.
        activation: what a factory of this package applies instead of its own activation, which may be a gated unit.
    """
    if not options and activation is None:
        return factory
    if _is(factory, mlp):
        first, *hidden, last = factory.keywords["sizes"]
        if options:
            hidden = [options.get("width", hidden[0])] * int(options.get("depth", len(hidden)))
        return partial(gated_mlp, activation or factory.args[0], sizes=(first, *hidden, last))
    if _is(factory, cnn):
        return partial(sized_cnn, activation or factory.args[0], **{**factory.keywords, **options})
    if _is(factory, CharacterTransformer) and activation is not None:
        return partial(CharacterTransformer, activation, **{**factory.keywords, **options})
    return partial(factory, **options)


def takes_gated(factory: Factory) -> bool:
    """Return whether a factory may build a model with a gated unit: it takes the activation, or is one of ours."""
    return takes_activation(factory) or _is(factory, mlp) or _is(factory, CharacterTransformer)


def _is(factory: Factory, ours: Callable[..., Any]) -> TypeGuard[partial[nn.Module]]:
    """Return whether a factory is one of this package with its activation."""
    return isinstance(factory, partial) and factory.func is ours and len(factory.args) == 1
