"""What cannot work is said in the terminal, before a browser opens."""

from __future__ import annotations

from pathlib import Path

from actlab.errors import BadStudy
from actlab.study.database import sqlite_file
from actlab.study.store import Store
from actlab.train.subject import names_program
from actlab.verbs.task_lookup import is_table, task_named
from actlab.web.comparing import is_there
from actlab.web.workbench import Workbench


def check(bench: Workbench) -> None:
    """Refuse a table without its target, and a store that cannot be used.

    A program is not run: what is wrong with it is said on the page, where it can be corrected and loaded again.

    Raises:
        BadTask, BadStudy: the message says what to change.
    """
    if is_there(bench.store):
        Store.existing(bench.store).close()
    elif (file := sqlite_file(bench.store)) is not None and not file.absolute().parent.is_dir():
        raise BadStudy(f"the store '{file}' cannot be created: there is no folder '{file.parent}'. Name another store.")
    data = bench.data
    if bench.target is not None or is_table(data, bench.target):
        task_named(data, target=bench.target, task=bench.task, verb="serve")
    elif data is not None and not names_program(str(data)) and not Path(data).is_dir():
        task_named(data, target=None, task=bench.task, verb="serve")
