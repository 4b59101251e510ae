"""What the diagnosis said of a program, held against what is known of it."""

from __future__ import annotations

import time
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from actlab.diagnosis.check import check
from actlab.diagnosis.watch import watch
from actlab.rules.finding import Finding
from corpus.program import Case, Program

SEED = 0
Z95 = 1.959964  # of the normal distribution, for an interval of 95 %


@dataclass(frozen=True)
class Outcome:
    """What became of one program.

    Attributes:
        findings: every one, also those that only inform.
        broke: how the diagnosis ended where it gave no answer; empty where it gave one.
    """

    program: Program
    findings: tuple[Finding, ...]
    seconds: float
    broke: str = ""

    @property
    def alarms(self) -> list[Finding]:
        """Errors and warnings."""
        return [found for found in self.findings if found.severity != "information"]

    @property
    def running_alarms(self) -> list[Finding]:
        return [found for found in self.alarms if found.id.startswith("AL1")]

    @property
    def answers(self) -> list[Finding]:
        """The findings that name the fault."""
        fault = self.program.fault
        return [found for found in self.findings if fault and found.id in fault.ids]

    @property
    def detected(self) -> bool:
        """Whether it says that something is wrong, whatever it calls it."""
        return bool(self.alarms or self.answers)

    @property
    def named(self) -> bool:
        return bool(self.answers)

    @property
    def placed(self) -> bool | None:
        """Whether it is named at the right place; None where the fault has no one place."""
        fault = self.program.fault
        if fault is None or (fault.paths is None and not self.program.lines):
            return None
        return any(stands_right(found, self.program) for found in self.answers)


def stands_right(found: Finding, program: Program) -> bool:
    """Whether a finding points to the module and the line at fault.

    A fault without an activation, such as one that was forgotten, has no site: there it is enough that the message or
    the evidence names the modules.
    """
    paths = program.fault.paths if program.fault else None
    if found.site is None:
        told = f"{found.message} {found.evidence}"
        return bool(paths) and any(path and path in told for path in paths)
    right_line = not program.lines or (
        Path(found.site.file).resolve() == Path(program.file).resolve() and found.site.line in program.lines
    )
    return right_line and (paths is None or found.site.path in paths)


def judged(program: Program) -> Outcome:
    """Builds a program, has it diagnosed, and says what came out."""
    torch.manual_seed(SEED)
    case = program.build()
    start = time.perf_counter()
    try:
        findings, broke = diagnosed(case, program.steps), ""
    except Exception:  # whatever ends a diagnosis is this benchmark's result, not its failure
        findings, broke = (), traceback.format_exc(limit=-2)
    return Outcome(program, findings, time.perf_counter() - start, broke)


def diagnosed(case: Case, steps: int) -> tuple[Finding, ...]:
    """All findings: from the code and one batch, and from training."""
    batch, optimiser = case.data(0), case.optimiser(case.model)
    if case.loop is None:
        data = [case.data(step) for step in range(steps)]
        report = check(case.model, batch, case.loss, optimizer=optimiser, train_steps=steps, data=data)
        return tuple(report.findings)
    still = check(case.model, batch, case.loss, optimizer=optimiser).findings
    with watch(case.model) as running:
        case.loop(case, running.step)
    return (*still, *running.report().findings)


@dataclass(frozen=True)
class Share:
    """How many of how many, with the 95 % interval of Wilson."""

    group: str
    measure: str
    hits: int
    of: int

    @property
    def share(self) -> float:
        return self.hits / self.of if self.of else float("nan")

    @property
    def interval(self) -> tuple[float, float]:
        return wilson(self.hits, self.of)


def wilson(hits: int, of: int) -> tuple[float, float]:
    """The 95 % interval of a share, after Wilson 1927; 0 to 1 where nothing was counted."""
    if of == 0:
        return 0.0, 1.0
    share, weight = hits / of, Z95**2 / of
    middle = (share + weight / 2) / (1 + weight)
    half = Z95 * ((share * (1 - share) + weight / 4) / of) ** 0.5 / (1 + weight)
    return max(0.0, middle - half), min(1.0, middle + half)


def shares(outcomes: Sequence[Outcome]) -> list[Share]:
    """What is counted, group by group: of the faulty programs what was found, of the correct ones what was alarmed."""
    groups = sorted({outcome.program.group for outcome in outcomes})
    return [found for group in groups for found in of_group(group, [o for o in outcomes if o.program.group == group])]


def of_group(group: str, outcomes: Sequence[Outcome]) -> list[Share]:
    faulty = [outcome for outcome in outcomes if outcome.program.fault]
    right = [outcome for outcome in outcomes if not outcome.program.fault]
    placed = [outcome.placed for outcome in faulty if outcome.placed is not None]
    counted = {
        "fault detected": [outcome.detected for outcome in faulty],
        "right finding": [outcome.named for outcome in faulty],
        "right site": placed,
        "right finding and site": [outcome.named and outcome.placed is not False for outcome in faulty],
        "correct program alarmed": [bool(outcome.alarms or outcome.broke) for outcome in right],
        "correct program with an error": [any(f.severity == "error" for f in outcome.alarms) for outcome in right],
        "correct program with a running alarm": [bool(outcome.running_alarms) for outcome in right],
        "no answer": [bool(outcome.broke) for outcome in outcomes],
    }
    return [Share(group, measure, sum(hits), len(hits)) for measure, hits in counted.items() if hits]


def alarms_per_program(outcomes: Sequence[Outcome]) -> float:
    """Errors and warnings for each correct program, on average."""
    right = [outcome for outcome in outcomes if not outcome.program.fault]
    return sum(len(outcome.alarms) for outcome in right) / len(right) if right else 0.0


def verdict(outcome: Outcome) -> str:
    """In a word what became of it."""
    if outcome.broke:
        return "no answer"
    if outcome.program.fault is None:
        return "false alarm" if outcome.alarms else "well"
    if not outcome.named:
        return "misnamed" if outcome.detected else "missed"
    return "misplaced" if outcome.placed is False else "found"
