"""What earlier runs showed on similar tasks, as sentences, the same in a terminal and on a page."""

from __future__ import annotations

from shutil import get_terminal_size
from textwrap import wrap

from actlab.sites.site_text import name_text
from actlab.study.earlier import Earlier, EarlierRun


def earlier_head(earlier: Earlier) -> str:
    """Return the sentence above the runs, which says what makes a task similar."""
    return f"What earlier runs in this store showed on similar tasks ({earlier.like.sentence})"


def earlier_sentences(earlier: Earlier) -> list[str]:
    """Return a sentence for each run."""
    return [_sentence(run) for run in earlier.runs]


def earlier_lines(earlier: Earlier | None, width: int | None = None) -> list[str]:
    """Return the runs as plain lines, by default as wide as the terminal; nothing if there are none."""
    if earlier is None or not earlier.runs:
        return []
    wide = width or get_terminal_size().columns
    head = wrap(f"{earlier_head(earlier)}; the verdict above outranks it:", wide)
    body = (wrap(each, wide, initial_indent="- ", subsequent_indent="  ") for each in earlier_sentences(earlier))
    return [*head, *(line for lines in body for line in lines)]


def _sentence(run: EarlierRun) -> str:
    named = {
        f"better than {name_text(run.control)}": run.better,
        "proved, but perhaps too small to matter": run.minor,
        "equivalent": run.equivalent,
        "worse": run.worse,
        "undecided": run.undecided,
    }
    parts = [f"{what}: {', '.join(map(name_text, arms))}" for what, arms in named.items() if arms]
    size = f", {run.rows:,} rows" if run.rows else ""
    against = "" if run.better else f"against {name_text(run.control)}, "
    return f"{name_text(run.task)} (run {run.study}{size}): {against}{'; '.join(parts)}."
