"""AL113: the backward pass raises an error."""

from __future__ import annotations

from collections.abc import Iterator

from actlab.rules.backward import Failure
from actlab.rules.context import Context
from actlab.rules.dataflow import known_lines, place_of
from actlab.rules.finding import Finding
from actlab.rules.rule import Found, found, rule
from actlab.sites.site import Site, Spot
from actlab.sites.site_text import line_phrase
from actlab.sites.trace.trace import Step, Trace


@rule("AL113", title="backward pass fails", severity="error", remedies=("clone-first",))
def backward_raises(context: Context) -> Iterator[Found]:
    """The forward pass runs, but the backward pass raises an error.

    Why it matters:
        The model cannot be trained. PyTorch's message does not name the in-place call, nor the
        operation whose input or output it overwrote.

    How it is detected:
        A backward pass is run on the batch. If a tensor that an operation needs for its derivative was overwritten in
        place, the finding names that operation and the first in-place call that overwrote the tensor.

    Example:
        class Gate(nn.Module):
            def __init__(self):
                super().__init__()
                self.a, self.b = nn.Linear(6, 16), nn.Linear(16, 3)

            def forward(self, x):
                gate = torch.sigmoid(self.a(x))
                return self.b(gate.sub_(0.5))  # the derivative of sigmoid needs its result

        model = Gate()
        batch = torch.randn(32, 6), torch.randint(3, (32,))
        loss = nn.CrossEntropyLoss()

    Use instead:
        class Gate(nn.Module):
            def __init__(self):
                super().__init__()
                self.a, self.b = nn.Linear(6, 16), nn.Linear(16, 3)

            def forward(self, x):
                gate = torch.sigmoid(self.a(x))
                return self.b(gate - 0.5)

        model = Gate()
        batch = torch.randn(32, 6), torch.randint(3, (32,))
        loss = nn.CrossEntropyLoss()

    References:
        PyTorch notes, "Autograd mechanics": in-place correctness checks
    """
    failure = None if context.backward is None else context.backward.failure
    if failure is None:
        return
    trace = context.trace
    broken = None if failure.place is None else trace.steps[failure.place]
    writer = None if failure.overwritten_by is None else trace.steps[failure.overwritten_by]
    if broken is not None and writer is not None:
        yield found(
            f"the backward pass fails: {writer.spelling}{line_phrase(writer.line)} overwrites in place what the"
            f" derivative of {broken.spelling}{line_phrase(broken.line)} needs",
            site=place_of(trace, writer),
            lines=known_lines((writer, broken)),
            overwritten_by=writer.function,
            needed_by=broken.function,
            error=failure.message,
        )
        return
    again = "second time" in failure.message
    yield found(
        f"the backward pass fails: {failure.message}" + (_AGAIN if again else ""),
        site=_place(trace, failure, broken),
        remedies=("detach-state",) if again else ("fix-backward",),
        error=failure.message,
    )


_AGAIN = ". A part of its graph was used by an earlier backward pass, which freed it"


def fails_in_training(message: str, step: int, kept: str) -> Finding:
    """Return the finding for a backward pass that raised in a training step.

    Args:
        message: of the error.
        step: the number of the training step, from 1.
        kept: the model's attribute that keeps the graph of an earlier step; empty if none does.
    """
    again = f"{_AGAIN}; {kept} keeps it" if kept and "second time" in message else ""
    return backward_raises.finding(
        found(
            f"in training step {step}, {message}{again}",
            remedies=("detach-state",) if "second time" in message else ("fix-backward", "clone-first"),
            step=step,
            kept=kept or None,
        )
    )


def _place(trace: Trace, failure: Failure, broken: Step | None) -> Site | Spot | None:
    if failure.line:
        path = "" if broken is None else broken.path
        return Spot(path, "backward", failure.file, failure.line)
    return None if broken is None else place_of(trace, broken)
