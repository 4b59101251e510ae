"""Are gated units better in a small transformer, at equal parameters?

A transformer of two blocks learns to predict the next character of Shakespeare's plays. The gated units have two
weight matrices in front of them where the others have one, so their feed-forward networks are narrower.
"""

from __future__ import annotations

from page import asked, cost, publish, table, verdicts

import actlab
from actlab.train.text import text_task

CANDIDATES = ("gelu", "swiglu", "geglu")
BUDGET = 3


def main() -> None:
    options = asked(__doc__ or "", data="tinyshakespeare.txt")
    found = actlab.compare(
        text_task(options.data),
        CANDIDATES[1:2] if options.quick else CANDIDATES,
        equal="parameters",
        epochs=1 if options.quick else None,
        seeds=2 if options.quick else None,
        budget=1 if options.quick else BUDGET,
        jobs=options.jobs,
        store=options.store,
        resume=True,
        progress=lambda done, total, left, label: print(f"\r{done} of {total} trials", end="", flush=True),
    ).comparison
    print()
    budget = found.plan.budget
    sizes = [(name, f"{budget.settings[name]}", f"{int(budget.amounts[name]):,}") for name in found.plan.arms]
    publish(
        "shakespeare",
        [
            *table(("activation", "units of a feed-forward network", "parameters"), sizes),
            "",
            *verdicts(found),
            "",
            found.verdict,
            "",
            *(f"- {note}" for note in found.notes),
            "",
            cost([found], jobs=options.jobs),
        ],
        quick=options.quick,
    )


if __name__ == "__main__":
    main()
