"""The process of a repair that a page has started: how far it is and the answer, as lines of JSON.

Its argument is a JSON object: `data`, `target`, `task` and `budget`, as for `actlab.fix`.
"""

from __future__ import annotations

import json
import sys

import typer

from actlab import verbs
from actlab.errors import ActlabError
from actlab.web.answers import json_text

MISUSE = 2
"""The exit status for what the user can correct."""


def main(text: str) -> int:
    """Repair what the text names, and return the exit status."""
    wanted = json.loads(text)

    def say(done: int, total: int, left: float | None, label: str) -> None:
        typer.echo(json_text({"done": done, "planned": total, "seconds_left": left, "label": label}))

    data, budget = wanted.pop("data"), wanted.pop("budget")
    try:
        answer = verbs.fix(data, budget=budget, progress=say, **wanted)
    except ActlabError as error:
        typer.echo(str(error), err=True)
        return MISUSE
    typer.echo(json_text({"answer": answer.to_json()}))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
