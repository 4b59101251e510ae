"""Does the activation matter on a table of census data?

The table is UCI Adult (Kohavi 1996): 32,561 rows of mixed columns; does a person earn over 50,000 dollars a year?
"""

from __future__ import annotations

from dataclasses import replace

from page import asked, cost, publish, verdicts

import actlab
from actlab.train.table import table_task

CANDIDATES = ("tanh", "gelu", "silu", "leaky_relu", "elu")


def main() -> None:
    options = asked(__doc__ or "", data="adult.csv")
    task = table_task(str(options.data), target="income")
    task = replace(task, epochs=1) if options.quick else task
    found = actlab.compare(
        task,
        CANDIDATES[:1] if options.quick else CANDIDATES,
        seeds=2 if options.quick else None,
        budget=2 if options.quick else None,
        jobs=options.jobs,
        store=options.store,
        resume=True,
        progress=lambda done, total, left, label: print(f"\r{done} of {total} trials", end="", flush=True),
    ).comparison
    print()
    notes = [f"- {note}" for note in found.notes]
    publish(
        "adult",
        [*verdicts(found), "", found.verdict, "", *notes, "", cost([found], jobs=options.jobs)],
        quick=options.quick,
    )


if __name__ == "__main__":
    main()
