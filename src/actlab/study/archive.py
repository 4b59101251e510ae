"""The results that a store holds: which studies there are, and the comparison of each one that is finished."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, final

import sqlalchemy as sa

from actlab.errors import BadInput, BadStudy
from actlab.jsonable import plain
from actlab.sites.site_text import name_text
from actlab.study.comparison import ArmResult, Comparison
from actlab.study.plan import Trial
from actlab.study.results import is_settled
from actlab.study.schema import RESULTS
from actlab.study.store import Store, StoredStudy
from actlab.study.typed_values import read_as
from actlab.study.verdict import UNDECIDED

DECIDED = "decided"
UNFINISHED = "unfinished"
ANOTHER_VERSION = "another version"


@final
@dataclass(frozen=True)
class Stored:
    """A study in a store, and how far it is.

    Attributes:
        study: the study.
        state: "decided", "undecided" for some arm, "unfinished", or "another version" of actlab wrote its plan.
        verdict: the recommendation; empty if it is not finished.
    """

    study: StoredStudy
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
    rows = store.database.read(lambda connection: connection.execute(query).all())
    results = {row.study_id: (row.looks, str(row.state), str(row.verdict)) for row in rows}
    return tuple(_stored(study, results.get(study.id)) for study in reversed(store.studies()))


def _stored(study: StoredStudy, result: tuple[Any, str, str] | None) -> Stored:
    if study.plan is None:
        return Stored(study, ANOTHER_VERSION, "")
    # After seeds were added, the stored result is that of an earlier look until they are done.
    if result is None or result[0] != list(study.plan.to_json()["looks"]):
        return Stored(study, UNFINISHED, "")
    return Stored(study, *result[1:])


def study_named(store: Store, name: str | int | None = None) -> Stored:
    """Return the newest study, the newest one with this name, or the one with this number.

    Raises:
        BadStudy: the store does not hold the study.
    """
    every = studies(store)
    if not every:
        raise BadStudy(f"{store.database.shown} holds no studies; run a comparison first.")
    if name is None:
        return every[0]
    found = [one for one in every if one.study.name == name] or [one for one in every if str(one.study.id) == str(name)]
    if not found:
        raise BadStudy(f"{store.database.shown} has no study '{name}'; `actlab runs` lists {len(every)}.")
    return found[0]


def stored_values(comparison: Comparison) -> dict[str, Any]:
    """Return a comparison as plain values without its learning curves, which the trials hold."""
    values: dict[str, Any] = plain(replace(comparison, arms=tuple(replace(arm, curves=()) for arm in comparison.arms)))
    values["metric"].pop("function", None)
    return values | {"state": DECIDED if is_settled(comparison) else UNDECIDED}


def comparison_of(store: Store, stored: Stored) -> Comparison:
    """Return the comparison of a finished study, without running anything.

    Raises:
        BadStudy: the study is not finished, or its result cannot be read.
    """
    study = stored.study
    shown = f"study {study.id} '{name_text(study.name)}'"
    values = store.result(study.id)
    if values is None:
        of_all = "" if study.planned is None else f" of {study.planned:,}"
        raise BadStudy(f"{shown} is not finished: {study.done:,}{of_all} trials are done. Continue it with --resume.")
    try:
        found: Comparison = read_as(Comparison, values, at="the result")
        return replace(found, arms=_with_curves(found, store, study.id))
    except (BadInput, KeyError, ValueError) as error:
        raise BadStudy(f"the result of {shown} cannot be read: {error}") from error


def _with_curves(found: Comparison, store: Store, study: int) -> tuple[ArmResult, ...]:
    """Return the results of the arms with the learning curves of the trials that their seeds chose."""
    plan = found.plan
    first = found.rates.index(plan.points[0])
    points = {plan.rate(point): point for point in range(-first, len(found.rates) - first)}
    trials = {
        arm.activation: [
            Trial(arm.activation, points[rate], seed)
            for rate, seed in zip(arm.rates, plan.seeds, strict=False)  # the plan may have seeds beyond this look
        ]
        for arm in found.arms
    }
    curves = store.curves(study, [trial for each in trials.values() for trial in each])
    return tuple(replace(arm, curves=tuple(curves[trial] for trial in trials[arm.activation])) for arm in found.arms)
