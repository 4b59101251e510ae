"""Take the loss that fits what the model puts out: one that takes logits."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from torch import nn
from torch.nn import functional as F

from actlab.errors import BadInput
from actlab.remedy.change import Change, Refusal, Remedy
from actlab.remedy.edit import ReplaceLoss
from actlab.remedy.facts import Facts, only_call
from actlab.remedy.training import Training
from actlab.rules.finding import Finding
from actlab.train.metrics import LOSS_ALONE

_LOGITS: Mapping[Any, Any] = MappingProxyType(
    {
        F.binary_cross_entropy: F.binary_cross_entropy_with_logits,
        F.nll_loss: F.cross_entropy,
        nn.BCELoss: nn.BCEWithLogitsLoss,
        nn.NLLLoss: nn.CrossEntropyLoss,
    }
)
"""For each loss that takes probabilities, or their logarithms, the one that takes logits."""

_KEPT = ("weight", "reduction", "ignore_index")
"""The settings that both forms of a loss have."""


def propose(findings: tuple[Finding, ...], facts: Facts) -> Iterator[Change | Refusal]:
    """Propose the loss that takes logits instead of the one that the findings name."""
    loss = facts.training.task.loss
    key = type(loss) if isinstance(loss, nn.Module) else loss
    new = _LOGITS.get(key)
    if new is None:
        yield from _in_text(findings, facts)
        return
    built = _built(loss, new)
    old_name, new_name = _dotted(key), _dotted(new)
    origin = facts.training.origin
    file, line = next((place for each in findings if (place := facts.place(each.site))[0]), ("", 0))
    if origin is not None and (not file or only_call(file, _last(old_name)) != line):
        at = only_call(origin.file, _last(old_name))
        file, line = (origin.file, facts.line(origin.file, at)) if at else ("", 0)
    edits = (ReplaceLoss(file, line, old_name, new_name),) if file else ()
    yield Change(
        f"{_last(old_name)} -> {_last(new_name)}",
        lambda training: with_loss(training, built),
        edits,
        (f"loss = {new_name}" if not isinstance(loss, nn.Module) else f"loss = {new_name}()",),
    )


def _in_text(findings: tuple[Finding, ...], facts: Facts) -> Iterator[Change | Refusal]:
    """Propose a change of the line that calls the loss, in a function of the user's."""
    for each in findings:
        called = str(each.evidence.get("loss", "")) or (each.site.spelling if each.site is not None else "")
        pair = next(((old, new) for old, new in _LOGITS.items() if _dotted(old).endswith(f".{_last(called)}")), None)
        file, line = facts.place(each.site)
        if pair is not None and file:
            old, new = map(_dotted, pair)
            yield Change(f"{_last(old)} -> {_last(new)}", None, (ReplaceLoss(file, line, old, new),))
            return
    yield Refusal("the loss is computed in a way that has no known counterpart for logits")


def _built(loss: Any, new: Any) -> Callable[..., Any]:
    if not isinstance(loss, nn.Module):
        return new  # type: ignore[no-any-return]  # a function of the table
    settings = {name: getattr(loss, name) for name in _KEPT if hasattr(loss, name)}
    known = {name: value for name, value in settings.items() if hasattr(new(), name)}
    return new(**known)  # type: ignore[no-any-return]  # a class of the table


def with_loss(training: Training, loss: Callable[..., Any]) -> Training:
    """Return the training with another loss; its metric stays what it is.

    Raises:
        BadInput: the metric is the loss itself, so that the two could not be compared.
    """
    task = training.task
    if task.kind.name == LOSS_ALONE or task.metric.name == "loss":
        raise BadInput(f"task '{task.name}': a metric beside the loss is required to compare losses. Pass metric=.")
    own = task.metric if task.metric.function else None
    anew: dict[str, Any] = {"loss": loss, "kind": "", "metric": own, "beside": None}  # settled again, as at first
    changed = replace(task, **anew)
    if changed.metric.name != task.metric.name:
        raise BadInput(f"task '{task.name}': with the other loss it is judged by {changed.metric.name}.")
    return replace(training, task=changed)


def _dotted(of: Any) -> str:
    return f"torch.nn.{of.__name__}" if isinstance(of, type) else f"torch.nn.functional.{of.__name__}"


def _last(dotted: str) -> str:
    return dotted.rpartition(".")[2]


REMEDY = Remedy(
    "other-loss",
    0,
    frozenset({"use-logits-loss", "add-sigmoid", "use-cross-entropy", "add-log-softmax"}),
    "Take the loss that applies sigmoid or softmax itself, as the model puts out logits.",
    propose,
)
