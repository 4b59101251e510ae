"""The page Compare: the comparisons of the store, and one that is planned, started, watched and stopped here."""

from __future__ import annotations

import json
import shlex
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from actlab import verbs
from actlab.catalog.index import CATALOG
from actlab.errors import ActlabError, BadInput, BadStudy, shortened
from actlab.formula.activation import Activation
from actlab.jsonable import plain
from actlab.report.comparison_facts import comparison_facts, suite_facts
from actlab.study.archive import UNFINISHED, studies
from actlab.study.secrets import without_secrets
from actlab.study.store import Store, StoredStudy
from actlab.study.suite_store import suites
from actlab.train.builtin import DEFAULT
from actlab.verbs.suites import SuiteAdvice
from actlab.web.answers import json_answer, log
from actlab.web.comparing import Comparing, is_there
from actlab.web.comparison_order import NAMED, NUMBERS, Order, check_arm, order_of, order_of_plans, with_seeds
from actlab.web.page_words import in_page_words
from actlab.web.shell import html
from actlab.web.workbench import Page, Workbench

FEED = "compare"


def page(bench: Workbench) -> Page:
    """Return the page."""
    comparing = Comparing(bench, bench.feeds.open(FEED))

    def compare(request: Request) -> Response:
        run = request.query_params.get("study")
        if run is not None:
            return _study_page(run, bench, comparing)
        names = [name for name, act in sorted(CATALOG.items()) if isinstance(act, Activation)]
        return html(
            "compare.html.j2", title="Compare", here="/compare", names=names, tasks=_tasks(bench), numbers=NUMBERS
        )

    def every(request: Request) -> Response:
        runs, error = _runs(bench)
        store = without_secrets(str(bench.store))
        return json_answer({"store": store, "runs": runs, "error": error, "now": comparing.now})

    def one(request: Request) -> Response:
        return json_answer(_one(request.path_params["run"], bench, comparing))

    def check(request: Request) -> Response:
        # Not an error of the request: what is typed is often incomplete.
        try:
            check_arm(request.query_params.get("f", "").strip())
        except ActlabError as error:
            return json_answer({"error": str(error)})
        return json_answer({"error": ""})

    async def start(request: Request) -> Response:
        values = _parsed(await request.body())
        return json_answer(await run_in_threadpool(_start, values, bench, comparing))

    def stop(request: Request) -> Response:
        return json_answer(comparing.stop())

    def close() -> None:
        comparing.close()
        if sentence := comparing.unfinished():
            log(sentence)

    return Page(
        [
            Route("/compare", compare),
            Route("/api/compare", every),
            Route("/api/compare", start, methods=["POST"]),
            Route("/api/compare/stop", stop, methods=["POST"]),
            Route("/api/compare/check", check),
            Route("/api/compare/{run}", one),
        ],
        close,
    )


def _study_page(run: str, bench: Workbench, comparing: Comparing) -> Response:
    found, error = None, ""
    heading = f"Run {shortened(run, limit=12)}"
    try:
        found = plain(_one(run, bench, comparing))
        heading = f"{found['run']['name']}, run {run}"
    except ActlabError as raised:
        error = str(raised)
    facts = found and found["facts"]
    return html(
        "compare_study.html.j2", title=heading, here="/compare", heading=heading, found=found, facts=facts, error=error
    )


def _tasks(bench: Workbench) -> list[dict[str, str]]:
    """Return what can be compared on: what was named on the command line first, then the built-in tasks."""
    built_in = verbs.tasks().to_json()
    first = bench.task or DEFAULT
    rows = sorted(({"value": each["name"], **each} for each in built_in), key=lambda each: each["name"] != first)
    if bench.data is None:
        return rows
    target = "" if bench.target is None else f", predicting {bench.target}"
    return [{"value": NAMED, "name": f"{bench.data}{target}", "about": "Named on the command line."}, *rows]


def _runs(bench: Workbench) -> tuple[list[dict[str, Any]], str]:
    """Return the comparisons of the store, or why they cannot be read."""
    if not is_there(bench.store):
        return [], ""
    try:
        return verbs.runs(bench.store).to_json(), ""
    except ActlabError as error:
        return [], str(error)


def _one(run: str, bench: Workbench, comparing: Comparing) -> dict[str, Any]:
    """Return everything about one comparison, or how far it is."""
    found = [row for row in verbs.runs(bench.store).to_json() if str(row["number"]) == run]
    if not found:
        raise BadStudy(f"the store has no run {shortened(run)}; see the list of those that it has.")
    row = found[0]
    report = shlex.join(["actlab", "report", run, f"--store={without_secrets(str(bench.store))}"])
    answer: dict[str, Any] = {"run": row, "answer": None, "facts": None, "plan": [], "report": report}
    study = _study(row["studies"][0] if "studies" in row else row["number"], bench)
    answer["study"] = study.id
    answer["plan"] = [] if study.plan is None else in_page_words(study.plan.sentences())
    answer |= _continuation(study, bench, comparing)
    try:
        stored = verbs.stored(run, store=bench.store)
    except BadStudy as error:
        if row["state"] != UNFINISHED:
            raise
        return {**answer, "sentence": in_page_words(str(error))}
    if isinstance(stored, SuiteAdvice):
        answer["plan"] = in_page_words(stored.comparisons[0].plan.sentences())
        facts = suite_facts(stored.overall, stored.comparisons)
    else:
        facts = comparison_facts(stored.comparison, earlier=stored.earlier)
    return {**answer, "answer": stored.to_json(), "facts": in_page_words(facts)}


def _study(number: int, bench: Workbench) -> StoredStudy:
    with Store.existing(bench.store) as store:
        return store.load(number)


def _continuation(study: StoredStudy, bench: Workbench, comparing: Comparing) -> dict[str, str]:
    """Return the command line that continues a study, or why it cannot be continued here."""
    try:
        order = _order_to_continue(study, bench, comparing)
    except ActlabError as error:
        return {"command": "", "cannot_continue": str(error)}
    return {"command": order.command(bench, resume=True), "cannot_continue": ""}


def _order_to_continue(study: StoredStudy, bench: Workbench, comparing: Comparing) -> Order:
    with Store.existing(bench.store) as store:
        newest = max(each.id for each in store.studies() if each.name == study.name)
        of_run = [
            [member.study for member in each.members]
            for each in suites(store, studies(store))
            if study.id in {member.study.id for member in each.members}
        ]
    members = of_run[0] if of_run else [study]
    if newest != study.id:
        raise BadStudy(f"only the newest run of '{shortened(study.name)}' can be continued: run {newest}.")
    known = comparing.orders.get(members[0].id)
    if known is not None:
        return known
    plans = [each.plan for each in members if each.plan is not None]
    if len(plans) < len(members):
        raise BadStudy("another version of actlab wrote its plan.")
    return order_of_plans(plans, bench)


def _start(values: Any, bench: Workbench, comparing: Comparing) -> Any:
    if isinstance(values, dict) and values.get("planned") is True:
        if comparing.planned is None:
            raise BadStudy("nothing was planned since the server started; fill in the form.")
        return comparing.start(comparing.planned)
    if not isinstance(values, dict) or values.get("study") is None:
        order = order_of(values, bench)
        return comparing.start(order, plan=bool(values.get("plan")))
    number = values["study"]
    if not isinstance(number, int):
        raise BadInput(f"study must be the number of a study; got '{shortened(str(number))}'.")
    order = with_seeds(_order_to_continue(_study(number, bench), bench, comparing), values.get("seeds"))
    return comparing.start(order, resume=number)


def _parsed(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError as error:
        raise BadInput("the request must be JSON.") from error
