"""All activations of the catalog, and the lookup of an activation by what a user typed."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from fractions import Fraction
from functools import lru_cache
from types import MappingProxyType, ModuleType

from actlab.catalog import (
    along_axis,
    exponential,
    gated,
    periodic,
    rectifiers,
    self_gated,
    shrinkage,
    sigmoidal,
    smooth,
    trainable,
)
from actlab.catalog.frameworks import FRAMEWORKS
from actlab.catalog.names import Names, squashed
from actlab.errors import BadFormula, BadInput, BadParam, UnknownActivation, shortened
from actlab.formula.activation import Activation, typed
from actlab.formula.along_axis import AxisActivation
from actlab.formula.canonical import canonical_name
from actlab.formula.expr import Expr, Input, Number, input_names, param_names, walk
from actlab.formula.param import Param
from actlab.formula.parser import CONSTANTS, INPUTS, MODULES, parse
from actlab.formula.substitute import substitute

FAMILIES: tuple[ModuleType, ...] = (
    rectifiers,
    sigmoidal,
    exponential,
    smooth,
    self_gated,
    periodic,
    shrinkage,
    trainable,
    gated,
    along_axis,
)


def _of(family: ModuleType) -> Iterator[Activation | AxisActivation]:
    """Yield the activations that the family declares, in its order."""
    for value in vars(family).values():
        if isinstance(value, Activation | AxisActivation) and value.family == family.__name__.rpartition(".")[2]:
            yield value


CATALOG: Mapping[str, Activation | AxisActivation] = MappingProxyType(
    {act.name: act for family in FAMILIES for act in _of(family)}
)

NAMES = Names(CATALOG.values())

# Bare names mean PyTorch's, with or without saying so.
_OURS = ("torch", "pytorch")

_NUMBER = r"\s*[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?\s*"
_PAIR = rf"\s*[A-Za-z_]\w*\s*={_NUMBER}"
_NAMED = re.compile(
    rf"\s*(?:(?P<framework>\w+)\s*:\s*)?(?:{MODULES})?(?P<name>[A-Za-z][\w .²^-]*?)"
    rf"\s*(?:\((?P<values>\s*|{_PAIR}(?:,{_PAIR})*)\)|\((?P<bare>{_NUMBER})\))?\s*"
)
_LONGEST_NAMED = 1_000


def get(text: str | Activation | AxisActivation, **params: float) -> Activation | AxisActivation:
    """Return the activation of a name, a name with parameters, or a formula.

    Args:
        text: a name or alias (`"swish"`, `"LeakyReLU"`, `"nn.GELU"`), with another framework's meaning of it
            (`"jax:gelu"`), with parameters (`"swish(beta=1.5)"`), a formula (`"x*sigmoid(beta*x)"`; `value` and `gate`
            for a gated one), a formula with values of its parameters (`"x*sigmoid(beta*x); beta=1.5"`), or an
            activation, which is returned as it is.
        params: values for its parameters. Those of a formula that was typed train, and need a value.

    Raises:
        UnknownActivation: nothing has this name.
        BadFormula: the text is neither a name nor a formula.
        BadParam: a parameter is unknown, not a number or out of its bounds.
        BadInput: it is neither text nor an activation.

    Example:
        >>> get("jax:gelu").name
        'gelu_tanh'
        >>> get("swish(beta=1.5)").label
        'swish(beta=1.5)'
        >>> get("x*sigmoid(beta*x)", beta=1.702).inputs
        ('x',)
        >>> get("x*sigmoid(beta*x); beta=1.702").params[0].value
        1.702
    """
    if isinstance(text, Activation | AxisActivation):
        return _bound(text, params)
    if not isinstance(text, str):
        raise BadInput(f"an activation must be a name, a formula or an Activation; got {type(text).__name__} {text!r}.")
    text, typed_values = _apart(text)
    params = typed_values | params
    named = _NAMED.fullmatch(text) if len(text) <= _LONGEST_NAMED else None
    found = _found(named["framework"], named["name"], params) if named else None
    if named is None or found is None:
        return _of_formula(text, params)
    if named["bare"]:
        _refuse_bare(found, named["bare"].strip())
    return _bound(found, _merged(found.name, named["values"] or "", params))


def _apart(text: str) -> tuple[str, dict[str, float]]:
    """Take the values of parameters off the end of a formula: `x**a; a=2`."""
    formula, *assigned = text.split(";")
    values = {}
    for each in assigned:
        name, equals, value = (part.strip() for part in each.partition("="))
        try:
            values[name] = float(value)
        except ValueError:
            equals = ""
        if not equals or not name.isidentifier():
            raise BadParam(f"after ';' a parameter gets its value, such as ; beta=1.5; got ';{shortened(each)}'.")
    return formula, values


def _refuse_bare(act: Activation | AxisActivation, number: str) -> None:
    """Refuse `leaky_relu(0.2)`, which could mean a value of the input as well as one of a parameter."""
    if not act.params:
        raise BadParam(f"{act.name}: it has no parameters; got {number}. Write {act.name} alone.")
    fix = f"{act.name}({act.params[0].name}={number})"
    raise BadParam(f"{act.name}: a parameter is set by its name; got {number}. Write {fix}.")


def _found(framework: str | None, name: str, params: Mapping[str, float]) -> Activation | AxisActivation | None:
    """Return the activation of this name; None if the text may be a formula, such as `x` or `x - beta`."""
    if framework is not None and framework.lower() not in _OURS:
        return _in_framework(framework.lower(), name)
    if name in NAMES:
        return NAMES[name]
    if framework is None and (not name.isidentifier() or name in (*INPUTS, *CONSTANTS, *params)):
        return None
    raise UnknownActivation(name, NAMES)


def _in_framework(framework: str, name: str) -> Activation | AxisActivation:
    if framework not in FRAMEWORKS:
        raise BadInput(f"the framework must be one of {', '.join((*_OURS, *FRAMEWORKS))}; got '{framework}'.")
    table = FRAMEWORKS[framework]
    # as written first: in Keras a layer's default may differ from its function's
    spelled = {squashed(ours): text for ours, text in reversed(list(table.items()))} | dict(table)
    text = spelled.get(name) or spelled.get(squashed(name))
    if text is None:
        raise UnknownActivation(f"{framework}:{name}", [f"{framework}:{ours}" for ours in table])
    return get(text)


def _merged(owner: str, values: str, params: Mapping[str, float]) -> Mapping[str, float]:
    """Return the values in brackets and the keyword arguments together; refuse one that is in both."""
    merged = dict(params)
    for pair in filter(None, map(str.strip, values.split(","))):
        name, number = (part.strip() for part in pair.split("="))
        if name in merged:
            raise BadParam(f"{owner}: {name} is set twice.")
        merged[name] = float(number)
    return merged


def _bound(act: Activation | AxisActivation, params: Mapping[str, float]) -> Activation | AxisActivation:
    if isinstance(act, Activation):
        return act.bind(**params) if params else act
    if params:
        raise BadParam(f"{act.name} has no parameter '{next(iter(params))}'; it has none.")
    return act


def _of_formula(text: str, params: Mapping[str, float]) -> Activation:
    for name in params:
        if name in (*INPUTS, "pi") or not (name.isidentifier() and name.isascii()):
            raise BadParam(f"a parameter cannot be called '{shortened(name)}'; choose another name.")
    expression = parse(text, names=NAMES, params=tuple(params))
    owner = f"the formula '{shortened(text)}'"
    for name in params:
        if name not in param_names(expression):
            raise BadParam(f"{owner} has no parameter '{name}'.")
    if input_names(expression) not in (set(), {"x"}, {"value", "gate"}):
        raise BadFormula(f"{owner} must use x alone, or both value and gate.")
    trained = (Param(0.0, trainable=True, name=name).with_value(params[name], owner=owner) for name in params)
    return typed(" ".join(text.split()), expression, tuple(trained))


def same_as(act: Activation | AxisActivation) -> str | None:
    """Return the catalog's activation with the same formula, as text that `get` reads; None if there is none.

    Formulas are the same if they differ in the order of terms and factors alone, or in the value of one parameter.
    An activation of the catalog is not compared with the others.

    Example:
        >>> same_as(get("sigmoid(1.702*x)*x")), same_as(get("where(x > 0, x, 0.2*x)")), same_as(get("x*sin(x)"))
        ('quick_gelu', 'leaky_relu(negative_slope=0.2)', None)
    """
    if not isinstance(act, Activation):
        return None
    known = CATALOG.get(act.name)
    if isinstance(known, Activation) and known.expression == act.expression:
        return None
    wanted = _canonical(act)
    numbers = sorted({node.value for node in walk(act.formula) if isinstance(node, Number)})
    for other in _BY_PLAINNESS:
        if len(other.inputs) == len(act.inputs):
            if _canonical(other) == wanted:
                return other.name
            for bound in _with_each(other, numbers):
                if _canonical(bound) == wanted:
                    return bound.label
    return None


# Without parameters first, then those whose parameters do not train: a number that was typed does not either.
_BY_PLAINNESS = sorted(
    (act for act in CATALOG.values() if isinstance(act, Activation)),
    key=lambda act: (len(act.params) > 0, any(param.trainable for param in act.params)),
)


def _with_each(act: Activation, numbers: Iterable[Fraction]) -> Iterator[Activation]:
    if len(act.params) == 1:
        (param,) = act.params
        yield from (act.bind(**{param.name: float(each)}) for each in numbers if param.admits(float(each)))


@lru_cache(maxsize=1024)
def _canonical(act: Activation) -> str:
    names = ("x",) if len(act.inputs) == 1 else ("value", "gate")
    renamed: dict[Expr, Expr] = {Input(own): Input(name) for own, name in zip(act.inputs, names, strict=True)}
    return canonical_name(substitute(act.formula, renamed))
