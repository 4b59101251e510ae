"""The results that a store holds: which studies there are, and the comparison of each one that is finished."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, final

import sqlalchemy as sa

from actlab.errors import BadInput, BadStudy
from actlab.jsonable import plain
from actlab.study.comparison import ArmResult, Comparison
from actlab.study.plan import Plan
from actlab.study.schema import RESULTS
from actlab.study.store import Store, StoredStudy
from actlab.study.typed_values import read_as
from actlab.study.verdict import UNDECIDED
from actlab.train.loop import Epoch

DECIDED = "decided"
UNFINISHED = "unfinished"


@final
@dataclass(frozen=True)
class Stored:
    """A study in a store.

    Attributes:
        number: its number in the store.
        name: its name, by default that of its task.
        attempt: which study of this name it is, counted from 1.
        created: when it was begun.
        planned: the number of trials that its plan asks for; more are run if the range of rates is extended. It is 0
            if another version wrote the plan.
        done: the number of trials that are stored.
        state: "decided", "undecided" for some arm, or "unfinished".
        verdict: the recommendation; empty if it is not finished.
    """

    number: int
    name: str
    attempt: int
    created: datetime
    planned: int
    done: int
    state: str
    verdict: str


def studies(store: Store) -> tuple[Stored, ...]:
    """Return the studies in a store, the newest first.

    Raises:
        BadStudy: the store cannot be read.
    """
    result = RESULTS.c.comparison
    query = sa.select(
        RESULTS.c.study_id,
        result["plan"]["looks"].label("looks"),
        result["state"].as_string().label("state"),
        result["verdict"].as_string().label("verdict"),
    )
    results = {row.study_id: row for row in store.database.read(lambda connection: connection.execute(query).all())}
    return tuple(_stored(each, results.get(each.id)) for each in reversed(store.studies()))


def _stored(study: StoredStudy, result: Any) -> Stored:
    # After seeds were added, the stored result is that of an earlier look until they are done.
    is_finished = result is not None and study.plan is not None and result.looks == list(study.plan.to_json()["looks"])
    return Stored(
        number=study.id,
        name=study.name,
        attempt=study.attempt,
        created=study.created,
        planned=study.planned or 0,
        done=study.done,
        state=str(result.state) if is_finished else UNFINISHED,
        verdict=str(result.verdict) if is_finished else "",
    )


def study_named(store: Store, name: str | int | None = None) -> Stored:
    """Return the newest study, the one with this number, or the newest one with this name.

    Raises:
        BadStudy: there is no such study.
    """
    every = studies(store)
    where = store.database.shown
    if not every:
        raise BadStudy(f"{where} holds no studies; run a comparison first.")
    if name is None:
        return every[0]
    text = str(name)
    found = [one for one in every if one.name == text] or [one for one in every if str(one.number) == text]
    if not found:
        raise BadStudy(f"{where} has no study '{text}'; `actlab runs` lists {len(every)}.")
    return found[0]


def stored_values(comparison: Comparison) -> dict[str, Any]:
    """Return a comparison as plain values without its learning curves, which the trials hold."""
    values: dict[str, Any] = plain(replace(comparison, arms=tuple(replace(arm, curves=()) for arm in comparison.arms)))
    values["metric"].pop("function", None)
    return values | {"state": UNDECIDED if any(arm.verdict == UNDECIDED for arm in comparison.arms) else DECIDED}


def comparison_of(store: Store, study: Stored) -> Comparison:
    """Return the comparison of a finished study, without running anything.

    Raises:
        BadStudy: the study is not finished, or its result cannot be read.
    """
    values = store.result(study.number)
    if values is None:
        raise BadStudy(
            f"study {study.number} '{study.name}' is not finished: {study.done:,} of {study.planned:,} trials are done."
            " Continue it with --resume."
        )
    try:
        found: Comparison = read_as(Comparison, values, at="the result")
        rates = {trial: each.rate for trial, each in store.outcomes(study.number).items()}
        curves = {
            (trial.arm, rates[trial], trial.seed): curve
            for trial, curve in store.curves(study.number, list(rates)).items()
        }
        return replace(found, arms=tuple(_with_curves(arm, found.plan, curves) for arm in found.arms))
    except (BadInput, KeyError, ValueError) as error:
        raise BadStudy(f"the result of study {study.number} '{study.name}' cannot be read: {error}") from error


def _with_curves(arm: ArmResult, plan: Plan, curves: Mapping[tuple[str, float, int], tuple[Epoch, ...]]) -> ArmResult:
    """Return the result of an arm with the learning curves of the trials that its seeds chose."""
    chosen = zip(arm.rates, plan.seeds, strict=False)  # the plan may have seeds beyond the look that was read
    return replace(arm, curves=tuple(curves[arm.activation, rate, seed] for rate, seed in chosen))
