"""The activations that a configuration names, as those of Transformers do."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, final

from torch import nn

from actlab.catalog.index import get
from actlab.errors import ActlabError
from actlab.formula.activation import Activation

FIELDS = ("hidden_act", "hidden_activation", "activation_function", "mlp_hidden_act", "activation", "act_fn")
"""Where configurations name their activation, the commonest first; other fields with `act` in the name count too."""

_PART = "_config"


@final
@dataclass(frozen=True)
class Declared:
    """An activation that a configuration names.

    Attributes:
        part: the part of the model whose configuration it is, such as `vision`; empty for the whole.
        field: where it stands, such as `hidden_act`.
        name: the name there, such as `gelu_new`.
        activation: what Transformers means by it.
        family: the kind of model, such as `gpt_oss`; empty if the configuration does not say.
    """

    part: str
    field: str
    name: str
    activation: Activation
    family: str = ""


def declared_in(config: Any) -> tuple[Declared, ...]:
    """Return the activations that a configuration names, those of its parts first.

    Args:
        config: a mapping, as read from a `config.json`, or an object with such attributes.

    Example:
        >>> [(one.part, one.name, one.activation.name) for one in declared_in({
        ...     "hidden_act": "gelu_new", "vision_config": {"hidden_act": "quick_gelu"}})]
        [('vision', 'quick_gelu', 'quick_gelu'), ('', 'gelu_new', 'gelu_tanh')]
    """
    values = _values(config)
    parts = [
        replace(one, part=key.removesuffix(_PART))
        for key, value in values.items()
        if key.endswith(_PART)
        for one in declared_in(value)
    ]
    return (*parts, *_own(values))


def meaning(name: str) -> Activation | None:
    """Return what Transformers means by the name of an activation of one input; None for any other text.

    Example:
        >>> meaning("gelu_fast").name, meaning("auto")
        ('gelu_tanh', None)
    """
    for text in (f"transformers:{name}", name):
        try:
            found = get(text)
        except ActlabError:
            continue
        if isinstance(found, Activation) and len(found.inputs) == 1:
            return found
    return None


def _values(config: Any) -> Mapping[str, Any]:
    if isinstance(config, Mapping):
        return config
    if hasattr(config, "to_dict"):
        found = config.to_dict()
        return found if isinstance(found, Mapping) else {}
    return {**vars(type(config)), **vars(config)} if hasattr(config, "__dict__") else {}


def _own(values: Mapping[str, Any]) -> Iterator[Declared]:
    known = [field for field in FIELDS if isinstance(values.get(field), str)]
    others = [
        field for field, value in values.items() if "act" in field and isinstance(value, str) and field not in known
    ]
    for field in (*known, *others):
        activation = meaning(values[field])
        if activation is not None:
            yield Declared("", field, values[field], activation, family=str(values.get("model_type") or ""))


def is_read(model: nn.Module, path: str, declared: Declared) -> bool:
    """Return whether the code around a place of a model may read the name of its activation from the configuration.

    Some families have a field that their own code never reads: it declares nothing there. Code that is not the family's
    own is expected to run what the configuration names.

    Args:
        path: the dotted path of the module that applies the activation.
    """
    if not declared.family:
        return True
    parts = path.split(".") if path else []
    for end in range(len(parts), -1, -1):
        kind = type(model.get_submodule(".".join(parts[:end])))
        if any(declared.family.startswith(each) for each in kind.__module__.split(".") if len(each) > 1):
            try:
                return declared.field in inspect.getsource(kind)
            except (OSError, TypeError):
                return True
    return True
