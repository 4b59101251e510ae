"""Let a softmax act along the axis of the classes or of the items."""

from __future__ import annotations

from collections.abc import Iterator

from actlab.errors import BadInput
from actlab.remedy.change import Change, Refusal, Remedy, transforming
from actlab.remedy.edit import ChangeArgument, Edit
from actlab.remedy.facts import Facts
from actlab.remedy.transforms import SetAttribute
from actlab.rules.finding import Finding


def propose(findings: tuple[Finding, ...], facts: Facts) -> Iterator[Change | Refusal]:
    """Propose the last axis, and axis 1 if there are more."""
    for each in findings:
        shape, site = each.evidence.get("shape", ()), each.site
        if site is None:
            yield Refusal("the call of the softmax is not known")
            continue
        axis = int(each.evidence.get("axis", 0)) % max(1, len(shape))
        choices = [at for at in dict.fromkeys((len(shape) - 1, 1)) if 0 < at < len(shape) and at != axis]
        file, line = facts.place(site)
        name = site.spelling.rpartition(".")[2].partition("(")[0]
        is_module = site.spelling.startswith("nn.")
        for at in choices:
            value = -1 if at == len(shape) - 1 and at != 1 else at
            position = 0 if is_module or site.spelling.startswith("x.") else 1
            edits: tuple[Edit, ...] = (
                (ChangeArgument(file, line, name, "dim", str(value), position=position, everywhere=True),)
                if file
                else ()
            )
            label, lines = f"{site.spelling} along axis {value}", (f"{site.spelling}: pass dim={value}.",)
            if is_module and _has_axis(facts, site.path):
                set_axis = SetAttribute(site.path, "dim", value)
                yield Change(label, transforming(set_axis), edits, lines)
            elif edits:
                yield Change(label, None, edits, lines)
            else:
                yield Refusal(f"the line that calls {site.spelling} is not known")


def _has_axis(facts: Facts, path: str) -> bool:
    try:
        return hasattr(facts.layout.model.get_submodule(path), "dim")
    except (AttributeError, BadInput):
        return False


REMEDY = Remedy(
    "softmax-axis",
    0,
    frozenset({"softmax-over-classes", "softmax-over-items"}),
    "Let the softmax act along the axis of the classes or items, rather than of the examples.",
    propose,
)
