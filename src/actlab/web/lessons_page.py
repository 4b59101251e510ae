"""The pages Lessons and Questions: texts with figures that can be moved."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, final

from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from actlab.errors import ActlabError, BadInput
from actlab.lessons import draw
from actlab.lessons.lesson import Choice, Figure, Lesson, Part, lessons, questions
from actlab.lessons.state import State
from actlab.web.answers import json_text
from actlab.web.lesson_markup import html_of, inline_html_of, without_pages
from actlab.web.shell import html
from actlab.web.workbench import Page, Workbench

PROGRAM = "/lessons/program.js"


def page(bench: Workbench) -> Page:
    """Return the pages."""

    def index(request: Request) -> Response:
        return html("lessons.html.j2", title="Lessons", here="/lessons", **index_values(LIVE))

    def one(request: Request) -> Response:
        lesson = _numbered(request.path_params["number"])
        presets = {
            int(key.removeprefix("figure")): State(value)
            for key, value in request.query_params.items()
            if key.startswith("figure") and key.removeprefix("figure").isdigit()
        }
        return html("lesson.html.j2", here="/lessons", **lesson_values(lesson, LIVE, presets=presets))

    def asked(request: Request) -> Response:
        (lesson,) = questions()
        return html("lesson.html.j2", here="/questions", **lesson_values(lesson, LIVE))

    def program(request: Request) -> Response:
        figure = draw.function(State(request.url.query))
        return Response(figure["curves"][0]["program"], media_type="text/javascript")

    routes = [
        Route("/lessons", index),
        Route(PROGRAM, program),
        Route("/lessons/{number:int}", one),
        Route("/questions", asked),
    ]
    return Page(routes)


@final
@dataclass(frozen=True)
class Medium:
    """Where a lesson is shown: by the server, or as a file that needs none.

    Attributes:
        frame: the template around every page.
        address: the address of a lesson.
        index: the address of the list of lessons.
        program: where a page finds a JavaScript module: its text and its query as this server knows it.
        playground: the data of a playground figure.
        has_workbench: whether links to the other pages work.
    """

    frame: str
    address: Callable[[Lesson], str]
    index: str
    program: Callable[[str, str], str]
    playground: Callable[[State], dict[str, Any]]
    has_workbench: bool


LIVE = Medium(
    frame="layout.html.j2",
    address=lambda lesson: f"/lessons/{lesson.number}" if lesson.number else "/questions",
    index="/lessons",
    program=lambda text, query: f"{PROGRAM}?{query}",
    playground=draw.playground,
    has_workbench=True,
)


def index_values(medium: Medium) -> dict[str, Any]:
    """Return what the template of the list of lessons shows."""
    rows = [
        {
            "number": lesson.number,
            "slug": lesson.slug,
            "title": inline_html_of(lesson.title),
            "address": medium.address(lesson),
            "right": _right(lesson),
        }
        for lesson in lessons()
    ]
    return {"rows": rows, "frame": medium.frame}


def lesson_values(lesson: Lesson, medium: Medium, *, presets: dict[int, State] | None = None) -> dict[str, Any]:
    """Return what the template of a lesson shows.

    Args:
        lesson: the lesson.
        medium: where it is shown.
        presets: states that replace those of the text, by the number of the figure from 1 on.

    Raises:
        BadInput: a figure is preset that the lesson does not have.
    """
    states = {at: figure.state for at, figure in enumerate(lesson.figures, start=1)}
    wrong = sorted(set(presets or {}) - set(states))
    if wrong:
        raise BadInput(f"figure{wrong[0]}: this lesson has figures 1 to {len(states)}.")
    states |= presets or {}
    figures: list[dict[str, Any]] = []
    choices = 0

    def shown(part: Part) -> dict[str, Any]:
        nonlocal choices
        if isinstance(part, Figure):
            state = states[len(figures) + 1]
            figures.append(_figure_data(part, state, medium))
            address = draw.workbench_address(part.kind, state) if medium.has_workbench else ""
            return {
                "what": "figure",
                "number": len(figures),
                "kind": part.kind,
                "state": state.query,
                "caption": inline_html_of(part.caption),
                "address": address,
                "is_replayed": part.kind == "playground" and not medium.has_workbench,
            }
        if isinstance(part, Choice):
            choices += 1
            options = [
                (inline_html_of(each.text), inline_html_of(each.explanation), each.is_right) for each in part.options
            ]
            return {"what": "choice", "number": choices, "question": inline_html_of(part.question), "options": options}
        return {"what": "prose", "html": html_of(part.text if medium.has_workbench else without_pages(part.text))}

    sections = [
        {"title": inline_html_of(section.title), "parts": [shown(part) for part in section.parts]}
        for section in lesson.sections
    ]
    known = lessons()
    return {
        "title": f"{lesson.number}. {lesson.title}" if lesson.number else lesson.title,
        "frame": medium.frame,
        "lesson": lesson,
        "right": _right(lesson),
        "sections": sections,
        "figures": Markup(json_text(figures).replace("<", "\\u003c")),
        "index": medium.index,
        "neighbors": [
            (word, medium.address(other), f"{other.number}. {other.title}")
            for word, number in (("Previous", lesson.number - 1), ("Next", lesson.number + 1))
            for other in known
            if lesson.number and other.number == number
        ],
    }


def _right(lesson: Lesson) -> str:
    """Return the index of the right answer of each choice."""
    return " ".join(str([each.is_right for each in choice.options].index(True)) for choice in lesson.choices)


def _figure_data(figure: Figure, state: State, medium: Medium) -> dict[str, Any]:
    """Return the data of one figure; what is wrong with its state is said at its place."""
    try:
        if figure.kind == "function":
            data = draw.function(state)
            for curve in data["curves"]:
                curve["program"] = medium.program(curve["program"], draw.program_query(curve["label"], state))
            return {"kind": figure.kind, "data": data}
        data = draw.lines(state) if figure.kind == "lines" else medium.playground(state)
        return {"kind": figure.kind, "data": data}
    except ActlabError as error:
        return {"kind": figure.kind, "error": str(error)}


def _numbered(number: int) -> Lesson:
    for lesson in lessons():
        if lesson.number == number:
            return lesson
    raise BadInput(f"the lessons are numbered 1 to {len(lessons())}; got {number}.")
