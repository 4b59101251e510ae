"""What the studies share: their options, and how their results get into their pages."""

from __future__ import annotations

import os
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean

import numpy as np
from scipy.stats import bootstrap

from actlab.study.comparison import ArmResult, Comparison

FOLDER = Path(__file__).parent
BEGIN, END = "<!-- written by {name}.py -->", "<!-- end -->"


@dataclass(frozen=True)
class Asked:
    """The options of a study.

    Attributes:
        quick: whether to run a small part only, which is printed and not written into the page.
        jobs: processes that train at once.
        store: where the trials are stored; a study that was stopped goes on there.
        data: the path of the data, for studies of data that the package does not contain.
    """

    quick: bool
    jobs: int
    store: str
    data: Path | None


def asked(description: str, *, data: str = "") -> Asked:
    """Read the options of the command line.

    Args:
        description: what the study asks.
        data: what the data are, if the study needs a path to some.
    """
    parser = ArgumentParser(description=description, formatter_class=RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="run a small part, and do not write the page")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes that train at once")
    parser.add_argument("--store", default="actlab-studies.db", help="where the trials are stored")
    if data:
        parser.add_argument("--data", type=Path, required=True, help=f"the path of {data}")
    options = parser.parse_args()
    return Asked(options.quick, options.jobs, options.store, getattr(options, "data", None))


def publish(name: str, lines: Sequence[str], *, quick: bool) -> None:
    """Print the result, and write it into the study's page unless it is of a small part only."""
    text = "\n".join(lines)
    print(text)
    if quick:
        return
    page = FOLDER / f"{name.replace('_', '-')}.md"
    before, begin, rest = page.read_text(encoding="utf-8").partition(BEGIN.format(name=name))
    after = rest.partition(END)[2]
    page.write_text(f"{before}{begin}\n\n{text}\n\n{END}{after}", encoding="utf-8")


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Return a Markdown table; all columns but the first are aligned to the right."""
    marks = ["---", *["---:"] * (len(head) - 1)]
    return [f"| {' | '.join(row)} |" for row in (head, marks, *rows)]


def interval(values: Sequence[float], *, digits: int = 1) -> str:
    """Return the mean over the seeds and its 95 % bootstrap interval, as a text; a dash without values.

    Example:
        >>> interval([1.0, 1.0, 1.0]), interval([0.0, 10.0, 20.0, 10.0])
        ('1.0', '10.0 (2.5 to 17.5)')
    """
    if not values:
        return "–"
    middle = f"{mean(values):.{digits}f}"
    if len(set(values)) == 1:
        return middle
    found = bootstrap((np.array(values),), np.mean, method="percentile", rng=np.random.default_rng(0))
    low, high = found.confidence_interval
    return f"{middle} ({low:.{digits}f} to {high:.{digits}f})"


def verdicts(comparison: Comparison) -> list[str]:
    """Return the verdicts of a comparison as a Markdown table."""
    head = ("activation", "verdict", "test", "difference from the control", "p, Holm")
    return table(head, [tuple(_row(arm, comparison)) for arm in comparison.arms])


def _row(arm: ArmResult, comparison: Comparison) -> Iterator[str]:
    yield arm.activation
    yield arm.verdict
    yield f"{arm.test:.2f}"
    if arm.difference is None:
        yield from ("", "")
        return
    found = arm.difference
    yield f"{found.estimate:+.2f} ({found.low:+.2f} to {found.high:+.2f})"
    yield f"{found.adjusted_p:.3f}"


def cost(comparisons: Sequence[Comparison], *, jobs: int) -> str:
    """Say how many trials the comparisons ran, and how long they took."""
    trials = sum(arm.runs for each in comparisons for arm in each.arms)
    return took(f"{trials:,} trials", sum(each.cost.seconds for each in comparisons), jobs=jobs)


def took(what: str, seconds: float, *, jobs: int) -> str:
    """Say how long something took in so many processes."""
    return f"Cost: {what} in {seconds / 60:.1f} minutes with {jobs} process{'' if jobs == 1 else 'es'}."
