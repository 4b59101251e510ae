"""AL111: loss plateau."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from actlab.rules.finding import Finding
from actlab.rules.rule import Found, found, rule
from actlab.rules.run import Run
from actlab.rules.running.optimizer_mismatch import optimizer_holds_nothing

_UNEXPLAINED = "no measured quantity explains it"


@rule(
    "AL111",
    title="loss plateau",
    severity="warning",
    remedies=("check-loss", "raise-learning-rate"),
    on_batch=optimizer_holds_nothing,
    reads_findings=True,
)
def loss_does_not_move(run: Run) -> Iterator[Found]:
    """The loss shows no trend beyond its noise over the measured steps.

    Why it matters:
        Nothing is learned. The finding names the likely cause if another rule reports one; without one it is
        information, since a loss at its minimum, and the losses of adversarial and of reinforcement learning, do not
        fall either.

    How it is detected:
        From robust medians of the first and last losses and the noise between neighbors. Without training, it is an
        error if the optimizer holds none of the model's trainable parameters.

    Example:
        model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 3))
        replaced = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 3))
        batch = torch.randn(64, 8), torch.randint(3, (64,))
        loss = nn.CrossEntropyLoss()
        optimizer = torch.optim.Adam(replaced.parameters())  # of another model

    Use instead:
        model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 3))
        batch = torch.randn(64, 8), torch.randint(3, (64,))
        loss = nn.CrossEntropyLoss()
        optimizer = torch.optim.Adam(model.parameters())

    References:
        Cleveland 1979 (robust trend); see the findings that it names
    """
    course = run.loss
    if not course.stalls:
        return
    went = f"loss {course.first:.4g} → {course.last:.4g} over {course.losses} steps"
    cause = next((each for each in run.findings if each.severity != "information"), None)
    message = f"{went}; {_UNEXPLAINED if cause is None else _because(cause)}"
    yield found(
        message,
        site=None if cause is None else cause.site,
        severity="information" if cause is None else "warning",
        remedies=() if cause is None else cause.remedies,
        **course.evidence(),
        likely_cause=None if cause is None else cause.id,
    )


def blamed_on(plateau: Finding, cause: Finding) -> Finding:
    """Return the finding of an unexplained plateau, now that its likely cause is known."""
    return replace(
        plateau,
        severity="warning",
        message=plateau.message.replace(_UNEXPLAINED, _because(cause)),
        site=cause.site,
        evidence={**plateau.evidence, "likely_cause": cause.id},
        remedies=cause.remedies,
    )


def _because(cause: Finding) -> str:
    place = "" if cause.site is None else f" at {cause.site.name}"
    return f"the likely cause is {cause.id} ({cause.title}){place}"
