"""Does the diagnosis find what is wrong, name it, place it, and stay silent where nothing is?

Programs with known truth stand in `tests/corpus/`: faults that people asked about, each beside its repair (A),
one-line mutants beside their originals (B), correct programs that tempt a false alarm (C), layers of which it is
known unit by unit what is dead (D), and further programs of other hands' style (E), counted apart.

`--only NAME` diagnoses one program, or all whose names begin so, and shows every finding; `--json` prints all
outcomes as JSON.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from harness import commit, keep, options, versions

sys.path.append(str(Path(__file__).parents[1] / "tests"))  # the labelled programs are the tests' own
from corpus.everything import programs
from corpus.exact import Exactness, exactness
from corpus.judge import Outcome, Share, alarms_per_program, judged, shares, verdict

QUICK = ("so_48221692", "so_48221692_right", "softmax_module_cross_entropy", "dead_layer_module", "sparse_relu")


@dataclass(frozen=True)
class Row:
    """One share, with all that is needed to count it again."""

    question: str
    group: str
    measure: str
    hits: int
    of: int
    share: float
    low: float
    high: float
    note: str
    versions: str
    commit: str
    date: str


def main() -> None:
    asked, rest = parser().parse_known_args()
    how = options(__doc__ or "", rest)
    torch.set_num_threads(1)  # small networks, and one order of every sum
    chosen = [one for one in programs() if is_chosen(one.name, asked.only, quick=how.quick)]
    outcomes = [told(judged(one), at_length=bool(asked.only), silent=asked.json) for one in chosen]
    exact = [] if asked.only else exactness(seeds=1 if how.quick else 5)
    if asked.json:
        print(json.dumps({"outcomes": [plain(one) for one in outcomes], "exact": [one.to_json() for one in exact]}))
    else:
        print(*table(outcomes, exact), sep="\n")
    if not asked.only:
        keep("diagnosis", rows(outcomes, exact), asked=how)


def parser() -> argparse.ArgumentParser:
    found = argparse.ArgumentParser(add_help="--help" in sys.argv, description=__doc__)
    found.add_argument("--only", default="", help="programs whose names begin so")
    found.add_argument("--json", action="store_true", help="print every outcome as JSON")
    return found


def is_chosen(name: str, only: str, *, quick: bool) -> bool:
    if only:
        return name.startswith(only)
    return name in QUICK or not quick


def told(outcome: Outcome, *, at_length: bool, silent: bool) -> Outcome:
    """Print the outcome and return it."""
    if not silent:
        print(line(outcome), flush=True)
        if at_length:
            print(f"    {outcome.program.sentence}", *map(finding_line, outcome.findings), sep="\n")
            print(outcome.broke, end="")
    return outcome


def line(outcome: Outcome) -> str:
    ids = " ".join(f"{found.id}{'' if found.severity != 'information' else '(i)'}" for found in outcome.findings)
    program = outcome.program
    wanted = f" wanted {'|'.join(sorted(program.fault.ids))}" if program.fault else ""
    return f"{program.group} {program.name:<38} {verdict(outcome):<11} {outcome.seconds:5.2f} s {ids}{wanted}"


def finding_line(found: Any) -> str:
    site = f"{found.site.name} {found.site.file}:{found.site.line}" if found.site else "no site"
    return f"    {found.id} {found.severity} at {site}: {found.message} {dict(found.evidence)}"


def plain(outcome: Outcome) -> dict[str, Any]:
    program = outcome.program
    return {
        "program": program.name,
        "group": program.group,
        "wanted": sorted(program.fault.ids) if program.fault else [],
        "verdict": verdict(outcome),
        "seconds": outcome.seconds,
        "findings": [found.to_json() for found in outcome.findings],
        "broke": outcome.broke,
    }


def table(outcomes: Sequence[Outcome], exact: Sequence[Exactness]) -> list[str]:
    lines = ["", "group  measure                                 share   95 % interval"]
    lines += [share_line(share) for share in shares(outcomes)]
    for group in sorted({outcome.program.group for outcome in outcomes}):
        rate = alarms_per_program([outcome for outcome in outcomes if outcome.program.group == group])
        lines.append(f"{group:<6} false alarms per correct program        {rate:.3f}")
    return [*lines, *(one.line() for one in exact), *goals(outcomes, exact)]


def goals(outcomes: Sequence[Outcome], exact: Sequence[Exactness]) -> list[str]:
    """Judge the goals of the diagnosis; goals of which nothing was run are left out."""
    faulty = [one for one in outcomes if one.program.fault and one.program.group in "AB"]
    tempting = [one for one in outcomes if one.program.group == "C"]
    well = [one for one in faulty if one.named and one.placed is not False]
    loud = [one for one in tempting if one.broke or one.running_alarms or has_error(one)]
    confused = [one for one in exact if one.wrong or one.missed]
    asked = {
        f"A and B: nine in ten faults named at the right site ({len(well)} of {len(faulty)})": (
            faulty,
            10 * len(well) >= 9 * len(faulty),
        ),
        f"C: no error and no running warning ({len(loud)} of {len(tempting)} alarmed)": (tempting, not loud),
        f"D: precision and recall of 1 ({len(confused)} of {len(exact)} fell short)": (exact, not confused),
    }
    return [f"{'reached' if reached else 'missed'}: {goal}" for goal, (tried, reached) in asked.items() if tried]


def has_error(outcome: Outcome) -> bool:
    return any(found.severity == "error" for found in outcome.alarms)


def share_line(share: Share) -> str:
    low, high = share.interval
    counted = f"{share.hits} of {share.of}"
    return f"{share.group:<6} {share.measure:<38} {share.share:6.3f}   {low:.3f} to {high:.3f}   {counted}"


def rows(outcomes: Sequence[Outcome], exact: Sequence[Exactness]) -> list[Row]:
    counted = [*shares(outcomes), *(share for one in exact for share in one.shares())]
    return [row(share, outcomes) for share in counted]


def row(share: Share, outcomes: Sequence[Outcome]) -> Row:
    low, high = (float(f"{end:.4g}") for end in share.interval)
    wrong = {"missed", "misnamed", "misplaced", "false alarm", "no answer"}
    names = [one.program.name for one in outcomes if one.program.group == share.group and verdict(one) in wrong]
    return Row(
        question="diagnosis",
        group=share.group,
        measure=share.measure,
        hits=share.hits,
        of=share.of,
        share=float(f"{share.share:.4g}"),
        low=low,
        high=high,
        note=f"of the group not as wanted: {' '.join(names) or 'none'}",
        versions=versions(),
        commit=commit(),
        date=datetime.now(UTC).isoformat(timespec="seconds"),
    )


if __name__ == "__main__":
    main()
