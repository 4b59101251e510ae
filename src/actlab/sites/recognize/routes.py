"""The calls of each site, indexed so that a later pass can find them again."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import takewhile
from typing import final

from actlab.sites.site import Lines, Route, RoutedCall, Site
from actlab.sites.trace.trace import Step, Trace


def routed(trace: Trace) -> tuple[Site, ...]:
    """Return the sites of the trace, each with its calls."""
    applied: list[list[list[Step]]] = [[] for _ in trace.sites]
    for steps, at in groups(trace, with_product=True):
        applied[at].append([trace.steps[place] for place in steps])
    counts = Counts(trace)
    return tuple(replace(site, route=_route(counts, at, applied[at])) for at, site in enumerate(trace.sites))


@final
class Counts:
    """The index of each step among the calls of its function below a path, and their stacks; computed once per path."""

    def __init__(self, trace: Trace) -> None:
        self.trace = trace
        self._below: dict[tuple[str, int], tuple[dict[int, int], dict[str, list[Lines]]]] = {}

    def below(self, path: str, *, swaps: int) -> tuple[dict[int, int], dict[str, list[Lines]]]:
        """Return the index of each step, and by function the stacks of all calls, without those that a swap hides."""
        found = self._below.get((path, swaps))
        if found is None:
            numbers: dict[int, int] = {}
            lines: dict[str, list[Lines]] = {}
            for step in self.trace.steps:
                stack = self.trace.stacks[step.place]
                if step.part == "model" and _is_below(step, path) and stack.swaps == swaps:
                    before = lines.setdefault(step.function, [])
                    numbers[step.place] = len(before)
                    before.append(stack.lines)
            found = self._below[path, swaps] = numbers, lines
        return found


def _route(counts: Counts, at: int, applied: list[list[Step]]) -> Route:
    trace, steps = counts.trace, [step for steps in applied for step in steps]
    owner, stacks = _owner(steps), [trace.stacks[step.place] for step in steps]
    swaps = min((stack.swaps for stack in stacks), default=0)
    (inside, lines_inside), (everywhere, lines) = (counts.below(path, swaps=swaps) for path in (owner, ""))
    numbers = _every(trace, at, steps, lines_inside) or inside
    names = {step.function for step in steps}
    is_gated = trace.sites[at].gate is not None
    recomputed = [stack.recomputed for stack in stacks if stack.recomputed is not None]
    return Route(
        owner,
        tuple(_calls(trace, steps, numbers, everywhere, is_gated=is_gated) for steps in applied),
        inside={name: tuple(lines_inside.get(name, ())) for name in names},
        everywhere={name: tuple(lines.get(name, ())) for name in names},
        own_backward=any(stack.own_backward for stack in stacks),
        recomputed=min(recomputed, key=len, default=None),
    )


def _owner(steps: list[Step]) -> str:
    """Return the common prefix of their paths."""
    paths = [step.path.split(".") if step.path else [] for step in steps]
    shared = takewhile(lambda parts: len(set(parts)) == 1, zip(*paths, strict=False))
    return ".".join(parts[0] for parts in shared)


def _every(trace: Trace, at: int, steps: list[Step], lines: dict[str, list[Lines]]) -> dict[int, int]:
    """Return -1 for each step of a repeated site whose module calls these functions nowhere else."""
    own = Counter(step.function for step in steps)
    calls = trace.sites[at].calls
    if calls == 1 or any(count != calls or len(lines.get(name, ())) != count for name, count in own.items()):
        return {}
    return dict.fromkeys((step.place for step in steps), -1)


def _is_below(step: Step, path: str) -> bool:
    return not path or step.path == path or step.path.startswith(path + ".")


def _calls(
    trace: Trace, steps: list[Step], inside: dict[int, int], everywhere: dict[int, int], *, is_gated: bool
) -> tuple[RoutedCall, ...]:
    made = {value for step in steps for value in step.outputs}
    wanted = {trace.source(steps[0])} | ({*steps[-1].inputs} - made if is_gated else set())
    calls = []
    for step in steps:
        takes = next((at for at, value in enumerate(step.inputs) if value in wanted), -1)
        wanted -= {step.inputs[takes]} if takes >= 0 else set()
        is_last = step is steps[-1]
        calls.append(RoutedCall(step.function, inside[step.place], everywhere[step.place], takes, is_last))
    return tuple(calls)


def groups(trace: Trace, *, with_product: bool = False) -> list[tuple[list[int], int]]:
    """Return the steps of each application of each site, with the index of the site; of a gated unit only its gate."""
    found: list[tuple[list[int], int]] = []
    open_at: dict[int, list[int]] = {}
    for step in trace.steps:
        at = trace.site_of.get(step.place)
        if at is None:
            continue
        group = open_at.get(at)
        if group is None or _restarts(trace, step, group):
            group = open_at[at] = []
            found.append((group, at))
        group.append(step.place)
    return found if with_product else [(_of_gate(trace, steps, at), at) for steps, at in found]


def _restarts(trace: Trace, step: Step, group: list[int]) -> bool:
    """Return whether the step begins another application of the site."""
    made = {value for place in group for value in trace.steps[place].outputs}
    source = trace.steps[group[0]].inputs[:1]
    return made.isdisjoint(step.inputs) and set(source).isdisjoint(step.inputs)


def _of_gate(trace: Trace, steps: list[int], at: int) -> list[int]:
    return steps[:-1] if trace.sites[at].gate is not None and len(steps) > 1 else steps
