"""Add the missing activation between two linear layers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from actlab.remedy.change import Change, Refusal, Remedy
from actlab.remedy.choices import rectifier
from actlab.remedy.edit import Edit, InsertActivation
from actlab.remedy.facts import Facts, torch_spelling
from actlab.remedy.transforms import ApplyBehind
from actlab.rules.finding import Finding


def usual_activation(facts: Facts) -> str:
    """Return the most common hidden activation of the model; the simplest rectifier if there is none."""
    names = Counter(each.activation for each in facts.hidden if not each.trainable)
    return names.most_common(1)[0][0] if names else rectifier()


def propose(findings: tuple[Finding, ...], facts: Facts) -> Iterator[Change | Refusal]:
    """Propose the model's own activation behind the first layer of each pair; a rectifier if that is another one."""
    modules = dict(facts.layout.model.named_modules())
    paths = tuple(dict.fromkeys(str(each.evidence["layers"][0]) for each in findings if each.evidence.get("layers")))
    if not paths or not all(path in modules for path in paths):
        yield Refusal("the layers before which an activation is missing are no modules of the model")
        return
    spots: dict[tuple[str, int], None] = {}
    for each in findings:
        file, _, line = str(next(iter(each.evidence.get("lines", ())), "")).rpartition(":")
        spots[file, facts.line(file, int(line)) if file else 0] = None
    for name in dict.fromkeys((usual_activation(facts), rectifier())):
        build = torch_spelling(name, {})
        behind = ApplyBehind(paths, lambda layer, build=build: build())
        edits: tuple[Edit, ...] = tuple(
            InsertActivation(file, line, name, everywhere=True) for file, line in spots if file and line
        )
        yield Change(
            f"{name} behind {', '.join(paths)}",
            lambda training, behind=behind: training.transformed(behind),
            edits if len(edits) == len(spots) else (),
            (f"Apply {type(build()).__name__} to the output of {', '.join(paths)}.",),
        )


REMEDY = Remedy(
    "add-activation",
    0,
    frozenset({"add-activation", "call-activation"}),
    "Add an activation between two layers that are linear together.",
    propose,
)
