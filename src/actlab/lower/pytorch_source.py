"""PyTorch source for a reader: functions that autograd differentiates, and a module that learns the parameters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from actlab.formula.constant import constant_value
from actlab.formula.expr import Call, Compare, Expr, Input, Node, ParamRef, Where, walk
from actlab.formula.param import Param
from actlab.lower.differentiable import differentiable, is_clamp
from actlab.lower.straight_line import Leaf, Program, program
from actlab.lower.to_torch import SPELLING

# As in `to_torch`, but its gradient is finite: no root of 0, and no entry that is −∞.
_ENTMAX15 = '''
def entmax15_threshold(x, axis):
    """The t for which max(x - t, 0)**2 sums to 1 along the axis (Peters et al. 2019, arXiv:1905.05702)."""
    z = torch.sort(torch.clamp(x, min=-2.0), dim=axis, descending=True).values  # the largest is 0; -2 gets no share
    shape = [1] * x.dim()
    shape[axis] = -1
    count = torch.arange(1, x.shape[axis] + 1, dtype=x.dtype, device=x.device).reshape(shape)
    mean = torch.cumsum(z, dim=axis) / count
    spread = torch.cumsum(z * z, dim=axis) / count - mean * mean
    inner = 1 / count - spread
    t = mean - torch.where(inner > 0, torch.sqrt(torch.where(inner > 0, inner, 1.0)), 0.0)
    size = torch.sum(t <= z, dim=axis, keepdim=True)
    return torch.gather(t, axis, size - 1)
'''


def differentiable_function(
    formula: Expr, args: Sequence[Leaf], start: Mapping[Expr, Expr], entry: str, summary: str
) -> Program:
    """Return the formula as one PyTorch function whose gradient, by autograd, is right at every input.

    Args:
        formula: what it computes.
        args: its arguments in order; parameters have a default.
        start: the numbers that the parameters have by default.
        entry: the function's name.
        summary: its docstring.

    Raises:
        CannotLower: PyTorch cannot spell the formula.
    """
    guarded = differentiable(formula, start)
    clamps = {node.atom: node.atom for node in walk(guarded) if isinstance(node, Call) and is_clamp(node)}
    spelling = replace(
        SPELLING,
        atoms={**SPELLING.atoms, **clamps},
        preambles={**SPELLING.preambles, "entmax15_threshold": _ENTMAX15},
    )
    found = program([guarded], args, spelling=spelling, entry=entry, summary=summary)
    return _with_defaults(found, args, start, are_tensors=_needs_tensors(guarded))


def learning_module(function: Program, learned: Sequence[Param], *, summary: str) -> str:
    """Return a module that holds the parameters of the function and calls it."""
    inputs, names = function.args[: -len(learned)], function.args[-len(learned) :]
    title = "".join(part.capitalize() for part in function.entry.split("_"))
    title = title if title != function.entry else f"{title}Module"
    defaults = ", ".join(f"{name}={param.value!r}" for name, param in zip(names, learned, strict=True))
    bounded_params = [(name, param) for name, param in zip(names, learned, strict=True) if param.bounds()]
    bounds = [f"{name} must stay {param.bounds()}" for name, param in bounded_params]
    bounded = [f"    Keep it so while it learns: {', '.join(bounds)}."] if bounds else []
    learns = ", ".join(names)
    return "\n".join(
        [
            f"class {title}(torch.nn.Module):",
            f'    """{_quotable(summary)}',
            "",
            f"    It learns {learns}. Start from a number, or from a tensor that broadcasts with the input:",
            "    one number for each channel of an image is a tensor of the shape (channels, 1, 1).",
            *bounded,
            '    """',
            "",
            f"    def __init__(self, {defaults}):",
            "        super().__init__()",
            *(f"        self.{name} = torch.nn.Parameter(1.0 * torch.as_tensor({name}))" for name in names),
            "",
            f"    def forward(self, {', '.join(inputs)}):",
            f"        return {function.entry}({', '.join([*inputs, *(f'self.{name}' for name in names)])})",
        ]
    )


def _with_defaults(found: Program, args: Sequence[Leaf], start: Mapping[Expr, Expr], *, are_tensors: bool) -> Program:
    """Return the function with a default for each parameter, made a tensor where its operations take no number."""
    weights = [name for name, leaf in zip(found.args, args, strict=True) if isinstance(leaf, ParamRef)]
    if not weights:
        return found
    numbers = [repr(constant_value(start[leaf])) for leaf in args if isinstance(leaf, ParamRef)]
    inputs = found.args[: -len(weights)]
    head = f"def {found.entry}({', '.join(found.args)}):"
    defaults = (f"{name}={number}" for name, number in zip(weights, numbers, strict=True))
    source = found.source.replace(head, f"def {found.entry}({', '.join([*inputs, *defaults])}):", 1)
    if are_tensors:
        like = f"dtype={inputs[0]}.dtype, device={inputs[0]}.device"
        lines = "".join(f"    {name} = torch.as_tensor({name}, {like})\n" for name in weights)
        summary_ends = source.index('"""\n', source.index(f"def {found.entry}(")) + 4
        source = source[:summary_ends] + lines + source[summary_ends:]
    return replace(found, source=source)


def _needs_tensors(formula: Expr) -> bool:
    """Return whether an operation takes parameters alone, for which PyTorch wants tensors."""
    return any(
        (isinstance(node, Call | Compare) and _is_of_parameters(*node.children))
        or (isinstance(node, Where) and _is_of_parameters(node.then, node.otherwise))
        for node in walk(formula)
    )


def _is_of_parameters(*nodes: Node) -> bool:
    leaves = [leaf for leaf in walk(*nodes) if isinstance(leaf, Input | ParamRef)]
    return bool(leaves) and all(isinstance(leaf, ParamRef) for leaf in leaves)


def _quotable(summary: str) -> str:
    return summary.replace("\\", "\\\\").replace('"""', "'''")
