"""Replace a loss that is called, constructed or passed."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.nn import functional

from actlab.extras_import import need
from actlab.remedy.edit import ReplaceLoss
from actlab.remedy.syntax.activations import spans
from actlab.remedy.syntax.change import Change, Swap
from actlab.remedy.syntax.names import Names
from actlab.remedy.syntax.origin import Tracer, traced
from actlab.remedy.syntax.program import Program, Refused

if TYPE_CHECKING:
    import libcst as cst
else:
    cst = need("libcst", extra="fix")

# The class and the function of each loss of PyTorch.
_FORMS = {
    "L1Loss": "l1_loss",
    "MSELoss": "mse_loss",
    "SmoothL1Loss": "smooth_l1_loss",
    "HuberLoss": "huber_loss",
    "BCELoss": "binary_cross_entropy",
    "BCEWithLogitsLoss": "binary_cross_entropy_with_logits",
    "CrossEntropyLoss": "cross_entropy",
    "NLLLoss": "nll_loss",
    "KLDivLoss": "kl_div",
    "PoissonNLLLoss": "poisson_nll_loss",
    "GaussianNLLLoss": "gaussian_nll_loss",
    "SoftMarginLoss": "soft_margin_loss",
    "HingeEmbeddingLoss": "hinge_embedding_loss",
    "MultiLabelMarginLoss": "multilabel_margin_loss",
    "MultiLabelSoftMarginLoss": "multilabel_soft_margin_loss",
    "MultiMarginLoss": "multi_margin_loss",
}
_CLASSES = {function: name for name, function in _FORMS.items()}
_FIRST = 2
"""The arguments of a loss before its settings: input and target."""


def loss_changes(program: Program, names: Names, edit: ReplaceLoss) -> Iterator[Change]:
    """Yield the changes that replace a loss.

    Raises:
        Refused: it is not found, or the new one does not take its settings.
    """
    old, new = _forms(edit.old), _forms(edit.new)
    for node in _found(program, edit, set(old)):
        is_class = program.dotted(node) == old[0]
        wanted = new[0] if is_class else new[1]
        if not wanted:
            raise Refused(f"{edit.new} has no {'class' if is_class else 'function'}")
        call = program.parent(node)
        if isinstance(call, cst.Call) and call.func is node:
            _refuse_settings(program, call, wanted, is_class=is_class)
        yield Swap(node, names.write(wanted, node, like=program.code(node)))


def _forms(dotted: str) -> tuple[str, str]:
    """Return the dotted names of the class and of the function of a loss.

    Example:
        >>> _forms("torch.nn.NLLLoss")
        ('torch.nn.NLLLoss', 'torch.nn.functional.nll_loss')
    """
    name = dotted.rpartition(".")[2]
    if name in _FORMS:
        return f"torch.nn.{name}", f"torch.nn.functional.{_FORMS[name]}"
    if name in _CLASSES:
        return f"torch.nn.{_CLASSES[name]}", f"torch.nn.functional.{name}"
    return (dotted, "") if name[:1].isupper() else ("", dotted)


def _found(program: Program, edit: ReplaceLoss, old: set[str]) -> list[cst.CSTNode]:
    def is_old(node: cst.CSTNode) -> bool:
        return isinstance(node, cst.Name | cst.Attribute) and program.dotted(node) in old - {""}

    calls = {id(call.func): call for call in program.all(cst.Call)}
    every = [node for node in program.nodes if is_old(node) and not _is_import(program, node)]
    direct = [node for node in every if not edit.line or spans(program, calls.get(id(node), node), edit.line)]
    beginning = [node for node in direct if program.line(node) == edit.line]
    found = _distinct([*(beginning or direct), *(_traced(program, edit, is_old) if edit.line else [])])
    if not found:
        found = [node for node in every if _is_in_statement(program, node, edit.line)]
    if len(found) != 1:
        where = f"on line {edit.line}" if edit.line else "in the file"
        count = "no" if not found else f"{len(found)} uses of"
        raise Refused(f"{count} {edit.old.rpartition('.')[2]} {'is' if not found else 'are'} written {where}")
    return found


def _distinct(nodes: list[cst.CSTNode]) -> list[cst.CSTNode]:
    return list({id(node): node for node in nodes}.values())


def _is_in_statement(program: Program, node: cst.CSTNode, line: int) -> bool:
    """Return whether the line belongs to the node's statement, such as a call over several lines."""
    statement = program.enclosing(node, cst.SimpleStatementLine)
    return isinstance(statement, cst.SimpleStatementLine) and spans(program, statement.body[0], line)


def _is_import(program: Program, node: cst.CSTNode) -> bool:
    return program.enclosing(node, cst.Import, cst.ImportFrom) is not None


def _traced(program: Program, edit: ReplaceLoss, is_old: Callable[[cst.CSTNode], bool]) -> list[cst.CSTNode]:
    """Return the loss that a variable stands for which the line calls."""

    def is_wanted(node: cst.CSTNode) -> bool:
        return is_old(node.func if isinstance(node, cst.Call) else node)

    calls = [
        call for call in program.all(cst.Call)
        if spans(program, call, edit.line) and not program.dotted(call.func)
    ]  # fmt: skip
    origins = traced(Tracer(program, is_wanted), calls)
    return [one.node.func if isinstance(one.node, cst.Call) else one.node for _, one in origins]


def _refuse_settings(program: Program, call: cst.Call, wanted: str, *, is_class: bool) -> None:
    """Refuse a new loss that does not take the settings which the call passes."""
    name = wanted.rpartition(".")[2]
    known = list(inspect.signature(_resolved(wanted)).parameters)
    positional = [arg for arg in call.args if arg.keyword is None and not arg.star]
    old = list(inspect.signature(_resolved(program.dotted(call.func))).parameters)
    first = 0 if is_class else _FIRST
    same = old[: len(positional)][first:] == known[: len(positional)][first:]
    unknown = [arg.keyword.value for arg in call.args if arg.keyword is not None and arg.keyword.value not in known]
    if any(arg.star for arg in call.args) or not same or unknown:
        what = ", ".join(unknown) or "its positional settings"
        raise Refused(f"{name} does not take {what}")


def _resolved(dotted: str) -> Any:
    name = dotted.rpartition(".")[2]
    found = next((one for home in (nn, functional, torch) if (one := getattr(home, name, None)) is not None), None)
    if found is None:
        raise Refused(f"{dotted} is not a loss of PyTorch")
    return found
