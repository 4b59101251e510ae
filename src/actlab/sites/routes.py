"""The calls that each site is made of, counted so that a later pass finds them again."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import takewhile

from actlab.sites.listening import groups
from actlab.sites.site import Route, RoutedCall, Site
from actlab.sites.stack import Lines
from actlab.sites.trace import Step, Trace


def routed(trace: Trace) -> tuple[Site, ...]:
    """The sites of the trace, each with its calls."""
    applied: list[list[list[Step]]] = [[] for _ in trace.sites]
    for steps, at in groups(trace, with_product=True):
        applied[at].append([trace.steps[place] for place in steps])
    return tuple(replace(site, route=_route(trace, at, applied[at])) for at, site in enumerate(trace.sites))


def _route(trace: Trace, at: int, applied: list[list[Step]]) -> Route:
    steps = [step for steps in applied for step in steps]
    owner, stacks = _owner(steps), [trace.stacks[step.place] for step in steps]
    swaps = min((stack.swaps for stack in stacks), default=0)
    inside, everywhere = (_counted(trace, path, swaps=swaps) for path in (owner, ""))
    numbers = _every(trace, at, owner) or inside
    names = {step.function for step in steps}
    recomputed = [stack.recomputed for stack in stacks if stack.recomputed is not None]
    return Route(
        owner,
        tuple(_calls(trace, steps, numbers, everywhere) for steps in applied),
        inside=_lines(trace, names, inside),
        everywhere=_lines(trace, names, everywhere),
        own_backward=any(stack.own_backward for stack in stacks),
        recomputed=min(recomputed, key=len, default=None),
    )


def _lines(trace: Trace, names: set[str], counted: dict[int, int]) -> dict[str, tuple[Lines, ...]]:
    """For each function, the lines that lead to its calls, in order."""
    return {
        name: tuple(trace.stacks[place].lines for place in counted if trace.steps[place].function == name)
        for name in names
    }


def _owner(steps: list[Step]) -> str:
    """The path that all their paths begin with."""
    paths = [step.path.split(".") if step.path else [] for step in steps]
    shared = takewhile(lambda parts: len(set(parts)) == 1, zip(*paths, strict=False))
    return ".".join(parts[0] for parts in shared)


def _counted(trace: Trace, path: str, *, swaps: int) -> dict[int, int]:
    """For each step below the path, the how-manyth of its function it is; not of those that a swap hides."""
    counts: Counter[str] = Counter()
    found = {}
    for step in trace.steps:
        if step.part == "model" and _is_below(step, path) and trace.stacks[step.place].swaps == swaps:
            found[step.place] = counts[step.function]
            counts[step.function] += 1
    return found


def _every(trace: Trace, at: int, owner: str) -> dict[int, int]:
    """-1 for each step of a site that comes by often, where its module calls these functions nowhere else."""
    site = trace.sites[at]
    own = {step.function for step in trace.steps if trace.site_of.get(step.place) == at}
    others = [
        step
        for step in trace.steps
        if step.function in own and _is_below(step, owner) and trace.site_of.get(step.place) != at
    ]
    if site.calls == 1 or others or any(own_calls != 1 for own_calls in _calls_each(trace, at).values()):
        return {}
    return dict.fromkeys(range(len(trace.steps)), -1)


def _calls_each(trace: Trace, at: int) -> dict[str, float]:
    """How often one application of the site calls each of its functions."""
    counts = Counter(step.function for step in trace.steps if trace.site_of.get(step.place) == at)
    return {name: count / trace.sites[at].calls for name, count in counts.items()}


def _is_below(step: Step, path: str) -> bool:
    return not path or step.path == path or step.path.startswith(path + ".")


def _calls(
    trace: Trace, steps: list[Step], inside: dict[int, int], everywhere: dict[int, int]
) -> tuple[RoutedCall, ...]:
    made = {value for step in steps for value in step.outputs}
    calls, taken = [], set[int]()
    for step in steps:
        takes = _takes(trace, step, made, taken)
        is_last = step is steps[-1]
        calls.append(RoutedCall(step.function, inside[step.place], everywhere[step.place], takes, is_last))
    return tuple(calls)


def _takes(trace: Trace, step: Step, made: set[int], taken: set[int]) -> int:
    """Which of the tensors that the step reads comes from outside the site and was not read before."""
    for at, value in enumerate(step.inputs):
        is_fixed = trace.values[value].origin.startswith(("parameter", "constant", "buffer"))
        is_data = not is_fixed and value not in trace.of_weights
        if is_data and value not in made and value not in taken and trace.values[value].shape:
            taken.add(value)
            return at
    return -1
